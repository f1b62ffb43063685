#include "core/base/blob.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "arrays are copied as they lie in memory");

static uint8_t *grow(struct ak_writer *w, size_t n)
{
    size_t cap = w->cap ? w->cap : 256;
    uint8_t *data;

    if (w->status != AK_OK)
        return NULL;
    while (cap - w->len < n) {
        if (cap > SIZE_MAX / 2) {
            w->status = AK_ENOMEM;
            return NULL;
        }
        cap *= 2;
    }
    if (cap != w->cap) {
        data = realloc(w->data, cap);
        if (data == NULL) {
            w->status = AK_ENOMEM;
            return NULL;
        }
        w->data = data;
        w->cap = cap;
    }
    w->len += n;
    return w->data + w->len - n;
}

void ak_write_bytes(struct ak_writer *w, const void *bytes, size_t len)
{
    uint8_t *p = grow(w, len);

    if (p != NULL && len > 0)
        memcpy(p, bytes, len);
}

static void write_array(struct ak_writer *w, const void *values, size_t n,
                        size_t size)
{
    size_t len;

    if (__builtin_mul_overflow(n, size, &len))
        w->status = AK_ENOMEM;
    else
        ak_write_bytes(w, values, len);
}

void ak_write_u8(struct ak_writer *w, uint8_t value)
{
    ak_write_bytes(w, &value, sizeof(value));
}

void ak_write_u32(struct ak_writer *w, uint32_t value)
{
    ak_write_bytes(w, &value, sizeof(value));
}

void ak_write_u64(struct ak_writer *w, uint64_t value)
{
    ak_write_bytes(w, &value, sizeof(value));
}

void ak_write_f64(struct ak_writer *w, double value)
{
    ak_write_bytes(w, &value, sizeof(value));
}

void ak_write_f32s(struct ak_writer *w, const float *values, size_t n)
{
    write_array(w, values, n, sizeof(*values));
}

void ak_write_f64s(struct ak_writer *w, const double *values, size_t n)
{
    write_array(w, values, n, sizeof(*values));
}

void ak_write_u32s(struct ak_writer *w, const uint32_t *values, size_t n)
{
    write_array(w, values, n, sizeof(*values));
}

void ak_write_u64s(struct ak_writer *w, const uint64_t *values, size_t n)
{
    write_array(w, values, n, sizeof(*values));
}

void ak_writer_clear(struct ak_writer *w)
{
    free(w->data);
    memset(w, 0, sizeof(*w));
}

void ak_reader_init(struct ak_reader *r, const void *data, size_t len)
{
    r->at = data;
    r->end = r->at + len;
    r->status = AK_OK;
}

const uint8_t *ak_read_span(struct ak_reader *r, size_t len)
{
    const uint8_t *p = r->at;

    if (r->status != AK_OK || (size_t)(r->end - r->at) < len) {
        if (r->status == AK_OK)
            r->status = AK_ECORRUPT;
        return NULL;
    }
    r->at += len;
    return p;
}

void ak_read_bytes(struct ak_reader *r, void *bytes, size_t len)
{
    const uint8_t *p = ak_read_span(r, len);

    if (p == NULL)
        memset(bytes, 0, len);
    else if (len > 0)
        memcpy(bytes, p, len);
}

static void read_array(struct ak_reader *r, void *values, size_t n, size_t size)
{
    size_t len;

    if (__builtin_mul_overflow(n, size, &len))
        r->status = AK_ECORRUPT;
    else
        ak_read_bytes(r, values, len);
}

uint8_t ak_read_u8(struct ak_reader *r)
{
    uint8_t value;

    ak_read_bytes(r, &value, sizeof(value));
    return value;
}

uint32_t ak_read_u32(struct ak_reader *r)
{
    uint32_t value;

    ak_read_bytes(r, &value, sizeof(value));
    return value;
}

uint64_t ak_read_u64(struct ak_reader *r)
{
    uint64_t value;

    ak_read_bytes(r, &value, sizeof(value));
    return value;
}

double ak_read_f64(struct ak_reader *r)
{
    double value;

    ak_read_bytes(r, &value, sizeof(value));
    return value;
}

void ak_read_f32s(struct ak_reader *r, float *values, size_t n)
{
    read_array(r, values, n, sizeof(*values));
}

void ak_read_f64s(struct ak_reader *r, double *values, size_t n)
{
    read_array(r, values, n, sizeof(*values));
}

void ak_read_u32s(struct ak_reader *r, uint32_t *values, size_t n)
{
    read_array(r, values, n, sizeof(*values));
}

void ak_read_u64s(struct ak_reader *r, uint64_t *values, size_t n)
{
    read_array(r, values, n, sizeof(*values));
}

size_t ak_reader_left(const struct ak_reader *r)
{
    return r->status == AK_OK ? (size_t)(r->end - r->at) : 0;
}

enum ak_status ak_reader_finish(const struct ak_reader *r)
{
    if (r->status != AK_OK)
        return r->status;
    return r->at == r->end ? AK_OK : AK_ECORRUPT;
}
