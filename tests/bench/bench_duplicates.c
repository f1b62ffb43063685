/*
 * bench_duplicates.c -- what it costs to find duplicates, one line of JSON a
 * case: how many distances are computed of all there are, and the seconds.
 *
 *     bench_duplicates [N]      default 20000 and 1000000 codes of 64 bits
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/code/duplicates.h"
#include "tests/bench/search_data.h"

enum { BITS = 64, LIMIT = 1000 };

/* Beyond this there is no short cut for random codes. */
#define MOST_RANDOM 8

static void die(const struct ak_err *err)
{
    fprintf(stderr, "bench_duplicates: %s\n", err->text);
    exit(1);
}

static void measure(const char *data, size_t n, const uint64_t *codes,
                    uint32_t max_distance)
{
    const struct ak_duplicates_params params = {.bits = BITS,
                                                .max_distance = max_distance,
                                                .n = n,
                                                .codes = codes,
                                                .limit = LIMIT,
                                                .seed = 1};
    double all = (double)n * (double)(n - 1) / 2;
    struct ak_duplicates_result result;
    uint64_t start = ak_clock_ns();
    struct ak_duplicates *d = NULL;
    struct ak_err err = {0};
    size_t clusters = 0;
    bool done = false;

    if (ak_duplicates_create(&params, &d, &err) != AK_OK)
        die(&err);
    while (!done)
        if (ak_duplicates_step(d, &done, &err) != AK_OK)
            die(&err);
    ak_duplicates_result(d, &result);
    for (size_t i = 0; i < n; i++)
        clusters += result.cluster[i] == i;
    printf("{\"bench\":\"duplicates\",\"data\":\"%s\",\"n\":%zu,\"bits\":%d,"
           "\"max_distance\":%u,\"clusters\":%zu,\"compared\":%llu,"
           "\"share\":%.3g,\"seconds\":%.3g}\n",
           data, n, BITS, max_distance, clusters,
           (unsigned long long)result.compared, (double)result.compared / all,
           (double)(ak_clock_ns() - start) / 1e9);
    fflush(stdout);
    ak_duplicates_destroy(d);
}

static void measure_data(const char *data, size_t n)
{
    static const uint32_t distances[] = {0, 1, 2, 4, 8, 16};
    uint64_t *codes = ak_array_new(n, sizeof(*codes));
    uint8_t query[BITS / 8];

    if (codes == NULL) {
        fprintf(stderr, "bench_duplicates: no memory for %zu codes\n", n);
        exit(1);
    }
    if (bench_codes(data, BITS, n, (uint8_t *)codes, 1, query))
        for (size_t i = 0; i < sizeof(distances) / sizeof(*distances); i++)
            if (data[0] != 'r' || distances[i] <= MOST_RANDOM)
                measure(data, n, codes, distances[i]);
    ak_array_free(codes);
}

int main(int argc, char **argv)
{
    static const char *const data[] = {"random", "clustered-5", "mnist-hmoh",
                                       "fashion-hmoh"};
    size_t sizes[] = {20000, 1000000};
    size_t n_sizes = 2;

    if (argc > 1) {
        sizes[0] = (size_t)strtoull(argv[1], NULL, 10);
        n_sizes = 1;
    }
    for (size_t i = 0; i < n_sizes; i++)
        for (size_t k = 0; k < sizeof(data) / sizeof(*data); k++)
            measure_data(data[k], sizes[i]);
    return 0;
}
