/*
 * bench_search -- exact search over random codes, against the limit of memory.
 *
 *     bench_search [N] [REPEATS]
 *
 * For 100,000 and N (one million) codes of 64, 128 and 256 bits, k = 10, one
 * query and a batch of 100, with one thread and every kernel that runs here:
 * milliseconds a query, beside the milliseconds that reading the same codes
 * once takes in the same run (for a batch, divided by its queries).  Medians of
 * repeats that are interleaved, as a machine shared with others drifts.
 */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/code/hamming_kernels.h"
#include "core/code/index.h"

#define K           10
#define BATCH       100
#define MAX_KERNELS 4
#define MAX_REPEATS 101
#define CHUNK       10000
#define MIN_NS      2000000 /* of one measurement: calls are repeated to it */

/* What is measured side by side for one index. */
struct series {
    double ms[MAX_REPEATS];
};

static void die(const char *what)
{
    fprintf(stderr, "bench_search: %s\n", what);
    exit(1);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(struct series *s, size_t n)
{
    qsort(s->ms, n, sizeof(s->ms[0]), compare);
    return s->ms[n / 2];
}

static struct ak_index *random_index(uint32_t bits, size_t n)
{
    size_t len = ak_code_bytes(bits);
    struct ak_id *ids = ak_array_new(CHUNK, sizeof(*ids));
    uint8_t *codes = ak_array_new(CHUNK, len);
    struct ak_index *ix = NULL;
    struct ak_rng rng;

    if (ids == NULL || codes == NULL ||
        ak_index_create(bits, AK_ID_INTEGER, &ix, NULL) != AK_OK)
        die("no memory");
    ak_rng_init(&rng, bits);
    for (size_t from = 0; from < n; from += CHUNK) {
        size_t left = n - from < CHUNK ? n - from : CHUNK;

        for (size_t i = 0; i < left * len; i += 8) {
            uint64_t word = ak_rng_u64(&rng);

            memcpy(codes + i, &word, sizeof(word));
        }
        if (ak_index_append(
                ix,
                &(struct ak_index_batch){.n = left, .ids = ids, .codes = codes},
                NULL) != AK_OK)
            die("no memory");
    }
    if (ak_index_commit(ix, NULL) != AK_OK)
        die("no memory");
    ak_array_free(ids);
    ak_array_free(codes);
    return ix;
}

/*
 * Reads `len` bytes once.  memchr() of the C library looks at every byte with
 * the widest registers of the machine, and nothing in portable C reads faster.
 */
static double read_ms(const uint8_t *bytes, size_t len)
{
    uint64_t start = ak_clock_ns(), ns;
    size_t calls = 0;

    do {
        if (memchr(bytes, 1, len) != NULL)
            die("zeroed memory is not zero");
        calls++;
        ns = ak_clock_ns() - start;
    } while (ns < MIN_NS);
    return (double)ns / (double)calls * 1e-6;
}

static double search_ms(const struct ak_snapshot *s, const uint8_t *queries,
                        size_t n)
{
    static struct ak_hit hits[BATCH * K];
    static struct ak_search_result results[BATCH];
    const struct ak_search search = {
        .codes = queries, .n = n, .limit = K, .max_distance = UINT32_MAX};
    uint64_t start = ak_clock_ns(), ns;
    size_t calls = 0;

    do {
        if (ak_snapshot_search(s, &search, hits, results, NULL) != AK_OK)
            die("no memory");
        calls++;
        ns = ak_clock_ns() - start;
    } while (ns < MIN_NS);
    return (double)ns / (double)(calls * n) * 1e-6;
}

static void bench(uint32_t bits, size_t n, size_t repeats)
{
    static struct series one[MAX_KERNELS], batch[MAX_KERNELS], limit;
    size_t len = n * ak_code_words(bits) * sizeof(uint64_t);
    uint8_t *bytes = ak_array_new(1, len);
    struct ak_index *ix = random_index(bits, n);
    struct ak_snapshot *s = ak_index_snapshot(ix);
    uint8_t queries[BATCH * AK_CODE_MAX_BITS / 8];
    struct ak_rng rng;
    double limit_ms;

    if (bytes == NULL)
        die("no memory");
    ak_rng_init(&rng, 99);
    for (size_t i = 0; i < sizeof(queries); i++)
        queries[i] = (uint8_t)ak_rng_u64(&rng);
    for (size_t r = 0; r < repeats; r++) {
        limit.ms[r] = read_ms(bytes, len);
        for (size_t k = 0; k < ak_hamming_n_kernels(); k++) {
            if (ak_hamming_kernel_at(k) == NULL)
                continue;
            ak_hamming_pin(ak_hamming_kernel_at(k));
            one[k].ms[r] = search_ms(s, queries, 1);
            batch[k].ms[r] = search_ms(s, queries, BATCH);
        }
    }
    limit_ms = median(&limit, repeats);
    for (size_t k = 0; k < ak_hamming_n_kernels(); k++) {
        const struct ak_hamming_kernel *kernel = ak_hamming_kernel_at(k);

        for (size_t b = 0; b < 2 && kernel != NULL; b++) {
            size_t queries_of = b == 0 ? 1 : BATCH;

            printf("{\"data\":\"random\",\"n\":%zu,\"bits\":%" PRIu32
                   ",\"k\":%d,\"batch\":%zu,\"isa\":\"%s\","
                   "\"ms_per_query\":%.5f,\"limit_ms\":%.5f}\n",
                   n, bits, K, queries_of, kernel->isa,
                   median(b == 0 ? &one[k] : &batch[k], repeats),
                   limit_ms / (double)queries_of);
        }
    }
    fflush(stdout);
    ak_hamming_pin(NULL);
    ak_snapshot_drop(s);
    ak_index_destroy(ix);
    ak_array_free(bytes);
}

int main(int argc, char **argv)
{
    size_t n = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000000;
    size_t repeats = argc > 2 ? strtoul(argv[2], NULL, 10) : 11;
    const size_t sizes[] = {100000, n};

    if (n < 1000 || repeats < 1 || repeats > MAX_REPEATS ||
        ak_hamming_n_kernels() > MAX_KERNELS) {
        fprintf(stderr, "usage: bench_search [N >= 1000] [REPEATS 1..%d]\n",
                MAX_REPEATS);
        return 2;
    }
    for (size_t i = 0; i < 2; i++)
        for (uint32_t bits = 64; bits <= 256; bits *= 2)
            bench(bits, sizes[i], repeats);
    return 0;
}
