/* Ones, flips and correlation against what the definitions say. */
#include "tests/test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/rng.h"
#include "server/bits.h"
#include "server/quality_report.h"

enum { MOST = 2000 };

static uint8_t codes[MOST * 128], others[MOST * 128];

static int bit(const uint8_t *all, uint32_t bits, size_t i, uint32_t j)
{
    return all[i * (bits / 8) + j / 8] >> (7 - j % 8) & 1;
}

static void fill(uint64_t seed)
{
    struct ak_rng rng;

    ak_rng_init(&rng, seed);
    for (size_t i = 0; i < sizeof(codes); i++) {
        codes[i] = (uint8_t)(ak_rng_u64(&rng) & ak_rng_u64(&rng));
        others[i] = (uint8_t)ak_rng_u64(&rng);
    }
}

/* Around 255 codes, where a lane of the counters is full. */
static void ones_and_flips_are_counted_bit_by_bit(void **state)
{
    static const size_t counts[] = {0, 1, 254, 255, 256, 510, 511, 2000};
    static const uint32_t sizes[] = {8, 24, 64, 1024};

    (void)state;
    fill(1);
    for (size_t s = 0; s < 4; s++)
        for (size_t c = 0; c < 8; c++) {
            uint64_t ones[1024] = {0}, flips[1024] = {0};
            size_t n = counts[c];

            ak_bits_count(codes, n, sizes[s], ones);
            ak_bits_count_flips(codes, others, n, sizes[s], flips);
            for (uint32_t j = 0; j < sizes[s]; j++) {
                uint64_t one = 0, flip = 0;

                for (size_t i = 0; i < n; i++) {
                    int b = bit(codes, sizes[s], i, j);

                    one += (uint64_t)b;
                    flip += (uint64_t)(b != bit(others, sizes[s], i, j));
                }
                assert_int_equal(ones[j], one);
                assert_int_equal(flips[j], flip);
            }
        }
}

static void counts_add_up(void **state)
{
    uint64_t once[64] = {0}, twice[64] = {0};

    (void)state;
    fill(2);
    ak_bits_count(codes, 1000, 64, once);
    ak_bits_count(codes, 300, 64, twice);
    ak_bits_count(codes + 300 * 8, 700, 64, twice);
    assert_memory_equal(once, twice, sizeof(once));
}

/* Means, deviations and covariance in three passes. */
static double plain_r(uint32_t bits, size_t n, uint32_t a, uint32_t b)
{
    double ma = 0, mb = 0, va = 0, vb = 0, cov = 0;

    for (size_t i = 0; i < n; i++) {
        ma += bit(codes, bits, i, a);
        mb += bit(codes, bits, i, b);
    }
    ma /= (double)n;
    mb /= (double)n;
    for (size_t i = 0; i < n; i++) {
        double x = bit(codes, bits, i, a) - ma, y = bit(codes, bits, i, b) - mb;

        va += x * x;
        vb += y * y;
        cov += x * y;
    }
    return fabs(cov) / sqrt(va * vb);
}

static void correlation_is_that_of_pearson(void **state)
{
    enum { BITS = 32, N = 700 };
    struct ak_bits_correlation c;
    double sum = 0, most = 0;
    uint32_t pairs = 0;

    (void)state;
    fill(3);
    /* Bit 9 is nearly bit 20's opposite; bits 3 and 30 never change. */
    for (size_t i = 0; i < N; i++) {
        uint8_t *code = codes + i * BITS / 8;

        code[0] |= 1 << 4;
        code[3] &= (uint8_t) ~(1 << 1);
        if (i % 10 != 0) {
            code[1] &= (uint8_t) ~(1 << 6);
            code[1] |= (uint8_t)(!bit(codes, BITS, i, 20) << 6);
        }
    }
    assert_status(ak_bits_correlate(codes, N, BITS, &c, NULL), AK_OK);
    for (uint32_t a = 0; a < BITS; a++)
        for (uint32_t b = a + 1; b < BITS; b++) {
            double r;

            if (a == 3 || b == 3 || a == 30 || b == 30)
                continue;
            r = plain_r(BITS, N, a, b);
            sum += r;
            most = fmax(most, r);
            pairs++;
        }
    assert_int_equal(c.pairs, pairs);
    assert_int_equal(c.constant, 2);
    assert_int_equal(c.max_a, 9);
    assert_int_equal(c.max_b, 20);
    assert_true(fabs(c.max_abs - most) < 1e-12);
    assert_true(fabs(c.mean_abs - sum / pairs) < 1e-12);
}

static void bits_that_never_change_have_no_correlation(void **state)
{
    struct ak_bits_correlation c;

    (void)state;
    memset(codes, 0, sizeof(codes));
    assert_status(ak_bits_correlate(codes, 100, 16, &c, NULL), AK_OK);
    assert_int_equal(c.pairs, 0);
    assert_int_equal(c.constant, 16);
    assert_status(ak_bits_correlate(codes, 0, 16, &c, NULL), AK_OK);
    assert_int_equal(c.pairs, 0);
}

static void entropy_is_greatest_for_a_fair_bit(void **state)
{
    (void)state;
    assert_true(fabs(ak_bit_entropy(0.5) - 1) < 1e-15);
    assert_true(fabs(ak_bit_entropy(0.25) - 0.811278124459) < 1e-9);
    assert_true(ak_bit_entropy(0) == 0 && ak_bit_entropy(1) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ones_and_flips_are_counted_bit_by_bit),
        cmocka_unit_test(counts_add_up),
        cmocka_unit_test(correlation_is_that_of_pearson),
        cmocka_unit_test(bits_that_never_change_have_no_correlation),
        cmocka_unit_test(entropy_is_greatest_for_a_fair_bit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
