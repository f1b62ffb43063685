/*
 * blas.h -- dense products for learning: OpenBLAS with asserted shapes.
 *
 * Matrices are row-major with `ld` floats from one row to the next.  One thread
 * always, so that the same shapes give the same bytes in the same build; other
 * shapes may round otherwise, which is why encoding goes through project.h.
 *
 *     nn:  c (m, n) = alpha a (m, k) b (k, n)  + beta c
 *     nt:  c (m, n) = alpha a (m, k) b (n, k)' + beta c
 *     tn:  c (m, n) = alpha a (k, m)' b (k, n) + beta c
 *
 * With beta 0, c need not be initialised.  c overlaps neither a nor b.
 */
#ifndef AK_CORE_LINALG_BLAS_H
#define AK_CORE_LINALG_BLAS_H

#include <stddef.h>

void ak_gemm_nn(size_t m, size_t n, size_t k, float alpha, const float *a,
                size_t lda, const float *b, size_t ldb, float beta, float *c,
                size_t ldc);
void ak_gemm_nt(size_t m, size_t n, size_t k, float alpha, const float *a,
                size_t lda, const float *b, size_t ldb, float beta, float *c,
                size_t ldc);
void ak_gemm_tn(size_t m, size_t n, size_t k, float alpha, const float *a,
                size_t lda, const float *b, size_t ldb, float beta, float *c,
                size_t ldc);

#endif
