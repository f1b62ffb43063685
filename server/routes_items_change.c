/* routes_items_change.c -- items are put, changed, and deleted. */
#include "server/routes.h"

#include <stdio.h>
#include <string.h>

#include "core/hash/hash.h"
#include "server/body_rows.h"
#include "server/filter_json.h"
#include "server/ingest.h"
#include "server/lookup.h"
#include "server/op.h"
#include "server/pointer.h"

#define ACCEPTED (AK_BODY_JSON | AK_BODY_MULTIPART | AK_BODY_NPY)

/* Called after the headers, and again with the whole body. */
static void put_items(struct ak_request *rq)
{
    if (ak_request_complete(rq))
        ak_ingest(rq, AK_RECORD_UPSERT, ACCEPTED);
    else
        (void)ak_ingest_headers(rq, ACCEPTED);
}

static void answer_patch(struct ak_op *op)
{
    json_t *o = ak_op_receipt_json(op);

    ak_op_receipt_headers(op);
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

    ak_op_receipt_headers(op);
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

    ak_op_receipt_headers(op);
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
    json_t *o = ak_op_receipt_json(op);

    ak_op_receipt_headers(op);
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

const struct ak_route ak_routes_item_changes[] = {
    {"PUT", "/v1/collections/{c}/items", put_items,
     AK_ROUTE_WRITES | AK_ROUTE_STREAMS,
     "store items without learning from them"},
    {"PATCH", "/v1/collections/{c}/items/{id}", patch_item, AK_ROUTE_WRITES,
     "change labels or payload of an item"},
    {"DELETE", "/v1/collections/{c}/items/{id}", delete_item, AK_ROUTE_DELETES,
     "delete an item"},
    {"POST", "/v1/collections/{c}/items/delete", delete_items, AK_ROUTE_DELETES,
     "delete items by id or by filter"},
    {0},
};
