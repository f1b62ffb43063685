/* request.c -- one request: its fields, its memory, its state. */
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "core/base/clock.h"
#include "core/base/digest.h"
#include "server/http_internal.h"
#include "server/log.h"

#define CHUNK 2048
/* Of which a search takes most: its struct ak_op, and what is in its arena. */
#define FIRST_ROOM 20480
#define ALIGN      16
#define LINGER_NS  5000000000u /* for the client to read an early answer */
#define MAX_QUERY  64

/* Where every use of freed memory is to be seen, nothing is used twice. */
#if defined(__SANITIZE_ADDRESS__)
#define KEEP_SPARE false
#else
#define KEEP_SPARE true
#endif

#define CHUNK_HEAD ((sizeof(struct ak_chunk) + ALIGN - 1) / ALIGN * ALIGN)

/* ----------------------------------------------------------------- memory */

void *ak_request_alloc(struct ak_request *rq, size_t len)
{
    struct ak_chunk *c = rq->chunks;
    size_t cap;
    void *at;

    if (len > SIZE_MAX / 2)
        return NULL;
    len = (len + ALIGN - 1) / ALIGN * ALIGN;
    if (c == NULL || c->cap - c->used < len) {
        cap =
            CHUNK_HEAD + (len > CHUNK - CHUNK_HEAD ? len : CHUNK - CHUNK_HEAD);
        c = malloc(cap);
        if (c == NULL)
            return NULL;
        c->cap = cap;
        c->used = CHUNK_HEAD;
        /* A big one goes behind the one that still has room. */
        if (rq->chunks != NULL && len > CHUNK / 2) {
            c->next = rq->chunks->next;
            rq->chunks->next = c;
        } else {
            c->next = rq->chunks;
            rq->chunks = c;
        }
    }
    at = (char *)c + c->used;
    c->used += len;
    return at;
}

char *ak_request_copy(struct ak_request *rq, const char *text, size_t len)
{
    char *copy = ak_request_alloc(rq, len + 1);

    if (copy != NULL) {
        memcpy(copy, text, len);
        copy[len] = '\0';
    }
    return copy;
}

/* ------------------------------------------------------------------- life */

/* A request and all the memory that most need, as one piece. */
struct first {
    struct ak_request rq; /* first */
    _Alignas(ALIGN) struct ak_chunk chunk;
    char room[FIRST_ROOM];
};

static void free_all(struct ak_request *rq, struct ak_link *link)
{
    struct first *first = (struct first *)rq;
    struct ak_chunk *c, *next;

    for (c = rq->chunks; c != NULL; c = next) {
        next = c->next;
        if (c != &first->chunk)
            free(c);
    }
    pthread_mutex_destroy(&rq->lock);
    if (KEEP_SPARE && link != NULL && link->spare == NULL)
        link->spare = first;
    else
        free(first);
}

struct ak_request *ak_request_create(struct ak_http *http, const char *target,
                                     struct MHD_Connection *connection,
                                     struct ak_link *link)
{
    struct first *first =
        link->spare != NULL ? link->spare : malloc(sizeof(*first));
    struct ak_request *rq;

    if (first == NULL)
        return NULL;
    link->spare = NULL;
    rq = &first->rq;
    memset(rq, 0, sizeof(*rq));
    first->chunk = (struct ak_chunk){.used = CHUNK_HEAD,
                                     .cap = sizeof(*first) -
                                            offsetof(struct first, chunk)};
    rq->chunks = &first->chunk;
    rq->http = http;
    rq->connection = connection;
    rq->link = link;
    rq->config = atomic_load(&http->config);
    rq->entry = &http->router.entries[http->router.n];
    rq->begun_ns = ak_clock_ns();
    atomic_init(&rq->holders, 2);
    pthread_mutex_init(&rq->lock, NULL);
    rq->target = ak_request_copy(rq, target, strlen(target));
    if (rq->target == NULL) {
        free_all(rq, NULL);
        return NULL;
    }
    return rq;
}

void ak_request_unref(struct ak_request *rq)
{
    ak_request_unref_to(rq, NULL);
}

void ak_request_unref_to(struct ak_request *rq, struct ak_link *link)
{
    if (atomic_fetch_sub_explicit(&rq->holders, 1, memory_order_acq_rel) != 1)
        return;
    for (struct ak_ending *e = rq->endings; e != NULL; e = e->next)
        e->fn(e->arg);
    ak_body_release(rq);
    atomic_fetch_sub(&rq->http->answer_memory, rq->sends);
    free(rq->reply.data);
    free_all(rq, link);
}

/*
 * Answer before the end of the body, which libmicrohttpd cannot: it takes a
 * response after the headers or after the body only.  While a body is received
 * it writes nothing, and it does not close the socket before it has told us, so
 * under the request's lock the bytes can be sent past it from any thread.  The
 * write side is closed then, and what the client still sends is thrown away for
 * a while, since a close with unread bytes would reset the connection before
 * the client has read its answer.
 */
void ak_request_answer_early(struct ak_request *rq)
{
    struct ak_text t = {0};
    size_t sent = 0;

    /* A short rest is read instead, which keeps the connection. */
    if (!rq->streams && !rq->chunked &&
        rq->length - rq->received <= AK_DISCARD_BYTES)
        return;
    rq->early = true;
    ak_reply_raw(rq, &t);
    while (!t.failed && sent < t.len) {
        ssize_t n = send(rq->link->fd, t.data + sent, t.len - sent,
                         MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        /* A full buffer so early means a client that does not read. */
        if (n <= 0)
            break;
        sent += (size_t)n;
    }
    shutdown(rq->link->fd, SHUT_WR);
    atomic_store(&rq->link->deadline_ns, ak_clock_ns() + LINGER_NS);
    ak_text_clear(&t);
    rq->counted = true;
    ak_router_count(rq->entry, rq->head, rq->reply.status,
                    ak_clock_ns() - rq->begun_ns);
}

bool ak_request_answered(struct ak_request *rq)
{
    bool answered;

    pthread_mutex_lock(&rq->lock);
    answered = rq->answered;
    pthread_mutex_unlock(&rq->lock);
    return answered;
}

void ak_request_finish(struct ak_request *rq)
{
    pthread_mutex_lock(&rq->lock);
    assert(!rq->answered);
    rq->answered = true;
    if (rq->state == AK_STATE_BODY)
        ak_request_answer_early(rq);
    if (rq->suspended) {
        rq->suspended = false;
        MHD_resume_connection(rq->connection);
    }
    pthread_mutex_unlock(&rq->lock);
    ak_request_unref(rq);
}

/* ----------------------------------------------------------------- target */

/* Decode %xx in place; SIZE_MAX: it is malformed or no UTF-8. */
static size_t decode(char *s, size_t len, bool plus)
{
    size_t n = 0;

    for (size_t i = 0; i < len; i++) {
        char c = s[i];

        if (c == '%') {
            char hex[3] = {0};

            if (len - i < 3 || !isxdigit((unsigned char)s[i + 1]) ||
                !isxdigit((unsigned char)s[i + 2]))
                return SIZE_MAX;
            memcpy(hex, s + i + 1, 2);
            c = (char)strtoul(hex, NULL, 16);
            i += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        if (c == '\0')
            return SIZE_MAX;
        s[n++] = c;
    }
    s[n] = '\0';
    for (size_t i = 0; i < n;) {
        size_t step = ak_utf8_length(s + i, n - i);

        if (step == 0)
            return SIZE_MAX;
        i += step;
    }
    return n;
}

static bool malformed(struct ak_request *rq, const char *what)
{
    ak_reply_problem(
        rq, "malformed-request",
        "the %s has a %% escape that is no two hexadecimal digits, "
        "a zero byte, or is not UTF-8",
        what);
    return false;
}

static bool parse_query(struct ak_request *rq, const char *query)
{
    size_t n = 1;

    for (const char *p = query; *p != '\0'; p++)
        n += *p == '&';
    if (n > MAX_QUERY) {
        ak_reply_problem(rq, "malformed-request",
                         "the query has %zu fields, at most %d", n, MAX_QUERY);
        return false;
    }
    rq->query = ak_request_alloc(rq, n * sizeof(rq->query[0]));
    if (rq->query == NULL) {
        ak_reply_failure(rq, AK_ENOMEM, NULL);
        return false;
    }
    while (*query != '\0') {
        size_t len = strcspn(query, "&");
        const char *equals = memchr(query, '=', len);
        size_t name_len = equals ? (size_t)(equals - query) : len;
        char *name = ak_request_copy(rq, query, name_len);
        char *value = equals
                          ? ak_request_copy(rq, equals + 1, len - name_len - 1)
                          : ak_request_copy(rq, "", 0);

        if (name == NULL || value == NULL) {
            ak_reply_failure(rq, AK_ENOMEM, NULL);
            return false;
        }
        if (decode(name, strlen(name), true) == SIZE_MAX ||
            decode(value, strlen(value), true) == SIZE_MAX)
            return malformed(rq, "query");
        if (len > 0) {
            if (ak_request_query(rq, name) != NULL) {
                ak_reply_problem(rq, "malformed-request",
                                 "the query has \"%s\" more than once", name);
                return false;
            }
            rq->query[rq->n_query++] = (struct ak_field){name, value};
        }
        query += len;
        query += *query == '&';
    }
    return true;
}

bool ak_request_parse_target(struct ak_request *rq)
{
    const char *p = rq->target, *end = p + strcspn(p, "?");

    if (*end == '?' && !parse_query(rq, end + 1))
        return false;
    while (p < end) {
        const char *start = p + 1;
        size_t len = 0;
        char *text;

        while (start + len < end && start[len] != '/')
            len++;
        text = ak_request_copy(rq, start, len);
        if (text == NULL) {
            ak_reply_failure(rq, AK_ENOMEM, NULL);
            return false;
        }
        len = decode(text, len, false);
        if (len == SIZE_MAX)
            return malformed(rq, "path");
        if (rq->n_path == AK_MAX_SEGMENTS) {
            ak_reply_problem(rq, "not-found",
                             "the path has more than %d segments",
                             AK_MAX_SEGMENTS);
            return false;
        }
        rq->path[rq->n_path++] = (struct ak_segment){text, len, false};
        p = strchr(start, '/');
        if (p == NULL || p > end)
            p = end;
    }
    return true;
}

/* ----------------------------------------------------------------- fields */

/* With at least so many digits; returns how many. */
static size_t write_hex(uint64_t n, size_t digits, char *out)
{
    while (digits < 16 && n >> 4 * digits != 0)
        digits++;
    for (size_t i = digits; i-- > 0; n >>= 4)
        out[i] = "0123456789abcdef"[n & 15];
    return digits;
}

void ak_request_make_id(struct ak_request *rq)
{
    static const char sane[] = "abcdefghijklmnopqrstuvwxyz"
                               "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._~-";
    const char *given = ak_request_header(rq, "X-Request-Id");
    size_t len = given != NULL ? strlen(given) : 0;

    if (len > 0 && len <= AK_REQUEST_ID && strspn(given, sane) == len) {
        memcpy(rq->id, given, len + 1);
        return;
    }
    /* "%08x-%x" of the server's number and the request's. */
    len = write_hex(rq->http->id_seed & 0xffffffffu, 8, rq->id);
    rq->id[len++] = '-';
    len += write_hex(atomic_fetch_add(&rq->http->id_next, 1), 1, rq->id + len);
    rq->id[len] = '\0';
}

struct ak_http *ak_request_http(const struct ak_request *rq)
{
    return rq->http;
}

struct ak_engine *ak_request_engine(struct ak_request *rq)
{
    return rq->http->engine;
}

const struct ak_config *ak_request_config(const struct ak_request *rq)
{
    return rq->config;
}

const char *ak_request_id(const struct ak_request *rq)
{
    return rq->id;
}

const char *ak_request_param(const struct ak_request *rq, const char *name)
{
    const struct ak_route_entry *e = rq->entry;
    size_t len = strlen(name);

    for (size_t i = 0; i < e->n_segments && i < rq->n_path; i++)
        if (e->segments[i].param && e->segments[i].len == len &&
            memcmp(e->segments[i].text, name, len) == 0)
            return rq->path[i].text;
    return NULL;
}

const char *ak_request_query(const struct ak_request *rq, const char *name)
{
    for (size_t i = 0; i < rq->n_query; i++)
        if (strcmp(rq->query[i].name, name) == 0)
            return rq->query[i].value;
    return NULL;
}

bool ak_request_only(struct ak_request *rq, const char *const *names, size_t n)
{
    for (size_t i = 0; i < rq->n_query; i++) {
        struct ak_text known = {0};
        bool found = false;

        for (size_t k = 0; k < n && !found; k++)
            found = strcmp(rq->query[i].name, names[k]) == 0;
        if (found)
            continue;
        for (size_t k = 0; k < n; k++)
            ak_text_addf(&known, "%s%s", k > 0 ? ", " : "", names[k]);
        ak_reply_problem(rq, "unknown-field",
                         "the query has \"%.60s\"; known here: %s",
                         rq->query[i].name, known.data ? known.data : "none");
        ak_text_clear(&known);
        return false;
    }
    return true;
}

const char *ak_request_header(const struct ak_request *rq, const char *name)
{
    for (size_t i = 0; i < rq->n_fields; i++)
        if (strcasecmp(rq->fields[i].name, name) == 0)
            return rq->fields[i].value;
    return NULL;
}

const char *ak_request_type(const struct ak_request *rq)
{
    return rq->type != NULL ? rq->type : "";
}

uint8_t *ak_request_body(struct ak_request *rq, size_t *len)
{
    static uint8_t empty[1];

    *len = rq->body_len;
    return rq->body != NULL ? rq->body : empty;
}

enum ak_status ak_request_fingerprint(struct ak_request *rq, uint8_t out[32],
                                      struct ak_err *err)
{
    struct ak_piece pieces[5 + 4 * MAX_QUERY];
    size_t n = 0;

    pieces[n++] = (struct ak_piece){rq->method, strlen(rq->method)};
    pieces[n++] = (struct ak_piece){" ", 1};
    pieces[n++] = (struct ak_piece){rq->target, strcspn(rq->target, "?")};
    /* How long to wait is not part of what is asked for: a repetition may wait
       for another state. */
    for (size_t i = 0; i < rq->n_query; i++) {
        const struct ak_field *f = &rq->query[i];

        if (strcmp(f->name, "ack") == 0 ||
            strcmp(f->name, "timeout_seconds") == 0)
            continue;
        /* A decoded text has no zero byte, so that one ends it. */
        pieces[n++] = (struct ak_piece){f->name, strlen(f->name) + 1};
        pieces[n++] = (struct ak_piece){f->value, strlen(f->value) + 1};
    }
    pieces[n++] = (struct ak_piece){"\n", 1};
    pieces[n++] = (struct ak_piece){rq->body, rq->body_len};
    return ak_sha256(pieces, n, out, err);
}

void ak_request_on_end(struct ak_request *rq, void (*fn)(void *arg), void *arg)
{
    struct ak_ending *e = &rq->first_ending;

    if (e->fn != NULL)
        e = ak_request_alloc(rq, sizeof(*e));
    /* Without memory the route's own is lost rather than the daemon. */
    if (e == NULL) {
        ak_log_error("http", "no memory to end a request",
                     AK_TEXT("request_id", rq->id));
        return;
    }
    *e = (struct ak_ending){fn, arg, rq->endings};
    rq->endings = e;
}

/* ---------------------------------------------------------------- streams */

void ak_request_stream(struct ak_request *rq, const struct ak_stream *stream)
{
    rq->stream = *stream;
    rq->streams = true;
}

bool ak_request_complete(const struct ak_request *rq)
{
    return rq->whole;
}

void ak_request_pause(struct ak_request *rq)
{
    pthread_mutex_lock(&rq->lock);
    rq->paused = true;
    pthread_mutex_unlock(&rq->lock);
}

void ak_request_go_on(struct ak_request *rq)
{
    pthread_mutex_lock(&rq->lock);
    rq->paused = false;
    if (rq->suspended && rq->state == AK_STATE_BODY) {
        rq->suspended = false;
        MHD_resume_connection(rq->connection);
    }
    pthread_mutex_unlock(&rq->lock);
}

void ak_request_stage(struct ak_request *rq, const char *stage, uint64_t ns)
{
    ak_metric_observe(AK_METRIC_QUERY_STAGE_SECONDS, ak_metric_stage(stage),
                      (double)ns / 1e9);
    for (size_t i = 0; i < rq->n_stages; i++) {
        if (strcmp(rq->stages[i].name, stage) == 0) {
            rq->stages[i].ns += ns;
            return;
        }
    }
    if (rq->n_stages < AK_MAX_STAGES) {
        rq->stages[rq->n_stages].name = stage;
        rq->stages[rq->n_stages++].ns = ns;
    }
}
