/*
 * hcdh_network.c -- Hadamard Codebook based Deep Hashing, the whole network.
 *
 * Chen et al., "Hadamard Codebook Based Deep Hashing" (arXiv:1910.09182).  The
 * head alone, on features that are given, is hcdh.c; here the network that
 * makes the features is trained along with it.
 *
 *     loss = CE(softmax(V h + v), y) + weight / (n r) sum |h - c_y|^2
 *
 *     f       feature       of the backbone, flat
 *     h       hash_tanh     tanh(A f + a), A and a of the layer `hash`
 *     V, v    hash_classes  classifier
 *     c_y     codes         row y of the codebook, as in hcdh.c
 *
 * Differences from the released code, and why:
 *
 *  - The backbone is any graph, not an AlexNet; images are cut and mirrored.
 *  - One rate rises and falls over the whole training, the backbone's a tenth
 *    of it: the new layers begin at random and have to move far, in few passes.
 *    The released code has .001 for all, halved every 50 of 200 passes.
 *  - The last values are the result; the released code reports the best of
 *    several epochs, chosen with the test images.
 *  - The quantisation term has weight 0 there and is left out.
 */
#include "core/hash/hcdh_network.h"

#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/hash/codebook.h"
#include "core/hash/hcdh_head.h"
#include "core/nn/weights.h"
#include "core/nn/zoo.h"

#define MOST_CLASSES 4096

static const struct ak_hash_option options[AK_HCDH_OPTIONS] = {
    [AK_HCDH_EPOCHS] = {"epochs", 4, 1, 1000, true, "passes over the images"},
    [AK_HCDH_BATCH] = {"batch", 128, 1, 4096, true, "images a step"},
    [AK_HCDH_RATE] = {"rate", 0.1, 1e-6, 10, false, "highest learning rate"},
    [AK_HCDH_BACKBONE_RATE] = {"backbone_rate", 0.1, 0, 1, false,
                               "times the rate, for the backbone"},
    [AK_HCDH_MOMENTUM] = {"momentum", 0.9, 0, 0.999, false, "Nesterov's"},
    [AK_HCDH_DECAY] = {"decay", 5e-4, 0, 1, false, "weight decay"},
    [AK_HCDH_CODE_WEIGHT] = {"code_weight", 1, 1e-6, 1000, false,
                             "weight of the distance to the target code"},
};

const struct ak_hash_method ak_hcdh_network_method = {
    .name = "hcdh-network",
    .source = "Chen et al., Hadamard Codebook Based Deep Hashing, "
              "arXiv:1910.09182, 2019",
    .help = "a network trained end to end to Hadamard codes and labels",
    .options = options,
    .n_options = AK_HCDH_OPTIONS,
    .learns = true,
    .by_epochs = true,
};

static enum ak_status check_sizes(size_t dim, uint32_t bits, uint32_t classes,
                                  struct ak_err *err)
{
    if (classes < 2 || classes > MOST_CLASSES)
        return ak_fail(err, AK_EINVAL, "%u classes, must be 2..%d", classes,
                       MOST_CLASSES);
    return ak_hcdh_head_check(dim, bits, err);
}

static enum ak_status make_codes(struct ak_hcdh_network *n, uint64_t seed,
                                 struct ak_err *err)
{
    struct ak_codebook book = {0};
    enum ak_status status =
        ak_codebook_init_deep(&book, n->bits, n->classes, seed, err);

    if (status == AK_OK)
        status = ak_codebook_grow(&book, n->classes, err);
    if (status == AK_OK) {
        n->codes =
            ak_array_new((size_t)n->classes * n->bits, sizeof(*n->codes));
        if (n->codes == NULL)
            status =
                ak_fail(err, AK_ENOMEM, "no memory for %u codes", n->classes);
    }
    for (uint32_t c = 0; status == AK_OK && c < n->classes; c++)
        for (uint32_t j = 0; j < n->bits; j++)
            n->codes[(size_t)c * n->bits + j] =
                (float)ak_codebook_bit(&book, c, j);
    ak_codebook_clear(&book);
    return status;
}

/* Values of the layers that `from` has too; they have the same shapes. */
static void take_values(const struct ak_hcdh_network *n,
                        const struct ak_graph *from, const float *values)
{
    for (uint32_t i = 0; i < n->g->n_params; i++) {
        const struct ak_param *p = &n->g->params[i];
        const char *name = n->g->layers[p->layer].name;
        uint32_t layer = ak_graph_find(from, name);
        const struct ak_param *was;

        if (strncmp(name, AK_HASH_PREFIX, strlen(AK_HASH_PREFIX)) == 0)
            continue;
        was = ak_graph_param(from, layer, p->role);
        memcpy(n->values + p->offset, values + was->offset,
               p->n * sizeof(*values));
    }
}

enum ak_status ak_hcdh_network_init(struct ak_hcdh_network *n,
                                    const struct ak_graph *backbone,
                                    const float *values, uint32_t bits,
                                    uint32_t classes, uint64_t seed,
                                    struct ak_err *err)
{
    struct ak_hcdh_network made = {.bits = bits, .classes = classes};
    enum ak_status status =
        check_sizes(ak_layer_size(&backbone->layers[backbone->feature]), bits,
                    classes, err);

    if (status == AK_OK)
        status = ak_arch_hash_head(backbone, bits, classes, &made.g, err);
    if (status == AK_OK)
        status = make_codes(&made, seed, err);
    if (status == AK_OK) {
        made.values = ak_array_new(made.g->n_values, sizeof(*made.values));
        if (made.values == NULL)
            status = ak_fail(err, AK_ENOMEM, "no memory for %zu values",
                             made.g->n_values);
    }
    if (status != AK_OK) {
        ak_hcdh_network_clear(&made);
        return status;
    }
    made.code = ak_graph_find(made.g, AK_HASH_CODE);
    ak_weights_init(made.g, seed, made.values);
    if (values != NULL)
        take_values(&made, backbone, values);
    *n = made;
    return AK_OK;
}

void ak_hcdh_network_clear(struct ak_hcdh_network *n)
{
    ak_graph_destroy(n->g);
    ak_array_free(n->values);
    ak_array_free(n->codes);
    memset(n, 0, sizeof(*n));
}

void ak_hcdh_network_losses(const struct ak_hcdh_network *n, double code_weight,
                            double backbone_rate, double decay,
                            struct ak_train_params *p)
{
    const unsigned weights = 1u << AK_PARAM_WEIGHT;

    p->losses[0] = (struct ak_train_loss){.kind = AK_TRAIN_CROSS_ENTROPY,
                                          .weight = 1,
                                          .smoothing = p->losses[0].smoothing};
    p->losses[1] = (struct ak_train_loss){.kind = AK_TRAIN_CODE,
                                          .weight = code_weight,
                                          .layer = n->code,
                                          .codes = n->codes};
    p->n_losses = 2;
    p->optim.groups[0] =
        (struct ak_optim_group){weights, AK_HASH_PREFIX, 1, decay};
    p->optim.groups[1] = (struct ak_optim_group){0, AK_HASH_PREFIX, 1, 0};
    p->optim.groups[2] =
        (struct ak_optim_group){weights, NULL, backbone_rate, decay};
    p->optim.groups[3] = (struct ak_optim_group){0, NULL, backbone_rate, 0};
    p->optim.n_groups = 4;
}

void ak_hcdh_network_params(const struct ak_hcdh_network *n,
                            const double chosen[AK_HCDH_OPTIONS], uint64_t seed,
                            struct ak_train_params *p)
{
    ak_train_defaults(p);
    ak_hcdh_network_losses(n, chosen[AK_HCDH_CODE_WEIGHT],
                           chosen[AK_HCDH_BACKBONE_RATE], chosen[AK_HCDH_DECAY],
                           p);
    p->epochs = (uint32_t)chosen[AK_HCDH_EPOCHS];
    p->batch = (uint32_t)chosen[AK_HCDH_BATCH];
    p->optim.momentum = chosen[AK_HCDH_MOMENTUM];
    p->schedule.rate = chosen[AK_HCDH_RATE];
    p->seed = seed;
}
