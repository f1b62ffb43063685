#include "core/base/rng.h"

#include <math.h>

void ak_rng_init(struct ak_rng *rng, uint64_t seed)
{
    rng->state = seed;
}

/*
 * SplitMix64.  Steele, Lea and Flood, "Fast Splittable Pseudorandom Number
 * Generators", OOPSLA 2014.
 */
uint64_t ak_rng_u64(struct ak_rng *rng)
{
    uint64_t z = (rng->state += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/*
 * Multiply and reject.  Lemire, "Fast Random Integer Generation in an
 * Interval", ACM Transactions on Modeling and Computer Simulation 29(1), 2019.
 */
uint64_t ak_rng_below(struct ak_rng *rng, uint64_t n)
{
    uint64_t least = -n % n;
    unsigned __int128 product;

    do
        product = (unsigned __int128)ak_rng_u64(rng) * n;
    while ((uint64_t)product < least);
    return (uint64_t)(product >> 64);
}

double ak_rng_unit(struct ak_rng *rng)
{
    return (double)(ak_rng_u64(rng) >> 11) * 0x1p-53;
}

/* Box and Muller, 1958; the second draw of the pair is not kept. */
float ak_rng_normal(struct ak_rng *rng)
{
    double u = ((double)(ak_rng_u64(rng) >> 11) + 0.5) * 0x1p-53;
    double v = ak_rng_unit(rng);

    return (float)(sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v));
}

void ak_rng_shuffle(struct ak_rng *rng, uint32_t *values, uint32_t n)
{
    for (uint32_t i = n; i > 1; i--) {
        uint32_t j = (uint32_t)ak_rng_below(rng, i);
        uint32_t value = values[i - 1];

        values[i - 1] = values[j];
        values[j] = value;
    }
}

uint64_t ak_rng_derive(uint64_t seed, const char *use)
{
    struct ak_rng rng;
    /* FNV-1a of the name, mixed into the seed by one step of the generator. */
    uint64_t hash = 0xcbf29ce484222325u;

    for (const char *c = use; *c != '\0'; c++)
        hash = (hash ^ (uint8_t)*c) * 0x100000001b3u;
    ak_rng_init(&rng, seed ^ hash);
    return ak_rng_u64(&rng);
}
