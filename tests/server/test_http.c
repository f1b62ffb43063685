/* What a request gets, from whichever thread, and what becomes of it. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/server/http_fixture.h"

#define GET(target) "GET " target " HTTP/1.1\r\nHost: localhost\r\n\r\n"

static void a_reply_comes_from_the_handler(void **state)
{
    struct fixture f;
    struct answer a;

    (void)state;
    fixture_start(&f, NULL);
    assert_int_equal(ask(&f, GET("/inline"), &a), 200);
    assert_string_equal(a.body, "{\"x\":1}\n");
    assert_true(has_header(&a, "Content-Type: application/json\r\n"));
    assert_true(has_header(&a, "X-Request-Id: "));
    assert_true(has_header(&a, "X-Content-Type-Options: nosniff\r\n"));
    assert_true(has_header(&a, "Cache-Control: no-store\r\n"));
    assert_true(has_header(&a, "Server-Timing: scan;dur=1.500\r\n"));
    assert_true(has_header(&a, "Akin-Seq: 7\r\n"));
    assert_false(has_header(&a, "Connection: close"));
    answer_clear(&a);
    fixture_stop(&f);
}

struct client {
    const struct fixture *f;
    pthread_t thread;
    int good;
};

static void *ask_often(void *arg)
{
    struct client *c = arg;
    int fd = dial(c->f);

    for (int i = 0; i < 100; i++) {
        struct answer a;

        puts_to(fd, i % 3 ? GET("/later") : GET("/inline"));
        get_answer(fd, false, &a);
        c->good += a.status == 200 && strcmp(a.body, "{\"x\":1}\n") == 0;
        answer_clear(&a);
    }
    close(fd);
    return NULL;
}

static void replies_come_from_other_threads(void **state)
{
    struct client clients[8];
    struct fixture f;

    (void)state;
    fixture_start(&f, NULL);
    for (int i = 0; i < 8; i++) {
        clients[i] = (struct client){.f = &f};
        pthread_create(&clients[i].thread, NULL, ask_often, &clients[i]);
    }
    for (int i = 0; i < 8; i++) {
        pthread_join(clients[i].thread, NULL);
        assert_int_equal(clients[i].good, 100);
    }
    fixture_stop(&f);
}

static void a_client_may_leave_while_its_request_waits(void **state)
{
    struct fixture f;

    (void)state;
    fixture_start(&f, NULL);
    for (int i = 0; i < 20; i++) {
        int fd = dial(&f);

        puts_to(fd, GET("/held"));
        held_wait((unsigned)(i % 4) + 1);
        /* Half of them by a reset. */
        if (i % 2) {
            struct linger hard = {1, 0};

            setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
        }
        close(fd);
        if (i % 4 == 3)
            held_release();
    }
    wait_for(&ended, 20);
    expect(&f, "GET /inline", NULL, 200, "{\"x\":1}");
    fixture_stop(&f);
}

static void requests_may_be_pipelined(void **state)
{
    struct fixture f;
    int fd;

    (void)state;
    fixture_start(&f, NULL);
    fd = dial(&f);
    for (int i = 0; i < 200; i++)
        puts_to(fd, i % 2 ? GET("/later")
                          : "POST /echo HTTP/1.1\r\nHost: localhost\r\n"
                            "Content-Length: 5\r\n\r\nhello");
    for (int i = 0; i < 200; i++) {
        struct answer a;

        get_answer(fd, false, &a);
        assert_int_equal(a.status, 200);
        assert_string_equal(a.body, i % 2 ? "{\"x\":1}\n" : "hello");
        answer_clear(&a);
    }
    close(fd);
    fixture_stop(&f);
}

static void head_is_get_without_a_body(void **state)
{
    struct fixture f;
    struct answer a;
    int fd;

    (void)state;
    fixture_start(&f, NULL);
    fd = dial(&f);
    puts_to(fd, "HEAD /later HTTP/1.1\r\nHost: localhost\r\n\r\n");
    get_answer(fd, true, &a);
    assert_int_equal(a.status, 200);
    assert_true(has_header(&a, "Content-Length: 8\r\n"));
    answer_clear(&a);
    /* Nothing of a body stands before the next answer. */
    puts_to(fd, GET("/inline"));
    get_answer(fd, false, &a);
    assert_int_equal(a.status, 200);
    answer_clear(&a);
    close(fd);
    fixture_stop(&f);
}

static char *pattern(size_t len)
{
    char *p = malloc(len + 1);

    assert_non_null(p);
    for (size_t i = 0; i < len; i++)
        p[i] = (char)('a' + i % 26);
    p[len] = '\0';
    return p;
}

static void put_chunked(int fd, const char *body, size_t len, size_t piece)
{
    char head[32];

    for (size_t at = 0; at < len; at += piece) {
        size_t n = len - at < piece ? len - at : piece;

        snprintf(head, sizeof(head), "%zx\r\n", n);
        puts_to(fd, head);
        put(fd, body + at, n);
        puts_to(fd, "\r\n");
    }
    puts_to(fd, "0\r\n\r\n");
}

static void bodies_come_whole(void **state)
{
    static const size_t sizes[] = {0, 1, 16383, 16384, 100000, 3000000};
    static const char *const paths[] = {"/echo", "/collect"};
    struct fixture f;

    (void)state;
    fixture_start(&f, NULL);
    for (size_t i = 0; i < 2 * 2 * 6; i++) {
        size_t len = sizes[i / 4];
        char *body = pattern(len), head[256];
        bool chunked = i & 1;
        struct answer a;
        int fd = dial(&f);

        if (chunked)
            snprintf(
                head, sizeof(head),
                "POST %s HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: "
                "chunked\r\nContent-Type: Text/Plain; x=y\r\n\r\n",
                paths[i / 2 % 2]);
        else
            snprintf(head, sizeof(head),
                     "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
                     "%zu\r\nContent-Type: Text/Plain; x=y\r\n\r\n",
                     paths[i / 2 % 2], len);
        puts_to(fd, head);
        if (chunked)
            put_chunked(fd, body, len, 7001);
        else
            put(fd, body, len);
        get_answer(fd, false, &a);
        assert_int_equal(a.status, 200);
        assert_int_equal(a.len, len);
        assert_memory_equal(a.body, body, len);
        assert_true(has_header(&a, "Type: text/plain\r\n"));
        answer_clear(&a);
        free(body);
        close(fd);
    }
    fixture_stop(&f);
}

/* Sends until the other side does not take any more for a while. */
static size_t send_until_full(int fd, const char *bytes, size_t len)
{
    struct pollfd writable = {.fd = fd, .events = POLLOUT};
    size_t sent = 0;

    while (sent < len && poll(&writable, 1, 500) > 0) {
        ssize_t n = send(fd, bytes + sent, len - sent, MSG_DONTWAIT);

        assert_true(n > 0 || errno == EAGAIN);
        sent += n > 0 ? (size_t)n : 0;
    }
    return sent;
}

static void
what_a_paused_stream_does_not_take_stays_with_the_client(void **state)
{
    /* Above what the buffers of the system hold. */
    const size_t len = (size_t)64 << 20;
    char *body = calloc(1, len);
    struct fixture f;
    struct answer a;
    size_t sent;
    int fd;

    (void)state;
    assert_non_null(body);
    fixture_start(&f, NULL);
    fd = dial(&f);
    puts_to(fd, "POST /stalled HTTP/1.1\r\nHost: localhost\r\n"
                "Content-Length: 67108864\r\n\r\n");
    sent = send_until_full(fd, body, len);
    assert_in_range(sent, 1000, len - 1);
    assert_int_equal(atomic_load(&stalled_taken), 1000);
    stalled_go_on();
    put(fd, body + sent, len - sent);
    get_answer(fd, false, &a);
    assert_int_equal(a.status, 200);
    assert_string_equal(a.body, "{\"len\":67108864}\n");
    answer_clear(&a);
    close(fd);
    free(body);
    fixture_stop(&f);
}

static void a_stream_may_pause(void **state)
{
    struct fixture f;

    (void)state;
    fixture_start(&f, NULL);
    for (int chunked = 0; chunked < 2; chunked++) {
        size_t len = 300000;
        char *body = pattern(len), want[64];
        unsigned long sum = 0;
        struct answer a;
        int fd = dial(&f);

        for (size_t i = 0; i < len; i++)
            sum += (unsigned char)body[i];
        if (chunked) {
            puts_to(fd, "POST /stream HTTP/1.1\r\nHost: localhost\r\n"
                        "Transfer-Encoding: chunked\r\n\r\n");
            put_chunked(fd, body, len, 777);
        } else {
            puts_to(fd, "POST /stream HTTP/1.1\r\nHost: localhost\r\n"
                        "Content-Length: 300000\r\n\r\n");
            put(fd, body, len);
        }
        get_answer(fd, false, &a);
        assert_int_equal(a.status, 200);
        snprintf(want, sizeof(want), "{\"len\":%zu,\"sum\":%lu}\n", len, sum);
        assert_string_equal(a.body, want);
        answer_clear(&a);
        /* The connection goes on. */
        puts_to(fd, GET("/inline"));
        get_answer(fd, false, &a);
        assert_int_equal(a.status, 200);
        answer_clear(&a);
        free(body);
        close(fd);
    }
    /* Without a body it ends at once. */
    expect(&f, "POST /stream", "Content-Length: 0\r\n\r\n", 200, "\"len\":0");
    fixture_stop(&f);
}

static void a_stream_is_answered_before_its_end(void **state)
{
    static const char *const marks[] = {"!", "?"};
    struct fixture f;

    (void)state;
    fixture_start(&f, NULL);
    for (int i = 0; i < 20; i++) {
        struct answer a;
        int fd = dial(&f);

        puts_to(fd, i % 2 ? "POST /stream HTTP/1.1\r\nHost: localhost\r\n"
                            "Transfer-Encoding: chunked\r\n\r\n4\r\nabc"
                          : "POST /stream HTTP/1.1\r\nHost: localhost\r\n"
                            "Content-Length: 4000000\r\n\r\nabc");
        puts_to(fd, marks[i / 2 % 2]);
        /* The client sends no more, and yet has its answer. */
        get_answer(fd, false, &a);
        assert_int_equal(a.status, 422);
        assert_non_null(strstr(a.body, "urn:akin:problem:validation-failed"));
        assert_true(has_header(&a, "Connection: close\r\n"));
        assert_true(has_header(&a, "Content-Type: application/problem+json"));
        assert_true(at_end(fd));
        answer_clear(&a);
        close(fd);
    }
    wait_for(&ended, 20);
    fixture_stop(&f);
}

static void a_stream_is_told_that_its_client_left(void **state)
{
    struct fixture f;

    (void)state;
    fixture_start(&f, NULL);
    for (int i = 0; i < 10; i++) {
        int fd = dial(&f);

        puts_to(fd, "POST /stream HTTP/1.1\r\nHost: localhost\r\n"
                    "Content-Length: 4000000\r\n\r\nabc");
        wait_for(&reached, (unsigned)i + 1);
        close(fd);
        wait_for(&gone, (unsigned)i + 1);
    }
    wait_for(&ended, 10);
    /* A body that is collected: the route is never asked. */
    for (int i = 0; i < 10; i++) {
        int fd = dial(&f);

        puts_to(fd, "POST /echo HTTP/1.1\r\nHost: localhost\r\n"
                    "Content-Length: 4000000\r\n\r\nabc");
        close(fd);
    }
    fixture_stop(&f);
    assert_int_equal(atomic_load(&reached), 10);
}

static void a_request_in_pieces_is_one(void **state)
{
    static const char request[] =
        "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n"
        "\r\nhello";
    struct fixture f;
    struct answer a;
    int fd;

    (void)state;
    fixture_start(&f, NULL);
    fd = dial(&f);
    for (size_t i = 0; i < sizeof(request) - 1; i++) {
        put(fd, request + i, 1);
        usleep(100);
    }
    get_answer(fd, false, &a);
    assert_int_equal(a.status, 200);
    assert_string_equal(a.body, "hello");
    answer_clear(&a);
    close(fd);
    fixture_stop(&f);
}

static void a_client_that_sends_no_more_may_still_read(void **state)
{
    static const char *const requests[] = {
        GET("/inline"),
        GET("/later"),
        GET("/held"),
        ("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n"
         "\r\nhello"),
    };
    struct fixture f;

    (void)state;
    fixture_start(&f, NULL);
    for (size_t i = 0; i < 20 * 4; i++) {
        struct answer a;
        int fd = dial(&f);

        puts_to(fd, requests[i % 4]);
        shutdown(fd, SHUT_WR);
        /* Its end is known before the answer is given. */
        if (i % 4 == 2) {
            held_wait(1);
            held_release();
        }
        get_answer(fd, false, &a);
        assert_int_equal(a.status, 200);
        answer_clear(&a);
        close(fd);
    }
    fixture_stop(&f);
}

static void draining_refuses_writes_and_finishes_the_rest(void **state)
{
    struct fixture f;
    struct answer a;
    int fd, idle;

    (void)state;
    fixture_start(&f, NULL);
    fd = dial(&f);
    idle = dial(&f);
    puts_to(fd, GET("/held"));
    held_wait(1);
    expect(&f, "GET /readyz", NULL, 200, "\"status\":\"ready\"");
    ak_http_drain(f.http);
    expect(&f, "GET /readyz", NULL, 503, "\"status\":\"draining\"");
    expect(&f, "GET /healthz", NULL, 200, "ok");
    expect(&f, "POST /v1/collections/c1/things", "Content-Length: 1\r\n\r\nx",
           503, "urn:akin:problem:draining");
    assert_int_equal(ask(&f, GET("/inline"), &a), 200);
    assert_true(has_header(&a, "Connection: close"));
    answer_clear(&a);
    ak_http_quiesce(f.http);
    expect(&f, "GET /inline", NULL, 503, "urn:akin:problem:draining");
    expect(&f, "GET /healthz", NULL, 200, "ok");
    /* An answer arrives a moment before its request is over. */
    while (ak_http_active(f.http) > 1)
        usleep(1000);
    assert_int_equal(ak_http_active(f.http), 1);
    held_release();
    get_answer(fd, false, &a);
    assert_int_equal(a.status, 200);
    assert_true(has_header(&a, "Connection: close"));
    answer_clear(&a);
    assert_true(at_end(fd));
    close(fd);
    fixture_stop(&f);
    assert_true(at_end(idle));
    close(idle);
}

static void a_stop_answers_who_still_waits(void **state)
{
    struct fixture f;
    struct answer a;
    int fd, stream, half;

    (void)state;
    fixture_start(&f, NULL);
    fd = dial(&f);
    stream = dial(&f);
    half = dial(&f);
    puts_to(half, "GET /inli");
    puts_to(stream, "POST /stream HTTP/1.1\r\nHost: localhost\r\n"
                    "Content-Length: 4000000\r\n\r\nabc");
    puts_to(fd, GET("/held"));
    held_wait(1);
    wait_for(&reached, 2);
    fixture_stop_http(&f);
    get_answer(fd, false, &a);
    assert_int_equal(a.status, 503);
    assert_non_null(strstr(a.body, "urn:akin:problem:draining"));
    answer_clear(&a);
    /* The route does not know, and answers nobody. */
    held_release();
    wait_for(&ended, 2);
    assert_int_equal(atomic_load(&gone), 1);
    fixture_stop(&f);
    close(fd);
    close(stream);
    close(half);
}

static void slow_clients_are_ended(void **state)
{
    static const char *const options[] = {"--header-timeout=1s",
                                          "--request-timeout=1s", NULL};
    struct fixture f;
    struct answer a;
    int drip, silent, body, drip_body;

    (void)state;
    fixture_start(&f, options);
    drip = dial(&f);
    silent = dial(&f);
    body = dial(&f);
    drip_body = dial(&f);
    puts_to(drip, "GET /inline HTTP/1.1\r\nHost: localhost\r\nX-A: ");
    puts_to(body, "POST /echo HTTP/1.1\r\nHost: localhost\r\n"
                  "Content-Length: 4000\r\n\r\nabc");
    puts_to(drip_body, "POST /echo HTTP/1.1\r\nHost: localhost\r\n"
                       "Content-Length: 400000\r\n\r\nabc");
    /* Each byte is activity; and yet it ends. */
    for (;;) {
        char c;

        put(drip, "x", 1);
        put(drip_body, "x", 1);
        usleep(20000);
        if (recv(drip, &c, 1, MSG_DONTWAIT) == 0)
            break;
    }
    assert_true(at_end(silent));
    assert_true(at_end(body));
    get_answer(drip_body, false, &a);
    assert_int_equal(a.status, 408);
    answer_clear(&a);
    expect(&f, "GET /inline", NULL, 200, NULL);
    close(drip);
    close(silent);
    close(body);
    close(drip_body);
    fixture_stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reply_comes_from_the_handler),
        cmocka_unit_test(replies_come_from_other_threads),
        cmocka_unit_test(a_client_may_leave_while_its_request_waits),
        cmocka_unit_test(requests_may_be_pipelined),
        cmocka_unit_test(head_is_get_without_a_body),
        cmocka_unit_test(bodies_come_whole),
        cmocka_unit_test(a_stream_may_pause),
        cmocka_unit_test(
            what_a_paused_stream_does_not_take_stays_with_the_client),
        cmocka_unit_test(a_stream_is_answered_before_its_end),
        cmocka_unit_test(a_stream_is_told_that_its_client_left),
        cmocka_unit_test(a_request_in_pieces_is_one),
        cmocka_unit_test(a_client_that_sends_no_more_may_still_read),
        cmocka_unit_test(draining_refuses_writes_and_finishes_the_rest),
        cmocka_unit_test(a_stop_answers_who_still_waits),
        cmocka_unit_test(slow_clients_are_ended),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
