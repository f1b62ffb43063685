/* The reader's side of a collection's file: its life, and single values. */
#include "storage/collection.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/digest.h"
#include "storage/sqlite_schema_internal.h"
#include "storage/view_internal.h"

#define KEPT_BYTES 65536 /* of each buffer, by one that rests */

/* -------------------------------------------------------------------- life */

static enum ak_status read_shape(struct ak_view *view, struct ak_err *err)
{
    static const char select[] =
        "SELECT string_ids, row_bytes, code_bytes FROM shape";
    static const char get_page_size[] = "PRAGMA page_size";
    enum ak_status status;
    struct ak_sql q;
    bool row;

    ak_sql_start(&q, &view->db, select);
    status = ak_sql_next(&q, &row, err);
    if (status != AK_OK)
        return status;
    if (!row)
        return ak_fail(err, AK_ECORRUPT, "%s: its shape is missing",
                       view->db.name);
    view->shape.string_ids = ak_sql_col_i64(&q, 0) != 0;
    view->shape.row_bytes = (uint32_t)ak_sql_col_i64(&q, 1);
    view->shape.code_bytes = (uint32_t)ak_sql_col_i64(&q, 2);
    ak_sql_end(&q);
    if (view->shape.row_bytes == 0 || view->shape.code_bytes == 0)
        return ak_fail(err, AK_ECORRUPT,
                       "%s: rows of %lu bytes and codes of %lu", view->db.name,
                       (unsigned long)view->shape.row_bytes,
                       (unsigned long)view->shape.code_bytes);
    ak_sql_start(&q, &view->db, get_page_size);
    status = ak_sql_next(&q, &row, err);
    if (status != AK_OK || !row)
        return status;
    view->page_bytes = (uint32_t)ak_sql_col_i64(&q, 0);
    ak_sql_end(&q);
    return AK_OK;
}

static enum ak_status open_view(const char *path, enum ak_db_mode mode,
                                struct ak_view **out, struct ak_err *err)
{
    struct ak_view *view = calloc(1, sizeof(*view));
    enum ak_status status;

    if (view == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for a view");
    status = ak_db_open(&view->db, path, mode, err);
    if (status != AK_OK) {
        free(view);
        return status;
    }
    status = ak_schema_check(&view->db, &ak_schema_collection, false, err);
    if (status == AK_OK)
        status = read_shape(view, err);
    if (status != AK_OK) {
        ak_db_close(&view->db);
        free(view);
        return status;
    }
    *out = view;
    return AK_OK;
}

enum ak_status ak_view_open(const char *path, struct ak_view **out,
                            struct ak_err *err)
{
    return open_view(path, AK_DB_READ, out, err);
}

enum ak_status ak_view_open_copy(const char *path, struct ak_view **out,
                                 struct ak_err *err)
{
    return open_view(path, AK_DB_COPY, out, err);
}

void ak_view_close(struct ak_view *view)
{
    if (view == NULL)
        return;
    ak_view_release(view);
    ak_db_close(&view->db);
    ak_writer_clear(&view->lent);
    ak_writer_clear(&view->record);
    ak_writer_clear(&view->block);
    free(view);
}

size_t ak_view_bytes(const struct ak_view *view)
{
    return sizeof(*view) + view->lent.cap + view->record.cap + view->block.cap;
}

static void trim(struct ak_writer *w)
{
    if (w->cap > KEPT_BYTES)
        ak_writer_clear(w);
}

void ak_view_trim(struct ak_view *view)
{
    trim(&view->lent);
    trim(&view->record);
    if (view->block.cap > KEPT_BYTES)
        view->block_n = 0;
    trim(&view->block);
}

enum ak_status ak_view_hold(struct ak_view *view, struct ak_err *err)
{
    static const char begin[] = "BEGIN";
    enum ak_status status;
    struct ak_sql q;

    assert(!view->held);
    ak_sql_start(&q, &view->db, begin);
    status = ak_sql_run(&q, err);
    view->held = status == AK_OK;
    return status;
}

void ak_view_release(struct ak_view *view)
{
    static const char rollback[] = "ROLLBACK";

    if (!view->held)
        return;
    view->held = false;
    if (!sqlite3_get_autocommit(view->db.handle)) {
        enum ak_status status;
        struct ak_sql q;

        /* Nothing was written, so nothing can be lost. */
        ak_sql_start(&q, &view->db, rollback);
        status = ak_sql_run(&q, NULL);
        (void)status;
    }
}

enum ak_status ak_view_enter(struct ak_view *view, bool *entered,
                             struct ak_err *err)
{
    *entered = !view->held;
    return view->held ? AK_OK : ak_view_hold(view, err);
}

void ak_view_leave(struct ak_view *view, bool entered)
{
    if (entered)
        ak_view_release(view);
}

/* ----------------------------------------------------------------- lending */

void ak_view_restart(struct ak_writer *w)
{
    w->len = 0;
    w->status = AK_OK;
}

enum ak_status ak_view_copy(struct ak_writer *w, const struct ak_sql *q,
                            int column, size_t *at, size_t *len,
                            struct ak_err *err)
{
    static const uint8_t zeros[8];
    struct ak_bytes bytes;
    enum ak_status status = ak_sql_col_bytes(q, column, &bytes, err);

    if (status != AK_OK)
        return status;
    *len = bytes.len;
    *at = SIZE_MAX;
    if (bytes.data == NULL)
        return AK_OK;
    ak_write_bytes(w, zeros, -w->len & 7);
    *at = w->len;
    ak_write_bytes(w, bytes.data, bytes.len);
    /* An empty value needs an address too. */
    ak_write_bytes(w, zeros, 1);
    return w->status == AK_OK
               ? AK_OK
               : ak_fail(err, AK_ENOMEM, "no memory for %zu bytes", bytes.len);
}

enum ak_status ak_view_check_crc(const struct ak_view *view, const char *what,
                                 uint64_t number, const void *data, size_t len,
                                 int64_t crc, struct ak_err *err)
{
    uint32_t found = ak_crc32(data, len);

    if (found == crc)
        return AK_OK;
    return ak_fail(err, AK_ECORRUPT,
                   "%s: %s %llu has checksum %08x, must be %08llx",
                   view->db.name, what, (unsigned long long)number,
                   (unsigned)found, (unsigned long long)crc);
}

/*
 * The one row of a statement whose column 0 is lent, checked against the
 * checksum in column 1 if it has one.
 */
static enum ak_status lend(struct ak_view *view, struct ak_sql *q,
                           const char *what, uint64_t number, bool has_crc,
                           struct ak_bytes *out, struct ak_err *err)
{
    enum ak_status status;
    size_t at, len;
    bool row;

    ak_view_restart(&view->lent);
    status = ak_sql_next(q, &row, err);
    if (status != AK_OK)
        return status;
    if (!row)
        return ak_fail(err, AK_ENOTFOUND, "there is no %s %llu", what,
                       (unsigned long long)number);
    status = ak_view_copy(&view->lent, q, 0, &at, &len, err);
    if (status == AK_OK && at == SIZE_MAX)
        status = ak_fail(err, AK_ECORRUPT, "%s: %s %llu is NULL", view->db.name,
                         what, (unsigned long long)number);
    if (status == AK_OK && has_crc)
        status = ak_view_check_crc(view, what, number, view->lent.data + at,
                                   len, ak_sql_col_i64(q, 1), err);
    if (status == AK_OK) {
        out->data = view->lent.data + at;
        out->len = len;
    }
    ak_sql_end(q);
    return status;
}

/* ------------------------------------------------------------------ values */

static enum ak_status read_info(struct ak_view *view, struct ak_store_info *out,
                                struct ak_err *err)
{
    static const char select[] =
        "SELECT last_seq, next_ordinal, live_rows, n_labels, published,"
        " last_rollback_seq, labelled_images FROM state";
    static const char get_pages[] = "PRAGMA page_count";
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
    out->last_seq = ak_sql_col_u64(&q, 0);
    out->next_ordinal = ak_sql_col_u64(&q, 1);
    out->live_rows = ak_sql_col_u64(&q, 2);
    out->n_labels = ak_sql_col_u64(&q, 3);
    out->published = ak_sql_col_u64(&q, 4);
    out->last_rollback_seq = ak_sql_col_u64(&q, 5);
    out->labelled_images = ak_sql_col_u64(&q, 6);
    ak_sql_end(&q);
    ak_sql_start(&q, &view->db, get_pages);
    status = ak_sql_next(&q, &row, err);
    if (status != AK_OK || !row)
        return status;
    out->covered_bytes = ak_sql_col_u64(&q, 0) * view->page_bytes;
    ak_sql_end(&q);
    return AK_OK;
}

enum ak_status ak_view_info(struct ak_view *view, struct ak_store_info *out,
                            struct ak_err *err)
{
    struct ak_store_info info = {.shape = view->shape};
    enum ak_status status;
    bool entered;

    status = ak_view_enter(view, &entered, err);
    if (status != AK_OK)
        return status;
    status = read_info(view, &info, err);
    ak_view_leave(view, entered);
    if (status == AK_OK)
        *out = info;
    return status;
}

enum ak_status ak_view_config(struct ak_view *view, struct ak_bytes *config,
                              struct ak_err *err)
{
    static const char select[] = "SELECT text FROM config";
    struct ak_sql q;

    ak_sql_start(&q, &view->db, select);
    return lend(view, &q, "configuration", 1, false, config, err);
}

enum ak_status ak_view_finetune(struct ak_view *view, struct ak_bytes *state,
                                struct ak_err *err)
{
    static const char select[] = "SELECT data, crc FROM finetune";
    struct ak_sql q;

    ak_sql_start(&q, &view->db, select);
    return lend(view, &q, "state of a fine-tuning", 1, true, state, err);
}

enum ak_status ak_view_image(struct ak_view *view, uint64_t ordinal,
                             struct ak_bytes *out, struct ak_err *err)
{
    static const char select[] =
        "SELECT data, crc FROM images WHERE ordinal = ?";
    struct ak_sql q;

    if (ordinal > INT64_MAX)
        return ak_fail(err, AK_ENOTFOUND, "there is no image %llu",
                       (unsigned long long)ordinal);
    ak_sql_start(&q, &view->db, select);
    ak_sql_u64(&q, ordinal);
    return lend(view, &q, "image", ordinal, true, out, err);
}

enum ak_status ak_view_label(struct ak_view *view, uint32_t number,
                             struct ak_bytes *name, struct ak_err *err)
{
    static const char select[] = "SELECT name FROM labels WHERE number = ?";
    struct ak_sql q;

    ak_sql_start(&q, &view->db, select);
    ak_sql_u64(&q, number);
    return lend(view, &q, "label", number, false, name, err);
}

enum ak_status ak_view_label_number(struct ak_view *view, struct ak_bytes name,
                                    uint32_t *number, struct ak_err *err)
{
    static const char select[] = "SELECT number FROM labels WHERE name = ?";
    enum ak_status status;
    struct ak_sql q;
    bool row;

    ak_sql_start(&q, &view->db, select);
    ak_sql_text(&q, name.data, name.len);
    status = ak_sql_next(&q, &row, err);
    if (status != AK_OK)
        return status;
    if (!row)
        return ak_fail(err, AK_ENOTFOUND, "there is no such label");
    *number = (uint32_t)ak_sql_col_i64(&q, 0);
    ak_sql_end(&q);
    return AK_OK;
}

enum ak_status ak_view_outcome(struct ak_view *view, uint64_t seq,
                               struct ak_bytes *outcome, struct ak_err *err)
{
    static const char select[] = "SELECT text FROM outcomes WHERE seq = ?";
    struct ak_sql q;

    if (seq > INT64_MAX)
        return ak_fail(err, AK_ENOTFOUND, "there is no outcome %llu",
                       (unsigned long long)seq);
    ak_sql_start(&q, &view->db, select);
    ak_sql_u64(&q, seq);
    return lend(view, &q, "outcome", seq, false, outcome, err);
}

enum ak_status ak_view_model(struct ak_view *view, uint64_t version,
                             struct ak_bytes *model, struct ak_err *err)
{
    static const char select[] =
        "SELECT data, crc FROM models WHERE version = ?";
    struct ak_sql q;

    if (version > INT64_MAX)
        return ak_fail(err, AK_ENOTFOUND, "there is no model %llu",
                       (unsigned long long)version);
    ak_sql_start(&q, &view->db, select);
    ak_sql_u64(&q, version);
    return lend(view, &q, "model", version, true, model, err);
}

/* -------------------------------------------------------------- checkpoint */

static enum ak_status read_checkpoint(struct ak_view *view, struct ak_sql *q,
                                      struct ak_checkpoint *out,
                                      struct ak_err *err)
{
    size_t text, text_len, state, state_len, constants, constants_len;
    struct ak_writer *lent = &view->lent;
    enum ak_status status;

    status = ak_view_copy(lent, q, 1, &text, &text_len, err);
    if (status == AK_OK)
        status = ak_view_copy(lent, q, 2, &state, &state_len, err);
    if (status == AK_OK)
        status = ak_view_copy(lent, q, 4, &constants, &constants_len, err);
    if (status != AK_OK)
        return status;
    if (text == SIZE_MAX || state == SIZE_MAX ||
        text_len >= sizeof(out->fingerprint))
        return ak_fail(err, AK_ECORRUPT, "%s: the checkpoint is incomplete",
                       view->db.name);
    status = ak_view_check_crc(view, "state at", ak_sql_col_u64(q, 0),
                               lent->data + state, state_len,
                               ak_sql_col_i64(q, 3), err);
    if (status == AK_OK && constants != SIZE_MAX)
        status = ak_view_check_crc(view, "constants at", ak_sql_col_u64(q, 0),
                                   lent->data + constants, constants_len,
                                   ak_sql_col_i64(q, 5), err);
    if (status != AK_OK)
        return status;
    memset(out, 0, sizeof(*out));
    out->learned_seq = ak_sql_col_u64(q, 0);
    memcpy(out->fingerprint, lent->data + text, text_len);
    out->state.data = lent->data + state;
    out->state.len = state_len;
    if (constants != SIZE_MAX) {
        out->constants.data = lent->data + constants;
        out->constants.len = constants_len;
    }
    return AK_OK;
}

enum ak_status ak_view_checkpoint(struct ak_view *view,
                                  struct ak_checkpoint *out, struct ak_err *err)
{
    static const char select[] =
        "SELECT learned_seq, fingerprint, state, checkpoint.crc,"
        " data, constants.crc"
        " FROM checkpoint LEFT JOIN constants USING (one)";
    enum ak_status status;
    struct ak_sql q;
    bool row;

    ak_view_restart(&view->lent);
    ak_sql_start(&q, &view->db, select);
    status = ak_sql_next(&q, &row, err);
    if (status != AK_OK)
        return status;
    if (!row)
        return ak_fail(err, AK_ENOTFOUND, "there is no checkpoint");
    status = read_checkpoint(view, &q, out, err);
    ak_sql_end(&q);
    return status;
}

/* ---------------------------------------------------------------- versions */

enum ak_status ak_view_versions(struct ak_view *view,
                                ak_view_each_version *each, void *arg,
                                struct ak_err *err)
{
    static const char select[] =
        "SELECT version, state, at_seq, samples, created_ms, served_quality,"
        " model_len, space FROM versions ORDER BY version";
    enum ak_status status;
    struct ak_sql q;
    bool row;

    ak_sql_start(&q, &view->db, select);
    while ((status = ak_sql_next(&q, &row, err)) == AK_OK && row) {
        struct ak_version version = {
            .version = ak_sql_col_u64(&q, 0),
            .state = (enum ak_version_state)ak_sql_col_i64(&q, 1),
            .at_seq = ak_sql_col_u64(&q, 2),
            .samples = ak_sql_col_u64(&q, 3),
            .created_ms = ak_sql_col_i64(&q, 4),
            .served_quality = ak_sql_col_f64(&q, 5),
            .model_len = ak_sql_col_u64(&q, 6),
            .space = ak_sql_col_u64(&q, 7),
        };

        status = each(arg, &version, err);
        if (status != AK_OK) {
            ak_sql_end(&q);
            return status == AK_ECANCELED ? AK_OK : status;
        }
    }
    return status;
}

enum ak_status ak_view_codes(struct ak_view *view, uint64_t version,
                             uint64_t segment, void *out, struct ak_err *err)
{
    static const char select[] =
        "SELECT data, crc FROM codes WHERE version = ? AND segment = ?";
    size_t len = (size_t)AK_STORE_SEGMENT_ROWS * view->shape.code_bytes;
    enum ak_status status;
    struct ak_bytes codes;
    struct ak_sql q;
    bool row = false;

    if (version <= INT64_MAX && segment <= INT64_MAX) {
        ak_sql_start(&q, &view->db, select);
        ak_sql_u64(&q, version);
        ak_sql_u64(&q, segment);
        status = ak_sql_next(&q, &row, err);
        if (status != AK_OK)
            return status;
    }
    if (!row)
        return ak_fail(err, AK_ENOTFOUND,
                       "there are no codes of segment %llu by version %llu",
                       (unsigned long long)segment,
                       (unsigned long long)version);
    status = ak_sql_col_bytes(&q, 0, &codes, err);
    if (status == AK_OK && codes.len != len)
        status =
            ak_fail(err, AK_ECORRUPT,
                    "%s: codes of segment %llu have %zu bytes, must be "
                    "%zu",
                    view->db.name, (unsigned long long)segment, codes.len, len);
    if (status == AK_OK)
        status =
            ak_view_check_crc(view, "codes of segment", segment, codes.data,
                              codes.len, ak_sql_col_i64(&q, 1), err);
    if (status == AK_OK)
        memcpy(out, codes.data, len);
    ak_sql_end(&q);
    return status;
}
