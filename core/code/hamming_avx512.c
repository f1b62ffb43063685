/*
 * The Hamming kernel for AVX-512 with VPOPCNTDQ: a register is one word of each
 * of the eight codes of a group, so a group costs one xor, one population count
 * and one add a word, and nothing is summed across lanes.
 *
 * Looking for near codes, several groups are taken a step: their minimum is
 * compared with the bound once, and as few steps hold anything near, that one
 * branch is nearly always predicted.  What is near is packed without a loop.
 * (Minima are of 32 bits, which hold any distance: those of 64 cost twice as
 * much on some machines.)
 */
#include <immintrin.h>
#include <stdbool.h>

#include "core/code/hamming_kernels.h"

#define INLINE   static inline __attribute__((always_inline))
#define MAX_STEP 8

INLINE void load_query(const uint64_t *query, size_t words, __m512i *q)
{
#pragma GCC unroll 8
    for (size_t w = 0; w < words; w++)
        q[w] = _mm512_set1_epi64((long long)query[w]);
}

INLINE __m512i group_distances(const __m512i *q, const uint64_t *group,
                               size_t words)
{
    __m512i sum = _mm512_setzero_si512();

#pragma GCC unroll 8
    for (size_t w = 0; w < words; w++) {
        __m512i v = _mm512_load_si512(group + w * AK_HAMMING_GROUP);

        sum = _mm512_add_epi64(sum,
                               _mm512_popcnt_epi64(_mm512_xor_si512(v, q[w])));
    }
    return sum;
}

/* Packs the lanes below `bound` to `out` as {position, distance}: of one group,
   or of two, of which `a` is the first. */
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

INLINE size_t emit_two(__m512i a, __m512i b, __m512i bound, size_t position,
                       struct ak_near *out)
{
    const __m512i lanes =
        _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i order = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18,
                                            20, 22, 24, 26, 28, 30);
    __m512i d = _mm512_permutex2var_epi32(a, order, b);
    __m512i limit = _mm512_broadcastd_epi32(_mm512_castsi512_si128(bound));
    __mmask16 mask = _mm512_cmplt_epu32_mask(d, limit);
    __m512i v = _mm512_add_epi32(lanes, _mm512_set1_epi32((int)position));

    v = _mm512_or_si512(v, _mm512_slli_epi32(d, 16));
    _mm512_storeu_si512(out, _mm512_maskz_compress_epi32(mask, v));
    return (size_t)__builtin_popcount(mask);
}

/* Bytes.  A machine's own guesses come too late for a kernel that has so little
   to do.  A core reads 16 KiB in about the time that memory takes to answer, and
   has room for them in its first cache. */
#define AHEAD 16384

/* `words` is a constant wherever this is inlined, but for the last case; `stream`
   is one everywhere. */
INLINE size_t near_words(const uint64_t *query, const uint64_t *codes,
                         size_t n_groups, size_t words, uint32_t bound,
                         bool stream, struct ak_near *out)
{
    const __m512i limit = _mm512_set1_epi64(bound);
    const size_t stride = words * AK_HAMMING_GROUP;
    const size_t step = words == 1 ? MAX_STEP : 4;
    __m512i q[AK_CODE_MAX_WORDS];
    size_t n = 0, g = 0;

    load_query(query, words, q);
    for (; g + step <= n_groups; g += step) {
        const uint64_t *at = codes + g * stride;
        __m512i d[MAX_STEP], least[2];

        if (stream) {
#pragma GCC unroll 32
            for (size_t i = 0; i < step * words; i++)
                _mm_prefetch((const char *)(at + i * 8) + AHEAD, _MM_HINT_T0);
        }
#pragma GCC unroll 8
        for (size_t s = 0; s < step; s++)
            d[s] = group_distances(q, at + s * stride, words);
        least[0] = _mm512_min_epu32(d[0], d[1]);
        least[1] = _mm512_min_epu32(d[2], d[3]);
#pragma GCC unroll 8
        for (size_t s = 4; s < step; s += 2) {
            least[0] = _mm512_min_epu32(least[0], d[s]);
            least[1] = _mm512_min_epu32(least[1], d[s + 1]);
        }
        least[0] = _mm512_min_epu32(least[0], least[1]);
        if (__builtin_expect(_mm512_cmplt_epi64_mask(least[0], limit) != 0, 0))
#pragma GCC unroll 8
            for (size_t s = 0; s < step; s += 2)
                n += emit_two(d[s], d[s + 1], limit, (g + s) * AK_HAMMING_GROUP,
                              out + n);
    }
    for (; g < n_groups; g++)
        n += emit(group_distances(q, codes + g * stride, words), limit,
                  g * AK_HAMMING_GROUP, out + n);
    return n;
}

INLINE size_t near_any(const uint64_t *query, const uint64_t *codes,
                       size_t n_groups, size_t words, uint32_t bound,
                       bool stream, struct ak_near *out)
{
    switch (words) {
    case 1:
        return near_words(query, codes, n_groups, 1, bound, stream, out);
    case 2:
        return near_words(query, codes, n_groups, 2, bound, stream, out);
    case 4:
        return near_words(query, codes, n_groups, 4, bound, stream, out);
    case 8:
        return near_words(query, codes, n_groups, 8, bound, stream, out);
    default:
        return near_words(query, codes, n_groups, words, bound, stream, out);
    }
}

size_t ak_hamming_near_avx512(const uint64_t *query, const uint64_t *codes,
                              size_t n_groups, size_t words, uint32_t bound,
                              struct ak_near *out)
{
    return near_any(query, codes, n_groups, words, bound, false, out);
}

size_t ak_hamming_near_stream_avx512(const uint64_t *query,
                                     const uint64_t *codes, size_t n_groups,
                                     size_t words, uint32_t bound,
                                     struct ak_near *out)
{
    return near_any(query, codes, n_groups, words, bound, true, out);
}

/* Words of the queries that have a register each. */
#define IN_REGISTERS 4

/* Groups in a step with `words` words, so that all stays in registers. */
INLINE size_t step_of(size_t words)
{
    return words == 1 ? 8 : words == 2 ? 4 : 2;
}

INLINE __m512i bits_of(__m512i v, __m512i query)
{
    return _mm512_popcnt_epi64(_mm512_xor_si512(v, query));
}

INLINE __m512i one_group(const uint64_t *query, const uint64_t *at,
                         size_t words)
{
    __m512i sum = _mm512_setzero_si512();

    for (size_t w = 0; w < words; w++) {
        __m512i v = _mm512_load_si512(at + w * AK_HAMMING_GROUP);

        sum = _mm512_add_epi64(
            sum, bits_of(v, _mm512_set1_epi64((long long)query[w])));
    }
    return sum;
}

/* Of one query in the `n_groups` groups of a step, of which one is near. */
static __attribute__((noinline)) size_t
emit_step(const uint64_t *query, const uint64_t *codes, size_t n_groups,
          size_t words, uint32_t bound, size_t position, struct ak_near *out)
{
    const __m512i limit = _mm512_set1_epi64(bound);
    const size_t stride = words * AK_HAMMING_GROUP;
    size_t n = 0;

    for (size_t g = 0; g < n_groups; g += 2) {
        const uint64_t *at = codes + g * stride;
        __m512i a = one_group(query, at, words);

        if (g + 1 == n_groups)
            return n + emit(a, limit, position + g * AK_HAMMING_GROUP, out + n);
        n += emit_two(a, one_group(query, at + stride, words), limit,
                      position + g * AK_HAMMING_GROUP, out + n);
    }
    return n;
}

/* A step in which queries have something near: a byte for each query says in
   which lanes. */
struct found {
    uint32_t group, any;
};

/* Steps that are remembered before they are looked at. */
#define MAX_FOUND 256

/*
 * What is near in the steps that were found.  Most often one query has something
 * there, in one lane: then the codes in that lane are compared one by one, and
 * without branches, which would be mispredicted.
 */
static __attribute__((noinline)) void
emit_all(struct ak_near_query *queries, const uint64_t *codes, size_t n_groups,
         size_t words, const struct found *found, size_t n_found)
{
    for (size_t f = 0; f < n_found; f++) {
        const uint64_t *step =
            codes + found[f].group * words * AK_HAMMING_GROUP;
        size_t position = found[f].group * AK_HAMMING_GROUP;
        uint32_t any = found[f].any;

        do {
            unsigned bit = (unsigned)__builtin_ctz(any), lane = bit % 8;
            struct ak_near_query *q = &queries[bit / 8];
            uint32_t lanes = any >> (bit - lane) & 0xff;
            const uint64_t *at = step + lane;
            struct ak_near *out = q->out + q->n;

            any &= ~((uint32_t)0xff << (bit - lane));
            if ((lanes & (lanes - 1)) != 0) {
                q->n += emit_step(q->words, step, n_groups, words, q->bound,
                                  position, out);
                continue;
            }
            for (size_t g = 0; g < n_groups; g++) {
                uint32_t d = 0;

                for (size_t w = 0; w < words; w++, at += AK_HAMMING_GROUP)
                    d += (uint32_t)__builtin_popcountll(*at ^ q->words[w]);
                out->position =
                    (uint16_t)(position + g * AK_HAMMING_GROUP + lane);
                out->distance = (uint16_t)d;
                out += d < q->bound;
            }
            q->n = (size_t)(out - q->out);
        } while (any != 0);
    }
}

/*
 * A word is loaded once for all queries.  What is near is computed again in
 * emit_all(): the distances of a whole step do not fit in the registers.  Steps
 * are written down without a branch, as where one is cannot be predicted.
 */
INLINE void near_all_words(struct ak_near_query *queries, const uint64_t *codes,
                           size_t n_groups, size_t words)
{
    const size_t step = step_of(words), stride = words * AK_HAMMING_GROUP;
    __m512i limit[AK_HAMMING_QUERIES], query[AK_HAMMING_QUERIES][IN_REGISTERS];
    struct found found[MAX_FOUND];
    size_t n_found = 0, g = 0;

#pragma GCC unroll 8
    for (size_t q = 0; q < AK_HAMMING_QUERIES; q++) {
        limit[q] = _mm512_set1_epi64(queries[q].bound);
        queries[q].n = 0;
    }
    for (size_t q = 0; q < AK_HAMMING_QUERIES; q++)
        for (size_t w = 0; w < words && w < IN_REGISTERS; w++)
            query[q][w] = _mm512_set1_epi64((long long)queries[q].words[w]);
    for (; g + step <= n_groups; g += step) {
        const uint64_t *at = codes + g * stride;
        __m512i least[AK_HAMMING_QUERIES];
        uint32_t any = 0;

#pragma GCC unroll 8
        for (size_t s = 0; s < step; s++, at += stride) {
            __m512i sum[AK_HAMMING_QUERIES], v = _mm512_load_si512(at);

#pragma GCC unroll 8
            for (size_t q = 0; q < AK_HAMMING_QUERIES; q++)
                sum[q] = bits_of(v, query[q][0]);
#pragma GCC unroll 8
            for (size_t w = 1; w < words; w++) {
                v = _mm512_load_si512(at + w * AK_HAMMING_GROUP);
#pragma GCC unroll 8
                for (size_t q = 0; q < AK_HAMMING_QUERIES; q++)
                    sum[q] = _mm512_add_epi64(
                        sum[q],
                        bits_of(v, w < IN_REGISTERS
                                       ? query[q][w]
                                       : _mm512_set1_epi64(
                                             (long long)queries[q].words[w])));
            }
#pragma GCC unroll 8
            for (size_t q = 0; q < AK_HAMMING_QUERIES; q++)
                least[q] = s == 0 ? sum[q] : _mm512_min_epu32(least[q], sum[q]);
        }
#pragma GCC unroll 8
        for (size_t q = 0; q < AK_HAMMING_QUERIES; q++)
            any |= (uint32_t)_mm512_cmplt_epu64_mask(least[q], limit[q])
                   << (8 * q);
        found[n_found] = (struct found){(uint32_t)g, any};
        n_found += any != 0;
        if (__builtin_expect(n_found == MAX_FOUND, 0)) {
            emit_all(queries, codes, step, words, found, n_found);
            n_found = 0;
        }
    }
    emit_all(queries, codes, step, words, found, n_found);
    for (size_t q = 0; q < AK_HAMMING_QUERIES && g < n_groups; q++)
        queries[q].n +=
            emit_step(queries[q].words, codes + g * stride, n_groups - g, words,
                      queries[q].bound, g * AK_HAMMING_GROUP,
                      queries[q].out + queries[q].n);
}

void ak_hamming_near_all_avx512(struct ak_near_query *queries,
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
