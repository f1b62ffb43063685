/*
 * Duplicates beside a loop over all pairs; and how much less than that loop is
 * computed.
 */
#include "tests/test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/code/duplicates_internal.h"

#define MAX_SKETCH 3

/* Items and, if `dim` is not 0, features, whose sketch are their numbers. */
struct items {
    uint32_t bits;
    size_t n, words, dim;
    uint64_t *codes;
    float *features;
    double reach; /* features are near within this Euclidean distance */
    uint64_t asked;
};

enum kind { RANDOM, CLUSTERED, FEW, SAME, KINDS };

static void random_code(struct ak_rng *rng, uint32_t bits, uint64_t *words)
{
    uint8_t bytes[AK_CODE_MAX_BITS / 8];

    for (size_t i = 0; i < ak_code_bytes(bits); i++)
        bytes[i] = (uint8_t)ak_rng_below(rng, 256);
    ak_code_load(bytes, bits, words);
}

static void flip(struct ak_rng *rng, uint32_t bits, double share,
                 uint64_t *words)
{
    for (uint32_t j = 0; j < bits; j++)
        if (ak_rng_unit(rng) < share)
            words[j / 64] ^= (uint64_t)1 << (j % 64);
}

static void make_items(struct items *x, struct ak_rng *rng, uint32_t bits,
                       size_t n, enum kind kind, size_t n_centres, double share,
                       size_t dim)
{
    size_t words = ak_code_words(bits);
    uint64_t *centres = ak_array_new(n_centres, words * sizeof(*centres));

    *x = (struct items){.bits = bits, .n = n, .words = words, .dim = dim};
    x->codes = ak_array_new(n, words * sizeof(*x->codes));
    x->features = ak_array_new(n * dim, sizeof(*x->features));
    for (size_t i = 0; i < n_centres; i++)
        random_code(rng, bits, centres + i * words);
    for (size_t i = 0; i < n; i++) {
        uint64_t *code = x->codes + i * words;
        size_t c = kind == SAME ? 0 : (size_t)ak_rng_below(rng, n_centres);

        if (kind == RANDOM) {
            random_code(rng, bits, code);
            continue;
        }
        memcpy(code, centres + c * words, words * sizeof(*code));
        if (kind == CLUSTERED)
            flip(rng, bits, share, code);
    }
    /* On a grid, so that distances are exact and ties are many. */
    for (size_t i = 0; i < n * dim; i++)
        x->features[i] = (float)ak_rng_below(rng, 12);
    ak_array_free(centres);
}

static void clear_items(struct items *x)
{
    ak_array_free(x->codes);
    ak_array_free(x->features);
}

static uint32_t code_distance(const struct items *x, size_t a, size_t b)
{
    uint32_t d = 0;

    for (size_t w = 0; w < x->words; w++)
        d += (uint32_t)__builtin_popcountll(x->codes[a * x->words + w] ^
                                            x->codes[b * x->words + w]);
    return d;
}

static double feature_distance(const struct items *x, size_t a, size_t b)
{
    double sum = 0;

    for (size_t i = 0; i < x->dim; i++) {
        double d = (double)x->features[a * x->dim + i] -
                   (double)x->features[b * x->dim + i];

        sum += d * d;
    }
    return sqrt(sum);
}

static enum ak_status near_features(void *arg, uint32_t a, uint32_t b,
                                    bool *near, double *number,
                                    struct ak_err *err)
{
    struct items *x = arg;

    (void)err;
    x->asked++;
    *number = feature_distance(x, a, b);
    *near = *number <= x->reach;
    return AK_OK;
}

static struct ak_duplicates *run(struct items *x, uint32_t max_distance,
                                 size_t limit, int forced,
                                 struct ak_duplicates_result *result)
{
    struct ak_duplicates_features features = {.near = near_features,
                                              .arg = x,
                                              .sketch = x->features,
                                              .n_sketch = x->dim,
                                              .reach = (float)x->reach};
    struct ak_duplicates_params params = {.bits = x->bits,
                                          .max_distance = max_distance,
                                          .n = x->n,
                                          .codes = x->codes,
                                          .limit = limit,
                                          .seed = 7};
    struct ak_duplicates *d;
    double ratio = 0;
    bool done = false;

    params.features = x->dim > 0 ? &features : NULL;
    assert_status(ak_duplicates_create(&params, &d, NULL), AK_OK);
    d->forced = forced;
    while (!done) {
        assert_status(ak_duplicates_step(d, &done, NULL), AK_OK);
        assert_true(ak_duplicates_ratio(d) >= ratio);
        ratio = ak_duplicates_ratio(d);
    }
    assert_true(ratio == 1);
    ak_duplicates_result(d, result);
    return d;
}

/* ------------------------------------------------------------ the slow way */

static int by_order(const void *x, const void *y)
{
    const struct ak_pair *p = x, *q = y;

    if (p->distance != q->distance)
        return p->distance < q->distance ? -1 : 1;
    if (p->a != q->a)
        return p->a < q->a ? -1 : 1;
    return (p->b > q->b) - (p->b < q->b);
}

static void check(struct items *x, uint32_t max_distance, size_t limit,
                  int forced)
{
    struct ak_pair *all = malloc((x->n * x->n / 2 + 1) * sizeof(*all));
    uint32_t *name = malloc((x->n + 1) * sizeof(*name));
    struct ak_duplicates_result result;
    struct ak_duplicates *d = run(x, max_distance, limit, forced, &result);
    size_t n = 0;

    for (uint32_t i = 0; i < x->n; i++)
        name[i] = i;
    for (uint32_t a = 0; a < x->n; a++)
        for (uint32_t b = a + 1; b < x->n; b++) {
            uint32_t distance = code_distance(x, a, b);
            double number = x->dim > 0 ? feature_distance(x, a, b) : 0;

            if (distance > max_distance || (x->dim > 0 && number > x->reach))
                continue;
            all[n++] = (struct ak_pair){a, b, distance, number};
        }
    /* Names fall until no pair changes one. */
    for (bool again = true; again;) {
        again = false;
        for (size_t i = 0; i < n; i++)
            if (name[all[i].a] != name[all[i].b]) {
                uint32_t low = name[all[i].a] < name[all[i].b] ? name[all[i].a]
                                                               : name[all[i].b];

                name[all[i].a] = name[all[i].b] = low;
                again = true;
            }
    }
    qsort(all, n, sizeof(*all), by_order);
    assert_int_equal(result.n_pairs, n < limit ? n : limit);
    assert_int_equal(result.truncated, n > limit);
    for (size_t i = 0; i < result.n_pairs; i++) {
        assert_int_equal(by_order(&result.pairs[i], &all[i]), 0);
        assert_true(result.pairs[i].feature == all[i].feature);
    }
    for (size_t i = 0; i < x->n; i++)
        assert_int_equal(result.cluster[i], name[i]);
    assert_int_equal(result.verified, x->asked);
    ak_duplicates_destroy(d);
    free(all);
    free(name);
}

static void random_cases(uint64_t seed, int n_cases, size_t dim)
{
    static const uint32_t all_bits[] = {8,  16,  24,  32,  64,
                                        72, 128, 200, 256, 1024};
    struct ak_rng rng;

    ak_rng_init(&rng, seed);
    for (int i = 0; i < n_cases; i += (int)test_stride()) {
        uint32_t bits = all_bits[ak_rng_below(&rng, 10)];
        size_t n = (size_t)ak_rng_below(&rng, i % 4 == 0 ? 12 : 160);
        size_t limit = 1 + (size_t)ak_rng_below(&rng, i % 3 == 0 ? 8 : 3000);
        uint32_t most = i % 5 == 0 ? bits + 8 : bits < 40 ? 6 : bits / 6;
        uint32_t max_distance = (uint32_t)ak_rng_below(&rng, most + 1);
        struct items x;

        if (max_distance > bits)
            max_distance = bits;
        make_items(&x, &rng, bits, n, (enum kind)ak_rng_below(&rng, KINDS),
                   1 + (size_t)ak_rng_below(&rng, 20), .05, dim);
        if (dim > 0)
            x.reach = (double)ak_rng_below(&rng, 9);
        check(&x, max_distance, limit, (int)ak_rng_below(&rng, 6) - 1);
        clear_items(&x);
    }
}

static void pairs_and_clusters_are_those_of_all_pairs(void **state)
{
    (void)state;
    random_cases(1, 1000, 0);
}

static void so_are_those_that_features_verify(void **state)
{
    (void)state;
    for (size_t dim = 1; dim <= MAX_SKETCH; dim++)
        random_cases(10 + dim, 200, dim);
}

/* ------------------------------------------------------ how much is computed */

static double all_pairs(size_t n)
{
    return (double)n * (double)(n - 1) / 2;
}

/* The share of all pairs whose distance was computed. */
static double share_of(enum kind kind, uint32_t max_distance, uint64_t seed)
{
    struct ak_duplicates_result result;
    struct ak_rng rng;
    struct items x;

    ak_rng_init(&rng, seed);
    make_items(&x, &rng, 64, 20000, kind, 100, .05, 0);
    ak_duplicates_destroy(run(&x, max_distance, 1000, -1, &result));
    clear_items(&x);
    return (double)result.compared / all_pairs(20000);
}

/* 100 centres, a twentieth of the bits flipped: what supervised hashing makes. */
static void clustered_codes_cost_a_fiftieth_of_all_pairs(void **state)
{
    (void)state;
    for (uint32_t distance = 0; distance <= 4; distance += test_stride())
        assert_true(share_of(CLUSTERED, distance, 3) < .02);
}

/* The diameter of a cluster, of whose pairs most are near. */
static void larger_distances_cost_a_twentieth(void **state)
{
    (void)state;
    assert_true(share_of(CLUSTERED, 8, 3) < .05);
}

static void random_codes_cost_a_hundredth_of_all_pairs(void **state)
{
    (void)state;
    for (uint32_t distance = 0; distance <= 4; distance += test_stride())
        assert_true(share_of(RANDOM, distance, 4) < .01);
}

/* 2 * 10^10 pairs, all of them duplicates. */
static void items_of_the_same_code_cost_their_number(void **state)
{
    struct ak_duplicates_result result;
    struct ak_duplicates *d;
    struct ak_rng rng;
    struct items x;

    (void)state;
    ak_rng_init(&rng, 5);
    make_items(&x, &rng, 64, 200000, SAME, 1, 0, 0);
    d = run(&x, 4, 100, -1, &result);
    assert_true(result.compared <= x.n);
    assert_true(result.truncated);
    assert_int_equal(result.n_pairs, 100);
    for (uint32_t i = 0; i < 100; i++) {
        assert_int_equal(result.pairs[i].a, 0);
        assert_int_equal(result.pairs[i].b, i + 1);
    }
    for (size_t i = 0; i < x.n; i++)
        assert_int_equal(result.cluster[i], 0);
    ak_duplicates_destroy(d);
    clear_items(&x);
}

/* Two codes, one bit apart, of which each has half of the items. */
static void items_of_two_near_codes_cost_their_number(void **state)
{
    struct ak_duplicates_result result;
    struct ak_duplicates *d;
    struct ak_rng rng;
    struct items x;

    (void)state;
    ak_rng_init(&rng, 6);
    make_items(&x, &rng, 128, 20000, SAME, 1, 0, 0);
    for (size_t i = 1; i < x.n; i += 2)
        x.codes[i * x.words] ^= 4;
    d = run(&x, 1, 10, -1, &result);
    assert_true(result.compared <= x.n + 10);
    for (size_t i = 0; i < x.n; i++)
        assert_int_equal(result.cluster[i], 0);
    ak_duplicates_destroy(d);
    clear_items(&x);
}

/* A distance that all pairs have: one cluster, and few comparisons. */
static void a_distance_that_all_are_within_unites_them(void **state)
{
    struct ak_duplicates_result result;
    struct ak_duplicates *d;
    struct ak_rng rng;
    struct items x;

    (void)state;
    ak_rng_init(&rng, 7);
    make_items(&x, &rng, 64, 20000, CLUSTERED, 100, .05, 0);
    d = run(&x, 64, 1000, -1, &result);
    assert_true((double)result.compared < .05 * all_pairs(x.n));
    for (size_t i = 0; i < x.n; i++)
        assert_int_equal(result.cluster[i], 0);
    ak_duplicates_destroy(d);
    clear_items(&x);
}

/* The codes say nothing, the features all: of 2 * 10^8 pairs few are asked for,
   both where all features are the same and where they are spread. */
static void features_of_the_same_code_are_seldom_compared(void **state)
{
    struct ak_duplicates_result result;
    struct ak_duplicates *d;
    struct ak_rng rng;
    struct items x;

    (void)state;
    ak_rng_init(&rng, 8);
    make_items(&x, &rng, 64, 20000, SAME, 1, 0, 2);
    memset(x.features, 0, x.n * x.dim * sizeof(*x.features));
    d = run(&x, 0, 100, -1, &result);
    assert_true(result.verified < 2 * x.n);
    assert_true((double)result.compared < .02 * all_pairs(x.n));
    for (size_t i = 0; i < x.n; i++)
        assert_int_equal(result.cluster[i], 0);
    ak_duplicates_destroy(d);
    for (size_t i = 0; i < x.n; i++) {
        x.features[2 * i] = (float)(i % 2000);
        x.features[2 * i + 1] = (float)(i / 2000);
    }
    x.reach = .5;
    d = run(&x, 0, 100, -1, &result);
    assert_int_equal(result.n_pairs, 0);
    assert_true((double)result.compared < .02 * all_pairs(x.n));
    ak_duplicates_destroy(d);
    clear_items(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_and_clusters_are_those_of_all_pairs),
        cmocka_unit_test(so_are_those_that_features_verify),
        cmocka_unit_test(clustered_codes_cost_a_fiftieth_of_all_pairs),
        cmocka_unit_test(larger_distances_cost_a_twentieth),
        cmocka_unit_test(random_codes_cost_a_hundredth_of_all_pairs),
        cmocka_unit_test(items_of_the_same_code_cost_their_number),
        cmocka_unit_test(items_of_two_near_codes_cost_their_number),
        cmocka_unit_test(a_distance_that_all_are_within_unites_them),
        cmocka_unit_test(features_of_the_same_code_are_seldom_compared),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
