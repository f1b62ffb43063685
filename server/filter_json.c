#include "server/filter_json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/id_json.h"
#include "server/limits.h"
#include "server/pointer.h"

#define POINTER 128

static const char *const clauses[] = {"must", "should", "must_not"};

struct reader {
    const struct ak_settings *settings;
    struct ak_arena *arena;
    struct ak_faults *faults;
    size_t terms; /* labels and ids so far */
    bool no_memory;
};

static void fault(struct reader *r, const char *pointer, const char *key,
                  const char *code, const char *text)
{
    char at[POINTER];

    snprintf(at, sizeof(at), "%s", pointer);
    if (key != NULL)
        ak_pointer_add(at, sizeof(at), key);
    ak_faults_add(r->faults, at, code, "%s", text);
}

/* Count one more label or id. */
static bool one_more(struct reader *r, const char *pointer)
{
    size_t max = ak_limits()->max_filter_clauses;

    if (++r->terms <= max)
        return true;
    if (r->terms == max + 1)
        ak_faults_add(r->faults, pointer, "validation-failed",
                      "a filter has at most %zu labels and ids", max);
    return false;
}

static bool read_label(struct reader *r, const char *pointer,
                       const json_t *value, struct ak_bytes *out)
{
    char number[24];
    const char *text = json_string_value(value);
    size_t len = json_string_length(value);

    if (!one_more(r, pointer))
        return false;
    if (json_is_integer(value)) {
        len = (size_t)snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT,
                               json_integer_value(value));
        text = number;
    }
    if (text == NULL || len == 0) {
        fault(r, pointer, NULL, "validation-failed",
              "must be a label: a string or an integer");
        return false;
    }
    out->len = len;
    out->data = ak_arena_copy(r->arena, text, len);
    if (out->data == NULL)
        r->no_memory = true;
    return !r->no_memory;
}

/* Room for what a list has, of `what`; NULL: it was told. */
static void *array_for(struct reader *r, const char *pointer,
                       const json_t *list, const char *what, size_t size)
{
    char why[64];
    void *room;

    if (!json_is_array(list) || json_array_size(list) == 0) {
        snprintf(why, sizeof(why), "must be an array of %s that is not empty",
                 what);
        fault(r, pointer, NULL, "validation-failed", why);
        return NULL;
    }
    room = ak_arena_array(r->arena, json_array_size(list), size);
    if (room == NULL)
        r->no_memory = true;
    return room;
}

static bool read_labels(struct reader *r, const char *pointer,
                        const json_t *list, struct ak_condition_text *out)
{
    const json_t *entry;
    size_t i;

    out->labels = array_for(r, pointer, list, "labels", sizeof(*out->labels));
    if (out->labels == NULL)
        return false;
    json_array_foreach((json_t *)(uintptr_t)list, i, entry)
    {
        char at[POINTER];

        snprintf(at, sizeof(at), "%s", pointer);
        ak_pointer_add_index(at, sizeof(at), i);
        if (!read_label(r, at, entry, &out->labels[i]))
            return false;
        out->n_labels++;
    }
    return true;
}

static bool read_ids(struct reader *r, const char *pointer, const json_t *list,
                     struct ak_condition_text *out)
{
    char why[AK_ID_WHY];
    const json_t *entry;
    size_t i;

    out->ids = array_for(r, pointer, list, "ids", sizeof(*out->ids));
    if (out->ids == NULL)
        return false;
    json_array_foreach((json_t *)(uintptr_t)list, i, entry)
    {
        char at[POINTER];

        snprintf(at, sizeof(at), "%s", pointer);
        ak_pointer_add_index(at, sizeof(at), i);
        if (!one_more(r, at))
            return false;
        if (!ak_id_read(entry, r->settings->string_ids, &out->ids[i], why)) {
            fault(r, at, NULL, "validation-failed", why);
            return false;
        }
        out->n_ids++;
    }
    return true;
}

static bool read_condition(struct reader *r, const char *pointer,
                           const json_t *value, struct ak_condition_text *out)
{
    const char *key;
    json_t *v;
    char at[POINTER];
    bool good = true;

    if (!json_is_object(value) || json_object_size(value) == 0) {
        fault(r, pointer, NULL, "validation-failed",
              "must be an object with one of label, labels_any and ids");
        return false;
    }
    json_object_foreach((json_t *)(uintptr_t)value, key, v)
    {
        snprintf(at, sizeof(at), "%s", pointer);
        ak_pointer_add(at, sizeof(at), key);
        if (strcmp(key, "label") == 0) {
            out->labels = ak_arena_array(r->arena, 1, sizeof(*out->labels));
            if (out->labels == NULL)
                r->no_memory = true;
            out->n_labels = 1;
            good =
                good && !r->no_memory && read_label(r, at, v, &out->labels[0]);
        } else if (strcmp(key, "labels_any") == 0) {
            good = good && read_labels(r, at, v, out);
        } else if (strcmp(key, "ids") == 0) {
            good = good && read_ids(r, at, v, out);
        } else {
            fault(r, at, NULL, "unknown-field",
                  "no such condition; there are label, labels_any and ids");
            good = false;
        }
    }
    if (good && json_object_size(value) > 1) {
        fault(r, pointer, NULL, "validation-failed",
              "must have one of label, labels_any and ids, has several");
        good = false;
    }
    return good;
}

static bool read_clause(struct reader *r, const char *pointer,
                        const json_t *list, struct ak_condition_text **out,
                        size_t *n)
{
    size_t max = ak_limits()->max_filter_clauses, i;
    const json_t *entry;
    bool good = true;

    if (!json_is_array(list) || json_array_size(list) > max) {
        fault(r, pointer, NULL, "validation-failed",
              "must be an array of conditions, not too many");
        return false;
    }
    *n = json_array_size(list);
    *out = ak_arena_array(r->arena, *n, sizeof(**out));
    if (*out == NULL) {
        r->no_memory = true;
        return false;
    }
    json_array_foreach((json_t *)(uintptr_t)list, i, entry)
    {
        char at[POINTER];

        snprintf(at, sizeof(at), "%s", pointer);
        ak_pointer_add_index(at, sizeof(at), i);
        if (!read_condition(r, at, entry, &(*out)[i]))
            good = false;
    }
    return good;
}

static bool read_filter(struct reader *r, const char *pointer,
                        const json_t *value, struct ak_filter_text *out)
{
    const char *key;
    json_t *v;
    bool good = true;

    if (!json_is_object(value)) {
        fault(r, pointer, NULL, "validation-failed",
              "must be an object with must, should and must_not");
        return false;
    }
    json_object_foreach((json_t *)(uintptr_t)value, key, v)
    {
        char at[POINTER];
        size_t k = 0;

        snprintf(at, sizeof(at), "%s", pointer);
        ak_pointer_add(at, sizeof(at), key);
        while (k < 3 && strcmp(key, clauses[k]) != 0)
            k++;
        if (k == 3) {
            fault(r, at, NULL, "unknown-field",
                  "no such clause; there are must, should and must_not");
            good = false;
        } else if (!read_clause(r, at, v, &out->clause[k], &out->n[k])) {
            good = false;
        }
    }
    return good;
}

enum ak_status ak_filter_read(const json_t *value, const char *pointer,
                              const struct ak_settings *settings,
                              struct ak_arena *arena,
                              struct ak_filter_text **out,
                              struct ak_faults *faults)
{
    struct reader r = {.settings = settings, .arena = arena, .faults = faults};
    struct ak_filter_text *text;

    *out = NULL;
    if (value == NULL || json_is_null(value))
        return AK_OK;
    text = ak_arena_array(arena, 1, sizeof(*text));
    if (text == NULL)
        return AK_ENOMEM;
    if (!read_filter(&r, pointer, value, text))
        return r.no_memory ? AK_ENOMEM : AK_EINVAL;
    *out = text;
    return AK_OK;
}

enum ak_status ak_filter_of_label(const char *label, struct ak_arena *arena,
                                  struct ak_filter_text **out)
{
    struct ak_filter_text *text = ak_arena_array(arena, 1, sizeof(*text));
    struct ak_condition_text *c = ak_arena_array(arena, 1, sizeof(*c));
    struct ak_bytes *name = ak_arena_array(arena, 1, sizeof(*name));

    if (text == NULL || c == NULL || name == NULL)
        return AK_ENOMEM;
    *name = (struct ak_bytes){label, strlen(label)};
    c->labels = name;
    c->n_labels = 1;
    text->clause[0] = c;
    text->n[0] = 1;
    *out = text;
    return AK_OK;
}

/* ------------------------------------------------------------------ binding */

static int compare_ordinals(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static enum ak_status bind_condition(const struct ak_condition_text *text,
                                     const struct ak_filter_names *names,
                                     struct ak_arena *arena,
                                     struct ak_condition *out,
                                     struct ak_err *err)
{
    uint32_t *labels = ak_arena_array(arena, text->n_labels, sizeof(*labels));
    uint64_t *ordinals = ak_arena_array(arena, text->n_ids, sizeof(*ordinals));
    enum ak_status status = AK_OK;

    if (labels == NULL || ordinals == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for a filter");
    memset(out, 0, sizeof(*out));
    for (size_t i = 0; i < text->n_labels; i++)
        if (names->label(names->arg, text->labels[i].data, text->labels[i].len,
                         &labels[out->n_labels]))
            out->n_labels++;
    if (text->n_ids > 0)
        status = names->rows(names->arg, text->ids, text->n_ids, ordinals,
                             &out->n_ordinals, err);
    if (status != AK_OK)
        return status;
    qsort(ordinals, out->n_ordinals, sizeof(*ordinals), compare_ordinals);
    out->labels = labels;
    out->ordinals = ordinals;
    return AK_OK;
}

enum ak_status ak_filter_bind(const struct ak_filter_text *text,
                              const struct ak_filter_names *names,
                              struct ak_arena *arena,
                              const struct ak_filter **out, struct ak_err *err)
{
    struct ak_condition *bound[3];
    struct ak_filter *filter;

    *out = NULL;
    if (text == NULL)
        return AK_OK;
    filter = ak_arena_array(arena, 1, sizeof(*filter));
    if (filter == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for a filter");
    for (size_t k = 0; k < 3; k++) {
        bound[k] = ak_arena_array(arena, text->n[k], sizeof(**bound));
        if (bound[k] == NULL)
            return ak_fail(err, AK_ENOMEM, "no memory for a filter");
        for (size_t i = 0; i < text->n[k]; i++) {
            enum ak_status status = bind_condition(&text->clause[k][i], names,
                                                   arena, &bound[k][i], err);

            if (status != AK_OK)
                return status;
        }
    }
    filter->must = bound[0];
    filter->n_must = text->n[0];
    filter->should = bound[1];
    filter->n_should = text->n[1];
    filter->must_not = bound[2];
    filter->n_must_not = text->n[2];
    *out = filter;
    return AK_OK;
}
