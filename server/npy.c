#include "server/npy.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "floats are copied as they lie in memory");

static const char magic[] = "\x93NUMPY";

enum { MAGIC_LEN = 6, PREFIX_V1 = 10, PREFIX_V2 = 12, ALIGNMENT = 64 };

static const struct {
    const char *descr;
    uint8_t size;
    uint8_t is_signed;
} dtypes[AK_NPY_DTYPES] = {
    [AK_NPY_F32] = {"<f4", 4, 1}, [AK_NPY_U8] = {"|u1", 1, 0},
    [AK_NPY_I8] = {"|i1", 1, 1},  [AK_NPY_U16] = {"<u2", 2, 0},
    [AK_NPY_I16] = {"<i2", 2, 1}, [AK_NPY_U32] = {"<u4", 4, 0},
    [AK_NPY_I32] = {"<i4", 4, 1}, [AK_NPY_U64] = {"<u8", 8, 0},
    [AK_NPY_I64] = {"<i8", 8, 1},
};

/* The text of a header, read from the left. */
struct text {
    const char *at, *end;
};

static void skip_blanks(struct text *t)
{
    while (t->at < t->end && (*t->at == ' ' || *t->at == '\t'))
        t->at++;
}

/* Whether the next token is `c`, which is then taken. */
static int take(struct text *t, char c)
{
    skip_blanks(t);
    if (t->at == t->end || *t->at != c)
        return 0;
    t->at++;
    return 1;
}

static int take_word(struct text *t, const char *word)
{
    size_t n = strlen(word);

    skip_blanks(t);
    if ((size_t)(t->end - t->at) < n || memcmp(t->at, word, n) != 0)
        return 0;
    t->at += n;
    return 1;
}

/* A quoted string of printable ASCII without escapes, lent. */
static int take_string(struct text *t, const char **s, size_t *len)
{
    char quote;

    skip_blanks(t);
    if (t->at == t->end || (*t->at != '\'' && *t->at != '"'))
        return 0;
    quote = *t->at++;
    *s = t->at;
    while (t->at < t->end && *t->at != quote) {
        if (*t->at < 0x20 || *t->at > 0x7e || *t->at == '\\')
            return 0;
        t->at++;
    }
    *len = (size_t)(t->end - t->at);
    if (*len == 0)
        return 0;
    *len = (size_t)(t->at++ - *s);
    return 1;
}

static int take_number(struct text *t, uint64_t *value)
{
    const char *begin;

    skip_blanks(t);
    begin = t->at;
    *value = 0;
    while (t->at < t->end && *t->at >= '0' && *t->at <= '9') {
        if (__builtin_mul_overflow(*value, (uint64_t)10, value) ||
            __builtin_add_overflow(*value, (uint64_t)(*t->at - '0'), value))
            return 0;
        t->at++;
    }
    return t->at > begin;
}

/* What the header says, as far as it was read. */
struct header {
    const char *descr;
    size_t descr_len;
    int has_order, fortran;
    int has_shape;
    uint32_t ndim;
    uint64_t shape[2];
};

/* "(60000, 784)", "(10,)" or "()", of which at most two sizes are kept. */
static int take_shape(struct text *t, struct header *h)
{
    h->ndim = 0;
    if (!take(t, '('))
        return 0;
    while (!take(t, ')')) {
        uint64_t size;

        if (!take_number(t, &size))
            return 0;
        if (h->ndim < 2)
            h->shape[h->ndim] = size;
        h->ndim++;
        if (take(t, ','))
            continue;
        /* "(10)" is a number in Python, not a tuple. */
        return h->ndim > 1 && take(t, ')');
    }
    return 1;
}

/* The value of a key of the header; `*wrong` is what is amiss, or NULL. */
static int take_value(struct text *t, struct header *h, const char *key,
                      size_t len, const char **wrong)
{
    int twice = 0, taken;

    *wrong = NULL;
    if (len == 5 && memcmp(key, "descr", 5) == 0) {
        twice = h->descr != NULL;
        taken = take_string(t, &h->descr, &h->descr_len);
        if (!taken)
            *wrong = "is not a plain type such as '<f4'";
    } else if (len == 13 && memcmp(key, "fortran_order", 13) == 0) {
        twice = h->has_order;
        h->has_order = 1;
        h->fortran = take_word(t, "True");
        taken = h->fortran || take_word(t, "False");
        if (!taken)
            *wrong = "is neither True nor False";
    } else if (len == 5 && memcmp(key, "shape", 5) == 0) {
        twice = h->has_shape;
        h->has_shape = 1;
        taken = take_shape(t, h);
        if (!taken)
            *wrong = "is not a tuple of sizes below 2^64";
    } else {
        taken = 0;
        *wrong = "is none of descr, fortran_order and shape";
    }
    if (twice)
        *wrong = "is there twice";
    return taken && !twice;
}

/* {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), } in any order. */
static enum ak_status read_header(struct text *t, struct header *h,
                                  struct ak_err *err)
{
    const char *begin = t->at;
    int closed;

    if (!take(t, '{'))
        goto out;
    closed = take(t, '}');
    while (!closed) {
        const char *key, *wrong;
        size_t len;

        if (!take_string(t, &key, &len) || !take(t, ':'))
            goto out;
        if (!take_value(t, h, key, len, &wrong))
            return ak_fail(err, AK_EINVAL, "npy: in the header, %.*s %s",
                           len > 40 ? 40 : (int)len, key, wrong);
        closed = !take(t, ',');
        if (take(t, '}'))
            closed = 1;
        else if (closed)
            goto out;
    }
    /* NumPy pads with blanks and ends with a newline. */
    while (t->at < t->end && (*t->at == ' ' || *t->at == '\n'))
        t->at++;
    if (t->at != t->end)
        goto out;
    if (h->descr == NULL || !h->has_order || !h->has_shape)
        return ak_fail(err, AK_EINVAL, "npy: the header lacks %s",
                       h->descr == NULL ? "descr"
                       : !h->has_order  ? "fortran_order"
                                        : "shape");
    return AK_OK;

out:
    return ak_fail(err, AK_EINVAL,
                   "npy: the header is not understood at its byte %td",
                   t->at - begin);
}

/* "<f4" or one of "|u1" "|i1" ... into `to`. */
static void list_types(unsigned accepted, char *to, size_t cap)
{
    size_t len = 0;

    to[0] = '\0';
    for (int i = 0; i < AK_NPY_DTYPES; i++)
        if (accepted & AK_NPY_BIT(i)) {
            int n = snprintf(to + len, cap - len, "%s\"%s\"",
                             len == 0 ? "" : " or ", dtypes[i].descr);

            if (n < 0 || (size_t)n >= cap - len)
                return;
            len += (size_t)n;
        }
}

static enum ak_status find_type(const struct header *h, unsigned accepted,
                                enum ak_npy_dtype *dtype, struct ak_err *err)
{
    char list[160];

    for (int i = 0; i < AK_NPY_DTYPES; i++)
        if ((accepted & AK_NPY_BIT(i)) && h->descr_len == 3 &&
            memcmp(h->descr, dtypes[i].descr, 3) == 0) {
            *dtype = (enum ak_npy_dtype)i;
            return AK_OK;
        }
    list_types(accepted, list, sizeof(list));
    return ak_fail(err, AK_EINVAL, "npy: descr is \"%.*s\", must be %s",
                   h->descr_len > 20 ? 20 : (int)h->descr_len, h->descr, list);
}

size_t ak_npy_size(enum ak_npy_dtype dtype)
{
    return dtypes[dtype].size;
}

const char *ak_npy_descr(enum ak_npy_dtype dtype)
{
    return dtypes[dtype].descr;
}

enum ak_status ak_npy_parse(const void *bytes, size_t len, unsigned accepted,
                            struct ak_npy *out, struct ak_err *err)
{
    const uint8_t *p = bytes;
    size_t prefix, header_len, have;
    struct header h = {0};
    struct ak_npy npy = {0};
    struct text t;
    uint64_t need;
    enum ak_status status;

    if (len < MAGIC_LEN || memcmp(p, magic, MAGIC_LEN) != 0)
        return ak_fail(err, AK_EINVAL,
                       "npy: %zu bytes do not begin with \\x93NUMPY", len);
    if (len < PREFIX_V1)
        return ak_fail(err, AK_EINVAL,
                       "npy: truncated: the prefix needs %d bytes, has %zu",
                       PREFIX_V1, len);
    if ((p[6] != 1 && p[6] != 2) || p[7] != 0)
        return ak_fail(err, AK_EINVAL,
                       "npy: version is %u.%u, must be 1.0 or 2.0", p[6], p[7]);
    prefix = p[6] == 1 ? PREFIX_V1 : PREFIX_V2;
    if (len < prefix)
        return ak_fail(err, AK_EINVAL,
                       "npy: truncated: the prefix needs %zu bytes, has %zu",
                       prefix, len);
    header_len = p[8] | (size_t)p[9] << 8;
    if (prefix == PREFIX_V2)
        header_len |= (size_t)p[10] << 16 | (size_t)p[11] << 24;
    if (header_len > AK_NPY_HEADER_MAX - prefix)
        return ak_fail(err, AK_EINVAL,
                       "npy: the header has %zu bytes, at most %zu", header_len,
                       AK_NPY_HEADER_MAX - prefix);
    if (len - prefix < header_len)
        return ak_fail(err, AK_EINVAL,
                       "npy: truncated: the header needs %zu bytes, has %zu",
                       header_len, len - prefix);
    t.at = (const char *)p + prefix;
    t.end = t.at + header_len;
    status = read_header(&t, &h, err);
    if (status == AK_OK)
        status = find_type(&h, accepted, &npy.dtype, err);
    if (status != AK_OK)
        return status;
    if (h.ndim != 1 && h.ndim != 2)
        return ak_fail(err, AK_EINVAL,
                       "npy: the array has %" PRIu32 " dimensions, must have 1 "
                       "or 2",
                       h.ndim);
    if (h.fortran)
        return ak_fail(err, AK_EINVAL,
                       "npy: fortran_order is True, must be False");
    npy.ndim = h.ndim;
    npy.shape[0] = h.shape[0];
    npy.shape[1] = h.ndim == 2 ? h.shape[1] : 1;
    have = len - prefix - header_len;
    if (__builtin_mul_overflow(npy.shape[0], npy.shape[1], &npy.n) ||
        __builtin_mul_overflow(npy.n, (uint64_t)dtypes[npy.dtype].size, &need))
        return ak_fail(err, AK_EINVAL,
                       "npy: a shape of %" PRIu64 " x %" PRIu64
                       " is more than memory holds",
                       npy.shape[0], npy.shape[1]);
    if (have < need)
        return ak_fail(err, AK_EINVAL,
                       "npy: truncated: needs %" PRIu64 " bytes, has %zu", need,
                       have);
    if (have > need)
        return ak_fail(err, AK_EINVAL, "npy: needs %" PRIu64 " bytes, has %zu",
                       need, have);
    npy.data = p + prefix + header_len;
    *out = npy;
    return AK_OK;
}

/* Finite are those whose exponent is not all ones: testable without branches. */
static int all_finite(const float *x, uint64_t n)
{
    uint32_t bad = 0;

    for (uint64_t i = 0; i < n; i++) {
        uint32_t bits;

        memcpy(&bits, &x[i], sizeof(bits));
        bad |= (bits & 0x7f800000u) == 0x7f800000u;
    }
    return !bad;
}

enum ak_status ak_npy_floats(const struct ak_npy *npy, uint64_t first,
                             uint64_t n, float *out, struct ak_err *err)
{
    const uint8_t *from = (const uint8_t *)npy->data + first * sizeof(*out);

    memcpy(out, from, n * sizeof(*out));
    if (all_finite(out, n))
        return AK_OK;
    for (uint64_t i = 0; i < n; i++)
        if (!isfinite(out[i]))
            return ak_fail(
                err, AK_ENUMERIC, "row %" PRIu64 ", element %" PRIu64 " is %s",
                (first + i) / npy->shape[1], (first + i) % npy->shape[1],
                isnan(out[i]) ? "nan"
                : out[i] > 0  ? "infinity"
                              : "-infinity");
    return AK_OK;
}

struct ak_npy_integer ak_npy_integer(const struct ak_npy *npy, uint64_t i)
{
    size_t size = dtypes[npy->dtype].size;
    const uint8_t *p = (const uint8_t *)npy->data + i * size;
    struct ak_npy_integer v = {0, 0};
    uint64_t sign = (uint64_t)1 << (8 * size - 1);

    for (size_t b = size; b-- > 0;)
        v.magnitude = v.magnitude << 8 | p[b];
    if (dtypes[npy->dtype].is_signed && (v.magnitude & sign) != 0) {
        v.negative = 1;
        /* Of a negative -m, two's complement holds 2 * sign - m. */
        v.magnitude = sign - (v.magnitude - sign);
    }
    return v;
}

void ak_npy_write_header(struct ak_writer *w, enum ak_npy_dtype dtype,
                         uint32_t ndim, const uint64_t *shape)
{
    char text[2 * ALIGNMENT];
    char second[24] = "";
    size_t total = sizeof(text);
    size_t len;
    int n;

    if (ndim == 2)
        snprintf(second, sizeof(second), " %" PRIu64, shape[1]);
    n = snprintf(text, sizeof(text),
                 "{'descr': '%s', 'fortran_order': False, 'shape': "
                 "(%" PRIu64 ",%s), }",
                 dtypes[dtype].descr, shape[0], second);
    len = (size_t)n; /* at most 55 + 20 + 21: fits in 128 - 11 */
    memset(text + len, ' ', sizeof(text) - len);
    text[total - PREFIX_V1 - 1] = '\n';
    ak_write_bytes(w, magic, MAGIC_LEN);
    ak_write_u8(w, 1);
    ak_write_u8(w, 0);
    ak_write_u8(w, (uint8_t)(total - PREFIX_V1));
    ak_write_u8(w, 0);
    ak_write_bytes(w, text, total - PREFIX_V1);
}
