/* paired.h -- whether of two that were asked the same one is better. */
#ifndef AK_CORE_EVAL_PAIRED_H
#define AK_CORE_EVAL_PAIRED_H

#include <stddef.h>

struct ak_paired {
    double mean, lower, upper; /* the one-sided 95 % bounds of the mean */
};

/* Of n differences; of none all are 0, and of one the bounds are its value. */
void ak_paired_bounds(const double *differences, size_t n,
                      struct ak_paired *out);

#endif
