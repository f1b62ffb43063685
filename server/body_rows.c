#include "server/body_rows.h"

#include <stdio.h>
#include <string.h>

#include "core/base/digest.h"
#include "core/base/mem.h"
#include "server/json_read.h"
#include "server/limits.h"
#include "server/multipart.h"
#include "server/pointer.h"
#include "server/rows_columns.h"

static const struct {
    enum ak_body_kind kind;
    const char *type;
} types[] = {
    {AK_BODY_JSON, "application/json"},
    {AK_BODY_NDJSON, "application/x-ndjson"},
    {AK_BODY_NPY, "application/x-npy"},
    {AK_BODY_MULTIPART, "multipart/form-data"},
    {AK_BODY_IMAGE, "image/jpeg"},
    {AK_BODY_IMAGE, "image/png"},
};

#define N_TYPES (sizeof(types) / sizeof(types[0]))

enum ak_body_kind ak_body_kind(const struct ak_request *rq)
{
    const char *type = ak_request_type(rq);

    for (size_t i = 0; i < N_TYPES; i++)
        if (strcmp(type, types[i].type) == 0)
            return types[i].kind;
    return AK_BODY_OTHER;
}

enum ak_body_kind ak_body_accept(struct ak_request *rq, unsigned accepted)
{
    enum ak_body_kind kind = ak_body_kind(rq);
    char list[256] = "";
    size_t at = 0;

    if (kind & accepted)
        return kind;
    for (size_t i = 0; i < N_TYPES; i++)
        if (types[i].kind & accepted)
            at += (size_t)snprintf(list + at, sizeof(list) - at, "%s%s",
                                   at > 0 ? ", " : "", types[i].type);
    ak_reply_problem(rq, "unsupported-media-type", "accepted here: %s", list);
    return AK_BODY_OTHER;
}

/* -------------------------------------------------------------------- JSON */

/* {"items": [...]}, beneath `top`; `parts` hold the images that items name. */
static void add_items(struct ak_rows *rows, struct ak_json *json,
                      const char *top, const struct ak_multipart *parts)
{
    size_t max = ak_limits()->max_batch_items, i;
    json_t *value, *items, *item;
    char pointer[128];
    const char *key;

    if (!json_is_object(json->root)) {
        ak_faults_add(&rows->faults, top, "validation-failed",
                      "must be an object");
        return;
    }
    json_object_foreach(json->root, key, value)
    {
        if (strcmp(key, "items") == 0)
            continue;
        snprintf(pointer, sizeof(pointer), "%s", top);
        ak_pointer_add(pointer, sizeof(pointer), key);
        ak_faults_add(&rows->faults, pointer, "unknown-field", "no such field");
    }
    items = json_object_get(json->root, "items");
    if (!json_is_array(items) || json_array_size(items) > max) {
        ak_faults_add(&rows->faults, rows->prefix, "validation-failed",
                      "must be an array of 1..%zu items", max);
        return;
    }
    json_array_foreach(items, i, item)
    {
        if (!ak_rows_going(rows))
            break;
        ak_rows_add_item(rows, i, item, json, parts);
    }
}

static void read_items(struct ak_rows *rows, uint8_t *bytes, size_t len,
                       const struct ak_multipart *parts)
{
    static const char *const hot[] = {"items[].vector"};
    struct ak_json json = {0};

    if (ak_read_json(&json, bytes, len, hot, 1, AK_JSON_VALUES_POOL,
                     &rows->faults))
        add_items(rows, &json, parts != NULL ? "/meta" : "", parts);
    ak_json_clear(&json);
}

/* --------------------------------------------------------------- multipart */

/* Every part of the form is one that it may have. */
static bool known_parts(struct ak_rows *rows, const struct ak_multipart *m)
{
    static const char *const names[] = {"vectors", "codes", "labels", "ids"};
    bool good = true;

    for (size_t i = 0; i < m->n_parts; i++) {
        char pointer[160] = "";
        size_t k = 0;

        while (k < 4 && strcmp(m->parts[i].name, names[k]) != 0)
            k++;
        if (k < 4)
            continue;
        ak_pointer_add(pointer, sizeof(pointer), m->parts[i].name);
        ak_faults_add(&rows->faults, pointer, "unknown-field",
                      "no such part; there are vectors or codes, labels and "
                      "ids, or meta and images");
        good = false;
    }
    return good;
}

static struct ak_bytes part_bytes(const struct ak_multipart *m,
                                  const char *name)
{
    const struct ak_part *part = ak_multipart_find(m, name);

    if (part == NULL)
        return (struct ak_bytes){0};
    return (struct ak_bytes){part->data, part->len};
}

static void read_columns(struct ak_rows *rows, const struct ak_multipart *m)
{
    bool external = rows->settings->format == AK_FORMAT_CODE;
    struct ak_bytes vectors = part_bytes(m, "vectors");
    struct ak_bytes codes = part_bytes(m, "codes");

    if (!known_parts(rows, m))
        return;
    if (vectors.data == NULL && codes.data == NULL)
        ak_faults_add(&rows->faults, external ? "/codes" : "/vectors",
                      "validation-failed", "must be given");
    else if ((external ? vectors : codes).data != NULL)
        ak_faults_add(&rows->faults, external ? "/vectors" : "/codes",
                      "unsupported-option", "kind %s takes %s",
                      rows->settings->kind, external ? "codes" : "vectors");
    else
        ak_rows_add_columns(rows, external ? codes : vectors,
                            part_bytes(m, "labels"), part_bytes(m, "ids"));
}

/* Parts that no item named would be lost without a word. */
static void unnamed_parts(struct ak_rows *rows, const struct ak_multipart *m)
{
    for (size_t i = 0; i < m->n_parts; i++) {
        const struct ak_part *part = &m->parts[i];
        char pointer[160] = "";

        if (strcmp(part->name, "meta") == 0 || ak_rows_used(rows, part->data))
            continue;
        ak_pointer_add(pointer, sizeof(pointer), part->name);
        ak_faults_add(&rows->faults, pointer, "unknown-field",
                      "no item of meta names this part");
    }
}

static void read_multipart(struct ak_rows *rows, const char *content_type,
                           uint8_t *bytes, size_t len)
{
    struct ak_multipart m = {0};
    struct ak_err err = {0};
    enum ak_status status = ak_multipart_parse(
        content_type, bytes, len, ak_limits()->max_batch_items + 8, &m, &err);
    struct ak_bytes meta;

    if (status == AK_ENOMEM) {
        rows->status = status;
        return;
    }
    if (status != AK_OK) {
        ak_faults_whole(&rows->faults,
                        status == AK_EEXISTS ? "validation-failed"
                                             : "malformed-request",
                        "%s", err.text);
        return;
    }
    meta = part_bytes(&m, "meta");
    if (meta.data == NULL) {
        read_columns(rows, &m);
    } else {
        rows->prefix = "/meta/items";
        read_items(rows, (uint8_t *)(uintptr_t)meta.data, meta.len, &m);
        if (ak_faults_none(&rows->faults))
            unnamed_parts(rows, &m);
    }
    ak_multipart_clear(&m);
}

/* --------------------------------------------------------------- all kinds */

void ak_body_read_rows(struct ak_rows *rows, enum ak_body_kind kind,
                       const char *content_type, uint8_t *bytes, size_t len)
{
    static const struct ak_bytes none;
    struct ak_bytes all = {bytes, len};

    switch (kind) {
    case AK_BODY_JSON:
        read_items(rows, bytes, len, NULL);
        break;
    case AK_BODY_MULTIPART:
        read_multipart(rows, content_type, bytes, len);
        break;
    case AK_BODY_NPY:
        ak_rows_add_npy(rows, all, ak_limits()->max_batch_items);
        break;
    case AK_BODY_IMAGE:
        rows->prefix = "";
        if (ak_rows_add_image(rows, 0, "image", all) &&
            ak_rows_end_labels(rows, 0))
            ak_rows_close_row(rows, 0, NULL, none, none);
        break;
    case AK_BODY_NDJSON:
    case AK_BODY_OTHER:
        ak_faults_whole(&rows->faults, "unsupported-media-type",
                        "this media type has no rows");
        break;
    }
    ak_rows_finish(rows);
}

enum ak_status ak_body_digest(enum ak_body_kind kind, const char *content_type,
                              const uint8_t *bytes, size_t len, uint8_t out[32],
                              struct ak_err *err)
{
    const struct ak_piece whole = {bytes, len};
    struct ak_multipart m = {0};
    struct ak_piece *pieces;
    enum ak_status status =
        kind != AK_BODY_MULTIPART
            ? AK_EINVAL
            : ak_multipart_parse(content_type, bytes, len, 0, &m, err);

    /* What is no form is refused later; but a form without memory may be sent
       again, and then be one. */
    if (status == AK_ENOMEM)
        return status;
    if (status != AK_OK)
        return ak_sha256(&whole, 1, out, err);
    pieces = ak_array_new(m.n_parts * 3, sizeof(*pieces));
    if (pieces == NULL) {
        ak_multipart_clear(&m);
        return ak_fail(err, AK_ENOMEM, "no memory for the parts of a body");
    }
    for (size_t i = 0; i < m.n_parts; i++) {
        const struct ak_part *p = &m.parts[i];

        pieces[3 * i] = (struct ak_piece){p->name, strlen(p->name) + 1};
        pieces[3 * i + 1] = (struct ak_piece){&p->len, sizeof(p->len)};
        pieces[3 * i + 2] = (struct ak_piece){p->data, p->len};
    }
    status = ak_sha256(pieces, m.n_parts * 3, out, err);
    ak_array_free(pieces);
    ak_multipart_clear(&m);
    return status;
}
