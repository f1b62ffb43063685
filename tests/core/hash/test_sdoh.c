/*
 * sdoh.c: its gradient against central differences of the cost, the panels
 * against plain loops over all pairs, and the exact run of a block.
 */
#include "tests/test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/hash/hash.h"
#include "core/hash/sdoh_internal.h"

enum { DIM = 10, BITS = 8, N = 150, CLASSES = 5, SEED = 4 };
enum { BLOCK, SIGMA, RATE, THRESHOLD, POS, NEG, ITERATIONS, KEEP, N_OPTIONS };

static float x[N * DIM];
static uint32_t labels[2 * N], first[N + 1];
static const struct ak_hash_params params = {DIM, BITS, 100, SEED};

/* Rows of one class, and where `two` is set, of one or two. */
static void make_rows(bool two)
{
    struct ak_rng rng;
    uint32_t at = 0;

    ak_rng_init(&rng, 5);
    for (uint32_t i = 0; i < N; i++) {
        uint32_t c = i < CLASSES ? i : (uint32_t)ak_rng_below(&rng, CLASSES);

        first[i] = at;
        labels[at++] = c;
        if (two && i >= CLASSES && i % 3 == 0)
            labels[at++] = (c + 1 + i % 2) % CLASSES;
        for (uint32_t k = 0; k < DIM; k++)
            x[i * DIM + k] =
                0.3f * ak_rng_normal(&rng) + (k == c ? 2.0f : 0.0f);
    }
    first[N] = at;
}

static int make_single(void **state)
{
    (void)state;
    make_rows(false);
    return 0;
}

static double shared(uint32_t i, uint32_t j)
{
    double n = 0;

    for (uint32_t a = first[i]; a < first[i + 1]; a++)
        for (uint32_t b = first[j]; b < first[j + 1]; b++)
            n += labels[a] == labels[b];
    return n;
}

/* P, unnormalised, and the scale of a pair. */
static double weight(uint32_t i, uint32_t j, const struct ak_sdoh_scale *s,
                     double *scale)
{
    double n = shared(i, j), n_i = first[i + 1] - first[i];
    double gap = 1 - n / sqrt(n_i * (first[j + 1] - first[j]));

    *scale = n > 0 ? s->pos : s->neg;
    return i == j ? 0 : exp(-gap * gap / (2 * s->sigma * s->sigma));
}

/* The cost of codes h (n, bits), and G, over all pairs; g may be NULL. */
static double slow_cost(const double *h, size_t n, size_t bits,
                        const struct ak_sdoh_scale *s, double *g)
{
    double *p = ak_array_new(n * n, sizeof(*p));
    double *num = ak_array_new(n * n, sizeof(*num));
    double sum_p = 0, sum_num = 0, cost = 0;

    for (uint32_t i = 0; i < n; i++)
        for (uint32_t j = 0; j < n; j++) {
            double d = 0, scale;

            p[i * n + j] = weight(i, j, s, &scale);
            sum_p += p[i * n + j];
            for (size_t k = 0; k < bits; k++)
                d += (h[i * bits + k] - h[j * bits + k]) *
                     (h[i * bits + k] - h[j * bits + k]) / 4;
            num[i * n + j] = i == j ? 0 : 1 / (1 + d / scale);
            sum_num += num[i * n + j];
        }
    for (size_t k = 0; g != NULL && k < n * bits; k++)
        g[k] = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            double pij = p[i * n + j] / sum_p, qij = num[i * n + j] / sum_num;

            if (i == j)
                continue;
            cost += pij * log(pij / qij);
            for (size_t k = 0; g != NULL && k < bits; k++)
                g[i * bits + k] += (pij - qij) * num[i * n + j] *
                                   (h[i * bits + k] - h[j * bits + k]);
        }
    ak_array_free(p);
    ak_array_free(num);
    return cost;
}

static int by_set(const void *a, const void *b)
{
    uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
    uint32_t n_i = first[i + 1] - first[i], n_j = first[j + 1] - first[j];

    if (n_i != n_j)
        return n_i < n_j ? -1 : 1;
    for (uint32_t l = 0; l < n_i; l++)
        if (labels[first[i] + l] != labels[first[j] + l])
            return labels[first[i] + l] < labels[first[j] + l] ? -1 : 1;
    return (i > j) - (i < j);
}

/* Sort each row's labels, then all rows by them; the order of h follows. */
static void sort_rows(void)
{
    static float rows[N * DIM];
    static uint32_t order[N], old[2 * N], old_first[N + 1];
    uint32_t at = 0;

    for (uint32_t i = 0; i < N; i++) {
        order[i] = i;
        if (first[i + 1] - first[i] == 2 &&
            labels[first[i]] > labels[first[i] + 1]) {
            uint32_t t = labels[first[i]];

            labels[first[i]] = labels[first[i] + 1];
            labels[first[i] + 1] = t;
        }
    }
    qsort(order, N, sizeof(*order), by_set);
    memcpy(rows, x, sizeof(x));
    memcpy(old, labels, sizeof(labels));
    memcpy(old_first, first, sizeof(first));
    for (uint32_t i = 0; i < N; i++) {
        uint32_t from = old_first[order[i]], n = old_first[order[i] + 1] - from;

        first[i] = at;
        memcpy(labels + at, old + from, n * sizeof(*labels));
        memcpy(x + i * DIM, rows + order[i] * DIM, DIM * sizeof(*x));
        at += n;
    }
}

static void set_groups(struct ak_sdoh_block *b)
{
    uint32_t mentions = 0;

    b->n_groups = 0;
    for (uint32_t i = 0; i < N; i++) {
        uint32_t n = first[i + 1] - first[i];

        if (i > 0 && n == first[i] - first[i - 1] &&
            memcmp(labels + first[i], labels + first[i - 1],
                   n * sizeof(*labels)) == 0)
            continue;
        b->start[b->n_groups] = i;
        b->from[b->n_groups++] = mentions;
        memcpy(b->classes + mentions, labels + first[i], n * sizeof(*labels));
        mentions += n;
    }
    b->start[b->n_groups] = N;
    b->from[b->n_groups] = mentions;
    ak_sdoh_block_weigh(b);
}

static void check_pairs(bool two, struct ak_sdoh_scale scale)
{
    static double h[N * BITS], g[N * BITS];
    static float hf[N * BITS], gf[N * BITS];
    struct ak_sdoh_block b;
    double cost, want;
    struct ak_rng rng;

    make_rows(two);
    sort_rows();
    ak_rng_init(&rng, 6);
    for (int k = 0; k < N * BITS; k++) {
        hf[k] = tanhf(ak_rng_normal(&rng));
        h[k] = (double)hf[k];
    }
    assert_status(ak_sdoh_block_init(&b, N, 2 * N, BITS, &scale, NULL), AK_OK);
    set_groups(&b);
    assert_true(b.n_groups == CLASSES || two);
    cost = ak_sdoh_cost(&b, hf, gf);
    want = slow_cost(h, N, BITS, &scale, g);
    assert_true(fabs(cost - want) < 1e-6);
    /* G is about 1e-3; single precision sums of 150 pairs. */
    for (int k = 0; k < N * BITS; k++)
        assert_true(fabs((double)gf[k] - g[k]) < 1e-8);
    if (scale.pos == 1 && scale.neg == 1)
        for (int k = 0; k < N * BITS; k += 37) {
            double at = h[k], up, down, step = 1e-5;

            h[k] = at + step;
            up = slow_cost(h, N, BITS, &scale, NULL);
            h[k] = at - step;
            down = slow_cost(h, N, BITS, &scale, NULL);
            h[k] = at;
            assert_true(fabs((double)gf[k] - (up - down) / (2 * step)) < 1e-8);
        }
    ak_sdoh_block_clear(&b);
}

static void pairs_and_gradient_are_those_of_the_cost(void **state)
{
    (void)state;
    check_pairs(false, (struct ak_sdoh_scale){0.3, 1, 1});
    check_pairs(false, (struct ak_sdoh_scale){0.5, 6, 2});
    check_pairs(true, (struct ak_sdoh_scale){0.5, 1, 1});
    check_pairs(true, (struct ak_sdoh_scale){0.3, 3, 0.5});
    make_rows(false);
}

static struct ak_hash *learner(const double *options)
{
    struct ak_hash *h = NULL;

    assert_status(ak_hash_create("sdoh", &params, options, &h, NULL), AK_OK);
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

/*
 * The run of one block as the released code has it: W moves, then the test.
 * Returns how many steps were made.
 */
static int slow_block(const double *options, double (*w)[BITS])
{
    const struct ak_sdoh_scale scale = {options[SIGMA], options[POS],
                                        options[NEG]};
    static double h[N * BITS], g[N * BITS], kept[DIM][BITS];
    double best = INFINITY;
    int steps = 0;

    while (steps < options[ITERATIONS]) {
        double cost;

        for (int i = 0; i < N; i++)
            for (int j = 0; j < BITS; j++) {
                double sum = 0;

                for (int k = 0; k < DIM; k++)
                    sum += (double)x[i * DIM + k] * w[k][j];
                h[i * BITS + j] = tanh(sum);
            }
        cost = slow_cost(h, N, BITS, &scale, g);
        if (cost < best)
            memcpy(kept, w, sizeof(kept));
        for (int i = 0; i < N; i++)
            for (int j = 0; j < BITS; j++)
                for (int k = 0; k < DIM; k++)
                    w[k][j] -= options[RATE] * (double)x[i * DIM + k] *
                               g[i * BITS + j] *
                               (1 - h[i * BITS + j] * h[i * BITS + j]);
        steps++;
        if (cost > best || best - cost <= options[THRESHOLD])
            break;
        best = cost;
    }
    if (options[KEEP] != 0)
        memcpy(w, kept, sizeof(kept));
    return steps;
}

static void compare(const double *options, int least, int most)
{
    static double w[DIM][BITS];
    static float y[N * BITS];
    const struct ak_hash_batch batch = {x, labels, first, N};
    struct ak_hash *h = learner(options);
    struct ak_rng rng;
    int steps;

    ak_rng_init(&rng, ak_rng_derive(SEED, "sdoh weights"));
    for (int j = 0; j < BITS; j++) {
        double sum = 0;

        for (int k = 0; k < DIM; k++) {
            w[k][j] = (double)ak_rng_normal(&rng);
            sum += w[k][j] * w[k][j];
        }
        for (int k = 0; k < DIM; k++)
            w[k][j] /= sqrt(sum);
    }
    steps = slow_block(options, w);
    assert_in_range(steps, least, most);
    assert_status(ak_hash_update(h, &batch, NULL, NULL), AK_OK);
    project(h, y);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < BITS; j++) {
            double want = 0;

            for (int k = 0; k < DIM; k++)
                want += (double)x[i * DIM + k] * w[k][j];
            /* Some twenty steps in float against double. */
            assert_true(fabs((double)y[i * BITS + j] - want) < 1e-3);
        }
    ak_hash_destroy(h);
}

static void a_block_runs_as_the_released_code_does(void **state)
{
    const double plain[N_OPTIONS] = {2000, .3, 2, 1e-2, 1, 1, 1000, 0};
    const double scaled[N_OPTIONS] = {2000, .5, 2, 1e-2, 6, 2, 1000, 0};
    const double few[N_OPTIONS] = {2000, .3, 2, 0, 1, 1, 3, 0};
    /* A rate at which it gets worse again. */
    const double fast[N_OPTIONS] = {2000, .3, 60, 1e-4, 1, 1, 8, 0};
    const double best[N_OPTIONS] = {2000, .3, 60, 1e-4, 1, 1, 8, 1};

    (void)state;
    compare(plain, 3, 100);
    compare(scaled, 3, 100);
    compare(few, 3, 3);
    compare(fast, 2, 8);
    compare(best, 2, 8);
}

static void one_row_has_no_pairs(void **state)
{
    const struct ak_hash_batch one = {x, labels, first, 1};
    struct ak_hash *h = learner(NULL), *other = learner(NULL);
    static float a[N * BITS], b[N * BITS];
    const struct ak_hash_batch alike = {x, (const uint32_t[]){3, 3, 3},
                                        (const uint32_t[]){0, 1, 2, 3}, 3};
    struct ak_hash_loss loss;

    (void)state;
    assert_status(ak_hash_update(h, &one, &loss, NULL), AK_OK);
    assert_int_equal(loss.learnt, 1);
    assert_true(loss.loss == 0);
    assert_status(ak_hash_update(other, &one, NULL, NULL), AK_OK);
    assert_status(ak_hash_update(other, &one, NULL, NULL), AK_OK);
    project(h, a);
    project(other, b);
    assert_memory_equal(a, b, sizeof(a));
    /* One class only is a block like any other. */
    assert_status(ak_hash_update(h, &alike, &loss, NULL), AK_OK);
    assert_true(loss.loss >= 0 && loss.loss < 1);
    ak_hash_destroy(h);
    ak_hash_destroy(other);
}

/* The saved weights of `h` with `w` in the place of all of them. */
static struct ak_writer state_with(const struct ak_hash *h, const float *w)
{
    struct ak_writer state = {0};

    assert_status(ak_hash_save_state(h, &state, NULL), AK_OK);
    memcpy(state.data + state.len - DIM * BITS * sizeof(*w), w,
           DIM * BITS * sizeof(*w));
    return state;
}

/* The largest weights there may be, of both signs, and an infinite product. */
static void a_cost_that_is_no_number_changes_nothing(void **state)
{
    static float huge[N * DIM], w[DIM * BITS];
    const struct ak_hash_batch good = {x, labels, first, N};
    const struct ak_hash_batch bad = {huge, labels, first, N};
    struct ak_hash *h = learner(NULL), *again = learner(NULL);
    struct ak_writer constants = {0}, before, after = {0};
    struct ak_reader rc, rs;
    struct ak_err err = {0};

    (void)state;
    for (int i = 0; i < N * DIM; i++)
        huge[i] = 3e38f;
    for (int i = 0; i < DIM * BITS; i++)
        w[i] = i / BITS % 2 ? 1e30f : -1e30f;
    assert_status(ak_hash_update(h, &good, NULL, NULL), AK_OK);
    assert_status(ak_hash_save_constants(h, &constants, NULL), AK_OK);
    before = state_with(h, w);
    ak_reader_init(&rc, constants.data, constants.len);
    ak_reader_init(&rs, before.data, before.len);
    assert_status(ak_hash_load(again, &rc, &rs, NULL), AK_OK);
    assert_status(ak_hash_update(again, &bad, NULL, &err), AK_ENUMERIC);
    assert_non_null(strstr(err.text, "sdoh: a weight would not be within"));
    assert_status(ak_hash_save_state(again, &after, NULL), AK_OK);
    assert_int_equal(after.len, before.len);
    assert_memory_equal(after.data, before.data, after.len);
    ak_writer_clear(&constants);
    ak_writer_clear(&before);
    ak_writer_clear(&after);
    ak_hash_destroy(h);
    ak_hash_destroy(again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_and_gradient_are_those_of_the_cost),
        cmocka_unit_test(a_block_runs_as_the_released_code_does),
        cmocka_unit_test(one_row_has_no_pairs),
        cmocka_unit_test(a_cost_that_is_no_number_changes_nothing),
    };

    return cmocka_run_group_tests_name("sdoh", tests, make_single, NULL);
}
