/* events.h -- text/event-stream, as it comes in pieces. */
#ifndef AK_CLIENT_EVENTS_H
#define AK_CLIENT_EVENTS_H

#include <stddef.h>

struct event {
    const char *name; /* "message" when there was none */
    const char *data;
};

/* Called for each whole event; other than 0 ends the reading. */
typedef int each_event_fn(void *context, const struct event *event);

struct events {
    each_event_fn *each;
    void *context;
    char last_id[64]; /* of the last event that had one */
    char *line;
    size_t len, cap;
    char name[32];
    char *data; /* NULL: none yet */
    int failed; /* memory was short, or a line is too long */
};

/* Further bytes; 0, or what `each` returned, or -1 when it failed. */
int events_read(struct events *events, const char *bytes, size_t len);
/* Before a stream that goes on where another was: what was not whole is lost. */
void events_restart(struct events *events);
void events_clear(struct events *events);

#endif
