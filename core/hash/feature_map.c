/*
 * feature_map.c -- the RBF map follows the released code of HMOH (Lin et al.,
 * "Hadamard Matrix Guided Online Hashing", IJCV 128, 2020): anchors from the
 * data, eta a fraction of the mean squared distance between anchors and rows
 * that are none, phi = exp(-||x - a||^2 / (2 eta)), no bias.  Taking off the
 * mean of phi is ours, and so is moving anchors by k-means (Lloyd, "Least
 * squares quantization in PCM", IEEE Transactions on Information Theory 28,
 * 1982): they then stand for all of the rows, not for those that were drawn.
 */
#include "core/hash/feature_map.h"

#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/linalg/project.h"

/* Rows that the bandwidth is measured with, at most (the paper's number). */
#define BANDWIDTH_ROWS 2000

/* Differences of two floats in all rounds of k-means, at most: some seconds. */
#define MOVE_BUDGET ((double)(UINT64_C(1) << 36))

/* Rows whose distances are taken at a time while a map is fitted. */
#define FIT_ROWS 64

/*
 * The scale -1 / (2 eta) must be a finite float other than zero, or an exponent
 * could be 0 * infinity.
 */
#define ETA_LEAST 1e-30
#define ETA_MOST  1e37

struct ak_feature_map {
    struct ak_ref ref;
    enum ak_map_kind kind;
    uint32_t dim, width;
    const struct ak_project_kernels *kernels;
    double eta;
    float *anchors; /* RBF: packed, (dim, width) */
    float *mean;    /* UNIT (dim); RBF (width), or NULL if not centred */
};

static void map_destroy(struct ak_ref *ref)
{
    struct ak_feature_map *map = (struct ak_feature_map *)ref;

    ak_array_free(map->anchors);
    ak_array_free(map->mean);
    ak_array_free(map);
}

static enum ak_status new_map(enum ak_map_kind kind, uint32_t dim,
                              uint32_t width, bool has_mean,
                              struct ak_feature_map **out, struct ak_err *err)
{
    struct ak_feature_map *map = ak_array_new(1, sizeof(*map));

    if (map == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for a feature map");
    ak_ref_init(&map->ref, map_destroy);
    map->kind = kind;
    map->dim = dim;
    map->width = width;
    map->kernels = ak_project_kernels();
    if (kind == AK_MAP_RBF)
        map->anchors =
            ak_array_new((size_t)dim * ak_panel_columns(width), sizeof(float));
    if (has_mean)
        map->mean = ak_array_new(width, sizeof(float));
    if ((kind == AK_MAP_RBF && map->anchors == NULL) ||
        (has_mean && map->mean == NULL)) {
        map_destroy(&map->ref);
        return ak_fail(err, AK_ENOMEM, "no memory for %u anchors of %u floats",
                       width, dim);
    }
    *out = map;
    return AK_OK;
}

size_t ak_feature_map_wanted(const struct ak_map_plan *plan)
{
    size_t twice = 2 * (size_t)plan->anchors;

    if (plan->kind != AK_MAP_RBF)
        return 0;
    return twice > BANDWIDTH_ROWS ? twice : BANDWIDTH_ROWS;
}

/* The squared distances of the rows of x to the anchors, z (n, stride). */
static void distances(const struct ak_feature_map *map, const float *x,
                      size_t n, float *z)
{
    size_t stride = ak_panel_columns(map->width);

    memset(z, 0, n * stride * sizeof(*z));
    map->kernels->squares(x, n, map->dim, map->anchors, map->dim,
                          ak_panels(map->width), z, stride);
}

/*
 * Sum of the squared distances from the rows `index` (n) of x to the anchors,
 * leaving out anchor `skip + i` for row i where there is one.
 */
static double sum_of_distances(const struct ak_feature_map *map, const float *x,
                               const uint32_t *index, size_t n, size_t skip,
                               float *row, float *z)
{
    size_t stride = ak_panel_columns(map->width);
    double sum = 0;

    for (size_t i = 0; i < n; i += FIT_ROWS) {
        size_t rows = n - i < FIT_ROWS ? n - i : FIT_ROWS;

        for (size_t r = 0; r < rows; r++)
            memcpy(row + r * map->dim, x + (size_t)index[i + r] * map->dim,
                   map->dim * sizeof(*row));
        distances(map, row, rows, z);
        for (size_t r = 0; r < rows; r++)
            for (size_t j = 0; j < map->width; j++)
                if (j != skip + i + r)
                    sum += (double)z[r * stride + j];
    }
    return sum;
}

/*
 * Rounds of k-means over the rows x (n, dim).  Of equally near anchors the first
 * one gets the row, and an anchor without rows stays; sums are in the order of
 * the rows, so that there is one result.
 */
static void move_anchors(struct ak_feature_map *map, const float *x, size_t n,
                         uint32_t rounds, float *z, double *sum, uint32_t *mine)
{
    size_t width = map->width, dim = map->dim;
    size_t stride = ak_panel_columns(width);
    double most = MOVE_BUDGET / ((double)n * (double)width * (double)dim);

    for (uint32_t round = 0; round < rounds && round + 1 <= most; round++) {
        memset(sum, 0, width * dim * sizeof(*sum));
        memset(mine, 0, width * sizeof(*mine));
        for (size_t i = 0; i < n; i++) {
            const float *d = z + i % FIT_ROWS * stride;
            size_t least = 0;

            if (i % FIT_ROWS == 0)
                distances(map, x + i * dim, n - i < FIT_ROWS ? n - i : FIT_ROWS,
                          z);
            for (size_t j = 1; j < width; j++)
                if (d[j] < d[least])
                    least = j;
            for (size_t k = 0; k < dim; k++)
                sum[least * dim + k] += (double)x[i * dim + k];
            mine[least]++;
        }
        for (size_t j = 0; j < width; j++)
            for (size_t k = 0; mine[j] > 0 && k < dim; k++)
                map->anchors[ak_panel_at(dim, k, j)] =
                    (float)(sum[j * dim + k] / mine[j]);
    }
}

static double mean_squared_length(const float *x, size_t n, uint32_t dim)
{
    double sum = 0;

    for (size_t i = 0; i < n * dim; i++)
        sum += (double)x[i] * (double)x[i];
    return sum / (double)n;
}

/* Seeded anchors, the bandwidth, and the mean of phi if it is wanted. */
static void fit_rbf(struct ak_feature_map *map, const struct ak_map_plan *plan,
                    const float *x, size_t n, uint64_t seed, uint32_t *index,
                    float *row, float *z, double *mean, double *sum)
{
    size_t width = map->width;
    size_t stride = ak_panel_columns(width);
    size_t others = n - width < BANDWIDTH_ROWS ? n - width : BANDWIDTH_ROWS;
    struct ak_rng rng;
    double eta = 0;

    for (size_t i = 0; i < n; i++)
        index[i] = (uint32_t)i;
    ak_rng_init(&rng, ak_rng_derive(seed, "anchors"));
    ak_rng_shuffle(&rng, index, (uint32_t)n);
    for (size_t j = 0; j < width; j++)
        for (size_t k = 0; k < map->dim; k++)
            map->anchors[ak_panel_at(map->dim, k, j)] =
                x[(size_t)index[j] * map->dim + k];
    if (sum != NULL)
        move_anchors(map, x, n, plan->rounds, z, sum, index + n);

    if (others > 0)
        eta = sum_of_distances(map, x, index + width, others, n, row, z) /
              ((double)others * (double)width);
    else if (width > 1)
        eta = sum_of_distances(map, x, index, width, 0, row, z) /
              ((double)width * (double)(width - 1));
    if (!(eta > 0))
        eta = mean_squared_length(x, n, map->dim);
    if (!(eta > 0))
        eta = plan->divisor;
    eta /= plan->divisor;
    map->eta = eta < ETA_LEAST ? ETA_LEAST : eta > ETA_MOST ? ETA_MOST : eta;

    if (map->mean == NULL)
        return;
    for (size_t i = 0; i < n; i += FIT_ROWS) {
        size_t rows = n - i < FIT_ROWS ? n - i : FIT_ROWS;

        /* The mean is still zero here, so this is phi itself. */
        ak_feature_map_apply(map, x + i * map->dim, rows, z);
        for (size_t r = 0; r < rows; r++)
            for (size_t j = 0; j < width; j++)
                mean[j] += (double)z[r * stride + j];
    }
    for (size_t j = 0; j < width; j++)
        map->mean[j] = (float)(mean[j] / (double)n);
}

enum ak_status ak_feature_map_fit(const struct ak_map_plan *plan, uint32_t dim,
                                  const float *x, size_t n, uint64_t seed,
                                  struct ak_feature_map **out,
                                  struct ak_err *err)
{
    uint32_t width = dim;
    struct ak_feature_map *map = NULL;
    uint32_t *index = NULL;
    float *row = NULL, *z = NULL;
    double *mean = NULL, *sum = NULL;
    bool moves;
    enum ak_status status;

    if (plan->kind == AK_MAP_RBF) {
        if (n < 1 || n > UINT32_MAX)
            return ak_fail(err, AK_EINVAL,
                           "a feature map of %zu rows, must be 1..%u", n,
                           UINT32_MAX);
        width = n < plan->anchors ? (uint32_t)n : plan->anchors;
    }
    status = new_map(plan->kind, dim, width,
                     plan->kind == AK_MAP_UNIT ||
                         (plan->kind == AK_MAP_RBF && plan->centred),
                     &map, err);
    if (status != AK_OK || plan->kind != AK_MAP_RBF)
        goto out;
    moves = plan->rounds > 0 && n > width;
    /* The rows in a seeded order, and the rows that each anchor has. */
    index = ak_array_new(n + width, sizeof(*index));
    if (moves)
        sum = ak_array_new((size_t)width * dim, sizeof(*sum));
    row = ak_array_new((size_t)FIT_ROWS * dim, sizeof(*row));
    z = ak_array_new(FIT_ROWS * ak_panel_columns(width), sizeof(*z));
    mean = ak_array_new(width, sizeof(*mean));
    if (index == NULL || row == NULL || z == NULL || mean == NULL ||
        (moves && sum == NULL)) {
        status = ak_fail(err, AK_ENOMEM, "no memory to fit %u anchors", width);
        goto out;
    }
    fit_rbf(map, plan, x, n, seed, index, row, z, mean, sum);

out:
    ak_array_free(sum);
    ak_array_free(mean);
    ak_array_free(z);
    ak_array_free(row);
    ak_array_free(index);
    if (status == AK_OK)
        *out = map;
    else
        ak_feature_map_drop(map);
    return status;
}

enum ak_status ak_feature_map_unit(uint32_t dim, const float *mean,
                                   struct ak_feature_map **out,
                                   struct ak_err *err)
{
    enum ak_status status = new_map(AK_MAP_UNIT, dim, dim, true, out, err);

    if (status == AK_OK)
        memcpy((*out)->mean, mean, dim * sizeof(*mean));
    return status;
}

struct ak_feature_map *ak_feature_map_take(struct ak_feature_map *map)
{
    if (map != NULL)
        ak_ref_take(&map->ref);
    return map;
}

void ak_feature_map_drop(struct ak_feature_map *map)
{
    if (map != NULL)
        ak_ref_drop(&map->ref);
}

enum ak_map_kind ak_feature_map_kind(const struct ak_feature_map *map)
{
    return map->kind;
}

uint32_t ak_feature_map_dim(const struct ak_feature_map *map)
{
    return map->dim;
}

uint32_t ak_feature_map_width(const struct ak_feature_map *map)
{
    return map->width;
}

double ak_feature_map_eta(const struct ak_feature_map *map)
{
    return map->eta;
}

size_t ak_feature_map_bytes(const struct ak_feature_map *map)
{
    size_t n = sizeof(*map);

    if (map->anchors != NULL)
        n += (size_t)map->dim * ak_panel_columns(map->width) * sizeof(float);
    if (map->mean != NULL)
        n += map->width * sizeof(float);
    return n;
}

void ak_feature_map_anchor(const struct ak_feature_map *map, uint32_t i,
                           float *x)
{
    for (size_t k = 0; k < map->dim; k++)
        x[k] = map->anchors[ak_panel_at(map->dim, k, i)];
}

size_t ak_feature_map_stride(const struct ak_feature_map *map)
{
    return ak_panel_columns(map->width);
}

/*
 * Products of floats are exact in double, so the sum comes out the same whether
 * or not the machine fuses it.
 */
void ak_unit_row(const float *x, const float *mean, uint32_t dim, float *z)
{
    double sum = 0, scale;

    for (uint32_t k = 0; k < dim; k++) {
        double t = (double)(x[k] - mean[k]);

        sum += t * t;
    }
    scale = sum > 0 && isfinite(sum) ? 1 / sqrt(sum) : 0;
    for (uint32_t k = 0; k < dim; k++) {
        double t = (double)(x[k] - mean[k]);

        z[k] = isfinite(t) ? (float)(t * scale) : 0.0f;
    }
}

void ak_feature_map_apply(const struct ak_feature_map *map, const float *x,
                          size_t n, float *z)
{
    size_t stride = ak_feature_map_stride(map);

    switch (map->kind) {
    case AK_MAP_NONE:
        for (size_t i = 0; i < n; i++)
            memcpy(z + i * stride, x + i * map->dim, map->dim * sizeof(*z));
        break;
    case AK_MAP_UNIT:
        for (size_t i = 0; i < n; i++)
            ak_unit_row(x + i * map->dim, map->mean, map->dim, z + i * stride);
        break;
    case AK_MAP_RBF:
        distances(map, x, n, z);
        map->kernels->exp(z, n * stride, (float)(-0.5 / map->eta));
        for (size_t i = 0; map->mean != NULL && i < n; i++)
            for (size_t j = 0; j < map->width; j++)
                z[i * stride + j] -= map->mean[j];
        break;
    }
}

/* Plain row-major, so the file does not depend on the panels of this build. */
void ak_feature_map_write(const struct ak_feature_map *map, struct ak_writer *w)
{
    ak_write_u32(w, map->kind);
    ak_write_u32(w, map->dim);
    ak_write_u32(w, map->width);
    ak_write_u32(w, map->mean != NULL);
    ak_write_f64(w, map->eta);
    for (size_t j = 0; map->anchors != NULL && j < map->width; j++)
        for (size_t k = 0; k < map->dim; k++)
            ak_write_f32s(w, &map->anchors[ak_panel_at(map->dim, k, j)], 1);
    if (map->mean != NULL)
        ak_write_f32s(w, map->mean, map->width);
}

static enum ak_status read_floats(struct ak_feature_map *map,
                                  struct ak_reader *r, struct ak_err *err)
{
    bool finite = true;

    for (size_t j = 0; map->anchors != NULL && j < map->width; j++)
        for (size_t k = 0; k < map->dim; k++) {
            float *at = &map->anchors[ak_panel_at(map->dim, k, j)];

            ak_read_f32s(r, at, 1);
            finite = finite && isfinite(*at);
        }
    if (map->mean != NULL)
        ak_read_f32s(r, map->mean, map->width);
    for (size_t j = 0; map->mean != NULL && j < map->width; j++)
        finite = finite && isfinite(map->mean[j]);
    if (r->status != AK_OK || !finite)
        return ak_fail(err, AK_ECORRUPT,
                       "a value of the feature map is not finite");
    return AK_OK;
}

enum ak_status ak_feature_map_read(struct ak_reader *r,
                                   struct ak_feature_map **out,
                                   struct ak_err *err)
{
    uint32_t kind = ak_read_u32(r);
    uint32_t dim = ak_read_u32(r);
    uint32_t width = ak_read_u32(r);
    uint32_t has_mean = ak_read_u32(r);
    double eta = ak_read_f64(r);
    bool rbf = kind == AK_MAP_RBF;
    struct ak_feature_map *map;
    enum ak_status status;
    uint64_t wanted;

    if (r->status != AK_OK)
        return ak_fail(err, AK_ECORRUPT, "the feature map is cut short");
    if (kind > AK_MAP_RBF)
        return ak_fail(err, AK_ECORRUPT, "feature map of kind %u, must be 0..2",
                       kind);
    if (dim < 1 || dim > 65536 || width < 1 || width > 65536)
        return ak_fail(err, AK_ECORRUPT,
                       "feature map of %u by %u, must be 1..65536", dim, width);
    if (has_mean > 1 || (!rbf && (width != dim || eta != 0.0)) ||
        (!rbf && has_mean != (kind == AK_MAP_UNIT)) ||
        (rbf && !(eta >= ETA_LEAST && eta <= ETA_MOST)))
        return ak_fail(err, AK_ECORRUPT,
                       "feature map of kind %u with width %u and eta %g", kind,
                       width, eta);
    wanted = ((rbf ? (uint64_t)dim * width : 0) + (has_mean ? width : 0)) *
             sizeof(float);
    if (ak_reader_left(r) < wanted)
        return ak_fail(err, AK_ECORRUPT,
                       "the feature map needs %llu bytes, there are %zu",
                       (unsigned long long)wanted, ak_reader_left(r));
    status =
        new_map((enum ak_map_kind)kind, dim, width, has_mean == 1, &map, err);
    if (status != AK_OK)
        return status;
    map->eta = eta;
    status = read_floats(map, r, err);
    if (status != AK_OK) {
        ak_feature_map_drop(map);
        return status;
    }
    *out = map;
    return AK_OK;
}

enum ak_status ak_running_mean_init(struct ak_running_mean *m, uint32_t dim,
                                    struct ak_err *err)
{
    m->n = 0;
    m->dim = dim;
    m->sum = ak_array_new(dim, sizeof(*m->sum));
    if (m->sum == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for a mean of %u", dim);
    return AK_OK;
}

void ak_running_mean_clear(struct ak_running_mean *m)
{
    ak_array_free(m->sum);
    memset(m, 0, sizeof(*m));
}

void ak_running_mean_add(struct ak_running_mean *m, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < m->dim; k++)
            m->sum[k] += (double)x[i * m->dim + k];
    m->n += n;
}

void ak_running_mean_get(const struct ak_running_mean *m, float *mean)
{
    double n = m->n > 0 ? (double)m->n : 1;

    for (uint32_t k = 0; k < m->dim; k++)
        mean[k] = (float)(m->sum[k] / n);
}

void ak_running_mean_write(const struct ak_running_mean *m, struct ak_writer *w)
{
    ak_write_u64(w, m->n);
    ak_write_f64s(w, m->sum, m->dim);
}

void ak_running_mean_read(struct ak_running_mean *m, struct ak_reader *r)
{
    m->n = ak_read_u64(r);
    ak_read_f64s(r, m->sum, m->dim);
}
