/*
 * fcoh.c -- Fast Class-wise Updating for Online Hashing: a reconstruction.
 *
 * Lin, Ji, Sun, Zhang, Huang, Tian and Tao, "Fast Class-wise Updating for
 * Online Hashing", IEEE TPAMI (arXiv:2012.00318).  Only the abstract was at
 * hand.  It says that
 *
 *  - the similarity of codes is an inner product;
 *  - a batch is decomposed class by class, and hash functions are renewed
 *    class after class, so that fewer training batches are needed;
 *  - this saves at least 75 % of the storage;
 *  - a semi-relaxation treats the different binary constraints independently,
 *    with no further constraint or variable, and keeps past information.
 *
 * All else is ours: the loss, the tanh, the gradient step, rate, block size and
 * the order of classes.  Results are those of this file, not of the paper.
 *
 * Inner-product hashing wants B'B = r S for a block of n samples, S_ij = 1
 * within a class and -1 across.  For one class c against the block, one of the
 * two factors stays binary and is taken from the hyperplanes as they are, which
 * is how the past comes in; the other one is relaxed to a tanh:
 *
 *     L_c = 1 / (2 n_c n) sum_{i in c, j} (u_i . b_j / r - S_ij)^2
 *           + decay / 2 |W|^2
 *
 * Classes take turns in the order of their numbers, each one with the W that
 * the one before has left.
 *
 *     X       z       (n, dim) the block, centred and of unit length
 *     W       w       (dim, bits) hyperplanes, drawn with columns of length 1
 *     Bbar    b       (n, bits) sgn(z W), +1 or -1
 *     U       u       (n_c, bits) tanh(z_c W)
 *     lr      rate    takes in the 1 / r of the gradient
 *
 * S is never stored, and of the pairs no more than a strip of E (fcoh_internal.h).
 * That beats the r x r matrix b'b, by which E could be avoided altogether, in
 * time where 2 n < C r, and in memory where a block is small.
 *
 * Data are centred by the mean of the rows learnt so far, the block included.
 * A row of several classes takes part in the turn of each.
 */
#include "core/hash/fcoh_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/hash/block.h"
#include "core/hash/hash_ops.h"
#include "core/linalg/blas.h"

enum { OPT_BLOCK, OPT_RATE, OPT_DECAY, N_OPTIONS };

static const struct ak_hash_option fcoh_options[N_OPTIONS] = {
    [OPT_BLOCK] = {"block", 100, 8, 8192, true, "rows learnt at a time"},
    [OPT_RATE] = {"rate", 20, 1e-6, 1e4, false, "learning rate"},
    [OPT_DECAY] = {"decay", 0, 0, 1, false, "weight decay a step"},
};

struct fcoh {
    struct ak_hash base;
    struct ak_running_mean seen;
    float *w;         /* (dim, bits) */
    float *mean;      /* (dim) */
    size_t pairs;     /* most bytes of E in one block */
    size_t all_pairs; /* what n x n would have been there */
};

/* Made for one update and its longest block of `room` rows. */
struct work {
    size_t room;
    float *z, *b;      /* (room, dim), (room, bits) */
    float *zc, *u, *g; /* (room, dim), (room, bits), (room, bits) of a class */
    float *pairs;      /* a strip of E */
    uint8_t *has;      /* (room) */
    uint32_t *row;     /* (room) rows of the block within the batch */
    uint32_t *classes; /* in the block, sorted; room for all mentions */
    float *w_before;   /* (dim, bits) to roll back to */
    double *sum_before;
};

static struct fcoh *fcoh_of(struct ak_hash *h)
{
    return (struct fcoh *)h;
}

static const struct fcoh *fcoh_of_const(const struct ak_hash *h)
{
    return (const struct fcoh *)h;
}

size_t ak_fcoh_pair_rows(size_t n, size_t bits)
{
    size_t rows = bits * bits / n;

    if (rows > n / 8)
        rows = n / 8;
    return rows > 0 ? rows : 1;
}

void ak_fcoh_gradient(const float *u, size_t n_c, const float *b,
                      const uint8_t *has, size_t n, size_t bits, float *pairs,
                      size_t rows, float *g, double *loss)
{
    float scale = 1.0f / (float)bits;
    float norm = (float)(1.0 / ((double)n_c * (double)n));

    for (size_t from = 0; from < n_c; from += rows) {
        size_t some = n_c - from < rows ? n_c - from : rows;

        ak_gemm_nt(some, n, bits, scale, u + from * bits, bits, b, bits, 0.0f,
                   pairs, n);
        for (size_t i = 0; i < some; i++) {
            float *e = pairs + i * n;
            double sum = 0;

            for (size_t j = 0; j < n; j++) {
                e[j] -= has[j] ? 1.0f : -1.0f;
                sum += (double)e[j] * (double)e[j];
            }
            *loss += sum;
        }
        ak_gemm_nn(some, bits, n, norm, pairs, n, b, bits, 0.0f,
                   g + from * bits, bits);
    }
    for (size_t i = 0; i < n_c * bits; i++)
        g[i] *= 1.0f - u[i] * u[i];
}

void ak_fcoh_pair_bytes(const struct ak_hash *h, size_t *taken, size_t *full)
{
    *taken = fcoh_of_const(h)->pairs;
    *full = fcoh_of_const(h)->all_pairs;
}

static size_t fcoh_block_rows(const struct ak_hash *h)
{
    return (size_t)h->options[OPT_BLOCK];
}

static enum ak_status fcoh_create(struct ak_hash *h, struct ak_err *err)
{
    return ak_running_mean_init(&fcoh_of(h)->seen, h->params.dim, err);
}

static void fcoh_clear(struct ak_hash *h)
{
    struct fcoh *m = fcoh_of(h);

    ak_array_free(m->w);
    ak_array_free(m->mean);
    ak_running_mean_clear(&m->seen);
}

static enum ak_status fcoh_fix(struct ak_hash *h, struct ak_err *err)
{
    struct fcoh *m = fcoh_of(h);
    size_t dim = h->params.dim, bits = h->params.bits;
    struct ak_rng rng;

    m->w = ak_array_new(dim * bits, sizeof(*m->w));
    m->mean = ak_array_new(dim, sizeof(*m->mean));
    if (m->w == NULL || m->mean == NULL) {
        ak_array_free(m->w);
        ak_array_free(m->mean);
        m->w = m->mean = NULL;
        return ak_fail(err, AK_ENOMEM, "fcoh: no memory for %zu x %zu weights",
                       dim, bits);
    }
    ak_rng_init(&rng, ak_rng_derive(h->params.seed, "fcoh weights"));
    ak_draw_unit_columns(&rng, dim, bits, m->w);
    return AK_OK;
}

static void work_clear(struct work *k)
{
    ak_array_free(k->z);
    ak_array_free(k->b);
    ak_array_free(k->zc);
    ak_array_free(k->u);
    ak_array_free(k->g);
    ak_array_free(k->pairs);
    ak_array_free(k->has);
    ak_array_free(k->row);
    ak_array_free(k->classes);
    ak_array_free(k->w_before);
    ak_array_free(k->sum_before);
}

static enum ak_status work_init(struct work *k, const struct fcoh *m,
                                const struct ak_hash_rows *rows,
                                struct ak_err *err)
{
    size_t dim = m->base.params.dim, bits = m->base.params.bits;
    size_t most = fcoh_block_rows(&m->base), strip;

    k->room = ak_hash_block_room(rows, most);
    strip = k->room * k->room / 8 < bits * bits ? k->room * k->room / 8
                                                : bits * bits;
    k->z = ak_array_new(k->room * dim, sizeof(*k->z));
    k->b = ak_array_new(k->room * bits, sizeof(*k->b));
    k->zc = ak_array_new(k->room * dim, sizeof(*k->zc));
    k->u = ak_array_new(k->room * bits, sizeof(*k->u));
    k->g = ak_array_new(k->room * bits, sizeof(*k->g));
    /* Enough for a block of any size up to `room`. */
    k->pairs = ak_array_new(strip + k->room, sizeof(*k->pairs));
    k->has = ak_array_new(k->room, sizeof(*k->has));
    k->row = ak_array_new(k->room, sizeof(*k->row));
    k->classes = ak_array_new(rows->first[rows->n] - rows->first[0],
                              sizeof(*k->classes));
    k->w_before = ak_array_new(dim * bits, sizeof(*k->w_before));
    k->sum_before = ak_array_new(dim, sizeof(*k->sum_before));
    if (k->z == NULL || k->b == NULL || k->zc == NULL || k->u == NULL ||
        k->g == NULL || k->pairs == NULL || k->has == NULL || k->row == NULL ||
        k->classes == NULL || k->w_before == NULL || k->sum_before == NULL)
        return ak_fail(err, AK_ENOMEM,
                       "fcoh: no memory for a block of %zu rows", k->room);
    return AK_OK;
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* Classes that occur in the block, each once and sorted; returns how many. */
static size_t classes_of(const struct ak_hash_rows *rows,
                         const struct ak_hash_block *at, uint32_t *classes)
{
    uint32_t from = rows->first[at->from];
    size_t n = rows->first[at->to] - from, unique = 0;

    memcpy(classes, rows->classes + from, n * sizeof(*classes));
    qsort(classes, n, sizeof(*classes), by_number);
    for (size_t i = 0; i < n; i++)
        if (unique == 0 || classes[i] != classes[unique - 1])
            classes[unique++] = classes[i];
    return unique;
}

static bool has_class(const struct ak_hash_rows *rows, uint32_t row, uint32_t c)
{
    for (uint32_t l = rows->first[row]; l < rows->first[row + 1]; l++)
        if (rows->classes[l] == c)
            return true;
    return false;
}

/* The turn of class c, with n rows in the block. */
static void learn_class(struct fcoh *m, struct work *k,
                        const struct ak_hash_rows *rows, size_t n, uint32_t c,
                        double *loss)
{
    size_t dim = m->base.params.dim, bits = m->base.params.bits, n_c = 0;
    size_t strip = ak_fcoh_pair_rows(n, bits);
    float rate = (float)m->base.options[OPT_RATE];
    float decay = (float)m->base.options[OPT_DECAY];
    double sum = 0;

    ak_gemm_nn(n, bits, dim, 1.0f, k->z, dim, m->w, bits, 0.0f, k->b, bits);
    for (size_t i = 0; i < n; i++) {
        k->has[i] = has_class(rows, k->row[i], c);
        if (!k->has[i])
            continue;
        memcpy(k->zc + n_c * dim, k->z + i * dim, dim * sizeof(*k->z));
        for (size_t j = 0; j < bits; j++)
            k->u[n_c * bits + j] = tanhf(k->b[i * bits + j]);
        n_c++;
    }
    for (size_t i = 0; i < n * bits; i++)
        k->b[i] = k->b[i] > 0.0f ? 1.0f : -1.0f;
    ak_fcoh_gradient(k->u, n_c, k->b, k->has, n, bits, k->pairs, strip, k->g,
                     &sum);
    *loss += sum / (double)n;
    for (size_t i = 0; decay > 0.0f && i < dim * bits; i++)
        m->w[i] -= rate * decay * m->w[i];
    ak_gemm_tn(dim, bits, n_c, -rate, k->zc, dim, k->g, bits, 1.0f, m->w, bits);
    if (n * n * sizeof(float) > m->all_pairs) {
        m->all_pairs = n * n * sizeof(float);
        m->pairs = strip * n * sizeof(float);
    }
}

static void learn_block(struct fcoh *m, struct work *k,
                        const struct ak_hash_rows *rows,
                        const struct ak_hash_block *at, double *loss)
{
    size_t dim = m->base.params.dim, n = 0, n_classes, turns = 0;
    double sum = 0;

    for (size_t i = at->from; i < at->to; i++)
        if (rows->first[i] < rows->first[i + 1]) {
            ak_running_mean_add(&m->seen, rows->x + i * dim, 1);
            turns += rows->first[i + 1] - rows->first[i];
            k->row[n++] = (uint32_t)i;
        }
    ak_running_mean_get(&m->seen, m->mean);
    for (size_t i = 0; i < n; i++)
        ak_unit_row(rows->x + k->row[i] * dim, m->mean, m->base.params.dim,
                    k->z + i * dim);
    n_classes = classes_of(rows, at, k->classes);
    for (size_t c = 0; c < n_classes; c++)
        learn_class(m, k, rows, n, k->classes[c], &sum);
    /* E^2 is 4 at most; a mean over the turns of all rows, for each row. */
    *loss += sum / 4 / (double)turns * (double)(n * m->base.params.bits);
}

static enum ak_status fcoh_update(struct ak_hash *h,
                                  const struct ak_hash_rows *rows, double *loss,
                                  struct ak_err *err)
{
    struct fcoh *m = fcoh_of(h);
    size_t size = (size_t)h->params.dim * h->params.bits;
    struct ak_hash_block at = {0};
    struct work k = {0};
    enum ak_status status = work_init(&k, m, rows, err);

    if (status != AK_OK)
        goto out;
    memcpy(k.w_before, m->w, size * sizeof(*m->w));
    memcpy(k.sum_before, m->seen.sum, h->params.dim * sizeof(*m->seen.sum));
    while (ak_hash_next_block(rows, fcoh_block_rows(h), &at))
        learn_block(m, &k, rows, &at, loss);
    if (!ak_weights_are_sane(m->w, size)) {
        memcpy(m->w, k.w_before, size * sizeof(*m->w));
        memcpy(m->seen.sum, k.sum_before, h->params.dim * sizeof(*m->seen.sum));
        m->seen.n -= rows->learnt;
        status = ak_fail_weights(h, err);
    }

out:
    work_clear(&k);
    return status;
}

static enum ak_status fcoh_freeze(const struct ak_hash *h,
                                  struct ak_encoder **out, struct ak_err *err)
{
    const struct fcoh *m = fcoh_of_const(h);

    return ak_hash_freeze_unit(h, &m->seen, m->w, out, err);
}

static size_t fcoh_bytes(const struct ak_hash *h)
{
    size_t dim = h->params.dim, n = dim * sizeof(double);

    if (h->map != NULL)
        n += dim * (h->params.bits + 1u) * sizeof(float);
    return n;
}

static void fcoh_save_state(const struct ak_hash *h, struct ak_writer *w)
{
    const struct fcoh *m = fcoh_of_const(h);

    ak_running_mean_write(&m->seen, w);
    ak_write_f32s(w, m->w, (size_t)h->params.dim * h->params.bits);
}

static enum ak_status fcoh_load_state(struct ak_hash *h, struct ak_reader *r,
                                      struct ak_err *err)
{
    struct fcoh *m = fcoh_of(h);
    enum ak_status status = ak_hash_read_mean(h, &m->seen, r, err);

    if (status != AK_OK)
        return status;
    return ak_read_weights(r, m->w, (size_t)h->params.dim * h->params.bits,
                           err);
}

const struct ak_hash_ops ak_hash_fcoh = {
    .about =
        {
            .name = "fcoh",
            .source = "reconstructed from the abstract of: Lin, Ji, Sun, "
                      "Zhang, Huang, Tian and Tao, Fast Class-wise Updating "
                      "for Online Hashing, TPAMI",
            .help = "inner products of codes, one class after the other",
            .options = fcoh_options,
            .n_options = N_OPTIONS,
            .learns = true,
            .streams = true,
            .moving_map = true,
        },
    .format = 1,
    .size = sizeof(struct fcoh),
    .create = fcoh_create,
    .clear = fcoh_clear,
    .fix = fcoh_fix,
    .update = fcoh_update,
    .block_rows = fcoh_block_rows,
    .freeze = fcoh_freeze,
    .bytes = fcoh_bytes,
    .save_state = fcoh_save_state,
    .load_state = fcoh_load_state,
};
