#include "tests/bench/search_data.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/eval/idx.h"
#include "core/hash/hash.h"

#define CENTRES  100
#define LEARNT   20000 /* images */
#define MAX_BITS 1024
#define BLOCK    1000 /* images that are encoded at a time */
#define NOISE    .1f

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "bench_search: %s\n", what);
    exit(1);
}

/* -------------------------------------------------------------- made codes */

static void random_codes(struct ak_rng *rng, size_t len, uint8_t *codes)
{
    for (size_t i = 0; i < len; i++)
        codes[i] = (uint8_t)ak_rng_u64(rng);
}

static void clustered_codes(struct ak_rng *rng, const uint8_t *centres,
                            double flips, uint32_t bits, size_t n,
                            uint8_t *codes)
{
    const uint64_t below = (uint64_t)(flips * (double)(1u << 31));
    size_t len = bits / 8;

    for (size_t i = 0; i < n; i++) {
        uint8_t *code = codes + i * len;

        memcpy(code, centres + ak_rng_below(rng, CENTRES) * len, len);
        /* Two bits of 31 random bits a draw. */
        for (uint32_t j = 0; j < bits; j += 2) {
            uint64_t drawn = ak_rng_u64(rng);

            if ((drawn & 0x7fffffff) < below)
                code[j / 8] = (uint8_t)(code[j / 8] ^ 0x80u >> j % 8);
            if (drawn >> 33 < below)
                code[j / 8] = (uint8_t)(code[j / 8] ^ 0x40u >> j % 8);
        }
    }
}

/* -------------------------------------------------------------- real codes */

/* $AKIN_DATA/FOLDER/NAME, or that of Debian's packages. */
static bool find_file(const char *folder, const char *name, char *path,
                      size_t cap)
{
    const char *given = getenv("AKIN_DATA");

    if (given != NULL) {
        snprintf(path, cap, "%s/%s/%s", given, folder, name);
        if (access(path, R_OK) == 0)
            return true;
    }
    snprintf(path, cap, "/usr/share/datasets/%s/%s", folder, name);
    return access(path, R_OK) == 0;
}

static bool read_idx(const char *folder, const char *name, uint32_t n_dims,
                     struct ak_idx *out)
{
    struct ak_err err = {0};
    char path[512];

    if (!find_file(folder, name, path, sizeof(path)))
        return false;
    must(ak_idx_read(path, n_dims, out, &err) == AK_OK, err.text);
    return true;
}

static struct ak_encoder *learn(const char *method, uint32_t bits,
                                const struct ak_idx *images,
                                const struct ak_idx *labels)
{
    uint32_t dim = (uint32_t)images->item;
    const struct ak_hash_params params = {dim, bits, 100, 1};
    float *x = ak_array_new(LEARNT, dim * sizeof(*x));
    uint32_t *label = ak_array_new(LEARNT, sizeof(*label));
    uint32_t *first = ak_array_new(LEARNT + 1, sizeof(*first));
    const struct ak_hash_batch set = {x, label, first, LEARNT};
    struct ak_encoder *e = NULL;
    struct ak_hash *h = NULL;
    struct ak_err err = {0};

    must(x != NULL && label != NULL && first != NULL, "no memory");
    must(images->dims[0] >= LEARNT && labels->dims[0] >= LEARNT,
         "too few images");
    ak_idx_floats(images->data, (size_t)LEARNT * dim, x);
    for (uint32_t i = 0; i < LEARNT; i++) {
        label[i] = labels->data[i];
        first[i + 1] = i + 1;
    }
    must(ak_hash_create(method, &params, NULL, &h, &err) == AK_OK, err.text);
    if (ak_hash_warmup_rows(h) > 0)
        must(ak_hash_fix(h, x, ak_hash_warmup_rows(h), &err) == AK_OK,
             err.text);
    must(ak_hash_train(h, &set, NULL, &err) == AK_OK, err.text);
    must(ak_hash_freeze(h, &e, &err) == AK_OK, err.text);
    ak_hash_destroy(h);
    ak_array_free(x);
    ak_array_free(label);
    ak_array_free(first);
    return e;
}

static void encode(const struct ak_encoder *e, uint32_t bits,
                   const struct ak_idx *images, struct ak_rng *noise, size_t n,
                   uint8_t *codes)
{
    size_t dim = images->item, some;
    float *x = ak_array_new(BLOCK, dim * sizeof(*x));
    void *scratch = ak_array_new(1, ak_encoder_scratch(e));

    must(x != NULL && scratch != NULL, "no memory");
    for (size_t from = 0; from < n; from += some) {
        some = n - from < BLOCK ? n - from : BLOCK;
        for (size_t i = 0; i < some; i++)
            ak_idx_floats(images->data + (from + i) % images->dims[0] * dim,
                          dim, x + i * dim);
        for (size_t i = 0; i < some * dim && noise != NULL; i++)
            x[i] += NOISE * ak_rng_normal(noise);
        ak_encoder_encode(e, x, some, codes + from * (bits / 8), scratch);
    }
    ak_array_free(x);
    ak_array_free(scratch);
}

static bool real_codes(const char *folder, const char *method, uint32_t bits,
                       size_t n, uint8_t *codes, size_t n_queries,
                       uint8_t *queries)
{
    struct ak_idx images = {0}, labels = {0}, tests = {0};
    struct ak_encoder *e;
    struct ak_rng rng;
    bool found = ak_hash_find(method) != NULL &&
                 read_idx(folder, "train-images-idx3-ubyte.gz", 3, &images) &&
                 read_idx(folder, "train-labels-idx1-ubyte.gz", 1, &labels) &&
                 read_idx(folder, "t10k-images-idx3-ubyte.gz", 3, &tests);

    if (found) {
        ak_rng_init(&rng, 5);
        e = learn(method, bits, &images, &labels);
        encode(e, bits, &images, &rng, n, codes);
        encode(e, bits, &tests, NULL, n_queries, queries);
        ak_ref_drop(ak_encoder_ref(e));
    }
    ak_idx_clear(&images);
    ak_idx_clear(&labels);
    ak_idx_clear(&tests);
    return found;
}

bool bench_codes(const char *data, uint32_t bits, size_t n, uint8_t *codes,
                 size_t n_queries, uint8_t *queries)
{
    uint8_t centres[CENTRES * MAX_BITS / 8];
    struct ak_rng rng;
    double flips;

    ak_rng_init(&rng, bits);
    if (strcmp(data, "random") == 0) {
        random_codes(&rng, n * (bits / 8), codes);
        random_codes(&rng, n_queries * (bits / 8), queries);
        return true;
    }
    if (sscanf(data, "clustered-%lf", &flips) == 1) {
        random_codes(&rng, CENTRES * (bits / 8), centres);
        clustered_codes(&rng, centres, flips / 100, bits, n, codes);
        clustered_codes(&rng, centres, flips / 100, bits, n_queries, queries);
        return true;
    }
    if (strncmp(data, "mnist-", 6) == 0)
        return real_codes("mnist", data + 6, bits, n, codes, n_queries,
                          queries);
    if (strncmp(data, "fashion-", 8) == 0)
        return real_codes("fashion-mnist", data + 8, bits, n, codes, n_queries,
                          queries);
    return false;
}
