/* exec.c -- the list of engines, and what all of them need checked. */
#include "config.h"

#include "core/nn/exec.h"

#include <string.h>

#include "core/base/mem.h"
#include "core/nn/exec_ops.h"

static const struct ak_engine *const engines[] = {
#if defined(HAVE_DNNL) && !defined(AK_NN_DOUBLE)
    &ak_engine_onednn,
#endif
    &ak_engine_plain,
};

#define N_ENGINES (sizeof(engines) / sizeof(engines[0]))

const char *ak_exec_engine(size_t i)
{
    return i < N_ENGINES ? engines[i]->name : NULL;
}

static const struct ak_engine *find_engine(const char *name)
{
    for (size_t i = 0; i < N_ENGINES; i++)
        if (name == NULL || strcmp(engines[i]->name, name) == 0)
            return engines[i];
    return NULL;
}

bool ak_exec_can(const char *engine, enum ak_exec_type type)
{
    const struct ak_engine *found = find_engine(engine);

    return found != NULL && found->can(type);
}

static enum ak_status check_params(const struct ak_engine *engine,
                                   const struct ak_graph *g,
                                   const struct ak_exec_params *p,
                                   struct ak_err *err)
{
    struct ak_graph_cost cost;

    if (!engine->can(p->type))
        return ak_fail(err, AK_EUNSUPPORTED,
                       "engine %s: no bf16 on this machine", engine->name);
    if (p->batch < 1 || p->batch > 65536)
        return ak_fail(err, AK_EINVAL, "batch is %u, must be 1..65536",
                       p->batch);
    if (p->threads > 1024)
        return ak_fail(err, AK_EINVAL, "threads is %u, must be 0..1024",
                       p->threads);
    for (uint32_t i = 0; i < p->n_keep; i++)
        if (p->keep[i] >= g->n_layers)
            return ak_fail(err, AK_EINVAL, "layer %u, there are %u", p->keep[i],
                           g->n_layers);
    ak_graph_count(g, &cost);
    /* 2^34 values are 64 GiB. */
    if (cost.activations > ((uint64_t)1 << 34) / p->batch)
        return ak_fail(err, AK_ELIMIT,
                       "a batch of %u images with %llu values each is too "
                       "large",
                       p->batch, (unsigned long long)cost.activations);
    return AK_OK;
}

enum ak_status ak_exec_create(const char *engine, const struct ak_graph *g,
                              const struct ak_exec_params *params,
                              struct ak_exec **out, struct ak_err *err)
{
    const struct ak_engine *found = find_engine(engine);
    struct ak_exec *e;
    enum ak_status status;

    if (found == NULL)
        return ak_fail(err, AK_ENOTFOUND, "no engine \"%s\"", engine);
    status = check_params(found, g, params, err);
    if (status != AK_OK)
        return status;
    e = ak_array_new(1, found->size);
    if (e == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for a network");
    e->engine = found;
    e->g = g;
    e->params = *params;
    e->params.keep = NULL;
    if (e->params.threads == 0)
        e->params.threads = 1;
    e->kept = ak_array_new(g->n_layers, sizeof(*e->kept));
    if (e->kept == NULL) {
        ak_array_free(e);
        return ak_fail(err, AK_ENOMEM, "no memory for a network");
    }
    e->kept[g->feature] = e->kept[g->output] = true;
    for (uint32_t i = 0; i < params->n_keep; i++)
        e->kept[params->keep[i]] = true;
    status = found->create(e, err);
    if (status != AK_OK) {
        ak_exec_destroy(e);
        return status;
    }
    *out = e;
    return AK_OK;
}

void ak_exec_destroy(struct ak_exec *e)
{
    if (e == NULL)
        return;
    e->engine->clear(e);
    ak_array_free(e->kept);
    ak_array_free(e);
}

enum ak_status ak_exec_load(struct ak_exec *e, const ak_real *values,
                            struct ak_err *err)
{
    enum ak_status status = e->engine->load(e, values, err);

    e->loaded = status == AK_OK;
    return status;
}

enum ak_status ak_exec_forward(struct ak_exec *e, const ak_real *x, uint32_t n,
                               uint64_t seed, struct ak_err *err)
{
    enum ak_status status;

    if (!e->loaded)
        return ak_fail(err, AK_EINVAL, "no values were loaded");
    if (n < 1 || n > e->params.batch ||
        (e->params.train && n < e->params.batch))
        return ak_fail(err, AK_EINVAL, "%u images, must be %s%u", n,
                       e->params.train ? "" : "1..", e->params.batch);
    e->n = 0;
    status = e->engine->forward(e, x, n, seed, err);
    if (status == AK_OK)
        e->n = n;
    return status;
}

enum ak_status ak_exec_output(struct ak_exec *e, uint32_t layer, ak_real *out,
                              struct ak_err *err)
{
    if (e->n == 0)
        return ak_fail(err, AK_EINVAL, "nothing was computed");
    if (layer >= e->g->n_layers || !e->kept[layer])
        return ak_fail(err, AK_EINVAL, "layer %u was not kept", layer);
    return e->engine->output(e, layer, out, err);
}

void ak_exec_statistics(struct ak_exec *e, ak_real *values)
{
    for (uint32_t i = 0; e->params.train && e->n > 0 && i < e->g->n_layers;
         i++) {
        const struct ak_layer *l = &e->g->layers[i];
        const ak_real *mean, *var;
        ak_real *run_mean, *run_var;
        ak_real m = (ak_real)l->momentum;
        double n = (double)e->n * l->h * l->w;
        /* The running variance estimates the one of all images: n - 1. */
        ak_real fix = (ak_real)(n > 1 ? n / (n - 1) : 1);

        if (l->kind != AK_LAYER_BN)
            continue;
        e->engine->batch_stats(e, i, &mean, &var);
        run_mean = values + ak_graph_param(e->g, i, AK_PARAM_MEAN)->offset;
        run_var = values + ak_graph_param(e->g, i, AK_PARAM_VAR)->offset;
        for (uint32_t c = 0; c < l->c; c++) {
            run_mean[c] += m * (mean[c] - run_mean[c]);
            run_var[c] += m * (var[c] * fix - run_var[c]);
        }
    }
}

enum ak_status ak_exec_backward(struct ak_exec *e,
                                const struct ak_exec_start *starts,
                                uint32_t n_starts, ak_real *grads, ak_real *dx,
                                struct ak_err *err)
{
    if (!e->params.train || e->n == 0)
        return ak_fail(err, AK_EINVAL, "there was no forward in training");
    for (uint32_t i = 0; i < n_starts; i++)
        if (starts[i].layer >= e->g->n_layers || !e->kept[starts[i].layer])
            return ak_fail(err, AK_EINVAL, "layer %u was not kept",
                           starts[i].layer);
    memset(grads, 0, e->g->n_values * sizeof(*grads));
    return e->engine->backward(e, starts, n_starts, grads, dx, err);
}

size_t ak_exec_bytes(const struct ak_exec *e)
{
    return e->engine->bytes(e);
}
