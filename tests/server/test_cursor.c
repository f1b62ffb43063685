/* Cursors, and the base64 and pointers beneath. */
#include "tests/test.h"

#include <string.h>

#include "server/base64.h"
#include "server/cursor.h"
#include "server/pointer.h"

static const struct ak_cursor sample = {
    .kind = AK_CURSOR_SEARCH,
    .scope = 0x123456789abcdef0,
    .version = 12,
    .ordinal = UINT64_MAX - 1,
    .distance = 1024,
};

static void a_cursor_reads_as_it_was_written(void **state)
{
    char text[AK_CURSOR_TEXT];
    struct ak_cursor c = {.kind = AK_CURSOR_COLLECTIONS}, out;

    (void)state;
    assert_non_null(ak_cursor_write(&sample, text));
    assert_true(ak_cursor_read(text, AK_CURSOR_SEARCH, &out));
    assert_memory_equal(&out, &sample, sizeof(out));

    memset(c.name, 'n', sizeof(c.name) - 1);
    assert_non_null(ak_cursor_write(&c, text));
    assert_true(ak_cursor_read(text, AK_CURSOR_COLLECTIONS, &out));
    assert_string_equal(out.name, c.name);
}

static void a_cursor_is_fit_for_a_url(void **state)
{
    char text[AK_CURSOR_TEXT];

    (void)state;
    ak_cursor_write(&sample, text);
    assert_int_equal(strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "abcdefghijklmnopqrstuvwxyz0123456789-_"),
                     strlen(text));
}

static void a_cursor_with_any_bit_changed_is_refused(void **state)
{
    char text[AK_CURSOR_TEXT];
    uint8_t bytes[AK_CURSOR_TEXT];
    struct ak_cursor out;
    size_t n;

    (void)state;
    ak_cursor_write(&sample, text);
    assert_true(ak_base64_decode(text, strlen(text), bytes, &n));
    for (size_t bit = 0; bit < 8 * n; bit++) {
        char changed[AK_CURSOR_TEXT];

        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        ak_base64url_encode(bytes, n, changed);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_false(ak_cursor_read(changed, AK_CURSOR_SEARCH, &out));
    }
}

static void a_cursor_that_was_cut_or_lengthened_is_refused(void **state)
{
    char text[AK_CURSOR_TEXT];
    struct ak_cursor out;
    size_t len;

    (void)state;
    ak_cursor_write(&sample, text);
    len = strlen(text);
    text[len] = 'A';
    text[len + 1] = '\0';
    assert_false(ak_cursor_read(text, AK_CURSOR_SEARCH, &out));
    while (len-- > 0) {
        text[len] = '\0';
        assert_false(ak_cursor_read(text, AK_CURSOR_SEARCH, &out));
    }
}

static void a_cursor_of_another_list_is_refused(void **state)
{
    char text[AK_CURSOR_TEXT];
    struct ak_cursor out;

    (void)state;
    ak_cursor_write(&sample, text);
    assert_false(ak_cursor_read(text, AK_CURSOR_ITEMS, &out));
    assert_false(ak_cursor_read("%%%", AK_CURSOR_ITEMS, &out));
}

static void base64_of_every_length_comes_back(void **state)
{
    uint8_t bytes[64], back[66];
    char text[90];

    (void)state;
    for (size_t n = 0; n < sizeof(bytes); n++) {
        size_t m = 99;

        for (size_t i = 0; i < n; i++)
            bytes[i] = (uint8_t)(i * 77 + n);
        ak_base64url_encode(bytes, n, text);
        assert_int_equal(strlen(text), (n * 4 + 2) / 3);
        assert_true(ak_base64_decode(text, strlen(text), back, &m));
        assert_int_equal(m, n);
        assert_memory_equal(back, bytes, n);
    }
}

static void base64_is_read_with_both_alphabets_and_padding(void **state)
{
    static const uint8_t want[] = {0xfb, 0xff, 0xfe, 0x3e};
    static const char *const good[] = {"+//+Pg==", "-__-Pg", "+//+Pg"};
    static const char *const bad[] = {"+//+Pg=",   "+//+Ph==", "+//+P", "=",
                                      "+//+Pg==A", "+/ /",     "Pg===="};
    uint8_t out[16];
    size_t n;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        assert_true(ak_base64_decode(good[i], strlen(good[i]), out, &n));
        assert_int_equal(n, 4);
        assert_memory_equal(out, want, 4);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(ak_base64_decode(bad[i], strlen(bad[i]), out, &n));
}

static void a_pointer_escapes_and_never_cuts_a_character(void **state)
{
    char text[10] = "";

    (void)state;
    ak_pointer_add(text, sizeof(text), "a/b~");
    assert_string_equal(text, "/a~1b~0");
    strcpy(text, "/x");
    ak_pointer_add(text, sizeof(text), "abcde\xc3\xa4");
    assert_string_equal(text, "/x/abcde");
    ak_pointer_add_index(text, sizeof(text), 17);
    assert_string_equal(text, "/x/abcde/");
    ak_pointer_add_index(text, sizeof(text), 17);
    assert_string_equal(text, "/x/abcde/");
}

static void a_scope_tells_lists_apart(void **state)
{
    static const char *const lists[][2] = {
        {"shoes", NULL}, {"shoes", ""},  {"shoes", "a"}, {"shoesa", NULL},
        {"shoes", "b"},  {"boots", "a"}, {"", "shoes"},  {NULL, "shoes"},
    };
    const size_t n = sizeof(lists) / sizeof(lists[0]);

    (void)state;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < n; k++)
            assert_int_equal(ak_cursor_scope(lists[i], 2) ==
                                 ak_cursor_scope(lists[k], 2),
                             i == k);
    assert_true(ak_cursor_scope(lists[0], 1) != ak_cursor_scope(lists[0], 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cursor_reads_as_it_was_written),
        cmocka_unit_test(a_cursor_is_fit_for_a_url),
        cmocka_unit_test(a_cursor_with_any_bit_changed_is_refused),
        cmocka_unit_test(a_cursor_that_was_cut_or_lengthened_is_refused),
        cmocka_unit_test(a_cursor_of_another_list_is_refused),
        cmocka_unit_test(a_scope_tells_lists_apart),
        cmocka_unit_test(base64_of_every_length_comes_back),
        cmocka_unit_test(base64_is_read_with_both_alphabets_and_padding),
        cmocka_unit_test(a_pointer_escapes_and_never_cuts_a_character),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
