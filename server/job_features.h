/*
 * job_features.h -- the stored vectors of a job's items, compared two at a time.
 *
 * They are read from the collection's file: once one after another, for their
 * distances to a few *landmarks*, and later those that are asked for, of which
 * the latest stay in memory.  By the triangle inequality two vectors are at least
 * as far apart as their distances to a landmark are, which spares most of the
 * reading (core/code/duplicates.h calls these numbers the sketch).
 *
 *     distance     Euclidean, of the vectors as stored
 *     similarity   cosine; 0 where a vector is all zeroes.  For the landmarks it
 *                  is the Euclidean distance of vectors of length 1, which is
 *                  sqrt(2 - 2 similarity)
 *
 * Both in double, in eight sums as in rerank.h.  Vectors of up to 256 MiB stay in
 * memory.
 */
#ifndef AK_SERVER_JOB_FEATURES_H
#define AK_SERVER_JOB_FEATURES_H

#include "core/code/duplicates.h"
#include "server/engine.h"

struct ak_job_features;

struct ak_job_features_params {
    struct ak_collection *c;  /* lent */
    const uint64_t *ordinals; /* (n) of the items, rising; lent */
    size_t n;
    bool similar;     /* by similarity, else by distance */
    double threshold; /* at most so far, or at least so similar */
    uint64_t seed;
    size_t cache_bytes; /* 0: 256 MiB */
};

enum ak_status ak_job_features_create(const struct ak_job_features_params *p,
                                      struct ak_job_features **out,
                                      struct ak_err *err) AK_MUST_CHECK;
void ak_job_features_destroy(struct ak_job_features *f); /* NULL: a no-op */

/* Read the next items, some ten milliseconds of them; *at is how many of the n
   were. */
enum ak_status ak_job_features_read(struct ak_job_features *f, size_t *at,
                                    struct ak_err *err) AK_MUST_CHECK;

/* When all were read: how they are compared, which lives as `f`. */
const struct ak_duplicates_features *
ak_job_features_get(struct ak_job_features *f);

#endif
