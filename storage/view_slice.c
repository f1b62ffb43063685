/*
 * Rows of a block without the rest of it.
 *
 * A block has up to 64 KiB, sixteen pages, and its checksum is of all of them: for
 * one row it would be read, copied and summed up whole.  SQLite reads a part of a
 * value by itself; it goes from page to page to where the part begins, and as
 * long as the value stays open it remembers the way.  So it stays open between
 * hold and release.
 */
#include "storage/collection.h"

#include <limits.h>

#include "storage/view_internal.h"

void ak_view_close_slice(struct ak_view *view)
{
    /* What it returns is of the last use, which was told. */
    sqlite3_blob_close(view->slice);
    view->slice = NULL;
    view->slice_n = 0;
}

/* Open the block in the space that holds row `ordinal`.  Where there is none, or
   it is not as it should be, none is open then. */
static enum ak_status open_slice(struct ak_view *view,
                                 const struct ak_space *space, uint64_t ordinal,
                                 struct ak_err *err)
{
    static const char select[] =
        "SELECT rowid, first, n, length(data) FROM blocks"
        " WHERE space = ? AND first <= ? ORDER BY first DESC LIMIT 1";
    uint64_t first, n, len, given;
    sqlite3_int64 at;
    enum ak_status status;
    struct ak_sql q;
    bool row;
    int rc;

    view->slice_n = 0;
    ak_sql_start(&q, &view->db, select);
    ak_sql_u64(&q, space->number);
    ak_sql_u64(&q, ordinal);
    status = ak_sql_next(&q, &row, err);
    if (status != AK_OK || !row)
        return status;
    at = ak_sql_col_i64(&q, 0);
    first = ak_sql_col_u64(&q, 1);
    n = ak_sql_col_u64(&q, 2);
    given = ak_sql_col_u64(&q, 3);
    ak_sql_end(&q);
    if (ordinal - first >= n ||
        __builtin_mul_overflow(n, space->row_bytes, &len) || len != given ||
        len > INT_MAX)
        return AK_OK;
    rc = view->slice == NULL
             ? sqlite3_blob_open(view->db.handle, "main", "blocks", "data", at,
                                 0, &view->slice)
             : sqlite3_blob_reopen(view->slice, at);
    if (rc != SQLITE_OK) {
        status = ak_db_fail(&view->db, rc, err);
        ak_view_close_slice(view);
        return status;
    }
    view->slice_space = space->number;
    view->slice_first = first;
    view->slice_n = n;
    return AK_OK;
}

static bool is_within(uint64_t ordinal, uint64_t first, uint64_t n)
{
    return ordinal >= first && ordinal - first < n;
}

static uint64_t min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Rows from `first`, at most n, as far as one block goes; `got` says how many
   that are. */
static enum ak_status read_piece(struct ak_view *view,
                                 const struct ak_space *space, uint64_t first,
                                 size_t n, uint8_t *out, size_t *got,
                                 struct ak_err *err)
{
    uint32_t row_bytes = space->row_bytes;
    enum ak_status status;
    int rc;

    if (view->block_space == space->number &&
        is_within(first, view->block_first, view->block_n)) {
        *got = (size_t)min(view->block_first + view->block_n - first, n);
        return ak_view_block(view, space, first, *got, out, err);
    }
    if (view->slice_space != space->number ||
        !is_within(first, view->slice_first, view->slice_n)) {
        status = open_slice(view, space, first, err);
        if (status != AK_OK)
            return status;
    }
    /* What is wrong is told by what reads it whole. */
    if (view->slice_n == 0) {
        *got = 1;
        return ak_view_block(view, space, first, 1, out, err);
    }
    *got = (size_t)min(view->slice_first + view->slice_n - first, n);
    if (*got == view->slice_n)
        return ak_view_block(view, space, first, *got, out, err);
    rc = sqlite3_blob_read(view->slice, out, (int)(*got * row_bytes),
                           (int)((first - view->slice_first) * row_bytes));
    return rc == SQLITE_OK ? AK_OK : ak_db_fail(&view->db, rc, err);
}

enum ak_status ak_view_slice(struct ak_view *view, const struct ak_space *space,
                             uint64_t first, size_t n, void *out,
                             struct ak_err *err)
{
    uint8_t *at = out;
    enum ak_status status;
    size_t got;
    bool entered;

    if (first > INT64_MAX || n > INT64_MAX - first)
        return ak_view_block(view, space, first, n, out, err);
    status = ak_view_enter(view, &entered, err);
    if (status != AK_OK)
        return status;
    for (; n > 0 && status == AK_OK; n -= got) {
        status = read_piece(view, space, first, n, at, &got, err);
        if (status != AK_OK)
            break;
        first += got;
        at += got * space->row_bytes;
    }
    ak_view_leave(view, entered);
    return status;
}
