#include "tests/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/blob.h"
#include "core/base/rng.h"
#include "server/json_body.h"

static const char *const hot[] = {"items[].vector", "query.vector",
                                  "queries[].vector", "queries[].query.vector",
                                  "vector"};
static const struct ak_json_rules rules = {hot, 5, 100000, 1000000};

static struct ak_json json;
static struct ak_fault fault;

/* From an exact copy, so that a read beyond the text shows. */
static enum ak_status parse_bytes(const char *text, size_t len,
                                  const struct ak_json_rules *r)
{
    char *copy = malloc(len == 0 ? 1 : len);
    enum ak_status status;

    assert_non_null(copy);
    memcpy(copy, text, len);
    memset(&fault, 0, sizeof(fault));
    status = ak_json_parse(&json, copy, len, r, &fault);
    free(copy);
    if (status != AK_OK) {
        assert_null(json.root);
        assert_int_equal(json.n_slots, 0);
    }
    return status;
}

static void accept(const char *text)
{
    if (parse_bytes(text, strlen(text), &rules) != AK_OK)
        fail_msg("%s: %s %s", text, fault.code, fault.detail);
}

static void refuse(const char *text, const char *code, const char *pointer,
                   const char *detail)
{
    assert_status(parse_bytes(text, strlen(text), &rules), AK_EINVAL);
    assert_string_equal(fault.detail, detail);
    assert_string_equal(fault.code, code);
    assert_string_equal(fault.pointer, pointer);
}

static const json_t *at(const char *format, ...) AK_PRINTF(1, 2);

/* The value at a path of keys and indices separated by blanks. */
static const json_t *at(const char *format, ...)
{
    char path[128], *save = NULL;
    const json_t *value = json.root;
    va_list ap;

    va_start(ap, format);
    vsnprintf(path, sizeof(path), format, ap);
    va_end(ap);
    for (char *k = strtok_r(path, " ", &save); k != NULL;
         k = strtok_r(NULL, " ", &save))
        value = json_is_array(value)
                    ? json_array_get(value, strtoul(k, NULL, 10))
                    : json_object_get(value, k);
    assert_non_null(value);
    return value;
}

static void expect_vector(const json_t *array, size_t n, const float *x)
{
    size_t got = SIZE_MAX;
    const float *floats = ak_json_vector(&json, array, &got);

    assert_non_null(floats);
    assert_int_equal(got, n);
    assert_int_equal(json_array_size(array), 0);
    for (size_t i = 0; i < n; i++)
        assert_true(floats[i] == x[i]);
}

static void vectors_of_a_batch_are_taken_out(void **state)
{
    (void)state;
    accept("{ \"items\": [ { \"id\": 17, \"vector\": [0.5, -1e3 ,2\n], "
           "\"labels\": [\"boot\"], \"payload\": {\"vector\": [1, \"x\"]} },"
           " {\"vector\":[ ],\"id\":18}, {\"vector\":[7],\"id\":19} ] }");
    assert_int_equal(json.n_slots, 3);
    assert_int_equal(json.n_floats, 4);
    expect_vector(at("items 0 vector"), 3, (float[]){0.5f, -1000, 2});
    expect_vector(at("items 1 vector"), 0, NULL);
    expect_vector(at("items 2 vector"), 1, (float[]){7});
    /* And asked for in another order. */
    expect_vector(at("items 0 vector"), 3, (float[]){0.5f, -1000, 2});
    expect_vector(at("items 2 vector"), 1, (float[]){7});
    assert_int_equal(json_integer_value(at("items 2 id")), 19);
    /* What is deeper inside keeps its numbers. */
    assert_int_equal(json_array_size(at("items 0 payload vector")), 2);
    assert_string_equal(json_string_value(at("items 0 labels 0")), "boot");
}

static void every_hot_path_is_one(void **state)
{
    (void)state;
    accept("{\"query\":{\"vector\":[1]},\"limit\":10}");
    expect_vector(at("query vector"), 1, (float[]){1});
    accept("{\"queries\":[{\"query\":{\"vector\":[1,2]}},{\"vector\":[3]},"
           "{\"query\":{\"vector\":[4]},\"vector\":[5]},"
           "{\"vector\":[6],\"query\":{\"vector\":[7]}}]}");
    expect_vector(at("queries 0 query vector"), 2, (float[]){1, 2});
    expect_vector(at("queries 1 vector"), 1, (float[]){3});
    expect_vector(at("queries 2 query vector"), 1, (float[]){4});
    expect_vector(at("queries 2 vector"), 1, (float[]){5});
    expect_vector(at("queries 3 vector"), 1, (float[]){6});
    expect_vector(at("queries 3 query vector"), 1, (float[]){7});
    accept("{\"id\":1,\"vector\":[1,2,3]}");
    expect_vector(at("vector"), 3, (float[]){1, 2, 3});
}

static void what_is_not_at_a_hot_path_is_left_alone(void **state)
{
    static const char *const texts[] = {
        "{\"vectors\":[1,2]}",
        "{\"items\":{\"vector\":[1,2]}}",
        "{\"items\":[[{\"vector\":[1,2]}]]}",
        "{\"items\":[{\"payload\":{\"vector\":[1,2]}}]}",
        "{\"a\":{\"query\":{\"vector\":[1,2]}}}",
        "[{\"vector\":[1,2]}]",
        "{\"\\\"vector\\\"\":[1,2]}",
        "{\"x\":\"{\\\"vector\\\":[1,2]}\"}"};

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        json_t *whole;

        accept(texts[i]);
        assert_int_equal(json.n_slots, 0);
        whole = json_loads(texts[i], 0, NULL);
        assert_true(json_equal(json.root, whole));
        json_decref(whole);
    }
    assert_null(ak_json_vector(&json, json.root, &(size_t){0}));
}

/* jansson sees them, and so does the reader, who says what must be there. */
static void a_hot_value_that_is_no_array_is_left_alone(void **state)
{
    (void)state;
    accept("{\"vector\":\"abc\"}");
    assert_string_equal(json_string_value(at("vector")), "abc");
    accept("{\"vector\":{\"vector\":[1]}}");
    assert_int_equal(json_array_size(at("vector vector")), 1);
    accept("{\"vector\":null,\"items\":[{\"vector\":1e2}]}");
    assert_int_equal(json.n_slots, 0);
}

static void escaped_keys_are_read(void **state)
{
    (void)state;
    accept("{\"it\\u0065ms\":[{\"\\u0076ector\":[1,2]},"
           "{\"v\\u0065ctor\":[3]},{\"\\u0056ector\":[4]},"
           "{\"vector\\n\":[5]},{\"vect\\u00f6r\":[6]}]}");
    assert_int_equal(json.n_slots, 2);
    expect_vector(at("items 0 vector"), 2, (float[]){1, 2});
    expect_vector(at("items 1 vector"), 1, (float[]){3});
    assert_int_equal(json_array_size(at("items 2 Vector")), 1);
}

static void elements_that_are_no_numbers_are_pointed_at(void **state)
{
    (void)state;
    refuse("{\"items\":[{},{\"vector\":[1,2,1e39]}]}", "non-finite-value",
           "/items/1/vector/2",
           "byte 28: the number is beyond the range of float");
    refuse("{\"items\":[{\"vector\":[-1e400]}]}", "non-finite-value",
           "/items/0/vector/0",
           "byte 21: the number is beyond the range of float");
    refuse("{\"items\":[{\"vector\":[]},{\"vector\":[1, \"2\"]}]}",
           "validation-failed", "/items/1/vector/1",
           "byte 38: a string, must be a number");
    refuse("{\"query\":{\"vector\":[null]}}", "validation-failed",
           "/query/vector/0", "byte 20: null, must be a number");
    refuse("{\"vector\":[[1]]}", "validation-failed", "/vector/0",
           "byte 11: an array, must be a number");
    refuse("{\"vector\":[{}]}", "validation-failed", "/vector/0",
           "byte 11: an object, must be a number");
    refuse("{\"queries\":[{\"query\":{\"vector\":[true]}}]}",
           "validation-failed", "/queries/0/query/vector/0",
           "byte 32: true, must be a number");
    refuse("{\"vector\":[1,NaN]}", "malformed-json", "/vector/1",
           "byte 13: NaN and Infinity are no numbers of JSON");
    refuse("{\"vector\":[-Infinity]}", "malformed-json", "/vector/0",
           "byte 12: NaN and Infinity are no numbers of JSON");
    refuse("{\"vector\":[01]}", "malformed-json", "/vector/0",
           "byte 12: no number of JSON");
    refuse("{\"vector\":[1,]}", "malformed-json", "/vector/1",
           "byte 13: no number of JSON");
    refuse("{\"vector\":[1 2]}", "malformed-json", "",
           "byte 13: \",\" or \"]\" expected");
    refuse("{\"vector\":[1}", "malformed-json", "",
           "byte 12: \",\" or \"]\" expected");
    refuse("{\"vector\":[1,2", "malformed-json", "",
           "byte 14: the text ends early");
}

static void broken_texts_are_refused_where_they_break(void **state)
{
    (void)state;
    refuse("", "malformed-json", "", "byte 0: the text ends early");
    refuse("  ", "malformed-json", "", "byte 2: the text ends early");
    refuse("{\"a\":1}x", "malformed-json", "",
           "byte 7: something follows the value");
    refuse("{\"a\":1}{}", "malformed-json", "",
           "byte 7: something follows the value");
    refuse("\xef\xbb\xbf{}", "malformed-json", "",
           "byte 0: a byte order mark, must begin with the value");
    refuse("{\"a\" 1}", "malformed-json", "", "byte 5: \":\" expected");
    refuse("{a:1}", "malformed-json", "", "byte 1: a key in quotes expected");
    refuse("{\"a\":1,}", "malformed-json", "",
           "byte 7: a key in quotes expected");
    refuse("[1,]", "malformed-json", "", "byte 3: a value expected");
    refuse("[1}", "malformed-json", "", "byte 2: \",\" or \"]\" expected");
    refuse("{\"a\":[1,2}", "malformed-json", "",
           "byte 9: \",\" or \"]\" expected");
    refuse("{\"a\":1]", "malformed-json", "",
           "byte 6: \",\" or \"}\" expected");
    refuse("{\"a\":}", "malformed-json", "", "byte 5: a value expected");
    refuse("]", "malformed-json", "", "byte 0: a value expected");
    refuse("{\"a\":\"\\", "malformed-json", "", "byte 7: the text ends early");
}

/* Positions are those of the text that was sent, not of what was left. */
static void what_jansson_refuses_is_told_without_quoting(void **state)
{
    (void)state;
    refuse("{\"vector\":[1,2,3,4],\"vector\":[1]}", "malformed-json", "",
           "byte 28: the same key twice in an object");
    refuse("{\"vector\":[1,2,3,4],\"a\":1,\"\\u0061\":2}", "malformed-json", "",
           "byte 34: the same key twice in an object");
    refuse("{\"vector\":[1,2,3,4],\"a\":tru}", "malformed-json", "",
           "byte 27: invalid token");
    refuse("{\"a\":\"\xff\"}", "malformed-json", "",
           "byte 6: the text is no UTF-8");
    refuse("{\"a\":\"\\ud800\"}", "malformed-json", "",
           "byte 13: invalid Unicode");
    refuse("{\"x\\u0000y\":1}", "malformed-json", "",
           "byte 11: a key with the character 0");
    refuse("{\"a\":\"\x01\"}", "malformed-json", "",
           "byte 6: control character 0x1");
    refuse("{\"a\":NaN}", "malformed-json", "", "byte 8: invalid token");
    refuse("{\"a\":1e400}", "non-finite-value", "/a",
           "byte 10: a number beyond the range of double");
    refuse("{\"a\":9223372036854775808}", "validation-failed", "/a",
           "byte 24: an integer that does not fit 64 bits");
    refuse("{\"a\":{\"x\":[1,\",\\\"]\"]},\"it\":[{},{\"b/\":0,"
           "\"id\":9223372036854775808}]}",
           "validation-failed", "/it/1/id",
           "byte 63: an integer that does not fit 64 bits");
    refuse("3", "malformed-json", "", "byte 1: '[' or '{' expected");
}

/* The last is one that jansson 2.14 alone accepts. */
static void a_zero_byte_is_refused_anywhere(void **state)
{
    (void)state;
    assert_status(parse_bytes("{}\0", 3, &rules), AK_EINVAL);
    assert_string_equal(fault.detail, "byte 2: a zero byte");
    assert_status(parse_bytes("{\"a\0\":1}", 8, &rules), AK_EINVAL);
    assert_string_equal(fault.code, "malformed-json");
    assert_status(parse_bytes("[7\0]", 4, &rules), AK_EINVAL);
    assert_string_equal(fault.detail, "byte 2: a zero byte");
}

static void depth_is_bounded(void **state)
{
    char text[2 * 70 + 1];
    char *deep = malloc(100000);

    (void)state;
    assert_non_null(deep);
    for (size_t depth = 1; depth <= 70; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        text[2 * depth] = '\0';
        if (depth <= 64)
            accept(text);
        else
            refuse(text, "json-too-deep", "",
                   "byte 64: more than 64 levels of arrays and objects");
    }
    memset(deep, '[', 100000);
    assert_status(parse_bytes(deep, 100000, &rules), AK_EINVAL);
    assert_string_equal(fault.code, "json-too-deep");
    free(deep);
}

static void values_and_floats_are_bounded(void **state)
{
    const struct ak_json_rules few = {hot, 5, 7, 3};
    static const char exact[] = "{\"vector\":[1,2],\"a\":[1,2],\"b\":[]}";

    (void)state;
    /* The object, three keys, the hot array, and two numbers are seven. */
    assert_status(parse_bytes("{\"vector\":[1,2,3],\"a\":1,\"b\":2}", 30, &few),
                  AK_OK);
    assert_status(parse_bytes(exact, sizeof(exact) - 1, &few), AK_EINVAL);
    assert_string_equal(fault.code, "body-too-large");
    assert_string_equal(fault.detail, "byte 26: more than 7 values");
    assert_status(parse_bytes("{\"vector\":[1,2,3,4]}", 20, &few), AK_EINVAL);
    assert_string_equal(fault.code, "body-too-large");
    assert_string_equal(fault.detail,
                        "byte 17: more than 3 numbers in vectors");
}

static const char small[] =
    "{\"items\":[{\"id\":1,\"vector\":[0.5,-1.25e-3],\"labels\":[\"a\\\"b\"]},"
    "{\"vector\":[],\"payload\":{\"k\":[true,null,{\"x\":\"\xc3\xa4\"}]}}],"
    "\"query\":{\"vector\":[1]}}";

static void every_truncation_is_refused(void **state)
{
    (void)state;
    accept(small);
    for (size_t len = 0; len < sizeof(small) - 1; len++) {
        assert_status(parse_bytes(small, len, &rules), AK_EINVAL);
        assert_string_equal(fault.code, "malformed-json");
    }
}

/*
 * One byte of a text changed at will: what is accepted is JSON to jansson too,
 * and the same but for the vectors, which equal jansson's numbers.
 */
static void agrees_with_jansson_on_damaged_texts(void **state)
{
    static const char letters[] = "{}[]:,\"\\0123456789.eE+-truefalsn \n\x80";
    size_t n_accepted = 0;
    struct ak_rng rng;

    (void)state;
    ak_rng_init(&rng, 21);
    for (size_t k = 0; k < 30000; k++) {
        char text[sizeof(small)];
        json_t *whole;

        memcpy(text, small, sizeof(small));
        for (size_t i = 0; i <= k % 3; i++)
            text[ak_rng_below(&rng, sizeof(small) - 1)] =
                letters[ak_rng_below(&rng, sizeof(letters) - 1)];
        whole =
            json_loadb(text, sizeof(small) - 1, JSON_REJECT_DUPLICATES, NULL);
        if (parse_bytes(text, sizeof(small) - 1, &rules) != AK_OK) {
            /* Only of its own rules for vectors does it refuse more. */
            if (whole != NULL && strcmp(fault.code, "validation-failed") != 0 &&
                strcmp(fault.code, "non-finite-value") != 0)
                fail_msg("%s: %s", text, fault.detail);
            json_decref(whole);
            continue;
        }
        n_accepted++;
        if (whole == NULL)
            fail_msg("%s: accepted", text);
        for (size_t i = 0; i < json.n_slots; i++) {
            const struct ak_json_slot *slot = &json.slots[i];
            json_t *array = json_array();

            for (size_t j = 0; j < slot->n; j++)
                json_array_append_new(
                    array, json_real((double)json.floats[slot->first + j]));
            /* Put back into the tree, to be compared below. */
            json_array_extend((json_t *)(uintptr_t)slot->array, array);
            json_decref(array);
        }
        {
            char *a = json_dumps(json.root, JSON_REAL_PRECISION(6));
            char *b = json_dumps(whole, JSON_REAL_PRECISION(6));
            size_t i = 0, j = 0;

            /* Integers of vectors became reals: compare without ".0". */
            while (a[i] != '\0' || b[j] != '\0') {
                if (a[i] == '.' && a[i + 1] == '0' && b[j] != '.')
                    i += 2;
                else if (a[i++] != b[j++])
                    fail_msg("%s\n%s", a, b);
            }
            free(a);
            free(b);
        }
        json_decref(whole);
    }
    print_message("# %zu of 30000 accepted\n", n_accepted);
    assert_true(n_accepted > 300);
}

/* 1,000 rows, and again into the memory that is there. */
static void a_large_batch_is_read(void **state)
{
    struct ak_writer w = {0};
    struct ak_rng rng;

    (void)state;
    for (int round = 0; round < 2; round++) {
        float *x = malloc(1000 * 64 * sizeof(*x));
        struct ak_fault none;

        assert_non_null(x);
        ak_rng_init(&rng, 31 + (uint64_t)round);
        w.len = 0;
        ak_write_bytes(&w, "{\"items\":[", 10);
        for (size_t i = 0; i < 1000; i++) {
            char text[64];
            int n = snprintf(text, sizeof(text), "%s{\"id\":%zu,\"vector\":[",
                             i == 0 ? "" : ",", i);

            ak_write_bytes(&w, text, (size_t)n);
            for (size_t j = 0; j < 64; j++) {
                x[i * 64 + j] = ak_rng_normal(&rng);
                n = snprintf(text, sizeof(text), "%s%.9g", j == 0 ? "" : ", ",
                             (double)x[i * 64 + j]);
                ak_write_bytes(&w, text, (size_t)n);
            }
            ak_write_bytes(&w, "]}", 2);
        }
        ak_write_bytes(&w, "]}", 2);
        assert_status(
            ak_json_parse(&json, (char *)w.data, w.len, &rules, &none), AK_OK);
        assert_int_equal(json.n_slots, 1000);
        assert_int_equal(json.n_floats, 64000);
        assert_memory_equal(json.floats, x, 64000 * sizeof(*x));
        for (size_t i = 0; i < 1000; i++)
            expect_vector(at("items %zu vector", i), 64, x + i * 64);
        free(x);
    }
    ak_writer_clear(&w);
}

static int finish(void **state)
{
    (void)state;
    ak_json_clear(&json);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_of_a_batch_are_taken_out),
        cmocka_unit_test(every_hot_path_is_one),
        cmocka_unit_test(what_is_not_at_a_hot_path_is_left_alone),
        cmocka_unit_test(a_hot_value_that_is_no_array_is_left_alone),
        cmocka_unit_test(escaped_keys_are_read),
        cmocka_unit_test(elements_that_are_no_numbers_are_pointed_at),
        cmocka_unit_test(broken_texts_are_refused_where_they_break),
        cmocka_unit_test(what_jansson_refuses_is_told_without_quoting),
        cmocka_unit_test(a_zero_byte_is_refused_anywhere),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(values_and_floats_are_bounded),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(agrees_with_jansson_on_damaged_texts),
        cmocka_unit_test(a_large_batch_is_read),
    };

    return cmocka_run_group_tests_name("json body", tests, NULL, finish);
}
