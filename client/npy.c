#include "client/npy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/error.h"

#define MAGIC "\x93NUMPY"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "elements are copied as they lie in the file");

/* The value after 'name': in the header's dictionary, or NULL. */
static const char *find_value(const char *header, const char *name)
{
    char quoted[32];
    const char *at;

    snprintf(quoted, sizeof(quoted), "'%s':", name);
    at = strstr(header, quoted);
    if (at == NULL)
        return NULL;
    at += strlen(quoted);
    while (*at == ' ')
        at++;
    return at;
}

static int parse_type(const char *at, struct npy_view *out)
{
    static const struct {
        const char *descr;
        enum npy_type type;
        size_t len;
    } types[] = {
        {"'<f4'", NPY_F4, 4},   {"'<f8'", NPY_F8, 8},   {"'|u1'", NPY_UINT, 1},
        {"'|i1'", NPY_INT, 1},  {"'<u2'", NPY_UINT, 2}, {"'<i2'", NPY_INT, 2},
        {"'<u4'", NPY_UINT, 4}, {"'<i4'", NPY_INT, 4},  {"'<u8'", NPY_UINT, 8},
        {"'<i8'", NPY_INT, 8},
    };

    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (strncmp(at, types[i].descr, 5) == 0) {
            out->type = types[i].type;
            out->item_len = types[i].len;
            return 1;
        }
    return 0;
}

/* "(3, 4)" into the axes of `out`; 0 when it is no shape or overflows. */
static int parse_shape(const char *at, struct npy_view *out)
{
    if (*at++ != '(')
        return 0;
    out->width = 1;
    for (out->n_axes = 0; *at != ')'; out->n_axes++) {
        char *end;
        unsigned long long value;
        size_t axis;

        if (*at < '0' || *at > '9')
            return 0;
        value = strtoull(at, &end, 10);
        axis = (size_t)value;
        if (value > SIZE_MAX / 16)
            return 0;
        if (out->n_axes == 0)
            out->n = axis;
        else if (__builtin_mul_overflow(out->width, axis, &out->width))
            return 0;
        for (at = end; *at == ' ' || *at == ',';)
            at++;
    }
    return out->n_axes > 0;
}

enum akin_result npy_parse(const void *data, size_t len, struct npy_view *out,
                           struct akin_error *err)
{
    const uint8_t *bytes = data;
    struct npy_view view = {0};
    size_t at;
    size_t header_len;
    size_t need;
    char *header;
    const char *value;
    int ok;

    if (len < 10 || memcmp(bytes, MAGIC, 6) != 0)
        return akin_fail(err, AKIN_EREPLY, "does not begin as a .npy file");
    if (bytes[6] != 1 && bytes[6] != 2)
        return akin_fail(err, AKIN_EREPLY,
                         "version %d of the .npy format, must be 1 or 2",
                         bytes[6]);
    at = bytes[6] == 1 ? 10 : 12;
    if (len < at)
        return akin_fail(err, AKIN_EREPLY, "ends in its header");
    header_len = (size_t)bytes[8] | (size_t)bytes[9] << 8;
    if (bytes[6] == 2)
        header_len |= (size_t)bytes[10] << 16 | (size_t)bytes[11] << 24;
    if (header_len > len - at || header_len > 65536)
        return akin_fail(err, AKIN_EREPLY,
                         "header of %zu bytes in a file of %zu", header_len,
                         len);
    header = malloc(header_len + 1);
    if (header == NULL)
        return akin_no_memory(err);
    memcpy(header, bytes + at, header_len);
    header[header_len] = '\0';
    value = find_value(header, "descr");
    ok = value != NULL && parse_type(value, &view);
    if (ok) {
        value = find_value(header, "fortran_order");
        ok = value != NULL && strncmp(value, "False", 5) == 0;
        value = find_value(header, "shape");
        ok = ok && value != NULL && parse_shape(value, &view);
    }
    if (!ok) {
        akin_fail(err, AKIN_EREPLY,
                  "must be little-endian f4, f8 or integers in C order; its "
                  "header is %.120s",
                  header);
        free(header);
        return AKIN_EREPLY;
    }
    free(header);
    at += header_len;
    if (__builtin_mul_overflow(view.n, view.width, &need) ||
        __builtin_mul_overflow(need, view.item_len, &need) || need != len - at)
        return akin_fail(err, AKIN_EREPLY,
                         "%zu bytes of data, its shape (%zu x %zu of %zu "
                         "bytes) asks for another number",
                         len - at, view.n, view.width, view.item_len);
    view.data = bytes + at;
    *out = view;
    return AKIN_OK;
}

static uint64_t read_element(const struct npy_view *view, size_t i)
{
    uint64_t bits = 0;

    memcpy(&bits, view->data + i * view->item_len, view->item_len);
    return bits;
}

/* The bits of a shorter signed integer, widened. */
static int64_t widen(const struct npy_view *view, uint64_t bits)
{
    unsigned shift = (unsigned)(64 - 8 * view->item_len);

    return (int64_t)(bits << shift) >> shift;
}

void npy_floats(const struct npy_view *view, size_t first, size_t n, float *out)
{
    size_t from = first * view->width;
    size_t count = n * view->width;

    if (view->type == NPY_F4) {
        memcpy(out, view->data + 4 * from, 4 * count);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        uint64_t bits = read_element(view, from + i);
        double value;

        if (view->type == NPY_F8) {
            memcpy(&value, &bits, sizeof(value));
            out[i] = (float)value;
        } else if (view->type == NPY_INT) {
            out[i] = (float)widen(view, bits);
        } else {
            out[i] = (float)bits;
        }
    }
}

int npy_integer(const struct npy_view *view, size_t i, int64_t *out)
{
    uint64_t bits = read_element(view, i);
    int64_t value = view->type == NPY_INT ? widen(view, bits) : (int64_t)bits;

    if (view->type == NPY_F4 || view->type == NPY_F8 || value < 0)
        return 0;
    *out = value;
    return 1;
}

size_t npy_header(const char *descr, size_t n, size_t width,
                  char out[NPY_MAX_HEADER])
{
    char shape[64];
    char dict[128];
    size_t len;
    size_t total;

    if (width == 0)
        snprintf(shape, sizeof(shape), "(%zu,)", n);
    else
        snprintf(shape, sizeof(shape), "(%zu, %zu)", n, width);
    len = (size_t)snprintf(
        dict, sizeof(dict),
        "{'descr': '%s', 'fortran_order': False, 'shape': %s, }", descr, shape);
    total = (10 + len + 1 + 63) / 64 * 64;
    memset(out, ' ', total);
    memcpy(out, MAGIC "\x01\x00", 8);
    out[8] = (char)((total - 10) & 0xff);
    out[9] = (char)((total - 10) >> 8);
    memcpy(out + 10, dict, len);
    out[total - 1] = '\n';
    return total;
}
