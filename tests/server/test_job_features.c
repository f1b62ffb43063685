/* Stored vectors, compared two at a time, with little memory and with enough. */
#include <math.h>
#include <string.h>

#include "core/base/rng.h"
#include "server/job_features.h"
#include "tests/server/engine_fixture.h"

enum { ROWS = 300 };

/* Some are the same, some of another length, and one is nothing but zeroes. */
static void row(uint64_t i, float x[DIM])
{
    struct ak_rng rng;

    ak_rng_init(&rng, i % 60);
    for (int j = 0; j < DIM; j++)
        x[j] = ak_rng_normal(&rng);
    ak_rng_init(&rng, i);
    for (int j = 0; j < DIM; j++)
        x[j] = (x[j] + ak_rng_normal(&rng) * .1f) * (i % 3 == 0 ? 4.0f : 1.0f);
    if (i == 7)
        memset(x, 0, DIM * sizeof(*x));
}

static double slow(bool similar, uint64_t i, uint64_t k)
{
    double product = 0, squares[2] = {0}, distance = 0;
    float x[DIM], y[DIM];

    row(i, x);
    row(k, y);
    for (int j = 0; j < DIM; j++) {
        double d = (double)x[j] - (double)y[j];

        product += (double)x[j] * (double)y[j];
        squares[0] += (double)x[j] * (double)x[j];
        squares[1] += (double)y[j] * (double)y[j];
        distance += d * d;
    }
    if (!similar)
        return sqrt(distance);
    return squares[0] * squares[1] > 0 ? product / sqrt(squares[0] * squares[1])
                                       : 0;
}

/* The first rows are items, then every other one. */
static void check(struct ak_collection *c, bool similar, double threshold,
                  size_t cache_bytes)
{
    uint64_t ordinals[ROWS / 2];
    const struct ak_job_features_params params = {.c = c,
                                                  .ordinals = ordinals,
                                                  .n = ROWS / 2,
                                                  .similar = similar,
                                                  .threshold = threshold,
                                                  .seed = 1,
                                                  .cache_bytes = cache_bytes};
    const struct ak_duplicates_features *f;
    struct ak_job_features *features = NULL;
    size_t at = 0, n_near = 0, n_spared = 0;

    for (uint64_t i = 0; i < ROWS / 2; i++)
        ordinals[i] = i < 50 ? i : 2 * i - 50;
    assert_status(ak_job_features_create(&params, &features, NULL), AK_OK);
    while (at < params.n)
        assert_status(ak_job_features_read(features, &at, NULL), AK_OK);
    f = ak_job_features_get(features);
    for (uint32_t a = 0; a < params.n; a++)
        for (uint32_t b = 0; b < params.n; b++) {
            double number, expected = slow(similar, ordinals[a], ordinals[b]);
            bool near, apart = false;

            assert_status(f->near(f->arg, a, b, &near, &number, NULL), AK_OK);
            assert_true(fabs(number - expected) < 1e-12);
            assert_int_equal(near, similar ? number >= threshold
                                           : number <= threshold);
            for (size_t i = 0; i < f->n_sketch; i++)
                apart =
                    apart || fabsf(f->sketch[a * f->n_sketch + i] -
                                   f->sketch[b * f->n_sketch + i]) > f->reach;
            assert_false(near && apart);
            n_near += near;
            n_spared += apart;
        }
    /* There were some of each kind. */
    assert_true(n_near >= params.n - 1 && n_near < params.n * params.n);
    assert_true(n_spared > 0);
    ak_job_features_destroy(features);
}

static void numbers_are_those_of_the_stored_vectors(void **state)
{
    struct ak_engine *e = open_engine();
    struct ak_settings s = settings_of("features", "lsh");
    struct ak_collection *c = create(e, &s);

    (void)state;
    for (uint64_t at = 0; at < ROWS; at += BATCH)
        wait_for(
            c,
            put_made(c, at, BATCH, AK_RECORD_UPSERT, one_label, row, NULL).seq,
            AK_ACK_VISIBLE);
    for (size_t cache = 0; cache <= 7 * DIM * sizeof(float);
         cache += 7 * DIM * sizeof(float)) {
        check(c, false, 1.5, cache);
        check(c, false, 0, cache);
        check(c, true, .95, cache);
        check(c, true, .2, cache);
    }
    ak_collection_drop(c);
    ak_engine_close(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_those_of_the_stored_vectors),
    };

    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
