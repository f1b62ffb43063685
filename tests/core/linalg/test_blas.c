/* The products against plain loops, on parts of larger matrices. */
#include "tests/test.h"

#include <math.h>
#include <string.h>

#include "core/base/rng.h"
#include "core/linalg/blas.h"

enum { M = 37, N = 21, K = 50, LD = 64 };

static float a[LD * LD], b[LD * LD], c[LD * LD], before[LD * LD];

static void fill(void)
{
    struct ak_rng rng;

    ak_rng_init(&rng, 9);
    for (int i = 0; i < LD * LD; i++) {
        a[i] = ak_rng_normal(&rng);
        b[i] = ak_rng_normal(&rng);
        c[i] = before[i] = ak_rng_normal(&rng);
    }
}

/* Entries of a and b as the product `kind` reads them. */
static double entry(char kind, size_t i, size_t j, size_t k)
{
    double left = (double)(kind == 't' ? a[k * LD + i] : a[i * LD + k]);
    double right =
        (double)(kind == 'n' || kind == 't' ? b[k * LD + j] : b[j * LD + k]);

    return left * right;
}

static void check(char kind, double alpha, double beta)
{
    for (size_t i = 0; i < LD; i++)
        for (size_t j = 0; j < LD; j++) {
            double want = 0;

            if (i >= M || j >= N) {
                assert_true(c[i * LD + j] == before[i * LD + j]);
                continue;
            }
            for (size_t k = 0; k < K; k++)
                want += entry(kind, i, j, k);
            want = alpha * want + beta * (double)before[i * LD + j];
            /* 50 products of size 1, summed in float. */
            assert_true(fabs((double)c[i * LD + j] - want) < 1e-4);
        }
}

static void products_are_what_loops_give(void **state)
{
    (void)state;
    fill();
    ak_gemm_nn(M, N, K, 1.0f, a, LD, b, LD, 0.0f, c, LD);
    check('n', 1, 0);
    fill();
    ak_gemm_nt(M, N, K, 0.5f, a, LD, b, LD, 2.0f, c, LD);
    check('r', 0.5, 2);
    fill();
    ak_gemm_tn(M, N, K, -1.0f, a, LD, b, LD, 1.0f, c, LD);
    check('t', -1, 1);
}

static void a_product_of_nothing_touches_nothing(void **state)
{
    (void)state;
    fill();
    ak_gemm_nn(0, N, K, 1.0f, a, LD, b, LD, 0.0f, c, LD);
    ak_gemm_nt(M, 0, K, 1.0f, a, LD, b, LD, 0.0f, c, LD);
    /* The last strip of a panel is empty, and ends where another array may
       begin. */
    ak_gemm_tn(0, N, K, 1.0f, a, LD, b, LD, 1.0f, b, LD);
    assert_memory_equal(c, before, sizeof(c));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_are_what_loops_give),
        cmocka_unit_test(a_product_of_nothing_touches_nothing),
    };

    return cmocka_run_group_tests_name("blas", tests, NULL, NULL);
}
