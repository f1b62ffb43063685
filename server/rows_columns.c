#include "server/rows_columns.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "core/code/code.h"
#include "server/json_read.h"
#include "server/limits.h"
#include "server/npy.h"

static const char *looks_name(const struct ak_rows *rows)
{
    return rows->settings->format == AK_FORMAT_CODE ? "codes" : "vectors";
}

static void column_fault(struct ak_rows *rows, const char *name,
                         const char *code, const char *text)
{
    char pointer[64];

    snprintf(pointer, sizeof(pointer), "%s/%s", rows->prefix, name);
    ak_faults_add(&rows->faults, pointer, code, "%s", text);
}

/* The array of vectors or codes, its shape checked. */
static bool read_looks(struct ak_rows *rows, struct ak_bytes looks, size_t max,
                       bool flat, struct ak_npy *out)
{
    const struct ak_settings *s = rows->settings;
    bool codes = s->format == AK_FORMAT_CODE;
    bool taken = codes || ak_rows_take_vectors(rows, 0, "vector");
    uint64_t width = codes ? ak_code_bytes(s->bits) : s->dim, given;
    const char *name = looks_name(rows);
    struct ak_err err = {0};
    char text[200];

    if (!taken)
        return false;
    if (ak_npy_parse(looks.data, looks.len,
                     codes ? AK_NPY_CODES : AK_NPY_FLOATS, out,
                     &err) != AK_OK) {
        column_fault(rows, name, "validation-failed", err.text);
        return false;
    }
    if (out->ndim == 1 && flat) {
        out->shape[1] = out->shape[0];
        out->shape[0] = 1;
    } else if (out->ndim != 2) {
        column_fault(rows, name, "validation-failed",
                     "has 1 dimension, must have 2");
        return false;
    }
    given = out->shape[1];
    if (given != width) {
        snprintf(text, sizeof(text),
                 "rows of %" PRIu64 " expected, of %" PRIu64 " given", width,
                 given);
        column_fault(rows, name, "dim-mismatch", text);
        return false;
    }
    if (out->shape[0] > max || out->shape[0] == 0) {
        snprintf(text, sizeof(text), "has %" PRIu64 " rows, must have 1..%zu",
                 out->shape[0], max);
        column_fault(rows, name, "validation-failed", text);
        return false;
    }
    return true;
}

/* A column of integers or of JSON. */
struct column {
    struct ak_npy npy;
    struct ak_json json;
    bool is_json, given;
};

static bool read_column(struct ak_rows *rows, const char *name,
                        struct ak_bytes bytes, uint64_t n, const char *code,
                        struct column *out)
{
    struct ak_err err = {0};
    uint64_t has;
    char text[200];

    if (bytes.data == NULL)
        return true;
    out->given = true;
    if (bytes.len > 0 && *(const uint8_t *)bytes.data == 0x93) {
        if (ak_npy_parse(bytes.data, bytes.len, AK_NPY_INTEGERS, &out->npy,
                         &err) != AK_OK) {
            column_fault(rows, name, "validation-failed", err.text);
            return false;
        }
        if (out->npy.ndim != 1) {
            column_fault(rows, name, "validation-failed",
                         "has 2 dimensions, must have 1");
            return false;
        }
        has = out->npy.n;
    } else {
        if (!ak_read_json(&out->json, (uint8_t *)(uintptr_t)bytes.data,
                          bytes.len, NULL, 0, AK_JSON_VALUES_POOL,
                          &rows->faults))
            return false;
        out->is_json = true;
        if (!json_is_array(out->json.root)) {
            column_fault(rows, name, "validation-failed",
                         "must be an array, as JSON or as npy of integers");
            return false;
        }
        has = json_array_size(out->json.root);
    }
    if (has != n) {
        snprintf(text, sizeof(text),
                 "%" PRIu64 " expected, one a row, %" PRIu64 " given", n, has);
        column_fault(rows, name, code, text);
        return false;
    }
    return true;
}

static bool add_labels(struct ak_rows *rows, const struct column *c, size_t i)
{
    struct ak_npy_integer v;
    char text[24];
    int len;

    if (c->is_json &&
        !ak_rows_add_labels(rows, i, json_array_get(c->json.root, i)))
        return false;
    if (c->given && !c->is_json) {
        v = ak_npy_integer(&c->npy, i);
        len = snprintf(text, sizeof(text), "%s%" PRIu64, v.negative ? "-" : "",
                       v.magnitude);
        if (!ak_rows_add_label_text(rows, i, text, (size_t)len))
            return false;
    }
    return ak_rows_end_labels(rows, i);
}

static bool read_id(struct ak_rows *rows, const struct column *c, size_t i,
                    struct ak_row_id *out)
{
    struct ak_npy_integer v;

    if (c->is_json)
        return ak_rows_read_id(rows, i, json_array_get(c->json.root, i), out);
    v = ak_npy_integer(&c->npy, i);
    if (rows->settings->string_ids) {
        ak_rows_fault(rows, i, "id", "validation-failed",
                      "must be a string of 1..128 bytes");
        return false;
    }
    if ((v.negative && v.magnitude != 0) || v.magnitude > AK_STORE_MAX_ID) {
        ak_rows_fault(rows, i, "id", "validation-failed",
                      "is %s%" PRIu64 ", must be 0..%lld",
                      v.negative ? "-" : "", v.magnitude,
                      (long long)AK_STORE_MAX_ID);
        return false;
    }
    *out = (struct ak_row_id){.number = v.magnitude};
    return true;
}

static bool add_look(struct ak_rows *rows, const struct ak_npy *npy, size_t i,
                     float *x)
{
    uint64_t width = npy->shape[1];
    struct ak_err err = {0};
    size_t row = (size_t)(i * width);

    if (npy->dtype == AK_NPY_U8)
        return ak_rows_add_code(
            rows, i, "code", (const uint8_t *)npy->data + row, (size_t)width);
    if (ak_npy_floats(npy, row, width, x, &err) != AK_OK) {
        ak_rows_fault(rows, i, "vector", "non-finite-value", "%s", err.text);
        return false;
    }
    return ak_rows_add_vector(rows, i, "vector", x, (size_t)width);
}

static void add_rows(struct ak_rows *rows, const struct ak_npy *npy,
                     const struct column *labels, const struct column *ids)
{
    static const struct ak_bytes none;
    bool codes = npy->dtype == AK_NPY_U8;
    float *x =
        codes ? NULL
              : ak_arena_array(&rows->arena, (size_t)npy->shape[1], sizeof(*x));

    if (!codes && x == NULL) {
        rows->status = AK_ENOMEM;
        return;
    }
    for (size_t i = 0; i < npy->shape[0] && ak_rows_going(rows); i++) {
        struct ak_row_id id;
        bool good = add_look(rows, npy, i, x);

        if (!add_labels(rows, labels, i))
            good = false;
        if (ids->given && !read_id(rows, ids, i, &id))
            good = false;
        if (good)
            ak_rows_close_row(rows, i, ids->given ? &id : NULL, none, none);
    }
}

void ak_rows_add_columns(struct ak_rows *rows, struct ak_bytes looks,
                         struct ak_bytes labels, struct ak_bytes ids)
{
    struct column label_column = {0}, id_column = {0};
    struct ak_npy npy;

    rows->columns = true;
    rows->prefix = "";
    if (read_looks(rows, looks, ak_limits()->max_batch_items, false, &npy) &&
        read_column(rows, "labels", labels, npy.shape[0], "label-count",
                    &label_column) &&
        read_column(rows, "ids", ids, npy.shape[0], "validation-failed",
                    &id_column))
        add_rows(rows, &npy, &label_column, &id_column);
    ak_json_clear(&id_column.json);
    ak_json_clear(&label_column.json);
}

void ak_rows_add_npy(struct ak_rows *rows, struct ak_bytes looks, size_t max)
{
    static const struct column none;
    struct ak_npy npy;

    rows->columns = true;
    rows->prefix = "";
    if (read_looks(rows, looks, max, true, &npy))
        add_rows(rows, &npy, &none, &none);
}
