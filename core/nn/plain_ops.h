/*
 * plain_ops.h -- the layers as plain loops; for core/nn and its tests only.
 *
 * These functions are the definition of what every engine computes.  To add a
 * layer: a pair of functions, its row in plain.c, and its rule in graph.c.
 */
#ifndef AK_CORE_NN_PLAIN_OPS_H
#define AK_CORE_NN_PLAIN_OPS_H

#include "core/nn/graph.h"
#include "core/nn/real.h"

/* One layer at work on n images; pointers to parameters may be NULL. */
struct ak_plain {
    const struct ak_graph *g;
    const struct ak_layer *l;
    const struct ak_layer *in[AK_NN_INPUTS]; /* the layers before it */
    uint32_t n;
    bool train;
    uint64_t seed;

    const ak_real *x[AK_NN_INPUTS]; /* (n, c, h, w) each */
    ak_real *y;
    const ak_real *dy;
    ak_real *dx[AK_NN_INPUTS]; /* added to; NULL: not wanted */

    /* By role: what the layer has, and the gradients, which are added to. */
    const ak_real *value[AK_PARAM_ROLES];
    ak_real *grad[AK_PARAM_ROLES];

    ak_real *saved; /* what forward() leaves for backward() */
};

typedef void ak_plain_fn(const struct ak_plain *p);

struct ak_plain_layer {
    ak_plain_fn *forward, *backward;
    /* Numbers in `saved` for a batch of n; NULL: none. */
    size_t (*saved)(const struct ak_layer *l, uint32_t n);
};

extern const struct ak_plain_layer ak_plain_layers[AK_LAYER_KINDS];

ak_plain_fn ak_plain_conv, ak_plain_conv_back, ak_plain_linear,
    ak_plain_linear_back, ak_plain_bn, ak_plain_bn_back, ak_plain_relu,
    ak_plain_relu_back, ak_plain_relu6, ak_plain_relu6_back, ak_plain_prelu,
    ak_plain_prelu_back, ak_plain_hardtanh, ak_plain_hardtanh_back,
    ak_plain_tanh, ak_plain_tanh_back, ak_plain_dropout, ak_plain_dropout_back,
    ak_plain_maxpool, ak_plain_maxpool_back, ak_plain_avgpool,
    ak_plain_avgpool_back, ak_plain_gap, ak_plain_gap_back, ak_plain_add,
    ak_plain_add_back, ak_plain_concat, ak_plain_concat_back, ak_plain_map,
    ak_plain_map_back;

size_t ak_plain_bn_saved(const struct ak_layer *l, uint32_t n);
size_t ak_plain_dropout_saved(const struct ak_layer *l, uint32_t n);
size_t ak_plain_maxpool_saved(const struct ak_layer *l, uint32_t n);

#endif
