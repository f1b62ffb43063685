/*
 * hcdh.c: its gradient against central differences of the loss, and learning by
 * passes: in steps, stopped and loaded, and after the last one.
 */
#include "tests/test.h"

#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/hash/codebook.h"
#include "core/hash/hash.h"
#include "core/hash/hcdh_internal.h"

enum { DIM = 9, BITS = 16, N = 90, CLASSES = 4, SEED = 3 };
enum { HIDDEN, EPOCHS, BATCH, RATE, FOLLOW, MOMENTUM, DECAY, WEIGHT, DECLARED };

static float x[N * DIM];
static uint32_t labels[N], first[N + 1];
static const struct ak_hash_params params = {DIM, BITS, 100, SEED};
static const struct ak_hash_batch set = {x, labels, first, N};

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
                40.0f + ak_rng_normal(&rng) + (k == labels[i] ? 5.0f : 0.0f);
    }
    return 0;
}

/* The loss by plain loops in double; w holds base, then top. */
static double slow_loss(size_t hidden, size_t classes, const double *w,
                        const float *z, const float *c, const float *y,
                        size_t n, double weight)
{
    size_t in = hidden > 0 ? hidden : DIM;
    const double *second = w + (hidden > 0 ? (DIM + 1) * hidden : 0);
    const double *top = second + (in + 1) * BITS;
    double loss = 0;

    for (size_t i = 0; i < n; i++) {
        double a[32], h[BITS], q[8], sum = 0;

        for (size_t j = 0; j < in; j++) {
            a[j] = hidden > 0 ? w[DIM * hidden + j] : (double)z[i * DIM + j];
            for (size_t k = 0; hidden > 0 && k < DIM; k++)
                a[j] += (double)z[i * DIM + k] * w[k * hidden + j];
            if (hidden > 0 && a[j] < 0)
                a[j] = 0;
        }
        for (size_t j = 0; j < BITS; j++) {
            h[j] = second[in * BITS + j];
            for (size_t k = 0; k < in; k++)
                h[j] += a[k] * second[k * BITS + j];
            h[j] = tanh(h[j]);
            loss += weight * (h[j] - (double)c[i * BITS + j]) *
                    (h[j] - (double)c[i * BITS + j]) / (double)(n * BITS);
        }
        for (size_t l = 0; l < classes; l++) {
            q[l] = top[l * (BITS + 1) + BITS];
            for (size_t j = 0; j < BITS; j++)
                q[l] += h[j] * top[l * (BITS + 1) + j];
            sum += exp(q[l]);
        }
        for (size_t l = 0; l < classes; l++)
            loss -= (double)y[i * classes + l] * (q[l] - log(sum)) / (double)n;
    }
    return loss;
}

static void check_gradient(size_t hidden, double weight)
{
    enum { NB = 12, C = 5, MOST = (DIM + 1) * 20 + 21 * BITS + C * (BITS + 1) };
    static double w[MOST];
    static float wf[MOST], g[MOST], z[NB * DIM], c[NB * BITS], y[NB * C];
    size_t base = ak_hcdh_base_size(DIM, hidden, BITS);
    size_t size = base + C * (BITS + 1);
    struct ak_hcdh_net net = {DIM, hidden, BITS, C, wf, wf + base};
    struct ak_hcdh_scratch k = {0};
    double loss, misses, step = 1e-5;
    struct ak_rng rng;

    ak_rng_init(&rng, 8);
    assert_true(size <= MOST);
    for (size_t i = 0; i < size; i++) {
        wf[i] = 0.4f * ak_rng_normal(&rng);
        w[i] = (double)wf[i];
    }
    for (int i = 0; i < NB * DIM; i++)
        z[i] = ak_rng_normal(&rng);
    for (int i = 0; i < NB * BITS; i++)
        c[i] = ak_rng_unit(&rng) < 0.5 ? 1.0f : -1.0f;
    memset(y, 0, sizeof(y));
    for (int i = 0; i < NB; i++) {
        /* One label or two. */
        y[i * C + i % C] = i % 3 ? 1.0f : 0.5f;
        y[i * C + (i + 1) % C] = i % 3 ? 0.0f : 0.5f;
    }
    assert_status(ak_hcdh_scratch_init(&k, &net, NB, NULL), AK_OK);
    loss =
        ak_hcdh_gradient(&net, z, c, y, NB, weight, &k, g, g + base, &misses);
    ak_hcdh_scratch_clear(&k);
    assert_true(fabs(loss - slow_loss(hidden, C, w, z, c, y, NB, weight)) <
                1e-5);
    assert_true(misses > 0 && misses < 4.0 * NB * BITS);
    for (size_t i = 0; i < size; i++) {
        double at = w[i], up, down;

        w[i] = at + step;
        up = slow_loss(hidden, C, w, z, c, y, NB, weight);
        w[i] = at - step;
        down = slow_loss(hidden, C, w, z, c, y, NB, weight);
        w[i] = at;
        /* Gradients are about 0.1 and in float. */
        assert_true(fabs((double)g[i] - (up - down) / (2 * step)) < 1e-5);
    }
}

static void the_gradient_is_that_of_the_loss(void **state)
{
    (void)state;
    check_gradient(0, 1);
    check_gradient(20, 1);
    check_gradient(20, 7);
    check_gradient(7, 0);
}

static struct ak_hash *learner(double hidden, double epochs, double rate)
{
    const double options[] = {hidden, epochs, 32, rate, 0.005,
                              0.9,    5e-4,   1,  16};
    struct ak_hash *h = NULL;

    assert_status(ak_hash_create("hcdh", &params, options, &h, NULL), AK_OK);
    return h;
}

static struct ak_writer state_of(const struct ak_hash *h)
{
    struct ak_writer w = {0};

    assert_status(ak_hash_save_state(h, &w, NULL), AK_OK);
    return w;
}

static void assert_same(const struct ak_hash *a, const struct ak_hash *b)
{
    struct ak_writer wa = state_of(a), wb = state_of(b);

    assert_int_equal(wa.len, wb.len);
    assert_memory_equal(wa.data, wb.data, wa.len);
    ak_writer_clear(&wa);
    ak_writer_clear(&wb);
}

/* A learner made again from what `h` saves, which ends `h`. */
static struct ak_hash *reloaded(struct ak_hash *h, struct ak_hash *again)
{
    struct ak_writer constants = {0}, state = state_of(h);
    struct ak_reader rc, rs;

    assert_status(ak_hash_save_constants(h, &constants, NULL), AK_OK);
    ak_reader_init(&rc, constants.data, constants.len);
    ak_reader_init(&rs, state.data, state.len);
    assert_status(ak_hash_load(again, &rc, &rs, NULL), AK_OK);
    ak_writer_clear(&constants);
    ak_writer_clear(&state);
    ak_hash_destroy(h);
    return again;
}

/* Block by block, through a save and a load after each. */
static void passes_can_be_made_in_steps(void **state)
{
    struct ak_hash *whole = learner(20, 3, .05), *steps = learner(20, 3, .05);
    struct ak_hash_loss loss;
    uint32_t order[N];

    (void)state;
    assert_int_equal(ak_hash_epochs(whole), 3);
    assert_int_equal(ak_hash_block_rows(whole), 32);
    assert_status(ak_hash_train(whole, &set, &loss, NULL), AK_OK);
    assert_int_equal(loss.learnt, N);
    assert_int_equal(ak_hash_samples(whole), 3 * N);
    for (uint32_t pass = 0; pass < 3; pass++) {
        ak_hash_pass(steps, pass);
        ak_hash_pass_order(steps, pass, N, order);
        for (uint32_t i = 0; i < N; i += 32) {
            static float rows[32 * DIM];
            uint32_t mine[32], at[33] = {0}, n = 0;
            struct ak_hash_batch batch = {rows, mine, at, 0};

            for (; n < 32 && i + n < N; n++) {
                memcpy(rows + n * DIM, x + order[i + n] * DIM,
                       DIM * sizeof(*x));
                mine[n] = labels[order[i + n]];
                at[n + 1] = n + 1;
            }
            batch.n = n;
            assert_status(ak_hash_update(steps, &batch, NULL, NULL), AK_OK);
            steps = reloaded(steps, learner(20, 3, .05));
        }
    }
    ak_hash_pass(steps, 3);
    assert_same(whole, steps);
    ak_hash_destroy(whole);
    ak_hash_destroy(steps);
}

static void each_pass_has_an_order_of_its_own(void **state)
{
    struct ak_hash *h = learner(0, 2, .05);
    uint32_t a[N], b[N];
    bool seen[N] = {false};

    (void)state;
    ak_hash_pass_order(h, 0, N, a);
    ak_hash_pass_order(h, 1, N, b);
    assert_memory_not_equal(a, b, sizeof(a));
    for (int i = 0; i < N; i++) {
        assert_in_range(a[i], 0, N - 1);
        assert_false(seen[a[i]]);
        seen[a[i]] = true;
    }
    ak_hash_destroy(h);
}

/* Signs of all rows are those of their class's target. */
static void codes_become_those_of_the_codebook(void **state)
{
    (void)state;
    for (int hidden = 0; hidden <= 20; hidden += 20) {
        struct ak_hash *h = learner(hidden, 200, .2);
        struct ak_encoder *e = NULL;
        struct ak_hash_loss loss;
        uint8_t codes[N * BITS / 8], of_class[CLASSES][BITS / 8];
        void *scratch;

        assert_status(ak_hash_train(h, &set, &loss, NULL), AK_OK);
        assert_true(loss.loss < 0.2);
        assert_status(ak_hash_freeze(h, &e, NULL), AK_OK);
        scratch = ak_array_new(1, ak_encoder_scratch(e));
        ak_encoder_encode(e, x, N, codes, scratch);
        for (int i = 0; i < N; i++) {
            if (i < CLASSES)
                memcpy(of_class[i], codes + i * BITS / 8, BITS / 8);
            assert_memory_equal(codes + i * BITS / 8, of_class[labels[i]],
                                BITS / 8);
        }
        for (int a = 0; a < CLASSES; a++)
            for (int b = 0; b < a; b++)
                assert_int_equal(
                    __builtin_popcount(
                        (unsigned)(of_class[a][0] ^ of_class[b][0])) +
                        __builtin_popcount(
                            (unsigned)(of_class[a][1] ^ of_class[b][1])),
                    BITS / 2);
        ak_array_free(scratch);
        ak_ref_drop(ak_encoder_ref(e));
        ak_hash_destroy(h);
    }
}

/* Rates: .05, then half of it, then .005; from a start with no velocity. */
static void the_rate_falls_from_pass_to_pass(void **state)
{
    static const double share[] = {1, .5, .1};

    (void)state;
    for (uint32_t pass = 0; pass < 3; pass++) {
        struct ak_hash *h = learner(0, 2, .05);
        const struct ak_hash_batch one = {x, labels, first, 32};
        size_t top = CLASSES * (BITS + 1) * sizeof(float);
        struct ak_writer after;
        float w, v;

        ak_hash_pass(h, pass);
        assert_status(ak_hash_update(h, &one, NULL, NULL), AK_OK);
        after = state_of(h);
        /* At the end: weights of the top, which were zero, and velocities. */
        memcpy(&w, after.data + after.len - 2 * top, sizeof(w));
        memcpy(&v, after.data + after.len - top, sizeof(v));
        assert_true(fabsf(v) > 1e-6f);
        assert_true(fabs((double)(-w / v) / (.05 * share[pass]) - 1) < 1e-5);
        ak_writer_clear(&after);
        ak_hash_destroy(h);
    }
}

static void weights_that_run_away_are_taken_back(void **state)
{
    const double options[] = {20, 2, 32, 10, 10, 0.999, 1, 1000, 16};
    struct ak_hash *h = NULL, *same = NULL;
    enum ak_status status = AK_OK;
    struct ak_err err = {0};

    (void)state;
    assert_status(ak_hash_create("hcdh", &params, options, &h, NULL), AK_OK);
    assert_status(ak_hash_create("hcdh", &params, options, &same, NULL), AK_OK);
    for (int i = 0; i < 200 && status == AK_OK; i++) {
        status = ak_hash_update(h, &set, NULL, &err);
        if (status == AK_OK)
            assert_status(ak_hash_update(same, &set, NULL, NULL), AK_OK);
    }
    assert_status(status, AK_ENUMERIC);
    assert_non_null(strstr(err.text, "hcdh: a weight would not be within"));
    assert_same(h, same);
    ak_hash_destroy(h);
    ak_hash_destroy(same);
}

static void constant_features_do_no_harm(void **state)
{
    static float same[N * DIM];
    const struct ak_hash_batch flat = {same, labels, first, N};
    struct ak_hash *h = learner(20, 2, .05);
    struct ak_encoder *e = NULL;

    (void)state;
    for (int i = 0; i < N * DIM; i++)
        same[i] = 0.1f;
    assert_status(ak_hash_update(h, &flat, NULL, NULL), AK_OK);
    assert_status(ak_hash_freeze(h, &e, NULL), AK_OK);
    ak_ref_drop(ak_encoder_ref(e));
    ak_hash_destroy(h);
}

/* Rows of a matrix of order 48: all pairs of classes are 24 bits apart. */
static void codes_of_48_bits_are_paleys(void **state)
{
    struct ak_codebook b;

    (void)state;
    assert_status(ak_codebook_init_deep(&b, 48, 16, SEED, NULL), AK_OK);
    assert_int_equal(b.order, 48);
    assert_status(ak_codebook_grow(&b, 48, NULL), AK_OK);
    for (uint32_t c = 0; c < 48; c++)
        for (uint32_t a = 0; a < c; a++) {
            int d = 0;

            for (uint32_t j = 0; j < 48; j++)
                d += ak_codebook_bit(&b, a, j) != ak_codebook_bit(&b, c, j);
            assert_int_equal(d, 24);
        }
    ak_codebook_clear(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_gradient_is_that_of_the_loss),
        cmocka_unit_test(passes_can_be_made_in_steps),
        cmocka_unit_test(each_pass_has_an_order_of_its_own),
        cmocka_unit_test(codes_become_those_of_the_codebook),
        cmocka_unit_test(the_rate_falls_from_pass_to_pass),
        cmocka_unit_test(weights_that_run_away_are_taken_back),
        cmocka_unit_test(constant_features_do_no_harm),
        cmocka_unit_test(codes_of_48_bits_are_paleys),
    };

    return cmocka_run_group_tests_name("hcdh", tests, make_rows, NULL);
}
