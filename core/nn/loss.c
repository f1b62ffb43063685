#include "core/nn/loss.h"

#include <math.h>

/* The logarithm of the sum of exp(scale z). */
static double log_sum_exp(const ak_real *z, size_t n, double scale)
{
    double most = scale * (double)z[0], sum = 0;

    for (size_t i = 1; i < n; i++)
        if (scale * (double)z[i] > most)
            most = scale * (double)z[i];
    for (size_t i = 0; i < n; i++)
        sum += exp(scale * (double)z[i] - most);
    return most + log(sum);
}

double ak_loss_cross_entropy(double weight, const ak_real *z,
                             const uint32_t *labels, size_t n, size_t classes,
                             double smoothing, ak_real *dz)
{
    double loss = 0;
    double rest = smoothing / (double)classes;

    for (size_t i = 0; i < n; i++) {
        const ak_real *row = z + i * classes;
        double norm = log_sum_exp(row, classes, 1);

        for (size_t c = 0; c < classes; c++) {
            double target = rest + (c == labels[i] ? 1 - smoothing : 0);
            double logp = (double)row[c] - norm;

            if (target > 0)
                loss -= target * logp;
            if (dz != NULL)
                dz[i * classes + c] +=
                    (ak_real)(weight * (exp(logp) - target) / (double)n);
        }
    }
    return weight * loss / (double)n;
}

double ak_loss_mse(double weight, const ak_real *x, const ak_real *target,
                   size_t n, size_t dim, ak_real *dx)
{
    double loss = 0, count = (double)n * (double)dim;

    for (size_t i = 0; i < n * dim; i++) {
        double d = (double)x[i] - (double)target[i];

        loss += d * d;
        if (dx != NULL)
            dx[i] += (ak_real)(weight * 2 * d / count);
    }
    return weight * loss / count;
}

double ak_loss_distill(double weight, const ak_real *z, const ak_real *teacher,
                       size_t n, size_t classes, double temperature,
                       ak_real *dz)
{
    double loss = 0, t = 1 / temperature;

    for (size_t i = 0; i < n; i++) {
        const ak_real *a = teacher + i * classes, *b = z + i * classes;
        double norm_a = log_sum_exp(a, classes, t);
        double norm_b = log_sum_exp(b, classes, t);

        for (size_t c = 0; c < classes; c++) {
            double logp = t * (double)a[c] - norm_a;
            double logq = t * (double)b[c] - norm_b;

            loss += exp(logp) * (logp - logq);
            /* T^2 times the gradient's own 1 / T. */
            if (dz != NULL)
                dz[i * classes + c] +=
                    (ak_real)(weight * temperature * (exp(logq) - exp(logp)) /
                              (double)n);
        }
    }
    return weight * temperature * temperature * loss / (double)n;
}

double ak_loss_code(double weight, const ak_real *h, const uint32_t *labels,
                    const ak_real *codes, size_t n, size_t bits, ak_real *dh)
{
    double loss = 0;

    for (size_t i = 0; i < n; i++)
        loss += ak_loss_mse(weight / (double)n, h + i * bits,
                            codes + (size_t)labels[i] * bits, 1, bits,
                            dh != NULL ? dh + i * bits : NULL);
    return loss;
}
