#include "server/routes.h"

const struct ak_route *const ak_route_tables[] = {
    ak_routes_ops,       ak_routes_collections,  ak_routes_batches,
    ak_routes_items,     ak_routes_item_changes, ak_routes_search,
    ak_routes_models,    ak_routes_jobs,         ak_routes_stats,
    ak_routes_snapshots, ak_routes_export,       ak_routes_extractors,
};

const size_t ak_n_route_tables =
    sizeof(ak_route_tables) / sizeof(ak_route_tables[0]);
