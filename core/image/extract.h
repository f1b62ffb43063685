/*
 * extract.h -- what turns an image into a feature vector.
 *
 * An extractor is immutable once made: any number of threads may call extract
 * on one at the same time.  It is shared and counted: the last one to let go
 * ends it.  Kinds embed `struct ak_extractor` as their first member and fill it
 * in when they are made, with ak_ref_init(); `pixels.h` makes the built-in kind,
 * and a network becomes one by a table of its own.  This header is public to
 * upper layers for that reason: it has no list of kinds.
 */
#ifndef AK_CORE_IMAGE_EXTRACT_H
#define AK_CORE_IMAGE_EXTRACT_H

#include <stdint.h>

#include "core/base/ref.h"
#include "core/image/image.h"

/* Longest name of an extractor, with the terminator. */
#define AK_EXTRACTOR_NAME 64

struct ak_extractor;

/* See ak_extractor_extract(); `out` has room for `dim` floats. */
typedef enum ak_status ak_extract_fn(const struct ak_extractor *e,
                                     const struct ak_image *image, float *out,
                                     struct ak_err *err);

struct ak_extractor_ops {
    const char *kind;   /* "pixels" */
    const char *source; /* the paper or file it comes from, or "" */
    const char *help;   /* one line */
    ak_extract_fn *extract;
};

struct ak_extractor {
    struct ak_ref ref; /* first */
    const struct ak_extractor_ops *ops;
    uint32_t dim;
    /* What it will resize an image to: the hint to who decodes a file. */
    uint32_t width, height;
    char name[AK_EXTRACTOR_NAME];
};

/*
 * Feature of an image of any size, which is lent, into `out` (dim), all finite.
 * AK_ENOMEM; AK_ENUMERIC: a network's feature is not finite.  `out` may be half
 * written on failure.
 */
static inline enum ak_status ak_extractor_extract(const struct ak_extractor *e,
                                                  const struct ak_image *image,
                                                  float *out,
                                                  struct ak_err *err)
{
    return e->ops->extract(e, image, out, err);
}

/* Returns `e`, which may be NULL, with a further holder. */
static inline struct ak_extractor *ak_extractor_ref(struct ak_extractor *e)
{
    if (e != NULL)
        ak_ref_take(&e->ref);
    return e;
}

/* Let go.  NULL is a no-op. */
static inline void ak_extractor_unref(struct ak_extractor *e)
{
    if (e != NULL)
        ak_ref_drop(&e->ref);
}

#endif
