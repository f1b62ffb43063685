/* AVX-512 kernels; AVX512F only.  See project_scalar.c for what they compute. */
#include "core/linalg/project_kernels.h"

#include <immintrin.h>

#define VEC            __m512
#define LANES          16
#define V_LOAD         _mm512_loadu_ps
#define V_STORE        _mm512_storeu_ps
#define V_SET1         _mm512_set1_ps
#define V_SUB          _mm512_sub_ps
#define V_FMA(a, b, c) _mm512_fmadd_ps(a, b, c)

/* 24 sums, 3 of the matrix, and room for a broadcast and a difference. */
#define TILE_ROWS   8
#define TILE_PANELS 3
#include "core/linalg/project_tile.h"

void ak_product_avx512(const float *x, size_t n, size_t ldx,
                       const float *packed, size_t d, size_t panels, float *y,
                       size_t ldy)
{
    all_tiles(x, n, ldx, packed, d, panels, y, ldy, 0);
}

void ak_squares_avx512(const float *x, size_t n, size_t ldx,
                       const float *packed, size_t d, size_t panels, float *y,
                       size_t ldy)
{
    all_tiles(x, n, ldx, packed, d, panels, y, ldy, 1);
}

void ak_exp_avx512(float *v, size_t n, float scale)
{
    const __m512 shift = _mm512_set1_ps(AK_EXP_SHIFT);
    const __m512 one = _mm512_set1_ps(1.0f);

    for (size_t i = 0; i < n; i += LANES) {
        __m512 t = _mm512_mul_ps(_mm512_set1_ps(scale), _mm512_loadu_ps(v + i));
        __mmask16 normal =
            _mm512_cmp_ps_mask(t, _mm512_set1_ps(AK_EXP_LEAST), _CMP_GE_OQ);
        __m512 r = _mm512_fmadd_ps(t, _mm512_set1_ps(AK_EXP_LOG2E), shift);
        __m512 k = _mm512_sub_ps(r, shift);
        __m512 f = _mm512_fmadd_ps(k, _mm512_set1_ps(-AK_EXP_LN2_HIGH), t);
        __m512 p = _mm512_set1_ps(AK_EXP_C7);
        __m512i bits;

        f = _mm512_fmadd_ps(k, _mm512_set1_ps(-AK_EXP_LN2_LOW), f);
        p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(AK_EXP_C6));
        p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(AK_EXP_C5));
        p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(AK_EXP_C4));
        p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(AK_EXP_C3));
        p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(AK_EXP_C2));
        p = _mm512_fmadd_ps(p, f, one);
        p = _mm512_fmadd_ps(p, f, one);
        bits = _mm512_add_epi32(_mm512_castps_si512(p),
                                _mm512_slli_epi32(_mm512_castps_si512(r), 23));
        bits = _mm512_maskz_mov_epi32(normal, bits);
        _mm512_storeu_ps(v + i, _mm512_castsi512_ps(bits));
    }
}
