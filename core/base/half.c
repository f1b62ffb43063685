#include "core/base/half.h"

#include <string.h>

uint16_t ak_half_from_float(float value)
{
    uint32_t bits, sign, mantissa;
    int exponent;

    memcpy(&bits, &value, sizeof(bits));
    sign = (bits >> 16) & 0x8000u;
    exponent = (int)((bits >> 23) & 0xffu) - 127 + 15;
    mantissa = bits & 0x7fffffu;
    if (exponent == 128 + 15) /* infinity or NaN; a NaN stays one */
        return (uint16_t)(sign | 0x7c00u | (mantissa ? 0x200u : 0));
    if (exponent >= 31)
        return (uint16_t)(sign | 0x7c00u);
    if (exponent <= 0) {
        uint32_t shift, kept, rest, half;

        if (exponent < -10)
            return (uint16_t)sign;
        /* Subnormal: the hidden bit becomes visible and shifts down. */
        mantissa |= 0x800000u;
        shift = (uint32_t)(14 - exponent);
        kept = mantissa >> shift;
        rest = mantissa & ((1u << shift) - 1);
        half = 1u << (shift - 1);
        if (rest > half || (rest == half && (kept & 1)))
            kept++;
        return (uint16_t)(sign | kept);
    }
    bits = sign | (uint32_t)exponent << 10 | mantissa >> 13;
    mantissa &= 0x1fffu;
    /* A carry out of the mantissa raises the exponent, up to infinity. */
    if (mantissa > 0x1000u || (mantissa == 0x1000u && (bits & 1)))
        bits++;
    return (uint16_t)bits;
}

float ak_half_to_float(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    uint32_t exponent = (half >> 10) & 0x1fu;
    uint32_t mantissa = half & 0x3ffu;
    uint32_t bits;
    float value;

    if (exponent == 31) {
        bits = sign | 0x7f800000u | mantissa << 13;
    } else if (exponent != 0) {
        bits = sign | (exponent + 112) << 23 | mantissa << 13;
    } else {
        value = (float)mantissa * 0x1p-24f;
        return sign ? -value : value;
    }
    memcpy(&value, &bits, sizeof(value));
    return value;
}

void ak_half_pack(const float *x, size_t n, uint16_t *out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = ak_half_from_float(x[i]);
}

void ak_half_unpack(const uint16_t *x, size_t n, float *out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = ak_half_to_float(x[i]);
}
