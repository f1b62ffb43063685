/*
 * Exact search in a partition (partition.c): only what the triangle inequality
 * does not exclude is compared.
 *
 * With a query at distance d from a bucket's centre, a code at distance r from
 * the same centre is at least |d - r| away from the query.  Codes of a bucket
 * lie in *shells* by r, so what can be as near as the k-th hit so far is one
 * stretch of shells.  The bucket with the nearest centre is visited first, from
 * the query's own shell outwards, after which the bound is nearly final and most
 * buckets have no shell left.
 *
 * Hits come in no order of ordinals here.  Codes at exactly the k-th distance
 * must be looked at, as one with a lower ordinal takes the place of another; but
 * within a shell ordinals rise, so behind the worst ordinal that is still in the
 * result they need not.
 *
 * Brin, "Near Neighbor Search in Large Metric Spaces", VLDB 1995, has the idea of
 * stored distances to centres.
 */
#include "core/code/search_internal.h"

#include <string.h>

/* Rows of a step outwards in the first bucket: few calls, tight bounds. */
#define STEP_ROWS 512

/* Shells with so many rows are scanned by themselves, for their order. */
#define BIG_SHELL 1024

/* More hits than this in a call are many at the same distance. */
#define MANY_HITS 64

/* Where the rows of bucket `b` at distance `r` from its centre begin. */
static uint32_t shell(const struct ak_partition *p, size_t b, int r)
{
    return p->shells[(int)p->at[b] + r - p->low[b]];
}

static bool passes(const struct ak_scan *scan, uint64_t ordinal)
{
    if (scan->pass != NULL)
        return (scan->pass[ordinal / 64] >> (ordinal % 64) & 1) != 0;
    return !scan->s->has_dead[ordinal / AK_SEGMENT_ROWS] ||
           ak_snapshot_alive(scan->s, ordinal);
}

static void take(struct ak_scan *scan, struct ak_query *q, size_t position,
                 uint32_t distance)
{
    const struct ak_partition *p = scan->s->partition;
    uint64_t ordinal;

    if (distance > q->top.kth)
        return;
    ordinal = p->ordinals[position];
    if (!ak_topk_takes(&q->top, ordinal, distance) ||
        ak_scan_before_page(scan, ordinal, distance) || !passes(scan, ordinal))
        return;
    ak_topk_push(&q->top, ordinal, distance);
}

/* Rows from..to of the partition; `ascending`: their ordinals rise. */
static void visit_rows(struct ak_scan *scan, struct ak_query *q, size_t from,
                       size_t to, bool ascending)
{
    const struct ak_partition *p = scan->s->partition;
    const uint32_t *ordinals = p->ordinals;
    size_t words = p->words;

    while (from < to) {
        size_t first = from / AK_HAMMING_GROUP;
        size_t n_groups = ak_hamming_groups(to) - first;
        uint32_t bound = ak_topk_reach(&q->top);
        size_t n;

        if (n_groups > scan->block)
            n_groups = scan->block;
        if (scan->block < AK_VISIT_GROUPS)
            scan->block *= 2;
        if (ascending && ordinals[from] >= q->top.worst)
            bound = ak_topk_bound(&q->top);
        n = scan->kernel->near(q->words,
                               p->codes + first * AK_HAMMING_GROUP * words,
                               n_groups, words, bound, scan->near[0]);
        /* Ordinals lie apart, and are seldom in the cache. */
        for (size_t i = 0; i < n; i++)
            __builtin_prefetch(ordinals + first * AK_HAMMING_GROUP +
                               scan->near[0][i].position);
        for (size_t i = 0; i < n; i++) {
            size_t position =
                first * AK_HAMMING_GROUP + scan->near[0][i].position;

            /* A group at the edge has rows of the neighbours. */
            if (position >= from && position < to)
                take(scan, q, position, scan->near[0][i].distance);
        }
        if (ascending && n > MANY_HITS)
            ak_topk_tighten(&q->top);
        scan->compared += n_groups * AK_HAMMING_GROUP;
        from = (first + n_groups) * AK_HAMMING_GROUP;
    }
}

/* Shells low..high of bucket `b`. */
static void visit_shells(struct ak_scan *scan, struct ak_query *q, size_t b,
                         int low, int high)
{
    const struct ak_partition *p = scan->s->partition;
    uint32_t from = shell(p, b, low);

    for (int r = low; r <= high; r++) {
        uint32_t begin = shell(p, b, r), end = shell(p, b, r + 1);

        if (end - begin < BIG_SHELL)
            continue;
        visit_rows(scan, q, from, begin, false);
        visit_rows(scan, q, begin, end, true);
        from = end;
    }
    visit_rows(scan, q, from, shell(p, b, high + 1), false);
}

/* The largest distance that may still come in. */
static int most_of(const struct ak_query *q)
{
    return (int)ak_topk_reach(&q->top) - 1;
}

/* The shells of bucket `b`, whose centre is `d` from the query, that can hold a
   hit; false: none. */
static bool find_shells(const struct ak_partition *p, size_t b, int d, int most,
                        int *low, int *high)
{
    *low = d - most > p->low[b] ? d - most : p->low[b];
    *high = d + most < p->high[b] ? d + most : p->high[b];
    return *low <= *high;
}

/* All of a bucket, from the query's own shell outwards. */
static void visit_outwards(struct ak_scan *scan, struct ak_query *q, size_t b,
                           int d)
{
    const struct ak_partition *p = scan->s->partition;
    int low, high, below, above;

    if (!find_shells(p, b, d, most_of(q), &low, &high))
        return;
    if (scan->pass == NULL && !scan->some_died) {
        /* The bits in which a code differs from the centre are mostly not those
           in which the query does: the nearest are near the centre. */
        uint32_t from = shell(p, b, low);
        size_t group = from / AK_HAMMING_GROUP;

        ak_scan_prime(scan, q, p->codes + group * AK_HAMMING_GROUP * p->words,
                      p->rows / AK_HAMMING_GROUP - group);
        find_shells(p, b, d, most_of(q), &low, &high);
    }
    /* Shells below..above - 1 are done. */
    below = above = d < low ? low : d > high ? high + 1 : d;
    while (low < below || above <= high) {
        int edge = below, end = above;

        /* Until there is enough for a call, or all. */
        while ((low < edge || end <= high) &&
               shell(p, b, end) - shell(p, b, above) + shell(p, b, below) -
                       shell(p, b, edge) <
                   STEP_ROWS) {
            end += end <= high;
            edge -= edge > low;
        }
        if (end > above)
            visit_shells(scan, q, b, above, end - 1);
        if (edge < below)
            visit_shells(scan, q, b, edge, below - 1);
        below = edge;
        above = end;
        if (!find_shells(p, b, d, most_of(q), &low, &high))
            return;
    }
}

/* In place of the distance of a bucket that is done with. */
#define VISITED INT16_MAX

/* Eight numbers, which compilers turn into one register on every machine. */
typedef int16_t eight __attribute__((vector_size(16)));

static eight load_eight(const int16_t *at)
{
    eight v;

    memcpy(&v, at, sizeof(v));
    return v;
}

/* d (n_buckets, up to a multiple of 8) from the query to the centres; returns
   the nearest, the first of several. */
static size_t centre_distances(const struct ak_scan *scan,
                               const struct ak_query *q, int16_t *d)
{
    const struct ak_partition *p = scan->s->partition;
    eight best = {0}, index = {0}, at = {0, 1, 2, 3, 4, 5, 6, 7};
    size_t nearest = 0;

    scan->kernel->distances(q->words, p->centres,
                            ak_hamming_groups(p->n_buckets), p->words,
                            (uint16_t *)d);
    for (size_t b = p->n_buckets; b % 8 != 0; b++)
        d[b] = VISITED;
    best += VISITED;
    for (size_t b = 0; b < p->n_buckets; b += 8, at += 8) {
        eight new = load_eight(d + b), less = new < best;

        best = (new &less) | (best & ~less);
        index = (at & less) | (index & ~less);
    }
    for (size_t i = 1; i < 8; i++)
        if (best[i] < best[nearest] ||
            (best[i] == best[nearest] && index[i] < index[nearest]))
            nearest = i;
    return (size_t)index[nearest];
}

void ak_visit_nearest(const struct ak_scan *scan, struct ak_query *q)
{
    int16_t d[AK_PARTITION_MAX_BUCKETS];

    q->bucket = (uint16_t)centre_distances(scan, q, d);
}

/* Buckets by distance, nearest first, as lists of those at each distance. */
struct order {
    uint16_t first[AK_CODE_MAX_BITS + 1], next[AK_PARTITION_MAX_BUCKETS];
    int most;    /* distance at which there is one */
    size_t rows; /* that must be compared */
};
#define NO_BUCKET UINT16_MAX

static void find_order(const struct ak_scan *scan, const struct ak_query *q,
                       const int16_t *d, struct order *order)
{
    const struct ak_partition *p = scan->s->partition;
    int most = most_of(q);
    eight reach = {0};

    reach += (int16_t)most;
    order->most = -1;
    order->rows = 0;
    memset(order->first, 0xff, (p->bits + 1) * sizeof(order->first[0]));
    for (size_t from = 0; from < p->n_buckets; from += 8) {
        eight mine = load_eight(d + from);
        eight inside = (load_eight(p->low + from) - mine <= reach) &
                       (mine - load_eight(p->high + from) <= reach);
        uint64_t any[2];

        memcpy(any, &inside, sizeof(any));
        if ((any[0] | any[1]) == 0)
            continue;
        for (size_t b = from; b < from + 8; b++) {
            int low, high;

            if (inside[b - from] == 0 ||
                !find_shells(p, b, d[b], most, &low, &high))
                continue;
            order->rows += shell(p, b, high + 1) - shell(p, b, low);
            order->next[b] = order->first[d[b]];
            order->first[d[b]] = (uint16_t)b;
            if (d[b] > order->most)
                order->most = d[b];
        }
    }
}

/* Until time is up or, with `fill`, until there are as many hits as wanted. */
static void visit_order(struct ak_scan *scan, struct ak_query *q, int16_t *d,
                        const struct order *order, bool fill)
{
    const struct ak_partition *p = scan->s->partition;

    for (int at = 0; at <= order->most; at++) {
        for (uint16_t b = order->first[at]; b != NO_BUCKET;
             b = order->next[b]) {
            int low, high;

            if (fill && q->top.kth < q->top.limit)
                return;
            d[b] = VISITED;
            if (!find_shells(p, b, at, most_of(q), &low, &high))
                continue;
            if (!ak_scan_in_time(scan))
                return;
            visit_shells(scan, q, b, low, high);
        }
    }
}

void ak_visit_partition(struct ak_scan *scan, struct ak_query *q)
{
    const struct ak_partition *p = scan->s->partition;
    size_t worth = p->forced ? p->rows : p->rows / AK_PARTITION_WORTH;
    int16_t d[AK_PARTITION_MAX_BUCKETS];
    struct order order;
    size_t first;

    first = centre_distances(scan, q, d);
    scan->block = ak_scan_first_block(scan, q->top.k);
    visit_outwards(scan, q, first, d[first]);
    d[first] = VISITED;
    find_order(scan, q, d, &order);
    if (order.rows > worth && q->top.kth == q->top.limit &&
        q->top.k < p->rows / 8) {
        visit_order(scan, q, d, &order, true);
        find_order(scan, q, d, &order);
    }
    if (order.rows > worth) {
        q->in_order = true;
        return;
    }
    visit_order(scan, q, d, &order, false);
}
