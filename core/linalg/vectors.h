/*
 * vectors.h -- sums over two vectors of floats.
 *
 * Terms and sums are doubles, eight sums side by side that are added at the end
 * in an order of their own, so the same vectors give the same bits wherever they
 * are asked for.
 */
#ifndef AK_CORE_LINALG_VECTORS_H
#define AK_CORE_LINALG_VECTORS_H

#include <stddef.h>

/* Sum over i of (a[i] - b[i])^2, of a[i] b[i]; a and b (dim). */
double ak_square_distance(const float *a, const float *b, size_t dim);
double ak_inner_product(const float *a, const float *b, size_t dim);

#endif
