/*
 * feed.c -- answers that are made while they are sent: event streams, exports.
 *
 * libmicrohttpd asks for the next bytes when the client has taken those before.
 * When there are none the connection is suspended, under the request's lock, so
 * that a wake either comes before it looked or finds it suspended.  A suspended
 * connection costs no thread and has no deadline; from the moment that bytes
 * are handed over until the next are asked for, it has one: a client that does
 * not read is cut by ak_http_tick().
 */
#include "core/base/clock.h"
#include "server/http_internal.h"

#define BLOCK   4096
#define SLOW_NS UINT64_C(30000000000) /* for the client to take what it got */

static ssize_t read_feed(void *arg, uint64_t pos, char *out, size_t cap)
{
    struct ak_request *rq = arg;
    struct ak_http *http = rq->http;
    size_t n = rq->feed.whole ? AK_FEED_CUT : AK_FEED_END;

    (void)pos;
    pthread_mutex_lock(&rq->lock);
    if (!atomic_load(&http->refusing) && !atomic_load(&http->stopping))
        n = rq->feed.pull(rq->feed.arg, out, cap);
    if (n == 0) {
        atomic_store(&rq->link->deadline_ns, 0);
        rq->suspended = true;
        MHD_suspend_connection(rq->connection);
    } else {
        atomic_store(&rq->link->deadline_ns, ak_clock_ns() + SLOW_NS);
    }
    pthread_mutex_unlock(&rq->lock);
    if (n == AK_FEED_END)
        return MHD_CONTENT_READER_END_OF_STREAM;
    if (n == AK_FEED_CUT)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    ak_metric_add(AK_METRIC_HTTP_REPLY_BYTES, 0, n);
    return (ssize_t)n;
}

struct MHD_Response *ak_feed_response(struct ak_request *rq)
{
    const struct ak_feed *feed = &rq->feed;

    /* libmicrohttpd 0.9.75 ends a chunked answer to HEAD by a last chunk, which
       the client would take for the next answer. */
    if (rq->head && feed->size == 0)
        return MHD_create_response_from_buffer(0, (void *)(uintptr_t) "",
                                               MHD_RESPMEM_PERSISTENT);
    return MHD_create_response_from_callback(
        feed->size > 0 ? feed->size : MHD_SIZE_UNKNOWN,
        feed->block > 0 ? feed->block : BLOCK, read_feed, rq, NULL);
}

/* Under the request's lock. */
static void resume(struct ak_request *rq)
{
    if (!rq->feeds || !rq->suspended)
        return;
    rq->suspended = false;
    atomic_store(&rq->link->deadline_ns, ak_clock_ns() + SLOW_NS);
    MHD_resume_connection(rq->connection);
}

void ak_request_wake(struct ak_request *rq)
{
    pthread_mutex_lock(&rq->lock);
    resume(rq);
    pthread_mutex_unlock(&rq->lock);
}

void ak_feed_end_all(struct ak_http *http)
{
    pthread_mutex_lock(&http->lock);
    for (struct ak_request *rq = http->requests; rq != NULL; rq = rq->next)
        ak_request_wake(rq);
    pthread_mutex_unlock(&http->lock);
}

struct ak_request *ak_request_ref(struct ak_request *rq)
{
    atomic_fetch_add_explicit(&rq->holders, 1, memory_order_relaxed);
    return rq;
}

void ak_reply_feed(struct ak_request *rq, unsigned status, const char *type,
                   const struct ak_feed *feed)
{
    bool gone;

    pthread_mutex_lock(&rq->lock);
    gone = rq->state == AK_STATE_DONE;
    rq->feed = *feed;
    rq->feeds = !gone;
    pthread_mutex_unlock(&rq->lock);
    rq->reply.status = status;
    rq->reply.type = type;
    ak_request_finish(rq);
    /* The client went before it was answered; nobody else says so. */
    if (gone)
        feed->gone(feed->arg);
}
