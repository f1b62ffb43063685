/*
 * paired.c -- bounds of a mean of differences.
 *
 * Kohavi, Longbotham, Sommerfield and Henne, "Controlled experiments on the
 * web", Data Mining and Knowledge Discovery 18(1), 2009.  With mean g and standard
 * deviation s of n differences the one-sided 95 % bounds are
 *
 *     g -+ 1.645 s / sqrt(n)
 *
 * The quantile is the normal's: of Student's t with 999 degrees of freedom it is
 * 1.646, with 29, which is the least that anyone here asks for, 1.699.
 */
#include "core/eval/paired.h"

#include <math.h>

#define QUANTILE_95 1.6449

void ak_paired_bounds(const double *differences, size_t n,
                      struct ak_paired *out)
{
    double sum = 0, squares = 0, error = 0;

    for (size_t i = 0; i < n; i++)
        sum += differences[i];
    out->mean = n > 0 ? sum / (double)n : 0;
    for (size_t i = 0; i < n; i++)
        squares += (differences[i] - out->mean) * (differences[i] - out->mean);
    if (n > 1)
        error = sqrt(squares / (double)(n - 1) / (double)n);
    out->lower = out->mean - QUANTILE_95 * error;
    out->upper = out->mean + QUANTILE_95 * error;
}
