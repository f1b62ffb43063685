#include "tests/test.h"

#include <stdlib.h>

#include "core/base/rng.h"
#include "core/code/clusters.h"

#define N 300

static int compare(const void *x, const void *y)
{
    const struct ak_pair *p = x, *q = y;

    if (p->distance != q->distance)
        return p->distance < q->distance ? -1 : 1;
    if (p->a != q->a)
        return p->a < q->a ? -1 : 1;
    return (p->b > q->b) - (p->b < q->b);
}

static void a_cluster_is_named_by_its_lowest_item(void **state)
{
    struct ak_rng rng;

    (void)state;
    ak_rng_init(&rng, 1);
    for (int round = 0; round < 50; round++) {
        struct ak_clusters c;
        uint32_t name[N];

        assert_true(ak_clusters_init(&c, N));
        for (uint32_t i = 0; i < N; i++)
            name[i] = i;
        for (uint64_t n = ak_rng_below(&rng, 2 * N); n > 0; n--) {
            uint32_t a = (uint32_t)ak_rng_below(&rng, N);
            uint32_t b = (uint32_t)ak_rng_below(&rng, N);
            uint32_t low = name[a] < name[b] ? name[a] : name[b];
            uint32_t high = name[a] + name[b] - low;

            ak_clusters_unite(&c, a, b);
            for (size_t i = 0; i < N; i++)
                if (name[i] == high)
                    name[i] = low;
        }
        for (uint32_t i = 0; i < N; i++)
            assert_int_equal(ak_clusters_find(&c, i), name[i]);
        ak_clusters_clear(&c);
    }
}

static void the_smallest_pairs_are_kept(void **state)
{
    struct ak_rng rng;

    (void)state;
    ak_rng_init(&rng, 2);
    for (int round = 0; round < 200; round++) {
        size_t cap = 1 + (size_t)ak_rng_below(&rng, 40);
        size_t n = (size_t)ak_rng_below(&rng, N);
        struct ak_pair all[N];
        struct ak_pairs p;

        assert_true(ak_pairs_init(&p, cap));
        for (size_t i = 0; i < n; i++) {
            /* Each once, at few distances, and given in either order. */
            uint32_t a = (uint32_t)(i * 7 % N), b = N + (uint32_t)i;
            uint32_t d = (uint32_t)ak_rng_below(&rng, 5);
            bool turn = ak_rng_below(&rng, 2) == 0;

            all[i] = (struct ak_pair){a, b, d, (double)i};
            if (ak_pairs_takes(&p, turn ? b : a, turn ? a : b, d)) {
                assert_true(d <= ak_pairs_reach(&p));
                ak_pairs_push(&p, turn ? b : a, turn ? a : b, d, (double)i);
            }
        }
        qsort(all, n, sizeof(*all), compare);
        ak_pairs_sort(&p);
        assert_int_equal(p.n, n < cap ? n : cap);
        for (size_t i = 0; i < p.n; i++) {
            assert_int_equal(compare(&p.heap[i], &all[i]), 0);
            assert_true(p.heap[i].feature == all[i].feature);
        }
        ak_pairs_clear(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cluster_is_named_by_its_lowest_item),
        cmocka_unit_test(the_smallest_pairs_are_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
