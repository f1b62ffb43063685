#include "server/job_options.h"

#include <stdio.h>
#include <string.h>

#include "server/pointer.h"

static const struct ak_job_option *find(const struct ak_job_option *options,
                                        size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(options[i].name, name) == 0)
            return &options[i];
    return NULL;
}

/* Whether `text` is one of "a|b|c". */
static bool is_choice(const char *choices, const char *text)
{
    size_t len = strlen(text);

    while (len > 0) {
        const char *end = choices + strcspn(choices, "|");

        if ((size_t)(end - choices) == len && memcmp(choices, text, len) == 0)
            return true;
        if (*end == '\0')
            break;
        choices = end + 1;
    }
    return false;
}

static enum ak_status check_value(const struct ak_job_option *o,
                                  const json_t *value, const char *pointer,
                                  struct ak_fault *fault)
{
    static const char bad[] = "validation-failed";
    const char *text = json_string_value(value);

    switch (o->type) {
    case AK_OPTION_NAME:
        if (text == NULL || !ak_settings_good_name(text))
            return ak_fault_set(fault, pointer, bad,
                                "must be a name: ^[a-z0-9][a-z0-9_-]{0,62}$");
        break;
    case AK_OPTION_TEXT:
        if (text == NULL)
            return ak_fault_set(fault, pointer, bad, "must be a text");
        break;
    case AK_OPTION_CHOICE:
        if (text == NULL || !is_choice(o->choices, text))
            return ak_fault_set(fault, pointer, bad, "must be one of %s",
                                o->choices);
        break;
    case AK_OPTION_INTEGER:
        if (!json_is_integer(value) || json_number_value(value) < o->min ||
            json_number_value(value) > o->max)
            return ak_fault_set(fault, pointer, bad,
                                "must be an integer, %.0f..%.0f", o->min,
                                o->max);
        break;
    case AK_OPTION_NUMBER:
        if (!json_is_number(value) || !(json_number_value(value) >= o->min) ||
            !(json_number_value(value) <= o->max))
            return ak_fault_set(fault, pointer, bad, "must be a number, %g..%g",
                                o->min, o->max);
        break;
    case AK_OPTION_BOOLEAN:
        if (!json_is_boolean(value))
            return ak_fault_set(fault, pointer, bad, "must be true or false");
        break;
    case AK_OPTION_OBJECT:
        if (!json_is_object(value))
            return ak_fault_set(fault, pointer, bad, "must be an object");
        break;
    }
    return AK_OK;
}

enum ak_status ak_job_options_check(json_t *object, const char *pointer,
                                    const struct ak_job_option *options,
                                    size_t n, struct ak_fault *fault)
{
    const char *key;
    json_t *value;

    json_object_foreach(object, key, value)
    {
        const struct ak_job_option *o = find(options, n, key);
        char at[AK_FAULT_POINTER];
        enum ak_status status;

        snprintf(at, sizeof(at), "%s", pointer);
        ak_pointer_add(at, sizeof(at), key);
        if (o == NULL)
            return ak_fault_set(fault, at, "unknown-field",
                                "is not known here");
        status = check_value(o, value, at, fault);
        if (status != AK_OK)
            return status;
    }
    for (size_t i = 0; i < n; i++)
        if (options[i].initial != NULL &&
            json_object_get(object, options[i].name) == NULL &&
            json_object_set_new(
                object, options[i].name,
                json_loads(options[i].initial, JSON_DECODE_ANY, NULL)) != 0)
            return AK_ENOMEM;
    return AK_OK;
}
