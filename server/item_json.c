#include "server/item_json.h"

#include <string.h>

#include "core/base/hex.h"
#include "core/base/mem.h"
#include "core/code/code.h"
#include "server/id_json.h"
#include "server/json_memory.h"

enum ak_status ak_item_copy(const struct ak_row *row, struct ak_arena *arena,
                            struct ak_row *out, struct ak_err *err)
{
    struct ak_row copy = *row;
    uint32_t *labels = ak_arena_array(arena, row->n_labels, sizeof(*labels));
    bool good = labels != NULL;

    if (good && row->n_labels > 0)
        memcpy(labels, row->labels, row->n_labels * sizeof(*labels));
    copy.labels = labels;
    if (good && row->id.text != NULL) {
        copy.id.text = ak_arena_copy(arena, row->id.text, row->id.len);
        good = copy.id.text != NULL;
    }
    if (good && row->payload.data != NULL) {
        copy.payload.data =
            ak_arena_copy(arena, row->payload.data, row->payload.len);
        good = copy.payload.data != NULL;
    }
    if (!good)
        return ak_fail(err, AK_ENOMEM, "no memory for a row");
    *out = copy;
    return AK_OK;
}

static json_t *vector_json(struct ak_lookup *l, const struct ak_row *row,
                           struct ak_err *err)
{
    size_t dim = l->settings->dim;
    float *x = ak_array_new(dim, sizeof(*x));
    json_t *list = NULL;

    if (x != NULL && ak_lookup_vector(l, row->ordinal, x, err) == AK_OK)
        list = json_array();
    for (size_t i = 0; i < dim && list != NULL; i++) {
        if (json_array_append_new(list, json_real((double)x[i])) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    ak_array_free(x);
    return list;
}

/*
 * The code under the published model.  A row that the snapshot does not show
 * yet is encoded here: an encoder gives a vector the same code everywhere.
 */
static enum ak_status read_code(struct ak_lookup *l, const struct ak_row *row,
                                uint8_t *code, struct ak_err *err)
{
    const struct ak_settings *s = l->settings;
    const struct ak_space space = ak_settings_space(s);
    struct ak_encoder *model = ak_collection_model(l->snapshot);
    struct ak_view *view;
    float *x = NULL;
    void *scratch = NULL;
    enum ak_status status;

    if (row->ordinal < ak_snapshot_rows(l->snapshot)) {
        ak_snapshot_code(l->snapshot, row->ordinal, code);
        return AK_OK;
    }
    if (s->format == AK_FORMAT_CODE) {
        status = ak_lookup_view(l, &view, err);
        return status != AK_OK
                   ? status
                   : ak_view_block(view, &space, row->ordinal, 1, code, err);
    }
    x = ak_array_new(s->dim, sizeof(*x));
    scratch = ak_array_new(1, ak_encoder_scratch(model));
    status = x == NULL || scratch == NULL
                 ? ak_fail(err, AK_ENOMEM, "no memory to encode a row")
                 : ak_lookup_vector(l, row->ordinal, x, err);
    if (status == AK_OK)
        ak_encoder_encode(model, x, 1, code, scratch);
    ak_array_free(scratch);
    ak_array_free(x);
    return status;
}

static enum ak_status add_code(struct ak_lookup *l, const struct ak_row *row,
                               json_t *o, struct ak_err *err)
{
    uint8_t code[AK_CODE_MAX_BITS / 8];
    char hex[AK_CODE_MAX_BITS / 4 + 1];
    enum ak_status status = read_code(l, row, code, err);

    if (status != AK_OK)
        return status;
    ak_hex_encode(code, ak_code_bytes(l->settings->bits), hex);
    return json_object_set_new(o, "code", json_string(hex)) == 0
               ? AK_OK
               : ak_fail(err, AK_ENOMEM, "no memory for a code");
}

enum ak_status ak_item_json(struct ak_lookup *l, const struct ak_row *row,
                            unsigned with, json_t **out, struct ak_err *err)
{
    json_t *id = ak_id_json(l->settings->string_ids, row->id.number,
                            row->id.text, row->id.len);
    json_t *labels = ak_lookup_labels(l, row->labels, row->n_labels);
    json_t *payload = row->payload.data == NULL
                          ? json_null()
                          : ak_json_value(row->payload.data, row->payload.len,
                                          JSON_ALLOW_NUL, NULL);
    json_t *o = json_pack("{s:o, s:o, s:o}", "id", id, "labels", labels,
                          "payload", payload);
    enum ak_status status =
        o == NULL ? ak_fail(err, AK_ENOMEM, "no memory for an item") : AK_OK;

    if (status == AK_OK && with & AK_ITEM_CODE)
        status = add_code(l, row, o, err);
    if (status == AK_OK && with & AK_ITEM_VECTOR &&
        l->settings->format != AK_FORMAT_CODE &&
        json_object_set_new(o, "vector", vector_json(l, row, err)) != 0)
        status = err != NULL && err->status != AK_OK ? err->status : AK_ENOMEM;
    if (status != AK_OK)
        json_decref(o);
    else
        *out = o;
    return status;
}

bool ak_item_parse_with(const char *text, unsigned *out)
{
    *out = 0;
    while (text != NULL && *text != '\0') {
        size_t len = strcspn(text, ",");

        if (len == 6 && memcmp(text, "vector", 6) == 0)
            *out |= AK_ITEM_VECTOR;
        else if (len == 4 && memcmp(text, "code", 4) == 0)
            *out |= AK_ITEM_CODE;
        /* These are there anyway. */
        else if (!((len == 7 && memcmp(text, "payload", 7) == 0) ||
                   (len == 6 && memcmp(text, "labels", 6) == 0)))
            return false;
        text += len;
        text += *text == ',';
    }
    return true;
}
