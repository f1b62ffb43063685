/* paired.c: what the bounds promise, on numbers that are drawn. */
#include "tests/test.h"

#include <math.h>

#include "core/base/rng.h"
#include "core/eval/paired.h"

enum { PAIRS = 100, ROUNDS = 4000 };

static void of_few_it_is_what_the_formula_says(void **state)
{
    static const double four[] = {0.1, 0.2, 0.4, 0.5};
    struct ak_paired p;

    (void)state;
    /* s^2 = (0.04 + 0.01 + 0.01 + 0.04) / 3, s / sqrt(4) = 0.0912871 */
    ak_paired_bounds(four, 4, &p);
    assert_true(fabs(p.mean - 0.3) < 1e-12);
    assert_true(fabs(p.lower - 0.3 + 1.6449 * 0.0912871) < 1e-6);
    assert_true(fabs(p.upper - 0.3 - 1.6449 * 0.0912871) < 1e-6);
    ak_paired_bounds(four, 1, &p);
    assert_true(p.mean == 0.1 && p.lower == 0.1 && p.upper == 0.1);
    ak_paired_bounds(NULL, 0, &p);
    assert_true(p.mean == 0 && p.lower == 0 && p.upper == 0);
}

/* Each bound is on the wrong side of the truth once in 20 times. */
static void a_bound_is_wrong_once_in_twenty(void **state)
{
    double x[PAIRS];
    unsigned above = 0, below = 0;
    struct ak_paired p;
    struct ak_rng rng;

    (void)state;
    ak_rng_init(&rng, 5);
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < PAIRS; i++)
            x[i] = 0.25 + 3 * (double)ak_rng_normal(&rng);
        ak_paired_bounds(x, PAIRS, &p);
        above += p.lower > 0.25;
        below += p.upper < 0.25;
    }
    /* 200 are expected, give or take 14. */
    assert_in_range(above, 140, 260);
    assert_in_range(below, 140, 260);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_few_it_is_what_the_formula_says),
        cmocka_unit_test(a_bound_is_wrong_once_in_twenty),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
