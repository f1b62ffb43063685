/*
 * decode_png.c -- PNG by libpng.
 *
 * The header is read by hand first, since libpng's own text for a size beyond
 * its limits names neither.  Then libpng is told to skip every ancillary chunk
 * but tRNS: their checksums are still verified, but nothing in them is inflated
 * or kept.
 */
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <png.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/image/decode_internal.h"

enum {
    IHDR_AT = 8, /* after the signature: length, "IHDR", data, CRC */
    IHDR_END = 8 + 25,
    INFLATE_MAX = 1032, /* deflate cannot expand by more (zlib's notes) */
    ROWS_PER_CHECK = 64,
    CHUNKS_MAX = 64, /* kept ancillary chunks */
    CHUNK_LEN_MAX = 8 << 20,
};

struct decoder {
    png_structp png;
    png_infop info;
    const uint8_t *at, *end;
    const struct ak_image_limits *limits;
    uint64_t deadline;
    enum ak_status status;
    char text[128];
    uint8_t *raw;   /* (height, stride), as libpng gives it */
    uint8_t **rows; /* pointers into `raw` */
    struct ak_image image;
};

static void on_error(png_structp png, png_const_charp text)
{
    struct decoder *d = png_get_error_ptr(png);

    if (d->status == AK_OK) {
        d->status =
            strcmp(text, "Out of memory") == 0 ? AK_ENOMEM : AK_ECORRUPT;
        snprintf(d->text, sizeof(d->text), "png: %s", text);
    }
    png_longjmp(png, 1);
}

/* libpng warns of odd ancillary chunks, which do not touch the pixels. */
static void on_warning(png_structp png, png_const_charp text)
{
    (void)png;
    (void)text;
}

static void on_read(png_structp png, png_bytep to, size_t len)
{
    struct decoder *d = png_get_io_ptr(png);

    if (len > (size_t)(d->end - d->at))
        png_error(png, "the data ends early");
    memcpy(to, d->at, len);
    d->at += len;
}

static uint32_t u32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 |
           p[3];
}

/* The size that IHDR says, within the limits and not beyond what `len` holds. */
static enum ak_status check_header(const uint8_t *bytes, size_t len,
                                   const struct ak_image_limits *limits,
                                   struct ak_err *err)
{
    static const uint8_t samples[7] = {1, 0, 3, 1, 2, 0, 4};
    const uint8_t *data = bytes + IHDR_AT + 8;
    uint64_t width, height, row_bits;
    enum ak_status status;

    if (len < IHDR_END || memcmp(bytes + IHDR_AT, "\0\0\0\rIHDR", 8) != 0)
        return ak_fail(err, AK_ECORRUPT, "png: there is no header in %zu bytes",
                       len);
    width = u32(data);
    height = u32(data + 4);
    status = ak_decode_check_size(width, height, limits, err);
    if (status != AK_OK)
        return status;
    row_bits = width * data[8] * (data[9] < 7 ? samples[data[9]] : 0);
    if ((row_bits / 8 + 1) * height / INFLATE_MAX > len)
        return ak_fail(err, AK_ECORRUPT,
                       "png: %zu bytes cannot hold %u x %u pixels", len,
                       (unsigned)width, (unsigned)height);
    return AK_OK;
}

/* Whatever is in the file to 8 bits of G, GA, RGB or RGBA. */
static void set_transforms(struct decoder *d)
{
    png_structp png = d->png;
    int type = png_get_color_type(png, d->info);

    if (type == PNG_COLOR_TYPE_PALETTE)
        png_set_palette_to_rgb(png);
    if (type == PNG_COLOR_TYPE_GRAY)
        png_set_expand_gray_1_2_4_to_8(png);
    if (png_get_valid(png, d->info, PNG_INFO_tRNS))
        png_set_tRNS_to_alpha(png);
    png_set_scale_16(png);
}

/* On black, a sample of opacity `a` is v * a / 255. */
static void drop_alpha(const struct decoder *d, size_t channels)
{
    size_t n = (size_t)d->image.width * d->image.height;
    size_t colours = d->image.channels;

    for (size_t i = 0; i < n; i++) {
        const uint8_t *p = d->raw + i * channels;
        unsigned a = colours == channels ? 255u : p[colours];

        for (size_t c = 0; c < colours; c++)
            d->image.pixels[i * colours + c] =
                (uint8_t)((p[c] * a + 127) / 255);
    }
}

static enum ak_status decode(struct decoder *d, struct ak_err *err)
{
    png_structp png = d->png;
    uint32_t width, height;
    size_t stride, channels;
    int passes;
    enum ak_status status;

    png_set_read_fn(png, d, on_read);
    png_set_user_limits(png, d->limits->max_width, d->limits->max_height);
    png_set_chunk_cache_max(png, CHUNKS_MAX);
    png_set_chunk_malloc_max(png, CHUNK_LEN_MAX);
    png_set_crc_action(png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    /* -1: all that libpng knows but IHDR, PLTE, tRNS, IDAT and IEND. */
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    png_read_info(png, d->info);
    set_transforms(d);
    passes = png_set_interlace_handling(png);
    png_read_update_info(png, d->info);

    width = png_get_image_width(png, d->info);
    height = png_get_image_height(png, d->info);
    channels = png_get_channels(png, d->info);
    stride = png_get_rowbytes(png, d->info);
    if (stride != width * channels)
        return ak_fail(err, AK_EUNSUPPORTED,
                       "png: %zu bytes a row of %u pixels", stride, width);
    status =
        ak_image_init(&d->image, width, height, channels <= 2 ? 1 : 3, err);
    if (status != AK_OK)
        return status;
    d->raw = ak_array_new(height, stride);
    d->rows = ak_array_new(height, sizeof(*d->rows));
    if (d->raw == NULL || d->rows == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for %u x %u x %zu pixels",
                       width, height, channels);
    for (uint32_t y = 0; y < height; y++)
        d->rows[y] = d->raw + y * stride;
    for (int pass = 0; pass < passes; pass++)
        for (uint32_t y = 0; y < height; y += ROWS_PER_CHECK) {
            uint32_t n = height - y < ROWS_PER_CHECK ? height - y
                                                     : (uint32_t)ROWS_PER_CHECK;

            if (ak_clock_ns() > d->deadline)
                return ak_fail(err, AK_ELIMIT, "png: decoding took over %u ms",
                               d->limits->max_ms);
            png_read_rows(png, d->rows + y, NULL, n);
        }
    /* On to IEND, so that a file that stops after the pixels is noticed. */
    png_read_end(png, NULL);
    drop_alpha(d, channels);
    return AK_OK;
}

/* No variable of this function changes after setjmp(). */
static enum ak_status decode_guarded(struct decoder *d, struct ak_err *err)
{
    if (setjmp(png_jmpbuf(d->png)))
        return ak_fail(err, d->status, "%s", d->text);
    return decode(d, err);
}

enum ak_status ak_decode_png(const uint8_t *bytes, size_t len,
                             const struct ak_image_limits *limits,
                             uint32_t hint_w, uint32_t hint_h,
                             struct ak_image *out, struct ak_err *err)
{
    struct decoder d = {0};
    enum ak_status status;

    (void)hint_w;
    (void)hint_h;
    status = check_header(bytes, len, limits, err);
    if (status != AK_OK)
        return status;
    d.at = bytes;
    d.end = bytes + len;
    d.limits = limits;
    d.deadline = ak_decode_deadline(limits);
    d.png =
        png_create_read_struct(PNG_LIBPNG_VER_STRING, &d, on_error, on_warning);
    d.info = d.png == NULL ? NULL : png_create_info_struct(d.png);
    if (d.info == NULL)
        status = ak_fail(err, AK_ENOMEM, "no memory for a png reader");
    else
        status = decode_guarded(&d, err);
    png_destroy_read_struct(&d.png, &d.info, NULL);
    ak_array_free(d.rows);
    ak_array_free(d.raw);
    if (status == AK_OK)
        *out = d.image;
    else
        ak_image_clear(&d.image);
    return status;
}
