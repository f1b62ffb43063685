#include "server/rows.h"

#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/hex.h"
#include "core/code/code.h"
#include "server/base64.h"
#include "server/engine.h"
#include "server/extractors.h"
#include "server/id_json.h"
#include "server/json_body.h"
#include "server/json_memory.h"
#include "server/limits.h"
#include "server/multipart.h"
#include "server/picture.h"
#include "server/pointer.h"

void ak_rows_init(struct ak_rows *rows, const struct ak_settings *settings,
                  struct ak_extractors *extractors, unsigned flags)
{
    memset(rows, 0, offsetof(struct ak_rows, faults.list));
    rows->extractors = extractors;
    rows->settings = settings;
    rows->flags = flags;
    rows->prefix = "/items";
    ak_write_u32(&rows->first, 0);
}

void ak_rows_clear(struct ak_rows *rows)
{
    ak_extractor_unref(rows->extractor);
    ak_writer_clear(&rows->vectors);
    ak_writer_clear(&rows->codes);
    ak_writer_clear(&rows->places);
    ak_writer_clear(&rows->ids);
    ak_writer_clear(&rows->labels);
    ak_writer_clear(&rows->first);
    ak_writer_clear(&rows->payloads);
    ak_writer_clear(&rows->images);
    ak_writer_clear(&rows->files);
    ak_arena_clear(&rows->arena);
}

void ak_rows_restart(struct ak_rows *rows)
{
    ak_extractor_unref(rows->extractor);
    rows->extractor = NULL;
    rows->vectors.len = 0;
    rows->n = 0;
}

size_t ak_rows_bytes(const struct ak_rows *rows)
{
    return sizeof(*rows) + rows->vectors.cap + rows->codes.cap +
           rows->places.cap + rows->ids.cap + rows->labels.cap +
           rows->first.cap + rows->payloads.cap + rows->images.cap +
           rows->arena.bytes;
}

bool ak_rows_used(const struct ak_rows *rows, const void *data)
{
    const void *const *files = (const void *const *)(void *)rows->files.data;
    size_t n = rows->files.len / sizeof(*files);

    /* Items mostly name their parts in the order of the parts. */
    for (size_t i = 0; i < n; i++)
        if (files[i] == data)
            return true;
    return false;
}

bool ak_rows_going(const struct ak_rows *rows)
{
    return rows->status == AK_OK && rows->faults.more == 0 &&
           rows->faults.slug == NULL;
}

void ak_rows_fault(struct ak_rows *rows, size_t place, const char *field,
                   const char *code, const char *fmt, ...)
{
    char pointer[128] = "", detail[200];
    va_list ap;

    if (rows->whole || rows->at[0] != '\0') {
        snprintf(pointer, sizeof(pointer), "%s", rows->at);
        ak_pointer_add(pointer, sizeof(pointer), field);
    } else if (rows->columns) {
        /* The column of "vector" is "vectors", and so on. */
        snprintf(pointer, sizeof(pointer), "%s/%s%s", rows->prefix, field,
                 strcmp(field, "labels") == 0 ? "" : "s");
        ak_pointer_add_index(pointer, sizeof(pointer), place);
    } else {
        snprintf(pointer, sizeof(pointer), "%s", rows->prefix);
        ak_pointer_add_index(pointer, sizeof(pointer), place);
        if (field[0] != '\0')
            ak_pointer_add(pointer, sizeof(pointer), field);
    }
    va_start(ap, fmt);
    vsnprintf(detail, sizeof(detail), fmt, ap);
    va_end(ap);
    ak_faults_add(&rows->faults, pointer, code, "%s", detail);
}

static void no_memory(struct ak_rows *rows)
{
    rows->status = AK_ENOMEM;
}

/* ------------------------------------------------------------------- looks */

bool ak_rows_add_vector(struct ak_rows *rows, size_t place, const char *field,
                        const float *values, size_t n)
{
    const struct ak_settings *s = rows->settings;
    float *x;

    if (s->format == AK_FORMAT_CODE) {
        ak_rows_fault(rows, place, field, "unsupported-option",
                      "kind %s takes codes, not vectors", s->kind);
        return false;
    }
    if (n != s->dim) {
        ak_rows_fault(rows, place, field, "dim-mismatch",
                      "%u expected, %zu given", s->dim, n);
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(values[i])) {
            ak_rows_fault(rows, place, field, "non-finite-value",
                          "element %zu is not a finite float", i);
            return false;
        }
    }
    ak_write_f32s(&rows->vectors, values, n);
    if (rows->vectors.status != AK_OK) {
        no_memory(rows);
        return false;
    }
    x = (float *)(void *)(rows->vectors.data + rows->vectors.len) - n;
    ak_collection_round(s, x, n);
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(x[i])) {
            ak_rows_fault(rows, place, field, "non-finite-value",
                          "element %zu is %.9g, f16 holds up to 65504", i,
                          (double)values[i]);
            return false;
        }
    }
    return true;
}

bool ak_rows_take_vectors(struct ak_rows *rows, size_t place, const char *field)
{
    if (!rows->settings->images_only || rows->flags & AK_ROWS_ENCODE)
        return true;
    ak_rows_fault(rows, place, field, "unsupported-option",
                  "an extractor takes over from another, and needs images");
    return false;
}

/* Had when the first image comes; false after a fault. */
static bool need_extractor(struct ak_rows *rows, size_t place,
                           const char *field)
{
    struct ak_err err = {0};
    enum ak_status status;

    if (rows->extractor != NULL)
        return true;
    status = ak_extractors_of(rows->extractors, rows->settings,
                              &rows->extractor, &err);
    if (status == AK_ENOMEM)
        no_memory(rows);
    else if (status != AK_OK)
        ak_rows_fault(rows, place, field, "state-conflict",
                      "%s; vectors are taken", err.text);
    return status == AK_OK;
}

bool ak_rows_add_image(struct ak_rows *rows, size_t place, const char *field,
                       struct ak_bytes file)
{
    const struct ak_settings *s = rows->settings;
    struct ak_err err = {0};
    enum ak_status status;
    float *x;
    bool good = false;

    if (s->extractor[0] == '\0') {
        ak_rows_fault(rows, place, field, "unsupported-option",
                      "the collection has no extractor, so it takes %s",
                      s->format == AK_FORMAT_CODE ? "codes" : "vectors");
        return false;
    }
    if (file.len > ak_limits()->max_image_bytes) {
        ak_rows_fault(rows, place, field, "image-too-large",
                      "the file has %zu bytes, at most %zu are taken", file.len,
                      ak_limits()->max_image_bytes);
        return false;
    }
    if (!need_extractor(rows, place, field))
        return false;
    x = ak_arena_array(&rows->arena, s->dim, sizeof(*x));
    if (x == NULL) {
        no_memory(rows);
        return false;
    }
    status =
        ak_picture_feature(rows->extractor, file, x, &rows->extract_ns, &err);
    if (status == AK_OK)
        good = ak_rows_add_vector(rows, place, field, x, s->dim);
    else if (status == AK_ENOMEM)
        no_memory(rows);
    else if (status == AK_EBUSY)
        ak_faults_whole(&rows->faults, "decoder-unavailable", "%s", err.text);
    else
        ak_rows_fault(rows, place, field,
                      status == AK_ELIMIT     ? "image-too-large"
                      : status == AK_ENUMERIC ? "non-finite-value"
                                              : "image-undecodable",
                      "%s", err.text);
    return good;
}

bool ak_rows_add_code(struct ak_rows *rows, size_t place, const char *field,
                      const uint8_t *bytes, size_t len)
{
    const struct ak_settings *s = rows->settings;

    if (s->format != AK_FORMAT_CODE) {
        ak_rows_fault(rows, place, field, "unsupported-option",
                      "only kind external takes codes, this is kind %s",
                      s->kind);
        return false;
    }
    if (len != ak_code_bytes(s->bits)) {
        ak_rows_fault(rows, place, field, "dim-mismatch",
                      "%zu bytes expected, %zu given", ak_code_bytes(s->bits),
                      len);
        return false;
    }
    ak_write_bytes(&rows->codes, bytes, len);
    if (rows->codes.status != AK_OK)
        no_memory(rows);
    return rows->status == AK_OK;
}

/* ------------------------------------------------------------------ labels */

/* Labels of the row that is being added. */
static const struct ak_bytes *open_labels(const struct ak_rows *rows, size_t *n)
{
    const uint32_t *first = (const uint32_t *)(const void *)rows->first.data;
    size_t all = rows->labels.len / sizeof(struct ak_bytes);
    size_t from = first[rows->first.len / sizeof(*first) - 1];

    *n = all - from;
    return (const struct ak_bytes *)(const void *)rows->labels.data + from;
}

bool ak_rows_add_label_text(struct ak_rows *rows, size_t place,
                            const char *text, size_t len)
{
    const struct ak_bytes *labels;
    struct ak_bytes label = {.len = len};
    size_t n;

    if (len == 0 || len > ak_limits()->max_label_bytes) {
        ak_rows_fault(rows, place, "labels", "validation-failed",
                      "a label has %zu bytes, must have 1..%zu", len,
                      ak_limits()->max_label_bytes);
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f) {
            ak_rows_fault(rows, place, "labels", "validation-failed",
                          "a label has the control character %d at byte %zu",
                          text[i], i);
            return false;
        }
    }
    if (rows->first.status != AK_OK || rows->labels.status != AK_OK) {
        no_memory(rows);
        return false;
    }
    labels = open_labels(rows, &n);
    for (size_t i = 0; i < n; i++) {
        if (labels[i].len == len && memcmp(labels[i].data, text, len) == 0) {
            ak_rows_fault(rows, place, "labels", "validation-failed",
                          "label \"%.*s\" is given twice",
                          (int)(len > 60 ? 60 : len), text);
            return false;
        }
    }
    label.data = ak_arena_copy(&rows->arena, text, len);
    ak_write_bytes(&rows->labels, &label, sizeof(label));
    if (label.data == NULL || rows->labels.status != AK_OK)
        no_memory(rows);
    return rows->status == AK_OK;
}

/* A string, or an integer: the label is its decimal text. */
static bool add_label(struct ak_rows *rows, size_t place, const json_t *value)
{
    char number[24];
    int len;

    if (json_is_string(value))
        return ak_rows_add_label_text(rows, place, json_string_value(value),
                                      json_string_length(value));
    if (!json_is_integer(value)) {
        ak_rows_fault(rows, place, "labels", "validation-failed",
                      "a label must be a string or an integer");
        return false;
    }
    len = snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT,
                   json_integer_value(value));
    return ak_rows_add_label_text(rows, place, number, (size_t)len);
}

bool ak_rows_add_labels(struct ak_rows *rows, size_t place, const json_t *value)
{
    size_t max = ak_limits()->max_labels_per_item;
    const json_t *entry;
    size_t i;

    if (!json_is_array(value))
        return add_label(rows, place, value);
    if (json_array_size(value) > max) {
        ak_rows_fault(rows, place, "labels", "label-count",
                      "%zu labels given, at most %zu are taken",
                      json_array_size(value), max);
        return false;
    }
    json_array_foreach((json_t *)(uintptr_t)value, i, entry)
    {
        if (!add_label(rows, place, entry))
            return false;
    }
    return true;
}

bool ak_rows_end_labels(struct ak_rows *rows, size_t place)
{
    size_t n;

    if (rows->first.status != AK_OK || rows->labels.status != AK_OK)
        no_memory(rows);
    if (rows->status != AK_OK)
        return false;
    open_labels(rows, &n);
    if (n > 1 && !rows->settings->multi_label) {
        ak_rows_fault(rows, place, "labels", "label-count",
                      "%zu labels given, labels.mode \"single\" takes 1", n);
        return false;
    }
    ak_write_u32(&rows->first,
                 (uint32_t)(rows->labels.len / sizeof(struct ak_bytes)));
    if (rows->first.status != AK_OK)
        no_memory(rows);
    return rows->status == AK_OK;
}

/* --------------------------------------------------------------------- ids */

bool ak_rows_read_id(struct ak_rows *rows, size_t place, const json_t *value,
                     struct ak_row_id *out)
{
    char why[AK_ID_WHY];

    if (!ak_id_read(value, rows->settings->string_ids, out, why)) {
        ak_rows_fault(rows, place, "id", "validation-failed", "%s", why);
        return false;
    }
    if (out->text != NULL) {
        out->text = ak_arena_copy(&rows->arena, out->text, out->len);
        if (out->text == NULL)
            no_memory(rows);
    }
    return rows->status == AK_OK;
}

void ak_rows_close_row(struct ak_rows *rows, size_t place,
                       const struct ak_row_id *id, struct ak_bytes payload,
                       struct ak_bytes image)
{
    static const struct ak_row_id none;

    ak_write_bytes(&rows->places, &place, sizeof(place));
    ak_write_bytes(&rows->ids, id != NULL ? id : &none, sizeof(none));
    ak_write_bytes(&rows->payloads, &payload, sizeof(payload));
    ak_write_bytes(&rows->images, &image, sizeof(image));
    if (rows->places.status != AK_OK || rows->ids.status != AK_OK ||
        rows->payloads.status != AK_OK || rows->images.status != AK_OK)
        no_memory(rows);
    rows->n_ids += id != NULL;
    rows->n_payloads += payload.data != NULL;
    rows->n_images += image.data != NULL;
    rows->n++;
}

/* FNV-1a of an id of either kind. */
static uint64_t hash_id(const struct ak_row_id *id)
{
    const uint8_t *p = id->text != NULL ? (const uint8_t *)id->text
                                        : (const uint8_t *)&id->number;
    size_t len = id->text != NULL ? id->len : sizeof(id->number);
    uint64_t h = 14695981039346656037u;

    for (size_t i = 0; i < len; i++)
        h = (h ^ p[i]) * 1099511628211u;
    return h ^ h >> 29;
}

static bool same_id(const struct ak_row_id *a, const struct ak_row_id *b)
{
    return a->number == b->number && a->len == b->len &&
           (a->len == 0 || memcmp(a->text, b->text, a->len) == 0);
}

static void find_duplicates(struct ak_rows *rows)
{
    const struct ak_row_id *ids =
        (const struct ak_row_id *)(const void *)rows->ids.data;
    const size_t *places = (const size_t *)(const void *)rows->places.data;
    size_t cap = 16, *table;

    while (cap < rows->n * 2)
        cap *= 2;
    table = ak_arena_array(&rows->arena, cap, sizeof(*table));
    if (table == NULL) {
        no_memory(rows);
        return;
    }
    for (size_t i = 0; i < rows->n; i++) {
        size_t at = hash_id(&ids[i]) & (cap - 1);

        /* A slot holds the row's number plus one. */
        while (table[at] != 0 && !same_id(&ids[table[at] - 1], &ids[i]))
            at = (at + 1) & (cap - 1);
        if (table[at] == 0) {
            table[at] = i + 1;
            continue;
        }
        ak_rows_fault(rows, places[i], "id", "duplicate-id",
                      "is the id of entry %zu too", places[table[at] - 1]);
    }
}

/* All or none: what is assigned could otherwise meet what is given. */
static void find_missing_id(struct ak_rows *rows)
{
    const size_t *places = (const size_t *)(const void *)rows->places.data;

    if (rows->n_ids != 0)
        ak_rows_fault(rows, places[0], "id", "validation-failed",
                      "%zu of %zu items have an id, give all or none",
                      rows->n_ids, rows->n);
    else
        ak_rows_fault(rows, places[0], "id", "validation-failed",
                      "ids are strings here, which cannot be assigned");
}

void ak_rows_finish(struct ak_rows *rows)
{
    bool encode = rows->flags & AK_ROWS_ENCODE;

    if (rows->status != AK_OK || !ak_faults_none(&rows->faults))
        return;
    if (rows->n == 0 && rows->flags & AK_ROWS_NUMBERED)
        return;
    if (rows->n == 0) {
        ak_faults_add(&rows->faults, rows->columns ? "" : rows->prefix,
                      "validation-failed", "must have 1 item or more");
        return;
    }
    if (rows->n_ids == rows->n)
        find_duplicates(rows);
    else if (!encode && (rows->n_ids != 0 || rows->settings->string_ids))
        find_missing_id(rows);
}

/* ------------------------------------------------------------------- shown */

const float *ak_rows_vectors(const struct ak_rows *rows)
{
    return (const float *)(const void *)rows->vectors.data;
}

const uint8_t *ak_rows_codes(const struct ak_rows *rows)
{
    return rows->codes.data;
}

enum ak_status ak_rows_store(struct ak_rows *rows, struct ak_store_rows *out,
                             struct ak_err *err)
{
    const struct ak_settings *s = rows->settings;
    struct ak_store_rows r = {.n = rows->n, .space = ak_settings_space(s)};
    void *block;

    switch (s->format) {
    case AK_FORMAT_CODE:
        r.block = rows->codes.data;
        break;
    case AK_FORMAT_F32:
        r.block = rows->vectors.data;
        break;
    case AK_FORMAT_F16:
        block = ak_arena_array(&rows->arena, rows->n, ak_settings_row_bytes(s));
        if (block == NULL)
            return ak_fail(err, AK_ENOMEM, "no memory for a block of rows");
        ak_collection_pack(s, ak_rows_vectors(rows), rows->n, block);
        r.block = block;
        break;
    }
    if (rows->n_ids > 0)
        r.ids = (const struct ak_row_id *)(const void *)rows->ids.data;
    if (rows->labels.len > 0) {
        r.labels = (const struct ak_bytes *)(const void *)rows->labels.data;
        r.label_first = (const uint32_t *)(const void *)rows->first.data;
    }
    if (rows->n_payloads > 0)
        r.payloads = (const struct ak_bytes *)(const void *)rows->payloads.data;
    if (rows->n_images > 0)
        r.images = (const struct ak_bytes *)(const void *)rows->images.data;
    *out = r;
    return AK_OK;
}

/* -------------------------------------------------------------------- JSON */

static bool read_payload(struct ak_rows *rows, size_t place,
                         const json_t *value, struct ak_bytes *out)
{
    size_t max = ak_limits()->max_payload_bytes, len;
    char *text, *copy;

    if (value == NULL || json_is_null(value))
        return true;
    if (!json_is_object(value)) {
        ak_rows_fault(rows, place, "payload", "validation-failed",
                      "must be an object or null");
        return false;
    }
    text = ak_json_text(value, JSON_COMPACT);
    len = text == NULL ? 0 : strlen(text);
    if (len > max) {
        ak_rows_fault(rows, place, "payload", "validation-failed",
                      "has %zu bytes, must have at most %zu", len, max);
        free(text);
        return false;
    }
    copy = text == NULL ? NULL : ak_arena_copy(&rows->arena, text, len);
    free(text);
    if (copy == NULL) {
        no_memory(rows);
        return false;
    }
    *out = (struct ak_bytes){copy, len};
    return true;
}

/* Hex digits to the code of a row. */
static bool add_hex(struct ak_rows *rows, size_t place, const json_t *value)
{
    size_t digits = json_string_length(value);
    uint8_t bytes[AK_CODE_MAX_BITS / 8];

    if (!json_is_string(value)) {
        ak_rows_fault(rows, place, "code", "validation-failed",
                      "must be a string of hex digits");
        return false;
    }
    if (digits != 2 * ak_code_bytes(rows->settings->bits)) {
        ak_rows_fault(rows, place, "code", "dim-mismatch",
                      "%zu hex digits expected, %zu given",
                      2 * ak_code_bytes(rows->settings->bits), digits);
        return false;
    }
    if (!ak_hex_decode(json_string_value(value), digits, bytes, digits / 2)) {
        ak_rows_fault(rows, place, "code", "validation-failed",
                      "must be hex digits only");
        return false;
    }
    return ak_rows_add_code(rows, place, "code", bytes, digits / 2);
}

bool ak_rows_read_image(struct ak_rows *rows, size_t place, const json_t *value,
                        const struct ak_multipart *parts, struct ak_bytes *out)
{
    const char *text = json_string_value(value);
    size_t len = json_string_length(value);
    const struct ak_part *part;
    uint8_t *bytes;

    if (text == NULL) {
        ak_rows_fault(rows, place, "image", "validation-failed",
                      "must be a string: base64%s",
                      parts == NULL ? "" : " or the name of a part");
        return false;
    }
    part = parts == NULL ? NULL : ak_multipart_find(parts, text);
    if (part != NULL) {
        *out = (struct ak_bytes){part->data, part->len};
        ak_write_bytes(&rows->files, &part->data, sizeof(part->data));
        return true;
    }
    if (len / 4 * 3 > ak_limits()->max_image_bytes + 3) {
        ak_rows_fault(rows, place, "image", "image-too-large",
                      "the file has about %zu bytes, at most %zu are taken",
                      len / 4 * 3, ak_limits()->max_image_bytes);
        return false;
    }
    bytes = ak_arena_array(&rows->arena, ak_base64_room(len), 1);
    if (bytes == NULL) {
        no_memory(rows);
        return false;
    }
    if (!ak_base64_decode(text, len, bytes, &out->len)) {
        ak_rows_fault(rows, place, "image", "validation-failed",
                      parts == NULL
                          ? "is not base64"
                          : "is neither the name of a part nor base64");
        return false;
    }
    out->data = bytes;
    return true;
}

/* One of vector, code and image. */
static bool add_looks(struct ak_rows *rows, size_t place, const json_t *item,
                      struct ak_json *json, const struct ak_multipart *parts,
                      struct ak_bytes *kept)
{
    const json_t *vector = json_object_get(item, "vector");
    const json_t *code = json_object_get(item, "code");
    const json_t *image = json_object_get(item, "image");
    int given = (vector != NULL) + (code != NULL) + (image != NULL);
    struct ak_bytes file = {0};
    const float *values;
    size_t n;

    if (given != 1) {
        ak_rows_fault(rows, place, "", "validation-failed",
                      "must have one of vector, code and image, has %d", given);
        return false;
    }
    if (vector != NULL) {
        values = ak_json_vector(json, vector, &n);
        if (values != NULL && !ak_rows_take_vectors(rows, place, "vector"))
            return false;
        if (values != NULL)
            return ak_rows_add_vector(rows, place, "vector", values, n);
        ak_rows_fault(rows, place, "vector", "validation-failed",
                      "must be an array of numbers");
        return false;
    }
    if (code != NULL)
        return add_hex(rows, place, code);
    if (!ak_rows_read_image(rows, place, image, parts, &file) ||
        !ak_rows_add_image(rows, place, "image", file))
        return false;
    if (rows->settings->keep_images)
        *kept = file;
    return true;
}

static bool known_fields(struct ak_rows *rows, size_t place, const json_t *item)
{
    static const char *const names[] = {"id",    "vector", "code",
                                        "image", "labels", "payload"};
    const char *key;
    json_t *value;
    bool good = true;

    json_object_foreach((json_t *)(uintptr_t)item, key, value)
    {
        size_t i = 0;

        while (i < sizeof(names) / sizeof(names[0]) &&
               strcmp(key, names[i]) != 0)
            i++;
        if (i < sizeof(names) / sizeof(names[0]))
            continue;
        ak_rows_fault(rows, place, key, "unknown-field", "no such field");
        good = false;
    }
    return good;
}

void ak_rows_add_item(struct ak_rows *rows, size_t place, const json_t *item,
                      struct ak_json *json, const struct ak_multipart *parts)
{
    const json_t *id = json_object_get(item, "id");
    const json_t *labels = json_object_get(item, "labels");
    struct ak_bytes payload = {0}, kept = {0};
    struct ak_row_id row_id;
    bool good;

    if (!json_is_object(item)) {
        ak_rows_fault(rows, place, "", "validation-failed",
                      "must be an object");
        return;
    }
    /* Each part is read even after a fault in another: all are told. */
    good = known_fields(rows, place, item);
    if (!add_looks(rows, place, item, json, parts, &kept))
        good = false;
    if (id != NULL && !ak_rows_read_id(rows, place, id, &row_id))
        good = false;
    if (labels != NULL && !json_is_array(labels)) {
        ak_rows_fault(rows, place, "labels", "validation-failed",
                      "must be an array of strings or integers");
        good = false;
    } else if (labels != NULL && !ak_rows_add_labels(rows, place, labels)) {
        good = false;
    }
    if (!ak_rows_end_labels(rows, place))
        good = false;
    if (!read_payload(rows, place, json_object_get(item, "payload"), &payload))
        good = false;
    if (good)
        ak_rows_close_row(rows, place, id != NULL ? &row_id : NULL, payload,
                          kept);
}

void ak_rows_read_patch(struct ak_rows *rows, const json_t *patch,
                        struct ak_change *change)
{
    const json_t *labels = json_object_get(patch, "labels");
    const json_t *payload = json_object_get(patch, "payload");

    rows->whole = true;
    if (labels != NULL && !json_is_array(labels)) {
        ak_rows_fault(rows, 0, "labels", "validation-failed",
                      "must be an array of strings or integers");
    } else if (labels != NULL && ak_rows_add_labels(rows, 0, labels) &&
               ak_rows_end_labels(rows, 0)) {
        change->set_labels = true;
        change->labels =
            (const struct ak_bytes *)(const void *)rows->labels.data;
        change->n_labels = rows->labels.len / sizeof(*change->labels);
    }
    if (payload != NULL)
        change->set_payload = read_payload(rows, 0, payload, &change->payload);
}
