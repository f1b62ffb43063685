/*
 * encoder.h -- a published model: feature vectors in, packed binary codes out.
 *
 * What a hash method has learnt, frozen: a feature map, perhaps a hidden layer,
 * and one hyperplane a bit.  Immutable and counted, so that any number of
 * threads may encode with it while the learner goes on.
 *
 *     z = map(x)                 (d) -> (m): none, centred unit norm, or RBF
 *     y = z W + bias             (bits)
 *     bit j = y_j > 0            strictly: a zero is bit 0
 *
 * The arithmetic is fixed: products are summed over the input index in order,
 * by fused multiply-add, with an exponential of our own.  A row therefore has
 * the same projections bit for bit whether it is encoded alone or among a
 * million, by the scalar, AVX2 or AVX-512 kernel (AKIND_ISA pins one).
 */
#ifndef AK_CORE_HASH_ENCODER_H
#define AK_CORE_HASH_ENCODER_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/blob.h"
#include "core/base/err.h"
#include "core/base/ref.h"

/* Begins with its `struct ak_ref`, so ak_ref_take() and ak_ref_drop() serve. */
struct ak_encoder;

struct ak_encoder_info {
    const char *kind; /* the method that made it, such as "hmoh" */
    uint32_t dim;     /* floats in a feature vector */
    uint32_t bits;    /* bits in a code */
    uint64_t samples; /* learnt from, when it was frozen */
};

void ak_encoder_info(const struct ak_encoder *e, struct ak_encoder_info *out);
struct ak_ref *ak_encoder_ref(struct ak_encoder *e);

/*
 * Codes of `n` vectors: x (n, dim) finite, row-major, to codes (n, bits / 8)
 * bytes; bit j is bit j % 8 from the most significant of byte j / 8, as NumPy's
 * packbits has it.  `scratch` has ak_encoder_scratch() bytes at a 64-byte
 * boundary, one for each thread.  Cannot fail.
 */
void ak_encoder_encode(const struct ak_encoder *e, const float *x, size_t n,
                       uint8_t *codes, void *scratch);

/* The values whose signs are the bits: y (n, bits), row-major. */
void ak_encoder_project(const struct ak_encoder *e, const float *x, size_t n,
                        float *y, void *scratch);
size_t ak_encoder_scratch(const struct ak_encoder *e);

/*
 * The two halves of encoding, for a caller that keeps mapped rows: z (n,
 * map_dim) of x, and the codes of z.  Encoders frozen from one learner have one
 * map for as long as it lives, unless its method says `moving_map`.
 */
uint32_t ak_encoder_map_dim(const struct ak_encoder *e);
void ak_encoder_map(const struct ak_encoder *e, const float *x, size_t n,
                    float *z, void *scratch);
void ak_encoder_encode_mapped(const struct ak_encoder *e, const float *z,
                              size_t n, uint8_t *codes, void *scratch);

/*
 * The model file: little-endian; magic "AKIN", kind, format version, length,
 * SHA-256, then the fields.  A load checks all of it, sizes before memory:
 * AK_ECORRUPT says what was found.  A saved encoder loads to the same bytes.
 */
enum ak_status ak_encoder_save(const struct ak_encoder *e, struct ak_writer *w,
                               struct ak_err *err) AK_MUST_CHECK;
enum ak_status ak_encoder_load(const void *data, size_t len,
                               struct ak_encoder **out,
                               struct ak_err *err) AK_MUST_CHECK;

#endif
