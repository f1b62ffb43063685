/* Packed rows: reading them, and making them of the rows. */
#include "storage/collection.h"

#include <stdlib.h>

#include "storage/packed_internal.h"
#include "storage/view_internal.h"

enum ak_status ak_view_packed(struct ak_view *view, uint64_t segment,
                              struct ak_packed *out, struct ak_err *err)
{
    static const char select[] =
        "SELECT data, crc FROM packed WHERE segment = ?";
    enum ak_status status;
    size_t at, len;
    struct ak_sql q;
    bool row = false;

    if (segment <= INT64_MAX) {
        ak_sql_start(&q, &view->db, select);
        ak_sql_u64(&q, segment);
        status = ak_sql_next(&q, &row, err);
        if (status != AK_OK)
            return status;
    }
    if (!row)
        return ak_fail(err, AK_ENOTFOUND, "segment %llu is not packed",
                       (unsigned long long)segment);
    ak_view_restart(&view->lent);
    status = ak_view_copy(&view->lent, &q, 0, &at, &len, err);
    if (status == AK_OK && at == SIZE_MAX)
        status = ak_fail(err, AK_ECORRUPT, "%s: packed segment %llu is NULL",
                         view->db.name, (unsigned long long)segment);
    if (status == AK_OK)
        status = ak_view_check_crc(view, "packed segment", segment,
                                   view->lent.data + at, len,
                                   ak_sql_col_i64(&q, 1), err);
    ak_sql_end(&q);
    if (status != AK_OK)
        return status;
    status = ak_packed_read(view->lent.data + at, len, view->shape.string_ids,
                            out, err);
    if (status != AK_OK)
        ak_err_context(err, "%s: segment %llu", view->db.name,
                       (unsigned long long)segment);
    return status;
}

/* ----------------------------------------------------------------- packing */

static enum ak_status add_row(struct ak_view *view, const struct ak_sql *q,
                              uint64_t ordinal, struct ak_packing *p,
                              struct ak_err *err)
{
    bool texts = view->shape.string_ids;
    int type = sqlite3_column_type(q->statement, 1);
    struct ak_bytes text = {0}, labels;
    struct ak_row_id id = {0};
    enum ak_status status = AK_OK;

    if (ak_sql_col_u64(q, 0) != ordinal)
        return ak_fail(err, AK_ECORRUPT, "%s: row %llu is missing",
                       view->db.name, (unsigned long long)ordinal);
    if (type != (texts ? SQLITE_TEXT : SQLITE_INTEGER))
        return ak_fail(err, AK_ECORRUPT, "%s: the id of row %llu is no %s",
                       view->db.name, (unsigned long long)ordinal,
                       texts ? "text" : "number");
    if (texts)
        status = ak_sql_col_bytes(q, 1, &text, err);
    else
        id.number = ak_sql_col_u64(q, 1);
    if (status == AK_OK)
        status = ak_sql_col_bytes(q, 3, &labels, err);
    if (status != AK_OK)
        return status;
    id.text = text.data;
    id.len = text.len;
    ak_packing_add(p, &id, !ak_sql_col_null(q, 2), labels.data,
                   labels.len / sizeof(uint32_t));
    return AK_OK;
}

/* In a state of the file that is held. */
static enum ak_status pack(struct ak_view *view, uint64_t segment,
                           struct ak_packing *p, struct ak_err *err)
{
    static const char select[] = "SELECT ordinal, id, dead, labels FROM rows"
                                 " WHERE ordinal >= ? ORDER BY ordinal LIMIT ?";
    uint64_t first = segment * AK_STORE_SEGMENT_ROWS;
    enum ak_status status;
    struct ak_sql q;
    bool row;

    ak_sql_start(&q, &view->db, select);
    ak_sql_u64(&q, first);
    ak_sql_u64(&q, AK_STORE_SEGMENT_ROWS);
    while ((status = ak_sql_next(&q, &row, err)) == AK_OK && row) {
        status = add_row(view, &q, first + p->n, p, err);
        if (status != AK_OK) {
            ak_sql_end(&q);
            return status;
        }
    }
    if (status == AK_OK && p->n < AK_STORE_SEGMENT_ROWS)
        status = ak_fail(
            err, AK_ENOTFOUND, "segment %llu has %zu rows, must have %d",
            (unsigned long long)segment, p->n, AK_STORE_SEGMENT_ROWS);
    return status;
}

static enum ak_status last_seq(struct ak_view *view, uint64_t *seq,
                               struct ak_err *err)
{
    static const char select[] = "SELECT last_seq FROM state";
    enum ak_status status;
    struct ak_sql q;
    bool row;

    ak_sql_start(&q, &view->db, select);
    status = ak_sql_next(&q, &row, err);
    if (status != AK_OK)
        return status;
    if (!row)
        return ak_fail(err, AK_ECORRUPT, "%s: its counters are missing",
                       view->db.name);
    *seq = ak_sql_col_u64(&q, 0);
    ak_sql_end(&q);
    return AK_OK;
}

enum ak_status ak_view_pack(struct ak_view *view, uint64_t segment,
                            struct ak_bytes *packed, uint64_t *seq,
                            struct ak_err *err)
{
    struct ak_packing *p;
    enum ak_status status;
    bool entered;

    if (segment > INT64_MAX / AK_STORE_SEGMENT_ROWS - 1)
        return ak_fail(err, AK_ENOTFOUND, "there is no segment %llu",
                       (unsigned long long)segment);
    p = calloc(1, sizeof(*p));
    if (p == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory to pack rows");
    status = ak_view_enter(view, &entered, err);
    if (status == AK_OK) {
        status = last_seq(view, seq, err);
        if (status == AK_OK)
            status = pack(view, segment, p, err);
        ak_view_leave(view, entered);
    }
    if (status == AK_OK) {
        ak_view_restart(&view->lent);
        status = ak_packing_write(p, view->shape.string_ids, &view->lent, err);
    }
    if (status == AK_OK) {
        packed->data = view->lent.data;
        packed->len = view->lent.len;
    }
    ak_packing_clear(p);
    free(p);
    return status;
}

enum ak_status ak_view_count_blocks(struct ak_view *view, uint64_t segment,
                                    uint64_t *n, struct ak_err *err)
{
    /* The one that the first row lies in, and those that begin behind it. */
    static const char select[] = "SELECT 1 + count(*) FROM blocks"
                                 " WHERE space = 0 AND first > ? AND first < ?";
    uint64_t first = segment * AK_STORE_SEGMENT_ROWS;
    struct ak_sql q;

    ak_sql_start(&q, &view->db, select);
    ak_sql_u64(&q, first);
    ak_sql_u64(&q, first + AK_STORE_SEGMENT_ROWS);
    return ak_sql_numbers(&q, 1, n, err);
}
