/* evaluate.h -- how often a network is right. */
#ifndef AK_CORE_NN_EVALUATE_H
#define AK_CORE_NN_EVALUATE_H

#include "core/nn/data.h"
#include "core/nn/exec.h"

struct ak_evaluation {
    size_t n;
    size_t top1, top5; /* images whose label is among the best 1 or 5 scores */
    double loss;       /* mean cross-entropy */
};

/* Called after every batch; false ends it with AK_ECANCELED. */
typedef bool ak_evaluate_progress_fn(void *context, size_t done, size_t n);

/*
 * Run all images through `e`, which is not in training and whose batch is what
 * is computed at once.  Labels are below the network's number of classes, or
 * AK_EINVAL.  Of equal scores the class with the lower number counts as better.
 * `features` (n, dim of the feature) unless it is NULL; `progress` may be NULL.
 */
enum ak_status ak_evaluate(struct ak_exec *e, const struct ak_graph *g,
                           const struct ak_pictures *data, uint32_t batch,
                           ak_evaluate_progress_fn *progress, void *context,
                           float *features, struct ak_evaluation *out,
                           struct ak_err *err) AK_MUST_CHECK;

#endif
