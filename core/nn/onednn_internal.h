/*
 * onednn_internal.h -- oneDNN behind a few functions; for core/nn only.
 *
 * Only onednn.c and onednn_layers.c know the library.  A `dn` is an engine with
 * all that was made for it; tensors, layers and lists live as long as it does.
 * Layers are put into lists, which run them in order.  The library chooses
 * layouts: a tensor is 4-D (n, c, h, w) in any of them, and what must be in
 * another is reordered by ak_dn_fit().
 *
 * A tensor's memory has users.  Who makes a tensor uses it; when the last one
 * lets go, memory of a later tensor may be the same: it must then only be
 * written by steps behind those that read the earlier one.
 */
#ifndef AK_CORE_NN_ONEDNN_INTERNAL_H
#define AK_CORE_NN_ONEDNN_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

struct ak_dn;
struct ak_dn_tensor;
struct ak_dn_list;

/* True if there is hardware for products of bf16. */
bool ak_dn_has_bf16(void);

enum ak_status ak_dn_create(uint32_t threads, bool bf16, struct ak_dn **out,
                            struct ak_err *err) AK_MUST_CHECK;
void ak_dn_destroy(struct ak_dn *dn);
size_t ak_dn_bytes(const struct ak_dn *dn);

enum ak_status ak_dn_list_create(struct ak_dn *dn, struct ak_dn_list **out,
                                 struct ak_err *err) AK_MUST_CHECK;
/* Forget the steps. */
void ak_dn_list_empty(struct ak_dn_list *list);
enum ak_status ak_dn_run(struct ak_dn *dn, const struct ak_dn_list *list,
                         struct ak_err *err) AK_MUST_CHECK;

/* A step of our own; `context` must live as long as the list. */
typedef void ak_dn_call_fn(void *context);
enum ak_status ak_dn_call(struct ak_dn *dn, struct ak_dn_list *list,
                          ak_dn_call_fn *call, void *context,
                          struct ak_err *err) AK_MUST_CHECK;

/* ---- tensors ------------------------------------------------------------ */

/* Planar floats; `data` NULL: memory of its own, zeroed. */
enum ak_status ak_dn_plain(struct ak_dn *dn, const uint32_t dims[4], void *data,
                           struct ak_dn_tensor **out,
                           struct ak_err *err) AK_MUST_CHECK;
/* Of the same shape, type and layout. */
enum ak_status ak_dn_alike(struct ak_dn *dn, const struct ak_dn_tensor *t,
                           struct ak_dn_tensor **out,
                           struct ak_err *err) AK_MUST_CHECK;
/* Of other sizes, in blocks of 16 channels as `t` is. */
enum ak_status ak_dn_blocked(struct ak_dn *dn, const struct ak_dn_tensor *t,
                             const uint32_t dims[4], struct ak_dn_tensor **out,
                             struct ak_err *err) AK_MUST_CHECK;
/* Bytes of a value if `t` lies as [n][c / 16][h][w][c % 16], else 0. */
size_t ak_dn_block_size(const struct ak_dn_tensor *t);
void *ak_dn_data(const struct ak_dn_tensor *t);
bool ak_dn_same(const struct ak_dn_tensor *a, const struct ak_dn_tensor *b);
void ak_dn_retain(struct ak_dn_tensor *t);
void ak_dn_release(struct ak_dn_tensor *t); /* NULL is a no-op */

/*
 * `t` in the layout of `like`, or planar floats if that is NULL: itself, with a
 * user more, when it lies so, or a new tensor with a step that fills it.
 */
enum ak_status ak_dn_fit(struct ak_dn *dn, struct ak_dn_list *list,
                         struct ak_dn_tensor *t,
                         const struct ak_dn_tensor *like,
                         struct ak_dn_tensor **out,
                         struct ak_err *err) AK_MUST_CHECK;

/* ---- layers ------------------------------------------------------------- */

enum ak_dn_act {
    AK_DN_NONE,
    AK_DN_RELU,
    AK_DN_RELU6,
    AK_DN_HARDTANH,
    AK_DN_TANH
};

/* What forward leaves for backward; members are for onednn.c. */
struct ak_dn_layer {
    struct ak_dn_tensor *y;
    void *pd;
    struct ak_dn_tensor *x, *work, *weights, *mean, *var;
    float *values, *shift; /* weights or gamma, and beta */
    int64_t dims[5];       /* of the weights */
    int n_dims;
    uint32_t flags;
};

/* A window that slides, or a linear layer's whole input. */
struct ak_dn_window {
    uint32_t n, out, h, w; /* of the output */
    uint32_t kh, kw, stride, groups, pad[4];
};

/*
 * Convolution with planar `weights` and `bias` (NULL: none), which `load`
 * copies: it must run whenever they changed.  Then, when there is one, `sum` is
 * added, whose memory becomes the output, and the activation applied.
 */
enum ak_status ak_dn_conv(struct ak_dn *dn, struct ak_dn_list *list,
                          struct ak_dn_list *load, const struct ak_dn_window *p,
                          bool train, struct ak_dn_tensor *x, float *weights,
                          float *bias, struct ak_dn_tensor *sum,
                          enum ak_dn_act act, struct ak_dn_layer *out,
                          struct ak_err *err) AK_MUST_CHECK;
/* Gradients into dw and db (NULL: none); `dx` NULL: not wanted. */
enum ak_status ak_dn_conv_back(struct ak_dn *dn, struct ak_dn_list *list,
                               struct ak_dn_list *load,
                               const struct ak_dn_window *p,
                               const struct ak_dn_layer *l,
                               struct ak_dn_tensor *dy, float *dw, float *db,
                               struct ak_dn_tensor **dx,
                               struct ak_err *err) AK_MUST_CHECK;

/* A linear layer of p->out scores; the output is planar floats. */
enum ak_status ak_dn_linear(struct ak_dn *dn, struct ak_dn_list *list,
                            struct ak_dn_list *load,
                            const struct ak_dn_window *p, bool train,
                            struct ak_dn_tensor *x, float *weights, float *bias,
                            struct ak_dn_layer *out,
                            struct ak_err *err) AK_MUST_CHECK;
enum ak_status ak_dn_linear_back(struct ak_dn *dn, struct ak_dn_list *list,
                                 struct ak_dn_list *load,
                                 const struct ak_dn_layer *l,
                                 struct ak_dn_tensor *dy, float *dw, float *db,
                                 struct ak_dn_tensor **dx,
                                 struct ak_err *err) AK_MUST_CHECK;

/*
 * Batch normalisation, in training by the statistics of the batch, which go to
 * mean and var (c each), else by those.  With `relu` one is behind it.
 */
enum ak_status ak_dn_bn(struct ak_dn *dn, struct ak_dn_list *list, uint32_t c,
                        float eps, bool train, bool relu,
                        struct ak_dn_tensor *x, float *gamma, float *beta,
                        float *mean, float *var, struct ak_dn_layer *out,
                        struct ak_err *err) AK_MUST_CHECK;
enum ak_status ak_dn_bn_back(struct ak_dn *dn, struct ak_dn_list *list,
                             uint32_t c, float eps, const struct ak_dn_layer *l,
                             struct ak_dn_tensor *dy, float *dgamma,
                             float *dbeta, struct ak_dn_tensor **dx,
                             struct ak_err *err) AK_MUST_CHECK;

/* The maximum, or the average of what is no padding. */
enum ak_status ak_dn_pool(struct ak_dn *dn, struct ak_dn_list *list,
                          const struct ak_dn_window *p, bool max, bool train,
                          struct ak_dn_tensor *x, struct ak_dn_layer *out,
                          struct ak_err *err) AK_MUST_CHECK;
enum ak_status ak_dn_pool_back(struct ak_dn *dn, struct ak_dn_list *list,
                               const struct ak_dn_window *p, bool max,
                               const struct ak_dn_layer *l,
                               struct ak_dn_tensor *dy,
                               struct ak_dn_tensor **dx,
                               struct ak_err *err) AK_MUST_CHECK;

enum ak_status ak_dn_act(struct ak_dn *dn, struct ak_dn_list *list,
                         enum ak_dn_act act, struct ak_dn_tensor *x,
                         struct ak_dn_layer *out,
                         struct ak_err *err) AK_MUST_CHECK;
/* From the input, or for AK_DN_RELU with x NULL from the output l->y. */
enum ak_status ak_dn_act_back(struct ak_dn *dn, struct ak_dn_list *list,
                              enum ak_dn_act act, const struct ak_dn_layer *l,
                              struct ak_dn_tensor *dy, struct ak_dn_tensor **dx,
                              struct ak_err *err) AK_MUST_CHECK;

/* a + b in the layout of a; `into` NULL: a new tensor; it may be a. */
enum ak_status ak_dn_add(struct ak_dn *dn, struct ak_dn_list *list,
                         struct ak_dn_tensor *a, struct ak_dn_tensor *b,
                         enum ak_dn_act act, struct ak_dn_tensor *into,
                         struct ak_dn_tensor **out,
                         struct ak_err *err) AK_MUST_CHECK;

/* For the bench: c = a b of n^3, by the library's sgemm on `threads`. */
void ak_dn_gemm(uint32_t threads, size_t n, const float *a, const float *b,
                float *c);

#endif
