/* encoder.h: one row, many rows, every kernel, every damaged file. */
#include "tests/test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/digest.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/hash/encoder_internal.h"
#include "core/hash/hash.h"

enum { DIM = 37, BITS = 40, BYTES = BITS / 8, N = 150, HEADER = 32 };

static float *x; /* (N, DIM) */
static char isa_before[32];

static int make_rows(void **state)
{
    struct ak_rng rng;

    (void)state;
    x = ak_array_new(N * DIM, sizeof(*x));
    if (x == NULL)
        return -1;
    ak_rng_init(&rng, 1);
    for (size_t i = 0; i < N * DIM; i++)
        x[i] = ak_rng_normal(&rng);
    if (getenv("AKIND_ISA") != NULL)
        strncpy(isa_before, getenv("AKIND_ISA"), sizeof(isa_before) - 1);
    return 0;
}

static int free_rows(void **state)
{
    (void)state;
    ak_array_free(x);
    return 0;
}

static void pin(const char *isa)
{
    if (isa[0] != '\0')
        assert_int_equal(setenv("AKIND_ISA", isa, 1), 0);
    else
        assert_int_equal(unsetenv("AKIND_ISA"), 0);
}

/* An encoder over `map`, with normal weights and biases. */
static struct ak_encoder *random_encoder(struct ak_feature_map *map,
                                         const uint32_t *widths,
                                         uint32_t n_layers)
{
    struct ak_encoder *e = NULL;
    uint32_t in = ak_feature_map_width(map);
    struct ak_rng rng;

    ak_rng_init(&rng, 9);
    assert_status(
        ak_encoder_create("hmoh", map, widths, n_layers, 123, &e, NULL), AK_OK);
    for (uint32_t l = 0; l < n_layers; in = widths[l++])
        for (uint32_t j = 0; j < widths[l]; j++) {
            *ak_encoder_bias(e, l, j) = ak_rng_normal(&rng);
            for (uint32_t k = 0; k < in; k++)
                *ak_encoder_weight(e, l, k, j) = ak_rng_normal(&rng);
        }
    return e;
}

static struct ak_feature_map *map_of(enum ak_map_kind kind, uint32_t anchors)
{
    const struct ak_map_plan plan = {kind, anchors, 6, true, 2};
    struct ak_feature_map *map = NULL;

    if (kind == AK_MAP_UNIT)
        assert_status(ak_feature_map_unit(DIM, x, &map, NULL), AK_OK);
    else
        assert_status(ak_feature_map_fit(&plan, DIM, x, N, 5, &map, NULL),
                      AK_OK);
    return map;
}

/* The saved bytes of an encoder with that kind of map, and a hidden layer. */
static struct ak_writer saved_of(enum ak_map_kind kind, uint32_t anchors,
                                 uint32_t hidden, uint32_t n_layers)
{
    const uint32_t deep[] = {hidden, BITS}, flat[] = {BITS};
    struct ak_feature_map *map = map_of(kind, anchors);
    struct ak_encoder *e =
        random_encoder(map, n_layers == 2 ? deep : flat, n_layers);
    struct ak_writer w = {0};

    assert_status(ak_encoder_save(e, &w, NULL), AK_OK);
    ak_ref_drop(ak_encoder_ref(e));
    ak_feature_map_drop(map);
    return w;
}

/* Layers of more than one panel, the last one not full. */
static struct ak_writer saved_with(enum ak_map_kind kind, uint32_t n_layers)
{
    return saved_of(kind, 21, 19, n_layers);
}

/* A file that is short, for tests that try each of its bytes. */
static struct ak_writer short_file(enum ak_map_kind kind)
{
    return saved_of(kind, 3, 2, 2);
}

static void projections_do_not_depend_on_batch_or_isa(void **state)
{
    static const char *const isas[] = {"scalar", "avx2", "avx512"};
    /* Around the tiles of all kernels, and the rows that an encoder takes. */
    static const size_t some[] = {1,  2,  3,  4,  5,  6,  7,  8,   9,   12, 13,
                                  15, 16, 17, 24, 63, 64, 65, 127, 128, 129};
    float *whole = ak_array_new(N * BITS, sizeof(float));
    float *y = ak_array_new(N * BITS, sizeof(float));
    float *z = NULL;
    uint8_t *codes = ak_array_new(N, BYTES), *again = ak_array_new(N, BYTES);

    (void)state;
    for (int kind = AK_MAP_NONE; kind <= AK_MAP_RBF; kind++)
        for (uint32_t layers = 1; layers <= 2; layers++) {
            struct ak_writer w = saved_with((enum ak_map_kind)kind, layers);

            for (int i = 0; i < 3; i++) {
                struct ak_encoder *e = NULL;
                void *scratch;

                pin(isas[i]);
                assert_status(ak_encoder_load(w.data, w.len, &e, NULL), AK_OK);
                scratch = ak_array_new(1, ak_encoder_scratch(e));
                ak_encoder_project(e, x, N, y, scratch);
                if (i == 0)
                    memcpy(whole, y, N * BITS * sizeof(*y));
                assert_memory_equal(y, whole, N * BITS * sizeof(*y));
                for (size_t s = 0; s < sizeof(some) / sizeof(some[0]); s++) {
                    size_t n = some[s];

                    ak_encoder_project(e, x + (N - n) * DIM, n, y, scratch);
                    assert_memory_equal(y, whole + (N - n) * BITS,
                                        n * BITS * sizeof(*y));
                }

                ak_encoder_encode(e, x, N, codes, scratch);
                for (size_t r = 0; r < N; r++)
                    for (size_t j = 0; j < BITS; j++)
                        assert_int_equal(
                            codes[r * BYTES + j / 8] >> (7 - j % 8) & 1,
                            whole[r * BITS + j] > 0);
                for (size_t r = 0; r < N; r += 11) {
                    ak_encoder_encode(e, x + r * DIM, 1, again, scratch);
                    assert_memory_equal(again, codes + r * BYTES, BYTES);
                }

                z = ak_array_new((size_t)N * ak_encoder_map_dim(e), sizeof(*z));
                ak_encoder_map(e, x, N, z, scratch);
                ak_encoder_encode_mapped(e, z, N, again, scratch);
                assert_memory_equal(again, codes, N * BYTES);
                ak_array_free(z);
                ak_array_free(scratch);
                ak_ref_drop(ak_encoder_ref(e));
            }
            ak_writer_clear(&w);
        }
    pin(isa_before);
    ak_array_free(whole);
    ak_array_free(y);
    ak_array_free(codes);
    ak_array_free(again);
}

/* y = max(0, z A + a) B + b, in double. */
static void layers_compute_what_they_say(void **state)
{
    const uint32_t widths[] = {19, BITS};
    struct ak_feature_map *map = map_of(AK_MAP_NONE, 0);
    struct ak_encoder *e = random_encoder(map, widths, 2);
    void *scratch = ak_array_new(1, ak_encoder_scratch(e));
    float y[3 * BITS];

    (void)state;
    ak_encoder_project(e, x, 3, y, scratch);
    for (size_t i = 0; i < 3; i++)
        for (size_t j = 0; j < BITS; j++) {
            double sum = (double)*ak_encoder_bias(e, 1, j);

            for (size_t h = 0; h < 19; h++) {
                double hidden = (double)*ak_encoder_bias(e, 0, h);

                for (size_t k = 0; k < DIM; k++)
                    hidden += (double)x[i * DIM + k] *
                              (double)*ak_encoder_weight(e, 0, k, h);
                if (hidden > 0)
                    sum += hidden * (double)*ak_encoder_weight(e, 1, h, j);
            }
            assert_true(fabs((double)y[i * BITS + j] - sum) < 1e-3);
        }
    ak_array_free(scratch);
    ak_ref_drop(ak_encoder_ref(e));
    ak_feature_map_drop(map);
}

static void a_zero_projection_is_bit_zero(void **state)
{
    const uint32_t bits = BITS;
    const uint8_t zeroes[BYTES] = {0};
    struct ak_feature_map *map = map_of(AK_MAP_NONE, 0);
    struct ak_encoder *e = NULL;
    uint8_t code[BYTES] = {0xff};
    void *scratch;

    (void)state;
    assert_status(ak_encoder_create("lsh", map, &bits, 1, 0, &e, NULL), AK_OK);
    scratch = ak_array_new(1, ak_encoder_scratch(e));
    ak_encoder_encode(e, x, 1, code, scratch);
    assert_memory_equal(code, zeroes, BYTES);
    ak_array_free(scratch);
    ak_ref_drop(ak_encoder_ref(e));
    ak_feature_map_drop(map);
}

static void a_loaded_encoder_saves_the_same_bytes(void **state)
{
    (void)state;
    for (int kind = AK_MAP_NONE; kind <= AK_MAP_RBF; kind++)
        for (uint32_t layers = 1; layers <= 2; layers++) {
            struct ak_writer w = saved_with((enum ak_map_kind)kind, layers);
            struct ak_writer again = {0};
            struct ak_encoder *e = NULL;
            struct ak_encoder_info info;

            assert_status(ak_encoder_load(w.data, w.len, &e, NULL), AK_OK);
            ak_encoder_info(e, &info);
            assert_string_equal(info.kind, "hmoh");
            assert_int_equal(info.dim, DIM);
            assert_int_equal(info.bits, BITS);
            assert_int_equal(info.samples, 123);
            assert_status(ak_encoder_save(e, &again, NULL), AK_OK);
            assert_int_equal(w.len, again.len);
            assert_memory_equal(w.data, again.data, w.len);
            ak_writer_clear(&w);
            ak_writer_clear(&again);
            ak_ref_drop(ak_encoder_ref(e));
        }
}

static void every_flipped_byte_is_noticed(void **state)
{
    struct ak_writer w = short_file(AK_MAP_RBF);
    struct ak_encoder *e = NULL;

    (void)state;
    for (size_t at = 0; at < w.len; at++)
        for (int bit = 0; bit < 8; bit += 7) {
            struct ak_err err = {0};

            w.data[at] ^= (uint8_t)(1 << bit);
            assert_status(ak_encoder_load(w.data, w.len, &e, &err),
                          AK_ECORRUPT);
            assert_true(err.text[0] != '\0');
            w.data[at] ^= (uint8_t)(1 << bit);
        }
    assert_null(e);
    ak_writer_clear(&w);
}

static void every_truncation_is_noticed(void **state)
{
    struct ak_writer w = short_file(AK_MAP_RBF);
    struct ak_encoder *e = NULL;

    (void)state;
    for (size_t len = 0; len < w.len; len++) {
        /* A copy of just that length, so that reading past it is an error. */
        uint8_t *copy = malloc(len + 1);

        assert_non_null(copy);
        memcpy(copy + 1, w.data, len);
        assert_status(ak_encoder_load(copy + 1, len, &e, NULL), AK_ECORRUPT);
        free(copy);
    }
    ak_write_u8(&w, 0);
    assert_status(ak_encoder_load(w.data, w.len, &e, NULL), AK_ECORRUPT);
    assert_null(e);
    ak_writer_clear(&w);
}

static void seal(struct ak_writer *w)
{
    const struct ak_piece pieces[] = {
        {w->data, HEADER},
        {w->data + HEADER + AK_SHA256_LEN, w->len - HEADER - AK_SHA256_LEN}};

    assert_status(ak_sha256(pieces, 2, w->data + HEADER, NULL), AK_OK);
}

/*
 * With a right digest over wrong fields: a load either refuses, or gives an
 * encoder that works.
 */
static void a_forged_file_does_no_harm(void **state)
{
    float y[1024];
    uint8_t codes[200];
    size_t refused = 0, loaded = 0;

    (void)state;
    for (int kind = AK_MAP_NONE; kind <= AK_MAP_RBF; kind++) {
        struct ak_writer w = short_file((enum ak_map_kind)kind);

        for (size_t at = 0; at < w.len; at++)
            for (int value = 0; value < 4; value++) {
                const uint8_t values[] = {0, 1, 0x7f, 0xff};
                uint8_t held = w.data[at];
                struct ak_encoder *e = NULL;
                struct ak_encoder_info info;
                enum ak_status status;

                w.data[at] = values[value];
                seal(&w);
                status = ak_encoder_load(w.data, w.len, &e, NULL);
                w.data[at] = held;
                if (status != AK_OK) {
                    assert_status(status, AK_ECORRUPT);
                    refused++;
                    continue;
                }
                loaded++;
                ak_encoder_info(e, &info);
                if (info.bits <= 1024 && info.dim <= DIM) {
                    void *scratch = ak_array_new(1, ak_encoder_scratch(e));

                    ak_encoder_project(e, x, 1, y, scratch);
                    ak_encoder_encode(e, x, 1, codes, scratch);
                    ak_array_free(scratch);
                }
                ak_ref_drop(ak_encoder_ref(e));
            }
        seal(&w);
        ak_writer_clear(&w);
    }
    assert_true(refused > 1000 && loaded > 1000);
}

static void says_what_was_found(void **state)
{
    struct ak_writer w = saved_with(AK_MAP_NONE, 1);
    struct ak_encoder *e = NULL;
    struct ak_err err = {0};

    (void)state;
    assert_status(ak_encoder_load("GIF89a, not a model at all, but it is long "
                                  "enough to have a whole header",
                                  72, &e, &err),
                  AK_ECORRUPT);
    assert_string_equal(err.text, "not a model file: it begins with 47 49 46 "
                                  "38, must be \"AKIN\"");
    w.data[20] = 2;
    assert_status(ak_encoder_load(w.data, w.len, &e, &err), AK_ECORRUPT);
    assert_string_equal(err.text, "format version is 2, must be 1");
    w.data[20] = 1;
    w.data[w.len - 1] ^= 1;
    assert_status(ak_encoder_load(w.data, w.len, &e, &err), AK_ECORRUPT);
    assert_string_equal(err.text, "the SHA-256 does not match");
    assert_null(e);
    ak_writer_clear(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(projections_do_not_depend_on_batch_or_isa),
        cmocka_unit_test(layers_compute_what_they_say),
        cmocka_unit_test(a_zero_projection_is_bit_zero),
        cmocka_unit_test(a_loaded_encoder_saves_the_same_bytes),
        cmocka_unit_test(every_flipped_byte_is_noticed),
        cmocka_unit_test(every_truncation_is_noticed),
        cmocka_unit_test(a_forged_file_does_no_harm),
        cmocka_unit_test(says_what_was_found),
    };

    return cmocka_run_group_tests_name("encoder", tests, make_rows, free_rows);
}
