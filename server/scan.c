#include "server/scan.h"

#include <stdatomic.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/code/partition.h"

/* A deadline that is so far away does not separate queries. */
#define PATIENT_NS UINT64_C(1000000000)

#define MAX_QUERIES 1024 /* of one search of the index */

/* A shorter scan says little about the next one's speed. */
#define TELLING_WORDS 1000

#define STEP       32     /* of a speed, a part of it */
#define MOST_SPEED 100000 /* picoseconds */

/* Picoseconds a word of a code, of single queries; the first is a guess for
   AVX2, and what the scans took moves it. */
enum path { IN_ORDER, BY_PARTITION, N_PATHS };
static atomic_uint_fast64_t speed[N_PATHS] = {150, 500};

/* ---------------------------------------------------------------- estimates */

static double words_of(const struct ak_snapshot *s, uint32_t bits,
                       enum path *path)
{
    double words = (double)ak_snapshot_rows(s) * (double)ak_code_words(bits);
    struct ak_partition_info info;

    ak_snapshot_partition_info(s, &info);
    *path = info.rows > 0 ? BY_PARTITION : IN_ORDER;
    return info.rows > 0 ? words * info.share : words;
}

uint64_t ak_scan_estimate(const struct ak_snapshot *s, uint32_t bits, size_t n)
{
    enum path path;
    double words = words_of(s, bits, &path);

    return (uint64_t)(words * (double)n * (double)atomic_load(&speed[path]) /
                      1e3);
}

/*
 * Of one query, on one thread, without a filter.  What is kept follows the
 * median, by a small step up or down: a mean would follow the few scans in which
 * the kernel gave the processor to others.
 */
static void note_speed(const struct ak_snapshot *s, uint32_t bits, uint64_t ns)
{
    enum path path;
    double words = words_of(s, bits, &path);
    uint64_t old = atomic_load(&speed[path]), step = old / STEP + 1;

    if (words < TELLING_WORDS)
        return;
    if ((double)ns * 1e3 / words > (double)old)
        old = old < MOST_SPEED ? old + step : old;
    else
        old = old > step ? old - step : 1;
    atomic_store(&speed[path], old);
}

/* ------------------------------------------------------- what goes together */

/* Numbers of hits in one class differ by less than four times: to look for as
   many as the largest costs the others little. */
static unsigned limit_class(size_t limit)
{
    unsigned class = 0;

    for (; limit > 0; limit /= 4)
        class ++;
    return class;
}

static bool is_patient(const struct ak_scan *a, uint64_t now)
{
    return a->deadline_ns == 0 || a->deadline_ns >= now + PATIENT_NS;
}

static bool go_together(const struct ak_scan *a, const struct ak_scan *b,
                        uint64_t now)
{
    return a->snapshot == b->snapshot && !a->paging && !b->paging &&
           a->max_distance == b->max_distance && a->filter == b->filter &&
           limit_class(a->limit) == limit_class(b->limit) &&
           (a->deadline_ns == b->deadline_ns ||
            (is_patient(a, now) && is_patient(b, now)));
}

/* ------------------------------------------------------------------- a group */

struct group {
    struct ak_scan **list;
    size_t n, limit; /* the largest of theirs */
    struct ak_pool *pool;
    uint64_t deadline_ns; /* the first of theirs */
    uint8_t *codes;       /* (n, bits / 8) */
    struct ak_hit *hits;  /* (n, limit) */
    struct ak_search_result *results;
};

static void run_part(void *job, size_t part)
{
    ak_search_job_run(job, part);
}

static enum ak_status search(struct group *g, struct ak_err *err)
{
    const struct ak_scan *first = g->list[0];
    const struct ak_search search = {
        .codes = g->codes,
        .n = g->n,
        .limit = g->limit,
        .max_distance = first->max_distance,
        .filter = first->filter,
        .paging = first->paging,
        .after_distance = first->after_distance,
        .after_ordinal = first->after_ordinal,
        .deadline_ns = g->deadline_ns,
    };
    size_t parts = g->pool == NULL ? 1
                                   : ak_search_parts(first->snapshot, &search,
                                                     ak_pool_threads(g->pool));
    uint64_t start = ak_clock_ns();
    struct ak_search_job *job = NULL;
    enum ak_status status =
        ak_search_job_create(first->snapshot, &search, parts, &job, err);

    if (status != AK_OK)
        return status;
    if (parts > 1)
        ak_pool_share(g->pool, parts, run_part, job);
    else
        ak_search_job_run(job, 0);
    ak_search_job_finish(job, g->hits, g->results);
    ak_search_job_destroy(job);
    if (parts == 1 && g->n == 1 && first->filter == NULL &&
        g->results[0].complete)
        note_speed(first->snapshot, first->bits, ak_clock_ns() - start);
    return AK_OK;
}

static void give(struct ak_scan *scan, const struct ak_hit *hits,
                 const struct ak_search_result *result)
{
    scan->result = *result;
    /* The nearest of more are the nearest. */
    if (scan->result.n_hits > scan->limit)
        scan->result.n_hits = scan->limit;
    memcpy(scan->hits, hits, scan->result.n_hits * sizeof(*hits));
}

/* One search for all of the group; then those are left in its list, `n` of
   them, that have more time than that had. */
static enum ak_status run_once(struct group *g, struct ak_err *err)
{
    size_t len = ak_code_bytes(g->list[0]->bits), left = 0;
    enum ak_status status;
    uint64_t now;

    g->deadline_ns = g->list[0]->deadline_ns;
    for (size_t i = 0; i < g->n; i++) {
        uint64_t deadline = g->list[i]->deadline_ns;

        memcpy(g->codes + i * len, g->list[i]->code, len);
        if (deadline != 0 && (g->deadline_ns == 0 || deadline < g->deadline_ns))
            g->deadline_ns = deadline;
    }
    status = search(g, err);
    if (status != AK_OK)
        return status;
    now = ak_clock_ns();
    for (size_t i = 0; i < g->n; i++) {
        struct ak_scan *scan = g->list[i];
        bool again = !g->results[i].complete &&
                     scan->deadline_ns != g->deadline_ns &&
                     (scan->deadline_ns == 0 || scan->deadline_ns > now);

        give(scan, g->hits + i * g->limit, &g->results[i]);
        if (again)
            g->list[left++] = scan;
    }
    g->n = left;
    return AK_OK;
}

static enum ak_status run_group(struct group *g, struct ak_err *err)
{
    enum ak_status status = AK_OK;

    for (size_t i = 0; i < g->n; i++)
        if (g->list[i]->limit > g->limit)
            g->limit = g->list[i]->limit;
    g->codes = ak_array_new(g->n, ak_code_bytes(g->list[0]->bits));
    g->hits = ak_array_new(g->n, g->limit * sizeof(*g->hits));
    g->results = ak_array_new(g->n, sizeof(*g->results));
    if (g->codes == NULL || g->hits == NULL || g->results == NULL)
        status = ak_fail(err, AK_ENOMEM, "no memory for %zu queries", g->n);
    while (status == AK_OK && g->n > 0)
        status = run_once(g, err);
    ak_array_free(g->results);
    ak_array_free(g->hits);
    ak_array_free(g->codes);
    return status;
}

/* The first of the list and what goes with it, to `group`; the rest moves up.
   Returns how many are left. */
static size_t split(struct ak_scan **list, size_t n, uint64_t now,
                    struct ak_scan **group, size_t *n_group)
{
    const struct ak_scan *first = list[0];
    size_t left = 0, taken = 0, most = AK_SCAN_HITS / first->limit / 4;

    most = most < 1 ? 1 : most > MAX_QUERIES ? MAX_QUERIES : most;
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || (taken < most && go_together(first, list[i], now)))
            group[taken++] = list[i];
        else
            list[left++] = list[i];
    }
    *n_group = taken;
    return left;
}

/* Without copies: what a single query needs is where it is. */
static enum ak_status run_alone(struct ak_scan *scan, struct ak_pool *pool,
                                struct ak_err *err)
{
    struct group g = {.list = &scan,
                      .n = 1,
                      .limit = scan->limit,
                      .pool = pool,
                      .deadline_ns = scan->deadline_ns,
                      .codes = (uint8_t *)(uintptr_t)scan->code,
                      .hits = scan->hits,
                      .results = &scan->result};

    return search(&g, err);
}

enum ak_status ak_scan_run(struct ak_scan *const *list, size_t n,
                           struct ak_pool *pool, struct ak_err *err)
{
    enum ak_status status = AK_OK;
    struct ak_scan **waiting, **group;
    uint64_t now;

    if (n == 1)
        return run_alone(list[0], pool, err);
    now = ak_clock_ns();
    waiting = ak_array_new(n, 2 * sizeof(*waiting));
    if (waiting == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for %zu queries", n);
    group = waiting + n;
    memcpy(waiting, list, n * sizeof(*waiting));
    while (n > 0 && status == AK_OK) {
        struct group g = {.list = group, .pool = pool};

        n = split(waiting, n, now, group, &g.n);
        status = g.n == 1 ? run_alone(group[0], pool, err) : run_group(&g, err);
    }
    ak_array_free(waiting);
    return status;
}
