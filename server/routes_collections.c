/* routes_collections.c -- collections: made, shown, changed, listed, removed. */
#include "server/routes.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "server/cursor.h"
#include "server/extractors.h"
#include "server/limits.h"
#include "server/op.h"

#define DEFAULT_LIMIT  100
#define QUALITY_WINDOW 1000 /* queries over which the quality is a mean */

static json_t *quality_number(const struct ak_quality *q)
{
    return q->queries == 0 ? json_null() : json_real(q->map_at_r);
}

/* Why the last decision of the gate should worry somebody; NULL: it should
   not.  A model that is merely not better is nothing to worry about. */
static const char *worse(const struct ak_gate_decision *d)
{
    switch (d->reason) {
    case AK_GATE_WORSE:
        return "it ranks the arriving queries worse than the published one";
    case AK_GATE_FALLING:
        return "it was better, but has become worse of late";
    case AK_GATE_OLDER_CLASSES:
        return "it has lost more than 2 points of mAP on older classes";
    case AK_GATE_NONE:
    case AK_GATE_FIRST:
    case AK_GATE_BETTER:
    case AK_GATE_FEW_NEW:
    case AK_GATE_FEW_PAIRS:
    case AK_GATE_NO_GAIN:
    case AK_N_GATE_REASONS:
        break;
    }
    return NULL;
}

static json_t *number_or_null(uint64_t n)
{
    return n > 0 ? json_integer((json_int_t)n) : json_null();
}

static json_t *time_or_null(int64_t ms)
{
    char text[AK_TIME_TEXT];

    return ms > 0 ? json_string(ak_time_format(ms, text)) : json_null();
}

/* The last one of the policy; null: it has begun none yet. */
static json_t *finetune_json(const struct ak_settings *s,
                             const struct ak_finetune_state *f)
{
    uint64_t rest_ms = ak_finetune_pause(&s->finetune, f) * 1000;

    if (f->attempts == 0)
        return json_null();
    return json_pack(
        "{s:I, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:o}", "attempt",
        (json_int_t)f->attempts, "reason", ak_finetune_why_name(f->why),
        "outcome",
        f->running ? "running" : ak_finetune_outcome_name(f->outcome), "job",
        number_or_null(f->job), "promotion", number_or_null(f->promotion),
        "version", number_or_null(f->version), "error",
        f->error[0] != '\0' ? json_string(f->error) : json_null(), "started",
        time_or_null(f->started_ms), "ended",
        f->running ? json_null() : time_or_null(f->ended_ms), "failures",
        (json_int_t)f->failures, "not_before",
        f->running || f->ended_ms == 0
            ? json_null()
            : time_or_null(f->ended_ms + (int64_t)rest_ms));
}

static json_t *warnings_json(const struct ak_settings *s,
                             const struct ak_collection_status *now)
{
    json_t *list = json_array();

    if (now->unlearnt_labels > 0)
        json_array_append_new(
            list, json_sprintf("%llu labels beyond labels.max %u are stored "
                               "and can be filtered by, but are not learnt",
                               (unsigned long long)now->unlearnt_labels,
                               s->max_labels));
    if (now->rejected_batches > 0)
        json_array_append_new(
            list, json_sprintf("%llu batches were stored that the learner "
                               "could not learn from; the log says why",
                               (unsigned long long)now->rejected_batches));
    if (now->drift.alarm)
        json_array_append_new(
            list, json_sprintf("the served model finds less than it did since "
                               "record %llu: the stream has changed",
                               (unsigned long long)now->drift.since_seq));
    if (!now->finetune.running && now->finetune.failures > 0)
        json_array_append_new(
            list, json_sprintf("the last %u fine-tunings came to nothing: %s",
                               now->finetune.failures, now->finetune.error));
    if (s->policy == AK_POLICY_QUALITY && worse(&now->gate))
        json_array_append_new(
            list,
            json_sprintf("the live model was not published after record "
                         "%llu: %s",
                         (unsigned long long)now->gate.seq, worse(&now->gate)));
    return list;
}

/* A collection as the API shows it; NULL when memory is short. */
static json_t *collection_json(struct ak_collection *c,
                               struct ak_collection_status *now)
{
    struct ak_settings s;
    json_t *o, *state;

    ak_collection_settings(c, &s);
    ak_collection_status(c, now);
    o = json_pack("{s:s}", "name", s.name);
    state = json_pack(
        "{s:s, s:I, s:I, s:{s:I, s:I, s:I}, s:f, s:f, s:I, s:{s:o, s:o, s:i},"
        " s:{s:I, s:I}, s:I, s:o, s:o}",
        "status", "ready", "items", (json_int_t)now->items, "seq",
        (json_int_t)now->durable_seq, "model_versions", "published",
        (json_int_t)now->published, "live_samples",
        (json_int_t)now->live_samples, "pending_rows",
        (json_int_t)now->pending_rows, "staleness", now->staleness, "debt",
        now->debt, "erasures_pending", (json_int_t)now->erasures_pending,
        "quality", "served", quality_number(&now->served), "live",
        quality_number(&now->live), "window", QUALITY_WINDOW, "queue",
        "records", (json_int_t)now->queue_records, "bytes",
        (json_int_t)now->queue_bytes, "new_labelled_images",
        (json_int_t)now->new_images, "last_finetune",
        finetune_json(&s, &now->finetune), "warnings", warnings_json(&s, now));
    if (o != NULL && state != NULL) {
        json_t *settings = ak_settings_json(&s);

        if (json_object_update(o, settings) == 0 &&
            json_object_update(o, state) == 0) {
            json_decref(settings);
            json_decref(state);
            return o;
        }
        json_decref(settings);
    }
    json_decref(state);
    json_decref(o);
    return NULL;
}

static void reply_collection(struct ak_op *op, unsigned status,
                             struct ak_collection *c)
{
    struct ak_collection_status now;
    json_t *o = collection_json(c, &now);

    ak_op_headers(op, now.published, now.visible_seq);
    ak_reply_json(op->rq, status, o);
}

static void reply_fault(struct ak_op *op, enum ak_status status,
                        const struct ak_fault *error)
{
    if (status == AK_EINVAL)
        ak_op_fault(op, error->pointer, error->code, "%s", error->detail);
    else
        ak_op_fail(op, status, NULL);
}

/* ----------------------------------------------------------------------- make */

static void created(void *arg, enum ak_status status, bool created,
                    struct ak_collection *c, const struct ak_err *err)
{
    struct ak_op *op = arg;

    if (status == AK_OK) {
        /* Held by the op from here on. */
        op->c = c;
        if (created)
            ak_reply_header(op->rq, "Location", "/v1/collections/%s",
                            ak_request_param(op->rq, "c"));
        reply_collection(op, created ? 201 : 200, c);
    } else if (status == AK_EEXISTS) {
        ak_reply_problem(op->rq, "already-exists",
                         "the collection exists with other settings");
    } else {
        ak_op_fail(op, status, err);
    }
}

static void put_collection(struct ak_request *rq)
{
    struct ak_op *op = ak_op_begin(rq, AK_OP_NO_COLLECTION, NULL, 0);
    struct ak_fault error = {0};
    struct ak_settings settings;
    enum ak_status status;

    if (op == NULL || !ak_op_read_json(op))
        return;
    status = ak_settings_parse(ak_request_param(rq, "c"), op->json.root,
                               &settings, &error);
    if (status == AK_OK)
        status = ak_extractors_resolve(ak_op_extractors(op), &settings, &error);
    if (status != AK_OK)
        reply_fault(op, status, &error);
    else
        ak_engine_create(ak_request_engine(rq), &settings, created, op);
}

/* ----------------------------------------------------------------------- show */

static void show_collection(struct ak_op *op)
{
    reply_collection(op, 200, op->c);
}

static void get_collection(struct ak_request *rq)
{
    struct ak_op *op = ak_op_begin(rq, AK_OP_READS, NULL, 0);

    if (op != NULL)
        ak_op_run_here(op, show_collection);
}

/* --------------------------------------------------------------------- change */

static void patched(struct ak_op *op)
{
    reply_collection(op, 200, op->c);
}

static void patch_collection(struct ak_request *rq)
{
    struct ak_op *op = ak_op_begin(rq, 0, NULL, 0);
    struct ak_fault error = {0};
    struct ak_submission *s;
    enum ak_status status;
    size_t len;
    char *text;

    if (op == NULL || !ak_op_read_json(op))
        return;
    s = &op->submission;
    s->settings = op->settings;
    status = ak_settings_patch(&s->settings, op->json.root, &error);
    if (status != AK_OK) {
        reply_fault(op, status, &error);
        return;
    }
    text = ak_settings_text(&s->settings);
    len = text != NULL ? strlen(text) : 0;
    s->change.config = (struct ak_bytes){
        text != NULL ? ak_arena_copy(&op->arena, text, len) : NULL, len};
    free(text);
    if (s->change.config.data == NULL) {
        ak_op_fail(op, AK_ENOMEM, NULL);
        return;
    }
    s->settings_changed = true;
    ak_op_submit(op, 0, patched);
}

/* --------------------------------------------------------------------- remove */

static void removed(void *arg, enum ak_status status, const struct ak_err *err)
{
    struct ak_op *op = arg;

    if (status == AK_OK)
        ak_reply_empty(op->rq, 204);
    else if (status == AK_ENOTFOUND)
        ak_reply_problem(op->rq, "not-found", "there is no such collection");
    else
        ak_op_fail(op, status, err);
}

static void delete_collection(struct ak_request *rq)
{
    struct ak_op *op = ak_op_begin(rq, AK_OP_NO_COLLECTION, NULL, 0);

    if (op != NULL)
        ak_engine_remove(ak_request_engine(rq), ak_request_param(rq, "c"),
                         removed, op);
}

/* ----------------------------------------------------------------------- list */

/* A page of what comes after `after`, by name. */
static json_t *page_json(struct ak_collection *const *all, size_t n,
                         const char *after, uint64_t limit)
{
    struct ak_cursor cursor = {.kind = AK_CURSOR_COLLECTIONS};
    char text[AK_CURSOR_TEXT];
    struct ak_collection_status now;
    json_t *items = json_array();
    const char *next;
    uint64_t shown = 0;
    bool more = false;

    for (size_t i = 0; i < n && items != NULL && !more; i++) {
        struct ak_settings s;

        ak_collection_settings(all[i], &s);
        if (strcmp(s.name, after) <= 0)
            continue;
        more = shown == limit;
        if (more)
            break;
        if (json_array_append_new(items, collection_json(all[i], &now)) != 0) {
            json_decref(items);
            return NULL;
        }
        memcpy(cursor.name, s.name, sizeof(cursor.name));
        shown++;
    }
    next = more ? ak_cursor_write(&cursor, text) : NULL;
    /* Without it the list would seem to end here. */
    if (more && next == NULL) {
        json_decref(items);
        return NULL;
    }
    return json_pack("{s:o, s:s?}", "items", items, "next_cursor", next);
}

static void get_collections(struct ak_request *rq)
{
    static const char *const names[] = {"cursor", "limit"};
    struct ak_op *op =
        ak_op_begin(rq, AK_OP_NO_COLLECTION, names, AK_COUNT(names));
    const char *text = ak_request_query(rq, "cursor");
    struct ak_collection **all;
    struct ak_cursor cursor = {0};
    struct ak_err err = {0};
    enum ak_status status;
    uint64_t limit;
    json_t *page;
    size_t n;

    if (op == NULL ||
        !ak_op_query_number(op, "limit", 1, ak_limits()->max_limit,
                            DEFAULT_LIMIT, &limit))
        return;
    if (text != NULL && !ak_cursor_read(text, AK_CURSOR_COLLECTIONS, &cursor)) {
        ak_reply_problem(rq, "invalid-cursor",
                         "the cursor is not one of a list of collections");
        return;
    }
    status = ak_engine_list(ak_request_engine(rq), &all, &n, &err);
    if (status != AK_OK) {
        ak_op_fail(op, status, &err);
        return;
    }
    page = page_json(all, n, cursor.name, limit);
    for (size_t i = 0; i < n; i++)
        ak_collection_drop(all[i]);
    free(all);
    ak_reply_json(rq, 200, page);
}

const struct ak_route ak_routes_collections[] = {
    {"GET", "/v1/collections", get_collections, 0, "all collections, by name"},
    {"PUT", "/v1/collections/{c}", put_collection, AK_ROUTE_WRITES,
     "make a collection"},
    {"GET", "/v1/collections/{c}", get_collection, 0,
     "settings and state of a collection"},
    {"PATCH", "/v1/collections/{c}", patch_collection, AK_ROUTE_WRITES,
     "change the policies or the description"},
    {"DELETE", "/v1/collections/{c}", delete_collection, AK_ROUTE_DELETES,
     "delete a collection with all that is in it"},
    {0},
};
