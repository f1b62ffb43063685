/*
 * hadamard.h -- Sylvester's Hadamard matrices, computed and never stored.
 *
 * H(1) = [1], H(2m) = [[H(m), H(m)], [H(m), -H(m)]], so that the entry at row i
 * and column j is -1 to the number of ones in i & j.  Rows are orthogonal:
 * H H' = order * I.  Row 0 and column 0 are all +1.
 */
#ifndef AK_CORE_LINALG_HADAMARD_H
#define AK_CORE_LINALG_HADAMARD_H

#include <stddef.h>
#include <stdint.h>

/* Entry (row, column): +1 or -1; the same in every order that has it. */
static inline int ak_hadamard(uint32_t row, uint32_t column)
{
    return __builtin_parity(row & column) ? -1 : 1;
}

/* The smallest order, a power of two, that is at least n; 1 <= n <= 2^31. */
uint32_t ak_hadamard_order(uint32_t n);

/*
 * Row `row` of the matrix of `order` as bits, 1 for +1: column j is bit j % 64,
 * from the least significant, of words[j / 64].  words (order + 63) / 64.
 */
void ak_hadamard_row(uint32_t row, uint32_t order, uint64_t *words);

/*
 * The same of Paley's matrix of order q + 1 for a prime q that is 3 modulo 4,
 * which there is where no power of two is: I + [[0, 1'], [-1, Q]] with Q_ij = 1
 * where i - j is a square modulo q, -1 where it is none, and 0 where i == j.
 */
void ak_hadamard_paley_row(uint32_t row, uint32_t q, uint64_t *words);

/*
 * Arrange rows (n), numbers of different rows of a matrix whose order is 2^k,
 * so that those which are affinely independent as vectors over GF(2) come
 * first, and otherwise keep their sequence.
 *
 * Columns j and j' are equal on a set of rows, or opposite, exactly when the
 * overlap of j ^ j' with each row is even, or odd, for all of them.  A set whose
 * affine span is all of GF(2)^k leaves no such pair.  So after this the first
 * k + 1 rows of a full matrix already tell all columns apart.
 */
void ak_hadamard_independent_first(uint32_t *rows, uint32_t n);

#endif
