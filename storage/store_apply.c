/*
 * Changes: what a request does to records, rows and blocks.
 *
 * A row is found by its id through an index of the living ones.  Numbers that
 * grow need no look: whatever is above the greatest number ever given is new.
 * Two rows of one change with one id meet in that index too: the second finds
 * the first, whose ordinal tells its place.
 */
#include "storage/collection.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/digest.h"
#include "core/base/moment.h"
#include "storage/store_internal.h"

/* Of a block, unless one row is longer. */

/* --------------------------------------------------------------------- ids */

#define NUMBER_TEXT 20 /* digits of INT64_MAX, and the end */

/* The number that a text is the decimal text of, or -1. */
static int64_t text_number(const char *text, size_t len)
{
    int64_t value = 0;

    if (len == 0 || len >= NUMBER_TEXT || (text[0] == '0' && len > 1))
        return -1;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9' ||
            __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, text[i] - '0', &value))
            return -1;
    }
    return value;
}

static enum ak_status check_id(const struct ak_store *store,
                               const struct ak_row_id *id, struct ak_err *err)
{
    if (store->shape.string_ids) {
        if (id->len < 1 || id->len > AK_STORE_KEY_MAX)
            return ak_fail(err, AK_EINVAL,
                           "an id has %zu bytes, must have 1 to %d", id->len,
                           AK_STORE_KEY_MAX);
    } else if (id->number > AK_STORE_MAX_ID) {
        return ak_fail(err, AK_EINVAL, "an id is %llu, must be 0 to %lld",
                       (unsigned long long)id->number,
                       (long long)AK_STORE_MAX_ID);
    }
    return AK_OK;
}

static void bind_id(struct ak_sql *q, const struct ak_store *store,
                    const struct ak_row_id *id)
{
    if (store->shape.string_ids)
        ak_sql_text(q, id->text, id->len);
    else
        ak_sql_u64(q, id->number);
}

/* The ordinal of the living row with this id. */
static enum ak_status find_row(struct ak_store *store,
                               const struct ak_row_id *id, uint64_t *ordinal,
                               bool *found, struct ak_err *err)
{
    static const char select[] =
        "SELECT ordinal FROM rows WHERE id = ? AND dead IS NULL";
    enum ak_status status;
    struct ak_sql q;

    ak_sql_start(&q, &store->db, select);
    bind_id(&q, store, id);
    status = ak_sql_next(&q, found, err);
    if (status != AK_OK || !*found)
        return status;
    *ordinal = ak_sql_col_u64(&q, 0);
    ak_sql_end(&q);
    return AK_OK;
}

/* ------------------------------------------------------------------ labels */

static enum ak_status label_number(struct ak_store *store,
                                   const struct ak_bytes *name,
                                   uint32_t *number, struct ak_err *err)
{
    static const char select[] = "SELECT number FROM labels WHERE name = ?";
    static const char insert[] = "INSERT INTO labels VALUES (?, ?)";
    enum ak_status status;
    struct ak_sql q;
    bool row;

    ak_sql_start(&q, &store->db, select);
    ak_sql_text(&q, name->data, name->len);
    status = ak_sql_next(&q, &row, err);
    if (status != AK_OK)
        return status;
    if (row) {
        *number = (uint32_t)ak_sql_col_i64(&q, 0);
        ak_sql_end(&q);
        return AK_OK;
    }
    if (store->now.n_labels > UINT32_MAX)
        return ak_fail(err, AK_ELIMIT, "there are %llu labels, no more fit",
                       (unsigned long long)store->now.n_labels);
    ak_sql_start(&q, &store->db, insert);
    ak_sql_u64(&q, store->now.n_labels);
    ak_sql_text(&q, name->data, name->len);
    status = ak_sql_run(&q, err);
    if (status == AK_OK)
        *number = (uint32_t)store->now.n_labels++;
    return status;
}

/* Numbers of the names of one row, into `row_labels` and on to the record's. */
static enum ak_status number_labels(struct ak_store *store,
                                    const struct ak_bytes *names, size_t n,
                                    struct ak_err *err)
{
    size_t before = store->labels.len / sizeof(uint32_t);

    store->row_labels.len = 0;
    if (before + n > UINT32_MAX)
        return ak_fail(err, AK_ELIMIT, "a record has %zu labels, at most %lu",
                       before + n, (unsigned long)UINT32_MAX);
    for (size_t i = 0; i < n; i++) {
        uint32_t number = 0;
        enum ak_status status = label_number(store, &names[i], &number, err);

        if (status != AK_OK)
            return status;
        ak_write_u32(&store->row_labels, number);
        ak_write_u32(&store->labels, number);
    }
    ak_write_u32(&store->label_first, (uint32_t)(before + n));
    return AK_OK;
}

/* ----------------------------------------------------------------- records */

/* Empty, but with the memory of the last change; a shortage is forgotten. */
static void restart(struct ak_writer *w)
{
    w->len = 0;
    w->status = AK_OK;
}

static void start_body(struct ak_store *store)
{
    restart(&store->ordinals);
    restart(&store->label_first);
    restart(&store->labels);
    restart(&store->row_labels);
}

/* Append a record with the next seq, out of the parts that were gathered. */
static enum ak_status append_record(struct ak_store *store,
                                    const struct ak_change *change,
                                    uint64_t first_ordinal, uint64_t n,
                                    struct ak_err *err)
{
    static const char insert[] =
        "INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    struct ak_writer *body = &store->ordinals;
    uint64_t n_ordinals = body->len / sizeof(uint64_t);
    enum ak_status status;
    struct ak_sql q;

    ak_write_bytes(body, store->label_first.data, store->label_first.len);
    ak_write_bytes(body, store->labels.data, store->labels.len);
    if (body->status != AK_OK || store->label_first.status != AK_OK ||
        store->labels.status != AK_OK || store->row_labels.status != AK_OK)
        return ak_fail(err, AK_ENOMEM, "no memory for a record");
    ak_sql_start(&q, &store->db, insert);
    ak_sql_u64(&q, store->now.last_seq + 1);
    ak_sql_i64(&q, change->kind);
    ak_sql_i64(&q, change->now_ms);
    ak_sql_u64(&q, first_ordinal);
    ak_sql_u64(&q, n);
    ak_sql_u64(&q, n_ordinals);
    ak_sql_u64(&q, change->version);
    if (change->cause > 0)
        ak_sql_u64(&q, change->cause);
    else
        ak_sql_null(&q);
    if (body->len > 0) {
        ak_sql_i64(&q, ak_crc32(body->data, body->len));
        ak_sql_blob(&q, body->data, body->len);
    } else {
        ak_sql_null(&q);
        ak_sql_null(&q);
    }
    status = ak_sql_run(&q, err);
    if (status == AK_OK)
        store->now.last_seq++;
    return status;
}

/* -------------------------------------------------------------------- rows */

/* End a living row; `killed` says whether it was one. */
static enum ak_status kill_row(struct ak_store *store, uint64_t ordinal,
                               uint64_t seq, bool *killed, struct ak_err *err)
{
    static const char update[] =
        "UPDATE rows SET dead = ? WHERE ordinal = ? AND dead IS NULL";
    enum ak_status status;
    struct ak_sql q;

    ak_sql_start(&q, &store->db, update);
    ak_sql_u64(&q, seq);
    ak_sql_u64(&q, ordinal);
    status = ak_sql_run(&q, err);
    if (status != AK_OK)
        return status;
    *killed = sqlite3_changes(store->db.handle) > 0;
    if (*killed) {
        store->now.live_rows--;
        ak_write_u64(&store->ordinals, ordinal);
        status = ak_store_unpack(store, ordinal, err);
    }
    return status;
}

/* Make room for the given id of row `i` of the change that began at `first`. */
static enum ak_status take_id(struct ak_store *store,
                              const struct ak_row_id *id, size_t i,
                              uint64_t first, struct ak_err *err)
{
    enum ak_status status = check_id(store, id, err);
    uint64_t ordinal;
    int64_t number;
    bool found, killed;

    if (status != AK_OK) {
        ak_err_context(err, "row %zu", i);
        return status;
    }
    number = store->shape.string_ids ? text_number(id->text, id->len)
                                     : (int64_t)id->number;
    if (number > store->now.last_id) {
        store->now.last_id = number;
        return AK_OK;
    }
    status = find_row(store, id, &ordinal, &found, err);
    if (status != AK_OK || !found)
        return status;
    if (ordinal >= first)
        return store->shape.string_ids
                   ? ak_fail(err, AK_EINVAL, "rows %llu and %zu have one id",
                             (unsigned long long)(ordinal - first), i)
                   : ak_fail(err, AK_EINVAL,
                             "rows %llu and %zu have one id, %llu",
                             (unsigned long long)(ordinal - first), i,
                             (unsigned long long)id->number);
    return kill_row(store, ordinal, store->now.last_seq + 1, &killed, err);
}

/* The next number, as an id in `text` where ids are strings. */
static enum ak_status assign_id(struct ak_store *store, struct ak_row_id *id,
                                char text[NUMBER_TEXT], struct ak_err *err)
{
    if (store->now.last_id == INT64_MAX)
        return ak_fail(err, AK_ELIMIT,
                       "no id can be assigned: the greatest is %lld",
                       (long long)INT64_MAX);
    id->number = (uint64_t)++store->now.last_id;
    if (store->shape.string_ids) {
        sqlite3_snprintf(NUMBER_TEXT, text, "%lld",
                         (long long)store->now.last_id);
        id->text = text;
        id->len = strlen(text);
    }
    return AK_OK;
}

static enum ak_status insert_row(struct ak_store *store,
                                 const struct ak_row_id *id,
                                 const struct ak_bytes *payload,
                                 struct ak_err *err)
{
    static const char insert[] =
        "INSERT INTO rows VALUES (?, ?, ?, NULL, ?, ?)";
    enum ak_status status;
    struct ak_sql q;

    ak_sql_start(&q, &store->db, insert);
    ak_sql_u64(&q, store->now.next_ordinal);
    bind_id(&q, store, id);
    ak_sql_u64(&q, store->now.last_seq + 1);
    if (store->row_labels.len > 0)
        ak_sql_blob(&q, store->row_labels.data, store->row_labels.len);
    else
        ak_sql_null(&q);
    if (payload != NULL && payload->data != NULL)
        ak_sql_text(&q, payload->data, payload->len);
    else
        ak_sql_null(&q);
    status = ak_sql_run(&q, err);
    if (status == AK_OK) {
        store->now.next_ordinal++;
        store->now.live_rows++;
    }
    return status;
}

static enum ak_status insert_image(struct ak_store *store, uint64_t ordinal,
                                   const struct ak_bytes *image,
                                   struct ak_err *err)
{
    static const char insert[] = "INSERT INTO images VALUES (?, ?, ?)";
    struct ak_sql q;

    ak_sql_start(&q, &store->db, insert);
    ak_sql_u64(&q, ordinal);
    ak_sql_i64(&q, ak_crc32(image->data, image->len));
    ak_sql_blob(&q, image->data, image->len);
    return ak_sql_run(&q, err);
}

static enum ak_status apply_row(struct ak_store *store,
                                const struct ak_store_rows *rows, size_t i,
                                uint64_t first, uint64_t *number,
                                struct ak_err *err)
{
    const struct ak_bytes *image =
        rows->images != NULL ? &rows->images[i] : NULL;
    uint32_t from = rows->label_first != NULL ? rows->label_first[i] : 0;
    uint32_t to = rows->label_first != NULL ? rows->label_first[i + 1] : 0;
    struct ak_row_id id = {0};
    char text[NUMBER_TEXT];
    enum ak_status status;

    if (rows->ids != NULL) {
        id = rows->ids[i];
        status = take_id(store, &id, i, first, err);
    } else {
        status = assign_id(store, &id, text, err);
    }
    if (status != AK_OK)
        return status;
    *number = store->shape.string_ids && rows->ids != NULL ? 0 : id.number;
    status = number_labels(store, to > from ? rows->labels + from : NULL,
                           to - from, err);
    if (status == AK_OK)
        status =
            insert_row(store, &id,
                       rows->payloads != NULL ? &rows->payloads[i] : NULL, err);
    if (status != AK_OK || image == NULL || image->data == NULL)
        return status;
    store->now.labelled_images += to > from;
    return insert_image(store, first + i, image, err);
}

static enum ak_status apply_rows(struct ak_store *store,
                                 const struct ak_change *change,
                                 struct ak_receipt *receipt, struct ak_err *err)
{
    const struct ak_store_rows *rows = &change->rows;
    uint64_t first = store->now.next_ordinal, number = 0;
    enum ak_status status;

    /* Then it takes its number, and that is all. */
    if (rows->n == 0 && change->producer_seq > 0)
        return AK_OK;
    if (rows->n == 0)
        return ak_fail(err, AK_EINVAL,
                       "a batch has 0 rows, must have 1 or more");
    start_body(store);
    ak_write_u32(&store->label_first, 0);
    for (size_t i = 0; i < rows->n; i++) {
        status = apply_row(store, rows, i, first, &number, err);
        if (status != AK_OK)
            return status;
        if (i == 0)
            receipt->first_id = number;
    }
    status = ak_store_insert_blocks(store, &rows->space, first, rows->n,
                                    rows->block, err);
    if (status == AK_OK)
        status = append_record(store, change, first, rows->n, err);
    receipt->seq = store->now.last_seq;
    receipt->first_ordinal = first;
    receipt->accepted = rows->n;
    return status;
}

/* ----------------------------------------------------------- other changes */

static enum ak_status apply_delete(struct ak_store *store,
                                   const struct ak_change *change,
                                   struct ak_receipt *receipt,
                                   struct ak_err *err)
{
    uint64_t seq = store->now.last_seq + 1, ordinal = 0, missing = 0, n;
    uint64_t noted = 0;
    enum ak_status status;
    bool found, killed;

    start_body(store);
    for (size_t i = 0; i < change->n_ids; i++) {
        status = check_id(store, &change->ids[i], err);
        if (status == AK_OK)
            status = find_row(store, &change->ids[i], &ordinal, &found, err);
        if (status == AK_OK && found)
            status = kill_row(store, ordinal, seq, &killed, err);
        if (status == AK_OK && change->erase) {
            status = ak_store_note_erasure(store, &change->ids[i], &noted,
                                           &receipt->first_ordinal, err);
            receipt->erasing += noted;
        }
        if (status != AK_OK)
            return status;
        missing += !found;
    }
    for (size_t i = 0; i < change->n_ordinals; i++) {
        if (change->ordinals[i] >= store->now.next_ordinal)
            continue;
        status = kill_row(store, change->ordinals[i], seq, &killed, err);
        if (status != AK_OK)
            return status;
    }
    n = store->ordinals.len / sizeof(uint64_t);
    receipt->missing = missing;
    receipt->accepted = n;
    if (n == 0)
        return store->ordinals.status == AK_OK
                   ? AK_OK
                   : ak_fail(err, AK_ENOMEM, "no memory for a record");
    status = append_record(store, change, 0, n, err);
    receipt->seq = store->now.last_seq;
    return status;
}

static enum ak_status set_payload(struct ak_store *store, uint64_t ordinal,
                                  const struct ak_bytes *payload,
                                  struct ak_err *err)
{
    static const char update[] =
        "UPDATE rows SET payload = ? WHERE ordinal = ?";
    struct ak_sql q;

    ak_sql_start(&q, &store->db, update);
    if (payload->data != NULL)
        ak_sql_text(&q, payload->data, payload->len);
    else
        ak_sql_null(&q);
    ak_sql_u64(&q, ordinal);
    return ak_sql_run(&q, err);
}

/* A row that gets labels counts if it has an image. */
static enum ak_status count_labelled(struct ak_store *store, uint64_t ordinal,
                                     struct ak_err *err)
{
    static const char select[] = "SELECT 1 FROM images WHERE ordinal = ?";
    enum ak_status status;
    struct ak_sql q;
    bool found;

    if (store->row_labels.len == 0)
        return AK_OK;
    ak_sql_start(&q, &store->db, select);
    ak_sql_u64(&q, ordinal);
    status = ak_sql_next(&q, &found, err);
    if (status != AK_OK || !found)
        return status;
    ak_sql_end(&q);
    store->now.labelled_images++;
    return AK_OK;
}

static enum ak_status set_labels(struct ak_store *store,
                                 const struct ak_change *change,
                                 uint64_t ordinal, struct ak_err *err)
{
    static const char update[] = "UPDATE rows SET labels = ? WHERE ordinal = ?";
    enum ak_status status;
    struct ak_sql q;

    start_body(store);
    ak_write_u32(&store->label_first, 0);
    status = number_labels(store, change->labels, change->n_labels, err);
    if (status != AK_OK)
        return status;
    ak_sql_start(&q, &store->db, update);
    if (store->row_labels.len > 0)
        ak_sql_blob(&q, store->row_labels.data, store->row_labels.len);
    else
        ak_sql_null(&q);
    ak_sql_u64(&q, ordinal);
    status = ak_sql_run(&q, err);
    if (status == AK_OK)
        status = ak_store_unpack(store, ordinal, err);
    if (status == AK_OK)
        status = count_labelled(store, ordinal, err);
    if (status != AK_OK)
        return status;
    return append_record(store, change, ordinal, 1, err);
}

static enum ak_status apply_relabel(struct ak_store *store,
                                    const struct ak_change *change,
                                    struct ak_receipt *receipt,
                                    struct ak_err *err)
{
    uint64_t ordinal = 0;
    enum ak_status status;
    bool found;

    if (change->n_ids != 1)
        return ak_fail(err, AK_EINVAL, "a relabel has %zu ids, must have 1",
                       change->n_ids);
    status = check_id(store, change->ids, err);
    if (status == AK_OK)
        status = find_row(store, change->ids, &ordinal, &found, err);
    if (status != AK_OK)
        return status;
    if (!found)
        return ak_fail(err, AK_ENOTFOUND, "there is no row with this id");
    if (change->set_payload)
        status = set_payload(store, ordinal, &change->payload, err);
    if (status == AK_OK && change->set_labels) {
        status = set_labels(store, change, ordinal, err);
        receipt->seq = store->now.last_seq;
    }
    receipt->first_ordinal = ordinal;
    receipt->first_id = store->shape.string_ids ? 0 : change->ids->number;
    receipt->accepted = 1;
    return status;
}

static enum ak_status apply_rollback(struct ak_store *store,
                                     const struct ak_change *change,
                                     struct ak_receipt *receipt,
                                     struct ak_err *err)
{
    enum ak_version_state state;
    enum ak_status status =
        ak_store_version_state(store, change->version, &state, err);

    if (status != AK_OK)
        return status;
    if (state == AK_VERSION_ENCODING)
        return ak_fail(err, AK_ENOTFOUND, "version %llu was not published yet",
                       (unsigned long long)change->version);
    start_body(store);
    status = append_record(store, change, 0, 0, err);
    if (status != AK_OK)
        return status;
    receipt->seq = store->now.last_seq;
    store->now.last_rollback_seq = receipt->seq;
    ak_moment(AK_AT_ROLLBACK);
    return AK_OK;
}

enum ak_status ak_store_append(struct ak_store *store,
                               const struct ak_change *change, uint64_t *seq,
                               struct ak_err *err)
{
    enum ak_status status;

    start_body(store);
    status = append_record(store, change, 0, 0, err);
    *seq = store->now.last_seq;
    return status;
}

enum ak_status ak_store_set_config(struct ak_store *store,
                                   const struct ak_bytes *config,
                                   struct ak_err *err)
{
    static const char update[] = "UPDATE config SET text = ?";
    struct ak_sql q;

    ak_sql_start(&q, &store->db, update);
    ak_sql_text(&q, config->data, config->len);
    return ak_sql_run(&q, err);
}

/*
 * The record that makes this one unnecessary: of the same cause, or any of its
 * kind that has come after the cause.
 */
static enum ak_status find_cause(struct ak_store *store,
                                 const struct ak_change *change, uint64_t *seq,
                                 bool *found, struct ak_err *err)
{
    static const char same[] =
        "SELECT seq FROM records WHERE kind = ? AND cause = ?";
    static const char later[] =
        "SELECT seq FROM records WHERE kind = ? AND seq > ? LIMIT 1";
    enum ak_status status = AK_OK;

    *found = false;
    for (int i = 0; i < 2 && status == AK_OK && !*found; i++) {
        struct ak_sql q;

        ak_sql_start(&q, &store->db, i == 0 ? same : later);
        ak_sql_i64(&q, change->kind);
        ak_sql_u64(&q, change->cause);
        status = ak_sql_next(&q, found, err);
        if (status == AK_OK && *found) {
            *seq = ak_sql_col_u64(&q, 0);
            ak_sql_end(&q);
        }
    }
    return status;
}

static enum ak_status apply_kind(struct ak_store *store,
                                 const struct ak_change *change,
                                 struct ak_receipt *receipt, struct ak_err *err)
{
    enum ak_status status;

    switch ((int)change->kind) {
    case 0:
        return AK_OK;
    case AK_RECORD_BATCH:
    case AK_RECORD_UPSERT:
        return apply_rows(store, change, receipt, err);
    case AK_RECORD_DELETE:
        return apply_delete(store, change, receipt, err);
    case AK_RECORD_RELABEL:
        return apply_relabel(store, change, receipt, err);
    case AK_RECORD_ROLLBACK:
        return apply_rollback(store, change, receipt, err);
    case AK_RECORD_FLUSH:
    case AK_RECORD_PUBLISH:
    case AK_RECORD_INSTALL:
        start_body(store);
        status = append_record(store, change, 0, 0, err);
        receipt->seq = store->now.last_seq;
        return status;
    default:
        return ak_fail(err, AK_EINVAL, "a change of kind %d", change->kind);
    }
}

static enum ak_status apply(struct ak_store *store,
                            const struct ak_change *change,
                            struct ak_receipt *receipt, struct ak_err *err)
{
    enum ak_status status = ak_store_key_find(store, change, receipt, err);
    bool found = false;

    if (status != AK_OK || receipt->replayed)
        return status;
    if (change->cause > 0)
        status = find_cause(store, change, &receipt->seq, &found, err);
    if (status == AK_OK && !found) {
        status = apply_kind(store, change, receipt, err);
        if (status == AK_OK && change->config.data != NULL)
            status = ak_store_set_config(store, &change->config, err);
    }
    if (status != AK_OK)
        return status;
    return ak_store_key_put(store, change, receipt, err);
}

enum ak_status ak_store_apply(struct ak_store *store,
                              const struct ak_change *change,
                              struct ak_receipt *receipt, struct ak_err *err)
{
    struct ak_receipt filled = {0};
    uint64_t labelled = store->now.labelled_images;
    enum ak_status status = ak_store_enter(store, err);

    if (status != AK_OK)
        return status;
    status = ak_store_leave(store, apply(store, change, &filled, err), err);
    filled.labelled_images = store->now.labelled_images - labelled;
    if (status == AK_OK)
        *receipt = filled;
    else if (status == AK_ESEQUENCE)
        receipt->expected = filled.expected;
    return status;
}
