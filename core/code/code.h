/*
 * code.h -- packed binary codes, their bytes and their words.
 *
 * At rest and on the wire a code is bits / 8 bytes: bit j is bit j % 8 from the
 * most significant of byte j / 8 (NumPy's packbits).  In memory the same bytes
 * are padded with zeroes to 64-bit words.  Distance does not care about the
 * order of bits, so nothing is ever converted.
 */
#ifndef AK_CORE_CODE_CODE_H
#define AK_CORE_CODE_CODE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define AK_CODE_MIN_BITS  8
#define AK_CODE_MAX_BITS  1024
#define AK_CODE_MAX_WORDS (AK_CODE_MAX_BITS / 64)

static inline size_t ak_code_bytes(uint32_t bits)
{
    return bits / 8;
}

static inline size_t ak_code_words(uint32_t bits)
{
    return (bits + 63) / 64;
}

/* words (ak_code_words(bits)) from the bytes of one code. */
static inline void ak_code_load(const uint8_t *bytes, uint32_t bits,
                                uint64_t *words)
{
    words[ak_code_words(bits) - 1] = 0;
    memcpy(words, bytes, ak_code_bytes(bits));
}

#endif
