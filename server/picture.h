/* picture.h -- the file of an image from outside, and its feature. */
#ifndef AK_SERVER_PICTURE_H
#define AK_SERVER_PICTURE_H

#include "core/image/extract.h"
#include "storage/collection.h"

/*
 * Feature of an image file into `x` (e->dim): decoded, then extracted, which is
 * added to *extract_ns unless it is NULL.  Statuses as in decoder.h and extract.h.
 */
enum ak_status ak_picture_feature(const struct ak_extractor *e,
                                  struct ak_bytes file, float *x,
                                  uint64_t *extract_ns,
                                  struct ak_err *err) AK_MUST_CHECK;

#endif
