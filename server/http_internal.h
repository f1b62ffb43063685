/*
 * http_internal.h -- what the files of the HTTP server share.
 *
 * http.c      the daemon: its life, its connections, its callbacks
 * guard.c     what libmicrohttpd lets through and we do not
 * router.c    paths and the table of routes
 * request.c   one request: its fields, its memory, its state
 * body.c      what a request brings
 * reply.c     what it gets
 * feed.c      what it gets piece by piece
 *
 * A request has two holders: libmicrohttpd, until it says that it is done with
 * it, and the route, until it has answered.  `lock` guards `state` and what is
 * listed under it; everything else belongs to who has the request: the thread
 * of its connection until the handler hands it over, then whoever replies.
 *
 * Order of locks: http->lock, then request->lock, then those within
 * libmicrohttpd.  None is held when a route is called.
 */
#ifndef AK_SERVER_HTTP_INTERNAL_H
#define AK_SERVER_HTTP_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <microhttpd.h>

#include "server/accept.h"
#include "server/address.h"
#include "server/config.h"
#include "server/engine.h"
#include "server/http.h"
#include "server/metrics.h"

#define AK_REQUEST_ID    64 /* characters */
#define AK_MAX_SEGMENTS  16 /* of a path */
#define AK_MAX_HEADERS   100
#define AK_MAX_STAGES    8
#define AK_DISCARD_BYTES 65536 /* read to keep a connection after a refusal */
/* Bounds its headers.  libmicrohttpd zeroes it, and half of it once more, at each
   request. */
#define AK_MEMORY_A_CONNECTION 32768
#define AK_DELETES_SHARE       8     /* of max_body_memory, their own */
#define AK_SMALL_ANSWER        65536 /* goes whatever else is being sent */

/* ---------------------------------------------------------------- routes */

struct ak_segment {
    const char *text; /* of a parameter: its name */
    size_t len;
    bool param;
};

/* Codes that are counted apart; all others are the last. */
#define AK_N_CODES 25
extern const unsigned ak_http_codes[AK_N_CODES - 1];

struct ak_route_entry {
    const struct ak_route *route; /* NULL: of requests without a route */
    struct ak_segment segments[AK_MAX_SEGMENTS];
    size_t n_segments;
    atomic_uint_fast64_t counts[2][AK_N_CODES]; /* [1]: by HEAD */
    struct ak_histogram seconds;
};

struct ak_router {
    struct ak_route_entry *entries; /* the last is of what has no route */
    size_t n;                       /* without that one */
};

enum ak_status ak_router_init(struct ak_router *router,
                              const struct ak_route *const *tables,
                              size_t n_tables,
                              struct ak_err *err) AK_MUST_CHECK;
void ak_router_clear(struct ak_router *router);

/* The entry for a path of decoded segments, and whether it takes the method.
   NULL: no such path.  Without a method's entry: `allow` has those there are,
   and any entry of the path is returned with *found false. */
struct ak_route_entry *ak_router_find(struct ak_router *router,
                                      const char *method,
                                      const struct ak_segment *path, size_t n,
                                      bool *found, char *allow,
                                      size_t allow_cap);
void ak_router_count(struct ak_route_entry *entry, bool head, unsigned status,
                     uint64_t ns);
void ak_router_write_metrics(const struct ak_router *router, struct ak_text *t);

/* ------------------------------------------------------------ connections */

struct ak_link {
    int fd;
    atomic_uint_fast64_t deadline_ns; /* 0: none */
    struct ak_link *prev, *next;      /* under http->lock */
    /* Memory of its last request, for the next one; NULL: none.  Only touched by
       the thread of the connection. */
    void *spare;
};

/* --------------------------------------------------------------- requests */

struct ak_field {
    const char *name;
    const char *value;
};

struct ak_chunk {
    struct ak_chunk *next;
    size_t used, cap;
};

struct ak_ending {
    void (*fn)(void *arg);
    void *arg;
    struct ak_ending *next;
};

struct ak_reply {
    unsigned status;
    const char *type; /* NULL: none */
    void *data;       /* freed with free() */
    size_t len;
    struct ak_field fields[16];
    size_t n_fields;
};

enum ak_request_state {
    AK_STATE_HEADERS, /* until the first call of the access handler is over */
    AK_STATE_BODY,
    AK_STATE_WORK, /* the body is there; with the route */
    AK_STATE_DONE  /* libmicrohttpd is done with it */
};

struct ak_request {
    struct ak_http *http;
    struct MHD_Connection *connection;
    struct ak_link *link;
    const struct ak_config *config;
    struct ak_route_entry *entry;
    uint64_t begun_ns;
    char id[AK_REQUEST_ID + 1];
    bool begun;  /* the headers are there */
    bool late;   /* begun after the server was told to refuse; not counted */
    bool head;   /* the method is HEAD */
    bool closes; /* the connection, after the answer */
    bool counted;

    const char *target; /* as it came */
    const char *method;
    struct ak_segment path[AK_MAX_SEGMENTS]; /* decoded */
    size_t n_path;
    struct ak_field *query; /* decoded */
    size_t n_query;
    struct ak_field fields[AK_MAX_HEADERS];
    size_t n_fields;
    char *type;

    bool has_body, chunked, expects;
    uint64_t length;   /* Content-Length; 0 when chunked */
    uint64_t received; /* bytes of the body so far */
    bool whole;        /* there is no more to come */
    uint8_t *body;
    size_t body_len, body_cap;
    size_t held;  /* of the memory that all bodies may have */
    size_t sends; /* of that which all answers may have */
    bool streams; /* `stream` is set */
    struct ak_stream stream;
    uint64_t refreshed; /* `received` when the deadline was last moved */

    struct {
        const char *name;
        uint64_t ns;
    } stages[AK_MAX_STAGES];
    size_t n_stages;
    struct ak_reply reply;
    struct ak_ending *endings, first_ending;
    struct ak_chunk *chunks;

    atomic_uint holders;
    struct ak_request *prev, *next; /* active ones, under http->lock */

    pthread_mutex_t lock;
    /* Under the lock. */
    enum ak_request_state state;
    bool answered;  /* the reply is complete */
    bool suspended; /* and must be resumed once */
    bool paused;    /* the stream wants no more */
    bool early;     /* answered on the socket before the end of the body */
    bool forced;    /* answered by the server because it stops */
    bool feeds;     /* `feed` is set */
    struct ak_feed feed;
};

/* Made when the request line is there; NULL when memory is short. */
struct ak_request *ak_request_create(struct ak_http *http, const char *target,
                                     struct MHD_Connection *connection,
                                     struct ak_link *link);
/* From the thread of a connection, which takes the memory if nobody else holds
   the request. */
void ak_request_unref_to(struct ak_request *rq, struct ak_link *link);
char *ak_request_copy(struct ak_request *rq, const char *text, size_t len);
/* Split and decode the target; false: it was answered. */
bool ak_request_parse_target(struct ak_request *rq);

/* Check what was received; false: it was answered, and the connection must be
   closed after it when rq->closes is set. */
bool ak_guard_check(struct ak_request *rq, const char *version);

/* Bytes of a body; returns how many were taken. */
size_t ak_body_take(struct ak_request *rq, const uint8_t *bytes, size_t len);
/* Count the announced length before it comes; false: it was answered. */
bool ak_body_reserve(struct ak_request *rq);
void ak_body_release(struct ak_request *rq);

/* 507, with the numbers. */
void ak_reply_disk_full(struct ak_request *rq,
                        const struct ak_engine_progress *now);
/* The reply as libmicrohttpd wants it; NULL when memory is short. */
struct MHD_Response *ak_reply_response(struct ak_request *rq, bool close);
/* Of one that feeds, without its headers. */
struct MHD_Response *ak_feed_response(struct ak_request *rq);
/* Those that are under way end: the server refuses. */
void ak_feed_end_all(struct ak_http *http);
/* The reply as bytes of HTTP/1.1, with `Connection: close`. */
void ak_reply_raw(struct ak_request *rq, struct ak_text *t);
/* The answer to a request that nobody answered before the stop. */
struct MHD_Response *ak_reply_forced(const struct ak_request *rq);

/* The reply is complete: the route's last use of the request. */
void ak_request_finish(struct ak_request *rq);
/* Under the lock: send the answer past libmicrohttpd unless little is left of
   the body. */
void ak_request_answer_early(struct ak_request *rq);
bool ak_request_answered(struct ak_request *rq);
/* The client's, when it is sane, or a new one. */
void ak_request_make_id(struct ak_request *rq);

/* ------------------------------------------------------------- the server */

struct ak_old_config {
    struct ak_config *config;
    struct ak_old_config *next;
};

struct ak_http {
    struct ak_engine *engine;
    struct ak_router router;
    struct ak_address address;
    char address_text[AK_ADDRESS_TEXT];
    int fd;
    struct MHD_Daemon *daemon;
    struct ak_accept *accept;
    _Atomic(const struct ak_config *) config;
    struct ak_old_config *old; /* under the lock */
    atomic_bool ready, draining, refusing, stopping;
    atomic_uint active; /* requests between headers and end */
    atomic_uint connections;
    unsigned max_connections;
    atomic_size_t body_memory[2]; /* [1]: of deletes */
    atomic_size_t answer_memory;  /* of those that are not small */
    uint64_t id_seed;
    atomic_uint_fast64_t id_next;
    uint64_t started_ns;

    pthread_mutex_t lock; /* the two lists */
    struct ak_link *links;
    struct ak_request *requests;
};

bool ak_http_ready(struct ak_http *http);
struct ak_http *ak_request_http(const struct ak_request *rq);

#endif
