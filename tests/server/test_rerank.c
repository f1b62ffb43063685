/* The scores of a rerank, beside the sums as the header writes them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/rng.h"
#include "server/rerank.h"
#include "tests/test.h"

enum { CASES = 300, MOST_DIM = 300 };

static bool bit_of(const uint8_t *code, uint32_t j)
{
    return code[j / 8] >> (7 - j % 8) & 1;
}

/* ------------------------------------------------------------- asymmetric */

static float slow_asymmetric(const float *y, const uint8_t *code, uint32_t bits)
{
    double against = 0, total = 0;

    for (uint32_t j = 0; j < bits; j++) {
        total += fabs((double)y[j]);
        if (bit_of(code, j) != (y[j] > 0))
            against += fabs((double)y[j]);
    }
    return total == 0 ? 1 : (float)(1 - against / total);
}

static void sign_code(const float *y, uint32_t bits, uint8_t *code)
{
    memset(code, 0, bits / 8);
    for (uint32_t j = 0; j < bits; j++)
        if (y[j] > 0)
            code[j / 8] |= (uint8_t)(0x80u >> j % 8);
}

static void an_asymmetric_score_is_the_sum_that_it_says(void **state)
{
    struct ak_rng rng;

    (void)state;
    ak_rng_init(&rng, 7);
    for (int i = 0; i < CASES; i++) {
        uint32_t bits = 8 * (1 + (uint32_t)ak_rng_below(&rng, 128));
        float y[1024];
        uint8_t query[128], code[128];

        for (uint32_t j = 0; j < bits; j++)
            y[j] = ak_rng_below(&rng, 10) == 0 ? 0 : (float)ak_rng_normal(&rng);
        sign_code(y, bits, query);
        for (uint32_t j = 0; j < bits / 8; j++)
            code[j] = (uint8_t)ak_rng_u64(&rng);
        assert_true(ak_rerank_asymmetric(y, ak_rerank_total(y, bits), query,
                                         code, bits) ==
                    slow_asymmetric(y, code, bits));
        assert_true(ak_rerank_asymmetric(y, ak_rerank_total(y, bits), query,
                                         query, bits) == 1);
    }
}

static void equal_margins_give_the_score_of_the_hamming_order(void **state)
{
    float y[64];
    uint8_t query[8], code[8];

    (void)state;
    for (uint32_t j = 0; j < 64; j++)
        y[j] = j % 3 == 0 ? -0.5f : 0.5f;
    sign_code(y, 64, query);
    memcpy(code, query, 8);
    for (uint32_t d = 1; d <= 64; d++) {
        code[(d - 1) / 8] ^= (uint8_t)(0x80u >> (d - 1) % 8);
        assert_true(ak_rerank_asymmetric(y, ak_rerank_total(y, 64), query, code,
                                         64) == (float)(1 - d / 64.0));
    }
}

static void a_query_without_any_margin_likes_all_codes(void **state)
{
    static const float y[8];
    static const uint8_t query[1], code[1] = {0xff};

    (void)state;
    assert_true(ak_rerank_total(y, 8) == 0);
    assert_true(ak_rerank_asymmetric(y, 0, query, code, 8) == 1);
}

/* ---------------------------------------------------------------- feature */

static float slow_feature(const float *q, const float *x, size_t dim)
{
    double s[8] = {0};

    for (size_t k = 0; k < 8; k++)
        for (size_t i = k; i < dim; i += 8)
            s[k] +=
                ((double)q[i] - (double)x[i]) * ((double)q[i] - (double)x[i]);
    return (float)(1 / (1 + sqrt(((s[0] + s[4]) + (s[2] + s[6])) +
                                 ((s[1] + s[5]) + (s[3] + s[7])))));
}

static void a_feature_score_is_the_sum_that_it_says(void **state)
{
    struct ak_rng rng;

    (void)state;
    ak_rng_init(&rng, 8);
    for (int i = 0; i < CASES; i++) {
        size_t dim = 1 + ak_rng_below(&rng, MOST_DIM);
        float q[MOST_DIM], x[MOST_DIM];

        for (size_t k = 0; k < dim; k++) {
            q[k] = (float)ak_rng_normal(&rng);
            x[k] = (float)ak_rng_normal(&rng);
        }
        assert_true(ak_rerank_feature(q, x, dim) == slow_feature(q, x, dim));
        assert_true(ak_rerank_feature(q, x, dim) ==
                    ak_rerank_feature(x, q, dim));
        assert_true(ak_rerank_feature(q, q, dim) == 1);
    }
}

static void the_largest_features_have_a_score_still(void **state)
{
    const float q[2] = {3e38f, 3e38f}, x[2] = {-3e38f, -3e38f};
    float score = ak_rerank_feature(q, x, 2);

    (void)state;
    assert_true(score >= 0 && score < 1e-38f);
}

/* ------------------------------------------------------------------ order */

static bool before(const struct ak_candidate *a, const struct ak_candidate *b)
{
    if (a->score != b->score)
        return a->score > b->score;
    if (a->hit.distance != b->hit.distance)
        return a->hit.distance < b->hit.distance;
    return a->hit.ordinal < b->hit.ordinal;
}

static void candidates_are_ordered_by_score_distance_and_arrival(void **state)
{
    struct ak_candidate list[200];
    struct ak_rng rng;

    (void)state;
    ak_rng_init(&rng, 9);
    for (int i = 0; i < CASES; i++) {
        size_t n = ak_rng_below(&rng, 200);

        /* Few different values, so that each rule decides somewhere. */
        for (size_t k = 0; k < n; k++)
            list[k] = (struct ak_candidate){
                .hit = {.ordinal = k,
                        .distance = (uint32_t)ak_rng_below(&rng, 5)},
                .score = (float)ak_rng_below(&rng, 4) / 4};
        for (size_t k = n; k > 1; k--) {
            size_t to = ak_rng_below(&rng, k);
            struct ak_candidate c = list[to];

            list[to] = list[k - 1];
            list[k - 1] = c;
        }
        ak_rerank_sort(list, n);
        for (size_t k = 1; k < n; k++)
            assert_true(before(&list[k - 1], &list[k]));
    }
}

static void reranks_are_found_by_name(void **state)
{
    enum ak_rerank by = AK_RERANK_NONE;

    (void)state;
    assert_true(ak_rerank_find("asymmetric", &by));
    assert_int_equal(by, AK_RERANK_ASYMMETRIC);
    assert_true(ak_rerank_find("feature", &by));
    assert_int_equal(by, AK_RERANK_FEATURE);
    assert_false(ak_rerank_find("", &by));
    assert_false(ak_rerank_find("features", &by));
    assert_int_equal(by, AK_RERANK_FEATURE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_asymmetric_score_is_the_sum_that_it_says),
        cmocka_unit_test(equal_margins_give_the_score_of_the_hamming_order),
        cmocka_unit_test(a_query_without_any_margin_likes_all_codes),
        cmocka_unit_test(a_feature_score_is_the_sum_that_it_says),
        cmocka_unit_test(the_largest_features_have_a_score_still),
        cmocka_unit_test(candidates_are_ordered_by_score_distance_and_arrival),
        cmocka_unit_test(reranks_are_found_by_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
