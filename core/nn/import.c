#include "core/nn/import.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/nn/json_internal.h"

/* ---- tensors that are named as the parameters --------------------------- */

static enum ak_status shapes_differ(const struct ak_tensor *t,
                                    const uint32_t *dims, uint32_t n_dims,
                                    struct ak_err *err)
{
    char has[128] = "", must[128] = "";

    for (uint32_t i = 0; i < t->n_dims; i++)
        snprintf(has + strlen(has), sizeof(has) - strlen(has), "%s%llu",
                 i ? "," : "", (unsigned long long)t->dims[i]);
    for (uint32_t i = 0; i < n_dims; i++)
        snprintf(must + strlen(must), sizeof(must) - strlen(must), "%s%u",
                 i ? "," : "", dims[i]);
    return ak_fail(err, AK_EINVAL, "%s is (%s), must be (%s)", t->name, has,
                   must);
}

static enum ak_status check_shape(const struct ak_tensor *t,
                                  const uint32_t *dims, uint32_t n_dims,
                                  struct ak_err *err)
{
    if (t->n_dims != n_dims)
        return shapes_differ(t, dims, n_dims, err);
    for (uint32_t i = 0; i < n_dims; i++)
        if (t->dims[i] != dims[i])
            return shapes_differ(t, dims, n_dims, err);
    return AK_OK;
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);

    return n >= m && strcmp(text + n - m, end) == 0;
}

/* A tensor that is no parameter is an error. */
static enum ak_status check_rest(const struct ak_graph *g,
                                 const struct ak_safetensors *st,
                                 struct ak_err *err)
{
    for (size_t i = 0; i < st->n; i++) {
        const char *name = st->tensors[i].name;
        char param[AK_PARAM_TEXT];
        uint32_t k = 0;

        if (ends_with(name, ".num_batches_tracked"))
            continue;
        for (; k < g->n_params; k++) {
            ak_param_name(g, &g->params[k], param);
            if (strcmp(param, name) == 0)
                break;
        }
        if (k == g->n_params)
            return ak_fail(err, AK_EINVAL,
                           "%s is no parameter of the architecture", name);
    }
    return AK_OK;
}

enum ak_status ak_import_named(const struct ak_graph *g,
                               const struct ak_safetensors *st, float *values,
                               struct ak_err *err)
{
    enum ak_status status = check_rest(g, st, err);

    if (status != AK_OK)
        return status;
    memset(values, 0, g->n_values * sizeof(*values));
    for (uint32_t i = 0; i < g->n_params; i++) {
        const struct ak_param *p = &g->params[i];
        const struct ak_tensor *t;
        char name[AK_PARAM_TEXT];

        ak_param_name(g, p, name);
        t = ak_safetensors_find(st, name);
        if (t == NULL)
            return ak_fail(err, AK_EINVAL, "there is no tensor %s", name);
        status = check_shape(t, p->dims, p->n_dims, err);
        if (status == AK_OK)
            status = ak_tensor_floats(t, values + p->offset, err);
        if (status != AK_OK)
            return status;
        for (size_t k = 0; p->role == AK_PARAM_VAR && k < p->n; k++)
            if (values[p->offset + k] < 0)
                return ak_fail(err, AK_ENUMERIC,
                               "%s: value %zu is %g, must be 0 or more", name,
                               k, (double)values[p->offset + k]);
    }
    return AK_OK;
}

/* ---- quantised networks ------------------------------------------------- */

struct scales {
    double weight, bias;
    uint64_t zero_point;
};

struct lookup {
    const char *wanted; /* the name of an operation */
    char name[64];      /* of the one at work */
    struct scales at_work, found;
    bool is_found;
};

static enum ak_status read_op_member(struct ak_json *j, const char *key,
                                     void *context)
{
    struct lookup *l = context;

    if (strcmp(key, "name") == 0)
        return ak_json_string(j, l->name, sizeof(l->name));
    if (strcmp(key, "w_scale") == 0)
        return ak_json_number(j, &l->at_work.weight);
    if (strcmp(key, "b_scale") == 0)
        return ak_json_number(j, &l->at_work.bias);
    if (strcmp(key, "w_zero_point") == 0)
        return ak_json_whole(j, &l->at_work.zero_point);
    return ak_json_skip(j);
}

static enum ak_status read_op(struct ak_json *j, size_t i, void *context)
{
    struct lookup *l = context;
    enum ak_status status;

    (void)i;
    l->name[0] = '\0';
    l->at_work = (struct scales){0, 0, UINT64_MAX};
    status = ak_json_object(j, read_op_member, l);
    if (status == AK_OK && strcmp(l->name, l->wanted) == 0) {
        if (!(l->at_work.weight > 0 && l->at_work.bias > 0 &&
              l->at_work.zero_point <= 255))
            return ak_json_fail(j, "needs w_scale, b_scale and w_zero_point");
        l->found = l->at_work;
        l->is_found = true;
    }
    return status;
}

static enum ak_status read_graph_member(struct ak_json *j, const char *key,
                                        void *context)
{
    if (strcmp(key, "ops") == 0)
        return ak_json_array(j, read_op, context);
    return ak_json_skip(j);
}

static enum ak_status find_scales(const char *json, size_t len,
                                  const char *name, struct scales *out,
                                  struct ak_err *err)
{
    struct lookup l = {.wanted = name};
    struct ak_json j;
    enum ak_status status;

    ak_json_init(&j, json, len, err);
    status = ak_json_object(&j, read_graph_member, &l);
    if (status == AK_OK)
        status = ak_json_finish(&j);
    if (status != AK_OK)
        ak_err_context(err, "the graph");
    else if (!l.is_found)
        status = ak_fail(err, AK_EINVAL, "the graph has no operation %s", name);
    *out = l.found;
    return status;
}

static enum ak_status find_tensor(const struct ak_safetensors *st,
                                  const char *name, const char *what,
                                  enum ak_tensor_type type,
                                  const struct ak_tensor **out,
                                  struct ak_err *err)
{
    char full[96];

    snprintf(full, sizeof(full), "%s.%s", name, what);
    *out = ak_safetensors_find(st, full);
    if (*out == NULL)
        return ak_fail(err, AK_EINVAL, "there is no tensor %s", full);
    if ((*out)->type != type)
        return ak_fail(err, AK_EINVAL, "%s is of type %s, must be %s", full,
                       ak_tensor_type_name((*out)->type),
                       ak_tensor_type_name(type));
    return AK_OK;
}

/* (o, h, w, i), or (1, h, w, o) when depthwise, to (o, i, h, w). */
static enum ak_status take_weights(const struct ak_param *p, bool depthwise,
                                   const struct ak_tensor *t,
                                   const struct scales *s, float *values,
                                   struct ak_err *err)
{
    uint32_t out = p->dims[0], in = p->dims[1];
    uint32_t h = p->n_dims == 4 ? p->dims[2] : 1;
    uint32_t w = p->n_dims == 4 ? p->dims[3] : 1;
    const uint32_t dims[] = {depthwise ? 1 : out, h, w, depthwise ? out : in};
    enum ak_status status = check_shape(t, dims, 4, err);

    if (status != AK_OK)
        return status;
    for (size_t o = 0; o < out; o++)
        for (size_t i = 0; i < in; i++)
            for (size_t k = 0; k < (size_t)h * w; k++) {
                size_t from =
                    depthwise ? k * out + o : (o * h * w + k) * in + i;

                values[(o * in + i) * h * w + k] =
                    (float)(((double)t->data[from] - (double)s->zero_point) *
                            s->weight);
            }
    return AK_OK;
}

static enum ak_status take_bias(const struct ak_tensor *t, uint32_t n,
                                double scale, float *values, struct ak_err *err)
{
    enum ak_status status = check_shape(t, &n, 1, err);

    for (uint32_t i = 0; status == AK_OK && i < n; i++) {
        int32_t q;

        memcpy(&q, t->data + 4 * (size_t)i, sizeof(q));
        values[i] = (float)((double)q * scale);
    }
    return status;
}

/* The normalisation that takes its input from `layer`, and makes it do nothing
   but add its beta: gamma 1, mean 0, and a variance that with eps is 1. */
static const struct ak_param *neutral_bn(const struct ak_graph *g,
                                         uint32_t layer, float *values)
{
    for (uint32_t i = layer + 1; i < g->n_layers; i++) {
        const struct ak_layer *l = &g->layers[i];
        const struct ak_param *gamma, *mean, *var;

        if (l->kind != AK_LAYER_BN || l->in[0] != layer)
            continue;
        gamma = ak_graph_param(g, i, AK_PARAM_GAMMA);
        mean = ak_graph_param(g, i, AK_PARAM_MEAN);
        var = ak_graph_param(g, i, AK_PARAM_VAR);
        for (size_t k = 0; k < gamma->n; k++) {
            values[gamma->offset + k] = 1.0f;
            values[mean->offset + k] = 0.0f;
            values[var->offset + k] = 1.0f - l->eps;
        }
        return ak_graph_param(g, i, AK_PARAM_BETA);
    }
    return NULL;
}

static enum ak_status take_layer(const struct ak_graph *g, uint32_t layer,
                                 unsigned number,
                                 const struct ak_safetensors *st,
                                 const char *json, size_t len, float *values,
                                 struct ak_err *err)
{
    const struct ak_layer *l = &g->layers[layer];
    const struct ak_param *weight = ak_graph_param(g, layer, AK_PARAM_WEIGHT);
    const struct ak_param *bias = ak_graph_param(g, layer, AK_PARAM_BIAS);
    bool depthwise = l->kind == AK_LAYER_CONV && l->groups > 1;
    const struct ak_tensor *t;
    struct scales s;
    char name[32];
    enum ak_status status;

    if (bias == NULL)
        bias = neutral_bn(g, layer, values);
    if (bias == NULL || (depthwise && l->groups != l->c))
        return ak_fail(err, AK_EINVAL,
                       "layer %s: no quantised file can have it", l->name);
    snprintf(name, sizeof(name), "%02u_%s", number, depthwise ? "dw" : "conv");
    status = find_scales(json, len, name, &s, err);
    if (status == AK_OK)
        status = find_tensor(st, name, "weight", AK_TENSOR_U8, &t, err);
    if (status == AK_OK)
        status = take_weights(weight, depthwise, t, &s, values + weight->offset,
                              err);
    if (status == AK_OK)
        status = find_tensor(st, name, "bias", AK_TENSOR_I32, &t, err);
    if (status == AK_OK)
        status = take_bias(t, l->c, s.bias, values + bias->offset, err);
    return status;
}

enum ak_status ak_import_quantised(const struct ak_graph *g,
                                   const struct ak_safetensors *st,
                                   const char *json, size_t len, float *values,
                                   struct ak_err *err)
{
    unsigned number = 0;

    memset(values, 0, g->n_values * sizeof(*values));
    for (uint32_t i = 0; i < g->n_layers; i++) {
        enum ak_status status;

        if (g->layers[i].kind != AK_LAYER_CONV &&
            g->layers[i].kind != AK_LAYER_LINEAR)
            continue;
        status = take_layer(g, i, number++, st, json, len, values, err);
        if (status != AK_OK)
            return status;
    }
    if (st->n != 2 * (size_t)number)
        return ak_fail(err, AK_EINVAL,
                       "%zu tensors, the architecture has %u layers with two",
                       st->n, number);
    return AK_OK;
}
