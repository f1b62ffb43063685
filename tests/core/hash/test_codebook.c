/* Target codes: traps H1 and H2, classes without a row, several labels. */
#include "tests/test.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/code/code.h"
#include "core/hash/codebook.h"
#include "core/linalg/hadamard.h"

static struct ak_codebook book_of(uint32_t bits, uint32_t declared, bool pick,
                                  uint64_t seed, uint32_t classes)
{
    struct ak_codebook b;

    assert_status(ak_codebook_init(&b, bits, declared, pick, seed, NULL),
                  AK_OK);
    assert_status(ak_codebook_grow(&b, classes, NULL), AK_OK);
    assert_int_equal(b.n, classes);
    return b;
}

static uint32_t distance(const struct ak_codebook *b, uint32_t c, uint32_t d)
{
    uint32_t n = 0;

    for (uint32_t j = 0; j < b->bits; j++)
        n += ak_codebook_bit(b, c, j) != ak_codebook_bit(b, d, j);
    return n;
}

static uint32_t least_distance(const struct ak_codebook *b, uint32_t n)
{
    uint32_t least = UINT32_MAX;

    for (uint32_t c = 0; c < n; c++)
        for (uint32_t d = 0; d < c; d++)
            if (distance(b, c, d) < least)
                least = distance(b, c, d);
    return least;
}

static void the_order_covers_bits_and_classes(void **state)
{
    static const uint32_t cases[][3] = {
        {8, 10, 16},  {16, 10, 16},   {32, 10, 32},  {48, 16, 64},
        {64, 16, 64}, {128, 10, 128}, {32, 205, 256}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ak_codebook b = book_of(cases[i][0], cases[i][1], false, 1, 1);

        assert_int_equal(b.order, cases[i][2]);
        ak_codebook_clear(&b);
    }
}

/* With order == bits, any two classes differ in exactly half of their bits. */
static void codes_of_full_order_are_rows(void **state)
{
    (void)state;
    for (uint32_t bits = 16; bits <= 256; bits *= 2) {
        struct ak_codebook b = book_of(bits, 10, false, bits, bits);

        for (uint32_t c = 0; c < bits; c++) {
            for (uint32_t d = 0; d < c; d++)
                assert_int_equal(distance(&b, c, d), bits / 2);
            for (uint32_t j = 0; j < bits; j++)
                assert_int_equal(ak_codebook_bit(&b, c, j),
                                 ak_hadamard(b.row_of[c], j));
        }
        ak_codebook_clear(&b);
    }
}

static void other_codes_are_signs_of_the_projection(void **state)
{
    struct ak_codebook b = book_of(48, 16, false, 4, 64);

    (void)state;
    assert_int_equal(b.order, 64);
    for (uint32_t c = 0; c < 64; c++)
        for (uint32_t j = 0; j < 48; j++) {
            double sum = 0;

            for (uint32_t i = 0; i < 64; i++)
                sum += ak_hadamard(b.row_of[c], i) *
                       (double)b.v[(size_t)i * 48 + j];
            if (sum > 1e-4 || sum < -1e-4)
                assert_int_equal(ak_codebook_bit(&b, c, j), sum > 0 ? 1 : -1);
        }
    ak_codebook_clear(&b);
}

/* Traps H1 and H2, for ten classes of up to 16 declared. */
static void columns_differ_and_are_not_constant(void **state)
{
    static const uint32_t bits[] = {8, 16, 32, 48, 64, 96, 128, 256};

    (void)state;
    for (int b = 0; b < 8; b++)
        for (uint64_t seed = 0; seed < 8; seed++) {
            struct ak_codebook book = book_of(bits[b], 10, false, seed, 10);
            uint32_t constant = 0;

            for (uint32_t j = 0; j < bits[b]; j++) {
                uint32_t ones = 0;

                for (uint32_t c = 0; c < 10; c++)
                    ones += ak_codebook_bit(&book, c, j) > 0;
                constant += ones == 0 || ones == 10;
                for (uint32_t i = 0; i < j; i++) {
                    uint32_t differ = 0;

                    for (uint32_t c = 0; c < 10; c++)
                        differ += ak_codebook_bit(&book, c, j) !=
                                  ak_codebook_bit(&book, c, i);
                    /* 96 random columns of ten entries do meet at times. */
                    if (book.v == NULL || bits[b] <= 32)
                        assert_true(differ > 0 && differ < 10);
                }
            }
            /* Sylvester's column 0 stays where nothing is projected. */
            if (book.v == NULL)
                assert_int_equal(constant, 1);
            else if (bits[b] <= 48)
                assert_int_equal(constant, 0);
            assert_true(least_distance(&book, 10) > 0);
            ak_codebook_clear(&book);
        }
}

static void picked_codes_are_farther_apart(void **state)
{
    uint32_t plain = 0, picked = 0;

    (void)state;
    for (uint64_t seed = 0; seed < 5; seed++) {
        struct ak_codebook a = book_of(8, 10, false, seed, 10);
        struct ak_codebook b = book_of(8, 10, true, seed, 10);

        plain += least_distance(&a, 10);
        picked += least_distance(&b, 10);
        assert_true(least_distance(&b, 10) >= 2);
        ak_codebook_clear(&a);
        ak_codebook_clear(&b);
    }
    assert_true(picked > plain);
}

static void classes_beyond_the_order_get_codes_of_their_own(void **state)
{
    static const uint32_t bits[] = {16, 32, 48};

    (void)state;
    for (int i = 0; i < 3; i++) {
        struct ak_codebook b = book_of(bits[i], 10, false, 2, 40);
        struct ak_codebook more = book_of(bits[i], 10, false, 2, 100);

        assert_true(least_distance(&more, 100) > 0);
        assert_true(least_distance(&more, 100) >= bits[i] / 16);
        for (uint32_t c = 0; c < 40; c++)
            for (uint32_t j = 0; j < bits[i]; j++)
                assert_int_equal(ak_codebook_bit(&b, c, j),
                                 ak_codebook_bit(&more, c, j));
        ak_codebook_truncate(&more, 35);
        assert_status(ak_codebook_grow(&more, 40, NULL), AK_OK);
        for (uint32_t c = 0; c < 40; c++)
            assert_int_equal(memcmp(b.codes + c * ak_code_words(bits[i]),
                                    more.codes + c * ak_code_words(bits[i]),
                                    ak_code_words(bits[i]) * sizeof(uint64_t)),
                             0);
        ak_codebook_clear(&b);
        ak_codebook_clear(&more);
    }
}

/* 8 bits have 256 codes: the first 256 classes find them all, then share. */
static void a_full_space_of_codes_is_shared(void **state)
{
    struct ak_codebook b = book_of(8, 1, false, 2, 300);

    (void)state;
    assert_int_equal(b.order, 8);
    assert_true(least_distance(&b, 60) > 0);
    assert_int_equal(least_distance(&b, 300), 0);
    ak_codebook_clear(&b);
}

static void several_labels_vote_and_ties_balance(void **state)
{
    struct ak_codebook b = book_of(64, 16, false, 6, 16);
    float target[64], again[64];

    (void)state;
    for (uint32_t c = 0; c < 16; c++)
        for (uint32_t d = 0; d < c; d++) {
            const uint32_t pair[] = {d, c};
            int plus = 0, minus = 0, gap = 0, ties = 0;

            ak_codebook_target(&b, pair, 2, target);
            ak_codebook_target(&b, pair, 2, again);
            assert_memory_equal(target, again, sizeof(target));
            for (uint32_t j = 0; j < 64; j++) {
                int sum = ak_codebook_bit(&b, c, j) + ak_codebook_bit(&b, d, j);

                assert_true(target[j] == 1.0f || target[j] == -1.0f);
                if (sum != 0)
                    assert_true((target[j] > 0) == (sum > 0));
                ties += sum == 0;
                gap += sum > 0 ? 1 : sum < 0 ? -1 : 0;
                plus += target[j] > 0;
                minus += target[j] < 0;
            }
            /* Two rows tie in half of their entries. */
            assert_int_equal(ties, 32);
            gap = abs(gap);
            assert_true(abs(plus - minus) <= (gap > ties ? gap - ties : 1));
        }
    ak_codebook_clear(&b);
}

static void a_majority_of_three_decides(void **state)
{
    struct ak_codebook b = book_of(64, 16, false, 6, 16);
    const uint32_t three[] = {2, 5, 11};
    float target[64];

    (void)state;
    ak_codebook_target(&b, three, 3, target);
    for (uint32_t j = 0; j < 64; j++) {
        int sum = 0;

        for (int l = 0; l < 3; l++)
            sum += ak_codebook_bit(&b, three[l], j);
        assert_true((target[j] > 0) == (sum > 0));
    }
    ak_codebook_clear(&b);
}

static void one_label_has_its_own_code(void **state)
{
    struct ak_codebook b = book_of(48, 16, false, 6, 16);
    float target[48];

    (void)state;
    for (uint32_t c = 0; c < 16; c++) {
        ak_codebook_target(&b, &c, 1, target);
        for (uint32_t j = 0; j < 48; j++)
            assert_true(target[j] == (float)ak_codebook_bit(&b, c, j));
    }
    ak_codebook_clear(&b);
}

static void saved_codes_are_the_same(void **state)
{
    struct ak_codebook a = book_of(48, 10, false, 2, 90);
    struct ak_codebook b = book_of(48, 10, false, 3, 0);
    struct ak_writer constants = {0}, rows = {0};
    struct ak_reader r;

    (void)state;
    ak_codebook_write_constants(&a, &constants);
    ak_codebook_write_rows(&a, &rows);
    ak_reader_init(&r, constants.data, constants.len);
    assert_status(ak_codebook_read_constants(&b, &r, NULL), AK_OK);
    assert_status(ak_reader_finish(&r), AK_OK);
    ak_reader_init(&r, rows.data, rows.len);
    assert_status(ak_codebook_read_rows(&b, 90, &r, NULL), AK_OK);
    assert_status(ak_reader_finish(&r), AK_OK);
    assert_memory_equal(a.codes, b.codes, 90 * sizeof(uint64_t));
    ak_reader_init(&r, rows.data, rows.len);
    assert_status(ak_codebook_read_rows(&b, UINT32_MAX, &r, NULL), AK_ECORRUPT);
    ak_writer_clear(&constants);
    ak_writer_clear(&rows);
    ak_codebook_clear(&a);
    ak_codebook_clear(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_order_covers_bits_and_classes),
        cmocka_unit_test(codes_of_full_order_are_rows),
        cmocka_unit_test(other_codes_are_signs_of_the_projection),
        cmocka_unit_test(columns_differ_and_are_not_constant),
        cmocka_unit_test(picked_codes_are_farther_apart),
        cmocka_unit_test(classes_beyond_the_order_get_codes_of_their_own),
        cmocka_unit_test(a_full_space_of_codes_is_shared),
        cmocka_unit_test(several_labels_vote_and_ties_balance),
        cmocka_unit_test(a_majority_of_three_decides),
        cmocka_unit_test(one_label_has_its_own_code),
        cmocka_unit_test(saved_codes_are_the_same),
    };

    return cmocka_run_group_tests_name("codebook", tests, NULL, NULL);
}
