/*
 * log.c -- one event a line.
 *
 * A line is built in a buffer on the stack: the log must work when memory does
 * not.  A value beyond MAX_VALUE bytes is cut, with its full length told.
 *
 * The only lock guards the table of repeated events.  Lines need none: one
 * write() of less than PIPE_BUF bytes is not torn, and longer ones are rare.
 */
#include "server/log.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"

#define MAX_LINE    4096
#define MAX_VALUE   1024
#define REPEATS     64 /* events that are watched at a time */
#define MAX_REPEATS 10 /* of one event in a second */
#define SECOND      1000000000u

static const char *const level_names[] = {"debug", "info", "warn", "error"};

static atomic_int threshold = AK_LOG_INFO;
static atomic_int out_fd = STDERR_FILENO;

struct line {
    char text[MAX_LINE];
    size_t len;
};

struct repeat {
    const char *component, *msg;
    uint64_t since_ns;
    unsigned count;
    uint64_t held_back;
};

static pthread_mutex_t repeats_lock = PTHREAD_MUTEX_INITIALIZER;
static struct repeat repeats[REPEATS];

static void put(struct line *l, const char *bytes, size_t len)
{
    /* One byte is kept for the newline. */
    size_t room = MAX_LINE - 1 - l->len;

    if (len > room)
        len = room;
    memcpy(l->text + l->len, bytes, len);
    l->len += len;
}

static void put_text(struct line *l, const char *s)
{
    put(l, s, strlen(s));
}

/* Plain when it cannot be mistaken for something else, quoted otherwise. */
static void put_value(struct line *l, const char *s)
{
    size_t len = strlen(s), shown = len < MAX_VALUE ? len : MAX_VALUE;
    bool plain = len > 0;
    char escape[32];

    for (size_t i = 0; i < shown && plain; i++) {
        unsigned char c = (unsigned char)s[i];

        plain = c > ' ' && c < 0x7f && c != '"' && c != '=' && c != '\\';
    }
    if (plain && shown == len) {
        put(l, s, len);
        return;
    }
    put(l, "\"", 1);
    for (size_t i = 0; i < shown; i++) {
        unsigned char c = (unsigned char)s[i];

        if (c == '"' || c == '\\') {
            put(l, "\\", 1);
            put(l, s + i, 1);
        } else if (c < ' ' || c == 0x7f) {
            snprintf(escape, sizeof(escape), "\\x%02x", c);
            put_text(l, escape);
        } else {
            put(l, s + i, 1);
        }
    }
    put(l, "\"", 1);
    if (shown < len) {
        snprintf(escape, sizeof(escape), "...%zu", len);
        put_text(l, escape);
    }
}

/* False: this event came too often in this second.  `held_back` are those of
   the same kind that were not shown before it. */
static bool may_show(const char *component, const char *msg,
                     uint64_t *held_back)
{
    uintptr_t h = ((uintptr_t)msg >> 3) ^ ((uintptr_t)component >> 5);
    struct repeat *r = &repeats[h % REPEATS];
    uint64_t now = ak_clock_ns();
    bool show;

    *held_back = 0;
    pthread_mutex_lock(&repeats_lock);
    if (r->msg != msg || r->component != component) {
        *r = (struct repeat){component, msg, now, 0, 0};
    } else if (now - r->since_ns >= SECOND) {
        *held_back = r->held_back;
        *r = (struct repeat){component, msg, now, 0, 0};
    }
    show = ++r->count <= MAX_REPEATS;
    if (!show)
        r->held_back++;
    pthread_mutex_unlock(&repeats_lock);
    return show;
}

void ak_log_event(enum ak_log_level level, const char *component,
                  const char *msg, const struct ak_log_pair *pairs)
{
    struct line l;
    char time[AK_TIME_TEXT], number[64];
    uint64_t held_back = 0;

    if (!ak_log_enabled(level))
        return;
    if (level != AK_LOG_DEBUG && !may_show(component, msg, &held_back))
        return;
    l.len = 0;
    put_text(&l, "ts=");
    put_text(&l, ak_time_format(ak_time_ms(), time));
    put_text(&l, " level=");
    put_text(&l, level_names[level]);
    put_text(&l, " component=");
    put_value(&l, component);
    put_text(&l, " msg=\"");
    put_text(&l, msg);
    put_text(&l, "\"");
    for (; pairs->key != NULL; pairs++) {
        if (pairs->kind == AK_PAIR_TEXT && pairs->text == NULL)
            continue;
        put_text(&l, " ");
        put_text(&l, pairs->key);
        put_text(&l, "=");
        if (pairs->kind == AK_PAIR_TEXT) {
            put_value(&l, pairs->text);
            continue;
        }
        if (pairs->kind == AK_PAIR_NUMBER)
            snprintf(number, sizeof(number), "%lld", (long long)pairs->number);
        else
            snprintf(number, sizeof(number), "%.6g", pairs->real);
        put_text(&l, number);
    }
    if (held_back > 0) {
        snprintf(number, sizeof(number), " suppressed=%llu",
                 (unsigned long long)held_back);
        put_text(&l, number);
    }
    l.text[l.len++] = '\n';
    /* There is nowhere to say that the log cannot be written. */
    if (write(atomic_load(&out_fd), l.text, l.len) < 0)
        return;
}

void ak_log_set_level(enum ak_log_level level)
{
    atomic_store(&threshold, (int)level);
}

bool ak_log_enabled(enum ak_log_level level)
{
    return (int)level >= atomic_load_explicit(&threshold, memory_order_relaxed);
}

void ak_log_set_fd(int fd)
{
    atomic_store(&out_fd, fd);
}

bool ak_log_level_parse(const char *text, enum ak_log_level *out)
{
    for (int i = AK_LOG_DEBUG; i <= AK_LOG_ERROR; i++) {
        if (strcmp(text, level_names[i]) == 0) {
            *out = (enum ak_log_level)i;
            return true;
        }
    }
    return false;
}
