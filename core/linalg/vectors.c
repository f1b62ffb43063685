#include "core/linalg/vectors.h"

#include <string.h>

/* The eight sums side by side, which any compiler maps to what there is. */
#define LANES 8
typedef float wide_floats __attribute__((vector_size(LANES * sizeof(float))));
typedef double wide_sums __attribute__((vector_size(LANES * sizeof(double))));

static double add_lanes(const double s[LANES])
{
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

double ak_square_distance(const float *a, const float *b, size_t dim)
{
    wide_sums sums = {0};
    double s[LANES];
    size_t i = 0;

    for (; i + LANES <= dim; i += LANES) {
        wide_floats x, y;
        wide_sums d;

        memcpy(&x, a + i, sizeof(x));
        memcpy(&y, b + i, sizeof(y));
        d = __builtin_convertvector(x, wide_sums) -
            __builtin_convertvector(y, wide_sums);
        sums += d * d;
    }
    memcpy(s, &sums, sizeof(s));
    for (; i < dim; i++) {
        double d = (double)a[i] - (double)b[i];

        s[i % LANES] += d * d;
    }
    return add_lanes(s);
}

double ak_inner_product(const float *a, const float *b, size_t dim)
{
    wide_sums sums = {0};
    double s[LANES];
    size_t i = 0;

    for (; i + LANES <= dim; i += LANES) {
        wide_floats x, y;

        memcpy(&x, a + i, sizeof(x));
        memcpy(&y, b + i, sizeof(y));
        sums += __builtin_convertvector(x, wide_sums) *
                __builtin_convertvector(y, wide_sums);
    }
    memcpy(s, &sums, sizeof(s));
    for (; i < dim; i++)
        s[i % LANES] += (double)a[i] * (double)b[i];
    return add_lanes(s);
}
