/*
 * onednn.c -- oneDNN: engines, tensors, steps, and layers without parameters.
 *
 * Written for the C interface of versions 2.6 and 2.7.  Version 3 makes
 * primitive descriptors without operation descriptors and memory descriptors
 * opaque, which changes this file and onednn_layers.c and nothing else.
 *
 * Scratchpads are ours (`user` mode): one buffer for all steps of a dn, since
 * they run one after the other.  By default the library would share one
 * between all primitives of a thread, and a network could then only run in the
 * thread that made it.
 */
#include "config.h"

#include "core/nn/onednn_internal.h"

#ifdef HAVE_DNNL

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/nn/onednn_types_internal.h"

/* Of libgomp, which the library runs on; a setting of the calling thread.  Its
   header belongs to the compiler that the library was built with. */
void omp_set_num_threads(int n);

#define MAX_ARGS 12

struct step {
    dnnl_primitive_t primitive;
    dnnl_exec_arg_t args[MAX_ARGS];
    int n_args;
    ak_dn_call_fn *call;
    void *context;
};

struct ak_dn_list {
    struct step *steps;
    size_t n, cap;
    struct ak_dn_list *next;
};

/* What is destroyed with the dn. */
struct ak_dn_owned {
    dnnl_primitive_desc_t pd;
    dnnl_memory_t scratch;
    struct ak_dn_owned *next;
};

/* ---- statuses ----------------------------------------------------------- */

enum ak_status ak_dn_failed(dnnl_status_t status, const char *what,
                            struct ak_err *err)
{
    if (status == dnnl_out_of_memory)
        return ak_fail(err, AK_ENOMEM, "onednn: no memory for %s", what);
    if (status == dnnl_unimplemented)
        return ak_fail(err, AK_EUNSUPPORTED,
                       "onednn: %s is not possible on this machine", what);
    return ak_fail(err, AK_EIO, "onednn: %s: status %d", what, (int)status);
}

/* ---- the library -------------------------------------------------------- */

bool ak_dn_has_bf16(void)
{
    dnnl_cpu_isa_t isa = dnnl_get_effective_cpu_isa();

    return (isa & dnnl_cpu_isa_avx512_core_bf16) ==
           dnnl_cpu_isa_avx512_core_bf16;
}

enum ak_status ak_dn_create(uint32_t threads, bool bf16, struct ak_dn **out,
                            struct ak_err *err)
{
    struct ak_dn *dn = calloc(1, sizeof(*dn));
    enum ak_status status = AK_OK;

    if (dn == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for a network");
    dn->threads = (int)threads;
    dn->type = bf16 ? dnnl_bf16 : dnnl_f32;
    omp_set_num_threads(dn->threads);
    AK_DN_TRY(dnnl_engine_create(&dn->engine, dnnl_cpu, 0), "an engine");
    AK_DN_TRY(
        dnnl_stream_create(&dn->stream, dn->engine, dnnl_stream_default_flags),
        "a stream");
out:
    if (status != AK_OK) {
        ak_dn_destroy(dn);
        return status;
    }
    *out = dn;
    return AK_OK;
}

void ak_dn_list_empty(struct ak_dn_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        dnnl_primitive_destroy(list->steps[i].primitive);
    list->n = 0;
}

void ak_dn_destroy(struct ak_dn *dn)
{
    if (dn == NULL)
        return;
    while (dn->lists != NULL) {
        struct ak_dn_list *list = dn->lists;

        dn->lists = list->next;
        ak_dn_list_empty(list);
        free(list->steps);
        free(list);
    }
    while (dn->tensors != NULL) {
        struct ak_dn_tensor *t = dn->tensors;

        dn->tensors = t->next;
        dnnl_memory_destroy(t->memory);
        free(t);
    }
    while (dn->owned != NULL) {
        struct ak_dn_owned *o = dn->owned;

        dn->owned = o->next;
        dnnl_primitive_desc_destroy(o->pd);
        dnnl_memory_destroy(o->scratch);
        free(o);
    }
    for (size_t i = 0; i < dn->n_buffers; i++) {
        ak_array_free(dn->buffers[i]->data);
        free(dn->buffers[i]);
    }
    free(dn->buffers);
    ak_array_free(dn->scratch);
    if (dn->stream != NULL)
        dnnl_stream_destroy(dn->stream);
    if (dn->engine != NULL)
        dnnl_engine_destroy(dn->engine);
    free(dn);
}

size_t ak_dn_bytes(const struct ak_dn *dn)
{
    return dn->bytes + dn->scratch_len;
}

enum ak_status ak_dn_list_create(struct ak_dn *dn, struct ak_dn_list **out,
                                 struct ak_err *err)
{
    struct ak_dn_list *list = calloc(1, sizeof(*list));

    if (list == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for a network");
    list->next = dn->lists;
    dn->lists = list;
    *out = list;
    return AK_OK;
}

static enum ak_status room_for_step(struct ak_dn_list *list, struct ak_err *err)
{
    size_t cap = 2 * list->cap + 32;
    struct step *steps;

    if (list->n < list->cap)
        return AK_OK;
    steps = realloc(list->steps, cap * sizeof(*steps));
    if (steps == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for %zu steps", cap);
    list->steps = steps;
    list->cap = cap;
    return AK_OK;
}

enum ak_status ak_dn_call(struct ak_dn *dn, struct ak_dn_list *list,
                          ak_dn_call_fn *call, void *context,
                          struct ak_err *err)
{
    enum ak_status status = room_for_step(list, err);

    (void)dn;
    if (status == AK_OK)
        list->steps[list->n++] =
            (struct step){.call = call, .context = context};
    return status;
}

enum ak_status ak_dn_run(struct ak_dn *dn, const struct ak_dn_list *list,
                         struct ak_err *err)
{
    omp_set_num_threads(dn->threads);
    for (size_t i = 0; i < list->n; i++) {
        const struct step *s = &list->steps[i];
        dnnl_status_t status = dnnl_success;

        if (s->call != NULL)
            s->call(s->context);
        else
            status = dnnl_primitive_execute(s->primitive, dn->stream, s->n_args,
                                            s->args);
        if (status != dnnl_success)
            return ak_dn_failed(status, "running a layer", err);
    }
    return dnnl_stream_wait(dn->stream) == dnnl_success
               ? AK_OK
               : ak_dn_failed(dnnl_runtime_error, "running a network", err);
}

/* ---- tensors ------------------------------------------------------------ */

/* Free memory of about that length, or new and zeroed. */
static struct ak_dn_buffer *find_buffer(struct ak_dn *dn, size_t len)
{
    struct ak_dn_buffer *b;

    for (size_t i = dn->lasting ? 0 : dn->n_buffers; i-- > 0;) {
        b = dn->buffers[i];
        if (b->users == 0 && b->len >= len && b->len / 2 <= len)
            return b;
    }
    if (dn->n_buffers == dn->cap_buffers) {
        size_t cap = 2 * dn->cap_buffers + 64;
        struct ak_dn_buffer **buffers =
            realloc(dn->buffers, cap * sizeof(*buffers));

        if (buffers == NULL)
            return NULL;
        dn->buffers = buffers;
        dn->cap_buffers = cap;
    }
    b = calloc(1, sizeof(*b));
    if (b == NULL)
        return NULL;
    b->data = ak_array_new(len, 1);
    b->len = len;
    if (b->data == NULL) {
        free(b);
        return NULL;
    }
    dn->bytes += len;
    dn->buffers[dn->n_buffers++] = b;
    return b;
}

enum ak_status ak_dn_memory(struct ak_dn *dn, const dnnl_memory_desc_t *md,
                            void *data, struct ak_dn_tensor **out,
                            struct ak_err *err)
{
    struct ak_dn_tensor *t = calloc(1, sizeof(*t));
    enum ak_status status = AK_OK;

    if (t == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for a tensor");
    t->md = *md;
    if (data == NULL) {
        t->buffer = find_buffer(dn, dnnl_memory_desc_get_size(md));
        if (t->buffer == NULL) {
            status = ak_fail(err, AK_ENOMEM, "no memory for %zu bytes",
                             dnnl_memory_desc_get_size(md));
            goto out;
        }
        data = t->buffer->data;
    }
    AK_DN_TRY(dnnl_memory_create(&t->memory, md, dn->engine, data), "a tensor");
    if (t->buffer != NULL)
        t->buffer->users++;
    t->next = dn->tensors;
    dn->tensors = t;
    *out = t;
out:
    if (status != AK_OK)
        free(t);
    return status;
}

dnnl_memory_desc_t ak_dn_describe(const int64_t *dims, int n,
                                  dnnl_data_type_t type, dnnl_format_tag_t tag)
{
    dnnl_memory_desc_t md;
    dnnl_dims_t d;
    dnnl_status_t status;

    for (int i = 0; i < n; i++)
        d[i] = dims[i];
    status = dnnl_memory_desc_init_by_tag(&md, n, d, type, tag);
    assert(status == dnnl_success);
    (void)status;
    return md;
}

dnnl_memory_desc_t ak_dn_describe4(const uint32_t dims[4],
                                   dnnl_data_type_t type, dnnl_format_tag_t tag)
{
    const int64_t d[4] = {dims[0], dims[1], dims[2], dims[3]};

    return ak_dn_describe(d, 4, type, tag);
}

/* The same sizes in the layout that the library likes best. */
dnnl_memory_desc_t ak_dn_any(const dnnl_memory_desc_t *md,
                             dnnl_data_type_t type)
{
    return ak_dn_describe(md->dims, md->ndims, type, dnnl_format_tag_any);
}

enum ak_status ak_dn_plain(struct ak_dn *dn, const uint32_t dims[4], void *data,
                           struct ak_dn_tensor **out, struct ak_err *err)
{
    dnnl_memory_desc_t md = ak_dn_describe4(dims, dnnl_f32, dnnl_nchw);

    return ak_dn_memory(dn, &md, data, out, err);
}

enum ak_status ak_dn_alike(struct ak_dn *dn, const struct ak_dn_tensor *t,
                           struct ak_dn_tensor **out, struct ak_err *err)
{
    return ak_dn_memory(dn, &t->md, NULL, out, err);
}

enum ak_status ak_dn_blocked(struct ak_dn *dn, const struct ak_dn_tensor *t,
                             const uint32_t dims[4], struct ak_dn_tensor **out,
                             struct ak_err *err)
{
    dnnl_memory_desc_t md =
        ak_dn_describe4(dims, t->md.data_type, dnnl_nChw16c);

    return ak_dn_memory(dn, &md, NULL, out, err);
}

size_t ak_dn_block_size(const struct ak_dn_tensor *t)
{
    dnnl_memory_desc_t md =
        ak_dn_describe(t->md.dims, t->md.ndims, t->md.data_type, dnnl_nChw16c);

    if (!dnnl_memory_desc_equal(&t->md, &md))
        return 0;
    return t->md.data_type == dnnl_bf16 ? 2 : 4;
}

void *ak_dn_data(const struct ak_dn_tensor *t)
{
    void *data = NULL;

    dnnl_memory_get_data_handle(t->memory, &data);
    return data;
}

bool ak_dn_same(const struct ak_dn_tensor *a, const struct ak_dn_tensor *b)
{
    return dnnl_memory_desc_equal(&a->md, &b->md) != 0;
}

void ak_dn_retain(struct ak_dn_tensor *t)
{
    if (t->buffer != NULL)
        t->buffer->users++;
}

void ak_dn_release(struct ak_dn_tensor *t)
{
    if (t != NULL && t->buffer != NULL)
        t->buffer->users--;
}

/* ---- steps -------------------------------------------------------------- */

static enum ak_status own(struct ak_dn *dn, dnnl_primitive_desc_t pd,
                          dnnl_memory_t scratch, struct ak_err *err)
{
    struct ak_dn_owned *o = calloc(1, sizeof(*o));

    if (o == NULL) {
        dnnl_primitive_desc_destroy(pd);
        dnnl_memory_destroy(scratch);
        return ak_fail(err, AK_ENOMEM, "no memory for a layer");
    }
    o->pd = pd;
    o->scratch = scratch;
    o->next = dn->owned;
    dn->owned = o;
    return AK_OK;
}

/* One buffer serves all steps, and moves when a step needs a larger one. */
static enum ak_status scratch_of(struct ak_dn *dn, dnnl_primitive_desc_t pd,
                                 dnnl_memory_t *out, struct ak_err *err)
{
    const dnnl_memory_desc_t *md =
        dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
    size_t len = md != NULL ? dnnl_memory_desc_get_size(md) : 0;
    enum ak_status status = AK_OK;

    *out = NULL;
    if (len == 0)
        return AK_OK;
    if (len > dn->scratch_len) {
        void *data = ak_array_new(len, 1);

        if (data == NULL)
            return ak_fail(err, AK_ENOMEM, "no memory for %zu bytes", len);
        for (struct ak_dn_owned *o = dn->owned; o != NULL; o = o->next)
            if (o->scratch != NULL)
                dnnl_memory_set_data_handle(o->scratch, data);
        ak_array_free(dn->scratch);
        dn->scratch = data;
        dn->scratch_len = len;
    }
    AK_DN_TRY(dnnl_memory_create(out, md, dn->engine, dn->scratch), "a tensor");
    status = own(dn, NULL, *out, err);
out:
    return status;
}

/* Appends the primitive of `pd`, which stays the caller's. */
enum ak_status ak_dn_append(struct ak_dn *dn, struct ak_dn_list *list,
                            dnnl_primitive_desc_t pd,
                            const struct ak_dn_argument *args,
                            struct ak_err *err)
{
    struct step *s;
    dnnl_memory_t scratch;
    enum ak_status status = room_for_step(list, err);

    if (status == AK_OK)
        status = scratch_of(dn, pd, &scratch, err);
    if (status != AK_OK)
        return status;
    s = &list->steps[list->n];
    memset(s, 0, sizeof(*s));
    for (; args->what != 0; args++)
        if (args->t != NULL)
            s->args[s->n_args++] =
                (dnnl_exec_arg_t){args->what, args->t->memory};
    if (scratch != NULL)
        s->args[s->n_args++] = (dnnl_exec_arg_t){DNNL_ARG_SCRATCHPAD, scratch};
    assert(s->n_args <= MAX_ARGS);
    AK_DN_TRY(dnnl_primitive_create(&s->primitive, pd), "a layer");
    list->n++;
out:
    return status;
}

/* `what` is a static text; `hint` and the post-ops may be NULL. */
enum ak_status ak_dn_make_pd(struct ak_dn *dn, const_dnnl_op_desc_t op,
                             const_dnnl_post_ops_t post,
                             const_dnnl_primitive_desc_t hint, const char *what,
                             dnnl_primitive_desc_t *out, struct ak_err *err)
{
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t pd = NULL;
    enum ak_status status = AK_OK;

    omp_set_num_threads(dn->threads);
    AK_DN_TRY(dnnl_primitive_attr_create(&attr), what);
    AK_DN_TRY(dnnl_primitive_attr_set_scratchpad_mode(
                  attr, dnnl_scratchpad_mode_user),
              what);
    if (post != NULL)
        AK_DN_TRY(dnnl_primitive_attr_set_post_ops(attr, post), what);
    AK_DN_TRY(dnnl_primitive_desc_create(&pd, op, attr, dn->engine, hint),
              what);
    status = own(dn, pd, NULL, err);
    if (status == AK_OK)
        *out = pd;
out:
    if (attr != NULL)
        dnnl_primitive_attr_destroy(attr);
    return status;
}

const dnnl_memory_desc_t *ak_dn_md_of(const_dnnl_primitive_desc_t pd,
                                      dnnl_query_t what)
{
    return dnnl_primitive_desc_query_md(pd, what, 0);
}

/* A step that copies between layouts and types. */
enum ak_status ak_dn_reorder(struct ak_dn *dn, struct ak_dn_list *list,
                             const struct ak_dn_tensor *from,
                             const struct ak_dn_tensor *to, struct ak_err *err)
{
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t pd = NULL;
    enum ak_status status = AK_OK;

    omp_set_num_threads(dn->threads);
    AK_DN_TRY(dnnl_primitive_attr_create(&attr), "a reorder");
    AK_DN_TRY(dnnl_primitive_attr_set_scratchpad_mode(
                  attr, dnnl_scratchpad_mode_user),
              "a reorder");
    AK_DN_TRY(dnnl_reorder_primitive_desc_create(&pd, &from->md, dn->engine,
                                                 &to->md, dn->engine, attr),
              "a reorder");
    AK_DN_OUR(own(dn, pd, NULL, err));
    status =
        ak_dn_append(dn, list, pd,
                     (struct ak_dn_argument[]){
                         {DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}, {0, NULL}},
                     err);
out:
    if (attr != NULL)
        dnnl_primitive_attr_destroy(attr);
    return status;
}

enum ak_status ak_dn_fit_md(struct ak_dn *dn, struct ak_dn_list *list,
                            struct ak_dn_tensor *t,
                            const dnnl_memory_desc_t *md,
                            struct ak_dn_tensor **out, struct ak_err *err)
{
    enum ak_status status;

    if (dnnl_memory_desc_equal(&t->md, md)) {
        ak_dn_retain(t);
        *out = t;
        return AK_OK;
    }
    status = ak_dn_memory(dn, md, NULL, out, err);
    return status == AK_OK ? ak_dn_reorder(dn, list, t, *out, err) : status;
}

enum ak_status ak_dn_fit(struct ak_dn *dn, struct ak_dn_list *list,
                         struct ak_dn_tensor *t,
                         const struct ak_dn_tensor *like,
                         struct ak_dn_tensor **out, struct ak_err *err)
{
    dnnl_memory_desc_t plain =
        ak_dn_describe(t->md.dims, t->md.ndims, dnnl_f32, dnnl_nchw);

    return ak_dn_fit_md(dn, list, t, like != NULL ? &like->md : &plain, out,
                        err);
}

/* Planar floats of parameters. */
enum ak_status ak_dn_parameters(struct ak_dn *dn, const int64_t *dims, int n,
                                float *data, struct ak_dn_tensor **out,
                                struct ak_err *err)
{
    static const dnnl_format_tag_t tags[] = {0, dnnl_x,    dnnl_ab,
                                             0, dnnl_oihw, dnnl_goihw};
    dnnl_memory_desc_t md = ak_dn_describe(dims, n, dnnl_f32, tags[n]);

    return ak_dn_memory(dn, &md, data, out, err);
}

enum ak_status ak_dn_vector(struct ak_dn *dn, int64_t n, float *data,
                            struct ak_dn_tensor **out, struct ak_err *err)
{
    if (data == NULL) {
        *out = NULL;
        return AK_OK;
    }
    return ak_dn_parameters(dn, &n, 1, data, out, err);
}

/* ---- activations -------------------------------------------------------- */

static dnnl_alg_kind_t algorithm(enum ak_dn_act act, float *alpha, float *beta)
{
    *alpha = act == AK_DN_RELU6 ? 6.0f : act == AK_DN_HARDTANH ? -1.0f : 0.0f;
    *beta = act == AK_DN_HARDTANH ? 1.0f : 0.0f;
    switch (act) {
    case AK_DN_RELU6:
        return dnnl_eltwise_bounded_relu;
    case AK_DN_HARDTANH:
        return dnnl_eltwise_clip;
    case AK_DN_TANH:
        return dnnl_eltwise_tanh;
    default:
        return dnnl_eltwise_relu;
    }
}

/* *out is NULL when there is nothing to do behind a layer. */
enum ak_status ak_dn_post_ops(bool sum, enum ak_dn_act act,
                              dnnl_post_ops_t *out, struct ak_err *err)
{
    enum ak_status status = AK_OK;
    float alpha, beta;
    dnnl_alg_kind_t alg = algorithm(act, &alpha, &beta);

    *out = NULL;
    if (!sum && act == AK_DN_NONE)
        return AK_OK;
    AK_DN_TRY(dnnl_post_ops_create(out), "a layer");
    if (sum)
        AK_DN_TRY(dnnl_post_ops_append_sum(*out, 1.0f), "a layer");
    if (act != AK_DN_NONE)
        AK_DN_TRY(dnnl_post_ops_append_eltwise(*out, 1.0f, alg, alpha, beta),
                  "a layer");
out:
    if (status != AK_OK && *out != NULL) {
        dnnl_post_ops_destroy(*out);
        *out = NULL;
    }
    return status;
}

enum ak_status ak_dn_act(struct ak_dn *dn, struct ak_dn_list *list,
                         enum ak_dn_act act, struct ak_dn_tensor *x,
                         struct ak_dn_layer *out, struct ak_err *err)
{
    float alpha, beta;
    dnnl_alg_kind_t alg = algorithm(act, &alpha, &beta);
    dnnl_eltwise_desc_t op;
    dnnl_primitive_desc_t pd;
    enum ak_status status = AK_OK;

    AK_DN_TRY(dnnl_eltwise_forward_desc_init(&op, dnnl_forward_training, alg,
                                             &x->md, alpha, beta),
              "an activation");
    AK_DN_OUR(ak_dn_make_pd(dn, &op, NULL, NULL, "an activation", &pd, err));
    AK_DN_OUR(ak_dn_alike(dn, x, &out->y, err));
    out->x = x;
    out->pd = pd;
    status =
        ak_dn_append(dn, list, pd,
                     (struct ak_dn_argument[]){
                         {DNNL_ARG_SRC, x}, {DNNL_ARG_DST, out->y}, {0, NULL}},
                     err);
out:
    return status;
}

enum ak_status ak_dn_act_back(struct ak_dn *dn, struct ak_dn_list *list,
                              enum ak_dn_act act, const struct ak_dn_layer *l,
                              struct ak_dn_tensor *dy, struct ak_dn_tensor **dx,
                              struct ak_err *err)
{
    float alpha, beta;
    dnnl_alg_kind_t alg = algorithm(act, &alpha, &beta);
    struct ak_dn_tensor *data = l->x != NULL ? l->x : l->y, *fit;
    dnnl_eltwise_desc_t forward, op;
    dnnl_primitive_desc_t hint, pd;
    enum ak_status status = AK_OK;

    assert(l->x != NULL || act == AK_DN_RELU);
    if (l->x == NULL)
        alg = dnnl_eltwise_relu_use_dst_for_bwd;
    AK_DN_OUR(ak_dn_fit(dn, list, dy, data, &fit, err));
    AK_DN_TRY(dnnl_eltwise_forward_desc_init(&forward, dnnl_forward_training,
                                             alg, &data->md, alpha, beta),
              "an activation");
    AK_DN_OUR(
        ak_dn_make_pd(dn, &forward, NULL, NULL, "an activation", &hint, err));
    AK_DN_TRY(dnnl_eltwise_backward_desc_init(&op, alg, &fit->md, &data->md,
                                              alpha, beta),
              "an activation's gradient");
    AK_DN_OUR(ak_dn_make_pd(dn, &op, NULL, hint, "an activation's gradient",
                            &pd, err));
    AK_DN_OUR(ak_dn_alike(dn, data, dx, err));
    status =
        ak_dn_append(dn, list, pd,
                     (struct ak_dn_argument[]){
                         {l->x != NULL ? DNNL_ARG_SRC : DNNL_ARG_DST, data},
                         {DNNL_ARG_DIFF_DST, fit},
                         {DNNL_ARG_DIFF_SRC, *dx},
                         {0, NULL}},
                     err);
    ak_dn_release(fit);
out:
    return status;
}

enum ak_status ak_dn_add(struct ak_dn *dn, struct ak_dn_list *list,
                         struct ak_dn_tensor *a, struct ak_dn_tensor *b,
                         enum ak_dn_act act, struct ak_dn_tensor *into,
                         struct ak_dn_tensor **out, struct ak_err *err)
{
    dnnl_post_ops_t post = NULL;
    dnnl_binary_desc_t op;
    dnnl_primitive_desc_t pd;
    struct ak_dn_tensor *fit;
    enum ak_status status = AK_OK;

    AK_DN_OUR(ak_dn_fit(dn, list, b, a, &fit, err));
    AK_DN_OUR(ak_dn_post_ops(false, act, &post, err));
    AK_DN_TRY(
        dnnl_binary_desc_init(&op, dnnl_binary_add, &a->md, &fit->md, &a->md),
        "a sum");
    AK_DN_OUR(ak_dn_make_pd(dn, &op, post, NULL, "a sum", &pd, err));
    if (into == NULL)
        AK_DN_OUR(ak_dn_alike(dn, a, &into, err));
    *out = into;
    status = ak_dn_append(dn, list, pd,
                          (struct ak_dn_argument[]){{DNNL_ARG_SRC_0, a},
                                                    {DNNL_ARG_SRC_1, fit},
                                                    {DNNL_ARG_DST, into},
                                                    {0, NULL}},
                          err);
    ak_dn_release(fit);
out:
    if (post != NULL)
        dnnl_post_ops_destroy(post);
    return status;
}

void ak_dn_gemm(uint32_t threads, size_t n, const float *a, const float *b,
                float *c)
{
    dnnl_dim_t m = (dnnl_dim_t)n;

    omp_set_num_threads((int)threads);
    dnnl_sgemm('N', 'N', m, m, m, 1.0f, a, m, b, m, 0.0f, c, m);
}

#endif
