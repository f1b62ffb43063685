/*
 * The scan before jansson's: without hot paths it leaves the text as it was;
 * with them the text and what was cut make the text that was sent, and the
 * numbers that were cut are the floats.  Too deep is what really is.
 */
#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "server/json_float.h"
#include "server/json_scan.h"
#include "tests/fuzz/fuzz.h"

static const char *const hot[] = {"items[].vector", "a[].b[].c", "[]"};
enum { MAX_VALUES = 400, MAX_FLOATS = 300 };

/* As long as the text and no longer, or with a zero behind it. */
static char *copy_of(const uint8_t *data, size_t size, size_t more)
{
    char *copy = calloc(size + more + (size == 0), 1);

    FUZZ_CHECK(copy != NULL);
    if (size > 0)
        memcpy(copy, data, size);
    return copy;
}

/* Levels of brackets that are outside of strings, at most. */
static size_t depth_of(const uint8_t *data, size_t size)
{
    size_t depth = 0, most = 0;
    int string = 0;

    for (size_t i = 0; i < size; i++) {
        if (string && data[i] == '\\')
            i++;
        else if (data[i] == '"')
            string = !string;
        else if (!string && (data[i] == '[' || data[i] == '{'))
            depth++;
        else if (!string && (data[i] == ']' || data[i] == '}'))
            depth -= depth > 0;
        most = depth > most ? depth : most;
    }
    return most;
}

/* The numbers between the brackets of a hot array, read again. */
static void check_numbers(const struct ak_json *json,
                          const struct ak_json_slot *slot, const char *at,
                          const char *end)
{
    const char *from = at;

    for (size_t i = 0; i < slot->n; i++) {
        float x;

        at += strspn(at, " \t\r\n,");
        FUZZ_CHECK(at < end);
        FUZZ_CHECK(ak_json_float(&at, end, &x) != AK_JSON_NUMBER_MALFORMED);
        FUZZ_CHECK(x == json->floats[slot->first + i] && isfinite(x));
    }
    at += strspn(at, " \t\r\n");
    FUZZ_CHECK(*at == ']' && (size_t)(at - from) == slot->gone);
}

static void check_cut(const struct ak_json *json, const char *cut, size_t len,
                      const uint8_t *data, size_t size)
{
    char *whole = copy_of(data, size, 1);
    size_t from = 0, sent = 0, n = 0;

    for (size_t i = 0; i < json->n_slots; i++) {
        const struct ak_json_slot *slot = &json->slots[i];

        FUZZ_CHECK(slot->at >= from && slot->at < len && slot->first == n);
        FUZZ_CHECK(memcmp(cut + from, data + sent, slot->at - from) == 0);
        sent += slot->at - from;
        FUZZ_CHECK(slot->gone < size - sent);
        check_numbers(json, slot, whole + sent, whole + size);
        sent += slot->gone;
        from = slot->at;
        n += slot->n;
    }
    FUZZ_CHECK(n == json->n_floats && n <= MAX_FLOATS);
    FUZZ_CHECK(len - from == size - sent);
    FUZZ_CHECK(memcmp(cut + from, data + sent, len - from) == 0);
    free(whole);
}

static void scan(const uint8_t *data, size_t size, size_t n_paths)
{
    const struct ak_json_rules rules = {hot, n_paths, MAX_VALUES, MAX_FLOATS};
    struct ak_json_paths paths;
    struct ak_json json = {0};
    struct ak_fault fault = {{0}, NULL, {0}};
    char *text = copy_of(data, size, 0);
    size_t len = size;

    ak_json_paths_init(&paths, &rules);
    if (ak_json_scan(&json, text, &len, &paths, &rules, &fault) == AK_OK) {
        FUZZ_CHECK(depth_of(data, size) <= AK_JSON_DEPTH_MAX);
        FUZZ_CHECK(n_paths > 0 || json.n_slots == 0);
        check_cut(&json, text, len, data, size);
    } else {
        FUZZ_CHECK(fault.code != NULL && fault.detail[0] != '\0');
        if (strcmp(fault.code, "json-too-deep") == 0)
            FUZZ_CHECK(depth_of(data, size) > AK_JSON_DEPTH_MAX);
    }
    ak_json_clear(&json);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    scan(data, size, 0);
    scan(data, size, sizeof(hot) / sizeof(hot[0]));
    return 0;
}
