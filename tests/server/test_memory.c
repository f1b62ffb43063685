/*
 * Requests without memory: the n-th allocation of ours, or of jansson, fails,
 * for all n that a request has.  It answers an error that says no more, or
 * nothing at all; what was asked is done or not done, and asked again with its
 * key it is done once.  (That SQLite may find no memory is in
 * tests/storage/test_faults.c; that nothing leaks, address and valgrind say.)
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "server/config.h"
#include "server/http.h"
#include "server/json_memory.h"
#include "server/log.h"
#include "server/routes.h"
#include "tests/server/jobs_fixture.h"

#define PATIENCE 120 /* seconds until a request is called hung */
#define NUMBERS  "0.5,1,-2,0.25,1,1,1,1,0,0,0,0,3,-3,0.125,2"

/* ------------------------------------------------------------ no memory */

static atomic_long left = -1; /* allocations until one fails; -1: none does */

/* Only those of the threads that learn and index, and again and again: from one
   to the next there is one more each time. */
static atomic_bool of_work;
static atomic_long gap;

static bool works(void)
{
    char name[16] = "";

    pthread_getname_np(pthread_self(), name, sizeof(name));
    return strncmp(name, "work", 4) == 0;
}

static bool fails(void)
{
    if (atomic_load(&left) < 0 || (atomic_load(&of_work) && !works()))
        return false;
    if (atomic_fetch_sub(&left, 1) != 1)
        return false;
    if (atomic_load(&of_work))
        atomic_store(&left, atomic_fetch_add(&gap, 1) + 1);
    return true;
}

/* The linker sends our calls here (--wrap). */
#define WRAP(type, name, parameters, arguments)          \
    type __real_##name parameters;                       \
    type __wrap_##name parameters;                       \
    type __wrap_##name parameters                        \
    {                                                    \
        return fails() ? NULL : __real_##name arguments; \
    }

WRAP(void *, malloc, (size_t n), (n))
WRAP(void *, calloc, (size_t n, size_t size), (n, size))
WRAP(void *, realloc, (void *p, size_t n), (p, n))
WRAP(void *, aligned_alloc, (size_t alignment, size_t n), (alignment, n))
WRAP(char *, strdup, (const char *s), (s))
WRAP(char *, strndup, (const char *s, size_t n), (s, n))

static atomic_long threads_left = -1; /* likewise, of threads */

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*run)(void *), void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*run)(void *), void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*run)(void *), void *arg)
{
    if (atomic_load(&threads_left) >= 0 &&
        atomic_fetch_sub(&threads_left, 1) == 1)
        return EAGAIN;
    return __real_pthread_create(thread, attributes, run, arg);
}

/* ---------------------------------------------------------- the server */

static struct ak_engine *engine;
static struct ak_config *config;
static struct ak_http *http;

static int start(void **state)
{
    static char program[] = "akind", listen[] = "--listen=127.0.0.1:0",
                threads[] = "--http-threads=1";
    char *argv[] = {program, listen, threads, NULL};
    struct ak_collection *c;
    struct ak_settings s;
    struct ak_receipt receipt;

    signal(SIGPIPE, SIG_IGN);
    ak_json_memory_init();
    if (make_dir(state) != 0)
        return -1;
    /* Each failure is logged as an error, and there are a thousand. */
    ak_log_set_level(AK_LOG_ERROR + 1);
    engine = fixture_open(NULL);
    s = settings_of("shoes", "lsh");
    s.multi_label = true;
    c = create(engine, &s);
    receipt = put_rows(c, 0, 20, AK_RECORD_BATCH, NULL);
    wait_for(c, receipt.seq, AK_ACK_VISIBLE);
    ak_collection_drop(c);
    assert_status(ak_config_load(3, argv, &config, NULL), AK_OK);
    assert_status(
        ak_http_start(&(struct ak_http_params){.config = config,
                                               .engine = engine,
                                               .tables = ak_route_tables,
                                               .n_tables = ak_n_route_tables,
                                               .max_connections = 16},
                      &http, NULL),
        AK_OK);
    return 0;
}

static int stop(void **state)
{
    ak_http_stop(http);
    fixture_close(engine);
    ak_http_destroy(http);
    ak_config_destroy(config);
    return remove_dir(state);
}

/* ---------------------------------------------------------- a request */

struct asked {
    const char *line, *type, *body;
    enum {
        SAME,
        VARIES,
        WRITES
    } kind; /* of its answer; what writes has a key */
};

struct answered {
    int status; /* 0: the connection ended without one */
    char text[65536];
    const char *body;
};

static int dial(void)
{
    struct sockaddr_in in = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
        .sin_port = htons((uint16_t)ak_http_port(http)),
    };
    struct timeval patience = {.tv_sec = PATIENCE};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
    return fd;
}

/* The whole exchange, on a connection of its own; true when it met a failure.
   `n`: which allocation fails, from 1; 0: none. */
static bool ask(const struct asked *q, const char *key, long n,
                struct answered *a)
{
    char request[2048];
    size_t len = 0;
    ssize_t got = 0;
    int fd = dial();
    bool met;

    snprintf(request, sizeof(request),
             "%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
             "Content-Type: %s\r\n%s%s%sContent-Length: %zu\r\n\r\n%s",
             q->line, q->type, q->kind == WRITES ? "Idempotency-Key: " : "",
             q->kind == WRITES ? key : "", q->kind == WRITES ? "\r\n" : "",
             strlen(q->body), q->body);
    atomic_store(&left, n > 0 ? n : -1);
    assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL),
                     (ssize_t)strlen(request));
    while (len < sizeof(a->text) - 1 &&
           (got = recv(fd, a->text + len, sizeof(a->text) - 1 - len, 0)) > 0)
        len += (size_t)got;
    /* What is done behind the answer is done before it is asked again. */
    met = n > 0 && atomic_load(&left) <= 0;
    atomic_store(&left, -1);
    if (got < 0 && errno == EAGAIN)
        fail_msg("%s hangs when allocation %ld fails", q->line, n);
    close(fd);
    a->text[len] = '\0';
    a->status = len > 12 ? atoi(a->text + 9) : 0;
    a->body = strstr(a->text, "\r\n\r\n");
    a->body = a->body == NULL ? "" : a->body + 4;
    return met;
}

/* An answer to what met a failure: done, or an error that hides nothing. */
static void check_answer(const struct asked *q, long n,
                         const struct answered *a)
{
    bool done = a->status >= 200 && a->status < 300;

    if (done || a->status == 0)
        return;
    if (a->status != 500 ||
        (a->body[0] != '\0' && strstr(a->body, ":internal\"") == NULL))
        fail_msg("%s, allocation %ld: %s", q->line, n, a->text);
}

static uint64_t seq_of_shoes(void)
{
    static struct answered a;
    static const struct asked q = {"GET /v1/collections/shoes/stream", "x", "",
                                   SAME};
    const char *at;

    ask(&q, NULL, 0, &a);
    at = strstr(a.body, "\"durable_seq\":");
    if (at == NULL)
        fail_msg("%s", a.text);
    return strtoull(at + 14, NULL, 10);
}

/* ------------------------------------------------------------- the tests */

/* From one failure to the next. */
static long step(void)
{
    return 1 + test_stride() / 10;
}

static void a_read_without_memory_is_an_error_and_no_more(void **state)
{
    static const struct asked reads[] = {
        {"GET /healthz", "x", "", SAME},
        {"GET /v1/collections", "x", "", SAME},
        {"GET /v1/collections/shoes", "x", "", SAME},
        {"GET /v1/collections/shoes/items?limit=3&label=1", "x", "", SAME},
        {"GET /v1/collections/shoes/items/7?with=vector,code", "x", "", SAME},
        {"GET /v1/collections/shoes/models", "x", "", SAME},
        {"GET /v1/collections/shoes/batches/1", "x", "", SAME},
        {"GET /v1/collections/shoes/stats/bits?with=correlation", "x", "",
         SAME},
        {"GET /v1/methods", "x", "", SAME},
        {"GET /v1/jobs", "x", "", SAME},
        {"GET /v1/jobs/kinds", "x", "", SAME},
        {"GET /v1/limits", "x", "", SAME},
        {"GET /v1/stats", "x", "", VARIES},
        {"GET /metrics", "x", "", VARIES},
        {"GET /readyz", "x", "", SAME},
        {"POST /v1/collections/shoes/search", "application/json",
         "{\"query\":{\"vector\":[" NUMBERS "]},\"limit\":3,\"with\":"
         "[\"labels\",\"code\"],\"filter\":{\"must\":[{\"labels_any\":[\"1\","
         "\"2\"]}],\"must_not\":[{\"ids\":[3,5]}]}}",
         SAME},
        {"POST /v1/collections/shoes/search", "application/json",
         "{\"query\":{\"id\":7},\"limit\":3,\"max_distance\":31}", SAME},
        {"POST /v1/collections/shoes/search", "application/json",
         "{\"query\":{\"id\":7},\"limit\":3,\"with\":[\"payload\",\"explain\"],"
         "\"rerank\":{\"by\":\"feature\"}}",
         SAME},
        {"POST /v1/collections/shoes/search/batch", "application/json",
         "{\"queries\":[{\"query\":{\"id\":7},\"limit\":2},{\"query\":{"
         "\"code\":"
         "\"00ff00ff\"},\"limit\":2}]}",
         SAME},
        {"POST /v1/collections/shoes/encode", "application/json",
         "{\"items\":[{\"vector\":[" NUMBERS "]}]}", SAME},
    };
    static struct answered before, a;
    long total = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(reads) / sizeof(reads[0]); i++) {
        const struct asked *q = &reads[i];
        long n = 1;

        ask(q, NULL, 0, &before);
        if (before.status != 200)
            fail_msg("%s: %s", q->line, before.text);
        for (; ask(q, NULL, n, &a); n += step()) {
            total++;
            check_answer(q, n, &a);
            if (a.status == 200 && q->kind == SAME)
                assert_string_equal(a.body, before.body);
            /* The next one is none the worse for it. */
            ask(q, NULL, 0, &a);
            assert_int_equal(a.status, 200);
            if (q->kind == SAME)
                assert_string_equal(a.body, before.body);
        }
        assert_int_equal(a.status, 200);
    }
    print_message("# %ld failures of reads\n", total);
    assert_true(total > 200 / step());
}

static void a_write_without_memory_is_done_once_or_not_at_all(void **state)
{
    static const struct asked writes[] = {
        {"POST /v1/collections/shoes/batches", "application/json",
         "{\"items\":[{\"id\":100,\"vector\":[" NUMBERS "],\"labels\":[\"1\","
         "\"new\"],\"payload\":{\"a\":[1,{\"b\":null}]}}]}",
         WRITES},
        {"POST /v1/collections/shoes/batches?chunk=1", "application/x-ndjson",
         "{\"id\":101,\"vector\":[" NUMBERS "],\"labels\":[\"2\"]}\n", WRITES},
        {"PUT /v1/collections/shoes/items", "application/json",
         "{\"items\":[{\"id\":102,\"vector\":[" NUMBERS "]}]}", WRITES},
        {"PATCH /v1/collections/shoes/items/7", "application/json",
         "{\"labels\":[\"3\",\"4\"],\"payload\":{\"x\":1}}", WRITES},
        {"POST /v1/collections/shoes/batches",
         "multipart/form-data; boundary=b",
         "--b\r\nContent-Disposition: form-data; name=\"meta\"\r\n"
         "Content-Type: application/json\r\n\r\n{\"items\":[{\"id\":101,"
         "\"vector\":[" NUMBERS "],\"labels\":[\"2\"]}]}\r\n--b--\r\n",
         WRITES},
    };
    static struct answered a;
    long total = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(writes) / sizeof(writes[0]); i++) {
        const struct asked *q = &writes[i];
        bool met = true;

        for (long n = 1; met; n += step(), total++) {
            uint64_t before = seq_of_shoes(), after;
            char key[32];

            snprintf(key, sizeof(key), "memory-%zu-%ld", i, n);
            met = ask(q, key, n, &a);
            check_answer(q, n, &a);
            after = seq_of_shoes();
            assert_true(after == before || after == before + 1);
            if (a.status >= 200 && a.status < 300)
                assert_int_equal(after, before + 1);
            ask(q, key, 0, &a);
            if (a.status < 200 || a.status > 299)
                fail_msg("%s after allocation %ld: %s", q->line, n, a.text);
            assert_int_equal(seq_of_shoes(), before + 1);
        }
    }
    print_message("# %ld failures of writes\n", total);
    assert_true(total > 200 / step());
}

/* After all of it the items are what was written, and no others. */
static void what_was_written_is_there(void **state)
{
    static const struct asked q = {
        "POST /v1/collections/shoes/search", "application/json",
        "{\"query\":{\"vector\":[" NUMBERS
        "]},\"limit\":100,\"max_distance\":32,"
        "\"with\":[\"labels\",\"payload\"],\"filter\":{\"must\":[{\"ids\":[7,"
        "100,101,102]}]}}",
        SAME};
    static const struct asked list = {
        "GET /v1/collections/shoes/items?limit=1000", "x", "", SAME};
    static struct answered a;
    struct ak_collection *c;
    struct ak_collection_status status;
    size_t n = 0;

    (void)state;
    assert_status(ak_engine_get(engine, "shoes", &c, NULL), AK_OK);
    ak_collection_status(c, &status);
    wait_for(c, status.durable_seq, AK_ACK_VISIBLE);
    ak_collection_drop(c);
    ask(&list, NULL, 0, &a);
    for (const char *p = a.body; (p = strstr(p, "\"id\":")) != NULL; p++)
        n++;
    assert_int_equal(n, 23);
    ask(&q, NULL, 0, &a);
    n = 0;
    for (const char *p = a.body; (p = strstr(p, "\"id\":")) != NULL; p++)
        n++;
    assert_int_equal(n, 4);
    assert_non_null(strstr(a.body, "\"labels\":[\"3\",\"4\"]"));
    assert_non_null(strstr(a.body, "\"labels\":[\"1\",\"new\"]"));
    assert_non_null(strstr(a.body, "{\"a\":[1,{\"b\":null}]}"));
}

/* Either it is there, with its settings, or it is not; asked again, it is. */
static void a_collection_without_memory_is_made_or_not(void **state)
{
    static const struct asked make = {
        "PUT /v1/collections/boots", "application/json",
        "{\"bits\":32,\"features\":{\"dim\":16},\"model\":{\"kind\":\"hmoh\"},"
        "\"description\":\"as it was sent\"}",
        SAME};
    static const struct asked look = {"GET /v1/collections/boots", "x", "",
                                      SAME};
    static const struct asked change = {"PATCH /v1/collections/boots",
                                        "application/json",
                                        "{\"description\":\"another\"}", SAME};
    static const struct asked remove = {"DELETE /v1/collections/boots", "x", "",
                                        SAME};
    static struct answered a;
    bool met = true;
    long total = 0;

    (void)state;
    /* A third of them: each makes a file and removes it. */
    for (long n = 1; met; n += 3 * step()) {
        met = ask(&make, NULL, n, &a);
        check_answer(&make, n, &a);
        ask(&make, NULL, 0, &a);
        if (a.status != 200 && a.status != 201)
            fail_msg("after allocation %ld: %s", n, a.text);
        ask(&look, NULL, 0, &a);
        assert_non_null(strstr(a.body, "\"as it was sent\""));
        met |= ask(&change, NULL, n, &a);
        check_answer(&change, n, &a);
        ask(&look, NULL, 0, &a);
        assert_true(strstr(a.body, "\"another\"") != NULL ||
                    strstr(a.body, "\"as it was sent\"") != NULL);
        met |= ask(&remove, NULL, n, &a);
        check_answer(&remove, n, &a);
        ask(&remove, NULL, 0, &a);
        assert_true(a.status == 204 || a.status == 404);
        ask(&look, NULL, 0, &a);
        assert_int_equal(a.status, 404);
        total += met;
    }
    print_message("# %ld failures of a collection's life\n", total);
    assert_true(total > 30 / step());
}

/* A record that the learner or the indexer meets without memory is followed when
   there is some again, and what comes of all is what comes without that.  Each
   failure makes the learner begin again at its checkpoint, and the next one meets
   it a step later on that way, until it comes to the end of it. */
static void what_is_learnt_without_memory_is_learnt_later(void **state)
{
    enum { ROWS = 20, BEFORE = 70, BATCHES = 100 }; /* saved every 64 */
    struct ak_settings s = settings_of("learns", "hmoh");
    struct ak_collection *c = create(engine, &s);
    struct ak_writer with, without;
    struct ak_receipt receipt;

    (void)state;
    c->learner.memory_ns = 1;
    for (uint64_t k = 0; k < BATCHES; k++) {
        if (k == BEFORE) {
            atomic_store(&of_work, true);
            atomic_store(&left, 1);
        }
        receipt = put_rows(c, k * ROWS, ROWS, AK_RECORD_BATCH, NULL);
        wait_for(c, receipt.seq, AK_ACK_LEARNED);
        wait_for(c, receipt.seq, AK_ACK_VISIBLE);
    }
    atomic_store(&left, -1);
    atomic_store(&of_work, false);
    publish(c);
    with = state_of(c);
    without = state_offline(&s, BATCHES * ROWS, NULL, NULL);
    assert_same_state(&with, &without);
    ak_writer_clear(&with);
    ak_writer_clear(&without);
    ak_collection_drop(c);
    print_message("# %ld failures of learning and indexing\n",
                  atomic_load(&gap));
    assert_true(atomic_load(&gap) > 20);
}

/* As where the tasks of a service have a limit.  `n`: which one fails. */
static void an_engine_without_threads_is_not_opened(void **state)
{
    struct ak_engine_params params = {.data_dir = fixture_dir,
                                      .threads = 2,
                                      .queue_bytes = 64 << 20,
                                      .collection_queue_bytes = 32 << 20};
    char dir[sizeof(fixture_dir) + 8];
    long n = 1;

    (void)state;
    snprintf(dir, sizeof(dir), "%s/other", fixture_dir);
    params.data_dir = dir;
    for (;; n++) {
        struct ak_engine *e = NULL;
        struct ak_err err = {0};
        enum ak_status status;

        atomic_store(&threads_left, n);
        status = ak_engine_open(&params, &e, &err);
        if (status == AK_OK) {
            assert_true(atomic_load(&threads_left) > 0);
            atomic_store(&threads_left, -1);
            ak_engine_close(e);
            break;
        }
        assert_null(e);
        assert_true(err.text[0] != '\0');
    }
    assert_true(n > 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_read_without_memory_is_an_error_and_no_more),
        cmocka_unit_test(a_write_without_memory_is_done_once_or_not_at_all),
        cmocka_unit_test(what_was_written_is_there),
        cmocka_unit_test(a_collection_without_memory_is_made_or_not),
        cmocka_unit_test(what_is_learnt_without_memory_is_learnt_later),
        cmocka_unit_test(an_engine_without_threads_is_not_opened),
    };

    return cmocka_run_group_tests_name("memory", tests, start, stop);
}
