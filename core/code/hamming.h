/*
 * hamming.h -- distances from one code to many, and the layout of the many.
 *
 * Codes lie in *groups* of eight: within a group come the first words of its
 * eight codes, then their second words, and so on, so that a 512-bit register
 * holds one word of each of eight codes and no sum ever crosses lanes:
 *
 *     word w of code i  =  codes[(i / 8 * words + w) * 8 + i % 8]
 *
 * Groups begin at a 64-byte boundary.  A last group that is not full is padded
 * with anything; whoever asks ignores what it gets for the padding.
 */
#ifndef AK_CORE_CODE_HAMMING_H
#define AK_CORE_CODE_HAMMING_H

#include <stddef.h>
#include <stdint.h>

#include "core/code/code.h"

#define AK_HAMMING_GROUP 8

/* Groups in one call: a position must fit in 16 bits. */
#define AK_HAMMING_MAX_GROUPS 8192

/* A code that is near enough, by its place among the codes of the call. */
struct ak_near {
    uint16_t position;
    uint16_t distance;
};

static inline size_t ak_hamming_groups(size_t n_codes)
{
    return (n_codes + AK_HAMMING_GROUP - 1) / AK_HAMMING_GROUP;
}

/* Index of the first word of code i; the others follow at steps of eight. */
static inline size_t ak_hamming_at(size_t i, size_t words)
{
    return i / AK_HAMMING_GROUP * words * AK_HAMMING_GROUP +
           i % AK_HAMMING_GROUP;
}

static inline void ak_hamming_put(uint64_t *codes, size_t i, size_t words,
                                  const uint64_t *code)
{
    uint64_t *at = codes + ak_hamming_at(i, words);

    for (size_t w = 0; w < words; w++)
        at[w * AK_HAMMING_GROUP] = code[w];
}

static inline void ak_hamming_get(const uint64_t *codes, size_t i, size_t words,
                                  uint64_t *code)
{
    const uint64_t *at = codes + ak_hamming_at(i, words);

    for (size_t w = 0; w < words; w++)
        code[w] = at[w * AK_HAMMING_GROUP];
}

/*
 * out[i] = number of bits in which code i differs from `query`, for the 8 x
 * n_groups codes; words is 1..AK_CODE_MAX_WORDS.
 */
typedef void ak_hamming_distances_fn(const uint64_t *query,
                                     const uint64_t *codes, size_t n_groups,
                                     size_t words, uint16_t *out);

/*
 * The codes at a distance below `bound`, in order of position; returns how many.
 * `out` has room for all 8 x n_groups, and what lies behind the returned number
 * may be written too.  n_groups is at most AK_HAMMING_MAX_GROUPS.
 */
typedef size_t ak_hamming_near_fn(const uint64_t *query, const uint64_t *codes,
                                  size_t n_groups, size_t words, uint32_t bound,
                                  struct ak_near *out);

/*
 * The same for several queries at once, each with its own bound and output: what
 * is loaded serves all of them.  A bound of 0 finds nothing, which fills up.
 */
#define AK_HAMMING_QUERIES 4
struct ak_near_query {
    const uint64_t *words;
    uint32_t bound;
    struct ak_near *out; /* as above */
    size_t n;            /* result: how many are in `out` */
};
typedef void ak_hamming_near_all_fn(struct ak_near_query *queries,
                                    const uint64_t *codes, size_t n_groups,
                                    size_t words);

struct ak_hamming_kernel {
    const char
        *isa; /* "avx512", "avx2", "neon", "scalar": for logs, /healthz */
    ak_hamming_distances_fn *distances;
    ak_hamming_near_fn *near;
    ak_hamming_near_fn *near_stream; /* the same, one call of many that go along
                                        memory: what lies behind `codes` is
                                        asked for ahead of time */
    ak_hamming_near_all_fn *near_all; /* of AK_HAMMING_QUERIES */
};

/* The kernel for this machine, chosen at first use.  Any thread. */
const struct ak_hamming_kernel *ak_hamming_kernel(void);

#endif
