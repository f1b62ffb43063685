/* rng.h -- the only source of randomness: a seeded, copyable generator. */
#ifndef AK_CORE_BASE_RNG_H
#define AK_CORE_BASE_RNG_H

#include <stdint.h>

struct ak_rng {
    uint64_t state;
};

/* Two generators with the same seed give the same stream on every machine. */
void ak_rng_init(struct ak_rng *rng, uint64_t seed);
uint64_t ak_rng_u64(struct ak_rng *rng);

/* A draw from 0..n-1, without bias; n >= 1. */
uint64_t ak_rng_below(struct ak_rng *rng, uint64_t n);

/* A draw from [0, 1). */
double ak_rng_unit(struct ak_rng *rng);

/* A draw from the standard normal distribution. */
float ak_rng_normal(struct ak_rng *rng);

/* Shuffle `n` values in place (Fisher and Yates). */
void ak_rng_shuffle(struct ak_rng *rng, uint32_t *values, uint32_t n);

/* A seed for one use among several that share `seed`: differs per `use`. */
uint64_t ak_rng_derive(uint64_t seed, const char *use);

#endif
