/*
 * The scan: every row that passes is compared, stretch after stretch, with all
 * queries while the stretch is in the cache.
 *
 * Of a segment with tombstones or a filter, the passing rows are found first,
 * once for all queries.  The kernel then names the rows that are nearer than the
 * k-th hit so far; they are few once the first thousand rows are through, and
 * only they are looked at one by one.  The bound is that of the call's
 * beginning, so calls are short at first, when it falls fast, and double from
 * there.
 */
#include "core/code/search_internal.h"

#include <string.h>

#include "core/base/clock.h"

/* Groups without a passing row that are scanned along rather than skipped: a
   call of the kernel costs about as much. */
#define GAP 16

/* Segments in a stretch. */
#define MAX_STRETCH 4

/* With so many queries left, four at once are faster than one by one. */
#define MANY 3

/* Groups first..end of a stretch. */
struct run {
    size_t first, end;
};

/* Rows that lie one behind the other in memory. */
struct stretch {
    uint64_t base;
    const uint64_t *codes;
    const uint64_t *pass; /* NULL: every row passes */
};

/* A segment that is not scanned whole. */
struct partial {
    uint64_t pass[AK_SEGMENT_WORDS];
    size_t n_pass;
    struct run runs[AK_SEGMENT_GROUPS / (GAP + 1) + 1];
    size_t n_runs;
    size_t n_last;   /* rows behind the last full group */
    size_t position; /* of the first of them */
    _Alignas(64) uint64_t last[AK_HAMMING_GROUP * AK_CODE_MAX_WORDS];
};

bool ak_scan_in_time(struct ak_scan *scan)
{
    if (scan->search->deadline_ns != 0 &&
        ak_clock_ns() >= scan->search->deadline_ns)
        scan->complete = false;
    return scan->complete;
}

/* ------------------------------------------------------------ the first bound */

/* Groups for each hit wanted: a row in the histogram costs a thirtieth of a hit
   that falls out again. */
#define PRIME_GROUPS 4
#define PRIME_MAX    512

void ak_scan_prime(const struct ak_scan *scan, struct ak_query *q,
                   const uint64_t *codes, size_t n_groups)
{
    uint16_t d[PRIME_MAX * AK_HAMMING_GROUP];
    uint16_t counts[2][AK_CODE_MAX_BITS + 1];
    uint32_t bits = scan->s->bits, at = 0;
    size_t n = PRIME_GROUPS * q->top.k, seen = 0;

    if (q->top.k > PRIME_MAX * AK_HAMMING_GROUP / 2)
        return;
    if (n > PRIME_MAX)
        n = PRIME_MAX;
    if (n > n_groups)
        n = n_groups;
    if (n * AK_HAMMING_GROUP < q->top.k || scan->search->paging)
        return;
    scan->kernel->distances(q->words, codes, n, scan->s->words, d);
    /* Two, as one that was just written is not yet there to be read. */
    memset(counts[0], 0, (bits + 1) * sizeof(counts[0][0]));
    memset(counts[1], 0, (bits + 1) * sizeof(counts[0][0]));
    for (size_t i = 0; i < n * AK_HAMMING_GROUP; i += 2) {
        counts[0][d[i]]++;
        counts[1][d[i + 1]]++;
    }
    while (seen < q->top.k) {
        seen += (size_t)counts[0][at] + counts[1][at];
        at++;
    }
    ak_topk_lower(&q->top, at);
}

/* ------------------------------------------------------------ one stretch */

/* Hits of a call whose first code is that of row `first` of the stretch. */
static void take_hits(struct ak_scan *scan, struct ak_query *q,
                      const struct stretch *at, size_t first,
                      const struct ak_near *near, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t distance = near[i].distance;
        size_t row = first + near[i].position;

        if (at->pass != NULL && (at->pass[row / 64] >> (row % 64) & 1) == 0)
            continue;
        if (ak_scan_before_page(scan, at->base + row, distance))
            continue;
        if (distance < ak_topk_bound(&q->top))
            ak_topk_push(&q->top, at->base + row, distance);
    }
}

static void scan_one(struct ak_scan *scan, struct ak_query *q,
                     const struct stretch *at, const uint64_t *codes,
                     size_t n_groups, size_t first)
{
    size_t n =
        scan->kernel->near_stream(q->words, codes, n_groups, scan->s->words,
                                  ak_topk_bound(&q->top), scan->near[0]);

    take_hits(scan, q, at, first, scan->near[0], n);
}

static void scan_four(struct ak_scan *scan, struct ak_query *const *queries,
                      size_t n, const struct stretch *at, const uint64_t *codes,
                      size_t n_groups, size_t first)
{
    struct ak_near_query four[AK_HAMMING_QUERIES];

    for (size_t i = 0; i < AK_HAMMING_QUERIES; i++) {
        const struct ak_query *q = queries[i < n ? i : 0];

        four[i] =
            (struct ak_near_query){.words = q->words,
                                   .bound = i < n ? ak_topk_bound(&q->top) : 0,
                                   .out = scan->near[i]};
    }
    scan->kernel->near_all(four, codes, n_groups, scan->s->words);
    for (size_t i = 0; i < n; i++)
        take_hits(scan, queries[i], at, first, four[i].out, four[i].n);
}

/* Groups of a stretch that begin with row `first`, for a few queries. */
static void scan_groups(struct ak_scan *scan, struct ak_query *const *queries,
                        size_t n, const struct stretch *at,
                        const uint64_t *codes, size_t n_groups, size_t first)
{
    if (n >= MANY)
        scan_four(scan, queries, n, at, codes, n_groups, first);
    else
        for (size_t i = 0; i < n; i++)
            scan_one(scan, queries[i], at, codes, n_groups, first);
}

/* No hit has come, nor a bound from elsewhere. */
static bool is_new(const struct ak_query *q)
{
    return q->top.kth == q->top.limit && q->top.used == 0 && !q->in_order;
}

static void scan_runs(struct ak_scan *scan, struct ak_query *const *queries,
                      size_t n, const struct stretch *at,
                      const struct run *runs, size_t n_runs)
{
    size_t words = scan->s->words, block = scan->block, next = block;

    if (at->pass == NULL && is_new(queries[0])) {
        for (size_t i = 0; i < n; i++)
            ak_scan_prime(scan, queries[i], at->codes, runs[0].end);
        block = scan->max_groups < PRIME_MAX ? scan->max_groups : PRIME_MAX;
    }
    for (size_t from = 0; from < n; from += AK_HAMMING_QUERIES) {
        size_t some =
            n - from < AK_HAMMING_QUERIES ? n - from : AK_HAMMING_QUERIES;

        next = block;
        for (size_t r = 0; r < n_runs; r++) {
            size_t group = runs[r].first;

            while (group < runs[r].end) {
                size_t left = runs[r].end - group;
                size_t first = group * AK_HAMMING_GROUP;

                if (left > next)
                    left = next;
                scan_groups(scan, queries + from, some, at,
                            at->codes + first * words, left, first);
                group += left;
                next =
                    2 * next < scan->max_groups ? 2 * next : scan->max_groups;
            }
        }
    }
    scan->block = next;
}

/* --------------------------------------------------------- partial segments */

static unsigned group_pass(const struct partial *p, size_t group)
{
    return (unsigned)(p->pass[group / 8] >> (group % 8 * 8)) & 0xffu;
}

static void find_runs(struct partial *p, size_t n_groups)
{
    size_t end = 0;

    p->n_runs = 0;
    for (size_t w = 0; w * 8 < n_groups; w++) {
        /* One bit a group that has a row: the lowest of its eight. */
        uint64_t left = p->pass[w] | p->pass[w] >> 4;

        left |= left >> 2;
        left = (left | left >> 1) & 0x0101010101010101u;
        for (; left != 0; left &= left - 1) {
            size_t g = w * 8 + (size_t)__builtin_ctzll(left) / 8;

            if (g >= n_groups)
                break;
            if (p->n_runs == 0 || g > end + GAP)
                p->runs[p->n_runs++].first = g;
            end = g + 1;
            p->runs[p->n_runs - 1].end = end;
        }
    }
}

/* Which of the rows from..to of segment `i` pass, and where they are. */
static void find_rows(const struct ak_scan *scan, size_t i, size_t from,
                      size_t to, struct partial *p)
{
    size_t n_groups = to / AK_HAMMING_GROUP;
    const uint64_t *codes = scan->s->codes[i];

    ak_filter_whole(scan->s, scan->filter, i, p->pass);
    memset(p->pass, 0, from / 64 * sizeof(p->pass[0]));
    if (to < AK_SEGMENT_ROWS) {
        p->pass[to / 64] &= ((uint64_t)1 << to % 64) - 1;
        for (size_t w = to / 64 + 1; w < AK_SEGMENT_WORDS; w++)
            p->pass[w] = 0;
    }
    p->n_pass = 0;
    for (size_t w = from / 64; w * 64 < to; w++)
        p->n_pass += (size_t)__builtin_popcountll(p->pass[w]);
    find_runs(p, n_groups);
    p->n_last = to % AK_HAMMING_GROUP;
    p->position = n_groups * AK_HAMMING_GROUP;
    if (p->n_last == 0)
        return;
    if (group_pass(p, n_groups) == 0) {
        p->n_last = 0;
        return;
    }
    /* Other lanes of this group may be written at this moment; here they are
       compared as well, and do not pass. */
    memset(p->last, 0, AK_HAMMING_GROUP * scan->s->words * sizeof(p->last[0]));
    for (size_t row = 0; row < p->n_last; row++) {
        uint64_t words[AK_CODE_MAX_WORDS];

        ak_hamming_get(codes, p->position + row, scan->s->words, words);
        ak_hamming_put(p->last, row, scan->s->words, words);
    }
}

static uint64_t scan_partial(struct ak_scan *scan,
                             struct ak_query *const *queries, size_t n,
                             size_t i, size_t from, size_t to)
{
    const struct stretch at = {(uint64_t)i * AK_SEGMENT_ROWS, scan->s->codes[i],
                               NULL};
    struct stretch some = at;
    struct partial p;

    find_rows(scan, i, from, to, &p);
    if (p.n_pass == 0)
        return 0;
    some.pass = p.pass;
    scan_runs(scan, queries, n, &some, p.runs, p.n_runs);
    if (p.n_last > 0)
        for (size_t q = 0; q < n; q++)
            scan_one(scan, queries[q], &some, p.last, 1, p.position);
    return p.n_pass;
}

/* ----------------------------------------------------------------- all rows */

/* Whole segments from `i` on, before `end`, that lie one behind the other. */
static size_t whole_segments(const struct ak_scan *scan, size_t i, size_t end)
{
    const struct ak_snapshot *s = scan->s;
    size_t step = AK_SEGMENT_ROWS * s->words, n = 0;

    while (n < MAX_STRETCH && i + n < end && s->codes[i + n] != NULL &&
           !s->has_dead[i + n] && s->codes[i + n] == s->codes[i] + n * step)
        n++;
    return n;
}

void ak_scan_rows(struct ak_scan *scan, struct ak_query *const *queries,
                  size_t n, uint64_t from, uint64_t to, uint64_t *searched)
{
    const struct ak_snapshot *s = scan->s;
    size_t end = ak_segments_of(to), full = (size_t)(to / AK_SEGMENT_ROWS);
    size_t i = (size_t)(from / AK_SEGMENT_ROWS);

    while (i < end && n > 0) {
        uint64_t base = (uint64_t)i * AK_SEGMENT_ROWS;
        size_t n_whole = 0;

        if (scan->filter != NULL) {
            size_t next = ak_filter_segment(s, scan->filter, i);

            if (next != i) {
                i = next;
                continue;
            }
        } else if (base >= from) {
            n_whole = whole_segments(scan, i, full);
        }
        if (!ak_scan_in_time(scan))
            return;
        if (n_whole > 0) {
            const struct stretch at = {base, s->codes[i], NULL};
            const struct run run = {0, n_whole * AK_SEGMENT_GROUPS};

            scan_runs(scan, queries, n, &at, &run, 1);
            *searched += n_whole * AK_SEGMENT_ROWS;
            i += n_whole;
        } else {
            uint64_t rows = to - base;

            *searched += scan_partial(
                scan, queries, n, i, from > base ? (size_t)(from - base) : 0,
                rows < AK_SEGMENT_ROWS ? (size_t)rows : AK_SEGMENT_ROWS);
            i++;
        }
    }
}
