/*
 * hcdh_head.h -- the hash layer of a network, as an encoder of its features.
 *
 * A model file (.akx) of a network that was trained to make codes
 * (hcdh_network.h) is both of what came of the training: the graph and its
 * values have the hash layer, and a line of the notes has the number of images
 * that taught it.
 */
#ifndef AK_CORE_HASH_HCDH_HEAD_H
#define AK_CORE_HASH_HCDH_HEAD_H

#include "core/hash/encoder.h"
#include "core/nn/model.h"

/* AK_EINVAL: no encoder has so many inputs or bits. */
enum ak_status ak_hcdh_head_check(size_t dim, uint32_t bits,
                                  struct ak_err *err) AK_MUST_CHECK;

/* The bits that a graph's hash layer makes of its feature; 0: it has none. */
uint32_t ak_hcdh_head_bits(const struct ak_graph *g);

/*
 * The encoder of a network with `values`, that `samples` images taught; any
 * graph with a hash layer on its feature, AK_EINVAL for others.
 *
 * Bit j is 1 where the encoder's y_j = (A f + a)_j > 0, in its fixed order of
 * summation.  An engine may sum in another order: its h_j has the same sign
 * where |y_j| is above what rounding makes of that sum, and what is within it
 * is a tie, which the encoder decides.
 */
enum ak_status ak_hcdh_head_encoder(const struct ak_graph *g,
                                    const float *values, uint64_t samples,
                                    struct ak_encoder **out,
                                    struct ak_err *err) AK_MUST_CHECK;

/* The encoder of a model file; of 0 samples when the notes tell of none. */
enum ak_status ak_hcdh_head_of(const struct ak_model *model,
                               struct ak_encoder **out,
                               struct ak_err *err) AK_MUST_CHECK;

/*
 * The lines of the notes about it, in a text of AK_HCDH_NOTES: what the encoder
 * is, with the CRC-32 of the file that ak_encoder_save() makes of it, and its
 * samples.  AK_ENOMEM.
 */
#define AK_HCDH_NOTES   256
#define AK_HCDH_SAMPLES "hash samples: "
enum ak_status ak_hcdh_head_notes(const struct ak_encoder *e,
                                  double code_weight, double backbone_rate,
                                  char out[AK_HCDH_NOTES],
                                  struct ak_err *err) AK_MUST_CHECK;

#endif
