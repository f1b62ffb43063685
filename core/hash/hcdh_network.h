/*
 * hcdh_network.h -- HCDH end to end: a network that is trained to make codes.
 *
 *     image -> backbone -> feature f -> hash layer, tanh -> classifier
 *
 * What comes of a training are two things that belong together: the network,
 * whose feature is the backbone's, and an encoder of kind "hcdh" without a
 * hidden layer, which makes the hash layer's signs of that feature.  Both are in
 * the network's model file.
 *
 * The life of it: make the network, let ak_hcdh_network_losses() say what it is
 * trained for, train it with core/nn/train.h, make the encoder of its values
 * (hcdh_head.h).
 */
#ifndef AK_CORE_HASH_HCDH_NETWORK_H
#define AK_CORE_HASH_HCDH_NETWORK_H

#include "core/hash/hash.h"
#include "core/nn/train.h"

/* The caller owns the struct; zeroed, it can be cleared. */
struct ak_hcdh_network {
    struct ak_graph *g;
    float *values; /* (g->n_values) where a training begins */
    float *codes;  /* (classes, bits) of -1 and 1: the codebook */
    uint32_t bits, classes;
    uint32_t code; /* the layer of h = tanh(A f + a), in g */
};

/*
 * Name, source and options of a training, as ak_hash_method() has those of a
 * learner; it is none, so it is not in that list.
 */
extern const struct ak_hash_method ak_hcdh_network_method;

enum {
    AK_HCDH_EPOCHS,
    AK_HCDH_BATCH,
    AK_HCDH_RATE,
    AK_HCDH_BACKBONE_RATE,
    AK_HCDH_MOMENTUM,
    AK_HCDH_DECAY,
    AK_HCDH_CODE_WEIGHT,
    AK_HCDH_OPTIONS
};

/*
 * `backbone` with a hash layer of `bits` and a classifier of `classes` on its
 * feature; what else it had behind that is left out.  Its `values` are taken
 * over, or drawn if NULL; codes and the new layers' values are drawn.  AK_EINVAL:
 * bits or classes, or a backbone that has a name of the new layers.
 */
enum ak_status ak_hcdh_network_init(struct ak_hcdh_network *n,
                                    const struct ak_graph *backbone,
                                    const float *values, uint32_t bits,
                                    uint32_t classes, uint64_t seed,
                                    struct ak_err *err) AK_MUST_CHECK;
void ak_hcdh_network_clear(struct ak_hcdh_network *n);

/*
 * Set losses and groups of `p`: cross-entropy of the classes, and `code_weight`
 * times the mean over images and bits of (h - c)^2; `backbone_rate` times the
 * rate for what stood before the hash layer; decay of weights only.  `n` must
 * outlive what is trained with them.
 */
void ak_hcdh_network_losses(const struct ak_hcdh_network *n, double code_weight,
                            double backbone_rate, double decay,
                            struct ak_train_params *p);

/* All parameters of a training by the options of the method; the defaults of
   ak_train_defaults() for the rest. */
void ak_hcdh_network_params(const struct ak_hcdh_network *n,
                            const double options[AK_HCDH_OPTIONS],
                            uint64_t seed, struct ak_train_params *p);

#endif
