#include "client/query.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/filebytes.h"
#include "client/npy.h"

static int from_array(const char *name, const json_t *list, float **out,
                      size_t *n, size_t *dim)
{
    bool nested = json_is_array(json_array_get(list, 0));
    size_t rows = nested ? json_array_size(list) : 1;
    size_t width = json_array_size(nested ? json_array_get(list, 0) : list);
    float *values;

    if (!json_is_array(list) || width == 0)
        return tool_usage("%s: must be an array of numbers", name);
    values = calloc(rows * width, sizeof(*values));
    if (values == NULL)
        return tool_no_memory();
    for (size_t i = 0; i < rows; i++) {
        const json_t *row = nested ? json_array_get(list, i) : list;

        for (size_t j = 0; j < width; j++) {
            const json_t *value = json_array_get(row, j);

            if (json_array_size(row) != width || !json_is_number(value)) {
                free(values);
                return tool_usage("%s: value %zu of row %zu must be a number, "
                                  "%zu a row",
                                  name, j, i, width);
            }
            values[i * width + j] = (float)json_number_value(value);
        }
    }
    *out = values;
    *n = rows;
    *dim = width;
    return EXIT_OK;
}

static int from_npy(const char *path, const struct file_bytes *bytes,
                    float **out, size_t *n, size_t *dim)
{
    struct akin_error err = {0};
    struct npy_view view;
    float *values;

    if (npy_parse(bytes->data, bytes->len, &view, &err) != AKIN_OK)
        return tool_usage("%s: %s", path, err.text);
    if (view.n == 0 || view.width == 0)
        return tool_usage("%s: holds no number", path);
    values = calloc(view.n * view.width, sizeof(*values));
    if (values == NULL)
        return tool_no_memory();
    npy_floats(&view, 0, view.n, values);
    *out = values;
    *n = view.n_axes == 1 ? 1 : view.n;
    *dim = view.n_axes == 1 ? view.n : view.width;
    return EXIT_OK;
}

int vectors_read(const char *text, float **out, size_t *n, size_t *dim)
{
    struct file_bytes bytes = {0};
    const char *path = text + 1;
    json_error_t why;
    json_t *list;
    int code;

    if (text[0] != '@') {
        list = json_loads(text, 0, &why);
        code = list != NULL
                   ? from_array("--vector", list, out, n, dim)
                   : tool_usage("--vector must be [numbers], @file.npy or "
                                "@file.json: %s",
                                why.text);
        json_decref(list);
        return code;
    }
    code = file_bytes_open(path, &bytes);
    if (code != EXIT_OK)
        return code;
    if (bytes.len >= 6 && memcmp(bytes.data, "\x93NUMPY", 6) == 0) {
        code = from_npy(path, &bytes, out, n, dim);
    } else {
        list = json_loadb((const char *)bytes.data, bytes.len, 0, &why);
        code = list != NULL
                   ? from_array(path, list, out, n, dim)
                   : tool_usage("%s: %s, line %d", path, why.text, why.line);
        json_decref(list);
    }
    file_bytes_close(&bytes);
    return code;
}

static json_t *labels_any(const struct text_list *list)
{
    json_t *array = json_array();

    for (size_t i = 0; i < list->n; i++)
        json_array_append_new(array, json_string(list->items[i]));
    return json_pack("[{s:o}]", "labels_any", array);
}

json_t *label_filter(const struct text_list *any, const struct text_list *none)
{
    json_t *filter;

    if (any->n == 0 && none->n == 0)
        return NULL;
    filter = json_object();
    if (any->n > 0)
        json_object_set_new(filter, "must", labels_any(any));
    if (none->n > 0)
        json_object_set_new(filter, "must_not", labels_any(none));
    return filter;
}

char *base64_text(const void *data, size_t len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                 "abcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *in = data;
    char *out = malloc((len + 2) / 3 * 4 + 1);
    size_t n = 0;

    if (out == NULL)
        return NULL;
    for (size_t i = 0; i < len; i += 3) {
        uint32_t word = (uint32_t)in[i] << 16;

        word |= i + 1 < len ? (uint32_t)in[i + 1] << 8 : 0;
        word |= i + 2 < len ? in[i + 2] : 0;
        out[n++] = digits[word >> 18];
        out[n++] = digits[word >> 12 & 63];
        out[n++] = i + 1 < len ? digits[word >> 6 & 63] : '=';
        out[n++] = i + 2 < len ? digits[word & 63] : '=';
    }
    out[n] = '\0';
    return out;
}
