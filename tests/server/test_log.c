#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/log.h"
#include "server/text.h"
#include "tests/test.h"

static int ends[2];

static int open_pipe(void **state)
{
    (void)state;
    assert_int_equal(pipe(ends), 0);
    ak_log_set_fd(ends[1]);
    ak_log_set_level(AK_LOG_INFO);
    return 0;
}

static int close_pipe(void **state)
{
    (void)state;
    ak_log_set_fd(2);
    close(ends[0]);
    close(ends[1]);
    return 0;
}

/* What was logged so far; nothing is "". */
static const char *logged(void)
{
    static char text[65536];
    ssize_t n;

    ak_log_set_fd(2);
    close(ends[1]);
    n = read(ends[0], text, sizeof(text) - 1);
    text[n > 0 ? n : 0] = '\0';
    close(ends[0]);
    assert_int_equal(pipe(ends), 0);
    ak_log_set_fd(ends[1]);
    return text;
}

static void an_event_is_a_line(void **state)
{
    const char *line;

    (void)state;
    ak_log_info("http", "listening", AK_TEXT("address", "127.0.0.1:7337"),
                AK_NUMBER("threads", 2), AK_REAL("ratio", 0.5),
                AK_TEXT("absent", NULL));
    line = logged();
    assert_memory_equal(line, "ts=20", 5);
    assert_non_null(strstr(line,
                           "Z level=info component=http msg=\"listening\" "
                           "address=127.0.0.1:7337 threads=2 "
                           "ratio=0.5\n"));
    ak_log_debug("http", "not shown");
    assert_string_equal(logged(), "");
    ak_log_set_level(AK_LOG_DEBUG);
    ak_log_debug("http", "shown");
    assert_non_null(strstr(logged(), "msg=\"shown\"\n"));
}

static void values_cannot_forge_lines_or_fields(void **state)
{
    const char *line;

    (void)state;
    ak_log_warn("http", "odd",
                AK_TEXT("a", "x\nts=2026 level=error msg=\"forged\""),
                AK_TEXT("b", "x y=z"), AK_TEXT("c", ""),
                AK_TEXT("d", "\x1b[1m"), AK_TEXT("e", "back\\slash"));
    line = logged();
    assert_ptr_equal(strchr(line, '\n') + 1, line + strlen(line));
    assert_non_null(
        strstr(line, " a=\"x\\x0ats=2026 level=error msg=\\\"forged\\\"\" "
                     "b=\"x y=z\" c=\"\" d=\"\\x1b[1m\" "
                     "e=\"back\\\\slash\"\n"));
}

static void long_values_are_cut(void **state)
{
    char *big = malloc(10001);
    const char *line;

    (void)state;
    assert_non_null(big);
    memset(big, 'x', 10000);
    big[10000] = '\0';
    ak_log_warn("http", "big", AK_TEXT("a", big), AK_TEXT("b", big),
                AK_TEXT("c", big), AK_TEXT("d", big), AK_TEXT("e", big));
    line = logged();
    assert_non_null(strstr(line, "xxx\"...10000 b=\"xxx"));
    assert_true(strlen(line) <= 4096);
    assert_int_equal(line[strlen(line) - 1], '\n');
    free(big);
}

static void what_repeats_is_held_back(void **state)
{
    size_t lines = 0;

    (void)state;
    for (int i = 0; i < 1000; i++)
        ak_log_warn("http", "again", AK_NUMBER("i", i));
    for (const char *p = logged(); (p = strchr(p, '\n')) != NULL; p++)
        lines++;
    /* Ten in a second; the loop may meet the end of one. */
    assert_true(lines >= 10 && lines <= 30);
}

static void json_text_is_always_utf8(void **state)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"plain", "\"plain\""},
        {"\"\\\n\x01", "\"\\\"\\\\\\u000a\\u0001\""},
        {"\xc3\xa9", "\"\xc3\xa9\""},
        {"\xf0\x9f\x98\x80", "\"\xf0\x9f\x98\x80\""},
        {"\xc0\xaf", "\"\xef\xbf\xbd\xef\xbf\xbd\""},
        {"a\xff", "\"a\xef\xbf\xbd\""},
        {"\xe2\x82", "\"\xef\xbf\xbd\xef\xbf\xbd\""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ak_text t = {0};

        ak_text_add_json(&t, cases[i].in);
        assert_string_equal(t.data, cases[i].out);
        ak_text_clear(&t);
    }
    /* The edges of each length; surrogates; beyond the end. */
    assert_int_equal(ak_utf8_length("\xc2\x80", 2), 2);
    assert_int_equal(ak_utf8_length("\xc1\xbf", 2), 0);
    assert_int_equal(ak_utf8_length("\xe0\xa0\x80", 3), 3);
    assert_int_equal(ak_utf8_length("\xe0\x9f\xbf", 3), 0);
    assert_int_equal(ak_utf8_length("\xed\x9f\xbf", 3), 3);
    assert_int_equal(ak_utf8_length("\xed\xa0\x80", 3), 0);
    assert_int_equal(ak_utf8_length("\xf0\x90\x80\x80", 4), 4);
    assert_int_equal(ak_utf8_length("\xf0\x8f\xbf\xbf", 4), 0);
    assert_int_equal(ak_utf8_length("\xf4\x8f\xbf\xbf", 4), 4);
    assert_int_equal(ak_utf8_length("\xf4\x90\x80\x80", 4), 0);
    assert_int_equal(ak_utf8_length("\xf5\x80\x80\x80", 4), 0);
    assert_int_equal(ak_utf8_length("\xc3", 1), 0);
    assert_int_equal(ak_utf8_length("", 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_event_is_a_line, open_pipe,
                                        close_pipe),
        cmocka_unit_test_setup_teardown(values_cannot_forge_lines_or_fields,
                                        open_pipe, close_pipe),
        cmocka_unit_test_setup_teardown(long_values_are_cut, open_pipe,
                                        close_pipe),
        cmocka_unit_test_setup_teardown(what_repeats_is_held_back, open_pipe,
                                        close_pipe),
        cmocka_unit_test(json_text_is_always_utf8),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
