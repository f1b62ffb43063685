/* router.c -- paths and the table of routes, and what is counted for each. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "server/http_internal.h"

const unsigned ak_http_codes[AK_N_CODES - 1] = {
    200, 201, 202, 204, 206, 304, 400, 401, 403, 404, 405, 408,
    409, 413, 414, 415, 422, 429, 431, 499, 500, 501, 503, 507,
};

/* "/v1/collections/{c}/items" */
static enum ak_status parse_pattern(struct ak_route_entry *e,
                                    struct ak_err *err)
{
    const char *p = e->route->pattern;

    while (*p == '/') {
        const char *start = p + 1;
        size_t len = strcspn(start, "/");
        struct ak_segment *s = &e->segments[e->n_segments];

        if (e->n_segments == AK_MAX_SEGMENTS)
            return ak_fail(err, AK_EINVAL, "%s has more than %d segments",
                           e->route->pattern, AK_MAX_SEGMENTS);
        s->param = len > 2 && start[0] == '{' && start[len - 1] == '}';
        s->text = s->param ? start + 1 : start;
        s->len = s->param ? len - 2 : len;
        e->n_segments++;
        p = start + len;
    }
    return AK_OK;
}

enum ak_status ak_router_init(struct ak_router *router,
                              const struct ak_route *const *tables,
                              size_t n_tables, struct ak_err *err)
{
    enum ak_status status;
    size_t n = 0;

    for (size_t t = 0; t < n_tables; t++)
        for (const struct ak_route *r = tables[t]; r->method != NULL; r++)
            n++;
    router->entries = ak_array_new(n + 1, sizeof(router->entries[0]));
    if (router->entries == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for %zu routes", n);
    router->n = 0;
    for (size_t t = 0; t < n_tables; t++) {
        for (const struct ak_route *r = tables[t]; r->method != NULL; r++) {
            router->entries[router->n].route = r;
            status = parse_pattern(&router->entries[router->n], err);
            if (status != AK_OK) {
                ak_router_clear(router);
                return status;
            }
            router->n++;
        }
    }
    return AK_OK;
}

void ak_router_clear(struct ak_router *router)
{
    ak_array_free(router->entries);
    *router = (struct ak_router){0};
}

/* 0 when it does not match; else more for more literal segments, and for those
   further left. */
static unsigned match(const struct ak_route_entry *e,
                      const struct ak_segment *path, size_t n)
{
    unsigned score = 1;

    if (n != e->n_segments)
        return 0;
    for (size_t i = 0; i < n; i++) {
        const struct ak_segment *s = &e->segments[i];

        if (s->param) {
            if (path[i].len == 0)
                return 0;
            score <<= 1;
        } else {
            if (s->len != path[i].len ||
                memcmp(s->text, path[i].text, s->len) != 0)
                return 0;
            score = score << 1 | 1;
        }
    }
    return score;
}

static void add_method(char *allow, size_t cap, const char *method)
{
    size_t len = strlen(allow);

    /* Methods are of our own tables, and none is a part of another. */
    if (strstr(allow, method) == NULL)
        snprintf(allow + len, cap - len, "%s%s", len > 0 ? ", " : "", method);
}

static void list_methods(const struct ak_router *router,
                         const struct ak_segment *path, size_t n, char *allow,
                         size_t cap)
{
    for (size_t i = 0; i < router->n; i++) {
        const struct ak_route_entry *e = &router->entries[i];

        if (match(e, path, n) == 0)
            continue;
        add_method(allow, cap, e->route->method);
        if (strcmp(e->route->method, "GET") == 0)
            add_method(allow, cap, "HEAD");
    }
}

struct ak_route_entry *ak_router_find(struct ak_router *router,
                                      const char *method,
                                      const struct ak_segment *path, size_t n,
                                      bool *found, char *allow,
                                      size_t allow_cap)
{
    struct ak_route_entry *best = NULL, *any = NULL;
    unsigned best_score = 0;
    bool head = strcmp(method, "HEAD") == 0;

    allow[0] = '\0';
    for (size_t i = 0; i < router->n; i++) {
        struct ak_route_entry *e = &router->entries[i];
        unsigned score = match(e, path, n);

        if (score == 0)
            continue;
        any = e;
        if (score > best_score &&
            strcmp(e->route->method, head ? "GET" : method) == 0) {
            best = e;
            best_score = score;
        }
    }
    *found = best != NULL;
    if (best == NULL && any != NULL)
        list_methods(router, path, n, allow, allow_cap);
    return best != NULL ? best : any;
}

void ak_router_count(struct ak_route_entry *entry, bool head, unsigned status,
                     uint64_t ns)
{
    unsigned code = 0;

    while (code < AK_N_CODES - 1 && ak_http_codes[code] != status)
        code++;
    atomic_fetch_add_explicit(&entry->counts[head][code], 1,
                              memory_order_relaxed);
    ak_histogram_observe_ns(&entry->seconds, ns);
}

static const char *pattern_of(const struct ak_route_entry *e)
{
    return e->route != NULL ? e->route->pattern : "_other";
}

static const char *method_of(const struct ak_route_entry *e, bool head)
{
    return head ? "HEAD" : e->route != NULL ? e->route->method : "_other";
}

void ak_router_write_metrics(const struct ak_router *router, struct ak_text *t)
{
    char labels[256];

    ak_metric_write_head(t, "http_requests_total", "counter",
                         "Requests answered.");
    for (size_t i = 0; i <= router->n; i++) {
        const struct ak_route_entry *e = &router->entries[i];

        for (unsigned h = 0; h < 2; h++) {
            for (unsigned c = 0; c < AK_N_CODES; c++) {
                uint64_t n = atomic_load_explicit(&e->counts[h][c],
                                                  memory_order_relaxed);

                /* Every route has a series from the start. */
                if (n == 0 && !(c == 0 && h == 0))
                    continue;
                ak_text_addf(t,
                             "akind_http_requests_total{route=\"%s\","
                             "method=\"%s\",code=\"",
                             pattern_of(e), method_of(e, h));
                if (c < AK_N_CODES - 1)
                    ak_text_addf(t, "%u", ak_http_codes[c]);
                else
                    ak_text_addf(t, "other");
                ak_text_addf(t, "\"} %llu\n", (unsigned long long)n);
            }
        }
    }
    ak_metric_write_head(t, "http_request_duration_seconds", "histogram",
                         "From the headers to the answer.");
    for (size_t i = 0; i <= router->n; i++) {
        const struct ak_route_entry *e = &router->entries[i];

        snprintf(labels, sizeof(labels), "route=\"%s\",method=\"%s\"",
                 pattern_of(e), method_of(e, false));
        ak_histogram_write(&e->seconds, "http_request_duration_seconds", labels,
                           t);
    }
}
