/*
 * source_lines.c -- NDJSON, from files or from stdin.
 *
 * Each line is an item of the API.  A batch is {"items":[line,line,...]}, so
 * that it is atomic and its errors point at lines; the daemon checks what they
 * hold.
 */
#include <stdlib.h>
#include <string.h>

#include "client/filebytes.h"
#include "client/source_ops.h"
#include "client/tool.h"

struct line {
    const char *text;
    size_t len;
};

struct lines {
    struct source base;
    struct file_bytes *files;
    size_t n_files;
    struct line *lines;
    /* Of a stream: a line that did not fit into the last batch. */
    char *held;
    size_t held_len;
    size_t held_cap;
    bool is_held;
};

static struct lines *lines_of(struct source *source)
{
    return (struct lines *)source;
}

static void lines_close(struct source *source)
{
    struct lines *l = lines_of(source);

    for (size_t i = 0; i < l->n_files; i++)
        file_bytes_close(&l->files[i]);
    free(l->files);
    free(l->lines);
    free(l->held);
    free(l);
}

static size_t lines_row_len(const struct source *source, uint32_t row)
{
    return ((const struct lines *)source)->lines[row].len + 1;
}

static void finish_body(struct akin_body *body)
{
    memcpy((char *)body->data + body->len, "]}", 2);
    body->len += 2;
    snprintf(body->content_type, sizeof(body->content_type),
             "application/json");
}

static int lines_build(struct source *source, const uint32_t *rows, size_t n,
                       struct source_batch *out)
{
    static const char head[] = "{\"items\":[";
    struct lines *l = lines_of(source);
    size_t len = sizeof(head) + 8;
    char *data;

    for (size_t i = 0; i < n; i++)
        len += l->lines[rows[i]].len + 1;
    data = malloc(len);
    if (data == NULL)
        return tool_no_memory();
    out->body = (struct akin_body){.data = data, .len = sizeof(head) - 1};
    memcpy(data, head, sizeof(head) - 1);
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            data[out->body.len++] = ',';
        memcpy(data + out->body.len, l->lines[rows[i]].text,
               l->lines[rows[i]].len);
        out->body.len += l->lines[rows[i]].len;
    }
    finish_body(&out->body);
    return EXIT_OK;
}

static bool lines_identify(const struct source *source, FILE *out)
{
    for (size_t i = 0; i < source->params.n_files; i++)
        if (!identify_file(source->params.files[i], out))
            return false;
    return true;
}

static const struct source_ops lines_ops = {
    .name = "lines",
    .row_len = lines_row_len,
    .build = lines_build,
    .identify = lines_identify,
    .close = lines_close,
};

static size_t trim_line(const char *text, size_t len)
{
    while (len > 0 && (text[len - 1] == '\r' || text[len - 1] == ' ' ||
                       text[len - 1] == '\t' || text[len - 1] == '\n'))
        len--;
    return len;
}

/* Every line that is not blank; NULL text counts only. */
static size_t find_lines(const struct file_bytes *bytes, struct line *out)
{
    const char *at = (const char *)bytes->data;
    const char *end = at + bytes->len;
    size_t n = 0;

    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t len = (size_t)((stop != NULL ? stop : end) - at);
        size_t keep = trim_line(at, len);

        if (keep > 0) {
            if (out != NULL)
                out[n] = (struct line){at, keep};
            n++;
        }
        at += len + 1;
    }
    return n;
}

static int refuse_columns(const struct source_params *params)
{
    if (params->labels.n > 0 || params->ids.n > 0 ||
        params->label_names != NULL)
        return tool_usage("NDJSON holds its labels and ids itself: no --labels,"
                          " --ids or --label-names");
    return EXIT_OK;
}

int lines_open(const struct source_params *params, struct source **out)
{
    struct lines *l;
    int code = refuse_columns(params);
    size_t n = 0;

    if (code != EXIT_OK)
        return code;
    l = calloc(1, sizeof(*l));
    if (l == NULL)
        return tool_no_memory();
    l->base.ops = &lines_ops;
    l->base.params = *params;
    l->files = calloc(params->n_files, sizeof(*l->files));
    code = l->files == NULL ? tool_no_memory() : EXIT_OK;
    for (size_t i = 0; i < params->n_files && code == EXIT_OK; i++) {
        code = file_bytes_open(params->files[i], &l->files[i]);
        if (code == EXIT_OK) {
            l->n_files++;
            l->base.n_rows += find_lines(&l->files[i], NULL);
        }
    }
    if (code == EXIT_OK) {
        l->lines = calloc(l->base.n_rows + 1, sizeof(*l->lines));
        if (l->lines == NULL)
            code = tool_no_memory();
    }
    for (size_t i = 0; i < l->n_files && code == EXIT_OK; i++)
        n += find_lines(&l->files[i], l->lines + n);
    if (code != EXIT_OK) {
        lines_close(&l->base);
        return code;
    }
    *out = &l->base;
    return EXIT_OK;
}

/* ---- stdin -------------------------------------------------------------- */

static int stream_next(struct source *source, struct source_batch *out)
{
    struct lines *l = lines_of(source);
    struct source_batch batch = {0};
    size_t len = 0;
    FILE *body = open_memstream((char **)&batch.body.data, &batch.body.len);

    if (body == NULL)
        return tool_no_memory();
    fputs("{\"items\":[", body);
    while (batch.rows < source->params.batch) {
        if (!l->is_held) {
            ssize_t got = getline(&l->held, &l->held_cap, stdin);

            if (got < 0)
                break;
            l->held_len = trim_line(l->held, (size_t)got);
            if (l->held_len == 0)
                continue;
        }
        l->is_held =
            batch.rows > 0 && len + l->held_len + 1 > source->params.max_bytes;
        if (l->is_held)
            break;
        if (batch.rows > 0)
            fputc(',', body);
        fwrite(l->held, 1, l->held_len, body);
        len += l->held_len + 1;
        batch.rows++;
    }
    fputs("]}", body);
    if (fclose(body) != 0) {
        free(batch.body.data);
        return tool_no_memory();
    }
    if (ferror(stdin)) {
        free(batch.body.data);
        return tool_usage("stdin: cannot be read");
    }
    snprintf(batch.body.content_type, sizeof(batch.body.content_type),
             "application/json");
    if (batch.rows == 0)
        akin_body_clear(&batch.body);
    *out = batch;
    return EXIT_OK;
}

static const struct source_ops stream_ops = {
    .name = "stream",
    .next = stream_next,
    .close = lines_close,
};

int stream_open(const struct source_params *params, struct source **out)
{
    struct lines *l;
    int code = refuse_columns(params);

    if (code != EXIT_OK)
        return code;
    l = calloc(1, sizeof(*l));
    if (l == NULL)
        return tool_no_memory();
    l->base.ops = &stream_ops;
    l->base.params = *params;
    *out = &l->base;
    return EXIT_OK;
}
