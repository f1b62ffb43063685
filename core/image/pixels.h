/*
 * pixels.h -- the built-in extractor: a small copy of the image is its feature.
 *
 * `pixels-WxHxC` decodes a JPEG or PNG, resizes it to W x H by area average
 * (resize.h; the aspect ratio is not kept), makes it grey (C is 1, BT.601 luma)
 * or RGB (C is 3), and gives each byte divided by 255.  The vector is row-major
 * with channels interleaved, (H, W, C): element (y * W + x) * C + c.  So a grey
 * PNG of W x H gives back exactly its bytes over 255.
 */
#ifndef AK_CORE_IMAGE_PIXELS_H
#define AK_CORE_IMAGE_PIXELS_H

#include <stdbool.h>

#include "core/image/decode.h"
#include "core/image/extract.h"

#define AK_PIXELS_SIDE_MAX 1024
#define AK_PIXELS_DIM_MAX  65536

struct ak_pixels_spec {
    uint32_t width, height; /* 1..AK_PIXELS_SIDE_MAX */
    uint32_t channels;      /* 1: grey, 3: RGB */
};

/* Whether it begins with "pixels-", which no other extractor's name does. */
bool ak_pixels_is_name(const char *name);

/*
 * Read "pixels-28x28x1".  AK_ENOTFOUND if the name does not begin with
 * "pixels-", so that the caller can look elsewhere; AK_EINVAL if it does and
 * the rest is wrong: numbers are decimal, without sign or leading zeros.
 */
enum ak_status ak_pixels_parse(const char *name, struct ak_pixels_spec *out,
                               struct ak_err *err) AK_MUST_CHECK;

/* Elements of the feature vector: 1..AK_PIXELS_DIM_MAX. */
static inline uint32_t ak_pixels_dim(const struct ak_pixels_spec *spec)
{
    return spec->width * spec->height * spec->channels;
}

/*
 * Feature of an image file into `out` (ak_pixels_dim()), in [0, 1].  `limits`
 * as in decode.h, NULL for the defaults.  Statuses as in decode.h; `out` is
 * written on success only.
 */
enum ak_status ak_pixels_extract(const struct ak_pixels_spec *spec,
                                 const void *bytes, size_t len,
                                 const struct ak_image_limits *limits,
                                 float *out, struct ak_err *err) AK_MUST_CHECK;

/* The same of an image that is decoded already; `image` is lent. */
enum ak_status ak_pixels_of_image(const struct ak_pixels_spec *spec,
                                  const struct ak_image *image, float *out,
                                  struct ak_err *err) AK_MUST_CHECK;

/* Make the extractor of that name; statuses as ak_pixels_parse(), AK_ENOMEM. */
enum ak_status ak_pixels_create(const char *name, struct ak_extractor **out,
                                struct ak_err *err) AK_MUST_CHECK;

#endif
