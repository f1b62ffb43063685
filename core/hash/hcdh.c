/*
 * hcdh.c -- Hadamard Codebook based Deep Hashing, the head of it.
 *
 * Chen et al., "Hadamard Codebook Based Deep Hashing" (arXiv:1910.09182).  What
 * follows is the loss of the authors' released code on features that are given:
 * a hash layer is pulled to the class's row of a Hadamard matrix and at the
 * same time must let a linear classifier tell the classes.
 *
 *     loss = CE(softmax(V h + v), y) + weight / (n r) sum |h - c_y|^2
 *
 *     f       z       (n, dim) features, centred and scaled by one number
 *     h       h       (n, bits) tanh of the hash layer
 *     A, a    base    hash layer, and before it perhaps a hidden one
 *     V, v    top     classifier, a row for each class
 *     c_y     target  (bits) from the codebook
 *
 * Stochastic gradient with momentum and weight decay: velocity = momentum *
 * velocity + gradient + decay * weight, weight -= rate * velocity.
 *
 * A set is learnt by passes: the rate falls from one to the next in equal steps,
 * and what comes after the last pass is learnt with `follow_rate`.
 *
 * Differences from the released code, and why:
 *
 *  - Features are given, not made by a network that is trained along; a hidden
 *    layer of rectified units makes up for some of it.  Rates are ours: the
 *    released ones are for the tuning of a network that was trained before.
 *  - Where bits < classes the codebook is chosen by the smallest distance of
 *    two codes, not by balance, which lets codes come as near as one bit; where
 *    bits >= classes all choices are alike, and none is made.  48 bits are the
 *    rows of Paley's matrix, which the released code reads from a file.
 *  - Features are scaled to a mean squared length of 50, MNIST's as it is, so
 *    that rates mean the same for all collections.
 *  - A row of several labels gives each an equal share of y, and its target is
 *    the vote of their codes; the released code has that case in part only.
 *  - The weight of the distance to the code is 4, not 1: from scratch, the mean
 *    over bits makes it too weak.  It was chosen with rows of MNIST that are
 *    neither stream nor query, as the rate was.
 *  - The quantisation term has weight 0 there and is left out.
 */
#include "core/hash/hcdh_internal.h"

#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/hash/block.h"
#include "core/hash/codebook.h"
#include "core/hash/hash_ops.h"
#include "core/linalg/blas.h"

/* Mean squared length of the scaled features. */
#define LENGTH 50.0

/* Features vary if their variance is above this share of the mean square. */
#define VARIES 1e-12

enum {
    OPT_HIDDEN,
    OPT_EPOCHS,
    OPT_BATCH,
    OPT_RATE,
    OPT_FOLLOW_RATE,
    OPT_MOMENTUM,
    OPT_DECAY,
    OPT_CODE_WEIGHT,
    OPT_CLASSES,
    N_OPTIONS
};

static const struct ak_hash_option hcdh_options[N_OPTIONS] = {
    [OPT_HIDDEN] = {"hidden", 256, 0, 4096, true,
                    "units of the hidden layer; 0 leaves it out"},
    [OPT_EPOCHS] = {"epochs", 8, 1, 1000, true, "passes over a set"},
    [OPT_BATCH] = {"batch", 128, 1, 4096, true, "rows a step"},
    [OPT_RATE] = {"rate", 0.1, 1e-6, 10, false,
                  "learning rate of the first pass"},
    [OPT_FOLLOW_RATE] = {"follow_rate", 0.005, 1e-6, 10, false,
                         "learning rate after the last pass"},
    [OPT_MOMENTUM] = {"momentum", 0.9, 0, 0.999, false, "of the velocity"},
    [OPT_DECAY] = {"decay", 5e-4, 0, 1, false, "weight decay"},
    [OPT_CODE_WEIGHT] = {"code_weight", 4, 0, 1000, false,
                         "weight of the distance to the target code"},
    [OPT_CLASSES] = {"classes", 16, 1, 4096, true,
                     "classes expected; more may come, with random codes"},
};

struct hcdh {
    struct ak_hash base;
    struct ak_codebook book;
    struct ak_running_mean seen;
    double squares; /* sum of |x|^2 of the rows seen */
    uint32_t pass;
    struct ak_hcdh_net net; /* `classes` have a row in `top` */
    size_t cap;             /* rows that `top` has room for */
    float *base_velocity, *top_velocity;
};

/* Made for one update and its longest block. */
struct work {
    struct ak_hcdh_scratch scratch;
    float *z, *target, *share; /* (room, dim), (room, bits), (room, classes) */
    float *mean;               /* (dim) */
    float *base, *top;         /* gradient */
    float *old_base, *old_top; /* to roll back to: weights, velocities */
    float *old_base_v, *old_top_v;
    double *old_sum;
};

static struct hcdh *hcdh_of(struct ak_hash *h)
{
    return (struct hcdh *)h;
}

static const struct hcdh *hcdh_of_const(const struct ak_hash *h)
{
    return (const struct hcdh *)h;
}

size_t ak_hcdh_base_size(size_t dim, size_t hidden, size_t bits)
{
    size_t in = hidden > 0 ? hidden : dim;

    return (hidden > 0 ? (dim + 1) * hidden : 0) + (in + 1) * bits;
}

enum ak_status ak_hcdh_scratch_init(struct ak_hcdh_scratch *k,
                                    const struct ak_hcdh_net *net, size_t n,
                                    struct ak_err *err)
{
    k->a = ak_array_new(n * net->hidden, sizeof(*k->a));
    k->da = ak_array_new(n * net->hidden, sizeof(*k->da));
    k->h = ak_array_new(n * net->bits, sizeof(*k->h));
    k->dh = ak_array_new(n * net->bits, sizeof(*k->dh));
    k->q = ak_array_new(n * net->classes, sizeof(*k->q));
    if (k->a == NULL || k->da == NULL || k->h == NULL || k->dh == NULL ||
        k->q == NULL) {
        ak_hcdh_scratch_clear(k);
        return ak_fail(err, AK_ENOMEM, "hcdh: no memory for a step of %zu rows",
                       n);
    }
    return AK_OK;
}

void ak_hcdh_scratch_clear(struct ak_hcdh_scratch *k)
{
    ak_array_free(k->a);
    ak_array_free(k->da);
    ak_array_free(k->h);
    ak_array_free(k->dh);
    ak_array_free(k->q);
    memset(k, 0, sizeof(*k));
}

/* out (n, m) = in (n, k) w (k, m) + bias, w and bias one after the other. */
static void affine(const float *in, size_t n, size_t k, const float *w,
                   size_t m, float *out)
{
    for (size_t i = 0; i < n; i++)
        memcpy(out + i * m, w + k * m, m * sizeof(*out));
    ak_gemm_nn(n, m, k, 1.0f, in, k, w, m, 1.0f, out, m);
}

/* Gradient of such a layer from that of its output, d (n, m). */
static void affine_gradient(const float *in, size_t n, size_t k, const float *d,
                            size_t m, float *w)
{
    ak_gemm_tn(k, m, n, 1.0f, in, k, d, m, 0.0f, w, m);
    for (size_t j = 0; j < m; j++) {
        double sum = 0;

        for (size_t i = 0; i < n; i++)
            sum += (double)d[i * m + j];
        w[k * m + j] = (float)sum;
    }
}

/* Logits q (n, classes) to (softmax - y) / n; returns the mean cross entropy. */
static double cross_entropy(float *q, const float *y, size_t n, size_t classes)
{
    double loss = 0;

    for (size_t i = 0; i < n; i++) {
        float *row = q + i * classes, most = row[0];
        const float *share = y + i * classes;
        double sum = 0;

        for (size_t c = 1; c < classes; c++)
            most = row[c] > most ? row[c] : most;
        for (size_t c = 0; c < classes; c++)
            sum += exp((double)(row[c] - most));
        for (size_t c = 0; c < classes; c++) {
            double log_q = (double)(row[c] - most) - log(sum);

            if (share[c] > 0.0f)
                loss -= (double)share[c] * log_q;
            row[c] = (float)((exp(log_q) - (double)share[c]) / (double)n);
        }
    }
    return loss / (double)n;
}

double ak_hcdh_gradient(const struct ak_hcdh_net *net, const float *z,
                        const float *c, const float *y, size_t n, double weight,
                        struct ak_hcdh_scratch *k, float *base, float *top,
                        double *misses)
{
    size_t dim = net->dim, hidden = net->hidden, bits = net->bits;
    size_t in = hidden > 0 ? hidden : dim;
    size_t skip = hidden > 0 ? (dim + 1) * hidden : 0;
    const float *a = z;
    double loss, scale = weight / ((double)n * (double)bits);

    if (hidden > 0) {
        affine(z, n, dim, net->base, hidden, k->a);
        for (size_t i = 0; i < n * hidden; i++)
            k->a[i] = k->a[i] > 0.0f ? k->a[i] : 0.0f;
        a = k->a;
    }
    affine(a, n, in, net->base + skip, bits, k->h);
    for (size_t i = 0; i < n * bits; i++)
        k->h[i] = tanhf(k->h[i]);
    for (size_t i = 0; i < n; i++)
        for (size_t l = 0; l < net->classes; l++)
            k->q[i * net->classes + l] = net->top[l * (bits + 1) + bits];
    ak_gemm_nt(n, net->classes, bits, 1.0f, k->h, bits, net->top, bits + 1,
               1.0f, k->q, net->classes);
    loss = cross_entropy(k->q, y, n, net->classes);

    ak_gemm_tn(net->classes, bits, n, 1.0f, k->q, net->classes, k->h, bits,
               0.0f, top, bits + 1);
    for (size_t l = 0; l < net->classes; l++) {
        double sum = 0;

        for (size_t i = 0; i < n; i++)
            sum += (double)k->q[i * net->classes + l];
        top[l * (bits + 1) + bits] = (float)sum;
    }
    ak_gemm_nn(n, bits, net->classes, 1.0f, k->q, net->classes, net->top,
               bits + 1, 0.0f, k->dh, bits);
    *misses = 0;
    for (size_t i = 0; i < n * bits; i++) {
        float h = k->h[i], miss = h - c[i];

        *misses += (double)miss * (double)miss;
        k->dh[i] = (k->dh[i] + (float)(2 * scale) * miss) * (1.0f - h * h);
    }
    affine_gradient(a, n, in, k->dh, bits, base + skip);
    if (hidden > 0) {
        ak_gemm_nt(n, hidden, bits, 1.0f, k->dh, bits, net->base + skip, bits,
                   0.0f, k->da, hidden);
        for (size_t i = 0; i < n * hidden; i++)
            k->da[i] = k->a[i] > 0.0f ? k->da[i] : 0.0f;
        affine_gradient(z, n, dim, k->da, hidden, base);
    }
    return loss + scale * *misses;
}

static size_t hcdh_block_rows(const struct ak_hash *h)
{
    return (size_t)h->options[OPT_BATCH];
}

static uint32_t hcdh_epochs(const struct ak_hash *h)
{
    return (uint32_t)h->options[OPT_EPOCHS];
}

static void hcdh_pass(struct ak_hash *h, uint32_t pass)
{
    hcdh_of(h)->pass = pass;
}

static enum ak_status hcdh_create(struct ak_hash *h, struct ak_err *err)
{
    struct hcdh *m = hcdh_of(h);
    enum ak_status status = ak_codebook_init_deep(
        &m->book, h->params.bits, (uint32_t)h->options[OPT_CLASSES],
        h->params.seed, err);

    if (status != AK_OK)
        return status;
    m->net.dim = h->params.dim;
    m->net.hidden = (size_t)h->options[OPT_HIDDEN];
    m->net.bits = h->params.bits;
    return ak_running_mean_init(&m->seen, h->params.dim, err);
}

static void hcdh_clear(struct ak_hash *h)
{
    struct hcdh *m = hcdh_of(h);

    ak_array_free(m->net.base);
    ak_array_free(m->net.top);
    ak_array_free(m->base_velocity);
    ak_array_free(m->top_velocity);
    ak_running_mean_clear(&m->seen);
    ak_codebook_clear(&m->book);
}

static size_t base_size(const struct hcdh *m)
{
    return ak_hcdh_base_size(m->net.dim, m->net.hidden, m->net.bits);
}

static void draw_layer(struct ak_rng *rng, float *w, size_t in, size_t out,
                       double variance)
{
    for (size_t i = 0; i < in * out; i++)
        w[i] = (float)(sqrt(variance) * (double)ak_rng_normal(rng));
}

/*
 * Outputs of the hidden layer start with variance 2, so that their rectified
 * sum has hidden; those of the hash layer with 1.  V starts as zero: classes
 * that come later start as the first ones did.
 */
static enum ak_status hcdh_fix(struct ak_hash *h, struct ak_err *err)
{
    struct hcdh *m = hcdh_of(h);
    size_t hidden = m->net.hidden, dim = m->net.dim;
    struct ak_rng rng;

    m->net.base = ak_array_new(base_size(m), sizeof(float));
    m->base_velocity = ak_array_new(base_size(m), sizeof(float));
    if (m->net.base == NULL || m->base_velocity == NULL) {
        ak_array_free(m->net.base);
        ak_array_free(m->base_velocity);
        m->net.base = m->base_velocity = NULL;
        return ak_fail(err, AK_ENOMEM, "hcdh: no memory for %zu weights",
                       base_size(m));
    }
    ak_rng_init(&rng, ak_rng_derive(h->params.seed, "hcdh weights"));
    if (hidden > 0) {
        draw_layer(&rng, m->net.base, dim, hidden, 2 / LENGTH);
        draw_layer(&rng, m->net.base + (dim + 1) * hidden, hidden, m->net.bits,
                   1.0 / (double)hidden);
    } else {
        draw_layer(&rng, m->net.base, dim, m->net.bits, 1 / LENGTH);
    }
    return AK_OK;
}

/* Rows of `top` for n classes; those that are new are zero. */
static enum ak_status grow_top(struct hcdh *m, size_t n, struct ak_err *err)
{
    size_t wide = m->net.bits + 1, cap = m->cap > 0 ? m->cap : 16;
    float *top, *velocity;

    if (n > m->cap) {
        while (cap < n)
            cap *= 2;
        top = ak_array_new(cap * wide, sizeof(*top));
        velocity = ak_array_new(cap * wide, sizeof(*velocity));
        if (top == NULL || velocity == NULL) {
            ak_array_free(top);
            ak_array_free(velocity);
            return ak_fail(err, AK_ENOMEM, "hcdh: no memory for %zu classes",
                           n);
        }
        if (m->net.classes > 0) {
            size_t len = m->net.classes * wide * sizeof(float);

            memcpy(top, m->net.top, len);
            memcpy(velocity, m->top_velocity, len);
        }
        ak_array_free(m->net.top);
        ak_array_free(m->top_velocity);
        m->net.top = top;
        m->top_velocity = velocity;
        m->cap = cap;
    }
    for (size_t i = m->net.classes * wide; i < n * wide; i++)
        m->net.top[i] = m->top_velocity[i] = 0.0f;
    m->net.classes = n;
    return AK_OK;
}

/* What features are multiplied by once the mean is taken off. */
static double scale_of(const struct hcdh *m)
{
    double n = (double)m->seen.n, square = m->squares / n, of_mean = 0;

    for (size_t k = 0; k < m->net.dim; k++)
        of_mean += m->seen.sum[k] / n * (m->seen.sum[k] / n);
    if (!(square - of_mean > VARIES * square))
        return 1;
    return sqrt(LENGTH / (square - of_mean));
}

static double rate_of(const struct hcdh *m)
{
    uint32_t epochs = hcdh_epochs(&m->base);

    if (m->pass >= epochs)
        return m->base.options[OPT_FOLLOW_RATE];
    return m->base.options[OPT_RATE] * (epochs - m->pass) / epochs;
}

static void move(float *w, float *velocity, const float *gradient, size_t n,
                 float rate, float momentum, float decay)
{
    for (size_t i = 0; i < n; i++) {
        velocity[i] = momentum * velocity[i] + gradient[i] + decay * w[i];
        w[i] -= rate * velocity[i];
    }
}

static void learn_block(struct hcdh *m, struct work *k,
                        const struct ak_hash_rows *rows,
                        const struct ak_hash_block *at, double *loss)
{
    size_t dim = m->net.dim, bits = m->net.bits, classes = m->net.classes;
    size_t n = 0;
    const double *options = m->base.options;
    double scale, misses;

    for (size_t i = at->from; i < at->to; i++) {
        if (rows->first[i] == rows->first[i + 1])
            continue;
        ak_running_mean_add(&m->seen, rows->x + i * dim, 1);
        for (size_t d = 0; d < dim; d++)
            m->squares +=
                (double)rows->x[i * dim + d] * (double)rows->x[i * dim + d];
    }
    ak_running_mean_get(&m->seen, k->mean);
    scale = scale_of(m);
    memset(k->share, 0, at->n * classes * sizeof(*k->share));
    for (size_t i = at->from; i < at->to; i++) {
        uint32_t from = rows->first[i], mentions = rows->first[i + 1] - from;

        if (mentions == 0)
            continue;
        for (size_t d = 0; d < dim; d++)
            k->z[n * dim + d] =
                (float)(((double)rows->x[i * dim + d] - (double)k->mean[d]) *
                        scale);
        ak_codebook_target(&m->book, rows->classes + from, mentions,
                           k->target + n * bits);
        for (uint32_t l = 0; l < mentions; l++)
            k->share[n * classes + rows->classes[from + l]] =
                1.0f / (float)mentions;
        n++;
    }
    ak_hcdh_gradient(&m->net, k->z, k->target, k->share, n,
                     options[OPT_CODE_WEIGHT], &k->scratch, k->base, k->top,
                     &misses);
    move(m->net.base, m->base_velocity, k->base, base_size(m),
         (float)rate_of(m), (float)options[OPT_MOMENTUM],
         (float)options[OPT_DECAY]);
    move(m->net.top, m->top_velocity, k->top, classes * (bits + 1),
         (float)rate_of(m), (float)options[OPT_MOMENTUM],
         (float)options[OPT_DECAY]);
    *loss += misses / 4;
}

static void work_clear(struct work *k)
{
    ak_hcdh_scratch_clear(&k->scratch);
    ak_array_free(k->z);
    ak_array_free(k->target);
    ak_array_free(k->share);
    ak_array_free(k->mean);
    ak_array_free(k->base);
    ak_array_free(k->top);
    ak_array_free(k->old_base);
    ak_array_free(k->old_top);
    ak_array_free(k->old_base_v);
    ak_array_free(k->old_top_v);
    ak_array_free(k->old_sum);
}

static enum ak_status work_init(struct work *k, const struct hcdh *m,
                                const struct ak_hash_rows *rows,
                                struct ak_err *err)
{
    size_t room = ak_hash_block_room(rows, hcdh_block_rows(&m->base));
    size_t classes = m->net.classes, top = classes * (m->net.bits + 1);

    k->z = ak_array_new(room * m->net.dim, sizeof(float));
    k->target = ak_array_new(room * m->net.bits, sizeof(float));
    k->share = ak_array_new(room * classes, sizeof(float));
    k->mean = ak_array_new(m->net.dim, sizeof(float));
    k->base = ak_array_new(base_size(m), sizeof(float));
    k->top = ak_array_new(top, sizeof(float));
    k->old_base = ak_array_new(base_size(m), sizeof(float));
    k->old_top = ak_array_new(top, sizeof(float));
    k->old_base_v = ak_array_new(base_size(m), sizeof(float));
    k->old_top_v = ak_array_new(top, sizeof(float));
    k->old_sum = ak_array_new(m->net.dim, sizeof(double));
    if (k->z == NULL || k->target == NULL || k->share == NULL ||
        k->mean == NULL || k->base == NULL || k->top == NULL ||
        k->old_base == NULL || k->old_top == NULL || k->old_base_v == NULL ||
        k->old_top_v == NULL || k->old_sum == NULL)
        return ak_fail(err, AK_ENOMEM, "hcdh: no memory for a step of %zu rows",
                       room);
    return ak_hcdh_scratch_init(&k->scratch, &m->net, room, err);
}

static enum ak_status hcdh_update(struct ak_hash *h,
                                  const struct ak_hash_rows *rows, double *loss,
                                  struct ak_err *err)
{
    struct hcdh *m = hcdh_of(h);
    size_t base = base_size(m) * sizeof(float), top;
    size_t classes = m->net.classes;
    double squares = m->squares;
    struct ak_hash_block at = {0};
    struct work k = {0};
    enum ak_status status = ak_codebook_grow(&m->book, h->labels.n, err);

    if (status == AK_OK)
        status = grow_top(m, h->labels.n, err);
    if (status == AK_OK)
        status = work_init(&k, m, rows, err);
    if (status != AK_OK)
        goto out;
    top = m->net.classes * (m->net.bits + 1) * sizeof(float);
    memcpy(k.old_base, m->net.base, base);
    memcpy(k.old_base_v, m->base_velocity, base);
    memcpy(k.old_top, m->net.top, top);
    memcpy(k.old_top_v, m->top_velocity, top);
    memcpy(k.old_sum, m->seen.sum, m->net.dim * sizeof(*k.old_sum));
    while (ak_hash_next_block(rows, hcdh_block_rows(h), &at))
        learn_block(m, &k, rows, &at, loss);
    if (!ak_weights_are_sane(m->net.base, base_size(m)) ||
        !ak_weights_are_sane(m->base_velocity, base_size(m)) ||
        !ak_weights_are_sane(m->net.top, top / sizeof(float)) ||
        !ak_weights_are_sane(m->top_velocity, top / sizeof(float))) {
        memcpy(m->net.base, k.old_base, base);
        memcpy(m->base_velocity, k.old_base_v, base);
        memcpy(m->net.top, k.old_top, top);
        memcpy(m->top_velocity, k.old_top_v, top);
        memcpy(m->seen.sum, k.old_sum, m->net.dim * sizeof(*k.old_sum));
        m->seen.n -= rows->learnt;
        m->squares = squares;
        status = ak_fail_weights(h, err);
    }

out:
    if (status != AK_OK) {
        m->net.classes = classes;
        ak_codebook_truncate(&m->book, (uint32_t)classes);
    }
    work_clear(&k);
    return status;
}

/* Centring and scale go into the first layer: x (s A) + (b - s mean A). */
static enum ak_status hcdh_freeze(const struct ak_hash *h,
                                  struct ak_encoder **out, struct ak_err *err)
{
    const struct hcdh *m = hcdh_of_const(h);
    size_t hidden = m->net.hidden, bits = m->net.bits, dim = m->net.dim;
    const uint32_t widths[2] = {(uint32_t)hidden, (uint32_t)bits};
    const uint32_t *used = hidden > 0 ? widths : widths + 1;
    size_t first = used[0];
    const float *second = m->net.base + (dim + 1) * first;
    double scale = scale_of(m), n = (double)m->seen.n;
    struct ak_encoder *e = NULL;
    bool finite = true;
    enum ak_status status = ak_encoder_create(
        "hcdh", h->map, used, hidden > 0 ? 2 : 1, h->samples, &e, err);

    if (status != AK_OK)
        return status;
    for (size_t j = 0; j < first; j++) {
        double bias = (double)m->net.base[dim * first + j];

        for (size_t k = 0; k < dim; k++) {
            double w = scale * (double)m->net.base[k * first + j];

            bias -= m->seen.sum[k] / n * w;
            *ak_encoder_weight(e, 0, k, j) = (float)w;
            finite = finite && isfinite((float)w);
        }
        *ak_encoder_bias(e, 0, j) = (float)bias;
        finite = finite && isfinite((float)bias);
    }
    for (size_t j = 0; hidden > 0 && j < bits; j++) {
        for (size_t k = 0; k < hidden; k++)
            *ak_encoder_weight(e, 1, k, j) = second[k * bits + j];
        *ak_encoder_bias(e, 1, j) = second[hidden * bits + j];
    }
    if (!finite) {
        ak_ref_drop(ak_encoder_ref(e));
        return ak_fail(err, AK_ENUMERIC,
                       "hcdh: a weight of the encoder would not be finite: "
                       "features are too large or hardly vary");
    }
    *out = e;
    return AK_OK;
}

static size_t hcdh_bytes(const struct ak_hash *h)
{
    const struct hcdh *m = hcdh_of_const(h);
    size_t n = ak_codebook_bytes(&m->book) + m->net.dim * sizeof(*m->seen.sum) +
               2 * m->cap * (m->net.bits + 1) * sizeof(float);

    return n + (h->map != NULL ? 2 * base_size(m) * sizeof(float) : 0);
}

static void hcdh_save_constants(const struct ak_hash *h, struct ak_writer *w)
{
    ak_codebook_write_constants(&hcdh_of_const(h)->book, w);
}

static enum ak_status
hcdh_load_constants(struct ak_hash *h, struct ak_reader *r, struct ak_err *err)
{
    return ak_codebook_read_constants(&hcdh_of(h)->book, r, err);
}

/* Pass, moments, code rows, weights and velocities of both parts. */
static void hcdh_save_state(const struct ak_hash *h, struct ak_writer *w)
{
    const struct hcdh *m = hcdh_of_const(h);
    size_t top = m->net.classes * (m->net.bits + 1);

    ak_write_u32(w, m->pass);
    ak_running_mean_write(&m->seen, w);
    ak_write_f64(w, m->squares);
    ak_codebook_write_rows(&m->book, w);
    ak_write_f32s(w, m->net.base, base_size(m));
    ak_write_f32s(w, m->base_velocity, base_size(m));
    ak_write_f32s(w, m->net.top, top);
    ak_write_f32s(w, m->top_velocity, top);
}

static enum ak_status hcdh_load_state(struct ak_hash *h, struct ak_reader *r,
                                      struct ak_err *err)
{
    struct hcdh *m = hcdh_of(h);
    size_t top = h->labels.n * (m->net.bits + 1);
    enum ak_status status;

    m->pass = ak_read_u32(r);
    if (r->status == AK_OK && m->pass > hcdh_epochs(h))
        return ak_fail(err, AK_ECORRUPT, "pass %u of %u", m->pass,
                       hcdh_epochs(h));
    status = ak_hash_read_mean(h, &m->seen, r, err);
    if (status != AK_OK)
        return status;
    m->squares = ak_read_f64(r);
    if (!(m->squares >= 0 && isfinite(m->squares)))
        return ak_fail(err, AK_ECORRUPT, "the sum of squares is %g",
                       m->squares);
    status = ak_codebook_read_rows(&m->book, h->labels.n, r, err);
    if (status == AK_OK)
        status = grow_top(m, h->labels.n, err);
    if (status == AK_OK)
        status = ak_read_weights(r, m->net.base, base_size(m), err);
    if (status == AK_OK)
        status = ak_read_weights(r, m->base_velocity, base_size(m), err);
    if (status == AK_OK)
        status = ak_read_weights(r, m->net.top, top, err);
    if (status == AK_OK)
        status = ak_read_weights(r, m->top_velocity, top, err);
    return status;
}

const struct ak_hash_ops ak_hash_hcdh = {
    .about =
        {
            .name = "hcdh",
            .source = "Chen et al., Hadamard Codebook Based Deep Hashing, "
                      "arXiv:1910.09182, 2019",
            .help = "a small network trained to Hadamard codes and labels",
            .options = hcdh_options,
            .n_options = N_OPTIONS,
            .learns = true,
            .streams = true,
            .by_epochs = true,
        },
    .format = 1,
    .size = sizeof(struct hcdh),
    .create = hcdh_create,
    .clear = hcdh_clear,
    .fix = hcdh_fix,
    .update = hcdh_update,
    .block_rows = hcdh_block_rows,
    .epochs = hcdh_epochs,
    .pass = hcdh_pass,
    .freeze = hcdh_freeze,
    .bytes = hcdh_bytes,
    .save_constants = hcdh_save_constants,
    .load_constants = hcdh_load_constants,
    .save_state = hcdh_save_state,
    .load_state = hcdh_load_state,
};
