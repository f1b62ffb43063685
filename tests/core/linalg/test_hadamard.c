#include "tests/test.h"

#include <string.h>

#include "core/base/rng.h"
#include "core/linalg/hadamard.h"

static void rows_and_columns_are_orthogonal(void **state)
{
    (void)state;
    for (uint32_t order = 1; order <= 256; order *= 2)
        for (uint32_t i = 0; i < order; i++)
            for (uint32_t j = 0; j < order; j++) {
                int rows = 0, columns = 0;

                for (uint32_t k = 0; k < order; k++) {
                    rows += ak_hadamard(i, k) * ak_hadamard(j, k);
                    columns += ak_hadamard(k, i) * ak_hadamard(k, j);
                }
                assert_int_equal(rows, i == j ? (int)order : 0);
                assert_int_equal(columns, i == j ? (int)order : 0);
            }
}

/* H(2m) = [[H, H], [H, -H]]. */
static void each_order_is_made_of_the_one_before(void **state)
{
    (void)state;
    for (uint32_t m = 1; m <= 128; m *= 2)
        for (uint32_t i = 0; i < m; i++)
            for (uint32_t j = 0; j < m; j++) {
                int h = ak_hadamard(i, j);

                assert_int_equal(ak_hadamard(i, j + m), h);
                assert_int_equal(ak_hadamard(i + m, j), h);
                assert_int_equal(ak_hadamard(i + m, j + m), -h);
            }
}

static void the_order_is_the_next_power_of_two(void **state)
{
    (void)state;
    assert_int_equal(ak_hadamard_order(1), 1);
    assert_int_equal(ak_hadamard_order(2), 2);
    assert_int_equal(ak_hadamard_order(10), 16);
    assert_int_equal(ak_hadamard_order(48), 64);
    assert_int_equal(ak_hadamard_order(64), 64);
    assert_int_equal(ak_hadamard_order(1025), 2048);
}

static void packed_rows_are_the_entries(void **state)
{
    (void)state;
    for (uint32_t order = 1; order <= 256; order *= 4)
        for (uint32_t i = 0; i < order; i++) {
            uint64_t words[4];

            memset(words, 0xff, sizeof(words));
            ak_hadamard_row(i, order, words);
            for (uint32_t j = 0; j < order; j++)
                assert_int_equal(words[j / 64] >> (j % 64) & 1,
                                 ak_hadamard(i, j) > 0);
            if (order < 64)
                assert_int_equal(words[0] >> order, 0);
        }
}

/* Trap H1: columns restricted to the first classes must differ. */
static void the_first_rows_tell_all_columns_apart(void **state)
{
    struct ak_rng rng;

    (void)state;
    ak_rng_init(&rng, 1);
    for (uint32_t k = 1; k <= 8; k++)
        for (int round = 0; round < 50; round++) {
            uint32_t order = UINT32_C(1) << k, rows[256], seen[256] = {0};

            for (uint32_t i = 0; i < order; i++)
                rows[i] = i;
            ak_rng_shuffle(&rng, rows, order);
            ak_hadamard_independent_first(rows, order);
            for (uint32_t i = 0; i < order; i++)
                seen[rows[i]]++;
            for (uint32_t i = 0; i < order; i++)
                assert_int_equal(seen[i], 1);
            for (uint32_t a = 0; a < order; a++)
                for (uint32_t b = 0; b < a; b++) {
                    uint32_t differ = 0;

                    for (uint32_t i = 0; i <= k; i++)
                        differ +=
                            ak_hadamard(rows[i], a) != ak_hadamard(rows[i], b);
                    assert_true(differ > 0 && differ <= k);
                }
        }
}

static void dependent_rows_keep_their_sequence(void **state)
{
    uint32_t rows[] = {0, 3, 1, 2, 4, 7};
    const uint32_t wanted[] = {0, 3, 1, 4, 2, 7};

    (void)state;
    ak_hadamard_independent_first(rows, 6);
    assert_memory_equal(rows, wanted, sizeof(wanted));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_and_columns_are_orthogonal),
        cmocka_unit_test(each_order_is_made_of_the_one_before),
        cmocka_unit_test(the_order_is_the_next_power_of_two),
        cmocka_unit_test(packed_rows_are_the_entries),
        cmocka_unit_test(the_first_rows_tell_all_columns_apart),
        cmocka_unit_test(dependent_rows_keep_their_sequence),
    };

    return cmocka_run_group_tests_name("hadamard", tests, NULL, NULL);
}
