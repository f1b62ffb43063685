/*
 * fcoh_internal.h -- the arithmetic of fcoh.c, for its tests.
 */
#ifndef AK_CORE_HASH_FCOH_INTERNAL_H
#define AK_CORE_HASH_FCOH_INTERNAL_H

#include <stddef.h>
#include <stdint.h>

#include "core/hash/hash.h"

/*
 * One class against a block.  U (n_c, bits) relaxed codes of the rows of the
 * class, B (n, bits) binary codes of all rows of the block, has[j] whether row
 * j is of the class:
 *
 *     E = U B' / bits - S,  S_ij = has[j] ? 1 : -1       (n_c, n)
 *     G = E B / (n_c n) o (1 - U o U)                    (n_c, bits)
 *
 * E lives in `pairs` (rows, n), so many rows of it at a time.  G is bits times
 * the gradient, by the projections of the class, of
 *
 *     L_c = 1 / (2 n_c n) sum E_ij^2
 *
 * whose n_c n-fold is added to *loss, twice.
 */
void ak_fcoh_gradient(const float *u, size_t n_c, const float *b,
                      const uint8_t *has, size_t n, size_t bits, float *pairs,
                      size_t rows, float *g, double *loss);

/* Rows of E at a time: memory of order bits^2, and n^2 / 8 at most. */
size_t ak_fcoh_pair_rows(size_t n, size_t bits);

/*
 * Most bytes that E has taken in one block since the learner was made, and what
 * all pairs of that block would have taken; 0 and 0 before the first block.
 */
void ak_fcoh_pair_bytes(const struct ak_hash *h, size_t *taken, size_t *full);

#endif
