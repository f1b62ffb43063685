/* How long records wait to be learnt, and how fast a queue empties. */
#include "tests/test.h"

#include <stdlib.h>

#include "core/base/rng.h"
#include "server/drain.h"
#include "server/lag.h"

#define MS     UINT64_C(1000000)
#define SECOND (1000 * MS)

/* ------------------------------------------------------------------ the lag */

/* Beside one that keeps all times. */
static void compare(uint64_t seed, uint64_t pause_ns, uint64_t burst)
{
    static uint64_t times[20001];
    struct ak_lag lag = {.n = 0};
    struct ak_rng rng;
    uint64_t now = 5 * SECOND, last = 0, learnt = 0;
    double longest = 0;

    ak_rng_init(&rng, seed);
    while (last + burst < sizeof(times) / sizeof(times[0])) {
        double age, is;

        now += ak_rng_below(&rng, pause_ns) + 1;
        for (uint64_t i = ak_rng_below(&rng, burst) + 1; i > 0; i--) {
            times[++last] = now;
            ak_lag_commit(&lag, last, now);
            now += ak_rng_below(&rng, MS);
        }
        is = (double)(now - times[learnt + 1]) * 1e-9;
        longest = is > longest ? is : longest;
        /* It falls behind and catches up. */
        if (ak_rng_below(&rng, 3) > 0 && last > learnt)
            learnt += ak_rng_below(&rng, 2 * burst) % (last - learnt + 1);
        if (ak_rng_below(&rng, 500) == 0)
            learnt = last;
        ak_lag_learn(&lag, learnt, last);
        now += ak_rng_below(&rng, 10 * MS);
        age = ak_lag_seconds(&lag, now);
        if (learnt == last) {
            assert_true(age == 0);
            longest = 0;
            continue;
        }
        is = (double)(now - times[learnt + 1]) * 1e-9;
        longest = is > longest ? is : longest;
        assert_true(age >= is - 1e-9);
        /* The last term: a time is counted in whole nanoseconds. */
        assert_true(age <= is + longest / 15 + 1e-6);
    }
}

static void the_lag_is_that_of_all_times(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        compare(seed, 20 * MS, 3);
        compare(seed, 5 * SECOND, 100);
        compare(seed, 1, 2);
    }
}

static void a_lag_ends_when_all_is_learnt(void **state)
{
    struct ak_lag lag = {.n = 0};

    (void)state;
    assert_true(ak_lag_seconds(&lag, SECOND) == 0);
    ak_lag_commit(&lag, 1, SECOND);
    assert_true(ak_lag_seconds(&lag, SECOND - 1) == 0);
    ak_lag_commit(&lag, 2, 3 * SECOND);
    assert_true(ak_lag_seconds(&lag, 4 * SECOND) == 3);
    ak_lag_learn(&lag, 1, 2);
    assert_true(ak_lag_seconds(&lag, 4 * SECOND) == 1);
    ak_lag_learn(&lag, 2, 2);
    assert_true(ak_lag_seconds(&lag, 9 * SECOND) == 0);
}

/* ---------------------------------------------------------------- the queue */

static void a_rate_is_of_the_time_in_which_something_waited(void **state)
{
    struct ak_drain drain = {.bytes = 0};
    uint64_t now = 100 * SECOND;

    (void)state;
    assert_true(ak_drain_rate(&drain, 0, now) == 0);
    /* 1,000 bytes in half a second, a minute apart. */
    for (int i = 0; i < 100; i++) {
        now += 60 * SECOND;
        ak_drain_add(&drain, 1000, now - SECOND / 2, now);
    }
    assert_true(ak_drain_rate(&drain, 0, now + SECOND) > 1999);
    assert_true(ak_drain_rate(&drain, 0, now + SECOND) < 2001);
    /* One after the other, all of which had waited since long. */
    for (int i = 0; i < 100; i++) {
        now += SECOND / 4;
        ak_drain_add(&drain, 1000, now - 30 * SECOND, now);
    }
    assert_true(ak_drain_rate(&drain, 0, now) > 3999);
    assert_true(ak_drain_rate(&drain, 0, now) < 4001);
    /* One that does not end: 10 groups' worth of time, and nothing left. */
    assert_true(ak_drain_rate(&drain, now, now + 1000 * SECOND) < 10.1);
}

static void who_is_refused_comes_again_when_half_is_gone(void **state)
{
    (void)state;
    assert_int_equal(ak_retry_seconds(1e9, 0), 1);
    assert_int_equal(ak_retry_seconds(0, 1e6), 1);
    assert_int_equal(ak_retry_seconds(1e6, 1e6), 1);
    assert_int_equal(ak_retry_seconds(9e6, 1e6), 5);
    assert_int_equal(ak_retry_seconds(117e6, 1e6), 59);
    assert_int_equal(ak_retry_seconds(119e6, 1e6), 60);
    assert_int_equal(ak_retry_seconds(1e18, 1e-9), 60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_lag_is_that_of_all_times),
        cmocka_unit_test(a_lag_ends_when_all_is_learnt),
        cmocka_unit_test(a_rate_is_of_the_time_in_which_something_waited),
        cmocka_unit_test(who_is_refused_comes_again_when_half_is_gone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
