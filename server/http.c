/*
 * http.c -- the HTTP server: its life, its connections and what libmicrohttpd
 * tells about each request.
 *
 * libmicrohttpd calls the access handler once when the headers are there, then
 * for each piece of the body, then once when all of it is there; and again
 * after each resume.  The first call decides whether the body is wanted at all.
 * The last one runs the route; while nobody has answered, it suspends the
 * connection, which then costs no thread, and the answer resumes it.
 *
 * A connection is suspended and resumed under the request's lock only: so the
 * answer either comes before the decision to suspend, or finds it suspended.
 * libmicrohttpd takes two resumes, or one before the suspend, amiss.
 *
 * Time: libmicrohttpd's own timeout is of inactivity.  A client that sends one
 * byte a second is ended by ak_http_tick(), which shuts the socket of each
 * connection that is past its deadline; the list's lock keeps it open so long.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "server/http_internal.h"
#include "server/json_memory.h"
#include "server/log.h"

#define MS           1000000u
#define UNSENT_BYTES (128 << 10)
#define STOP_WAIT_NS 1000000000u /* for the last answers to leave */

bool ak_http_ready(struct ak_http *http)
{
    struct ak_engine_progress progress;

    if (atomic_load_explicit(&http->ready, memory_order_relaxed))
        return true;
    ak_engine_progress(http->engine, &progress);
    if (progress.ready)
        atomic_store(&http->ready, true);
    return progress.ready;
}

/* ------------------------------------------------------------ connections */

static void set_deadline(struct ak_link *link, uint64_t ms)
{
    atomic_store(&link->deadline_ns,
                 ms > 0 ? ak_clock_coarse_ns() + ms * MS : 0);
}

/*
 * Of what a client has not read the system keeps no more than this: the rest
 * stays with us, where it is counted and has its time.  Else it takes up to
 * 4 MiB of a connection (tcp_wmem), and to us an answer is done when it has been
 * taken: a client that asks again and again and reads nothing would be answered
 * until that is full.  What is on its way is not in it, so it costs no speed.
 */
static void keep_unsent(int fd)
{
    int most = UNSENT_BYTES;

    /* A unix socket has none, and a small buffer. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &most, sizeof(most));
}

static void on_connection(void *arg, struct MHD_Connection *connection,
                          void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct ak_http *http = arg;
    struct ak_link *link = *context;
    const union MHD_ConnectionInfo *info;

    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        ak_accept_ended(http->accept);
        if (link == NULL)
            return;
        pthread_mutex_lock(&http->lock);
        if (link->prev != NULL)
            link->prev->next = link->next;
        else
            http->links = link->next;
        if (link->next != NULL)
            link->next->prev = link->prev;
        pthread_mutex_unlock(&http->lock);
        atomic_fetch_sub(&http->connections, 1);
        free(link->spare);
        free(link);
        *context = NULL;
        return;
    }
    info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    link = calloc(1, sizeof(*link));
    *context = link;
    /* Without one, the first request on it is refused. */
    if (link == NULL || info == NULL) {
        free(link);
        *context = NULL;
        return;
    }
    link->fd = info->connect_fd;
    keep_unsent(link->fd);
    set_deadline(link, atomic_load(&http->config)->header_timeout_ms);
    pthread_mutex_lock(&http->lock);
    link->next = http->links;
    if (link->next != NULL)
        link->next->prev = link;
    http->links = link;
    pthread_mutex_unlock(&http->lock);
    atomic_fetch_add(&http->connections, 1);
    ak_metric_add(AK_METRIC_HTTP_CONNECTIONS_TOTAL, 0, 1);
}

void ak_http_tick(struct ak_http *http)
{
    uint64_t now = ak_clock_ns();

    pthread_mutex_lock(&http->lock);
    for (struct ak_link *l = http->links; l != NULL; l = l->next) {
        uint64_t deadline = atomic_load(&l->deadline_ns);

        /* A moment later than what the request itself looks at, so that it can
           still say why. */
        if (deadline == 0 || now < deadline + 500 * MS)
            continue;
        atomic_store(&l->deadline_ns, 0);
        shutdown(l->fd, SHUT_RDWR);
        ak_metric_add(AK_METRIC_HTTP_REJECTED, AK_REJECTED_TIMEOUT, 1);
    }
    pthread_mutex_unlock(&http->lock);
}

/* --------------------------------------------------------------- requests */

static void *on_uri(void *arg, const char *uri,
                    struct MHD_Connection *connection)
{
    struct ak_http *http = arg;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct ak_link *link = info != NULL ? info->socket_context : NULL;
    struct ak_request *rq;

    if (link == NULL)
        return NULL;
    rq = ak_request_create(http, uri, connection, link);
    if (rq != NULL)
        set_deadline(link, rq->config->header_timeout_ms);
    return rq;
}

static bool make_type(struct ak_request *rq)
{
    const char *type = ak_request_header(rq, "Content-Type");
    size_t len;

    if (type == NULL)
        return true;
    type += strspn(type, " \t");
    len = strcspn(type, ";");
    while (len > 0 && (type[len - 1] == ' ' || type[len - 1] == '\t'))
        len--;
    rq->type = ak_request_copy(rq, type, len);
    if (rq->type == NULL)
        return false;
    for (char *p = rq->type; *p != '\0'; p++)
        if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p - 'A' + 'a');
    return true;
}

/* Give the request its entry; false: it was answered. */
static bool route(struct ak_request *rq)
{
    char allow[96];
    bool found;
    struct ak_route_entry *e =
        ak_router_find(&rq->http->router, rq->method, rq->path, rq->n_path,
                       &found, allow, sizeof(allow));

    if (e == NULL) {
        ak_reply_problem(rq, "not-found", "there is no %.*s",
                         (int)strcspn(rq->target, "?"), rq->target);
        return false;
    }
    if (!found) {
        ak_reply_header(rq, "Allow", "%s", allow);
        ak_reply_problem(rq, "method-not-allowed",
                         "the method is %.20s, must be %s", rq->method, allow);
        return false;
    }
    rq->entry = e;
    return true;
}

/* Whether the daemon is in a state for it; false: it was answered. */
static bool admit(struct ak_request *rq)
{
    const struct ak_route *r = rq->entry->route;
    struct ak_engine_progress progress;

    if (rq->late && !(r->flags & AK_ROUTE_STARTING)) {
        ak_reply_problem(rq, "draining", "the server stops");
        return false;
    }
    if (!(r->flags & AK_ROUTE_STARTING) && !ak_http_ready(rq->http)) {
        ak_reply_problem(rq, "starting", "the collections are being loaded");
        return false;
    }
    if (!(r->flags & AK_ROUTE_WRITES))
        return true;
    if (atomic_load(&rq->http->draining)) {
        ak_reply_problem(rq, "draining", "the server stops");
        return false;
    }
    ak_engine_progress(rq->http->engine, &progress);
    if (progress.read_only) {
        ak_reply_problem(rq, "read-only",
                         "the disk refused a write; nothing is changed until "
                         "the server was started again");
        return false;
    }
    if (progress.disk_low && !(r->flags & AK_ROUTE_DELETES)) {
        ak_reply_disk_full(rq, &progress);
        return false;
    }
    return true;
}

/* Whether the queue of the collection takes the body; false: it was answered. */
static bool has_room(struct ak_request *rq)
{
    const struct ak_route *r = rq->entry->route;
    static const char prefix[] = "/v1/collections/{c}/";
    struct ak_collection *c;
    uint64_t len = rq->length;
    bool full;

    if (!(r->flags & AK_ROUTE_WRITES) || (r->flags & AK_ROUTE_DELETES) ||
        !rq->has_body || strncmp(r->pattern, prefix, sizeof(prefix) - 1) != 0)
        return true;
    /* What is not there is the route's to say. */
    if (ak_engine_get(rq->http->engine, ak_request_param(rq, "c"), &c, NULL) !=
        AK_OK)
        return true;
    /* A stream is submitted in pieces: what counts is room for one. */
    if (len == 0 || len > rq->config->max_body_bytes)
        len = 1;
    full = ak_collection_full(c, (size_t)len);
    if (full)
        ak_reply_header(rq, "Retry-After", "%u",
                        ak_collection_retry_seconds(c));
    ak_collection_drop(c);
    if (full)
        ak_metric_add(AK_METRIC_INGEST_REFUSED, AK_NO_ROOM_QUEUE, 1);
    if (full)
        ak_reply_problem(rq, "queue-full",
                         "no room for %llu bytes: batches come faster than "
                         "they are stored",
                         (unsigned long long)len);
    return !full;
}

/* Whether the body is what it says: no compression, so no bomb of it either;
   false: it was answered. */
static bool is_plain(struct ak_request *rq)
{
    const char *coding = ak_request_header(rq, "Content-Encoding");

    if (!rq->has_body || coding == NULL || strcasecmp(coding, "identity") == 0)
        return true;
    ak_reply_header(rq, "Accept-Encoding", "identity");
    ak_reply_problem(rq, "unsupported-media-type",
                     "the Content-Encoding is \"%.40s\", must be identity: "
                     "bodies are not compressed",
                     coding);
    return false;
}

/* Whether a body that is collected fits; false: it was answered. */
static bool fits(struct ak_request *rq)
{
    uint64_t limit = rq->config->max_body_bytes;

    if (rq->length <= limit)
        return true;
    ak_reply_problem(rq, "body-too-large",
                     "the body has %llu bytes, at most %llu",
                     (unsigned long long)rq->length, (unsigned long long)limit);
    return false;
}

/* All that can be said before the body; what is refused was answered. */
static void examine(struct ak_request *rq, const char *method,
                    const char *version)
{
    bool stream;

    rq->method = ak_request_copy(rq, method, strlen(method));
    if (rq->method == NULL) {
        rq->method = "";
        ak_reply_failure(rq, AK_ENOMEM, NULL);
        return;
    }
    rq->head = strcmp(method, "HEAD") == 0;
    if (!ak_guard_check(rq, version))
        return;
    if (!make_type(rq)) {
        ak_reply_failure(rq, AK_ENOMEM, NULL);
        return;
    }
    if (!ak_request_parse_target(rq) || !route(rq) || !admit(rq))
        return;
    stream = rq->entry->route->flags & AK_ROUTE_STREAMS;
    if (!is_plain(rq) || (!stream && !fits(rq)) || !has_room(rq))
        return;
    if (stream && rq->has_body) {
        rq->entry->route->handler(rq);
        if (rq->streams || ak_request_answered(rq) || !fits(rq))
            return;
    }
    (void)ak_body_reserve(rq);
}

static enum MHD_Result queue(struct ak_request *rq)
{
    bool close = rq->closes || atomic_load(&rq->http->draining);
    struct MHD_Response *response;
    unsigned status = rq->forced ? 503 : rq->reply.status;
    uint64_t ns = ak_clock_ns() - rq->begun_ns;
    enum MHD_Result result;

    response = rq->forced ? ak_reply_forced(rq) : ak_reply_response(rq, close);
    if (response == NULL)
        return MHD_NO;
    set_deadline(rq->link, rq->config->request_timeout_ms);
    result = MHD_queue_response(rq->connection, status, response);
    MHD_destroy_response(response);
    rq->counted = true;
    ak_router_count(rq->entry, rq->head, status, ns);
    ak_log_debug(
        "http", "request", AK_TEXT("request_id", rq->id),
        AK_TEXT("method", rq->method),
        AK_TEXT("route",
                rq->entry->route != NULL ? rq->entry->route->pattern : NULL),
        AK_NUMBER("status", status), AK_NUMBER("microseconds", ns / 1000));
    return result;
}

static enum MHD_Result on_headers(struct ak_request *rq, const char *method,
                                  const char *version)
{
    struct ak_http *http = rq->http;
    bool now;

    rq->begun = true;
    rq->late = atomic_load(&http->refusing);
    if (!rq->late)
        atomic_fetch_add(&http->active, 1);
    pthread_mutex_lock(&http->lock);
    rq->next = http->requests;
    if (rq->next != NULL)
        rq->next->prev = rq;
    http->requests = rq;
    pthread_mutex_unlock(&http->lock);

    examine(rq, method, version);
    set_deadline(rq->link, rq->has_body ? rq->config->request_timeout_ms : 0);
    pthread_mutex_lock(&rq->lock);
    rq->state = AK_STATE_BODY;
    /* Where the framing is in doubt, nothing more may be read.  A client that
       waits for "100 Continue" sends nothing more.  Both get the answer through
       libmicrohttpd, which closes after it. */
    now = rq->answered && (rq->closes || (rq->has_body && rq->expects));
    if (now)
        rq->state = AK_STATE_WORK;
    else if (rq->answered && rq->has_body)
        ak_request_answer_early(rq);
    pthread_mutex_unlock(&rq->lock);
    if (!now)
        return MHD_YES;
    rq->closes = true;
    return queue(rq);
}

/*
 * A piece of the body.  libmicrohttpd may be left with bytes only where the
 * connection is suspended, else it waits for more before it offers them again.
 * So they are offered here until all are taken, or the stream pauses and has
 * not gone on when the connection is suspended: both are looked at under one
 * lock, since a go_on() may come from another thread at any moment.
 */
static enum MHD_Result on_body(struct ak_request *rq, const char *data,
                               size_t *len)
{
    enum MHD_Result result = MHD_YES;
    bool stop;

    /* Of a chunked body libmicrohttpd offers the next chunk that it has even
       to a connection that the last one suspended; what is left it keeps. */
    pthread_mutex_lock(&rq->lock);
    stop = rq->suspended;
    pthread_mutex_unlock(&rq->lock);
    while (!stop) {
        size_t taken = ak_body_take(rq, (const uint8_t *)data, *len);

        data += taken;
        *len -= taken;
        pthread_mutex_lock(&rq->lock);
        if (rq->paused && !rq->answered) {
            stop = true;
            if (atomic_load(&rq->http->stopping)) {
                result = MHD_NO;
            } else {
                atomic_store(&rq->link->deadline_ns, 0);
                rq->suspended = true;
                MHD_suspend_connection(rq->connection);
            }
        } else {
            stop = *len == 0;
        }
        pthread_mutex_unlock(&rq->lock);
    }
    return result;
}

/*
 * The body is there: now, or again before or after a wait.  The connection is
 * suspended by the second call, which comes at once: after the first it still
 * counts as one that is read, and libmicrohttpd would read it when it is
 * resumed, find the end of what a client sends that shuts its side behind its
 * request, and close before the answer.
 */
static enum MHD_Result on_whole(struct ak_request *rq)
{
    bool first = !rq->whole, answered;

    if (first) {
        bool early;

        pthread_mutex_lock(&rq->lock);
        answered = rq->answered;
        early = rq->early;
        rq->state = AK_STATE_WORK;
        pthread_mutex_unlock(&rq->lock);
        /* It has its answer; this closes the connection. */
        if (early)
            return MHD_NO;
        set_deadline(rq->link, 0);
        rq->whole = true;
        if (!answered && !rq->streams)
            rq->entry->route->handler(rq);
        if (!answered && rq->streams)
            rq->stream.end(rq, rq->stream.arg);
    }
    pthread_mutex_lock(&rq->lock);
    answered = rq->answered;
    if (!answered && !atomic_load(&rq->http->stopping)) {
        if (!first) {
            rq->suspended = true;
            MHD_suspend_connection(rq->connection);
        }
        pthread_mutex_unlock(&rq->lock);
        return MHD_YES;
    }
    if (!answered)
        rq->forced = true;
    pthread_mutex_unlock(&rq->lock);
    return queue(rq);
}

static enum MHD_Result on_access(void *arg, struct MHD_Connection *connection,
                                 const char *url, const char *method,
                                 const char *version, const char *data,
                                 size_t *len, void **context)
{
    struct ak_request *rq = *context;

    (void)arg;
    (void)connection;
    (void)url;
    (void)ak_json_memory_short(); /* of the request before */
    /* Memory was short when it began. */
    if (rq == NULL)
        return MHD_NO;
    if (!rq->begun)
        return on_headers(rq, method, version);
    if (*len > 0)
        return on_body(rq, data, len);
    return on_whole(rq);
}

static void on_completed(void *arg, struct MHD_Connection *connection,
                         void **context, enum MHD_RequestTerminationCode code)
{
    struct ak_http *http = arg;
    struct ak_request *rq = *context;
    bool answered, gone = false, fed;
    struct ak_link *link;

    (void)connection;
    (void)code;
    if (rq == NULL)
        return;
    *context = NULL;
    link = rq->link;
    set_deadline(link,
                 rq->config->idle_timeout_ms + rq->config->header_timeout_ms);
    if (rq->begun) {
        pthread_mutex_lock(&http->lock);
        if (rq->prev != NULL)
            rq->prev->next = rq->next;
        else
            http->requests = rq->next;
        if (rq->next != NULL)
            rq->next->prev = rq->prev;
        pthread_mutex_unlock(&http->lock);
    }
    pthread_mutex_lock(&rq->lock);
    rq->state = AK_STATE_DONE;
    rq->suspended = false;
    rq->link = NULL;
    rq->connection = NULL;
    answered = rq->answered;
    fed = rq->feeds;
    rq->feeds = false;
    if (!answered && !rq->whole) {
        gone = rq->streams && rq->stream.gone != NULL;
        /* Nobody else will. */
        if (!gone)
            rq->answered = true;
    }
    pthread_mutex_unlock(&rq->lock);
    if (rq->begun && !rq->counted)
        ak_router_count(rq->entry, rq->head, 499, ak_clock_ns() - rq->begun_ns);
    if (fed)
        rq->feed.gone(rq->feed.arg);
    if (!answered && gone)
        rq->stream.gone(rq, rq->stream.arg);
    else if (!answered && !rq->whole)
        ak_request_unref(rq);
    if (rq->begun && !rq->late)
        atomic_fetch_sub(&http->active, 1);
    ak_request_unref_to(rq, link);
}

static void on_message(void *arg, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0)));
static void on_message(void *arg, const char *fmt, va_list ap)
{
    char text[512];
    size_t len;

    /* One that was given, and of whose end nothing else tells. */
    if (strncmp(fmt, "Failed to start serving new", 27) == 0)
        ak_accept_ended(((struct ak_http *)arg)->accept);
    if (strncmp(fmt, "Error processing request", 24) == 0)
        ak_metric_add(AK_METRIC_HTTP_PROTOCOL_ERRORS, AK_PROTOCOL_LIBRARY, 1);
    /* It is given none beyond the limit on all of them, so this is the one on an
       address; nothing else tells of it. */
    if (strncmp(fmt, "Server reached connection limit", 31) == 0)
        ak_metric_add(AK_METRIC_HTTP_REJECTED, AK_REJECTED_ADDRESS, 1);
    if (!ak_log_enabled(AK_LOG_DEBUG))
        return;
    vsnprintf(text, sizeof(text), fmt, ap);
    len = strlen(text);
    while (len > 0 && text[len - 1] == '\n')
        text[--len] = '\0';
    ak_log_debug("http", "libmicrohttpd", AK_TEXT("text", text));
}

/* ------------------------------------------------------------------- life */

/* It gives them to its threads by their number, so in turn. */
static bool give(void *arg, int fd, const struct sockaddr *address,
                 socklen_t len)
{
    struct ak_http *http = arg;

    return MHD_add_connection(http->daemon, fd, address, len) == MHD_YES;
}

static enum ak_status start_daemon(struct ak_http *http, unsigned connections,
                                   struct ak_err *err)
{
    const struct ak_config *config = atomic_load(&http->config);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned threads = config->http_threads > 0 ? (unsigned)config->http_threads
                       : cores > 0              ? (unsigned)cores
                                                : 1;
    struct MHD_OptionItem options[16];
    enum ak_status status;
    unsigned n = 0;

#define OPTION(name, number, pointer) \
    options[n++] = (struct MHD_OptionItem){name, (intptr_t)(number), pointer}
    OPTION(MHD_OPTION_EXTERNAL_LOGGER, on_message, http);
    /* At 1 it refuses a blank in the target and a missing Host itself: by a cut
       connection, and by an answer whose head it writes twice.  The guard does
       both better. */
    OPTION(MHD_OPTION_STRICT_FOR_CLIENT, 0, NULL);
    OPTION(MHD_OPTION_URI_LOG_CALLBACK, on_uri, http);
    OPTION(MHD_OPTION_NOTIFY_COMPLETED, on_completed, http);
    OPTION(MHD_OPTION_NOTIFY_CONNECTION, on_connection, http);
    /* accept.h has the limit.  libmicrohttpd's is of each thread, and one that
       meets it there never lets go of a lock (0.9.75). */
    OPTION(MHD_OPTION_CONNECTION_LIMIT, threads * (connections + 1), NULL);
    /* It counts over all threads, and no unix sockets. */
    OPTION(MHD_OPTION_PER_IP_CONNECTION_LIMIT,
           config->max_connections_per_address, NULL);
    OPTION(MHD_OPTION_CONNECTION_TIMEOUT,
           (config->idle_timeout_ms + 999) / 1000, NULL);
    OPTION(MHD_OPTION_CONNECTION_MEMORY_LIMIT, AK_MEMORY_A_CONNECTION, NULL);
    if (threads > 1)
        OPTION(MHD_OPTION_THREAD_POOL_SIZE, threads, NULL);
    OPTION(MHD_OPTION_END, 0, NULL);
#undef OPTION
    http->daemon =
        MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_INTERNAL_POLLING_THREAD |
                             MHD_USE_ITC | MHD_ALLOW_SUSPEND_RESUME |
                             MHD_USE_ERROR_LOG | MHD_USE_NO_LISTEN_SOCKET,
                         0, NULL, NULL, on_access, http, MHD_OPTION_ARRAY,
                         options, MHD_OPTION_END);
    if (http->daemon == NULL)
        return ak_fail(err, AK_EIO, "cannot serve on %s with %u threads: %s",
                       http->address_text, threads, strerror(errno));
    status =
        ak_accept_start(http->fd, connections, give, http, &http->accept, err);
    if (status != AK_OK)
        MHD_stop_daemon(http->daemon);
    return status;
}

enum ak_status ak_http_start(const struct ak_http_params *params,
                             struct ak_http **out, struct ak_err *err)
{
    struct ak_http *http = calloc(1, sizeof(*http));
    enum ak_status status;

    if (http == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for the server");
    http->engine = params->engine;
    http->max_connections = params->max_connections;
    http->fd = -1;
    http->started_ns = ak_clock_ns();
    atomic_init(&http->config, params->config);
    pthread_mutex_init(&http->lock, NULL);
    if (getrandom(&http->id_seed, sizeof(http->id_seed), 0) < 0)
        http->id_seed = (uint64_t)ak_time_ms();
    status =
        ak_router_init(&http->router, params->tables, params->n_tables, err);
    if (status == AK_OK)
        status = ak_address_parse(params->config->listen, &http->address, err);
    if (status == AK_OK)
        status = ak_address_listen(&http->address, &http->fd, err);
    if (status == AK_OK) {
        ak_address_format(&http->address, http->address_text);
        status = start_daemon(http, params->max_connections, err);
    }
    if (status != AK_OK) {
        if (http->fd >= 0)
            close(http->fd);
        ak_router_clear(&http->router);
        pthread_mutex_destroy(&http->lock);
        free(http);
        return status;
    }
    *out = http;
    return AK_OK;
}

const char *ak_http_address(const struct ak_http *http)
{
    return http->address_text;
}

unsigned ak_http_port(const struct ak_http *http)
{
    return ak_address_port(&http->address);
}

void ak_http_reload(struct ak_http *http, struct ak_config *config)
{
    struct ak_old_config *old = malloc(sizeof(*old));

    /* Requests under way keep what they began with. */
    if (old == NULL) {
        ak_config_destroy(config);
        return;
    }
    pthread_mutex_lock(&http->lock);
    *old = (struct ak_old_config){config, http->old};
    http->old = old;
    pthread_mutex_unlock(&http->lock);
    atomic_store(&http->config, config);
}

void ak_http_drain(struct ak_http *http)
{
    atomic_store(&http->draining, true);
}

/* To go on accepting and to say 503 is kinder than a reset to a client that comes
   late. */
void ak_http_quiesce(struct ak_http *http)
{
    atomic_store(&http->refusing, true);
    ak_feed_end_all(http);
}

unsigned ak_http_active(const struct ak_http *http)
{
    return atomic_load(&http->active);
}

void ak_http_stop(struct ak_http *http)
{
    uint64_t end = ak_clock_ns() + STOP_WAIT_NS;

    if (http->daemon == NULL)
        return;
    atomic_store(&http->draining, true);
    atomic_store(&http->refusing, true);
    /* From here on nothing is suspended; what is, is answered. */
    atomic_store(&http->stopping, true);
    pthread_mutex_lock(&http->lock);
    for (struct ak_request *rq = http->requests; rq != NULL; rq = rq->next) {
        pthread_mutex_lock(&rq->lock);
        if (rq->suspended) {
            rq->suspended = false;
            MHD_resume_connection(rq->connection);
        }
        pthread_mutex_unlock(&rq->lock);
    }
    pthread_mutex_unlock(&http->lock);
    while (ak_http_active(http) > 0 && ak_clock_ns() < end)
        usleep(1000);
    ak_accept_stop(http->accept);
    close(http->fd);
    http->fd = -1;
    MHD_stop_daemon(http->daemon);
    http->daemon = NULL;
    ak_accept_destroy(http->accept);
    http->accept = NULL;
    ak_address_remove(&http->address);
}

void ak_http_destroy(struct ak_http *http)
{
    struct ak_old_config *old, *next;

    if (http == NULL)
        return;
    for (old = http->old; old != NULL; old = next) {
        next = old->next;
        ak_config_destroy(old->config);
        free(old);
    }
    ak_router_clear(&http->router);
    pthread_mutex_destroy(&http->lock);
    free(http);
}
