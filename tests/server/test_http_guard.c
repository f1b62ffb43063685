/* What does not get as far as a route, and what an operator is told. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/server/http_fixture.h"

/* `n` bytes of "a" after a head; one answer. */
static int ask_with_body(const struct fixture *f, const char *head, size_t n,
                         struct answer *a)
{
    char *body = malloc(n + 1);
    int fd = dial(f);

    assert_non_null(body);
    memset(body, 'a', n);
    puts_to(fd, head);
    put(fd, body, n);
    get_answer(fd, false, a);
    free(body);
    close(fd);
    return a->status;
}

static void ambiguous_framing_is_refused_and_closes(void **state)
{
    /* Each would let a second request hide behind or inside the first. */
    static const struct {
        const char *headers;
        const char *slug;
    } cases[] = {
        {"Content-Length: 0\r\nContent-Length: 34\r\n", "ambiguous-framing"},
        {"Content-Length: 5\r\nContent-Length: 5\r\n", "ambiguous-framing"},
        {"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
         "ambiguous-framing"},
        {"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
         "ambiguous-framing"},
        {"Transfer-Encoding: xchunked\r\n", "ambiguous-framing"},
        {"Transfer-Encoding: gzip, chunked\r\n", "ambiguous-framing"},
        {"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
         "ambiguous-framing"},
        {"Transfer-Encoding: identity\r\n", "ambiguous-framing"},
        {"Host: localhost\r\n", "ambiguous-framing"},
        {"Content-Length : 5\r\n", "malformed-request"},
        {"X-(a): 5\r\n", "malformed-request"},
        {"X\x01: 5\r\n", "malformed-request"},
    };
    struct fixture f;

    (void)state;
    fixture_start(&f, NULL);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char request[512];
        struct answer a;
        int fd = dial(&f);

        snprintf(request, sizeof(request),
                 "POST /echo HTTP/1.1\r\nHost: localhost\r\n%s\r\n"
                 "GET /inline HTTP/1.1\r\nHost: localhost\r\n\r\n",
                 cases[i].headers);
        puts_to(fd, request);
        get_answer(fd, false, &a);
        if (a.status != 400 || strstr(a.body, cases[i].slug) == NULL)
            fail_msg("%s: %s", cases[i].headers, a.text);
        assert_true(has_header(&a, "Connection: close\r\n"));
        answer_clear(&a);
        /* The second one is never answered. */
        get_answer(fd, false, &a);
        assert_int_equal(a.status, 0);
        assert_true(a.closed);
        answer_clear(&a);
        close(fd);
    }
    fixture_stop(&f);
    assert_int_equal(atomic_load(&reached), 0);
}

static void what_libmicrohttpd_refuses_ends_too(void **state)
{
    static const char *const requests[] = {
        "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5x\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: localhost\r\n"
        "Content-Length: 18446744073709551616\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: localhost\r\n"
        "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
        "POST /echo HTTP/1.1\r\nHost: localhost\r\n"
        "Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET http://localhost/inline HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    };
    struct fixture f;

    (void)state;
    fixture_start(&f, NULL);
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        struct answer a;
        int status = ask(&f, requests[i], &a);

        if (status != 0 && (status < 400 || status >= 500) && status != 505)
            fail_msg("%s: %d", requests[i], status);
        answer_clear(&a);
    }
    expect(&f, "GET /inline", NULL, 200, NULL);
    fixture_stop(&f);
    assert_int_equal(atomic_load(&reached), 1);
}

static void a_target_must_be_clean(void **state)
{
    static const char *const bad[] = {
        "GET /param/a%00b",    "GET /param/a%",      "GET /param/a%2",
        "GET /param/a%zz",     "GET /param/%c0%af",  "GET /param/%ff",
        "GET /param/a\\b",     "GET /param/a\x01",   "GET /param/%ed%a0%80",
        "GET /param/a b",      "GET /param/a#b",     "GET /query?a=%00",
        "GET /query?a=%e2%28", "GET /query?a=1&a=2",
    };
    struct fixture f;

    (void)state;
    fixture_start(&f, NULL);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        expect(&f, bad[i], NULL, 400, "urn:akin:problem:malformed-request");
    expect(&f, "GET /param/a%2Fb%20%C3%A9", NULL, 200, "a/b \xc3\xa9");
    expect(&f, "GET /param/a+b", NULL, 200, "a+b");
    expect(&f, "GET /param/..%2f..%2fetc", NULL, 200, "../../etc");
    expect(&f, "GET /query?a=x+y%26z&b=", NULL, 200, "x y&z");
    expect(&f, "GET /query?b", NULL, 200, "absent");
    expect(&f, "GET /query?c=1", NULL, 422, "known here: a, b");
    expect(&f, "GET /query?c=1", NULL, 422, "urn:akin:problem:unknown-field");
    {
        struct answer a;

        ask(&f, "GET /inline HTTP/1.1\r\n\r\n", &a);
        assert_int_equal(a.status, 400);
        assert_non_null(strstr(a.body, "there is no Host"));
        answer_clear(&a);
        ask(&f, "GET /inline HTTP/1.0\r\n\r\n", &a);
        assert_int_equal(a.status, 200);
        answer_clear(&a);
    }
    fixture_stop(&f);
}

static void paths_and_methods_are_told_apart(void **state)
{
    static const char *const unknown[] = {
        "GET /",
        "GET /nothing",
        "GET /inline/",
        "GET //inline",
        "GET /param",
        "GET /param/",
        "GET /param/a/b",
        "GET /param/../inline",
        "GET /a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r/s/t",
    };
    struct fixture f;
    struct answer a;

    (void)state;
    fixture_start(&f, NULL);
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
        expect(&f, unknown[i], NULL, 404, "urn:akin:problem:not-found");
    expect(&f, "DELETE /inline", NULL, 405, "Allow: GET, HEAD");
    expect(&f, "FOO /inline", NULL, 405, "method-not-allowed");
    expect(&f, "TRACE /inline", NULL, 405, "Allow: GET, HEAD");
    expect(&f, "GET /echo", NULL, 405, "Allow: POST");
    expect(&f, "HEAD /echo", NULL, 405, "Allow: POST");
    expect(&f, "HEAD /inline", NULL, 200, NULL);
    /* A literal segment comes before a parameter, where it has the method. */
    expect(&f, "POST /param/list?a=7", "Content-Length: 0\r\n\r\n", 200, "7");
    expect(&f, "GET /param/list", NULL, 200, "list");
    expect(&f, "PUT /param/list", "Content-Length: 0\r\n\r\n", 405,
           "Allow: GET, HEAD, POST");
    /* A body for nothing is read, and the connection goes on. */
    {
        int fd = dial(&f);

        puts_to(fd, "POST /nothing HTTP/1.1\r\nHost: localhost\r\n"
                    "Content-Length: 5\r\n\r\nhello"
                    "GET /inline HTTP/1.1\r\nHost: localhost\r\n\r\n");
        get_answer(fd, false, &a);
        assert_int_equal(a.status, 404);
        answer_clear(&a);
        get_answer(fd, false, &a);
        assert_int_equal(a.status, 200);
        answer_clear(&a);
        close(fd);
    }
    fixture_stop(&f);
}

static void pages_of_other_sites_are_refused(void **state)
{
    static const struct {
        const char *headers;
        int status;
    } cases[] = {
        {"Host: localhost\r\n", 200},
        {"Host: localhost:7337\r\n", 200},
        {"Host: 127.0.0.1:80\r\n", 200},
        {"Host: 127.9.9.9\r\n", 200},
        {"Host: [::1]:7337\r\n", 200},
        {"Host: LOCALHOST\r\n", 200},
        {"Host: shop.example:80\r\n", 200}, /* allowed by the setting */
        {"Host: evil.example\r\n", 403},
        {"Host: localhost.evil.example\r\n", 403},
        {"Host: 127.0.0.1.evil.example\r\n", 403},
        {"Host: 128.0.0.1\r\n", 403},
        {"Host: localhost:\x20"
         "80\r\n",
         403},
        {"Host: localhost:8o\r\n", 403},
        {"Host: \r\n", 403},
        {"Host: localhost:7337\r\nOrigin: http://localhost:7337\r\n", 200},
        {"Host: localhost:7337\r\nOrigin: http://localhost:8000\r\n", 403},
        {"Host: localhost\r\nOrigin: http://evil.example\r\n", 403},
        {"Host: localhost\r\nOrigin: null\r\n", 403},
        {"Host: localhost\r\nOrigin: file://localhost\r\n", 403},
        {"Host: localhost\r\nOrigin: http://localhost\r\n"
         "Origin: http://evil.example\r\n",
         403},
        {"Host: localhost\r\nSec-Fetch-Site: cross-site\r\n", 403},
        {"Host: localhost\r\nSec-Fetch-Site: same-site\r\n", 403},
        {"Host: localhost\r\nSec-Fetch-Site: same-origin\r\n", 200},
        {"Host: localhost\r\nSec-Fetch-Site: none\r\n", 200},
    };
    static const char *const options[] = {
        "--allowed-hosts=a.example, Shop.Example", NULL};
    struct fixture f;

    (void)state;
    fixture_start(&f, options);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char request[512];
        struct answer a;

        snprintf(request, sizeof(request), "GET /inline HTTP/1.1\r\n%s\r\n",
                 cases[i].headers);
        ask(&f, request, &a);
        if (a.status != cases[i].status)
            fail_msg("%s: %s", cases[i].headers, a.text);
        if (a.status == 403)
            assert_non_null(strstr(a.body, "urn:akin:problem:forbidden"));
        answer_clear(&a);
    }
    fixture_stop(&f);
}

static void too_large_a_body_is_refused(void **state)
{
    static const char *const options[] = {"--max-body-bytes=1MiB", NULL};
    static const char *const heads[] = {
        "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20000000\r\n"
        "\r\n",
        "POST /collect HTTP/1.1\r\nHost: localhost\r\n"
        "Content-Length: 20000000\r\n\r\n",
        /* The length is a lie; the chunk is what counts. */
        "POST /echo HTTP/1.1\r\nHost: localhost\r\n"
        "Transfer-Encoding: chunked\r\n\r\n1312d00\r\n",
        "POST /collect HTTP/1.1\r\nHost: localhost\r\n"
        "Transfer-Encoding: chunked\r\n\r\n1312d00\r\n",
    };
    struct fixture f;
    struct answer a;
    int fd;

    (void)state;
    fixture_start(&f, options);
    for (size_t i = 0; i < 4; i++) {
        /* All of it is sent, and yet the answer arrives. */
        assert_int_equal(ask_with_body(&f, heads[i], 20000000, &a), 413);
        assert_non_null(strstr(a.body, "urn:akin:problem:body-too-large"));
        assert_non_null(strstr(a.body, "1048576"));
        assert_true(has_header(&a, "Connection: close\r\n"));
        answer_clear(&a);
        /* Nothing of it is sent. */
        if (i < 2) {
            assert_int_equal(ask(&f, heads[i], &a), 413);
            answer_clear(&a);
        }
    }
    /* Exactly the limit fits; a stream has none. */
    assert_int_equal(ask_with_body(&f,
                                   "POST /echo HTTP/1.1\r\nHost: localhost\r\n"
                                   "Content-Length: 1048576\r\n\r\n",
                                   1048576, &a),
                     200);
    assert_int_equal(a.len, 1048576);
    answer_clear(&a);
    assert_int_equal(
        ask_with_body(&f,
                      "POST /stream HTTP/1.1\r\nHost: localhost\r\n"
                      "Content-Length: 2000000\r\n\r\n",
                      2000000, &a),
        200);
    answer_clear(&a);
    /* No length is too large to be refused. */
    expect(&f, "POST /echo", "Content-Length: 18446744073709551615\r\n\r\n",
           413, "18446744073709551615");
    /* Who asks first is told before it sends. */
    fd = dial(&f);
    puts_to(fd, "POST /echo HTTP/1.1\r\nHost: localhost\r\n"
                "Expect: 100-continue\r\nContent-Length: 2000000\r\n\r\n");
    get_answer(fd, false, &a);
    assert_int_equal(a.status, 413);
    answer_clear(&a);
    assert_true(at_end(fd));
    close(fd);
    fd = dial(&f);
    puts_to(fd, "POST /echo HTTP/1.1\r\nHost: localhost\r\n"
                "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    usleep(1000);
    puts_to(fd, "hello");
    get_answer(fd, false, &a);
    assert_int_equal(a.status, 200);
    assert_string_equal(a.body, "hello");
    answer_clear(&a);
    close(fd);
    fixture_stop(&f);
}

static void bodies_have_a_bound_together(void **state)
{
    static const char *const options[] = {"--max-body-memory=1MiB", NULL};
    struct fixture f;
    struct answer a;

    (void)state;
    fixture_start(&f, options);
    assert_int_equal(ask_with_body(&f,
                                   "POST /echo HTTP/1.1\r\nHost: localhost\r\n"
                                   "Content-Length: 2000000\r\n\r\n",
                                   2000000, &a),
                     429);
    assert_true(has_header(&a, "Retry-After: 1\r\n"));
    answer_clear(&a);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(
            ask_with_body(&f,
                          "POST /echo HTTP/1.1\r\nHost: localhost\r\n"
                          "Content-Length: 500000\r\n\r\n",
                          500000, &a),
            200);
        answer_clear(&a);
    }
    fixture_stop(&f);
}

static void wait_for_body_memory(struct fixture *f, const char *bytes)
{
    char line[64];

    snprintf(line, sizeof(line), "akind_http_body_memory_bytes %s\n", bytes);
    for (bool there = false; !there;) {
        struct answer a;

        ask(f, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", &a);
        there = strstr(a.body, line) != NULL;
        answer_clear(&a);
    }
}

static void a_body_without_memory_is_refused_before_it_comes(void **state)
{
    static const char *const options[] = {"--max-body-memory=1MiB", NULL};
    static const char delete[] =
        "POST /v1/collections/c1/things/delete HTTP/1.1\r\n"
        "Host: localhost\r\nContent-Length: 200000\r\n\r\n";
    static const char echo[] = "POST /echo HTTP/1.1\r\nHost: localhost\r\n"
                               "Content-Length: 900000\r\n\r\n";
    char *body = calloc(1, 900000);
    struct fixture f;
    struct answer a;
    int first;

    (void)state;
    fixture_start(&f, options);
    first = dial(&f);
    puts_to(first, echo);
    put(first, body, 1);
    wait_for_body_memory(&f, "900001");
    /* Not a byte of its body is sent. */
    assert_int_equal(ask(&f, echo, &a), 429);
    assert_true(has_header(&a, "Retry-After: 9\r\n"));
    answer_clear(&a);
    /* A delete has memory of its own, and alone may be larger than that. */
    assert_int_equal(ask_with_body(&f, delete, 200000, &a), 200);
    answer_clear(&a);
    put(first, body, 899999);
    get_answer(first, false, &a);
    assert_int_equal(a.status, 200);
    answer_clear(&a);
    close(first);
    /* An exchange is over some time after its answer is there. */
    wait_for_body_memory(&f, "0");
    assert_int_equal(ask_with_body(&f, echo, 900000, &a), 200);
    answer_clear(&a);
    expect(&f, "GET /metrics", NULL, 200,
           "akind_ingest_refused_total{reason=\"memory\"} ");
    free(body);
    fixture_stop(&f);
}

static void states_are_told(void **state)
{
    static const char things[] = "POST /v1/collections/c1/things";
    static const char body[] = "Content-Length: 4\r\n\r\nbody";
    struct fixture f;

    (void)state;
    fixture_start(&f, NULL);
    atomic_store(&f.engine.loading, true);
    expect(&f, "GET /inline", NULL, 503, "urn:akin:problem:starting");
    expect(&f, "GET /inline", NULL, 503, "Retry-After: 1");
    expect(&f, "GET /healthz", NULL, 200, "\"ok\"");
    expect(&f, "GET /readyz", NULL, 503, "\"rows_loaded\":250");
    expect(&f, "GET /metrics", NULL, 200, "akind_ready 0\n");
    atomic_store(&f.engine.loading, false);
    expect(&f, "GET /readyz", NULL, 200, "\"status\":\"ready\"");
    expect(&f, "GET /metrics", NULL, 200, "akind_ready 1\n");
    expect(&f, things, body, 200, "stored");
    atomic_store(&f.engine.full, true);
    expect(&f, things, body, 429, "urn:akin:problem:queue-full");
    expect(&f, things, body, 429, "Retry-After: 7\r\n");
    /* Before a byte of the body has come. */
    expect(&f, things, "Content-Length: 900000\r\n\r\n", 429, "queue-full");
    /* Deletes are never held back, nor is what the route itself refuses. */
    expect(&f, "POST /v1/collections/c1/things/delete", body, 200, "stored");
    expect(&f, "POST /v1/collections/nothing/things", body, 200, "stored");
    expect(&f, "GET /metrics", NULL, 200,
           "akind_ingest_refused_total{reason=\"queue\"} 3\n");
    atomic_store(&f.engine.full, false);
    atomic_store(&f.engine.disk_low, true);
    expect(&f, things, body, 507, "urn:akin:problem:disk-full");
    expect(&f, things, body, 507, "Retry-After: 1");
    expect(&f, things, body, 507,
           "1000 bytes are free, disk_low_bytes is 2000");
    expect(&f, things, "Content-Length: 900000\r\n\r\n", 507, "disk-full");
    expect(&f, "POST /v1/collections/c1/things/delete", body, 200, "stored");
    expect(&f, "GET /inline", NULL, 200, NULL);
    expect(&f, "GET /healthz", NULL, 200, "\"ok\"");
    expect(&f, "GET /readyz", NULL, 200, "\"storage\":\"disk-low\"");
    expect(&f, "GET /metrics", NULL, 200, "akind_disk_low 1\n");
    expect(&f, "GET /metrics", NULL, 200,
           "akind_ingest_refused_total{reason=\"disk\"} 4\n");
    atomic_store(&f.engine.disk_low, false);
    expect(&f, things, body, 200, "stored");
    atomic_store(&f.engine.read_only, true);
    expect(&f, things, body, 503, "urn:akin:problem:read-only");
    expect(&f, "GET /inline", NULL, 200, NULL);
    expect(&f, "GET /readyz", NULL, 200, "\"storage\":\"read-only\"");
    fixture_stop(&f);
}

static void statuses_become_problems(void **state)
{
    static const struct {
        enum ak_status status;
        int code;
        const char *slug;
        bool hidden;
    } cases[] = {
        {AK_EINVAL, 422, "validation-failed", false},
        {AK_ENOTFOUND, 404, "not-found", false},
        {AK_EEXISTS, 409, "already-exists", false},
        {AK_EBUSY, 429, "queue-full", false},
        {AK_ECANCELED, 503, "draining", false},
        {AK_ENUMERIC, 422, "non-finite-value", false},
        {AK_ECORRUPT, 500, "internal", true},
        {AK_EIO, 500, "internal", true},
        {AK_ENOMEM, 500, "internal", true},
        {AK_EUNSUPPORTED, 422, "unsupported-option", false},
        {AK_ESEQUENCE, 409, "sequence-gap", false},
        {AK_EFULL, 507, "disk-full", true},
    };
    struct fixture f;
    struct answer a;

    (void)state;
    fixture_start(&f, NULL);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char request[128], type[64];

        snprintf(request, sizeof(request),
                 "GET /fail/%d HTTP/1.1\r\nHost: localhost\r\n"
                 "X-Request-Id: mine-%zu\r\n\r\n",
                 (int)cases[i].status, i);
        ask(&f, request, &a);
        assert_int_equal(a.status, cases[i].code);
        snprintf(type, sizeof(type), "urn:akin:problem:%s", cases[i].slug);
        assert_non_null(strstr(a.body, type));
        assert_int_equal(strstr(a.body, "the secret text") == NULL,
                         cases[i].hidden);
        snprintf(type, sizeof(type), "\"request_id\":\"mine-%zu\"", i);
        assert_non_null(strstr(a.body, type));
        answer_clear(&a);
    }
    /* Up to 32 faults, and what is no text is made one. */
    assert_int_equal(
        ask(&f, "GET /faults HTTP/1.1\r\nHost: localhost\r\n\r\n", &a), 422);
    {
        json_t *problem = json_loads(a.body, 0, NULL), *errors;

        assert_non_null(problem);
        errors = json_object_get(problem, "errors");
        assert_int_equal(json_array_size(errors), 32);
        assert_string_equal(json_string_value(json_object_get(
                                json_array_get(errors, 31), "pointer")),
                            "/items/31");
        assert_string_equal(json_string_value(json_object_get(
                                json_array_get(errors, 0), "detail")),
                            "\"\xef\xbf\xbd\n<b>");
        json_decref(problem);
    }
    answer_clear(&a);
    fixture_stop(&f);
}

static void ids_of_clients_are_kept_when_sane(void **state)
{
    struct fixture f;

    (void)state;
    fixture_start(&f, NULL);
    expect(&f, "GET /inline", "X-Request-Id: abc.DEF-1_2~3\r\n\r\n", 200,
           "X-Request-Id: abc.DEF-1_2~3\r\n");
    expect(&f, "GET /nothing", "X-Request-Id: a b\r\n\r\n", 404, "-");
    {
        struct answer a;

        ask(&f,
            "GET /inline HTTP/1.1\r\nHost: localhost\r\n"
            "X-Request-Id: a\"b\r\n\r\n",
            &a);
        assert_false(has_header(&a, "X-Request-Id: a\"b"));
        assert_true(has_header(&a, "X-Request-Id: "));
        answer_clear(&a);
    }
    fixture_stop(&f);
}

static void a_fingerprint_leaves_out_how_long_to_wait(void **state)
{
    static const char *const requests[] = {
        "POST /fingerprint HTTP/1.1\r\nHost: localhost\r\n"
        "Content-Length: 3\r\n\r\nabc",
        "POST /fingerprint?ack=learned&timeout_seconds=3 HTTP/1.1\r\n"
        "Host: localhost\r\nContent-Length: 3\r\n\r\nabc",
        "POST /fingerprint?x=1 HTTP/1.1\r\nHost: localhost\r\n"
        "Content-Length: 3\r\n\r\nabc",
        "POST /fingerprint HTTP/1.1\r\nHost: localhost\r\n"
        "Content-Length: 3\r\n\r\nabd",
        "POST /fingerprint?x=&1 HTTP/1.1\r\nHost: localhost\r\n"
        "Content-Length: 3\r\n\r\nabc",
    };
    struct fixture f;
    struct answer a[5];

    (void)state;
    fixture_start(&f, NULL);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(ask(&f, requests[i], &a[i]), 200);
        assert_int_equal(a[i].len, 64);
    }
    assert_string_equal(a[0].body, a[1].body);
    for (int i = 2; i < 5; i++)
        for (int j = 1; j < i; j++)
            assert_string_not_equal(a[i].body, a[j].body);
    for (int i = 0; i < 5; i++)
        answer_clear(&a[i]);
    fixture_stop(&f);
}

/* Every line of a text of Prometheus is a comment or `name{labels} value`, and
   each family has its head once and before its values. */
static void check_metrics(char *text)
{
    char family[128] = "";
    char *save = NULL, *seen = calloc(1, strlen(text) + 1);

    assert_non_null(seen);
    for (char *line = strtok_r(text, "\n", &save); line != NULL;
         line = strtok_r(NULL, "\n", &save)) {
        char *end;

        if (strncmp(line, "# HELP ", 7) == 0) {
            char mark[160];

            sscanf(line + 7, "%127s", family);
            snprintf(mark, sizeof(mark), "\n%s\n", family);
            if (strstr(seen, mark) != NULL)
                fail_msg("%s comes twice", family);
            strcat(seen, mark);
            assert_memory_equal(family, "akind_", 6);
            continue;
        }
        if (strncmp(line, "# TYPE ", 7) == 0) {
            assert_memory_equal(line + 7, family, strlen(family));
            if (strstr(line, " counter") != NULL)
                assert_string_equal(family + strlen(family) - 6, "_total");
            continue;
        }
        if (strncmp(line, family, strlen(family)) != 0)
            fail_msg("%s stands in %s", line, family);
        end = strrchr(line, ' ');
        assert_non_null(end);
        strtod(end + 1, &end);
        assert_int_equal(*end, '\0');
    }
    free(seen);
}

static void metrics_are_what_prometheus_reads(void **state)
{
    struct fixture f;
    struct answer a;

    (void)state;
    fixture_start(&f, NULL);
    atomic_store(&f.engine.collections, 103);
    expect(&f, "GET /inline", NULL, 200, NULL);
    expect(&f, "HEAD /inline", NULL, 200, NULL);
    expect(&f, "GET /param/a%22b", NULL, 200, NULL);
    expect(&f, "GET /nothing%22", NULL, 404, NULL);
    assert_int_equal(
        ask(&f, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", &a), 200);
    assert_true(
        has_header(&a, "Content-Type: text/plain; version=0.0.4; charset="));
    assert_non_null(strstr(a.body,
                           "akind_http_requests_total{route=\"/inline\","
                           "method=\"GET\",code=\"200\"} 1\n"));
    assert_non_null(strstr(a.body,
                           "akind_http_requests_total{route=\"/inline\","
                           "method=\"HEAD\",code=\"200\"} 1\n"));
    assert_non_null(strstr(a.body,
                           "akind_http_requests_total{route=\"/param/{id}\","
                           "method=\"GET\",code=\"200\"} 1\n"));
    assert_non_null(strstr(a.body, "akind_http_requests_total{route=\"_other\","
                                   "method=\"_other\",code=\"404\"} 1\n"));
    assert_non_null(strstr(a.body, "akind_http_request_duration_seconds_count{"
                                   "route=\"/inline\",method=\"GET\"} 2\n"));
    /* Series exist before there is anything to count. */
    assert_non_null(
        strstr(a.body, "akind_ingest_items_total{outcome=\"replayed\"} 0\n"));
    assert_non_null(
        strstr(a.body, "akind_collection_items{collection=\"c99\"} 109\n"));
    assert_null(strstr(a.body, "collection=\"c100\""));
    assert_non_null(
        strstr(a.body, "akind_collection_items{collection=\"_other\"} 333\n"));
    assert_non_null(strstr(a.body, "akind_quality_map_ratio{collection=\"c0\","
                                   "series=\"served\"} NaN\n"));
    assert_non_null(strstr(a.body, "akind_quality_map_ratio{collection=\"c1\","
                                   "series=\"served\"} 0.5\n"));
    check_metrics(a.body);
    answer_clear(&a);
    fixture_stop(&f);
}

static void an_operator_is_told(void **state)
{
    static const char *const paths[] = {"/v1/stats", "/v1/limits", "/version",
                                        "/readyz", "/healthz"};
    struct fixture f;
    struct answer a;

    (void)state;
    fixture_start(&f, NULL);
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        char request[128];
        json_t *body;

        snprintf(request, sizeof(request),
                 "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", paths[i]);
        assert_int_equal(ask(&f, request, &a), 200);
        body = json_loads(a.body, JSON_REJECT_DUPLICATES, NULL);
        assert_true(json_is_object(body));
        json_decref(body);
        answer_clear(&a);
    }
    expect(&f, "GET /v1/limits", NULL, 200, "\"max_body_bytes\":33554432");
    expect(&f, "GET /v1/limits", NULL, 200, "\"request_timeout_seconds\":300");
    expect(&f, "GET /v1/stats", NULL, 200, "\"name\":\"c2\"");
    expect(&f, "GET /version", NULL, 200, "\"libmicrohttpd\":\"");
    fixture_stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ambiguous_framing_is_refused_and_closes),
        cmocka_unit_test(what_libmicrohttpd_refuses_ends_too),
        cmocka_unit_test(a_target_must_be_clean),
        cmocka_unit_test(paths_and_methods_are_told_apart),
        cmocka_unit_test(pages_of_other_sites_are_refused),
        cmocka_unit_test(too_large_a_body_is_refused),
        cmocka_unit_test(bodies_have_a_bound_together),
        cmocka_unit_test(a_body_without_memory_is_refused_before_it_comes),
        cmocka_unit_test(states_are_told),
        cmocka_unit_test(statuses_become_problems),
        cmocka_unit_test(ids_of_clients_are_kept_when_sane),
        cmocka_unit_test(a_fingerprint_leaves_out_how_long_to_wait),
        cmocka_unit_test(metrics_are_what_prometheus_reads),
        cmocka_unit_test(an_operator_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
