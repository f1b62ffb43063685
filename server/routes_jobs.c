/* routes_jobs.c -- what takes long: started, watched, paused, cancelled. */
#include "server/routes.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "server/cursor.h"
#include "server/engine.h"
#include "server/jobs.h"
#include "server/limits.h"
#include "server/op.h"

#define PAGE 100

static struct ak_jobs *jobs_of(struct ak_request *rq)
{
    return ak_engine_jobs(ak_request_engine(rq));
}

/* {id} of the path; 0: it was answered. */
static uint64_t read_id(struct ak_request *rq)
{
    const char *text = ak_request_param(rq, "id");
    size_t len = strlen(text);
    uint64_t id = 0;

    if (len >= 1 && len <= 18 && strspn(text, "0123456789") == len)
        id = strtoull(text, NULL, 10);
    if (id == 0)
        ak_reply_problem(rq, "not-found", "there is no such job");
    return id;
}

static void reply_job(struct ak_request *rq, unsigned status, uint64_t id)
{
    json_t *o = ak_jobs_json(jobs_of(rq), id);

    if (o == NULL)
        ak_reply_problem(rq, "not-found", "there is no such job");
    else
        ak_reply_json(rq, status, o);
}

static void refuse(struct ak_request *rq, enum ak_status status,
                   const struct ak_err *err)
{
    const char *slug = status == AK_EBUSY     ? "state-conflict"
                       : status == AK_ELIMIT  ? "too-many-jobs"
                       : status == AK_EEXISTS ? "idempotency-key-reused"
                                              : NULL;

    if (slug != NULL)
        ak_reply_problem(rq, slug, "%s", err->text);
    else
        ak_reply_failure(rq, status, err);
}

/* --------------------------------------------------------------------- start */

static void started(void *arg, enum ak_status status, uint64_t id,
                    bool replayed, const struct ak_err *err)
{
    struct ak_op *op = arg;

    if (status != AK_OK) {
        refuse(op->rq, status, err);
        return;
    }
    if (replayed)
        ak_reply_header(op->rq, "Idempotency-Replayed", "true");
    ak_reply_header(op->rq, "Location", "/v1/jobs/%" PRIu64, id);
    reply_job(op->rq, 202, id);
}

/* Fields of the body; false: it was answered. */
static bool read_request(struct ak_op *op, struct ak_run_request *out)
{
    static const char *const names[] = {"kind", "target", "params", "budget",
                                        "gate"};
    const char *key;
    json_t *value;

    json_object_foreach(op->json.root, key, value)
    {
        size_t i = 0;
        char pointer[64];

        while (i < AK_COUNT(names) && strcmp(names[i], key) != 0)
            i++;
        snprintf(pointer, sizeof(pointer), "/%.40s", key);
        if (i == AK_COUNT(names)) {
            ak_op_fault(op, pointer, "unknown-field",
                        "known here: kind, target, params, budget, gate");
            return false;
        }
        if (i < 2 ? !json_is_string(value)
                  : !json_is_object(value) && !json_is_null(value)) {
            ak_op_fault(op, pointer, "validation-failed", "must be %s",
                        i < 2 ? "a string" : "an object");
            return false;
        }
    }
    out->kind = json_string_value(json_object_get(op->json.root, "kind"));
    out->target = json_string_value(json_object_get(op->json.root, "target"));
    out->params = json_object_get(op->json.root, "params");
    out->budget = json_object_get(op->json.root, "budget");
    out->gate = json_object_get(op->json.root, "gate");
    if (json_is_null(out->params))
        out->params = NULL;
    if (json_is_null(out->budget))
        out->budget = NULL;
    if (out->kind != NULL)
        return true;
    ak_op_fault(op, "/kind", "validation-failed",
                "is missing; GET /v1/jobs/kinds lists them");
    return false;
}

static void post_job(struct ak_request *rq)
{
    struct ak_op *op = ak_op_begin(rq, AK_OP_NO_COLLECTION, NULL, 0);
    struct ak_run_request request = {0};
    struct ak_fault fault = {0};
    struct ak_op_key key;
    struct ak_err err = {0};
    enum ak_status status;

    if (op == NULL)
        return;
    /* Of the body before it is read, which may change it in place. */
    status = ak_request_fingerprint(rq, request.fingerprint, &err);
    if (status != AK_OK) {
        ak_op_fail(op, status, &err);
        return;
    }
    if (!ak_op_read_json(op) || !read_request(op, &request) ||
        !ak_op_read_key(op, &key))
        return;
    if (key.producer_seq > 0) {
        ak_op_fault(op, "/Akin-Producer", "validation-failed",
                    "is for batches; send an Idempotency-Key");
        return;
    }
    request.key = key.key.data;
    status = ak_jobs_submit(jobs_of(rq), &request, &fault, started, op, &err);
    if (status == AK_EINVAL && fault.code != NULL)
        ak_op_fault(op, fault.pointer, fault.code, "%s", fault.detail);
    else if (status != AK_OK)
        refuse(rq, status, &err);
}

/* -------------------------------------------------------------------- reading */

static void get_job(struct ak_request *rq)
{
    uint64_t id;

    if (!ak_request_only(rq, NULL, 0))
        return;
    id = read_id(rq);
    if (id > 0)
        reply_job(rq, 200, id);
}

static void get_kinds(struct ak_request *rq)
{
    json_t *list;

    if (!ak_request_only(rq, NULL, 0))
        return;
    list = ak_jobs_kinds(jobs_of(rq));
    ak_reply_json(rq, 200,
                  list != NULL
                      ? json_pack("{s:o, s:n}", "items", list, "next_cursor")
                      : NULL);
}

/* What is listed: of one job, or which jobs. */
static uint64_t scope_of(struct ak_request *rq, enum ak_cursor_kind kind)
{
    if (kind == AK_CURSOR_JOB_LOG)
        return ak_cursor_scope(
            (const char *const[]){ak_request_param(rq, "id")}, 1);
    return ak_cursor_scope(
        (const char *const[]){ak_request_query(rq, "state"),
                              ak_request_query(rq, "kind"),
                              ak_request_query(rq, "target")},
        3);
}

/* Where a page begins, and how long it is; false: it was answered. */
static bool read_page(struct ak_op *op, enum ak_cursor_kind kind,
                      struct ak_cursor *cursor, uint64_t *limit)
{
    const char *text = ak_request_query(op->rq, "cursor");

    memset(cursor, 0, sizeof(*cursor));
    if (text != NULL && (!ak_cursor_read(text, kind, cursor) ||
                         cursor->scope != scope_of(op->rq, kind))) {
        ak_reply_problem(op->rq, "invalid-cursor",
                         "the cursor is not one of this list");
        return false;
    }
    return ak_op_query_number(op, "limit", 1, ak_limits()->max_limit, PAGE,
                              limit);
}

/* The answer to a list; `list` is stolen. */
static void reply_page(struct ak_request *rq, json_t *list, bool more,
                       enum ak_cursor_kind kind, uint64_t at)
{
    struct ak_cursor cursor = {
        .kind = kind, .scope = scope_of(rq, kind), .ordinal = at};
    char text[AK_CURSOR_TEXT];
    const char *next = more ? ak_cursor_write(&cursor, text) : NULL;

    if (list == NULL || (more && next == NULL)) {
        json_decref(list);
        ak_reply_failure(rq, AK_ENOMEM, NULL);
        return;
    }
    ak_reply_json(rq, 200,
                  json_pack("{s:o, s:s?}", "items", list, "next_cursor", next));
}

static void get_jobs(struct ak_request *rq)
{
    static const char *const names[] = {"cursor", "limit", "state", "kind",
                                        "target"};
    struct ak_op *op =
        ak_op_begin(rq, AK_OP_NO_COLLECTION, names, AK_COUNT(names));
    struct ak_run_filter filter = {0};
    const char *state;
    struct ak_cursor cursor;
    uint64_t limit, last = 0;
    json_t *list;
    bool more;

    if (op == NULL || !read_page(op, AK_CURSOR_JOBS, &cursor, &limit))
        return;
    filter.before = cursor.ordinal;
    filter.limit = (size_t)limit;
    filter.kind = ak_request_query(rq, "kind");
    filter.target = ak_request_query(rq, "target");
    state = ak_request_query(rq, "state");
    if (state != NULL && !ak_run_state_parse(state, &filter.state)) {
        ak_op_fault(op, "/state", "validation-failed",
                    "must be one of: queued, running, paused, succeeded, "
                    "failed, canceled, interrupted");
        return;
    }
    list = ak_jobs_list(jobs_of(rq), &filter, &more);
    if (list != NULL && json_array_size(list) > 0)
        last = (uint64_t)json_integer_value(json_object_get(
            json_array_get(list, json_array_size(list) - 1), "id"));
    reply_page(rq, list, more, AK_CURSOR_JOBS, last);
}

static void got_log(void *arg, enum ak_status status, json_t *list, bool more,
                    const struct ak_err *err)
{
    struct ak_op *op = arg;
    uint64_t last = 0;

    if (status != AK_OK) {
        ak_op_fail(op, status, err);
        return;
    }
    if (json_array_size(list) > 0)
        last = (uint64_t)json_integer_value(json_object_get(
            json_array_get(list, json_array_size(list) - 1), "n"));
    reply_page(op->rq, list, more, AK_CURSOR_JOB_LOG, last);
}

static void get_log(struct ak_request *rq)
{
    static const char *const names[] = {"cursor", "limit"};
    struct ak_op *op =
        ak_op_begin(rq, AK_OP_NO_COLLECTION, names, AK_COUNT(names));
    struct ak_cursor cursor;
    uint64_t limit, id;

    if (op == NULL || !read_page(op, AK_CURSOR_JOB_LOG, &cursor, &limit))
        return;
    id = read_id(rq);
    if (id > 0)
        ak_jobs_log(jobs_of(rq), id, cursor.ordinal, (size_t)limit, got_log,
                    op);
}

/* --------------------------------------------------------------------- events */

static void wake(void *arg)
{
    ak_request_wake(arg);
}

static void hold(void *arg)
{
    ak_request_ref(arg);
}

static void drop(void *arg)
{
    ak_request_unref(arg);
}

static size_t pull(void *arg, char *out, size_t cap)
{
    size_t n = ak_run_watch_read(arg, out, cap);

    return n == AK_RUN_WATCH_END ? AK_FEED_END : n;
}

static void gone(void *arg)
{
    ak_run_watch_close(arg);
}

/* Last-Event-ID; false: it was answered. */
static bool read_last(struct ak_request *rq, uint64_t *last)
{
    const char *text = ak_request_header(rq, "Last-Event-ID");
    size_t len = text != NULL ? strlen(text) : 0;

    *last = 0;
    if (len == 0)
        return true;
    if (len <= 18 && strspn(text, "0123456789") == len) {
        *last = strtoull(text, NULL, 10);
        return true;
    }
    ak_reply_problem(rq, "validation-failed",
                     "Last-Event-ID must be the id of an event: a number of "
                     "at most 18 digits");
    return false;
}

static void get_events(struct ak_request *rq)
{
    const struct ak_run_watcher watcher = {wake, hold, drop, rq};
    struct ak_feed feed = {.pull = pull, .gone = gone};
    struct ak_run_watch *watch;
    struct ak_err err = {0};
    uint64_t id, last;
    enum ak_status status;

    if (!ak_request_only(rq, NULL, 0) || !read_last(rq, &last))
        return;
    id = read_id(rq);
    if (id == 0)
        return;
    status = ak_jobs_watch(jobs_of(rq), id, last, &watcher, &watch, &err);
    switch (status) {
    case AK_OK:
        feed.arg = watch;
        ak_reply_feed(rq, 200, "text/event-stream", &feed);
        break;
    case AK_ECANCELED:
        /* Tells a browser not to come again. */
        ak_reply_empty(rq, 204);
        break;
    case AK_ELIMIT:
        ak_reply_problem(rq, "rate-limited", "%s", err.text);
        break;
    default:
        ak_reply_failure(rq, status, &err);
        break;
    }
}

/* ------------------------------------------------------ cancel, pause, resume */

static void asked(void *arg, enum ak_status status, const struct ak_err *err)
{
    struct ak_op *op = arg;
    const uint64_t *id = op->arg;

    if (status != AK_OK)
        refuse(op->rq, status, err);
    else
        reply_job(op->rq, 202, *id);
}

static void ask(struct ak_request *rq, enum ak_run_wish wish)
{
    struct ak_op *op = ak_op_begin(rq, AK_OP_NO_COLLECTION, NULL, 0);
    struct ak_err err = {0};
    enum ak_status status;
    uint64_t *id;

    if (op == NULL)
        return;
    id = ak_arena_array(&op->arena, 1, sizeof(*id));
    op->arg = id;
    if (id == NULL) {
        ak_op_fail(op, AK_ENOMEM, NULL);
        return;
    }
    *id = read_id(rq);
    if (*id == 0)
        return;
    status = ak_jobs_ask(jobs_of(rq), *id, wish, asked, op, &err);
    if (status != AK_OK)
        refuse(rq, status, &err);
}

static void post_cancel(struct ak_request *rq)
{
    ask(rq, AK_RUN_CANCEL);
}

static void post_pause(struct ak_request *rq)
{
    ask(rq, AK_RUN_PAUSE);
}

static void post_resume(struct ak_request *rq)
{
    ask(rq, AK_RUN_GO_ON);
}

const struct ak_route ak_routes_jobs[] = {
    {"POST", "/v1/jobs", post_job, AK_ROUTE_WRITES, "start a job"},
    {"GET", "/v1/jobs", get_jobs, 0, "jobs, the newest first"},
    {"GET", "/v1/jobs/kinds", get_kinds, AK_ROUTE_STARTING,
     "the kinds of jobs that there are"},
    {"GET", "/v1/jobs/{id}", get_job, 0, "one job: state, progress, result"},
    {"GET", "/v1/jobs/{id}/log", get_log, 0, "lines of its log"},
    {"GET", "/v1/jobs/{id}/events", get_events, 0,
     "what happens to it, as an event stream"},
    {"POST", "/v1/jobs/{id}/cancel", post_cancel, 0,
     "end it; it leaves no trace"},
    {"POST", "/v1/jobs/{id}/pause", post_pause, 0, "let it rest"},
    {"POST", "/v1/jobs/{id}/resume", post_resume, 0, "let it go on"},
    {0},
};
