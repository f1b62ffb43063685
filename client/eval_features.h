/* eval_features.h -- features of a data set's images, made by a network. */
#ifndef AK_CLIENT_EVAL_FEATURES_H
#define AK_CLIENT_EVAL_FEATURES_H

#include "client/tool.h"
#include "core/nn/exec.h"
#include "core/nn/model.h"

/* Images of one size as they lie in memory; nothing is owned. */
struct eval_images {
    const uint8_t *pixels; /* (n, channels, side, side) */
    size_t n;
    uint32_t channels, side;
};

/* Images done, of all; false ends it with AK_ECANCELED. */
typedef bool eval_features_progress_fn(void *context, size_t done, size_t n);

/*
 * x (n, dim of the feature) of all images.  Those of another size than the
 * network's are scaled by area average.  AK_EINVAL: other channels than the
 * network takes.  `progress` may be NULL.
 */
enum ak_status eval_features(const struct ak_graph *g, const float *values,
                             enum ak_exec_type type,
                             const struct eval_images *images,
                             eval_features_progress_fn *progress, void *context,
                             float *x, struct ak_err *err) AK_MUST_CHECK;

/*
 * The same into *x, to be freed with ak_array_free(), with a bar.  The file
 * `cache`, unless NULL, keeps them: what it has of the same network, images and
 * type is read, else it is written.  EXIT_OK, or the code of what was said.
 */
int eval_features_cached(const struct tool *tool, const struct ak_model *model,
                         enum ak_exec_type type, const char *cache,
                         const struct eval_images *images, float **x);

#endif
