/*
 * plain.c -- the engine of plain loops: every layer in order, none fused.
 */
#include <string.h>

#include "core/base/mem.h"
#include "core/nn/exec_ops.h"
#include "core/nn/plain_ops.h"

const struct ak_plain_layer ak_plain_layers[AK_LAYER_KINDS] = {
    [AK_LAYER_CONV] = {ak_plain_conv, ak_plain_conv_back, NULL},
    [AK_LAYER_BN] = {ak_plain_bn, ak_plain_bn_back, ak_plain_bn_saved},
    [AK_LAYER_RELU] = {ak_plain_relu, ak_plain_relu_back, NULL},
    [AK_LAYER_RELU6] = {ak_plain_relu6, ak_plain_relu6_back, NULL},
    [AK_LAYER_PRELU] = {ak_plain_prelu, ak_plain_prelu_back, NULL},
    [AK_LAYER_HARDTANH] = {ak_plain_hardtanh, ak_plain_hardtanh_back, NULL},
    [AK_LAYER_TANH] = {ak_plain_tanh, ak_plain_tanh_back, NULL},
    [AK_LAYER_MAXPOOL] = {ak_plain_maxpool, ak_plain_maxpool_back,
                          ak_plain_maxpool_saved},
    [AK_LAYER_AVGPOOL] = {ak_plain_avgpool, ak_plain_avgpool_back, NULL},
    [AK_LAYER_GAP] = {ak_plain_gap, ak_plain_gap_back, NULL},
    [AK_LAYER_LINEAR] = {ak_plain_linear, ak_plain_linear_back, NULL},
    [AK_LAYER_ADD] = {ak_plain_add, ak_plain_add_back, NULL},
    [AK_LAYER_CONCAT] = {ak_plain_concat, ak_plain_concat_back, NULL},
    [AK_LAYER_DROPOUT] = {ak_plain_dropout, ak_plain_dropout_back,
                          ak_plain_dropout_saved},
    [AK_LAYER_MAP] = {ak_plain_map, ak_plain_map_back, NULL},
};

struct plain_exec {
    struct ak_exec base;
    ak_real *values;
    ak_real **y;     /* (n_layers) (batch, c, h, w) each */
    ak_real **dy;    /* in training */
    ak_real **saved; /* in training */
    size_t bytes;
};

static bool plain_can(enum ak_exec_type type)
{
    return type == AK_EXEC_F32;
}

static ak_real *numbers(struct plain_exec *e, size_t n, struct ak_err *err)
{
    ak_real *array = ak_array_new(n, sizeof(*array));

    if (array == NULL)
        (void)ak_fail(err, AK_ENOMEM, "no memory for %zu values", n);
    e->bytes += n * sizeof(*array);
    return array;
}

static enum ak_status plain_create(struct ak_exec *base, struct ak_err *err)
{
    struct plain_exec *e = (struct plain_exec *)base;
    const struct ak_graph *g = base->g;

    e->y = ak_array_new(g->n_layers, sizeof(*e->y));
    e->dy = ak_array_new(g->n_layers, sizeof(*e->dy));
    e->saved = ak_array_new(g->n_layers, sizeof(*e->saved));
    if (e->y == NULL || e->dy == NULL || e->saved == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for %u layers", g->n_layers);
    e->values = numbers(e, g->n_values, err);
    if (e->values == NULL)
        return AK_ENOMEM;
    for (uint32_t i = 0; i < g->n_layers; i++) {
        const struct ak_layer *l = &g->layers[i];
        const struct ak_plain_layer *ops = &ak_plain_layers[l->kind];
        size_t n = base->params.batch * ak_layer_size(l);

        e->y[i] = numbers(e, n, err);
        if (e->y[i] == NULL)
            return AK_ENOMEM;
        if (!base->params.train)
            continue;
        e->dy[i] = numbers(e, n, err);
        if (e->dy[i] == NULL)
            return AK_ENOMEM;
        if (ops->saved != NULL) {
            e->saved[i] = numbers(e, ops->saved(l, base->params.batch), err);
            if (e->saved[i] == NULL)
                return AK_ENOMEM;
        }
    }
    return AK_OK;
}

static void plain_clear(struct ak_exec *base)
{
    struct plain_exec *e = (struct plain_exec *)base;

    for (uint32_t i = 0; i < base->g->n_layers; i++) {
        if (e->y != NULL)
            ak_array_free(e->y[i]);
        if (e->dy != NULL)
            ak_array_free(e->dy[i]);
        if (e->saved != NULL)
            ak_array_free(e->saved[i]);
    }
    ak_array_free(e->y);
    ak_array_free(e->dy);
    ak_array_free(e->saved);
    ak_array_free(e->values);
}

static enum ak_status plain_load(struct ak_exec *base, const ak_real *values,
                                 struct ak_err *err)
{
    struct plain_exec *e = (struct plain_exec *)base;

    (void)err;
    memcpy(e->values, values, base->g->n_values * sizeof(*values));
    return AK_OK;
}

static struct ak_plain call_of(struct plain_exec *e, uint32_t layer, uint32_t n,
                               ak_real *grads)
{
    const struct ak_graph *g = e->base.g;
    const struct ak_layer *l = &g->layers[layer];
    struct ak_plain p = {
        .g = g,
        .l = l,
        .n = n,
        .train = e->base.params.train,
        .y = e->y[layer],
        .dy = e->dy[layer],
        .saved = e->saved[layer],
    };

    for (uint32_t i = 0; i < l->n_in; i++) {
        p.in[i] = &g->layers[l->in[i]];
        p.x[i] = e->y[l->in[i]];
        p.dx[i] = e->dy[l->in[i]];
    }
    for (uint32_t i = 0; i < l->n_params; i++) {
        const struct ak_param *param = &g->params[l->first_param + i];

        p.value[param->role] = e->values + param->offset;
        if (grads != NULL)
            p.grad[param->role] = grads + param->offset;
    }
    return p;
}

static enum ak_status plain_forward(struct ak_exec *base, const ak_real *x,
                                    uint32_t n, uint64_t seed,
                                    struct ak_err *err)
{
    struct plain_exec *e = (struct plain_exec *)base;

    (void)err;
    memcpy(e->y[0], x, n * ak_layer_size(&base->g->layers[0]) * sizeof(*x));
    for (uint32_t i = 1; i < base->g->n_layers; i++) {
        struct ak_plain p = call_of(e, i, n, NULL);

        p.seed = seed;
        ak_plain_layers[p.l->kind].forward(&p);
    }
    return AK_OK;
}

static enum ak_status plain_output(struct ak_exec *base, uint32_t layer,
                                   ak_real *out, struct ak_err *err)
{
    const struct plain_exec *e = (const struct plain_exec *)base;

    (void)err;
    memcpy(out, e->y[layer],
           base->n * ak_layer_size(&base->g->layers[layer]) * sizeof(*out));
    return AK_OK;
}

static void plain_stats(struct ak_exec *base, uint32_t layer,
                        const ak_real **mean, const ak_real **var)
{
    const struct plain_exec *e = (const struct plain_exec *)base;

    *mean = e->saved[layer];
    *var = e->saved[layer] + base->g->layers[layer].c;
}

static enum ak_status plain_backward(struct ak_exec *base,
                                     const struct ak_exec_start *starts,
                                     uint32_t n_starts, ak_real *grads,
                                     ak_real *dx, struct ak_err *err)
{
    struct plain_exec *e = (struct plain_exec *)base;
    const struct ak_graph *g = base->g;

    (void)err;
    for (uint32_t i = 0; i < g->n_layers; i++)
        memset(e->dy[i], 0,
               base->n * ak_layer_size(&g->layers[i]) * sizeof(ak_real));
    for (uint32_t s = 0; s < n_starts; s++) {
        size_t size = base->n * ak_layer_size(&g->layers[starts[s].layer]);

        for (size_t i = 0; i < size; i++)
            e->dy[starts[s].layer][i] += starts[s].grad[i];
    }
    for (uint32_t i = g->n_layers - 1; i > 0; i--) {
        struct ak_plain p = call_of(e, i, base->n, grads);

        ak_plain_layers[p.l->kind].backward(&p);
    }
    if (dx != NULL)
        memcpy(dx, e->dy[0],
               base->n * ak_layer_size(&g->layers[0]) * sizeof(*dx));
    return AK_OK;
}

static size_t plain_bytes(const struct ak_exec *base)
{
    return ((const struct plain_exec *)base)->bytes;
}

const struct ak_engine ak_engine_plain = {
    .name = "plain",
    .size = sizeof(struct plain_exec),
    .can = plain_can,
    .create = plain_create,
    .clear = plain_clear,
    .load = plain_load,
    .forward = plain_forward,
    .output = plain_output,
    .batch_stats = plain_stats,
    .backward = plain_backward,
    .bytes = plain_bytes,
};
