/*
 * decode.h -- from the bytes of a JPEG or PNG file to pixels.
 *
 * The bytes come from outside.  What they are is read from their first bytes,
 * never from a name or a content type; sizes are checked against the limits
 * before memory is taken for pixels; whatever the codec warns of in a JPEG, and
 * any checksum in a PNG, is an error: half an image is no image.  Bytes after
 * the end of the image are ignored.
 *
 * What comes out is grey (one channel) for grey files and RGB for all others:
 *
 * - JPEG: baseline and progressive, 8 bits, Huffman coded; grey, YCbCr, RGB,
 *   CMYK and YCCK (as Adobe writes it, inverted, when its marker is there).
 *   Arithmetic coding, lossless and 12 bits are refused.  The orientation in
 *   Exif is applied, and anything odd in Exif means "upright".
 * - PNG: every colour type and depth, interlaced or not.  16 bits are scaled
 *   to 8 with rounding; transparent pixels are laid on black; gamma and colour
 *   profiles are ignored, as are all other ancillary chunks (so an APNG is its
 *   first picture, and a compressed text is never inflated).
 */
#ifndef AK_CORE_IMAGE_DECODE_H
#define AK_CORE_IMAGE_DECODE_H

#include "core/image/image.h"

struct ak_image_limits {
    uint32_t max_width, max_height; /* as the file's header says them */
    uint64_t max_pixels;            /* width x height of the header */
    uint64_t max_codec_memory;      /* bytes, inside the JPEG decoder */
    uint32_t max_scans;             /* of a progressive JPEG */
    uint32_t max_ms;                /* time to decode; 0: no deadline */
};

/* 16384 x 16384, 40 million pixels, 64 MiB, 100 scans, 5 s. */
extern const struct ak_image_limits ak_image_limits_default;

/*
 * Decode `bytes` (len) into `out`, which is written on success only and then
 * the caller's to clear.  `limits` may be NULL for the defaults.
 *
 * `hint_w` and `hint_h` (0: none) are the size that the image will be resized
 * to: a JPEG at least four times as large in both is reduced while it is
 * decoded, by 2, 4 or 8, to no less than twice the hint; so `out` is then
 * smaller than the file says.  Without hints it has the file's size.
 *
 * AK_EINVAL: neither JPEG nor PNG.  AK_ECORRUPT: damaged or truncated.
 * AK_EUNSUPPORTED: a variant that is not read.  AK_ELIMIT: beyond a limit.
 * AK_ENOMEM.
 */
enum ak_status ak_image_decode(const void *bytes, size_t len,
                               const struct ak_image_limits *limits,
                               uint32_t hint_w, uint32_t hint_h,
                               struct ak_image *out,
                               struct ak_err *err) AK_MUST_CHECK;

#endif
