/*
 * project_kernels.h -- the kernels behind project.h, for core/linalg/ and its
 * tests only.
 */
#ifndef AK_CORE_LINALG_PROJECT_KERNELS_H
#define AK_CORE_LINALG_PROJECT_KERNELS_H

#include <stdint.h>

#include "core/base/cpu.h"
#include "core/linalg/project.h"

/*
 * The exponential, the same operations in the same order everywhere:
 *
 *     t = scale * v
 *     r = fma(t, 1 / ln 2, SHIFT)     the integer nearest to t / ln 2 is now
 *     k = r - SHIFT                   in the low bits of r
 *     f = fma(k, -LN2_LOW, fma(k, -LN2_HIGH, t))            |f| <= ln 2 / 2
 *     p = 1 + f (1 + f (1/2! + f (1/3! + ... f / 7!)))      by fma
 *     exp = p * 2^k                   by adding to the exponent
 *
 * The series of degree 7 leaves out less than 6e-9 of the value, a tenth of a
 * unit in the last place.  Below LEAST the result would soon leave the normal
 * range, where adding to the exponent is wrong: it is zero there.
 */
#define AK_EXP_LEAST    (-87.0f)
#define AK_EXP_LOG2E    0x1.715476p+0f
#define AK_EXP_SHIFT    0x1.8p+23f
#define AK_EXP_LN2_HIGH 0x1.62e43p-1f
#define AK_EXP_LN2_LOW  (-0x1.05c61p-29f) /* ln 2 - LN2_HIGH */
#define AK_EXP_C2       (1.0f / 2)
#define AK_EXP_C3       (1.0f / 6)
#define AK_EXP_C4       (1.0f / 24)
#define AK_EXP_C5       (1.0f / 120)
#define AK_EXP_C6       (1.0f / 720)
#define AK_EXP_C7       (1.0f / 5040)

ak_project_fn ak_product_scalar, ak_product_avx2, ak_product_avx512;
ak_project_fn ak_squares_scalar, ak_squares_avx2, ak_squares_avx512;
ak_exp_fn ak_exp_scalar, ak_exp_avx2, ak_exp_avx512;

/* The i-th kernels that can run here, best first; NULL past the last. */
const struct ak_project_kernels *ak_project_kernels_at(unsigned i);

#endif
