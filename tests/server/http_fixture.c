#include "tests/server/http_fixture.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "core/base/hex.h"
#include "server/log.h"
#include "server/routes.h"

#define PATIENCE 60 /* seconds until a test is called hung */

atomic_uint reached, ended, gone;

/* --------------------------------------------------------- another thread */

enum what { REPLY, GO_ON, REFUSE };
struct job {
    struct ak_request *rq;
    enum what what;
    struct job *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct job *jobs, *held;
static unsigned n_held;
static bool quit;
static pthread_t workers[2];

static void reply_one(struct ak_request *rq)
{
    ak_request_stage(rq, "scan", 1500000);
    ak_reply_header(rq, "Akin-Seq", "%d", 7);
    ak_reply_json(rq, 200, json_pack("{s:i}", "x", 1));
}

static void *work(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&lock);
    for (;;) {
        struct job *j = jobs;

        if (j == NULL && quit)
            break;
        if (j == NULL) {
            pthread_cond_wait(&changed, &lock);
            continue;
        }
        jobs = j->next;
        pthread_mutex_unlock(&lock);
        if (j->what == REPLY)
            reply_one(j->rq);
        else if (j->what == GO_ON)
            ak_request_go_on(j->rq);
        else
            ak_reply_problem(j->rq, "validation-failed", "refused later");
        free(j);
        pthread_mutex_lock(&lock);
    }
    pthread_mutex_unlock(&lock);
    return NULL;
}

static void hand_over(struct job **list, struct ak_request *rq, enum what what)
{
    struct job *j = malloc(sizeof(*j));

    assert_non_null(j);
    pthread_mutex_lock(&lock);
    *j = (struct job){rq, what, *list};
    *list = j;
    if (list == &held)
        n_held++;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

void held_wait(unsigned n)
{
    pthread_mutex_lock(&lock);
    while (n_held < n)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

void held_release(void)
{
    struct job *j, *next;

    pthread_mutex_lock(&lock);
    j = held;
    held = NULL;
    n_held = 0;
    pthread_mutex_unlock(&lock);
    for (; j != NULL; j = next) {
        next = j->next;
        reply_one(j->rq);
        free(j);
    }
}

/* ----------------------------------------------------------------- routes */

static void count_end(void *arg)
{
    (void)arg;
    atomic_fetch_add(&ended, 1);
}

static void enter(struct ak_request *rq)
{
    atomic_fetch_add(&reached, 1);
    ak_request_on_end(rq, count_end, NULL);
}

static void text(struct ak_request *rq, const char *s)
{
    ak_reply_bytes(rq, 200, "text/plain", strdup(s), strlen(s));
}

static void inline_(struct ak_request *rq)
{
    enter(rq);
    reply_one(rq);
}

static void later(struct ak_request *rq)
{
    enter(rq);
    hand_over(&jobs, rq, REPLY);
}

static void hold(struct ak_request *rq)
{
    enter(rq);
    hand_over(&held, rq, REPLY);
}

static void param(struct ak_request *rq)
{
    enter(rq);
    text(rq, ak_request_param(rq, "id"));
}

static void query(struct ak_request *rq)
{
    static const char *const names[] = {"a", "b"};
    const char *a;

    enter(rq);
    if (!ak_request_only(rq, names, 2))
        return;
    a = ak_request_query(rq, "a");
    text(rq, a != NULL ? a : "absent");
}

static void echo(struct ak_request *rq)
{
    size_t len;
    uint8_t *body = ak_request_body(rq, &len), *copy;

    enter(rq);
    /* A zero byte stands behind it. */
    assert_int_equal(body[len], 0);
    copy = malloc(len + 1);
    assert_non_null(copy);
    memcpy(copy, body, len);
    ak_reply_header(rq, "Type", "%s", ak_request_type(rq));
    ak_reply_bytes(rq, 200, "application/octet-stream", copy, len);
}

struct sum {
    uint64_t sum;
    size_t len;
    bool refused;
};

static size_t sum_data(struct ak_request *rq, void *arg, const uint8_t *bytes,
                       size_t len)
{
    struct sum *s = arg;

    if (len > 1000)
        len = 1000;
    for (size_t i = 0; i < len; i++) {
        s->sum += bytes[i];
        if (bytes[i] == '?' && !s->refused) {
            s->refused = true;
            hand_over(&jobs, rq, REFUSE);
            return i;
        }
        if (bytes[i] == '!' && !s->refused) {
            s->refused = true;
            ak_reply_problem(rq, "validation-failed", "a ! at byte %zu",
                             s->len + i);
            return i;
        }
    }
    s->len += len;
    if (!s->refused) {
        ak_request_pause(rq);
        hand_over(&jobs, rq, GO_ON);
    }
    return len;
}

static void sum_end(struct ak_request *rq, void *arg)
{
    struct sum *s = arg;

    assert_true(ak_request_complete(rq));
    if (!s->refused)
        ak_reply_json(rq, 200,
                      json_pack("{s:I, s:I}", "len", (json_int_t)s->len, "sum",
                                (json_int_t)s->sum));
}

static void sum_gone(struct ak_request *rq, void *arg)
{
    struct sum *s = arg;

    atomic_fetch_add(&gone, 1);
    if (!s->refused)
        ak_reply_empty(rq, 204);
}

static void stream(struct ak_request *rq)
{
    struct sum *s = ak_request_alloc(rq, sizeof(*s));

    enter(rq);
    assert_non_null(s);
    *s = (struct sum){0};
    ak_request_stream(
        rq, &(struct ak_stream){
                .data = sum_data, .end = sum_end, .gone = sum_gone, .arg = s});
}

atomic_size_t stalled_taken;
static struct ak_request *_Atomic stalled;

static size_t stalled_data(struct ak_request *rq, void *arg,
                           const uint8_t *bytes, size_t len)
{
    (void)arg;
    (void)bytes;
    if (atomic_load(&stalled_taken) == 0) {
        ak_request_pause(rq);
        len = len < 1000 ? len : 1000;
        atomic_store(&stalled, rq);
    }
    atomic_fetch_add(&stalled_taken, len);
    return len;
}

static void stalled_end(struct ak_request *rq, void *arg)
{
    (void)arg;
    ak_reply_json(
        rq, 200,
        json_pack("{s:I}", "len", (json_int_t)atomic_load(&stalled_taken)));
}

static void stall(struct ak_request *rq)
{
    enter(rq);
    atomic_store(&stalled_taken, 0);
    ak_request_stream(
        rq, &(struct ak_stream){.data = stalled_data, .end = stalled_end});
}

void stalled_go_on(void)
{
    ak_request_go_on(atomic_load(&stalled));
}

/* Of a route that may stream, but does not want to. */
static void collect(struct ak_request *rq)
{
    if (ak_request_complete(rq))
        echo(rq);
}

static void fingerprint(struct ak_request *rq)
{
    uint8_t sum[32];
    char hex[65];

    enter(rq);
    assert_status(ak_request_fingerprint(rq, sum, NULL), AK_OK);
    ak_hex_encode(sum, 32, hex);
    text(rq, hex);
}

static void store(struct ak_request *rq)
{
    enter(rq);
    text(rq, "stored");
}

static void fail_with(struct ak_request *rq)
{
    struct ak_err err = {.text = "the secret text"};

    enter(rq);
    ak_reply_failure(rq, (enum ak_status)atoi(ak_request_param(rq, "status")),
                     &err);
}

static void faults(struct ak_request *rq)
{
    static struct ak_fault list[40];

    enter(rq);
    for (int i = 0; i < 40; i++) {
        snprintf(list[i].pointer, sizeof(list[i].pointer), "/items/%d", i);
        list[i].code = "dim-mismatch";
        snprintf(list[i].detail, sizeof(list[i].detail), "\"\xff\n<b>");
    }
    ak_reply_faults(rq, "dim-mismatch", list, 40, "40 items are wrong");
}

const struct ak_route fixture_routes[] = {
    {"GET", "/inline", inline_, 0, ""},
    {"GET", "/later", later, 0, ""},
    {"GET", "/held", hold, 0, ""},
    {"GET", "/param/{id}", param, 0, ""},
    {"POST", "/param/{id}", param, 0, ""},
    {"POST", "/param/list", query, 0, ""},
    {"GET", "/query", query, 0, ""},
    {"POST", "/echo", echo, 0, ""},
    {"POST", "/collect", collect, AK_ROUTE_STREAMS, ""},
    {"POST", "/stream", stream, AK_ROUTE_STREAMS, ""},
    {"POST", "/stalled", stall, AK_ROUTE_STREAMS, ""},
    {"POST", "/fingerprint", fingerprint, 0, ""},
    {"POST", "/v1/collections/{c}/things", store, AK_ROUTE_WRITES, ""},
    {"POST", "/v1/collections/{c}/things/delete", store,
     AK_ROUTE_WRITES | AK_ROUTE_DELETES, ""},
    {"GET", "/fail/{status}", fail_with, 0, ""},
    {"GET", "/faults", faults, 0, ""},
    {0},
};

/* ---------------------------------------------------------------- fixture */

static void *tick(void *arg)
{
    struct fixture *f = arg;

    while (!atomic_load(&f->stopping)) {
        ak_http_tick(f->http);
        usleep(20000);
    }
    return NULL;
}

void fixture_start(struct fixture *f, const char *const *options)
{
    static const struct ak_route *const tables[] = {ak_routes_ops,
                                                    fixture_routes};
    char *argv[32] = {(char *)(uintptr_t) "akind",
                      (char *)(uintptr_t) "--listen=127.0.0.1:0",
                      (char *)(uintptr_t) "--http-threads=2",
                      (char *)(uintptr_t) "--data-dir=."};
    struct ak_err err = {0};
    int argc = 4;

    memset(f, 0, sizeof(*f));
    for (; options != NULL && *options != NULL; options++)
        argv[argc++] = (char *)(uintptr_t)*options;
    assert_status(ak_config_load(argc, argv, &f->config, &err), AK_OK);
    atomic_store(&reached, 0);
    atomic_store(&ended, 0);
    atomic_store(&gone, 0);
    atomic_store(&f->engine.collections, 3);
    assert_status(
        ak_http_start(
            &(struct ak_http_params){.max_connections =
                                         (unsigned)f->config->max_connections,
                                     .config = f->config,
                                     .engine = &f->engine,
                                     .tables = tables,
                                     .n_tables = 2},
            &f->http, &err),
        AK_OK);
    quit = false;
    assert_int_equal(pthread_create(&f->ticker, NULL, tick, f), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&workers[i], NULL, work, NULL), 0);
}

void fixture_stop_http(struct fixture *f)
{
    if (atomic_exchange(&f->stopping, true))
        return;
    pthread_join(f->ticker, NULL);
    ak_http_drain(f->http);
    ak_http_quiesce(f->http);
    ak_http_stop(f->http);
}

void fixture_stop(struct fixture *f)
{
    fixture_stop_http(f);
    pthread_mutex_lock(&lock);
    quit = true;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    for (int i = 0; i < 2; i++)
        pthread_join(workers[i], NULL);
    assert_null(held);
    assert_int_equal(atomic_load(&ended), atomic_load(&reached));
    assert_int_equal(atomic_load(&f->engine.references), 0);
    ak_http_destroy(f->http);
    ak_config_destroy(f->config);
}

void wait_for(atomic_uint *counter, unsigned value)
{
    for (int i = 0; i < PATIENCE * 1000; i++) {
        if (atomic_load(counter) >= value)
            return;
        usleep(1000);
    }
    fail_msg("counter is %u, must become %u", atomic_load(counter), value);
}

/* ----------------------------------------------------------------- client */

int dial(const struct fixture *f)
{
    struct sockaddr_in in = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
        .sin_port = htons((uint16_t)ak_http_port(f->http)),
    };
    struct timeval patience = {.tv_sec = PATIENCE};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
    return fd;
}

void put(int fd, const void *bytes, size_t len)
{
    const char *p = bytes;

    /* The server may have closed: what it said is looked at afterwards. */
    while (len > 0) {
        ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

        if (n <= 0)
            return;
        p += n;
        len -= (size_t)n;
    }
}

void puts_to(int fd, const char *text_)
{
    put(fd, text_, strlen(text_));
}

bool has_header(const struct answer *a, const char *line_start)
{
    const char *p = a->text;

    while ((p = strstr(p, "\r\n")) != NULL) {
        p += 2;
        if (strncasecmp(p, line_start, strlen(line_start)) == 0)
            return true;
        if (p[0] == '\r')
            return false;
    }
    return false;
}

void get_answer(int fd, bool head, struct answer *a)
{
    size_t cap = 4096, len = 0, want = SIZE_MAX, body_at = 0;
    char *text_ = malloc(cap), *p;

    *a = (struct answer){0};
    assert_non_null(text_);
    while (len < want) {
        /* Byte by byte in the head, so that a pipelined answer stays. */
        size_t room = body_at == 0 ? 1 : want - len;
        ssize_t n;

        if (len + 1 == cap) {
            text_ = realloc(text_, cap *= 2);
            assert_non_null(text_);
        }
        if (room > cap - 1 - len)
            room = cap - 1 - len;
        n = recv(fd, text_ + len, room, 0);
        if (n <= 0) {
            a->closed = true;
            break;
        }
        len += (size_t)n;
        text_[len] = '\0';
        if (body_at == 0 && len >= 4 &&
            memcmp(text_ + len - 4, "\r\n\r\n", 4) == 0) {
            a->status = atoi(text_ + 9);
            if (a->status == 100) {
                len = 0;
                continue;
            }
            body_at = len;
            p = strstr(text_, "\r\nContent-Length:");
            if (head || a->status == 204)
                want = len;
            else if (p != NULL)
                want = len + (size_t)atoll(p + 17);
        }
    }
    text_[len] = '\0';
    a->text = text_;
    a->body = text_ + body_at;
    a->len = len - body_at;
    if (body_at == 0)
        a->status = 0;
}

void answer_clear(struct answer *a)
{
    free(a->text);
    *a = (struct answer){0};
}

bool at_end(int fd)
{
    char c;

    return recv(fd, &c, 1, 0) <= 0;
}

int ask(const struct fixture *f, const char *request, struct answer *a)
{
    int fd = dial(f);

    puts_to(fd, request);
    get_answer(fd, strncmp(request, "HEAD", 4) == 0, a);
    close(fd);
    return a->status;
}

void expect(const struct fixture *f, const char *method_and_target,
            const char *headers_and_body, int status, const char *part)
{
    struct answer a;
    char request[4096];

    snprintf(request, sizeof(request),
             "%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s",
             method_and_target,
             headers_and_body != NULL ? headers_and_body : "\r\n");
    ask(f, request, &a);
    if (a.status != status || (part != NULL && strstr(a.text, part) == NULL))
        fail_msg("%s: %d was expected, with \"%s\"; it came %d: %s",
                 method_and_target, status, part ? part : "", a.status, a.text);
    /* Every error is a problem. */
    if (status >= 400 && strncmp(method_and_target, "HEAD", 4) != 0) {
        assert_true(has_header(&a, "Content-Type: application/problem+json") ||
                    has_header(&a, "Content-Type: application/json"));
        assert_true(has_header(&a, "X-Request-Id: "));
    }
    answer_clear(&a);
}
