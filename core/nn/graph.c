/* graph.c -- shapes of layers, their parameters, and the width variables. */
#include "core/nn/graph.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/nn/graph_internal.h"

#define ALIGN 16 /* floats: a parameter begins at a cache line */

/* ---- shapes ------------------------------------------------------------- */

static const struct ak_layer *input_of(const struct ak_graph *g,
                                       const struct ak_layer *l)
{
    return &g->layers[l->in[0]];
}

static enum ak_status same_shape(const struct ak_graph *g, struct ak_layer *l,
                                 struct ak_err *err)
{
    const struct ak_layer *x = input_of(g, l);

    (void)err;
    l->c = x->c;
    l->h = x->h;
    l->w = x->w;
    return AK_OK;
}

static enum ak_status input_shape(const struct ak_graph *g, struct ak_layer *l,
                                  struct ak_err *err)
{
    (void)g;
    if (l->c > 4)
        return ak_fail(err, AK_EINVAL, "%u channels, must be 1..4", l->c);
    for (uint32_t c = 0; c < l->c; c++)
        if (!(l->std[c] > 0))
            return ak_fail(err, AK_EINVAL, "std is %g, must be above 0",
                           (double)l->std[c]);
    return AK_OK;
}

/* TensorFlow's rule: ceil(side / stride) outputs, the odd row at the end. */
static void pad_same(uint32_t side, uint32_t k, uint32_t stride,
                     uint32_t *before, uint32_t *after)
{
    uint32_t reach = ((side + stride - 1) / stride - 1) * stride + k;
    uint32_t pad = reach > side ? reach - side : 0;

    *before = pad / 2;
    *after = pad - pad / 2;
}

/* The output's h and w of a window that slides over the input. */
static enum ak_status window_shape(const struct ak_graph *g, struct ak_layer *l,
                                   struct ak_err *err)
{
    const struct ak_layer *x = input_of(g, l);

    if (l->same) {
        pad_same(x->h, l->kh, l->stride, &l->pad[0], &l->pad[2]);
        pad_same(x->w, l->kw, l->stride, &l->pad[1], &l->pad[3]);
    }
    if (l->pad[0] >= l->kh || l->pad[2] >= l->kh || l->pad[1] >= l->kw ||
        l->pad[3] >= l->kw)
        return ak_fail(err, AK_EINVAL,
                       "pad is %u,%u,%u,%u, must be below the kernel's %ux%u",
                       l->pad[0], l->pad[1], l->pad[2], l->pad[3], l->kh,
                       l->kw);
    if (x->h + l->pad[0] + l->pad[2] < l->kh ||
        x->w + l->pad[1] + l->pad[3] < l->kw)
        return ak_fail(err, AK_EINVAL,
                       "a kernel of %ux%u does not fit an input of %ux%u",
                       l->kh, l->kw, x->h, x->w);
    l->h = (x->h + l->pad[0] + l->pad[2] - l->kh) / l->stride + 1;
    l->w = (x->w + l->pad[1] + l->pad[3] - l->kw) / l->stride + 1;
    if (l->h > AK_NN_SIDE || l->w > AK_NN_SIDE)
        return ak_fail(err, AK_ELIMIT, "an output of %ux%u, at most %dx%d",
                       l->h, l->w, AK_NN_SIDE, AK_NN_SIDE);
    return AK_OK;
}

static enum ak_status conv_shape(const struct ak_graph *g, struct ak_layer *l,
                                 struct ak_err *err)
{
    const struct ak_layer *x = input_of(g, l);

    if (x->c % l->groups != 0 || l->c % l->groups != 0)
        return ak_fail(err, AK_EINVAL,
                       "%u groups, must divide both %u and %u channels",
                       l->groups, x->c, l->c);
    return window_shape(g, l, err);
}

static enum ak_status pool_shape(const struct ak_graph *g, struct ak_layer *l,
                                 struct ak_err *err)
{
    l->c = input_of(g, l)->c;
    return window_shape(g, l, err);
}

static enum ak_status gap_shape(const struct ak_graph *g, struct ak_layer *l,
                                struct ak_err *err)
{
    (void)err;
    l->c = input_of(g, l)->c;
    l->h = l->w = 1;
    return AK_OK;
}

static enum ak_status linear_shape(const struct ak_graph *g, struct ak_layer *l,
                                   struct ak_err *err)
{
    (void)g;
    (void)err;
    l->h = l->w = 1;
    return AK_OK;
}

static enum ak_status add_shape(const struct ak_graph *g, struct ak_layer *l,
                                struct ak_err *err)
{
    const struct ak_layer *a = &g->layers[l->in[0]];
    const struct ak_layer *b = &g->layers[l->in[1]];

    if (a->c != b->c || a->h != b->h || a->w != b->w)
        return ak_fail(err, AK_EINVAL,
                       "inputs are %ux%ux%u and %ux%ux%u, must be alike", a->c,
                       a->h, a->w, b->c, b->h, b->w);
    return same_shape(g, l, err);
}

static enum ak_status concat_shape(const struct ak_graph *g, struct ak_layer *l,
                                   struct ak_err *err)
{
    const struct ak_layer *a = input_of(g, l);

    l->h = a->h;
    l->w = a->w;
    l->c = 0;
    for (uint32_t i = 0; i < l->n_in; i++) {
        const struct ak_layer *x = &g->layers[l->in[i]];

        if (x->h != a->h || x->w != a->w)
            return ak_fail(err, AK_EINVAL,
                           "inputs are %ux%u and %ux%u, must be alike", a->h,
                           a->w, x->h, x->w);
        l->c += x->c;
    }
    if (l->c > AK_NN_CHANNELS)
        return ak_fail(err, AK_ELIMIT, "%u channels, at most %d are possible",
                       l->c, AK_NN_CHANNELS);
    return AK_OK;
}

static enum ak_status map_shape(const struct ak_graph *g, struct ak_layer *l,
                                struct ak_err *err)
{
    const struct ak_layer *x = input_of(g, l);

    l->c = 0;
    for (uint32_t i = 0; i < l->n_runs; i++) {
        const struct ak_map_run *r = &l->runs[i];

        if (!r->zero && (r->n > x->c || r->first > x->c - r->n))
            return ak_fail(err, AK_EINVAL,
                           "takes channels %u to %u of an input with %u",
                           r->first, r->first + r->n - 1, x->c);
        if (r->n > AK_NN_CHANNELS - l->c)
            return ak_fail(err, AK_ELIMIT,
                           "more than %d channels are not possible",
                           AK_NN_CHANNELS);
        l->c += r->n;
    }
    l->h = (x->h + l->stride - 1) / l->stride;
    l->w = (x->w + l->stride - 1) / l->stride;
    return AK_OK;
}

#define KEY(name) (1u << AK_KEY_##name)

const struct ak_layer_rule ak_layer_rules[AK_LAYER_KINDS] = {
    [AK_LAYER_INPUT] = {"input", 0, 0, KEY(MEAN) | KEY(STD), 0, input_shape},
    [AK_LAYER_CONV] = {"conv", 1, 1,
                       KEY(OUT) | KEY(K) | KEY(STRIDE) | KEY(PAD) |
                           KEY(GROUPS) | KEY(BIAS),
                       KEY(OUT) | KEY(K), conv_shape},
    [AK_LAYER_BN] = {"bn", 1, 1, KEY(EPS) | KEY(MOMENTUM), 0, same_shape},
    [AK_LAYER_RELU] = {"relu", 1, 1, 0, 0, same_shape},
    [AK_LAYER_RELU6] = {"relu6", 1, 1, 0, 0, same_shape},
    [AK_LAYER_PRELU] = {"prelu", 1, 1, KEY(SLOPE), 0, same_shape},
    [AK_LAYER_HARDTANH] = {"hardtanh", 1, 1, 0, 0, same_shape},
    [AK_LAYER_TANH] = {"tanh", 1, 1, 0, 0, same_shape},
    [AK_LAYER_MAXPOOL] = {"maxpool", 1, 1, KEY(K) | KEY(STRIDE) | KEY(PAD),
                          KEY(K), pool_shape},
    [AK_LAYER_AVGPOOL] = {"avgpool", 1, 1, KEY(K) | KEY(STRIDE) | KEY(PAD),
                          KEY(K), pool_shape},
    [AK_LAYER_GAP] = {"gap", 1, 1, 0, 0, gap_shape},
    [AK_LAYER_LINEAR] = {"linear", 1, 1, KEY(OUT) | KEY(BIAS), KEY(OUT),
                         linear_shape},
    [AK_LAYER_ADD] = {"add", 2, 2, 0, 0, add_shape},
    [AK_LAYER_CONCAT] = {"concat", 2, AK_NN_INPUTS, 0, 0, concat_shape},
    [AK_LAYER_DROPOUT] = {"dropout", 1, 1, KEY(P), 0, same_shape},
    [AK_LAYER_MAP] = {"map", 1, 1, KEY(STRIDE) | KEY(FROM), KEY(FROM),
                      map_shape},
};

/* ---- parameters --------------------------------------------------------- */

static enum ak_status add_param(struct ak_graph *g, uint32_t layer,
                                enum ak_param_role role, const uint32_t *dims,
                                uint32_t n_dims, struct ak_err *err)
{
    struct ak_param *p = &g->params[g->n_params];
    struct ak_layer *l = &g->layers[layer];

    *p = (struct ak_param){.layer = layer,
                           .role = role,
                           .n_dims = n_dims,
                           .offset = g->n_values,
                           .n = 1};
    for (uint32_t i = 0; i < n_dims; i++) {
        p->dims[i] = dims[i];
        if (__builtin_mul_overflow(p->n, dims[i], &p->n) ||
            p->n > AK_NN_VALUES - g->n_values)
            return ak_fail(err, AK_ELIMIT,
                           "layer %s: more than %zu values of parameters",
                           l->name, AK_NN_VALUES);
    }
    if (l->n_params++ == 0)
        l->first_param = g->n_params;
    g->n_params++;
    g->n_values = (g->n_values + p->n + ALIGN - 1) / ALIGN * ALIGN;
    return AK_OK;
}

static enum ak_status add_params(struct ak_graph *g, uint32_t layer,
                                 struct ak_err *err)
{
    const struct ak_layer *l = &g->layers[layer];
    const struct ak_layer *x = &g->layers[l->in[0]];
    enum ak_status status = AK_OK;
    uint32_t dims[4] = {l->c, 1, 1, 1};

    switch (l->kind) {
    case AK_LAYER_CONV:
        dims[1] = x->c / l->groups;
        dims[2] = l->kh;
        dims[3] = l->kw;
        status = add_param(g, layer, AK_PARAM_WEIGHT, dims, 4, err);
        break;
    case AK_LAYER_LINEAR:
        /* Below 2^32, since a layer has at most AK_NN_VALUES values. */
        dims[1] = (uint32_t)ak_layer_size(x);
        status = add_param(g, layer, AK_PARAM_WEIGHT, dims, 2, err);
        break;
    case AK_LAYER_BN:
        for (unsigned r = AK_PARAM_GAMMA; status == AK_OK && r <= AK_PARAM_VAR;
             r++)
            status = add_param(g, layer, (enum ak_param_role)r, dims, 1, err);
        break;
    case AK_LAYER_PRELU:
        status = add_param(g, layer, AK_PARAM_SLOPE, dims, 1, err);
        break;
    default:
        break;
    }
    if (status == AK_OK && l->bias)
        status = add_param(g, layer, AK_PARAM_BIAS, dims, 1, err);
    return status;
}

/* ---- width variables ---------------------------------------------------- */

struct widths {
    struct ak_width *all; /* as many as layers */
    uint32_t *parent;
    uint32_t n;
};

static uint32_t root_of(const struct widths *w, uint32_t v)
{
    while (w->parent[v] != v) {
        w->parent[v] = w->parent[w->parent[v]];
        v = w->parent[v];
    }
    return v;
}

static uint32_t new_width(struct widths *w, uint32_t n, bool frozen)
{
    w->all[w->n] = (struct ak_width){.n = n, .frozen = frozen};
    w->parent[w->n] = w->n;
    return w->n++;
}

/* A composite is frozen by freezing what it is made of. */
static void freeze(struct widths *w, uint32_t v)
{
    v = root_of(w, v);
    w->all[v].frozen = true;
    for (uint32_t i = 0; i < w->all[v].n_parts; i++)
        freeze(w, w->all[v].parts[i]);
}

static uint32_t unite(struct widths *w, uint32_t a, uint32_t b)
{
    a = root_of(w, a);
    b = root_of(w, b);
    if (a == b)
        return a;
    /* The sum of a composite and another would tie channels of several
       variables to each other one by one: such stay as they are. */
    if (w->all[a].n_parts > 0 || w->all[b].n_parts > 0) {
        freeze(w, a);
        freeze(w, b);
        w->all[a].n_parts = w->all[b].n_parts = 0;
    }
    if (b < a) {
        uint32_t c = a;

        a = b;
        b = c;
    }
    w->all[a].frozen |= w->all[b].frozen;
    w->parent[b] = a;
    return a;
}

static uint32_t width_of(struct widths *w, const struct ak_graph *g,
                         const struct ak_layer *l)
{
    const struct ak_layer *x = l->n_in > 0 ? &g->layers[l->in[0]] : NULL;
    uint32_t v;

    switch (l->kind) {
    case AK_LAYER_INPUT:
        return new_width(w, l->c, true);
    case AK_LAYER_CONV:
        if (l->groups == 1)
            return new_width(w, l->c, false);
        if (l->groups == x->c && l->c == x->c)
            return root_of(w, x->width);
        freeze(w, x->width);
        return new_width(w, l->c, true);
    case AK_LAYER_LINEAR:
    case AK_LAYER_MAP:
        return new_width(w, l->c, false);
    case AK_LAYER_ADD:
        return unite(w, x->width, g->layers[l->in[1]].width);
    case AK_LAYER_CONCAT:
        v = new_width(w, l->c, false);
        for (uint32_t i = 0; i < l->n_in; i++)
            w->all[v].parts[w->all[v].n_parts++] = g->layers[l->in[i]].width;
        return v;
    default:
        return root_of(w, x->width);
    }
}

/* Number the variables that are left from 0 in the order of the layers. */
static void number_widths(struct ak_graph *g, struct widths *w,
                          uint32_t *number)
{
    uint32_t n = 0;

    for (uint32_t v = 0; v < w->n; v++)
        if (w->parent[v] == v)
            number[v] = n++;
    for (uint32_t v = 0; v < w->n; v++)
        if (w->parent[v] == v) {
            struct ak_width *width = &g->widths[number[v]];

            *width = w->all[v];
            for (uint32_t i = 0; i < width->n_parts; i++)
                width->parts[i] = number[root_of(w, width->parts[i])];
        }
    for (uint32_t i = 0; i < g->n_layers; i++)
        g->layers[i].width = number[root_of(w, g->layers[i].width)];
    g->n_widths = n;
}

static enum ak_status add_widths(struct ak_graph *g, struct ak_err *err)
{
    struct widths w = {.n = 0};
    uint32_t *number = ak_array_new(g->n_layers, sizeof(*number));
    enum ak_status status = AK_OK;

    w.all = ak_array_new(g->n_layers, sizeof(*w.all));
    w.parent = ak_array_new(g->n_layers, sizeof(*w.parent));
    g->widths = ak_array_new(g->n_layers, sizeof(*g->widths));
    if (number == NULL || w.all == NULL || w.parent == NULL ||
        g->widths == NULL) {
        status =
            ak_fail(err, AK_ENOMEM, "no memory for %u layers", g->n_layers);
        goto out;
    }
    for (uint32_t i = 0; i < g->n_layers; i++)
        g->layers[i].width = width_of(&w, g, &g->layers[i]);
    freeze(&w, g->layers[g->output].width);
    number_widths(g, &w, number);
out:
    ak_array_free(w.parent);
    ak_array_free(w.all);
    ak_array_free(number);
    return status;
}

/* ---- the whole ---------------------------------------------------------- */

enum ak_status ak_graph_finish(struct ak_graph *g, struct ak_err *err)
{
    size_t values = 0;

    /* A layer has five parameters at most. */
    g->params = ak_array_new((size_t)g->n_layers * 5, sizeof(*g->params));
    if (g->params == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for %u layers", g->n_layers);
    for (uint32_t i = 0; i < g->n_layers; i++) {
        enum ak_status status;

        values += ak_layer_size(&g->layers[i]);
        if (values > AK_NN_VALUES)
            return ak_fail(err, AK_ELIMIT,
                           "layer %s: more than %zu values of one image",
                           g->layers[i].name, AK_NN_VALUES);
        status = add_params(g, i, err);
        if (status != AK_OK)
            return status;
    }
    return add_widths(g, err);
}

void ak_graph_destroy(struct ak_graph *g)
{
    if (g == NULL)
        return;
    for (uint32_t i = 0; i < g->n_layers; i++)
        ak_array_free(g->layers[i].runs);
    ak_array_free(g->widths);
    ak_array_free(g->params);
    ak_array_free(g->layers);
    ak_array_free(g);
}

void ak_graph_count(const struct ak_graph *g, struct ak_graph_cost *out)
{
    *out = (struct ak_graph_cost){0};
    for (uint32_t i = 0; i < g->n_layers; i++)
        out->activations += ak_layer_size(&g->layers[i]);
    for (uint32_t i = 0; i < g->n_params; i++) {
        const struct ak_param *p = &g->params[i];
        const struct ak_layer *l = &g->layers[p->layer];

        if (p->role == AK_PARAM_GAMMA || p->role == AK_PARAM_BETA)
            out->bn_params += p->n;
        else if (p->role != AK_PARAM_MEAN && p->role != AK_PARAM_VAR)
            out->params += p->n;
        /* Every weight is used once at each place of the output. */
        if (p->role == AK_PARAM_WEIGHT)
            out->macs += (uint64_t)p->n * l->h * l->w;
    }
}

uint32_t ak_graph_find(const struct ak_graph *g, const char *name)
{
    for (uint32_t i = 0; i < g->n_layers; i++)
        if (strcmp(g->layers[i].name, name) == 0)
            return i;
    return UINT32_MAX;
}

const struct ak_param *ak_graph_param(const struct ak_graph *g, uint32_t layer,
                                      enum ak_param_role role)
{
    const struct ak_layer *l = &g->layers[layer];

    for (uint32_t i = 0; i < l->n_params; i++)
        if (g->params[l->first_param + i].role == role)
            return &g->params[l->first_param + i];
    return NULL;
}

void ak_param_name(const struct ak_graph *g, const struct ak_param *p,
                   char out[AK_PARAM_TEXT])
{
    static const char *const names[AK_PARAM_ROLES] = {
        [AK_PARAM_WEIGHT] = "weight",     [AK_PARAM_BIAS] = "bias",
        [AK_PARAM_GAMMA] = "weight",      [AK_PARAM_BETA] = "bias",
        [AK_PARAM_MEAN] = "running_mean", [AK_PARAM_VAR] = "running_var",
        [AK_PARAM_SLOPE] = "weight",
    };

    snprintf(out, AK_PARAM_TEXT, "%s.%s", g->layers[p->layer].name,
             names[p->role]);
}

const char *ak_layer_kind_name(enum ak_layer_kind kind)
{
    assert((unsigned)kind < AK_LAYER_KINDS);
    return ak_layer_rules[kind].name;
}

void ak_graph_normalise(const struct ak_graph *g, const uint8_t *pixels,
                        float *out)
{
    const struct ak_layer *l = &g->layers[0];
    size_t plane = (size_t)l->h * l->w;

    for (uint32_t c = 0; c < l->c; c++)
        for (size_t i = 0; i < plane; i++)
            out[c * plane + i] =
                ((float)pixels[c * plane + i] / 255.0f - l->mean[c]) /
                l->std[c];
}
