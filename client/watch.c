#include "client/watch.h"

#include <time.h>
#include <unistd.h>

struct watch watch = {.every = 2};

/* Home, and clear what is below: the picture before may have been longer. */
static void clear_screen(const struct tool *tool)
{
    if (!tool->json && isatty(STDOUT_FILENO))
        fputs("\033[H\033[J", stdout);
}

int watch_run(struct tool *tool, watch_fn *show, void *context)
{
    bool again = watch.again || watch.has_count;
    struct timespec pause = {.tv_sec = (time_t)watch.every};

    pause.tv_nsec = (long)((watch.every - (double)pause.tv_sec) * 1e9);
    for (uint64_t n = 1;; n++) {
        int code;

        if (again)
            clear_screen(tool);
        code = show(tool, context);
        fflush(stdout);
        if (code != EXIT_OK || !again || (watch.has_count && n >= watch.count))
            return code;
        nanosleep(&pause, NULL);
    }
}
