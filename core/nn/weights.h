/* weights.h -- first values of the parameters of a network. */
#ifndef AK_CORE_NN_WEIGHTS_H
#define AK_CORE_NN_WEIGHTS_H

#include "core/nn/graph.h"
#include "core/nn/real.h"

/*
 * Values (n_values) of a network that has learnt nothing: weights of
 * convolutions normal with deviation sqrt(2 / (out / groups * kh * kw)), those
 * of linear layers uniform in +-1 / sqrt(in), gammas and variances 1, slopes as
 * the graph says, all others 0.  The same for the same seed, by the name of
 * each parameter: so a layer more does not change the others.
 *
 * He et al., "Delving Deep into Rectifiers", ICCV 2015, arXiv 1502.01852.
 */
void ak_weights_init(const struct ak_graph *g, uint64_t seed, ak_real *values);

#endif
