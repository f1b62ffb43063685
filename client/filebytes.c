#include "client/filebytes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "client/npy.h"
#include "client/tool.h"
#include "core/eval/idx.h"

/* An inflated file is held in memory; the largest here is CIFAR's 150 MB. */
#define MAX_INFLATED ((size_t)4 << 30)

static int inflate_file(const char *path, int fd, struct file_bytes *out)
{
    gzFile gz = gzdopen(fd, "rb");
    size_t cap = 1 << 20;
    size_t len = 0;
    uint8_t *data = malloc(cap);
    int got = 1;
    int code = EXIT_OK;

    if (gz == NULL || data == NULL) {
        code = tool_no_memory();
        if (gz == NULL)
            close(fd);
        goto out;
    }
    gzbuffer(gz, 1 << 17);
    while (got > 0) {
        if (cap - len < 65536) {
            uint8_t *more = realloc(data, cap * 2);

            if (more == NULL || cap > MAX_INFLATED) {
                free(more != NULL ? more : data);
                data = NULL;
                code = tool_usage("%s: is larger than fits in memory", path);
                goto out;
            }
            data = more;
            cap *= 2;
        }
        got = gzread(gz, data + len,
                     cap - len > 1 << 30 ? 1 << 30 : (unsigned)(cap - len));
        if (got > 0)
            len += (size_t)got;
    }
    if (got < 0 || !gzeof(gz)) {
        int number;

        code = tool_usage("%s: damaged gzip data after %zu bytes: %s", path,
                          len, gzerror(gz, &number));
        goto out;
    }
    /* A file cut short ends like a whole one, but for this. */
    if (gzclose(gz) != Z_OK) {
        gz = NULL;
        code = tool_usage("%s: gzip data ends too early", path);
        goto out;
    }
    gz = NULL;
    *out = (struct file_bytes){.data = data, .len = len};
    data = NULL;

out:
    if (gz != NULL)
        gzclose(gz);
    free(data);
    return code;
}

int file_bytes_open(const char *path, struct file_bytes *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    uint8_t magic[2] = {0};
    struct stat st;
    void *map;
    int code;

    if (fd < 0)
        return tool_usage("%s: %s", path, strerror(errno));
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return tool_usage("%s: is not a regular file", path);
    }
    if (pread(fd, magic, 2, 0) == 2 && magic[0] == 0x1f && magic[1] == 0x8b)
        return inflate_file(path, fd, out);
    if (st.st_size == 0) {
        close(fd);
        *out = (struct file_bytes){.data = calloc(1, 1)};
        return out->data != NULL ? EXIT_OK : tool_no_memory();
    }
    map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    code = map == MAP_FAILED ? tool_usage("%s: %s", path, strerror(errno))
                             : EXIT_OK;
    close(fd);
    if (code == EXIT_OK)
        *out = (struct file_bytes){
            .data = map, .len = (size_t)st.st_size, .mapped = true};
    return code;
}

void file_bytes_close(struct file_bytes *bytes)
{
    void *data = (void *)(uintptr_t)bytes->data;

    if (bytes->mapped)
        munmap(data, bytes->len);
    else
        free(data);
    *bytes = (struct file_bytes){0};
}

unsigned idx_dims(const char *path)
{
    gzFile gz = gzopen(path, "rb");
    uint8_t magic[4] = {0};
    bool ok;

    if (gz == NULL)
        return 0;
    ok = gzread(gz, magic, 4) == 4 && magic[0] == 0 && magic[1] == 0 &&
         magic[2] == 8;
    gzclose(gz);
    return ok ? magic[3] : 0;
}

int idx_read(const char *path, unsigned n_dims, struct ak_idx *out)
{
    struct ak_err err = {0};

    if (ak_idx_read(path, n_dims, out, &err) == AK_OK)
        return EXIT_OK;
    return tool_usage("%s", err.text);
}

/* ---- columns ----------------------------------------------------------- */

void column_clear(struct column *column)
{
    for (size_t i = 0; column->texts != NULL && i < column->n; i++)
        free(column->texts[i]);
    free(column->texts);
    free(column->ints);
    *column = (struct column){0};
}

static int from_idx(const char *path, struct column *out)
{
    struct ak_idx idx = {0};
    int code = idx_read(path, 1, &idx);

    if (code != EXIT_OK)
        return code;
    out->n = idx.dims[0];
    out->ints = calloc(out->n + 1, sizeof(*out->ints));
    if (out->ints == NULL)
        code = tool_no_memory();
    for (size_t i = 0; code == EXIT_OK && i < out->n; i++)
        out->ints[i] = idx.data[i];
    ak_idx_clear(&idx);
    return code;
}

static int from_npy(const char *path, const struct file_bytes *bytes,
                    struct column *out)
{
    struct akin_error err = {0};
    struct npy_view view;

    if (npy_parse(bytes->data, bytes->len, &view, &err) != AKIN_OK)
        return tool_usage("%s: %s", path, err.text);
    if (view.width != 1)
        return tool_usage("%s: is %zu wide, one value a row is expected", path,
                          view.width);
    out->ints = calloc(view.n + 1, sizeof(*out->ints));
    if (out->ints == NULL)
        return tool_no_memory();
    out->n = view.n;
    for (size_t i = 0; i < view.n; i++)
        if (!npy_integer(&view, i, &out->ints[i]))
            return tool_usage("%s: row %zu is no integer of 0 or more", path,
                              i);
    return EXIT_OK;
}

static int from_json(const char *path, const struct file_bytes *bytes,
                     struct column *out)
{
    json_error_t why;
    json_t *list = json_loadb((const char *)bytes->data, bytes->len, 0, &why);
    bool texts = json_is_string(json_array_get(list, 0));
    int code = EXIT_OK;
    size_t i;
    json_t *value;

    if (!json_is_array(list)) {
        json_decref(list);
        return tool_usage("%s: must be a JSON array: %s", path,
                          list == NULL ? why.text : "it is something else");
    }
    if (texts)
        out->texts = calloc(json_array_size(list) + 1, sizeof(*out->texts));
    else
        out->ints = calloc(json_array_size(list) + 1, sizeof(*out->ints));
    if (out->texts == NULL && out->ints == NULL)
        code = tool_no_memory();
    json_array_foreach(list, i, value)
    {
        if (code != EXIT_OK)
            break;
        if (texts ? !json_is_string(value) : !json_is_integer(value)) {
            code = tool_usage("%s: value %zu is not a %s as the first is", path,
                              i, texts ? "text" : "number");
        } else if (texts) {
            out->texts[i] = strdup(json_string_value(value));
            if (out->texts[i] == NULL)
                code = tool_no_memory();
        } else {
            out->ints[i] = json_integer_value(value);
        }
        out->n = i + 1;
    }
    json_decref(list);
    return code;
}

static int from_lines(const struct file_bytes *bytes, struct column *out)
{
    const char *at = (const char *)bytes->data;
    const char *end = at + bytes->len;
    size_t cap = 0;

    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t len = (size_t)((stop != NULL ? stop : end) - at);
        size_t keep = len > 0 && at[len - 1] == '\r' ? len - 1 : len;

        if (out->n == cap) {
            char **more =
                realloc(out->texts, (cap = 2 * cap + 64) * sizeof(*out->texts));

            if (more == NULL)
                return tool_no_memory();
            out->texts = more;
        }
        out->texts[out->n] = strndup(at, keep);
        if (out->texts[out->n] == NULL)
            return tool_no_memory();
        out->n++;
        at += len + 1;
    }
    return EXIT_OK;
}

int column_load(const char *path, struct column *out)
{
    struct file_bytes bytes = {0};
    struct column column = {0};
    bool is_idx = idx_dims(path) != 0;
    int code = is_idx ? from_idx(path, &column) : file_bytes_open(path, &bytes);

    if (code != EXIT_OK || is_idx)
        ;
    else if (bytes.len >= 6 && memcmp(bytes.data, "\x93NUMPY", 6) == 0)
        code = from_npy(path, &bytes, &column);
    else if (bytes.len > 0 && bytes.data[0] == '[')
        code = from_json(path, &bytes, &column);
    else
        code = from_lines(&bytes, &column);
    file_bytes_close(&bytes);
    if (code == EXIT_OK)
        *out = column;
    else
        column_clear(&column);
    return code;
}

int column_name(struct column *column, const char *path)
{
    struct column names = {0};
    char **texts = NULL;
    int code = column_load(path, &names);

    if (code != EXIT_OK)
        return code;
    if (names.texts == NULL || column->ints == NULL) {
        code = tool_usage("%s: names are for labels that are numbers", path);
        goto out;
    }
    texts = calloc(column->n + 1, sizeof(*texts));
    if (texts == NULL) {
        code = tool_no_memory();
        goto out;
    }
    for (size_t i = 0; i < column->n && code == EXIT_OK; i++) {
        if (column->ints[i] < 0 || (size_t)column->ints[i] >= names.n) {
            code = tool_usage("%s: has %zu names, label %lld needs one more",
                              path, names.n, (long long)column->ints[i]);
            break;
        }
        texts[i] = strdup(names.texts[column->ints[i]]);
        if (texts[i] == NULL)
            code = tool_no_memory();
    }
    if (code == EXIT_OK) {
        free(column->ints);
        column->ints = NULL;
        column->texts = texts;
        texts = NULL;
    }

out:
    for (size_t i = 0; texts != NULL && i < column->n; i++)
        free(texts[i]);
    free(texts);
    column_clear(&names);
    return code;
}
