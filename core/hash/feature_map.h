/*
 * feature_map.h -- what is done to a feature vector before hyperplanes see it.
 *
 * One component for all methods: nothing; centred and scaled to unit length; or
 * a radial basis map, phi_i(x) = exp(-||x - a_i||^2 / (2 eta)) for anchors a_i,
 * of which a mean may be taken off.  A map is immutable and counted, so that a
 * learner and its encoders share one.
 *
 * Arithmetic is fixed (core/linalg/project.h): an output depends on its row
 * only, not on the rows beside it nor on the instruction set.
 */
#ifndef AK_CORE_HASH_FEATURE_MAP_H
#define AK_CORE_HASH_FEATURE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/blob.h"
#include "core/base/err.h"
#include "core/base/ref.h"

enum ak_map_kind { AK_MAP_NONE, AK_MAP_UNIT, AK_MAP_RBF };

/* What a method asks for; zeroed means no map. */
struct ak_map_plan {
    enum ak_map_kind kind;
    uint32_t anchors; /* of an RBF map, wanted */
    double divisor;   /* eta is the mean squared distance divided by this */
    bool centred;     /* RBF: take off the mean of phi over the warm-up rows */
    uint32_t rounds;  /* of k-means that move the anchors of an RBF map */
};

/* Begins with its `struct ak_ref`. */
struct ak_feature_map;

/* Rows that ak_feature_map_fit() would like to see; 0 when it needs none. */
size_t ak_feature_map_wanted(const struct ak_map_plan *plan);

/*
 * A map for features of `dim` floats from x (n, dim), finite.  Kinds that need
 * no rows take NULL and 0; AK_MAP_UNIT starts with a mean of zero, see below.
 *
 * RBF: anchors are `plan->anchors` seeded rows, all of them if there are not
 * more.  If there are, each of `plan->rounds` moves every anchor to the mean of
 * the rows that it is nearest to; fewer rounds where that takes more than some
 * seconds, none where one does.  The mean squared distance is taken between at most 2,000 other rows
 * and the anchors; with no other row, between different anchors; and where that
 * is zero the mean squared length takes its place, and 1 if that is zero too.
 */
enum ak_status ak_feature_map_fit(const struct ak_map_plan *plan, uint32_t dim,
                                  const float *x, size_t n, uint64_t seed,
                                  struct ak_feature_map **out,
                                  struct ak_err *err) AK_MUST_CHECK;

/* AK_MAP_UNIT about `mean` (dim): x to (x - mean) / |x - mean|. */
enum ak_status ak_feature_map_unit(uint32_t dim, const float *mean,
                                   struct ak_feature_map **out,
                                   struct ak_err *err) AK_MUST_CHECK;

/* Both take a NULL. */
struct ak_feature_map *ak_feature_map_take(struct ak_feature_map *map);
void ak_feature_map_drop(struct ak_feature_map *map);

enum ak_map_kind ak_feature_map_kind(const struct ak_feature_map *map);
uint32_t ak_feature_map_dim(const struct ak_feature_map *map);
uint32_t ak_feature_map_width(const struct ak_feature_map *map); /* outputs */
double ak_feature_map_eta(const struct ak_feature_map *map); /* 0 if not RBF */

size_t ak_feature_map_bytes(const struct ak_feature_map *map);

/* Anchor i of an RBF map, below its width: x (dim). */
void ak_feature_map_anchor(const struct ak_feature_map *map, uint32_t i,
                           float *x);

/* Floats from one row of outputs to the next: the width, padded. */
size_t ak_feature_map_stride(const struct ak_feature_map *map);

/*
 * x (n, dim) to z (n, stride), 64-byte aligned; what lies between width and
 * stride is left undefined.  Any number of threads.
 */
void ak_feature_map_apply(const struct ak_feature_map *map, const float *x,
                          size_t n, float *z);

/* What AK_MAP_UNIT does to one row: (x - mean) / |x - mean|, or zeroes. */
void ak_unit_row(const float *x, const float *mean, uint32_t dim, float *z);

/*
 * A read checks sizes before it takes memory and every value, and says in `err`
 * what is wrong: AK_ECORRUPT.
 */
void ak_feature_map_write(const struct ak_feature_map *map,
                          struct ak_writer *w);
enum ak_status ak_feature_map_read(struct ak_reader *r,
                                   struct ak_feature_map **out,
                                   struct ak_err *err) AK_MUST_CHECK;

/*
 * The mean of all rows seen, for AK_MAP_UNIT over a stream.  Sums in double and
 * row after row, so the cut into batches does not matter.  The caller owns the
 * struct; zeroed, it can be cleared.
 */
struct ak_running_mean {
    uint64_t n;
    uint32_t dim;
    double *sum; /* (dim) */
};

enum ak_status ak_running_mean_init(struct ak_running_mean *m, uint32_t dim,
                                    struct ak_err *err) AK_MUST_CHECK;
void ak_running_mean_clear(struct ak_running_mean *m);
void ak_running_mean_add(struct ak_running_mean *m, const float *x, size_t n);
void ak_running_mean_get(const struct ak_running_mean *m, float *mean);
void ak_running_mean_write(const struct ak_running_mean *m,
                           struct ak_writer *w);
void ak_running_mean_read(struct ak_running_mean *m, struct ak_reader *r);

#endif
