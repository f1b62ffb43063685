/*
 * decode_jpeg.c -- JPEG by libjpeg-turbo, with its own defaults for a program
 * at a terminal (print, go on, exit) taken out.
 *
 * libjpeg reports by callbacks.  Ours keep the text and jump back to
 * decode_guarded(), also for warnings: the makers of libjpeg-turbo say that an
 * application which reads untrusted files must treat those as fatal.  All that
 * must outlive the jump is in `struct decoder`, which is in the caller's frame.
 */
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/image/decode_internal.h"

/* Longest Exif segment, which is the longest that a segment can be. */
#define APP1_MAX 65533

/* Below 2^8 pixels a component, an 8 x 8 block takes a bit at the least. */
#define PIXELS_PER_BYTE_MAX (8 * 64)

struct decoder {
    struct jpeg_decompress_struct cinfo;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf back;
    const struct ak_image_limits *limits;
    uint64_t deadline;
    enum ak_status status;
    char text[JMSG_LENGTH_MAX + 64];
    struct ak_image image;
    uint8_t *row; /* four channels of a CMYK row, or NULL */
};

/* Ends the decoding from within a callback. */
static _Noreturn void give_up(struct decoder *d, enum ak_status status)
{
    d->status = status;
    longjmp(d->back, 1);
}

static void keep_message(j_common_ptr cinfo)
{
    struct decoder *d = cinfo->client_data;
    char text[JMSG_LENGTH_MAX];

    d->errors.format_message(cinfo, text);
    snprintf(d->text, sizeof(d->text), "jpeg: %s", text);
}

static _Noreturn void on_error(j_common_ptr cinfo)
{
    struct decoder *d = cinfo->client_data;

    keep_message(cinfo);
    switch (cinfo->err->msg_code) {
    case JERR_OUT_OF_MEMORY:
        give_up(d, AK_ENOMEM);
    case JERR_NO_BACKING_STORE:
        snprintf(d->text, sizeof(d->text),
                 "jpeg: %u x %u pixels in %s need more than %llu bytes in the "
                 "decoder",
                 d->cinfo.image_width, d->cinfo.image_height,
                 d->cinfo.progressive_mode ? "progressive scans" : "scans",
                 (unsigned long long)d->limits->max_codec_memory);
        give_up(d, AK_ELIMIT);
    case JERR_IMAGE_TOO_BIG:
        give_up(d, AK_ELIMIT);
    case JERR_BAD_PRECISION:
    case JERR_ARITH_NOTIMPL:
    case JERR_SOF_UNSUPPORTED:
    case JERR_CONVERSION_NOTIMPL:
    case JERR_CCIR601_NOTIMPL:
    case JERR_FRACT_SAMPLE_NOTIMPL:
        give_up(d, AK_EUNSUPPORTED);
    default:
        give_up(d, AK_ECORRUPT);
    }
}

/* Levels 0 and up are for tracing; -1 is damaged data. */
static void on_message(j_common_ptr cinfo, int level)
{
    if (level >= 0)
        return;
    keep_message(cinfo);
    give_up(cinfo->client_data, AK_ECORRUPT);
}

static void on_output(j_common_ptr cinfo)
{
    (void)cinfo;
}

/* Called for every row of blocks, also while scans are gathered. */
static void on_progress(j_common_ptr cinfo)
{
    struct decoder *d = cinfo->client_data;

    if (d->cinfo.input_scan_number > (int)d->limits->max_scans) {
        snprintf(d->text, sizeof(d->text), "jpeg: more than %u scans",
                 d->limits->max_scans);
        give_up(d, AK_ELIMIT);
    }
    if (ak_clock_ns() > d->deadline) {
        snprintf(d->text, sizeof(d->text), "jpeg: decoding took over %u ms",
                 d->limits->max_ms);
        give_up(d, AK_ELIMIT);
    }
}

/* The orientation that the first Exif segment says. */
static uint32_t orientation_of(const struct decoder *d)
{
    for (jpeg_saved_marker_ptr m = d->cinfo.marker_list; m != NULL; m = m->next)
        if (m->marker == JPEG_APP0 + 1 && m->data_length >= 6 &&
            memcmp(m->data, "Exif", 4) == 0)
            return ak_exif_orientation(m->data, m->data_length);
    return 1;
}

/* The largest of 8, 4, 2 that leaves at least twice the hint in both sides. */
static unsigned reduction(uint32_t w, uint32_t h, uint32_t hint_w,
                          uint32_t hint_h)
{
    unsigned r = 8;

    if (hint_w == 0 || hint_h == 0)
        return 1;
    while (r > 1 && (w / r / 2 < hint_w || h / r / 2 < hint_h))
        r /= 2;
    return r;
}

/*
 * Adobe stores CMYK inverted (255 is no ink) and says so with its marker; what
 * comes without that marker is taken as ink.
 */
static void cmyk_to_rgb(const uint8_t *in, uint8_t *out, size_t n, int inverted)
{
    for (size_t i = 0; i < n; i++, in += 4, out += 3)
        for (int c = 0; c < 3; c++) {
            unsigned a = inverted ? in[c] : 255u - in[c];
            unsigned k = inverted ? in[3] : 255u - in[3];

            out[c] = (uint8_t)((a * k + 127) / 255);
        }
}

static enum ak_status read_pixels(struct decoder *d, struct ak_err *err)
{
    struct jpeg_decompress_struct *cinfo = &d->cinfo;
    int cmyk = cinfo->out_color_space == JCS_CMYK;
    size_t stride;
    enum ak_status status;

    if (!jpeg_start_decompress(cinfo))
        return ak_fail(err, AK_ECORRUPT, "jpeg: the data ends early");
    status =
        ak_image_init(&d->image, cinfo->output_width, cinfo->output_height,
                      cinfo->out_color_space == JCS_GRAYSCALE ? 1 : 3, err);
    if (status != AK_OK)
        return status;
    if (cmyk) {
        d->row = ak_array_new(cinfo->output_width, 4);
        if (d->row == NULL)
            return ak_fail(err, AK_ENOMEM, "no memory for a row of pixels");
    }
    stride = (size_t)d->image.width * d->image.channels;
    while (cinfo->output_scanline < cinfo->output_height) {
        uint8_t *to = d->image.pixels + stride * cinfo->output_scanline;
        uint8_t *row = cmyk ? d->row : to;

        if (jpeg_read_scanlines(cinfo, &row, 1) != 1)
            return ak_fail(err, AK_ECORRUPT, "jpeg: the data ends early");
        if (cmyk)
            cmyk_to_rgb(row, to, d->image.width, cinfo->saw_Adobe_marker);
    }
    /* Reads on to the end marker, so that a missing one is noticed. */
    if (!jpeg_finish_decompress(cinfo))
        return ak_fail(err, AK_ECORRUPT, "jpeg: the data ends early");
    return AK_OK;
}

static enum ak_status decode(struct decoder *d, const uint8_t *bytes,
                             size_t len, uint32_t hint_w, uint32_t hint_h,
                             struct ak_err *err)
{
    struct jpeg_decompress_struct *cinfo = &d->cinfo;
    uint32_t orientation;
    enum ak_status status;

    jpeg_create_decompress(cinfo);
    cinfo->client_data = d;
    cinfo->mem->max_memory_to_use = (long)d->limits->max_codec_memory;
    d->progress.progress_monitor = on_progress;
    cinfo->progress = &d->progress;
    jpeg_mem_src(cinfo, bytes, (unsigned long)len);
    jpeg_save_markers(cinfo, JPEG_APP0 + 1, APP1_MAX);
    if (jpeg_read_header(cinfo, TRUE) != JPEG_HEADER_OK)
        return ak_fail(err, AK_ECORRUPT, "jpeg: there is no image in it");
    status = ak_decode_check_size(cinfo->image_width, cinfo->image_height,
                                  d->limits, err);
    if (status != AK_OK)
        return status;
    if (cinfo->arith_code)
        return ak_fail(err, AK_EUNSUPPORTED,
                       "jpeg: arithmetic coding, only Huffman is read");
    /* A huge image in a tiny file would take its memory to find that out. */
    if ((uint64_t)cinfo->image_width * cinfo->image_height / 64 >
        (uint64_t)len * 8)
        return ak_fail(err, AK_ECORRUPT,
                       "jpeg: %zu bytes cannot hold %u x %u pixels", len,
                       cinfo->image_width, cinfo->image_height);
    switch (cinfo->jpeg_color_space) {
    case JCS_GRAYSCALE:
        cinfo->out_color_space = JCS_GRAYSCALE;
        break;
    case JCS_RGB:
    case JCS_YCbCr:
        cinfo->out_color_space = JCS_RGB;
        break;
    case JCS_CMYK:
    case JCS_YCCK:
        cinfo->out_color_space = JCS_CMYK;
        break;
    default:
        return ak_fail(err, AK_EUNSUPPORTED,
                       "jpeg: %d components of an unknown colour space",
                       cinfo->num_components);
    }
    orientation = orientation_of(d);
    cinfo->scale_num = 1;
    cinfo->scale_denom =
        orientation >= 5
            ? reduction(cinfo->image_height, cinfo->image_width, hint_w, hint_h)
            : reduction(cinfo->image_width, cinfo->image_height, hint_w,
                        hint_h);
    /* The accurate one, which gives the same bytes with and without SIMD. */
    cinfo->dct_method = JDCT_ISLOW;
    status = read_pixels(d, err);
    return status != AK_OK ? status
                           : ak_image_orient(&d->image, orientation, err);
}

/* No variable of this function changes after setjmp(). */
static enum ak_status decode_guarded(struct decoder *d, const uint8_t *bytes,
                                     size_t len, uint32_t hint_w,
                                     uint32_t hint_h, struct ak_err *err)
{
    if (setjmp(d->back))
        return ak_fail(err, d->status, "%s", d->text);
    return decode(d, bytes, len, hint_w, hint_h, err);
}

enum ak_status ak_decode_jpeg(const uint8_t *bytes, size_t len,
                              const struct ak_image_limits *limits,
                              uint32_t hint_w, uint32_t hint_h,
                              struct ak_image *out, struct ak_err *err)
{
    struct decoder d = {0};
    enum ak_status status;

    d.limits = limits;
    d.deadline = ak_decode_deadline(limits);
    d.cinfo.err = jpeg_std_error(&d.errors);
    /* Also before create, which may fail already. */
    d.cinfo.client_data = &d;
    d.errors.error_exit = on_error;
    d.errors.emit_message = on_message;
    d.errors.output_message = on_output;
    status = decode_guarded(&d, bytes, len, hint_w, hint_h, err);
    jpeg_destroy_decompress(&d.cinfo);
    ak_array_free(d.row);
    if (status == AK_OK)
        *out = d.image;
    else
        ak_image_clear(&d.image);
    return status;
}
