/*
 * onednn_types_internal.h -- what onednn.c and onednn_layers.c share, the two
 * files that know oneDNN.
 */
#ifndef AK_CORE_NN_ONEDNN_TYPES_INTERNAL_H
#define AK_CORE_NN_ONEDNN_TYPES_INTERNAL_H

#include <dnnl.h>

#include "core/nn/onednn_internal.h"

/* Memory that one tensor after another may have. */
struct ak_dn_buffer {
    void *data;
    size_t len;
    unsigned users;
};

struct ak_dn_tensor {
    dnnl_memory_desc_t md;
    dnnl_memory_t memory;
    struct ak_dn_buffer *buffer; /* NULL: somebody else's */
    struct ak_dn_tensor *next;
};

struct ak_dn_owned;

struct ak_dn {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    int threads;
    dnnl_data_type_t type; /* of activations */
    struct ak_dn_tensor *tensors;
    struct ak_dn_list *lists;
    struct ak_dn_owned *owned;
    struct ak_dn_buffer **buffers;
    size_t n_buffers, cap_buffers;
    void *scratch;
    size_t scratch_len, bytes;
    bool lasting; /* new tensors get memory that no other had */
};

/* For functions with `status` and `err` and a label out. */
#define AK_DN_TRY(call, what)                             \
    do {                                                  \
        dnnl_status_t try_status = (call);                \
        if (try_status != dnnl_success) {                 \
            status = ak_dn_failed(try_status, what, err); \
            goto out;                                     \
        }                                                 \
    } while (0)

#define AK_DN_OUR(call)      \
    do {                     \
        status = (call);     \
        if (status != AK_OK) \
            goto out;        \
    } while (0)

/* `what` is a static text that says what failed. */
enum ak_status ak_dn_failed(dnnl_status_t status, const char *what,
                            struct ak_err *err);

/* A layout by its name; `any` is what the library likes best. */
dnnl_memory_desc_t ak_dn_describe(const int64_t *dims, int n,
                                  dnnl_data_type_t type, dnnl_format_tag_t tag);
dnnl_memory_desc_t ak_dn_describe4(const uint32_t dims[4],
                                   dnnl_data_type_t type,
                                   dnnl_format_tag_t tag);
dnnl_memory_desc_t ak_dn_any(const dnnl_memory_desc_t *md,
                             dnnl_data_type_t type);

/* `data` NULL: memory of its own. */
enum ak_status ak_dn_memory(struct ak_dn *dn, const dnnl_memory_desc_t *md,
                            void *data, struct ak_dn_tensor **out,
                            struct ak_err *err);
enum ak_status ak_dn_fit_md(struct ak_dn *dn, struct ak_dn_list *list,
                            struct ak_dn_tensor *t,
                            const dnnl_memory_desc_t *md,
                            struct ak_dn_tensor **out, struct ak_err *err);

/* A step that copies between layouts and types. */
enum ak_status ak_dn_reorder(struct ak_dn *dn, struct ak_dn_list *list,
                             const struct ak_dn_tensor *from,
                             const struct ak_dn_tensor *to, struct ak_err *err);

/* Planar floats of parameters; a vector of NULL is NULL. */
enum ak_status ak_dn_parameters(struct ak_dn *dn, const int64_t *dims, int n,
                                float *data, struct ak_dn_tensor **out,
                                struct ak_err *err);
enum ak_status ak_dn_vector(struct ak_dn *dn, int64_t n, float *data,
                            struct ak_dn_tensor **out, struct ak_err *err);

/* What is done behind a layer; *out is NULL when there is nothing to do. */
enum ak_status ak_dn_post_ops(bool sum, enum ak_dn_act act,
                              dnnl_post_ops_t *out, struct ak_err *err);

/* A primitive that belongs to `dn`; `hint` and the post-ops may be NULL. */
enum ak_status ak_dn_make_pd(struct ak_dn *dn, const_dnnl_op_desc_t op,
                             const_dnnl_post_ops_t post,
                             const_dnnl_primitive_desc_t hint, const char *what,
                             dnnl_primitive_desc_t *out, struct ak_err *err);
const dnnl_memory_desc_t *ak_dn_md_of(const_dnnl_primitive_desc_t pd,
                                      dnnl_query_t what);

struct ak_dn_argument {
    int what;
    const struct ak_dn_tensor *t; /* NULL: left out */
};

/* A step: `args` are ended by a zero, `t` NULL is left out. */
enum ak_status ak_dn_append(struct ak_dn *dn, struct ak_dn_list *list,
                            dnnl_primitive_desc_t pd,
                            const struct ak_dn_argument *args,
                            struct ak_err *err);

#endif
