/*
 * hmoh.c -- Hadamard Matrix guided Online Hashing.
 *
 * Lin, Ji, Liu, Sun, Chen and Tian, "Hadamard Matrix Guided Online Hashing",
 * International Journal of Computer Vision 128, 2020 (arXiv:1905.04454).  What
 * follows is the algorithm of the authors' released code.
 *
 * Each class gets a row of a Hadamard matrix as its target code (codebook.h).
 * Learning is then `bits` independent two-class problems, and each one is a
 * perceptron: a bit that comes out wrong adds its sample, with the sign of the
 * target, to its hyperplane.  What serves is the average of the hyperplanes
 * over all rounds, not the last ones.
 *
 *     W       w       (width, bits), hyperplanes of this round, zero at first
 *     -       u       (width, bits), sum of t * (what round t added to W)
 *     Wbar    -       sum of W over rounds 1..T = (T + 1) W - u
 *     r*, W~  book    order of the matrix; projection from r* to r bits
 *     b       target  (bits), +1 or -1
 *
 * Wbar in closed form costs nothing a round, where adding up W costs a pass
 * over all of it.  `u` grows like T while the difference stays, hence double;
 * and it takes up what W has really changed by, after rounding to float, so the
 * result is the sum of the very W that were used.
 *
 * Differences from the released code: rows are shuffled (codebook.c says why);
 * no division of a column by its number of mistakes, which changes no sign but
 * can be 0 / 0; no learning rate, since from W = 0 every W is a multiple of it;
 * one sample a step (its setting throughout), so that the cut into batches
 * makes no difference; a divisor of the bandwidth of 8, where the authors have
 * 6 for MNIST and 10 for Places205: of 4, 6, 8, 10, 13 and 16 it did best on
 * rows of MNIST held back from the stream; and anchors that k-means has moved
 * (feature_map.c), where the authors leave them on rows drawn at random, with
 * 300 of which mAP on those rows is lower by .02 at 16, 32 and 128 bits.
 *
 * Three options are ours.  `centred_kernel` takes the mean off the features,
 * `pick_codes` draws many codebooks and keeps one (codebook.h).  With
 * `whitened_kernel` a mistake adds
 *
 *     s = (C / c + RIDGE I)^-1 z
 *
 * in the place of z, where C is the mean of z z' over the anchors and c the mean
 * of its diagonal.  RBF features are much alike, so that a few directions have
 * nearly all their variance and a perceptron would need many rounds to get
 * anywhere in the others; this makes the rounds equally long in all.  It is the
 * perceptron on features that have been decorrelated, written in terms of those
 * that have not, so that encoding stays as it is.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/hash/codebook.h"
#include "core/hash/hash_ops.h"
#include "core/linalg/inverse.h"
#include "core/linalg/project.h"

/* Rows that go through the feature map at a time. */
#define MAP_ROWS 64

/* Of the mean variance; from 0.01 to 1 there is hardly a difference. */
#define RIDGE 0.1

/* Inverting grows with the third power of the anchors: a second for these. */
#define MOST_WHITENED 1024

/* Weights may not come near the largest float, whence products overflow. */
#define MOST_WEIGHT ((double)FLT_MAX / 4)

enum {
    OPT_ANCHORS,
    OPT_DIVISOR,
    OPT_CLASSES,
    OPT_CENTRED,
    OPT_PICK,
    OPT_WHITENED,
    OPT_ROUNDS,
    N_OPTIONS
};

static const struct ak_hash_option hmoh_options[N_OPTIONS] = {
    [OPT_ANCHORS] =
        {"kernel_anchors", 300, 0, 4096, true,
         "anchors of the RBF feature map; 0 learns on raw features"},
    [OPT_DIVISOR] = {"bandwidth_divisor", 8, 0.01, 1000, false,
                     "RBF bandwidth: mean squared distance over this; the "
                     "paper has 6 to 10"},
    [OPT_CLASSES] = {"classes", 16, 1, 4096, true,
                     "classes expected; more may come, with random codes"},
    [OPT_CENTRED] = {"centred_kernel", 0, 0, 1, true,
                     "1: centre the RBF features (not in the paper)"},
    [OPT_PICK] = {"pick_codes", 0, 0, 1, true,
                  "1: choose the codes farthest apart (not in the paper)"},
    [OPT_WHITENED] =
        {"whitened_kernel", 0, 0, 1, true,
         "1: decorrelate the RBF features, of at most 1024 (not in the paper)"},
    [OPT_ROUNDS] = {"anchor_rounds", 5, 0, 100, true,
                    "rounds of k-means that move the anchors; the paper has 0"},
};

struct hmoh {
    struct ak_hash base;
    struct ak_codebook book;
    const struct ak_project_kernels *kernels;
    size_t width;   /* of the mapped features */
    size_t columns; /* bits, padded to panels */
    double peak;    /* no |w| is larger than it, times reach() */
    float *w;       /* packed (width, bits) */
    double *u;      /* likewise */
    float *z;       /* (MAP_ROWS, stride) mapped features */
    float *y;       /* (columns) projections */
    float *target;  /* (columns), 0 beyond bits */

    /* With whitened_kernel, else NULL. */
    float *inverse; /* packed (width, width) */
    float *s;       /* (MAP_ROWS, stride) */
};

static struct hmoh *hmoh_of(struct ak_hash *h)
{
    return (struct hmoh *)h;
}

static const struct hmoh *hmoh_of_const(const struct ak_hash *h)
{
    return (const struct hmoh *)h;
}

static enum ak_status hmoh_create(struct ak_hash *h, struct ak_err *err)
{
    uint32_t anchors = (uint32_t)h->options[OPT_ANCHORS];
    bool centred = h->options[OPT_CENTRED] != 0;

    if (h->options[OPT_WHITENED] != 0 &&
        (anchors < 1 || anchors > MOST_WHITENED))
        return ak_fail(err, AK_EINVAL,
                       "hmoh.whitened_kernel is 1, which needs "
                       "hmoh.kernel_anchors of 1..%d, it is %u",
                       MOST_WHITENED, anchors);
    if (anchors > 0) {
        h->plan.kind = AK_MAP_RBF;
        h->plan.anchors = anchors;
        h->plan.divisor = h->options[OPT_DIVISOR];
        h->plan.centred = centred;
        h->plan.rounds = (uint32_t)h->options[OPT_ROUNDS];
    } else if (centred) {
        return ak_fail(err, AK_EINVAL,
                       "hmoh.centred_kernel is 1, which needs "
                       "hmoh.kernel_anchors of at least 1, it is 0");
    }
    return ak_codebook_init(&hmoh_of(h)->book, h->params.bits,
                            (uint32_t)h->options[OPT_CLASSES],
                            h->options[OPT_PICK] != 0, h->params.seed, err);
}

static void free_weights(struct hmoh *m)
{
    ak_array_free(m->w);
    ak_array_free(m->u);
    ak_array_free(m->z);
    ak_array_free(m->y);
    ak_array_free(m->target);
    ak_array_free(m->inverse);
    ak_array_free(m->s);
    m->w = m->z = m->y = m->target = m->inverse = m->s = NULL;
    m->u = NULL;
}

static void hmoh_clear(struct ak_hash *h)
{
    struct hmoh *m = hmoh_of(h);

    free_weights(m);
    ak_codebook_clear(&m->book);
}

/*
 * (C / c + RIDGE I)^-1 into m->inverse, from the anchors of the map alone, so
 * that it need not be saved.  With features of no variance it is I / RIDGE.
 */
static enum ak_status whiten(struct hmoh *m, struct ak_err *err)
{
    size_t n = m->width;
    double *a = ak_array_new(n * n, sizeof(*a)), mean = 0;
    float *x = ak_array_new(m->base.params.dim, sizeof(*x));

    if (a == NULL || x == NULL) {
        ak_array_free(a);
        ak_array_free(x);
        return ak_fail(err, AK_ENOMEM, "hmoh: no memory to whiten %zu features",
                       n);
    }
    for (uint32_t i = 0; i < n; i++) {
        ak_feature_map_anchor(m->base.map, i, x);
        ak_feature_map_apply(m->base.map, x, 1, m->z);
        for (size_t k = 0; k < n; k++)
            for (size_t j = 0; j < n; j++)
                a[k * n + j] += (double)m->z[k] * (double)m->z[j];
    }
    for (size_t k = 0; k < n; k++)
        mean += a[k * n + k] / (double)n;
    for (size_t k = 0; k < n * n; k++)
        a[k] = (mean > 0 ? a[k] / mean : 0) + (k % (n + 1) == 0 ? RIDGE : 0);
    ak_invert_positive(a, n);
    for (size_t k = 0; k < n; k++)
        for (size_t j = 0; j < n; j++)
            m->inverse[ak_panel_at(n, k, j)] = (float)a[k * n + j];
    ak_array_free(x);
    ak_array_free(a);
    return AK_OK;
}

static enum ak_status hmoh_fix(struct ak_hash *h, struct ak_err *err)
{
    struct hmoh *m = hmoh_of(h);
    bool whitened = h->options[OPT_WHITENED] != 0;
    enum ak_status status = AK_OK;

    m->kernels = ak_project_kernels();
    m->width = ak_feature_map_width(h->map);
    m->columns = ak_panel_columns(h->params.bits);
    m->w = ak_array_new(m->width * m->columns, sizeof(*m->w));
    m->u = ak_array_new(m->width * m->columns, sizeof(*m->u));
    m->z =
        ak_array_new(MAP_ROWS * ak_feature_map_stride(h->map), sizeof(*m->z));
    m->y = ak_array_new(m->columns, sizeof(*m->y));
    m->target = ak_array_new(m->columns, sizeof(*m->target));
    if (whitened) {
        m->inverse = ak_array_new(m->width * ak_panel_columns(m->width),
                                  sizeof(*m->inverse));
        m->s = ak_array_new(MAP_ROWS * ak_feature_map_stride(h->map),
                            sizeof(*m->s));
    }
    if (m->w == NULL || m->u == NULL || m->z == NULL || m->y == NULL ||
        m->target == NULL || (whitened && (m->inverse == NULL || m->s == NULL)))
        status = ak_fail(err, AK_ENOMEM, "hmoh: no memory for %zu x %u weights",
                         m->width, h->params.bits);
    if (status == AK_OK && whitened)
        status = whiten(m, err);
    if (status != AK_OK)
        free_weights(m);
    return status;
}

/*
 * One round, the t-th: a perceptron step of each bit that is wrong.
 *
 *     y = W' z                                            (bits)
 *     w_j += b_j s,  u_j += t b_j s    where (y_j > 0) != (b_j > 0)
 *
 * with s = z, but for a whitened kernel.  Returns the number of wrong bits.  Products with +1, -1 and 0 are exact, so
 * no instruction set can round this differently.
 */
static uint32_t learn_row(struct hmoh *m, const float *z, const float *s,
                          double t)
{
    size_t d = m->width;
    uint32_t wrong = 0;

    memset(m->y, 0, m->columns * sizeof(*m->y));
    m->kernels->product(z, 1, 0, m->w, d, m->columns / AK_PANEL, m->y,
                        m->columns);
    for (size_t p = 0; p < m->columns; p += AK_PANEL) {
        float *w = m->w + p * d;
        double *u = m->u + p * d;
        float step[AK_PANEL];
        uint32_t wrong_here = 0;

        for (size_t j = 0; j < AK_PANEL; j++) {
            float b = m->target[p + j];
            bool is_wrong = b != 0.0f && (m->y[p + j] > 0.0f) != (b > 0.0f);

            step[j] = is_wrong ? b : 0.0f;
            wrong_here += is_wrong;
        }
        wrong += wrong_here;
        for (size_t k = 0; wrong_here > 0 && k < d; k++)
            for (size_t j = 0; j < AK_PANEL; j++) {
                size_t at = k * AK_PANEL + j;
                float before = w[at];

                w[at] = before + step[j] * s[k];
                u[at] += t * ((double)w[at] - (double)before);
            }
    }
    return wrong;
}

/*
 * The sum of the largest |z| of each row learnt so far and of each one to be
 * learnt, row after row, so that the cut into batches is not seen in it.
 * Checked before anything is learnt, so that finite input can never leave a
 * weight that is not: it takes raw features near the end of the range of a
 * float.
 */
static double peak_with(const struct hmoh *m, const struct ak_hash_rows *rows)
{
    double sum = m->peak;

    /* Outputs of the RBF map are within -1..1. */
    if (ak_feature_map_kind(m->base.map) == AK_MAP_RBF)
        return sum + (double)rows->learnt;
    for (size_t i = 0; i < rows->n; i++) {
        float most = 0.0f;

        if (rows->first[i] == rows->first[i + 1])
            continue;
        for (size_t k = 0; k < m->width; k++)
            most = fmaxf(most, fabsf(rows->x[i * m->width + k]));
        sum += (double)most;
    }
    return sum;
}

/* How much larger a weight can be: the inverse makes no vector more than
   1 / RIDGE times as long. */
static double reach(const struct hmoh *m)
{
    return m->inverse != NULL ? sqrt((double)m->width) / RIDGE : 1;
}

static enum ak_status hmoh_update(struct ak_hash *h,
                                  const struct ak_hash_rows *rows, double *loss,
                                  struct ak_err *err)
{
    struct hmoh *m = hmoh_of(h);
    size_t stride = ak_feature_map_stride(h->map);
    const float *s = m->inverse != NULL ? m->s : m->z;
    double peak = peak_with(m, rows);
    double t = (double)h->samples;
    enum ak_status status;

    if (peak * reach(m) > MOST_WEIGHT)
        return ak_fail(err, AK_ENUMERIC,
                       "hmoh: weights could reach %g, at most %g is safe: "
                       "features are too large",
                       peak * reach(m), MOST_WEIGHT);
    status = ak_codebook_grow(&m->book, h->labels.n, err);
    if (status != AK_OK)
        return status;
    for (size_t i = 0; i < rows->n; i += MAP_ROWS) {
        size_t some = rows->n - i < MAP_ROWS ? rows->n - i : MAP_ROWS;

        ak_feature_map_apply(h->map, rows->x + i * h->params.dim, some, m->z);
        if (m->inverse != NULL) {
            memset(m->s, 0, some * stride * sizeof(*m->s));
            m->kernels->product(m->z, some, stride, m->inverse, m->width,
                                ak_panels(m->width), m->s, stride);
        }
        for (size_t r = 0; r < some; r++) {
            const uint32_t *first = rows->first + i + r;

            if (first[0] == first[1])
                continue;
            ak_codebook_target(&m->book, rows->classes + first[0],
                               first[1] - first[0], m->target);
            t += 1;
            *loss += learn_row(m, m->z + r * stride, s + r * stride, t);
        }
    }
    m->peak = peak;
    return AK_OK;
}

/* Wbar / T: the average, so that the size of weights does not grow with T. */
static enum ak_status hmoh_freeze(const struct ak_hash *h,
                                  struct ak_encoder **out, struct ak_err *err)
{
    const struct hmoh *m = hmoh_of_const(h);
    double rounds = (double)h->samples;
    struct ak_encoder *e = NULL;
    enum ak_status status = ak_encoder_create("hmoh", h->map, &h->params.bits,
                                              1, h->samples, &e, err);

    if (status != AK_OK)
        return status;
    for (size_t k = 0; k < m->width; k++)
        for (size_t j = 0; j < h->params.bits; j++) {
            size_t at = ak_panel_at(m->width, k, j);
            double sum = (rounds + 1) * (double)m->w[at] - m->u[at];

            *ak_encoder_weight(e, 0, k, j) = (float)(sum / rounds);
        }
    *out = e;
    return AK_OK;
}

static size_t hmoh_bytes(const struct ak_hash *h)
{
    const struct hmoh *m = hmoh_of_const(h);
    size_t n = ak_codebook_bytes(&m->book);

    if (h->map != NULL)
        n += m->width * m->columns * (sizeof(*m->w) + sizeof(*m->u)) +
             MAP_ROWS * ak_feature_map_stride(h->map) * sizeof(*m->z) +
             2 * m->columns * sizeof(*m->y);
    if (m->inverse != NULL)
        n += (m->width + MAP_ROWS) * ak_feature_map_stride(h->map) *
             sizeof(*m->inverse);
    return n;
}

static void hmoh_save_constants(const struct ak_hash *h, struct ak_writer *w)
{
    ak_codebook_write_constants(&hmoh_of_const(h)->book, w);
}

static enum ak_status
hmoh_load_constants(struct ak_hash *h, struct ak_reader *r, struct ak_err *err)
{
    return ak_codebook_read_constants(&hmoh_of(h)->book, r, err);
}

/* Weights row-major and without the padding of the panels. */
static void hmoh_save_state(const struct ak_hash *h, struct ak_writer *w)
{
    const struct hmoh *m = hmoh_of_const(h);

    ak_write_f64(w, m->peak);
    ak_codebook_write_rows(&m->book, w);
    for (size_t k = 0; k < m->width; k++)
        for (size_t j = 0; j < h->params.bits; j++)
            ak_write_f32s(w, &m->w[ak_panel_at(m->width, k, j)], 1);
    for (size_t k = 0; k < m->width; k++)
        for (size_t j = 0; j < h->params.bits; j++)
            ak_write_f64(w, m->u[ak_panel_at(m->width, k, j)]);
}

static enum ak_status hmoh_load_state(struct ak_hash *h, struct ak_reader *r,
                                      struct ak_err *err)
{
    struct hmoh *m = hmoh_of(h);
    bool finite;
    enum ak_status status;

    m->peak = ak_read_f64(r);
    status = ak_codebook_read_rows(&m->book, h->labels.n, r, err);
    if (status != AK_OK)
        return status;
    finite = m->peak >= 0 && m->peak <= MOST_WEIGHT;
    for (size_t k = 0; k < m->width; k++)
        for (size_t j = 0; j < h->params.bits; j++) {
            float *w = &m->w[ak_panel_at(m->width, k, j)];

            ak_read_f32s(r, w, 1);
            finite = finite && isfinite(*w);
        }
    for (size_t k = 0; k < m->width; k++)
        for (size_t j = 0; j < h->params.bits; j++) {
            double *u = &m->u[ak_panel_at(m->width, k, j)];

            *u = ak_read_f64(r);
            finite = finite && isfinite(*u);
        }
    if (!finite)
        return ak_fail(err, AK_ECORRUPT, "a weight is not finite");
    return AK_OK;
}

const struct ak_hash_ops ak_hash_hmoh = {
    .about =
        {
            .name = "hmoh",
            .source = "Lin, Ji, Liu, Sun, Chen and Tian, Hadamard Matrix "
                      "Guided Online Hashing, IJCV 128, 2020",
            .help = "labels as Hadamard codes, one averaged perceptron a bit",
            .options = hmoh_options,
            .n_options = N_OPTIONS,
            .learns = true,
            .per_sample = true,
            .streams = true,
        },
    .format = 1,
    .size = sizeof(struct hmoh),
    .create = hmoh_create,
    .clear = hmoh_clear,
    .fix = hmoh_fix,
    .update = hmoh_update,
    .freeze = hmoh_freeze,
    .bytes = hmoh_bytes,
    .save_constants = hmoh_save_constants,
    .load_constants = hmoh_load_constants,
    .save_state = hmoh_save_state,
    .load_state = hmoh_load_state,
};
