#include "client/progress.h"

#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"

#define BAR_NS   100000000u /* between two drawings of the bar */
#define JSON_NS  1000000000u
#define LINE_NS  5000000000u
#define BAR_MIN  8 /* narrower ones are left away */
#define BAR_MOST 32

void progress_init(struct progress *progress, const struct tool *tool)
{
    bool terminal = tool_colour(STDERR_FILENO);

    *progress = (struct progress){.colour = terminal, .utf8 = tool_utf8()};
    if (tool->quiet || strcmp(tool->progress, "none") == 0)
        progress->mode = PROGRESS_NONE;
    else if (strcmp(tool->progress, "json") == 0)
        progress->mode = PROGRESS_JSON;
    else if (strcmp(tool->progress, "bar") == 0)
        progress->mode = PROGRESS_BAR;
    else if (strcmp(tool->progress, "lines") == 0)
        progress->mode = PROGRESS_LINES;
    else
        progress->mode = terminal ? PROGRESS_BAR : PROGRESS_LINES;
    progress->last_ns = progress->mode == PROGRESS_LINES ? ak_clock_ns() : 0;
}

struct line {
    char text[512];
    size_t len;
    size_t room; /* pieces that do not fit are left away */
};

static void add(struct line *line, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void add(struct line *line, const char *fmt, ...)
{
    char piece[2 * CELL + 32];
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(piece, sizeof(piece), fmt, ap);
    va_end(ap);
    if (n > 0 && line->len + (size_t)n + 2 < line->room)
        line->len += (size_t)snprintf(line->text + line->len,
                                      sizeof(line->text) - line->len, "%s%s",
                                      line->len > 0 ? "  " : "", piece);
}

/* The most wanted first: a narrow terminal shows the beginning. */
static void add_numbers(struct line *line, const struct progress_state *s)
{
    char a[CELL], b[CELL];
    double rate = s->seconds > 0 ? (double)s->rows / s->seconds : 0;

    if (s->what != NULL) {
        add(line, "%s", s->what);
        add(line, "%s", human_time(s->seconds, a));
        return;
    }
    if (s->total > 0)
        add(line, "%s/%s rows", human_count(s->rows, a),
            human_count(s->total, b));
    else
        add(line, "%s rows", human_count(s->rows, a));
    add(line, "%s rows/s", human_count((uint64_t)rate, a));
    if (s->live >= 0)
        add(line, "live mAP %.3f", s->live);
    if (s->served >= 0)
        add(line, "served %.3f", s->served);
    if (s->total > s->rows && rate > 0)
        add(line, "ETA %s", human_time((double)(s->total - s->rows) / rate, a));
    if (s->waits > 0)
        add(line, "waits %s", human_count(s->waits, a));
    add(line, "%s/s",
        human_bytes(s->seconds > 0 ? (double)s->bytes / s->seconds : 0, a));
    if (s->skipped > 0)
        add(line, "there before %s", human_count(s->skipped, a));
}

static void put_bar(const struct progress *p, double ratio, unsigned width)
{
    static const char *const eighths[] = {"",  "▏", "▎", "▍",
                                          "▌", "▋", "▊", "▉"};
    unsigned units = (unsigned)(ratio * width * 8.0);
    unsigned full = units / 8;

    if (p->colour)
        fputs("\033[36m", stderr);
    for (unsigned i = 0; i < full; i++)
        fputs(p->utf8 ? "█" : "#", stderr);
    if (full < width) {
        if (p->utf8 && units % 8 != 0)
            fputs(eighths[units % 8], stderr);
        else
            fputc(p->utf8 ? ' ' : '.', stderr);
        for (unsigned i = full + 1; i < width; i++)
            fputc(p->utf8 ? ' ' : '.', stderr);
    }
    if (p->colour)
        fputs("\033[0m", stderr);
}

static void draw(struct progress *p, const struct progress_state *s)
{
    unsigned columns = tool_columns(STDERR_FILENO);
    unsigned head = (unsigned)strlen(s->verb) + 6; /* "ingest  41% " */
    struct line line = {.room = sizeof(line.text)};
    double ratio = s->total > 0 ? (double)s->rows / (double)s->total : 0;
    unsigned room;

    /* A line that wraps could not be drawn over. */
    if (columns > head && columns - head < line.room)
        line.room = columns - head;
    add_numbers(&line, s);
    fprintf(stderr, "\r\033[K%s ", s->verb);
    room = columns > head + line.len + 4
               ? columns - head - (unsigned)line.len - 4
               : 0;
    if (room > BAR_MOST)
        room = BAR_MOST;
    if (s->total > 0 && room >= BAR_MIN) {
        fputs(p->utf8 ? "▕" : "[", stderr);
        put_bar(p, ratio < 1 ? ratio : 1, room);
        fputs(p->utf8 ? "▏" : "]", stderr);
    }
    if (s->total > 0)
        fprintf(stderr, "%3d%% ", (int)(100 * ratio));
    fputs(line.text, stderr);
    fflush(stderr);
    p->drawn = true;
}

static void put_json(const struct progress_state *s)
{
    json_t *root = json_pack(
        "{s:s,s:s*,s:I,s:o?,s:I,s:I,s:I,s:f,s:o?,s:o?}", "phase", s->verb,
        "what", s->what, "done", (json_int_t)s->rows, "total",
        s->total > 0 ? json_integer((json_int_t)s->total) : json_null(),
        "bytes", (json_int_t)s->bytes, "waits", (json_int_t)s->waits,
        "replayed", (json_int_t)s->skipped, "seconds", s->seconds, "live",
        s->live >= 0 ? json_real(s->live) : json_null(), "served",
        s->served >= 0 ? json_real(s->served) : json_null());

    json_dumpf(root, stderr, JSON_COMPACT | JSON_REAL_PRECISION(6));
    fputc('\n', stderr);
    json_decref(root);
}

void progress_show(struct progress *p, const struct progress_state *s,
                   bool last)
{
    uint64_t now = ak_clock_ns();
    uint64_t pause = p->mode == PROGRESS_BAR    ? BAR_NS
                     : p->mode == PROGRESS_JSON ? JSON_NS
                                                : LINE_NS;
    struct line line = {.room = sizeof(line.text)};

    if (p->mode == PROGRESS_NONE || (!last && now - p->last_ns < pause))
        return;
    p->last_ns = now;
    if (p->mode == PROGRESS_BAR) {
        draw(p, s);
        if (last)
            progress_pause(p);
    } else if (p->mode == PROGRESS_JSON) {
        put_json(s);
    } else {
        add_numbers(&line, s);
        fprintf(stderr, "%s: %s\n", s->verb, line.text);
    }
}

void progress_pause(struct progress *p)
{
    if (p->drawn)
        fputc('\n', stderr);
    p->drawn = false;
}
