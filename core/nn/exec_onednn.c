/*
 * exec_onednn.c -- the engine of oneDNN: from a graph to lists of steps.
 *
 * Made once: a forward list, a list that copies weights into the library's
 * layouts, and, at the first backward, a backward list.  What the library does
 * not have goes through the plain loops, in planar floats, as a step like the
 * others.
 *
 * Fused in training: a normalisation or a sum with the ReLU behind it.  Else:
 * a convolution with the normalisation behind it, which becomes part of its
 * weights and bias, with the sum behind that, into the memory of the other
 * summand, and with the activation behind that.  Layers that were asked for
 * are never inside of a fused one.
 */
#include "config.h"

#include "core/nn/exec.h"

#ifdef HAVE_DNNL

#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/nn/exec_onednn_internal.h"

const struct ak_layer *ak_od_layer(const struct ak_od_exec *e, uint32_t i)
{
    return &e->base.g->layers[i];
}

enum ak_dn_act ak_od_act(enum ak_layer_kind kind)
{
    switch (kind) {
    case AK_LAYER_RELU:
        return AK_DN_RELU;
    case AK_LAYER_RELU6:
        return AK_DN_RELU6;
    case AK_LAYER_HARDTANH:
        return AK_DN_HARDTANH;
    case AK_LAYER_TANH:
        return AK_DN_TANH;
    default:
        return AK_DN_NONE;
    }
}

/* The one layer that uses `i`, if it is one of `kind` and `i` is not asked
   for; else AK_OD_NONE. */
static uint32_t only_user(const struct ak_od_exec *e, uint32_t i)
{
    if (e->base.kept[i] || e->nodes[i].users != 1)
        return AK_OD_NONE;
    for (uint32_t k = i + 1; k < e->base.g->n_layers; k++)
        for (uint32_t j = 0; j < ak_od_layer(e, k)->n_in; j++)
            if (ak_od_layer(e, k)->in[j] == i)
                return k;
    return AK_OD_NONE;
}

static bool is_kind(const struct ak_od_exec *e, uint32_t i,
                    enum ak_layer_kind kind)
{
    return i != AK_OD_NONE && ak_od_layer(e, i)->kind == kind;
}

struct ak_dn_window ak_od_window(const struct ak_od_exec *e, uint32_t i)
{
    const struct ak_layer *l = ak_od_layer(e, i);
    struct ak_dn_window p = {
        .n = e->base.params.batch,
        .out = l->c,
        .h = l->h,
        .w = l->w,
        .kh = l->kh,
        .kw = l->kw,
        .stride = l->stride,
        .groups = l->groups,
    };

    memcpy(p.pad, l->pad, sizeof(p.pad));
    if (l->kind == AK_LAYER_GAP) {
        p.kh = ak_od_layer(e, l->in[0])->h;
        p.kw = ak_od_layer(e, l->in[0])->w;
    }
    return p;
}

float *ak_od_value(float *array, const struct ak_od_exec *e, uint32_t i,
                   enum ak_param_role role)
{
    const struct ak_param *p = ak_graph_param(e->base.g, i, role);

    return p != NULL ? array + p->offset : NULL;
}

/* ---- forward ------------------------------------------------------------ */

static void absorb(struct ak_od_exec *e, uint32_t by, uint32_t i)
{
    e->nodes[i].absorbed = by;
    e->nodes[i].done = true;
    e->nodes[by].last = i;
}

static uint32_t relu_behind(const struct ak_od_exec *e, uint32_t i)
{
    uint32_t user = only_user(e, i);

    return is_kind(e, user, AK_LAYER_RELU) ? user : AK_OD_NONE;
}

static enum ak_status add_bn(struct ak_od_exec *e, uint32_t i,
                             struct ak_err *err)
{
    const struct ak_layer *l = ak_od_layer(e, i);
    struct ak_od_node *n = &e->nodes[i];
    uint32_t relu = relu_behind(e, i);
    bool train = e->base.params.train;
    float *mean = ak_od_value(e->values, e, i, AK_PARAM_MEAN);
    float *var = ak_od_value(e->values, e, i, AK_PARAM_VAR);
    enum ak_status status;

    if (train) {
        n->stats = ak_array_new(2 * (size_t)l->c, sizeof(*n->stats));
        if (n->stats == NULL)
            return ak_fail(err, AK_ENOMEM, "no memory for a layer");
        mean = n->stats;
        var = n->stats + l->c;
    }
    status = ak_dn_bn(
        e->dn, e->forward, l->c, l->eps, train, relu != AK_OD_NONE,
        e->nodes[l->in[0]].y, ak_od_value(e->values, e, i, AK_PARAM_GAMMA),
        ak_od_value(e->values, e, i, AK_PARAM_BETA), mean, var, &n->l, err);
    if (status == AK_OK && relu != AK_OD_NONE)
        absorb(e, i, relu);
    if (status == AK_OK)
        e->nodes[n->last].y = n->l.y;
    return status;
}

static enum ak_status add_add(struct ak_od_exec *e, uint32_t i,
                              struct ak_err *err)
{
    const struct ak_layer *l = ak_od_layer(e, i);
    struct ak_od_node *n = &e->nodes[i];
    uint32_t relu = relu_behind(e, i);
    enum ak_status status = ak_dn_add(
        e->dn, e->forward, e->nodes[l->in[0]].y, e->nodes[l->in[1]].y,
        relu != AK_OD_NONE ? AK_DN_RELU : AK_DN_NONE, NULL, &n->l.y, err);

    if (status == AK_OK && relu != AK_OD_NONE)
        absorb(e, i, relu);
    if (status == AK_OK)
        e->nodes[n->last].y = n->l.y;
    return status;
}

/* Whether the sum `add` can be made in the memory of its other summand: all
   other users of that have run when the convolution does. */
static bool can_sum(const struct ak_od_exec *e, uint32_t add, uint32_t cur,
                    uint32_t *other)
{
    const struct ak_layer *l = ak_od_layer(e, add);

    *other = l->in[0] == cur ? l->in[1] : l->in[0];
    if (*other == 0 || *other == cur || e->nodes[*other].y == NULL ||
        e->nodes[*other].shared || e->base.kept[*other] ||
        ak_dn_block_size(e->nodes[*other].y) == 0)
        return false;
    for (uint32_t k = *other + 1; k < e->base.g->n_layers; k++)
        for (uint32_t j = 0; j < ak_od_layer(e, k)->n_in; j++)
            if (ak_od_layer(e, k)->in[j] == *other && k != add &&
                !e->nodes[k].done)
                return false;
    return true;
}

static enum ak_status fold(struct ak_od_exec *e, uint32_t i, uint32_t bn,
                           struct ak_err *err)
{
    const struct ak_param *w = ak_graph_param(e->base.g, i, AK_PARAM_WEIGHT);
    struct ak_od_node *n = &e->nodes[i];

    n->bn = bn;
    n->folded = ak_array_new(w->n + ak_od_layer(e, i)->c, sizeof(*n->folded));
    return n->folded != NULL
               ? AK_OK
               : ak_fail(err, AK_ENOMEM, "no memory for %zu weights", w->n);
}

/* What fold() made room for: w' = w s and b' = beta + (b - mean) s, with
   s = gamma / sqrt(var + eps) of each output. */
static void fold_values(const struct ak_od_exec *e, uint32_t i)
{
    const struct ak_od_node *n = &e->nodes[i];
    const struct ak_param *p = ak_graph_param(e->base.g, i, AK_PARAM_WEIGHT);
    const float *w = e->values + p->offset;
    const float *b = ak_od_value(e->values, e, i, AK_PARAM_BIAS);
    const float *gamma = ak_od_value(e->values, e, n->bn, AK_PARAM_GAMMA);
    const float *beta = ak_od_value(e->values, e, n->bn, AK_PARAM_BETA);
    const float *mean = ak_od_value(e->values, e, n->bn, AK_PARAM_MEAN);
    const float *var = ak_od_value(e->values, e, n->bn, AK_PARAM_VAR);
    size_t per = p->n / p->dims[0];

    for (size_t o = 0; o < p->dims[0]; o++) {
        double scale =
            (double)gamma[o] /
            sqrt((double)var[o] + (double)ak_od_layer(e, n->bn)->eps);

        for (size_t k = 0; k < per; k++)
            n->folded[o * per + k] = (float)((double)w[o * per + k] * scale);
        n->folded[p->n + o] =
            (float)((double)beta[o] +
                    ((b != NULL ? (double)b[o] : 0) - (double)mean[o]) * scale);
    }
}

static enum ak_status add_conv(struct ak_od_exec *e, uint32_t i,
                               struct ak_err *err)
{
    const struct ak_layer *l = ak_od_layer(e, i);
    struct ak_od_node *n = &e->nodes[i];
    struct ak_dn_window p = ak_od_window(e, i);
    bool train = e->base.params.train;
    float *weights = ak_od_value(e->values, e, i, AK_PARAM_WEIGHT);
    float *bias = ak_od_value(e->values, e, i, AK_PARAM_BIAS);
    uint32_t cur = i, user = train ? AK_OD_NONE : only_user(e, i),
             other = AK_OD_NONE;
    enum ak_dn_act act = AK_DN_NONE;
    enum ak_status status = AK_OK;
    bool sum = false;

    if (is_kind(e, user, AK_LAYER_BN)) {
        status = fold(e, i, user, err);
        if (status != AK_OK)
            return status;
        weights = n->folded;
        bias = n->folded + ak_graph_param(e->base.g, i, AK_PARAM_WEIGHT)->n;
        cur = user;
        absorb(e, i, cur);
        user = only_user(e, cur);
    }
    if (is_kind(e, user, AK_LAYER_ADD) && can_sum(e, user, cur, &other)) {
        sum = true;
        cur = user;
        absorb(e, i, cur);
        user = only_user(e, cur);
    }
    if (user != AK_OD_NONE &&
        ak_od_act(ak_od_layer(e, user)->kind) != AK_DN_NONE) {
        act = ak_od_act(ak_od_layer(e, user)->kind);
        cur = user;
        absorb(e, i, cur);
    }
    status = ak_dn_conv(e->dn, e->forward, e->load, &p, train,
                        e->nodes[l->in[0]].y, weights, bias,
                        sum ? e->nodes[other].y : NULL, act, &n->l, err);
    e->nodes[cur].y = status == AK_OK ? n->l.y : NULL;
    return status;
}

static enum ak_status add_layer(struct ak_od_exec *e, uint32_t i,
                                struct ak_err *err)
{
    const struct ak_layer *l = ak_od_layer(e, i);
    struct ak_od_node *n = &e->nodes[i];
    struct ak_dn_tensor *x = e->nodes[l->in[0]].y;
    struct ak_dn_window p = ak_od_window(e, i);
    bool train = e->base.params.train;
    enum ak_status status;

    switch (l->kind) {
    case AK_LAYER_CONV:
        return add_conv(e, i, err);
    case AK_LAYER_BN:
        return add_bn(e, i, err);
    case AK_LAYER_ADD:
        return add_add(e, i, err);
    case AK_LAYER_MAP:
        return ak_od_add_map(e, i, err);
    case AK_LAYER_LINEAR:
        status = ak_dn_linear(e->dn, e->forward, e->load, &p, train, x,
                              ak_od_value(e->values, e, i, AK_PARAM_WEIGHT),
                              ak_od_value(e->values, e, i, AK_PARAM_BIAS),
                              &n->l, err);
        break;
    case AK_LAYER_MAXPOOL:
    case AK_LAYER_AVGPOOL:
    case AK_LAYER_GAP:
        status = ak_dn_pool(e->dn, e->forward, &p, l->kind == AK_LAYER_MAXPOOL,
                            train, x, &n->l, err);
        break;
    case AK_LAYER_RELU:
    case AK_LAYER_RELU6:
    case AK_LAYER_HARDTANH:
    case AK_LAYER_TANH:
        status =
            ak_dn_act(e->dn, e->forward, ak_od_act(l->kind), x, &n->l, err);
        break;
    case AK_LAYER_DROPOUT:
        if (!train) {
            n->y = x;
            n->shared = e->nodes[l->in[0]].shared = true;
            return AK_OK;
        }
        return ak_od_add_plain(e, i, err);
    default:
        return ak_od_add_plain(e, i, err);
    }
    n->y = status == AK_OK ? n->l.y : NULL;
    return status;
}

/* How the output of a layer that is asked for is read. */
static enum ak_status add_output(struct ak_od_exec *e, uint32_t i,
                                 struct ak_err *err)
{
    struct ak_od_node *n = &e->nodes[i];
    enum ak_status status = ak_dn_list_create(e->dn, &n->out, err);

    if (status == AK_OK)
        status = ak_dn_fit(e->dn, n->out, n->y, NULL, &n->plain, err);
    return status;
}

static enum ak_status plan_forward(struct ak_od_exec *e, struct ak_err *err)
{
    const struct ak_graph *g = e->base.g;
    const struct ak_layer *in = &g->layers[0];
    const uint32_t dims[] = {e->base.params.batch, in->c, in->h, in->w};
    enum ak_status status = ak_dn_plain(e->dn, dims, NULL, &e->nodes[0].y, err);

    for (uint32_t i = 1; status == AK_OK && i < g->n_layers; i++) {
        if (e->nodes[i].done)
            continue;
        e->nodes[i].done = true;
        status = add_layer(e, i, err);
        if (status != AK_OK)
            ak_err_context(err, "layer %s", g->layers[i].name);
    }
    for (uint32_t i = 0; status == AK_OK && i < g->n_layers; i++)
        if (e->base.kept[i])
            status = add_output(e, i, err);
    return status;
}

/* ---- the engine --------------------------------------------------------- */

static bool onednn_can(enum ak_exec_type type)
{
    return type == AK_EXEC_F32 || ak_dn_has_bf16();
}

static enum ak_status onednn_create(struct ak_exec *base, struct ak_err *err)
{
    struct ak_od_exec *e = (struct ak_od_exec *)base;
    const struct ak_graph *g = base->g;
    enum ak_status status;

    e->nodes = ak_array_new(g->n_layers, sizeof(*e->nodes));
    e->values = ak_array_new(g->n_values, sizeof(*e->values));
    e->grads =
        ak_array_new(base->params.train ? g->n_values : 0, sizeof(*e->grads));
    if (e->nodes == NULL || e->values == NULL || e->grads == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for %zu values", g->n_values);
    for (uint32_t i = 0; i < g->n_layers; i++) {
        e->nodes[i].absorbed = e->nodes[i].bn = AK_OD_NONE;
        e->nodes[i].last = i;
        for (uint32_t k = 0; k < g->layers[i].n_in; k++)
            e->nodes[g->layers[i].in[k]].users++;
    }
    status = ak_dn_create(base->params.threads,
                          base->params.type == AK_EXEC_BF16, &e->dn, err);
    if (status == AK_OK)
        status = ak_dn_list_create(e->dn, &e->load, err);
    if (status == AK_OK)
        status = ak_dn_list_create(e->dn, &e->forward, err);
    if (status == AK_OK)
        status = ak_dn_list_create(e->dn, &e->backward, err);
    return status == AK_OK ? plan_forward(e, err) : status;
}

static void onednn_clear(struct ak_exec *base)
{
    struct ak_od_exec *e = (struct ak_od_exec *)base;

    ak_dn_destroy(e->dn);
    for (uint32_t i = 0; e->nodes != NULL && i < base->g->n_layers; i++) {
        if (e->nodes[i].own != NULL)
            ak_array_free(e->nodes[i].own->saved);
        ak_array_free(e->nodes[i].own);
        ak_array_free(e->nodes[i].stats);
        ak_array_free(e->nodes[i].folded);
    }
    ak_array_free(e->nodes);
    ak_array_free(e->values);
    ak_array_free(e->grads);
}

static enum ak_status onednn_load(struct ak_exec *base, const ak_real *values,
                                  struct ak_err *err)
{
    struct ak_od_exec *e = (struct ak_od_exec *)base;

    memcpy(e->values, values, base->g->n_values * sizeof(*values));
    for (uint32_t i = 0; i < base->g->n_layers; i++)
        if (e->nodes[i].bn != AK_OD_NONE)
            fold_values(e, i);
    return ak_dn_run(e->dn, e->load, err);
}

static enum ak_status onednn_forward(struct ak_exec *base, const ak_real *x,
                                     uint32_t n, uint64_t seed,
                                     struct ak_err *err)
{
    struct ak_od_exec *e = (struct ak_od_exec *)base;

    e->seed = seed;
    memcpy(ak_dn_data(e->nodes[0].y), x,
           n * ak_layer_size(&base->g->layers[0]) * sizeof(*x));
    return ak_dn_run(e->dn, e->forward, err);
}

static enum ak_status onednn_output(struct ak_exec *base, uint32_t layer,
                                    ak_real *out, struct ak_err *err)
{
    struct ak_od_exec *e = (struct ak_od_exec *)base;
    enum ak_status status = ak_dn_run(e->dn, e->nodes[layer].out, err);

    if (status == AK_OK)
        memcpy(out, ak_dn_data(e->nodes[layer].plain),
               base->n * ak_layer_size(&base->g->layers[layer]) * sizeof(*out));
    return status;
}

static void onednn_stats(struct ak_exec *base, uint32_t layer,
                         const ak_real **mean, const ak_real **var)
{
    const struct ak_od_exec *e = (const struct ak_od_exec *)base;

    *mean = e->nodes[layer].stats;
    *var = e->nodes[layer].stats + base->g->layers[layer].c;
}

/* Whether the plan is for these layers. */
static bool is_planned(const struct ak_od_exec *e,
                       const struct ak_exec_start *starts, uint32_t n_starts,
                       bool with_dx)
{
    if (!e->planned || e->with_dx != with_dx)
        return false;
    for (uint32_t s = 0; s < n_starts; s++)
        if (e->nodes[starts[s].layer].start == NULL)
            return false;
    for (uint32_t i = 0; i < e->base.g->n_layers; i++) {
        bool given = e->nodes[i].start == NULL;

        for (uint32_t s = 0; s < n_starts && !given; s++)
            given = starts[s].layer == i;
        if (!given)
            return false;
    }
    return true;
}

static void copy_starts(const struct ak_od_exec *e,
                        const struct ak_exec_start *starts, uint32_t n_starts)
{
    for (uint32_t s = 0; s < n_starts; s++) {
        uint32_t layer = starts[s].layer;
        size_t n = e->base.n * ak_layer_size(ak_od_layer(e, layer));
        float *to = ak_dn_data(e->nodes[layer].start);
        bool again = false;

        for (uint32_t k = 0; k < s; k++)
            again |= starts[k].layer == layer;
        for (size_t i = 0; i < n; i++)
            to[i] = (again ? to[i] : 0) + starts[s].grad[i];
    }
}

static enum ak_status onednn_backward(struct ak_exec *base,
                                      const struct ak_exec_start *starts,
                                      uint32_t n_starts, ak_real *grads,
                                      ak_real *dx, struct ak_err *err)
{
    struct ak_od_exec *e = (struct ak_od_exec *)base;
    size_t size = base->n * ak_layer_size(&base->g->layers[0]);
    enum ak_status status = AK_OK;

    if (!is_planned(e, starts, n_starts, dx != NULL))
        status = ak_od_plan_backward(e, starts, n_starts, dx != NULL, err);
    if (status != AK_OK)
        return status;
    copy_starts(e, starts, n_starts);
    status = ak_dn_run(e->dn, e->backward, err);
    if (status != AK_OK)
        return status;
    memcpy(grads, e->grads, base->g->n_values * sizeof(*grads));
    if (dx != NULL && e->dx != NULL)
        memcpy(dx, ak_dn_data(e->dx), size * sizeof(*dx));
    else if (dx != NULL)
        memset(dx, 0, size * sizeof(*dx));
    return AK_OK;
}

static size_t onednn_bytes(const struct ak_exec *base)
{
    const struct ak_od_exec *e = (const struct ak_od_exec *)base;

    return ak_dn_bytes(e->dn) +
           (base->params.train ? 2 : 1) * base->g->n_values * sizeof(float);
}

const struct ak_engine ak_engine_onednn = {
    .name = "onednn",
    .size = sizeof(struct ak_od_exec),
    .can = onednn_can,
    .create = onednn_create,
    .clear = onednn_clear,
    .load = onednn_load,
    .forward = onednn_forward,
    .output = onednn_output,
    .batch_stats = onednn_stats,
    .backward = onednn_backward,
    .bytes = onednn_bytes,
};

#endif
