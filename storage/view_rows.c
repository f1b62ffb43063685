/* Reading records, blocks and rows. */
#include "storage/collection.h"

#include <string.h>

#include "core/base/digest.h"
#include "storage/view_internal.h"

/* ----------------------------------------------------------------- records */

static bool has_labels(int64_t kind)
{
    return kind == AK_RECORD_BATCH || kind == AK_RECORD_UPSERT ||
           kind == AK_RECORD_RELABEL;
}

/* Take the body apart into what the record lends. */
static enum ak_status read_body(struct ak_view *view, const uint8_t *body,
                                size_t len, struct ak_record *record,
                                struct ak_err *err)
{
    struct ak_reader r;
    const uint8_t *span;
    size_t n_numbers = 0;

    ak_reader_init(&r, body, len);
    if (record->n_ordinals > len / sizeof(uint64_t) || record->n > len ||
        (record->kind == AK_RECORD_DELETE && record->n != record->n_ordinals))
        goto corrupt;
    span = ak_read_span(&r, (size_t)record->n_ordinals * sizeof(uint64_t));
    record->ordinals = (const void *)span;
    if (has_labels(record->kind)) {
        span = ak_read_span(&r, (size_t)(record->n + 1) * sizeof(uint32_t));
        if (span == NULL)
            goto corrupt;
        record->label_first = (const void *)span;
        for (size_t i = 0; i < record->n; i++)
            if (record->label_first[i] > record->label_first[i + 1])
                goto corrupt;
        if (record->label_first[0] != 0)
            goto corrupt;
        n_numbers = record->label_first[record->n];
        span = ak_read_span(&r, n_numbers * sizeof(uint32_t));
        record->labels = (const void *)span;
    }
    if (ak_reader_finish(&r) == AK_OK)
        return AK_OK;
corrupt:
    return ak_fail(err, AK_ECORRUPT,
                   "%s: the body of record %llu, %zu bytes, does not fit its "
                   "%llu rows and %llu ordinals",
                   view->db.name, (unsigned long long)record->seq, len,
                   (unsigned long long)record->n,
                   (unsigned long long)record->n_ordinals);
}

static enum ak_status read_record(struct ak_view *view, const struct ak_sql *q,
                                  struct ak_record *out, struct ak_err *err)
{
    struct ak_record record = {
        .seq = ak_sql_col_u64(q, 0),
        .kind = (enum ak_record_kind)ak_sql_col_i64(q, 1),
        .time_ms = ak_sql_col_i64(q, 2),
        .first_ordinal = ak_sql_col_u64(q, 3),
        .n = ak_sql_col_u64(q, 4),
        .n_ordinals = ak_sql_col_u64(q, 5),
        .version = ak_sql_col_u64(q, 6),
        .cause = ak_sql_col_u64(q, 7), /* NULL is 0 */
    };
    enum ak_status status;
    size_t at, len;

    if (record.kind < AK_RECORD_BATCH || record.kind > AK_RECORD_INSTALL)
        return ak_fail(err, AK_ECORRUPT, "%s: record %llu is of kind %d",
                       view->db.name, (unsigned long long)record.seq,
                       (int)record.kind);
    ak_view_restart(&view->record);
    status = ak_view_copy(&view->record, q, 9, &at, &len, err);
    if (status != AK_OK)
        return status;
    if (at != SIZE_MAX) {
        status = ak_view_check_crc(view, "the body of record", record.seq,
                                   view->record.data + at, len,
                                   ak_sql_col_i64(q, 8), err);
        if (status == AK_OK)
            status = read_body(view, view->record.data + at, len, &record, err);
        if (status != AK_OK)
            return status;
    } else if (has_labels(record.kind) || record.n_ordinals > 0) {
        return ak_fail(err, AK_ECORRUPT, "%s: record %llu has no body",
                       view->db.name, (unsigned long long)record.seq);
    }
    *out = record;
    return AK_OK;
}

enum ak_status ak_view_record(struct ak_view *view, uint64_t seq,
                              struct ak_record *out, struct ak_err *err)
{
    static const char select[] =
        "SELECT seq, kind, time_ms, first_ordinal, n, n_ordinals, version,"
        " cause, crc, body FROM records WHERE seq > ? ORDER BY seq LIMIT 1";
    enum ak_status status;
    struct ak_sql q;
    bool row = false;

    if (seq <= INT64_MAX) {
        ak_sql_start(&q, &view->db, select);
        ak_sql_u64(&q, seq);
        status = ak_sql_next(&q, &row, err);
        if (status != AK_OK)
            return status;
    }
    if (!row)
        return ak_fail(err, AK_ENOTFOUND, "there is no record after %llu",
                       (unsigned long long)seq);
    status = read_record(view, &q, out, err);
    ak_sql_end(&q);
    return status;
}

/* ------------------------------------------------------------------ blocks */

struct block {
    uint64_t first, n;
    struct ak_bytes data;
};

/* AK_ENOTFOUND unless there is such a row. */
static enum ak_status expect_row(struct ak_view *view, uint64_t ordinal,
                                 struct ak_err *err)
{
    static const char select[] = "SELECT next_ordinal FROM state";
    enum ak_status status;
    struct ak_sql q;
    uint64_t next;

    ak_sql_start(&q, &view->db, select);
    status = ak_sql_numbers(&q, 1, &next, err);
    if (status != AK_OK || ordinal < next)
        return status;
    return ak_fail(err, AK_ENOTFOUND, "there is no row %llu: there are %llu",
                   (unsigned long long)ordinal, (unsigned long long)next);
}

/* Step to the block that holds row `ordinal`; end the statement when done.
   *found is false when the row is in none. */
static enum ak_status find_block(struct ak_view *view,
                                 const struct ak_space *space, uint64_t ordinal,
                                 struct ak_sql *q, struct block *block,
                                 bool *found, struct ak_err *err)
{
    static const char select[] =
        "SELECT first, n, crc, data FROM blocks WHERE space = ? AND first <= ?"
        " ORDER BY first DESC LIMIT 1";
    enum ak_status status;
    uint64_t len;
    bool row;

    ak_sql_start(q, &view->db, select);
    ak_sql_u64(q, space->number);
    ak_sql_u64(q, ordinal);
    status = ak_sql_next(q, &row, err);
    if (status != AK_OK)
        return status;
    if (row) {
        block->first = ak_sql_col_u64(q, 0);
        block->n = ak_sql_col_u64(q, 1);
    }
    *found = row && ordinal - block->first < block->n;
    if (!*found) {
        if (row)
            ak_sql_end(q);
        return expect_row(view, ordinal, err);
    }
    status = ak_sql_col_bytes(q, 3, &block->data, err);
    if (status == AK_OK &&
        (__builtin_mul_overflow(block->n, space->row_bytes, &len) ||
         len != block->data.len))
        status = ak_fail(err, AK_ECORRUPT,
                         "%s: block %llu has %zu bytes, must be %llu rows of "
                         "%lu",
                         view->db.name, (unsigned long long)block->first,
                         block->data.len, (unsigned long long)block->n,
                         (unsigned long)space->row_bytes);
    if (status == AK_OK)
        status =
            ak_view_check_crc(view, "block", block->first, block->data.data,
                              block->data.len, ak_sql_col_i64(q, 2), err);
    if (status != AK_OK)
        ak_sql_end(q);
    return status;
}

/*
 * Read rows from `first`, at most n, as far as one block goes; `got` says how
 * many that are, 0 when the row has no vector there.  A block that is wanted whole goes straight to `out`; of
 * another the rest is likely to be asked for next, and it is kept.
 */
static enum ak_status read_piece(struct ak_view *view,
                                 const struct ak_space *space, uint64_t first,
                                 size_t n, uint8_t *out, size_t *got,
                                 struct ak_err *err)
{
    uint32_t row_bytes = space->row_bytes;
    enum ak_status status;
    struct block block;
    struct ak_sql q;
    uint64_t left;
    bool found;

    *got = 0;
    if (space->number != view->block_space || first < view->block_first ||
        first - view->block_first >= view->block_n) {
        status = find_block(view, space, first, &q, &block, &found, err);
        if (status != AK_OK || !found)
            return status;
        if (first == block.first && n >= block.n) {
            memcpy(out, block.data.data, block.data.len);
            *got = (size_t)block.n;
            ak_sql_end(&q);
            return AK_OK;
        }
        view->block_n = 0;
        ak_view_restart(&view->block);
        ak_write_bytes(&view->block, block.data.data, block.data.len);
        ak_sql_end(&q);
        if (view->block.status != AK_OK)
            return ak_fail(err, AK_ENOMEM, "no memory for a block of %zu bytes",
                           block.data.len);
        view->block_space = space->number;
        view->block_first = block.first;
        view->block_n = block.n;
    }
    left = view->block_first + view->block_n - first;
    *got = left < n ? (size_t)left : n;
    memcpy(out, view->block.data + (first - view->block_first) * row_bytes,
           *got * row_bytes);
    return AK_OK;
}

enum ak_status ak_view_vectors(struct ak_view *view,
                               const struct ak_space *space, uint64_t first,
                               size_t n, void *out, size_t *got,
                               struct ak_err *err)
{
    uint8_t *at = out;
    enum ak_status status;
    size_t piece = 1, all = 0;
    bool entered;

    if (first > INT64_MAX || n > INT64_MAX - first)
        return ak_fail(err, AK_ENOTFOUND, "there are no rows from %llu",
                       (unsigned long long)first);
    status = ak_view_enter(view, &entered, err);
    if (status != AK_OK)
        return status;
    while (all < n && status == AK_OK && piece > 0) {
        status = read_piece(view, space, first + all, n - all,
                            at + all * space->row_bytes, &piece, err);
        if (status == AK_OK)
            all += piece;
    }
    ak_view_leave(view, entered);
    if (status == AK_OK)
        *got = all;
    return status;
}

void ak_view_set_fill(struct ak_view *view, ak_view_fill *fill, void *arg)
{
    view->fill = fill;
    view->fill_arg = arg;
}

/* A row that has no vector in the space. */
static enum ak_status fill_row(struct ak_view *view,
                               const struct ak_space *space, uint64_t ordinal,
                               void *out, struct ak_err *err)
{
    struct ak_bytes image = {NULL, 0};
    enum ak_status status;

    if (view->fill == NULL)
        return ak_fail(err, AK_ECORRUPT, "%s: row %llu is in no block",
                       view->db.name, (unsigned long long)ordinal);
    status = ak_view_image(view, ordinal, &image, err);
    if (status != AK_OK && status != AK_ENOTFOUND)
        return status;
    return view->fill(view->fill_arg, space, image, out, err);
}

enum ak_status ak_view_block(struct ak_view *view, const struct ak_space *space,
                             uint64_t first, size_t n, void *out,
                             struct ak_err *err)
{
    uint8_t *at = out;
    enum ak_status status;
    size_t got = 0;

    while ((status = ak_view_vectors(view, space, first, n, at, &got, err)) ==
               AK_OK &&
           got < n) {
        first += got;
        n -= got;
        at += got * space->row_bytes;
        status = fill_row(view, space, first, at, err);
        if (status != AK_OK)
            break;
        first++;
        n--;
        at += space->row_bytes;
    }
    return status;
}

/* -------------------------------------------------------------------- rows */

#define ROW_COLUMNS "ordinal, id, seq, dead, labels, payload"

static enum ak_status read_row(struct ak_view *view, const struct ak_sql *q,
                               struct ak_row *out, struct ak_err *err)
{
    size_t id = SIZE_MAX, id_len, labels, labels_len, payload, payload_len;
    int type = sqlite3_column_type(q->statement, 1);
    struct ak_writer *lent = &view->lent;
    enum ak_status status = AK_OK;
    struct ak_row row = {
        .ordinal = ak_sql_col_u64(q, 0),
        .seq = ak_sql_col_u64(q, 2),
        .dead = ak_sql_col_u64(q, 3), /* NULL is 0 */
    };

    if (type != (view->shape.string_ids ? SQLITE_TEXT : SQLITE_INTEGER))
        return ak_fail(err, AK_ECORRUPT, "%s: the id of row %llu is no %s",
                       view->db.name, (unsigned long long)row.ordinal,
                       view->shape.string_ids ? "text" : "number");
    ak_view_restart(lent);
    if (type == SQLITE_TEXT)
        status = ak_view_copy(lent, q, 1, &id, &id_len, err);
    else
        row.id.number = ak_sql_col_u64(q, 1);
    if (status == AK_OK)
        status = ak_view_copy(lent, q, 4, &labels, &labels_len, err);
    if (status == AK_OK)
        status = ak_view_copy(lent, q, 5, &payload, &payload_len, err);
    if (status != AK_OK)
        return status;
    /* Only now does the buffer stay where it is. */
    if (id != SIZE_MAX) {
        row.id.text = (const char *)lent->data + id;
        row.id.len = id_len;
    }
    if (labels != SIZE_MAX) {
        row.labels = (const void *)(lent->data + labels);
        row.n_labels = labels_len / sizeof(uint32_t);
    }
    if (payload != SIZE_MAX) {
        row.payload.data = lent->data + payload;
        row.payload.len = payload_len;
    }
    *out = row;
    return AK_OK;
}

enum ak_status ak_view_find(struct ak_view *view, const struct ak_row_id *id,
                            struct ak_row *out, struct ak_err *err)
{
    static const char select[] =
        "SELECT " ROW_COLUMNS " FROM rows WHERE id = ? AND dead IS NULL";
    enum ak_status status;
    struct ak_sql q;
    bool row = false;

    if (view->shape.string_ids || id->number <= AK_STORE_MAX_ID) {
        ak_sql_start(&q, &view->db, select);
        if (view->shape.string_ids)
            ak_sql_text(&q, id->text, id->len);
        else
            ak_sql_u64(&q, id->number);
        status = ak_sql_next(&q, &row, err);
        if (status != AK_OK)
            return status;
    }
    if (!row)
        return ak_fail(err, AK_ENOTFOUND, "there is no row with this id");
    status = read_row(view, &q, out, err);
    ak_sql_end(&q);
    return status;
}

enum ak_status ak_view_rows(struct ak_view *view, uint64_t ordinal,
                            ak_view_each_row *each, void *arg,
                            struct ak_err *err)
{
    static const char select[] =
        "SELECT " ROW_COLUMNS " FROM rows WHERE ordinal >= ? ORDER BY ordinal";
    enum ak_status status;
    struct ak_row row;
    struct ak_sql q;
    bool more;

    if (ordinal > INT64_MAX)
        return AK_OK;
    ak_sql_start(&q, &view->db, select);
    ak_sql_u64(&q, ordinal);
    while ((status = ak_sql_next(&q, &more, err)) == AK_OK && more) {
        status = read_row(view, &q, &row, err);
        if (status == AK_OK)
            status = each(arg, &row, err);
        if (status != AK_OK) {
            ak_sql_end(&q);
            return status == AK_ECANCELED ? AK_OK : status;
        }
    }
    return status;
}
