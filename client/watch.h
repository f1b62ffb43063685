/* watch.h -- a command that shows something again and again. */
#ifndef AK_CLIENT_WATCH_H
#define AK_CLIENT_WATCH_H

#include "client/tool.h"

/* Set by the options, which are rows of the command's table. */
struct watch {
    bool again, has_count;
    double every;
    uint64_t count;
};
extern struct watch watch;

#define WATCH_OPTIONS                                                      \
    {"watch",      'w', OPTION_FLAG, NULL, "show it again and again",      \
     &watch.again, 0,   0,           NULL, NULL},                          \
        {"every",      0, OPTION_REAL, "SECONDS", "between two looks (2)", \
         &watch.every, 0, 3600,        NULL,      NULL},                   \
    {                                                                      \
        "count", 0, OPTION_NUMBER, "N", "end after so many looks",         \
            &watch.count, 1, 0, NULL, &watch.has_count                     \
    }

/*
 * Call `show` once, or as often as the options say, until it returns a code
 * other than EXIT_OK.  On a terminal each picture takes the place of the one
 * before; elsewhere they follow each other.
 */
typedef int watch_fn(struct tool *tool, void *context);
int watch_run(struct tool *tool, watch_fn *show, void *context);

#endif
