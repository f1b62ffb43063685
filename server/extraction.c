#include "server/extraction.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "server/engine_internal.h"

/* A slice ends after so long, or when a block of so many bytes is full. */
#define SLICE_NS    UINT64_C(10000000)
#define BLOCK_BYTES 65536
/* Images that are read for one: so many a thread, and of so many bytes. */
#define ROWS_A_THREAD 32
#define IMAGE_BYTES   ((size_t)4 << 20)

/* A row of a slice, while threads compute it. */
struct part {
    size_t from, len; /* its image in `images` */
    bool absent;      /* it has none */
    bool done, good;
    enum ak_status status;
    struct ak_err err;
};

struct ak_extraction {
    struct ak_collection *c; /* held */
    struct ak_run *run;      /* held */
    struct ak_settings settings;
    struct ak_space space;
    uint64_t at;    /* rows before this one are there, or on their way */
    uint64_t total; /* as it was looked at last */
    uint64_t blank;
    size_t room; /* rows in a block */
    struct put *put;
    struct part *parts; /* (n_parts) */
    size_t n_parts;
    struct ak_writer images; /* of a slice */
    size_t least;            /* rows of it that no clock ends */
    uint64_t end_ns;
};

/* Shared with the writer. */
struct put {
    struct ak_job job; /* first */
    atomic_uint refs;
    struct ak_collection *c; /* held */
    struct ak_run *run;      /* held */
    struct ak_space space;
    uint64_t first;
    size_t n;
    atomic_bool under_way, failed;
    struct ak_err err;
    uint8_t block[];
};

static void release(struct put *p)
{
    if (p == NULL || atomic_fetch_sub(&p->refs, 1) > 1)
        return;
    ak_run_drop(p->run);
    ak_collection_drop(p->c);
    free(p);
}

static enum ak_status put_apply(struct ak_job *job, struct ak_store *store,
                                struct ak_err *err)
{
    struct put *p = (struct put *)job;

    return ak_store_put_vectors(store, &p->space, p->first, p->n, p->block,
                                err);
}

static void put_done(struct ak_job *job, enum ak_status status,
                     const struct ak_err *err)
{
    struct put *p = (struct put *)job;

    if (status != AK_OK) {
        p->err = *err;
        p->err.status = status;
        atomic_store(&p->failed, true);
    }
    atomic_store(&p->under_way, false);
    ak_run_wake(p->run);
    release(p);
}

enum ak_status ak_extraction_create(struct ak_run *run,
                                    const struct ak_settings *settings,
                                    struct ak_extraction **out,
                                    struct ak_err *err)
{
    struct ak_extraction *x = calloc(1, sizeof(*x));

    if (x == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory to extract");
    x->settings = *settings;
    x->space = ak_settings_space(settings);
    x->room =
        x->space.row_bytes < BLOCK_BYTES ? BLOCK_BYTES / x->space.row_bytes : 1;
    x->put = calloc(1, sizeof(*x->put) + x->room * x->space.row_bytes);
    x->n_parts = ROWS_A_THREAD * ak_pool_threads(ak_run_engine(run)->work);
    if (x->n_parts > x->room)
        x->n_parts = x->room;
    x->parts = calloc(x->n_parts, sizeof(*x->parts));
    if (x->put == NULL || x->parts == NULL) {
        free(x->put);
        free(x->parts);
        free(x);
        return ak_fail(err, AK_ENOMEM, "no memory to extract");
    }
    x->c = ak_collection_ref(ak_run_collection(run));
    x->run = ak_run_hold(run);
    x->put->job.apply = put_apply;
    x->put->job.done = put_done;
    atomic_init(&x->put->refs, 1);
    atomic_init(&x->put->under_way, false);
    atomic_init(&x->put->failed, false);
    x->put->c = ak_collection_ref(x->c);
    x->put->run = ak_run_hold(run);
    x->put->space = x->space;
    *out = x;
    return AK_OK;
}

void ak_extraction_destroy(struct ak_extraction *x)
{
    if (x == NULL)
        return;
    release(x->put);
    ak_run_drop(x->run);
    ak_collection_drop(x->c);
    ak_writer_clear(&x->images);
    free(x->parts);
    free(x);
}

void ak_extraction_progress(const struct ak_extraction *x, uint64_t *done,
                            uint64_t *total, uint64_t *blank)
{
    *done = x->at;
    *total = x->total;
    *blank = x->blank;
}

/* Past the rows that have a vector, as far as there are such. */
static enum ak_status pass_over(struct ak_extraction *x, struct ak_view *view,
                                struct ak_err *err)
{
    enum ak_status status = AK_OK;
    size_t got = 1;

    while (x->at < x->total && got > 0 && status == AK_OK) {
        uint64_t left = x->total - x->at;
        size_t n = left < x->room ? (size_t)left : x->room;

        status = ak_view_vectors(view, &x->space, x->at, n, x->put->block, &got,
                                 err);
        x->at += status == AK_OK ? got : 0;
    }
    return status;
}

/* The images of up to `most` rows from `at` on, since a view lends one at a time;
   *n are there. */
static enum ak_status read_images(struct ak_extraction *x, struct ak_view *view,
                                  size_t most, size_t *n, struct ak_err *err)
{
    x->images.len = 0;
    for (*n = 0; *n < most && (*n == 0 || x->images.len < IMAGE_BYTES); ++*n) {
        struct part *part = &x->parts[*n];
        struct ak_bytes image = {NULL, 0};
        enum ak_status status = ak_view_image(view, x->at + *n, &image, err);

        if (status != AK_OK && status != AK_ENOTFOUND)
            return status;
        *part = (struct part){.from = x->images.len,
                              .len = image.len,
                              .absent = image.data == NULL};
        ak_write_bytes(&x->images, image.data, image.len);
    }
    return x->images.status == AK_OK
               ? AK_OK
               : ak_fail(err, AK_ENOMEM, "no memory for images");
}

/* Row i of a slice, on any thread; later rows find that its time is over. */
static void compute_row(void *arg, size_t i)
{
    struct ak_extraction *x = arg;
    struct part *part = &x->parts[i];
    struct ak_bytes image = {NULL, 0};

    if (i >= x->least && ak_clock_ns() >= x->end_ns)
        return;
    if (!part->absent)
        image = (struct ak_bytes){x->images.data + part->from, part->len};
    part->status = ak_collection_compute(x->c, &x->settings, image,
                                         x->put->block + i * x->space.row_bytes,
                                         &part->good, &part->err);
    part->done = true;
}

static void compute_rows(struct ak_extraction *x, size_t n, unsigned threads)
{
    x->least = threads;
    x->end_ns = ak_clock_ns() + SLICE_NS;
    if (threads > 1)
        ak_pool_share(x->c->engine->work, n, compute_row, x);
    else
        for (size_t i = 0; i < n; i++)
            compute_row(x, i);
}

/* Vectors of the rows from `at` on, as many as a slice has time for, to the
   writer. */
static enum ak_status compute_some(struct ak_extraction *x,
                                   struct ak_view *view, struct ak_err *err)
{
    struct ak_engine *e = x->c->engine;
    /* What arrives is as nice, and has the other threads. */
    unsigned threads =
        atomic_load(&e->images_asked) > 0 ? 1 : ak_pool_threads(e->work);
    uint64_t left = x->total - x->at;
    size_t most = ROWS_A_THREAD * threads, n = 0;
    struct put *p = x->put;
    enum ak_status status;

    most = most < x->n_parts ? most : x->n_parts;
    status =
        read_images(x, view, left < most ? (size_t)left : most, &most, err);
    if (status != AK_OK)
        return status;
    compute_rows(x, most, threads);
    for (; n < most && x->parts[n].done; n++) {
        if (x->parts[n].status != AK_OK) {
            if (err != NULL)
                *err = x->parts[n].err;
            return x->parts[n].status;
        }
        x->blank += !x->parts[n].good;
    }
    p->first = x->at;
    p->n = n;
    p->job.bytes = n * x->space.row_bytes;
    x->at += n;
    atomic_fetch_add(&p->refs, 1);
    atomic_store(&p->under_way, true);
    ak_writer_push(x->c->engine->writer, &x->c->lane, &p->job);
    return AK_OK;
}

enum ak_status ak_extraction_run(struct ak_extraction *x, struct ak_view *view,
                                 enum ak_extraction_step *step, uint64_t *seq,
                                 struct ak_err *err)
{
    struct ak_store_info info;
    enum ak_status status;

    *step = AK_EXTRACTION_WAIT;
    if (atomic_load(&x->put->under_way))
        return AK_OK;
    if (atomic_load(&x->put->failed)) {
        if (err != NULL)
            *err = x->put->err;
        return x->put->err.status;
    }
    status = ak_view_info(view, &info, err);
    if (status != AK_OK)
        return status;
    x->total = info.next_ordinal;
    status = pass_over(x, view, err);
    if (status != AK_OK)
        return status;
    if (x->at < x->total)
        return compute_some(x, view, err);
    *step = AK_EXTRACTION_IDLE;
    *seq = info.last_seq;
    return AK_OK;
}
