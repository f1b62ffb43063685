/* resize.h -- the exact area average of an image, at any size. */
#ifndef AK_CORE_IMAGE_RESIZE_H
#define AK_CORE_IMAGE_RESIZE_H

#include "core/image/image.h"

/*
 * Make `out` an image of `width` x `height` whose every pixel is the average of
 * the rectangle of `in` that it covers, each source pixel weighed by the area
 * of it that lies inside.  Sums are integers and the quotient is rounded to the
 * nearest, half up, so the result is the same bytes on every machine; the same
 * size gives the same pixels back.  The sides are scaled independently: the
 * aspect ratio is not kept.  Enlarging works by the same rule.
 *
 * AK_EINVAL for a size beyond image.h; AK_ENOMEM.  `out` is written on success.
 */
enum ak_status ak_image_resize(const struct ak_image *in, uint32_t width,
                               uint32_t height, struct ak_image *out,
                               struct ak_err *err) AK_MUST_CHECK;

#endif
