/*
 * multipart.c -- multipart/form-data, by RFC 2046 section 5.1 and RFC 7578.
 *
 * After the opening "--boundary" line the body is parts, each closed by
 * CRLF "--boundary".  What follows decides: CRLF begins the next part, "--"
 * ends the body.  RFC 2046 has a line be a delimiter when it only begins with
 * one, so anything else there is an error and not data.
 *
 * Every byte is looked at once: by memmem() for the next delimiter (linear in
 * glibc), or in the headers, which are bounded.
 */
#define _GNU_SOURCE /* memmem() */
#include "server/multipart.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/blob.h"
#include "core/base/mem.h"

enum { BOUNDARY_MAX = 70, DELIMITER_MAX = BOUNDARY_MAX + 4 };

/* A stretch of the body or of a header value that is not read yet. */
struct text {
    const char *at, *end;
};

/* A part with offsets into the buffer of names in place of pointers. */
struct found {
    size_t name, type;
    const void *data;
    size_t len;
};

struct parser {
    struct text body;
    char delimiter[DELIMITER_MAX]; /* CRLF "--" boundary */
    size_t delimiter_len;
    struct ak_writer names; /* terminated strings, one after the other */
    struct ak_writer found; /* of struct found */
    size_t n_parts;
};

static size_t left(const struct text *t)
{
    return (size_t)(t->end - t->at);
}

static int starts_with(const struct text *t, const char *prefix, size_t len)
{
    return left(t) >= len && memcmp(t->at, prefix, len) == 0;
}

static void skip_blanks(struct text *t)
{
    while (t->at < t->end && (*t->at == ' ' || *t->at == '\t'))
        t->at++;
}

static int is_alnum(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
           (c >= 'A' && c <= 'Z');
}

/* tchar of RFC 9110; `\0` is none, which strchr() would find. */
static int is_token(char c)
{
    return is_alnum(c) || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

/* bchars of RFC 2046. */
static int is_boundary(char c)
{
    return is_alnum(c) || (c != '\0' && strchr("'()+_,-./:=? ", c) != NULL);
}

/* A token, which may be empty, lent from `t`. */
static struct text take_token(struct text *t)
{
    struct text token = {t->at, t->at};

    while (t->at < t->end && is_token(*t->at))
        t->at++;
    token.end = t->at;
    return token;
}

static int is_word(const struct text *t, const char *word)
{
    return left(t) == strlen(word) && strncasecmp(t->at, word, left(t)) == 0;
}

/*
 * The next parameter of a header value, `; attribute=value`: its attribute is
 * lent, its value is copied to `value` (cap, terminated) as far as it fits and
 * its length told.  1: there was one, 0: the end, -1: malformed.
 *
 * In quotes a backslash escapes a quote or a backslash and is itself before
 * anything else, since browsers send Windows paths so.
 */
static int take_param(struct text *t, struct text *attribute, char *value,
                      size_t cap, size_t *len)
{
    int quoted;

    skip_blanks(t);
    if (t->at == t->end)
        return 0;
    if (*t->at++ != ';')
        return -1;
    skip_blanks(t);
    if (t->at == t->end)
        return 0;
    *attribute = take_token(t);
    if (left(attribute) == 0 || t->at == t->end || *t->at++ != '=')
        return -1;
    quoted = t->at < t->end && *t->at == '"';
    if (quoted)
        t->at++;
    for (*len = 0;; t->at++) {
        if (t->at == t->end) {
            if (quoted)
                return -1;
            break;
        }
        if (quoted ? *t->at == '"' : *t->at == ';' || *t->at == ' ')
            break;
        if (quoted && *t->at == '\\' && left(t) > 1 &&
            (t->at[1] == '"' || t->at[1] == '\\'))
            t->at++;
        if (*len < cap - 1)
            value[*len] = *t->at;
        ++*len;
    }
    if (quoted)
        t->at++;
    value[*len < cap ? *len : cap - 1] = '\0';
    return 1;
}

static enum ak_status read_boundary(struct parser *p, const char *content_type,
                                    struct ak_err *err)
{
    static const char type[] = "multipart/form-data";
    struct text t = {content_type, content_type + strlen(content_type)};
    char boundary[BOUNDARY_MAX + 1];
    size_t len = 0;
    struct text attribute;
    int got;

    if (strncasecmp(t.at, type, sizeof(type) - 1) != 0)
        return ak_fail(err, AK_EINVAL,
                       "multipart: the type is \"%.60s\", must be %s",
                       content_type, type);
    t.at += sizeof(type) - 1;
    while (1) {
        char value[BOUNDARY_MAX + 1];
        size_t n;

        got = take_param(&t, &attribute, value, sizeof(value), &n);
        if (got <= 0)
            break;
        if (!is_word(&attribute, "boundary"))
            continue;
        if (len > 0)
            return ak_fail(err, AK_EINVAL, "multipart: two boundaries");
        if (n < 1 || n > BOUNDARY_MAX)
            return ak_fail(err, AK_EINVAL,
                           "multipart: the boundary has %zu characters, must "
                           "have 1..%d",
                           n, BOUNDARY_MAX);
        memcpy(boundary, value, sizeof(boundary));
        len = n;
    }
    if (got < 0)
        return ak_fail(err, AK_EINVAL,
                       "multipart: the parameters of the type are malformed");
    if (len == 0)
        return ak_fail(err, AK_EINVAL, "multipart: the type has no boundary");
    for (size_t i = 0; i < len; i++)
        if (!is_boundary(boundary[i]))
            return ak_fail(err, AK_EINVAL,
                           "multipart: the boundary has the byte 0x%02x",
                           (unsigned char)boundary[i]);
    if (boundary[len - 1] == ' ')
        return ak_fail(err, AK_EINVAL,
                       "multipart: the boundary ends with a blank");
    memcpy(p->delimiter, "\r\n--", 4);
    memcpy(p->delimiter + 4, boundary, len);
    p->delimiter_len = len + 4;
    return AK_OK;
}

/* Add a terminated copy, lower case if so; where it is. */
static size_t keep(struct parser *p, const char *s, size_t len, int lower)
{
    size_t at = p->names.len;

    for (size_t i = 0; i < len; i++)
        ak_write_u8(
            &p->names,
            (uint8_t)(lower && s[i] >= 'A' && s[i] <= 'Z' ? s[i] + 32 : s[i]));
    ak_write_u8(&p->names, 0);
    return at;
}

/* Content-Disposition: form-data; name="x"; filename="ignored" */
static enum ak_status read_disposition(struct parser *p, struct text *t,
                                       struct found *part, struct ak_err *err)
{
    struct text token, attribute;
    int named = 0;

    token = take_token(t);
    if (!is_word(&token, "form-data"))
        return ak_fail(err, AK_EINVAL, "its disposition is not form-data");
    while (1) {
        char value[AK_MULTIPART_NAME_MAX + 1];
        size_t n;
        int got = take_param(t, &attribute, value, sizeof(value), &n);

        if (got < 0)
            return ak_fail(err, AK_EINVAL, "its disposition is malformed");
        if (got == 0)
            break;
        if (!is_word(&attribute, "name"))
            continue;
        if (named)
            return ak_fail(err, AK_EINVAL, "it has two names");
        if (n < 1 || n > AK_MULTIPART_NAME_MAX)
            return ak_fail(err, AK_EINVAL,
                           "its name has %zu bytes, must have 1..%d", n,
                           AK_MULTIPART_NAME_MAX);
        part->name = keep(p, value, n, 0);
        named = 1;
    }
    if (!named)
        return ak_fail(err, AK_EINVAL, "it has no name");
    return AK_OK;
}

static enum ak_status read_type(struct parser *p, struct text *t,
                                struct found *part, struct ak_err *err)
{
    const char *begin = t->at;

    take_token(t);
    if (t->at < t->end && *t->at == '/') {
        t->at++;
        take_token(t);
    }
    if ((size_t)(t->at - begin) >= 10 &&
        strncasecmp(begin, "multipart/", 10) == 0)
        return ak_fail(err, AK_EINVAL,
                       "it is a multipart itself, which is not read");
    part->type = keep(p, begin, (size_t)(t->at - begin), 1);
    return AK_OK;
}

/* One line `Name: value` of a part's headers. */
static enum ak_status read_header(struct parser *p, struct text *t,
                                  struct found *part, struct ak_err *err)
{
    struct text name = take_token(t);

    if (left(&name) == 0 || t->at == t->end || *t->at != ':')
        return ak_fail(err, AK_EINVAL,
                       "a header is not of the form \"Name: value\"");
    t->at++;
    for (const char *c = t->at; c < t->end; c++)
        if ((unsigned char)*c < 0x20 && *c != '\t')
            return ak_fail(err, AK_EINVAL, "a header has the byte 0x%02x",
                           (unsigned char)*c);
    skip_blanks(t);
    if (is_word(&name, "Content-Disposition")) {
        if (part->name != SIZE_MAX)
            return ak_fail(err, AK_EINVAL, "it has two dispositions");
        return read_disposition(p, t, part, err);
    }
    if (is_word(&name, "Content-Type")) {
        if (part->type != SIZE_MAX)
            return ak_fail(err, AK_EINVAL, "it has two types");
        return read_type(p, t, part, err);
    }
    if (is_word(&name, "Content-Transfer-Encoding")) {
        struct text how = take_token(t);

        if (!is_word(&how, "binary") && !is_word(&how, "8bit") &&
            !is_word(&how, "7bit"))
            return ak_fail(err, AK_EINVAL,
                           "its transfer encoding is \"%.*s\", must be binary",
                           left(&how) > 40 ? 40 : (int)left(&how), how.at);
    }
    return AK_OK;
}

/* The headers of a part and the blank line after them. */
static enum ak_status read_headers(struct parser *p, struct found *part,
                                   struct ak_err *err)
{
    const char *begin = p->body.at;
    enum ak_status status;

    part->name = part->type = SIZE_MAX;
    while (1) {
        size_t room = AK_MULTIPART_HEADER_MAX - (size_t)(p->body.at - begin);
        size_t span = left(&p->body) < room ? left(&p->body) : room;
        const char *end = memmem(p->body.at, span, "\r\n", 2);
        struct text line = {p->body.at, end};

        if (end == NULL && span == room)
            return ak_fail(err, AK_ELIMIT,
                           "its headers have more than %d bytes",
                           AK_MULTIPART_HEADER_MAX);
        if (end == NULL)
            return ak_fail(err, AK_EINVAL, "the body ends in its headers");
        p->body.at = end + 2;
        if (left(&line) == 0)
            break;
        if (starts_with(&line, p->delimiter + 2, p->delimiter_len - 2))
            return ak_fail(err, AK_EINVAL,
                           "there is no blank line after its headers");
        status = read_header(p, &line, part, err);
        if (status != AK_OK)
            return status;
    }
    if (part->name == SIZE_MAX)
        return ak_fail(err, AK_EINVAL, "it has no name");
    if (part->type == SIZE_MAX)
        part->type = keep(p, "", 0, 0);
    return AK_OK;
}

/*
 * What stands after a boundary: 1 if a part follows, 0 if the body has ended,
 * -1 if neither.
 */
static int after_boundary(struct parser *p)
{
    int last = starts_with(&p->body, "--", 2);

    if (last)
        p->body.at += 2;
    skip_blanks(&p->body);
    if (starts_with(&p->body, "\r\n", 2)) {
        p->body.at += 2;
        if (!last)
            return 1;
    }
    return last && left(&p->body) == 0 ? 0 : -1;
}

static enum ak_status read_part(struct parser *p, struct ak_err *err)
{
    struct found part = {0};
    const char *end;
    enum ak_status status;

    status = read_headers(p, &part, err);
    if (status != AK_OK)
        return status;
    end = memmem(p->body.at, left(&p->body), p->delimiter, p->delimiter_len);
    if (end == NULL)
        return ak_fail(err, AK_EINVAL,
                       "the body ends without a closing boundary");
    part.data = p->body.at;
    part.len = (size_t)(end - p->body.at);
    p->body.at = end + p->delimiter_len;
    ak_write_bytes(&p->found, &part, sizeof(part));
    return AK_OK;
}

static enum ak_status read_parts(struct parser *p, size_t max_parts,
                                 struct ak_err *err)
{
    int more;

    /* The CRLF before the first boundary may be there or not. */
    if (starts_with(&p->body, p->delimiter, p->delimiter_len))
        p->body.at += p->delimiter_len;
    else if (starts_with(&p->body, p->delimiter + 2, p->delimiter_len - 2))
        p->body.at += p->delimiter_len - 2;
    else
        return ak_fail(err, AK_EINVAL,
                       "multipart: the body does not begin with its boundary");
    while ((more = after_boundary(p)) > 0) {
        enum ak_status status;

        if (p->n_parts == max_parts)
            return ak_fail(err, AK_ELIMIT, "multipart: more than %zu parts",
                           max_parts);
        status = read_part(p, err);
        if (status != AK_OK) {
            ak_err_context(err, "multipart: part %zu", p->n_parts + 1);
            return status;
        }
        p->n_parts++;
    }
    if (more < 0)
        return ak_fail(err, AK_EINVAL,
                       "multipart: after %zu parts a boundary is followed by "
                       "neither a new line nor the end",
                       p->n_parts);
    return AK_OK;
}

static int by_name(const void *a, const void *b)
{
    const struct ak_part *const *x = a, *const *y = b;

    return strcmp((*x)->name, (*y)->name);
}

/* From offsets to pointers, sorted; the parser's names go over to `m`. */
static enum ak_status finish(struct parser *p, struct ak_multipart *m,
                             struct ak_err *err)
{
    if (p->names.status != AK_OK || p->found.status != AK_OK)
        goto no_memory;
    m->parts = ak_array_new(p->n_parts, sizeof(*m->parts));
    m->by_name = ak_array_new(p->n_parts, sizeof(const struct ak_part *));
    if (m->parts == NULL || m->by_name == NULL)
        goto no_memory;
    m->n_parts = p->n_parts;
    m->names = (char *)p->names.data;
    p->names = (struct ak_writer){0};
    for (size_t i = 0; i < m->n_parts; i++) {
        struct found part;

        memcpy(&part, p->found.data + i * sizeof(part), sizeof(part));
        m->parts[i] = (struct ak_part){
            m->names + part.name, m->names + part.type, part.data, part.len};
        m->by_name[i] = &m->parts[i];
    }
    qsort(m->by_name, m->n_parts, sizeof(*m->by_name), by_name);
    for (size_t i = 1; i < m->n_parts; i++)
        if (strcmp(m->by_name[i - 1]->name, m->by_name[i]->name) == 0)
            return ak_fail(err, AK_EEXISTS,
                           "multipart: two parts are named \"%s\"",
                           m->by_name[i]->name);
    return AK_OK;

no_memory:
    return ak_fail(err, AK_ENOMEM, "multipart: no memory for %zu parts",
                   p->n_parts);
}

enum ak_status ak_multipart_parse(const char *content_type, const void *body,
                                  size_t len, size_t max_parts,
                                  struct ak_multipart *out, struct ak_err *err)
{
    struct ak_multipart m = {0};
    struct parser p = {0};
    enum ak_status status;

    p.body.at = body;
    p.body.end = p.body.at + len;
    status = read_boundary(&p, content_type, err);
    if (status == AK_OK)
        status = read_parts(
            &p, max_parts == 0 ? AK_MULTIPART_PARTS_DEFAULT : max_parts, err);
    if (status == AK_OK)
        status = finish(&p, &m, err);
    ak_writer_clear(&p.names);
    ak_writer_clear(&p.found);
    if (status == AK_OK)
        *out = m;
    else
        ak_multipart_clear(&m);
    return status;
}

const struct ak_part *ak_multipart_find(const struct ak_multipart *m,
                                        const char *name)
{
    size_t lo = 0, hi = m->n_parts;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int order = strcmp(name, m->by_name[mid]->name);

        if (order == 0)
            return m->by_name[mid];
        if (order < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return NULL;
}

void ak_multipart_clear(struct ak_multipart *m)
{
    struct ak_writer names = {(uint8_t *)m->names, 0, 0, AK_OK};

    ak_writer_clear(&names);
    ak_array_free(m->parts);
    ak_array_free(m->by_name);
    *m = (struct ak_multipart){0};
}
