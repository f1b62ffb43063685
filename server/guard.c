/*
 * guard.c -- what libmicrohttpd lets through and we do not.
 *
 * libmicrohttpd 0.9.75 takes the first of two Content-Length headers, prefers
 * one of Content-Length and Transfer-Encoding, ignores a header whose name ends
 * in a space, waits for ever on an unknown transfer coding, and ends a path at
 * %00.  With a proxy in front each of these lets a client hide a request in the
 * body of another (CWE-444), so such a request is answered with 400 before
 * anything else looks at it, and its connection is closed.
 *
 * What it cannot see: bare line feeds, folded lines, and what libmicrohttpd
 * answers itself: a Content-Length that is no number or beyond 64 bits (400 and
 * 413 in HTML, with the head written twice, and closed).
 *
 * Against web pages that drive a local daemon: a foreign Origin or
 * Sec-Fetch-Site, and a Host that is no loopback name (DNS rebinding), are 403.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "server/http_internal.h"

struct check {
    struct ak_request *rq;
    unsigned n_lengths, n_codings, n_hosts;
    const char *coding, *host, *length;
    enum ak_protocol_error kind;
    const char *slug, *detail; /* NULL: nothing is wrong so far */
};

static bool is_token(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];

        if (!(isalnum(c) || strchr("!#$%&'*+-.^_`|~", c) != NULL) || c == 0 ||
            c > 0x7e)
            return false;
    }
    return len > 0;
}

static enum MHD_Result complain(struct check *c, enum ak_protocol_error kind,
                                const char *slug, const char *detail)
{
    c->kind = kind;
    c->slug = slug;
    c->detail = detail;
    return MHD_NO;
}

static enum MHD_Result on_field(void *arg, enum MHD_ValueKind kind,
                                const char *name, size_t name_len,
                                const char *value, size_t value_len)
{
    struct check *c = arg;
    struct ak_request *rq = c->rq;
    struct ak_field *f;

    (void)kind;
    if (!is_token(name, name_len))
        return complain(c, AK_PROTOCOL_HEADER, "malformed-request",
                        "a header's name has a character that is not allowed");
    if (value == NULL)
        value_len = 0;
    if (value_len > 0 && memchr(value, '\0', value_len) != NULL)
        return complain(c, AK_PROTOCOL_HEADER, "malformed-request",
                        "a header's value has a zero byte");
    if (rq->n_fields == AK_MAX_HEADERS)
        return complain(c, AK_PROTOCOL_HEADER, "header-too-large",
                        "more than 100 headers");
    f = &rq->fields[rq->n_fields];
    f->name = ak_request_copy(rq, name, name_len);
    f->value = ak_request_copy(rq, value_len > 0 ? value : "", value_len);
    if (f->name == NULL || f->value == NULL)
        return complain(c, AK_PROTOCOL_HEADER, "internal", "no memory");
    rq->n_fields++;
    if (strcasecmp(f->name, "Content-Length") == 0) {
        c->n_lengths++;
        c->length = f->value;
    } else if (strcasecmp(f->name, "Transfer-Encoding") == 0) {
        c->n_codings++;
        c->coding = f->value;
    } else if (strcasecmp(f->name, "Host") == 0) {
        c->n_hosts++;
        c->host = f->value;
    }
    return MHD_YES;
}

/* How the end of the body is found, and by it alone. */
static void check_framing(struct check *c, const char *version)
{
    struct ak_request *rq = c->rq;
    const char *expect;
    char *end;

    if (c->n_lengths > 1) {
        complain(c, AK_PROTOCOL_FRAMING, "ambiguous-framing",
                 "more than one Content-Length");
        return;
    }
    if (c->n_lengths > 0 && c->n_codings > 0) {
        complain(c, AK_PROTOCOL_FRAMING, "ambiguous-framing",
                 "both Content-Length and Transfer-Encoding");
        return;
    }
    if (c->n_codings > 1 ||
        (c->n_codings == 1 && strcasecmp(c->coding, "chunked") != 0)) {
        complain(c, AK_PROTOCOL_FRAMING, "ambiguous-framing",
                 "Transfer-Encoding must be \"chunked\" and nothing else");
        return;
    }
    if (c->n_codings > 0 && strcmp(version, "HTTP/1.1") != 0) {
        complain(c, AK_PROTOCOL_FRAMING, "ambiguous-framing",
                 "Transfer-Encoding needs HTTP/1.1");
        return;
    }
    if (c->n_hosts > 1) {
        complain(c, AK_PROTOCOL_FRAMING, "ambiguous-framing",
                 "more than one Host");
        return;
    }
    if (c->n_hosts == 0 && strcmp(version, "HTTP/1.0") != 0) {
        complain(c, AK_PROTOCOL_FRAMING, "malformed-request",
                 "there is no Host");
        return;
    }
    rq->chunked = c->n_codings > 0;
    if (c->length != NULL) {
        if (!isdigit((unsigned char)c->length[0])) {
            complain(c, AK_PROTOCOL_FRAMING, "malformed-request",
                     "Content-Length is no number");
            return;
        }
        rq->length = strtoull(c->length, &end, 10);
        if (*end != '\0') {
            complain(c, AK_PROTOCOL_FRAMING, "malformed-request",
                     "Content-Length is no number");
            return;
        }
    }
    rq->has_body = rq->chunked || rq->length > 0;
    expect = ak_request_header(rq, "Expect");
    rq->expects = expect != NULL && strcasecmp(expect, "100-continue") == 0 &&
                  strcmp(version, "HTTP/1.1") == 0;
}

static void check_target(struct check *c)
{
    const char *t = c->rq->target;

    if (t[0] != '/') {
        complain(c, AK_PROTOCOL_TARGET, "malformed-request",
                 "the request target must begin with /");
        return;
    }
    for (; *t != '\0'; t++) {
        unsigned char b = (unsigned char)*t;

        if (b <= ' ' || b == 0x7f || b == '\\' || b == '#') {
            complain(c, AK_PROTOCOL_TARGET, "malformed-request",
                     "the request target has a control character, a space, a "
                     "backslash or a #");
            return;
        }
        if (t[0] == '%' && t[1] == '0' && t[2] == '0') {
            complain(c, AK_PROTOCOL_TARGET, "malformed-request",
                     "the request target has %00");
            return;
        }
    }
}

/* The host of "host:port", lower case is not made; false when too long. */
static bool host_of(const char *authority, char *host, size_t cap)
{
    const char *colon = strrchr(authority, ':');
    const char *bracket = strrchr(authority, ']');
    size_t len = strlen(authority);

    if (colon != NULL && (bracket == NULL || colon > bracket)) {
        for (const char *p = colon + 1; *p != '\0'; p++)
            if (!isdigit((unsigned char)*p))
                return false;
        len = (size_t)(colon - authority);
    }
    if (len == 0 || len >= cap)
        return false;
    memcpy(host, authority, len);
    host[len] = '\0';
    return true;
}

/* Whether `name` is in the list "a, b". */
static bool is_listed(const char *list, const char *name)
{
    size_t len = strlen(name);

    while (*list != '\0') {
        size_t n;

        list += strspn(list, " ,");
        n = strcspn(list, " ,");
        if (n == len && strncasecmp(list, name, len) == 0)
            return true;
        list += n;
    }
    return false;
}

/* Whether an Origin names the host that was asked. */
static bool is_own_origin(const char *origin, const char *host)
{
    const char *authority = strstr(origin, "://");

    if (authority == NULL || host == NULL)
        return false;
    return strcasecmp(authority + 3, host) == 0 &&
           (strncasecmp(origin, "http:", 5) == 0 ||
            strncasecmp(origin, "https:", 6) == 0);
}

static void check_origin(struct check *c)
{
    struct ak_request *rq = c->rq;
    char host[256];

    if (c->host != NULL && (!host_of(c->host, host, sizeof(host)) ||
                            (!ak_address_is_loopback_name(host) &&
                             !is_listed(rq->config->allowed_hosts, host)))) {
        complain(c, AK_PROTOCOL_FOREIGN, "forbidden",
                 "the Host is neither a loopback name nor in allowed_hosts");
        return;
    }
    for (size_t i = 0; i < rq->n_fields; i++) {
        const struct ak_field *f = &rq->fields[i];

        if (strcasecmp(f->name, "Origin") == 0 &&
            !is_own_origin(f->value, c->host)) {
            complain(c, AK_PROTOCOL_FOREIGN, "forbidden",
                     "the Origin is foreign: pages of other sites may not use "
                     "this server");
            return;
        }
        if (strcasecmp(f->name, "Sec-Fetch-Site") == 0 &&
            strcasecmp(f->value, "same-origin") != 0 &&
            strcasecmp(f->value, "none") != 0) {
            complain(c, AK_PROTOCOL_FOREIGN, "forbidden",
                     "the request comes from a page of another site");
            return;
        }
    }
}

bool ak_guard_check(struct ak_request *rq, const char *version)
{
    struct check c = {.rq = rq};

    MHD_get_connection_values_n(rq->connection, MHD_HEADER_KIND, on_field, &c);
    ak_request_make_id(rq);
    if (c.slug == NULL)
        check_framing(&c, version);
    if (c.slug == NULL)
        check_target(&c);
    if (c.slug != NULL) {
        /* Where the next request would begin cannot be known. */
        rq->closes = true;
    } else {
        check_origin(&c);
        if (c.slug == NULL)
            return true;
    }
    ak_metric_add(AK_METRIC_HTTP_PROTOCOL_ERRORS, c.kind, 1);
    ak_reply_problem(rq, c.slug, "%s", c.detail);
    return false;
}
