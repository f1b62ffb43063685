/*
 * export.c -- one buffer is filled by a thread of the pool while the other is
 * sent.
 *
 * `lock` guards what both sides see.  It is taken under the request's lock by
 * pull(), so it is not held when the request is woken.  A damaged part of the
 * file cuts the connection: an end that looks like one would be a lie.
 */
#include "server/export.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/hex.h"
#include "server/engine_internal.h"
#include "server/log.h"
#include "server/npy.h"
#include "server/text.h"

#define BUFFER      ((size_t)256 << 10)
#define READ_ROWS   256
#define MAX_EXPORTS 4 /* each may keep the codes of one version from going */

static atomic_uint under_way;

struct ak_export {
    struct ak_task task; /* first */
    atomic_uint refs;    /* the exchange's, and the filling's */
    struct ak_request *rq;
    struct ak_collection *c;     /* held */
    struct ak_settings settings; /* of the version that is shown */
    struct ak_space space;
    struct ak_snapshot *snapshot;
    struct ak_view *view;
    enum ak_export_format format;

    /* Of who fills. */
    uint64_t at;   /* the next row */
    uint64_t left; /* items */
    void *block;   /* of READ_ROWS rows */
    float *x;      /* one row */
    uint8_t *code;
    struct ak_text next;

    pthread_mutex_t lock; /* guards what follows */
    struct ak_text ready;
    size_t sent; /* of it */
    bool filling, over, failed, gone;
};

/* ------------------------------------------------------------------ one item */

static void add_vector(struct ak_export *x, const void *row)
{
    ak_collection_unpack(&x->settings, row, 1, x->x);
    if (x->format == AK_EXPORT_NPY) {
        ak_text_add(&x->next, x->x, x->settings.dim * sizeof(float));
        return;
    }
    ak_text_add(&x->next, ",\"vector\":[", 11);
    /* Nine digits bring a float back as it was (IEEE 754, 5.12.2). */
    for (uint32_t i = 0; i < x->settings.dim; i++)
        ak_text_addf(&x->next, i > 0 ? ",%.9g" : "%.9g", (double)x->x[i]);
    ak_text_add(&x->next, "]", 1);
}

static void add_code(struct ak_export *x, uint64_t row)
{
    size_t len = x->settings.bits / 8;
    char hex[2 * 1024 / 8 + 1];

    ak_snapshot_code(x->snapshot, row, x->code);
    if (x->format == AK_EXPORT_CODES) {
        ak_text_add(&x->next, x->code, len);
        return;
    }
    ak_hex_encode(x->code, len, hex);
    ak_text_addf(&x->next, ",\"code\":\"%s\"", hex);
}

static void add_id(struct ak_export *x, uint64_t row)
{
    struct ak_id id = ak_snapshot_id(x->snapshot, row);
    char text[AK_STORE_KEY_MAX + 1];

    ak_text_add(&x->next, "{\"id\":", 6);
    if (!x->settings.string_ids) {
        ak_text_add_u64(&x->next, id.number);
        return;
    }
    memcpy(text, id.text, id.len);
    text[id.len] = '\0';
    ak_text_add_json(&x->next, text);
}

static void add_labels(struct ak_export *x, uint64_t row)
{
    const uint32_t *labels;
    size_t n = ak_snapshot_labels(x->snapshot, row, &labels);

    if (n == 0)
        return;
    ak_text_add(&x->next, ",\"labels\":[", 11);
    for (size_t i = 0; i < n; i++) {
        const char *name = ak_collection_label(x->c, labels[i]);

        if (i > 0)
            ak_text_add(&x->next, ",", 1);
        ak_text_add_json(&x->next, name != NULL ? name : "");
    }
    ak_text_add(&x->next, "]", 1);
}

/* ------------------------------------------------------------------- filling */

/* The rows of `block`: [first, end). */
struct piece {
    struct ak_export *x;
    uint64_t first, end;
};

static enum ak_status add_line(void *arg, const struct ak_row *row,
                               struct ak_err *err)
{
    struct piece *p = arg;
    struct ak_export *x = p->x;

    (void)err;
    if (row->ordinal >= p->end)
        return AK_ECANCELED;
    if (!ak_snapshot_alive(x->snapshot, row->ordinal))
        return AK_OK;
    add_id(x, row->ordinal);
    if (x->settings.format == AK_FORMAT_CODE)
        add_code(x, row->ordinal);
    else
        add_vector(x, (const uint8_t *)x->block +
                          (row->ordinal - p->first) * x->space.row_bytes);
    add_labels(x, row->ordinal);
    if (row->payload.data != NULL) {
        ak_text_add(&x->next, ",\"payload\":", 11);
        ak_text_add(&x->next, row->payload.data, row->payload.len);
    }
    ak_text_add(&x->next, "}\n", 2);
    x->left--;
    return AK_OK;
}

static void add_codes(struct ak_export *x, uint64_t end)
{
    for (uint64_t row = x->at; row < end; row++) {
        if (!ak_snapshot_alive(x->snapshot, row))
            continue;
        add_code(x, row);
        x->left--;
    }
}

static enum ak_status add_vectors(struct ak_export *x, uint64_t end,
                                  struct ak_err *err)
{
    enum ak_status status = ak_view_block(x->view, &x->space, x->at,
                                          (size_t)(end - x->at), x->block, err);

    for (uint64_t row = x->at; row < end && status == AK_OK; row++) {
        if (!ak_snapshot_alive(x->snapshot, row))
            continue;
        add_vector(x, (const uint8_t *)x->block +
                          (row - x->at) * x->space.row_bytes);
        x->left--;
    }
    return status;
}

static enum ak_status add_lines(struct ak_export *x, uint64_t end,
                                struct ak_err *err)
{
    struct piece piece = {x, x->at, end};
    enum ak_status status = AK_OK;

    if (x->settings.format != AK_FORMAT_CODE)
        status = ak_view_block(x->view, &x->space, x->at, (size_t)(end - x->at),
                               x->block, err);
    if (status == AK_OK)
        status = ak_view_rows(x->view, x->at, add_line, &piece, err);
    return status;
}

/* Fills `next`, as far as it goes; the last time *over is set. */
static enum ak_status fill(struct ak_export *x, bool *over, struct ak_err *err)
{
    uint64_t rows = ak_snapshot_rows(x->snapshot);
    uint64_t most = (BUFFER / 4) / x->space.row_bytes + 1;
    enum ak_status status = AK_OK;

    if (most > READ_ROWS)
        most = READ_ROWS;
    while (status == AK_OK && x->next.len < BUFFER && !x->next.failed) {
        uint64_t end;

        x->at = ak_snapshot_next(x->snapshot, x->at, NULL);
        if (x->at >= rows)
            break;
        end = x->at + most < rows ? x->at + most : rows;
        switch (x->format) {
        case AK_EXPORT_CODES:
            add_codes(x, end);
            break;
        case AK_EXPORT_NPY:
            status = add_vectors(x, end, err);
            break;
        case AK_EXPORT_NDJSON:
            status = add_lines(x, end, err);
            break;
        }
        x->at = end;
    }
    if (x->next.failed)
        return ak_fail(err, AK_ENOMEM, "no memory for an export");
    *over = status == AK_OK && x->at >= rows;
    if (*over && x->left > 0)
        return ak_fail(err, AK_ECORRUPT, "%llu items are missing",
                       (unsigned long long)x->left);
    return status;
}

static void destroy(struct ak_export *x)
{
    if (x->view != NULL)
        ak_collection_return(x->c, x->view);
    ak_snapshot_drop(x->snapshot);
    ak_collection_drop(x->c);
    ak_request_unref(x->rq);
    ak_text_clear(&x->next);
    ak_text_clear(&x->ready);
    free(x->block);
    free(x->x);
    free(x->code);
    pthread_mutex_destroy(&x->lock);
    free(x);
    atomic_fetch_sub(&under_way, 1);
}

static void drop(struct ak_export *x)
{
    if (atomic_fetch_sub(&x->refs, 1) == 1)
        destroy(x);
}

static void run_fill(struct ak_task *task)
{
    struct ak_export *x = (struct ak_export *)task;
    struct ak_err err = {0};
    bool over = false, gone;
    enum ak_status status = AK_OK;

    pthread_mutex_lock(&x->lock);
    gone = x->gone;
    pthread_mutex_unlock(&x->lock);
    if (!gone)
        status = fill(x, &over, &err);
    if (status != AK_OK)
        ak_log_error("http", "an export was cut",
                     AK_TEXT("collection", x->settings.name),
                     AK_NUMBER("row", x->at), AK_TEXT("reason", err.text));
    pthread_mutex_lock(&x->lock);
    x->filling = false;
    x->over = over;
    x->failed = status != AK_OK;
    pthread_mutex_unlock(&x->lock);
    ak_request_wake(x->rq);
    drop(x);
}

/* Under the lock. */
static void ask_fill(struct ak_export *x)
{
    x->filling = true;
    atomic_fetch_add(&x->refs, 1);
    ak_pool_run(ak_engine_search_pool(ak_collection_engine(x->c)), &x->task);
}

/* -------------------------------------------------------------------- sending */

/* Under the lock: what was filled is what is sent next. */
static void swap(struct ak_export *x)
{
    struct ak_text sent = x->ready;

    x->ready = x->next;
    x->next = sent;
    x->next.len = 0;
    x->sent = 0;
    if (!x->over && !x->failed)
        ask_fill(x);
}

static size_t pull(void *arg, char *out, size_t cap)
{
    struct ak_export *x = arg;
    size_t n;

    pthread_mutex_lock(&x->lock);
    if (x->sent == x->ready.len && !x->filling)
        swap(x);
    n = x->ready.len - x->sent;
    if (n > cap)
        n = cap;
    if (n > 0)
        memcpy(out, x->ready.data + x->sent, n);
    else if (!x->filling && x->failed)
        n = AK_FEED_CUT;
    else if (!x->filling && x->over && x->next.len == 0)
        n = AK_FEED_END;
    if (n < AK_FEED_CUT)
        x->sent += n;
    pthread_mutex_unlock(&x->lock);
    return n;
}

static void gone(void *arg)
{
    struct ak_export *x = arg;

    pthread_mutex_lock(&x->lock);
    x->gone = true;
    pthread_mutex_unlock(&x->lock);
    drop(x);
}

/* The head of an array, and the size of all of it; 0: it is not known. */
static enum ak_status begin(struct ak_export *x, uint64_t *size,
                            struct ak_err *err)
{
    bool codes = x->format == AK_EXPORT_CODES;
    uint64_t shape[2] = {x->left,
                         codes ? x->settings.bits / 8 : x->settings.dim};
    struct ak_writer w = {0};

    *size = 0;
    if (x->format == AK_EXPORT_NDJSON)
        return AK_OK;
    ak_npy_write_header(&w, codes ? AK_NPY_U8 : AK_NPY_F32, 2, shape);
    if (w.status == AK_OK)
        ak_text_add(&x->next, w.data, w.len);
    *size = w.len + shape[0] * shape[1] * (codes ? 1 : sizeof(float));
    ak_writer_clear(&w);
    return w.status == AK_OK && !x->next.failed
               ? AK_OK
               : ak_fail(err, AK_ENOMEM, "no memory for an export");
}

enum ak_status ak_export_create(struct ak_request *rq, struct ak_collection *c,
                                enum ak_export_format format,
                                struct ak_export **out, struct ak_err *err)
{
    struct ak_export *x;
    enum ak_status status;

    if (atomic_fetch_add(&under_way, 1) >= MAX_EXPORTS) {
        atomic_fetch_sub(&under_way, 1);
        return ak_fail(err, AK_ELIMIT, "%d exports are under way", MAX_EXPORTS);
    }
    x = calloc(1, sizeof(*x));
    if (x == NULL) {
        atomic_fetch_sub(&under_way, 1);
        return ak_fail(err, AK_ENOMEM, "no memory for an export");
    }
    x->task.run = run_fill;
    atomic_init(&x->refs, 1);
    pthread_mutex_init(&x->lock, NULL);
    x->rq = ak_request_ref(rq);
    x->c = ak_collection_ref(c);
    x->format = format;
    x->snapshot = ak_collection_snapshot(c);
    ak_collection_settings_of(c, ak_snapshot_version(x->snapshot),
                              &x->settings);
    x->space = ak_settings_space(&x->settings);
    x->left = ak_snapshot_live(x->snapshot);
    x->block = malloc((size_t)READ_ROWS * x->space.row_bytes);
    x->x = calloc(x->settings.dim + 1, sizeof(float));
    x->code = malloc(c->shape.code_bytes);
    status = ak_collection_borrow(c, &x->view, err);
    if (status == AK_OK &&
        (x->block == NULL || x->x == NULL || x->code == NULL))
        status = ak_fail(err, AK_ENOMEM, "no memory for an export");
    if (status != AK_OK) {
        drop(x);
        return status;
    }
    *out = x;
    return AK_OK;
}

uint64_t ak_export_version(const struct ak_export *x)
{
    return ak_snapshot_version(x->snapshot);
}

void ak_export_reply(struct ak_export *x)
{
    struct ak_feed feed = {
        .pull = pull, .gone = gone, .arg = x, .whole = true, .block = 65536};
    struct ak_request *rq = x->rq;
    struct ak_err err = {0};

    if (begin(x, &feed.size, &err) != AK_OK) {
        drop(x);
        ak_reply_failure(rq, AK_ENOMEM, &err);
        return;
    }
    ak_reply_feed(rq, 200,
                  x->format == AK_EXPORT_NDJSON ? "application/x-ndjson"
                                                : "application/x-npy",
                  &feed);
}
