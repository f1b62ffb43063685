/* onednn_layers.c -- layers of oneDNN with parameters, and pools. */
#include "config.h"

#include "core/nn/onednn_internal.h"

#ifdef HAVE_DNNL

#include <string.h>

#include "core/nn/onednn_types_internal.h"

/* ---- convolution -------------------------------------------------------- */

struct geometry {
    dnnl_dims_t strides, kernel, before, after;
};

static struct geometry geometry_of(const struct ak_dn_window *p)
{
    return (struct geometry){.strides = {p->stride, p->stride},
                             .kernel = {p->kh, p->kw},
                             .before = {p->pad[0], p->pad[1]},
                             .after = {p->pad[2], p->pad[3]}};
}

/*
 * Weights in the layout that a layer wants, filled by a step of `load`, which
 * runs before the other lists: so no step of those may have had their memory.
 */
static enum ak_status load_weights(struct ak_dn *dn, struct ak_dn_list *load,
                                   const struct ak_dn_layer *l,
                                   const dnnl_memory_desc_t *md,
                                   struct ak_dn_tensor **out,
                                   struct ak_err *err)
{
    struct ak_dn_tensor *plain;
    enum ak_status status =
        ak_dn_parameters(dn, l->dims, l->n_dims, l->values, &plain, err);

    dn->lasting = true;
    if (status == AK_OK)
        status = ak_dn_fit_md(dn, load, plain, md, out, err);
    dn->lasting = false;
    return status;
}

enum ak_status ak_dn_conv(struct ak_dn *dn, struct ak_dn_list *list,
                          struct ak_dn_list *load, const struct ak_dn_window *p,
                          bool train, struct ak_dn_tensor *x, float *weights,
                          float *bias, struct ak_dn_tensor *sum,
                          enum ak_dn_act act, struct ak_dn_layer *out,
                          struct ak_err *err)
{
    struct geometry geo = geometry_of(p);
    const uint32_t y_dims[4] = {p->n, p->out, p->h, p->w};
    const int64_t n_bias = p->out;
    dnnl_memory_desc_t x_md = ak_dn_any(&x->md, dn->type), w_md, b_md, y_md;
    dnnl_post_ops_t post = NULL;
    dnnl_convolution_desc_t op;
    dnnl_primitive_desc_t pd;
    struct ak_dn_tensor *b;
    enum ak_status status = AK_OK;
    int64_t g = p->groups;

    *out = (struct ak_dn_layer){.values = weights, .n_dims = 4};
    if (g > 1) {
        const int64_t dims[] = {g, p->out / g, x->md.dims[1] / g, p->kh, p->kw};

        memcpy(out->dims, dims, sizeof(dims));
        out->n_dims = 5;
    } else {
        const int64_t dims[] = {p->out, x->md.dims[1], p->kh, p->kw};

        memcpy(out->dims, dims, sizeof(dims));
    }
    w_md =
        ak_dn_describe(out->dims, out->n_dims, dn->type, dnnl_format_tag_any);
    b_md = ak_dn_describe(&n_bias, 1, dnnl_f32, dnnl_x);
    y_md = sum != NULL ? sum->md
                       : ak_dn_describe4(y_dims, dn->type, dnnl_format_tag_any);
    AK_DN_OUR(ak_dn_post_ops(sum != NULL, act, &post, err));
    AK_DN_TRY(dnnl_convolution_forward_desc_init(
                  &op, train ? dnnl_forward_training : dnnl_forward_inference,
                  dnnl_convolution_direct, &x_md, &w_md,
                  bias != NULL ? &b_md : NULL, &y_md, geo.strides, geo.before,
                  geo.after),
              "a convolution");
    AK_DN_OUR(ak_dn_make_pd(dn, &op, post, NULL, "a convolution", &pd, err));
    out->pd = pd;
    AK_DN_OUR(ak_dn_fit_md(dn, list, x, ak_dn_md_of(pd, dnnl_query_src_md),
                           &out->x, err));
    AK_DN_OUR(load_weights(dn, load, out,
                           ak_dn_md_of(pd, dnnl_query_weights_md),
                           &out->weights, err));
    AK_DN_OUR(ak_dn_vector(dn, n_bias, bias, &b, err));
    out->y = sum;
    if (sum == NULL)
        AK_DN_OUR(ak_dn_memory(dn, ak_dn_md_of(pd, dnnl_query_dst_md), NULL,
                               &out->y, err));
    status =
        ak_dn_append(dn, list, pd,
                     (struct ak_dn_argument[]){{DNNL_ARG_SRC, out->x},
                                               {DNNL_ARG_WEIGHTS, out->weights},
                                               {DNNL_ARG_BIAS, b},
                                               {DNNL_ARG_DST, out->y},
                                               {0, NULL}},
                     err);
out:
    if (post != NULL)
        dnnl_post_ops_destroy(post);
    return status;
}

/* The gradient by the input, in the layout that the layer writes. */
static enum ak_status
back_data(struct ak_dn *dn, struct ak_dn_list *list, struct ak_dn_list *load,
          dnnl_primitive_desc_t pd, const struct ak_dn_layer *l,
          struct ak_dn_tensor *dy, struct ak_dn_tensor **dx, struct ak_err *err)
{
    const dnnl_memory_desc_t *w_md = ak_dn_md_of(pd, dnnl_query_weights_md);
    struct ak_dn_tensor *w = l->weights, *fit;
    enum ak_status status = AK_OK;

    if (!dnnl_memory_desc_equal(&w->md, w_md))
        AK_DN_OUR(load_weights(dn, load, l, w_md, &w, err));
    AK_DN_OUR(ak_dn_fit_md(dn, list, dy,
                           ak_dn_md_of(pd, dnnl_query_diff_dst_md), &fit, err));
    AK_DN_OUR(ak_dn_memory(dn, ak_dn_md_of(pd, dnnl_query_diff_src_md), NULL,
                           dx, err));
    status = ak_dn_append(dn, list, pd,
                          (struct ak_dn_argument[]){{DNNL_ARG_DIFF_DST, fit},
                                                    {DNNL_ARG_WEIGHTS, w},
                                                    {DNNL_ARG_DIFF_SRC, *dx},
                                                    {0, NULL}},
                          err);
    ak_dn_release(fit);
out:
    return status;
}

/* The gradients by weights and bias, planar floats. */
static enum ak_status back_weights(struct ak_dn *dn, struct ak_dn_list *list,
                                   dnnl_primitive_desc_t pd,
                                   const struct ak_dn_layer *l,
                                   struct ak_dn_tensor *dy, float *dw,
                                   float *db, int64_t n_bias,
                                   struct ak_err *err)
{
    const dnnl_memory_desc_t *md = ak_dn_md_of(pd, dnnl_query_diff_weights_md);
    struct ak_dn_tensor *plain, *own_layout, *b, *x, *fit;
    enum ak_status status = AK_OK;

    AK_DN_OUR(ak_dn_parameters(dn, l->dims, l->n_dims, dw, &plain, err));
    AK_DN_OUR(ak_dn_vector(dn, n_bias, db, &b, err));
    AK_DN_OUR(ak_dn_fit_md(dn, list, l->x, ak_dn_md_of(pd, dnnl_query_src_md),
                           &x, err));
    AK_DN_OUR(ak_dn_fit_md(dn, list, dy,
                           ak_dn_md_of(pd, dnnl_query_diff_dst_md), &fit, err));
    own_layout = plain;
    if (!dnnl_memory_desc_equal(&plain->md, md))
        AK_DN_OUR(ak_dn_memory(dn, md, NULL, &own_layout, err));
    AK_DN_OUR(ak_dn_append(
        dn, list, pd,
        (struct ak_dn_argument[]){{DNNL_ARG_SRC, x},
                                  {DNNL_ARG_DIFF_DST, fit},
                                  {DNNL_ARG_DIFF_WEIGHTS, own_layout},
                                  {DNNL_ARG_DIFF_BIAS, b},
                                  {0, NULL}},
        err));
    if (own_layout != plain) {
        AK_DN_OUR(ak_dn_reorder(dn, list, own_layout, plain, err));
        ak_dn_release(own_layout);
    }
    ak_dn_release(fit);
    ak_dn_release(x);
out:
    return status;
}

enum ak_status ak_dn_conv_back(struct ak_dn *dn, struct ak_dn_list *list,
                               struct ak_dn_list *load,
                               const struct ak_dn_window *p,
                               const struct ak_dn_layer *l,
                               struct ak_dn_tensor *dy, float *dw, float *db,
                               struct ak_dn_tensor **dx, struct ak_err *err)
{
    struct geometry geo = geometry_of(p);
    const int64_t n_bias = p->out;
    dnnl_memory_desc_t x_md = ak_dn_any(&l->x->md, dn->type);
    dnnl_memory_desc_t y_md = ak_dn_any(&l->y->md, dn->type);
    dnnl_memory_desc_t w_md =
        ak_dn_describe(l->dims, l->n_dims, dn->type, dnnl_format_tag_any);
    dnnl_memory_desc_t dw_md =
        ak_dn_describe(l->dims, l->n_dims, dnnl_f32, dnnl_format_tag_any);
    dnnl_memory_desc_t b_md = ak_dn_describe(&n_bias, 1, dnnl_f32, dnnl_x);
    dnnl_convolution_desc_t op;
    dnnl_primitive_desc_t pd;
    enum ak_status status = AK_OK;

    AK_DN_TRY(dnnl_convolution_backward_weights_desc_init(
                  &op, dnnl_convolution_direct, &x_md, &dw_md,
                  db != NULL ? &b_md : NULL, &y_md, geo.strides, geo.before,
                  geo.after),
              "a convolution's gradient");
    AK_DN_OUR(ak_dn_make_pd(dn, &op, NULL, l->pd, "a convolution's gradient",
                            &pd, err));
    AK_DN_OUR(back_weights(dn, list, pd, l, dy, dw, db, n_bias, err));
    if (dx == NULL)
        goto out;
    AK_DN_TRY(dnnl_convolution_backward_data_desc_init(
                  &op, dnnl_convolution_direct, &x_md, &w_md, &y_md,
                  geo.strides, geo.before, geo.after),
              "a convolution's gradient");
    AK_DN_OUR(ak_dn_make_pd(dn, &op, NULL, l->pd, "a convolution's gradient",
                            &pd, err));
    status = back_data(dn, list, load, pd, l, dy, dx, err);
out:
    return status;
}

/* ---- the linear layer --------------------------------------------------- */

/* (n, c, 1, 1) and (n, c) are the same bytes. */
static enum ak_status flat(struct ak_dn *dn, struct ak_dn_tensor *t,
                           struct ak_dn_tensor **out, struct ak_err *err)
{
    dnnl_memory_desc_t md =
        ak_dn_describe(t->md.dims, 2, t->md.data_type, dnnl_nc);

    return ak_dn_memory(dn, &md, ak_dn_data(t), out, err);
}

enum ak_status ak_dn_linear(struct ak_dn *dn, struct ak_dn_list *list,
                            struct ak_dn_list *load,
                            const struct ak_dn_window *p, bool train,
                            struct ak_dn_tensor *x, float *weights, float *bias,
                            struct ak_dn_layer *out, struct ak_err *err)
{
    const uint32_t y_dims[4] = {p->n, p->out, 1, 1};
    const int64_t n_bias = p->out, flat_dims[] = {p->n, p->out};
    dnnl_memory_desc_t x_md = ak_dn_any(&x->md, dn->type), w_md, b_md, y_md;
    dnnl_inner_product_desc_t op;
    dnnl_primitive_desc_t pd;
    struct ak_dn_tensor *b, *y;
    enum ak_status status = AK_OK;

    *out = (struct ak_dn_layer){
        .values = weights,
        .n_dims = 4,
        .dims = {p->out, x->md.dims[1], x->md.dims[2], x->md.dims[3]}};
    w_md = ak_dn_describe(out->dims, 4, dn->type, dnnl_format_tag_any);
    b_md = ak_dn_describe(&n_bias, 1, dnnl_f32, dnnl_x);
    y_md = ak_dn_describe(flat_dims, 2, dnnl_f32, dnnl_nc);
    AK_DN_TRY(dnnl_inner_product_forward_desc_init(
                  &op, train ? dnnl_forward_training : dnnl_forward_inference,
                  &x_md, &w_md, bias != NULL ? &b_md : NULL, &y_md),
              "a linear layer");
    AK_DN_OUR(ak_dn_make_pd(dn, &op, NULL, NULL, "a linear layer", &pd, err));
    out->pd = pd;
    AK_DN_OUR(ak_dn_fit_md(dn, list, x, ak_dn_md_of(pd, dnnl_query_src_md),
                           &out->x, err));
    AK_DN_OUR(load_weights(dn, load, out,
                           ak_dn_md_of(pd, dnnl_query_weights_md),
                           &out->weights, err));
    AK_DN_OUR(ak_dn_vector(dn, n_bias, bias, &b, err));
    AK_DN_OUR(ak_dn_plain(dn, y_dims, NULL, &out->y, err));
    AK_DN_OUR(flat(dn, out->y, &y, err));
    status =
        ak_dn_append(dn, list, pd,
                     (struct ak_dn_argument[]){{DNNL_ARG_SRC, out->x},
                                               {DNNL_ARG_WEIGHTS, out->weights},
                                               {DNNL_ARG_BIAS, b},
                                               {DNNL_ARG_DST, y},
                                               {0, NULL}},
                     err);
out:
    return status;
}

enum ak_status ak_dn_linear_back(struct ak_dn *dn, struct ak_dn_list *list,
                                 struct ak_dn_list *load,
                                 const struct ak_dn_layer *l,
                                 struct ak_dn_tensor *dy, float *dw, float *db,
                                 struct ak_dn_tensor **dx, struct ak_err *err)
{
    const int64_t n_bias = l->dims[0];
    dnnl_memory_desc_t x_md = ak_dn_any(&l->x->md, dn->type);
    dnnl_memory_desc_t y_md =
        ak_dn_describe(l->y->md.dims, 2, dn->type, dnnl_format_tag_any);
    dnnl_memory_desc_t w_md =
        ak_dn_describe(l->dims, 4, dn->type, dnnl_format_tag_any);
    dnnl_memory_desc_t dw_md =
        ak_dn_describe(l->dims, 4, dnnl_f32, dnnl_format_tag_any);
    dnnl_memory_desc_t b_md = ak_dn_describe(&n_bias, 1, dnnl_f32, dnnl_x);
    dnnl_inner_product_desc_t op;
    dnnl_primitive_desc_t pd;
    struct ak_dn_tensor *plain, *flat_dy;
    enum ak_status status = AK_OK;

    AK_DN_OUR(ak_dn_fit(dn, list, dy, NULL, &plain, err));
    AK_DN_OUR(flat(dn, plain, &flat_dy, err));
    AK_DN_TRY(dnnl_inner_product_backward_weights_desc_init(
                  &op, &x_md, &dw_md, db != NULL ? &b_md : NULL, &y_md),
              "a linear layer's gradient");
    AK_DN_OUR(ak_dn_make_pd(dn, &op, NULL, l->pd, "a linear layer's gradient",
                            &pd, err));
    AK_DN_OUR(back_weights(dn, list, pd, l, flat_dy, dw, db, n_bias, err));
    if (dx != NULL) {
        AK_DN_TRY(dnnl_inner_product_backward_data_desc_init(&op, &x_md, &w_md,
                                                             &y_md),
                  "a linear layer's gradient");
        AK_DN_OUR(ak_dn_make_pd(dn, &op, NULL, l->pd,
                                "a linear layer's gradient", &pd, err));
        AK_DN_OUR(back_data(dn, list, load, pd, l, flat_dy, dx, err));
    }
    ak_dn_release(plain);
out:
    return status;
}

/* ---- batch normalisation ------------------------------------------------ */

#define BN_FLAGS (dnnl_use_scale | dnnl_use_shift)

enum ak_status ak_dn_bn(struct ak_dn *dn, struct ak_dn_list *list, uint32_t c,
                        float eps, bool train, bool relu,
                        struct ak_dn_tensor *x, float *gamma, float *beta,
                        float *mean, float *var, struct ak_dn_layer *out,
                        struct ak_err *err)
{
    const dnnl_memory_desc_t *work;
    dnnl_batch_normalization_desc_t op;
    dnnl_primitive_desc_t pd;
    struct ak_dn_tensor *g, *b;
    enum ak_status status = AK_OK;

    *out = (struct ak_dn_layer){.values = gamma, .shift = beta};
    out->flags = (uint32_t)(BN_FLAGS | (relu ? dnnl_fuse_norm_relu : 0) |
                            (train ? 0 : dnnl_use_global_stats));
    AK_DN_TRY(dnnl_batch_normalization_forward_desc_init(
                  &op, train ? dnnl_forward_training : dnnl_forward_inference,
                  &x->md, eps, out->flags),
              "a normalisation");
    AK_DN_OUR(ak_dn_make_pd(dn, &op, NULL, NULL, "a normalisation", &pd, err));
    out->pd = pd;
    out->x = x;
    AK_DN_OUR(ak_dn_vector(dn, c, gamma, &g, err));
    AK_DN_OUR(ak_dn_vector(dn, c, beta, &b, err));
    AK_DN_OUR(ak_dn_vector(dn, c, mean, &out->mean, err));
    AK_DN_OUR(ak_dn_vector(dn, c, var, &out->var, err));
    AK_DN_OUR(ak_dn_alike(dn, x, &out->y, err));
    work = ak_dn_md_of(pd, dnnl_query_workspace_md);
    if (work != NULL && dnnl_memory_desc_get_size(work) > 0)
        AK_DN_OUR(ak_dn_memory(dn, work, NULL, &out->work, err));
    status =
        ak_dn_append(dn, list, pd,
                     (struct ak_dn_argument[]){{DNNL_ARG_SRC, x},
                                               {DNNL_ARG_SCALE, g},
                                               {DNNL_ARG_SHIFT, b},
                                               {DNNL_ARG_MEAN, out->mean},
                                               {DNNL_ARG_VARIANCE, out->var},
                                               {DNNL_ARG_DST, out->y},
                                               {DNNL_ARG_WORKSPACE, out->work},
                                               {0, NULL}},
                     err);
out:
    return status;
}

enum ak_status ak_dn_bn_back(struct ak_dn *dn, struct ak_dn_list *list,
                             uint32_t c, float eps, const struct ak_dn_layer *l,
                             struct ak_dn_tensor *dy, float *dgamma,
                             float *dbeta, struct ak_dn_tensor **dx,
                             struct ak_err *err)
{
    dnnl_batch_normalization_desc_t op;
    dnnl_primitive_desc_t pd;
    struct ak_dn_tensor *g, *b, *dg, *db, *fit;
    enum ak_status status = AK_OK;

    AK_DN_OUR(ak_dn_fit(dn, list, dy, l->x, &fit, err));
    AK_DN_TRY(dnnl_batch_normalization_backward_desc_init(
                  &op, dnnl_backward, &fit->md, &l->x->md, eps, l->flags),
              "a normalisation's gradient");
    AK_DN_OUR(ak_dn_make_pd(dn, &op, NULL, l->pd, "a normalisation's gradient",
                            &pd, err));
    AK_DN_OUR(ak_dn_vector(dn, c, l->values, &g, err));
    AK_DN_OUR(ak_dn_vector(dn, c, l->shift, &b, err));
    AK_DN_OUR(ak_dn_vector(dn, c, dgamma, &dg, err));
    AK_DN_OUR(ak_dn_vector(dn, c, dbeta, &db, err));
    AK_DN_OUR(ak_dn_alike(dn, l->x, dx, err));
    /* Version 2.6 wants the shift, though no gradient depends on it. */
    status =
        ak_dn_append(dn, list, pd,
                     (struct ak_dn_argument[]){{DNNL_ARG_SRC, l->x},
                                               {DNNL_ARG_MEAN, l->mean},
                                               {DNNL_ARG_VARIANCE, l->var},
                                               {DNNL_ARG_SCALE, g},
                                               {DNNL_ARG_SHIFT, b},
                                               {DNNL_ARG_WORKSPACE, l->work},
                                               {DNNL_ARG_DIFF_DST, fit},
                                               {DNNL_ARG_DIFF_SRC, *dx},
                                               {DNNL_ARG_DIFF_SCALE, dg},
                                               {DNNL_ARG_DIFF_SHIFT, db},
                                               {0, NULL}},
                     err);
    ak_dn_release(fit);
out:
    return status;
}

/* ---- pooling ------------------------------------------------------------ */

enum ak_status ak_dn_pool(struct ak_dn *dn, struct ak_dn_list *list,
                          const struct ak_dn_window *p, bool max, bool train,
                          struct ak_dn_tensor *x, struct ak_dn_layer *out,
                          struct ak_err *err)
{
    struct geometry geo = geometry_of(p);
    const uint32_t y_dims[4] = {p->n, p->out, p->h, p->w};
    dnnl_memory_desc_t y_md =
        ak_dn_describe4(y_dims, x->md.data_type, dnnl_format_tag_any);
    const dnnl_memory_desc_t *work;
    dnnl_pooling_desc_t op;
    dnnl_primitive_desc_t pd;
    enum ak_status status = AK_OK;

    *out = (struct ak_dn_layer){.x = x};
    AK_DN_TRY(dnnl_pooling_forward_desc_init(
                  &op, train ? dnnl_forward_training : dnnl_forward_inference,
                  max ? dnnl_pooling_max : dnnl_pooling_avg_exclude_padding,
                  &x->md, &y_md, geo.strides, geo.kernel, geo.before,
                  geo.after),
              "a pool");
    AK_DN_OUR(ak_dn_make_pd(dn, &op, NULL, NULL, "a pool", &pd, err));
    out->pd = pd;
    AK_DN_OUR(ak_dn_memory(dn, ak_dn_md_of(pd, dnnl_query_dst_md), NULL,
                           &out->y, err));
    work = ak_dn_md_of(pd, dnnl_query_workspace_md);
    if (work != NULL && dnnl_memory_desc_get_size(work) > 0)
        AK_DN_OUR(ak_dn_memory(dn, work, NULL, &out->work, err));
    status =
        ak_dn_append(dn, list, pd,
                     (struct ak_dn_argument[]){{DNNL_ARG_SRC, x},
                                               {DNNL_ARG_DST, out->y},
                                               {DNNL_ARG_WORKSPACE, out->work},
                                               {0, NULL}},
                     err);
out:
    return status;
}

enum ak_status ak_dn_pool_back(struct ak_dn *dn, struct ak_dn_list *list,
                               const struct ak_dn_window *p, bool max,
                               const struct ak_dn_layer *l,
                               struct ak_dn_tensor *dy,
                               struct ak_dn_tensor **dx, struct ak_err *err)
{
    struct geometry geo = geometry_of(p);
    dnnl_pooling_desc_t op;
    dnnl_primitive_desc_t pd;
    struct ak_dn_tensor *fit;
    enum ak_status status = AK_OK;

    AK_DN_OUR(ak_dn_fit(dn, list, dy, l->y, &fit, err));
    AK_DN_TRY(dnnl_pooling_backward_desc_init(
                  &op,
                  max ? dnnl_pooling_max : dnnl_pooling_avg_exclude_padding,
                  &l->x->md, &fit->md, geo.strides, geo.kernel, geo.before,
                  geo.after),
              "a pool's gradient");
    AK_DN_OUR(
        ak_dn_make_pd(dn, &op, NULL, l->pd, "a pool's gradient", &pd, err));
    AK_DN_OUR(ak_dn_alike(dn, l->x, dx, err));
    status =
        ak_dn_append(dn, list, pd,
                     (struct ak_dn_argument[]){{DNNL_ARG_DIFF_DST, fit},
                                               {DNNL_ARG_DIFF_SRC, *dx},
                                               {DNNL_ARG_WORKSPACE, l->work},
                                               {0, NULL}},
                     err);
    ak_dn_release(fit);
out:
    return status;
}

#endif
