#include "server/json_body.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "server/json_memory.h"
#include "server/json_scan.h"
#include "server/pointer.h"

/* Where the byte `at` of the text that jansson saw was in what was sent. */
static size_t sent_position(const struct ak_json *json, size_t at)
{
    size_t gone = 0;

    for (size_t i = 0; i < json->n_slots && json->slots[i].at <= at; i++)
        gone += json->slots[i].gone;
    return at + gone;
}

/*
 * The pointer to the value that ends at `text + at`, into `pointer` (cap).  Up
 * to there the text was read without a fault, so that a walk over its marks
 * suffices: a bracket opens a level, a colon ends a key, a comma an element.
 */
static void locate(const char *text, size_t at, char *pointer, size_t cap)
{
    struct {
        const char *key; /* NULL: an array */
        size_t len, index;
    } levels[AK_JSON_DEPTH_MAX];
    const char *key = "";
    size_t n = 0, len = 0;

    for (size_t i = 0; i < at; i++) {
        if (text[i] == '"') {
            key = text + i + 1;
            for (i++; i < at && text[i] != '"'; i++)
                i += text[i] == '\\';
            len = (size_t)(text + i - key);
        } else if (text[i] == '{' || text[i] == '[') {
            assert(n < AK_JSON_DEPTH_MAX);
            levels[n].key = text[i] == '{' ? "" : NULL;
            levels[n].len = levels[n].index = 0;
            n++;
        } else if (text[i] == '}' || text[i] == ']') {
            n--;
        } else if (text[i] == ':') {
            levels[n - 1].key = key;
            levels[n - 1].len = len;
        } else if (text[i] == ',') {
            levels[n - 1].index++;
        }
    }
    pointer[0] = '\0';
    for (size_t i = 0; i < n; i++) {
        char name[64];

        snprintf(name, sizeof(name), "%.*s", (int)levels[i].len,
                 levels[i].key != NULL ? levels[i].key : "");
        if (levels[i].key != NULL)
            ak_pointer_add(pointer, cap, name);
        else
            ak_pointer_add_index(pointer, cap, levels[i].index);
    }
}

/*
 * What jansson found, in words that quote nothing of the body: its own text
 * ends with the token where it stopped.
 */
static enum ak_status tell(const struct ak_json *json, const char *text,
                           const json_error_t *error, struct ak_fault *fault)
{
    const char *code = "malformed-json", *what = NULL;
    const char *cut;
    int len;

    switch (json_error_code(error)) {
    case json_error_out_of_memory:
        return AK_ENOMEM;
    case json_error_stack_overflow:
        code = "json-too-deep";
        what = "too many levels";
        break;
    case json_error_invalid_utf8:
        what = "the text is no UTF-8";
        break;
    case json_error_null_character:
    case json_error_null_byte_in_key:
        what = "a key with the character 0";
        break;
    case json_error_duplicate_key:
        what = "the same key twice in an object";
        break;
    case json_error_numeric_overflow:
        if (strncmp(error->text, "real", 4) == 0) {
            code = "non-finite-value";
            what = "a number beyond the range of double";
        } else {
            code = "validation-failed";
            what = "an integer that does not fit 64 bits";
        }
        break;
    default:
        what = error->text;
    }
    if (fault == NULL)
        return AK_EINVAL;
    cut = strstr(what, " '\\u");
    if (cut == NULL)
        cut = strstr(what, " near '");
    len = cut == NULL ? (int)strlen(what) : (int)(cut - what);
    fault->code = code;
    fault->pointer[0] = '\0';
    if (json_error_code(error) == json_error_numeric_overflow)
        locate(text, (size_t)error->position, fault->pointer,
               sizeof(fault->pointer));
    snprintf(fault->detail, sizeof(fault->detail), "byte %zu: %.*s",
             sent_position(json, (size_t)error->position), len, what);
    return AK_EINVAL;
}

/*
 * Give each hot array in the tree below `value` its slot.  jansson keeps the
 * keys of an object in the order of the text, and no key is there twice, so the
 * hot arrays come in the order of the scan.
 */
static void bind_slots(struct ak_json *json, const struct ak_json_paths *paths,
                       json_t *value, uint8_t set, size_t depth)
{
    if (json_is_array(value)) {
        size_t n = json_array_size(value);

        if (ak_json_paths_end(paths, set, depth) != NULL) {
            assert(n == 0 && json->next_slot < json->n_slots);
            json->slots[json->next_slot++].array = value;
            return;
        }
        set = ak_json_paths_each(paths, set, depth);
        for (size_t i = 0; set != 0 && i < n; i++)
            bind_slots(json, paths, json_array_get(value, i), set, depth + 1);
    } else if (json_is_object(value)) {
        const char *key;
        json_t *member;

        json_object_foreach(value, key, member)
        {
            uint8_t next =
                ak_json_paths_key(paths, set, depth, key, strlen(key), 0);

            if (next != 0)
                bind_slots(json, paths, member, next, depth + 1);
        }
    }
}

enum ak_status ak_json_parse(struct ak_json *json, char *text, size_t len,
                             const struct ak_json_rules *rules,
                             struct ak_fault *fault)
{
    struct ak_json_paths paths;
    json_error_t error;
    enum ak_status status;

    json_decref(json->root);
    json->root = NULL;
    ak_json_paths_init(&paths, rules);
    status = ak_json_scan(json, text, &len, &paths, rules, fault);
    if (status == AK_OK) {
        json->root = ak_json_value(
            text, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
        if (json->root == NULL)
            status = tell(json, text, &error, fault);
    }
    if (status != AK_OK) {
        json->n_floats = json->n_slots = 0;
        return status;
    }
    bind_slots(json, &paths, json->root, paths.all, 0);
    assert(json->next_slot == json->n_slots);
    json->next_slot = 0;
    return AK_OK;
}

const float *ak_json_vector(struct ak_json *json, const json_t *array,
                            size_t *n)
{
    static const float none = 0.0f;

    for (size_t i = 0; i < json->n_slots; i++) {
        const struct ak_json_slot *slot = &json->slots[json->next_slot];

        json->next_slot = (json->next_slot + 1) % json->n_slots;
        if (slot->array == array) {
            *n = slot->n;
            return json->floats == NULL ? &none : json->floats + slot->first;
        }
    }
    return NULL;
}

void ak_json_clear(struct ak_json *json)
{
    json_decref(json->root);
    ak_array_free(json->floats);
    ak_array_free(json->slots);
    *json = (struct ak_json){0};
}
