/*
 * What is accepted is JSON to jansson too, which finds the same numbers; what
 * is refused, jansson refuses, but for the rules of vectors and the bounds.
 */
#include <math.h>
#include <string.h>

#include "server/json_body.h"
#include "tests/fuzz/fuzz.h"

static const char *const hot[] = {"items[].vector", "query.vector", "vector",
                                  "queries[].query.vector", "[]"};
static const struct ak_json_rules rules = {hot, 5, 500, 500};

/* `whole` has the numbers where `cut` has an empty array. */
static void compare(struct ak_json *json, const json_t *cut,
                    const json_t *whole)
{
    size_t n = 0;
    const float *x = json_is_array(cut) ? ak_json_vector(json, cut, &n) : NULL;

    FUZZ_CHECK(json_typeof(cut) == json_typeof(whole));
    if (x != NULL) {
        FUZZ_CHECK(json_array_size(cut) == 0 && json_array_size(whole) == n);
        for (size_t i = 0; i < n; i++) {
            double d = json_number_value(json_array_get(whole, i));

            /* jansson's is rounded to double first. */
            FUZZ_CHECK(fabs(d - (double)x[i]) <= fabs(d) * 0x1p-24 + 0x1p-149);
        }
    } else if (json_is_array(cut)) {
        FUZZ_CHECK(json_array_size(cut) == json_array_size(whole));
        for (size_t i = 0; i < json_array_size(cut); i++)
            compare(json, json_array_get(cut, i), json_array_get(whole, i));
    } else if (json_is_object(cut)) {
        void *a = json_object_iter((json_t *)(uintptr_t)cut);
        void *b = json_object_iter((json_t *)(uintptr_t)whole);

        FUZZ_CHECK(json_object_size(cut) == json_object_size(whole));
        while (a != NULL) {
            FUZZ_CHECK(
                strcmp(json_object_iter_key(a), json_object_iter_key(b)) == 0);
            compare(json, json_object_iter_value(a), json_object_iter_value(b));
            a = json_object_iter_next((json_t *)(uintptr_t)cut, a);
            b = json_object_iter_next((json_t *)(uintptr_t)whole, b);
        }
    } else {
        FUZZ_CHECK(json_equal(cut, whole));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size == 0 ? 1 : size);
    struct ak_json json = {0};
    struct ak_fault fault = {{0}, NULL, {0}};
    json_error_t error;
    json_t *whole;

    FUZZ_CHECK(text != NULL);
    memcpy(text, data, size);
    whole = json_loadb((const char *)data, size,
                       JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (ak_json_parse(&json, text, size, &rules, &fault) == AK_OK) {
        /* An integer of any length is a float, but not one of jansson's. */
        if (whole == NULL)
            FUZZ_CHECK(json_error_code(&error) == json_error_numeric_overflow);
        else
            compare(&json, json.root, whole);
    } else {
        FUZZ_CHECK(fault.code != NULL && fault.detail[0] != '\0');
        /* jansson 2.14 swallows a zero byte behind a number. */
        FUZZ_CHECK(whole == NULL || memchr(data, 0, size) != NULL ||
                   strcmp(fault.code, "malformed-json") != 0);
    }
    json_decref(whole);
    ak_json_clear(&json);
    free(text);
    return 0;
}
