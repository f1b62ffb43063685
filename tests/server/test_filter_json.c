/* Filters: what is read, what is refused, what they become. */
#include "tests/test.h"

#include <string.h>

#include <jansson.h>

#include "server/filter_json.h"
#include "server/limits.h"

static struct ak_arena arena;
static struct ak_faults faults;
static const struct ak_settings integers = {.bits = 8};
static const struct ak_settings strings = {.bits = 8, .string_ids = true};
static json_t *body;

static int setup(void **state)
{
    (void)state;
    memset(&faults, 0, sizeof(faults));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ak_arena_clear(&arena);
    json_decref(body);
    body = NULL;
    return 0;
}

static enum ak_status read(const char *text, const struct ak_settings *s,
                           struct ak_filter_text **out)
{
    body = json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    assert_non_null(body);
    return ak_filter_read(body, "/filter", s, &arena, out, &faults);
}

/* Labels "l0".."l9" have the numbers 100..109; id n has the row 1000 - n for
   n below 10, and the id "x" the row 7. */
static bool label(void *arg, const char *name, size_t len, uint32_t *number)
{
    (void)arg;
    if (len != 2 || name[0] != 'l')
        return false;
    *number = 100 + (uint32_t)(name[1] - '0');
    return true;
}

static enum ak_status rows(void *arg, const struct ak_row_id *ids, size_t n,
                           uint64_t *ordinals, size_t *n_rows,
                           struct ak_err *err)
{
    (void)arg;
    (void)err;
    *n_rows = 0;
    for (size_t i = 0; i < n; i++) {
        if (ids[i].text != NULL && ids[i].len == 1 && ids[i].text[0] == 'x')
            ordinals[(*n_rows)++] = 7;
        else if (ids[i].text == NULL && ids[i].number < 10)
            ordinals[(*n_rows)++] = 1000 - ids[i].number;
    }
    return AK_OK;
}

static const struct ak_filter *bind(const struct ak_filter_text *text)
{
    const struct ak_filter_names names = {NULL, label, rows};
    const struct ak_filter *filter;

    assert_status(ak_filter_bind(text, &names, &arena, &filter, NULL), AK_OK);
    return filter;
}

static void no_filter_stays_none(void **state)
{
    struct ak_filter_text *text;

    (void)state;
    assert_status(read("null", &integers, &text), AK_OK);
    assert_null(text);
    assert_null(bind(text));
    assert_status(
        ak_filter_read(NULL, "/filter", &integers, &arena, &text, &faults),
        AK_OK);
    assert_null(text);
}

static void each_clause_becomes_its_conditions(void **state)
{
    struct ak_filter_text *text;
    const struct ak_filter *f;

    (void)state;
    assert_status(read("{\"must\":[{\"label\":\"l3\"},{\"ids\":[1,3,2]}],"
                       "\"should\":[{\"labels_any\":[\"l1\",\"l9\"]}],"
                       "\"must_not\":[{\"ids\":[5]}]}",
                       &integers, &text),
                  AK_OK);
    f = bind(text);
    assert_int_equal(f->n_must, 2);
    assert_int_equal(f->must[0].n_labels, 1);
    assert_int_equal(f->must[0].labels[0], 103);
    assert_int_equal(f->must[1].n_ordinals, 3);
    /* Sorted upwards, whatever the order of the ids. */
    assert_int_equal(f->must[1].ordinals[0], 997);
    assert_int_equal(f->must[1].ordinals[1], 998);
    assert_int_equal(f->must[1].ordinals[2], 999);
    assert_int_equal(f->n_should, 1);
    assert_int_equal(f->should[0].n_labels, 2);
    assert_int_equal(f->should[0].labels[1], 109);
    assert_int_equal(f->n_must_not, 1);
    assert_int_equal(f->must_not[0].ordinals[0], 995);
}

static void what_is_not_known_matches_nothing(void **state)
{
    struct ak_filter_text *text;
    const struct ak_filter *f;

    (void)state;
    assert_status(read("{\"must\":[{\"label\":\"no\"},{\"ids\":[77]}]}",
                       &integers, &text),
                  AK_OK);
    f = bind(text);
    assert_int_equal(f->n_must, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(f->must[i].n_labels, 0);
        assert_int_equal(f->must[i].n_ordinals, 0);
    }
}

static void ids_are_of_the_kind_of_the_collection(void **state)
{
    struct ak_filter_text *text;

    (void)state;
    assert_status(read("{\"must\":[{\"ids\":[\"x\"]}]}", &strings, &text),
                  AK_OK);
    assert_int_equal(bind(text)->must[0].ordinals[0], 7);
    json_decref(body);
    assert_status(read("{\"must\":[{\"ids\":[\"x\"]}]}", &integers, &text),
                  AK_EINVAL);
    assert_string_equal(faults.list[0].pointer, "/filter/must/0/ids/0");
}

static void a_label_of_the_query_is_a_must(void **state)
{
    struct ak_filter_text *text;

    (void)state;
    assert_status(ak_filter_of_label("l4", &arena, &text), AK_OK);
    assert_int_equal(bind(text)->n_must, 1);
    assert_int_equal(bind(text)->must[0].labels[0], 104);
}

static void each_fault_has_its_place(void **state)
{
    static const struct {
        const char *text, *code, *pointer;
    } cases[] = {
        {"[]", "validation-failed", "/filter"},
        {"{\"may\":[]}", "unknown-field", "/filter/may"},
        {"{\"must\":{}}", "validation-failed", "/filter/must"},
        {"{\"must\":[3]}", "validation-failed", "/filter/must/0"},
        {"{\"must\":[{}]}", "validation-failed", "/filter/must/0"},
        {"{\"must\":[{\"tag\":1}]}", "unknown-field", "/filter/must/0/tag"},
        {"{\"should\":[{\"label\":\"a\"},{\"label\":[]}]}", "validation-failed",
         "/filter/should/1/label"},
        {"{\"must\":[{\"labels_any\":[]}]}", "validation-failed",
         "/filter/must/0/labels_any"},
        {"{\"must\":[{\"labels_any\":[\"a\",null]}]}", "validation-failed",
         "/filter/must/0/labels_any/1"},
        {"{\"must_not\":[{\"ids\":[-1]}]}", "validation-failed",
         "/filter/must_not/0/ids/0"},
        {"{\"must_not\":[{\"ids\":3}]}", "validation-failed",
         "/filter/must_not/0/ids"},
        {"{\"must\":[{\"label\":\"a\",\"ids\":[1]}]}", "validation-failed",
         "/filter/must/0"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ak_filter_text *text;

        memset(&faults, 0, sizeof(faults));
        json_decref(body);
        assert_status(read(cases[i].text, &integers, &text), AK_EINVAL);
        assert_int_equal(faults.n, 1);
        assert_string_equal(faults.list[0].code, cases[i].code);
        assert_string_equal(faults.list[0].pointer, cases[i].pointer);
        assert_null(text);
    }
}

static void a_filter_has_a_bounded_number_of_terms(void **state)
{
    const struct ak_limits before = *ak_limits();
    struct ak_limits few = before;
    struct ak_filter_text *text;

    (void)state;
    few.max_filter_clauses = 3;
    ak_limits_set(&few);
    assert_status(read("{\"must\":[{\"ids\":[1,2]},{\"label\":\"a\"}]}",
                       &integers, &text),
                  AK_OK);
    json_decref(body);
    assert_status(read("{\"must\":[{\"ids\":[1,2]},{\"label\":\"a\"}],"
                       "\"should\":[{\"label\":\"b\"}]}",
                       &integers, &text),
                  AK_EINVAL);
    ak_limits_set(&before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_filter_stays_none, setup, teardown),
        cmocka_unit_test_setup_teardown(each_clause_becomes_its_conditions,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_not_known_matches_nothing,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(ids_are_of_the_kind_of_the_collection,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_label_of_the_query_is_a_must, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(each_fault_has_its_place, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_filter_has_a_bounded_number_of_terms,
                                        setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
