#include "core/eval/features.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/mem.h"

struct row {
    float likeness;
    bool relevant;
};

static int compare_rows(const void *a, const void *b)
{
    const struct row *x = a, *y = b;

    if (x->likeness != y->likeness)
        return x->likeness > y->likeness ? -1 : 1;
    return x->relevant - y->relevant;
}

/* Rows of unit length; a row of zeroes stays one. */
static enum ak_status make_unit(const float *x, size_t n, uint32_t dim,
                                float *out, struct ak_err *err)
{
    for (size_t i = 0; i < n; i++) {
        double sum = 0, scale;

        for (uint32_t d = 0; d < dim; d++)
            sum += (double)x[i * dim + d] * x[i * dim + d];
        if (!isfinite(sum))
            return ak_fail(err, AK_ENUMERIC, "feature %zu is not finite", i);
        scale = sum > 0 ? 1 / sqrt(sum) : 0;
        for (uint32_t d = 0; d < dim; d++)
            out[i * dim + d] = (float)(x[i * dim + d] * scale);
    }
    return AK_OK;
}

static float dot(const float *a, const float *b, uint32_t dim)
{
    float sum = 0;

    for (uint32_t d = 0; d < dim; d++)
        sum += a[d] * b[d];
    return sum;
}

/* AP = 1 / P sum over relevant rows of (relevant so far) / rank; -1: P is 0. */
static double average_precision(const float *unit, const uint32_t *labels,
                                size_t n, uint32_t dim, size_t query,
                                struct row *rows)
{
    size_t m = 0, found = 0;
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        if (i != query)
            rows[m++] =
                (struct row){dot(unit + query * dim, unit + i * dim, dim),
                             labels[i] == labels[query]};
    qsort(rows, m, sizeof(*rows), compare_rows);
    for (size_t i = 0; i < m; i++)
        if (rows[i].relevant)
            sum += (double)++found / (double)(i + 1);
    return found > 0 ? sum / (double)found : -1;
}

enum ak_status ak_eval_features(const float *x, const uint32_t *labels,
                                size_t n, uint32_t dim, size_t max_queries,
                                ak_feature_progress_fn *progress, void *context,
                                double *ap, struct ak_feature_rank *out,
                                struct ak_err *err)
{
    size_t wanted = n < max_queries ? n : max_queries, queries = 0;
    float *unit = ak_array_new(n * dim + 1, sizeof(*unit));
    struct row *rows = ak_array_new(n + 1, sizeof(*rows));
    enum ak_status status = AK_OK;
    double sum = 0;

    if (unit == NULL || rows == NULL)
        status = ak_fail(err, AK_ENOMEM, "no memory for %zu features", n);
    else
        status = make_unit(x, n, dim, unit, err);
    for (size_t q = 0; status == AK_OK && q < wanted; q++) {
        double one =
            average_precision(unit, labels, n, dim, q * n / wanted, rows);

        if (one >= 0) {
            if (ap != NULL)
                ap[queries] = one;
            sum += one;
            queries++;
        }
        if (progress != NULL && !progress(context, q + 1, wanted))
            status = ak_fail(err, AK_ECANCELED, "stopped while ranking");
    }
    if (status == AK_OK && queries == 0)
        status = ak_fail(err, AK_EINVAL,
                         "none of %zu images has another of its class", n);
    ak_array_free(unit);
    ak_array_free(rows);
    if (status == AK_OK)
        *out = (struct ak_feature_rank){sum / (double)queries, queries};
    return status;
}
