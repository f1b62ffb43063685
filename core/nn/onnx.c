/*
 * onnx.c -- a network as an ONNX file.
 *
 * Messages within messages are written to a buffer of their own first, since
 * their length stands before them.  Each layer becomes one node, but for a
 * linear one (Flatten, Gemm) and a map.
 */
#include "core/nn/onnx.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Numbers of fields and of types, from onnx.proto. */
enum { VARINT = 0, BYTES = 2, FIXED32 = 5 };
enum { MODEL_IR = 1, MODEL_PRODUCER = 2, MODEL_GRAPH = 7, MODEL_OPSET = 8 };
enum { OPSET_VERSION = 2 };
enum {
    GRAPH_NODE = 1,
    GRAPH_NAME = 2,
    GRAPH_INITIALIZER = 5,
    GRAPH_INPUT = 11,
    GRAPH_OUTPUT = 12
};
enum {
    NODE_INPUT = 1,
    NODE_OUTPUT = 2,
    NODE_NAME = 3,
    NODE_OP = 4,
    NODE_ATTRIBUTE = 5
};
enum {
    ATTRIBUTE_NAME = 1,
    ATTRIBUTE_F = 2,
    ATTRIBUTE_I = 3,
    ATTRIBUTE_INTS = 8,
    ATTRIBUTE_TYPE = 20
};
enum { TYPE_FLOAT = 1, TYPE_INT = 2, TYPE_INTS = 7 };
enum { TENSOR_DIMS = 1, TENSOR_TYPE = 2, TENSOR_NAME = 8, TENSOR_RAW = 9 };
enum { ELEMENT_FLOAT = 1, ELEMENT_INT64 = 7 };
enum { VALUE_NAME = 1, VALUE_TYPE = 2 };
enum { TYPE_TENSOR = 1, TENSOR_ELEMENT = 1, TENSOR_SHAPE = 2, SHAPE_DIM = 1 };
enum { DIM_VALUE = 1, DIM_PARAM = 2 };

#define IR_VERSION 7
#define OPERATORS  13
#define NAME       (AK_PARAM_TEXT + 16)

struct onnx {
    const struct ak_model *m;
    struct ak_writer graph;
    struct ak_writer node, part, deep; /* messages that are being written */
    struct ak_writer values;           /* of an initialiser */
};

/* ------------------------------------------------------------ protocol buffers */

static void put_varint(struct ak_writer *w, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        ak_write_u8(w, (uint8_t)(value | 0x80));
    ak_write_u8(w, (uint8_t)value);
}

static void put_key(struct ak_writer *w, uint32_t field, uint32_t type)
{
    put_varint(w, field << 3 | type);
}

static void put_number(struct ak_writer *w, uint32_t field, int64_t value)
{
    put_key(w, field, VARINT);
    put_varint(w, (uint64_t)value);
}

static void put_bytes(struct ak_writer *w, uint32_t field, const void *bytes,
                      size_t len)
{
    put_key(w, field, BYTES);
    put_varint(w, len);
    ak_write_bytes(w, bytes, len);
}

static void put_text(struct ak_writer *w, uint32_t field, const char *text)
{
    put_bytes(w, field, text, strlen(text));
}

/* `from` as a field of `w`, and empty again. */
static void put_message(struct ak_writer *w, uint32_t field,
                        struct ak_writer *from)
{
    if (from->status != AK_OK)
        w->status = from->status;
    put_bytes(w, field, from->data, from->len);
    from->len = 0;
}

/* ---------------------------------------------------------------- initialisers */

static void put_tensor(struct onnx *o, const char *name, int32_t element,
                       const int64_t *dims, size_t n, const void *raw,
                       size_t len)
{
    for (size_t i = 0; i < n; i++)
        put_number(&o->part, TENSOR_DIMS, dims[i]);
    put_number(&o->part, TENSOR_TYPE, element);
    put_text(&o->part, TENSOR_NAME, name);
    put_bytes(&o->part, TENSOR_RAW, raw, len);
    put_message(&o->graph, GRAPH_INITIALIZER, &o->part);
}

static void put_floats(struct onnx *o, const char *name, const int64_t *dims,
                       size_t n_dims, const float *values, size_t n)
{
    o->values.len = 0;
    ak_write_f32s(&o->values, values, n); /* little-endian */
    put_tensor(o, name, ELEMENT_FLOAT, dims, n_dims, o->values.data,
               o->values.len);
}

static void put_integers(struct onnx *o, const char *name,
                         const int64_t *values, size_t n)
{
    const int64_t dims = (int64_t)n;

    o->values.len = 0;
    for (size_t i = 0; i < n; i++)
        ak_write_u64(&o->values, (uint64_t)values[i]);
    put_tensor(o, name, ELEMENT_INT64, &dims, 1, o->values.data, o->values.len);
}

/* The parameter in that role, if the layer has it: an input of the open node. */
static void take_param(struct onnx *o, uint32_t layer, enum ak_param_role role)
{
    const struct ak_param *p = ak_graph_param(o->m->g, layer, role);
    char name[AK_PARAM_TEXT];
    int64_t dims[6];
    size_t n_dims = 0;

    if (p == NULL)
        return;
    ak_param_name(o->m->g, p, name);
    put_text(&o->node, NODE_INPUT, name);
    for (; n_dims < p->n_dims; n_dims++)
        dims[n_dims] = p->dims[n_dims];
    /* A slope goes with the channels of a picture. */
    if (role == AK_PARAM_SLOPE)
        dims[n_dims++] = 1, dims[n_dims++] = 1;
    put_floats(o, name, dims, n_dims, o->m->values + p->offset, p->n);
}

/* ------------------------------------------------------------------------ nodes */

static void put_attribute(struct onnx *o, const char *name, const int64_t *ints,
                          size_t n)
{
    put_text(&o->part, ATTRIBUTE_NAME, name);
    for (size_t i = 0; i < n; i++)
        put_number(&o->part, ATTRIBUTE_INTS, ints[i]);
    put_number(&o->part, ATTRIBUTE_TYPE, TYPE_INTS);
    put_message(&o->node, NODE_ATTRIBUTE, &o->part);
}

static void put_integer(struct onnx *o, const char *name, int64_t value)
{
    put_text(&o->part, ATTRIBUTE_NAME, name);
    put_number(&o->part, ATTRIBUTE_I, value);
    put_number(&o->part, ATTRIBUTE_TYPE, TYPE_INT);
    put_message(&o->node, NODE_ATTRIBUTE, &o->part);
}

static void put_real(struct onnx *o, const char *name, float value)
{
    put_text(&o->part, ATTRIBUTE_NAME, name);
    put_key(&o->part, ATTRIBUTE_F, FIXED32);
    ak_write_f32s(&o->part, &value, 1);
    put_number(&o->part, ATTRIBUTE_TYPE, TYPE_FLOAT);
    put_message(&o->node, NODE_ATTRIBUTE, &o->part);
}

/*
 * What a layer computes is called "/conv1", and what comes before it on the way
 * "/conv1/flat": names of layers have no slash, and other names none at first.
 */
static void value_name(char out[NAME], const char *layer, const char *part)
{
    snprintf(out, NAME, "/%s%s%s", layer, part[0] != '\0' ? "/" : "", part);
}

static void take_value(struct onnx *o, const char *layer, const char *part)
{
    char name[NAME];

    value_name(name, layer, part);
    put_text(&o->node, NODE_INPUT, name);
}

/* Close the node that is open: its inputs and attributes are there. */
static void end_as(struct onnx *o, const char *op, const char *name)
{
    put_text(&o->node, NODE_OUTPUT, name);
    put_text(&o->node, NODE_NAME, name);
    put_text(&o->node, NODE_OP, op);
    put_message(&o->graph, GRAPH_NODE, &o->node);
}

static void end_part(struct onnx *o, const char *op, const char *layer,
                     const char *part)
{
    char name[NAME];

    value_name(name, layer, part);
    end_as(o, op, name);
}

static void end_node(struct onnx *o, const char *op, const char *layer)
{
    end_part(o, op, layer, "");
}

/* The kernel, its steps, and the padding: top, left, bottom, right. */
static void put_window(struct onnx *o, const struct ak_layer *l)
{
    const int64_t kernel[] = {l->kh, l->kw};
    const int64_t strides[] = {l->stride, l->stride};
    const int64_t pads[] = {l->pad[0], l->pad[1], l->pad[2], l->pad[3]};

    put_attribute(o, "kernel_shape", kernel, 2);
    put_attribute(o, "strides", strides, 2);
    put_attribute(o, "pads", pads, 4);
}

static void put_conv(struct onnx *o, uint32_t i)
{
    const struct ak_layer *l = &o->m->g->layers[i];

    take_param(o, i, AK_PARAM_WEIGHT);
    take_param(o, i, AK_PARAM_BIAS);
    put_window(o, l);
    put_integer(o, "group", l->groups);
    end_node(o, "Conv", l->name);
}

static void put_bn(struct onnx *o, uint32_t i)
{
    const struct ak_layer *l = &o->m->g->layers[i];

    take_param(o, i, AK_PARAM_GAMMA);
    take_param(o, i, AK_PARAM_BETA);
    take_param(o, i, AK_PARAM_MEAN);
    take_param(o, i, AK_PARAM_VAR);
    put_real(o, "epsilon", l->eps);
    end_node(o, "BatchNormalization", l->name);
}

static void put_clip(struct onnx *o, const char *layer, float low, float high)
{
    const float values[] = {low, high};
    char name[NAME];

    for (size_t k = 0; k < 2; k++) {
        value_name(name, layer, k == 0 ? "min" : "max");
        put_text(&o->node, NODE_INPUT, name);
        put_floats(o, name, NULL, 0, &values[k], 1);
    }
    end_node(o, "Clip", layer);
}

/* The input is open already; a picture is made flat by a node before. */
static void put_linear(struct onnx *o, uint32_t i)
{
    const struct ak_layer *l = &o->m->g->layers[i];

    put_integer(o, "axis", 1);
    end_part(o, "Flatten", l->name, "flat");
    take_value(o, l->name, "flat");
    take_param(o, i, AK_PARAM_WEIGHT);
    take_param(o, i, AK_PARAM_BIAS);
    put_integer(o, "transB", 1);
    end_node(o, "Gemm", l->name);
}

/* Zeros, one run of channels and zeros, as a shortcut of CIFAR ResNets is: every
   stride-th row and column of the run, then padding. */
static void put_padded(struct onnx *o, const struct ak_layer *l,
                       const struct ak_layer *in, const struct ak_map_run *run,
                       uint32_t before, uint32_t behind)
{
    const int64_t starts[] = {run->first, 0, 0};
    const int64_t ends[] = {run->first + run->n, in->h, in->w};
    const int64_t axes[] = {1, 2, 3};
    const int64_t steps[] = {1, l->stride, l->stride};
    const int64_t pads[] = {0, before, 0, 0, 0, behind, 0, 0};
    const struct {
        const char *name;
        const int64_t *values;
    } parts[] = {
        {"starts", starts}, {"ends", ends}, {"axes", axes}, {"steps", steps}};
    char name[NAME];

    for (size_t k = 0; k < 4; k++) {
        value_name(name, l->name, parts[k].name);
        put_text(&o->node, NODE_INPUT, name);
        put_integers(o, name, parts[k].values, 3);
    }
    end_part(o, "Slice", l->name, "slice");
    take_value(o, l->name, "slice");
    value_name(name, l->name, "pads");
    put_text(&o->node, NODE_INPUT, name);
    put_integers(o, name, pads, 8);
    end_node(o, "Pad", l->name);
}

/* Any other: a convolution with a matrix of zeros and ones. */
static enum ak_status put_gather(struct onnx *o, const struct ak_layer *l,
                                 const struct ak_layer *in, struct ak_err *err)
{
    const int64_t dims[] = {l->c, in->c, 1, 1};
    const int64_t ones[] = {1, 1}, strides[] = {l->stride, l->stride};
    float *matrix = calloc((size_t)l->c * in->c, sizeof(*matrix));
    uint32_t row = 0;
    char name[NAME];

    if (matrix == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for %s", l->name);
    for (uint32_t r = 0; r < l->n_runs; r++)
        for (uint32_t k = 0; k < l->runs[r].n; k++, row++)
            if (!l->runs[r].zero)
                matrix[(size_t)row * in->c + l->runs[r].first + k] = 1;
    value_name(name, l->name, "map");
    put_text(&o->node, NODE_INPUT, name);
    put_floats(o, name, dims, 4, matrix, (size_t)l->c * in->c);
    free(matrix);
    put_attribute(o, "kernel_shape", ones, 2);
    put_attribute(o, "strides", strides, 2);
    end_node(o, "Conv", l->name);
    return AK_OK;
}

static enum ak_status put_map(struct onnx *o, const struct ak_layer *l,
                              struct ak_err *err)
{
    const struct ak_layer *in = &o->m->g->layers[l->in[0]];
    const struct ak_map_run *run = NULL;
    uint32_t before = 0, behind = 0, n = 0;

    for (uint32_t r = 0; r < l->n_runs; r++) {
        if (!l->runs[r].zero) {
            run = &l->runs[r];
            n++;
        } else if (n == 0) {
            before += l->runs[r].n;
        } else {
            behind += l->runs[r].n;
        }
    }
    if (n != 1)
        return put_gather(o, l, in, err);
    put_padded(o, l, in, run, before, behind);
    return AK_OK;
}

static enum ak_status put_layer(struct onnx *o, uint32_t i, struct ak_err *err)
{
    const struct ak_layer *l = &o->m->g->layers[i];

    for (uint32_t k = 0; k < l->n_in; k++)
        take_value(o, o->m->g->layers[l->in[k]].name, "");
    switch (l->kind) {
    case AK_LAYER_CONV:
        put_conv(o, i);
        break;
    case AK_LAYER_BN:
        put_bn(o, i);
        break;
    case AK_LAYER_RELU:
        end_node(o, "Relu", l->name);
        break;
    case AK_LAYER_RELU6:
        put_clip(o, l->name, 0, 6);
        break;
    case AK_LAYER_PRELU:
        take_param(o, i, AK_PARAM_SLOPE);
        end_node(o, "PRelu", l->name);
        break;
    case AK_LAYER_HARDTANH:
        put_clip(o, l->name, -1, 1);
        break;
    case AK_LAYER_TANH:
        end_node(o, "Tanh", l->name);
        break;
    case AK_LAYER_MAXPOOL:
        put_window(o, l);
        end_node(o, "MaxPool", l->name);
        break;
    case AK_LAYER_AVGPOOL:
        put_window(o, l);
        end_node(o, "AveragePool", l->name);
        break;
    case AK_LAYER_GAP:
        end_node(o, "GlobalAveragePool", l->name);
        break;
    case AK_LAYER_LINEAR:
        put_linear(o, i);
        break;
    case AK_LAYER_ADD:
        end_node(o, "Add", l->name);
        break;
    case AK_LAYER_CONCAT:
        put_integer(o, "axis", 1);
        end_node(o, "Concat", l->name);
        break;
    case AK_LAYER_DROPOUT: /* which drops nothing when it is not trained */
        end_node(o, "Identity", l->name);
        break;
    case AK_LAYER_MAP:
        return put_map(o, l, err);
    case AK_LAYER_INPUT:
    case AK_LAYER_KINDS:
        break;
    }
    return AK_OK;
}

/* ------------------------------------------------------------ inputs and outputs */

/* (n, dims...) of floats. */
static void put_value(struct onnx *o, uint32_t field, const char *name,
                      const uint32_t *dims, size_t n)
{
    put_text(&o->deep, DIM_PARAM, "n");
    put_message(&o->part, SHAPE_DIM, &o->deep);
    for (size_t i = 0; i < n; i++) {
        put_number(&o->deep, DIM_VALUE, dims[i]);
        put_message(&o->part, SHAPE_DIM, &o->deep);
    }
    put_number(&o->deep, TENSOR_ELEMENT, ELEMENT_FLOAT);
    put_message(&o->deep, TENSOR_SHAPE, &o->part);
    put_message(&o->part, TYPE_TENSOR, &o->deep);
    put_text(&o->node, VALUE_NAME, name);
    put_message(&o->node, VALUE_TYPE, &o->part);
    put_message(&o->graph, field, &o->node);
}

/* (1, n, 1, 1): one for each channel. */
static void put_named(struct onnx *o, const char *layer, const char *part,
                      const int64_t dims[4], const float *values, size_t n)
{
    char name[NAME];

    value_name(name, layer, part);
    put_floats(o, name, dims, 4, values, n);
}

/* x / (255 std) - mean / std, of each channel, as the input layer. */
static void put_input(struct onnx *o)
{
    const struct ak_layer *l = &o->m->g->layers[0];
    const uint32_t shape[] = {l->c, l->h, l->w};
    const int64_t dims[] = {1, l->c, 1, 1};
    float scale[4], shift[4];

    for (uint32_t c = 0; c < l->c; c++) {
        scale[c] = 1 / (255 * l->std[c]);
        shift[c] = -l->mean[c] / l->std[c];
    }
    put_value(o, GRAPH_INPUT, "pixels", shape, 3);
    put_text(&o->node, NODE_INPUT, "pixels");
    take_value(o, l->name, "scale");
    end_part(o, "Mul", l->name, "scaled");
    take_value(o, l->name, "scaled");
    take_value(o, l->name, "shift");
    end_node(o, "Add", l->name);
    put_named(o, l->name, "scale", dims, scale, l->c);
    put_named(o, l->name, "shift", dims, shift, l->c);
}

static void put_output(struct onnx *o, const char *name, uint32_t layer)
{
    const uint32_t size = (uint32_t)ak_layer_size(&o->m->g->layers[layer]);

    take_value(o, o->m->g->layers[layer].name, "");
    put_integer(o, "axis", 1);
    end_as(o, "Flatten", name);
    put_value(o, GRAPH_OUTPUT, name, &size, 1);
}

enum ak_status ak_onnx_write(const struct ak_model *m, struct ak_writer *w,
                             struct ak_err *err)
{
    struct onnx o = {.m = m};
    enum ak_status status = AK_OK;

    put_input(&o);
    for (uint32_t i = 1; i < m->g->n_layers && status == AK_OK; i++)
        status = put_layer(&o, i, err);
    if (status == AK_OK) {
        put_output(&o, "feature", m->g->feature);
        put_output(&o, "scores", m->g->output);
        put_text(&o.graph, GRAPH_NAME, "akin");
        put_number(w, MODEL_IR, IR_VERSION);
        put_text(w, MODEL_PRODUCER, "akin");
        put_number(&o.part, OPSET_VERSION, OPERATORS);
        put_message(w, MODEL_OPSET, &o.part);
        put_message(w, MODEL_GRAPH, &o.graph);
        if (w->status != AK_OK || o.node.status != AK_OK ||
            o.values.status != AK_OK)
            status = ak_fail(err, AK_ENOMEM, "no memory for an ONNX file");
    }
    ak_writer_clear(&o.graph);
    ak_writer_clear(&o.node);
    ak_writer_clear(&o.part);
    ak_writer_clear(&o.deep);
    ak_writer_clear(&o.values);
    return status;
}
