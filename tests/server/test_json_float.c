/* json_float.c against the C library, which reads the same digits slowly. */
#include "tests/test.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/rng.h"
#include "server/json_float.h"

/* Reads `text` followed by a comma; all of it must be the number. */
static enum ak_json_number read_all(const char *text, float *out)
{
    size_t len = strlen(text);
    char *copy = malloc(len + 1);
    const char *at = copy;
    enum ak_json_number kind;

    assert_non_null(copy);
    memcpy(copy, text, len);
    copy[len] = ',';
    kind = ak_json_float(&at, copy + len + 1, out);
    if (kind != AK_JSON_NUMBER_MALFORMED)
        assert_int_equal(at - copy, len);
    free(copy);
    return kind;
}

static void expect_as_c_library(const char *text)
{
    float expected = strtof(text, NULL), out = NAN;
    enum ak_json_number kind = read_all(text, &out);
    uint32_t a, b;

    if (isinf(expected)) {
        if (kind != AK_JSON_NUMBER_HUGE)
            fail_msg("%s is %a, must be infinite", text, (double)out);
        return;
    }
    assert_int_equal(kind, AK_JSON_NUMBER_OK);
    memcpy(&a, &expected, 4);
    memcpy(&b, &out, 4);
    if (a != b)
        fail_msg("%s is %a, must be %a", text, (double)out, (double)expected);
}

static void known_numbers_are_read(void **state)
{
    static const char *const texts[] = {
        "0", "-0", "0.0", "-0.0e5", "0e999999999999999999999", "1", "-1", "0.1",
        "1e0", "1E+2", "1e-2", "123456789", "16777217", "16777219",
        "16777216.99999999999", "3.4028235e38", "3.4028234663852886e+38",
        /* The border to infinity, half a unit above the largest float. */
        "340282356779733661637539395458142568447",
        "340282356779733661637539395458142568448",
        "3.4028235677973366163753939545814256844e38",
        "3.4028235677973366163753939545814256845e38", "3.5e38", "1e39", "1e308",
        "1e309", "1e400", "-1e400", "1e9999999999999999999999",
        /* Around the smallest normal and subnormal, and half of that. */
        "1.1754943508222875e-38", "1.17549435e-38", "1.1754942106924411e-38",
        "1.401298464324817e-45", "7.006492321624085e-46",
        "7.006492321624085353e-46", "7.0064923216240853546186479164495e-46",
        ("7."
         "00649232162408535461864791644958065640130970938257885878534141944895"
         "5413429303e-46"),
        "7.0064923216240853546186479164496e-46", "1e-45", "1e-46", "1e-400",
        "1e-9999999999999999999999", "-1e-400",
        /* A midpoint of floats, and a hair to both sides of it. */
        "1.000000059604644775390625", "1.0000000596046447753906250000000000001",
        "1.0000000596046447753906249999999999999",
        "1.00000017881393432617187499", "1.000000178813934326171875",
        "1.00000017881393432617187500000000000000000000000000000000000000001",
        "8388608.5", "8388609.5", "8388609.500000000000000000000000000001",
        "9007199254740993", "18446744073709551615", "18446744073709551616",
        "99999999999999999999999999999999999999",
        "0.000000000000000000000000000000000000000000001",
        "0.1234567890123456789012345678901234567890",
        "1234567890123456789012345678901234567890e-39"};

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        expect_as_c_library(texts[i]);
}

static void print(char *text, size_t cap, double x, size_t how, int precision)
{
    if (how == 0)
        snprintf(text, cap, "%.*g", precision, x);
    else if (how == 1)
        snprintf(text, cap, "%.*e", precision, x);
    else if (how == 2)
        snprintf(text, cap, "%.*E", precision, x);
    else
        snprintf(text, cap, "%.*f", precision, x);
}

static void random_floats_in_every_notation_are_exact(void **state)
{
    static const int precisions[] = {0, 1, 6, 9, 17, 25, 40, 60};
    const size_t n = sizeof(precisions) / sizeof(precisions[0]);
    struct ak_rng rng;

    (void)state;
    ak_rng_init(&rng, 11);
    for (size_t k = 0; k < 120000; k++) {
        uint32_t bits = (uint32_t)ak_rng_u64(&rng);
        char text[512];
        float f;

        memcpy(&f, &bits, 4);
        if (!isfinite(f))
            continue;
        /* Every other is of a size that features have. */
        if (k & 1)
            f = ak_rng_normal(&rng);
        print(text, sizeof(text), (double)f, k / n % 4, precisions[k % n]);
        expect_as_c_library(text);
    }
}

/* Digits that no float has: any length, any exponent near the range. */
static void random_digits_are_rounded_right(void **state)
{
    struct ak_rng rng;

    (void)state;
    ak_rng_init(&rng, 12);
    for (size_t k = 0; k < 120000; k++) {
        char text[128];
        size_t len = 0, digits = 1 + ak_rng_below(&rng, 45);
        size_t point = ak_rng_below(&rng, digits + 1);

        if (k & 1)
            text[len++] = '-';
        for (size_t i = 0; i < digits; i++) {
            if (i == point) {
                if (i == 0)
                    text[len++] = '0';
                text[len++] = '.';
            }
            text[len++] = (char)('0' + ak_rng_below(&rng, 10));
            if (i == 0 && text[len - 1] == '0' && point > 1)
                text[len - 1] = '7';
        }
        text[len] = '\0';
        if (k % 3 != 0)
            snprintf(text + len, sizeof(text) - len, "%c%+d", k % 5 ? 'e' : 'E',
                     (int)ak_rng_below(&rng, 110) - 60 - (int)digits / 2);
        expect_as_c_library(text);
    }
}

/* Doubles right at and beside the midpoints of floats, with 20 more digits. */
static void midpoints_are_rounded_right(void **state)
{
    struct ak_rng rng;

    (void)state;
    ak_rng_init(&rng, 13);
    for (size_t k = 0; k < 40000; k++) {
        uint32_t bits = (uint32_t)ak_rng_u64(&rng) & 0x7fffffffu;
        uint64_t wide;
        char text[512];
        double d;
        float f;

        if (bits >= 0x7f7fffffu)
            continue;
        if (k % 4 == 0)
            bits %= 0x01000000u; /* subnormal or nearly */
        memcpy(&f, &bits, 4);
        d = (double)f;
        bits++;
        memcpy(&f, &bits, 4);
        d = d / 2 + (double)f / 2;
        memcpy(&wide, &d, 8);
        wide += ak_rng_below(&rng, 41) - 20;
        memcpy(&d, &wide, 8);
        snprintf(text, sizeof(text), "%.*e", k & 1 ? 19 : 90, d);
        expect_as_c_library(text);
        snprintf(text, sizeof(text), "%.16e", d);
        expect_as_c_library(text);
    }
}

static void what_is_no_number_is_refused(void **state)
{
    static const char *const texts[] = {
        "",      "-",        "+1",   "01",   "-01",  ".5",    "1.",
        "1.e5",  "1e",       "1e+",  "1e-",  "0x10", "1f",    "NaN",
        "nan",   "Infinity", "-inf", "1_0",  "--1",  "1e5.",  "1-",
        "1.2.3", "0b1",      "e5",   "1e 5", "1ee5", "\"1\"", "null"};
    float out;

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (read_all(texts[i], &out) != AK_JSON_NUMBER_MALFORMED)
            fail_msg("\"%s\" is taken for a number", texts[i]);
    }
}

static void a_number_must_be_followed_by_something(void **state)
{
    static const char followers[] = ", ]}\t\r\n";
    float out = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(followers) - 1; i++) {
        char text[3] = {'1', followers[i], '\0'};
        const char *at = text;

        assert_int_equal(ak_json_float(&at, text + 2, &out), AK_JSON_NUMBER_OK);
        assert_ptr_equal(at, text + 1);
        at = text;
        assert_int_equal(ak_json_float(&at, text + 1, &out),
                         AK_JSON_NUMBER_MALFORMED);
    }
}

/* 10 MB of digits, before and after the point: linear time, right value. */
static void a_number_of_megabytes_is_read(void **state)
{
    const size_t n = 10000000;
    char *text = malloc(n + 64);
    const char *at = text;
    float out = 0;

    (void)state;
    assert_non_null(text);
    text[0] = '0';
    text[1] = '.';
    memset(text + 2, '0', n);
    strcpy(text + n + 2, "125e10000003]");
    assert_int_equal(ak_json_float(&at, text + n + 15, &out),
                     AK_JSON_NUMBER_OK);
    assert_true(out == 125.0f);
    memset(text, '9', n);
    strcpy(text + n, "e-10000000]");
    at = text;
    assert_int_equal(ak_json_float(&at, text + n + 11, &out),
                     AK_JSON_NUMBER_OK);
    assert_true(out == 1.0f);
    strcpy(text + n, "]");
    at = text;
    assert_int_equal(ak_json_float(&at, text + n + 1, &out),
                     AK_JSON_NUMBER_HUGE);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_numbers_are_read),
        cmocka_unit_test(random_floats_in_every_notation_are_exact),
        cmocka_unit_test(random_digits_are_rounded_right),
        cmocka_unit_test(midpoints_are_rounded_right),
        cmocka_unit_test(what_is_no_number_is_refused),
        cmocka_unit_test(a_number_must_be_followed_by_something),
        cmocka_unit_test(a_number_of_megabytes_is_read),
    };

    return cmocka_run_group_tests_name("json float", tests, NULL, NULL);
}
