/* The feature maps against their formulas in double. */
#include "tests/test.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/hash/feature_map.h"

enum { DIM = 10, N = 150 };

static float x[N * DIM];

static int make_rows(void **state)
{
    struct ak_rng rng;

    (void)state;
    ak_rng_init(&rng, 8);
    for (size_t i = 0; i < N * DIM; i++)
        x[i] = ak_rng_normal(&rng);
    return 0;
}

static struct ak_feature_map *fit_moved(uint32_t anchors, uint32_t rounds,
                                        bool centred, const float *rows,
                                        size_t n)
{
    const struct ak_map_plan plan = {AK_MAP_RBF, anchors, 6, centred, rounds};
    struct ak_feature_map *map = NULL;

    assert_status(ak_feature_map_fit(&plan, DIM, rows, n, 3, &map, NULL),
                  AK_OK);
    return map;
}

static struct ak_feature_map *fit(uint32_t anchors, bool centred,
                                  const float *rows, size_t n)
{
    return fit_moved(anchors, 0, centred, rows, n);
}

/* z (n, stride) of the rows; the caller frees it. */
static float *mapped(const struct ak_feature_map *map, const float *rows,
                     size_t n)
{
    float *z = ak_array_new(n * ak_feature_map_stride(map), sizeof(*z));

    assert_non_null(z);
    ak_feature_map_apply(map, rows, n, z);
    return z;
}

static double squared(const float *a, const float *b)
{
    double sum = 0;

    for (int k = 0; k < DIM; k++)
        sum += ((double)a[k] - (double)b[k]) * ((double)a[k] - (double)b[k]);
    return sum;
}

/* Which row of x each anchor is: the one at distance 0, where phi is 1. */
static void find_anchors(const struct ak_feature_map *map, size_t n,
                         uint32_t *row_of)
{
    float *z = mapped(map, x, n);
    size_t width = ak_feature_map_width(map);

    for (size_t j = 0; j < width; j++) {
        uint32_t found = 0;

        for (size_t i = 0; i < n; i++)
            if (z[i * ak_feature_map_stride(map) + j] == 1.0f) {
                row_of[j] = (uint32_t)i;
                found++;
            }
        assert_int_equal(found, 1);
    }
    ak_array_free(z);
}

static void phi_is_the_formula_and_eta_the_mean(void **state)
{
    struct ak_feature_map *map = fit(20, false, x, N);
    uint32_t row_of[20];
    float *z = mapped(map, x, N);
    double sum = 0, eta = ak_feature_map_eta(map);
    size_t pairs = 0;

    (void)state;
    assert_int_equal(ak_feature_map_width(map), 20);
    find_anchors(map, N, row_of);
    for (uint32_t i = 0; i < N; i++) {
        bool is_anchor = false;

        for (int j = 0; j < 20; j++)
            is_anchor = is_anchor || row_of[j] == i;
        for (int j = 0; j < 20; j++) {
            double d = squared(x + i * DIM, x + row_of[j] * DIM);
            double phi = exp(-d / (2 * eta));

            assert_true(
                fabs((double)z[i * ak_feature_map_stride(map) + (size_t)j] -
                     phi) < 1e-5);
            sum += is_anchor ? 0 : d;
            pairs += !is_anchor;
        }
    }
    assert_int_equal(pairs, (N - 20) * 20);
    assert_true(fabs(sum / (double)pairs / 6 - eta) < 1e-5 * eta);
    ak_array_free(z);
    ak_feature_map_drop(map);
}

/* Each anchor of `from` to the mean of the rows that are nearest to it. */
static void slow_round(float from[20][DIM])
{
    double sum[20][DIM] = {{0}}, n[20] = {0};

    for (int i = 0; i < N; i++) {
        int least = 0;

        for (int j = 1; j < 20; j++)
            if (squared(x + i * DIM, from[j]) <
                squared(x + i * DIM, from[least]))
                least = j;
        n[least]++;
        for (int k = 0; k < DIM; k++)
            sum[least][k] += (double)x[i * DIM + k];
    }
    for (int j = 0; j < 20; j++)
        for (int k = 0; k < DIM && n[j] > 0; k++)
            from[j][k] = (float)(sum[j][k] / n[j]);
}

static void rounds_of_k_means_move_the_anchors(void **state)
{
    struct ak_feature_map *map = fit(20, false, x, N);
    float anchors[20][DIM], moved[DIM];

    (void)state;
    for (uint32_t j = 0; j < 20; j++)
        ak_feature_map_anchor(map, j, anchors[j]);
    ak_feature_map_drop(map);
    for (uint32_t rounds = 1; rounds <= 4; rounds++) {
        double sum = 0;

        slow_round(anchors);
        map = fit_moved(20, rounds, false, x, N);
        for (uint32_t j = 0; j < 20; j++) {
            ak_feature_map_anchor(map, j, moved);
            assert_memory_equal(moved, anchors[j], sizeof(moved));
        }
        /* All rows but the 20 that were drawn, hence not exactly this. */
        for (int i = 0; i < N; i++)
            for (int j = 0; j < 20; j++)
                sum += squared(x + i * DIM, anchors[j]) / (20.0 * N * 6);
        assert_true(fabs(sum - ak_feature_map_eta(map)) < 0.1 * sum);
        ak_feature_map_drop(map);
    }
}

/* Each row twice, and all but one are drawn: of two alike one has no rows. */
static void an_anchor_without_rows_stays(void **state)
{
    float twice[40 * DIM], at[DIM];
    struct ak_feature_map *map;

    (void)state;
    for (int i = 0; i < 40; i++)
        memcpy(twice + i * DIM, x + i / 2 * DIM, DIM * sizeof(*x));
    map = fit_moved(39, 5, false, twice, 40);
    assert_int_equal(ak_feature_map_width(map), 39);
    for (uint32_t j = 0; j < 39; j++) {
        bool found = false;

        ak_feature_map_anchor(map, j, at);
        for (int i = 0; i < 20 && !found; i++)
            found = memcmp(at, x + i * DIM, sizeof(at)) == 0;
        assert_true(found);
    }
    ak_feature_map_drop(map);
}

static void with_few_rows_all_are_anchors(void **state)
{
    struct ak_feature_map *map = fit(300, false, x, 40);
    uint32_t row_of[40];
    double sum = 0;

    (void)state;
    assert_int_equal(ak_feature_map_width(map), 40);
    find_anchors(map, 40, row_of);
    for (int i = 0; i < 40; i++)
        for (int j = 0; j < 40; j++)
            sum += squared(x + i * DIM, x + j * DIM);
    sum /= 40.0 * 39 * 6;
    assert_true(fabs(sum - ak_feature_map_eta(map)) < 1e-5 * sum);
    ak_feature_map_drop(map);
}

/* n just above the anchors: one row measures the bandwidth. */
static void one_row_more_than_anchors_is_enough(void **state)
{
    struct ak_feature_map *map = fit(20, false, x, 21);

    (void)state;
    assert_int_equal(ak_feature_map_width(map), 20);
    assert_true(ak_feature_map_eta(map) > 0.5);
    ak_feature_map_drop(map);
}

static void assert_sane(const struct ak_feature_map *map, const float *rows,
                        size_t n)
{
    float *z = mapped(map, rows, n);

    assert_true(ak_feature_map_eta(map) > 0);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < ak_feature_map_width(map); j++) {
            float v = z[i * ak_feature_map_stride(map) + j];

            assert_true(v >= -1.0f && v <= 1.0f);
        }
    ak_array_free(z);
}

static void odd_rows_never_make_a_bandwidth_of_zero(void **state)
{
    static const float values[] = {0.0f,   1.0f,   -3.5f,  3e38f,
                                   -3e38f, 1e-38f, 1e-44f, 65504.0f};
    float same[50 * DIM];

    (void)state;
    for (int v = 0; v < 8; v++)
        for (size_t n = 1; n <= 50; n += n < 4 ? 1 : 23)
            for (int centred = 0; centred < 2; centred++) {
                struct ak_feature_map *map;

                for (size_t i = 0; i < 50 * DIM; i++)
                    same[i] = values[v];
                map = fit(8, centred, same, n);
                assert_sane(map, same, n);
                assert_sane(map, x, N);
                ak_feature_map_drop(map);

                /* And with rows as far apart as floats can be. */
                for (size_t i = 0; i < 50 * DIM; i += 2)
                    same[i] = -same[i];
                same[0] = values[v] / 2;
                map = fit(8, centred, same, n);
                assert_sane(map, same, n);
                assert_sane(map, x, N);
                ak_feature_map_drop(map);
            }
}

static void centred_features_have_a_mean_of_zero(void **state)
{
    struct ak_feature_map *plain = fit(20, false, x, N);
    struct ak_feature_map *map = fit(20, true, x, N);
    size_t stride = ak_feature_map_stride(map);
    float *z = mapped(map, x, N), *phi = mapped(plain, x, N);

    (void)state;
    for (size_t j = 0; j < 20; j++) {
        double sum = 0, mean = 0;

        for (size_t i = 0; i < N; i++) {
            sum += (double)z[i * stride + j];
            mean += (double)phi[i * stride + j] / N;
        }
        assert_true(fabs(sum / N) < 1e-6);
        assert_true(fabs((double)phi[j] - mean - (double)z[j]) < 1e-6);
    }
    ak_array_free(z);
    ak_array_free(phi);
    ak_feature_map_drop(map);
    ak_feature_map_drop(plain);
}

static void the_draw_of_anchors_is_seeded(void **state)
{
    const struct ak_map_plan plan = {AK_MAP_RBF, 20, 6, false, 2};
    struct ak_writer w[3] = {{0}, {0}, {0}};
    const uint64_t seeds[] = {3, 3, 4};

    (void)state;
    for (int i = 0; i < 3; i++) {
        struct ak_feature_map *map = NULL;

        assert_status(
            ak_feature_map_fit(&plan, DIM, x, N, seeds[i], &map, NULL), AK_OK);
        ak_feature_map_write(map, &w[i]);
        ak_feature_map_drop(map);
    }
    assert_int_equal(w[0].len, w[1].len);
    assert_memory_equal(w[0].data, w[1].data, w[0].len);
    assert_memory_not_equal(w[0].data, w[2].data, w[0].len);
    for (int i = 0; i < 3; i++)
        ak_writer_clear(&w[i]);
}

static void unit_rows_are_centred_and_of_length_one(void **state)
{
    struct ak_running_mean whole = {0}, parts = {0}, loaded = {0};
    struct ak_feature_map *map = NULL;
    struct ak_writer a = {0}, b = {0};
    struct ak_reader r;
    float mean[DIM], again[DIM], *z;

    (void)state;
    assert_status(ak_running_mean_init(&whole, DIM, NULL), AK_OK);
    assert_status(ak_running_mean_init(&parts, DIM, NULL), AK_OK);
    assert_status(ak_running_mean_init(&loaded, DIM, NULL), AK_OK);
    ak_running_mean_get(&whole, mean);
    assert_true(mean[0] == 0.0f);
    ak_running_mean_add(&whole, x, N);
    ak_running_mean_add(&parts, x, 7);
    ak_running_mean_write(&parts, &a);
    ak_reader_init(&r, a.data, a.len);
    ak_running_mean_read(&loaded, &r);
    assert_status(ak_reader_finish(&r), AK_OK);
    ak_running_mean_add(&loaded, x + 7 * DIM, N - 7);
    ak_running_mean_get(&whole, mean);
    ak_running_mean_get(&loaded, again);
    assert_memory_equal(mean, again, sizeof(mean));
    for (int k = 0; k < DIM; k++) {
        double sum = 0;

        for (size_t i = 0; i < N; i++)
            sum += (double)x[i * DIM + (size_t)k];
        assert_true(fabs(sum / N - (double)mean[k]) < 1e-6);
    }

    assert_status(ak_feature_map_unit(DIM, mean, &map, NULL), AK_OK);
    assert_int_equal(ak_feature_map_width(map), DIM);
    z = mapped(map, x, N);
    for (size_t i = 0; i < N; i++) {
        double length = sqrt(squared(x + i * DIM, mean));

        for (size_t k = 0; k < DIM; k++)
            assert_true(fabs((double)z[i * ak_feature_map_stride(map) + k] -
                             ((double)x[i * DIM + k] - (double)mean[k]) /
                                 length) < 1e-6);
    }
    ak_feature_map_apply(map, mean, 1, z);
    for (size_t k = 0; k < DIM; k++)
        assert_true(z[k] == 0.0f);
    ak_array_free(z);
    ak_feature_map_drop(map);
    ak_writer_clear(&a);
    ak_writer_clear(&b);
    ak_running_mean_clear(&whole);
    ak_running_mean_clear(&parts);
    ak_running_mean_clear(&loaded);
}

static void a_map_cut_short_is_refused(void **state)
{
    struct ak_feature_map *map = fit(5, true, x, N), *again = NULL;
    struct ak_writer w = {0}, back = {0};
    struct ak_reader r;

    (void)state;
    ak_feature_map_write(map, &w);
    for (size_t len = 0; len < w.len; len++) {
        struct ak_err err = {0};

        ak_reader_init(&r, w.data, len);
        assert_status(ak_feature_map_read(&r, &again, &err), AK_ECORRUPT);
        assert_true(err.text[0] != '\0');
    }
    assert_null(again);
    ak_reader_init(&r, w.data, w.len);
    assert_status(ak_feature_map_read(&r, &again, NULL), AK_OK);
    assert_status(ak_reader_finish(&r), AK_OK);
    ak_feature_map_write(again, &back);
    assert_int_equal(w.len, back.len);
    assert_memory_equal(w.data, back.data, w.len);
    ak_feature_map_drop(again);
    ak_feature_map_drop(map);
    ak_writer_clear(&w);
    ak_writer_clear(&back);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(phi_is_the_formula_and_eta_the_mean),
        cmocka_unit_test(rounds_of_k_means_move_the_anchors),
        cmocka_unit_test(an_anchor_without_rows_stays),
        cmocka_unit_test(with_few_rows_all_are_anchors),
        cmocka_unit_test(one_row_more_than_anchors_is_enough),
        cmocka_unit_test(odd_rows_never_make_a_bandwidth_of_zero),
        cmocka_unit_test(centred_features_have_a_mean_of_zero),
        cmocka_unit_test(the_draw_of_anchors_is_seeded),
        cmocka_unit_test(unit_rows_are_centred_and_of_length_one),
        cmocka_unit_test(a_map_cut_short_is_refused),
    };

    return cmocka_run_group_tests_name("feature map", tests, make_rows, NULL);
}
