/*
 * row_list.h -- rows of a collection by reference, and a list of them.
 *
 * A reference is an ordinal with the labels that the row had at some moment;
 * the vector stays in the file, where it never changes.  A list keeps vectors
 * beside its references, but only as a cache: they are not saved, and after a
 * load they are read again.  One thread.
 */
#ifndef AK_SERVER_ROW_LIST_H
#define AK_SERVER_ROW_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/blob.h"
#include "core/base/err.h"
#include "server/settings.h"
#include "storage/collection.h"

/* Lent. */
struct ak_row_refs {
    const uint64_t *ordinals; /* (n) */
    const uint32_t *labels;   /* numbers, row after row */
    const uint32_t *first; /* (n + 1); i has labels[first[i]..first[i + 1]) */
    size_t n;
};

/*
 * The vectors of rows in any order as x (n, dim), read in the order in which
 * they lie in the file.
 */
enum ak_status ak_rows_read(struct ak_view *view,
                            const struct ak_settings *settings,
                            const uint64_t *ordinals, size_t n, float *x,
                            struct ak_err *err) AK_MUST_CHECK;

/* The caller owns the struct, which arrives zeroed. */
struct ak_row_list {
    size_t n, cap; /* rows, and room for them */
    uint64_t *ordinals;
    uint32_t *first; /* (n + 1) */
    uint32_t *labels;
    size_t cap_labels;
    float *x; /* (cap, dim) */
    size_t dim;
    size_t n_unread; /* rows from the first on without their vector */
};

void ak_row_list_init(struct ak_row_list *l, size_t dim);
void ak_row_list_clear(struct ak_row_list *l);
void ak_row_list_reset(struct ak_row_list *l); /* no rows; keeps the memory */
size_t ak_row_list_bytes(const struct ak_row_list *l);

/* Room for n rows, so that there is no growing up to them. */
enum ak_status ak_row_list_reserve(struct ak_row_list *l, size_t n,
                                   struct ak_err *err) AK_MUST_CHECK;
enum ak_status ak_row_list_push(struct ak_row_list *l, uint64_t ordinal,
                                const uint32_t *labels, size_t n_labels,
                                const float *x,
                                struct ak_err *err) AK_MUST_CHECK;

/* Shorten to the first n rows. */
void ak_row_list_cut(struct ak_row_list *l, size_t n);

/* Take out rows whose ordinals are in `gone`, sorted; how many there were. */
size_t ak_row_list_remove(struct ak_row_list *l, const uint64_t *gone,
                          size_t n_gone);

/* Read the vectors that a load left out. */
enum ak_status ak_row_list_fetch(struct ak_row_list *l, struct ak_view *view,
                                 const struct ak_settings *settings,
                                 struct ak_err *err) AK_MUST_CHECK;

/* A load is AK_ECORRUPT with more than `most` rows. */
void ak_row_list_save(const struct ak_row_list *l, struct ak_writer *w);
enum ak_status ak_row_list_load(struct ak_row_list *l, size_t most,
                                struct ak_reader *r,
                                struct ak_err *err) AK_MUST_CHECK;

#endif
