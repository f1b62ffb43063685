/*
 * npy.h -- arrays in NumPy's file format, versions 1 and 2, C order.
 *
 * "NEP 1 -- A Simple File Format for NumPy Arrays" (Kern, 2007).
 */
#ifndef AK_CLIENT_NPY_H
#define AK_CLIENT_NPY_H

#include <stddef.h>
#include <stdint.h>

#include "client/akin.h"

enum npy_type { NPY_F4, NPY_F8, NPY_INT, NPY_UINT };

/* A view of the bytes of a file that the caller holds. */
struct npy_view {
    enum npy_type type;
    size_t item_len; /* bytes of one element */
    size_t n;        /* length of the first axis */
    size_t width;    /* product of the others; 1 when there is one axis */
    size_t n_axes;   /* 1 or more */
    const uint8_t *data;
};

/* Refuses what is truncated, in Fortran order, big-endian or of another type. */
enum akin_result npy_parse(const void *data, size_t len, struct npy_view *out,
                           struct akin_error *err);

/* Rows first .. first + n as floats into out (n, width); integers too. */
void npy_floats(const struct npy_view *view, size_t first, size_t n,
                float *out);

/* Element i of an array of integers; false when it is not in 0 .. 2^63 - 1. */
int npy_integer(const struct npy_view *view, size_t i, int64_t *out);

/*
 * The header of an array of `descr` ("<f4") and shape (n, width), or (n) when
 * `width` is 0, into `out`; its length, which is a multiple of 64.
 */
#define NPY_MAX_HEADER 192
size_t npy_header(const char *descr, size_t n, size_t width,
                  char out[NPY_MAX_HEADER]);

#endif
