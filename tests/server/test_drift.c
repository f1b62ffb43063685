/*
 * The alarm of drift on made streams of AP: how often it is false, how soon it
 * comes, when it ends.  What is printed here stands in docs/quality.md.
 */
#include "tests/test.h"

#include <math.h>

#include "core/base/rng.h"
#include "server/drift.h"

enum { CLASSES = 10 };

/*
 * AP of class c: a squared uniform number has a mean of 1/3, most of it near 0,
 * so 1 - u^2 looks like a good model's.  Classes differ in their means, from 0.5
 * to 0.8; the deviation is about 0.25, cut to [0, 1].
 */
static double draw_ap(struct ak_rng *rng, int c, double fall)
{
    double u = ak_rng_unit(rng);
    double ap = 0.167 + 0.333 * c / CLASSES + (1 - u * u) / 2 +
                0.15 * (double)ak_rng_normal(rng) - fall;

    return fmin(1, fmax(0, ap));
}

struct stream {
    struct ak_drift drift;
    struct ak_rng rng;
    uint64_t n, seen[CLASSES];
    double mean[CLASSES];
    int raised, cleared;
};

/* One query of class c, with the label's mean kept as the series keep it. */
static enum ak_drift_event feed(struct stream *s, int c, double fall)
{
    double ap = draw_ap(&s->rng, c, fall);
    enum ak_drift_event event =
        ak_drift_add(&s->drift, ++s->n, ap, s->seen[c], s->mean[c]);

    s->seen[c]++;
    s->mean[c] +=
        (ap - s->mean[c]) /
        (s->seen[c] < AK_LABEL_MEMORY ? (double)s->seen[c] : AK_LABEL_MEMORY);
    s->raised += event == AK_DRIFT_RAISED;
    s->cleared += event == AK_DRIFT_CLEARED;
    return event;
}

static struct stream begin(uint64_t seed)
{
    struct stream s = {.n = 0};

    ak_rng_init(&s.rng, seed);
    return s;
}

/* 2,000,000 queries: at three in a million, some six. */
static void a_stationary_stream_raises_few_false_alarms(void **state)
{
    int raised = 0;

    (void)state;
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct stream s = begin(seed);

        for (int i = 0; i < 20000; i++)
            feed(&s, (int)ak_rng_below(&s.rng, CLASSES), 0);
        raised += s.raised;
    }
    print_message("# %d false alarms in 2,000,000 queries\n", raised);
    assert_true(raised <= 20);
}

/* Classes in bursts of 500 queries: the same stream for one that knows what to
   expect of each class. */
static void classes_that_come_in_bursts_are_no_drift(void **state)
{
    int raised = 0;

    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct stream s = begin(seed);

        for (int i = 0; i < 20000; i++)
            feed(&s, i / 500 * 7 % CLASSES, 0);
        raised += s.raised;
    }
    print_message("# %d alarms in 400,000 queries of classes in bursts\n",
                  raised);
    assert_true(raised <= 4);
}

/* Mean number of queries until the alarm after the AP falls. */
static double delay(double fall, int *missed)
{
    double sum = 0;

    *missed = 0;
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct stream s = begin(1000 + seed);
        int i;

        for (i = 0; i < 4000; i++)
            feed(&s, (int)ak_rng_below(&s.rng, CLASSES), 0);
        for (i = 1; i <= 2000; i++)
            if (feed(&s, (int)ak_rng_below(&s.rng, CLASSES), fall) ==
                AK_DRIFT_RAISED)
                break;
        *missed += i > 2000;
        sum += i;
    }
    return sum / 50;
}

static void a_fall_is_noticed_soon(void **state)
{
    static const struct {
        double fall, within;
    } cases[] = {{0.1, 300}, {0.2, 60}, {0.4, 25}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int missed;
        double d = delay(cases[i].fall, &missed);

        print_message("# a fall by %.1f is noticed after %.0f queries, %d of "
                      "50 missed\n",
                      cases[i].fall, d, missed);
        assert_true(d < cases[i].within);
        assert_int_equal(missed, 0);
    }
}

static void a_rise_is_no_alarm(void **state)
{
    struct stream s = begin(5);

    (void)state;
    for (int i = 0; i < 4000; i++)
        feed(&s, i % CLASSES, 0.2);
    for (int i = 0; i < 4000; i++)
        feed(&s, i % CLASSES, 0);
    assert_int_equal(s.raised, 0);
}

static void an_alarm_is_cleared_when_the_stream_comes_back(void **state)
{
    struct stream s = begin(6);
    int i;

    (void)state;
    for (i = 0; i < 4000; i++)
        feed(&s, i % CLASSES, 0);
    for (i = 0; i < 100; i++)
        feed(&s, i % CLASSES, 0.3);
    assert_true(s.drift.alarm);
    assert_true(ak_drift_report(&s.drift).score > 1);
    assert_true(ak_drift_report(&s.drift).since_seq > 4000);
    for (i = 1; i < 1000 && s.drift.alarm; i++)
        feed(&s, i % CLASSES, 0);
    print_message("# cleared after %d queries\n", i);
    assert_true(i < 300);
    assert_int_equal(s.cleared, 1);
    assert_int_equal(ak_drift_report(&s.drift).cleared_seq, s.n);
}

static void what_stays_becomes_what_is_expected(void **state)
{
    struct stream s = begin(7);
    int i;

    (void)state;
    for (i = 0; i < 4000; i++)
        feed(&s, i % CLASSES, 0);
    for (i = 0; i < 20000 && s.cleared == 0; i++)
        feed(&s, i % CLASSES, 0.3);
    print_message("# a fall that stays is expected after %d queries\n", i);
    assert_true(i < 8000);
    assert_int_equal(s.raised, 1);
}

static void the_first_queries_are_no_test(void **state)
{
    struct stream s = begin(8);

    (void)state;
    for (int i = 0; i < 250; i++)
        feed(&s, i % CLASSES, 0);
    for (int i = 0; i < 249; i++)
        feed(&s, i % CLASSES, 0.4);
    assert_true(s.drift.sum <= 0);
    assert_int_equal(s.raised, 0);
}

static void a_saved_alarm_goes_on_alike(void **state)
{
    struct stream s = begin(9), t;
    struct ak_writer w = {0};
    struct ak_reader r;

    (void)state;
    for (int i = 0; i < 3000; i++)
        feed(&s, i % CLASSES, i > 2950 ? 0.4 : 0);
    ak_drift_save(&s.drift, &w);
    t = s;
    t.drift = (struct ak_drift){.n = 0};
    ak_reader_init(&r, w.data, w.len);
    ak_drift_load(&t.drift, &r);
    assert_status(ak_reader_finish(&r), AK_OK);
    for (int i = 0; i < 3000; i++)
        assert_int_equal(feed(&s, i % CLASSES, 0), feed(&t, i % CLASSES, 0));
    assert_memory_equal(&s.drift, &t.drift, sizeof(s.drift));
    ak_writer_clear(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stationary_stream_raises_few_false_alarms),
        cmocka_unit_test(classes_that_come_in_bursts_are_no_drift),
        cmocka_unit_test(a_fall_is_noticed_soon),
        cmocka_unit_test(a_rise_is_no_alarm),
        cmocka_unit_test(an_alarm_is_cleared_when_the_stream_comes_back),
        cmocka_unit_test(what_stays_becomes_what_is_expected),
        cmocka_unit_test(the_first_queries_are_no_test),
        cmocka_unit_test(a_saved_alarm_goes_on_alike),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
