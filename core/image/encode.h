/* encode.h -- writing an image as a PNG file in memory. */
#ifndef AK_CORE_IMAGE_ENCODE_H
#define AK_CORE_IMAGE_ENCODE_H

#include "core/base/blob.h"
#include "core/image/image.h"

/*
 * Append `image` to `w` as a PNG of 8 bits, grey or RGB, without ancillary
 * chunks: the same pixels give the same bytes with the same zlib.  AK_ENOMEM;
 * AK_EIO if libpng refuses.  `w` may then hold a part of the file.
 */
enum ak_status ak_image_encode_png(const struct ak_image *image,
                                   struct ak_writer *w,
                                   struct ak_err *err) AK_MUST_CHECK;

#endif
