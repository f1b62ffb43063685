/*
 * encoder_internal.h -- how a method makes an encoder; core/hash/ only.
 */
#ifndef AK_CORE_HASH_ENCODER_INTERNAL_H
#define AK_CORE_HASH_ENCODER_INTERNAL_H

#include "core/hash/encoder.h"
#include "core/hash/feature_map.h"

/* A hidden layer, with max(0, .) after it, and the hyperplanes. */
#define AK_ENCODER_LAYERS 2

/*
 * A new encoder, held once, of `n_layers` 1..2 layers over `map`, of which it
 * takes a reference.  It starts with weights of zero, to be filled in by
 * ak_encoder_weight() and ak_encoder_bias() before anyone else sees it.  Layer
 * l is (width before it, widths[l]); the last one's width is the bits.
 */
enum ak_status ak_encoder_create(const char *kind, struct ak_feature_map *map,
                                 const uint32_t *widths, uint32_t n_layers,
                                 uint64_t samples, struct ak_encoder **out,
                                 struct ak_err *err) AK_MUST_CHECK;

/* Entry (k, j) of a layer's weights; and entry j of its bias. */
float *ak_encoder_weight(struct ak_encoder *e, uint32_t layer, size_t k,
                         size_t j);
float *ak_encoder_bias(struct ak_encoder *e, uint32_t layer, size_t j);

/* The seeded random hyperplanes of lsh: what serves before anything is learnt. */
enum ak_status ak_encoder_lsh(uint32_t dim, uint32_t bits, uint64_t seed,
                              struct ak_encoder **out,
                              struct ak_err *err) AK_MUST_CHECK;

#endif
