/* AVX2 and FMA kernels.  See project_scalar.c for what they compute. */
#include "core/linalg/project_kernels.h"

#include <immintrin.h>

#define VEC            __m256
#define LANES          8
#define V_LOAD         _mm256_loadu_ps
#define V_STORE        _mm256_storeu_ps
#define V_SET1         _mm256_set1_ps
#define V_SUB          _mm256_sub_ps
#define V_FMA(a, b, c) _mm256_fmadd_ps(a, b, c)

/* 12 sums, 2 of the matrix, a broadcast and a difference: all 16 registers. */
#define TILE_ROWS   6
#define TILE_PANELS 1
#include "core/linalg/project_tile.h"

void ak_product_avx2(const float *x, size_t n, size_t ldx, const float *packed,
                     size_t d, size_t panels, float *y, size_t ldy)
{
    all_tiles(x, n, ldx, packed, d, panels, y, ldy, 0);
}

void ak_squares_avx2(const float *x, size_t n, size_t ldx, const float *packed,
                     size_t d, size_t panels, float *y, size_t ldy)
{
    all_tiles(x, n, ldx, packed, d, panels, y, ldy, 1);
}

void ak_exp_avx2(float *v, size_t n, float scale)
{
    const __m256 shift = _mm256_set1_ps(AK_EXP_SHIFT);
    const __m256 one = _mm256_set1_ps(1.0f);

    for (size_t i = 0; i < n; i += LANES) {
        __m256 t = _mm256_mul_ps(_mm256_set1_ps(scale), _mm256_loadu_ps(v + i));
        __m256 normal =
            _mm256_cmp_ps(t, _mm256_set1_ps(AK_EXP_LEAST), _CMP_GE_OQ);
        __m256 r = _mm256_fmadd_ps(t, _mm256_set1_ps(AK_EXP_LOG2E), shift);
        __m256 k = _mm256_sub_ps(r, shift);
        __m256 f = _mm256_fmadd_ps(k, _mm256_set1_ps(-AK_EXP_LN2_HIGH), t);
        __m256 p = _mm256_set1_ps(AK_EXP_C7);
        __m256i bits;

        f = _mm256_fmadd_ps(k, _mm256_set1_ps(-AK_EXP_LN2_LOW), f);
        p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(AK_EXP_C6));
        p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(AK_EXP_C5));
        p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(AK_EXP_C4));
        p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(AK_EXP_C3));
        p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(AK_EXP_C2));
        p = _mm256_fmadd_ps(p, f, one);
        p = _mm256_fmadd_ps(p, f, one);
        bits = _mm256_add_epi32(_mm256_castps_si256(p),
                                _mm256_slli_epi32(_mm256_castps_si256(r), 23));
        _mm256_storeu_ps(v + i,
                         _mm256_and_ps(_mm256_castsi256_ps(bits), normal));
    }
}
