#include "core/nn/evaluate.h"

#include "core/base/mem.h"
#include "core/nn/loss.h"

/* Classes with a better score than the label's: 0 is right. */
static size_t rank_of(const float *z, size_t classes, uint32_t label)
{
    size_t rank = 0;

    for (size_t c = 0; c < classes; c++)
        rank += z[c] > z[label] || (!(z[c] < z[label]) && c < label);
    return rank;
}

static enum ak_status check_labels(const struct ak_pictures *data,
                                   uint32_t classes, struct ak_err *err)
{
    for (size_t i = 0; i < data->n; i++)
        if (data->labels[i] >= classes)
            return ak_fail(err, AK_EINVAL,
                           "image %zu has label %u, the network %u classes", i,
                           data->labels[i], classes);
    return AK_OK;
}

enum ak_status ak_evaluate(struct ak_exec *e, const struct ak_graph *g,
                           const struct ak_pictures *data, uint32_t batch,
                           ak_evaluate_progress_fn *progress, void *context,
                           float *features, struct ak_evaluation *out,
                           struct ak_err *err)
{
    struct ak_evaluation sum = {.n = data->n};
    uint32_t classes = g->layers[g->output].c;
    size_t size = ak_layer_size(&g->layers[0]);
    size_t dim = ak_layer_size(&g->layers[g->feature]);
    enum ak_status status = check_labels(data, classes, err);
    float *x = ak_array_new(batch * size, sizeof(*x));
    float *z = ak_array_new((size_t)batch * classes, sizeof(*z));

    if (status == AK_OK && (x == NULL || z == NULL))
        status = ak_fail(err, AK_ENOMEM, "no memory for %u images", batch);
    for (size_t i = 0; status == AK_OK && i < data->n; i += batch) {
        uint32_t n = data->n - i < batch ? (uint32_t)(data->n - i) : batch;

        for (uint32_t k = 0; k < n; k++)
            ak_graph_normalise(g, ak_picture(data, i + k), x + k * size);
        status = ak_exec_forward(e, x, n, 0, err);
        if (status == AK_OK)
            status = ak_exec_output(e, g->output, z, err);
        if (status == AK_OK && features != NULL)
            status = ak_exec_output(e, g->feature, features + i * dim, err);
        if (status != AK_OK)
            break;
        sum.loss += (double)n * ak_loss_cross_entropy(1, z, data->labels + i, n,
                                                      classes, 0, NULL);
        for (uint32_t k = 0; k < n; k++) {
            size_t rank =
                rank_of(z + (size_t)k * classes, classes, data->labels[i + k]);

            sum.top1 += rank < 1;
            sum.top5 += rank < 5;
        }
        if (progress != NULL && !progress(context, i + n, data->n))
            status = ak_fail(err, AK_ECANCELED, "cancelled at image %zu of %zu",
                             i + n, data->n);
    }
    if (status == AK_OK) {
        if (data->n > 0)
            sum.loss /= (double)data->n;
        *out = sum;
    }
    ak_array_free(z);
    ak_array_free(x);
    return status;
}
