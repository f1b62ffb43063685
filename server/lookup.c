#include "server/lookup.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

void ak_lookup_init(struct ak_lookup *l, struct ak_collection *c,
                    struct ak_settings *settings)
{
    uint64_t version;

    memset(l, 0, sizeof(*l));
    l->c = c;
    l->settings = settings;
    /* First the number, then the snapshot: it shows that record or more. */
    l->visible_seq = ak_collection_visible_seq(c);
    l->snapshot = ak_collection_snapshot(c);
    version = ak_snapshot_version(l->snapshot);
    if (ak_collection_space_of(c, version) != settings->space)
        ak_collection_settings_of(c, version, settings);
}

void ak_lookup_clear(struct ak_lookup *l)
{
    if (l->view != NULL)
        ak_collection_return(l->c, l->view);
    ak_snapshot_drop(l->snapshot);
    memset(l, 0, sizeof(*l));
}

enum ak_status ak_lookup_view(struct ak_lookup *l, struct ak_view **out,
                              struct ak_err *err)
{
    enum ak_status status = AK_OK;

    if (l->view == NULL)
        status = ak_collection_borrow(l->c, &l->view, err);
    if (status == AK_OK)
        *out = l->view;
    return status;
}

/* -------------------------------------------------------------------- rows */

static int compare_ids(const void *a, const void *b)
{
    const struct ak_row_id *x = a, *y = b;
    size_t len = x->len < y->len ? x->len : y->len;
    int order = len > 0 ? memcmp(x->text, y->text, len) : 0;

    if (order == 0)
        order = (x->len > y->len) - (x->len < y->len);
    return order != 0 ? order
                      : (x->number > y->number) - (x->number < y->number);
}

/*
 * The file says of these ids that they have no row, or one that the snapshot
 * does not show yet.  They may have had another: look at all of them.
 */
static enum ak_status scan_ids(struct ak_lookup *l, struct ak_row_id *ids,
                               size_t n, uint64_t *ordinals, size_t *n_rows)
{
    uint64_t end = ak_snapshot_rows(l->snapshot);
    bool string_ids = l->settings->string_ids;

    qsort(ids, n, sizeof(*ids), compare_ids);
    for (uint64_t o = ak_snapshot_next(l->snapshot, 0, NULL); o < end;
         o = ak_snapshot_next(l->snapshot, o + 1, NULL)) {
        struct ak_id id = ak_snapshot_id(l->snapshot, o);
        struct ak_row_id key = {.number = string_ids ? 0 : id.number,
                                .text = string_ids ? id.text : NULL,
                                .len = string_ids ? id.len : 0};

        if (bsearch(&key, ids, n, sizeof(*ids), compare_ids) != NULL)
            ordinals[(*n_rows)++] = o;
    }
    return AK_OK;
}

enum ak_status ak_lookup_rows(struct ak_lookup *l, const struct ak_row_id *ids,
                              size_t n, uint64_t *ordinals, size_t *n_rows,
                              struct ak_err *err)
{
    uint64_t end = ak_snapshot_rows(l->snapshot);
    struct ak_row_id *doubtful = NULL;
    struct ak_store_info info;
    struct ak_view *view;
    struct ak_row row;
    size_t n_doubtful = 0, found = 0;
    enum ak_status status = ak_lookup_view(l, &view, err);

    if (status != AK_OK)
        return status;
    doubtful = ak_array_new(n, sizeof(*doubtful));
    if (doubtful == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for %zu ids", n);
    for (size_t i = 0; i < n; i++) {
        status = ak_view_find(view, &ids[i], &row, err);
        if (status != AK_OK && status != AK_ENOTFOUND)
            goto out;
        if (status == AK_OK && row.ordinal < end &&
            ak_snapshot_alive(l->snapshot, row.ordinal))
            ordinals[found++] = row.ordinal;
        else
            doubtful[n_doubtful++] = ids[i];
    }
    status = AK_OK;
    if (n_doubtful > 0) {
        status = ak_view_info(view, &info, err);
        if (status == AK_OK && info.last_seq > l->visible_seq)
            status = scan_ids(l, doubtful, n_doubtful, ordinals, &found);
    }
    if (status == AK_OK)
        *n_rows = found;
out:
    ak_array_free(doubtful);
    return status;
}

static bool label_number(void *arg, const char *name, size_t len,
                         uint32_t *number)
{
    struct ak_lookup *l = arg;

    return ak_collection_label_number(l->c, name, len, number);
}

static enum ak_status rows_of_ids(void *arg, const struct ak_row_id *ids,
                                  size_t n, uint64_t *ordinals, size_t *n_rows,
                                  struct ak_err *err)
{
    return ak_lookup_rows(arg, ids, n, ordinals, n_rows, err);
}

struct ak_filter_names ak_lookup_names(struct ak_lookup *l)
{
    return (struct ak_filter_names){
        .arg = l, .label = label_number, .rows = rows_of_ids};
}

/* ----------------------------------------------------------------- contents */

enum ak_status ak_lookup_vector(struct ak_lookup *l, uint64_t ordinal,
                                float *out, struct ak_err *err)
{
    const struct ak_space space = ak_settings_space(l->settings);
    void *block = ak_array_new(1, space.row_bytes);
    struct ak_view *view;
    enum ak_status status;

    if (block == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for a row");
    status = ak_lookup_view(l, &view, err);
    if (status == AK_OK)
        status = ak_view_block(view, &space, ordinal, 1, block, err);
    if (status == AK_OK)
        ak_collection_unpack(l->settings, block, 1, out);
    ak_array_free(block);
    return status;
}

struct payload_walk {
    uint64_t ordinal;
    struct ak_arena *arena;
    struct ak_bytes *out;
};

static enum ak_status take_payload(void *arg, const struct ak_row *row,
                                   struct ak_err *err)
{
    struct payload_walk *walk = arg;

    if (row->ordinal == walk->ordinal && row->payload.data != NULL) {
        walk->out->len = row->payload.len;
        walk->out->data =
            ak_arena_copy(walk->arena, row->payload.data, row->payload.len);
        if (walk->out->data == NULL)
            return ak_fail(err, AK_ENOMEM, "no memory for a payload");
    }
    return AK_ECANCELED; /* one row is enough */
}

enum ak_status ak_lookup_payload(struct ak_lookup *l, uint64_t ordinal,
                                 struct ak_arena *arena, struct ak_bytes *out,
                                 struct ak_err *err)
{
    struct payload_walk walk = {ordinal, arena, out};
    struct ak_view *view;
    enum ak_status status = ak_lookup_view(l, &view, err);

    *out = (struct ak_bytes){0};
    if (status == AK_OK)
        status = ak_view_rows(view, ordinal, take_payload, &walk, err);
    return status;
}

json_t *ak_lookup_labels(struct ak_lookup *l, const uint32_t *labels, size_t n)
{
    json_t *list = json_array();

    for (size_t i = 0; i < n && list != NULL; i++) {
        const char *name = ak_collection_label(l->c, labels[i]);
        struct ak_bytes stored = {0};
        struct ak_view *view;
        json_t *text = NULL;

        /* A number that is not visible yet has its name in the file only. */
        if (name != NULL)
            text = json_string(name);
        else if (ak_lookup_view(l, &view, NULL) == AK_OK &&
                 ak_view_label(view, labels[i], &stored, NULL) == AK_OK)
            text = json_stringn(stored.data, stored.len);
        if (text == NULL || json_array_append_new(list, text) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}
