/*
 * search_internal.h -- what the files of a search share; core/code/ only.
 *
 * A search is cut in *parts*, each with scratch of its own, that may run at the
 * same time.  A part takes its queries in chunks, and a chunk goes first through
 * the partition of the frozen rows, if there is one, then through the rows that
 * came since, in order (scan.c).  A query for which the partition saves nothing
 * goes through all rows in order.
 */
#ifndef AK_CORE_CODE_SEARCH_INTERNAL_H
#define AK_CORE_CODE_SEARCH_INTERNAL_H

#include "core/code/index_internal.h"
#include "core/code/topk.h"

struct ak_query {
    uint64_t words[AK_CODE_MAX_WORDS];
    struct ak_topk top;
    uint16_t bucket; /* whose centre is nearest */
    uint32_t limit;  /* of `top`, before it was guessed (alike.c) */
    bool in_order;   /* goes through all rows, with a bound known before */
};

struct ak_scan {
    const struct ak_snapshot *s;
    const struct ak_search *search;
    const struct ak_filter *filter; /* with sorted labels, or NULL */
    const uint64_t *pass; /* of the partition's rows, by ordinal; NULL: alive */
    bool some_died;       /* of the partition's rows, perhaps */
    const struct ak_hamming_kernel *kernel;
    struct ak_near *near[AK_HAMMING_QUERIES]; /* (8 max_groups) each */
    size_t max_groups;                        /* in one call of the kernel */
    size_t block;      /* groups in the next call, which grow to max_groups */
    bool complete;     /* the deadline has not passed */
    uint64_t compared; /* rows of the partition whose distance was taken */
};

/* Whether a hit belongs to a page before the one that is asked for. */
static inline bool ak_scan_before_page(const struct ak_scan *scan,
                                       uint64_t ordinal, uint32_t distance)
{
    const struct ak_search *search = scan->search;

    if (!search->paging)
        return false;
    if (distance != search->after_distance)
        return distance < search->after_distance;
    return ordinal <= search->after_ordinal;
}

/* Says whether to go on; clears `complete` when not. */
bool ak_scan_in_time(struct ak_scan *scan);

/*
 * Before the first hit: lowers the bound to the k-th distance among the first of
 * the `n_groups` groups at `codes`, of which all rows pass, so that few rows are
 * looked at that fall out again.
 */
void ak_scan_prime(const struct ak_scan *scan, struct ak_query *q,
                   const uint64_t *codes, size_t n_groups);

/* Groups in a call, at most, in a partition; and in all rows. */
#define AK_VISIT_GROUPS 512
#define AK_SCAN_GROUPS  2048

/* Groups in the first call, in which the bound falls fast: enough for k hits. */
static inline size_t ak_scan_first_block(const struct ak_scan *scan, size_t k)
{
    size_t n = 2;

    while (n < scan->max_groups && n * AK_HAMMING_GROUP < k)
        n *= 2;
    return n;
}

/*
 * scan.c: the rows from..to in order, for queries whose hits so far all have
 * lower ordinals; `from` is a multiple of 64.  Adds the rows that pass to
 * *searched.
 */
void ak_scan_rows(struct ak_scan *scan, struct ak_query *const *queries,
                  size_t n, uint64_t from, uint64_t to, uint64_t *searched);

/*
 * alike.c: the same for queries without hits so far; changes the order of the
 * list, and sets *searched.  When time runs out, some queries may have fewer hits
 * than others: then *searched is what the hits of all of them cover.
 */
void ak_scan_alike(struct ak_scan *scan, struct ak_query **list, size_t n,
                   uint64_t from, uint64_t to, uint64_t *searched);

/*
 * visit.c: the rows of the snapshot's partition.  Sets q->in_order, and leaves
 * the rest to ak_scan_rows(), if that is likely to be faster.
 */
void ak_visit_partition(struct ak_scan *scan, struct ak_query *q);
/* Sets the nearest bucket, by which queries are put in order. */
void ak_visit_nearest(const struct ak_scan *scan, struct ak_query *q);

#endif
