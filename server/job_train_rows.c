#include "server/job_train_rows.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"

#define SLICE_NS UINT64_C(10000000)
#define BUFFER   ((size_t)1 << 18)

struct ak_train_rows {
    struct ak_collection *c; /* held */
    struct ak_snapshot *snapshot;
    FILE *file;
    uint32_t
        *classes; /* by the number of a label: its class + 1; 0: none yet */
    size_t n_labels;
    json_t *names; /* of the classes */
    uint64_t at, images;
    uint32_t n_classes;
};

static enum ak_status failed(struct ak_err *err)
{
    return ak_fail(err, errno == ENOSPC ? AK_EFULL : AK_EIO,
                   "the images for the worker: %s", strerror(errno));
}

enum ak_status ak_train_rows_create(struct ak_collection *c, const char *path,
                                    struct ak_train_rows **out,
                                    struct ak_err *err)
{
    struct ak_train_rows *r = calloc(1, sizeof(*r));

    if (r == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for images");
    r->file = fopen(path, "we");
    if (r->file == NULL) {
        free(r);
        return failed(err);
    }
    (void)setvbuf(r->file, NULL, _IOFBF, BUFFER);
    r->c = ak_collection_ref(c);
    r->snapshot = ak_collection_snapshot(c);
    r->names = json_array();
    *out = r;
    return AK_OK;
}

void ak_train_rows_destroy(struct ak_train_rows *r)
{
    if (r == NULL)
        return;
    if (r->file != NULL)
        fclose(r->file);
    ak_snapshot_drop(r->snapshot);
    ak_collection_drop(r->c);
    json_decref(r->names);
    free(r->classes);
    free(r);
}

const json_t *ak_train_rows_classes(const struct ak_train_rows *r)
{
    return r->names;
}

static enum ak_status class_of(struct ak_train_rows *r, uint32_t label,
                               uint32_t *class, struct ak_err *err)
{
    if (label >= r->n_labels) {
        size_t n = 2 * (size_t)label + 16;
        uint32_t *grown = realloc(r->classes, n * sizeof(*grown));

        if (grown == NULL)
            return ak_fail(err, AK_ENOMEM, "no memory for %u labels", label);
        memset(grown + r->n_labels, 0, (n - r->n_labels) * sizeof(*grown));
        r->classes = grown;
        r->n_labels = n;
    }
    if (r->classes[label] == 0) {
        const char *name = ak_collection_label(r->c, label);

        /* A label of a row that is seen is seen, too. */
        if (json_array_append_new(r->names,
                                  json_string(name != NULL ? name : "")) != 0)
            return ak_fail(err, AK_ENOMEM, "no memory for %u labels", label);
        r->classes[label] = ++r->n_classes;
    }
    *class = r->classes[label] - 1;
    return AK_OK;
}

static void put_number(uint8_t *to, int bytes, uint64_t value)
{
    for (int i = 0; i < bytes; i++)
        to[i] = (uint8_t)(value >> 8 * i);
}

/* One that was deleted since the snapshot has no image any more. */
static enum ak_status put_row(struct ak_train_rows *r, struct ak_view *view,
                              uint64_t row, struct ak_err *err)
{
    struct ak_bytes image;
    const uint32_t *labels;
    uint8_t head[16];
    uint32_t class = 0;
    enum ak_status status;

    if (!ak_snapshot_alive(r->snapshot, row) ||
        ak_snapshot_labels(r->snapshot, row, &labels) == 0)
        return AK_OK;
    status = ak_view_image(view, row, &image, err);
    if (status == AK_ENOTFOUND)
        return AK_OK;
    if (status == AK_OK)
        status = class_of(r, labels[0], &class, err);
    if (status != AK_OK)
        return status;
    put_number(head, 8, row);
    put_number(head + 8, 4, class);
    put_number(head + 12, 4, image.len);
    if (fwrite(head, 1, sizeof(head), r->file) != sizeof(head) ||
        fwrite(image.data, 1, image.len, r->file) != image.len)
        return failed(err);
    r->images++;
    return AK_OK;
}

enum ak_status ak_train_rows_step(struct ak_train_rows *r,
                                  struct ak_train_rows_progress *progress,
                                  struct ak_err *err)
{
    uint64_t rows = ak_snapshot_rows(r->snapshot), start = ak_clock_ns();
    struct ak_view *view = NULL;
    enum ak_status status = ak_collection_borrow(r->c, &view, err);

    while (status == AK_OK && r->at < rows && ak_clock_ns() - start < SLICE_NS)
        status = put_row(r, view, r->at++, err);
    if (view != NULL)
        ak_collection_return(r->c, view);
    if (status == AK_OK && r->at == rows &&
        (fflush(r->file) != 0 || fsync(fileno(r->file)) != 0))
        status = failed(err);
    if (status != AK_OK)
        return status;
    *progress = (struct ak_train_rows_progress){
        .done = r->at,
        .total = rows,
        .images = r->images,
        .classes = r->n_classes,
        .over = r->at == rows,
    };
    return AK_OK;
}
