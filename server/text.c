#include "server/text.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Room for `more` bytes and a terminating zero. */
static bool reserve(struct ak_text *t, size_t more)
{
    size_t cap = t->cap ? t->cap : 256;
    char *data;

    if (t->failed || more >= SIZE_MAX / 2 - t->len) {
        t->failed = true;
        return false;
    }
    if (t->len + more + 1 <= t->cap)
        return true;
    while (cap < t->len + more + 1)
        cap *= 2;
    data = realloc(t->data, cap);
    if (data == NULL) {
        t->failed = true;
        return false;
    }
    t->data = data;
    t->cap = cap;
    return true;
}

void ak_text_reserve(struct ak_text *t, size_t more)
{
    (void)reserve(t, more);
}

void ak_text_add(struct ak_text *t, const void *bytes, size_t len)
{
    if (!reserve(t, len))
        return;
    if (len > 0)
        memcpy(t->data + t->len, bytes, len);
    t->len += len;
    t->data[t->len] = '\0';
}

size_t ak_text_digits(uint64_t n, char digits[AK_TEXT_DIGITS])
{
    char from_behind[AK_TEXT_DIGITS];
    size_t at = AK_TEXT_DIGITS;

    do {
        from_behind[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    memcpy(digits, from_behind + at, AK_TEXT_DIGITS - at);
    return AK_TEXT_DIGITS - at;
}

void ak_text_add_u64(struct ak_text *t, uint64_t n)
{
    char digits[AK_TEXT_DIGITS];

    ak_text_put(t, digits, ak_text_digits(n, digits));
}

/*
 * Nine digits from the first that is not 0 on, rounded half to even, without the
 * zeros at the end.  The quotient is never so near to the middle of two numbers
 * of nine digits that the rounding of a double decides: with `of` <= 1024 it is
 * 10^-15 away, ten times that, or, where `of` is 1024, just there, which a double
 * holds.
 */
size_t ak_text_share(uint32_t n, uint32_t of, char text[AK_TEXT_SHARE])
{
    uint64_t scale = 1000000000, q, r;
    size_t places = 9;

    if (n == 0 || n == of) {
        text[0] = n == 0 ? '0' : '1';
        return 1;
    }
    for (uint64_t ten = 10; n * ten < of; ten *= 10) {
        scale *= 10;
        places++;
    }
    q = n * scale / of;
    r = n * scale % of;
    if (2 * r > of || (2 * r == of && q % 2 == 1))
        q++;
    for (; q % 10 == 0; q /= 10)
        places--;
    for (size_t i = places; i > 0; i--, q /= 10)
        text[1 + i] = (char)('0' + q % 10);
    text[0] = '0';
    text[1] = '.';
    return 2 + places;
}

void ak_text_addf(struct ak_text *t, const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0) {
        t->failed = true;
        return;
    }
    if (!reserve(t, (size_t)n))
        return;
    va_start(ap, fmt);
    vsnprintf(t->data + t->len, (size_t)n + 1, fmt, ap);
    va_end(ap);
    t->len += (size_t)n;
}

/* The table of well-formed sequences is that of the Unicode Standard, 3.9. */
size_t ak_utf8_length(const char *s, size_t len)
{
    const unsigned char *p = (const unsigned char *)s;
    unsigned char lo = 0x80, hi = 0xbf;
    size_t n;

    if (len == 0)
        return 0;
    if (p[0] < 0x80)
        return 1;
    if (p[0] < 0xc2 || p[0] > 0xf4)
        return 0;
    n = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    if (len < n)
        return 0;
    if (p[0] == 0xe0)
        lo = 0xa0;
    if (p[0] == 0xed)
        hi = 0x9f;
    if (p[0] == 0xf0)
        lo = 0x90;
    if (p[0] == 0xf4)
        hi = 0x8f;
    if (p[1] < lo || p[1] > hi)
        return 0;
    for (size_t i = 2; i < n; i++)
        if (p[i] < 0x80 || p[i] > 0xbf)
            return 0;
    return n;
}

void ak_text_add_json(struct ak_text *t, const char *s)
{
    size_t len = strlen(s);

    ak_text_add(t, "\"", 1);
    while (len > 0) {
        unsigned char c = (unsigned char)*s;
        size_t n = ak_utf8_length(s, len);

        if (n == 0) {
            ak_text_add(t, "\xef\xbf\xbd", 3);
            n = 1;
        } else if (c == '"' || c == '\\') {
            ak_text_addf(t, "\\%c", c);
        } else if (c < 0x20 || c == 0x7f) {
            ak_text_addf(t, "\\u%04x", c);
        } else {
            ak_text_add(t, s, n);
        }
        s += n;
        len -= n;
    }
    ak_text_add(t, "\"", 1);
}

void ak_text_clear(struct ak_text *t)
{
    free(t->data);
    *t = (struct ak_text){0};
}
