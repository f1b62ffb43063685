/*
 * The Hamming kernel for NEON, which every 64-bit ARM has: a word of a group of
 * eight codes is four registers of two codes.
 *
 * Bits set in each byte come from one instruction; bytes of up to 16 words are
 * added up (16 x 8 = 128 fits) and then pairwise, which leaves the eight
 * distances in one register of 16-bit numbers.
 */
#include <arm_neon.h>

#include "core/code/hamming_kernels.h"

#define INLINE static inline __attribute__((always_inline))
#define PAIRS  (AK_HAMMING_GROUP / 2)
#define STEP   4

/* The eight distances of the group at `at`. */
INLINE uint16x8_t group_distances(const uint64_t *query, const uint64_t *at,
                                  size_t words)
{
    uint8x16_t bytes[PAIRS];
    uint16x8_t a, b;

#pragma GCC unroll 8
    for (size_t p = 0; p < PAIRS; p++)
        bytes[p] = vdupq_n_u8(0);
#pragma GCC unroll 8
    for (size_t w = 0; w < words; w++, at += AK_HAMMING_GROUP) {
        uint64x2_t q = vdupq_n_u64(query[w]);

#pragma GCC unroll 8
        for (size_t p = 0; p < PAIRS; p++) {
            uint64x2_t x = veorq_u64(vld1q_u64(at + 2 * p), q);

            bytes[p] = vaddq_u8(bytes[p], vcntq_u8(vreinterpretq_u8_u64(x)));
        }
    }
    a = vpaddq_u16(vpaddlq_u8(bytes[0]), vpaddlq_u8(bytes[1]));
    b = vpaddq_u16(vpaddlq_u8(bytes[2]), vpaddlq_u8(bytes[3]));
    return vpaddq_u16(a, b);
}

INLINE size_t emit(uint16x8_t distances, uint32_t bound, size_t position,
                   struct ak_near *out)
{
    uint16_t all[AK_HAMMING_GROUP];
    size_t n = 0;

    vst1q_u16(all, distances);
    for (size_t lane = 0; lane < AK_HAMMING_GROUP; lane++)
        if (all[lane] < bound)
            out[n++] = (struct ak_near){(uint16_t)(position + lane), all[lane]};
    return n;
}

INLINE size_t near_words(const uint64_t *query, const uint64_t *codes,
                         size_t n_groups, size_t words, uint32_t bound,
                         struct ak_near *out)
{
    const size_t stride = words * AK_HAMMING_GROUP;
    size_t n = 0, g = 0;

    for (; g + STEP <= n_groups; g += STEP) {
        uint16x8_t d[STEP], least;

#pragma GCC unroll 8
        for (size_t s = 0; s < STEP; s++)
            d[s] = group_distances(query, codes + (g + s) * stride, words);
        least = vminq_u16(vminq_u16(d[0], d[1]), vminq_u16(d[2], d[3]));
        if (__builtin_expect(vminvq_u16(least) < bound, 0))
#pragma GCC unroll 8
            for (size_t s = 0; s < STEP; s++)
                n += emit(d[s], bound, (g + s) * AK_HAMMING_GROUP, out + n);
    }
    for (; g < n_groups; g++)
        n += emit(group_distances(query, codes + g * stride, words), bound,
                  g * AK_HAMMING_GROUP, out + n);
    return n;
}

size_t ak_hamming_near_neon(const uint64_t *query, const uint64_t *codes,
                            size_t n_groups, size_t words, uint32_t bound,
                            struct ak_near *out)
{
    switch (words) {
    case 1:
        return near_words(query, codes, n_groups, 1, bound, out);
    case 2:
        return near_words(query, codes, n_groups, 2, bound, out);
    case 4:
        return near_words(query, codes, n_groups, 4, bound, out);
    default:
        return near_words(query, codes, n_groups, words, bound, out);
    }
}

/* The groups stay in the first cache from one query to the next: NEON's 32
   registers hold the codes of a group, not those of a step, for all queries. */
#define BLOCK 64
void ak_hamming_near_all_neon(struct ak_near_query *queries,
                              const uint64_t *codes, size_t n_groups,
                              size_t words)
{
#pragma GCC unroll 8
    for (size_t q = 0; q < AK_HAMMING_QUERIES; q++)
        queries[q].n = 0;
    for (size_t g = 0; g < n_groups; g += BLOCK) {
        size_t left = n_groups - g < BLOCK ? n_groups - g : BLOCK;

#pragma GCC unroll 8
        for (size_t q = 0; q < AK_HAMMING_QUERIES; q++) {
            struct ak_near *out = queries[q].out + queries[q].n;
            size_t n = ak_hamming_near_neon(
                queries[q].words, codes + g * words * AK_HAMMING_GROUP, left,
                words, queries[q].bound, out);

            for (size_t i = 0; i < n; i++)
                out[i].position =
                    (uint16_t)(out[i].position + g * AK_HAMMING_GROUP);
            queries[q].n += n;
        }
    }
}

void ak_hamming_distances_neon(const uint64_t *query, const uint64_t *codes,
                               size_t n_groups, size_t words, uint16_t *out)
{
    for (size_t g = 0; g < n_groups; g++)
        vst1q_u16(out + g * AK_HAMMING_GROUP,
                  group_distances(query, codes + g * words * AK_HAMMING_GROUP,
                                  words));
}
