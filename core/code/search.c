/*
 * Exact search: every row that passes is compared, segment after segment, with
 * all queries while the segment is in the cache.
 *
 * For each segment the passing rows are found first, once for all queries.  The
 * kernel then names the rows that are nearer than the k-th hit so far; they are
 * few once the first thousand rows are through, and only they are looked at one
 * by one.  The bound is that of the block's beginning, so blocks are short at
 * first, when it falls fast, and double from there.
 */
#include "core/code/index_internal.h"

#include <assert.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/code/topk.h"

#define FIRST_BLOCK 8 /* groups */

/* Groups without a passing row that are scanned along rather than skipped: a
   call of the kernel costs about as much. */
#define GAP 16

/* Queries are scanned together as long as their scratch stays below this. */
#define SCRATCH_LEN ((size_t)16 << 20)

struct query {
    uint64_t words[AK_CODE_MAX_WORDS];
    struct ak_topk top;
    size_t block; /* groups in the next call of the kernel */
};

/* Groups first..end of a segment, of which none is behind the rows' end. */
struct run {
    size_t first, end;
};

struct scan {
    const struct ak_snapshot *s;
    const struct ak_search *search;
    const struct ak_filter *filter;
    const struct ak_hamming_kernel *kernel;
    struct ak_near *near; /* (AK_SEGMENT_ROWS) */

    /* Of the segment being scanned: */
    uint64_t base;
    const uint64_t *codes;
    uint64_t pass[AK_SEGMENT_WORDS];
    bool all; /* every row passes, `pass` is not set */
    size_t n_pass;
    struct run runs[AK_SEGMENT_GROUPS / (GAP + 1) + 1];
    size_t n_runs;
    size_t n_last;   /* rows behind the last full group */
    size_t position; /* of the first of them */
    _Alignas(64) uint64_t last[AK_HAMMING_GROUP * AK_CODE_MAX_WORDS];
};

static unsigned group_pass(const struct scan *scan, size_t group)
{
    return (unsigned)(scan->pass[group / 8] >> (group % 8 * 8)) & 0xffu;
}

static void find_runs(struct scan *scan, size_t n_groups)
{
    size_t end = 0;

    scan->n_runs = 0;
    for (size_t g = 0; g < n_groups; g++) {
        if (group_pass(scan, g) == 0)
            continue;
        if (scan->n_runs == 0 || g > end + GAP)
            scan->runs[scan->n_runs++].first = g;
        end = g + 1;
        scan->runs[scan->n_runs - 1].end = end;
    }
}

/* Which rows of the segment pass, and where they are. */
static void enter_segment(struct scan *scan, size_t i)
{
    const struct ak_segment *segment = scan->s->segments[i];
    size_t rows = ak_snapshot_segment_rows(scan->s, i);
    size_t n_groups = rows / AK_HAMMING_GROUP;

    scan->base = (uint64_t)i * AK_SEGMENT_ROWS;
    scan->codes = segment->codes->words;
    scan->n_last = rows % AK_HAMMING_GROUP;
    scan->position = n_groups * AK_HAMMING_GROUP;
    scan->all = scan->filter == NULL && segment->dead == NULL &&
                rows == AK_SEGMENT_ROWS;
    if (scan->all) {
        scan->n_pass = rows;
        scan->runs[0] = (struct run){0, n_groups};
        scan->n_runs = 1;
        return;
    }
    ak_filter_rows(scan->s, scan->filter, true, i, 0, AK_SEGMENT_WORDS,
                   scan->pass);
    scan->n_pass = 0;
    for (size_t w = 0; w < AK_SEGMENT_WORDS; w++)
        scan->n_pass += (size_t)__builtin_popcountll(scan->pass[w]);
    find_runs(scan, n_groups);
    if (scan->n_last > 0 && group_pass(scan, n_groups) == 0)
        scan->n_last = 0;
    /* Other lanes of this group may be written at this moment. */
    for (size_t row = 0; row < scan->n_last; row++) {
        uint64_t words[AK_CODE_MAX_WORDS];

        ak_hamming_get(scan->codes, scan->position + row, scan->s->words,
                       words);
        ak_hamming_put(scan->last, row, scan->s->words, words);
    }
}

static bool is_before_page(const struct ak_search *search, uint64_t ordinal,
                           uint32_t distance)
{
    if (!search->paging)
        return false;
    if (distance != search->after_distance)
        return distance < search->after_distance;
    return ordinal <= search->after_ordinal;
}

/* `codes` begin with the row at `position` of the segment. */
static void scan_block(struct scan *scan, struct query *q,
                       const uint64_t *codes, size_t n_groups, size_t position)
{
    size_t n = scan->kernel->near(q->words, codes, n_groups, scan->s->words,
                                  ak_topk_bound(&q->top), scan->near);

    for (size_t i = 0; i < n; i++) {
        uint32_t distance = scan->near[i].distance;
        size_t row = position + scan->near[i].position;

        if (!scan->all && (scan->pass[row / 64] >> (row % 64) & 1) == 0)
            continue;
        if (is_before_page(scan->search, scan->base + row, distance))
            continue;
        if (distance < ak_topk_bound(&q->top))
            ak_topk_push(&q->top, scan->base + row, distance);
    }
}

static void scan_segment(struct scan *scan, struct query *q)
{
    for (size_t r = 0; r < scan->n_runs; r++) {
        size_t group = scan->runs[r].first;

        while (group < scan->runs[r].end) {
            size_t n = scan->runs[r].end - group;
            size_t position = group * AK_HAMMING_GROUP;

            if (n > q->block)
                n = q->block;
            scan_block(scan, q, scan->codes + position * scan->s->words, n,
                       position);
            group += n;
            if (q->block < AK_SEGMENT_GROUPS)
                q->block *= 2;
        }
    }
    if (scan->n_last > 0)
        scan_block(scan, q, scan->last, 1, scan->position);
}

/* Queries first..first + n of the search, whose scratch is at `queries`. */
static void scan_queries(struct scan *scan, struct query *queries, size_t n,
                         struct ak_search_result *result)
{
    size_t i = 0;

    *result = (struct ak_search_result){.complete = true};
    for (;; i++) {
        if (scan->filter != NULL)
            i = ak_filter_segment(scan->s, scan->filter, i);
        if (i >= scan->s->n_segments)
            break;
        if (scan->search->deadline_ns != 0 &&
            ak_clock_ns() >= scan->search->deadline_ns) {
            result->complete = false;
            break;
        }
        enter_segment(scan, i);
        for (size_t j = 0; j < n && scan->n_pass > 0; j++)
            scan_segment(scan, &queries[j]);
        result->searched += scan->n_pass;
    }
}

/* Scratch of one scan: near, queries, counts and buffers, in this order. */
struct layout {
    size_t n, k;
    size_t len;
};

static struct layout plan(const struct ak_snapshot *s,
                          const struct ak_search *search)
{
    struct layout layout = {.k = search->limit};
    size_t one;

    if (layout.k > s->live)
        layout.k = s->live;
    one = sizeof(struct query) + AK_TOPK_COUNTS * sizeof(uint32_t) +
          2 * layout.k * sizeof(uint64_t);
    layout.n = SCRATCH_LEN / one;
    if (layout.n == 0)
        layout.n = 1;
    if (layout.n > search->n)
        layout.n = search->n;
    layout.len = sizeof(struct scan) +
                 AK_SEGMENT_ROWS * sizeof(struct ak_near) + layout.n * one;
    return layout;
}

enum ak_status ak_snapshot_search(const struct ak_snapshot *s,
                                  const struct ak_search *search,
                                  struct ak_hit *hits,
                                  struct ak_search_result *results,
                                  struct ak_err *err)
{
    struct layout layout = plan(s, search);
    uint32_t bound =
        (search->max_distance < s->bits ? search->max_distance : s->bits) + 1;
    struct ak_filter *filter = NULL;
    struct scan *scan = NULL;
    enum ak_status status = AK_OK;
    struct query *queries;
    uint64_t *buffers;
    uint32_t *counts;

    assert(search->n > 0 && search->limit > 0);
    if (layout.k == 0) {
        for (size_t i = 0; i < search->n; i++)
            results[i] = (struct ak_search_result){.complete = true};
        return AK_OK;
    }
    scan = ak_array_new(1, layout.len);
    if (search->filter != NULL)
        filter = ak_filter_sorted(search->filter);
    if (scan == NULL || (search->filter != NULL && filter == NULL)) {
        status = ak_fail(err, AK_ENOMEM, "no memory to search %zu queries",
                         layout.n);
        goto out;
    }
    scan->s = s;
    scan->search = search;
    scan->filter = filter;
    scan->kernel = ak_hamming_kernel();
    scan->near = (struct ak_near *)(scan + 1);
    queries = (struct query *)(scan->near + AK_SEGMENT_ROWS);
    buffers = (uint64_t *)(queries + layout.n);
    counts = (uint32_t *)(buffers + 2 * layout.k * layout.n);

    for (size_t from = 0; from < search->n; from += layout.n) {
        size_t left = search->n - from;
        size_t n = left < layout.n ? left : layout.n;
        struct ak_search_result result;

        for (size_t i = 0; i < n; i++) {
            ak_code_load(search->codes + (from + i) * ak_code_bytes(s->bits),
                         s->bits, queries[i].words);
            ak_topk_init(&queries[i].top, layout.k, bound,
                         counts + i * AK_TOPK_COUNTS,
                         buffers + 2 * layout.k * i);
            queries[i].block = FIRST_BLOCK;
        }
        scan_queries(scan, queries, n, &result);
        for (size_t i = 0; i < n; i++) {
            results[from + i] = result;
            results[from + i].n_hits = ak_topk_finish(
                &queries[i].top, hits + (from + i) * search->limit);
        }
    }

out:
    ak_array_free(filter);
    ak_array_free(scan);
    return status;
}
