#include "core/nn/safetensors.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/half.h"
#include "core/nn/json_internal.h"

static const struct {
    const char *name;
    unsigned size;
} types[AK_TENSOR_TYPES] = {
    [AK_TENSOR_F64] = {"F64", 8}, [AK_TENSOR_F32] = {"F32", 4},
    [AK_TENSOR_F16] = {"F16", 2}, [AK_TENSOR_BF16] = {"BF16", 2},
    [AK_TENSOR_I64] = {"I64", 8}, [AK_TENSOR_I32] = {"I32", 4},
    [AK_TENSOR_I16] = {"I16", 2}, [AK_TENSOR_I8] = {"I8", 1},
    [AK_TENSOR_U8] = {"U8", 1},   [AK_TENSOR_BOOL] = {"BOOL", 1},
};

struct parse {
    struct ak_safetensors *st;
    size_t cap;
    uint64_t data_len;
    unsigned given; /* bits of the members of the tensor at work */
};

enum { HAS_TYPE = 1, HAS_SHAPE = 2, HAS_OFFSETS = 4, HAS_ALL = 7 };

static enum ak_status read_dim(struct ak_json *j, size_t i, void *context)
{
    struct ak_tensor *t = context;
    enum ak_status status;

    if (i == AK_TENSOR_DIMS)
        return ak_json_fail(j, "more than 8 dimensions");
    status = ak_json_whole(j, &t->dims[i]);
    if (status == AK_OK && __builtin_mul_overflow(t->n, t->dims[i], &t->n))
        status = ak_json_fail(j, "a shape that is too large");
    t->n_dims = (uint32_t)i + 1;
    return status;
}

static enum ak_status read_offset(struct ak_json *j, size_t i, void *context)
{
    struct ak_tensor *t = context;

    if (i > 1)
        return ak_json_fail(j, "more than 2 offsets");
    return ak_json_whole(j, i == 0 ? &t->begin : &t->end);
}

static enum ak_status read_type(struct ak_json *j, struct ak_tensor *t)
{
    char name[16];
    enum ak_status status = ak_json_string(j, name, sizeof(name));

    if (status != AK_OK)
        return status;
    for (unsigned i = 0; i < AK_TENSOR_TYPES; i++)
        if (strcmp(types[i].name, name) == 0) {
            t->type = (enum ak_tensor_type)i;
            return AK_OK;
        }
    return ak_json_fail(j, "no type of tensor that is known");
}

static enum ak_status read_member(struct ak_json *j, const char *key,
                                  void *context)
{
    struct parse *p = context;
    struct ak_tensor *t = &p->st->tensors[p->st->n - 1];
    unsigned member = strcmp(key, "dtype") == 0          ? HAS_TYPE
                      : strcmp(key, "shape") == 0        ? HAS_SHAPE
                      : strcmp(key, "data_offsets") == 0 ? HAS_OFFSETS
                                                         : 0;

    if (member == 0 || (p->given & member))
        return ak_json_fail(j, "must be dtype, shape and data_offsets, once");
    p->given |= member;
    if (member == HAS_TYPE)
        return read_type(j, t);
    if (member == HAS_SHAPE)
        return ak_json_array(j, read_dim, t);
    t->begin = t->end = UINT64_MAX;
    return ak_json_array(j, read_offset, t);
}

static enum ak_status check_tensor(struct ak_json *j, const struct parse *p,
                                   const struct ak_tensor *t)
{
    uint64_t size;

    if (p->given != HAS_ALL)
        return ak_json_fail(j, "a tensor without dtype, shape or data_offsets");
    if (t->begin > t->end || t->end > p->data_len)
        return ak_json_fail(j, "data_offsets outside of the file");
    if (__builtin_mul_overflow(t->n, types[t->type].size, &size) ||
        size != t->end - t->begin)
        return ak_json_fail(j, "data_offsets that do not fit the shape");
    return AK_OK;
}

static enum ak_status read_tensor(struct ak_json *j, const char *key,
                                  void *context)
{
    struct parse *p = context;
    struct ak_tensor *t;
    enum ak_status status;

    if (strcmp(key, "__metadata__") == 0)
        return ak_json_skip(j);
    if (p->st->n == AK_TENSORS)
        return ak_fail(j->err, AK_ELIMIT, "more than %d tensors", AK_TENSORS);
    if (p->st->n == p->cap) {
        size_t cap = 2 * p->cap + 64;

        t = realloc(p->st->tensors, cap * sizeof(*t));
        if (t == NULL)
            return ak_fail(j->err, AK_ENOMEM, "no memory for %zu tensors", cap);
        p->st->tensors = t;
        p->cap = cap;
    }
    t = &p->st->tensors[p->st->n];
    memset(t, 0, sizeof(*t));
    t->n = 1;
    t->name = strdup(key);
    if (t->name == NULL)
        return ak_fail(j->err, AK_ENOMEM, "no memory for a name");
    p->st->n++;
    p->given = 0;
    status = ak_json_object(j, read_member, p);
    return status == AK_OK ? check_tensor(j, p, t) : status;
}

static int by_place(const void *a, const void *b)
{
    const struct ak_tensor *x = a, *y = b;

    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return (x->end > y->end) - (x->end < y->end);
}

static int by_name(const void *a, const void *b)
{
    const struct ak_tensor *x = a, *y = b;

    return strcmp(x->name, y->name);
}

static enum ak_status check_all(struct parse *p, struct ak_err *err)
{
    struct ak_safetensors *st = p->st;
    uint64_t at = 0;

    if (st->n > 0)
        qsort(st->tensors, st->n, sizeof(*st->tensors), by_place);
    for (size_t i = 0; i < st->n; i++) {
        if (st->tensors[i].begin != at)
            return ak_fail(
                err, AK_ECORRUPT, "tensor %s begins at byte %llu, must be %llu",
                st->tensors[i].name, (unsigned long long)st->tensors[i].begin,
                (unsigned long long)at);
        at = st->tensors[i].end;
    }
    if (at != p->data_len)
        return ak_fail(err, AK_ECORRUPT,
                       "tensors end at byte %llu, the file at %llu",
                       (unsigned long long)at, (unsigned long long)p->data_len);
    if (st->n > 0)
        qsort(st->tensors, st->n, sizeof(*st->tensors), by_name);
    for (size_t i = 1; i < st->n; i++)
        if (strcmp(st->tensors[i - 1].name, st->tensors[i].name) == 0)
            return ak_fail(err, AK_ECORRUPT, "two tensors %s",
                           st->tensors[i].name);
    return AK_OK;
}

enum ak_status ak_safetensors_parse(const void *bytes, size_t len,
                                    struct ak_safetensors *out,
                                    struct ak_err *err)
{
    const uint8_t *b = bytes;
    struct ak_safetensors st = {0};
    struct parse p = {.st = &st};
    struct ak_json j;
    uint64_t header = 0;
    enum ak_status status;

    for (size_t i = 0; i < 8 && i < len; i++)
        header |= (uint64_t)b[i] << 8 * i;
    if (len < 8 || header > len - 8)
        return ak_fail(err, AK_ECORRUPT,
                       "a header of %llu bytes in a file of %zu",
                       (unsigned long long)header, len);
    if (header > AK_TENSOR_JSON)
        return ak_fail(err, AK_ELIMIT, "a header of %llu bytes, at most %u",
                       (unsigned long long)header, AK_TENSOR_JSON);
    p.data_len = len - 8 - header;
    ak_json_init(&j, (const char *)b + 8, (size_t)header, err);
    status = ak_json_object(&j, read_tensor, &p);
    if (status == AK_OK)
        status = ak_json_finish(&j);
    if (status == AK_OK)
        status = check_all(&p, err);
    if (status != AK_OK) {
        ak_safetensors_clear(&st);
        return status;
    }
    for (size_t i = 0; i < st.n; i++)
        st.tensors[i].data = b + 8 + header + st.tensors[i].begin;
    *out = st;
    return AK_OK;
}

void ak_safetensors_clear(struct ak_safetensors *st)
{
    for (size_t i = 0; i < st->n; i++)
        free(st->tensors[i].name);
    free(st->tensors);
    memset(st, 0, sizeof(*st));
}

const struct ak_tensor *ak_safetensors_find(const struct ak_safetensors *st,
                                            const char *name)
{
    size_t from = 0, to = st->n;

    while (from < to) {
        size_t middle = (from + to) / 2;
        int order = strcmp(name, st->tensors[middle].name);

        if (order == 0)
            return &st->tensors[middle];
        if (order < 0)
            to = middle;
        else
            from = middle + 1;
    }
    return NULL;
}

const char *ak_tensor_type_name(enum ak_tensor_type type)
{
    return types[type].name;
}

static float float_at(const struct ak_tensor *t, uint64_t i)
{
    uint16_t half;
    uint32_t bits;
    float single;
    double wide;

    switch (t->type) {
    case AK_TENSOR_F64:
        memcpy(&wide, t->data + 8 * i, sizeof(wide));
        return (float)wide;
    case AK_TENSOR_F32:
        memcpy(&single, t->data + 4 * i, sizeof(single));
        return single;
    case AK_TENSOR_F16:
        memcpy(&half, t->data + 2 * i, sizeof(half));
        return ak_half_to_float(half);
    default: /* BF16 is the upper half of a float. */
        memcpy(&half, t->data + 2 * i, sizeof(half));
        bits = (uint32_t)half << 16;
        memcpy(&single, &bits, sizeof(single));
        return single;
    }
}

enum ak_status ak_tensor_floats(const struct ak_tensor *t, float *out,
                                struct ak_err *err)
{
    if (t->type > AK_TENSOR_BF16)
        return ak_fail(err, AK_EINVAL, "%s is of type %s, must be a float",
                       t->name, types[t->type].name);
    for (uint64_t i = 0; i < t->n; i++) {
        out[i] = float_at(t, i);
        if (!isfinite(out[i]))
            return ak_fail(err, AK_ENUMERIC,
                           "%s: value %llu is %g, must be finite", t->name,
                           (unsigned long long)i, (double)out[i]);
    }
    return AK_OK;
}
