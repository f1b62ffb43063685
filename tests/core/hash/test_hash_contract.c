/*
 * What hash.h promises of every method, checked on each row of its table.  A
 * new method is covered from the day it is listed.
 */
#include "tests/test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/code/code.h"
#include "core/hash/encoder_internal.h"
#include "core/hash/hash.h"
#include "tests/stride.h"

enum { DIM = 24, BITS = 48, BYTES = BITS / 8, CLASSES = 5, N = 70 };

static const struct ak_hash_params params = {DIM, BITS, CLASSES, 7};
static float x[N * DIM];
static uint32_t labels[N], first[N + 1];
static const struct ak_hash_batch batch = {x, labels, first, N};

/* Class c sits at +3 in its own four dimensions, with unit noise. */
static int make_batch(void **state)
{
    struct ak_rng rng;

    (void)state;
    ak_rng_init(&rng, 42);
    first[0] = 0;
    for (uint32_t i = 0; i < N; i++) {
        labels[i] = 1000 + i % CLASSES;
        first[i + 1] = i + 1;
        for (uint32_t d = 0; d < DIM; d++)
            x[i * DIM + d] =
                ak_rng_normal(&rng) + (d / 4 == labels[i] - 1000 ? 3.0f : 0.0f);
    }
    return 0;
}

/*
 * Defaults, but small: fewer anchors than rows, so that they are drawn and
 * moved; few hidden units; few steps in a block.
 */
static struct ak_hash *fresh_of(const struct ak_hash_method *method,
                                const struct ak_hash_params *p)
{
    struct ak_hash *h = NULL;
    double options[16];

    for (size_t o = 0; o < method->n_options; o++) {
        options[o] = method->options[o].initial;
        if (strcmp(method->options[o].name, "kernel_anchors") == 0)
            options[o] = 20;
        if (strcmp(method->options[o].name, "hidden") == 0)
            options[o] = 9;
        if (strcmp(method->options[o].name, "iterations") == 0)
            options[o] = 5;
    }
    assert_status(ak_hash_create(method->name, p, options, &h, NULL), AK_OK);
    return h;
}

static struct ak_hash *fresh(const struct ak_hash_method *method)
{
    return fresh_of(method, &params);
}

static struct ak_hash *fixed(const struct ak_hash_method *method)
{
    struct ak_hash *h = fresh(method);

    if (ak_hash_warmup_rows(h) > 0)
        assert_status(ak_hash_fix(h, x, N, NULL), AK_OK);
    assert_int_equal(ak_hash_warmup_rows(h), 0);
    return h;
}

static struct ak_hash *trained(const struct ak_hash_method *method, int rounds)
{
    struct ak_hash *h = fixed(method);

    for (int i = 0; i < rounds; i++)
        assert_status(ak_hash_update(h, &batch, NULL, NULL), AK_OK);
    return h;
}

static void encode(const struct ak_hash *h, uint8_t codes[N * BYTES])
{
    struct ak_encoder *e = NULL;
    void *scratch;

    assert_status(ak_hash_freeze(h, &e, NULL), AK_OK);
    scratch = ak_array_new(1, ak_encoder_scratch(e));
    assert_non_null(scratch);
    ak_encoder_encode(e, x, N, codes, scratch);
    ak_array_free(scratch);
    ak_ref_drop(ak_encoder_ref(e));
}

/* Both saved parts, one after the other. */
static struct ak_writer saved(const struct ak_hash *h)
{
    struct ak_writer w = {0};

    assert_status(ak_hash_save_constants(h, &w, NULL), AK_OK);
    assert_status(ak_hash_save_state(h, &w, NULL), AK_OK);
    return w;
}

static void assert_same(const struct ak_hash *a, const struct ak_hash *b)
{
    struct ak_writer wa = saved(a), wb = saved(b);

    assert_int_equal(wa.len, wb.len);
    assert_memory_equal(wa.data, wb.data, wa.len);
    assert_int_equal(ak_hash_samples(a), ak_hash_samples(b));
    assert_int_equal(ak_hash_classes(a), ak_hash_classes(b));
    ak_writer_clear(&wa);
    ak_writer_clear(&wb);
}

/* A learner made again from what `h` saves. */
static struct ak_hash *reloaded(const struct ak_hash_method *method,
                                const struct ak_hash *h)
{
    struct ak_hash *again = fresh(method);
    struct ak_writer constants = {0}, rest = {0};
    struct ak_reader rc, rs;

    assert_status(ak_hash_save_constants(h, &constants, NULL), AK_OK);
    assert_status(ak_hash_save_state(h, &rest, NULL), AK_OK);
    ak_reader_init(&rc, constants.data, constants.len);
    ak_reader_init(&rs, rest.data, rest.len);
    assert_status(ak_hash_load(again, &rc, &rs, NULL), AK_OK);
    ak_writer_clear(&constants);
    ak_writer_clear(&rest);
    return again;
}

static void the_same_seed_gives_the_same_bytes(void **state)
{
    const struct ak_hash_method *method;

    (void)state;
    for (size_t i = 0; (method = ak_hash_method(i)) != NULL; i++) {
        struct ak_hash *a = trained(method, 3), *b = trained(method, 3);
        uint8_t ca[N * BYTES], cb[N * BYTES];

        encode(a, ca);
        encode(b, cb);
        assert_memory_equal(ca, cb, sizeof(ca));
        assert_same(a, b);
        ak_hash_destroy(a);
        ak_hash_destroy(b);
    }
}

static void a_loaded_learner_continues_byte_for_byte(void **state)
{
    const struct ak_hash_method *method;

    (void)state;
    for (size_t i = 0; (method = ak_hash_method(i)) != NULL; i++)
        for (int rounds = 0; rounds < 3; rounds++) {
            struct ak_hash *a = trained(method, rounds);
            struct ak_hash *b = reloaded(method, a);
            uint8_t ca[N * BYTES], cb[N * BYTES];

            assert_same(a, b);
            assert_status(ak_hash_update(a, &batch, NULL, NULL), AK_OK);
            assert_status(ak_hash_update(b, &batch, NULL, NULL), AK_OK);
            assert_same(a, b);
            encode(a, ca);
            encode(b, cb);
            assert_memory_equal(ca, cb, sizeof(ca));
            ak_hash_destroy(a);
            ak_hash_destroy(b);
        }
}

static void a_learner_is_saved_before_it_is_fixed_too(void **state)
{
    const struct ak_hash_method *method;

    (void)state;
    for (size_t i = 0; (method = ak_hash_method(i)) != NULL; i++) {
        struct ak_hash *a = fresh(method), *b = reloaded(method, a);

        assert_int_equal(ak_hash_warmup_rows(a), ak_hash_warmup_rows(b));
        if (ak_hash_warmup_rows(a) > 0) {
            assert_status(ak_hash_fix(a, x, N, NULL), AK_OK);
            assert_status(ak_hash_fix(b, x, N, NULL), AK_OK);
        }
        assert_same(a, b);
        ak_hash_destroy(a);
        ak_hash_destroy(b);
    }
}

static void the_cut_into_batches_does_not_matter(void **state)
{
    const struct ak_hash_method *method;

    (void)state;
    for (size_t i = 0; (method = ak_hash_method(i)) != NULL; i++) {
        struct ak_hash *whole = trained(method, 1), *parts = fixed(method);

        if (!method->per_sample) {
            ak_hash_destroy(whole);
            ak_hash_destroy(parts);
            continue;
        }
        for (size_t from = 0, n = 0; from < N; from += n, n = n * 2 + 1) {
            struct ak_hash_batch part = {x + from * DIM, labels, first + from,
                                         n < N - from ? n : N - from};

            assert_status(ak_hash_update(parts, &part, NULL, NULL), AK_OK);
        }
        assert_same(whole, parts);
        ak_hash_destroy(whole);
        ak_hash_destroy(parts);
    }
}

static void a_bad_batch_changes_nothing(void **state)
{
    const struct ak_hash_method *method;

    (void)state;
    for (size_t i = 0; (method = ak_hash_method(i)) != NULL; i++) {
        struct ak_hash *h = trained(method, 1), *before = trained(method, 1);
        struct ak_hash_loss loss = {77, 77, 77};
        struct ak_err err = {0};

        x[3 * DIM + 2] = NAN;
        labels[0] = 99;
        assert_status(ak_hash_update(h, &batch, &loss, &err), AK_ENUMERIC);
        assert_string_equal(err.text,
                            "row 3: feature 2 is nan, must be finite");
        assert_int_equal(loss.learnt, 77);
        make_batch(NULL);
        assert_same(h, before);
        ak_hash_destroy(h);
        ak_hash_destroy(before);
    }
}

static void nothing_is_learnt_before_it_is_fixed(void **state)
{
    const struct ak_hash_method *method;

    (void)state;
    for (size_t i = 0; (method = ak_hash_method(i)) != NULL; i++) {
        struct ak_hash *h = fresh(method);
        struct ak_err err = {0};

        if (ak_hash_warmup_rows(h) > 0) {
            assert_status(ak_hash_update(h, &batch, NULL, &err), AK_EINVAL);
            assert_status(ak_hash_fix(h, x, 0, &err), AK_EINVAL);
            x[5] = INFINITY;
            assert_status(ak_hash_fix(h, x, N, &err), AK_ENUMERIC);
            make_batch(NULL);
            assert_status(ak_hash_fix(h, x, N, &err), AK_OK);
        }
        assert_status(ak_hash_fix(h, x, N, &err), AK_EINVAL);
        ak_hash_destroy(h);
    }
}

static void rows_are_counted_as_learnt_or_skipped(void **state)
{
    const struct ak_hash_method *method;
    static const uint32_t some[] = {9, 8, 7, 9, 6, 5, 4, 3};
    static const uint32_t at[] = {0, 1, 3, 3, 4, 6, 7, 8};
    /* 9 | 8 7 | none | 9 | 6 5 | 4 | 3: five labels fit, so 4 and 3 do not. */
    const struct ak_hash_batch odd = {x, some, at, 7};

    (void)state;
    for (size_t i = 0; (method = ak_hash_method(i)) != NULL; i++) {
        struct ak_hash *h = fixed(method);
        struct ak_hash_loss loss;

        assert_status(ak_hash_update(h, &odd, &loss, NULL), AK_OK);
        assert_int_equal(loss.learnt, method->learns ? 4 : 0);
        assert_int_equal(loss.skipped, method->learns ? 3 : 1);
        assert_true(loss.loss >= 0 && loss.loss <= 1);
        assert_int_equal(ak_hash_samples(h), loss.learnt);
        assert_int_equal(ak_hash_classes(h), method->learns ? 5 : 0);
        ak_hash_destroy(h);
    }
}

static void a_batch_of_no_rows_is_no_change(void **state)
{
    const struct ak_hash_method *method;
    const struct ak_hash_batch none = {x, labels, first, 0};

    (void)state;
    for (size_t i = 0; (method = ak_hash_method(i)) != NULL; i++) {
        struct ak_hash *a = trained(method, 1), *b = trained(method, 1);

        assert_status(ak_hash_update(a, &none, NULL, NULL), AK_OK);
        assert_same(a, b);
        ak_hash_destroy(a);
        ak_hash_destroy(b);
    }
}

/* Codes of a class are nearer to each other than to those of the others. */
static void classes_come_apart(void **state)
{
    const struct ak_hash_method *method;

    (void)state;
    for (size_t i = 0; (method = ak_hash_method(i)) != NULL; i++) {
        struct ak_hash *h = trained(method, 12);
        double within = 0, between = 0;
        uint8_t codes[N * BYTES];

        encode(h, codes);
        for (uint32_t q = 0; q < N; q++)
            for (uint32_t j = 0; j < N; j++) {
                int d = 0;

                for (uint32_t b = 0; b < BYTES; b++)
                    d += __builtin_popcount((uint32_t)codes[q * BYTES + b] ^
                                            (uint32_t)codes[j * BYTES + b]);
                if (labels[q] == labels[j])
                    within += d;
                else
                    between += d;
            }
        within /= (double)N * N / CLASSES;
        between /= (double)N * N * (CLASSES - 1) / CLASSES;
        print_message("# %s: within %.1f, between %.1f bits\n", method->name,
                      within, between);
        if (method->learns)
            assert_true(within * 3 < between);
        else
            assert_true(within < between);
        ak_hash_destroy(h);
    }
}

static void an_untrained_learner_serves_random_hyperplanes(void **state)
{
    const struct ak_hash_method *method;
    uint8_t floor_codes[N * BYTES], codes[N * BYTES];
    struct ak_hash *lsh = fresh(ak_hash_find("lsh"));

    (void)state;
    encode(lsh, floor_codes);
    ak_hash_destroy(lsh);
    for (size_t i = 0; (method = ak_hash_method(i)) != NULL; i++) {
        struct ak_hash *h = fresh(method);
        struct ak_encoder *e = NULL;
        struct ak_encoder_info info;

        encode(h, codes);
        assert_memory_equal(codes, floor_codes, sizeof(codes));
        assert_status(ak_hash_freeze(h, &e, NULL), AK_OK);
        ak_encoder_info(e, &info);
        assert_string_equal(info.kind, "lsh");
        assert_int_equal(info.dim, DIM);
        assert_int_equal(info.bits, BITS);
        assert_int_equal(info.samples, 0);
        ak_ref_drop(ak_encoder_ref(e));
        ak_hash_destroy(h);
    }
}

static void an_encoder_outlives_and_ignores_its_learner(void **state)
{
    const struct ak_hash_method *method;

    (void)state;
    for (size_t i = 0; (method = ak_hash_method(i)) != NULL; i++) {
        struct ak_hash *h = trained(method, 2);
        struct ak_encoder *e = NULL;
        struct ak_writer before = {0}, after = {0};

        assert_status(ak_hash_freeze(h, &e, NULL), AK_OK);
        assert_status(ak_encoder_save(e, &before, NULL), AK_OK);
        assert_status(ak_hash_update(h, &batch, NULL, NULL), AK_OK);
        ak_hash_destroy(h);
        assert_status(ak_encoder_save(e, &after, NULL), AK_OK);
        assert_int_equal(before.len, after.len);
        assert_memory_equal(before.data, after.data, before.len);
        ak_writer_clear(&before);
        ak_writer_clear(&after);
        ak_ref_drop(ak_encoder_ref(e));
    }
}

/*
 * Many truncations of either part, and many flipped bytes: in the first fields,
 * which have 4 or 8 bytes each, every fifth.
 */
static void damaged_parts_are_refused_or_harmless(void **state)
{
    const struct ak_hash_batch few = {x, labels, first, 9};
    const struct ak_hash_method *method;

    (void)state;
    for (size_t i = 0; (method = ak_hash_method(i)) != NULL; i++) {
        struct ak_hash *h = trained(method, 1);
        struct ak_writer parts[2] = {{0}, {0}};

        assert_status(ak_hash_save_constants(h, &parts[0], NULL), AK_OK);
        assert_status(ak_hash_save_state(h, &parts[1], NULL), AK_OK);
        for (int p = 0; p < 2; p++) {
            size_t step = parts[p].len / 17 + 1;

            for (size_t at = 0; at < parts[p].len; at += at < 180 ? 5 : step) {
                struct ak_hash *again = fresh(method);
                struct ak_reader r[2];
                struct ak_err err = {0};
                enum ak_status status;

                ak_reader_init(&r[!p], parts[!p].data, parts[!p].len);
                ak_reader_init(&r[p], parts[p].data, at);
                assert_status(ak_hash_load(again, &r[0], &r[1], &err),
                              AK_ECORRUPT);
                assert_non_null(strstr(err.text, " learner: "));
                ak_hash_destroy(again);

                again = fresh(method);
                parts[p].data[at] ^= 0xff;
                ak_reader_init(&r[!p], parts[!p].data, parts[!p].len);
                ak_reader_init(&r[p], parts[p].data, parts[p].len);
                status = ak_hash_load(again, &r[0], &r[1], &err);
                if (status == AK_OK)
                    status = ak_hash_update(again, &few, NULL, &err);
                assert_true(status == AK_OK || status == AK_ECORRUPT ||
                            status == AK_ENUMERIC);
                parts[p].data[at] ^= 0xff;
                ak_hash_destroy(again);
            }
        }
        ak_writer_clear(&parts[0]);
        ak_writer_clear(&parts[1]);
        ak_hash_destroy(h);
    }
}

static void a_learner_saved_otherwise_is_refused(void **state)
{
    const struct ak_hash_method *method;

    (void)state;
    for (size_t i = 0; (method = ak_hash_method(i)) != NULL; i++) {
        struct ak_hash_params other = params;
        struct ak_hash *a = trained(method, 1), *b = NULL;
        struct ak_writer constants = {0}, rest = {0};
        struct ak_reader rc, rs;
        struct ak_err err = {0};

        other.seed = 8;
        b = fresh_of(method, &other);
        assert_status(ak_hash_save_constants(a, &constants, NULL), AK_OK);
        assert_status(ak_hash_save_state(a, &rest, NULL), AK_OK);
        ak_reader_init(&rc, constants.data, constants.len);
        ak_reader_init(&rs, rest.data, rest.len);
        assert_status(ak_hash_load(b, &rc, &rs, &err), AK_ECORRUPT);
        assert_non_null(strstr(err.text, "seed 7; this learner has"));
        ak_writer_clear(&constants);
        ak_writer_clear(&rest);
        ak_hash_destroy(a);
        ak_hash_destroy(b);
    }
}

/* An encoder that no method made. */
static struct ak_encoder *stranger(uint32_t dim, uint32_t bits)
{
    struct ak_encoder *e = NULL;

    assert_status(ak_encoder_lsh(dim, bits, 99, &e, NULL), AK_OK);
    return e;
}

static struct ak_writer file_of(const struct ak_hash *h)
{
    struct ak_encoder *e = NULL;
    struct ak_writer w = {0};

    assert_status(ak_hash_freeze(h, &e, NULL), AK_OK);
    assert_status(ak_encoder_save(e, &w, NULL), AK_OK);
    ak_ref_drop(ak_encoder_ref(e));
    return w;
}

static void a_model_that_was_taken_stays_what_it_is(void **state)
{
    const struct ak_hash_method *method;
    struct ak_encoder *e = stranger(DIM, BITS);
    struct ak_writer wanted = {0};

    (void)state;
    assert_status(ak_encoder_save(e, &wanted, NULL), AK_OK);
    for (size_t i = 0; (method = ak_hash_method(i)) != NULL; i++) {
        struct ak_hash *h = fresh(method), *again;
        struct ak_hash_loss loss = {7, 7, 7};
        struct ak_writer found;

        assert_false(ak_hash_has_taken(h));
        assert_status(ak_hash_take(h, e, NULL), AK_OK);
        assert_true(ak_hash_has_taken(h));
        assert_int_equal(ak_hash_warmup_rows(h), 0);
        assert_true(ak_hash_samples(h) > 0);
        assert_status(ak_hash_update(h, &batch, &loss, NULL), AK_OK);
        assert_int_equal(loss.learnt, 0);
        assert_int_equal(ak_hash_classes(h), 0);
        found = file_of(h);
        assert_int_equal(found.len, wanted.len);
        assert_memory_equal(found.data, wanted.data, found.len);
        ak_writer_clear(&found);
        again = reloaded(method, h);
        assert_true(ak_hash_has_taken(again));
        assert_same(h, again);
        found = file_of(again);
        assert_memory_equal(found.data, wanted.data, found.len);
        ak_writer_clear(&found);
        ak_hash_destroy(again);
        ak_hash_destroy(h);
    }
    ak_writer_clear(&wanted);
    ak_ref_drop(ak_encoder_ref(e));
}

static void only_what_fits_is_taken_and_only_at_first(void **state)
{
    struct ak_encoder *e = stranger(DIM, BITS), *wide = stranger(DIM + 1, BITS);
    struct ak_encoder *longer = stranger(DIM, BITS + 8);
    const struct ak_hash_method *method = ak_hash_find("hcdh");
    struct ak_hash *h = fresh(method), *late = trained(method, 1);
    struct ak_err err = {0};

    (void)state;
    assert_status(ak_hash_take(h, wide, &err), AK_EINVAL);
    assert_string_equal(err.text, "hcdh: a model of 25 floats to 48 bits, must "
                                  "be of 24 to 48");
    assert_status(ak_hash_take(h, longer, &err), AK_EINVAL);
    assert_string_equal(err.text, "hcdh: a model of 24 floats to 56 bits, must "
                                  "be of 24 to 48");
    assert_false(ak_hash_has_taken(h));
    assert_status(ak_hash_take(late, e, &err), AK_EINVAL);
    assert_string_equal(err.text, "hcdh: it has learnt already");
    ak_hash_destroy(h);
    ak_hash_destroy(late);
    ak_ref_drop(ak_encoder_ref(e));
    ak_ref_drop(ak_encoder_ref(wide));
    ak_ref_drop(ak_encoder_ref(longer));
}

static void what_was_saved_of_a_taken_model_is_checked(void **state)
{
    struct ak_encoder *e = stranger(DIM, BITS);
    const struct ak_hash_method *method = ak_hash_find("hcdh");
    struct ak_hash *h = fresh(method), *learns = trained(method, 1);
    struct ak_writer constants = {0}, rest = {0}, others = {0};
    struct ak_reader rc, rs;
    size_t step = test_stride() > 1 ? 97 : 3;

    (void)state;
    assert_status(ak_hash_take(h, e, NULL), AK_OK);
    assert_status(ak_hash_save_constants(h, &constants, NULL), AK_OK);
    assert_status(ak_hash_save_constants(learns, &others, NULL), AK_OK);
    assert_status(ak_hash_save_state(h, &rest, NULL), AK_OK);
    /* Each bit counts, since the model file has a checksum. */
    for (size_t i = 0; i < constants.len; i += step) {
        struct ak_hash *again = fresh(method);

        constants.data[i] ^= 0x10;
        ak_reader_init(&rc, constants.data, constants.len);
        ak_reader_init(&rs, rest.data, rest.len);
        assert_status(ak_hash_load(again, &rc, &rs, NULL), AK_ECORRUPT);
        constants.data[i] ^= 0x10;
        ak_hash_destroy(again);
    }
    for (size_t len = 0; len < constants.len; len += step) {
        struct ak_hash *again = fresh(method);

        ak_reader_init(&rc, constants.data, len);
        ak_reader_init(&rs, rest.data, rest.len);
        assert_status(ak_hash_load(again, &rc, &rs, NULL), AK_ECORRUPT);
        ak_hash_destroy(again);
    }
    ak_reader_init(&rc, others.data, others.len);
    ak_reader_init(&rs, rest.data, rest.len);
    assert_status(ak_hash_load(h, &rc, &rs, NULL), AK_ECORRUPT);
    ak_writer_clear(&constants);
    ak_writer_clear(&others);
    ak_writer_clear(&rest);
    ak_hash_destroy(h);
    ak_hash_destroy(learns);
    ak_ref_drop(ak_encoder_ref(e));
}

static void every_option_is_described_and_checked(void **state)
{
    const struct ak_hash_method *method;

    (void)state;
    for (size_t i = 0; (method = ak_hash_method(i)) != NULL; i++) {
        double values[16];
        struct ak_hash *h = NULL;

        assert_ptr_equal(ak_hash_find(method->name), method);
        assert_non_null(method->source);
        assert_non_null(method->help);
        assert_true(method->n_options <= 16);
        for (size_t o = 0; o < method->n_options; o++)
            values[o] = method->options[o].initial;
        assert_status(ak_hash_create(method->name, &params, NULL, &h, NULL),
                      AK_OK);
        ak_hash_destroy(h);
        h = NULL;
        for (size_t o = 0; o < method->n_options; o++) {
            const struct ak_hash_option *option = &method->options[o];

            assert_true(option->min <= option->initial &&
                        option->initial <= option->max);
            assert_true(strlen(option->help) > 0 && strlen(option->help) < 80);
            values[o] = option->max + 1;
            assert_status(
                ak_hash_create(method->name, &params, values, &h, NULL),
                AK_EINVAL);
            values[o] = NAN;
            assert_status(
                ak_hash_create(method->name, &params, values, &h, NULL),
                AK_EINVAL);
            values[o] = option->min + 0.5;
            if (option->integer)
                assert_status(
                    ak_hash_create(method->name, &params, values, &h, NULL),
                    AK_EINVAL);
            values[o] = option->initial;
        }
    }
}

static void refuses_what_it_cannot_be(void **state)
{
    struct ak_hash_params odd = params;
    struct ak_hash *h = NULL;
    struct ak_err err = {0};

    (void)state;
    odd.bits = 12;
    assert_status(ak_hash_create("hmoh", &odd, NULL, &h, &err), AK_EINVAL);
    assert_string_equal(err.text,
                        "bits is 12, must be 8..1024 and a multiple of 8");
    odd = params;
    odd.dim = 0;
    assert_status(ak_hash_create("lsh", &odd, NULL, &h, &err), AK_EINVAL);
    assert_string_equal(err.text, "dim is 0, must be 1..65536");
    odd = params;
    odd.max_labels = 65537;
    assert_status(ak_hash_create("lsh", &odd, NULL, &h, &err), AK_EINVAL);
    assert_string_equal(err.text, "max_labels is 65537, must be 1..65536");
    assert_status(ak_hash_create("nope", &params, NULL, &h, &err),
                  AK_ENOTFOUND);
    assert_string_equal(err.text, "no hash method \"nope\"");
    assert_null(ak_hash_find("nope"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_what_it_cannot_be),
        cmocka_unit_test(every_option_is_described_and_checked),
        cmocka_unit_test(the_same_seed_gives_the_same_bytes),
        cmocka_unit_test(a_loaded_learner_continues_byte_for_byte),
        cmocka_unit_test(a_learner_is_saved_before_it_is_fixed_too),
        cmocka_unit_test(the_cut_into_batches_does_not_matter),
        cmocka_unit_test(a_bad_batch_changes_nothing),
        cmocka_unit_test(a_batch_of_no_rows_is_no_change),
        cmocka_unit_test(nothing_is_learnt_before_it_is_fixed),
        cmocka_unit_test(rows_are_counted_as_learnt_or_skipped),
        cmocka_unit_test(classes_come_apart),
        cmocka_unit_test(an_untrained_learner_serves_random_hyperplanes),
        cmocka_unit_test(an_encoder_outlives_and_ignores_its_learner),
        cmocka_unit_test(damaged_parts_are_refused_or_harmless),
        cmocka_unit_test(a_learner_saved_otherwise_is_refused),
        cmocka_unit_test(a_model_that_was_taken_stays_what_it_is),
        cmocka_unit_test(only_what_fits_is_taken_and_only_at_first),
        cmocka_unit_test(what_was_saved_of_a_taken_model_is_checked),
    };

    return cmocka_run_group_tests_name("hash contract", tests, make_batch,
                                       NULL);
}
