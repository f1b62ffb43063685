/* Every kernel that can run here against plain sums, and against each other. */
#include "tests/test.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/linalg/project_kernels.h"

static float *normals(size_t n, struct ak_rng *rng)
{
    float *x = ak_array_new(n, sizeof(*x));

    assert_non_null(x);
    for (size_t i = 0; i < n; i++)
        x[i] = ak_rng_normal(rng);
    return x;
}

/* The sum as the header words it, from the plain matrix. */
static float chain(const float *x, const float *w, size_t d, size_t m, size_t j,
                   float start, bool squares)
{
    float y = start;

    for (size_t k = 0; k < d; k++) {
        float t = x[k] - w[k * m + j];

        y = squares ? fmaf(t, t, y) : fmaf(x[k], w[k * m + j], y);
    }
    return y;
}

static void panels_hold_the_matrix_and_zeroes(void **state)
{
    struct ak_rng rng;
    float *w, *packed, *back;

    (void)state;
    ak_rng_init(&rng, 1);
    w = normals(7 * 21, &rng);
    packed = normals(7 * 32, &rng);
    back = normals(7 * 21, &rng);
    ak_panels_pack(w, 7, 21, packed);
    for (size_t k = 0; k < 7; k++)
        for (size_t j = 0; j < 32; j++)
            assert_true(packed[ak_panel_at(7, k, j)] ==
                        (j < 21 ? w[k * 21 + j] : 0.0f));
    ak_panels_unpack(packed, 7, 21, back);
    assert_memory_equal(back, w, 7 * 21 * sizeof(*w));

    ak_panels_pack_rows(w, 21, 7, packed);
    for (size_t k = 0; k < 7; k++)
        for (size_t j = 0; j < 32; j++)
            assert_true(packed[ak_panel_at(7, k, j)] ==
                        (j < 21 ? w[j * 7 + k] : 0.0f));
    ak_panels_unpack_rows(packed, 21, 7, back);
    assert_memory_equal(back, w, 7 * 21 * sizeof(*w));
    ak_array_free(w);
    ak_array_free(packed);
    ak_array_free(back);
}

static void each_output_is_one_chain_in_order(void **state)
{
    static const size_t ns[] = {1, 2, 3, 5, 6, 7, 8, 9, 15, 17, 23};
    static const size_t ds[] = {1, 2, 127, 128, 129, 300};
    static const size_t ms[] = {1, 16, 17, 40, 64, 80, 112};
    const struct ak_project_kernels *kernels;
    struct ak_rng rng;

    (void)state;
    ak_rng_init(&rng, 2);
    for (size_t a = 0; a < 11; a++)
        for (size_t b = 0; b < 6; b++)
            for (size_t c = (a + b) % test_stride(); c < 7;
                 c += test_stride()) {
                size_t n = ns[a], d = ds[b], m = ms[c], ldx = d + 3;
                size_t ldy = ak_panel_columns(m);
                float *x = normals(n * ldx, &rng), *w = normals(d * m, &rng);
                float *start = normals(n * ldy, &rng);
                float *packed = ak_array_new(d * ldy, sizeof(float));
                float *y = ak_array_new(n * ldy, sizeof(float));

                ak_panels_pack(w, d, m, packed);
                for (unsigned i = 0;
                     (kernels = ak_project_kernels_at(i)) != NULL; i++)
                    for (int squares = 0; squares < 2; squares++) {
                        memcpy(y, start, n * ldy * sizeof(*y));
                        (squares ? kernels->squares : kernels->product)(
                            x, n, ldx, packed, d, ak_panels(m), y, ldy);
                        for (size_t r = 0; r < n; r++)
                            for (size_t j = 0; j < m; j++) {
                                float want = chain(x + r * ldx, w, d, m, j,
                                                   start[r * ldy + j], squares);

                                assert_memory_equal(&y[r * ldy + j], &want,
                                                    sizeof(want));
                            }
                    }
                ak_array_free(x);
                ak_array_free(w);
                ak_array_free(start);
                ak_array_free(packed);
                ak_array_free(y);
            }
}

/* Distance in units in the last place of `want`. */
static double ulps(float got, double want)
{
    float near = (float)want;

    return fabs((double)got - want) /
           (double)(nextafterf(near, INFINITY) - near);
}

static void the_exponential_is_within_two_ulps(void **state)
{
    const struct ak_project_kernels *kernels;
    float v[AK_PANEL];
    double worst = 0;

    (void)state;
    for (unsigned i = 0; (kernels = ak_project_kernels_at(i)) != NULL; i++) {
        for (double t = 0; t < 86.9; t += 0.0007 * test_stride()) {
            for (int j = 0; j < AK_PANEL; j++)
                v[j] = (float)(t + j * 0.00004);
            kernels->exp(v, AK_PANEL, -1.0f);
            for (int j = 0; j < AK_PANEL; j++) {
                double e = ulps(v[j], exp(-(double)(float)(t + j * 0.00004)));

                worst = e > worst ? e : worst;
            }
        }
        print_message("# %s: at most %.2f ulp off\n", kernels->isa, worst);
        assert_true(worst < 2);
    }
}

static void the_exponential_is_the_same_bits_everywhere(void **state)
{
    const struct ak_project_kernels *kernels;
    enum { N = 64 * AK_PANEL };
    struct ak_rng rng;
    float v[N], want[N], got[N];

    (void)state;
    ak_rng_init(&rng, 4);
    for (int round = 0; round < 200; round++) {
        float scale = -expf(3 * ak_rng_normal(&rng));

        for (int j = 0; j < N; j++)
            v[j] = (float)ak_rng_unit(&rng) * 100 / -scale;
        v[0] = 0.0f;
        v[1] = INFINITY;
        v[2] = FLT_MAX;
        v[3] = FLT_MIN / 8;
        v[4] = 87 / -scale;
        v[5] = nextafterf(v[4], INFINITY);
        memcpy(want, v, sizeof(v));
        ak_exp_scalar(want, N, scale);
        for (unsigned i = 0; (kernels = ak_project_kernels_at(i)) != NULL;
             i++) {
            memcpy(got, v, sizeof(v));
            kernels->exp(got, N, scale);
            assert_memory_equal(got, want, sizeof(want));
        }
        assert_true(want[0] == 1.0f);
        assert_true(want[1] == 0.0f);
        assert_true(want[2] == 0.0f || -scale * FLT_MAX < 87);
        for (int j = 0; j < N; j++)
            assert_true(want[j] >= 0.0f && want[j] <= 1.0f);
    }
}

static void the_environment_pins_a_kernel(void **state)
{
    const struct ak_project_kernels *kernels;
    const char *before = getenv("AKIND_ISA");
    char held[32] = "";

    (void)state;
    if (before != NULL)
        strncpy(held, before, sizeof(held) - 1);
    for (unsigned i = 0; (kernels = ak_project_kernels_at(i)) != NULL; i++) {
        assert_int_equal(setenv("AKIND_ISA", kernels->isa, 1), 0);
        assert_ptr_equal(ak_project_kernels(), kernels);
    }
    assert_int_equal(unsetenv("AKIND_ISA"), 0);
    assert_ptr_equal(ak_project_kernels(), ak_project_kernels_at(0));
    if (before != NULL)
        assert_int_equal(setenv("AKIND_ISA", held, 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(panels_hold_the_matrix_and_zeroes),
        cmocka_unit_test(each_output_is_one_chain_in_order),
        cmocka_unit_test(the_exponential_is_within_two_ulps),
        cmocka_unit_test(the_exponential_is_the_same_bits_everywhere),
        cmocka_unit_test(the_environment_pins_a_kernel),
    };

    return cmocka_run_group_tests_name("project", tests, NULL, NULL);
}
