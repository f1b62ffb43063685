/*
 * A request that the guard lets through can be read in one way only, and its
 * target decodes to what a slow reader makes of it; what is refused has an
 * answer.  The first line is the version, the second the target, and each other
 * one a header as libmicrohttpd hands it over: a name, a colon, a value.
 */
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "server/http_internal.h"
#include "server/text.h"
#include "tests/fuzz/fuzz.h"

/* What libmicrohttpd would have parsed: the lines that are left. */
static const char *lines, *lines_end;

/* In the place of the library's. */
int MHD_get_connection_values_n(struct MHD_Connection *connection,
                                enum MHD_ValueKind kind,
                                MHD_KeyValueIteratorN iterator, void *arg)
{
    int n = 0;

    (void)connection;
    for (const char *line = lines, *end; line < lines_end; line = end + 1) {
        const char *colon;

        end = memchr(line, '\n', (size_t)(lines_end - line));
        if (end == NULL)
            end = lines_end;
        colon = memchr(line, ':', (size_t)(end - line));
        n++;
        if (iterator(arg, kind, line,
                     (size_t)((colon != NULL ? colon : end) - line),
                     colon != NULL ? colon + 1 : NULL,
                     colon != NULL ? (size_t)(end - colon) - 1 : 0) != MHD_YES)
            break;
    }
    return n;
}

static size_t count(const struct ak_request *rq, const char *name,
                    const char **value)
{
    size_t n = 0;

    for (size_t i = 0; i < rq->n_fields; i++) {
        if (strcasecmp(rq->fields[i].name, name) != 0)
            continue;
        *value = rq->fields[i].value;
        n++;
    }
    return n;
}

static void check_framing(const struct ak_request *rq, const char *version)
{
    const char *length = "0", *coding = "", *host = "", *origin = NULL;
    size_t n_lengths = count(rq, "Content-Length", &length);
    size_t n_codings = count(rq, "Transfer-Encoding", &coding);
    size_t n_hosts = count(rq, "Host", &host);

    FUZZ_CHECK(n_lengths + n_codings <= 1);
    FUZZ_CHECK(n_codings == 0 || (strcasecmp(coding, "chunked") == 0 &&
                                  strcmp(version, "HTTP/1.1") == 0));
    FUZZ_CHECK(n_hosts == 1 ||
               (n_hosts == 0 && strcmp(version, "HTTP/1.0") == 0));
    FUZZ_CHECK(length[0] != '\0' &&
               length[strspn(length, "0123456789")] == '\0');
    FUZZ_CHECK(rq->chunked == (n_codings > 0));
    FUZZ_CHECK(rq->length == strtoull(length, NULL, 10));
    if (n_hosts > 0)
        FUZZ_CHECK(strncasecmp(host, "localhost", 9) == 0 ||
                   strncasecmp(host, "shop.example", 12) == 0 ||
                   strncmp(host, "127.", 4) == 0 || host[0] == '[');
    /* An Origin is the host that was asked. */
    if (count(rq, "Origin", &origin) > 0) {
        FUZZ_CHECK(strstr(origin, "://") != NULL);
        FUZZ_CHECK(strcasecmp(strstr(origin, "://") + 3, host) == 0);
    }
    for (size_t i = 0; i < rq->n_fields; i++)
        for (const char *p = rq->fields[i].name; *p != '\0'; p++)
            FUZZ_CHECK(isalnum((unsigned char)*p) ||
                       strchr("!#$%&'*+-.^_`|~", *p) != NULL);
}

static int digit(char c)
{
    return isdigit((unsigned char)c) ? c - '0' : tolower(c) - 'a' + 10;
}

/* The decoded segments, one by one, beside the target that they came from. */
static void check_path(const struct ak_request *rq)
{
    const char *t = rq->target;

    for (size_t i = 0; i < rq->n_path; i++) {
        const struct ak_segment *s = &rq->path[i];

        FUZZ_CHECK(*t++ == '/');
        FUZZ_CHECK(strlen(s->text) == s->len);
        for (size_t k = 0; k < s->len;) {
            size_t step = ak_utf8_length(s->text + k, s->len - k);

            FUZZ_CHECK(step > 0);
            for (; step > 0; step--, k++) {
                int byte = (unsigned char)*t;

                if (*t == '%') {
                    byte = 16 * digit(t[1]) + digit(t[2]);
                    t += 2;
                }
                t++;
                FUZZ_CHECK(byte == (unsigned char)s->text[k]);
            }
        }
    }
    FUZZ_CHECK(*t == '\0' || *t == '?');
}

static void check_answer(const struct ak_request *rq)
{
    json_t *problem =
        json_loadb(rq->reply.data, rq->reply.len, JSON_REJECT_DUPLICATES, NULL);

    FUZZ_CHECK(rq->reply.status >= 400 && rq->reply.status < 500);
    FUZZ_CHECK(problem != NULL);
    FUZZ_CHECK(json_integer_value(json_object_get(problem, "status")) ==
               (int)rq->reply.status);
    json_decref(problem);
}

static struct ak_http *server(void)
{
    static struct ak_http http;
    static char program[] = "akind", hosts[] = "--allowed-hosts=shop.example";
    char *argv[] = {program, hosts, NULL};
    struct ak_config *config;

    if (http.router.entries == NULL) {
        FUZZ_CHECK(ak_config_load(2, argv, &config, NULL) == AK_OK);
        atomic_init(&http.config, config);
        FUZZ_CHECK(ak_router_init(&http.router, NULL, 0, NULL) == AK_OK);
    }
    return &http;
}

/* The line at *data as text, which is freed by the caller. */
static char *take_line(const uint8_t **data, size_t *size)
{
    const uint8_t *end = memchr(*data, '\n', *size);
    size_t len = end != NULL ? (size_t)(end - *data) : *size;
    char *line = calloc(len + 1, 1);

    FUZZ_CHECK(line != NULL);
    memcpy(line, *data, len);
    *data += len + (end != NULL);
    *size -= len + (end != NULL);
    return line;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *version = take_line(&data, &size), *target = take_line(&data, &size);
    struct ak_link link = {.fd = -1};
    struct ak_request *rq = ak_request_create(server(), target, NULL, &link);

    lines = (const char *)data;
    lines_end = lines + size;
    FUZZ_CHECK(rq != NULL);
    rq->method = "GET";
    if (ak_guard_check(rq, version)) {
        check_framing(rq, version);
        FUZZ_CHECK(target[0] == '/' && strpbrk(target, " \\#\x7f") == NULL);
        if (ak_request_parse_target(rq))
            check_path(rq);
    }
    FUZZ_CHECK(rq->id[0] != '\0');
    if (rq->answered)
        check_answer(rq);
    else
        ak_request_unref(rq);
    ak_request_unref(rq);
    free(version);
    free(target);
    return 0;
}
