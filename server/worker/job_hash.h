/*
 * job_hash.h -- the part of a training that makes codes (HCDH, end to end).
 *
 * "params" of job.json has "hash": "hcdh" for it, and then "bits",
 * "backbone_rate" and "code_weight" (core/hash/hcdh_network.h).  Without, all
 * that is here leaves a training as it is.
 */
#ifndef AK_SERVER_WORKER_JOB_HASH_H
#define AK_SERVER_WORKER_JOB_HASH_H

#include "core/hash/hcdh_head.h"
#include "core/hash/hcdh_network.h"
#include "server/worker/job.h"

/* The caller owns the struct; zeroed, it can be cleared. */
struct ak_job_hash {
    bool on;
    double code_weight, backbone_rate;
    struct ak_hcdh_network network; /* but for the graph and its values */
};

bool ak_job_hash_wanted(const struct ak_job *job);

/*
 * If it is asked for: `model` gets a hash layer and a classifier of `classes` on
 * its feature, in place of what stood behind it.  AK_EINVAL: bits or classes.
 */
enum ak_status ak_job_hash_add(const struct ak_job *job, uint32_t classes,
                               struct ak_model *model, struct ak_job_hash *out,
                               struct ak_err *err) AK_MUST_CHECK;
void ak_job_hash_clear(struct ak_job_hash *h);

/* What it is trained for.  `h` must outlive the trainer. */
void ak_job_hash_losses(const struct ak_job_hash *h, struct ak_train_params *p);

/* Lines of the notes, of the values of `model` that `samples` images taught; ""
   without. */
enum ak_status ak_job_hash_notes(const struct ak_job_hash *h,
                                 const struct ak_model *model, uint64_t samples,
                                 char out[AK_HCDH_NOTES],
                                 struct ak_err *err) AK_MUST_CHECK;

/* For the result: {"kind","bits"}, or null. */
json_t *ak_job_hash_json(const struct ak_job_hash *h);

/*
 * In place of features *x (n, dim), of ak_array_new(), the codes of them, as rows
 * whose cosines rank as Hamming distances do: bits are -1 and 1, and behind them
 * are 1s up to a power of 4.  So the length is a power of 2, all sums are exact,
 * and what is equally far is equal.  `model` has a hash layer.
 */
enum ak_status ak_job_hash_codes(const struct ak_model *model, size_t n,
                                 float **x, uint32_t *dim,
                                 struct ak_err *err) AK_MUST_CHECK;

#endif
