/*
 * safetensors.h -- reading files of named tensors, as Hugging Face's
 * `safetensors` writes them.
 *
 * A file is 8 bytes of a header's length, a header in JSON, and the tensors'
 * bytes.  It is checked as a whole before anything is lent from it: every
 * tensor lies in the bytes, is as long as its type and shape say, and the
 * tensors cover the bytes without gap or overlap.
 */
#ifndef AK_CORE_NN_SAFETENSORS_H
#define AK_CORE_NN_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

#define AK_TENSOR_DIMS 8
#define AK_TENSORS     16384       /* in a file, at most */
#define AK_TENSOR_JSON (16u << 20) /* bytes of a header, at most */

enum ak_tensor_type {
    AK_TENSOR_F64,
    AK_TENSOR_F32,
    AK_TENSOR_F16,
    AK_TENSOR_BF16,
    AK_TENSOR_I64,
    AK_TENSOR_I32,
    AK_TENSOR_I16,
    AK_TENSOR_I8,
    AK_TENSOR_U8,
    AK_TENSOR_BOOL,
    AK_TENSOR_TYPES
};

struct ak_tensor {
    char *name;
    enum ak_tensor_type type;
    uint64_t dims[AK_TENSOR_DIMS];
    uint32_t n_dims;
    uint64_t n;          /* the product of dims */
    const uint8_t *data; /* lent by the caller's bytes, of any alignment */
    uint64_t begin, end; /* behind the header */
};

struct ak_safetensors {
    struct ak_tensor *tensors; /* (n), sorted by name */
    size_t n;
};

/*
 * Read a file's bytes, which must outlive *out.  AK_ECORRUPT says what is wrong
 * and where; AK_ELIMIT: more tensors or a longer header than above; AK_ENOMEM.
 */
enum ak_status ak_safetensors_parse(const void *bytes, size_t len,
                                    struct ak_safetensors *out,
                                    struct ak_err *err) AK_MUST_CHECK;
void ak_safetensors_clear(struct ak_safetensors *st);

/* NULL when there is none of that name. */
const struct ak_tensor *ak_safetensors_find(const struct ak_safetensors *st,
                                            const char *name);

const char *ak_tensor_type_name(enum ak_tensor_type type);

/*
 * The values as floats, all of them finite: out (t->n).  AK_EINVAL for types
 * that are no floating point; AK_ENUMERIC for NaN and infinity.
 */
enum ak_status ak_tensor_floats(const struct ak_tensor *t, float *out,
                                struct ak_err *err) AK_MUST_CHECK;

#endif
