/* test_names.c -- numbering texts. */
#include <stdio.h>

#include "client/names.h"
#include "tests/test.h"

static void texts_keep_the_number_of_their_first_coming(void **state)
{
    struct names names = {0};
    char text[16];

    (void)state;
    assert_int_equal(names_find(&names, "x"), NAMES_NONE);
    for (int round = 0; round < 2; round++)
        for (uint32_t i = 0; i < 5000; i++) {
            snprintf(text, sizeof(text), "%u", i * 7919);
            assert_int_equal(names_add(&names, text), i);
            assert_int_equal(names_find(&names, text), i);
        }
    assert_int_equal(names.n, 5000);
    assert_int_equal(names_find(&names, "x"), NAMES_NONE);
    assert_int_equal(names_add(&names, ""), 5000);
    assert_string_equal(names.texts[1], "7919");
    names_clear(&names);
    assert_int_equal(names.n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_keep_the_number_of_their_first_coming),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
