/* The rows that queries are ranked against: a uniform sample, ranked rightly. */
#include "tests/test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/rng.h"
#include "server/panel.h"

static struct ak_panel panel;

static int make(void **state)
{
    (void)state;
    ak_panel_init(&panel, 7);
    return 0;
}

static int clear(void **state)
{
    (void)state;
    ak_panel_clear(&panel);
    return 0;
}

static uint32_t offer(uint64_t ordinal, uint32_t label)
{
    uint32_t slot;

    assert_status(ak_panel_offer(&panel, ordinal, (uint32_t)ordinal, &label, 1,
                                 &slot, NULL),
                  AK_OK);
    return slot;
}

static void forget(uint64_t ordinal)
{
    uint32_t slot = ak_panel_find(&panel, ordinal);

    if (slot < AK_PANEL_ROWS)
        ak_panel_remove(&panel, slot);
}

/* Every row stands where it is found, and the order is that of the draws. */
static void assert_whole(void)
{
    for (uint32_t i = 0; i < panel.n; i++) {
        assert_int_equal(ak_panel_find(&panel, panel.rows[i].ordinal), i);
        if (i > 0)
            assert_true(panel.rows[panel.order[i - 1]].draw <
                        panel.rows[panel.order[i]].draw);
    }
}

static void few_rows_are_all_there(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < AK_PANEL_ROWS; i++)
        assert_int_equal(offer(3 * i, 1), i);
    assert_int_equal(panel.n, AK_PANEL_ROWS);
    assert_int_equal(ak_panel_find(&panel, 1), AK_PANEL_ROWS);
    assert_true(ak_panel_has(&panel, 6));
    assert_false(ak_panel_has(&panel, 7));
    assert_whole();
}

/*
 * Of 40,000 rows in ten blocks the sample has a tenth each; after three blocks
 * were deleted, the others still have equal shares.  Shares of 4,096 rows have
 * a standard deviation of 19 (of 29,000 rows: 20), so 100 is five of them.
 */
static void the_sample_is_uniform_over_rows_that_live(void **state)
{
    uint32_t found[10] = {0};

    (void)state;
    for (uint64_t i = 0; i < 40000; i++)
        offer(i, 1);
    assert_int_equal(panel.n, AK_PANEL_ROWS);
    assert_whole();
    for (uint32_t i = 0; i < panel.n; i++)
        found[panel.rows[i].ordinal / 4000]++;
    for (int b = 0; b < 10; b++)
        assert_in_range(found[b], 310, 510);

    for (uint64_t i = 8000; i < 20000; i++)
        forget(i);
    assert_in_range(panel.n, 2700, 3000);
    assert_whole();
    memset(found, 0, sizeof(found));
    for (uint64_t i = 40000; i < 80000; i++)
        offer(i, 1);
    assert_int_equal(panel.n, AK_PANEL_ROWS);
    for (uint32_t i = 0; i < panel.n; i++) {
        assert_false(panel.rows[i].ordinal >= 8000 &&
                     panel.rows[i].ordinal < 20000);
        found[panel.rows[i].ordinal >= 40000]++;
    }
    /* 28,000 old rows and 40,000 new ones. */
    assert_in_range(found[0], 1687 - 160, 1687 + 160);
    assert_whole();
}

static void what_is_in_does_not_depend_on_when_rows_are_deleted(void **state)
{
    static uint64_t before[AK_PANEL_ROWS];
    uint32_t n;

    (void)state;
    for (uint64_t i = 0; i < 20000; i++) {
        offer(i, 1);
        if (i >= 5000 && i < 5100)
            forget(i - 50);
    }
    n = panel.n;
    for (uint32_t i = 0; i < n; i++)
        before[i] = panel.rows[panel.order[i]].ordinal;
    ak_panel_clear(&panel);
    ak_panel_init(&panel, 7);
    for (uint64_t i = 0; i < 20000; i++)
        offer(i, 1);
    for (uint64_t i = 4950; i < 5050; i++)
        forget(i);
    /* The first may have filled gaps that the second has. */
    assert_true(panel.n <= n);
    for (uint32_t i = 0; i < panel.n; i++)
        assert_int_equal(panel.rows[panel.order[i]].ordinal, before[i]);
}

static void a_panel_that_lost_most_rows_fills_up_again(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 400000; i++)
        offer(i, 1);
    for (uint64_t i = 0; i < 400000; i++)
        forget(i);
    assert_int_equal(panel.n, 0);
    for (uint64_t i = 400000; i < 410000; i++)
        offer(i, 1);
    assert_int_equal(panel.n, AK_PANEL_ROWS);
    assert_whole();
}

static void a_saved_panel_goes_on_alike(void **state)
{
    struct ak_writer w = {0}, again = {0};
    struct ak_reader r;

    (void)state;
    for (uint64_t i = 0; i < 9000; i++)
        offer(i, (uint32_t)(i % 5));
    forget(panel.rows[17].ordinal);
    ak_panel_save(&panel, &w);
    for (uint64_t i = 9000; i < 12000; i++)
        offer(i, 1);
    ak_panel_save(&panel, &again);
    ak_panel_clear(&panel);

    ak_panel_init(&panel, 7);
    ak_reader_init(&r, w.data, w.len);
    ak_panel_load(&panel, &r);
    assert_status(ak_reader_finish(&r), AK_OK);
    assert_whole();
    for (uint64_t i = 9000; i < 12000; i++)
        offer(i, 1);
    w.len = 0;
    ak_panel_save(&panel, &w);
    assert_int_equal(w.len, again.len);
    assert_memory_equal(w.data, again.data, w.len);
    ak_writer_clear(&w);
    ak_writer_clear(&again);
}

static void a_damaged_panel_is_refused(void **state)
{
    struct ak_writer w = {0};

    (void)state;
    for (uint64_t i = 0; i < 50; i++)
        offer(i, 1);
    ak_panel_save(&panel, &w);
    for (size_t len = 0; len < w.len; len += 7) {
        struct ak_reader r;

        ak_panel_clear(&panel);
        ak_panel_init(&panel, 7);
        ak_reader_init(&r, w.data, len);
        ak_panel_load(&panel, &r);
        assert_status(r.status, AK_ECORRUPT);
    }
    ak_writer_clear(&w);
}

/* ---------------------------------------------------------------- ranking */

enum { BITS = 24, ROWS = 600 };

struct ranked {
    unsigned distance;
    uint64_t draw;
    bool relevant;
};

static int by_rank(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;

    if (x->distance != y->distance)
        return x->distance < y->distance ? -1 : 1;
    return (x->draw > y->draw) - (x->draw < y->draw);
}

/* The definition: sort, then walk. */
static bool slow(const uint8_t *codes, const uint8_t *query,
                 const uint32_t *labels, size_t n_labels, uint32_t depth,
                 uint32_t except, struct ak_score *out)
{
    struct ranked all[ROWS];
    uint32_t n = 0, hits = 0, relevant = 0, at[AK_N_PRECISIONS] = {0};
    double sum = 0;

    for (uint32_t i = 0; i < panel.n; i++) {
        if (i == except)
            continue;
        all[n] = (struct ranked){.draw = panel.rows[i].draw};
        for (int b = 0; b < BITS / 8; b++)
            all[n].distance += (unsigned)__builtin_popcount(
                query[b] ^ codes[i * (BITS / 8) + (unsigned)b]);
        for (size_t a = 0; a < n_labels; a++)
            for (uint32_t b = 0; b < panel.rows[i].n_labels; b++)
                all[n].relevant |= labels[a] == panel.rows[i].labels[b];
        relevant += all[n++].relevant;
    }
    qsort(all, n, sizeof(*all), by_rank);
    for (uint32_t i = 0; i < n; i++) {
        for (int k = 0; k < AK_N_PRECISIONS; k++)
            at[k] += all[i].relevant && i < ak_precision_at[k];
        if (all[i].relevant && i < depth)
            sum += ++hits / (i + 1.0);
    }
    out->ap = hits ? (float)(sum / hits) : 0;
    for (int k = 0; k < AK_N_PRECISIONS; k++)
        out->precision[k] = (float)at[k] / (float)ak_precision_at[k];
    return relevant > 0;
}

static void ranks_are_those_of_a_plain_sort(void **state)
{
    static uint8_t codes[ROWS * BITS / 8];
    struct ak_panel_codes laid;
    struct ak_rng rng;
    int lonely = 0;

    (void)state;
    ak_rng_init(&rng, 3);
    for (uint64_t i = 0; i < ROWS; i++) {
        uint32_t labels[2] = {(uint32_t)ak_rng_below(&rng, 40),
                              (uint32_t)ak_rng_below(&rng, 40)};
        uint32_t slot;

        assert_status(ak_panel_offer(&panel, i, 0, labels,
                                     1 + ak_rng_below(&rng, 2), &slot, NULL),
                      AK_OK);
    }
    for (size_t i = 0; i < sizeof(codes); i++)
        codes[i] = (uint8_t)ak_rng_u64(&rng);
    assert_status(ak_panel_codes_init(&laid, BITS, NULL), AK_OK);
    ak_panel_codes_put(&laid, &panel, codes);
    for (int q = 0; q < 300; q++) {
        static const uint32_t depths[] = {1, 10, 100, 599, 4096};
        uint32_t labels[2] = {(uint32_t)ak_rng_below(&rng, 45),
                              (uint32_t)ak_rng_below(&rng, 45)};
        size_t n_labels = 1 + ak_rng_below(&rng, 2);
        uint32_t depth = depths[q % 5];
        uint32_t except = q % 3 ? AK_PANEL_ROWS : (uint32_t)q;
        struct ak_score fast = {0}, plain = {0};
        uint8_t query[BITS / 8];

        for (int b = 0; b < BITS / 8; b++)
            query[b] = (uint8_t)ak_rng_u64(&rng);
        if (!slow(codes, query, labels, n_labels, depth, except, &plain)) {
            lonely++;
            assert_false(ak_panel_rank(&panel, &laid, query, labels, n_labels,
                                       depth, except, &fast));
            continue;
        }
        assert_true(ak_panel_rank(&panel, &laid, query, labels, n_labels, depth,
                                  except, &fast));
        assert_memory_equal(&fast, &plain, sizeof(fast));
    }
    assert_true(lonely > 0);
    ak_panel_codes_clear(&laid);
}

/* Rows sorted by class, all with one code: a query of any class gets what
   chance gets, 1 in 4. */
static void codes_that_are_all_alike_get_what_chance_gets(void **state)
{
    static uint8_t codes[4000 * BITS / 8];
    static const uint8_t query[BITS / 8];
    struct ak_panel_codes laid;
    struct ak_score score;

    (void)state;
    for (uint64_t i = 0; i < 4000; i++)
        offer(i, (uint32_t)(i / 1000));
    assert_status(ak_panel_codes_init(&laid, BITS, NULL), AK_OK);
    ak_panel_codes_put(&laid, &panel, codes);
    for (uint32_t label = 0; label < 4; label++) {
        assert_true(ak_panel_rank(&panel, &laid, query, &label, 1, 1000,
                                  AK_PANEL_ROWS, &score));
        assert_true(fabs(score.ap - 0.25) < 0.05);
    }
    ak_panel_codes_clear(&laid);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(few_rows_are_all_there, make, clear),
        cmocka_unit_test_setup_teardown(
            the_sample_is_uniform_over_rows_that_live, make, clear),
        cmocka_unit_test_setup_teardown(
            what_is_in_does_not_depend_on_when_rows_are_deleted, make, clear),
        cmocka_unit_test_setup_teardown(
            a_panel_that_lost_most_rows_fills_up_again, make, clear),
        cmocka_unit_test_setup_teardown(a_saved_panel_goes_on_alike, make,
                                        clear),
        cmocka_unit_test_setup_teardown(a_damaged_panel_is_refused, make,
                                        clear),
        cmocka_unit_test_setup_teardown(ranks_are_those_of_a_plain_sort, make,
                                        clear),
        cmocka_unit_test_setup_teardown(
            codes_that_are_all_alike_get_what_chance_gets, make, clear),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
