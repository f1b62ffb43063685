/* graph_internal.h -- what the reader of graphs and their rules share. */
#ifndef AK_CORE_NN_GRAPH_INTERNAL_H
#define AK_CORE_NN_GRAPH_INTERNAL_H

#include "core/nn/graph.h"

/* The options that a line of a graph may have; bits of ak_layer_rule. */
enum ak_graph_key {
    AK_KEY_OUT,
    AK_KEY_K,
    AK_KEY_STRIDE,
    AK_KEY_PAD,
    AK_KEY_GROUPS,
    AK_KEY_BIAS,
    AK_KEY_EPS,
    AK_KEY_MOMENTUM,
    AK_KEY_SLOPE,
    AK_KEY_P,
    AK_KEY_FROM,
    AK_KEY_MEAN,
    AK_KEY_STD,
    AK_KEYS
};

/* What there is to know of a kind of layer but how it computes. */
struct ak_layer_rule {
    const char *name;
    uint32_t min_in, max_in;
    unsigned keys;     /* bits of the options that it takes */
    unsigned required; /* bits of those that must be given */

    /* Checks the options and sets c, h and w from the inputs. */
    enum ak_status (*shape)(const struct ak_graph *g, struct ak_layer *l,
                            struct ak_err *err);
};

extern const struct ak_layer_rule ak_layer_rules[AK_LAYER_KINDS];

/* When all layers are there: parameters, width variables, sums. */
enum ak_status ak_graph_finish(struct ak_graph *g,
                               struct ak_err *err) AK_MUST_CHECK;

#endif
