/*
 * graph.h -- a network as data: layers in order, over width variables.
 *
 * A graph is made from a text, one line a layer, and can be written as one
 * again; it is immutable once made.  It says shapes, not values: values live in
 * one array, in which every parameter has its place (weights.h).
 *
 *     akin-net 1
 *     input image 3 32 32 mean=0.485,0.456,0.406 std=0.229,0.224,0.225
 *     conv conv1 image out=16 k=3 pad=1
 *     bn bn1 conv1
 *     relu relu1 bn1
 *     gap pool relu1
 *     linear linear pool out=10
 *     feature pool
 *     output linear
 *
 * A line is the kind of a layer, its own name, the names of its inputs, which
 * must stand above it, and options.  The first layer is the one input.
 * `feature` names the layer whose output is the feature vector, `output` the
 * one with the scores of the classes.
 *
 * | kind | inputs | options |
 * | --- | --- | --- |
 * | conv | 1 | out, k=H[,W], stride=1, pad=0 (see below), groups=1, bias=0 |
 * | bn | 1 | eps=1e-05, momentum=0.1 |
 * | relu relu6 prelu hardtanh tanh | 1 | slope=0.25 (prelu: its first value) |
 * | maxpool avgpool | 1 | k, stride=k, pad=0 |
 * | gap | 1 | the mean of each channel |
 * | linear | 1 | out, bias=1; takes the input flat, channel by channel |
 * | add | 2 | both of one shape |
 * | concat | 2..4 | along the channels |
 * | dropout | 1 | p=0.5 |
 * | map | 1 | stride=1, from=A+N,-M,... : which channels, see below |
 *
 * Padding is one number, or top, left, bottom and right: pad=0,0,1,1.  `pad=same`
 * is TensorFlow's rule: the output has ceil(side / stride) rows, and the odd row
 * of padding is at the bottom.  `map` gathers channels, and takes
 * every stride-th row and column: from=-8,0+16,-8 is 8 channels of zeros, then
 * channels 0..15, then 8 of zeros, which is the parameter-free shortcut of
 * CIFAR ResNets (He et al., "Deep Residual Learning for Image Recognition",
 * CVPR 2016, option A).
 *
 * Width variables.  Each independent number of channels in a network is one
 * variable: a conv (not depthwise) and a linear make one, an `add` makes the
 * variables of its inputs and its output the same, which is what a residual
 * group is, and a `concat` is a composite of those of its inputs.  Pruning is
 * choosing which channels of a variable stay.  A variable is frozen when that
 * would change what comes in or what goes out.
 */
#ifndef AK_CORE_NN_GRAPH_H
#define AK_CORE_NN_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

#define AK_NN_NAME     64 /* of a layer, with the terminator */
#define AK_NN_INPUTS   4
#define AK_NN_LAYERS   2048
#define AK_NN_CHANNELS 16384
#define AK_NN_SIDE     2048
#define AK_NN_TEXT     (1u << 20) /* bytes of a graph's text, at most */
/* Values of all parameters, and of one image's activations, at most. */
#define AK_NN_VALUES ((size_t)1 << 28)

enum ak_layer_kind {
    AK_LAYER_INPUT,
    AK_LAYER_CONV,
    AK_LAYER_BN,
    AK_LAYER_RELU,
    AK_LAYER_RELU6,
    AK_LAYER_PRELU,
    AK_LAYER_HARDTANH,
    AK_LAYER_TANH,
    AK_LAYER_MAXPOOL,
    AK_LAYER_AVGPOOL,
    AK_LAYER_GAP,
    AK_LAYER_LINEAR,
    AK_LAYER_ADD,
    AK_LAYER_CONCAT,
    AK_LAYER_DROPOUT,
    AK_LAYER_MAP,
    AK_LAYER_KINDS
};

/* What a parameter is, which decides its first value and its weight decay. */
enum ak_param_role {
    AK_PARAM_WEIGHT, /* (out, in / groups, kh, kw), or (out, in) of a linear */
    AK_PARAM_BIAS,
    AK_PARAM_GAMMA,
    AK_PARAM_BETA,
    AK_PARAM_MEAN, /* running statistics: not trained by gradients */
    AK_PARAM_VAR,
    AK_PARAM_SLOPE,
    AK_PARAM_ROLES
};

struct ak_param {
    uint32_t layer;
    enum ak_param_role role;
    uint32_t dims[4];
    uint32_t n_dims;
    size_t offset; /* in the array of values, a multiple of 16 */
    size_t n;      /* the product of dims */
};

/* Where a run of channels of a map comes from. */
struct ak_map_run {
    bool zero;
    uint32_t first; /* channel of the input; unused for zeros */
    uint32_t n;
};

struct ak_layer {
    enum ak_layer_kind kind;
    char name[AK_NN_NAME];
    uint32_t in[AK_NN_INPUTS]; /* layers before this one */
    uint32_t n_in;
    uint32_t c, h, w; /* of the output, for one image */
    uint32_t width;   /* variable of c */
    uint32_t kh, kw, stride, groups;
    uint32_t pad[4]; /* top, left, bottom, right */
    bool bias, same;
    float eps, momentum, slope, p;
    float mean[4], std[4];   /* of the input */
    struct ak_map_run *runs; /* of a map */
    uint32_t n_runs;
    uint32_t first_param, n_params; /* in graph->params */
};

struct ak_width {
    uint32_t n;
    bool frozen;
    /* A composite: the variables of the inputs of a concat, in order. */
    uint32_t parts[AK_NN_INPUTS];
    uint32_t n_parts; /* 0: no composite */
};

struct ak_graph {
    struct ak_layer *layers; /* (n_layers), inputs before their users */
    uint32_t n_layers;
    struct ak_param *params; /* (n_params), in the order of the layers */
    uint32_t n_params;
    struct ak_width *widths; /* (n_widths) */
    uint32_t n_widths;
    uint32_t feature, output; /* layers */
    size_t n_values;          /* floats of all parameters with their padding */
};

/* Multiplications with an addition, for one image, and parameters. */
struct ak_graph_cost {
    uint64_t macs;        /* of conv and linear */
    uint64_t params;      /* of conv and linear, with biases, and slopes */
    uint64_t bn_params;   /* gammas and betas */
    uint64_t activations; /* values of all layers */
};

/*
 * Read a text (len bytes).  AK_EINVAL says what is wrong and in which line;
 * AK_ELIMIT: larger than the bounds above; AK_ENOMEM.
 */
enum ak_status ak_graph_parse(const char *text, size_t len,
                              struct ak_graph **out,
                              struct ak_err *err) AK_MUST_CHECK;
void ak_graph_destroy(struct ak_graph *g);

/*
 * The text of a graph, the same for the same graph, which parses to an equal
 * one: *out is zero-terminated, to be freed with free().
 */
enum ak_status ak_graph_write(const struct ak_graph *g, char **out, size_t *len,
                              struct ak_err *err) AK_MUST_CHECK;

void ak_graph_count(const struct ak_graph *g, struct ak_graph_cost *out);

/* Values of one image at the output of a layer. */
static inline size_t ak_layer_size(const struct ak_layer *l)
{
    return (size_t)l->c * l->h * l->w;
}

/* The number of a layer, UINT32_MAX when there is none of that name. */
uint32_t ak_graph_find(const struct ak_graph *g, const char *name);

/* The parameter of a layer in that role, NULL when it has none. */
const struct ak_param *ak_graph_param(const struct ak_graph *g, uint32_t layer,
                                      enum ak_param_role role);

/*
 * "layer1.0.conv1.weight": the name of the layer, a dot, and what PyTorch calls
 * the parameter, in a text of AK_PARAM_TEXT.
 */
#define AK_PARAM_TEXT (AK_NN_NAME + 16)
void ak_param_name(const struct ak_graph *g, const struct ak_param *p,
                   char out[AK_PARAM_TEXT]);

const char *ak_layer_kind_name(enum ak_layer_kind kind);

/*
 * The pixels of an image as a network takes them: out (c, h, w) of bytes
 * (c, h, w), planar: (byte / 255 - mean) / std of the channel.
 */
void ak_graph_normalise(const struct ak_graph *g, const uint8_t *pixels,
                        float *out);

#endif
