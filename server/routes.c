#include "server/routes.h"

const struct ak_route *const ak_route_tables[] = {
    ak_routes_ops,
};

const size_t ak_n_route_tables =
    sizeof(ak_route_tables) / sizeof(ak_route_tables[0]);
