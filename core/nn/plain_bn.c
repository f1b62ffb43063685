/*
 * plain_bn.c -- batch normalisation as plain loops.
 *
 * Ioffe and Szegedy, "Batch Normalization", ICML 2015, arXiv 1502.03167.
 *
 *     y = gamma (x - mean) / sqrt(var + eps) + beta
 *
 * In training mean and var, divided by the number of values, are those of the
 * batch; backward, with x^ the normalised x and averages over the batch:
 *
 *     dx = gamma / sqrt(var + eps) (dy - avg(dy) - x^ avg(dy x^))
 */
#include <math.h>

#include "core/nn/plain_ops.h"

size_t ak_plain_bn_saved(const struct ak_layer *l, uint32_t n)
{
    (void)n;
    return 2 * (size_t)l->c;
}

static void moments(const struct ak_plain *p, uint32_t c)
{
    const struct ak_layer *l = p->l;
    size_t plane = (size_t)l->h * l->w;
    double count = (double)p->n * (double)plane;
    double sum = 0, squares = 0, mean;

    for (uint32_t n = 0; n < p->n; n++)
        for (size_t i = 0; i < plane; i++)
            sum += (double)p->x[0][((size_t)n * l->c + c) * plane + i];
    mean = sum / count;
    for (uint32_t n = 0; n < p->n; n++)
        for (size_t i = 0; i < plane; i++) {
            double d =
                (double)p->x[0][((size_t)n * l->c + c) * plane + i] - mean;

            squares += d * d;
        }
    p->saved[c] = (ak_real)mean;
    p->saved[l->c + c] = (ak_real)(squares / count);
}

void ak_plain_bn(const struct ak_plain *p)
{
    const struct ak_layer *l = p->l;
    size_t plane = (size_t)l->h * l->w;

    for (uint32_t c = 0; c < l->c; c++) {
        ak_real mean, var, scale;

        if (p->train)
            moments(p, c);
        mean = p->train ? p->saved[c] : p->value[AK_PARAM_MEAN][c];
        var = p->train ? p->saved[l->c + c] : p->value[AK_PARAM_VAR][c];
        scale = (ak_real)((double)p->value[AK_PARAM_GAMMA][c] /
                          sqrt((double)var + (double)l->eps));
        for (uint32_t n = 0; n < p->n; n++)
            for (size_t i = 0; i < plane; i++) {
                size_t at = ((size_t)n * l->c + c) * plane + i;

                p->y[at] =
                    scale * (p->x[0][at] - mean) + p->value[AK_PARAM_BETA][c];
            }
    }
}

void ak_plain_bn_back(const struct ak_plain *p)
{
    const struct ak_layer *l = p->l;
    size_t plane = (size_t)l->h * l->w;
    double count = (double)p->n * (double)plane;

    for (uint32_t c = 0; c < l->c; c++) {
        double mean = (double)p->saved[c];
        double rstd = 1 / sqrt((double)p->saved[l->c + c] + (double)l->eps);
        double gamma = (double)p->value[AK_PARAM_GAMMA][c];
        double sum = 0, dot = 0;

        for (uint32_t n = 0; n < p->n; n++)
            for (size_t i = 0; i < plane; i++) {
                size_t at = ((size_t)n * l->c + c) * plane + i;

                sum += (double)p->dy[at];
                dot += (double)p->dy[at] * ((double)p->x[0][at] - mean) * rstd;
            }
        p->grad[AK_PARAM_BETA][c] += (ak_real)sum;
        p->grad[AK_PARAM_GAMMA][c] += (ak_real)dot;
        for (uint32_t n = 0; p->dx[0] != NULL && n < p->n; n++)
            for (size_t i = 0; i < plane; i++) {
                size_t at = ((size_t)n * l->c + c) * plane + i;
                double norm = ((double)p->x[0][at] - mean) * rstd;

                p->dx[0][at] += (ak_real)(gamma * rstd *
                                          ((double)p->dy[at] - sum / count -
                                           norm * dot / count));
            }
    }
}
