/*
 * fcoh.c: its gradient against central differences of its loss, a block against
 * plain loops, the storage that it claims, and what happens when it diverges.
 */
#include "tests/test.h"

#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/hash/fcoh_internal.h"
#include "core/hash/hash.h"

enum { DIM = 11, BITS = 16, N = 90, CLASSES = 4, SEED = 3 };
enum { BLOCK, RATE, DECAY, N_OPTIONS };

static float x[N * DIM];
static uint32_t labels[2 * N], first[N + 1];
static const struct ak_hash_params params = {DIM, BITS, 100, SEED};
static const struct ak_hash_batch batch = {x, labels, first, N};

/* Every ninth row has two classes, every tenth none. */
static int make_rows(void **state)
{
    struct ak_rng rng;
    uint32_t at = 0;

    (void)state;
    ak_rng_init(&rng, 5);
    for (uint32_t i = 0; i < N; i++) {
        uint32_t c = i < CLASSES ? i : (uint32_t)ak_rng_below(&rng, CLASSES);

        first[i] = at;
        if (i % 10 != 9)
            labels[at++] = c;
        if (i % 10 != 9 && i % 9 == 8)
            labels[at++] = (c + 1) % CLASSES;
        for (uint32_t k = 0; k < DIM; k++)
            x[i * DIM + k] =
                4.0f + ak_rng_normal(&rng) + (k == c ? 3.0f : 0.0f);
    }
    first[N] = at;
    return 0;
}

static bool has(uint32_t i, uint32_t c)
{
    for (uint32_t l = first[i]; l < first[i + 1]; l++)
        if (labels[l] == c)
            return true;
    return false;
}

/* 1 / (2 n_c n) sum (u_i . b_j / r - S_ij)^2 of codes u = tanh(a). */
static double loss_of(const double *a, size_t n_c, const float *b,
                      const uint8_t *of_class, size_t n, size_t bits)
{
    double sum = 0;

    for (size_t i = 0; i < n_c; i++)
        for (size_t j = 0; j < n; j++) {
            double e = of_class[j] ? -1 : 1;

            for (size_t k = 0; k < bits; k++)
                e += tanh(a[i * bits + k]) * (double)b[j * bits + k] /
                     (double)bits;
            sum += e * e;
        }
    return sum / (2 * (double)n_c * (double)n);
}

static void the_gradient_is_that_of_the_loss(void **state)
{
    enum { NC = 7, NB = 24, R = 24 };
    double a[NC * R];
    float u[NC * R], b[NB * R], g[NC * R], whole[NC * R], pairs[NC * NB];
    uint8_t of_class[NB];
    double sum = 0, again = 0, step = 1e-5;
    struct ak_rng rng;

    (void)state;
    ak_rng_init(&rng, 8);
    for (int i = 0; i < NC * R; i++) {
        a[i] = (double)ak_rng_normal(&rng);
        u[i] = (float)tanh(a[i]);
    }
    for (int i = 0; i < NB * R; i++)
        b[i] = ak_rng_unit(&rng) < 0.5 ? 1.0f : -1.0f;
    for (int j = 0; j < NB; j++)
        of_class[j] = j < NC;
    ak_fcoh_gradient(u, NC, b, of_class, NB, R, pairs, 3, g, &sum);
    ak_fcoh_gradient(u, NC, b, of_class, NB, R, pairs, NC, whole, &again);
    assert_true(fabs(sum / (2.0 * NC * NB) -
                     loss_of(a, NC, b, of_class, NB, R)) < 1e-5);
    assert_true(fabs(sum - again) < 1e-4);
    for (int i = 0; i < NC * R; i++) {
        double at = a[i], up, down, slope;

        a[i] = at + step;
        up = loss_of(a, NC, b, of_class, NB, R);
        a[i] = at - step;
        down = loss_of(a, NC, b, of_class, NB, R);
        a[i] = at;
        slope = (up - down) / (2 * step) * R;
        /* g is a float of about 1e-2; the strip of rows must not matter. */
        assert_true(fabs((double)g[i] - slope) < 1e-6);
        assert_true(fabsf(g[i] - whole[i]) < 1e-7f);
    }
}

static struct ak_hash *learner(double block, double rate, double decay)
{
    const double options[N_OPTIONS] = {block, rate, decay};
    struct ak_hash *h = NULL;

    assert_status(ak_hash_create("fcoh", &params, options, &h, NULL), AK_OK);
    return h;
}

static void project(const struct ak_hash *h, float *y)
{
    struct ak_encoder *e = NULL;
    void *scratch;

    assert_status(ak_hash_freeze(h, &e, NULL), AK_OK);
    scratch = ak_array_new(1, ak_encoder_scratch(e));
    assert_non_null(scratch);
    ak_encoder_project(e, x, N, y, scratch);
    ak_array_free(scratch);
    ak_ref_drop(ak_encoder_ref(e));
}

/* Rows [from, to) centred by the mean of all labelled rows before `to`. */
static void unit_rows(uint32_t to, double *z)
{
    double mean[DIM] = {0};
    uint32_t n = 0;

    for (uint32_t i = 0; i < to; i++) {
        if (first[i] == first[i + 1])
            continue;
        n++;
        for (int k = 0; k < DIM; k++)
            mean[k] += (double)x[i * DIM + (uint32_t)k];
    }
    for (uint32_t i = 0; i < N; i++) {
        double sum = 0;

        for (int k = 0; k < DIM; k++) {
            double t = (double)x[i * DIM + (uint32_t)k] - mean[k] / n;

            z[i * DIM + (uint32_t)k] = t;
            sum += t * t;
        }
        for (int k = 0; k < DIM; k++)
            z[i * DIM + (uint32_t)k] /= sqrt(sum);
    }
}

static double dot(const double *z, double (*w)[BITS], int j)
{
    double sum = 0;

    for (int k = 0; k < DIM; k++)
        sum += z[k] * w[k][j];
    return sum;
}

/* One turn of class c over the labelled rows [from, to), by the formula. */
static void slow_turn(uint32_t from, uint32_t to, uint32_t c, const double *z,
                      double rate, double decay, double (*w)[BITS])
{
    static double step[DIM][BITS];
    double n = 0, n_c = 0;

    memset(step, 0, sizeof(step));
    for (uint32_t i = from; i < to; i++) {
        n += first[i] < first[i + 1];
        n_c += has(i, c);
    }
    for (uint32_t i = from; i < to; i++)
        for (uint32_t j = from; has(i, c) && j < to; j++) {
            double e = 0;

            if (first[j] == first[j + 1])
                continue;
            for (int k = 0; k < BITS; k++)
                e += tanh(dot(z + i * DIM, w, k)) *
                     (dot(z + j * DIM, w, k) > 0 ? 1 : -1) / BITS;
            e -= has(j, c) ? 1 : -1;
            for (int k = 0; k < BITS; k++) {
                double u = tanh(dot(z + i * DIM, w, k));
                double g = e * (dot(z + j * DIM, w, k) > 0 ? 1 : -1) *
                           (1 - u * u) / (n * n_c);

                for (int d = 0; d < DIM; d++)
                    step[d][k] += z[i * DIM + (uint32_t)d] * g;
            }
        }
    for (int d = 0; n_c > 0 && d < DIM; d++)
        for (int k = 0; k < BITS; k++)
            w[d][k] -= rate * (step[d][k] + decay * w[d][k]);
}

static void it_learns_what_the_slow_one_does(void **state)
{
    static double w[DIM][BITS], z[N * DIM];
    static float y[N * BITS];
    struct ak_hash *h = learner(40, 2, 0.01);
    uint32_t from = 0;
    struct ak_rng rng;

    (void)state;
    ak_rng_init(&rng, ak_rng_derive(SEED, "fcoh weights"));
    for (int j = 0; j < BITS; j++) {
        double sum = 0;

        for (int k = 0; k < DIM; k++) {
            w[k][j] = (double)ak_rng_normal(&rng);
            sum += w[k][j] * w[k][j];
        }
        for (int k = 0; k < DIM; k++)
            w[k][j] /= sqrt(sum);
    }
    /* Blocks of 40 labelled rows; the classes 0..3 are in each of them. */
    while (from < N) {
        uint32_t to = from;

        for (int n = 0; to < N && n < 40; to++)
            n += first[to] < first[to + 1];
        unit_rows(to, z);
        for (uint32_t c = 0; c < CLASSES; c++)
            slow_turn(from, to, c, z, 2, 0.01, w);
        from = to;
    }
    assert_status(ak_hash_update(h, &batch, NULL, NULL), AK_OK);
    project(h, y);
    unit_rows(N, z);
    for (uint32_t i = 0; i < N; i++)
        for (int j = 0; j < BITS; j++)
            /* A dozen steps in float against double; values are about 1. */
            assert_true(fabs((double)y[i * BITS + (uint32_t)j] -
                             dot(z + i * DIM, w, j)) < 1e-4);
    ak_hash_destroy(h);
}

/* Whole blocks, however many an update brings, are the same sequence. */
static void whole_blocks_may_come_alone_or_together(void **state)
{
    struct ak_hash *one = learner(30, 10, 0), *many = learner(30, 10, 0);
    static float a[N * BITS], b[N * BITS];
    uint32_t from = 0;

    (void)state;
    assert_int_equal(ak_hash_block_rows(one), 30);
    assert_status(ak_hash_update(one, &batch, NULL, NULL), AK_OK);
    while (from < N) {
        struct ak_hash_batch part = {x + from * DIM, labels, first + from, 0};

        for (int n = 0; from < N && n < 30; from++, part.n++)
            n += first[from] < first[from + 1];
        assert_status(ak_hash_update(many, &part, NULL, NULL), AK_OK);
    }
    project(one, a);
    project(many, b);
    assert_memory_equal(a, b, sizeof(a));
    ak_hash_destroy(one);
    ak_hash_destroy(many);
}

static void pairs_take_a_quarter_of_the_full_block_at_most(void **state)
{
    struct ak_hash *h = learner(80, 10, 0);
    size_t taken, full;

    (void)state;
    ak_fcoh_pair_bytes(h, &taken, &full);
    assert_int_equal(taken, 0);
    assert_status(ak_hash_update(h, &batch, NULL, NULL), AK_OK);
    ak_fcoh_pair_bytes(h, &taken, &full);
    assert_int_equal(full, 80 * 80 * sizeof(float));
    assert_true(taken > 0 && taken * 4 <= full);
    ak_hash_destroy(h);
    for (size_t n = 8; n <= 8192; n += n < 200 ? 1 : 97)
        for (size_t bits = 8; bits <= 1024; bits *= 2) {
            size_t rows = ak_fcoh_pair_rows(n, bits);

            assert_true(rows >= 1 && rows * 4 <= n);
            assert_true(rows == 1 || rows * n <= bits * bits);
        }
}

static void weights_that_run_away_are_taken_back(void **state)
{
    struct ak_hash *h = learner(8, 1e4, 1), *same = learner(8, 1e4, 1);
    const struct ak_hash_batch some = {x, labels, first, 5};
    struct ak_writer a = {0}, b = {0};
    struct ak_err err = {0};

    (void)state;
    assert_status(ak_hash_update(h, &some, NULL, NULL), AK_OK);
    assert_status(ak_hash_update(same, &some, NULL, NULL), AK_OK);
    assert_status(ak_hash_update(h, &batch, NULL, &err), AK_ENUMERIC);
    assert_non_null(strstr(err.text, "fcoh: a weight would not be within"));
    assert_status(ak_hash_save_state(h, &a, NULL), AK_OK);
    assert_status(ak_hash_save_state(same, &b, NULL), AK_OK);
    assert_int_equal(a.len, b.len);
    assert_memory_equal(a.data, b.data, a.len);
    ak_writer_clear(&a);
    ak_writer_clear(&b);
    ak_hash_destroy(h);
    ak_hash_destroy(same);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_gradient_is_that_of_the_loss),
        cmocka_unit_test(it_learns_what_the_slow_one_does),
        cmocka_unit_test(whole_blocks_may_come_alone_or_together),
        cmocka_unit_test(pairs_take_a_quarter_of_the_full_block_at_most),
        cmocka_unit_test(weights_that_run_away_are_taken_back),
    };

    return cmocka_run_group_tests_name("fcoh", tests, make_rows, NULL);
}
