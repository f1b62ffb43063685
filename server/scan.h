/*
 * scan.h -- queries of one or many requests, compared with the codes together.
 *
 * Queries that differ in their codes only, or nearly so, make one search of the
 * index, in which what is loaded serves all of them; a long search is split over
 * the threads of a pool.  Each gets the very hits that it would get alone.
 */
#ifndef AK_SERVER_SCAN_H
#define AK_SERVER_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/code/index.h"
#include "server/pool.h"

/* Hits of all queries of one search of the index; more queries go in several. */
#define AK_SCAN_HITS ((size_t)1 << 18)

/* One query: what is asked, and what came of it. */
struct ak_scan {
    const struct ak_snapshot *snapshot; /* lent */
    const uint8_t *code;                /* (bits / 8) */
    uint32_t bits;                      /* of the snapshot */
    size_t limit;
    uint32_t max_distance;          /* UINT32_MAX: none */
    const struct ak_filter *filter; /* NULL: none */
    bool paging;
    uint32_t after_distance;
    uint64_t after_ordinal;
    uint64_t deadline_ns; /* of ak_clock_ns(); 0: none */

    struct ak_hit *hits; /* (limit) */
    struct ak_search_result result;
};

/*
 * Run all of them; `pool` (NULL: none) may help.  One that goes with others has
 * until its own deadline: what a shorter deadline beside it cut off is searched
 * again.  AK_ENOMEM: results are not to be used.
 */
enum ak_status ak_scan_run(struct ak_scan *const *list, size_t n,
                           struct ak_pool *pool,
                           struct ak_err *err) AK_MUST_CHECK;

/*
 * Nanoseconds that `n` queries without a filter will take on one thread, as far
 * as one can tell from the scans so far.
 */
uint64_t ak_scan_estimate(const struct ak_snapshot *s, uint32_t bits, size_t n);

#endif
