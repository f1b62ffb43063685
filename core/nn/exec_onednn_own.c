/*
 * exec_onednn_own.c -- layers that oneDNN does not have: by the plain loops,
 * and channel maps as copies within the library's blocks of 16 channels.
 */
#include "config.h"

#include "core/nn/exec.h"

#ifdef HAVE_DNNL

#include <string.h>

#include "core/base/mem.h"
#include "core/nn/exec_onednn_internal.h"
#include "core/nn/plain_ops.h"

/* ---- the plain way ------------------------------------------------------ */

static struct ak_plain plain_call(const struct ak_od_own *o)
{
    const struct ak_graph *g = o->e->base.g;
    const struct ak_layer *l = &g->layers[o->layer];
    struct ak_plain p = {.g = g,
                         .l = l,
                         .n = o->e->base.params.batch,
                         .train = o->e->base.params.train,
                         .seed = o->e->seed,
                         .y = ak_dn_data(o->y),
                         .saved = o->saved};

    for (uint32_t i = 0; i < l->n_in; i++) {
        p.in[i] = &g->layers[l->in[i]];
        p.x[i] = ak_dn_data(o->x[i]);
    }
    for (unsigned r = 0; r < AK_PARAM_ROLES; r++) {
        p.value[r] =
            ak_od_value(o->e->values, o->e, o->layer, (enum ak_param_role)r);
        p.grad[r] =
            ak_od_value(o->e->grads, o->e, o->layer, (enum ak_param_role)r);
    }
    return p;
}

static void plain_forward(void *context)
{
    struct ak_plain p = plain_call(context);

    ak_plain_layers[p.l->kind].forward(&p);
}

void ak_od_plain_back(void *context)
{
    const struct ak_od_own *o = context;
    struct ak_plain p = plain_call(o);

    p.dy = ak_dn_data(o->dy);
    for (uint32_t i = 0; i < p.l->n_in; i++) {
        p.dx[i] = ak_dn_data(o->dx[i]);
        memset(p.dx[i], 0, p.n * ak_layer_size(p.in[i]) * sizeof(ak_real));
    }
    for (uint32_t i = 0; i < p.l->n_params; i++) {
        const struct ak_param *param = &p.g->params[p.l->first_param + i];

        memset(p.grad[param->role], 0, param->n * sizeof(ak_real));
    }
    ak_plain_layers[p.l->kind].backward(&p);
}

static enum ak_status new_own(struct ak_od_exec *e, uint32_t i,
                              struct ak_err *err)
{
    struct ak_od_own *o = ak_array_new(1, sizeof(*o));

    if (o == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for a layer");
    o->e = e;
    o->layer = i;
    e->nodes[i].own = o;
    return AK_OK;
}

enum ak_status ak_od_add_plain(struct ak_od_exec *e, uint32_t i,
                               struct ak_err *err)
{
    const struct ak_layer *l = ak_od_layer(e, i);
    const uint32_t dims[] = {e->base.params.batch, l->c, l->h, l->w};
    const struct ak_plain_layer *ops = &ak_plain_layers[l->kind];
    enum ak_status status = new_own(e, i, err);
    struct ak_od_own *o = e->nodes[i].own;

    for (uint32_t k = 0; status == AK_OK && k < l->n_in; k++)
        status = ak_dn_fit(e->dn, e->forward, e->nodes[l->in[k]].y, NULL,
                           &o->x[k], err);
    if (status == AK_OK)
        status = ak_dn_plain(e->dn, dims, NULL, &o->y, err);
    if (status == AK_OK && ops->saved != NULL && e->base.params.train) {
        o->saved = ak_array_new(ops->saved(l, dims[0]), sizeof(*o->saved));
        if (o->saved == NULL)
            status = ak_fail(err, AK_ENOMEM, "no memory for a layer");
    }
    if (status == AK_OK)
        status = ak_dn_call(e->dn, e->forward, plain_forward, o, err);
    e->nodes[i].y = status == AK_OK ? o->y : NULL;
    return status;
}

/* ---- channel maps in blocks of 16 --------------------------------------- */

#define BLOCK 16

/* Copies n bytes; the sizes of half a block and a whole one are constants, for
   which the compiler needs no call. */
static void copy(uint8_t *to, const uint8_t *from, size_t n)
{
    if (n == 16)
        memcpy(to, from, 16);
    else if (n == 32)
        memcpy(to, from, 32);
    else if (n == 64)
        memcpy(to, from, 64);
    else
        memcpy(to, from, n);
}

/* Between the pixels of a small tensor (the map's output) and a large one. */
static void map_pieces(const struct ak_od_own *o, uint8_t *small,
                       uint8_t *large, bool back)
{
    const struct ak_layer *l = ak_od_layer(o->e, o->layer);
    const struct ak_layer *x = ak_od_layer(o->e, l->in[0]);
    size_t pixel = BLOCK * o->value;

    for (uint32_t n = 0; n < o->e->base.params.batch; n++)
        for (uint32_t k = 0; k < o->n_pieces; k++) {
            const struct ak_od_piece *p = &o->pieces[k];
            size_t s_block = (size_t)n * (l->c / BLOCK) + p->to / BLOCK;
            size_t l_block = (size_t)n * (x->c / BLOCK) + p->from / BLOCK;
            uint8_t *s = small + s_block * l->h * l->w * pixel +
                         p->to % BLOCK * o->value;
            uint8_t *from = large + l_block * x->h * x->w * pixel +
                            p->from % BLOCK * o->value;

            for (uint32_t y = 0; y < l->h; y++) {
                uint8_t *at = from + (size_t)y * l->stride * x->w * pixel;

                for (uint32_t c = 0; c < l->w; c++) {
                    if (back)
                        copy(at, s, p->n * o->value);
                    else
                        copy(s, at, p->n * o->value);
                    s += pixel;
                    at += l->stride * pixel;
                }
            }
        }
}

static size_t tensor_len(const struct ak_od_own *o, uint32_t layer)
{
    return o->e->base.params.batch * ak_layer_size(ak_od_layer(o->e, layer)) *
           o->value;
}

static void map_forward(void *context)
{
    const struct ak_od_own *o = context;

    /* A sum may have been made in the memory of this output. */
    memset(ak_dn_data(o->y), 0, tensor_len(o, o->layer));
    map_pieces(o, ak_dn_data(o->y), ak_dn_data(o->x[0]), false);
}

void ak_od_map_back(void *context)
{
    const struct ak_od_own *o = context;

    memset(ak_dn_data(o->dx[0]), 0,
           tensor_len(o, ak_od_layer(o->e, o->layer)->in[0]));
    map_pieces(o, ak_dn_data(o->dy), ak_dn_data(o->dx[0]), true);
}

/* The runs of a map cut at the ends of blocks; false: it cannot be done. */
static bool cut_map(struct ak_od_own *o, const struct ak_layer *l,
                    const struct ak_layer *x)
{
    uint32_t to = 0;
    bool used[AK_NN_CHANNELS / BLOCK * BLOCK];

    memset(used, 0, x->c * sizeof(*used));
    for (uint32_t r = 0; r < l->n_runs; r++) {
        const struct ak_map_run *run = &l->runs[r];
        uint32_t from = run->first;

        for (uint32_t left = run->n, n; left > 0;
             left -= n, to += n, from += n) {
            n = BLOCK - to % BLOCK;
            if (!run->zero && BLOCK - from % BLOCK < n)
                n = BLOCK - from % BLOCK;
            if (n > left)
                n = left;
            if (run->zero)
                continue;
            if (o->n_pieces == AK_OD_PIECES)
                return false;
            /* Gradients of a channel that is taken twice would be summed. */
            for (uint32_t i = 0; i < n; i++) {
                if (used[from + i])
                    return false;
                used[from + i] = true;
            }
            o->pieces[o->n_pieces++] = (struct ak_od_piece){to, from, n};
        }
    }
    return true;
}

enum ak_status ak_od_add_map(struct ak_od_exec *e, uint32_t i,
                             struct ak_err *err)
{
    const struct ak_layer *l = ak_od_layer(e, i), *x = ak_od_layer(e, l->in[0]);
    const uint32_t dims[] = {e->base.params.batch, l->c, l->h, l->w};
    struct ak_dn_tensor *from = e->nodes[l->in[0]].y;
    struct ak_od_own *o;
    enum ak_status status;

    if (ak_dn_block_size(from) == 0 || x->c % BLOCK != 0 || l->c % BLOCK != 0)
        return ak_od_add_plain(e, i, err);
    status = new_own(e, i, err);
    if (status != AK_OK)
        return status;
    o = e->nodes[i].own;
    if (!cut_map(o, l, x)) {
        ak_array_free(o);
        e->nodes[i].own = NULL;
        return ak_od_add_plain(e, i, err);
    }
    o->value = ak_dn_block_size(from);
    o->x[0] = from;
    status = ak_dn_blocked(e->dn, from, dims, &o->y, err);
    if (status == AK_OK)
        status = ak_dn_call(e->dn, e->forward, map_forward, o, err);
    e->nodes[i].y = status == AK_OK ? o->y : NULL;
    return status;
}

#endif
