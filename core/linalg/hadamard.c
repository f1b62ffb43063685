#include "core/linalg/hadamard.h"

#include <string.h>

uint32_t ak_hadamard_order(uint32_t n)
{
    uint32_t order = 1;

    while (order < n)
        order *= 2;
    return order;
}

void ak_hadamard_row(uint32_t row, uint32_t order, uint64_t *words)
{
    memset(words, 0, (order + 63) / 64 * sizeof(*words));
    for (uint32_t j = 0; j < order; j++)
        if (ak_hadamard(row, j) > 0)
            words[j / 64] |= UINT64_C(1) << (j % 64);
}

static int is_square(uint32_t v, uint32_t q)
{
    for (uint64_t s = 1; s <= q / 2; s++)
        if (s * s % q == v)
            return 1;
    return 0;
}

void ak_hadamard_paley_row(uint32_t row, uint32_t q, uint64_t *words)
{
    memset(words, 0, (q + 1 + 63) / 64 * sizeof(*words));
    for (uint32_t j = 0; j <= q; j++) {
        int plus;

        if (row == 0 || row == j)
            plus = 1;
        else if (j == 0)
            plus = 0;
        else
            plus = is_square((row + q - j) % q, q);
        if (plus)
            words[j / 64] |= UINT64_C(1) << (j % 64);
    }
}

/* Adds `v` to the basis, kept by leading bit; 0 if it depended on it already. */
static int extend(uint32_t basis[32], uint32_t v)
{
    for (int bit = 31; bit >= 0; bit--) {
        if ((v >> bit & 1) == 0)
            continue;
        if (basis[bit] == 0) {
            basis[bit] = v;
            return 1;
        }
        v ^= basis[bit];
    }
    return 0;
}

void ak_hadamard_independent_first(uint32_t *rows, uint32_t n)
{
    uint32_t basis[32] = {0};
    uint32_t found = 0;

    /* A coordinate of 1 makes affine independence a linear one.  At most 32
       rows move, each over the ones in between. */
    for (uint32_t i = 0; i < n; i++) {
        uint32_t row = rows[i];

        if (!extend(basis, row | UINT32_C(1) << 31))
            continue;
        memmove(rows + found + 1, rows + found, (i - found) * sizeof(*rows));
        rows[found++] = row;
    }
}
