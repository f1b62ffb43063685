/* hcoh.c against plain loops that follow the released code. */
#include "tests/test.h"

#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/hash/codebook.h"
#include "core/hash/hash.h"

enum { DIM = 11, BITS = 24, N = 150, CLASSES = 6, SEED = 3 };

static float x[N * DIM];
static uint32_t labels[N], first[N + 1];
static const struct ak_hash_params params = {DIM, BITS, 100, SEED};
static const struct ak_hash_batch batch = {x, labels, first, N};

static int make_rows(void **state)
{
    struct ak_rng rng;

    (void)state;
    ak_rng_init(&rng, 5);
    for (uint32_t i = 0; i < N; i++) {
        labels[i] = i < CLASSES ? i : (uint32_t)ak_rng_below(&rng, CLASSES);
        first[i + 1] = i + 1;
        for (uint32_t k = 0; k < DIM; k++)
            x[i * DIM + k] =
                4.0f + ak_rng_normal(&rng) + (k == labels[i] ? 3.0f : 0.0f);
    }
    return 0;
}

static struct ak_encoder *learnt(const double *options, size_t n)
{
    struct ak_hash *h = NULL;
    struct ak_encoder *e = NULL;
    struct ak_hash_batch some = batch;

    some.n = n;
    assert_status(ak_hash_create("hcoh", &params, options, &h, NULL), AK_OK);
    assert_int_equal(ak_hash_block_rows(h), 1);
    assert_status(ak_hash_update(h, &some, NULL, NULL), AK_OK);
    assert_status(ak_hash_freeze(h, &e, NULL), AK_OK);
    ak_hash_destroy(h);
    return e;
}

static void project(const struct ak_encoder *e, float *y)
{
    void *scratch = ak_array_new(1, ak_encoder_scratch(e));

    assert_non_null(scratch);
    ak_encoder_project(e, x, N, y, scratch);
    ak_array_free(scratch);
}

/* Centre by `mean` and scale to unit length. */
static void unit(const float *row, const double *mean, double *z)
{
    double sum = 0;

    for (int k = 0; k < DIM; k++) {
        z[k] = (double)row[k] - mean[k];
        sum += z[k] * z[k];
    }
    for (int k = 0; k < DIM; k++)
        z[k] = sum > 0 ? z[k] / sqrt(sum) : 0;
}

static void it_learns_what_the_slow_one_does(void **state)
{
    const double options[] = {0.2, 16};
    static float y[N * BITS];
    static double w[DIM][BITS];
    double mean[DIM] = {0}, z[DIM];
    float target[BITS];
    struct ak_codebook book;
    struct ak_encoder *e = learnt(options, N);
    struct ak_rng rng;

    (void)state;
    ak_rng_init(&rng, ak_rng_derive(SEED, "hcoh weights"));
    for (int j = 0; j < BITS; j++) {
        double sum = 0;

        for (int k = 0; k < DIM; k++) {
            w[k][j] = (double)ak_rng_normal(&rng);
            sum += w[k][j] * w[k][j];
        }
        for (int k = 0; k < DIM; k++)
            w[k][j] /= sqrt(sum);
    }
    assert_status(ak_codebook_init(&book, BITS, 16, false, SEED, NULL), AK_OK);
    assert_status(ak_codebook_grow(&book, CLASSES, NULL), AK_OK);
    for (int i = 0; i < N; i++) {
        for (int k = 0; k < DIM; k++)
            mean[k] += ((double)x[i * DIM + k] - mean[k]) / (i + 1);
        unit(x + i * DIM, mean, z);
        /* Classes were met in the order of their numbers. */
        ak_codebook_target(&book, &labels[i], 1, target);
        for (int j = 0; j < BITS; j++) {
            double f = 0;

            for (int k = 0; k < DIM; k++)
                f += w[k][j] * z[k];
            f = tanh(f);
            for (int k = 0; k < DIM; k++)
                w[k][j] -= 0.2 * (f - (double)target[j]) * (1 - f * f) * z[k];
        }
    }
    project(e, y);
    for (int i = 0; i < N; i++) {
        unit(x + i * DIM, mean, z);
        for (int j = 0; j < BITS; j++) {
            double want = 0;

            for (int k = 0; k < DIM; k++)
                want += w[k][j] * z[k];
            /* 150 steps in float against double; weights are about 1. */
            assert_true(fabs((double)y[i * BITS + j] - want) < 1e-4);
        }
    }
    ak_codebook_clear(&book);
    ak_ref_drop(ak_encoder_ref(e));
}

/* Each row is centred by the mean of the rows up to it: the first is nothing. */
static void the_first_row_only_moves_the_mean(void **state)
{
    struct ak_encoder *slow, *fast;
    const double rates[2][2] = {{0.2, 16}, {50, 16}};
    static float ys[N * BITS], yf[N * BITS];

    (void)state;
    slow = learnt(rates[0], 1);
    fast = learnt(rates[1], 1);
    project(slow, ys);
    project(fast, yf);
    assert_memory_equal(ys, yf, sizeof(ys));
    ak_ref_drop(ak_encoder_ref(slow));
    ak_ref_drop(ak_encoder_ref(fast));
}

static void huge_features_do_no_harm(void **state)
{
    struct ak_hash *h = NULL;
    struct ak_encoder *e = NULL;
    static float huge[N * DIM], y[N * BITS];
    struct ak_hash_batch odd = batch;
    struct ak_hash_loss loss;

    (void)state;
    for (int i = 0; i < N * DIM; i++)
        huge[i] = i % 3 ? 3.4e38f : -3.4e38f;
    odd.x = huge;
    assert_status(ak_hash_create("hcoh", &params, NULL, &h, NULL), AK_OK);
    assert_status(ak_hash_update(h, &odd, &loss, NULL), AK_OK);
    assert_true(loss.loss >= 0 && loss.loss <= 1);
    assert_status(ak_hash_update(h, &batch, NULL, NULL), AK_OK);
    assert_status(ak_hash_freeze(h, &e, NULL), AK_OK);
    project(e, y);
    for (int i = 0; i < N * BITS; i++)
        assert_true(isfinite(y[i]));
    ak_ref_drop(ak_encoder_ref(e));
    ak_hash_destroy(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_learns_what_the_slow_one_does),
        cmocka_unit_test(the_first_row_only_moves_the_mean),
        cmocka_unit_test(huge_features_do_no_harm),
    };

    return cmocka_run_group_tests_name("hcoh", tests, make_rows, NULL);
}
