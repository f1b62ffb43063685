/*
 * bench_hash -- one line of JSON a case: mapping and encoding 60,000 rows of
 * 784 floats with each kernel that can run here, and learning 20,000 of them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/hash/hash.h"

enum { ROWS = 60000, LEARNT = 20000, DIM = 784, BATCH = 500, BITS = 64 };

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void must(enum ak_status status, const struct ak_err *err)
{
    if (status == AK_OK)
        return;
    fprintf(stderr, "bench_hash: %s\n", err->text);
    exit(1);
}

static void run(const char *method, const char *isa, const float *x,
                const uint32_t *labels, const uint32_t *first)
{
    const struct ak_hash_params params = {DIM, BITS, 100, 1};
    struct ak_hash *h = NULL;
    struct ak_encoder *e = NULL;
    struct ak_err err = {0};
    uint8_t *codes = ak_array_new(ROWS, BITS / 8);
    void *scratch = NULL;
    double start, fix, learn, encode;
    size_t rows = ROWS;

    /* The scalar kernel may call a function for each product. */
    if (strcmp(isa, "scalar") == 0)
        rows /= 60;
    setenv("AKIND_ISA", isa, 1);
    must(ak_hash_create(method, &params, NULL, &h, &err), &err);
    start = now();
    if (ak_hash_warmup_rows(h) > 0)
        must(ak_hash_fix(h, x, ak_hash_warmup_rows(h), &err), &err);
    fix = now() - start;
    start = now();
    for (size_t i = 0; i + BATCH <= rows / 3; i += BATCH) {
        struct ak_hash_batch b = {x + i * DIM, labels, first + i, BATCH};

        must(ak_hash_update(h, &b, NULL, &err), &err);
    }
    learn = now() - start;
    must(ak_hash_freeze(h, &e, &err), &err);
    scratch = ak_array_new(1, ak_encoder_scratch(e));
    if (codes == NULL || scratch == NULL)
        exit(1);
    start = now();
    ak_encoder_encode(e, x, rows, codes, scratch);
    encode = now() - start;
    printf("{\"bench\": \"hash\", \"method\": \"%s\", \"isa\": \"%s\", "
           "\"dim\": %d, \"bits\": %d, \"fix_s\": %.3f, \"learn_rows\": %zu, "
           "\"learn_s\": %.3f, \"encode_rows\": %zu, \"encode_s\": %.3f}\n",
           method, isa, DIM, BITS, fix, rows / 3 / BATCH * BATCH, learn, rows,
           encode);
    ak_array_free(scratch);
    ak_array_free(codes);
    ak_ref_drop(ak_encoder_ref(e));
    ak_hash_destroy(h);
}

int main(void)
{
    static const char *const isas[] = {"avx512", "avx2", "scalar"};
    float *x = ak_array_new((size_t)ROWS * DIM, sizeof(*x));
    uint32_t *labels = ak_array_new(ROWS, sizeof(*labels));
    uint32_t *first = ak_array_new(ROWS + 1, sizeof(*first));
    struct ak_rng rng;

    if (x == NULL || labels == NULL || first == NULL)
        return 1;
    ak_rng_init(&rng, 1);
    for (size_t i = 0; i < ROWS; i++) {
        labels[i] = (uint32_t)ak_rng_below(&rng, 10);
        first[i + 1] = (uint32_t)i + 1;
        for (size_t k = 0; k < DIM; k++)
            x[i * DIM + k] =
                (float)ak_rng_unit(&rng) + (k % 10 == labels[i] ? 0.3f : 0.0f);
    }
    for (size_t m = 0; ak_hash_method(m) != NULL; m++)
        for (size_t i = 0; i < sizeof(isas) / sizeof(isas[0]); i++)
            run(ak_hash_method(m)->name, isas[i], x, labels, first);
    ak_array_free(first);
    ak_array_free(labels);
    ak_array_free(x);
    return 0;
}
