#include "server/worker/job_classes.h"

#include <string.h>

#include "core/base/mem.h"

#define LINE      "class: "
#define MOST_TEXT 32768 /* bytes of names, of what notes may have */

static const json_t *names_of(const struct ak_job *job)
{
    return ak_job_get(job, "data", "classes");
}

uint32_t ak_job_classes(const struct ak_job *job)
{
    return (uint32_t)json_array_size(names_of(job));
}

/* A name, without the end of its line; NULL at the end of the notes. */
static const char *next_name(const char **notes, size_t *len)
{
    while (*notes != NULL && **notes != '\0') {
        const char *line = *notes, *end = strchr(line, '\n');

        *notes = end != NULL ? end + 1 : line + strlen(line);
        if (strncmp(line, LINE, strlen(LINE)) != 0)
            continue;
        line += strlen(LINE);
        *len = (size_t)((end != NULL ? end : *notes) - line);
        return line;
    }
    return NULL;
}

/* {name: number} of the notes' classes; NULL when memory is short. */
static json_t *read_names(const char *notes)
{
    json_t *names = json_object();
    json_int_t n = 0;
    const char *name;
    size_t len;

    while (names != NULL && (name = next_name(&notes, &len)) != NULL) {
        char *key = strndup(name, len);
        int put =
            key != NULL ? json_object_set_new(names, key, json_integer(n)) : -1;

        free(key);
        n++;
        /* A name that is no UTF-8 is none of the data's. */
        if (put != 0 && key == NULL) {
            json_decref(names);
            return NULL;
        }
    }
    return names;
}

enum ak_status ak_job_classes_map(const struct ak_job *job, const char *notes,
                                  uint32_t **map, uint32_t *known,
                                  struct ak_err *err)
{
    const json_t *wanted = names_of(job);
    size_t n = json_array_size(wanted);
    json_t *names = read_names(notes);
    uint32_t *made = ak_array_new(n + 1, sizeof(*made));

    if (names == NULL || made == NULL) {
        json_decref(names);
        ak_array_free(made);
        return ak_fail(err, AK_ENOMEM, "no memory for %zu classes", n);
    }
    *known = 0;
    for (size_t i = 0; i < n; i++) {
        const char *name = json_string_value(json_array_get(wanted, i));
        const json_t *number =
            name != NULL ? json_object_get(names, name) : NULL;

        made[i] =
            number != NULL ? (uint32_t)json_integer_value(number) : AK_HEAD_NEW;
        *known += number != NULL;
    }
    json_decref(names);
    *map = made;
    return AK_OK;
}

void ak_job_classes_write(const struct ak_job *job, struct ak_writer *notes)
{
    const json_t *names = names_of(job);
    size_t total = 0, i;
    json_t *name;

    json_array_foreach(names, i, name) total +=
        strlen(LINE) + json_string_length(name) + 1;
    if (total > MOST_TEXT)
        return;
    json_array_foreach(names, i, name)
    {
        ak_write_bytes(notes, LINE, strlen(LINE));
        ak_write_bytes(notes, json_string_value(name),
                       json_string_length(name));
        ak_write_bytes(notes, "\n", 1);
    }
}
