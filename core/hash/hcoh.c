/*
 * hcoh.c -- Hadamard Codebook based Online Hashing, hmoh's predecessor.
 *
 * Lin, Ji, Liu and Wu, "Supervised Online Hashing via Hadamard Codebook
 * Learning", ACM Multimedia 2018 (arXiv:1905.03694).  What follows is the
 * algorithm of the authors' released code; it is here as the baseline that
 * tells whether the harness measures what the papers do.
 *
 * Each class gets a row of a Hadamard matrix as its target code (codebook.h),
 * and every bit regresses on it through a tanh, by one gradient step a sample:
 *
 *     L = 1/2 |tanh(W' z) - b|^2
 *
 *     W       w       (width, bits) hyperplanes, drawn with columns of unit
 *                     length: from a larger start tanh saturates
 *     X       z       (width) the sample, centred and of unit length
 *     B       target  (bits), +1 or -1
 *     eta     rate
 *
 * Differences from the released code: data are centred by the mean of the rows
 * learnt so far, since a stream has no other; codes are drawn again if two
 * classes share one (codebook.c).  The paper prints the derivative of tanh as
 * (1 - tanh) tanh; the code has 1 - tanh^2, and so have we.
 */
#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/hash/codebook.h"
#include "core/hash/hash_ops.h"
#include "core/linalg/project.h"

/* No stream is long enough to get there; a saved weight may not be beyond. */
#define MOST_WEIGHT 1e30f

enum { OPT_RATE, OPT_CLASSES, N_OPTIONS };

static const struct ak_hash_option hcoh_options[N_OPTIONS] = {
    [OPT_RATE] = {"rate", 0.2, 1e-6, 100, false,
                  "learning rate; the paper has 0.2, and 0.1 on Places"},
    [OPT_CLASSES] = {"classes", 16, 1, 4096, true,
                     "classes expected; more may come, with random codes"},
};

struct hcoh {
    struct ak_hash base;
    struct ak_codebook book;
    struct ak_running_mean seen; /* of the rows learnt */
    const struct ak_project_kernels *kernels;
    size_t columns; /* bits, padded to panels */
    float *w;       /* packed (dim, bits) */
    float *mean;    /* (dim) of `seen`, now */
    float *z;       /* (dim) */
    float *y;       /* (columns) projections, then steps */
    float *target;  /* (columns), 0 beyond bits */
};

static struct hcoh *hcoh_of(struct ak_hash *h)
{
    return (struct hcoh *)h;
}

static const struct hcoh *hcoh_of_const(const struct ak_hash *h)
{
    return (const struct hcoh *)h;
}

static enum ak_status hcoh_create(struct ak_hash *h, struct ak_err *err)
{
    struct hcoh *m = hcoh_of(h);
    enum ak_status status = ak_codebook_init(&m->book, h->params.bits,
                                             (uint32_t)h->options[OPT_CLASSES],
                                             false, h->params.seed, err);

    if (status != AK_OK)
        return status;
    return ak_running_mean_init(&m->seen, h->params.dim, err);
}

static void free_weights(struct hcoh *m)
{
    ak_array_free(m->w);
    ak_array_free(m->mean);
    ak_array_free(m->z);
    ak_array_free(m->y);
    ak_array_free(m->target);
    m->w = m->mean = m->z = m->y = m->target = NULL;
}

static void hcoh_clear(struct ak_hash *h)
{
    struct hcoh *m = hcoh_of(h);

    free_weights(m);
    ak_running_mean_clear(&m->seen);
    ak_codebook_clear(&m->book);
}

static void draw_weights(struct hcoh *m)
{
    size_t dim = m->base.params.dim;
    struct ak_rng rng;

    ak_rng_init(&rng, ak_rng_derive(m->base.params.seed, "hcoh weights"));
    for (size_t j = 0; j < m->base.params.bits; j++) {
        double sum = 0, scale;

        for (size_t k = 0; k < dim; k++) {
            float v = ak_rng_normal(&rng);

            m->w[ak_panel_at(dim, k, j)] = v;
            sum += (double)v * (double)v;
        }
        scale = sum > 0 ? 1 / sqrt(sum) : 0;
        for (size_t k = 0; k < dim; k++) {
            float *w = &m->w[ak_panel_at(dim, k, j)];

            *w = (float)((double)*w * scale);
        }
    }
}

static enum ak_status hcoh_fix(struct ak_hash *h, struct ak_err *err)
{
    struct hcoh *m = hcoh_of(h);
    size_t dim = h->params.dim;

    m->kernels = ak_project_kernels();
    m->columns = ak_panel_columns(h->params.bits);
    m->w = ak_array_new(dim * m->columns, sizeof(*m->w));
    m->mean = ak_array_new(dim, sizeof(*m->mean));
    m->z = ak_array_new(dim, sizeof(*m->z));
    m->y = ak_array_new(m->columns, sizeof(*m->y));
    m->target = ak_array_new(m->columns, sizeof(*m->target));
    if (m->w == NULL || m->mean == NULL || m->z == NULL || m->y == NULL ||
        m->target == NULL) {
        free_weights(m);
        return ak_fail(err, AK_ENOMEM, "hcoh: no memory for %zu x %u weights",
                       dim, h->params.bits);
    }
    draw_weights(m);
    return AK_OK;
}

/*
 * One gradient step.
 *
 *     f = tanh(W' z)                                      (bits)
 *     w_j -= eta (f_j - b_j) (1 - f_j^2) z
 *
 * Returns the sum of (f - b)^2 / 4, which is 0..1 a bit.
 */
static double learn_row(struct hcoh *m)
{
    size_t d = m->base.params.dim;
    float rate = (float)m->base.options[OPT_RATE];
    double loss = 0;

    memset(m->y, 0, m->columns * sizeof(*m->y));
    m->kernels->product(m->z, 1, 0, m->w, d, m->columns / AK_PANEL, m->y,
                        m->columns);
    for (size_t j = 0; j < m->base.params.bits; j++) {
        float f = tanhf(m->y[j]), miss = f - m->target[j];

        loss += (double)miss * (double)miss / 4;
        m->y[j] = rate * miss * (1.0f - f * f);
    }
    for (size_t p = 0; p < m->columns; p += AK_PANEL)
        for (size_t k = 0; k < d; k++)
            for (size_t j = 0; j < AK_PANEL; j++)
                m->w[p * d + k * AK_PANEL + j] -= m->y[p + j] * m->z[k];
    return loss;
}

/*
 * Nothing can become infinite on the way: |z| is at most 1, hence a step is
 * below 2 eta.
 */
static enum ak_status hcoh_update(struct ak_hash *h,
                                  const struct ak_hash_rows *rows, double *loss,
                                  struct ak_err *err)
{
    struct hcoh *m = hcoh_of(h);
    size_t dim = h->params.dim;
    enum ak_status status = ak_codebook_grow(&m->book, h->labels.n, err);

    if (status != AK_OK)
        return status;
    for (size_t i = 0; i < rows->n; i++) {
        const uint32_t *first = rows->first + i;

        if (first[0] == first[1])
            continue;
        ak_running_mean_add(&m->seen, rows->x + i * dim, 1);
        ak_running_mean_get(&m->seen, m->mean);
        ak_unit_row(rows->x + i * dim, m->mean, h->params.dim, m->z);
        ak_codebook_target(&m->book, rows->classes + first[0],
                           first[1] - first[0], m->target);
        *loss += learn_row(m);
    }
    return AK_OK;
}

static enum ak_status hcoh_freeze(const struct ak_hash *h,
                                  struct ak_encoder **out, struct ak_err *err)
{
    const struct hcoh *m = hcoh_of_const(h);
    size_t dim = h->params.dim;
    float *mean = ak_array_new(dim, sizeof(*mean));
    struct ak_feature_map *map = NULL;
    struct ak_encoder *e = NULL;
    enum ak_status status = AK_OK;

    if (mean == NULL)
        return ak_fail(err, AK_ENOMEM, "hcoh: no memory for a mean of %zu",
                       dim);
    ak_running_mean_get(&m->seen, mean);
    status = ak_feature_map_unit(h->params.dim, mean, &map, err);
    if (status == AK_OK)
        status = ak_encoder_create("hcoh", map, &h->params.bits, 1, h->samples,
                                   &e, err);
    if (status == AK_OK) {
        for (size_t k = 0; k < dim; k++)
            for (size_t j = 0; j < h->params.bits; j++)
                *ak_encoder_weight(e, 0, k, j) = m->w[ak_panel_at(dim, k, j)];
        *out = e;
    }
    ak_feature_map_drop(map);
    ak_array_free(mean);
    return status;
}

static size_t hcoh_bytes(const struct ak_hash *h)
{
    const struct hcoh *m = hcoh_of_const(h);
    size_t n =
        ak_codebook_bytes(&m->book) + h->params.dim * sizeof(*m->seen.sum);

    if (h->map != NULL)
        n +=
            (h->params.dim * (m->columns + 2) + 2 * m->columns) * sizeof(*m->w);
    return n;
}

static void hcoh_save_constants(const struct ak_hash *h, struct ak_writer *w)
{
    ak_codebook_write_constants(&hcoh_of_const(h)->book, w);
}

static enum ak_status
hcoh_load_constants(struct ak_hash *h, struct ak_reader *r, struct ak_err *err)
{
    return ak_codebook_read_constants(&hcoh_of(h)->book, r, err);
}

/* Code rows; mean; weights row-major, without the padding of the panels. */
static void hcoh_save_state(const struct ak_hash *h, struct ak_writer *w)
{
    const struct hcoh *m = hcoh_of_const(h);

    ak_codebook_write_rows(&m->book, w);
    ak_running_mean_write(&m->seen, w);
    for (size_t k = 0; k < h->params.dim; k++)
        for (size_t j = 0; j < h->params.bits; j++)
            ak_write_f32s(w, &m->w[ak_panel_at(h->params.dim, k, j)], 1);
}

static enum ak_status hcoh_load_state(struct ak_hash *h, struct ak_reader *r,
                                      struct ak_err *err)
{
    struct hcoh *m = hcoh_of(h);
    enum ak_status status =
        ak_codebook_read_rows(&m->book, h->labels.n, r, err);
    bool sane = true;

    if (status == AK_OK)
        status = ak_hash_read_mean(h, &m->seen, r, err);
    if (status != AK_OK)
        return status;
    for (size_t k = 0; k < h->params.dim; k++)
        for (size_t j = 0; j < h->params.bits; j++) {
            float *w = &m->w[ak_panel_at(h->params.dim, k, j)];

            ak_read_f32s(r, w, 1);
            sane = sane && fabsf(*w) <= MOST_WEIGHT;
        }
    if (!sane)
        return ak_fail(err, AK_ECORRUPT, "a weight is not within +-%g",
                       (double)MOST_WEIGHT);
    return AK_OK;
}

const struct ak_hash_ops ak_hash_hcoh = {
    .about =
        {
            .name = "hcoh",
            .source = "Lin, Ji, Liu and Wu, Supervised Online Hashing via "
                      "Hadamard Codebook Learning, ACM Multimedia 2018",
            .help = "labels as Hadamard codes, regression by gradient steps",
            .options = hcoh_options,
            .n_options = N_OPTIONS,
            .learns = true,
            .per_sample = true,
            .streams = true,
            .moving_map = true,
        },
    .format = 1,
    .size = sizeof(struct hcoh),
    .create = hcoh_create,
    .clear = hcoh_clear,
    .fix = hcoh_fix,
    .update = hcoh_update,
    .freeze = hcoh_freeze,
    .bytes = hcoh_bytes,
    .save_constants = hcoh_save_constants,
    .load_constants = hcoh_load_constants,
    .save_state = hcoh_save_state,
    .load_state = hcoh_load_state,
};
