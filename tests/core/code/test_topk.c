#include "tests/test.h"

#include <stdlib.h>

#include "core/base/rng.h"
#include "core/code/index.h"
#include "core/code/topk.h"

#define MAX_N 600

/* Ordinals are below 2^53. */
#define ORDINALS (((uint64_t)1 << 53) - 1)

static int by_distance_and_ordinal(const void *a, const void *b)
{
    const struct ak_hit *x = a, *y = b;

    if (x->distance != y->distance)
        return x->distance < y->distance ? -1 : 1;
    return (x->ordinal > y->ordinal) - (x->ordinal < y->ordinal);
}

/*
 * Of all streams: the k smallest of those that were below the bound.  Ordinals
 * rise, or come in any order; and ties are many, or few.
 */
static void keeps_the_k_smallest(bool ordered)
{
    uint32_t counts[AK_TOPK_COUNTS];
    struct ak_rng rng;

    ak_rng_init(&rng, 1);
    for (int round = 0; round < 3000; round++) {
        size_t n = (size_t)ak_rng_below(&rng, MAX_N);
        size_t k = 1 + (size_t)ak_rng_below(&rng, round % 2 ? 8 : MAX_N);
        uint32_t range = 1 + (uint32_t)ak_rng_below(&rng, round % 3 ? 6 : 1024);
        uint32_t bound = (uint32_t)ak_rng_below(&rng, range + 2);
        uint64_t *buffer = malloc(AK_TOPK_ROOM(k) * sizeof(*buffer));
        struct ak_hit all[MAX_N], hits[MAX_N];
        uint64_t ordinal = ak_rng_below(&rng, (uint64_t)1 << 50);
        size_t n_all = 0, expected;
        struct ak_topk top;

        ak_topk_init(&top, k, bound, ordered, counts, buffer);
        for (size_t i = 0; i < n; i++) {
            uint32_t d = (uint32_t)ak_rng_below(&rng, range + 1);

            /* In any order, but each once: an odd factor permutes. */
            ordinal += 1 + ak_rng_below(&rng, 5);
            uint64_t o =
                ordered ? ordinal : ordinal * 0x9e3779b97f4a7c15u & ORDINALS;

            if (d < bound)
                all[n_all++] = (struct ak_hit){o, d};
            if (!ordered && ak_rng_below(&rng, 20) == 0)
                ak_topk_tighten(&top);
            if (ordered ? d < ak_topk_bound(&top)
                        : d < ak_topk_reach(&top) && ak_topk_takes(&top, o, d))
                ak_topk_push(&top, o, d);
        }
        qsort(all, n_all, sizeof(all[0]), by_distance_and_ordinal);
        expected = n_all < k ? n_all : k;
        assert_int_equal(ak_topk_finish(&top, hits), expected);
        for (size_t i = 0; i < expected; i++) {
            assert_int_equal(hits[i].ordinal, all[i].ordinal);
            assert_int_equal(hits[i].distance, all[i].distance);
        }
        free(buffer);
    }
}

static void keeps_the_k_smallest_and_the_first_of_ties(void **state)
{
    (void)state;
    keeps_the_k_smallest(true);
}

static void takes_hits_in_any_order(void **state)
{
    (void)state;
    keeps_the_k_smallest(false);
}

/* The most that can fall out: distances that go down all the way. */
static void each_push_may_be_nearer_than_all_before(void **state)
{
    uint32_t counts[AK_TOPK_COUNTS];
    uint64_t buffer[AK_TOPK_ROOM(3)];
    struct ak_hit hits[3];
    struct ak_topk top;

    (void)state;
    ak_topk_init(&top, 3, AK_CODE_MAX_BITS + 1, true, counts, buffer);
    for (uint32_t d = AK_CODE_MAX_BITS + 1; d-- > 0;) {
        assert_true(d < ak_topk_bound(&top));
        ak_topk_push(&top, AK_CODE_MAX_BITS - d, d);
    }
    assert_int_equal(ak_topk_bound(&top), 2);
    assert_int_equal(ak_topk_finish(&top, hits), 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(hits[i].distance, i);
        assert_int_equal(hits[i].ordinal, AK_CODE_MAX_BITS - i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_the_k_smallest_and_the_first_of_ties),
        cmocka_unit_test(takes_hits_in_any_order),
        cmocka_unit_test(each_push_may_be_nearer_than_all_before),
    };

    return cmocka_run_group_tests_name("topk", tests, NULL, NULL);
}
