/*
 * json_scan.c -- the pass over the text before jansson's.
 *
 * A stack holds the open containers, each with the set of hot paths that lead
 * through it.  Where a path ends, the value is hot, and if it is an array it is
 * read here.  Of the rest only the structure is checked: brackets, commas,
 * colons, where strings end.  Everything else about it is jansson's to find.
 *
 * The text is closed up on the way: `to` is behind what is kept.  What was cut
 * is noted in the slots, so that a position in what is left can be told as one
 * in what was sent.  (Blanks in place of the numbers would spare that, but
 * jansson takes 4 ns for each of them: more than reading the numbers.)
 */
#include "server/json_scan.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "server/json_float.h"
#include "server/pointer.h"

_Static_assert(AK_JSON_PATHS_MAX <= 8, "a set of paths is the bits of a byte");

struct level {
    uint8_t is_array;
    uint8_t set;  /* of hot paths that lead here */
    size_t index; /* of the element, in an array */
};

struct scan {
    struct ak_json *json;
    const struct ak_json_paths *paths;
    const struct ak_json_rules *rules;
    struct ak_fault *fault;
    char *text, *end;
    char *at;   /* to be read next */
    char *keep; /* from here to `at` all is kept, but not moved yet */
    char *to;   /* where it goes */
    size_t n_values;
    struct level levels[AK_JSON_DEPTH_MAX];
    size_t depth;
};

/* ------------------------------------------------------------------- paths */

void ak_json_paths_init(struct ak_json_paths *paths,
                        const struct ak_json_rules *rules)
{
    assert(rules->n_paths <= AK_JSON_PATHS_MAX);
    paths->n = rules->n_paths;
    paths->all = (uint8_t)((1u << rules->n_paths) - 1);
    for (size_t i = 0; i < rules->n_paths; i++) {
        struct ak_json_path *path = &paths->list[i];
        const char *p = rules->paths[i];

        path->n = 0;
        while (*p != '\0') {
            struct ak_json_step *step = &path->steps[path->n++];

            assert(path->n <= AK_JSON_STEPS_MAX);
            if (*p == '[') {
                assert(p[1] == ']');
                *step = (struct ak_json_step){NULL, 0};
                p += 2;
            } else {
                step->key = p;
                step->len = strcspn(p, ".[");
                p += step->len;
            }
            p += *p == '.';
        }
    }
}

uint8_t ak_json_paths_each(const struct ak_json_paths *paths, uint8_t set,
                           size_t depth)
{
    uint8_t next = 0;

    for (size_t i = 0; i < paths->n; i++) {
        const struct ak_json_path *path = &paths->list[i];

        if ((set >> i & 1) && depth < path->n && path->steps[depth].key == NULL)
            next |= (uint8_t)(1 << i);
    }
    return next;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/*
 * The next character of a key in the text, -1 for what is not ASCII or not
 * rightly escaped: then the key is none of ours.
 */
static int key_char(const char **at, const char *end)
{
    static const char escapes[] = "\"\\/bfnrt", meaning[] = "\"\\/\b\f\n\r\t";
    const char *p = *at;
    const char *found;
    int c = 0;

    if (*p != '\\') {
        ++*at;
        return (unsigned char)*p < 0x80 ? *p : -1;
    }
    if (end - p < 2)
        return -1;
    found = memchr(escapes, p[1], sizeof(escapes) - 1);
    if (found != NULL) {
        *at += 2;
        return meaning[found - escapes];
    }
    if (p[1] != 'u' || end - p < 6)
        return -1;
    for (int i = 2; i < 6; i++) {
        int digit = hex_digit(p[i]);

        if (digit < 0)
            return -1;
        c = c * 16 + digit;
    }
    *at += 6;
    return c < 0x80 ? c : -1;
}

static int is_key(const struct ak_json_step *step, const char *key, size_t len,
                  int raw)
{
    const char *end = key + len;

    if (!raw || memchr(key, '\\', len) == NULL)
        return step->len == len && memcmp(step->key, key, len) == 0;
    for (size_t i = 0; i < step->len; i++)
        if (key == end || key_char(&key, end) != step->key[i])
            return 0;
    return key == end;
}

uint8_t ak_json_paths_key(const struct ak_json_paths *paths, uint8_t set,
                          size_t depth, const char *key, size_t len, int raw)
{
    uint8_t next = 0;

    for (size_t i = 0; i < paths->n; i++) {
        const struct ak_json_path *path = &paths->list[i];

        if ((set >> i & 1) && depth < path->n &&
            path->steps[depth].key != NULL &&
            is_key(&path->steps[depth], key, len, raw))
            next |= (uint8_t)(1 << i);
    }
    return next;
}

const struct ak_json_path *ak_json_paths_end(const struct ak_json_paths *paths,
                                             uint8_t set, size_t depth)
{
    for (size_t i = 0; i < paths->n; i++)
        if ((set >> i & 1) && paths->list[i].n == depth)
            return &paths->list[i];
    return NULL;
}

/* ------------------------------------------------------------------ faults */

/* At the byte `at` of what was sent; the pointer is left empty. */
static enum ak_status fail_at(struct scan *s, const char *at, const char *code,
                              const char *what)
{
    if (s->fault != NULL) {
        s->fault->code = code;
        s->fault->pointer[0] = '\0';
        snprintf(s->fault->detail, sizeof(s->fault->detail), "byte %td: %s",
                 at - s->text, what);
    }
    return AK_EINVAL;
}

static enum ak_status malformed(struct scan *s, const char *what)
{
    return fail_at(s, s->at, "malformed-json",
                   s->at == s->end ? "the text ends early" : what);
}

static enum ak_status too_much(struct scan *s, const char *what, size_t max)
{
    char text[96];

    snprintf(text, sizeof(text), "more than %zu %s", max, what);
    return fail_at(s, s->at, "body-too-large", text);
}

/* In an element of the hot array at the end of `path`. */
static enum ak_status fail_in(struct scan *s, const struct ak_json_path *path,
                              size_t element, const char *code,
                              const char *what)
{
    struct ak_fault *f = s->fault;

    fail_at(s, s->at, code, what);
    if (f == NULL)
        return AK_EINVAL;
    for (size_t i = 0; i < path->n; i++) {
        char key[64];

        if (s->levels[i].is_array) {
            ak_pointer_add_index(f->pointer, sizeof(f->pointer),
                                 s->levels[i].index);
            continue;
        }
        snprintf(key, sizeof(key), "%.*s", (int)path->steps[i].len,
                 path->steps[i].key);
        ak_pointer_add(f->pointer, sizeof(f->pointer), key);
    }
    ak_pointer_add_index(f->pointer, sizeof(f->pointer), element);
    return AK_EINVAL;
}

/* ------------------------------------------------------------- hot arrays */

/* Room for one more of `size` bytes in `*array`, at most `max` of them. */
static int grow(void **array, size_t n, size_t *cap, size_t size, size_t max)
{
    size_t more = *cap < 512 ? 1024 : 2 * *cap;
    void *bigger;

    if (more > max)
        more = max;
    bigger = ak_array_new(more, size);
    if (bigger == NULL)
        return 0;
    if (n > 0)
        memcpy(bigger, *array, n * size);
    ak_array_free(*array);
    *array = bigger;
    *cap = more;
    return 1;
}

static enum ak_status grow_floats(struct scan *s)
{
    struct ak_json *json = s->json;
    void *floats = json->floats;

    if (json->n_floats >= s->rules->max_floats)
        return too_much(s, "numbers in vectors", s->rules->max_floats);
    if (json->n_floats < json->cap_floats)
        return AK_OK;
    if (!grow(&floats, json->n_floats, &json->cap_floats, sizeof(float),
              s->rules->max_floats))
        return AK_ENOMEM;
    json->floats = floats;
    return AK_OK;
}

static struct ak_json_slot *add_slot(struct ak_json *json)
{
    void *slots = json->slots;

    if (json->n_slots == json->cap_slots) {
        if (!grow(&slots, json->n_slots, &json->cap_slots, sizeof(*json->slots),
                  SIZE_MAX))
            return NULL;
        json->slots = slots;
    }
    return &json->slots[json->n_slots++];
}

static void skip_space(struct scan *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\n' ||
                              *s->at == '\r' || *s->at == '\t'))
        s->at++;
}

/* Move what is kept up to `at` behind what was kept before. */
static void close_up(struct scan *s)
{
    size_t n = (size_t)(s->at - s->keep);

    if (s->to != s->keep)
        memmove(s->to, s->keep, n);
    s->to += n;
    s->keep = s->at;
}

/* What is wrong with the element at `at`, where no number is. */
static enum ak_status not_a_number(struct scan *s,
                                   const struct ak_json_path *path,
                                   size_t element, const char *begin)
{
    static const struct {
        char first;
        const char *what;
    } others[] = {
        {'"', "a string, must be a number"},
        {'[', "an array, must be a number"},
        {'{', "an object, must be a number"},
        {'n', "null, must be a number"},
        {'t', "true, must be a number"},
        {'f', "false, must be a number"},
    };

    if (s->at == s->end)
        return malformed(s, "");
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        if (*begin == others[i].first)
            return fail_in(s, path, element, "validation-failed",
                           others[i].what);
    return fail_in(s, path, element, "malformed-json",
                   *s->at == 'N' || *s->at == 'I'
                       ? "NaN and Infinity are no numbers of JSON"
                       : "no number of JSON");
}

/* The array at `at`, which is hot by `path`: its numbers go to the floats. */
static enum ak_status take_vector(struct scan *s,
                                  const struct ak_json_path *path)
{
    struct ak_json *json = s->json;
    struct ak_json_slot *slot = add_slot(json);
    size_t first = json->n_floats, room = 0;
    const char *begin;

    if (slot == NULL)
        return AK_ENOMEM;
    s->at++;
    close_up(s);
    begin = s->at;
    skip_space(s);
    if (s->at < s->end && *s->at == ']')
        goto out;
    while (1) {
        size_t element = json->n_floats - first;
        const char *number = s->at, *p = s->at;
        enum ak_json_number kind;

        if (json->n_floats >= room) {
            enum ak_status status = grow_floats(s);

            if (status != AK_OK)
                return status;
            room = json->cap_floats < s->rules->max_floats
                       ? json->cap_floats
                       : s->rules->max_floats;
        }
        if (p == s->end)
            return malformed(s, "");
        kind = ak_json_float(&p, s->end, &json->floats[json->n_floats]);
        if (kind == AK_JSON_NUMBER_HUGE)
            return fail_in(s, path, element, "non-finite-value",
                           "the number is beyond the range of float");
        s->at += p - number;
        if (kind == AK_JSON_NUMBER_MALFORMED)
            return not_a_number(s, path, element, number);
        json->n_floats++;
        /* Here is something: a number is followed by what may follow it. */
        if (*s->at != ',')
            skip_space(s);
        if (s->at == s->end || (*s->at != ',' && *s->at != ']'))
            return malformed(s, "\",\" or \"]\" expected");
        if (*s->at == ']')
            break;
        s->at++;
        skip_space(s);
    }

out:
    *slot = (struct ak_json_slot){NULL, first, json->n_floats - first,
                                  (size_t)(s->to - s->text),
                                  (size_t)(s->at - begin)};
    s->keep = s->at;
    s->at++;
    return AK_OK;
}

/* --------------------------------------------------------------- structure */

static enum ak_status count_value(struct scan *s)
{
    if (s->n_values++ == s->rules->max_values)
        return too_much(s, "values", s->rules->max_values);
    return AK_OK;
}

/* From a quote to behind the one that closes it. */
static enum ak_status skip_string(struct scan *s)
{
    for (s->at++; s->at < s->end; s->at++) {
        if (*s->at == '"') {
            s->at++;
            return AK_OK;
        }
        if (*s->at == '\\' && s->at + 1 < s->end)
            s->at++;
    }
    return malformed(s, "");
}

/* A number or a literal, or what jansson will say is none. */
static enum ak_status skip_scalar(struct scan *s)
{
    const char *begin = s->at;

    while (s->at < s->end && memchr(",]}[{:\" \t\r\n", *s->at, 11) == NULL)
        s->at++;
    return s->at == begin ? malformed(s, "a value expected") : AK_OK;
}

/* Go to the next element or key; `set` becomes that of its value. */
static enum ak_status enter(struct scan *s, uint8_t *set)
{
    struct level *level = &s->levels[s->depth - 1];
    const char *key;
    enum ak_status status;

    if (level->is_array) {
        *set = ak_json_paths_each(s->paths, level->set, s->depth - 1);
        return AK_OK;
    }
    skip_space(s);
    if (s->at == s->end || *s->at != '"')
        return malformed(s, "a key in quotes expected");
    status = count_value(s);
    if (status != AK_OK)
        return status;
    key = s->at + 1;
    status = skip_string(s);
    if (status != AK_OK)
        return status;
    *set = 0;
    if (level->set != 0)
        *set = ak_json_paths_key(s->paths, level->set, s->depth - 1, key,
                                 (size_t)(s->at - 1 - key), 1);
    skip_space(s);
    if (s->at == s->end || *s->at != ':')
        return malformed(s, "\":\" expected");
    s->at++;
    return AK_OK;
}

/*
 * The value at `at`.  If it is a container that is not empty, it is open
 * afterwards, and `*opened` is 1.
 */
static enum ak_status read_value(struct scan *s, uint8_t set, int *opened)
{
    const struct ak_json_path *path;
    enum ak_status status;
    int is_array;

    *opened = 0;
    skip_space(s);
    if (s->at == s->end)
        return malformed(s, "");
    status = count_value(s);
    if (status != AK_OK)
        return status;
    if (*s->at == '"')
        return skip_string(s);
    if (*s->at != '[' && *s->at != '{')
        return skip_scalar(s);
    is_array = *s->at == '[';
    path = is_array ? ak_json_paths_end(s->paths, set, s->depth) : NULL;
    if (path != NULL)
        return take_vector(s, path);
    if (s->depth == AK_JSON_DEPTH_MAX)
        return fail_at(s, s->at, "json-too-deep",
                       "more than 64 levels of arrays and objects");
    s->levels[s->depth++] = (struct level){(uint8_t)is_array, set, 0};
    s->at++;
    skip_space(s);
    if (s->at < s->end && *s->at == (is_array ? ']' : '}')) {
        s->at++;
        s->depth--;
        return AK_OK;
    }
    *opened = 1;
    return AK_OK;
}

_Static_assert(AK_JSON_DEPTH_MAX == 64, "the text above says so");

/* Close what ends at `at`; stop behind a comma, or behind the whole. */
static enum ak_status leave(struct scan *s)
{
    while (s->depth > 0) {
        struct level *level = &s->levels[s->depth - 1];

        skip_space(s);
        if (s->at == s->end)
            return malformed(s, "");
        if (*s->at == ',') {
            s->at++;
            level->index++;
            return AK_OK;
        }
        if (*s->at != (level->is_array ? ']' : '}'))
            return malformed(s, level->is_array ? "\",\" or \"]\" expected"
                                                : "\",\" or \"}\" expected");
        s->at++;
        s->depth--;
    }
    skip_space(s);
    return s->at == s->end ? AK_OK
                           : malformed(s, "something follows the value");
}

enum ak_status ak_json_scan(struct ak_json *json, char *text, size_t *len,
                            const struct ak_json_paths *paths,
                            const struct ak_json_rules *rules,
                            struct ak_fault *fault)
{
    struct scan s;
    uint8_t set = paths->all;
    const char *zero;
    enum ak_status status;
    int opened;

    s.json = json;
    s.paths = paths;
    s.rules = rules;
    s.fault = fault;
    s.text = s.at = s.keep = s.to = text;
    s.end = text + *len;
    s.n_values = 0;
    s.depth = 0;
    json->n_floats = json->n_slots = json->next_slot = 0;
    if (*len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        return malformed(&s, "a byte order mark, must begin with the value");
    /* jansson 2.14 swallows one behind a number. */
    zero = memchr(text, '\0', *len);
    if (zero != NULL)
        return fail_at(&s, zero, "malformed-json", "a zero byte");
    do {
        status = read_value(&s, set, &opened);
        if (status == AK_OK && !opened)
            status = leave(&s);
        if (status == AK_OK && s.depth > 0)
            status = enter(&s, &set);
    } while (status == AK_OK && s.depth > 0);
    if (status != AK_OK)
        return status;
    close_up(&s);
    *len = (size_t)(s.to - text);
    return AK_OK;
}
