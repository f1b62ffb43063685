/*
 * reply.c -- what a request gets.
 *
 * Errors are problems of RFC 9457.  Two tables: a slug decides the status and
 * the title, and a status of ours decides the slug.
 */
#include <assert.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/clock.h"
#include "server/http_internal.h"
#include "server/json_memory.h"
#include "server/log.h"

#define PROBLEM    "application/problem+json"
#define MAX_FAULTS 32
/* Floats come back as they were with nine digits (IEEE 754, 5.12.2). */
#define JSON_FLAGS (JSON_COMPACT | JSON_REAL_PRECISION(9))

struct problem {
    const char *slug;
    unsigned status;
    const char *title;
    bool retry; /* trying again soon may work */
};

static const struct problem problems[] = {
    {"internal", 500, "The server failed", false},
    {"malformed-request", 400, "The request is malformed", false},
    {"malformed-json", 400, "The body is not JSON", false},
    {"json-too-deep", 400, "The JSON is nested too deeply", false},
    {"invalid-cursor", 400, "The cursor is not valid", false},
    {"ambiguous-framing", 400, "The request could be read in two ways", false},
    {"unauthenticated", 401, "A key is needed", false},
    {"forbidden", 403, "This is not allowed", false},
    {"not-found", 404, "There is no such thing", false},
    {"method-not-allowed", 405, "The method does not fit here", false},
    {"request-timeout", 408, "The request took too long to arrive", false},
    {"already-exists", 409, "It exists and differs", false},
    {"state-conflict", 409, "The state does not allow it", false},
    {"sequence-gap", 409, "A batch is missing before this one", false},
    {"body-too-large", 413, "The body is too large", false},
    {"uri-too-long", 414, "The path is too long", false},
    {"unsupported-media-type", 415, "The content type is not supported", false},
    {"validation-failed", 422, "A value is not valid", false},
    {"unknown-field", 422, "A field is not known", false},
    {"unsupported-option", 422, "An option is not supported", false},
    {"dim-mismatch", 422, "A vector has the wrong dimension", false},
    {"non-finite-value", 422, "A number is not finite", false},
    {"duplicate-id", 422, "An id comes twice", false},
    {"label-count", 422, "An item has the wrong number of labels", false},
    {"image-undecodable", 422, "An image cannot be decoded", false},
    {"image-too-large", 422, "An image is too large", false},
    {"idempotency-key-reused", 422, "The key was used by another request",
     false},
    {"rate-limited", 429, "Too many requests", true},
    {"queue-full", 429, "The queue is full", true},
    {"too-many-jobs", 429, "Too many jobs", true},
    {"header-too-large", 431, "The headers are too large", false},
    {"starting", 503, "The server is starting", true},
    {"draining", 503, "The server is stopping", true},
    {"decoder-unavailable", 503, "Images cannot be decoded now", true},
    {"not-caught-up", 503, "The state asked for is not reached yet", true},
    {"read-only", 503, "The server does not take changes", false},
    {"disk-full", 507, "The disk is full", true},
};

/* What a status becomes.  `hidden` texts are for the log only. */
static const struct {
    const char *slug;
    bool hidden;
} failures[] = {
    [AK_OK] = {"internal", true},
    [AK_EINVAL] = {"validation-failed", false},
    [AK_ENOTFOUND] = {"not-found", false},
    [AK_EEXISTS] = {"already-exists", false},
    [AK_ELIMIT] = {"validation-failed", false},
    [AK_EBUSY] = {"queue-full", false},
    [AK_ECANCELED] = {"draining", false},
    [AK_ENUMERIC] = {"non-finite-value", false},
    [AK_ECORRUPT] = {"internal", true},
    [AK_EIO] = {"internal", true},
    [AK_ENOMEM] = {"internal", true},
    [AK_EUNSUPPORTED] = {"unsupported-option", false},
    [AK_ESEQUENCE] = {"sequence-gap", false},
    [AK_EFULL] = {"disk-full", true},
};

static const struct problem *find(const char *slug)
{
    for (size_t i = 0; i < sizeof(problems) / sizeof(problems[0]); i++)
        if (strcmp(problems[i].slug, slug) == 0)
            return &problems[i];
    /* A slug that is not in the table is a bug of a route. */
    assert(slug == NULL);
    return &problems[0];
}

/* ------------------------------------------------------------ for a route */

static const char *field_of(const struct ak_reply *r, const char *name)
{
    for (size_t i = 0; i < r->n_fields; i++)
        if (strcasecmp(r->fields[i].name, name) == 0)
            return r->fields[i].value;
    return NULL;
}

void ak_reply_header(struct ak_request *rq, const char *name, const char *fmt,
                     ...)
{
    struct ak_reply *r = &rq->reply;
    char value[512], *copy;
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(value, sizeof(value), fmt, ap);
    va_end(ap);
    /* What is quoted from outside must not begin a new header. */
    for (char *p = value; *p != '\0'; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = '?';
    copy = ak_request_copy(rq, value, strlen(value));
    if (copy == NULL || r->n_fields == sizeof(r->fields) / sizeof(r->fields[0]))
        return;
    r->fields[r->n_fields++] = (struct ak_field){name, copy};
}

void ak_reply_number(struct ak_request *rq, const char *name, uint64_t value)
{
    struct ak_reply *r = &rq->reply;
    char digits[AK_TEXT_DIGITS], *copy;
    size_t len = ak_text_digits(value, digits);

    copy = ak_request_copy(rq, digits, len);
    if (copy == NULL || r->n_fields == sizeof(r->fields) / sizeof(r->fields[0]))
        return;
    r->fields[r->n_fields++] = (struct ak_field){name, copy};
}

/* Answers that clients do not read may not fill the memory; false: there is no
   room for this one.  What was written is told all the same, and who watches the
   daemon sees it. */
static bool count_answer(struct ak_request *rq, size_t len)
{
    const unsigned always =
        AK_ROUTE_WRITES | AK_ROUTE_DELETES | AK_ROUTE_STARTING;
    const struct ak_route *route = rq->entry != NULL ? rq->entry->route : NULL;
    bool refusable = route == NULL || !(route->flags & always);
    uint64_t max = rq->config->max_answer_memory;
    size_t before;

    if (len <= AK_SMALL_ANSWER)
        return true;
    before = atomic_fetch_add(&rq->http->answer_memory, len);
    if (before > 0 && before + len > max && refusable) {
        atomic_fetch_sub(&rq->http->answer_memory, len);
        return false;
    }
    rq->sends = len;
    return true;
}

static void finish(struct ak_request *rq, unsigned status, const char *type,
                   void *data, size_t len)
{
    if (!count_answer(rq, len)) {
        free(data);
        ak_reply_problem(rq, "queue-full",
                         "the answers that are being sent would be more than "
                         "%llu bytes with this one of %zu",
                         (unsigned long long)rq->config->max_answer_memory,
                         len);
        return;
    }
    rq->reply.status = status;
    rq->reply.type = type;
    rq->reply.data = data;
    rq->reply.len = len;
    ak_request_finish(rq);
}

/* Memory is short: an answer that needs none. */
static void finish_without_memory(struct ak_request *rq)
{
    ak_log_error("http", "no memory for an answer",
                 AK_TEXT("request_id", rq->id));
    finish(rq, 500, NULL, NULL, 0);
}

void ak_reply_json(struct ak_request *rq, unsigned status, json_t *body)
{
    char *text = ak_json_text(body, JSON_FLAGS);
    size_t len;

    json_decref(body);
    if (text == NULL) {
        finish_without_memory(rq);
        return;
    }
    /* The terminating zero becomes a newline: kind to a terminal. */
    len = strlen(text);
    text[len] = '\n';
    finish(rq, status, "application/json", text, len + 1);
}

void ak_reply_bytes(struct ak_request *rq, unsigned status, const char *type,
                    void *data, size_t len)
{
    finish(rq, status, type, data, len);
}

void ak_reply_empty(struct ak_request *rq, unsigned status)
{
    finish(rq, status, NULL, NULL, 0);
}

static void write_problem(struct ak_text *t, const struct problem *p,
                          const char *detail, const char *id,
                          const struct ak_fault *faults, size_t n)
{
    ak_text_addf(t, "{\"type\":\"urn:akin:problem:%s\",\"title\":", p->slug);
    ak_text_add_json(t, p->title);
    ak_text_addf(t, ",\"status\":%u,\"detail\":", p->status);
    ak_text_add_json(t, detail);
    ak_text_addf(t, ",\"request_id\":");
    ak_text_add_json(t, id);
    for (size_t i = 0; i < n && i < MAX_FAULTS; i++) {
        ak_text_addf(t, "%s{\"pointer\":", i == 0 ? ",\"errors\":[" : ",");
        ak_text_add_json(t, faults[i].pointer);
        ak_text_addf(t, ",\"code\":");
        ak_text_add_json(t, faults[i].code);
        ak_text_addf(t, ",\"detail\":");
        ak_text_add_json(t, faults[i].detail);
        ak_text_addf(t, "}%s", i + 1 == n || i + 1 == MAX_FAULTS ? "]" : "");
    }
    ak_text_addf(t, "}\n");
}

void ak_reply_faults(struct ak_request *rq, const char *slug,
                     const struct ak_fault *faults, size_t n,
                     const char *detail)
{
    const struct problem *p = find(slug);
    struct ak_text t = {0};

    write_problem(&t, p, detail, rq->id, faults, n);
    if (t.failed) {
        ak_text_clear(&t);
        finish_without_memory(rq);
        return;
    }
    if (p->retry && field_of(&rq->reply, "Retry-After") == NULL)
        ak_reply_header(rq, "Retry-After", "1");
    finish(rq, p->status, PROBLEM, t.data, t.len);
}

void ak_reply_problem(struct ak_request *rq, const char *slug, const char *fmt,
                      ...)
{
    char detail[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(detail, sizeof(detail), fmt, ap);
    va_end(ap);
    ak_reply_faults(rq, slug, NULL, 0, detail);
}

json_t *ak_problem_json(struct ak_request *rq, const char *slug,
                        const struct ak_fault *faults, size_t n,
                        const char *detail)
{
    struct ak_text t = {0};
    json_t *problem = NULL;

    write_problem(&t, find(slug), detail, rq->id, faults, n);
    if (!t.failed)
        problem = ak_json_value(t.data, t.len, 0, NULL);
    ak_text_clear(&t);
    return problem;
}

void ak_reply_problem_with(struct ak_request *rq, const char *slug,
                           json_t *extra, const char *fmt, ...)
{
    json_t *problem;
    char detail[1024], *text;
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(detail, sizeof(detail), fmt, ap);
    va_end(ap);
    problem = ak_problem_json(rq, slug, NULL, 0, detail);
    if (problem != NULL && extra != NULL)
        json_object_update(problem, extra);
    text = ak_json_text(problem, JSON_FLAGS);
    json_decref(extra);
    json_decref(problem);
    if (text == NULL)
        finish_without_memory(rq);
    else
        finish(rq, find(slug)->status, PROBLEM, text, strlen(text));
}

void ak_reply_disk_full(struct ak_request *rq,
                        const struct ak_engine_progress *now)
{
    ak_metric_add(AK_METRIC_INGEST_REFUSED, AK_NO_ROOM_DISK, 1);
    ak_reply_problem(rq, "disk-full",
                     "%llu bytes are free, disk_low_bytes is %llu: nothing is "
                     "stored until there is more; reads and deletes go on",
                     (unsigned long long)now->disk_free_bytes,
                     (unsigned long long)now->disk_low_bytes);
}

void ak_reply_failure(struct ak_request *rq, enum ak_status status,
                      const struct ak_err *err)
{
    size_t i = (size_t)status;
    const char *slug = "internal";
    struct ak_engine_progress progress;
    bool hidden = true;

    if (i < sizeof(failures) / sizeof(failures[0])) {
        slug = failures[i].slug;
        hidden = failures[i].hidden;
    }
    if (status == AK_EBUSY && !ak_http_ready(rq->http))
        slug = "starting";
    if (status == AK_EFULL) { /* the engine logs it, once */
        ak_engine_progress(rq->http->engine, &progress);
        ak_reply_disk_full(rq, &progress);
        return;
    }
    if (hidden)
        ak_log_error("http", "request failed", AK_TEXT("request_id", rq->id),
                     AK_TEXT("status", ak_status_name(status)),
                     AK_TEXT("error", err != NULL ? err->text : NULL));
    if (status == AK_EIO) {
        ak_engine_progress(rq->http->engine, &progress);
        if (progress.read_only) {
            ak_reply_problem(rq, "read-only",
                             "the disk refused a write; nothing is changed "
                             "until the server was started again");
            return;
        }
    }
    if (hidden)
        ak_reply_problem(rq, slug,
                         "the log of the server says why, with this "
                         "request_id");
    else
        ak_reply_problem(rq, slug, "%s",
                         err != NULL && err->text[0] != '\0'
                             ? err->text
                             : ak_status_name(status));
}

/* ---------------------------------------------------------- for the server */

typedef void field_fn(void *arg, const char *name, const char *value);

/* "scan;dur=0.052, ...": milliseconds with three digits behind the point.  What
   does not fit is left out. */
static void write_timing(const struct ak_request *rq, char *out, size_t cap)
{
    size_t len = 0;

    for (size_t i = 0; i < rq->n_stages; i++) {
        uint64_t us = (rq->stages[i].ns + 500) / 1000;
        size_t n = strlen(rq->stages[i].name);

        if (n + AK_TEXT_DIGITS + 12 > cap - len)
            break;
        if (i > 0) {
            out[len++] = ',';
            out[len++] = ' ';
        }
        memcpy(out + len, rq->stages[i].name, n);
        len += n;
        memcpy(out + len, ";dur=", 5);
        len += 5;
        len += ak_text_digits(us / 1000, out + len);
        out[len++] = '.';
        for (uint64_t place = 100, left = us % 1000; place > 0; place /= 10)
            out[len++] = (char)('0' + left / place % 10);
    }
    out[len] = '\0';
}

/* All headers but those of framing. */
static void each_field(const struct ak_request *rq, bool close, field_fn *fn,
                       void *arg)
{
    const struct ak_reply *r = &rq->reply;
    char timing[512];

    if (r->type != NULL)
        fn(arg, "Content-Type", r->type);
    fn(arg, "X-Request-Id", rq->id);
    fn(arg, "X-Content-Type-Options", "nosniff");
    if (field_of(r, "Cache-Control") == NULL)
        fn(arg, "Cache-Control", "no-store");
    write_timing(rq, timing, sizeof(timing));
    if (timing[0] != '\0')
        fn(arg, "Server-Timing", timing);
    for (size_t i = 0; i < r->n_fields; i++)
        fn(arg, r->fields[i].name, r->fields[i].value);
    if (close)
        fn(arg, "Connection", "close");
}

static void add_to_response(void *arg, const char *name, const char *value)
{
    /* It refuses only what cannot be a header, and memory: the answer is better
       without one than not at all. */
    (void)MHD_add_response_header(arg, name, value);
}

struct MHD_Response *ak_reply_response(struct ak_request *rq, bool close)
{
    struct ak_reply *r = &rq->reply;
    struct MHD_Response *response;

    /* To HEAD of a feed libmicrohttpd 0.9.75 sends the chunk that would end it,
       which a client takes for the beginning of its next answer: so that one
       is empty instead. */
    if (rq->feeds && !rq->head)
        response = ak_feed_response(rq);
    else
        response = MHD_create_response_from_buffer(
            r->len, r->data,
            r->data != NULL ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
    if (response == NULL)
        return NULL;
    r->data = NULL; /* the response's */
    each_field(rq, close, add_to_response, response);
    ak_metric_add(AK_METRIC_HTTP_REPLY_BYTES, 0, r->len);
    return response;
}

static void add_to_text(void *arg, const char *name, const char *value)
{
    ak_text_addf(arg, "%s: %s\r\n", name, value);
}

void ak_reply_raw(struct ak_request *rq, struct ak_text *t)
{
    const struct ak_reply *r = &rq->reply;
    const char *reason = MHD_get_reason_phrase_for(r->status);

    ak_text_addf(t, "HTTP/1.1 %u %s\r\n", r->status, reason ? reason : "");
    each_field(rq, true, add_to_text, t);
    ak_text_addf(t, "Content-Length: %zu\r\n\r\n", r->len);
    ak_text_add(t, r->data, r->len);
}

struct MHD_Response *ak_reply_forced(const struct ak_request *rq)
{
    struct ak_text t = {0};
    struct MHD_Response *response = NULL;

    write_problem(&t, find("draining"),
                  "the server stops and the answer was "
                  "not there in time; it may have been "
                  "done or not",
                  rq->id, NULL, 0);
    if (!t.failed)
        response = MHD_create_response_from_buffer(t.len, t.data,
                                                   MHD_RESPMEM_MUST_FREE);
    if (response == NULL) {
        ak_text_clear(&t);
        return NULL;
    }
    add_to_response(response, "Content-Type", PROBLEM);
    add_to_response(response, "X-Request-Id", rq->id);
    add_to_response(response, "X-Content-Type-Options", "nosniff");
    add_to_response(response, "Cache-Control", "no-store");
    add_to_response(response, "Connection", "close");
    return response;
}
