/*
 * The Hamming kernel for AVX-512 with VPOPCNTDQ: a register is one word of each
 * of the eight codes of a group, so a group costs one xor, one population count
 * and one add a word, and nothing is summed across lanes.
 *
 * Looking for near codes, four groups are taken a step: their minimum is
 * compared with the bound once, and as few steps hold anything near, that one
 * branch is nearly always predicted.  What is near is packed without a loop.
 */
#include <immintrin.h>

#include "core/code/hamming_kernels.h"

#define INLINE static inline __attribute__((always_inline))
#define STEP   4

INLINE void load_query(const uint64_t *query, size_t words, __m512i *q)
{
    for (size_t w = 0; w < words; w++)
        q[w] = _mm512_set1_epi64((long long)query[w]);
}

INLINE __m512i group_distances(const __m512i *q, const uint64_t *group,
                               size_t words)
{
    __m512i sum = _mm512_setzero_si512();

    for (size_t w = 0; w < words; w++) {
        __m512i v = _mm512_load_si512(group + w * AK_HAMMING_GROUP);

        sum = _mm512_add_epi64(sum,
                               _mm512_popcnt_epi64(_mm512_xor_si512(v, q[w])));
    }
    return sum;
}

/* Packs the lanes below `bound` to `out` as {position, distance}. */
INLINE size_t emit(__m512i distances, __m512i bound, size_t position,
                   struct ak_near *out)
{
    const __m512i lanes = _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7);
    __mmask8 mask = _mm512_cmplt_epi64_mask(distances, bound);
    __m512i v = _mm512_add_epi64(lanes, _mm512_set1_epi64((long long)position));

    v = _mm512_or_si512(v, _mm512_slli_epi64(distances, 16));
    v = _mm512_maskz_compress_epi64(mask, v);
    _mm256_storeu_si256((__m256i *)(void *)out, _mm512_cvtepi64_epi32(v));
    return (size_t)__builtin_popcount(mask);
}

/* `words` is a constant wherever this is inlined, but for the last case. */
INLINE size_t near_words(const uint64_t *query, const uint64_t *codes,
                         size_t n_groups, size_t words, uint32_t bound,
                         struct ak_near *out)
{
    const __m512i limit = _mm512_set1_epi64(bound);
    const size_t stride = words * AK_HAMMING_GROUP;
    __m512i q[AK_CODE_MAX_WORDS];
    size_t n = 0, g = 0;

    load_query(query, words, q);
    for (; g + STEP <= n_groups; g += STEP) {
        const uint64_t *at = codes + g * stride;
        __m512i a = group_distances(q, at, words);
        __m512i b = group_distances(q, at + stride, words);
        __m512i c = group_distances(q, at + 2 * stride, words);
        __m512i d = group_distances(q, at + 3 * stride, words);
        __m512i least =
            _mm512_min_epi64(_mm512_min_epi64(a, b), _mm512_min_epi64(c, d));

        if (__builtin_expect(_mm512_cmplt_epi64_mask(least, limit) != 0, 0)) {
            size_t position = g * AK_HAMMING_GROUP;

            n += emit(a, limit, position, out + n);
            n += emit(b, limit, position + AK_HAMMING_GROUP, out + n);
            n += emit(c, limit, position + 2 * AK_HAMMING_GROUP, out + n);
            n += emit(d, limit, position + 3 * AK_HAMMING_GROUP, out + n);
        }
    }
    for (; g < n_groups; g++)
        n += emit(group_distances(q, codes + g * stride, words), limit,
                  g * AK_HAMMING_GROUP, out + n);
    return n;
}

size_t ak_hamming_near_avx512(const uint64_t *query, const uint64_t *codes,
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
    case 8:
        return near_words(query, codes, n_groups, 8, bound, out);
    default:
        return near_words(query, codes, n_groups, words, bound, out);
    }
}

INLINE void distances_words(const uint64_t *query, const uint64_t *codes,
                            size_t n_groups, size_t words, uint16_t *out)
{
    __m512i q[AK_CODE_MAX_WORDS];

    load_query(query, words, q);
    for (size_t g = 0; g < n_groups; g++) {
        __m512i d =
            group_distances(q, codes + g * words * AK_HAMMING_GROUP, words);

        _mm_storeu_si128((__m128i *)(void *)(out + g * AK_HAMMING_GROUP),
                         _mm512_cvtepi64_epi16(d));
    }
}

void ak_hamming_distances_avx512(const uint64_t *query, const uint64_t *codes,
                                 size_t n_groups, size_t words, uint16_t *out)
{
    switch (words) {
    case 1:
        distances_words(query, codes, n_groups, 1, out);
        break;
    case 2:
        distances_words(query, codes, n_groups, 2, out);
        break;
    case 4:
        distances_words(query, codes, n_groups, 4, out);
        break;
    default:
        distances_words(query, codes, n_groups, words, out);
        break;
    }
}
