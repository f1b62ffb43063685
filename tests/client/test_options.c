/* test_options.c -- the parser that every command uses. */
#include <string.h>

#include "client/options.h"
#include "tests/test.h"

static bool flag;
static const char *text;
static const char *choice;
static uint64_t number;
static double real;
static struct text_list list;
static bool number_given;

static const struct option table[] = {
    {"flag", 'f', OPTION_FLAG, NULL, "a flag", &flag, 0, 0, NULL, NULL},
    {"text", 't', OPTION_TEXT, "TEXT", "a text", &text, 0, 0, NULL, NULL},
    {"choice", 0, OPTION_CHOICE, NULL, "a choice", &choice, 0, 0,
     "durable|learned", NULL},
    {"number", 'n', OPTION_NUMBER, "N", "a number", &number, 3, 20, NULL,
     &number_given},
    {"real", 0, OPTION_REAL, "X", "a real", &real, 0, 0, NULL, NULL},
    {"list", 'l', OPTION_LIST, "ITEM", "a list", &list, 0, 0, NULL, NULL},
    {0},
};

static char why[OPTION_WHY];

static bool parse(char **argv, int *argc)
{
    static const struct option *const tables[] = {table};

    flag = number_given = false;
    text = choice = NULL;
    number = 0;
    real = 0;
    text_list_clear(&list);
    for (*argc = 0; argv[*argc] != NULL;)
        ++*argc;
    return options_parse(tables, 1, argc, argv, why);
}

/* argv as a literal; the parser writes the pointers, not the texts. */
#define PARSE(argc, ...) parse((char *[]){__VA_ARGS__, NULL}, argc)
#define S(literal)       (char *)(uintptr_t)(literal)

static void values_come_behind_a_blank_an_equals_sign_or_a_letter(void **state)
{
    int argc;

    (void)state;
    assert_true(PARSE(&argc, S("--number"), S("7"), S("--text=a=b"), S("-f")));
    assert_int_equal(argc, 0);
    assert_int_equal(number, 7);
    assert_true(number_given);
    assert_string_equal(text, "a=b");
    assert_true(flag);
    assert_true(PARSE(&argc, S("-n20"), S("-t"), S("-x")));
    assert_int_equal(number, 20);
    assert_string_equal(text, "-x");
}

static void operands_stay_in_order_between_options(void **state)
{
    char *argv[] = {S("a"), S("-f"), S("b"),  S("-n"), S("5"),
                    S("-"), S("--"), S("-t"), NULL};
    int argc;

    (void)state;
    assert_true(parse(argv, &argc));
    assert_int_equal(argc, 4);
    assert_string_equal(argv[0], "a");
    assert_string_equal(argv[1], "b");
    assert_string_equal(argv[2], "-");
    assert_string_equal(argv[3], "-t");
    assert_null(argv[4]);
    assert_null(text);
}

static void a_list_takes_every_value(void **state)
{
    int argc;

    (void)state;
    assert_true(PARSE(&argc, S("-l"), S("a"), S("--list=b"), S("-lc")));
    assert_int_equal(list.n, 3);
    assert_string_equal(list.items[2], "c");
    text_list_clear(&list);
}

static void what_is_no_number_in_range_is_told(void **state)
{
    static const char *const bad[] = {"2",  "21", "",   "x",
                                      "7x", "-5", "+5", "99999999999999999999"};
    int argc;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(PARSE(&argc, S("--number"), S(bad[i])));
        assert_non_null(strstr(why, "must be a number 3..20"));
    }
    assert_false(PARSE(&argc, S("--real"), S("nan")));
    assert_false(PARSE(&argc, S("--real"), S("-1")));
    assert_false(PARSE(&argc, S("--real"), S("1e999")));
    assert_true(PARSE(&argc, S("--real"), S("2.5e1")));
    assert_true(real > 24.9 && real < 25.1);
}

static void only_a_whole_choice_is_one(void **state)
{
    int argc;

    (void)state;
    assert_true(PARSE(&argc, S("--choice"), S("learned")));
    assert_string_equal(choice, "learned");
    assert_false(PARSE(&argc, S("--choice"), S("learn")));
    assert_non_null(strstr(why, "durable|learned"));
    assert_false(PARSE(&argc, S("--choice"), S("able")));
    assert_false(PARSE(&argc, S("--choice"), S("")));
    assert_false(PARSE(&argc, S("--choice"), S("durable|learned")));
}

static void wrong_options_are_told_by_name(void **state)
{
    int argc;

    (void)state;
    assert_false(PARSE(&argc, S("--nubmer"), S("7")));
    assert_string_equal(why, "unknown option --nubmer, perhaps --number");
    assert_false(PARSE(&argc, S("--zzzzzz")));
    assert_string_equal(why, "unknown option --zzzzzz");
    assert_false(PARSE(&argc, S("-z")));
    assert_false(PARSE(&argc, S("-fx")));
    assert_false(PARSE(&argc, S("--flag=1")));
    assert_string_equal(why, "--flag takes no value");
    assert_false(PARSE(&argc, S("--text")));
    assert_string_equal(why, "--text needs a value: TEXT");
}

static void the_nearest_word_is_near(void **state)
{
    static const char *const words[] = {"status", "search", "score"};

    (void)state;
    assert_string_equal(nearest_word("serach", words, 3), "search");
    assert_string_equal(nearest_word("scor", words, 3), "score");
    assert_null(nearest_word("banana", words, 3));
    assert_null(nearest_word("", words, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_come_behind_a_blank_an_equals_sign_or_a_letter),
        cmocka_unit_test(operands_stay_in_order_between_options),
        cmocka_unit_test(a_list_takes_every_value),
        cmocka_unit_test(what_is_no_number_in_range_is_told),
        cmocka_unit_test(only_a_whole_choice_is_one),
        cmocka_unit_test(wrong_options_are_told_by_name),
        cmocka_unit_test(the_nearest_word_is_near),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
