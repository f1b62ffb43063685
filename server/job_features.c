#include "server/job_features.h"

#include <math.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/linalg/vectors.h"
#include "server/engine_internal.h"

#define SLICE_NS    UINT64_C(10000000)
#define LANDMARKS   12
#define CANDIDATES  256 /* items that the landmarks are chosen from */
#define BLOCK_ROWS  64
#define CACHE_BYTES ((size_t)256 << 20)

/* Of what the sketch says: its numbers are floats. */
#define ROUNDING 1e-5

struct ak_job_features {
    struct ak_job_features_params params;
    struct ak_settings settings;
    struct ak_view *view;
    size_t dim, row_bytes;
    struct ak_duplicates_features how;
    float *landmarks; /* (n_landmarks, dim) */
    size_t n_landmarks;
    float *sketch;   /* (n, n_landmarks) */
    double *squares; /* (n) of their lengths; of similarity only */
    size_t at;       /* items whose sketch there is */
    float largest;   /* number of it */

    void *block; /* (BLOCK_ROWS) as stored */
    float *rows; /* (BLOCK_ROWS, dim) */
    float *left; /* (dim) of item left_item */
    size_t left_item;
    float *cache;  /* (n_slots, dim) */
    uint32_t *who; /* (n_slots) item + 1; 0: none */
    size_t n_slots;
};

/* ------------------------------------------------------------------- numbers */

/* To length 1, but for a vector of zeroes. */
static void normalise(float *x, size_t dim)
{
    double length = sqrt(ak_inner_product(x, x, dim));

    for (size_t i = 0; i < dim && length > 0; i++)
        x[i] = (float)((double)x[i] / length);
}

/* ------------------------------------------------------------------- reading */

/* Items i .. i + m - 1, whose rows follow one another, to f->rows. */
static enum ak_status read_rows(struct ak_job_features *f, size_t i, size_t m,
                                struct ak_err *err)
{
    const struct ak_space space = ak_settings_space(&f->settings);
    enum ak_status status =
        ak_view_block(f->view, &space, f->params.ordinals[i], m, f->block, err);

    if (status == AK_OK)
        ak_collection_unpack(&f->settings, f->block, m, f->rows);
    return status;
}

/* How many items from `i` on have rows that follow one another. */
static size_t run_of(const struct ak_job_features *f, size_t i)
{
    const uint64_t *ordinals = f->params.ordinals;
    size_t m = 1;

    while (m < BLOCK_ROWS && i + m < f->params.n &&
           ordinals[i + m] == ordinals[i] + m)
        m++;
    return m;
}

/* Far from one another: each is the one of the candidates that is farthest from
   those before. */
static enum ak_status find_landmarks(struct ak_job_features *f,
                                     struct ak_err *err)
{
    size_t n = f->params.n < CANDIDATES ? f->params.n : CANDIDATES;
    size_t dim = f->dim, next = 0;
    double nearest[CANDIDATES];
    float *candidates = ak_array_new(n, dim * sizeof(*candidates));
    enum ak_status status = AK_OK;
    struct ak_rng rng;

    if (candidates == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for %zu vectors", n);
    for (size_t i = 0; i < n && status == AK_OK; i++) {
        status = read_rows(f, f->params.n * i / n, 1, err);
        if (status != AK_OK)
            break;
        if (f->params.similar)
            normalise(f->rows, dim);
        memcpy(candidates + i * dim, f->rows, dim * sizeof(*candidates));
        nearest[i] = INFINITY;
    }
    ak_rng_init(&rng, f->params.seed);
    next = n > 0 ? (size_t)ak_rng_below(&rng, n) : 0;
    for (size_t k = 0; k < f->n_landmarks && n > 0; k++) {
        float *landmark = f->landmarks + k * dim;

        memcpy(landmark, candidates + next * dim, dim * sizeof(*landmark));
        for (size_t i = 0; i < n; i++) {
            double d = ak_square_distance(candidates + i * dim, landmark, dim);

            if (d < nearest[i])
                nearest[i] = d;
        }
        for (size_t i = 0; i < n; i++)
            if (nearest[i] > nearest[next])
                next = i;
    }
    ak_array_free(candidates);
    return status;
}

/* In memory from here on, until another one needs its place. */
static void keep(struct ak_job_features *f, uint32_t item, const float *row)
{
    size_t slot = item % f->n_slots;

    memcpy(f->cache + slot * f->dim, row, f->dim * sizeof(*row));
    f->who[slot] = item + 1;
}

enum ak_status ak_job_features_read(struct ak_job_features *f, size_t *at,
                                    struct ak_err *err)
{
    uint64_t start = ak_clock_ns();
    enum ak_status status = AK_OK;

    while (f->at < f->params.n && status == AK_OK &&
           ak_clock_ns() - start < SLICE_NS) {
        size_t m = run_of(f, f->at);

        status = read_rows(f, f->at, m, err);
        for (size_t i = 0; i < m && status == AK_OK; i++) {
            float *x = f->rows + i * f->dim;
            float *out = f->sketch + (f->at + i) * f->n_landmarks;

            keep(f, (uint32_t)(f->at + i), x);
            if (f->params.similar) {
                f->squares[f->at + i] = ak_inner_product(x, x, f->dim);
                normalise(x, f->dim);
            }
            for (size_t k = 0; k < f->n_landmarks; k++) {
                out[k] = (float)sqrt(
                    ak_square_distance(x, f->landmarks + k * f->dim, f->dim));
                if (out[k] > f->largest)
                    f->largest = out[k];
            }
        }
        f->at += m;
    }
    *at = f->at;
    return status;
}

/* ------------------------------------------------------------------ comparing */

static enum ak_status read_one(struct ak_job_features *f, uint32_t item,
                               const float **out, struct ak_err *err)
{
    size_t slot = item % f->n_slots;

    if (f->who[slot] != item + 1) {
        enum ak_status status = read_rows(f, item, 1, err);

        if (status != AK_OK)
            return status;
        keep(f, item, f->rows);
    }
    *out = f->cache + slot * f->dim;
    return AK_OK;
}

/* Calls with the same first item follow one another. */
static enum ak_status near(void *arg, uint32_t a, uint32_t b, bool *is_near,
                           double *number, struct ak_err *err)
{
    struct ak_job_features *f = arg;
    enum ak_status status = AK_OK;
    const float *x, *y;
    double length;

    if (f->left_item != a) {
        status = read_one(f, a, &x, err);
        if (status != AK_OK)
            return status;
        memcpy(f->left, x, f->dim * sizeof(*x));
        f->left_item = a;
    }
    status = read_one(f, b, &y, err);
    if (status != AK_OK)
        return status;
    if (f->params.similar) {
        length = sqrt(f->squares[a] * f->squares[b]);
        *number =
            length > 0 ? ak_inner_product(f->left, y, f->dim) / length : 0;
        *is_near = *number >= f->params.threshold;
    } else {
        *number = sqrt(ak_square_distance(f->left, y, f->dim));
        *is_near = *number <= f->params.threshold;
    }
    return AK_OK;
}

const struct ak_duplicates_features *
ak_job_features_get(struct ak_job_features *f)
{
    double t = f->params.threshold;
    double reach = f->params.similar ? sqrt(fmax(2 - 2 * t, 0)) : t;

    f->how = (struct ak_duplicates_features){
        .near = near,
        .arg = f,
        .sketch = f->sketch,
        .n_sketch = f->n_landmarks,
        .reach = (float)(reach + ROUNDING * (reach + (double)f->largest))};
    return &f->how;
}

/* ----------------------------------------------------------------------- life */

enum ak_status ak_job_features_create(const struct ak_job_features_params *p,
                                      struct ak_job_features **out,
                                      struct ak_err *err)
{
    struct ak_job_features *f = ak_array_new(1, sizeof(*f));
    enum ak_status status;

    if (f == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for features");
    f->params = *p;
    ak_collection_served_settings(p->c, &f->settings);
    f->dim = f->settings.dim;
    f->row_bytes = ak_settings_row_bytes(&f->settings);
    f->n_landmarks = LANDMARKS;
    f->left_item = SIZE_MAX;
    f->n_slots = (p->cache_bytes > 0 ? p->cache_bytes : CACHE_BYTES) /
                 (f->dim * sizeof(float));
    if (f->n_slots > p->n)
        f->n_slots = p->n;
    if (f->n_slots == 0)
        f->n_slots = 1;
    f->landmarks = ak_array_new(LANDMARKS, f->dim * sizeof(float));
    f->sketch = ak_array_new(p->n, LANDMARKS * sizeof(float));
    f->squares = ak_array_new(p->similar ? p->n : 0, sizeof(*f->squares));
    f->block = ak_array_new(BLOCK_ROWS, f->row_bytes);
    f->rows = ak_array_new(BLOCK_ROWS, f->dim * sizeof(float));
    f->left = ak_array_new(f->dim, sizeof(float));
    f->cache = ak_array_new(f->n_slots, f->dim * sizeof(float));
    f->who = ak_array_new(f->n_slots, sizeof(*f->who));
    if (f->landmarks == NULL || f->sketch == NULL || f->squares == NULL ||
        f->block == NULL || f->rows == NULL || f->left == NULL ||
        f->cache == NULL || f->who == NULL)
        status = ak_fail(err, AK_ENOMEM, "no memory for features of %zu items",
                         p->n);
    else
        status = ak_collection_borrow(p->c, &f->view, err);
    if (status == AK_OK)
        status = find_landmarks(f, err);
    if (status != AK_OK) {
        ak_job_features_destroy(f);
        return status;
    }
    *out = f;
    return AK_OK;
}

void ak_job_features_destroy(struct ak_job_features *f)
{
    if (f == NULL)
        return;
    if (f->view != NULL)
        ak_collection_return(f->params.c, f->view);
    ak_array_free(f->landmarks);
    ak_array_free(f->sketch);
    ak_array_free(f->squares);
    ak_array_free(f->block);
    ak_array_free(f->rows);
    ak_array_free(f->left);
    ak_array_free(f->cache);
    ak_array_free(f->who);
    ak_array_free(f);
}
