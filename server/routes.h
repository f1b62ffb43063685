/* routes.h -- the tables of routes that the daemon serves. */
#ifndef AK_SERVER_ROUTES_H
#define AK_SERVER_ROUTES_H

#include "server/http.h"

extern const struct ak_route ak_routes_ops[]; /* routes_ops.c */
extern const struct ak_route ak_routes_collections[];
extern const struct ak_route ak_routes_batches[];
extern const struct ak_route ak_routes_items[];
extern const struct ak_route ak_routes_item_changes[];
extern const struct ak_route ak_routes_search[];
extern const struct ak_route ak_routes_models[];
extern const struct ak_route ak_routes_jobs[];
extern const struct ak_route ak_routes_stats[];
extern const struct ak_route ak_routes_snapshots[];
extern const struct ak_route ak_routes_export[];
extern const struct ak_route ak_routes_extractors[];

/* All of them, for ak_http_start(). */
extern const struct ak_route *const ak_route_tables[];
extern const size_t ak_n_route_tables;

#endif
