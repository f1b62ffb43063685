/* source_vectors.c -- rows of idx and npy files, as npy multipart bodies. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/filebytes.h"
#include "client/npy.h"
#include "client/source_ops.h"
#include "client/tool.h"
#include "core/eval/idx.h"

struct part {
    struct file_bytes bytes;
    bool is_idx;
    struct ak_idx idx;
    struct npy_view npy;
    uint64_t first; /* number of its first row */
    size_t n;
    struct column labels;
    struct column ids;
};

struct vectors {
    struct source base;
    struct part *parts;
    size_t n_parts;
    size_t dim;
    bool has_labels;
    bool codes;
    /* What a batch is gathered into, `cap` rows. */
    size_t cap;
    void *values;
    int64_t *labels;
    const char **label_texts;
    int64_t *ids;
    char *id_bytes;
    const char **id_texts;
};

/* Digits of a 64-bit number and a zero. */
#define ID_TEXT 24

static struct vectors *vectors_of(struct source *source)
{
    return (struct vectors *)source;
}

static size_t item_len(const struct vectors *v)
{
    return v->codes ? 1 : sizeof(float);
}

static void vectors_close(struct source *source)
{
    struct vectors *v = vectors_of(source);

    for (size_t i = 0; i < v->n_parts; i++) {
        file_bytes_close(&v->parts[i].bytes);
        ak_idx_clear(&v->parts[i].idx);
        column_clear(&v->parts[i].labels);
        column_clear(&v->parts[i].ids);
    }
    free(v->parts);
    free(v->values);
    free(v->labels);
    free(v->label_texts);
    free(v->ids);
    free(v->id_bytes);
    free(v->id_texts);
    free(v);
}

static size_t vectors_row_len(const struct source *source, uint32_t row)
{
    const struct vectors *v = (const struct vectors *)source;

    (void)row;
    return v->dim * item_len(v) + 64;
}

static int reserve(struct vectors *v, size_t n)
{
    if (n <= v->cap)
        return EXIT_OK;
    free(v->values);
    free(v->labels);
    free(v->label_texts);
    free(v->ids);
    free(v->id_bytes);
    free(v->id_texts);
    v->cap = n;
    v->values = calloc(n, v->dim * item_len(v));
    v->labels = calloc(n, sizeof(*v->labels));
    v->label_texts = calloc(n, sizeof(*v->label_texts));
    v->ids = calloc(n, sizeof(*v->ids));
    v->id_bytes = calloc(n, ID_TEXT);
    v->id_texts = calloc(n, sizeof(*v->id_texts));
    if (v->values == NULL || v->labels == NULL || v->label_texts == NULL ||
        v->ids == NULL || v->id_bytes == NULL || v->id_texts == NULL) {
        v->cap = 0;
        return tool_no_memory();
    }
    return EXIT_OK;
}

static const struct part *part_of(const struct vectors *v, uint32_t row)
{
    size_t i = v->n_parts - 1;

    while (v->parts[i].first > row)
        i--;
    return &v->parts[i];
}

static void gather_values(struct vectors *v, const struct part *part, size_t at,
                          size_t i)
{
    if (v->codes)
        memcpy((uint8_t *)v->values + i * v->dim, part->npy.data + at * v->dim,
               v->dim);
    else if (part->is_idx)
        ak_idx_floats(part->idx.data + at * v->dim, v->dim,
                      (float *)v->values + i * v->dim);
    else
        npy_floats(&part->npy, at, 1, (float *)v->values + i * v->dim);
}

static void gather_id(struct vectors *v, const struct part *part, size_t at,
                      size_t i, uint32_t row)
{
    char *text = v->id_bytes + i * ID_TEXT;

    v->ids[i] = part->ids.ints != NULL
                    ? part->ids.ints[at]
                    : (int64_t)(v->base.params.first_id + row);
    v->id_texts[i] = text;
    if (part->ids.texts != NULL)
        v->id_texts[i] = part->ids.texts[at];
    else
        snprintf(text, ID_TEXT, "%lld", (long long)v->ids[i]);
}

static int vectors_rows(struct source *source, const uint32_t *rows, size_t n,
                        struct akin_rows *out)
{
    struct vectors *v = vectors_of(source);
    bool texts = v->parts[0].labels.texts != NULL;
    int code = reserve(v, n);

    if (code != EXIT_OK)
        return code;
    for (size_t i = 0; i < n; i++) {
        const struct part *part = part_of(v, rows[i]);
        size_t at = (size_t)(rows[i] - part->first);

        gather_values(v, part, at, i);
        gather_id(v, part, at, i, rows[i]);
        if (part->labels.ints != NULL)
            v->labels[i] = part->labels.ints[at];
        if (part->labels.texts != NULL)
            v->label_texts[i] = part->labels.texts[at];
    }
    *out = (struct akin_rows){
        .n = n,
        .dim = v->dim,
        .vectors = v->codes ? NULL : v->values,
        .codes = v->codes ? v->values : NULL,
        .labels = v->has_labels && !texts ? v->labels : NULL,
        .label_texts = v->has_labels && texts ? v->label_texts : NULL,
        .ids = source->params.text_ids ? NULL : v->ids,
        .id_texts = source->params.text_ids ? v->id_texts : NULL,
    };
    return EXIT_OK;
}

static int vectors_build(struct source *source, const uint32_t *rows, size_t n,
                         struct source_batch *out)
{
    struct akin_error err = {0};
    struct akin_rows batch;
    int code = vectors_rows(source, rows, n, &batch);

    if (code == EXIT_OK && akin_body_rows(&batch, &out->body, &err) != AKIN_OK)
        code = tool_usage("%s: %s", source->params.files[0], err.text);
    return code;
}

static bool vectors_identify(const struct source *source, FILE *out)
{
    for (size_t i = 0; i < source->params.n_files; i++)
        if (!identify_file(source->params.files[i], out))
            return false;
    return true;
}

static const struct source_ops vectors_ops = {
    .name = "vectors",
    .row_len = vectors_row_len,
    .build = vectors_build,
    .vectors = vectors_rows,
    .identify = vectors_identify,
    .close = vectors_close,
};

static int load_column(const char *path, const char *what, const char *file,
                       size_t n, struct column *out)
{
    int code = column_load(path, out);

    if (code == EXIT_OK && out->n != n)
        code = tool_usage("%s: %zu %s for the %zu rows of %s", path, out->n,
                          what, n, file);
    return code;
}

/* Width of a row of the part; 0, said, when the file is none of ours. */
static int open_part(const char *path, struct part *part, size_t *dim)
{
    struct akin_error err = {0};
    unsigned n_dims = idx_dims(path);
    int code;

    if (n_dims == 1)
        return tool_usage("%s: holds labels, images are expected", path);
    if (n_dims != 0) {
        part->is_idx = true;
        code = idx_read(path, 3, &part->idx);
        part->n = part->idx.dims[0];
        *dim = part->idx.item;
        return code;
    }
    code = file_bytes_open(path, &part->bytes);
    if (code != EXIT_OK)
        return code;
    if (part->bytes.len < 6 || memcmp(part->bytes.data, "\x93NUMPY", 6) != 0)
        return tool_usage("%s: is neither idx, .npy, .ndjson nor a directory",
                          path);
    if (npy_parse(part->bytes.data, part->bytes.len, &part->npy, &err) !=
        AKIN_OK)
        return tool_usage("%s: %s", path, err.text);
    if (part->npy.n_axes < 2)
        return tool_usage("%s: has one axis, rows of vectors are expected",
                          path);
    part->n = part->npy.n;
    *dim = part->npy.width;
    return EXIT_OK;
}

static int open_columns(struct vectors *v, size_t i)
{
    const struct source_params *p = &v->base.params;
    struct part *part = &v->parts[i];
    int code = EXIT_OK;

    if (p->labels.n > 0)
        code = load_column(p->labels.items[i], "labels", p->files[i], part->n,
                           &part->labels);
    if (code == EXIT_OK && p->label_names != NULL && p->labels.n > 0)
        code = column_name(&part->labels, p->label_names);
    if (code == EXIT_OK && p->ids.n > 0)
        code = load_column(p->ids.items[i], "ids", p->files[i], part->n,
                           &part->ids);
    if (code == EXIT_OK && part->ids.texts != NULL && !p->text_ids)
        code = tool_usage("%s: holds texts, the ids of the collection are "
                          "numbers",
                          p->ids.items[i]);
    if (code == EXIT_OK && i > 0 &&
        (part->labels.texts != NULL) != (v->parts[0].labels.texts != NULL))
        code = tool_usage("%s: some labels are numbers and some are texts",
                          p->labels.items[i]);
    return code;
}

static int check_params(const struct source_params *p)
{
    if (p->labels.n != 0 && p->labels.n != p->n_files)
        return tool_usage("--labels is given %zu times for %zu files",
                          p->labels.n, p->n_files);
    if (p->ids.n != 0 && p->ids.n != p->n_files)
        return tool_usage("--ids is given %zu times for %zu files", p->ids.n,
                          p->n_files);
    return EXIT_OK;
}

int vectors_open(const struct source_params *params, struct source **out)
{
    struct vectors *v;
    int code = check_params(params);

    if (code != EXIT_OK)
        return code;
    v = calloc(1, sizeof(*v));
    if (v == NULL)
        return tool_no_memory();
    v->base.ops = &vectors_ops;
    v->base.params = *params;
    v->has_labels = params->labels.n > 0;
    v->codes = params->codes;
    v->parts = calloc(params->n_files, sizeof(*v->parts));
    if (v->parts == NULL) {
        code = tool_no_memory();
        goto failed;
    }
    for (size_t i = 0; i < params->n_files; i++) {
        struct part *part = &v->parts[v->n_parts++];
        size_t dim = 0;

        code = open_part(params->files[i], part, &dim);
        if (code == EXIT_OK && i > 0 && dim != v->dim)
            code = tool_usage("%s: rows of %zu, those of %s have %zu",
                              params->files[i], dim, params->files[0], v->dim);
        if (code == EXIT_OK && v->codes &&
            (part->is_idx || part->npy.item_len != 1))
            code = tool_usage("%s: codes are expected, a .npy of |u1",
                              params->files[i]);
        if (code == EXIT_OK && !v->codes && params->dim != 0 &&
            dim != params->dim)
            code = tool_usage("%s: rows of %zu, the collection takes vectors "
                              "of %llu",
                              params->files[i], dim,
                              (unsigned long long)params->dim);
        if (code == EXIT_OK)
            code = open_columns(v, i);
        if (code != EXIT_OK)
            goto failed;
        v->dim = dim;
        part->first = v->base.n_rows;
        v->base.n_rows += part->n;
    }
    *out = &v->base;
    return EXIT_OK;

failed:
    vectors_close(&v->base);
    return code;
}
