/*
 * loss.h -- what a network is trained to make small.
 *
 * Each returns `weight` times a mean over the n rows and adds `weight` times
 * its gradient to the last array, unless that is NULL: losses of one output
 * are summed by calling one after the other on an array that began as zeros.
 */
#ifndef AK_CORE_NN_LOSS_H
#define AK_CORE_NN_LOSS_H

#include <stddef.h>
#include <stdint.h>

#include "core/nn/real.h"

/*
 * Cross-entropy of softmax(z) and labels, z (n, classes), labels below
 * `classes`.  With `smoothing` s the target is 1 - s + s / classes for the
 * label and s / classes for the others (Szegedy et al., "Rethinking the
 * Inception Architecture", CVPR 2016).
 */
double ak_loss_cross_entropy(double weight, const ak_real *z,
                             const uint32_t *labels, size_t n, size_t classes,
                             double smoothing, ak_real *dz);

/* Mean of (x - target)^2 over all n * dim values. */
double ak_loss_mse(double weight, const ak_real *x, const ak_real *target,
                   size_t n, size_t dim, ak_real *dx);

/*
 * T^2 KL(softmax(teacher / T) || softmax(z / T)), T the temperature (Hinton,
 * Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015,
 * arXiv 1503.02531).
 */
double ak_loss_distill(double weight, const ak_real *z, const ak_real *teacher,
                       size_t n, size_t classes, double temperature,
                       ak_real *dz);

/*
 * Mean of (h - c)^2 over all n * bits values, where c is the row of the label
 * in `codes` (classes, bits), of -1 and 1 (HCDH, arXiv 1910.09182).
 */
double ak_loss_code(double weight, const ak_real *h, const uint32_t *labels,
                    const ak_real *codes, size_t n, size_t bits, ak_real *dh);

#endif
