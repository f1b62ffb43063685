/*
 * hcdh_internal.h -- the network of hcdh.c and the gradient of its loss.
 *
 *     a = max(0, z A1 + b1)      (n, hidden); a = z without a hidden layer
 *     h = tanh(a A2 + b2)        (n, bits)
 *     q = softmax(h V' + v)      (n, classes)
 *
 * `base` holds A1 (dim, hidden), b1 (hidden), A2 (width of a, bits), b2 (bits);
 * `top` a row (V_c, v_c) of bits + 1 for each class, so that classes can be
 * added at the end.
 */
#ifndef AK_CORE_HASH_HCDH_INTERNAL_H
#define AK_CORE_HASH_HCDH_INTERNAL_H

#include <stddef.h>

#include "core/base/err.h"

struct ak_hcdh_net {
    size_t dim, hidden, bits, classes;
    float *base, *top;
};

size_t ak_hcdh_base_size(size_t dim, size_t hidden, size_t bits);

/* Scratch for n rows.  The caller owns it; zeroed, it can be cleared. */
struct ak_hcdh_scratch {
    float *a, *da; /* (n, hidden) */
    float *h, *dh; /* (n, bits) */
    float *q;      /* (n, classes) */
};

enum ak_status ak_hcdh_scratch_init(struct ak_hcdh_scratch *k,
                                    const struct ak_hcdh_net *net, size_t n,
                                    struct ak_err *err) AK_MUST_CHECK;
void ak_hcdh_scratch_clear(struct ak_hcdh_scratch *k);

/*
 * Loss of rows z (n, dim) with code targets c (n, bits) and label shares y (n,
 * classes), whose rows sum to 1, and its gradient in the layout of the net:
 *
 *     1 / n sum_i -sum_c y_ic log q_ic  +  weight / (n bits) sum |h - c|^2
 *
 * The second sum, as it is, is stored to *misses.
 */
double ak_hcdh_gradient(const struct ak_hcdh_net *net, const float *z,
                        const float *c, const float *y, size_t n, double weight,
                        struct ak_hcdh_scratch *k, float *base, float *top,
                        double *misses);

#endif
