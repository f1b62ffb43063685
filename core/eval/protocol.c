/*
 * protocol.c -- the evaluation protocol of the online hashing papers.
 *
 * After the authors' code (github.com/lmbxmu/mycode, evaluate.m, and Cakir, He,
 * Bargal and Sclaroff's framework, github.com/fcakir/mihash), whose numbers the
 * metrics reproduce (metrics.h).  Differences: training time is that of a
 * processor and has the feature map in it, which theirs leaves out; the curve is
 * taken at equal distances.
 */
#include "core/eval/protocol.h"

#include <math.h>
#include <string.h>
#include <time.h>

#include "core/base/blob.h"
#include "core/base/mem.h"
#include "core/hash/feature_map.h"
#include "core/hash/hash.h"

#define BATCH      2000 /* rows an update, where blocks are not larger */
#define ENCODED    512  /* rows gathered to be encoded */
#define MAX_LABELS 65536

struct work {
    const struct ak_eval_set *set;
    const struct ak_split *split;
    const struct ak_eval_run *run;
    const struct ak_hash_method *method;
    struct ak_hash_params params;

    float *x;         /* gathered rows */
    uint32_t *labels; /* of them */
    uint32_t *first;  /* 0, 1, 2 ... */
    size_t cap;       /* of the three */

    /* Queries and database, and the same of classes learnt. */
    uint8_t *query_codes, *codes;
    uint32_t *query_labels, *item_labels;
    uint8_t *some_query_codes, *some_codes;
    uint32_t *some_query_labels, *some_labels;
    size_t done, total; /* rows to be learnt */
};

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

enum ak_status ak_eval_mean(const struct ak_eval_set *set, float *mean,
                            struct ak_err *err)
{
    struct ak_running_mean sums = {0};
    enum ak_status status = ak_running_mean_init(&sums, set->dim, err);

    if (status != AK_OK)
        return status;
    ak_running_mean_add(&sums, set->x, set->n);
    ak_running_mean_get(&sums, mean);
    ak_running_mean_clear(&sums);
    return AK_OK;
}

static void scale_row(const struct work *w, float *x)
{
    uint32_t dim = w->set->dim;
    double square = 0;
    float factor;

    for (uint32_t k = 0; k < dim; k++) {
        x[k] -= w->run->mean[k];
        square += (double)x[k] * (double)x[k];
    }
    if (w->run->scaling != AK_SCALE_UNIT || square == 0)
        return;
    factor = (float)(1 / sqrt(square));
    for (uint32_t k = 0; k < dim; k++)
        x[k] *= factor;
}

/* Rows by number, scaled, into w->x and w->labels. */
static void gather(struct work *w, const uint32_t *rows, size_t n)
{
    uint32_t dim = w->set->dim;

    for (size_t i = 0; i < n; i++) {
        memcpy(w->x + i * dim, w->set->x + (size_t)rows[i] * dim,
               dim * sizeof(*w->x));
        if (w->run->scaling != AK_SCALE_NONE)
            scale_row(w, w->x + i * dim);
        w->labels[i] = w->set->labels[rows[i]];
    }
}

static enum ak_status reserve(struct work *w, size_t n, struct ak_err *err)
{
    if (n <= w->cap)
        return AK_OK;
    ak_array_free(w->x);
    ak_array_free(w->labels);
    ak_array_free(w->first);
    w->cap = 0;
    w->x = ak_array_new(n * w->set->dim, sizeof(*w->x));
    w->labels = ak_array_new(n, sizeof(*w->labels));
    w->first = ak_array_new(n + 1, sizeof(*w->first));
    if (w->x == NULL || w->labels == NULL || w->first == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for %zu rows", n);
    for (size_t i = 0; i <= n; i++)
        w->first[i] = (uint32_t)i;
    w->cap = n;
    return AK_OK;
}

static enum ak_status tell(struct work *w, size_t rows, struct ak_err *err)
{
    w->done += rows;
    if (w->run->progress != NULL &&
        !w->run->progress(w->run->context, w->done, w->total))
        return ak_fail(err, AK_ECANCELED, "cancelled after %zu of %zu rows",
                       w->done, w->total);
    return AK_OK;
}

static enum ak_status new_learner(struct work *w, struct ak_hash **h,
                                  struct ak_err *err)
{
    return ak_hash_create(w->run->method, &w->params, w->run->options, h, err);
}

/* Fix the feature map with the head of the stream. */
static enum ak_status fix(struct work *w, struct ak_hash *h, double *seconds,
                          struct ak_err *err)
{
    size_t n = ak_hash_warmup_rows(h);
    enum ak_status status;
    double start;

    if (n == 0)
        return AK_OK;
    if (n > w->split->n_stream)
        n = w->split->n_stream;
    status = reserve(w, n, err);
    if (status != AK_OK)
        return status;
    gather(w, w->split->stream, n);
    start = now();
    status = ak_hash_fix(h, w->x, n, err);
    *seconds += now() - start;
    return status;
}

/* Rows from .. to of the stream, in batches of whole blocks. */
static enum ak_status learn(struct work *w, struct ak_hash *h, size_t from,
                            size_t to, double *seconds, struct ak_err *err)
{
    size_t block = ak_hash_block_rows(h);
    size_t batch = block > BATCH ? block : BATCH / block * block;
    enum ak_status status = reserve(w, batch, err);

    for (size_t i = from, n; status == AK_OK && i < to; i += n) {
        struct ak_hash_batch rows;
        double start;

        n = to - i < batch ? to - i : batch;
        gather(w, w->split->stream + i, n);
        rows = (struct ak_hash_batch){w->x, w->labels, w->first, n};
        start = now();
        status = ak_hash_update(h, &rows, NULL, err);
        *seconds += now() - start;
        if (status == AK_OK)
            status = tell(w, n, err);
    }
    return status;
}

/* A new learner trained by passes over the first n rows of the stream. */
static enum ak_status train(struct work *w, size_t n, struct ak_hash **out,
                            double *seconds, struct ak_err *err)
{
    struct ak_hash *h = NULL;
    struct ak_hash_batch set;
    enum ak_status status = new_learner(w, &h, err);
    double start;

    *seconds = 0;
    if (status == AK_OK)
        status = fix(w, h, seconds, err);
    if (status == AK_OK)
        status = reserve(w, n, err);
    if (status == AK_OK) {
        gather(w, w->split->stream, n);
        set = (struct ak_hash_batch){w->x, w->labels, w->first, n};
        start = now();
        status = ak_hash_train(h, &set, NULL, err);
        *seconds += now() - start;
    }
    if (status == AK_OK)
        status = tell(w, n, err);
    if (status != AK_OK) {
        ak_hash_destroy(h);
        return status;
    }
    ak_hash_destroy(*out);
    *out = h;
    return AK_OK;
}

/* ---- measuring ---------------------------------------------------------- */

static enum ak_status encode(struct work *w, const struct ak_encoder *e,
                             const uint32_t *rows, size_t n, uint8_t *codes,
                             uint32_t *labels, double *seconds,
                             struct ak_err *err)
{
    void *scratch = ak_array_new(1, ak_encoder_scratch(e));
    enum ak_status status = reserve(w, ENCODED, err);

    if (status == AK_OK && scratch == NULL)
        status = ak_fail(err, AK_ENOMEM, "no memory to encode");
    for (size_t i = 0, m; status == AK_OK && i < n; i += m) {
        double start;

        m = n - i < ENCODED ? n - i : ENCODED;
        gather(w, rows + i, m);
        start = now();
        ak_encoder_encode(e, w->x, m, codes + i * (w->run->bits / 8), scratch);
        *seconds += now() - start;
        memcpy(labels + i, w->labels, m * sizeof(*labels));
    }
    ak_array_free(scratch);
    return status;
}

/* Items of the labels that are marked, in order; how many. */
static size_t filter(const struct work *w, const uint8_t *codes,
                     const uint32_t *labels, size_t n, const bool *marked,
                     uint8_t *to_codes, uint32_t *to_labels)
{
    size_t len = w->run->bits / 8, to = 0;

    for (size_t i = 0; i < n; i++) {
        size_t c = 0;

        while (w->split->classes[c] != labels[i])
            c++;
        if (!marked[c])
            continue;
        memcpy(to_codes + to * len, codes + i * len, len);
        to_labels[to++] = labels[i];
    }
    return to;
}

/* Mean average precision, ties averaged; 0 if there is nothing to rank. */
static enum ak_status map_of(const struct work *w, const uint8_t *query_codes,
                             const uint32_t *query_labels, size_t n_queries,
                             const uint8_t *codes, const uint32_t *labels,
                             size_t n, const uint32_t *first, double *map,
                             struct ak_err *err)
{
    const struct ak_eval_params params = {.bits = w->run->bits};
    const struct ak_eval_items q = {query_codes, query_labels, first,
                                    n_queries};
    const struct ak_eval_items db = {codes, labels, first, n};
    struct ak_eval_result r = {0};
    enum ak_status status = AK_OK;

    if (n_queries > 0 && n > 0)
        status = ak_eval_rank(&params, &q, &db, &r, err);
    *map = r.map;
    return status;
}

/* What an incremental stream has besides: old classes, and all it knows. */
static enum ak_status measure_stage(struct work *w, const uint32_t *first,
                                    struct ak_eval_point *point,
                                    struct ak_err *err)
{
    const struct ak_split *s = w->split;
    bool *marked = ak_array_new(s->n_classes, sizeof(*marked));
    enum ak_status status = AK_OK;
    size_t nq, n;

    if (marked == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for %zu classes",
                       s->n_classes);
    for (int all = 0; status == AK_OK && all < 2; all++) {
        size_t rows = all ? point->rows : s->stages[0];

        for (size_t i = 0; i < rows; i++) {
            size_t c = 0;

            while (s->classes[c] != w->set->labels[s->stream[i]])
                c++;
            marked[c] = true;
        }
        nq = filter(w, w->query_codes, w->query_labels, s->n_queries, marked,
                    w->some_query_codes, w->some_query_labels);
        if (!all) {
            status = map_of(w, w->some_query_codes, w->some_query_labels, nq,
                            w->codes, w->item_labels, s->n_database, first,
                            &point->map_first, err);
            continue;
        }
        for (size_t c = 0; c < s->n_classes; c++)
            point->classes += marked[c];
        n = filter(w, w->codes, w->item_labels, s->n_database, marked,
                   w->some_codes, w->some_labels);
        status = map_of(w, w->some_query_codes, w->some_query_labels, nq,
                        w->some_codes, w->some_labels, n, first,
                        &point->map_seen, err);
    }
    ak_array_free(marked);
    return status;
}

/* Encode, rank: a point, and the whole result if it is the last. */
static enum ak_status measure(struct work *w, const struct ak_encoder *e,
                              const uint32_t *first, bool last,
                              struct ak_eval_point *point,
                              struct ak_eval_outcome *out, struct ak_err *err)
{
    const struct ak_split *s = w->split;
    struct ak_eval_params params = {.bits = w->run->bits};
    const struct ak_eval_items q = {w->query_codes, w->query_labels, first,
                                    s->n_queries};
    const struct ak_eval_items db = {w->codes, w->item_labels, first,
                                     s->n_database};
    struct ak_encoder_info about;
    struct ak_eval_result r;
    struct ak_writer model = {0};
    double seconds = 0, start;
    enum ak_status status;

    if (last) {
        params.map_at = w->run->map_at;
        params.radius = w->run->radius;
        params.n_k = w->run->n_k;
        memcpy(params.k, w->run->k, sizeof(params.k));
    }
    status = encode(w, e, s->queries, s->n_queries, w->query_codes,
                    w->query_labels, &seconds, err);
    if (status == AK_OK)
        status = encode(w, e, s->database, s->n_database, w->codes,
                        w->item_labels, &seconds, err);
    start = now();
    if (status == AK_OK)
        status = ak_eval_rank(&params, &q, &db, &r, err);
    if (status != AK_OK)
        goto out;
    point->map = point->map_seen = point->map_first = r.map;
    if (last) {
        out->result = r;
        out->rank_seconds = now() - start;
        out->encode_seconds = seconds;
        out->encoded = s->n_queries + s->n_database;
        ak_encoder_info(e, &about);
        out->samples = about.samples;
        status = ak_encoder_save(e, &model, err);
        out->model_bytes = model.len;
    }
    if (status == AK_OK && s->n_stages > 1)
        status = measure_stage(w, first, point, err);

out:
    ak_writer_clear(&model);
    return status;
}

static enum ak_status freeze_and_measure(struct work *w,
                                         const struct ak_hash *h,
                                         const uint32_t *first, bool last,
                                         struct ak_eval_point *point,
                                         struct ak_eval_outcome *out,
                                         struct ak_err *err)
{
    struct ak_encoder *e = NULL;
    enum ak_status status = ak_hash_freeze(h, &e, err);

    if (status != AK_OK)
        return status;
    status = measure(w, e, first, last, point, out, err);
    out->learner_bytes = ak_hash_bytes(h);
    out->samples = ak_hash_samples(h);
    ak_ref_drop(ak_encoder_ref(e));
    return status;
}

/* ---- the run ------------------------------------------------------------ */

/* Rows of the stream at each point, ascending; whole blocks but for the end. */
static enum ak_status plan(const struct work *w, size_t block,
                           struct ak_eval_outcome *out, struct ak_err *err)
{
    const struct ak_split *s = w->split;
    size_t n = s->n_stages > 1 ? s->n_stages : w->run->points, before = 0;

    if (n < 1 || n > AK_EVAL_MAX_POINTS)
        return ak_fail(err, AK_EINVAL, "%zu %s, must be 1..%d", n,
                       s->n_stages > 1 ? "stages" : "points of the curve",
                       AK_EVAL_MAX_POINTS);
    for (size_t i = 0; i < n; i++) {
        size_t rows = s->n_stages > 1
                          ? s->stages[i]
                          : s->n_stream / n * (i + 1) / block * block;

        if (i + 1 == n)
            rows = s->n_stream;
        if (rows > before)
            out->points[out->n_points++].rows = rows;
        before = rows > before ? rows : before;
    }
    return AK_OK;
}

static void find_area(struct ak_eval_outcome *out)
{
    const struct ak_eval_point *p = out->points;
    size_t last = out->n_points - 1;

    out->auc = p[last].map;
    if (last == 0)
        return;
    out->auc = 0;
    for (size_t i = 0; i < last; i++)
        out->auc +=
            (p[i].map + p[i + 1].map) / 2 * (double)(p[i + 1].rows - p[i].rows);
    out->auc /= (double)(p[last].rows - p[0].rows);
}

static void clear(struct work *w)
{
    ak_array_free(w->x);
    ak_array_free(w->labels);
    ak_array_free(w->first);
    ak_array_free(w->query_codes);
    ak_array_free(w->codes);
    ak_array_free(w->query_labels);
    ak_array_free(w->item_labels);
    ak_array_free(w->some_query_codes);
    ak_array_free(w->some_codes);
    ak_array_free(w->some_query_labels);
    ak_array_free(w->some_labels);
}

static enum ak_status make(struct work *w, uint32_t **first, struct ak_err *err)
{
    const struct ak_split *s = w->split;
    size_t len = w->run->bits / 8, nq = s->n_queries, n = s->n_database;
    size_t most = nq > n ? nq : n;

    w->query_codes = ak_array_new(nq, len);
    w->codes = ak_array_new(n, len);
    w->query_labels = ak_array_new(nq, sizeof(uint32_t));
    w->item_labels = ak_array_new(n, sizeof(uint32_t));
    w->some_query_codes = ak_array_new(nq, len);
    w->some_codes = ak_array_new(n, len);
    w->some_query_labels = ak_array_new(nq, sizeof(uint32_t));
    w->some_labels = ak_array_new(n, sizeof(uint32_t));
    *first = ak_array_new(most + 1, sizeof(uint32_t));
    if (w->query_codes == NULL || w->codes == NULL || w->query_labels == NULL ||
        w->item_labels == NULL || w->some_query_codes == NULL ||
        w->some_codes == NULL || w->some_query_labels == NULL ||
        w->some_labels == NULL || *first == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for codes of %zu rows",
                       nq + n);
    for (size_t i = 0; i <= most; i++)
        (*first)[i] = (uint32_t)i;
    return AK_OK;
}

enum ak_status ak_eval_protocol(const struct ak_eval_set *set,
                                const struct ak_split *split,
                                const struct ak_eval_run *run,
                                struct ak_eval_outcome *out, struct ak_err *err)
{
    struct work w = {.set = set, .split = split, .run = run};
    struct ak_eval_outcome made = {0};
    struct ak_hash *h = NULL;
    uint32_t *first = NULL;
    size_t at = 0;
    enum ak_status status;

    w.params =
        (struct ak_hash_params){set->dim, run->bits, MAX_LABELS, run->seed};
    w.method = ak_hash_find(run->method);
    status = new_learner(&w, &h, err);
    /* What is trained anew at each point may have it anywhere. */
    if (status == AK_OK)
        status = plan(&w, w.method->by_epochs ? 1 : ak_hash_block_rows(h),
                      &made, err);
    if (status == AK_OK)
        status = make(&w, &first, err);
    if (status != AK_OK)
        goto out;
    if (w.method->by_epochs)
        for (size_t i = 0; i < made.n_points; i++)
            w.total += made.points[i].rows;
    else
        w.total = split->n_stream;
    if (!w.method->by_epochs)
        status = fix(&w, h, &made.train_seconds, err);
    for (size_t i = 0; status == AK_OK && i < made.n_points; i++) {
        struct ak_eval_point *point = &made.points[i];

        if (w.method->by_epochs)
            status = train(&w, point->rows, &h, &made.train_seconds, err);
        else
            status = learn(&w, h, at, point->rows, &made.train_seconds, err);
        at = point->rows;
        if (status == AK_OK)
            status = freeze_and_measure(&w, h, first, i + 1 == made.n_points,
                                        point, &made, err);
    }
    if (status == AK_OK)
        find_area(&made);

out:
    ak_hash_destroy(h);
    ak_array_free(first);
    clear(&w);
    if (status == AK_OK)
        *out = made;
    return status;
}

enum ak_status ak_eval_encoder(const struct ak_eval_set *set,
                               const struct ak_split *split,
                               const struct ak_eval_run *run,
                               const struct ak_encoder *encoder,
                               struct ak_eval_outcome *out, struct ak_err *err)
{
    struct work w = {.set = set, .split = split, .run = run};
    struct ak_eval_outcome made = {.n_points = 1};
    struct ak_encoder_info about;
    uint32_t *first = NULL;
    enum ak_status status;

    ak_encoder_info(encoder, &about);
    if (about.dim != set->dim || about.bits != run->bits)
        return ak_fail(err, AK_EINVAL,
                       "the encoder makes %u bits of %u floats, must be %u of "
                       "%u",
                       about.bits, about.dim, run->bits, set->dim);
    made.points[0].rows = split->n_stream;
    status = make(&w, &first, err);
    if (status == AK_OK)
        status = measure(&w, encoder, first, true, &made.points[0], &made, err);
    if (status == AK_OK) {
        find_area(&made);
        *out = made;
    }
    ak_array_free(first);
    clear(&w);
    return status;
}
