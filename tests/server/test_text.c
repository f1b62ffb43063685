/* Texts that grow: numbers as printf() writes them, and room. */
#include "tests/test.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/code/code.h"
#include "server/arena.h"
#include "server/text.h"

static void a_share_is_what_printf_makes_of_the_quotient(void **state)
{
    (void)state;
    for (uint32_t bits = 1; bits <= AK_CODE_MAX_BITS; bits++) {
        for (uint32_t d = 0; d <= bits; d++) {
            char expected[40], text[AK_TEXT_SHARE + 1];
            size_t len = ak_text_share(bits - d, bits, text);

            assert_true(len <= AK_TEXT_SHARE);
            text[len] = '\0';
            snprintf(expected, sizeof(expected), "%.9g", 1 - (double)d / bits);
            assert_string_equal(text, expected);
        }
    }
}

static void a_number_has_the_digits_that_printf_gives_it(void **state)
{
    static const uint64_t numbers[] = {0,   1,    9,          10,        99,
                                       100, 4095, 4294967296, UINT64_MAX};

    (void)state;
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        struct ak_text t = {0};
        char expected[40];

        snprintf(expected, sizeof(expected), "%" PRIu64, numbers[i]);
        ak_text_add_u64(&t, numbers[i]);
        assert_string_equal(t.data, expected);
        ak_text_clear(&t);
    }
}

static void what_is_put_in_place_is_what_is_added(void **state)
{
    struct ak_text put = {0}, added = {0};

    (void)state;
    ak_text_reserve(&put, 100);
    for (int i = 0; i < 300; i++) {
        ak_text_put(&put, "abc", (size_t)i % 4);
        ak_text_add(&added, "abc", (size_t)i % 4);
    }
    assert_int_equal(put.len, added.len);
    assert_string_equal(put.data, added.data);
    put.failed = true;
    ak_text_put(&put, "x", 1);
    assert_int_equal(put.len, added.len);
    ak_text_clear(&added);
    ak_text_clear(&put);
}

static void an_arena_goes_on_behind_what_it_was_lent(void **state)
{
    _Alignas(16) char memory[256];
    struct ak_arena arena = {0};
    char *small, *large;

    (void)state;
    memset(memory, 0xff, sizeof(memory));
    ak_arena_lend(&arena, memory, sizeof(memory));
    small = ak_arena_array(&arena, 100, 1);
    large = ak_arena_array(&arena, 1000, 1);
    assert_true(small >= memory && small + 100 <= memory + sizeof(memory));
    assert_true(large < memory || large >= memory + sizeof(memory));
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(small[i], 0);
    memset(large, 1, 1000);
    ak_arena_clear(&arena);
    assert_null(arena.blocks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_share_is_what_printf_makes_of_the_quotient),
        cmocka_unit_test(a_number_has_the_digits_that_printf_gives_it),
        cmocka_unit_test(what_is_put_in_place_is_what_is_added),
        cmocka_unit_test(an_arena_goes_on_behind_what_it_was_lent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
