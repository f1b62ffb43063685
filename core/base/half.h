/*
 * half.h -- IEEE 754 binary16, the stored format `f16`.
 *
 * Rounds to nearest, ties to even.  A value beyond 65504 + half a step becomes
 * an infinity: whoever accepts values from outside refuses those.
 */
#ifndef AK_CORE_BASE_HALF_H
#define AK_CORE_BASE_HALF_H

#include <stddef.h>
#include <stdint.h>

uint16_t ak_half_from_float(float value);
float ak_half_to_float(uint16_t half);

void ak_half_pack(const float *x, size_t n, uint16_t *out);
void ak_half_unpack(const uint16_t *x, size_t n, float *out);

#endif
