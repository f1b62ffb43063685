/*
 * idx.h -- reading idx files, plain or gzipped: MNIST and Fashion-MNIST.
 *
 * Big-endian: two zero bytes, the type (0x08 is unsigned bytes, the only one
 * read here), the number of dimensions, each dimension as u32, then the bytes.
 */
#ifndef AK_CORE_EVAL_IDX_H
#define AK_CORE_EVAL_IDX_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

#define AK_IDX_DIMS  3
#define AK_IDX_BYTES ((size_t)1 << 30) /* of content, at most */

/* The caller owns the struct; zeroed, it can be cleared. */
struct ak_idx {
    uint32_t n_dims; /* 1: labels (n); 3: images (n, height, width) */
    uint32_t dims[AK_IDX_DIMS];
    size_t item;   /* bytes of one label or image */
    uint8_t *data; /* (dims[0], item) */
};

/*
 * A file of `n_dims` 1 or 3 dimensions.  Memory is taken as bytes arrive, so
 * that a header cannot ask for more than the file has.
 *
 * AK_ENOTFOUND: no such file.  AK_EIO: it cannot be read.  AK_ECORRUPT: not
 * such an idx file, cut short, or too long.  AK_ELIMIT: above AK_IDX_BYTES.
 */
enum ak_status ak_idx_read(const char *path, uint32_t n_dims,
                           struct ak_idx *out,
                           struct ak_err *err) AK_MUST_CHECK;
void ak_idx_clear(struct ak_idx *idx);

/* Bytes 0..255 as floats 0..1: the papers' pixels. */
void ak_idx_floats(const uint8_t *bytes, size_t n, float *out);

#endif
