/*
 * Erasure: rows that are not only ended but made unreadable.
 *
 * A request notes every row that ever had the id.  When nobody needs what they
 * held any more, their vectors become zeroes, their codes too, and payload,
 * labels and image go.  What is needed is needed by a replay: so a checkpoint of
 * the learner must lie behind the records that ended them, and no generation
 * may be in the making whose rows they are, nor one that a replay would take up.
 *
 * The id stays, with its end, as does the number of each row.
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/digest.h"
#include "core/base/moment.h"
#include "storage/store_internal.h"
#include "storage/view_internal.h"

#define AT_ONCE 64 /* rows in one transaction */

enum ak_status ak_store_note_erasure(struct ak_store *store,
                                     const struct ak_row_id *id, uint64_t *n,
                                     uint64_t *first, struct ak_err *err)
{
    static const char note[] = "INSERT OR IGNORE INTO erasures"
                               " SELECT ordinal, dead, 0 FROM rows"
                               " WHERE id = ? AND dead IS NOT NULL";
    static const char find[] =
        "SELECT min(ordinal) FROM erasures JOIN rows USING (ordinal)"
        " WHERE id = ?";
    enum ak_status status;
    struct ak_sql q;

    ak_sql_start(&q, &store->db, note);
    if (store->shape.string_ids)
        ak_sql_text(&q, id->text, id->len);
    else
        ak_sql_u64(&q, id->number);
    status = ak_sql_run(&q, err);
    if (status != AK_OK)
        return status;
    *n = (uint64_t)sqlite3_changes(store->db.handle);
    ak_sql_start(&q, &store->db, find);
    if (store->shape.string_ids)
        ak_sql_text(&q, id->text, id->len);
    else
        ak_sql_u64(&q, id->number);
    return ak_sql_numbers(&q, 1, first, err);
}

enum ak_status ak_store_zeroed(const struct ak_store *store,
                               struct ak_bytes blob, size_t at, size_t len,
                               uint8_t **copy, struct ak_err *err)
{
    *copy = NULL;
    if (at + len > blob.len)
        return ak_fail(err, AK_ECORRUPT,
                       "%s: %zu bytes at %zu shall be erased of %zu",
                       store->db.name, len, at, blob.len);
    *copy = malloc(blob.len);
    if (*copy == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory to erase a row");
    memcpy(*copy, blob.data, blob.len);
    memset(*copy + at, 0, len);
    return AK_OK;
}

/* The codes of a row by one version; *version is moved to the next that has
   some, *more false at the end. */
static enum ak_status erase_code(struct ak_store *store, uint64_t ordinal,
                                 uint64_t *version, bool *more,
                                 struct ak_err *err)
{
    static const char select[] =
        "SELECT version, data FROM codes WHERE segment = ? AND version >= ?"
        " ORDER BY version LIMIT 1";
    static const char update[] = "UPDATE codes SET crc = ?, data = ?"
                                 " WHERE version = ? AND segment = ?";
    uint64_t segment = ordinal / AK_STORE_SEGMENT_ROWS;
    size_t code_bytes = store->shape.code_bytes;
    size_t at = (size_t)(ordinal % AK_STORE_SEGMENT_ROWS) * code_bytes;
    struct ak_bytes codes = {0};
    uint8_t *copy = NULL;
    enum ak_status status;
    struct ak_sql q;

    ak_sql_start(&q, &store->db, select);
    ak_sql_u64(&q, segment);
    ak_sql_u64(&q, *version);
    status = ak_sql_next(&q, more, err);
    if (status != AK_OK || !*more)
        return status;
    *version = ak_sql_col_u64(&q, 0);
    status = ak_sql_col_bytes(&q, 1, &codes, err);
    if (status == AK_OK)
        status = ak_store_zeroed(store, codes, at, code_bytes, &copy, err);
    ak_sql_end(&q);
    if (status == AK_OK) {
        ak_sql_start(&q, &store->db, update);
        ak_sql_i64(&q, ak_crc32(copy, codes.len));
        ak_sql_blob(&q, copy, codes.len);
        ak_sql_u64(&q, (*version)++);
        ak_sql_u64(&q, segment);
        status = ak_sql_run(&q, err);
    }
    free(copy);
    return status;
}

static enum ak_status erase_row(struct ak_store *store, uint64_t ordinal,
                                struct ak_err *err)
{
    static const char *const sql[] = {
        "DELETE FROM images WHERE ordinal = ?",
        "UPDATE rows SET payload = NULL, labels = NULL WHERE ordinal = ?",
        "UPDATE erasures SET done = 1 WHERE ordinal = ?",
    };
    uint64_t space = 0, version = 0;
    bool more = true;
    enum ak_status status = AK_OK;

    while (status == AK_OK && more)
        status = ak_store_erase_vector(store, ordinal, &space, &more, err);
    more = true;
    while (status == AK_OK && more)
        status = erase_code(store, ordinal, &version, &more, err);
    for (size_t i = 0; i < 3 && status == AK_OK; i++) {
        struct ak_sql q;

        ak_sql_start(&q, &store->db, sql[i]);
        ak_sql_u64(&q, ordinal);
        status = ak_sql_run(&q, err);
    }
    return status;
}

static enum ak_status erase(struct ak_store *store, uint64_t seq, uint64_t *n,
                            struct ak_err *err)
{
    static const char select[] =
        "SELECT ordinal FROM erasures AS e WHERE done = 0 AND seq <= ?"
        " AND NOT EXISTS (SELECT 1 FROM generations WHERE number > 0"
        "  AND (state IS NOT NULL OR (install_seq = 0 AND base_seq < e.seq)))"
        " ORDER BY ordinal LIMIT ?";
    uint64_t ordinals[AT_ONCE];
    enum ak_status status;
    struct ak_sql q;
    bool row;

    *n = 0;
    ak_sql_start(&q, &store->db, select);
    ak_sql_u64(&q, seq < INT64_MAX ? seq : INT64_MAX);
    ak_sql_u64(&q, AT_ONCE);
    while ((status = ak_sql_next(&q, &row, err)) == AK_OK && row)
        ordinals[(*n)++] = ak_sql_col_u64(&q, 0);
    for (uint64_t i = 0; i < *n && status == AK_OK; i++)
        status = erase_row(store, ordinals[i], err);
    return status;
}

enum ak_status ak_store_erase(struct ak_store *store, uint64_t seq, uint64_t *n,
                              struct ak_err *err)
{
    enum ak_status status = ak_store_enter(store, err);

    if (status != AK_OK)
        return status;
    status = ak_store_leave(store, erase(store, seq, n, err), err);
    if (status == AK_OK && *n > 0)
        ak_moment(AK_AT_ERASE);
    return status;
}

enum ak_status ak_view_erasures(struct ak_view *view, uint64_t *pending,
                                struct ak_err *err)
{
    static const char select[] = "SELECT count(*) FROM erasures WHERE done = 0";
    struct ak_sql q;

    ak_sql_start(&q, &view->db, select);
    return ak_sql_numbers(&q, 1, pending, err);
}
