/* routes_items.c -- items are listed and shown. */
#include "server/routes.h"

#include <stdlib.h>
#include <string.h>

#include "core/image/encode.h"
#include "core/image/resize.h"
#include "server/cursor.h"
#include "server/decoder.h"
#include "server/item_json.h"
#include "server/limits.h"
#include "server/op.h"

#define DEFAULT_LIMIT 100
#define THUMB_SIDE    128
/* Rows that one page looks at when few of them have the label. */
#define MAX_WALK 65536

/* Answer with what was looked up and end the look-up; `o` is stolen. */
static void reply_looked_up(struct ak_op *op, struct ak_lookup *l,
                            enum ak_status status, json_t *o,
                            const struct ak_err *err)
{
    ak_op_headers(op, ak_snapshot_version(l->snapshot), l->visible_seq);
    ak_lookup_clear(l);
    if (status != AK_OK)
        ak_op_fail(op, status, err);
    else
        ak_reply_json(op->rq, 200, o);
}

/* -------------------------------------------------------------------- listing */

struct listing {
    uint64_t limit;
    unsigned with;
    uint64_t scope;      /* of its cursors */
    uint64_t from;       /* ordinal */
    const char *label;   /* NULL: all */
    uint32_t number;     /* of the label */
    struct ak_row *rows; /* (limit) copies */
    size_t n, walked;
    uint64_t next; /* where the next page begins */
    bool more;
    struct ak_arena *arena;
};

static bool has_label(const struct ak_row *row, uint32_t number)
{
    for (size_t i = 0; i < row->n_labels; i++)
        if (row->labels[i] == number)
            return true;
    return false;
}

static enum ak_status list_row(void *arg, const struct ak_row *row,
                               struct ak_err *err)
{
    struct listing *list = arg;
    bool wanted =
        row->dead == 0 && (list->label == NULL || has_label(row, list->number));

    list->next = row->ordinal;
    /* One row more than is shown tells whether there is another page; a page
       that found something need not look at all rows for the rest of it. */
    if ((wanted && list->n == list->limit) ||
        (list->n > 0 && list->walked >= MAX_WALK)) {
        list->more = true;
        return AK_ECANCELED;
    }
    list->walked++;
    if (!wanted)
        return AK_OK;
    return ak_item_copy(row, list->arena, &list->rows[list->n++], err);
}

static enum ak_status walk_rows(struct ak_lookup *l, struct listing *list,
                                struct ak_err *err)
{
    struct ak_bytes name = {list->label,
                            list->label != NULL ? strlen(list->label) : 0};
    struct ak_view *view;
    enum ak_status status = ak_lookup_view(l, &view, err);

    if (status == AK_OK && list->label != NULL) {
        status = ak_view_label_number(view, name, &list->number, err);
        if (status == AK_ENOTFOUND)
            return AK_OK; /* no item has it */
    }
    if (status == AK_OK)
        status = ak_view_rows(view, list->from, list_row, list, err);
    return status;
}

static json_t *items_json(struct ak_lookup *l, struct listing *list,
                          struct ak_err *err)
{
    struct ak_cursor cursor = {
        .kind = AK_CURSOR_ITEMS, .scope = list->scope, .ordinal = list->next};
    char text[AK_CURSOR_TEXT];
    const char *next = list->more ? ak_cursor_write(&cursor, text) : NULL;
    json_t *items, *item;

    /* Without it the list would seem to end here. */
    if (list->more && next == NULL)
        return NULL;
    items = json_array();

    for (size_t i = 0; i < list->n && items != NULL; i++) {
        if (ak_item_json(l, &list->rows[i], list->with, &item, err) != AK_OK ||
            json_array_append_new(items, item) != 0) {
            json_decref(items);
            return NULL;
        }
    }
    return json_pack("{s:o, s:s?}", "items", items, "next_cursor", next);
}

static void list_items(struct ak_op *op)
{
    struct listing *list = op->arg;
    struct ak_err err = {0};
    struct ak_lookup l;
    json_t *o = NULL;
    enum ak_status status;

    ak_lookup_init(&l, op->c, &op->settings);
    status = walk_rows(&l, list, &err);
    if (status == AK_OK) {
        o = items_json(&l, list, &err);
        if (o == NULL)
            status = err.status != AK_OK ? err.status : AK_ENOMEM;
    }
    reply_looked_up(op, &l, status, o, &err);
}

static void get_items(struct ak_request *rq)
{
    static const char *const names[] = {"cursor", "limit", "label", "with"};
    struct ak_op *op = ak_op_begin(rq, AK_OP_READS, names, AK_COUNT(names));
    const char *text = ak_request_query(rq, "cursor");
    struct ak_cursor cursor = {0};
    struct listing *list;

    if (op == NULL)
        return;
    list = ak_arena_array(&op->arena, 1, sizeof(*list));
    if (list == NULL) {
        ak_op_fail(op, AK_ENOMEM, NULL);
        return;
    }
    op->arg = list;
    list->arena = &op->arena;
    list->label = ak_request_query(rq, "label");
    list->scope = ak_cursor_scope(
        (const char *const[]){op->settings.name, list->label}, 2);
    if (!ak_op_query_number(op, "limit", 1, ak_limits()->max_limit,
                            DEFAULT_LIMIT, &list->limit))
        return;
    if (!ak_item_parse_with(ak_request_query(rq, "with"), &list->with)) {
        ak_op_fault(op, "/with", "unsupported-option",
                    "must be of: vector, code, payload, labels");
        return;
    }
    if (text != NULL && (!ak_cursor_read(text, AK_CURSOR_ITEMS, &cursor) ||
                         cursor.scope != list->scope)) {
        ak_reply_problem(rq, "invalid-cursor",
                         "the cursor is not one of this list of items");
        return;
    }
    list->from = cursor.ordinal;
    list->rows = ak_arena_array(&op->arena, list->limit, sizeof(*list->rows));
    if (list->rows == NULL)
        ak_op_fail(op, AK_ENOMEM, NULL);
    else
        ak_op_run(op, list_items);
}

/* ------------------------------------------------------------------- one item */

struct shown {
    struct ak_row_id id;
    unsigned with;
    bool thumb;
};

/* Begin a route with {id}; NULL: it was answered. */
static struct shown *begin_item(struct ak_request *rq, struct ak_op **op,
                                const char *name)
{
    struct shown *shown;

    *op = ak_op_begin(rq, AK_OP_READS, &name, 1);
    if (*op == NULL)
        return NULL;
    shown = ak_arena_array(&(*op)->arena, 1, sizeof(*shown));
    if (shown == NULL)
        ak_op_fail(*op, AK_ENOMEM, NULL);
    else if (!ak_op_path_id(*op, &shown->id))
        shown = NULL;
    (*op)->arg = shown;
    return shown;
}

static enum ak_status find_row(struct ak_op *op, struct ak_lookup *l,
                               struct ak_row *out, struct ak_err *err)
{
    struct shown *shown = op->arg;
    struct ak_view *view;
    struct ak_row row;
    enum ak_status status = ak_lookup_view(l, &view, err);

    if (status == AK_OK)
        status = ak_view_find(view, &shown->id, &row, err);
    if (status == AK_OK)
        status = ak_item_copy(&row, &op->arena, out, err);
    if (status == AK_ENOTFOUND)
        return ak_fail(err, status, "there is no such item");
    return status;
}

static void show_item(struct ak_op *op)
{
    struct shown *shown = op->arg;
    struct ak_err err = {0};
    struct ak_lookup l;
    struct ak_row row;
    json_t *o = NULL;
    enum ak_status status;

    ak_lookup_init(&l, op->c, &op->settings);
    status = find_row(op, &l, &row, &err);
    if (status == AK_OK)
        status = ak_item_json(&l, &row, shown->with, &o, &err);
    reply_looked_up(op, &l, status, o, &err);
}

static void get_item(struct ak_request *rq)
{
    struct ak_op *op;
    struct shown *shown = begin_item(rq, &op, "with");

    if (shown == NULL)
        return;
    if (ak_item_parse_with(ak_request_query(rq, "with"), &shown->with))
        ak_op_run(op, show_item);
    else
        ak_op_fault(op, "/with", "unsupported-option",
                    "must be of: vector, code, payload, labels");
}

/* ------------------------------------------------------------------ its image */

/*
 * The whole image, no side longer than THUMB_SIDE, as PNG.  `slug` is what the
 * answer is when the image, which was decoded when it came, cannot be now.
 */
static enum ak_status make_thumb(struct ak_bytes file, struct ak_writer *w,
                                 const char **slug, struct ak_err *err)
{
    struct ak_image image = {0}, small = {0};
    uint32_t side, width, height;
    enum ak_status status = ak_decoder_decode(file.data, file.len, THUMB_SIDE,
                                              THUMB_SIDE, &image, err);

    if (status != AK_OK && status != AK_ENOMEM)
        *slug = status == AK_EBUSY    ? "decoder-unavailable"
                : status == AK_ELIMIT ? "image-too-large"
                                      : "image-undecodable";
    if (status != AK_OK)
        return status;
    side = image.width > image.height ? image.width : image.height;
    width = image.width;
    height = image.height;
    if (side > THUMB_SIDE) {
        width = (uint32_t)((uint64_t)width * THUMB_SIDE / side);
        height = (uint32_t)((uint64_t)height * THUMB_SIDE / side);
    }
    status = ak_image_resize(&image, width > 0 ? width : 1,
                             height > 0 ? height : 1, &small, err);
    if (status == AK_OK)
        status = ak_image_encode_png(&small, w, err);
    ak_image_clear(&small);
    ak_image_clear(&image);
    return status;
}

static const char *image_type(const uint8_t *bytes, size_t len)
{
    return len > 1 && bytes[0] == 0xff && bytes[1] == 0xd8 ? "image/jpeg"
                                                           : "image/png";
}

static void show_image(struct ak_op *op)
{
    struct shown *shown = op->arg;
    const char *slug = NULL;
    struct ak_err err = {0};
    struct ak_writer w = {0};
    struct ak_bytes file;
    struct ak_view *view;
    struct ak_lookup l;
    struct ak_row row;
    enum ak_status status;

    ak_lookup_init(&l, op->c, &op->settings);
    status = find_row(op, &l, &row, &err);
    if (status == AK_OK)
        status = ak_lookup_view(&l, &view, &err);
    if (status == AK_OK) {
        status = ak_view_image(view, row.ordinal, &file, &err);
        if (status == AK_ENOTFOUND)
            ak_fail(&err, status, "the item has no stored image");
    }
    if (status == AK_OK && shown->thumb)
        status = make_thumb(file, &w, &slug, &err);
    else if (status == AK_OK)
        ak_write_bytes(&w, file.data, file.len);
    ak_lookup_clear(&l);
    if (status == AK_OK && w.status != AK_OK)
        status = w.status;
    if (status == AK_OK) {
        ak_reply_bytes(op->rq, 200, image_type(w.data, w.len), w.data, w.len);
        return;
    }
    ak_writer_clear(&w);
    if (slug != NULL)
        ak_reply_problem(op->rq, slug, "%s", err.text);
    else
        ak_op_fail(op, status, &err);
}

static void get_image(struct ak_request *rq)
{
    const char *size = ak_request_query(rq, "size");
    struct ak_op *op;
    struct shown *shown = begin_item(rq, &op, "size");

    if (shown == NULL)
        return;
    shown->thumb = size != NULL;
    if (size == NULL || strcmp(size, "thumb") == 0)
        ak_op_run(op, show_image);
    else
        ak_op_fault(op, "/size", "unsupported-option", "must be thumb");
}

const struct ak_route ak_routes_items[] = {
    {"GET", "/v1/collections/{c}/items", get_items, 0,
     "items in order of arrival"},
    {"GET", "/v1/collections/{c}/items/{id}", get_item, 0, "one item"},
    {"GET", "/v1/collections/{c}/items/{id}/image", get_image, 0,
     "the image of an item as it came, or a small one"},
    {0},
};
