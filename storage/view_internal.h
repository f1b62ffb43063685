/*
 * view_internal.h -- the reader's side of a collection's file, as its parts
 * share it: view.c (life, single values), view_rows.c (records, blocks, rows).
 */
#ifndef AK_STORAGE_VIEW_INTERNAL_H
#define AK_STORAGE_VIEW_INTERNAL_H

#include "core/base/blob.h"
#include "storage/sqlite_internal.h"

struct ak_view {
    struct ak_db db;
    struct ak_store_shape shape;
    uint32_t page_bytes;
    bool held;
    ak_view_fill *fill; /* NULL: none */
    void *fill_arg;
    /*
     * What a call lends is a copy: a statement that stays open keeps the log
     * from being started over.
     */
    struct ak_writer lent;
    struct ak_writer record;
    /* The block read last, since rows are mostly read in their order. */
    struct ak_writer block;
    uint64_t block_space, block_first, block_n;
};

/*
 * Around a call of several statements: one state for all of them.  `entered` is
 * handed from one to the other.
 */
enum ak_status ak_view_enter(struct ak_view *view, bool *entered,
                             struct ak_err *err) AK_MUST_CHECK;
void ak_view_leave(struct ak_view *view, bool entered);

/* Empty a buffer, and put a column into it.  Returns its place there, 8-byte
   aligned, or SIZE_MAX when the column is NULL. */
void ak_view_restart(struct ak_writer *w);
enum ak_status ak_view_copy(struct ak_writer *w, const struct ak_sql *q,
                            int column, size_t *at, size_t *len,
                            struct ak_err *err) AK_MUST_CHECK;

/* AK_ECORRUPT unless `data` has this checksum. */
enum ak_status ak_view_check_crc(const struct ak_view *view, const char *what,
                                 uint64_t number, const void *data, size_t len,
                                 int64_t crc, struct ak_err *err) AK_MUST_CHECK;

#endif
