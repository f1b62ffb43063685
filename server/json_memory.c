#include "server/json_memory.h"

#include <stdio.h>
#include <stdlib.h>

static _Thread_local bool missing;

static void *allocate(size_t n)
{
    void *p = malloc(n);

    if (p == NULL)
        missing = true;
    return p;
}

void ak_json_memory_init(void)
{
    json_set_alloc_funcs(allocate, free);
    /* The seed of the hash of objects. */
    json_object_seed(0);
}

bool ak_json_memory_short(void)
{
    bool was = missing;

    missing = false;
    return was;
}

char *ak_json_text(const json_t *value, size_t flags)
{
    char *text = value != NULL ? json_dumps(value, flags) : NULL;

    if (ak_json_memory_short()) {
        free(text);
        text = NULL;
    }
    return text;
}

json_t *ak_json_value(const char *text, size_t len, size_t flags,
                      json_error_t *error)
{
    json_t *value;

    (void)ak_json_memory_short(); /* of something else */
    value = json_loadb(text, len, flags, error);
    if (!ak_json_memory_short())
        return value;
    json_decref(value);
    if (error != NULL) {
        snprintf(error->text, sizeof(error->text) - 1, "memory is short");
        error->text[sizeof(error->text) - 1] = json_error_out_of_memory;
    }
    return NULL;
}
