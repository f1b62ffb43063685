/*
 * body.c -- what a request brings: collected up to the limit, handed to a
 * stream, or thrown away once the request is answered.
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "server/http_internal.h"

#define FIRST_CAP 16384

static void refresh(struct ak_request *rq)
{
    rq->refreshed = rq->received;
    atomic_store(&rq->link->deadline_ns,
                 ak_clock_coarse_ns() +
                     rq->config->request_timeout_ms * 1000000);
}

/*
 * Count `more` bytes of memory for the request; false when that would be too
 * much.  Deletes have a pot of their own, so that they never wait for those who
 * fill the other; one that is alone may be larger than that.
 */
static bool count(struct ak_request *rq, size_t more)
{
    bool deletes =
        rq->entry->route != NULL && rq->entry->route->flags & AK_ROUTE_DELETES;
    atomic_size_t *pot = &rq->http->body_memory[deletes];
    uint64_t max =
        rq->config->max_body_memory / (deletes ? AK_DELETES_SHARE : 1);
    size_t before = atomic_fetch_add(pot, more);

    if (before + more <= max || (deletes && before == rq->held)) {
        rq->held += more;
        return true;
    }
    atomic_fetch_sub(pot, more);
    return false;
}

static bool reply_no_memory(struct ak_request *rq)
{
    ak_metric_add(AK_METRIC_INGEST_REFUSED, AK_NO_ROOM_MEMORY, 1);
    /* What fills it is on its way to the queue. */
    ak_reply_header(
        rq, "Retry-After", "%u",
        ak_engine_retry_seconds(rq->http->engine,
                                atomic_load(&rq->http->body_memory[0])));
    ak_reply_problem(rq, "queue-full",
                     "the bodies of all requests together would be more "
                     "than %llu bytes",
                     (unsigned long long)rq->config->max_body_memory);
    return false;
}

bool ak_request_hold(struct ak_request *rq, size_t bytes)
{
    return bytes <= rq->held || count(rq, bytes - rq->held);
}

bool ak_body_reserve(struct ak_request *rq)
{
    if (!rq->has_body || rq->chunked || rq->length == 0 ||
        ak_request_hold(rq, (size_t)rq->length + 1))
        return true;
    return reply_no_memory(rq);
}

/* Room for `more` bytes and the zero behind them; false: it was answered. */
static bool make_room(struct ak_request *rq, size_t more)
{
    size_t need = rq->body_len + more + 1, cap = rq->body_cap;
    uint8_t *body;

    if (need <= cap)
        return true;
    /* The length that is announced is within the limit: it was checked. */
    if (rq->length > 0 && rq->length < SIZE_MAX)
        cap = (size_t)rq->length + 1;
    else
        cap = cap > 0 ? cap * 2 : FIRST_CAP;
    while (cap < need)
        cap *= 2;
    if (!ak_request_hold(rq, cap))
        return reply_no_memory(rq);
    body = realloc(rq->body, cap);
    if (body == NULL) {
        ak_reply_failure(rq, AK_ENOMEM, NULL);
        return false;
    }
    rq->body = body;
    rq->body_cap = cap;
    return true;
}

static void collect(struct ak_request *rq, const uint8_t *bytes, size_t len)
{
    uint64_t limit = rq->config->max_body_bytes;

    if (len > limit || rq->body_len > limit - len) {
        ak_reply_problem(rq, "body-too-large",
                         "the body has more than %llu bytes",
                         (unsigned long long)limit);
        return;
    }
    if (!make_room(rq, len))
        return;
    memcpy(rq->body + rq->body_len, bytes, len);
    rq->body_len += len;
    rq->body[rq->body_len] = 0;
}

static size_t hand_over(struct ak_request *rq, const uint8_t *bytes, size_t len)
{
    size_t n = rq->stream.data(rq, rq->stream.arg, bytes, len);

    return n < len ? n : len;
}

size_t ak_body_take(struct ak_request *rq, const uint8_t *bytes, size_t len)
{
    size_t taken = len;

    /* None is set while a stream pauses: the route may take its time. */
    if (atomic_load(&rq->link->deadline_ns) == 0 ||
        (rq->streams && !ak_request_answered(rq) &&
         rq->received - rq->refreshed >= AK_DISCARD_BYTES))
        refresh(rq);
    if (ak_request_answered(rq))
        ; /* thrown away */
    else if (ak_clock_coarse_ns() > atomic_load(&rq->link->deadline_ns))
        ak_reply_problem(
            rq, "request-timeout", "the body did not come within %llu seconds",
            (unsigned long long)rq->config->request_timeout_ms / 1000);
    else if (rq->streams)
        taken = hand_over(rq, bytes, len);
    else
        collect(rq, bytes, len);
    rq->received += taken;
    ak_metric_add(AK_METRIC_HTTP_BODY_BYTES, 0, taken);
    return taken;
}

void ak_body_release(struct ak_request *rq)
{
    bool deletes =
        rq->entry->route != NULL && rq->entry->route->flags & AK_ROUTE_DELETES;

    atomic_fetch_sub(&rq->http->body_memory[deletes], rq->held);
    rq->held = 0;
    free(rq->body);
    rq->body = NULL;
    rq->body_len = rq->body_cap = 0;
}
