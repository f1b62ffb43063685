/*
 * bits.h -- how well codes use their bits.
 *
 * A bit says most when half of the codes have it, and two bits say most when
 * they do not go together.  Codes are as encoder.h packs them.
 */
#ifndef AK_SERVER_BITS_H
#define AK_SERVER_BITS_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

/* Add the ones of each bit of n codes to ones (bits). */
void ak_bits_count(const uint8_t *codes, size_t n, uint32_t bits,
                   uint64_t *ones);

/* The same for where two lists of n codes differ. */
void ak_bits_count_flips(const uint8_t *a, const uint8_t *b, size_t n,
                         uint32_t bits, uint64_t *flips);

/*
 * Pearson's r of the pairs of bits over n codes; bits that are the same in all
 * codes have none and are left out.
 */
struct ak_bits_correlation {
    uint64_t pairs;    /* 0: nothing is known */
    uint32_t constant; /* bits left out */
    double mean_abs, max_abs;
    uint32_t max_a, max_b; /* a pair that has it */
};
enum ak_status ak_bits_correlate(const uint8_t *codes, size_t n, uint32_t bits,
                                 struct ak_bits_correlation *out,
                                 struct ak_err *err) AK_MUST_CHECK;

#endif
