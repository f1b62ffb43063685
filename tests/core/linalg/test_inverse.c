#include "tests/test.h"

#include <math.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/linalg/inverse.h"

/* A = B B' + ridge I, (n, n), from normal numbers B. */
static void make_positive(size_t n, double ridge, double *a)
{
    double *b = ak_array_new(n * n, sizeof(*b));
    struct ak_rng rng;

    assert_non_null(b);
    ak_rng_init(&rng, n);
    for (size_t i = 0; i < n * n; i++)
        b[i] = (double)ak_rng_normal(&rng);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            a[i * n + j] = i == j ? ridge : 0;
            for (size_t k = 0; k < n; k++)
                a[i * n + j] += b[i * n + k] * b[j * n + k];
        }
    ak_array_free(b);
}

static void a_matrix_times_its_inverse_is_one(void **state)
{
    static const size_t sizes[] = {1, 2, 3, 17, 40};

    (void)state;
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        size_t n = sizes[s];
        double *a = ak_array_new(n * n, sizeof(*a));
        double *inverse = ak_array_new(n * n, sizeof(*inverse));

        assert_non_null(a);
        assert_non_null(inverse);
        make_positive(n, 0.5, a);
        for (size_t i = 0; i < n * n; i++)
            inverse[i] = a[i];
        ak_invert_positive(inverse, n);
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < n; j++) {
                double sum = 0;

                for (size_t k = 0; k < n; k++)
                    sum += a[i * n + k] * inverse[k * n + j];
                /* Condition numbers here are below 1000. */
                assert_true(fabs(sum - (i == j)) < 1e-11);
            }
        ak_array_free(inverse);
        ak_array_free(a);
    }
}

static void the_inverse_of_a_known_matrix_is_known(void **state)
{
    double a[] = {4, 2, 2, 3};

    (void)state;
    ak_invert_positive(a, 2);
    assert_true(fabs(a[0] - .375) < 1e-15);
    assert_true(fabs(a[1] + .25) < 1e-15);
    assert_true(fabs(a[2] + .25) < 1e-15);
    assert_true(fabs(a[3] - .5) < 1e-15);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_matrix_times_its_inverse_is_one),
        cmocka_unit_test(the_inverse_of_a_known_matrix_is_known),
    };

    return cmocka_run_group_tests_name("inverse", tests, NULL, NULL);
}
