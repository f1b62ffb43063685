/*
 * bits.c -- ones, flips and correlation of bits.
 *
 * Ones are counted eight bits at a time: a table spreads the bits of a byte
 * over the bytes of a word, which are summed for as long as none can overflow.
 * For the correlation the codes are turned, so that a bit of all codes lies in
 * a row of words; with p ones of bit a, q of b and s of both among n,
 *
 *     r = (n s - p q) / sqrt(p (n - p) q (n - q))
 */
#include "server/bits.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/code/code.h"

#define MAX_BYTES (AK_CODE_MAX_BITS / 8)
#define MOST_ADDS 255 /* of a byte of a lane */

/* Bit j of a code is bit j % 8 from the most significant. */
static uint64_t spread(uint8_t byte)
{
    uint64_t lanes = 0;

    for (unsigned j = 0; j < 8; j++)
        lanes |= (uint64_t)(byte >> (7 - j) & 1) << 8 * j;
    return lanes;
}

static void count(const uint8_t *a, const uint8_t *b, size_t n, uint32_t bits,
                  uint64_t *ones)
{
    size_t bytes = ak_code_bytes(bits);
    uint64_t lanes[MAX_BYTES] = {0}, table[256];

    for (unsigned i = 0; i < 256; i++)
        table[i] = spread((uint8_t)i);
    for (size_t i = 0, since = 0; i < n; i++) {
        for (size_t k = 0; k < bytes; k++)
            lanes[k] += table[b ? a[i * bytes + k] ^ b[i * bytes + k]
                                : a[i * bytes + k]];
        if (++since < MOST_ADDS && i + 1 < n)
            continue;
        for (uint32_t j = 0; j < bits; j++)
            ones[j] += lanes[j / 8] >> 8 * (j % 8) & 255;
        memset(lanes, 0, sizeof(lanes));
        since = 0;
    }
}

void ak_bits_count(const uint8_t *codes, size_t n, uint32_t bits,
                   uint64_t *ones)
{
    count(codes, NULL, n, bits, ones);
}

void ak_bits_count_flips(const uint8_t *a, const uint8_t *b, size_t n,
                         uint32_t bits, uint64_t *flips)
{
    count(a, b, n, bits, flips);
}

static void correlate(const uint64_t *rows, size_t words, size_t n,
                      const uint64_t *ones, uint32_t bits,
                      struct ak_bits_correlation *out)
{
    double sum = 0;

    for (uint32_t a = 0; a < bits; a++) {
        double p = (double)ones[a];

        if (ones[a] == 0 || ones[a] == n) {
            out->constant++;
            continue;
        }
        for (uint32_t b = a + 1; b < bits; b++) {
            double q = (double)ones[b], r;
            uint64_t both = 0;

            if (ones[b] == 0 || ones[b] == n)
                continue;
            for (size_t w = 0; w < words; w++)
                both += (uint64_t)__builtin_popcountll(rows[a * words + w] &
                                                       rows[b * words + w]);
            r = fabs((double)n * (double)both - p * q) /
                sqrt(p * ((double)n - p) * q * ((double)n - q));
            sum += r;
            out->pairs++;
            if (out->pairs > 1 && r <= out->max_abs)
                continue;
            out->max_abs = r;
            out->max_a = a;
            out->max_b = b;
        }
    }
    if (out->pairs > 0)
        out->mean_abs = sum / (double)out->pairs;
}

enum ak_status ak_bits_correlate(const uint8_t *codes, size_t n, uint32_t bits,
                                 struct ak_bits_correlation *out,
                                 struct ak_err *err)
{
    size_t bytes = ak_code_bytes(bits), words = (n + 63) / 64;
    uint64_t *rows = ak_array_new(bits * words, sizeof(*rows));
    uint64_t ones[AK_CODE_MAX_BITS] = {0};

    *out = (struct ak_bits_correlation){.pairs = 0};
    if (rows == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory to compare %u bits", bits);
    for (size_t i = 0; i < n; i++)
        for (uint32_t j = 0; j < bits; j++)
            rows[j * words + i / 64] |=
                (uint64_t)(codes[i * bytes + j / 8] >> (7 - j % 8) & 1)
                << (i % 64);
    ak_bits_count(codes, n, bits, ones);
    correlate(rows, words, n, ones, bits, out);
    ak_array_free(rows);
    return AK_OK;
}
