/*
 * http_fixture.h -- a server on a free port with routes made for tests, and a
 * client of plain sockets that may send what no library would.
 */
#ifndef AK_TESTS_SERVER_HTTP_FIXTURE_H
#define AK_TESTS_SERVER_HTTP_FIXTURE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

#include "server/config.h"
#include "server/http.h"
#include "tests/server/fake_engine.h"
#include "tests/test.h"

struct fixture {
    struct ak_engine engine;
    struct ak_config *config;
    struct ak_http *http;
    pthread_t ticker;
    atomic_bool stopping;
};

/* `options`: of the command line, NULL after the last; NULL: none. */
void fixture_start(struct fixture *f, const char *const *options);
/* Ends the server, if it still runs, and checks that every request that reached
   a route has ended once and no reference is left. */
void fixture_stop(struct fixture *f);
void fixture_stop_http(struct fixture *f); /* only the daemon */

/*
 * The routes:
 *   GET  /inline         {"x":1} from the handler, with a stage and a header
 *   GET  /later          the same, from another thread
 *   GET  /held           waits for held_release()
 *   GET  /param/{id}     the decoded id
 *   GET  /query          of ?a=&b= : the value of a
 *   POST /echo           the body
 *   POST /stream         a stream that takes at most 1,000 bytes at a time and
 *                        pauses after each; answers their sum; 422 when a byte
 *                        is '!', or after "!later" from another thread
 *   POST /stalled        a stream that pauses after its first 1,000 bytes until
 *                        stalled_go_on(); answers how many there were
 *   POST /fingerprint    its SHA-256 in hex
 *   POST /v1/collections/{c}/things     AK_ROUTE_WRITES; "stored"
 *   POST /v1/collections/{c}/things/delete   the same with AK_ROUTE_DELETES
 *   GET  /fail/{status}  ak_reply_failure() of that number
 */
extern const struct ak_route fixture_routes[];

/* Wait until `n` requests are held; then answer them. */
void held_wait(unsigned n);
void held_release(void);

/* Bytes that /stalled has taken. */
extern atomic_size_t stalled_taken;
void stalled_go_on(void);

/* Requests that reached a route, and ends of them. */
extern atomic_uint reached, ended, gone;
void wait_for(atomic_uint *counter, unsigned value);

/* ----------------------------------------------------------------- client */

int dial(const struct fixture *f);
void put(int fd, const void *bytes, size_t len);
void puts_to(int fd, const char *text);
/* Read one answer: its head and as much body as it says; at the end of the
   connection what there is.  Terminated; to be freed. */
struct answer {
    int status;  /* 0: the connection ended without one */
    char *text;  /* head and body */
    char *body;  /* within the text */
    size_t len;  /* of the body */
    bool closed; /* the connection ended */
};
void get_answer(int fd, bool head, struct answer *a);
void answer_clear(struct answer *a);
bool has_header(const struct answer *a, const char *line_start);
/* True when the other side has closed. */
bool at_end(int fd);

/* A whole exchange: send, read one answer, close.  The status. */
int ask(const struct fixture *f, const char *request, struct answer *a);
/* The same with "Host: localhost" and `Connection: close` put in, and checks
   status and that `part` is in the answer (NULL: anything). */
void expect(const struct fixture *f, const char *method_and_target,
            const char *headers_and_body, int status, const char *part);

#endif
