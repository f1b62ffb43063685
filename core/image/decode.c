#include "core/image/decode.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/image/decode_internal.h"

const struct ak_image_limits ak_image_limits_default = {
    .max_width = 16384,
    .max_height = 16384,
    .max_pixels = 40000000,
    .max_codec_memory = 64 << 20,
    .max_scans = 100,
    .max_ms = 5000,
};

static const struct {
    const char *magic;
    size_t len;
    ak_decode_fn *decode; /* NULL: known, but not read */
    const char *name;
} formats[] = {
    {"\xff\xd8\xff", 3, ak_decode_jpeg, "a JPEG"},
    {"\x89PNG\r\n\x1a\n", 8, ak_decode_png, "a PNG"},
    {"GIF8", 4, NULL, "a GIF"},
    {"RIFF", 4, NULL, "a WebP or other RIFF file"},
    {"BM", 2, NULL, "a BMP"},
    {"II*\0", 4, NULL, "a TIFF"},
    {"MM\0*", 4, NULL, "a TIFF"},
    {"\0\0\0\x0cjP  ", 8, NULL, "a JPEG 2000"},
    {"\xff\x0a", 2, NULL, "a JPEG XL"},
    {"%PDF", 4, NULL, "a PDF"},
    {"\x93NUMPY", 6, NULL, "an npy array"},
    {"\x1f\x8b", 2, NULL, "a gzip file"},
    {"PK", 2, NULL, "a zip file"},
    {"<", 1, NULL, "HTML, XML or SVG"},
    {"{", 1, NULL, "JSON"},
};

enum ak_status ak_decode_check_size(uint64_t width, uint64_t height,
                                    const struct ak_image_limits *limits,
                                    struct ak_err *err)
{
    if (width == 0 || height == 0)
        return ak_fail(err, AK_ECORRUPT,
                       "image is %" PRIu64 " x %" PRIu64 ", sides must be 1 "
                       "or more",
                       width, height);
    if (width > limits->max_width || height > limits->max_height)
        return ak_fail(err, AK_ELIMIT,
                       "image is %" PRIu64 " x %" PRIu64 ", at most %" PRIu32
                       " x %" PRIu32,
                       width, height, limits->max_width, limits->max_height);
    if (width * height > limits->max_pixels)
        return ak_fail(err, AK_ELIMIT,
                       "image is %" PRIu64 " x %" PRIu64 " = %" PRIu64
                       " pixels, at most %" PRIu64,
                       width, height, width * height, limits->max_pixels);
    return AK_OK;
}

uint64_t ak_decode_deadline(const struct ak_image_limits *limits)
{
    if (limits->max_ms == 0)
        return UINT64_MAX;
    return ak_clock_ns() + (uint64_t)limits->max_ms * 1000000;
}

enum ak_status ak_image_decode(const void *bytes, size_t len,
                               const struct ak_image_limits *limits,
                               uint32_t hint_w, uint32_t hint_h,
                               struct ak_image *out, struct ak_err *err)
{
    char hex[3 * 8 + 1] = "";

    if (limits == NULL)
        limits = &ak_image_limits_default;
    if (len == 0)
        return ak_fail(err, AK_EINVAL, "image is empty, must be JPEG or PNG");
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        if (len < formats[i].len ||
            memcmp(bytes, formats[i].magic, formats[i].len) != 0)
            continue;
        if (formats[i].decode == NULL)
            return ak_fail(err, AK_EINVAL,
                           "image is %s by its first bytes, must be JPEG or "
                           "PNG",
                           formats[i].name);
        return formats[i].decode(bytes, len, limits, hint_w, hint_h, out, err);
    }
    for (size_t i = 0; i < 8 && i < len; i++)
        snprintf(hex + 3 * i, 4, " %02x", ((const uint8_t *)bytes)[i]);
    return ak_fail(err, AK_EINVAL,
                   "image of %zu bytes begins with%s, must be JPEG (ff d8 ff) "
                   "or PNG (89 50 4e 47)",
                   len, hex);
}
