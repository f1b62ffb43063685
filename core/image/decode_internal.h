/* decode_internal.h -- what decode.c and the two formats share. */
#ifndef AK_CORE_IMAGE_DECODE_INTERNAL_H
#define AK_CORE_IMAGE_DECODE_INTERNAL_H

#include "core/image/decode.h"

/* As ak_image_decode(), of bytes that begin as that format does. */
typedef enum ak_status ak_decode_fn(const uint8_t *bytes, size_t len,
                                    const struct ak_image_limits *limits,
                                    uint32_t hint_w, uint32_t hint_h,
                                    struct ak_image *out, struct ak_err *err);

ak_decode_fn ak_decode_jpeg, ak_decode_png;

/* AK_ELIMIT unless a header's size is within the limits. */
enum ak_status ak_decode_check_size(uint64_t width, uint64_t height,
                                    const struct ak_image_limits *limits,
                                    struct ak_err *err) AK_MUST_CHECK;

/* When decoding must have ended, in ak_clock_ns(). */
uint64_t ak_decode_deadline(const struct ak_image_limits *limits);

/*
 * Orientation (1..8, as in Exif) that is said by the payload of an APP1
 * segment; 1 if it is no Exif, says nothing, or is malformed in any way.
 */
uint32_t ak_exif_orientation(const uint8_t *app1, size_t len);

/* Turn and mirror `image` so that one of that orientation stands upright. */
enum ak_status ak_image_orient(struct ak_image *image, uint32_t orientation,
                               struct ak_err *err) AK_MUST_CHECK;

#endif
