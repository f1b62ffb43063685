/*
 * features.h -- how good features are at finding items of a kind.
 *
 * The gate's measure of a network: no code and no randomness comes in, so that
 * two networks with features of different lengths can be compared.
 */
#ifndef AK_CORE_EVAL_FEATURES_H
#define AK_CORE_EVAL_FEATURES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

struct ak_feature_rank {
    double map;     /* mean average precision over the full ranking */
    size_t queries; /* that have another item of their label */
};

/* Queries ranked, of all; false ends it with AK_ECANCELED. */
typedef bool ak_feature_progress_fn(void *context, size_t done, size_t n);

/*
 * Each of at most `max_queries` rows of x (n, dim), evenly apart, ranks all other
 * rows by the cosine of their features; one with the same label is relevant.
 * Of rows that are equally alike those that are not relevant come first, so that
 * features which tell nothing apart earn nothing.  A query without a relevant
 * row is left out.  `ap` (max_queries) gets the AP of those that are not, in order,
 * or is NULL: of two networks on the same rows these are pairs.
 *
 * AK_EINVAL: no query has one.  AK_ENUMERIC: a feature that is not finite.
 * AK_ENOMEM, AK_ECANCELED.
 */
enum ak_status ak_eval_features(const float *x, const uint32_t *labels,
                                size_t n, uint32_t dim, size_t max_queries,
                                ak_feature_progress_fn *progress, void *context,
                                double *ap, struct ak_feature_rank *out,
                                struct ak_err *err) AK_MUST_CHECK;

#endif
