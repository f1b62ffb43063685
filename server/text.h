/*
 * text.h -- a text that grows: answers and metrics are written into it.
 *
 * Errors stick: when memory is short, `failed` is set and every call after is a
 * no-op, so it is looked at once, at the end.
 */
#ifndef AK_SERVER_TEXT_H
#define AK_SERVER_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/base/err.h"

struct ak_text {
    char *data; /* owned; terminated when not NULL */
    size_t len;
    size_t cap;
    bool failed;
};

/* Room for `more` bytes, so that the text need not grow for them step by step. */
void ak_text_reserve(struct ak_text *t, size_t more);
void ak_text_add(struct ak_text *t, const void *bytes, size_t len);
/* The same for a constant length, in place. */
static inline void ak_text_put(struct ak_text *t, const void *bytes, size_t len)
{
    if (t->failed || t->cap - t->len <= len) {
        ak_text_add(t, bytes, len);
        return;
    }
    memcpy(t->data + t->len, bytes, len);
    t->len += len;
    t->data[t->len] = '\0';
}
void ak_text_addf(struct ak_text *t, const char *fmt, ...) AK_PRINTF(2, 3);
/* Decimal, not terminated; returns how many digits. */
#define AK_TEXT_DIGITS 20
size_t ak_text_digits(uint64_t n, char digits[AK_TEXT_DIGITS]);
/* n / of (0 <= n <= of, 1 <= of <= 1024) as "%.9g" writes it, not terminated;
   returns how long that is. */
#define AK_TEXT_SHARE 16
size_t ak_text_share(uint32_t n, uint32_t of, char text[AK_TEXT_SHARE]);
/* Decimal; for what is written a million times. */
void ak_text_add_u64(struct ak_text *t, uint64_t n);
/* A JSON string with its quotes.  What is not UTF-8 becomes U+FFFD. */
void ak_text_add_json(struct ak_text *t, const char *s);
void ak_text_clear(struct ak_text *t);

/* Bytes of the UTF-8 character at s[0..len), 0 when there is none: overlong
   forms, surrogates and what is beyond U+10FFFF are none. */
size_t ak_utf8_length(const char *s, size_t len);

#endif
