/*
 * http.h -- one request, from its first header to the last byte of its answer.
 *
 * libmicrohttpd runs its own epoll threads.  A route's handler is called on one
 * of them when the whole body is there (or, for a stream, as it comes).  It
 * either replies before it returns, or has arranged that someone replies later:
 * ak_reply_*() may be called from any thread, exactly once a request.  A
 * request that nobody has answered when the handler returns is suspended and
 * costs no thread.  Handlers never block.
 */
#ifndef AK_SERVER_HTTP_H
#define AK_SERVER_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "core/base/err.h"
#include "server/fault.h"

struct ak_request;
struct ak_http;
struct ak_engine;
struct ak_config;

typedef void ak_handler_fn(struct ak_request *rq);

enum {
    AK_ROUTE_STARTING = 1 << 0, /* answers before the engine is ready */
    AK_ROUTE_WRITES = 1 << 1,   /* refused while draining or read-only, and
                                   when there is no room for it */
    AK_ROUTE_STREAMS = 1 << 2,  /* the handler is called after the headers; it
                                   may then set a stream, see below */
    AK_ROUTE_DELETES = 1 << 3   /* held back by no lack of room: in the queue,
                                   in memory, on the disk */
};

/* A row of the table of routes: one in each routes_*.c. */
struct ak_route {
    const char *method;  /* "GET" */
    const char *pattern; /* "/v1/collections/{c}/items/{id}" */
    ak_handler_fn *handler;
    unsigned flags;
    const char *help; /* one line */
};

/* ------------------------------------------------------------- the request */

struct ak_engine *ak_request_engine(struct ak_request *rq);
/* The configuration, with its limits, as it was when the request began. */
const struct ak_config *ak_request_config(const struct ak_request *rq);
const char *ak_request_id(const struct ak_request *rq);
/* Of the path, percent-decoded: "c", "id"; never NULL for what the pattern
   has. */
const char *ak_request_param(const struct ak_request *rq, const char *name);
/* Of the query; NULL when absent.  A handler names those that it knows with
   ak_request_only() first: any other is 422 unknown-field, already replied. */
const char *ak_request_query(const struct ak_request *rq, const char *name);
bool ak_request_only(struct ak_request *rq, const char *const *names, size_t n);
const char *ak_request_header(const struct ak_request *rq, const char *name);
/* Media type of the body without parameters, lower case; "" when absent. */
const char *ak_request_type(const struct ak_request *rq);
/* The whole body; the handler may change the bytes in place.  One zero byte
   stands behind it. */
uint8_t *ak_request_body(struct ak_request *rq, size_t *len);
/* SHA-256 of method, path, query but for `ack` and `timeout_seconds`, and the
   body as it is now: the fingerprint of a key. */
enum ak_status ak_request_fingerprint(struct ak_request *rq, uint8_t out[32],
                                      struct ak_err *err) AK_MUST_CHECK;
/* Memory that lives as long as the request; NULL when short. */
void *ak_request_alloc(struct ak_request *rq, size_t len);
/*
 * `fn` is called once when the exchange is over, whatever became of it: the
 * request was answered, and libmicrohttpd has no more use for it.  It is the
 * last call with this request, from any thread, and frees what the route kept.
 * Several may be set; the last one set is called first.
 */
void ak_request_on_end(struct ak_request *rq, void (*fn)(void *arg), void *arg);

/*
 * Streams.  A handler of an AK_ROUTE_STREAMS route may set one: then `data` is
 * called with what comes and returns how much it took; if less than all, it
 * must have called ak_request_pause(), and the rest comes again after
 * ak_request_go_on() (any thread).  `end` is called after the last byte.
 * Without a stream the body is collected as usual and the handler called again.
 * A body that is nil is complete at once: the handler is called only once.
 *
 * `gone` is called instead of `end` when the client went away before the last
 * byte: nothing more will come, but the request must still be answered once,
 * now or later, to nobody.  Where it is NULL the server does so itself, and the
 * route may not touch the request after its last `data`.
 *
 * A reply before the end of the body is sent at once; what still comes is
 * thrown away, and the connection is closed.
 */
struct ak_stream {
    size_t (*data)(struct ak_request *rq, void *arg, const uint8_t *bytes,
                   size_t len);
    void (*end)(struct ak_request *rq, void *arg);
    void *arg;
    void (*gone)(struct ak_request *rq, void *arg); /* or NULL */
};
void ak_request_stream(struct ak_request *rq, const struct ak_stream *stream);
/* Before a stream keeps so many bytes in all: they count among the bodies that
   are being received, until the exchange is over; false: those have enough. */
bool ak_request_hold(struct ak_request *rq, size_t bytes) AK_MUST_CHECK;
bool ak_request_complete(const struct ak_request *rq); /* body is all there */
void ak_request_pause(struct ak_request *rq);
void ak_request_go_on(struct ak_request *rq);

/* Time spent in a stage, for Server-Timing: "decode", "extract", "hash",
   "scan", ... */
void ak_request_stage(struct ak_request *rq, const char *stage, uint64_t ns);

/* --------------------------------------------------------------- the reply */

/* Before the reply; of the answer. */
void ak_reply_header(struct ak_request *rq, const char *name, const char *fmt,
                     ...) AK_PRINTF(3, 4);
void ak_reply_number(struct ak_request *rq, const char *name, uint64_t value);

/* `body` is stolen; NULL (memory was short) replies 500. */
void ak_reply_json(struct ak_request *rq, unsigned status, json_t *body);
/* `data` is freed with free() afterwards. */
void ak_reply_bytes(struct ak_request *rq, unsigned status, const char *type,
                    void *data, size_t len);
void ak_reply_empty(struct ak_request *rq, unsigned status);

/*
 * An answer without an end that is known.  `pull` copies up to `cap` bytes to
 * `out` and says how many, from a thread of HTTP that holds a lock: it must not
 * block, nor call back into the request.  0: none for now; ak_request_wake()
 * says when there are, AK_FEED_END: that was all, AK_FEED_CUT: there is more, but
 * it cannot be had, and the connection is cut.  `gone` is called once, when
 * the exchange is over, and is the last call.  The server ends it when it stops,
 * and when the client has not taken for 30 s what it got.
 */
#define AK_FEED_END SIZE_MAX
#define AK_FEED_CUT (SIZE_MAX - 1)
struct ak_feed {
    size_t (*pull)(void *arg, char *out, size_t cap);
    void (*gone)(void *arg);
    void *arg;
    uint64_t size; /* of all of it; 0: not known */
    size_t block;  /* `cap` of a pull; 0: 4096 */
    bool whole;    /* cut, too, when the server ends it before its end */
};
void ak_reply_feed(struct ak_request *rq, unsigned status, const char *type,
                   const struct ak_feed *feed);
/* Any thread; does nothing when the exchange is over.  Who calls it holds a
   reference. */
void ak_request_wake(struct ak_request *rq);
struct ak_request *ak_request_ref(struct ak_request *rq);
void ak_request_unref(struct ak_request *rq);

/*
 * A problem of specs: `slug` decides status and title by the table in reply.c;
 * the text is its detail.
 */
void ak_reply_problem(struct ak_request *rq, const char *slug, const char *fmt,
                      ...) AK_PRINTF(3, 4);
/* The same with what is wrong where: up to 32 are shown. */
void ak_reply_faults(struct ak_request *rq, const char *slug,
                     const struct ak_fault *faults, size_t n,
                     const char *detail);
/* A problem with members of its own: those of `extra` (an object, stolen; NULL:
   none) stand behind the usual ones. */
void ak_reply_problem_with(struct ak_request *rq, const char *slug,
                           json_t *extra, const char *fmt, ...) AK_PRINTF(4, 5);
/* A problem as a part of another answer, such as a line of a stream; NULL when
   memory is short. */
json_t *ak_problem_json(struct ak_request *rq, const char *slug,
                        const struct ak_fault *faults, size_t n,
                        const char *detail);
/* What a status of ours becomes: the one table of statuses in reply.c.  The
   text of AK_EIO, AK_ECORRUPT and AK_ENOMEM is logged, not sent. */
void ak_reply_failure(struct ak_request *rq, enum ak_status status,
                      const struct ak_err *err);

/* -------------------------------------------------------------- the server */

struct ak_http_params {
    const struct ak_config *config; /* lent until the server is destroyed */
    struct ak_engine *engine;
    const struct ak_route *const *tables; /* each ends with a row of NULLs */
    size_t n_tables;
    unsigned max_connections; /* at a time */
};

/*
 * Listen and serve.  AK_EIO: the address cannot be had.  The life is: start,
 * drain, stop, then the engine is closed (which answers what it still has), and
 * destroy.
 */
enum ak_status ak_http_start(const struct ak_http_params *params,
                             struct ak_http **out,
                             struct ak_err *err) AK_MUST_CHECK;
/* Where it listens: "127.0.0.1:7337", "unix:/run/akind.sock". */
const char *ak_http_address(const struct ak_http *http);
/* Of TCP; 0 for a unix socket. */
unsigned ak_http_port(const struct ak_http *http);
/* Call about ten times a second, from one thread: closes the connections that
   are too slow. */
void ak_http_tick(struct ak_http *http);
/* New limits; the old ones live until the server is destroyed.  What can only
   be set at the start keeps its value.  `config` becomes the server's. */
void ak_http_reload(struct ak_http *http, struct ak_config *config);
/* From here on: not ready, writes are 503, connections close after an answer. */
void ak_http_drain(struct ak_http *http);
/* Whatever begins from here on is 503, but for health. */
void ak_http_quiesce(struct ak_http *http);
/* Requests under way that began before that. */
unsigned ak_http_active(const struct ak_http *http);
/* End.  What is not answered yet gets 503; routes may still reply, to nobody. */
void ak_http_stop(struct ak_http *http);
void ak_http_destroy(struct ak_http *http); /* stopped; NULL is a no-op */

#endif
