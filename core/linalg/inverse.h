/*
 * inverse.h -- the inverse of a small symmetric matrix.
 *
 * Plain loops in double, n^3 multiply-adds, no BLAS: a learner that takes its
 * steps with an inverse makes it again when it is loaded, and must get the same
 * bytes.
 */
#ifndef AK_CORE_LINALG_INVERSE_H
#define AK_CORE_LINALG_INVERSE_H

#include <stddef.h>

/*
 * In place of a (n, n), symmetric and positive definite, its inverse.  What
 * comes out is symmetric but for rounding.
 */
void ak_invert_positive(double *a, size_t n);

#endif
