/* tool.c -- what the commands share: failing, asking, reading, printing. */
#include "config.h"

#include "client/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <langinfo.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/json.h"

/* What is read from a file or from stdin whole; streams have no limit. */
#define MAX_FILE ((size_t)8 << 30)

/* Of the field errors of a problem; with --json all are printed. */
#define FIELDS_SHOWN 5

int tool_usage(const char *fmt, ...)
{
    va_list ap;

    fputs("akin: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    return EXIT_USAGE;
}

int tool_no_memory(void)
{
    fputs("akin: no memory\n", stderr);
    return EXIT_NEGATIVE;
}

static int exit_code(enum akin_result result)
{
    switch (result) {
    case AKIN_OK:
        return EXIT_OK;
    case AKIN_EARGUMENT:
        return EXIT_USAGE;
    case AKIN_ECONNECT:
        return EXIT_CONNECTION;
    case AKIN_ETIMEOUT:
        return EXIT_TIMEOUT;
    case AKIN_EAUTH:
        return EXIT_AUTH;
    case AKIN_EPROBLEM:
    case AKIN_EREPLY:
        return EXIT_PROBLEM;
    case AKIN_ENOMEM:
        break;
    }
    return EXIT_NEGATIVE;
}

static void print_error_json(const struct akin_error *err)
{
    json_t *root =
        json_pack("{s:s,s:s,s:i}", "error", akin_result_name(err->result),
                  "detail", err->detail[0] != '\0' ? err->detail : err->text,
                  "status", err->status);
    json_t *fields = json_array();

    if (err->slug[0] != '\0')
        json_object_set_new(root, "slug", json_string(err->slug));
    if (err->title[0] != '\0')
        json_object_set_new(root, "title", json_string(err->title));
    if (err->request_id[0] != '\0')
        json_object_set_new(root, "request_id", json_string(err->request_id));
    for (size_t i = 0; i < err->n_fields; i++)
        json_array_append_new(fields, json_pack("{s:s,s:s,s:s}", "pointer",
                                                err->fields[i].pointer, "code",
                                                err->fields[i].code, "detail",
                                                err->fields[i].detail));
    json_object_set_new(root, "errors", fields);
    json_dumpf(root, stderr, JSON_COMPACT);
    fputc('\n', stderr);
    json_decref(root);
}

int tool_failure(const struct tool *tool, const struct akin_error *err)
{
    if (tool->json) {
        print_error_json(err);
        return exit_code(err->result);
    }
    fprintf(stderr, "akin: %s\n", err->text);
    for (size_t i = 0; i < err->n_fields && i < FIELDS_SHOWN; i++)
        fprintf(stderr, "  %s: %s [%s]\n", err->fields[i].pointer,
                err->fields[i].detail, err->fields[i].code);
    if (err->n_fields > FIELDS_SHOWN)
        fprintf(stderr, "  and %zu more\n", err->n_fields - FIELDS_SHOWN);
    if (err->result == AKIN_ECONNECT)
        fputs("  is akind running there? see --url, AKIN_URL, akin(1)\n",
              stderr);
    return exit_code(err->result);
}

void tool_note(const struct tool *tool, const char *fmt, ...)
{
    va_list ap;

    if (tool->quiet)
        return;
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

/* ---- asking the daemon -------------------------------------------------- */

int tool_connect(struct tool *tool)
{
    struct akin_error err = {0};
    struct akin_options options = {
        .url = tool->url,
        .key_file = tool->key_file,
        .agent = "akin/" PACKAGE_VERSION,
        .timeout_ms = (unsigned)tool->timeout_seconds * 1000,
        .retry = {.max_attempts = (unsigned)tool->retries + 1},
    };

    if (tool->client != NULL)
        return EXIT_OK;
    if (akin_create(&options, &tool->client, &err) != AKIN_OK)
        return tool_failure(tool, &err);
    return EXIT_OK;
}

int tool_call_bytes(struct tool *tool, const char *method, char *path,
                    const char *content_type, const void *data, size_t len,
                    enum call_mode mode, json_t **out)
{
    struct akin_error err = {0};
    struct akin_reply reply = {0};
    struct akin_piece piece = {data, len};
    struct akin_request request = {.method = method,
                                   .path = path,
                                   .content_type = content_type,
                                   .accept = "application/json",
                                   .pieces = &piece,
                                   .n_pieces = data != NULL,
                                   .repeatable = mode == CALL_AGAIN};
    char key[33];
    enum akin_result result = AKIN_OK;
    int code = path == NULL ? tool_no_memory() : tool_connect(tool);

    if (code != EXIT_OK)
        goto out;
    if (mode == CALL_KEYED) {
        result = akin_random_key(key, &err);
        request.idempotency_key = key;
    }
    if (result == AKIN_OK)
        result = akin_send(tool->client, &request, &reply, &err);
    tool->status = reply.status;
    if (result == AKIN_OK && out != NULL) {
        *out = akin_reply_json(&reply, &err);
        if (*out == NULL)
            result = AKIN_EREPLY;
    }
    if (result != AKIN_OK)
        code = tool_failure(tool, &err);

out:
    akin_reply_clear(&reply);
    free(path);
    return code;
}

int tool_call(struct tool *tool, const char *method, char *path, json_t *body,
              enum call_mode mode, json_t **out)
{
    char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
    int code;

    if (body != NULL && text == NULL) {
        json_decref(body);
        free(path);
        return tool_no_memory();
    }
    code = tool_call_bytes(tool, method, path,
                           text != NULL ? "application/json" : NULL, text,
                           text != NULL ? strlen(text) : 0, mode, out);
    free(text);
    json_decref(body);
    return code;
}

int tool_list(struct tool *tool, char *path, each_item_fn *each, void *context)
{
    char *base = path;
    char *cursor = NULL;
    int code = base == NULL ? tool_no_memory() : EXIT_OK;

    while (code == EXIT_OK) {
        json_t *root = NULL;
        json_t *items;
        char *page = NULL;
        size_t i;
        json_t *item;
        const char *next;

        if (asprintf(&page, "%s%s%s%s", base,
                     cursor == NULL              ? ""
                     : strchr(base, '?') != NULL ? "&"
                                                 : "?",
                     cursor == NULL ? "" : "cursor=",
                     cursor == NULL ? "" : cursor) < 0)
            page = NULL;
        code = tool_call(tool, "GET", page, NULL, CALL_AGAIN, &root);
        if (code != EXIT_OK)
            break;
        items = json_object_get(root, "items");
        json_array_foreach(items, i, item)
        {
            code = each(context, item);
            if (code != EXIT_OK)
                break;
        }
        free(cursor);
        next = json_string_value(json_object_get(root, "next_cursor"));
        cursor = next != NULL ? akin_path_segment(next) : NULL;
        json_decref(root);
        if (cursor == NULL)
            break;
    }
    free(cursor);
    free(base);
    return code;
}

int tool_confirm(const struct tool *tool, const char *question)
{
    char answer[16] = "";

    if (tool->yes)
        return EXIT_OK;
    if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
        return tool_usage("%s: say --yes, since there is no terminal to ask",
                          question);
    fprintf(stderr, "%s? [y/N] ", question);
    if (fgets(answer, sizeof(answer), stdin) != NULL &&
        (answer[0] == 'y' || answer[0] == 'Y'))
        return EXIT_OK;
    fputs("akin: left as it was\n", stderr);
    return EXIT_NEGATIVE;
}

/* ---- reading and printing ----------------------------------------------- */

int tool_read_file(const char *path, void **data, size_t *len)
{
    bool is_stdin = strcmp(path, "-") == 0;
    int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    size_t cap = 65536;
    size_t n = 0;
    char *bytes = NULL;
    struct stat st;
    int code = EXIT_OK;

    if (fd < 0 || fstat(fd, &st) != 0) {
        code = tool_usage("%s: %s", path, strerror(errno));
        goto out;
    }
    if (S_ISDIR(st.st_mode)) {
        code = tool_usage("%s: is a directory", path);
        goto out;
    }
    if (S_ISREG(st.st_mode) && st.st_size > 0)
        cap = (size_t)st.st_size + 2;
    bytes = malloc(cap);
    while (bytes != NULL && n < MAX_FILE) {
        ssize_t got = read(fd, bytes + n, cap - n - 1);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            code = tool_usage("%s: %s", path, strerror(errno));
            goto out;
        }
        n += (size_t)got;
        if (got == 0)
            break;
        if (cap - n < 2) {
            char *more = realloc(bytes, cap *= 2);

            if (more == NULL)
                free(bytes);
            bytes = more;
        }
    }
    if (bytes == NULL) {
        code = tool_no_memory();
        goto out;
    }
    if (n >= MAX_FILE) {
        code = tool_usage("%s: is larger than %zu bytes", path, MAX_FILE);
        goto out;
    }
    bytes[n] = '\0';
    *data = bytes;
    *len = n;
    bytes = NULL;

out:
    free(bytes);
    if (fd >= 0 && !is_stdin)
        close(fd);
    return code;
}

int tool_write_file(const char *path, const void *data, size_t len)
{
    char *temporary = NULL;
    FILE *file;
    int code = EXIT_OK;

    if (strcmp(path, "-") == 0) {
        if (fwrite(data, 1, len, stdout) != len)
            return tool_usage("stdout: %s", strerror(errno));
        return EXIT_OK;
    }
    if (asprintf(&temporary, "%s.new-%ld", path, (long)getpid()) < 0)
        return tool_no_memory();
    file = fopen(temporary, "we");
    if (file == NULL) {
        code = tool_usage("%s: %s", temporary, strerror(errno));
        free(temporary);
        return code;
    }
    if (fwrite(data, 1, len, file) != len)
        code = tool_usage("%s: %s", temporary, strerror(errno));
    if (fclose(file) != 0 && code == EXIT_OK)
        code = tool_usage("%s: %s", temporary, strerror(errno));
    if (code == EXIT_OK && rename(temporary, path) != 0)
        code = tool_usage("%s: %s", path, strerror(errno));
    if (code != EXIT_OK)
        unlink(temporary);
    free(temporary);
    return code;
}

void tool_print_json(const json_t *value)
{
    json_dumpf(value, stdout, JSON_COMPACT | JSON_ENCODE_ANY);
    fputc('\n', stdout);
}

const char *cell_text(const json_t *object, const char *name, char out[CELL])
{
    const json_t *value = json_object_get(object, name);

    if (json_is_string(value))
        snprintf(out, CELL, "%s", json_string_value(value));
    else if (json_is_integer(value))
        snprintf(out, CELL, "%lld", (long long)json_integer_value(value));
    else if (json_is_real(value))
        snprintf(out, CELL, "%.4g", json_real_value(value));
    else if (json_is_boolean(value))
        snprintf(out, CELL, "%s", json_is_true(value) ? "yes" : "no");
    else
        snprintf(out, CELL, "-");
    return out;
}

void labels_text(const json_t *labels, char *out, size_t cap)
{
    size_t n = 0;
    size_t i;
    json_t *label;

    snprintf(out, cap, "-");
    json_array_foreach(labels, i, label)
    {
        const char *text = json_string_value(label);
        int wrote = snprintf(out + n, cap - n, "%s%s", i > 0 ? ", " : "",
                             text != NULL ? text : "?");

        if (wrote < 0 || (size_t)wrote >= cap - n)
            return;
        n += (size_t)wrote;
    }
}

double quality_value(const json_t *quality, const char *series)
{
    static const char *const names[] = {"map", "map_at_r", "value"};
    const json_t *value = json_object_get(quality, series);

    if (json_is_number(value))
        return json_number_value(value);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const json_t *member = json_object_get(value, names[i]);

        if (json_is_number(member))
            return json_number_value(member);
    }
    return -1.0;
}

const char *human_count(uint64_t n, char out[CELL])
{
    char digits[24];
    int len = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)n);
    size_t at = 0;

    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            out[at++] = ',';
        out[at++] = digits[i];
    }
    out[at] = '\0';
    return out;
}

const char *human_bytes(double bytes, char out[CELL])
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    size_t i = 0;

    while (bytes >= 999.5 && i + 1 < sizeof(units) / sizeof(units[0])) {
        bytes /= 1000.0;
        i++;
    }
    snprintf(out, CELL, i == 0 || bytes >= 99.5 ? "%.0f %s" : "%.1f %s", bytes,
             units[i]);
    return out;
}

const char *human_time(double seconds, char out[CELL])
{
    long s;

    if (!(seconds >= 0.0 && seconds < 360000.0)) {
        snprintf(out, CELL, "-");
        return out;
    }
    s = lround(seconds);
    if (s >= 3600)
        snprintf(out, CELL, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(out, CELL, "%ld:%02ld", s / 60, s % 60);
    return out;
}

bool tool_utf8(void)
{
    return strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

bool tool_colour(int fd)
{
    const char *none = getenv("NO_COLOR");
    const char *term = getenv("TERM");

    return isatty(fd) && (none == NULL || none[0] == '\0') && term != NULL &&
           strcmp(term, "dumb") != 0;
}

unsigned tool_columns(int fd)
{
    struct winsize size;

    if (ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col >= 20)
        return size.ws_col;
    return 80;
}
