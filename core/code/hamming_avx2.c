/*
 * The Hamming kernel for AVX2: a group of eight codes is two registers a word.
 *
 * Bits set in each byte come from two 16-entry table look-ups, one per nibble;
 * bytes of up to 16 words are added up (16 x 8 = 128 fits) before one sum of
 * absolute differences makes them 64-bit numbers.
 *
 * Mula, Kurz and Lemire, "Faster Population Counts Using AVX2 Instructions",
 * The Computer Journal 61(1), 2018.
 */
#include <immintrin.h>

#include "core/code/hamming_kernels.h"

#define INLINE static inline __attribute__((always_inline))
#define HALF   (AK_HAMMING_GROUP / 2)

INLINE __m256i popcount_epi8(__m256i v)
{
    const __m256i table = _mm256_setr_epi8(
        0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, /* one 128-bit lane */
        0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    const __m256i nibble = _mm256_set1_epi8(0x0f);
    __m256i low = _mm256_and_si256(v, nibble);
    __m256i high = _mm256_and_si256(_mm256_srli_epi16(v, 4), nibble);

    return _mm256_add_epi8(_mm256_shuffle_epi8(table, low),
                           _mm256_shuffle_epi8(table, high));
}

INLINE void load_query(const uint64_t *query, size_t words, __m256i *q)
{
#pragma GCC unroll 8
    for (size_t w = 0; w < words; w++)
        q[w] = _mm256_set1_epi64x((long long)query[w]);
}

/* Distances of the four codes whose first words are at `half`. */
INLINE __m256i half_distances(const __m256i *q, const uint64_t *half,
                              size_t words)
{
    __m256i bytes = _mm256_setzero_si256();

#pragma GCC unroll 8
    for (size_t w = 0; w < words; w++) {
        const uint64_t *at = half + w * AK_HAMMING_GROUP;
        __m256i v = _mm256_load_si256((const __m256i *)(const void *)at);

        bytes =
            _mm256_add_epi8(bytes, popcount_epi8(_mm256_xor_si256(v, q[w])));
    }
    return _mm256_sad_epu8(bytes, _mm256_setzero_si256());
}

/* The eight numbers of two registers, as 16 bits each. */
INLINE __m128i narrow(__m256i low, __m256i high)
{
    const __m256i even = _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6);
    __m256i a = _mm256_permutevar8x32_epi32(low, even);
    __m256i b = _mm256_permutevar8x32_epi32(high, even);

    return _mm_packus_epi32(_mm256_castsi256_si128(a),
                            _mm256_castsi256_si128(b));
}

INLINE unsigned lanes_of(__m256i mask)
{
    return (unsigned)_mm256_movemask_pd(_mm256_castsi256_pd(mask));
}

INLINE size_t emit(__m256i low, __m256i high, __m256i limit, size_t position,
                   struct ak_near *out)
{
    unsigned mask = lanes_of(_mm256_cmpgt_epi64(limit, low)) |
                    lanes_of(_mm256_cmpgt_epi64(limit, high)) << HALF;
    uint16_t distances[AK_HAMMING_GROUP];
    size_t n = 0;

    if (mask == 0)
        return 0;
    _mm_storeu_si128((__m128i *)(void *)distances, narrow(low, high));
    for (; mask != 0; mask &= mask - 1) {
        unsigned lane = (unsigned)__builtin_ctz(mask);

        out[n].position = (uint16_t)(position + lane);
        out[n++].distance = distances[lane];
    }
    return n;
}

/* `words` is a constant wherever this is inlined, but for the last case. */
INLINE size_t near_words(const uint64_t *query, const uint64_t *codes,
                         size_t n_groups, size_t words, uint32_t bound,
                         struct ak_near *out)
{
    const __m256i limit = _mm256_set1_epi64x(bound);
    const size_t stride = words * AK_HAMMING_GROUP;
    __m256i q[AK_CODE_MAX_WORDS];
    size_t n = 0, g = 0;

    load_query(query, words, q);
    for (; g + 2 <= n_groups; g += 2) {
        const uint64_t *at = codes + g * stride;
        __m256i a = half_distances(q, at, words);
        __m256i b = half_distances(q, at + HALF, words);
        __m256i c = half_distances(q, at + stride, words);
        __m256i d = half_distances(q, at + stride + HALF, words);
        /* Distances fit in 16 bits, for which AVX2 has a minimum. */
        __m256i least =
            _mm256_min_epi16(_mm256_min_epi16(a, b), _mm256_min_epi16(c, d));

        if (__builtin_expect(lanes_of(_mm256_cmpgt_epi64(limit, least)) != 0,
                             0)) {
            size_t position = g * AK_HAMMING_GROUP;

            n += emit(a, b, limit, position, out + n);
            n += emit(c, d, limit, position + AK_HAMMING_GROUP, out + n);
        }
    }
    for (; g < n_groups; g++) {
        const uint64_t *at = codes + g * stride;

        n += emit(half_distances(q, at, words),
                  half_distances(q, at + HALF, words), limit,
                  g * AK_HAMMING_GROUP, out + n);
    }
    return n;
}

size_t ak_hamming_near_avx2(const uint64_t *query, const uint64_t *codes,
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

/*
 * Two groups a step for four queries: the nibbles of a word are made once a
 * query, but loads, which AVX2 has few registers to keep, once for all.
 */
INLINE void near_all_words(struct ak_near_query *queries, const uint64_t *codes,
                           size_t n_groups, size_t words)
{
    const size_t stride = words * AK_HAMMING_GROUP;
    size_t n[AK_HAMMING_QUERIES] = {0};

    for (size_t g = 0; g < n_groups; g++) {
        const uint64_t *at = codes + g * stride;
        __m256i low[AK_HAMMING_QUERIES], high[AK_HAMMING_QUERIES];

#pragma GCC unroll 8
        for (size_t q = 0; q < AK_HAMMING_QUERIES; q++)
            low[q] = high[q] = _mm256_setzero_si256();
#pragma GCC unroll 8
        for (size_t w = 0; w < words; w++, at += AK_HAMMING_GROUP) {
            __m256i a = _mm256_load_si256((const __m256i *)(const void *)at);
            __m256i b =
                _mm256_load_si256((const __m256i *)(const void *)(at + HALF));

#pragma GCC unroll 8
            for (size_t q = 0; q < AK_HAMMING_QUERIES; q++) {
                __m256i x = _mm256_set1_epi64x((long long)queries[q].words[w]);

                low[q] = _mm256_add_epi8(low[q],
                                         popcount_epi8(_mm256_xor_si256(a, x)));
                high[q] = _mm256_add_epi8(
                    high[q], popcount_epi8(_mm256_xor_si256(b, x)));
            }
        }
#pragma GCC unroll 8
        for (size_t q = 0; q < AK_HAMMING_QUERIES; q++) {
            const __m256i limit = _mm256_set1_epi64x(queries[q].bound);
            __m256i zero = _mm256_setzero_si256();
            __m256i least;

            low[q] = _mm256_sad_epu8(low[q], zero);
            high[q] = _mm256_sad_epu8(high[q], zero);
            least = _mm256_min_epi16(low[q], high[q]);
            if (__builtin_expect(lanes_of(_mm256_cmpgt_epi64(limit, least)), 0))
                n[q] += emit(low[q], high[q], limit, g * AK_HAMMING_GROUP,
                             queries[q].out + n[q]);
        }
    }
#pragma GCC unroll 8
    for (size_t q = 0; q < AK_HAMMING_QUERIES; q++)
        queries[q].n = n[q];
}

void ak_hamming_near_all_avx2(struct ak_near_query *queries,
                              const uint64_t *codes, size_t n_groups,
                              size_t words)
{
    switch (words) {
    case 1:
        near_all_words(queries, codes, n_groups, 1);
        break;
    case 2:
        near_all_words(queries, codes, n_groups, 2);
        break;
    case 4:
        near_all_words(queries, codes, n_groups, 4);
        break;
    default:
        near_all_words(queries, codes, n_groups, words);
        break;
    }
}

INLINE void distances_words(const uint64_t *query, const uint64_t *codes,
                            size_t n_groups, size_t words, uint16_t *out)
{
    __m256i q[AK_CODE_MAX_WORDS];

    load_query(query, words, q);
    for (size_t g = 0; g < n_groups; g++) {
        const uint64_t *at = codes + g * words * AK_HAMMING_GROUP;
        __m128i d = narrow(half_distances(q, at, words),
                           half_distances(q, at + HALF, words));

        _mm_storeu_si128((__m128i *)(void *)(out + g * AK_HAMMING_GROUP), d);
    }
}

void ak_hamming_distances_avx2(const uint64_t *query, const uint64_t *codes,
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
