/* events.c -- the event stream format of the HTML standard, section 9.2.6: only
   lines that end with \n, which is what akind sends. */
#include "client/events.h"

#include <stdlib.h>
#include <string.h>

/* The longest that is expected is the last event of a job with much to tell. */
#define MAX_LINE ((size_t)1 << 22)

/* The value of the line when it is the field `name`; else NULL. */
static const char *field(const char *line, const char *name)
{
    size_t len = strlen(name);

    if (strncmp(line, name, len) != 0 || line[len] != ':')
        return NULL;
    line += len + 1;
    return *line == ' ' ? line + 1 : line;
}

static int end_event(struct events *e)
{
    struct event event = {e->name[0] != '\0' ? e->name : "message", e->data};
    int code = 0;

    if (e->data != NULL)
        code = e->each(e->context, &event);
    free(e->data);
    e->data = NULL;
    e->name[0] = '\0';
    return code;
}

static int end_line(struct events *e)
{
    const char *value;

    if (e->len == 0)
        return end_event(e);
    e->line[e->len] = '\0';
    e->len = 0;
    if ((value = field(e->line, "event")) != NULL) {
        strncpy(e->name, value, sizeof(e->name) - 1);
    } else if ((value = field(e->line, "id")) != NULL) {
        if (strlen(value) < sizeof(e->last_id))
            strcpy(e->last_id, value);
    } else if ((value = field(e->line, "data")) != NULL && e->data == NULL) {
        e->data = strdup(value);
        if (e->data == NULL)
            e->failed = 1;
    }
    return 0;
}

int events_read(struct events *e, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len && !e->failed; i++) {
        int code;

        if (bytes[i] == '\n') {
            code = end_line(e);
            if (code != 0)
                return code;
            continue;
        }
        if (e->len + 1 >= e->cap) {
            size_t cap = e->cap > 0 ? 2 * e->cap : 512;
            char *grown = cap <= MAX_LINE ? realloc(e->line, cap) : NULL;

            if (grown == NULL) {
                e->failed = 1;
                break;
            }
            e->line = grown;
            e->cap = cap;
        }
        e->line[e->len++] = bytes[i];
    }
    return e->failed ? -1 : 0;
}

void events_restart(struct events *e)
{
    e->len = 0;
    e->name[0] = '\0';
    free(e->data);
    e->data = NULL;
}

void events_clear(struct events *e)
{
    free(e->line);
    free(e->data);
    memset(e, 0, sizeof(*e));
}
