/*
 * network.c -- a network as an extractor.
 *
 * `lock` guards the list of idle computers and their number; `making`, taken
 * with no other, lets one computer be made at a time.  A computer is an
 * exec for one image with its input: it is one thread's at a time, which need
 * not be the one that made it, since execs of oneDNN bring their own scratchpad.
 */
#include "core/extract/network.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/image/resize.h"
#include "core/nn/exec.h"

/* oneDNN makes what all its networks share when it is first needed: one after
   the other, so that nobody meets it half made. */
static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER;

struct computer {
    struct ak_exec *exec;
    float *x;        /* (c, h, w) */
    uint8_t *planes; /* the same in bytes */
    struct computer *next;
};

struct network {
    struct ak_extractor base; /* first */
    struct ak_model model;
    const char *engine;
    pthread_mutex_t lock;
    pthread_cond_t given_back;
    struct computer *idle;
    unsigned n, max; /* computers */
    size_t computer_bytes;
};

static const struct ak_layer *input_of(const struct network *net)
{
    return &net->model.g->layers[0];
}

/* ---------------------------------------------------------------- computers */

static void free_computer(struct computer *c)
{
    if (c == NULL)
        return;
    ak_exec_destroy(c->exec);
    ak_array_free(c->x);
    ak_array_free(c->planes);
    ak_array_free(c);
}

static enum ak_status new_computer(const struct network *net,
                                   struct computer **out, struct ak_err *err)
{
    const struct ak_exec_params params = {
        .batch = 1, .type = AK_EXEC_F32, .threads = 1};
    size_t size = ak_layer_size(input_of(net));
    struct computer *c = ak_array_new(1, sizeof(*c));
    enum ak_status status = AK_OK;

    if (c != NULL) {
        c->x = ak_array_new(size, sizeof(*c->x));
        c->planes = ak_array_new(size, 1);
    }
    if (c == NULL || c->x == NULL || c->planes == NULL)
        status = ak_fail(err, AK_ENOMEM, "no memory for a network's input");
    pthread_mutex_lock(&making);
    if (status == AK_OK)
        status =
            ak_exec_create(net->engine, net->model.g, &params, &c->exec, err);
    if (status == AK_OK)
        status = ak_exec_load(c->exec, net->model.values, err);
    pthread_mutex_unlock(&making);
    if (status != AK_OK) {
        free_computer(c);
        return status;
    }
    *out = c;
    return AK_OK;
}

static void give_back(struct network *net, struct computer *c)
{
    pthread_mutex_lock(&net->lock);
    c->next = net->idle;
    net->idle = c;
    pthread_cond_signal(&net->given_back);
    pthread_mutex_unlock(&net->lock);
}

static enum ak_status borrow(struct network *net, struct computer **out,
                             struct ak_err *err)
{
    struct computer *c;
    enum ak_status status;

    pthread_mutex_lock(&net->lock);
    while (net->idle == NULL && net->n == net->max)
        pthread_cond_wait(&net->given_back, &net->lock);
    c = net->idle;
    if (c != NULL)
        net->idle = c->next;
    else
        net->n++;
    pthread_mutex_unlock(&net->lock);
    if (c != NULL) {
        *out = c;
        return AK_OK;
    }
    status = new_computer(net, &c, err);
    pthread_mutex_lock(&net->lock);
    if (status != AK_OK) {
        net->n--;
        pthread_cond_signal(&net->given_back); /* who waits may try */
    } else {
        net->computer_bytes = ak_exec_bytes(c->exec);
        *out = c;
    }
    pthread_mutex_unlock(&net->lock);
    return status;
}

/* ------------------------------------------------------------------ extracting */

/* The image at the network's size, planar. */
static enum ak_status prepare(const struct network *net,
                              const struct ak_image *image, uint8_t *planes,
                              struct ak_err *err)
{
    const struct ak_layer *in = input_of(net);
    size_t plane = (size_t)in->h * in->w;
    struct ak_image small = {0};
    enum ak_status status = ak_image_resize(image, in->w, in->h, &small, err);

    if (status == AK_OK && in->c == 1)
        ak_image_make_grey(&small);
    else if (status == AK_OK)
        status = ak_image_make_rgb(&small, err);
    if (status == AK_OK)
        for (size_t i = 0; i < plane; i++)
            for (uint32_t c = 0; c < in->c; c++)
                planes[c * plane + i] = small.pixels[i * in->c + c];
    ak_image_clear(&small);
    return status;
}

static enum ak_status network_extract(const struct ak_extractor *e,
                                      const struct ak_image *image, float *out,
                                      struct ak_err *err)
{
    /* The list of computers is all that changes. */
    struct network *net = (struct network *)(uintptr_t)e;
    const struct ak_graph *g = net->model.g;
    struct computer *c;
    enum ak_status status = borrow(net, &c, err);

    if (status != AK_OK)
        return status;
    status = prepare(net, image, c->planes, err);
    if (status == AK_OK) {
        ak_graph_normalise(g, c->planes, c->x);
        status = ak_exec_forward(c->exec, c->x, 1, 0, err);
    }
    if (status == AK_OK)
        status = ak_exec_output(c->exec, g->feature, out, err);
    give_back(net, c);
    for (uint32_t i = 0; i < e->dim && status == AK_OK; i++)
        if (!isfinite(out[i]))
            status = ak_fail(err, AK_ENUMERIC,
                             "number %u of the image's feature is %g", i,
                             (double)out[i]);
    return status;
}

/* ------------------------------------------------------------------------ life */

static void network_destroy(struct ak_ref *ref)
{
    struct network *net = (struct network *)ref;

    while (net->idle != NULL) {
        struct computer *next = net->idle->next;

        free_computer(net->idle);
        net->idle = next;
    }
    ak_model_clear(&net->model);
    pthread_cond_destroy(&net->given_back);
    pthread_mutex_destroy(&net->lock);
    ak_array_free(net);
}

static const struct ak_extractor_ops network_ops = {
    .kind = "network",
    .source = "",
    .help = "a convolutional network: the image at its size, its feature layer",
    .extract = network_extract,
};

enum ak_status ak_network_check(const struct ak_graph *g, struct ak_err *err)
{
    const struct ak_layer *in = &g->layers[0];
    size_t dim = ak_layer_size(&g->layers[g->feature]);
    struct ak_graph_cost cost;

    ak_graph_count(g, &cost);
    if (in->c != 1 && in->c != 3)
        return ak_fail(err, AK_EINVAL,
                       "the network takes %u channels, images have 1 or 3",
                       in->c);
    if (dim > AK_NETWORK_DIM)
        return ak_fail(err, AK_ELIMIT,
                       "the feature has %zu numbers, must have at most %d", dim,
                       AK_NETWORK_DIM);
    if (cost.macs > AK_NETWORK_MACS)
        return ak_fail(err, AK_ELIMIT,
                       "an image costs %llu products, must cost at most %llu",
                       (unsigned long long)cost.macs,
                       (unsigned long long)AK_NETWORK_MACS);
    if (cost.activations > AK_NETWORK_ACTIVATIONS)
        return ak_fail(err, AK_ELIMIT,
                       "an image has %llu values within the network, must have "
                       "at most %llu",
                       (unsigned long long)cost.activations,
                       (unsigned long long)AK_NETWORK_ACTIVATIONS);
    return AK_OK;
}

enum ak_status ak_network_create(const char *name, struct ak_model *model,
                                 const char *engine, unsigned computers,
                                 struct ak_extractor **out, struct ak_err *err)
{
    enum ak_status status = ak_network_check(model->g, err);
    struct network *net;

    if (status != AK_OK)
        return status;
    net = ak_array_new(1, sizeof(*net));
    if (net == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for an extractor");
    ak_ref_init(&net->base.ref, network_destroy);
    net->base.ops = &network_ops;
    net->base.dim =
        (uint32_t)ak_layer_size(&model->g->layers[model->g->feature]);
    net->base.width = model->g->layers[0].w;
    net->base.height = model->g->layers[0].h;
    snprintf(net->base.name, sizeof(net->base.name), "%s", name);
    net->engine = engine;
    net->max = computers > 0 ? computers : 1;
    pthread_mutex_init(&net->lock, NULL);
    pthread_cond_init(&net->given_back, NULL);
    net->model = *model;
    /* So that a network that cannot be computed is told now. */
    status = new_computer(net, &net->idle, err);
    if (status != AK_OK) {
        net->model = (struct ak_model){0};
        network_destroy(&net->base.ref);
        return status;
    }
    net->n = 1;
    net->computer_bytes = ak_exec_bytes(net->idle->exec);
    memset(model, 0, sizeof(*model));
    *out = &net->base;
    return AK_OK;
}

size_t ak_network_bytes(struct ak_extractor *e)
{
    struct network *net = (struct network *)e;
    size_t bytes = net->model.g->n_values * sizeof(float);

    pthread_mutex_lock(&net->lock);
    bytes += net->n * net->computer_bytes;
    pthread_mutex_unlock(&net->lock);
    return bytes;
}
