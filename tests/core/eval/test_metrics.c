/* Bucket counting against sorting, and ties against every order of them. */
#include "tests/test.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/rng.h"
#include "core/eval/metrics.h"

enum { BITS = 16, BYTES = BITS / 8, MOST = 64 };

struct made {
    uint8_t codes[MOST * BYTES];
    uint32_t labels[MOST * 3], first[MOST + 1];
};

static struct ak_eval_items items(const struct made *m, size_t n)
{
    return (struct ak_eval_items){m->codes, m->labels, m->first, n};
}

/* Codes of few bits, so that many tie; 1 label, or 0..3 of them. */
static void make(struct made *m, size_t n, bool many, struct ak_rng *rng)
{
    uint32_t at = 0;

    for (size_t i = 0; i < n; i++) {
        uint32_t count = many ? (uint32_t)ak_rng_below(rng, 4) : 1;

        m->codes[i * BYTES] = (uint8_t)ak_rng_below(rng, 8);
        m->codes[i * BYTES + 1] = (uint8_t)(ak_rng_below(rng, 2) << 7);
        m->first[i] = at;
        for (uint32_t l = 0; l < count; l++)
            m->labels[at++] = 100 + (uint32_t)ak_rng_below(rng, 5);
    }
    m->first[n] = at;
}

static int distance(const uint8_t *a, const uint8_t *b)
{
    int d = 0;

    for (int i = 0; i < BYTES; i++)
        for (int bit = 0; bit < 8; bit++)
            d += (a[i] >> bit & 1) != (b[i] >> bit & 1);
    return d;
}

static bool relevant(const struct made *q, size_t i, const struct made *db,
                     size_t j)
{
    for (uint32_t a = q->first[i]; a < q->first[i + 1]; a++)
        for (uint32_t b = db->first[j]; b < db->first[j + 1]; b++)
            if (q->labels[a] == db->labels[b])
                return true;
    return false;
}

/* Average precision of the items in `order`, over the first `most`. */
static double precision_of(const bool *hit, const size_t *order, size_t most)
{
    double sum = 0;
    int found = 0;

    for (size_t k = 0; k < most; k++)
        if (hit[order[k]])
            sum += (double)++found / (double)(k + 1);
    return found > 0 ? sum / found : 0;
}

/* The items by distance, ties in database order: insertion sort is stable. */
static void sort_items(const int *d, size_t n, size_t *order)
{
    for (size_t i = 0; i < n; i++) {
        size_t j = i;

        for (; j > 0 && d[order[j - 1]] > d[i]; j--)
            order[j] = order[j - 1];
        order[j] = i;
    }
}

static void counting_gives_what_sorting_does(void **state)
{
    struct ak_rng rng;

    (void)state;
    ak_rng_init(&rng, 3);
    for (int round = 0; round < 40; round++) {
        const struct ak_eval_params params = {.bits = BITS,
                                              .map_at = 10,
                                              .radius = 2,
                                              .n_k = 3,
                                              .k = {1, 7, 1000}};
        size_t nq = 1 + ak_rng_below(&rng, 9), n = 1 + ak_rng_below(&rng, MOST);
        struct made q, db;
        struct ak_eval_items qi = items(&q, nq), di = items(&db, n);
        struct ak_eval_result got;
        double map = 0, map_at = 0, ball = 0, k[3] = {0};
        size_t some = 0, empty = 0;

        make(&q, nq, round % 2, &rng);
        make(&db, n, round % 2, &rng);
        for (size_t i = 0; i < nq; i++) {
            int d[MOST], near = 0, near_hits = 0;
            bool hit[MOST];
            size_t order[MOST], hits = 0;

            for (size_t j = 0; j < n; j++) {
                d[j] = distance(q.codes + i * BYTES, db.codes + j * BYTES);
                hit[j] = relevant(&q, i, &db, j);
                hits += hit[j];
                near += d[j] <= 2;
                near_hits += d[j] <= 2 && hit[j];
            }
            sort_items(d, n, order);
            some += hits > 0;
            map += precision_of(hit, order, n);
            map_at += precision_of(hit, order, n < 10 ? n : 10);
            if (near > 0)
                ball += (double)near_hits / near;
            else
                empty++;
            for (int p = 0; p < 3; p++) {
                size_t most = params.k[p] < n ? params.k[p] : n;
                double found = 0;

                for (size_t r = 0; r < most; r++)
                    found += hit[order[r]];
                k[p] += found / (double)most;
            }
        }
        assert_status(ak_eval_rank(&params, &qi, &di, &got, NULL), AK_OK);
        assert_int_equal(got.queries, some);
        assert_int_equal(got.empty, empty);
        if (some > 0) {
            assert_true(fabs(got.map_ordered - map / (double)some) < 1e-12);
            assert_true(fabs(got.map_at - map_at / (double)some) < 1e-12);
        }
        assert_true(fabs(got.precision_in_radius - ball / (double)nq) < 1e-12);
        for (int p = 0; p < 3; p++)
            assert_true(fabs(got.precision[p] - k[p] / (double)nq) < 1e-12);
    }
}

/* The mean over all orders in which tied items can stand, one by one. */
static void permute(size_t *order, size_t from, size_t n, const int *d,
                    const bool *hit, double *sum, double *count)
{
    if (from == n) {
        *sum += precision_of(hit, order, n);
        *count += 1;
        return;
    }
    for (size_t i = from; i < n && d[order[i]] == d[order[from]]; i++) {
        size_t held = order[from];

        order[from] = order[i];
        order[i] = held;
        permute(order, from + 1, n, d, hit, sum, count);
        order[i] = order[from];
        order[from] = held;
    }
}

static void ties_count_as_the_mean_over_their_orders(void **state)
{
    struct ak_rng rng;

    (void)state;
    ak_rng_init(&rng, 5);
    for (int round = 0; round < 60; round++) {
        const struct ak_eval_params params = {.bits = BITS};
        size_t n = 1 + ak_rng_below(&rng, 8);
        struct made q, db;
        struct ak_eval_items qi = items(&q, 1), di = items(&db, n);
        struct ak_eval_result got;
        int d[MOST];
        bool hit[MOST], any = false;
        size_t order[MOST];
        double sum = 0, count = 0;

        make(&q, 1, false, &rng);
        make(&db, n, false, &rng);
        for (size_t j = 0; j < n; j++) {
            d[j] = distance(q.codes, db.codes + j * BYTES);
            hit[j] = relevant(&q, 0, &db, j);
            any = any || hit[j];
        }
        sort_items(d, n, order);
        permute(order, 0, n, d, hit, &sum, &count);
        assert_status(ak_eval_rank(&params, &qi, &di, &got, NULL), AK_OK);
        assert_int_equal(got.queries, any);
        assert_true(fabs(got.map - sum / count) < 1e-12);
    }
}

static void a_perfect_ranking_scores_one(void **state)
{
    const struct ak_eval_params params = {
        .bits = 8, .map_at = 2, .radius = 2, .n_k = 1, .k = {2}};
    const uint8_t query[] = {0x00}, codes[] = {0xff, 0x01, 0xf0, 0x00};
    const uint32_t label[] = {7}, labels[] = {8, 7, 8, 7};
    const uint32_t first[] = {0, 1, 2, 3, 4};
    const struct ak_eval_items q = {query, label, first, 1};
    const struct ak_eval_items db = {codes, labels, first, 4};
    struct ak_eval_result got;

    (void)state;
    assert_status(ak_eval_rank(&params, &q, &db, &got, NULL), AK_OK);
    assert_true(got.map == 1 && got.map_ordered == 1 && got.map_at == 1);
    assert_true(got.precision[0] == 1 && got.precision_in_radius == 1);
}

static void an_empty_ball_counts_zero(void **state)
{
    const struct ak_eval_params params = {.bits = 8, .radius = 2};
    const uint8_t query[] = {0x00, 0xff}, codes[] = {0xfe, 0x7f};
    const uint32_t labels[] = {7, 7}, first[] = {0, 1, 2};
    const struct ak_eval_items q = {query, labels, first, 2};
    const struct ak_eval_items db = {codes, labels, first, 2};
    struct ak_eval_result got;

    (void)state;
    assert_status(ak_eval_rank(&params, &q, &db, &got, NULL), AK_OK);
    assert_int_equal(got.empty, 1);
    assert_true(got.precision_in_radius == 0.5);
    assert_true(got.map == 1);
}

static void refuses_what_makes_no_sense(void **state)
{
    struct ak_eval_params params = {.bits = 12};
    const uint8_t code[] = {0, 0};
    const uint32_t labels[] = {7}, first[] = {0, 1};
    const struct ak_eval_items one = {code, labels, first, 1};
    const struct ak_eval_items none = {code, labels, first, 0};
    struct ak_eval_result got;
    struct ak_err err = {0};

    (void)state;
    assert_status(ak_eval_rank(&params, &one, &one, &got, &err), AK_EINVAL);
    assert_string_equal(err.text,
                        "bits is 12, must be 8..1024 and a multiple of 8");
    params.bits = 8;
    assert_status(ak_eval_rank(&params, &one, &none, &got, &err), AK_EINVAL);
    assert_string_equal(err.text, "1 queries and 0 items, must be 1 or more");
    params.n_k = 1;
    assert_status(ak_eval_rank(&params, &one, &one, &got, &err), AK_EINVAL);
    assert_string_equal(err.text, "a K is 0, must be 1 or more");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counting_gives_what_sorting_does),
        cmocka_unit_test(ties_count_as_the_mean_over_their_orders),
        cmocka_unit_test(a_perfect_ranking_scores_one),
        cmocka_unit_test(an_empty_ball_counts_zero),
        cmocka_unit_test(refuses_what_makes_no_sense),
    };

    return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
