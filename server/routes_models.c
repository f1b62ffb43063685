/* routes_models.c -- versions of a collection's model, and the methods. */
#include "server/routes.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/hash/hash.h"
#include "server/engine_internal.h"
#include "server/op.h"

/* -------------------------------------------------------------------- listing */

/* All versions but one that is still being encoded, which is none yet. */
struct versions {
    struct ak_version *list;
    size_t n;
};

static enum ak_status add_version(void *arg, const struct ak_version *v,
                                  struct ak_err *err)
{
    struct versions *all = arg;
    struct ak_version *grown;

    if (v->state == AK_VERSION_ENCODING)
        return AK_OK;
    grown = realloc(all->list, (all->n + 1) * sizeof(*grown));
    if (grown == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for a list of versions");
    all->list = grown;
    all->list[all->n++] = *v;
    return AK_OK;
}

/* Whose hash layer it is: an extractor, or null. */
static enum ak_status head_json(struct ak_collection *c, struct ak_view *view,
                                const struct ak_version *v, json_t **out,
                                struct ak_err *err)
{
    struct ak_settings now, s;
    uint64_t generation;
    enum ak_status status =
        ak_view_generation_at(view, v->at_seq, &generation, err);

    ak_collection_settings(c, &now);
    if (status == AK_OK)
        status = ak_generation_settings(view, generation, &now, &s, err);
    if (status == AK_OK)
        *out = s.head ? json_pack("{s:s, s:I}", "extractor", s.extractor,
                                  "version", (json_int_t)s.extractor_version)
                      : json_null();
    return status;
}

/* `head` is stolen. */
static json_t *version_json(const struct ak_version *v, json_t *head)
{
    char time[AK_TIME_TEXT];

    return json_pack("{s:I, s:s, s:I, s:s, s:I, s:o, s:o}", "version",
                     (json_int_t)v->version, "state",
                     v->state == AK_VERSION_PUBLISHED  ? "published"
                     : v->state == AK_VERSION_PREVIOUS ? "previous"
                                                       : "retired",
                     "samples", (json_int_t)v->samples, "created",
                     ak_time_format(v->created_ms, time), "bytes",
                     (json_int_t)v->model_len, "served_quality",
                     isnan(v->served_quality) ? json_null()
                                              : json_real(v->served_quality),
                     "head", head);
}

static enum ak_status read_models(struct ak_collection *c, struct ak_view *view,
                                  json_t *list, struct ak_err *err)
{
    struct versions all = {NULL, 0};
    enum ak_status status = ak_view_versions(view, add_version, &all, err);

    for (size_t i = 0; i < all.n && status == AK_OK; i++) {
        json_t *head = NULL;

        status = head_json(c, view, &all.list[i], &head, err);
        if (status == AK_OK &&
            json_array_append_new(list, version_json(&all.list[i], head)) != 0)
            status =
                ak_fail(err, AK_ENOMEM, "no memory for a list of versions");
    }
    free(all.list);
    return status;
}

static void list_models(struct ak_op *op)
{
    json_t *list = json_array();
    struct ak_collection_status now;
    struct ak_err err = {0};
    struct ak_view *view;
    enum ak_status status = ak_collection_borrow(op->c, &view, &err);

    if (status == AK_OK) {
        status =
            list == NULL ? AK_ENOMEM : read_models(op->c, view, list, &err);
        ak_collection_return(op->c, view);
    }
    ak_collection_status(op->c, &now);
    ak_op_headers(op, now.published, now.visible_seq);
    if (status == AK_OK) {
        ak_reply_json(op->rq, 200,
                      json_pack("{s:o, s:n}", "items", list, "next_cursor"));
        return;
    }
    json_decref(list);
    ak_op_fail(op, status, &err);
}

static void get_models(struct ak_request *rq)
{
    struct ak_op *op = ak_op_begin(rq, AK_OP_READS, NULL, 0);

    if (op != NULL)
        ak_op_run(op, list_models);
}

/* --------------------------------------------------------- publish, roll back */

struct change {
    uint64_t version; /* that is asked for, or was made */
    bool known;
};

/* {v} of the path; a version that no number is, is not there. */
static bool read_version(struct ak_op *op, uint64_t *out)
{
    const char *text = ak_request_param(op->rq, "v");
    size_t len = strlen(text);

    if (len >= 1 && len <= 18 && strspn(text, "0123456789") == len) {
        *out = strtoull(text, NULL, 10);
        return true;
    }
    ak_reply_problem(op->rq, "not-found", "there is no such version");
    return false;
}

static enum ak_status match_version(void *arg, const struct ak_version *v,
                                    struct ak_err *err)
{
    struct ak_op *op = arg;
    struct change *change = op->arg;

    (void)err;
    /* Another one may have taken its place before it was served. */
    if (v->at_seq == op->receipt.seq &&
        (v->state == AK_VERSION_PUBLISHED || v->state == AK_VERSION_PREVIOUS)) {
        change->version = v->version;
        change->known = true;
    }
    return AK_OK;
}

static void answer_version(struct ak_op *op)
{
    struct change *change = op->arg;
    struct ak_collection_status now;
    json_t *o;

    ak_collection_status(op->c, &now);
    ak_op_headers(op, now.published, op->receipt.seq);
    if (op->reached == AK_ACK_SERVED && op->status == 200) {
        ak_reply_json(op->rq, 200,
                      json_pack("{s:I, s:I}", "version",
                                (json_int_t)(change->known ? change->version
                                                           : now.published),
                                "seq", (json_int_t)op->receipt.seq));
        return;
    }
    o = ak_op_receipt_json(op);
    /* Of a rollback it is known from the start, of a publish when it serves. */
    if (o != NULL && change->known)
        json_object_set_new(o, "version",
                            json_integer((json_int_t)change->version));
    ak_reply_json(op->rq, 202, o);
}

/* The version that the publish record made; on the pool. */
static void find_version(struct ak_op *op)
{
    struct ak_view *view;

    if (ak_collection_borrow(op->c, &view, NULL) == AK_OK) {
        if (ak_view_versions(view, match_version, op, NULL) != AK_OK)
            ((struct change *)op->arg)->known = false;
        ak_collection_return(op->c, view);
    }
    answer_version(op);
}

static void changed(struct ak_op *op)
{
    struct change *change = op->arg;

    if (op->reached == AK_ACK_SERVED && op->status == 200 && !change->known)
        ak_op_offload(op, find_version);
    else
        answer_version(op);
}

/* A publish or a rollback, of a collection that learns; NULL: answered. */
static struct ak_op *begin_change(struct ak_request *rq, const char *path)
{
    struct ak_op *op = ak_op_begin(rq, AK_OP_WRITES, NULL, 0);
    const struct ak_hash_method *method;
    struct ak_change *c;
    struct ak_op_key key;
    struct ak_err err = {0};
    enum ak_status status;
    size_t len;
    uint8_t *body = ak_request_body(rq, &len);

    if (op == NULL)
        return NULL;
    c = &op->submission.change;
    method = ak_hash_find(op->settings.kind);
    if (method == NULL || !method->learns) {
        ak_reply_problem(rq, "state-conflict",
                         "kind %s does not learn, so it has no other version "
                         "of its model to serve",
                         op->settings.kind);
        return NULL;
    }
    if (len > 0) {
        ak_reply_problem(rq, "validation-failed",
                         "%zu bytes of body given, none expected", len);
        return NULL;
    }
    if (!ak_op_read_key(op, &key))
        return NULL;
    c->key = key.key;
    c->producer_seq = key.producer_seq;
    status = ak_op_fingerprint(op, path, body, len, c->fingerprint, &err);
    op->arg = ak_arena_array(&op->arena, 1, sizeof(struct change));
    if (status != AK_OK || op->arg == NULL) {
        ak_op_fail(op, AK_ENOMEM, &err);
        return NULL;
    }
    /* Visible here means that its codes serve. */
    if (op->ack == AK_ACK_VISIBLE)
        op->ack = AK_ACK_SERVED;
    return op;
}

static void post_publish(struct ak_request *rq)
{
    struct ak_op *op = begin_change(rq, "POST models/publish");

    if (op == NULL)
        return;
    op->submission.change.kind = AK_RECORD_PUBLISH;
    ak_op_submit(op, 0, changed);
}

static void post_rollback(struct ak_request *rq)
{
    struct ak_op *op = begin_change(rq, "POST models/rollback");
    struct ak_submission *s;
    struct change *change;
    size_t len;
    char *text;

    if (op == NULL)
        return;
    s = &op->submission;
    change = op->arg;
    if (!read_version(op, &change->version))
        return;
    change->known = true;
    /* Whoever goes back does not want to be overtaken by a timer. */
    s->settings = op->settings;
    s->settings.policy = AK_POLICY_MANUAL;
    s->settings.finetune.automatic = false;
    text = ak_settings_text(&s->settings);
    len = text != NULL ? strlen(text) : 0;
    s->change.config = (struct ak_bytes){
        text ? ak_arena_copy(&op->arena, text, len) : NULL, len};
    free(text);
    if (s->change.config.data == NULL) {
        ak_op_fail(op, AK_ENOMEM, NULL);
        return;
    }
    s->settings_changed = true;
    s->change.kind = AK_RECORD_ROLLBACK;
    s->change.version = change->version;
    ak_op_submit(op, 0, changed);
}

/* --------------------------------------------------------------------- export */

static void export_model(struct ak_op *op)
{
    const uint64_t *version = op->arg;
    struct ak_bytes model = {0};
    struct ak_collection_status now;
    struct ak_err err = {0};
    struct ak_view *view;
    uint8_t *copy = NULL;
    enum ak_status status = ak_collection_borrow(op->c, &view, &err);

    if (status == AK_OK) {
        status = ak_view_model(view, *version, &model, &err);
        if (status == AK_OK && model.len == 0)
            status = AK_ENOTFOUND;
        if (status == AK_ENOTFOUND)
            ak_fail(&err, status, "there is no model of version %" PRIu64,
                    *version);
        if (status == AK_OK) {
            copy = malloc(model.len);
            if (copy != NULL)
                memcpy(copy, model.data, model.len);
            else
                status = AK_ENOMEM;
        }
        ak_collection_return(op->c, view);
    }
    if (status != AK_OK) {
        ak_op_fail(op, status, &err);
        return;
    }
    ak_collection_status(op->c, &now);
    ak_op_headers(op, now.published, now.visible_seq);
    ak_reply_header(op->rq, "Content-Disposition",
                    "attachment; filename=\"%s-%" PRIu64 ".akin\"",
                    op->settings.name, *version);
    ak_reply_bytes(op->rq, 200, "application/octet-stream", copy, model.len);
}

static void get_export(struct ak_request *rq)
{
    struct ak_op *op = ak_op_begin(rq, AK_OP_READS, NULL, 0);

    if (op == NULL)
        return;
    op->arg = ak_arena_array(&op->arena, 1, sizeof(uint64_t));
    if (op->arg == NULL)
        ak_op_fail(op, AK_ENOMEM, NULL);
    else if (read_version(op, op->arg))
        ak_op_run(op, export_model);
}

/* -------------------------------------------------------------------- methods */

static json_t *number_json(double x, bool integer)
{
    return integer ? json_integer((json_int_t)x) : json_real(x);
}

static json_t *option_json(const struct ak_hash_option *o)
{
    return json_pack("{s:s, s:o, s:o, s:o, s:s, s:s}", "name", o->name,
                     "default", number_json(o->initial, o->integer), "min",
                     number_json(o->min, o->integer), "max",
                     number_json(o->max, o->integer), "type",
                     o->integer ? "integer" : "number", "help", o->help);
}

static json_t *method_json(const struct ak_hash_method *m)
{
    static const struct ak_hash_option seed = {
        "seed", 0, 0, 0, true, "of every random draw that the model makes"};
    json_t *options = json_array();
    json_t *first =
        json_pack("{s:s, s:i, s:i, s:I, s:s, s:s}", "name", seed.name,
                  "default", 0, "min", 0, "max", (json_int_t)INT64_MAX, "type",
                  "integer", "help", seed.help);

    /* An append of what memory did not suffice for fails, and so does the
       pack. */
    if (json_array_append_new(options, first) != 0) {
        json_decref(options);
        return NULL;
    }
    for (size_t i = 0; i < m->n_options; i++) {
        if (json_array_append_new(options, option_json(&m->options[i])) != 0) {
            json_decref(options);
            return NULL;
        }
    }
    return json_pack("{s:s, s:s, s:s, s:b, s:b, s:o}", "kind", m->name,
                     "source", m->source, "help", m->help, "learns", m->learns,
                     "per_sample", m->per_sample, "options", options);
}

static void get_methods(struct ak_request *rq)
{
    const struct ak_hash_method *m;
    json_t *list = json_array();
    bool good = list != NULL;

    if (!ak_request_only(rq, NULL, 0)) {
        json_decref(list);
        return;
    }
    for (size_t i = 0; good && (m = ak_hash_method(i)) != NULL; i++)
        if (m->streams)
            good = json_array_append_new(list, method_json(m)) == 0;
    good = good && json_array_append_new(
                       list, json_pack("{s:s, s:s, s:s, s:b, s:b, s:[]}",
                                       "kind", "external", "source", "", "help",
                                       "codes that are made elsewhere and "
                                       "posted as they are",
                                       "learns", false, "per_sample", true,
                                       "options")) == 0;
    if (good) {
        ak_reply_json(rq, 200,
                      json_pack("{s:o, s:n}", "items", list, "next_cursor"));
        return;
    }
    json_decref(list);
    ak_reply_failure(rq, AK_ENOMEM, NULL);
}

const struct ak_route ak_routes_models[] = {
    {"GET", "/v1/collections/{c}/models", get_models, 0,
     "versions of the model"},
    {"POST", "/v1/collections/{c}/models/publish", post_publish,
     AK_ROUTE_WRITES, "let the live model serve"},
    {"POST", "/v1/collections/{c}/models/{v}/rollback", post_rollback,
     AK_ROUTE_WRITES, "let an earlier version serve"},
    {"GET", "/v1/collections/{c}/models/{v}/export", get_export, 0,
     "the file of a model"},
    {"GET", "/v1/methods", get_methods, AK_ROUTE_STARTING,
     "the kinds of models that there are, with their options"},
    {0},
};
