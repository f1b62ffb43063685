/*
 * npy.h -- reading and writing NumPy's .npy arrays in memory.
 *
 * The format is NEP 1 ("A Simple File Format for NumPy Arrays"), versions 1.0
 * and 2.0: a magic, a header that is the text of a Python dictionary, and the
 * elements.  The header is read by a parser that knows exactly its three keys;
 * nothing is evaluated.  Only C order, little-endian, one or two dimensions.
 */
#ifndef AK_SERVER_NPY_H
#define AK_SERVER_NPY_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/blob.h"
#include "core/base/err.h"

/* Longest header that is read, magic and length included. */
#define AK_NPY_HEADER_MAX 65536

enum ak_npy_dtype {
    AK_NPY_F32, /* "<f4" */
    AK_NPY_U8,  /* "|u1" */
    AK_NPY_I8,  /* "|i1" */
    AK_NPY_U16, /* "<u2" */
    AK_NPY_I16, /* "<i2" */
    AK_NPY_U32, /* "<u4" */
    AK_NPY_I32, /* "<i4" */
    AK_NPY_U64, /* "<u8" */
    AK_NPY_I64, /* "<i8" */
    AK_NPY_DTYPES
};

/* Sets of types, for ak_npy_parse(). */
#define AK_NPY_BIT(dtype) (1u << (dtype))
#define AK_NPY_FLOATS     AK_NPY_BIT(AK_NPY_F32)
#define AK_NPY_CODES      AK_NPY_BIT(AK_NPY_U8)
#define AK_NPY_INTEGERS \
    ((AK_NPY_BIT(AK_NPY_DTYPES) - 1) & ~AK_NPY_BIT(AK_NPY_F32))

struct ak_npy {
    enum ak_npy_dtype dtype;
    uint32_t ndim;     /* 1 or 2 */
    uint64_t shape[2]; /* shape[1] is 1 when ndim is 1 */
    uint64_t n;        /* elements */
    const void *data;  /* lent, and not aligned: use the functions below */
};

/* Bytes of an element, and NumPy's name of the type, such as "<f4". */
size_t ak_npy_size(enum ak_npy_dtype dtype);
const char *ak_npy_descr(enum ak_npy_dtype dtype);

/*
 * Read the array in `bytes` (len), which must be it and nothing else: a missing
 * byte or one too many is an error.  `accepted` is a set of types
 * (AK_NPY_BIT()).  A side of the shape may be 0.  `out` lends from `bytes`.
 *
 * AK_EINVAL says what was found and what was expected; `out` is then as it was.
 */
enum ak_status ak_npy_parse(const void *bytes, size_t len, unsigned accepted,
                            struct ak_npy *out,
                            struct ak_err *err) AK_MUST_CHECK;

/*
 * Copy `n` floats from element `first` on into `out`; the array is AK_NPY_F32
 * and has them.  AK_ENUMERIC if one is NaN or infinite, which names it:
 * `row 3, element 17 is nan`; `out` is then half written.
 */
enum ak_status ak_npy_floats(const struct ak_npy *npy, uint64_t first,
                             uint64_t n, float *out,
                             struct ak_err *err) AK_MUST_CHECK;

/*
 * The `i`-th element of an array of integers, as sign and magnitude, so that
 * all of int64 and uint64 fit.
 */
struct ak_npy_integer {
    uint64_t magnitude;
    int negative;
};
struct ak_npy_integer ak_npy_integer(const struct ak_npy *npy, uint64_t i);

/*
 * Append the header (version 1.0) of an array to `w`; its elements follow, in C
 * order.  `ndim` is 1 or 2.  The data begin at a multiple of 64 bytes.
 */
void ak_npy_write_header(struct ak_writer *w, enum ak_npy_dtype dtype,
                         uint32_t ndim, const uint64_t *shape);

#endif
