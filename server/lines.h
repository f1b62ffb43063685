/*
 * lines.h -- lines from a process that may be mad: bounded in length and number.
 *
 * A line is what ends with a line feed.  One that is longer than AK_LINES_MAX is
 * dropped whole; of more than AK_LINES_BURST at once, and AK_LINES_RATE a second
 * after that, the rest is dropped, but for the very last one before the end,
 * since it may say why.  What is dropped is counted.
 */
#ifndef AK_SERVER_LINES_H
#define AK_SERVER_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AK_LINES_MAX   4096 /* bytes, without the line feed */
#define AK_LINES_BURST 200
#define AK_LINES_RATE  50

struct ak_lines {
    char line[AK_LINES_MAX + 1];
    size_t len;
    bool too_long; /* the rest of it is passed over */
    double room;   /* lines that may come now */
    uint64_t at_ns;
    char last[AK_LINES_MAX + 1]; /* dropped, unless nothing follows */
    size_t last_len;
    uint64_t dropped;
};

/* `line` has no line feed, is terminated, and may hold zero bytes. */
typedef void ak_lines_fn(void *arg, const char *line, size_t len);

void ak_lines_init(struct ak_lines *l, uint64_t now_ns);
void ak_lines_add(struct ak_lines *l, const char *bytes, size_t len,
                  uint64_t now_ns, ak_lines_fn *each, void *arg);
/* There will be no more; a last line without its line feed counts as one. */
void ak_lines_end(struct ak_lines *l, ak_lines_fn *each, void *arg);

#endif
