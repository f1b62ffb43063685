/* partition_internal.h -- builds as index.c and tests see them. */
#ifndef AK_CORE_CODE_PARTITION_INTERNAL_H
#define AK_CORE_CODE_PARTITION_INTERNAL_H

#include "core/code/index_internal.h"
#include "core/code/partition.h"

/* A partition of which a search compares more than this share is given up: a
   scan reads in order, and needs no memory. */
#define AK_PARTITION_MAX_SHARE .4

struct ak_partition_params {
    size_t n_buckets; /* 0: by the number of rows */
    size_t n_sample;  /* rows that centres are found from; 0: by n_buckets */
    uint64_t seed;
    bool forced; /* keep and use it whatever it costs */
};
enum ak_status ak_partition_build_create_with(
    struct ak_snapshot *s, const struct ak_partition_params *params,
    struct ak_partition_build **out, struct ak_err *err) AK_MUST_CHECK;

/* Lends what was built; NULL if it is not done. */
struct ak_partition *
ak_partition_build_result(const struct ak_partition_build *b);

#endif
