/*
 * progress.h -- how far a long command is, on stderr.
 *
 * A bar on a terminal; a line every 5 s elsewhere; one line of JSON a second
 * for machines; nothing with --quiet.
 */
#ifndef AK_CLIENT_PROGRESS_H
#define AK_CLIENT_PROGRESS_H

#include <stdint.h>

#include "client/tool.h"

enum progress_mode {
    PROGRESS_NONE,
    PROGRESS_BAR,
    PROGRESS_LINES,
    PROGRESS_JSON
};

struct progress {
    enum progress_mode mode;
    bool colour;
    bool utf8;
    bool drawn; /* a bar stands on the last line */
    uint64_t last_ns;
};

struct progress_state {
    const char *verb; /* "ingest" */
    const char *what; /* NULL, or what is said in place of the numbers; then
                         `rows` of `total` are only how far it is */
    uint64_t rows;
    uint64_t total; /* 0: not known */
    uint64_t bytes;
    uint64_t waits;   /* how often the daemon asked to come back later */
    uint64_t skipped; /* of rows: were there before */
    double seconds;
    double live; /* quality; below 0: not known */
    double served;
};

void progress_init(struct progress *progress, const struct tool *tool);
/* Shows the state when it is time to; `last`: in any case, and for good. */
void progress_show(struct progress *progress,
                   const struct progress_state *state, bool last);
/* Makes room for a line of text. */
void progress_pause(struct progress *progress);

#endif
