/* json.c -- RFC 8259, read without a tree. */
#include "core/nn/json_internal.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

void ak_json_init(struct ak_json *j, const char *text, size_t len,
                  struct ak_err *err)
{
    *j = (struct ak_json){
        .begin = text, .at = text, .end = text + len, .err = err};
}

enum ak_status ak_json_fail(struct ak_json *j, const char *what)
{
    enum ak_status status = ak_fail(j->err, AK_ECORRUPT, "byte %zu: %s",
                                    (size_t)(j->at - j->begin), what);

    j->at = j->end;
    return status;
}

/* The next character that is no white space, -1 at the end. */
static int peek(struct ak_json *j)
{
    while (j->at < j->end && (*j->at == ' ' || *j->at == '\n' ||
                              *j->at == '\r' || *j->at == '\t'))
        j->at++;
    return j->at < j->end ? (unsigned char)*j->at : -1;
}

static bool take(struct ak_json *j, char c)
{
    if (peek(j) != c)
        return false;
    j->at++;
    return true;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Four digits behind \u, or -1. */
static int32_t read_unit(struct ak_json *j)
{
    int32_t unit = 0;

    if (j->end - j->at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(*j->at++);

        if (digit < 0)
            return -1;
        unit = unit * 16 + digit;
    }
    return unit;
}

/* A character as UTF-8 into out[4]; returns its length. */
static size_t put_utf8(uint32_t c, char *out)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xe0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3f));
        out[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3f));
    out[2] = (char)(0x80 | (c >> 6 & 0x3f));
    out[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

/* What stands behind a backslash; 0: nothing that may stand there. */
static size_t read_escape(struct ak_json *j, char *out)
{
    static const char marks[] = "\"\\/bfnrt";
    static const char bytes[] = "\"\\/\b\f\n\r\t";
    const char *mark;
    int32_t unit, low;

    if (j->at == j->end)
        return 0;
    if (*j->at != 'u') {
        mark = *j->at != '\0' ? strchr(marks, *j->at) : NULL;
        if (mark == NULL)
            return 0;
        j->at++;
        out[0] = bytes[mark - marks];
        return 1;
    }
    j->at++;
    unit = read_unit(j);
    /* A name with a zero inside would be two names. */
    if (unit <= 0 || (unit >= 0xdc00 && unit < 0xe000))
        return 0;
    if (unit < 0xd800 || unit >= 0xe000)
        return put_utf8((uint32_t)unit, out);
    if (j->end - j->at < 2 || j->at[0] != '\\' || j->at[1] != 'u')
        return 0;
    j->at += 2;
    low = read_unit(j);
    if (low < 0xdc00 || low >= 0xe000)
        return 0;
    return put_utf8(
        (uint32_t)(0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00)), out);
}

/* `out` NULL: passed over. */
static enum ak_status read_string(struct ak_json *j, char *out, size_t cap)
{
    size_t n = 0;

    if (!take(j, '"'))
        return ak_json_fail(j, "must be a string");
    while (j->at < j->end && *j->at != '"') {
        char piece[4];
        size_t len = 1;

        piece[0] = *j->at++;
        if ((unsigned char)piece[0] < 0x20)
            return ak_json_fail(j, "a control character in a string");
        if (piece[0] == '\\')
            len = read_escape(j, piece);
        if (len == 0)
            return ak_json_fail(j, "no escape of JSON");
        if (out == NULL)
            continue;
        if (n + len >= cap)
            return ak_json_fail(j, "a string that is too long");
        memcpy(out + n, piece, len);
        n += len;
    }
    if (j->at == j->end)
        return ak_json_fail(j, "ends inside a string");
    j->at++;
    if (out != NULL)
        out[n] = '\0';
    return AK_OK;
}

enum ak_status ak_json_string(struct ak_json *j, char *out, size_t cap)
{
    return read_string(j, out, cap);
}

static size_t digits(struct ak_json *j)
{
    const char *from = j->at;

    while (j->at < j->end && *j->at >= '0' && *j->at <= '9')
        j->at++;
    return (size_t)(j->at - from);
}

/* Passes over a number; false if there is none. */
static bool number(struct ak_json *j)
{
    bool zero;

    if (j->at < j->end && *j->at == '-')
        j->at++;
    zero = j->at < j->end && *j->at == '0';
    if (zero)
        j->at++;
    else if (digits(j) == 0)
        return false;
    if (j->at < j->end && *j->at == '.') {
        j->at++;
        if (digits(j) == 0)
            return false;
    }
    if (j->at < j->end && (*j->at == 'e' || *j->at == 'E')) {
        j->at++;
        if (j->at < j->end && (*j->at == '+' || *j->at == '-'))
            j->at++;
        if (digits(j) == 0)
            return false;
    }
    return true;
}

enum ak_status ak_json_number(struct ak_json *j, double *out)
{
    char text[64];
    const char *from;
    size_t len;
    double value;

    (void)peek(j);
    from = j->at;
    if (!number(j))
        return ak_json_fail(j, "must be a number");
    len = (size_t)(j->at - from);
    if (len >= sizeof(text))
        return ak_json_fail(j, "a number of more than 63 characters");
    memcpy(text, from, len);
    text[len] = '\0';
    value = strtod(text, NULL);
    if (!isfinite(value))
        return ak_json_fail(j, "a number that is too large");
    *out = value;
    return AK_OK;
}

enum ak_status ak_json_whole(struct ak_json *j, uint64_t *out)
{
    uint64_t value = 0;
    const char *from;
    size_t n;

    (void)peek(j);
    from = j->at;
    n = digits(j);
    if (n == 0 || (n > 1 && *from == '0') ||
        (j->at < j->end && strchr(".eE-+", *j->at) != NULL && *j->at != '\0'))
        return ak_json_fail(j, "must be a whole number");
    for (size_t i = 0; i < n; i++)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(from[i] - '0'), &value))
            return ak_json_fail(j, "a number that is too large");
    *out = value;
    return AK_OK;
}

static enum ak_status enter(struct ak_json *j, char mark, const char *what)
{
    if (!take(j, mark))
        return ak_json_fail(j, what);
    if (j->depth++ == AK_JSON_DEPTH)
        return ak_json_fail(j, "nested too deep");
    return AK_OK;
}

/* Behind a value: whether another follows, in *more. */
static enum ak_status next(struct ak_json *j, char close, bool *more)
{
    *more = take(j, ',');
    if (*more)
        return AK_OK;
    if (!take(j, close))
        return ak_json_fail(j, "must be a comma or the end");
    j->depth--;
    return AK_OK;
}

enum ak_status ak_json_object(struct ak_json *j, ak_json_member_fn *each,
                              void *context)
{
    enum ak_status status = enter(j, '{', "must be an object");
    bool more = true;

    if (status == AK_OK && take(j, '}')) {
        j->depth--;
        return AK_OK;
    }
    while (status == AK_OK && more) {
        char key[AK_JSON_KEY];

        status = read_string(j, key, sizeof(key));
        if (status == AK_OK && !take(j, ':'))
            status = ak_json_fail(j, "must be a colon");
        if (status == AK_OK)
            status = each(j, key, context);
        if (status == AK_OK)
            status = next(j, '}', &more);
    }
    return status;
}

enum ak_status ak_json_array(struct ak_json *j, ak_json_element_fn *each,
                             void *context)
{
    enum ak_status status = enter(j, '[', "must be an array");
    bool more = true;

    if (status == AK_OK && take(j, ']')) {
        j->depth--;
        return AK_OK;
    }
    for (size_t i = 0; status == AK_OK && more; i++) {
        status = each(j, i, context);
        if (status == AK_OK)
            status = next(j, ']', &more);
    }
    return status;
}

static enum ak_status skip_member(struct ak_json *j, const char *key,
                                  void *context)
{
    (void)key;
    (void)context;
    return ak_json_skip(j);
}

static enum ak_status skip_element(struct ak_json *j, size_t i, void *context)
{
    (void)i;
    (void)context;
    return ak_json_skip(j);
}

enum ak_status ak_json_skip(struct ak_json *j)
{
    static const char *const words[] = {"true", "false", "null"};
    int c = peek(j);

    if (c == '{')
        return ak_json_object(j, skip_member, NULL);
    if (c == '[')
        return ak_json_array(j, skip_element, NULL);
    if (c == '"')
        return read_string(j, NULL, 0);
    for (int i = 0; i < 3; i++) {
        size_t len = strlen(words[i]);

        if ((size_t)(j->end - j->at) >= len &&
            memcmp(j->at, words[i], len) == 0) {
            j->at += len;
            return AK_OK;
        }
    }
    return number(j) ? AK_OK : ak_json_fail(j, "must be a value");
}

enum ak_status ak_json_finish(struct ak_json *j)
{
    return peek(j) < 0 ? AK_OK : ak_json_fail(j, "must be the end");
}
