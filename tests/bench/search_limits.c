#include "config.h"

#include "tests/bench/search_limits.h"

#include <string.h>

#define BLOCK   2048 /* words of codes: half of the first cache */
#define QUERIES 4

static _Alignas(64) uint64_t block[BLOCK];

#if defined(HAVE_AVX2_KERNELS) || defined(HAVE_AVX512_KERNELS)
#include <immintrin.h>
#endif

/* Vectors without instructions of their own serve where there is no other. */
static uint64_t read_plain(const uint64_t *at, size_t n)
{
    uint64_t a = 0, b = 0;

    for (size_t i = 0; i < n; i += 8) {
        a |= at[i] | at[i + 1] | at[i + 2] | at[i + 3];
        b |= at[i + 4] | at[i + 5] | at[i + 6] | at[i + 7];
    }
    return a | b;
}

static uint64_t compare_plain(size_t n_blocks)
{
    uint64_t sum[QUERIES] = {0};

    for (size_t n = 0; n < n_blocks; n++) {
        for (size_t i = 0; i < BLOCK; i++)
            for (size_t q = 0; q < QUERIES; q++)
                sum[q] += (uint64_t)__builtin_popcountll(block[i] ^ q);
        __asm__ volatile("" ::: "memory");
    }
    return sum[0] + sum[1] + sum[2] + sum[3];
}

#ifdef HAVE_AVX2_KERNELS
#define FOR_AVX2 __attribute__((target("avx2")))

FOR_AVX2 static uint64_t read_avx2(const uint64_t *at, size_t n)
{
    __m256i a = _mm256_setzero_si256(), b = a;

    for (size_t i = 0; i < n; i += 8) {
        const __m256i *from = (const __m256i *)(const void *)(at + i);

        a = _mm256_or_si256(a, _mm256_load_si256(from));
        b = _mm256_or_si256(b, _mm256_load_si256(from + 1));
    }
    a = _mm256_or_si256(a, b);
    return (uint64_t)_mm256_extract_epi64(a, 0);
}

/* Bits of each byte by two look-ups, as there is no instruction for it. */
FOR_AVX2 static uint64_t compare_avx2(size_t n_blocks)
{
    const __m256i table =
        _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1,
                         1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    const __m256i low = _mm256_set1_epi8(15), zero = _mm256_setzero_si256();
    __m256i sum[QUERIES] = {zero, zero, zero, zero};

    for (size_t n = 0; n < n_blocks; n++) {
        for (size_t i = 0; i < BLOCK; i += 4) {
            __m256i v =
                _mm256_load_si256((const __m256i *)(const void *)(block + i));

#pragma GCC unroll 4
            for (size_t q = 0; q < QUERIES; q++) {
                __m256i x =
                    _mm256_xor_si256(v, _mm256_set1_epi64x((long long)q));
                __m256i a =
                    _mm256_shuffle_epi8(table, _mm256_and_si256(x, low));
                __m256i b = _mm256_shuffle_epi8(
                    table, _mm256_and_si256(_mm256_srli_epi16(x, 4), low));

                sum[q] = _mm256_add_epi64(
                    sum[q], _mm256_sad_epu8(_mm256_add_epi8(a, b), zero));
            }
        }
        __asm__ volatile("" ::: "memory");
    }
    for (size_t q = 1; q < QUERIES; q++)
        sum[0] = _mm256_add_epi64(sum[0], sum[q]);
    return (uint64_t)_mm256_extract_epi64(sum[0], 0);
}
#endif

#ifdef HAVE_AVX512_KERNELS
#define FOR_AVX512 __attribute__((target("avx512f,avx512vpopcntdq")))

FOR_AVX512 static uint64_t read_avx512(const uint64_t *at, size_t n)
{
    __m512i a = _mm512_setzero_si512(), b = a, c = a, d = a;
    size_t i = 0;

    for (; i + 32 <= n; i += 32) {
        a = _mm512_or_si512(a, _mm512_load_si512(at + i));
        b = _mm512_or_si512(b, _mm512_load_si512(at + i + 8));
        c = _mm512_or_si512(c, _mm512_load_si512(at + i + 16));
        d = _mm512_or_si512(d, _mm512_load_si512(at + i + 24));
    }
    for (; i < n; i += 8)
        a = _mm512_or_si512(a, _mm512_load_si512(at + i));
    a = _mm512_or_si512(_mm512_or_si512(a, b), _mm512_or_si512(c, d));
    return (uint64_t)_mm512_reduce_or_epi64(a);
}

FOR_AVX512 static uint64_t compare_avx512(size_t n_blocks)
{
    __m512i sum[2][QUERIES], all = _mm512_setzero_si512();

    for (size_t q = 0; q < QUERIES; q++)
        sum[0][q] = sum[1][q] = all;
    for (size_t n = 0; n < n_blocks; n++) {
        for (size_t i = 0; i < BLOCK; i += 16) {
#pragma GCC unroll 4
            for (size_t q = 0; q < QUERIES; q++) {
                __m512i query = _mm512_set1_epi64((long long)q);
                __m512i a = _mm512_load_si512(block + i);
                __m512i b = _mm512_load_si512(block + i + 8);

                a = _mm512_popcnt_epi64(_mm512_xor_si512(a, query));
                b = _mm512_popcnt_epi64(_mm512_xor_si512(b, query));
                sum[0][q] = _mm512_add_epi64(sum[0][q], a);
                sum[1][q] = _mm512_add_epi64(sum[1][q], b);
            }
        }
        __asm__ volatile("" ::: "memory");
    }
    for (size_t q = 0; q < QUERIES; q++)
        all = _mm512_add_epi64(all, _mm512_add_epi64(sum[0][q], sum[1][q]));
    return (uint64_t)_mm512_reduce_add_epi64(all);
}
#endif

uint64_t limit_read(const void *bytes, size_t len)
{
#ifdef HAVE_AVX512_KERNELS
    if (__builtin_cpu_supports("avx512f"))
        return read_avx512(bytes, len / 8);
#endif
#ifdef HAVE_AVX2_KERNELS
    if (__builtin_cpu_supports("avx2"))
        return read_avx2(bytes, len / 8);
#endif
    return read_plain(bytes, len / 8);
}

uint64_t limit_compare(const char *isa, size_t words)
{
    size_t n_blocks = (words + BLOCK - 1) / BLOCK;

#ifdef HAVE_AVX512_KERNELS
    if (strcmp(isa, "avx512") == 0)
        return compare_avx512(n_blocks);
#endif
#ifdef HAVE_AVX2_KERNELS
    if (strcmp(isa, "avx2") == 0)
        return compare_avx2(n_blocks);
#endif
    (void)isa;
    return compare_plain(n_blocks);
}
