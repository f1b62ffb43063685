/*
 * json_float.c -- decimal digits to the nearest float.
 *
 * After W. D. Clinger, "How to Read Floating Point Numbers Accurately", PLDI
 * 1990 (doi 10.1145/93542.93557): a few digits times a power of ten is one
 * operation of double.  Ours is for float, where double has 29 bits to spare,
 * so it need not even be exact.  The first 19 significant digits w and the
 * decimal exponent e give
 *
 *     d = w * 10^e    or    w / 10^-e    in double.
 *
 * Rounding w to double, the power in its table, and the operation err by half a
 * unit in the last place each; digits beyond the 19th by less than 2^-59 of the
 * value.  So d is within 3 units of the truth, and both round to one float
 * unless a midpoint between two floats lies within 3 units of d.  Midpoints are
 * the doubles whose low 29 bits are 2^28.  Only then, and for subnormals, whose
 * midpoints lie elsewhere, the C library reads the digits again: one number of
 * 2^25 or so, unless a sender makes them on purpose.
 */
#define _GNU_SOURCE /* strtof_l() */
#include "server/json_float.h"

#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    DIGITS_MAX = 19, /* of w: 10^19 < 2^64 */
    POWER_MAX = 64,
    SPARE_BITS = 52 - 23,
    UNSURE = 8 /* units of double around a midpoint; 3 would do */
};

/* Where an exponent is large enough: no text has as many zeros to undo it. */
#define EXPONENT_MAX ((int64_t)10000000000000000)

static const double powers[POWER_MAX + 1] = {
    1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10,
    1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21,
    1e22, 1e23, 1e24, 1e25, 1e26, 1e27, 1e28, 1e29, 1e30, 1e31, 1e32,
    1e33, 1e34, 1e35, 1e36, 1e37, 1e38, 1e39, 1e40, 1e41, 1e42, 1e43,
    1e44, 1e45, 1e46, 1e47, 1e48, 1e49, 1e50, 1e51, 1e52, 1e53, 1e54,
    1e55, 1e56, 1e57, 1e58, 1e59, 1e60, 1e61, 1e62, 1e63, 1e64};

/* What may stand behind a number. */
static const uint8_t follows[256] = {
    [','] = 1,  [']'] = 1,  ['}'] = 1, [' '] = 1,
    ['\t'] = 1, ['\r'] = 1, ['\n'] = 1};

static int is_digit(char c)
{
    return (unsigned char)(c - '0') < 10;
}

/* The digits from `p` on go behind those of `w`; where they end. */
static const char *add_digits(const char *p, const char *end, uint64_t *w)
{
    uint64_t sum = *w;

    for (; p < end && is_digit(*p); p++)
        sum = sum * 10 + (uint64_t)(*p - '0');
    *w = sum;
    return p;
}

/*
 * For more digits than fit: the first DIGITS_MAX of `p` .. `end` behind leading
 * zeros, and by what power of ten to scale them.  A point may be among them.
 */
static uint64_t first_digits(const char *p, const char *end, int64_t *exponent)
{
    uint64_t w = 0;
    int n = 0, fraction = 0;

    *exponent = 0;
    for (; p < end; p++) {
        if (*p == '.') {
            fraction = 1;
        } else if (n < DIGITS_MAX) {
            w = w * 10 + (uint64_t)(*p - '0');
            n += w != 0;
            *exponent -= fraction;
        } else {
            *exponent += !fraction;
        }
    }
    return w;
}

/* Whether the double `d` rounds to the float that the truth rounds to. */
static int is_sure(double d)
{
    const uint64_t spare = ((uint64_t)1 << SPARE_BITS) - 1;
    const uint64_t midpoint = (uint64_t)1 << (SPARE_BITS - 1);
    uint64_t bits;

    memcpy(&bits, &d, sizeof(bits));
    return d >= (double)FLT_MIN &&
           (bits & spare) - (midpoint - UNSURE) > 2 * UNSURE;
}

/* The digits from `begin` as the C library reads them; they are a number. */
static float read_slowly(const char *begin)
{
    /* In glibc a constant, never freed; the process's own may have commas. */
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);

    return strtof_l(begin, NULL, c);
}

/* `x` with its sign turned if `negative`: without a branch to mispredict. */
static float with_sign(float x, int negative)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof(bits));
    bits |= (uint32_t)negative << 31;
    memcpy(&x, &bits, sizeof(x));
    return x;
}

enum ak_json_number ak_json_float(const char **at, const char *end, float *out)
{
    const char *begin = *at, *p = begin, *first, *point;
    int negative = *p == '-';
    enum ak_json_number result = AK_JSON_NUMBER_MALFORMED;
    uint64_t w = 0;
    int64_t exponent = 0;
    float f;

    p += negative;
    first = p;
    p = add_digits(p, end, &w);
    if (p == first)
        goto out;
    if (*first == '0' && p > first + 1) {
        p = first + 1;
        goto out;
    }
    point = p;
    if (p < end && *p == '.') {
        p = add_digits(p + 1, end, &w);
        if (p == point + 1)
            goto out;
        exponent = point + 1 - p;
    }
    /* Neither a point nor a zero in front of it takes room in `w`. */
    if (p - first - (exponent != 0) - (*first == '0') > DIGITS_MAX)
        w = first_digits(first, p, &exponent);
    if (p < end && (*p == 'e' || *p == 'E')) {
        int64_t e = 0;
        const char *digits;
        int down;

        p++;
        down = p < end && *p == '-';
        p += p < end && (*p == '-' || *p == '+');
        for (digits = p; p < end && is_digit(*p); p++)
            if (e < EXPONENT_MAX)
                e = e * 10 + (*p - '0');
        if (p == digits)
            goto out;
        exponent += down ? -e : e;
    }
    if (p == end || !follows[(unsigned char)*p])
        goto out;

    if (w == 0 || exponent < -POWER_MAX) {
        /* Below 10^19 * 10^-65, a seventh of the smallest subnormal. */
        f = 0.0f;
    } else if (exponent > POWER_MAX) {
        f = INFINITY;
    } else {
        double d = exponent < 0 ? (double)w / powers[-exponent]
                                : (double)w * powers[exponent];

        f = is_sure(d) ? (float)d : fabsf(read_slowly(begin));
    }
    if (isinf(f)) {
        result = AK_JSON_NUMBER_HUGE;
    } else {
        *out = with_sign(f, negative);
        result = AK_JSON_NUMBER_OK;
    }

out:
    *at = p;
    return result;
}
