/* Lines of a process that may be mad. */
#include "tests/test.h"

#include <stdio.h>
#include <string.h>

#include "server/lines.h"

#define SECOND UINT64_C(1000000000)

struct seen {
    size_t n;
    size_t len;
    char first[64], last[AK_LINES_MAX + 1];
};

static void see(void *arg, const char *line, size_t len)
{
    struct seen *seen = arg;

    assert_int_equal(line[len], '\0');
    if (seen->n++ == 0)
        snprintf(seen->first, sizeof(seen->first), "%s", line);
    memcpy(seen->last, line, len + 1);
    seen->len = len;
}

static struct ak_lines lines;

static void add(const char *text, uint64_t now_ns, struct seen *seen)
{
    ak_lines_add(&lines, text, strlen(text), now_ns, see, seen);
}

static void lines_come_whole_however_they_are_cut(void **state)
{
    static const char text[] = "one\n\nthree and more\nfour\n";

    (void)state;
    for (size_t cut = 1; cut < sizeof(text); cut++) {
        struct seen seen = {0};

        ak_lines_init(&lines, 0);
        for (size_t i = 0; i < sizeof(text) - 1; i += cut) {
            size_t n = sizeof(text) - 1 - i < cut ? sizeof(text) - 1 - i : cut;

            ak_lines_add(&lines, text + i, n, 0, see, &seen);
        }
        assert_int_equal(seen.n, 4);
        assert_string_equal(seen.first, "one");
        assert_string_equal(seen.last, "four");
        ak_lines_end(&lines, see, &seen);
        assert_int_equal(seen.n, 4);
        assert_int_equal(lines.dropped, 0);
    }
}

static void a_last_line_needs_no_line_feed(void **state)
{
    struct seen seen = {0};

    (void)state;
    ak_lines_init(&lines, 0);
    add("one\ntwo", 0, &seen);
    assert_int_equal(seen.n, 1);
    ak_lines_end(&lines, see, &seen);
    assert_int_equal(seen.n, 2);
    assert_string_equal(seen.last, "two");
}

/* A line of n characters that comes in chunks, and one behind it. */
static void check_length(size_t n, size_t chunk)
{
    static char text[3 * AK_LINES_MAX];
    struct seen seen = {0};

    memset(text, 'x', sizeof(text));
    ak_lines_init(&lines, 0);
    for (size_t i = 0; i < n; i += chunk)
        ak_lines_add(&lines, text, n - i < chunk ? n - i : chunk, 0, see,
                     &seen);
    add("\nshort\n", 0, &seen);
    assert_int_equal(seen.n, n <= AK_LINES_MAX ? 2 : 1);
    assert_int_equal(lines.dropped, n <= AK_LINES_MAX ? 0 : 1);
    assert_string_equal(seen.last, "short");
}

static void a_line_that_is_too_long_is_dropped_alone(void **state)
{
    static const size_t lengths[] = {
        1,
        AK_LINES_MAX - 1,
        AK_LINES_MAX,
        AK_LINES_MAX + 1,
        AK_LINES_MAX + 2,
        2 * AK_LINES_MAX,
        2 * AK_LINES_MAX + 1,
        3 * AK_LINES_MAX,
    };
    static const size_t chunks[] = {1, 7, 700, AK_LINES_MAX, 3 * AK_LINES_MAX};

    (void)state;
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
        for (size_t k = 0; k < sizeof(chunks) / sizeof(chunks[0]); k++)
            check_length(lengths[i], chunks[k]);
}

static void a_flood_is_held_to_its_rate(void **state)
{
    struct seen seen = {0};

    (void)state;
    ak_lines_init(&lines, 0);
    for (int i = 0; i < 10000; i++)
        add("flood\n", 0, &seen);
    assert_int_equal(seen.n, AK_LINES_BURST);
    /* The last one is kept back: it is dropped when another comes. */
    assert_int_equal(lines.dropped, 10000 - AK_LINES_BURST - 1);
    for (int i = 0; i < 10000; i++)
        add("flood\n", SECOND, &seen);
    assert_int_equal(seen.n, AK_LINES_BURST + AK_LINES_RATE);
    for (int i = 0; i < 10000; i++)
        add("flood\n", 1000 * SECOND, &seen);
    assert_int_equal(seen.n, 2 * AK_LINES_BURST + AK_LINES_RATE);
}

static void the_last_word_is_heard_after_a_flood(void **state)
{
    struct seen seen = {0};

    (void)state;
    ak_lines_init(&lines, 0);
    for (int i = 0; i < 1000; i++)
        add("flood\n", 0, &seen);
    add("why\n", 0, &seen);
    assert_string_equal(seen.last, "flood");
    ak_lines_end(&lines, see, &seen);
    assert_string_equal(seen.last, "why");
    assert_int_equal(seen.n, AK_LINES_BURST + 1);
    assert_int_equal(lines.dropped, 1000 - AK_LINES_BURST);
}

static void zero_bytes_stay_in_their_line(void **state)
{
    struct seen seen = {0};

    (void)state;
    ak_lines_init(&lines, 0);
    ak_lines_add(&lines, "a\0b\n", 4, 0, see, &seen);
    assert_int_equal(seen.n, 1);
    assert_int_equal(seen.len, 3);
    assert_memory_equal(seen.last, "a\0b", 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_come_whole_however_they_are_cut),
        cmocka_unit_test(a_last_line_needs_no_line_feed),
        cmocka_unit_test(a_line_that_is_too_long_is_dropped_alone),
        cmocka_unit_test(a_flood_is_held_to_its_rate),
        cmocka_unit_test(the_last_word_is_heard_after_a_flood),
        cmocka_unit_test(zero_bytes_stay_in_their_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
