/*
 * hmoh.c against an implementation that is slow and obvious: plain loops, and
 * all of W added to the sum after every sample.
 */
#include "tests/test.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/hash/codebook.h"
#include "core/hash/hash.h"

enum { DIM = 12, N = 260, CLASSES = 9, MOST_LABELS = 3 };
enum { ANCHORS, DIVISOR, DECLARED, CENTRED, PICK, WHITENED, ROUNDS, N_OPTIONS };

static float x[N * DIM];
static uint32_t labels[N * MOST_LABELS], first[N + 1];

static int make_rows(void **state)
{
    struct ak_rng rng;
    uint32_t at = 0;

    (void)state;
    ak_rng_init(&rng, 11);
    for (size_t i = 0; i < N; i++) {
        uint32_t n = 1 + (uint32_t)ak_rng_below(&rng, MOST_LABELS);

        first[i] = at;
        for (uint32_t d = 0; d < DIM; d++)
            x[i * DIM + d] = ak_rng_normal(&rng);
        for (uint32_t l = 0; l < n; l++) {
            uint32_t c = (uint32_t)ak_rng_below(&rng, CLASSES);

            x[i * DIM + c] += 2.0f;
            labels[at++] = c * 1000003u;
        }
    }
    first[N] = at;
    return 0;
}

/* Classes in order of first sight. */
static uint32_t class_of(uint32_t label, uint32_t *seen, uint32_t *n_seen)
{
    for (uint32_t c = 0; c < *n_seen; c++)
        if (seen[c] == label)
            return c;
    seen[*n_seen] = label;
    return (*n_seen)++;
}

/* Different classes of row i, sorted by insertion. */
static size_t classes_of(size_t i, uint32_t *classes, uint32_t *seen,
                         uint32_t *n_seen)
{
    size_t n = 0;

    for (uint32_t l = first[i]; l < first[i + 1]; l++) {
        uint32_t c = class_of(labels[l], seen, n_seen);
        bool twice = false;
        size_t at = n;

        for (size_t k = 0; k < n; k++)
            twice = twice || classes[k] == c;
        if (twice)
            continue;
        for (; at > 0 && classes[at - 1] > c; at--)
            classes[at] = classes[at - 1];
        classes[at] = c;
        n++;
    }
    return n;
}

/*
 * s (N, width): the solutions of (C / c + I / 10) s = z for all rows, where C is
 * the mean of z z' over the first `anchors` rows and c that of its diagonal.
 */
static void slow_whiten(const float *z, size_t anchors, size_t width, float *s)
{
    double *a = ak_array_new(width * width, sizeof(*a));
    double *b = ak_array_new(width * N, sizeof(*b)), mean = 0;

    for (size_t k = 0; k < width; k++)
        for (size_t j = 0; j < width; j++)
            for (size_t i = 0; i < anchors; i++)
                a[k * width + j] +=
                    (double)z[i * width + k] * (double)z[i * width + j];
    for (size_t k = 0; k < width; k++)
        mean += a[k * width + k] / (double)width;
    for (size_t k = 0; k < width; k++)
        for (size_t j = 0; j < width; j++)
            a[k * width + j] = a[k * width + j] / mean + (k == j ? 0.1 : 0);
    for (size_t k = 0; k < width; k++)
        for (size_t i = 0; i < N; i++)
            b[k * N + i] = (double)z[i * width + k];
    /* Elimination, downwards and back. */
    for (size_t k = 0; k < width; k++)
        for (size_t r = k + 1; r < width; r++) {
            double f = a[r * width + k] / a[k * width + k];

            for (size_t j = k; j < width; j++)
                a[r * width + j] -= f * a[k * width + j];
            for (size_t i = 0; i < N; i++)
                b[r * N + i] -= f * b[k * N + i];
        }
    for (size_t k = width; k-- > 0;)
        for (size_t i = 0; i < N; i++) {
            for (size_t j = k + 1; j < width; j++)
                b[k * N + i] -= a[k * width + j] * b[j * N + i];
            b[k * N + i] /= a[k * width + k];
            s[i * width + k] = (float)b[k * N + i];
        }
    ak_array_free(a);
    ak_array_free(b);
}

/*
 * W (width, bits) round after round, and the sum of all of them; a mistake adds
 * the row of s (N, width).
 */
static void slow_hmoh(const float *z, const float *s, size_t width,
                      uint32_t bits, struct ak_codebook *book, double *sum)
{
    float *w = ak_array_new(width * bits, sizeof(*w));
    float *target = ak_array_new(bits, sizeof(*target));
    uint32_t seen[CLASSES], n_seen = 0;

    for (size_t i = 0; i < N; i++) {
        uint32_t classes[MOST_LABELS];
        size_t n = classes_of(i, classes, seen, &n_seen);

        assert_status(ak_codebook_grow(book, n_seen, NULL), AK_OK);
        ak_codebook_target(book, classes, n, target);
        for (uint32_t j = 0; j < bits; j++) {
            float y = 0;

            for (size_t k = 0; k < width; k++)
                y = fmaf(z[i * width + k], w[k * bits + j], y);
            if ((y > 0 ? 1.0f : -1.0f) != target[j])
                for (size_t k = 0; k < width; k++)
                    w[k * bits + j] += target[j] * s[i * width + k];
        }
        for (size_t k = 0; k < width * bits; k++)
            sum[k] += (double)w[k];
    }
    ak_array_free(w);
    ak_array_free(target);
}

static void compare(uint32_t bits, const double *options)
{
    const struct ak_hash_params params = {DIM, bits, 100, 3};
    const struct ak_hash_batch batch = {x, labels, first, N};
    struct ak_hash *h = NULL;
    struct ak_encoder *e = NULL;
    struct ak_codebook book;
    float *z, *s, *y;
    double *sum, tolerance = options[WHITENED] != 0 ? 1e-4 : 1e-5;
    void *scratch;
    size_t width, differ = 0;

    assert_status(ak_hash_create("hmoh", &params, options, &h, NULL), AK_OK);
    if (ak_hash_warmup_rows(h) > 0)
        assert_status(
            ak_hash_fix(h, x,
                        options[WHITENED] != 0 ? (size_t)options[ANCHORS] : N,
                        NULL),
            AK_OK);
    assert_status(ak_hash_update(h, &batch, NULL, NULL), AK_OK);
    assert_int_equal(ak_hash_samples(h), N);
    assert_int_equal(ak_hash_classes(h), CLASSES);
    assert_status(ak_hash_freeze(h, &e, NULL), AK_OK);
    ak_hash_destroy(h);

    width = ak_encoder_map_dim(e);
    assert_int_equal(width,
                     options[ANCHORS] > 0 ? (size_t)options[ANCHORS] : DIM);
    scratch = ak_array_new(1, ak_encoder_scratch(e));
    z = ak_array_new(N * width, sizeof(*z));
    y = ak_array_new((size_t)N * bits, sizeof(*y));
    sum = ak_array_new(width * bits, sizeof(*sum));
    ak_encoder_map(e, x, N, z, scratch);
    ak_encoder_project(e, x, N, y, scratch);
    assert_status(ak_codebook_init(&book, bits, (uint32_t)options[DECLARED],
                                   options[PICK] != 0, params.seed, NULL),
                  AK_OK);
    s = ak_array_new(N * width, sizeof(*s));
    if (options[WHITENED] != 0)
        slow_whiten(z, (size_t)options[ANCHORS], width, s);
    else
        memcpy(s, z, N * width * sizeof(*s));
    slow_hmoh(z, s, width, bits, &book, sum);

    /* y is a float sum of `width` products of weights rounded to float; and
       the inverse is rounded to float too. */
    for (size_t i = 0; i < N; i++)
        for (uint32_t j = 0; j < bits; j++) {
            double want = 0, size = 0;

            for (size_t k = 0; k < width; k++) {
                double term = (double)z[i * width + k] * sum[k * bits + j] / N;

                want += term;
                size += fabs(term);
            }
            assert_true(fabs((double)y[i * bits + j] - want) <=
                        tolerance * (size + 1e-6));
            differ += (y[i * bits + j] > 0) != (want > 0);
        }
    assert_true(differ <= N * bits / 1000);
    ak_codebook_clear(&book);
    ak_array_free(sum);
    ak_array_free(y);
    ak_array_free(s);
    ak_array_free(z);
    ak_array_free(scratch);
    ak_ref_drop(ak_encoder_ref(e));
}

static void it_learns_what_the_slow_one_does(void **state)
{
    static const uint32_t bits[] = {8, 16, 32, 48, 72};

    (void)state;
    for (int b = 0; b < 5; b++) {
        const double raw[N_OPTIONS] = {0, 6, 16, 0, 0, 0, 0};
        const double kernel[N_OPTIONS] = {20, 6, 10, 0, 0, 0, 0};
        /* Picking draws millions of numbers for the longer codes. */
        const double both[N_OPTIONS] = {33, 2.5, 10, 1, bits[b] <= 32, 0, 3};
        /* All rows it is fixed with are anchors, in whatever order. */
        const double white[N_OPTIONS] = {30, 2.5, 10, b % 2, 0, 1, 0};
        /* Fewer codes than classes: some of them are random ones. */
        const double few[N_OPTIONS] = {0, 6, 2, 0, 0, 0, 0};

        compare(bits[b], raw);
        compare(bits[b], kernel);
        compare(bits[b], both);
        compare(bits[b], white);
        compare(bits[b], few);
    }
}

static struct ak_hash *raw_learner(uint32_t max_labels)
{
    const struct ak_hash_params params = {DIM, 16, max_labels, 3};
    const double raw[N_OPTIONS] = {0, 6, 16, 0, 0, 0, 0};
    struct ak_hash *h = NULL;

    assert_status(ak_hash_create("hmoh", &params, raw, &h, NULL), AK_OK);
    return h;
}

static void assert_same_state(const struct ak_hash *a, const struct ak_hash *b)
{
    struct ak_writer wa = {0}, wb = {0};

    assert_status(ak_hash_save_state(a, &wa, NULL), AK_OK);
    assert_status(ak_hash_save_state(b, &wb, NULL), AK_OK);
    assert_int_equal(wa.len, wb.len);
    assert_memory_equal(wa.data, wb.data, wa.len);
    ak_writer_clear(&wa);
    ak_writer_clear(&wb);
}

static void features_that_could_overflow_are_refused(void **state)
{
    struct ak_hash *h = raw_learner(100), *same = raw_learner(100);
    const struct ak_hash_batch good = {x, labels, first, N};
    float *huge = ak_array_new(N * DIM, sizeof(*huge));
    const struct ak_hash_batch bad = {huge, labels, first, N};
    struct ak_err err = {0};

    (void)state;
    for (size_t i = 0; i < N * DIM; i++)
        huge[i] = i % 2 ? 3e38f : -3e38f;
    assert_status(ak_hash_update(h, &good, NULL, NULL), AK_OK);
    assert_status(ak_hash_update(same, &good, NULL, NULL), AK_OK);
    assert_status(ak_hash_update(h, &bad, NULL, &err), AK_ENUMERIC);
    assert_non_null(strstr(err.text, "features are too large"));
    assert_same_state(h, same);
    assert_status(ak_hash_update(h, &good, NULL, NULL), AK_OK);
    assert_status(ak_hash_update(same, &good, NULL, NULL), AK_OK);
    assert_same_state(h, same);
    ak_array_free(huge);
    ak_hash_destroy(h);
    ak_hash_destroy(same);
}

/* A refused batch must not leave its new labels behind either. */
static void a_refused_batch_brings_no_classes(void **state)
{
    struct ak_hash *h = raw_learner(100);
    float huge[2 * DIM];
    const uint32_t names[] = {5, 6}, at[] = {0, 1, 2};
    const struct ak_hash_batch bad = {huge, names, at, 2};

    (void)state;
    for (size_t i = 0; i < 2 * DIM; i++)
        huge[i] = 3e38f;
    assert_status(ak_hash_update(h, &bad, NULL, NULL), AK_ENUMERIC);
    assert_int_equal(ak_hash_classes(h), 0);
    assert_int_equal(ak_hash_samples(h), 0);
    ak_hash_destroy(h);
}

static void repeated_labels_count_once(void **state)
{
    struct ak_hash *a = raw_learner(100), *b = raw_learner(100);
    const uint32_t once[] = {4, 5, 5, 4}, once_at[] = {0, 2, 4};
    const uint32_t twice[] = {4, 5, 4, 5, 4, 5}, twice_at[] = {0, 3, 6};
    const struct ak_hash_batch ba = {x, once, once_at, 2};
    const struct ak_hash_batch bb = {x, twice, twice_at, 2};

    (void)state;
    assert_status(ak_hash_update(a, &ba, NULL, NULL), AK_OK);
    assert_status(ak_hash_update(b, &bb, NULL, NULL), AK_OK);
    assert_same_state(a, b);
    ak_hash_destroy(a);
    ak_hash_destroy(b);
}

static void the_loss_is_the_share_of_wrong_bits(void **state)
{
    struct ak_hash *h = raw_learner(100);
    const uint32_t names[] = {1}, at[] = {0, 1};
    const struct ak_hash_batch one = {x, names, at, 1};
    struct ak_hash_loss loss;
    uint32_t ones = 0;
    struct ak_codebook book;

    (void)state;
    assert_status(ak_codebook_init(&book, 16, 16, false, 3, NULL), AK_OK);
    assert_status(ak_codebook_grow(&book, 1, NULL), AK_OK);
    for (uint32_t j = 0; j < 16; j++)
        ones += ak_codebook_bit(&book, 0, j) > 0;
    /* W = 0 says bit 0 to all, so the ones of the code are wrong; then none. */
    assert_status(ak_hash_update(h, &one, &loss, NULL), AK_OK);
    assert_true(fabs(loss.loss - ones / 16.0) < 1e-12);
    assert_status(ak_hash_update(h, &one, &loss, NULL), AK_OK);
    assert_true(loss.loss == 0);
    ak_codebook_clear(&book);
    ak_hash_destroy(h);
}

static void centring_needs_a_kernel(void **state)
{
    const struct ak_hash_params params = {DIM, 16, 10, 3};
    const double odd[N_OPTIONS] = {0, 6, 16, 1, 0, 0, 0};
    struct ak_hash *h = NULL;
    struct ak_err err = {0};

    (void)state;
    assert_status(ak_hash_create("hmoh", &params, odd, &h, &err), AK_EINVAL);
    assert_string_equal(err.text, "hmoh.centred_kernel is 1, which needs "
                                  "hmoh.kernel_anchors of at least 1, it is 0");
}

static void whitening_needs_some_anchors_but_not_too_many(void **state)
{
    const struct ak_hash_params params = {DIM, 16, 10, 3};
    static const int anchors[] = {0, 1, 1024, 1025};

    (void)state;
    for (int i = 0; i < 4; i++) {
        const double options[N_OPTIONS] = {anchors[i], 6, 16, 0, 0, 1, 0};
        bool good = anchors[i] >= 1 && anchors[i] <= 1024;
        struct ak_hash *h = NULL;
        struct ak_err err = {0};
        char text[200];

        assert_status(ak_hash_create("hmoh", &params, options, &h, &err),
                      good ? AK_OK : AK_EINVAL);
        if (good) {
            ak_hash_destroy(h);
            continue;
        }
        snprintf(text, sizeof(text),
                 "hmoh.whitened_kernel is 1, which needs hmoh.kernel_anchors "
                 "of 1..1024, it is %d",
                 anchors[i]);
        assert_string_equal(err.text, text);
    }
}

/* All features are the mean then, so that there is nothing to divide by. */
static void whitening_bears_constant_features(void **state)
{
    const struct ak_hash_params params = {DIM, 16, 10, 3};
    const double options[N_OPTIONS] = {5, 6, 16, 1, 0, 1, 0};
    float *same = ak_array_new(N * DIM, sizeof(*same));
    const struct ak_hash_batch batch = {same, labels, first, N};
    struct ak_hash *h = NULL;
    struct ak_encoder *e = NULL;

    (void)state;
    for (size_t i = 0; i < N * DIM; i++)
        same[i] = 2;
    assert_status(ak_hash_create("hmoh", &params, options, &h, NULL), AK_OK);
    assert_status(ak_hash_fix(h, same, N, NULL), AK_OK);
    assert_status(ak_hash_update(h, &batch, NULL, NULL), AK_OK);
    assert_status(ak_hash_freeze(h, &e, NULL), AK_OK);
    ak_ref_drop(ak_encoder_ref(e));
    ak_hash_destroy(h);
    ak_array_free(same);
}

/* A learner made again from what `h` saves. */
static struct ak_hash *reloaded(const struct ak_hash *h,
                                const struct ak_hash_params *params,
                                const double *options)
{
    struct ak_writer constants = {0}, rest = {0};
    struct ak_reader rc, rs;
    struct ak_hash *again = NULL;

    assert_status(ak_hash_save_constants(h, &constants, NULL), AK_OK);
    assert_status(ak_hash_save_state(h, &rest, NULL), AK_OK);
    assert_status(ak_hash_create("hmoh", params, options, &again, NULL), AK_OK);
    ak_reader_init(&rc, constants.data, constants.len);
    ak_reader_init(&rs, rest.data, rest.len);
    assert_status(ak_hash_load(again, &rc, &rs, NULL), AK_OK);
    ak_writer_clear(&constants);
    ak_writer_clear(&rest);
    return again;
}

/* Learns in parts, and is saved and loaded after each. */
static void check_cut_and_load(const double *options)
{
    const struct ak_hash_params params = {DIM, 24, 100, 3};
    const struct ak_hash_batch all = {x, labels, first, N};
    struct ak_hash *whole = NULL, *parts = NULL;

    assert_status(ak_hash_create("hmoh", &params, options, &whole, NULL),
                  AK_OK);
    if (ak_hash_warmup_rows(whole) > 0)
        assert_status(ak_hash_fix(whole, x, N, NULL), AK_OK);
    parts = reloaded(whole, &params, options);
    assert_status(ak_hash_update(whole, &all, NULL, NULL), AK_OK);
    for (size_t from = 0, n = 1; from < N; from += n, n = n * 2 + 1) {
        struct ak_hash_batch part = {x + from * DIM, labels, first + from,
                                     n < N - from ? n : N - from};
        struct ak_hash *again;

        assert_status(ak_hash_update(parts, &part, NULL, NULL), AK_OK);
        again = reloaded(parts, &params, options);
        ak_hash_destroy(parts);
        parts = again;
    }
    assert_same_state(whole, parts);
    ak_hash_destroy(whole);
    ak_hash_destroy(parts);
}

static void any_cut_and_load_leaves_the_same_bytes(void **state)
{
    const double raw[N_OPTIONS] = {0, 8, 16, 0, 0, 0, 0};
    const double kernel[N_OPTIONS] = {20, 8, 16, 1, 0, 0, 3};
    /* The inverse is not saved but made again, and must be the same. */
    const double white[N_OPTIONS] = {20, 8, 16, 1, 0, 1, 3};

    (void)state;
    check_cut_and_load(raw);
    check_cut_and_load(kernel);
    check_cut_and_load(white);
}

/* h is small on purpose: 40 classes on 8-bit codes of order 8. */
static void classes_beyond_the_order_are_learnt_too(void **state)
{
    const struct ak_hash_params params = {DIM, 8, 1000, 3};
    const double raw[N_OPTIONS] = {0, 6, 1, 0, 0, 0, 0};
    struct ak_hash *h = NULL;
    uint32_t many[N], at[N + 1];
    const struct ak_hash_batch batch = {x, many, at, N};
    struct ak_hash_loss loss;

    (void)state;
    for (uint32_t i = 0; i < N; i++) {
        many[i] = i % 40;
        at[i + 1] = i + 1;
    }
    at[0] = 0;
    assert_status(ak_hash_create("hmoh", &params, raw, &h, NULL), AK_OK);
    assert_status(ak_hash_update(h, &batch, &loss, NULL), AK_OK);
    assert_int_equal(loss.learnt, N);
    assert_int_equal(ak_hash_classes(h), 40);
    ak_hash_destroy(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_learns_what_the_slow_one_does),
        cmocka_unit_test(features_that_could_overflow_are_refused),
        cmocka_unit_test(a_refused_batch_brings_no_classes),
        cmocka_unit_test(repeated_labels_count_once),
        cmocka_unit_test(the_loss_is_the_share_of_wrong_bits),
        cmocka_unit_test(centring_needs_a_kernel),
        cmocka_unit_test(whitening_needs_some_anchors_but_not_too_many),
        cmocka_unit_test(whitening_bears_constant_features),
        cmocka_unit_test(any_cut_and_load_leaves_the_same_bytes),
        cmocka_unit_test(classes_beyond_the_order_are_learnt_too),
    };

    return cmocka_run_group_tests_name("hmoh", tests, make_rows, NULL);
}
