/*
 * encoder.c -- see encoder.h for the arithmetic.
 *
 * The file, little-endian:
 *
 *     4   "AKIN"
 *     16  kind, lower-case, padded with zeroes
 *     4   format version, 1
 *     8   bytes of the fields
 *     32  SHA-256 of all that stands before it and of the fields
 *     -   fields: samples u64; feature map; number of layers u32; of each layer
 *         its width u32, weights (width before, width) f32 row-major, bias
 *         (width) f32
 */
#include "core/hash/encoder.h"

#include <math.h>
#include <string.h>

#include "core/base/digest.h"
#include "core/base/mem.h"
#include "core/code/code.h"
#include "core/hash/encoder_internal.h"
#include "core/linalg/project.h"

#define MAGIC      "AKIN"
#define KIND_LEN   16
#define FORMAT     1
#define HEADER_LEN (4 + KIND_LEN + 4 + 8)

/* Rows that go through all layers at a time, and floats of scratch a layer. */
#define BLOCK_ROWS   64
#define BLOCK_FLOATS (1u << 19)

#define MOST_WIDTH 65536

struct layer {
    uint32_t in, width;
    float *w;    /* packed (in, width) */
    float *bias; /* (panel columns of width) */
};

struct ak_encoder {
    struct ak_ref ref;
    char kind[KIND_LEN];
    uint64_t samples;
    struct ak_feature_map *map;
    const struct ak_project_kernels *kernels;
    uint32_t n_layers;
    struct layer layers[AK_ENCODER_LAYERS];
    size_t block; /* rows at a time */
};

static void encoder_destroy(struct ak_ref *ref)
{
    struct ak_encoder *e = (struct ak_encoder *)ref;

    for (uint32_t l = 0; l < AK_ENCODER_LAYERS; l++) {
        ak_array_free(e->layers[l].w);
        ak_array_free(e->layers[l].bias);
    }
    ak_feature_map_drop(e->map);
    ak_array_free(e);
}

static const struct layer *last_layer(const struct ak_encoder *e)
{
    return &e->layers[e->n_layers - 1];
}

static bool maps(const struct ak_encoder *e)
{
    return ak_feature_map_kind(e->map) != AK_MAP_NONE;
}

/* Floats of scratch for one row: each layer's input that is not x, and y. */
static size_t row_floats(const struct ak_encoder *e)
{
    size_t n = maps(e) ? ak_feature_map_stride(e->map) : 0;

    for (uint32_t l = 0; l < e->n_layers; l++)
        n += ak_panel_columns(e->layers[l].width);
    return n;
}

enum ak_status ak_encoder_create(const char *kind, struct ak_feature_map *map,
                                 const uint32_t *widths, uint32_t n_layers,
                                 uint64_t samples, struct ak_encoder **out,
                                 struct ak_err *err)
{
    struct ak_encoder *e = ak_array_new(1, sizeof(*e));
    uint32_t in = ak_feature_map_width(map);

    if (e == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for an encoder");
    ak_ref_init(&e->ref, encoder_destroy);
    memcpy(e->kind, kind, strnlen(kind, KIND_LEN - 1));
    e->samples = samples;
    e->map = ak_feature_map_take(map);
    e->kernels = ak_project_kernels();
    e->n_layers = n_layers;
    for (uint32_t l = 0; l < n_layers; l++) {
        size_t columns = ak_panel_columns(widths[l]);

        e->layers[l].in = in;
        e->layers[l].width = widths[l];
        e->layers[l].w = ak_array_new((size_t)in * columns, sizeof(float));
        e->layers[l].bias = ak_array_new(columns, sizeof(float));
        if (e->layers[l].w == NULL || e->layers[l].bias == NULL) {
            encoder_destroy(&e->ref);
            return ak_fail(err, AK_ENOMEM, "no memory for %u x %u weights", in,
                           widths[l]);
        }
        in = widths[l];
    }
    e->block = BLOCK_FLOATS / row_floats(e);
    if (e->block > BLOCK_ROWS)
        e->block = BLOCK_ROWS;
    if (e->block < 1)
        e->block = 1;
    *out = e;
    return AK_OK;
}

float *ak_encoder_weight(struct ak_encoder *e, uint32_t layer, size_t k,
                         size_t j)
{
    struct layer *at = &e->layers[layer];

    return &at->w[ak_panel_at(at->in, k, j)];
}

float *ak_encoder_bias(struct ak_encoder *e, uint32_t layer, size_t j)
{
    return &e->layers[layer].bias[j];
}

void ak_encoder_info(const struct ak_encoder *e, struct ak_encoder_info *out)
{
    out->kind = e->kind;
    out->dim = ak_feature_map_dim(e->map);
    out->bits = last_layer(e)->width;
    out->samples = e->samples;
}

struct ak_ref *ak_encoder_ref(struct ak_encoder *e)
{
    return &e->ref;
}

size_t ak_encoder_scratch(const struct ak_encoder *e)
{
    return e->block * row_floats(e) * sizeof(float);
}

/*
 * All layers, on z (n, stride) with n at most e->block; returns y, whose rows
 * are padded to panels.
 */
static const float *run_layers(const struct ak_encoder *e, const float *z,
                               size_t stride, size_t n, float *scratch)
{
    const float *in = z;
    float *out = scratch;

    for (uint32_t l = 0; l < e->n_layers; l++) {
        const struct layer *at = &e->layers[l];
        size_t columns = ak_panel_columns(at->width);

        for (size_t i = 0; i < n; i++)
            memcpy(out + i * columns, at->bias, columns * sizeof(*out));
        e->kernels->product(in, n, stride, at->w, at->in, ak_panels(at->width),
                            out, columns);
        for (size_t i = 0; l + 1 < e->n_layers && i < n * columns; i++)
            out[i] = out[i] > 0.0f ? out[i] : 0.0f;
        in = out;
        stride = columns;
        out += e->block * columns;
    }
    return in;
}

/* The same from x (n, dim). */
static const float *run_block(const struct ak_encoder *e, const float *x,
                              size_t n, float *scratch)
{
    size_t stride = ak_feature_map_stride(e->map);

    if (!maps(e))
        return run_layers(e, x, ak_feature_map_dim(e->map), n, scratch);
    ak_feature_map_apply(e->map, x, n, scratch);
    return run_layers(e, scratch, stride, n, scratch + e->block * stride);
}

void ak_encoder_project(const struct ak_encoder *e, const float *x, size_t n,
                        float *y, void *scratch)
{
    size_t dim = ak_feature_map_dim(e->map);
    size_t bits = last_layer(e)->width;
    size_t columns = ak_panel_columns(bits);

    for (size_t i = 0; i < n; i += e->block) {
        size_t rows = n - i < e->block ? n - i : e->block;
        const float *block = run_block(e, x + i * dim, rows, scratch);

        for (size_t r = 0; r < rows; r++)
            memcpy(y + (i + r) * bits, block + r * columns, bits * sizeof(*y));
    }
}

/* Signs of y (n, panel columns of bits) to codes (n, bits / 8). */
static void pack_signs(const float *y, size_t n, uint32_t bits, uint8_t *codes)
{
    size_t columns = ak_panel_columns(bits);

    for (size_t i = 0; i < n; i++)
        for (uint32_t j = 0; j < bits; j += 8) {
            const float *at = y + i * columns + j;
            unsigned byte = 0;

            for (uint32_t b = 0; b < 8; b++)
                byte = byte << 1 | (at[b] > 0.0f);
            *codes++ = (uint8_t)byte;
        }
}

void ak_encoder_encode(const struct ak_encoder *e, const float *x, size_t n,
                       uint8_t *codes, void *scratch)
{
    size_t dim = ak_feature_map_dim(e->map);
    uint32_t bits = last_layer(e)->width;

    for (size_t i = 0; i < n; i += e->block) {
        size_t rows = n - i < e->block ? n - i : e->block;

        pack_signs(run_block(e, x + i * dim, rows, scratch), rows, bits,
                   codes + i * ak_code_bytes(bits));
    }
}

uint32_t ak_encoder_map_dim(const struct ak_encoder *e)
{
    return ak_feature_map_width(e->map);
}

void ak_encoder_map(const struct ak_encoder *e, const float *x, size_t n,
                    float *z, void *scratch)
{
    size_t dim = ak_feature_map_dim(e->map);
    size_t width = ak_feature_map_width(e->map);
    size_t stride = ak_feature_map_stride(e->map);
    const float *block = scratch;

    if (!maps(e)) {
        memcpy(z, x, n * dim * sizeof(*z));
        return;
    }
    for (size_t i = 0; i < n; i += e->block) {
        size_t rows = n - i < e->block ? n - i : e->block;

        ak_feature_map_apply(e->map, x + i * dim, rows, scratch);
        for (size_t r = 0; r < rows; r++)
            memcpy(z + (i + r) * width, block + r * stride, width * sizeof(*z));
    }
}

void ak_encoder_encode_mapped(const struct ak_encoder *e, const float *z,
                              size_t n, uint8_t *codes, void *scratch)
{
    size_t width = ak_feature_map_width(e->map);
    uint32_t bits = last_layer(e)->width;

    for (size_t i = 0; i < n; i += e->block) {
        size_t rows = n - i < e->block ? n - i : e->block;

        pack_signs(run_layers(e, z + i * width, width, rows, scratch), rows,
                   bits, codes + i * ak_code_bytes(bits));
    }
}

static void write_fields(const struct ak_encoder *e, struct ak_writer *w)
{
    ak_write_u64(w, e->samples);
    ak_feature_map_write(e->map, w);
    ak_write_u32(w, e->n_layers);
    for (uint32_t l = 0; l < e->n_layers; l++) {
        const struct layer *at = &e->layers[l];

        ak_write_u32(w, at->width);
        for (size_t k = 0; k < at->in; k++)
            for (size_t j = 0; j < at->width; j++)
                ak_write_f32s(w, &at->w[ak_panel_at(at->in, k, j)], 1);
        ak_write_f32s(w, at->bias, at->width);
    }
}

static void write_header(const char kind[KIND_LEN], uint64_t len,
                         struct ak_writer *w)
{
    ak_write_bytes(w, MAGIC, 4);
    ak_write_bytes(w, kind, KIND_LEN);
    ak_write_u32(w, FORMAT);
    ak_write_u64(w, len);
}

enum ak_status ak_encoder_save(const struct ak_encoder *e, struct ak_writer *w,
                               struct ak_err *err)
{
    struct ak_writer fields = {0}, header = {0};
    uint8_t sum[AK_SHA256_LEN];
    enum ak_status status;

    write_fields(e, &fields);
    write_header(e->kind, fields.len, &header);
    if (fields.status != AK_OK || header.status != AK_OK) {
        status = ak_fail(err, AK_ENOMEM, "no memory to save an encoder");
        goto out;
    }
    status = ak_sha256((const struct ak_piece[]){{header.data, header.len},
                                                 {fields.data, fields.len}},
                       2, sum, err);
    if (status != AK_OK)
        goto out;
    ak_write_bytes(w, header.data, header.len);
    ak_write_bytes(w, sum, sizeof(sum));
    ak_write_bytes(w, fields.data, fields.len);
    if (w->status != AK_OK)
        status = ak_fail(err, w->status, "no memory to save an encoder");

out:
    ak_writer_clear(&header);
    ak_writer_clear(&fields);
    return status;
}

/* Lower-case letters, digits, '_' and '-', then zeroes to the end. */
static bool kind_is_word(const uint8_t *kind)
{
    size_t n = 0;

    while (n < KIND_LEN && ((kind[n] >= 'a' && kind[n] <= 'z') ||
                            (kind[n] >= '0' && kind[n] <= '9') ||
                            kind[n] == '_' || kind[n] == '-'))
        n++;
    if (n == 0 || n == KIND_LEN)
        return false;
    while (n < KIND_LEN && kind[n] == 0)
        n++;
    return n == KIND_LEN;
}

/* Header and digest; leaves `r` at the fields. */
static enum ak_status check_frame(struct ak_reader *r, char kind[KIND_LEN],
                                  struct ak_err *err)
{
    const uint8_t *header = r->at;
    const uint8_t *magic = ak_read_span(r, 4);
    const uint8_t *word = ak_read_span(r, KIND_LEN);
    uint32_t format = ak_read_u32(r);
    uint64_t len = ak_read_u64(r);
    const uint8_t *wanted = ak_read_span(r, AK_SHA256_LEN);
    uint8_t sum[AK_SHA256_LEN];
    enum ak_status status;

    if (r->status != AK_OK)
        return ak_fail(err, AK_ECORRUPT,
                       "a model file is at least %d bytes long",
                       HEADER_LEN + AK_SHA256_LEN);
    if (memcmp(magic, MAGIC, 4) != 0)
        return ak_fail(err, AK_ECORRUPT,
                       "not a model file: it begins with %02x %02x %02x %02x, "
                       "must be \"AKIN\"",
                       magic[0], magic[1], magic[2], magic[3]);
    if (format != FORMAT)
        return ak_fail(err, AK_ECORRUPT, "format version is %u, must be %d",
                       format, FORMAT);
    if (len != ak_reader_left(r))
        return ak_fail(err, AK_ECORRUPT,
                       "the header counts %llu bytes of fields, there are %zu",
                       (unsigned long long)len, ak_reader_left(r));
    status = ak_sha256(
        (const struct ak_piece[]){{header, HEADER_LEN}, {r->at, (size_t)len}},
        2, sum, err);
    if (status != AK_OK)
        return status;
    if (memcmp(sum, wanted, sizeof(sum)) != 0)
        return ak_fail(err, AK_ECORRUPT, "the SHA-256 does not match");
    if (!kind_is_word(word))
        return ak_fail(err, AK_ECORRUPT,
                       "the kind is not a lower-case word of 1..%d characters",
                       KIND_LEN - 1);
    memcpy(kind, word, KIND_LEN);
    return AK_OK;
}

static enum ak_status read_layer(struct layer *at, struct ak_reader *r,
                                 struct ak_err *err)
{
    bool finite = true;

    for (size_t k = 0; k < at->in; k++)
        for (size_t j = 0; j < at->width; j++) {
            float *w = &at->w[ak_panel_at(at->in, k, j)];

            ak_read_f32s(r, w, 1);
            finite = finite && isfinite(*w);
        }
    ak_read_f32s(r, at->bias, at->width);
    for (size_t j = 0; j < at->width; j++)
        finite = finite && isfinite(at->bias[j]);
    if (r->status != AK_OK || !finite)
        return ak_fail(err, AK_ECORRUPT, "a weight is not finite");
    return AK_OK;
}

/*
 * The widths of all layers, without moving `r`: an encoder is allocated only
 * when all its bytes are known to be there.
 */
static enum ak_status peek_widths(const struct ak_reader *r, uint32_t in,
                                  uint32_t *widths, uint32_t *n_layers,
                                  struct ak_err *err)
{
    struct ak_reader ahead = *r;
    uint32_t n = ak_read_u32(&ahead);

    if (ahead.status != AK_OK || n < 1 || n > AK_ENCODER_LAYERS)
        return ak_fail(err, AK_ECORRUPT, "%u layers, must be 1..%d", n,
                       AK_ENCODER_LAYERS);
    for (uint32_t l = 0; l < n; l++) {
        uint32_t width = ak_read_u32(&ahead);
        uint64_t len = ((uint64_t)in + 1) * width * sizeof(float);

        if (ahead.status != AK_OK || width < 1 || width > MOST_WIDTH)
            return ak_fail(err, AK_ECORRUPT,
                           "layer %u has width %u, must be "
                           "1..%d",
                           l, width, MOST_WIDTH);
        if (len > ak_reader_left(&ahead))
            return ak_fail(err, AK_ECORRUPT,
                           "layer %u needs %llu bytes, there are %zu", l,
                           (unsigned long long)len, ak_reader_left(&ahead));
        (void)ak_read_span(&ahead, (size_t)len);
        widths[l] = in = width;
    }
    if (in < AK_CODE_MIN_BITS || in > AK_CODE_MAX_BITS || in % 8 != 0)
        return ak_fail(err, AK_ECORRUPT,
                       "bits is %u, must be %d..%d and a multiple of 8", in,
                       AK_CODE_MIN_BITS, AK_CODE_MAX_BITS);
    if (ak_reader_left(&ahead) != 0)
        return ak_fail(err, AK_ECORRUPT, "%zu bytes are left over",
                       ak_reader_left(&ahead));
    *n_layers = n;
    return AK_OK;
}

enum ak_status ak_encoder_load(const void *data, size_t len,
                               struct ak_encoder **out, struct ak_err *err)
{
    struct ak_reader r;
    char kind[KIND_LEN];
    uint64_t samples;
    struct ak_feature_map *map = NULL;
    struct ak_encoder *e = NULL;
    uint32_t widths[AK_ENCODER_LAYERS] = {0}, n_layers = 0;
    enum ak_status status;

    ak_reader_init(&r, data, len);
    status = check_frame(&r, kind, err);
    if (status != AK_OK)
        return status;
    samples = ak_read_u64(&r);
    status = ak_feature_map_read(&r, &map, err);
    if (status != AK_OK)
        return status;
    status = peek_widths(&r, ak_feature_map_width(map), widths, &n_layers, err);
    if (status == AK_OK)
        status =
            ak_encoder_create(kind, map, widths, n_layers, samples, &e, err);
    ak_feature_map_drop(map);
    if (status != AK_OK)
        return status;
    (void)ak_read_u32(&r);
    for (uint32_t l = 0; l < n_layers && status == AK_OK; l++) {
        (void)ak_read_u32(&r);
        status = read_layer(&e->layers[l], &r, err);
    }
    if (status != AK_OK) {
        ak_ref_drop(&e->ref);
        return status;
    }
    *out = e;
    return AK_OK;
}
