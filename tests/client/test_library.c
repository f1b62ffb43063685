/* test_library.c -- the parts of libakin that need no daemon. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/akin.h"
#include "client/json.h"
#include "client/npy.h"
#include "tests/test.h"

/* ---- retries ------------------------------------------------------------- */

static const struct akin_request get = {.method = "GET", .path = "/"};
static const struct akin_request post = {.method = "POST", .path = "/"};
static const struct akin_request keyed = {
    .method = "POST", .path = "/", .idempotency_key = "abcdefgh"};
static const struct akin_request numbered = {
    .method = "POST", .path = "/", .producer = "camera", .producer_seq = 1};
static const struct akin_retry policy = {
    .max_attempts = 4, .base_ms = 100, .cap_ms = 300};

static int64_t delay(const struct akin_request *request,
                     enum akin_result result, int status, const char *slug,
                     int64_t after, unsigned attempt)
{
    static uint64_t seed = 7;
    struct akin_error err = {.status = status};

    snprintf(err.slug, sizeof(err.slug), "%s", slug);
    return akin_retry_delay_ms(&policy, request, result, &err, after, attempt,
                               &seed);
}

static void only_what_may_be_repeated_is(void **state)
{
    (void)state;
    assert_true(delay(&get, AKIN_ECONNECT, 0, "", -1, 1) >= 0);
    assert_true(delay(&keyed, AKIN_ECONNECT, 0, "", -1, 1) >= 0);
    assert_true(delay(&numbered, AKIN_ECONNECT, 0, "", -1, 1) >= 0);
    assert_int_equal(delay(&post, AKIN_ECONNECT, 0, "", -1, 1), -1);
    assert_int_equal(delay(&post, AKIN_EPROBLEM, 429, "queue-full", 1, 1), -1);
    assert_int_equal(delay(&get, AKIN_ECONNECT, 0, "", -1, 4), -1);
}

static void only_what_may_pass_is_repeated(void **state)
{
    static const int passing[] = {429, 502, 503, 504, 507};
    static const int lasting[] = {400, 404, 409, 413, 415, 422, 500};

    (void)state;
    for (size_t i = 0; i < sizeof(passing) / sizeof(passing[0]); i++)
        assert_true(delay(&get, AKIN_EPROBLEM, passing[i], "x", -1, 1) >= 0);
    for (size_t i = 0; i < sizeof(lasting) / sizeof(lasting[0]); i++)
        assert_int_equal(delay(&get, AKIN_EPROBLEM, lasting[i], "x", -1, 1),
                         -1);
    assert_true(delay(&get, AKIN_ETIMEOUT, 0, "", -1, 1) >= 0);
    assert_int_equal(delay(&get, AKIN_EAUTH, 401, "", -1, 1), -1);
    assert_int_equal(delay(&get, AKIN_EREPLY, 200, "", -1, 1), -1);
    assert_int_equal(delay(&get, AKIN_EPROBLEM, 503, "read-only", -1, 1), -1);
}

static void waits_double_up_to_a_cap_and_are_spread(void **state)
{
    int64_t least = 1000, most = 0;

    (void)state;
    for (int i = 0; i < 200; i++) {
        int64_t first = delay(&get, AKIN_ECONNECT, 0, "", -1, 1);
        int64_t second = delay(&get, AKIN_ECONNECT, 0, "", -1, 2);
        int64_t third = delay(&get, AKIN_ECONNECT, 0, "", -1, 3);

        assert_in_range(first, 50, 100);
        assert_in_range(second, 100, 200);
        assert_in_range(third, 150, 300);
        least = first < least ? first : least;
        most = first > most ? first : most;
    }
    assert_true(most - least > 30);
}

static void retry_after_is_a_floor(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++)
        assert_in_range(delay(&get, AKIN_EPROBLEM, 429, "x", 2000, 1), 2000,
                        2100);
}

/* ---- problems ------------------------------------------------------------ */

static struct akin_reply reply_of(int status, const char *body)
{
    return (struct akin_reply){.status = status,
                               .body = (char *)(uintptr_t)body,
                               .len = strlen(body),
                               .request_id = "from-header"};
}

static void a_problem_document_fills_the_error(void **state)
{
    struct akin_reply reply = reply_of(
        422, "{\"type\":\"urn:akin:problem:dim-mismatch\",\"title\":\"Wrong\","
             "\"detail\":\"512 expected\",\"request_id\":\"r1\",\"errors\":"
             "[{\"pointer\":\"/a\",\"code\":\"c\",\"detail\":\"d\"},7]}");
    struct akin_error err;

    (void)state;
    assert_int_equal(akin_problem_decode(&reply, &err), AKIN_EPROBLEM);
    assert_string_equal(err.text, "Wrong: 512 expected [dim-mismatch] r1");
    assert_int_equal(err.status, 422);
    assert_int_equal(err.n_fields, 2);
    assert_string_equal(err.fields[0].pointer, "/a");
    assert_string_equal(err.fields[1].pointer, "");
    reply.status = 401;
    assert_int_equal(akin_problem_decode(&reply, NULL), AKIN_EAUTH);
}

static void what_is_no_problem_document_still_makes_a_text(void **state)
{
    static const char *const bodies[] = {"", "<html>", "[1]", "{\"title\":7}",
                                         "{\"type\":null}"};
    struct akin_error err;

    (void)state;
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        struct akin_reply reply = reply_of(500, bodies[i]);

        assert_int_equal(akin_problem_decode(&reply, &err), AKIN_EPROBLEM);
        assert_string_equal(err.text, "HTTP status 500 from-header");
    }
}

static void long_texts_are_cut_between_characters(void **state)
{
    struct akin_error err;
    struct akin_reply reply;
    char body[1200];

    (void)state;
    /* 127 bytes fit: with one ASCII letter before, 63 of the two-byte ones. */
    memcpy(body, "{\"title\":\"a", 11);
    for (size_t i = 0; i < 500; i++)
        memcpy(body + 11 + 2 * i, "\xc3\xa9", 2);
    memcpy(body + 1011, "\"}", 3);
    reply = reply_of(500, body);
    assert_int_equal(akin_problem_decode(&reply, &err), AKIN_EPROBLEM);
    assert_int_equal(strlen(err.title), 127);
    memmove(body + 10, body + 11, 1003); /* now one byte would be left over */
    reply = reply_of(500, body);
    assert_int_equal(akin_problem_decode(&reply, &err), AKIN_EPROBLEM);
    assert_int_equal(strlen(err.title), 126);
}

/* ---- bodies -------------------------------------------------------------- */

static void a_header_is_padded_and_reads_back(void **state)
{
    char header[NPY_MAX_HEADER];
    struct npy_view view;

    (void)state;
    for (size_t n = 1; n < 100000000; n = n * 7 + 1) {
        size_t len = npy_header("|u1", n, 3, header);

        assert_int_equal(len % 64, 0);
        assert_true(len <= sizeof(header));
        assert_int_equal(header[len - 1], '\n');
        /* The data is not there: its absence is what is wrong. */
        assert_int_equal(npy_parse(header, len, &view, NULL), AKIN_EREPLY);
    }
}

static void rows_as_npy_read_back(void **state)
{
    static const float x[] = {1, -2.5f, 3e-7f, 4, 5, 6};
    struct akin_body body;
    struct npy_view view;
    float back[6];

    (void)state;
    assert_int_equal(
        akin_body_npy(&(struct akin_rows){.n = 2, .dim = 3, .vectors = x},
                      &body, NULL),
        AKIN_OK);
    assert_string_equal(body.content_type, "application/x-npy");
    assert_int_equal(npy_parse(body.data, body.len, &view, NULL), AKIN_OK);
    assert_int_equal(view.n, 2);
    assert_int_equal(view.width, 3);
    npy_floats(&view, 0, 2, back);
    assert_memory_equal(back, x, sizeof(x));
    akin_body_clear(&body);
}

/* Every truncation and every single changed byte: an error or a view that lies
   inside the bytes; the sanitizers watch. */
static void damaged_npy_is_refused_or_harmless(void **state)
{
    static const float x[] = {1, 2, 3, 4};
    struct akin_body body;

    (void)state;
    assert_int_equal(
        akin_body_npy(&(struct akin_rows){.n = 2, .dim = 2, .vectors = x},
                      &body, NULL),
        AKIN_OK);
    for (size_t len = 0; len < body.len; len++) {
        uint8_t *copy = malloc(len + 1);
        struct npy_view view;

        memcpy(copy, body.data, len);
        assert_int_not_equal(npy_parse(copy, len, &view, NULL), AKIN_OK);
        free(copy);
    }
    for (size_t i = 0; i < 128; i++)
        for (int bit = 0; bit < 8; bit++) {
            uint8_t *copy = malloc(body.len);
            struct npy_view view;
            float back[16];

            memcpy(copy, body.data, body.len);
            copy[i] = (uint8_t)(copy[i] ^ (1 << bit));
            if (npy_parse(copy, body.len, &view, NULL) == AKIN_OK) {
                assert_true(view.n * view.width <= 16);
                npy_floats(&view, 0, view.n, back);
            }
            free(copy);
        }
    akin_body_clear(&body);
}

static void integers_of_every_width_are_read(void **state)
{
    static const struct {
        const char *descr;
        uint8_t bytes[8];
        size_t len;
        int64_t value; /* -1: refused */
    } cases[] = {
        {"|u1", {200}, 1, 200},
        {"|i1", {0xff}, 1, -1},
        {"<u2", {1, 2}, 2, 513},
        {"<i4", {5, 0, 0, 0}, 4, 5},
        {"<i4", {0, 0, 0, 0x80}, 4, -1},
        {"<i8", {0, 0, 0, 0, 1}, 8, 4294967296},
        {"<u8", {0, 0, 0, 0, 0, 0, 0, 0x80}, 8, -1},
        {"<f4", {0, 0, 0x80, 0x3f}, 4, -1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char file[NPY_MAX_HEADER + 8];
        size_t len = npy_header(cases[i].descr, 1, 0, file);
        struct npy_view view;
        int64_t value = -1;

        memcpy(file + len, cases[i].bytes, cases[i].len);
        assert_int_equal(npy_parse(file, len + cases[i].len, &view, NULL),
                         AKIN_OK);
        assert_int_equal(npy_integer(&view, 0, &value), cases[i].value >= 0);
        assert_int_equal(value, cases[i].value);
    }
}

static void the_same_rows_make_the_same_bytes(void **state)
{
    static const float x[] = {1, 2, 3, 4};
    static const int64_t ids[] = {10, 11};
    static const char *const labels[] = {"boot", "T-shirt/top \"x\""};
    struct akin_rows rows = {
        .n = 2, .dim = 2, .vectors = x, .label_texts = labels, .ids = ids};
    struct akin_body a, b;

    (void)state;
    assert_int_equal(akin_body_rows(&rows, &a, NULL), AKIN_OK);
    assert_int_equal(akin_body_rows(&rows, &b, NULL), AKIN_OK);
    assert_int_equal(a.len, b.len);
    assert_memory_equal(a.data, b.data, a.len);
    assert_non_null(
        memmem(a.data, a.len, "[\"boot\",\"T-shirt/top \\\"x\\\"\"]", 27));
    akin_body_clear(&a);
    akin_body_clear(&b);
}

static void rows_that_make_no_sense_are_refused(void **state)
{
    static const float x[4];
    static const uint8_t c[4];
    static const int64_t labels[4];
    static const char *const bad[] = {"\xff\xfe"};
    const struct akin_rows wrong[] = {
        {.n = 0, .dim = 2, .vectors = x},
        {.n = 2, .dim = 0, .vectors = x},
        {.n = 2, .dim = 2},
        {.n = 2, .dim = 2, .vectors = x, .codes = c},
        {.n = SIZE_MAX / 2, .dim = 4, .vectors = x},
        {.n = 1, .dim = 1, .vectors = x, .label_texts = bad},
        {.n = 1, .dim = 1, .vectors = x, .id_texts = bad},
        {.n = 1, .dim = 1, .vectors = x, .labels = labels, .label_texts = bad},
    };
    struct akin_error err;
    struct akin_body body;

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(akin_body_rows(&wrong[i], &body, &err),
                         AKIN_EARGUMENT);
        assert_int_not_equal(strlen(err.text), 0);
    }
}

static void path_segments_are_encoded(void **state)
{
    char *text = akin_path_segment("a/b c%\xc3\xa9~_.-Z9");

    (void)state;
    assert_string_equal(text, "a%2Fb%20c%25%C3%A9~_.-Z9");
    free(text);
}

static void random_keys_differ_and_fit(void **state)
{
    char a[33], b[33];

    (void)state;
    assert_int_equal(akin_random_key(a, NULL), AKIN_OK);
    assert_int_equal(akin_random_key(b, NULL), AKIN_OK);
    assert_int_equal(strlen(a), 32);
    assert_string_not_equal(a, b);
}

static void a_client_is_made_without_a_daemon(void **state)
{
    static const char *const bad[] = {"",           "localhost",  "ftp://x",
                                      "unix:x",     "http://a b", "http://k@h",
                                      "http://h/?x"};
    struct akin *client = NULL;
    struct akin_error err;

    (void)state;
    assert_int_equal(akin_create(NULL, &client, &err), AKIN_OK);
    assert_string_equal(akin_url(client), AKIN_DEFAULT_URL);
    assert_int_equal(akin_in_flight(client), 0);
    assert_int_equal(akin_poll(client, 0, &err), AKIN_OK);
    akin_destroy(client);
    akin_destroy(NULL);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(
            akin_create(&(struct akin_options){.url = bad[i]}, &client, &err),
            AKIN_EARGUMENT);
}

static void a_header_cannot_be_smuggled_in(void **state)
{
    static const struct akin_request bad[] = {
        {.method = "GET", .path = "/a b"},
        {.method = "GET", .path = "/a\r\nX: y"},
        {.method = "GET\r\n", .path = "/"},
        {.method = "GET", .path = "/", .accept = "a\nX: y"},
        {.method = "POST", .path = "/", .idempotency_key = "abcdefgh\nX: y"},
        {.method = "POST", .path = "/", .idempotency_key = "short"},
        {.method = "POST",
         .path = "/",
         .producer = "a\nX: y",
         .producer_seq = 1},
        {.method = "POST", .path = "/", .producer = "", .producer_seq = 1},
        {.method = "POST", .path = "/", .producer = "camera"},
        {.method = "POST",
         .path = "/",
         .producer = "camera",
         .producer_seq = 1,
         .idempotency_key = "abcdefgh"},
    };
    struct akin *client = NULL;
    struct akin_reply reply = {0};
    struct akin_error err;

    (void)state;
    assert_int_equal(akin_create(NULL, &client, &err), AKIN_OK);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(akin_send(client, &bad[i], &reply, &err),
                         AKIN_EARGUMENT);
        assert_int_equal(akin_start(client, &bad[i], NULL, NULL, &err),
                         AKIN_EARGUMENT);
    }
    akin_destroy(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_may_be_repeated_is),
        cmocka_unit_test(only_what_may_pass_is_repeated),
        cmocka_unit_test(waits_double_up_to_a_cap_and_are_spread),
        cmocka_unit_test(retry_after_is_a_floor),
        cmocka_unit_test(a_problem_document_fills_the_error),
        cmocka_unit_test(what_is_no_problem_document_still_makes_a_text),
        cmocka_unit_test(long_texts_are_cut_between_characters),
        cmocka_unit_test(a_header_is_padded_and_reads_back),
        cmocka_unit_test(rows_as_npy_read_back),
        cmocka_unit_test(damaged_npy_is_refused_or_harmless),
        cmocka_unit_test(integers_of_every_width_are_read),
        cmocka_unit_test(the_same_rows_make_the_same_bytes),
        cmocka_unit_test(rows_that_make_no_sense_are_refused),
        cmocka_unit_test(path_segments_are_encoded),
        cmocka_unit_test(random_keys_differ_and_fit),
        cmocka_unit_test(a_client_is_made_without_a_daemon),
        cmocka_unit_test(a_header_cannot_be_smuggled_in),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
