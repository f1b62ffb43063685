/*
 * image.h -- pixels in memory: grey or RGB, eight bits a sample.
 *
 * The caller owns the struct; ak_image_clear() frees what is inside.  All
 * functions of this folder are reentrant and keep no state of their own.
 */
#ifndef AK_CORE_IMAGE_IMAGE_H
#define AK_CORE_IMAGE_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

/* The most that a side of an image can be: what a JPEG header can say. */
#define AK_IMAGE_SIDE_MAX 65535

struct ak_image {
    uint32_t width, height;
    uint32_t channels; /* 1: grey, 3: red, green, blue */
    uint8_t *pixels;   /* (height, width, channels), rows from the top */
};

/*
 * Make `image` a black one of that size; what it held is not freed.  Sides are
 * 1..AK_IMAGE_SIDE_MAX and channels 1 or 3, or AK_EINVAL.  On failure `image`
 * is as it was.
 */
enum ak_status ak_image_init(struct ak_image *image, uint32_t width,
                             uint32_t height, uint32_t channels,
                             struct ak_err *err) AK_MUST_CHECK;

/* Free the pixels and zero the struct; a zeroed struct is a no-op. */
void ak_image_clear(struct ak_image *image);

/* Bytes of the pixels. */
size_t ak_image_len(const struct ak_image *image);

/*
 * Turn an RGB image into its luma, in place: Y = 0.299 R + 0.587 G + 0.114 B
 * (ITU-R BT.601), rounded to the nearest.  A grey image stays as it is.
 */
void ak_image_make_grey(struct ak_image *image);

/*
 * Turn a grey image into RGB with three equal channels.  AK_ENOMEM is the only
 * failure, and leaves the image as it was.
 */
enum ak_status ak_image_make_rgb(struct ak_image *image,
                                 struct ak_err *err) AK_MUST_CHECK;

#endif
