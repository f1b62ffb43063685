/*
 * duplicates.h -- items whose codes are near one another: the nearest pairs, and
 * the clusters that all such pairs make.
 *
 * Two items are *duplicates* if their codes differ in at most `max_distance`
 * bits and, where features are given, these are near as well.  A *cluster* is
 * what a chain of duplicates connects.  Both are exact: the clusters are those
 * of all pairs, and the pairs are the `limit` smallest by (distance, lower item,
 * higher item), whatever path was taken.  It takes far less than a comparison of
 * each item with each other one, even where all pairs are duplicates.
 *
 *     ak_duplicates_create(&params, &d, &err);
 *     do
 *         status = ak_duplicates_step(d, &done, &err);
 *     while (status == AK_OK && !done);
 *     ak_duplicates_result(d, &result);
 *     ak_duplicates_destroy(d);
 *
 * Memory: 60 bytes an item and up to four times its code.  One thread at a time.
 */
#ifndef AK_CORE_CODE_DUPLICATES_H
#define AK_CORE_CODE_DUPLICATES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/code/clusters.h"
#include "core/code/code.h"

struct ak_duplicates;

/*
 * How features are compared.  `near` says whether those of two items are, and
 * with what number, which goes into the pair; it is called only for items whose
 * codes are.  What it does not return AK_OK for ends the step.
 *
 * `sketch` (n, n_sketch) spares most of its calls: no two items are near of which
 * a number differs by more than `reach`.  Distances to a few landmarks are such
 * numbers, by the triangle inequality.
 */
struct ak_duplicates_features {
    enum ak_status (*near)(void *arg, uint32_t a, uint32_t b, bool *near,
                           double *number, struct ak_err *err);
    void *arg;
    const float *sketch;
    size_t n_sketch; /* 1 or more */
    float reach;
};

/* All that it points to is lent until destroy. */
struct ak_duplicates_params {
    uint32_t bits, max_distance;
    size_t n;              /* items, at most UINT32_MAX - 1 */
    const uint64_t *codes; /* (n, ak_code_words(bits)), padded as in code.h */
    size_t limit;          /* pairs that are wanted, 1 or more */
    const struct ak_duplicates_features *features; /* NULL: codes alone */
    uint64_t seed;
};

enum ak_status ak_duplicates_create(const struct ak_duplicates_params *params,
                                    struct ak_duplicates **out,
                                    struct ak_err *err) AK_MUST_CHECK;
void ak_duplicates_destroy(struct ak_duplicates *d); /* NULL is a no-op */

/* The next piece of work, of some 10 ms, or 100 where there are ten million
   items; *done when there is none left.  After a failure only destroy. */
enum ak_status ak_duplicates_step(struct ak_duplicates *d, bool *done,
                                  struct ak_err *err) AK_MUST_CHECK;

/* How much of the work is done, 0..1; never falls. */
double ak_duplicates_ratio(const struct ak_duplicates *d);

struct ak_duplicates_result {
    const struct ak_pair *pairs;
    size_t n_pairs;
    bool truncated;          /* there are more pairs */
    const uint32_t *cluster; /* (n) the lowest item of the cluster of each */
    uint64_t compared;       /* distances of codes that were computed */
    uint64_t verified;       /* calls of near() */
};
/* When all is done; lent until destroy. */
void ak_duplicates_result(struct ak_duplicates *d,
                          struct ak_duplicates_result *result);

#endif
