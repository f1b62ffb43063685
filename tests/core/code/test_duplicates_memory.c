/* Duplicates when memory is short: each allocation fails in turn. */
#include "tests/test.h"

#include <string.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/code/duplicates_internal.h"

/* The linker sends the calls of ak_array_new() here (--wrap). */
static long allowed = -1; /* -1: all */

void *__real_ak_array_new(size_t n, size_t size);
void *__wrap_ak_array_new(size_t n, size_t size);
void *__wrap_ak_array_new(size_t n, size_t size)
{
    if (allowed == 0)
        return NULL;
    if (allowed > 0)
        allowed--;
    return __real_ak_array_new(n, size);
}

enum { N = 600, BITS = 64, MAX_DISTANCE = 4, LIMIT = 50 };

static uint64_t codes[N];
static float sketch[N];

static enum ak_status all_near(void *arg, uint32_t a, uint32_t b, bool *near,
                               double *number, struct ak_err *err)
{
    (void)arg;
    (void)a;
    (void)b;
    (void)err;
    *near = true;
    *number = 0;
    return AK_OK;
}

static const struct ak_duplicates_features features = {
    .near = all_near, .sketch = sketch, .n_sketch = 1, .reach = 1};

/* Sums up what was found. */
static enum ak_status run(int forced, bool with_features, uint64_t *sum,
                          struct ak_err *err)
{
    const struct ak_duplicates_params params = {
        .bits = BITS,
        .max_distance = MAX_DISTANCE,
        .n = N,
        .codes = codes,
        .limit = LIMIT,
        .features = with_features ? &features : NULL};
    struct ak_duplicates_result result;
    struct ak_duplicates *d = NULL;
    bool done = false;
    enum ak_status status = ak_duplicates_create(&params, &d, err);

    if (status != AK_OK)
        return status;
    d->forced = forced;
    while (status == AK_OK && !done)
        status = ak_duplicates_step(d, &done, err);
    if (status == AK_OK) {
        ak_duplicates_result(d, &result);
        *sum = result.n_pairs;
        for (size_t i = 0; i < result.n_pairs; i++)
            *sum = *sum * 31 + result.pairs[i].a * 7 + result.pairs[i].b;
        for (size_t i = 0; i < N; i++)
            *sum = *sum * 31 + result.cluster[i];
    }
    ak_duplicates_destroy(d);
    return status;
}

static void fails_at_each(int forced, bool with_features, uint64_t expected)
{
    uint64_t sum = 0;
    long n = 0;

    for (enum ak_status status = AK_ENOMEM; status != AK_OK;
         n += test_stride()) {
        struct ak_err err = {0};

        allowed = n;
        status = run(forced, with_features, &sum, &err);
        allowed = -1;
        if (status == AK_OK)
            break;
        assert_status(status, AK_ENOMEM);
        assert_true(strncmp(err.text, "no memory", 9) == 0);
    }
    assert_true(n > 9);
    assert_true(sum == expected);
}

static void without_memory_each_plan_says_so(void **state)
{
    struct ak_rng rng;

    (void)state;
    ak_rng_init(&rng, 1);
    for (size_t i = 0; i < N; i++)
        codes[i] = i % 10 * UINT64_C(0x9e3779b97f4a7c15) ^
                   (ak_rng_u64(&rng) & ak_rng_u64(&rng) & ak_rng_u64(&rng) &
                    ak_rng_u64(&rng));
    for (int with_features = 0; with_features < 2; with_features++) {
        uint64_t expected = 0;

        assert_status(run(-1, with_features, &expected, NULL), AK_OK);
        for (int forced = 0; forced <= AK_DUPLICATES_MODES; forced++)
            fails_at_each(forced, with_features, expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_memory_each_plan_says_so),
    };

    return cmocka_run_group_tests_name("duplicates_memory", tests, NULL, NULL);
}
