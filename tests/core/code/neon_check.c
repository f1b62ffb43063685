/*
 * neon_check -- the NEON kernel beside the scalar one, for neon.sh, which builds
 * it with a cross compiler and runs it in an emulator: no cmocka is at hand
 * there.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/rng.h"
#include "core/code/hamming_kernels.h"

enum { MAX_GROUPS = 70, ROUNDS = 40 };

static uint64_t codes[MAX_GROUPS * AK_HAMMING_GROUP * AK_CODE_MAX_WORDS];
static struct ak_near near[2][AK_HAMMING_QUERIES]
                          [MAX_GROUPS * AK_HAMMING_GROUP];

/* Distances all over the range: each word is random, zero or the inverse. */
static void draw(struct ak_rng *rng, uint64_t *words, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t word = ak_rng_u64(rng);

        words[i] = word % 3 == 0 ? word : word % 3 == 1 ? 0 : UINT64_MAX;
    }
}

static int same_near(const struct ak_near *a, size_t n_a,
                     const struct ak_near *b, size_t n_b)
{
    return n_a == n_b && memcmp(a, b, n_a * sizeof(*a)) == 0;
}

static int agree(struct ak_rng *rng, size_t words)
{
    uint64_t query[AK_HAMMING_QUERIES][AK_CODE_MAX_WORDS];
    struct ak_near_query queries[2][AK_HAMMING_QUERIES];
    uint16_t d[2][MAX_GROUPS * AK_HAMMING_GROUP];
    size_t n_groups = ak_rng_below(rng, MAX_GROUPS + 1);
    int ok;

    draw(rng, codes, n_groups * AK_HAMMING_GROUP * words);
    for (size_t q = 0; q < AK_HAMMING_QUERIES; q++) {
        draw(rng, query[q], words);
        for (int k = 0; k < 2; k++)
            queries[k][q] = (struct ak_near_query){
                .words = query[q],
                .bound = (uint32_t)ak_rng_below(rng, 64 * words + 2),
                .out = near[k][q]};
        queries[1][q].bound = queries[0][q].bound;
    }
    ak_hamming_distances_scalar(query[0], codes, n_groups, words, d[0]);
    ak_hamming_distances_neon(query[0], codes, n_groups, words, d[1]);
    ok = memcmp(d[0], d[1], n_groups * AK_HAMMING_GROUP * sizeof(d[0][0])) == 0;
    ak_hamming_near_all_scalar(queries[0], codes, n_groups, words);
    ak_hamming_near_all_neon(queries[1], codes, n_groups, words);
    for (size_t q = 0; q < AK_HAMMING_QUERIES; q++) {
        size_t n;

        ok = ok && same_near(near[0][q], queries[0][q].n, near[1][q],
                             queries[1][q].n);
        n = ak_hamming_near_neon(query[q], codes, n_groups, words,
                                 queries[0][q].bound, near[1][q]);
        ok = ok && same_near(near[0][q], queries[0][q].n, near[1][q], n);
    }
    return ok;
}

int main(void)
{
    struct ak_rng rng;
    int ok = 1;

    ak_rng_init(&rng, 1);
    for (size_t words = 1; words <= AK_CODE_MAX_WORDS; words++)
        for (int round = 0; round < ROUNDS && ok; round++)
            ok = agree(&rng, words);
    printf("%s 1 - the NEON kernel agrees with the scalar one\n",
           ok ? "ok" : "not ok");
    return !ok;
}
