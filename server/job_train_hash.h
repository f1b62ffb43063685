/*
 * job_train_hash.h -- what a training to codes may be asked (HCDH, end to end):
 * params "hash", "bits", "backbone_rate" and "code_weight".
 */
#ifndef AK_SERVER_JOB_TRAIN_HASH_H
#define AK_SERVER_JOB_TRAIN_HASH_H

#include "server/extractors.h"
#include "server/job_options.h"

/* Rows for the list of params. */
#define AK_TRAIN_HASH_OPTIONS                                   \
    {"hash", AK_OPTION_CHOICE, 0, 0, "hcdh", NULL},             \
        {"bits", AK_OPTION_INTEGER, 8, 1024, NULL, NULL},       \
        {"backbone_rate", AK_OPTION_NUMBER, 0, 1, NULL, NULL},  \
    {                                                           \
        "code_weight", AK_OPTION_NUMBER, 1e-6, 1000, NULL, NULL \
    }

/*
 * Before the list is looked at: what is absent and has another default than the
 * list's, or is a number of a training to codes only.  What begins with a network
 * that makes codes is one of as many bits, unless it says otherwise.  AK_ENOMEM.
 */
enum ak_status ak_train_hash_fill(struct ak_extractors *x,
                                  json_t *params) AK_MUST_CHECK;
/* After it.  AK_EINVAL with a fault. */
enum ak_status ak_train_hash_check(const json_t *params,
                                   struct ak_fault *fault) AK_MUST_CHECK;

#endif
