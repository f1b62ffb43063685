/*
 * log.h -- one event a line, to stderr, each line in one write().
 *
 *     ak_log_warn("engine", "collection not opened", AK_TEXT("name", name),
 *                 AK_TEXT("error", err.text), AK_NUMBER("rows", n));
 *
 *     ts=2026-11-22T10:00:00.123Z level=warn component=engine
 *         msg="collection not opened" name=shoes error="short read" rows=17
 *
 * info: what an operator would want tomorrow.  warn: it works, but look.
 * error: someone lost something.  No user data, no secrets.  Any thread.
 * Values are quoted where they need it and control bytes are escaped, so that
 * nothing from outside can forge a line or a field.  An event that repeats more
 * than ten times in a second is held back and counted in `suppressed`.
 */
#ifndef AK_SERVER_LOG_H
#define AK_SERVER_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum ak_log_level { AK_LOG_DEBUG, AK_LOG_INFO, AK_LOG_WARN, AK_LOG_ERROR };

struct ak_log_pair {
    const char *key;
    enum { AK_PAIR_TEXT, AK_PAIR_NUMBER, AK_PAIR_REAL } kind;
    const char *text;
    int64_t number;
    double real;
};

#define AK_TEXT(key_, value_)                                 \
    {                                                         \
        .key = (key_), .kind = AK_PAIR_TEXT, .text = (value_) \
    }
#define AK_NUMBER(key_, value_)                                            \
    {                                                                      \
        .key = (key_), .kind = AK_PAIR_NUMBER, .number = (int64_t)(value_) \
    }
#define AK_REAL(key_, value_)                                         \
    {                                                                 \
        .key = (key_), .kind = AK_PAIR_REAL, .real = (double)(value_) \
    }

/* `component` and `msg` are constants.  Text may be NULL: it is left out. */
#define ak_log_debug(component, ...) \
    AK_LOG_EVENT(AK_LOG_DEBUG, component, __VA_ARGS__, {0})
#define ak_log_info(component, ...) \
    AK_LOG_EVENT(AK_LOG_INFO, component, __VA_ARGS__, {0})
#define ak_log_warn(component, ...) \
    AK_LOG_EVENT(AK_LOG_WARN, component, __VA_ARGS__, {0})
#define ak_log_error(component, ...) \
    AK_LOG_EVENT(AK_LOG_ERROR, component, __VA_ARGS__, {0})

/* The list of pairs ends with an empty one. */
#define AK_LOG_EVENT(level, component, msg, ...) \
    ak_log_event(level, component, msg,          \
                 (const struct ak_log_pair[]){__VA_ARGS__})

void ak_log_event(enum ak_log_level level, const char *component,
                  const char *msg, const struct ak_log_pair *pairs);

/* What is below is not written.  Info at the start. */
void ak_log_set_level(enum ak_log_level level);
bool ak_log_enabled(enum ak_log_level level);
/* Where lines go; 2 at the start. */
void ak_log_set_fd(int fd);

/* "debug" "info" "warn" "error"; false for anything else. */
bool ak_log_level_parse(const char *text, enum ak_log_level *out);

#endif
