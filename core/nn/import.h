/* import.h -- values of a known architecture from files of others. */
#ifndef AK_CORE_NN_IMPORT_H
#define AK_CORE_NN_IMPORT_H

#include "core/nn/graph.h"
#include "core/nn/safetensors.h"

/*
 * Values (n_values) from tensors that have the names of the parameters
 * (ak_param_name()) and their shapes, floating point of any size.  Every
 * parameter must be there, and every tensor must be one of them, but for
 * PyTorch's `num_batches_tracked`.  AK_EINVAL says which is not.
 */
enum ak_status ak_import_named(const struct ak_graph *g,
                               const struct ak_safetensors *st, float *values,
                               struct ak_err *err) AK_MUST_CHECK;

/*
 * Values of a network that was quantised to bytes with its batch normalisation
 * folded, as TensorFlow Lite has it: tensors 00_conv.weight (out, h, w, in) or
 * 01_dw.weight (1, h, w, channels) of type U8 and 00_conv.bias of I32, numbered
 * in the order of the convolutions and linear layers, and the JSON (len bytes)
 * that gives the scales:
 *
 *     {"ops": [{"name": "00_conv", "w_scale": 0.03, "w_zero_point": 122,
 *               "b_scale": 0.0003, ...}, ...], ...}
 *
 * A weight is (q - zero point) * scale, a bias q * scale.  The normalisation
 * behind a convolution gets the bias and otherwise leaves values as they are.
 */
enum ak_status ak_import_quantised(const struct ak_graph *g,
                                   const struct ak_safetensors *st,
                                   const char *json, size_t len, float *values,
                                   struct ak_err *err) AK_MUST_CHECK;

#endif
