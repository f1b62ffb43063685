/* The gate: a paired bound, the reasons, and the veto. */
#include "tests/test.h"

#include <math.h>
#include <stdlib.h>

#include "core/base/rng.h"
#include "server/gate.h"

enum { N = 1000 };

static double pairs[N];

static struct ak_gate_input input(void)
{
    return (struct ak_gate_input){.published_samples = 10000,
                                  .live_samples = 20000,
                                  .differences = pairs,
                                  .n = N,
                                  .min_new_ratio = 0.1,
                                  .min_gain = 0.005};
}

/* Differences with this mean and a deviation of 0.1. */
static void fill(double mean, uint64_t seed)
{
    struct ak_rng rng;

    ak_rng_init(&rng, seed);
    for (int i = 0; i < N; i++)
        pairs[i] = mean + 0.1 * (double)ak_rng_normal(&rng);
}

static enum ak_gate_reason judge(const struct ak_gate_input *in)
{
    struct ak_gate_decision d = {.seq = 1};

    ak_gate_judge(in, &d);
    return d.reason;
}

/* A bootstrap of the mean knows nothing of our formula.  Its 5 % quantile has an
   error of some 0.0002 at 2,000 draws. */
static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void the_bounds_are_those_of_resampling(void **state)
{
    enum { DRAWS = 2000 };
    static double means[DRAWS];
    struct ak_gate_input in = input();
    struct ak_gate_decision d = {.seq = 1};
    struct ak_rng rng;

    (void)state;
    fill(0.02, 5);
    ak_rng_init(&rng, 6);
    for (int b = 0; b < DRAWS; b++) {
        for (int i = 0; i < N; i++)
            means[b] += pairs[ak_rng_below(&rng, N)];
        means[b] /= N;
    }
    qsort(means, DRAWS, sizeof(means[0]), by_size);
    ak_gate_judge(&in, &d);
    assert_true(fabs(d.lower - means[DRAWS / 20]) < 0.0006);
    assert_true(fabs(d.upper - means[DRAWS - DRAWS / 20]) < 0.0006);
    assert_true(d.lower < d.gain && d.gain < d.upper);
}

static void a_better_model_is_published(void **state)
{
    struct ak_gate_input in = input();

    (void)state;
    fill(0.05, 1);
    assert_int_equal(judge(&in), AK_GATE_BETTER);
    assert_true(ak_gate_publishes(AK_GATE_BETTER));
}

static void a_gain_within_the_noise_is_none(void **state)
{
    struct ak_gate_input in = input();

    (void)state;
    /* The mean beats 0.005, its lower bound (0.0052 less) does not. */
    fill(0.008, 2);
    assert_int_equal(judge(&in), AK_GATE_NO_GAIN);
    assert_true(ak_gate_refuses(AK_GATE_NO_GAIN));
}

static void a_worse_model_is_told_from_one_that_is_not_better(void **state)
{
    struct ak_gate_input in = input();

    (void)state;
    fill(-0.05, 3);
    assert_int_equal(judge(&in), AK_GATE_WORSE);
    fill(0, 3);
    assert_int_equal(judge(&in), AK_GATE_NO_GAIN);
}

/* Of models that are not better, one in twenty or fewer passes. */
static void a_model_without_gain_passes_at_most_as_often_as_said(void **state)
{
    struct ak_gate_input in = input();
    int passed = 0;

    (void)state;
    for (uint64_t seed = 0; seed < 1000; seed++) {
        fill(in.min_gain, 1000 + seed);
        passed += judge(&in) == AK_GATE_BETTER;
    }
    print_message("# %d of 1,000 models at the limit pass\n", passed);
    assert_in_range(passed, 20, 70);
}

static void a_model_that_has_just_been_spoilt_is_not_published(void **state)
{
    struct ak_gate_input in = input();

    (void)state;
    fill(0.1, 4);
    for (int i = 0; i < N / 4; i++)
        pairs[i] -= 0.15; /* the newest */
    assert_int_equal(judge(&in), AK_GATE_FALLING);
}

static void too_little_is_no_refusal(void **state)
{
    struct ak_gate_input in = input();

    (void)state;
    fill(0.05, 1);
    in.n = N - 1;
    assert_int_equal(judge(&in), AK_GATE_FEW_PAIRS);
    in.n = 0;
    assert_int_equal(judge(&in), AK_GATE_FEW_PAIRS);
    in = input();
    in.live_samples = 10999;
    assert_int_equal(judge(&in), AK_GATE_FEW_NEW);
    in.live_samples = 11000;
    assert_int_equal(judge(&in), AK_GATE_BETTER);
    in.min_new_ratio = 0;
    in.live_samples = in.published_samples;
    assert_int_equal(judge(&in), AK_GATE_FEW_NEW);
    assert_false(ak_gate_refuses(AK_GATE_FEW_NEW));
    assert_false(ak_gate_publishes(AK_GATE_FEW_PAIRS));
}

static void version_1_needs_no_gate(void **state)
{
    struct ak_gate_input in = input();

    (void)state;
    in.published_samples = in.n = 0;
    assert_int_equal(judge(&in), AK_GATE_FIRST);
}

static void older_classes_may_lose_two_points_and_no_more(void **state)
{
    struct ak_gate_input in = input();
    struct ak_gate_decision d = {.seq = 1};

    (void)state;
    fill(0.05, 1);
    ak_gate_judge(&in, &d);
    ak_gate_veto(&d, 10, 0.800, 0.781);
    assert_int_equal(d.reason, AK_GATE_BETTER);
    ak_gate_veto(&d, 10, 0.800, 0.779);
    assert_int_equal(d.reason, AK_GATE_OLDER_CLASSES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bounds_are_those_of_resampling),
        cmocka_unit_test(a_better_model_is_published),
        cmocka_unit_test(a_gain_within_the_noise_is_none),
        cmocka_unit_test(a_worse_model_is_told_from_one_that_is_not_better),
        cmocka_unit_test(a_model_without_gain_passes_at_most_as_often_as_said),
        cmocka_unit_test(a_model_that_has_just_been_spoilt_is_not_published),
        cmocka_unit_test(too_little_is_no_refusal),
        cmocka_unit_test(version_1_needs_no_gate),
        cmocka_unit_test(older_classes_may_lose_two_points_and_no_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
