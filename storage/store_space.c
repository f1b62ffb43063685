/*
 * Spaces: the vectors of rows, by the extractor that they are of.
 *
 * A row's vector in the space in which it came is part of its record.  One in a
 * later space is computed of the row's image, and can be again.
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/digest.h"
#include "core/base/moment.h"
#include "storage/store_internal.h"
#include "storage/view_internal.h"

/*
 * A block is read and checked as a whole, also for one of its rows, which a
 * search that reranks by features asks for.  So rows are cut into blocks that
 * are short, but not so short that reading them all suffers.
 */
#define BLOCK_BYTES 65536

#define DROP_AT_ONCE 64 /* blocks in one transaction: 4 MiB */

enum ak_status ak_store_insert_blocks(struct ak_store *store,
                                      const struct ak_space *space,
                                      uint64_t first, size_t n,
                                      const void *block, struct ak_err *err)
{
    static const char insert[] = "INSERT INTO blocks VALUES (?, ?, ?, ?, ?)";
    size_t row_bytes =
        space->row_bytes > 0 ? space->row_bytes : store->shape.row_bytes;
    size_t most = row_bytes < BLOCK_BYTES ? BLOCK_BYTES / row_bytes : 1, len;
    const uint8_t *at = block;
    enum ak_status status = AK_OK;
    struct ak_sql q;

    if (__builtin_mul_overflow(n, row_bytes, &len))
        return ak_fail(err, AK_ELIMIT, "%zu rows of %zu bytes do not fit", n,
                       row_bytes);
    for (size_t i = 0, m; i < n && status == AK_OK; i += m) {
        m = n - i < most ? n - i : most;
        len = m * row_bytes;
        ak_sql_start(&q, &store->db, insert);
        ak_sql_u64(&q, space->number);
        ak_sql_u64(&q, first + i);
        ak_sql_u64(&q, m);
        ak_sql_i64(&q, ak_crc32(at, len));
        ak_sql_blob(&q, at, len);
        status = ak_sql_run(&q, err);
        at += len;
    }
    return status;
}

/* --------------------------------------------------------------------- adding */

static enum ak_status add_space(struct ak_store *store, uint32_t row_bytes,
                                struct ak_space *out, struct ak_err *err)
{
    static const char insert[] = "INSERT INTO spaces(row_bytes) VALUES (?)";
    enum ak_status status;
    struct ak_sql q;

    if (row_bytes == 0)
        return ak_fail(err, AK_EINVAL, "a space has rows of 0 bytes");
    ak_sql_start(&q, &store->db, insert);
    ak_sql_u64(&q, row_bytes);
    status = ak_sql_run(&q, err);
    if (status == AK_OK) {
        out->number = (uint64_t)sqlite3_last_insert_rowid(store->db.handle);
        out->row_bytes = row_bytes;
    }
    return status;
}

enum ak_status ak_store_add_space(struct ak_store *store, uint32_t row_bytes,
                                  struct ak_space *out, struct ak_err *err)
{
    enum ak_status status = ak_store_enter(store, err);

    if (status != AK_OK)
        return status;
    return ak_store_leave(store, add_space(store, row_bytes, out, err), err);
}

static enum ak_status expect_space(struct ak_store *store,
                                   const struct ak_space *space,
                                   struct ak_err *err)
{
    static const char select[] =
        "SELECT row_bytes FROM spaces WHERE number = ?";
    enum ak_status status;
    struct ak_sql q;
    uint64_t row_bytes = 0;
    bool row;

    ak_sql_start(&q, &store->db, select);
    ak_sql_u64(&q, space->number);
    status = ak_sql_next(&q, &row, err);
    if (status != AK_OK)
        return status;
    if (row) {
        row_bytes = ak_sql_col_u64(&q, 0);
        ak_sql_end(&q);
    }
    if (row && row_bytes == space->row_bytes)
        return AK_OK;
    return ak_fail(err, AK_ENOTFOUND, "there is no space %llu of %lu bytes",
                   (unsigned long long)space->number,
                   (unsigned long)space->row_bytes);
}

static enum ak_status expect_none(struct ak_store *store,
                                  const struct ak_space *space, uint64_t first,
                                  size_t n, struct ak_err *err)
{
    static const char select[] =
        "SELECT first, n FROM blocks WHERE space = ? AND first < ?"
        " ORDER BY first DESC LIMIT 1";
    enum ak_status status;
    struct ak_sql q;
    bool row, there;

    ak_sql_start(&q, &store->db, select);
    ak_sql_u64(&q, space->number);
    ak_sql_u64(&q, first + n);
    status = ak_sql_next(&q, &row, err);
    if (status != AK_OK || !row)
        return status;
    there = ak_sql_col_u64(&q, 0) + ak_sql_col_u64(&q, 1) > first;
    ak_sql_end(&q);
    return there ? ak_fail(err, AK_EEXISTS,
                           "rows from %llu have a vector in space %llu",
                           (unsigned long long)first,
                           (unsigned long long)space->number)
                 : AK_OK;
}

/* Who computed them may have read the images before they were erased. */
static enum ak_status blank_erased(struct ak_store *store, uint64_t first,
                                   size_t n, size_t row_bytes, uint8_t *block,
                                   struct ak_err *err)
{
    static const char select[] = "SELECT ordinal FROM erasures"
                                 " WHERE ordinal >= ? AND ordinal < ?"
                                 " AND done = 1";
    enum ak_status status;
    struct ak_sql q;
    bool row;

    ak_sql_start(&q, &store->db, select);
    ak_sql_u64(&q, first);
    ak_sql_u64(&q, first + n);
    while ((status = ak_sql_next(&q, &row, err)) == AK_OK && row)
        memset(block + (ak_sql_col_u64(&q, 0) - first) * row_bytes, 0,
               row_bytes);
    return status;
}

static enum ak_status put_vectors(struct ak_store *store,
                                  const struct ak_space *space, uint64_t first,
                                  size_t n, const void *block,
                                  struct ak_err *err)
{
    enum ak_status status;
    uint8_t *copy;
    size_t len;

    if (first > store->now.next_ordinal || n > store->now.next_ordinal - first)
        return ak_fail(err, AK_ENOTFOUND, "there are no rows %llu to %llu",
                       (unsigned long long)first,
                       (unsigned long long)(first + n));
    if (__builtin_mul_overflow(n, space->row_bytes, &len))
        return ak_fail(err, AK_ELIMIT, "%zu rows of %lu bytes do not fit", n,
                       (unsigned long)space->row_bytes);
    status = expect_space(store, space, err);
    if (status == AK_OK)
        status = expect_none(store, space, first, n, err);
    if (status != AK_OK || n == 0)
        return status;
    copy = malloc(len);
    if (copy == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for %zu vectors", n);
    memcpy(copy, block, len);
    status = blank_erased(store, first, n, space->row_bytes, copy, err);
    if (status == AK_OK)
        status = ak_store_insert_blocks(store, space, first, n, copy, err);
    if (status == AK_OK)
        ak_moment(AK_AT_EXTRACTOR_VECTORS);
    free(copy);
    return status;
}

enum ak_status ak_store_put_vectors(struct ak_store *store,
                                    const struct ak_space *space,
                                    uint64_t first, size_t n, const void *block,
                                    struct ak_err *err)
{
    enum ak_status status = ak_store_enter(store, err);

    if (status != AK_OK)
        return status;
    return ak_store_leave(store,
                          put_vectors(store, space, first, n, block, err), err);
}

/* ------------------------------------------------------------------- dropping */

/*
 * Versions that are retired, and generations before the one installed last, are
 * computed of the images should they be asked for again.
 */
#define IN_USE                                                            \
    "(EXISTS (SELECT 1 FROM versions WHERE space = number AND state < 4)" \
    " OR EXISTS (SELECT 1 FROM generations AS g"                          \
    "  WHERE g.space = spaces.number AND g.number >="                     \
    "   (SELECT max(i.number) FROM generations AS i"                      \
    "    WHERE i.install_seq > 0 OR i.number = 0))"                       \
    " OR (spaces.number = 0 AND NOT EXISTS"                               \
    "  (SELECT 1 FROM generations WHERE install_seq > 0)))"
_Static_assert(AK_VERSION_RETIRED == 4, "IN_USE says it by its number");

static enum ak_status expect_unused(struct ak_store *store, uint64_t number,
                                    struct ak_err *err)
{
    static const char select[] =
        "SELECT 1 FROM spaces WHERE number = ? AND " IN_USE;
    enum ak_status status;
    struct ak_sql q;
    bool used;

    ak_sql_start(&q, &store->db, select);
    ak_sql_u64(&q, number);
    status = ak_sql_next(&q, &used, err);
    if (status != AK_OK || !used)
        return status;
    ak_sql_end(&q);
    return ak_fail(err, AK_EINVAL, "space %llu is in use",
                   (unsigned long long)number);
}

enum ak_status ak_store_unused_space(struct ak_store *store, uint64_t *number,
                                     bool *found, struct ak_err *err)
{
    static const char select[] = "SELECT number FROM spaces WHERE NOT " IN_USE
                                 " ORDER BY number LIMIT 1";
    enum ak_status status;
    struct ak_sql q;

    ak_sql_start(&q, &store->db, select);
    status = ak_sql_next(&q, found, err);
    if (status != AK_OK || !*found)
        return status;
    *number = ak_sql_col_u64(&q, 0);
    ak_sql_end(&q);
    return AK_OK;
}

static enum ak_status drop_space(struct ak_store *store, uint64_t number,
                                 bool *more, struct ak_err *err)
{
    static const char delete_some[] =
        "DELETE FROM blocks WHERE rowid IN"
        " (SELECT rowid FROM blocks WHERE space = ? LIMIT ?)";
    static const char delete_space[] = "DELETE FROM spaces WHERE number = ?";
    enum ak_status status = expect_unused(store, number, err);
    struct ak_sql q;

    if (status != AK_OK)
        return status;
    ak_sql_start(&q, &store->db, delete_some);
    ak_sql_u64(&q, number);
    ak_sql_u64(&q, DROP_AT_ONCE);
    status = ak_sql_run(&q, err);
    if (status != AK_OK)
        return status;
    *more = sqlite3_changes(store->db.handle) == DROP_AT_ONCE;
    if (*more)
        return AK_OK;
    ak_sql_start(&q, &store->db, delete_space);
    ak_sql_u64(&q, number);
    return ak_sql_run(&q, err);
}

enum ak_status ak_store_drop_space(struct ak_store *store, uint64_t number,
                                   bool *more, struct ak_err *err)
{
    enum ak_status status = ak_store_enter(store, err);

    if (status != AK_OK)
        return status;
    return ak_store_leave(store, drop_space(store, number, more, err), err);
}

/* -------------------------------------------------------------------- erasing */

enum ak_status ak_store_erase_vector(struct ak_store *store, uint64_t ordinal,
                                     uint64_t *space, bool *more,
                                     struct ak_err *err)
{
    static const char select[] =
        "SELECT number, row_bytes, b.first, b.rowid, b.data"
        " FROM spaces JOIN blocks AS b ON b.rowid ="
        "  (SELECT rowid FROM blocks WHERE space = number AND first <= ?2"
        "   ORDER BY first DESC LIMIT 1)"
        " WHERE number >= ?1 AND b.first + b.n > ?2"
        " ORDER BY number LIMIT 1";
    static const char update[] =
        "UPDATE blocks SET crc = ?, data = ? WHERE rowid = ?";
    struct ak_bytes block = {0};
    size_t row_bytes, at;
    uint8_t *copy = NULL;
    enum ak_status status;
    uint64_t rowid;
    struct ak_sql q;

    ak_sql_start(&q, &store->db, select);
    ak_sql_u64(&q, *space);
    ak_sql_u64(&q, ordinal);
    status = ak_sql_next(&q, more, err);
    if (status != AK_OK || !*more)
        return status;
    *space = ak_sql_col_u64(&q, 0) + 1;
    row_bytes = (size_t)ak_sql_col_u64(&q, 1);
    at = (size_t)(ordinal - ak_sql_col_u64(&q, 2)) * row_bytes;
    rowid = ak_sql_col_u64(&q, 3);
    status = ak_sql_col_bytes(&q, 4, &block, err);
    if (status == AK_OK)
        status = ak_store_zeroed(store, block, at, row_bytes, &copy, err);
    ak_sql_end(&q);
    if (status == AK_OK) {
        ak_sql_start(&q, &store->db, update);
        ak_sql_i64(&q, ak_crc32(copy, block.len));
        ak_sql_blob(&q, copy, block.len);
        ak_sql_u64(&q, rowid);
        status = ak_sql_run(&q, err);
    }
    free(copy);
    return status;
}

/* -------------------------------------------------------------------- reading */

enum ak_status ak_view_spaces(struct ak_view *view, ak_view_each_space *each,
                              void *arg, struct ak_err *err)
{
    static const char select[] =
        "SELECT number, row_bytes FROM spaces ORDER BY number";
    enum ak_status status;
    struct ak_sql q;
    bool row;

    ak_sql_start(&q, &view->db, select);
    while ((status = ak_sql_next(&q, &row, err)) == AK_OK && row) {
        struct ak_space space = {
            .number = ak_sql_col_u64(&q, 0),
            .row_bytes = (uint32_t)ak_sql_col_u64(&q, 1),
        };

        status = each(arg, &space, err);
        if (status != AK_OK) {
            ak_sql_end(&q);
            return status == AK_ECANCELED ? AK_OK : status;
        }
    }
    return status;
}
