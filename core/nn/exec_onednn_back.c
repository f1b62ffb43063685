/* exec_onednn_back.c -- the engine of oneDNN: gradients, layer by layer. */
#include "config.h"

#include "core/nn/exec.h"

#ifdef HAVE_DNNL

#include <string.h>

#include "core/nn/exec_onednn_internal.h"

/* ---- backward ----------------------------------------------------------- */

/* The gradient `dx`, whose user the caller was, is another share of that by the
   output of layer `i`; `shared`: the memory has other users. */
static enum ak_status give(struct ak_od_exec *e, uint32_t i,
                           struct ak_dn_tensor *dx, bool shared,
                           struct ak_err *err)
{
    struct ak_od_node *n = &e->nodes[i];
    struct ak_dn_tensor *sum = NULL, *old = n->dy;
    enum ak_status status;

    if (old == NULL) {
        n->dy = dx;
        n->dy_shared = shared;
        return AK_OK;
    }
    if (!n->dy_shared && shared) {
        n->dy = dx;
        dx = old;
        old = n->dy;
    } else if (shared) {
        /* Neither may be written to. */
        status =
            ak_dn_add(e->dn, e->backward, dx, old, AK_DN_NONE, NULL, &sum, err);
        ak_dn_release(dx);
        ak_dn_release(old);
        n->dy = sum;
        n->dy_shared = false;
        return status;
    }
    status = ak_dn_add(e->dn, e->backward, dx, old, AK_DN_NONE, dx, &sum, err);
    ak_dn_release(old);
    n->dy = sum;
    n->dy_shared = false;
    return status;
}

static enum ak_status back_own(struct ak_od_exec *e, uint32_t i,
                               struct ak_dn_tensor *dy, struct ak_err *err)
{
    const struct ak_layer *l = ak_od_layer(e, i);
    struct ak_od_own *o = e->nodes[i].own;
    bool map = o->n_pieces > 0;
    enum ak_status status =
        ak_dn_fit(e->dn, e->backward, dy, map ? o->y : NULL, &o->dy, err);

    for (uint32_t k = 0; status == AK_OK && k < l->n_in; k++)
        status = ak_dn_alike(e->dn, o->x[k], &o->dx[k], err);
    if (status == AK_OK)
        status = ak_dn_call(e->dn, e->backward,
                            map ? ak_od_map_back : ak_od_plain_back, o, err);
    if (status != AK_OK)
        return status;
    ak_dn_release(o->dy);
    for (uint32_t k = 0; status == AK_OK && k < l->n_in; k++)
        if (e->nodes[l->in[k]].need)
            status = give(e, l->in[k], o->dx[k], false, err);
        else
            ak_dn_release(o->dx[k]);
    return status;
}

static enum ak_status back_add(struct ak_od_exec *e, uint32_t i,
                               struct ak_dn_tensor *dy, struct ak_err *err)
{
    const struct ak_layer *l = ak_od_layer(e, i);
    struct ak_od_node *n = &e->nodes[i];
    struct ak_dn_tensor *dz = dy;
    enum ak_status status = AK_OK;

    if (n->last != i)
        status =
            ak_dn_act_back(e->dn, e->backward, AK_DN_RELU, &n->l, dy, &dz, err);
    for (uint32_t k = 0; status == AK_OK && k < 2; k++)
        if (e->nodes[l->in[k]].need) {
            ak_dn_retain(dz);
            status = give(e, l->in[k], dz, true, err);
        }
    if (dz != dy)
        ak_dn_release(dz);
    return status;
}

static enum ak_status back_layer(struct ak_od_exec *e, uint32_t i,
                                 struct ak_dn_tensor *dy, struct ak_err *err)
{
    const struct ak_layer *l = ak_od_layer(e, i);
    struct ak_od_node *n = &e->nodes[i];
    struct ak_dn_window p = ak_od_window(e, i);
    bool need = e->nodes[l->in[0]].need;
    float *dw = ak_od_value(e->grads, e, i, AK_PARAM_WEIGHT);
    float *db = ak_od_value(e->grads, e, i, AK_PARAM_BIAS);
    struct ak_dn_tensor *dx = NULL;
    enum ak_status status;

    if (n->own != NULL)
        return back_own(e, i, dy, err);
    switch (l->kind) {
    case AK_LAYER_ADD:
        return back_add(e, i, dy, err);
    case AK_LAYER_CONV:
        status = ak_dn_conv_back(e->dn, e->backward, e->load, &p, &n->l, dy, dw,
                                 db, need ? &dx : NULL, err);
        break;
    case AK_LAYER_LINEAR:
        status = ak_dn_linear_back(e->dn, e->backward, e->load, &n->l, dy, dw,
                                   db, need ? &dx : NULL, err);
        break;
    case AK_LAYER_BN:
        status =
            ak_dn_bn_back(e->dn, e->backward, l->c, l->eps, &n->l, dy,
                          ak_od_value(e->grads, e, i, AK_PARAM_GAMMA),
                          ak_od_value(e->grads, e, i, AK_PARAM_BETA), &dx, err);
        break;
    case AK_LAYER_MAXPOOL:
    case AK_LAYER_AVGPOOL:
    case AK_LAYER_GAP:
        status =
            ak_dn_pool_back(e->dn, e->backward, &p, l->kind == AK_LAYER_MAXPOOL,
                            &n->l, dy, &dx, err);
        break;
    default:
        status = ak_dn_act_back(e->dn, e->backward, ak_od_act(l->kind), &n->l,
                                dy, &dx, err);
    }
    if (status == AK_OK && dx != NULL && need)
        return give(e, l->in[0], dx, false, err);
    ak_dn_release(dx);
    return status;
}

static enum ak_status add_starts(struct ak_od_exec *e,
                                 const struct ak_exec_start *starts,
                                 uint32_t n_starts, struct ak_err *err)
{
    for (uint32_t s = 0; s < n_starts; s++) {
        const struct ak_layer *l = ak_od_layer(e, starts[s].layer);
        const uint32_t dims[] = {e->base.params.batch, l->c, l->h, l->w};
        struct ak_od_node *n = &e->nodes[starts[s].layer];
        enum ak_status status;

        if (n->start != NULL)
            continue;
        status = ak_dn_plain(e->dn, dims, NULL, &n->start, err);
        if (status == AK_OK) {
            ak_dn_retain(n->start);
            status = give(e, starts[s].layer, n->start, true, err);
        }
        if (status != AK_OK)
            return status;
    }
    return AK_OK;
}

enum ak_status ak_od_plan_backward(struct ak_od_exec *e,
                                   const struct ak_exec_start *starts,
                                   uint32_t n_starts, bool with_dx,
                                   struct ak_err *err)
{
    const struct ak_graph *g = e->base.g;
    enum ak_status status;

    e->planned = false;
    e->with_dx = with_dx;
    ak_dn_list_empty(e->backward);
    memset(e->grads, 0, g->n_values * sizeof(*e->grads));
    ak_dn_release(e->dx);
    e->dx = NULL;
    for (uint32_t i = 0; i < g->n_layers; i++) {
        struct ak_od_node *n = &e->nodes[i];

        ak_dn_release(n->start);
        n->start = n->dy = NULL;
        n->need = i == 0 ? with_dx : g->layers[i].n_params > 0;
        for (uint32_t k = 0; k < g->layers[i].n_in; k++)
            n->need |= e->nodes[g->layers[i].in[k]].need;
    }
    status = add_starts(e, starts, n_starts, err);
    for (uint32_t i = g->n_layers - 1; status == AK_OK && i > 0; i--) {
        struct ak_od_node *n = &e->nodes[i];
        struct ak_dn_tensor *dy = e->nodes[n->last].dy;

        if (n->absorbed != AK_OD_NONE || dy == NULL)
            continue;
        if (n->need)
            status = back_layer(e, i, dy, err);
        if (status != AK_OK)
            ak_err_context(err, "layer %s", g->layers[i].name);
        ak_dn_release(dy);
        e->nodes[n->last].dy = NULL;
    }
    if (status == AK_OK && with_dx && e->nodes[0].dy != NULL) {
        status =
            ak_dn_fit(e->dn, e->backward, e->nodes[0].dy, NULL, &e->dx, err);
        ak_dn_release(e->nodes[0].dy);
    }
    /* Weights in the layouts that only backward needs. */
    if (status == AK_OK)
        status = ak_dn_run(e->dn, e->load, err);
    e->planned = status == AK_OK;
    return status;
}

#endif
