/* routes_items.c -- single items: upsert, list, show, change, delete. */
#include "server/routes.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/hash/hash.h"
#include "core/image/encode.h"
#include "core/image/resize.h"
#include "server/body_rows.h"
#include "server/cursor.h"
#include "server/decoder.h"
#include "server/id_json.h"
#include "server/ingest.h"
#include "server/item_json.h"
#include "server/limits.h"
#include "server/op.h"
#include "server/pointer.h"

#define DEFAULT_LIMIT 100
#define THUMB_SIDE    128
/* Rows that one page looks at when few of them have the label. */
#define MAX_WALK 65536

#define ACCEPTED (AK_BODY_JSON | AK_BODY_MULTIPART | AK_BODY_NPY)

/* Called after the headers, and again with the whole body. */
static void put_items(struct ak_request *rq)
{
    if (ak_request_complete(rq))
        ak_ingest(rq, AK_RECORD_UPSERT, ACCEPTED);
    else
        (void)ak_ingest_headers(rq, ACCEPTED);
}

/* Answer with what was looked up and end the look-up; `o` is stolen. */
static void reply_looked_up(struct ak_op *op, struct ak_lookup *l,
                            enum ak_status status, json_t *o,
                            const struct ak_err *err)
{
    ak_op_headers(op, ak_snapshot_version(l->snapshot), l->visible_seq);
    ak_lookup_clear(l);
    if (status != AK_OK)
        ak_op_fail(op, status, err);
    else
        ak_reply_json(op->rq, 200, o);
}

/* -------------------------------------------------------------------- listing */

struct listing {
    uint64_t limit;
    unsigned with;
    uint64_t scope;      /* of its cursors */
    uint64_t from;       /* ordinal */
    const char *label;   /* NULL: all */
    uint32_t number;     /* of the label */
    struct ak_row *rows; /* (limit) copies */
    size_t n, walked;
    uint64_t next; /* where the next page begins */
    bool more;
    struct ak_arena *arena;
};

static bool has_label(const struct ak_row *row, uint32_t number)
{
    for (size_t i = 0; i < row->n_labels; i++)
        if (row->labels[i] == number)
            return true;
    return false;
}

static enum ak_status list_row(void *arg, const struct ak_row *row,
                               struct ak_err *err)
{
    struct listing *list = arg;
    bool wanted =
        row->dead == 0 && (list->label == NULL || has_label(row, list->number));

    list->next = row->ordinal;
    /* One row more than is shown tells whether there is another page; a page
       that found something need not look at all rows for the rest of it. */
    if ((wanted && list->n == list->limit) ||
        (list->n > 0 && list->walked >= MAX_WALK)) {
        list->more = true;
        return AK_ECANCELED;
    }
    list->walked++;
    if (!wanted)
        return AK_OK;
    return ak_item_copy(row, list->arena, &list->rows[list->n++], err);
}

static enum ak_status walk_rows(struct ak_lookup *l, struct listing *list,
                                struct ak_err *err)
{
    struct ak_bytes name = {list->label,
                            list->label != NULL ? strlen(list->label) : 0};
    struct ak_view *view;
    enum ak_status status = ak_lookup_view(l, &view, err);

    if (status == AK_OK && list->label != NULL) {
        status = ak_view_label_number(view, name, &list->number, err);
        if (status == AK_ENOTFOUND)
            return AK_OK; /* no item has it */
    }
    if (status == AK_OK)
        status = ak_view_rows(view, list->from, list_row, list, err);
    return status;
}

static json_t *items_json(struct ak_lookup *l, struct listing *list,
                          struct ak_err *err)
{
    struct ak_cursor cursor = {
        .kind = AK_CURSOR_ITEMS, .scope = list->scope, .ordinal = list->next};
    char text[AK_CURSOR_TEXT];
    const char *next = list->more ? ak_cursor_write(&cursor, text) : NULL;
    json_t *items, *item;

    /* Without it the list would seem to end here. */
    if (list->more && next == NULL)
        return NULL;
    items = json_array();

    for (size_t i = 0; i < list->n && items != NULL; i++) {
        if (ak_item_json(l, &list->rows[i], list->with, &item, err) != AK_OK ||
            json_array_append_new(items, item) != 0) {
            json_decref(items);
            return NULL;
        }
    }
    return json_pack("{s:o, s:s?}", "items", items, "next_cursor", next);
}

static void list_items(struct ak_op *op)
{
    struct listing *list = op->arg;
    struct ak_err err = {0};
    struct ak_lookup l;
    json_t *o = NULL;
    enum ak_status status;

    ak_lookup_init(&l, op->c, &op->settings);
    status = walk_rows(&l, list, &err);
    if (status == AK_OK) {
        o = items_json(&l, list, &err);
        if (o == NULL)
            status = err.status != AK_OK ? err.status : AK_ENOMEM;
    }
    reply_looked_up(op, &l, status, o, &err);
}

static void get_items(struct ak_request *rq)
{
    static const char *const names[] = {"cursor", "limit", "label", "with"};
    struct ak_op *op = ak_op_begin(rq, AK_OP_READS, names, AK_COUNT(names));
    const char *text = ak_request_query(rq, "cursor");
    struct ak_cursor cursor = {0};
    struct listing *list;

    if (op == NULL)
        return;
    list = ak_arena_array(&op->arena, 1, sizeof(*list));
    if (list == NULL) {
        ak_op_fail(op, AK_ENOMEM, NULL);
        return;
    }
    op->arg = list;
    list->arena = &op->arena;
    list->label = ak_request_query(rq, "label");
    list->scope = ak_cursor_scope(
        (const char *const[]){op->settings.name, list->label}, 2);
    if (!ak_op_query_number(op, "limit", 1, ak_limits()->max_limit,
                            DEFAULT_LIMIT, &list->limit))
        return;
    if (!ak_item_parse_with(ak_request_query(rq, "with"), &list->with)) {
        ak_op_fault(op, "/with", "unsupported-option",
                    "must be of: vector, code, payload, labels");
        return;
    }
    if (text != NULL && (!ak_cursor_read(text, AK_CURSOR_ITEMS, &cursor) ||
                         cursor.scope != list->scope)) {
        ak_reply_problem(rq, "invalid-cursor",
                         "the cursor is not one of this list of items");
        return;
    }
    list->from = cursor.ordinal;
    list->rows = ak_arena_array(&op->arena, list->limit, sizeof(*list->rows));
    if (list->rows == NULL)
        ak_op_fail(op, AK_ENOMEM, NULL);
    else
        ak_op_run(op, list_items);
}

/* ------------------------------------------------------------------- one item */

struct shown {
    struct ak_row_id id;
    unsigned with;
    bool thumb;
};

/* Begin a route with {id}; NULL: it was answered. */
static struct shown *begin_item(struct ak_request *rq, struct ak_op **op,
                                const char *name)
{
    struct shown *shown;

    *op = ak_op_begin(rq, AK_OP_READS, &name, 1);
    if (*op == NULL)
        return NULL;
    shown = ak_arena_array(&(*op)->arena, 1, sizeof(*shown));
    if (shown == NULL)
        ak_op_fail(*op, AK_ENOMEM, NULL);
    else if (!ak_op_path_id(*op, &shown->id))
        shown = NULL;
    (*op)->arg = shown;
    return shown;
}

static enum ak_status find_row(struct ak_op *op, struct ak_lookup *l,
                               struct ak_row *out, struct ak_err *err)
{
    struct shown *shown = op->arg;
    struct ak_view *view;
    struct ak_row row;
    enum ak_status status = ak_lookup_view(l, &view, err);

    if (status == AK_OK)
        status = ak_view_find(view, &shown->id, &row, err);
    if (status == AK_OK)
        status = ak_item_copy(&row, &op->arena, out, err);
    if (status == AK_ENOTFOUND)
        return ak_fail(err, status, "there is no such item");
    return status;
}

static void show_item(struct ak_op *op)
{
    struct shown *shown = op->arg;
    struct ak_err err = {0};
    struct ak_lookup l;
    struct ak_row row;
    json_t *o = NULL;
    enum ak_status status;

    ak_lookup_init(&l, op->c, &op->settings);
    status = find_row(op, &l, &row, &err);
    if (status == AK_OK)
        status = ak_item_json(&l, &row, shown->with, &o, &err);
    reply_looked_up(op, &l, status, o, &err);
}

static void get_item(struct ak_request *rq)
{
    struct ak_op *op;
    struct shown *shown = begin_item(rq, &op, "with");

    if (shown == NULL)
        return;
    if (ak_item_parse_with(ak_request_query(rq, "with"), &shown->with))
        ak_op_run(op, show_item);
    else
        ak_op_fault(op, "/with", "unsupported-option",
                    "must be of: vector, code, payload, labels");
}

/* ------------------------------------------------------------------ its image */

/*
 * The whole image, no side longer than THUMB_SIDE, as PNG.  `slug` is what the
 * answer is when the image, which was decoded when it came, cannot be now.
 */
static enum ak_status make_thumb(struct ak_bytes file, struct ak_writer *w,
                                 const char **slug, struct ak_err *err)
{
    struct ak_image image = {0}, small = {0};
    uint32_t side, width, height;
    enum ak_status status = ak_decoder_decode(file.data, file.len, THUMB_SIDE,
                                              THUMB_SIDE, &image, err);

    if (status != AK_OK && status != AK_ENOMEM)
        *slug = status == AK_EBUSY    ? "decoder-unavailable"
                : status == AK_ELIMIT ? "image-too-large"
                                      : "image-undecodable";
    if (status != AK_OK)
        return status;
    side = image.width > image.height ? image.width : image.height;
    width = image.width;
    height = image.height;
    if (side > THUMB_SIDE) {
        width = (uint32_t)((uint64_t)width * THUMB_SIDE / side);
        height = (uint32_t)((uint64_t)height * THUMB_SIDE / side);
    }
    status = ak_image_resize(&image, width > 0 ? width : 1,
                             height > 0 ? height : 1, &small, err);
    if (status == AK_OK)
        status = ak_image_encode_png(&small, w, err);
    ak_image_clear(&small);
    ak_image_clear(&image);
    return status;
}

static const char *image_type(const uint8_t *bytes, size_t len)
{
    return len > 1 && bytes[0] == 0xff && bytes[1] == 0xd8 ? "image/jpeg"
                                                           : "image/png";
}

static void show_image(struct ak_op *op)
{
    struct shown *shown = op->arg;
    const char *slug = NULL;
    struct ak_err err = {0};
    struct ak_writer w = {0};
    struct ak_bytes file;
    struct ak_view *view;
    struct ak_lookup l;
    struct ak_row row;
    enum ak_status status;

    ak_lookup_init(&l, op->c, &op->settings);
    status = find_row(op, &l, &row, &err);
    if (status == AK_OK)
        status = ak_lookup_view(&l, &view, &err);
    if (status == AK_OK) {
        status = ak_view_image(view, row.ordinal, &file, &err);
        if (status == AK_ENOTFOUND)
            ak_fail(&err, status, "the item has no stored image");
    }
    if (status == AK_OK && shown->thumb)
        status = make_thumb(file, &w, &slug, &err);
    else if (status == AK_OK)
        ak_write_bytes(&w, file.data, file.len);
    ak_lookup_clear(&l);
    if (status == AK_OK && w.status != AK_OK)
        status = w.status;
    if (status == AK_OK) {
        ak_reply_bytes(op->rq, 200, image_type(w.data, w.len), w.data, w.len);
        return;
    }
    ak_writer_clear(&w);
    if (slug != NULL)
        ak_reply_problem(op->rq, slug, "%s", err.text);
    else
        ak_op_fail(op, status, &err);
}

static void get_image(struct ak_request *rq)
{
    const char *size = ak_request_query(rq, "size");
    struct ak_op *op;
    struct shown *shown = begin_item(rq, &op, "size");

    if (shown == NULL)
        return;
    shown->thumb = size != NULL;
    if (size == NULL || strcmp(size, "thumb") == 0)
        ak_op_run(op, show_image);
    else
        ak_op_fault(op, "/size", "unsupported-option", "must be thumb");
}

/* ------------------------------------------------------------- change, delete */

static void answer_patch(struct ak_op *op)
{
    struct ak_collection_status now;
    json_t *o = ak_op_receipt_json(op);

    ak_collection_status(op->c, &now);
    ak_op_headers(op, now.published,
                  op->receipt.seq != 0 ? op->receipt.seq : now.durable_seq);
    ak_reply_json(op->rq, op->status, o);
}

/* Key and fingerprint of a request with a body that was read already. */
static bool take_key(struct ak_op *op, const char *path)
{
    struct ak_change *change = &op->submission.change;
    struct ak_op_key key;
    struct ak_err err = {0};
    enum ak_status status;
    size_t len;
    uint8_t *body = ak_request_body(op->rq, &len);
    char whole[256];
    const char *id = ak_request_param(op->rq, "id");

    if (!ak_op_read_key(op, &key))
        return false;
    change->key = key.key;
    change->producer_seq = key.producer_seq;
    if (key.key.data == NULL)
        return true;
    snprintf(whole, sizeof(whole), "%s %s", path, id != NULL ? id : "");
    status = ak_op_fingerprint(op, whole, body, len, change->fingerprint, &err);
    if (status != AK_OK)
        ak_op_fail(op, status, &err);
    return status == AK_OK;
}

static bool patch_fields(struct ak_op *op)
{
    static const char *const known[] = {"labels", "payload"};
    struct ak_faults *faults = &op->rows.faults;
    const char *key;
    json_t *value;

    json_object_foreach(op->json.root, key, value)
    {
        char at[128] = "";

        if (strcmp(key, known[0]) == 0 || strcmp(key, known[1]) == 0)
            continue;
        ak_pointer_add(at, sizeof(at), key);
        ak_faults_add(faults, at, "unknown-field",
                      "no such field; labels and payload can change");
    }
    if (ak_faults_none(faults) && json_object_size(op->json.root) == 0)
        ak_faults_add(faults, "", "validation-failed",
                      "must have labels, payload or both");
    return ak_faults_none(faults);
}

static void patch_item(struct ak_request *rq)
{
    struct ak_op *op = ak_op_begin(rq, AK_OP_WRITES, NULL, 0);
    struct ak_change *change;
    struct ak_row_id *id;

    if (op == NULL)
        return;
    change = &op->submission.change;
    id = ak_arena_array(&op->arena, 1, sizeof(*id));
    if (id == NULL) {
        ak_op_fail(op, AK_ENOMEM, NULL);
        return;
    }
    /* The key stands for the body as it came: reading changes it. */
    if (!ak_op_path_id(op, id) || !take_key(op, "PATCH items") ||
        !ak_op_read_json(op))
        return;
    ak_rows_init(&op->rows, &op->settings, ak_op_extractors(op), 0);
    if (patch_fields(op))
        ak_rows_read_patch(&op->rows, op->json.root, change);
    if (op->rows.status != AK_OK) {
        ak_op_fail(op, op->rows.status, NULL);
        return;
    }
    if (!ak_faults_none(&op->rows.faults)) {
        ak_faults_reply(rq, &op->rows.faults);
        return;
    }
    change->kind = AK_RECORD_RELABEL;
    change->ids = id;
    change->n_ids = 1;
    ak_op_submit(op, ak_rows_bytes(&op->rows), answer_patch);
}

static void answer_delete(struct ak_op *op)
{
    struct ak_collection_status now;

    ak_collection_status(op->c, &now);
    ak_op_headers(op, now.published,
                  op->receipt.seq != 0 ? op->receipt.seq : now.durable_seq);
    if (op->receipt.accepted == 0)
        ak_reply_problem(op->rq, "not-found", "there is no such item");
    else if (op->status == 200)
        ak_reply_empty(op->rq, 204);
    else
        ak_reply_json(op->rq, op->status, ak_op_receipt_json(op));
}

/* Versions that were frozen after the row had come, and so may have learnt from
   it. */
struct influence {
    uint64_t seq; /* the record that brought it */
    json_t *versions;
};

static enum ak_status add_influenced(void *arg, const struct ak_version *v,
                                     struct ak_err *err)
{
    struct influence *i = arg;

    if (v->at_seq < i->seq || v->samples == 0)
        return AK_OK;
    return json_array_append_new(i->versions,
                                 json_integer((json_int_t)v->version)) == 0
               ? AK_OK
               : ak_fail(err, AK_ENOMEM, "no memory for a list of versions");
}

static enum ak_status first_row(void *arg, const struct ak_row *row,
                                struct ak_err *err)
{
    struct influence *i = arg;

    (void)err;
    i->seq = row->seq;
    return AK_ECANCELED;
}

/* What an erasure does not reach; on the pool. */
static void answer_erase(struct ak_op *op)
{
    const struct ak_hash_method *method = ak_hash_find(op->settings.kind);
    struct influence found = {.versions = json_array()};
    struct ak_collection_status now;
    struct ak_view *view;
    struct ak_err err = {0};
    enum ak_status status = ak_collection_borrow(op->c, &view, &err);
    json_t *o = ak_op_receipt_json(op);

    if (status == AK_OK) {
        status = ak_view_rows(view, op->receipt.first_ordinal, first_row,
                              &found, &err);
        if (status == AK_OK)
            status = ak_view_versions(view, add_influenced, &found, &err);
        ak_collection_return(op->c, view);
    }
    if (status != AK_OK) {
        json_decref(found.versions);
        json_decref(o);
        ak_op_fail(op, status, &err);
        return;
    }
    ak_collection_status(op->c, &now);
    if (o != NULL)
        json_object_set_new(
            o, "erase",
            json_pack("{s:s, s:I, s:{s:o, s:b}}", "state", "pending", "rows",
                      (json_int_t)op->receipt.erasing, "influence",
                      "model_versions", found.versions, "live_model",
                      method != NULL && method->learns &&
                          now.live_samples > 0));
    else
        json_decref(found.versions);
    ak_reply_json(op->rq, op->status, o);
}

static void erased(struct ak_op *op)
{
    struct ak_collection_status now;

    ak_collection_status(op->c, &now);
    ak_op_headers(op, now.published,
                  op->receipt.seq != 0 ? op->receipt.seq : now.durable_seq);
    if (op->receipt.accepted == 0 && op->receipt.erasing == 0)
        ak_reply_problem(op->rq, "not-found", "there is no such item");
    else
        ak_op_offload(op, answer_erase);
}

static void delete_item(struct ak_request *rq)
{
    static const char *const names[] = {"erase"};
    struct ak_op *op = ak_op_begin(rq, AK_OP_WRITES, names, AK_COUNT(names));
    const char *erase;
    struct ak_row_id *id;

    if (op == NULL)
        return;
    erase = ak_request_query(rq, "erase");
    if (erase != NULL && strcmp(erase, "true") != 0 &&
        strcmp(erase, "false") != 0) {
        ak_op_fault(op, "/erase", "validation-failed", "must be true or false");
        return;
    }
    id = ak_arena_array(&op->arena, 1, sizeof(*id));
    if (id == NULL) {
        ak_op_fail(op, AK_ENOMEM, NULL);
        return;
    }
    if (!ak_op_path_id(op, id) ||
        !take_key(op, erase != NULL && erase[0] == 't' ? "DELETE items erase"
                                                       : "DELETE items"))
        return;
    op->submission.change.kind = AK_RECORD_DELETE;
    op->submission.change.ids = id;
    op->submission.change.n_ids = 1;
    op->submission.change.erase = erase != NULL && erase[0] == 't';
    ak_op_submit(op, 0, op->submission.change.erase ? erased : answer_delete);
}

/* ---------------------------------------------------------------- delete many */

static void answer_delete_many(struct ak_op *op)
{
    struct ak_collection_status now;
    json_t *o = ak_op_receipt_json(op);

    ak_collection_status(op->c, &now);
    ak_op_headers(op, now.published,
                  op->receipt.seq != 0 ? op->receipt.seq : now.durable_seq);
    if (o != NULL) {
        json_object_set_new(o, "deleted",
                            json_integer((json_int_t)op->receipt.accepted));
        json_object_set_new(o, "missing",
                            json_integer((json_int_t)op->receipt.missing));
    }
    ak_reply_json(op->rq, op->status, o);
}

/* The visible rows that pass the filter, by ordinal, on the pool. */
static void delete_by_filter(struct ak_op *op)
{
    struct ak_change *change = &op->submission.change;
    struct ak_writer ordinals = {0};
    const struct ak_filter *filter;
    struct ak_filter_names names;
    struct ak_err err = {0};
    struct ak_lookup l;
    uint64_t *list = NULL, end;
    enum ak_status status;

    ak_lookup_init(&l, op->c, &op->settings);
    names = ak_lookup_names(&l);
    end = ak_snapshot_rows(l.snapshot);
    status = ak_filter_bind(op->arg, &names, &op->arena, &filter, &err);
    if (status == AK_OK)
        for (uint64_t o = ak_snapshot_next(l.snapshot, 0, filter); o < end;
             o = ak_snapshot_next(l.snapshot, o + 1, filter))
            ak_write_u64(&ordinals, o);
    ak_lookup_clear(&l);
    if (status == AK_OK) {
        list = ak_arena_array(&op->arena, 1, ordinals.len);
        if (list == NULL || ordinals.status != AK_OK)
            status = ak_fail(&err, AK_ENOMEM, "no memory for a list of rows");
        else if (ordinals.len > 0)
            memcpy(list, ordinals.data, ordinals.len);
    }
    change->ordinals = list;
    change->n_ordinals = ordinals.len / sizeof(*list);
    ak_writer_clear(&ordinals);
    if (status != AK_OK)
        ak_op_fail(op, status, &err);
    else
        ak_op_submit(op, 0, answer_delete_many);
}

/* Ids of the body to op->submission.change; false: there are faults. */
static bool read_ids(struct ak_op *op, const json_t *list)
{
    struct ak_rows *rows = &op->rows;
    const json_t *entry;
    size_t i;

    if (!json_is_array(list) || json_array_size(list) == 0) {
        ak_faults_add(&rows->faults, "/ids", "validation-failed",
                      "must be an array of ids that is not empty");
        return false;
    }
    rows->prefix = "";
    rows->columns = true;
    json_array_foreach((json_t *)(uintptr_t)list, i, entry)
    {
        static const struct ak_bytes none;
        struct ak_row_id id;

        if (!ak_rows_going(rows))
            break;
        if (ak_rows_read_id(rows, i, entry, &id))
            ak_rows_close_row(rows, i, &id, none, none);
    }
    ak_rows_finish(rows);
    op->submission.change.ids =
        (const struct ak_row_id *)(const void *)rows->ids.data;
    op->submission.change.n_ids = rows->n;
    return ak_faults_none(&rows->faults);
}

static bool read_delete(struct ak_op *op, struct ak_filter_text **filter)
{
    const json_t *ids = json_object_get(op->json.root, "ids");
    const json_t *value = json_object_get(op->json.root, "filter");
    struct ak_faults *faults = &op->rows.faults;
    const char *key;
    json_t *v;

    json_object_foreach(op->json.root, key, v)
    {
        char at[128] = "";

        ak_pointer_add(at, sizeof(at), key);
        if (v != ids && v != value)
            ak_faults_add(faults, at, "unknown-field", "no such field");
    }
    if ((ids == NULL) == (value == NULL))
        ak_faults_add(faults, "", "validation-failed",
                      "must have one of ids and filter");
    if (!ak_faults_none(faults))
        return false;
    if (ids != NULL)
        return read_ids(op, ids);
    if (ak_filter_read(value, "/filter", &op->settings, &op->arena, filter,
                       faults) == AK_ENOMEM)
        op->rows.status = AK_ENOMEM;
    else if (ak_faults_none(faults) &&
             (*filter == NULL ||
              (*filter)->n[0] + (*filter)->n[1] + (*filter)->n[2] == 0))
        ak_faults_add(faults, "/filter", "validation-failed",
                      "must have a condition; to delete all items, delete the "
                      "collection");
    return ak_faults_none(faults) && op->rows.status == AK_OK;
}

static void delete_items(struct ak_request *rq)
{
    struct ak_op *op = ak_op_begin(rq, AK_OP_WRITES, NULL, 0);
    struct ak_filter_text *filter = NULL;

    if (op == NULL || !take_key(op, "POST items/delete") ||
        !ak_op_read_json(op))
        return;
    op->submission.change.kind = AK_RECORD_DELETE;
    ak_rows_init(&op->rows, &op->settings, ak_op_extractors(op), 0);
    if (!read_delete(op, &filter)) {
        if (op->rows.status != AK_OK)
            ak_op_fail(op, op->rows.status, NULL);
        else
            ak_faults_reply(rq, &op->rows.faults);
        return;
    }
    op->arg = filter;
    if (filter != NULL)
        ak_op_offload(op, delete_by_filter);
    else
        ak_op_submit(op, ak_rows_bytes(&op->rows), answer_delete_many);
}

const struct ak_route ak_routes_items[] = {
    {"PUT", "/v1/collections/{c}/items", put_items,
     AK_ROUTE_WRITES | AK_ROUTE_STREAMS,
     "store items without learning from them"},
    {"GET", "/v1/collections/{c}/items", get_items, 0,
     "items in order of arrival"},
    {"POST", "/v1/collections/{c}/items/delete", delete_items, AK_ROUTE_DELETES,
     "delete items by id or by filter"},
    {"GET", "/v1/collections/{c}/items/{id}", get_item, 0, "one item"},
    {"GET", "/v1/collections/{c}/items/{id}/image", get_image, 0,
     "the image of an item as it came, or a small one"},
    {"PATCH", "/v1/collections/{c}/items/{id}", patch_item, AK_ROUTE_WRITES,
     "change labels or payload of an item"},
    {"DELETE", "/v1/collections/{c}/items/{id}", delete_item, AK_ROUTE_DELETES,
     "delete an item"},
    {0},
};
