#include "core/linalg/inverse.h"

#include <assert.h>

/*
 * Gauss and Jordan, column after column; the pivots of a positive definite
 * matrix are positive, so none has to be looked for.
 */
void ak_invert_positive(double *a, size_t n)
{
    for (size_t k = 0; k < n; k++) {
        double *pivot = a + k * n, by = 1 / pivot[k];

        assert(by > 0);
        pivot[k] = 1;
        for (size_t j = 0; j < n; j++)
            pivot[j] *= by;
        for (size_t i = 0; i < n; i++) {
            double *row = a + i * n, f = row[k];

            if (i == k)
                continue;
            row[k] = 0;
            for (size_t j = 0; j < n; j++)
                row[j] -= f * pivot[j];
        }
    }
}
