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

#include "core/base/err.h"

struct ak_text {
    char *data; /* owned; terminated when not NULL */
    size_t len;
    size_t cap;
    bool failed;
};

void ak_text_add(struct ak_text *t, const void *bytes, size_t len);
void ak_text_addf(struct ak_text *t, const char *fmt, ...) AK_PRINTF(2, 3);
/* Decimal; for what is written a million times. */
void ak_text_add_u64(struct ak_text *t, uint64_t n);
/* A JSON string with its quotes.  What is not UTF-8 becomes U+FFFD. */
void ak_text_add_json(struct ak_text *t, const char *s);
void ak_text_clear(struct ak_text *t);

/* Bytes of the UTF-8 character at s[0..len), 0 when there is none: overlong
   forms, surrogates and what is beyond U+10FFFF are none. */
size_t ak_utf8_length(const char *s, size_t len);

#endif
