/*
 * kmodes.h -- centres of clusters of codes: k-means with distances that are
 * counts of bits and centres that are majorities.
 *
 * Huang, "Extensions to the k-Means Algorithm for Clustering Large Data Sets with
 * Categorical Values", Data Mining and Knowledge Discovery 2(3), 1998; seeded as
 * Arthur and Vassilvitskii, "k-means++", SODA 2007.
 */
#ifndef AK_CORE_CODE_KMODES_H
#define AK_CORE_CODE_KMODES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/rng.h"

struct ak_kmodes {
    uint32_t bits;
    size_t words;
    size_t n, k;       /* codes and centres, both at least 1 */
    uint64_t *codes;   /* (n) in groups, to be filled in by the caller */
    uint64_t *centres; /* (k) in groups */
    uint16_t *nearest, *distance; /* (n) of each code; scratch */
    uint32_t *counts;             /* (k, bits) */
    uint32_t *members;            /* (k) */
    uint64_t *sums;               /* (n) */
    struct ak_rng rng;
    unsigned round; /* steps so far */
};

/* False when memory is short; clear in any case. */
bool ak_kmodes_init(struct ak_kmodes *m, uint32_t bits, size_t n, size_t k,
                    uint64_t seed);
void ak_kmodes_clear(struct ak_kmodes *m);

/* One round; returns false when the centres are done. */
bool ak_kmodes_step(struct ak_kmodes *m);

/*
 * The nearest of `k` centres, the first of several, for 8 n_groups codes at most
 * AK_NEAREST_ROWS: its index and distance.
 */
#define AK_NEAREST_ROWS 4096
void ak_nearest_centres(const uint64_t *centres, size_t k,
                        const uint64_t *codes, size_t n_groups, size_t words,
                        uint16_t *nearest, uint16_t *distance);

#endif
