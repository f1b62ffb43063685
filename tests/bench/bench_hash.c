/*
 * bench_hash -- what learning and encoding cost on one core, one line of JSON a
 * case, and the same in words on stderr.
 *
 *     bench_hash [--growth] [FOLDER]
 *
 * Beside the rate of a product of two 1024 x 1024 matrices by BLAS (case sgemm),
 * which runs in turn with all else:
 *
 *   encode  a million rows of 512 floats to 64 bits, with each kernel that can
 *           run here: a hyperplane a bit, so the rate of our own product with
 *           its fixed order of summation, beside that of BLAS
 *   train   64 bits from 20,000 rows of 784 floats: the first images of the
 *           training set of MNIST's form in FOLDER (or $AKIN_DATA/mnist), or
 *           made ones
 *   pairs   bytes of the pairs that fcoh holds of a block, beside all n x n
 *   growth  with --growth instead of those: how the time of each method grows
 *           with the length of features, bits, rows of a block and classes
 *
 * Seconds are of CPU time, which neighbours disturb less, and the least of some
 * repeats.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/eval/idx.h"
#include "core/hash/fcoh_internal.h"
#include "core/hash/hash.h"
#include "core/linalg/blas.h"
#include "core/linalg/project_kernels.h"

enum {
    SQUARE = 1024,
    MILLION = 1000000,
    ENCODED = 50000, /* rows in memory, encoded again and again */
    ENCODED_DIM = 512,
    LEARNT = 20000,
    LEARNT_DIM = 784,
    BITS = 64,
    GROWTH_ROWS = 4000,
    MOST_OPTIONS = 16
};

/* Rows with one label each. */
struct set {
    const char *name;
    float *x;         /* (n, dim) */
    uint32_t *labels; /* (n) */
    uint32_t *first;  /* (n + 1) */
    size_t n;
    uint32_t dim;
};

static double least_sgemm = 1e9; /* seconds */

static void die(const char *text)
{
    fprintf(stderr, "bench_hash: %s\n", text);
    exit(1);
}

static void must(enum ak_status status, const struct ak_err *err)
{
    if (status != AK_OK)
        die(err->text);
}

static void *array(size_t n, size_t size)
{
    void *a = ak_array_new(n, size);

    if (a == NULL)
        die("no memory");
    return a;
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* GFLOP/s of BLAS: the best so far, after a few more products. */
static double sgemm_rate(void)
{
    static float *a, *b, *c;
    struct ak_rng rng;

    if (a == NULL) {
        a = array((size_t)SQUARE * SQUARE, sizeof(*a));
        b = array((size_t)SQUARE * SQUARE, sizeof(*b));
        c = array((size_t)SQUARE * SQUARE, sizeof(*c));
        ak_rng_init(&rng, 1);
        for (size_t i = 0; i < (size_t)SQUARE * SQUARE; i++) {
            a[i] = ak_rng_normal(&rng);
            b[i] = ak_rng_normal(&rng);
        }
    }
    for (int i = 0; i < 5; i++) {
        double start = now(), took;

        ak_gemm_nn(SQUARE, SQUARE, SQUARE, 1.0f, a, SQUARE, b, SQUARE, 0.0f, c,
                   SQUARE);
        took = now() - start;
        least_sgemm = took < least_sgemm ? took : least_sgemm;
    }
    return 2e-9 * SQUARE * SQUARE * SQUARE / least_sgemm;
}

/* Rows about a mean for each class. */
static struct set make_set(size_t n, uint32_t dim, uint32_t classes)
{
    struct set s = {"made",
                    array(n * dim, sizeof(float)),
                    array(n, sizeof(uint32_t)),
                    array(n + 1, sizeof(uint32_t)),
                    n,
                    dim};
    float *means = array((size_t)classes * dim, sizeof(*means));
    struct ak_rng rng;

    ak_rng_init(&rng, 1);
    for (size_t i = 0; i < (size_t)classes * dim; i++)
        means[i] = (float)ak_rng_unit(&rng) / 2;
    for (size_t i = 0; i < n; i++) {
        s.labels[i] = (uint32_t)ak_rng_below(&rng, classes);
        s.first[i + 1] = (uint32_t)i + 1;
        for (size_t k = 0; k < dim; k++)
            s.x[i * dim + k] =
                means[s.labels[i] * dim + k] + (float)ak_rng_unit(&rng) / 2;
    }
    ak_array_free(means);
    return s;
}

static void free_set(struct set *s)
{
    ak_array_free(s->x);
    ak_array_free(s->labels);
    ak_array_free(s->first);
}

/* The first images of the training set in `folder`. */
static struct set read_set(const char *folder)
{
    struct ak_idx images = {0}, labels = {0};
    struct ak_err err = {0};
    char path[1200];
    struct set s = {"mnist",
                    array((size_t)LEARNT * LEARNT_DIM, sizeof(float)),
                    array(LEARNT, sizeof(uint32_t)),
                    array(LEARNT + 1, sizeof(uint32_t)),
                    LEARNT,
                    LEARNT_DIM};

    snprintf(path, sizeof(path), "%s/train-images-idx3-ubyte.gz", folder);
    must(ak_idx_read(path, 3, &images, &err), &err);
    snprintf(path, sizeof(path), "%s/train-labels-idx1-ubyte.gz", folder);
    must(ak_idx_read(path, 1, &labels, &err), &err);
    if (images.dims[0] < LEARNT || labels.dims[0] < LEARNT ||
        images.item != LEARNT_DIM)
        die("a set of another size than MNIST's");
    ak_idx_floats(images.data, s.n * s.dim, s.x);
    for (size_t i = 0; i < s.n; i++) {
        s.labels[i] = labels.data[i];
        s.first[i + 1] = (uint32_t)i + 1;
    }
    ak_idx_clear(&images);
    ak_idx_clear(&labels);
    return s;
}

static void encode(const char *isa)
{
    const struct ak_hash_params params = {ENCODED_DIM, BITS, 100, 1};
    /* The scalar kernel may call a function for each product. */
    size_t rows = strcmp(isa, "scalar") == 0 ? ENCODED / 100 : ENCODED;
    struct set s = make_set(rows, ENCODED_DIM, 10);
    uint8_t *codes = array(rows, BITS / 8);
    struct ak_hash *h = NULL;
    struct ak_encoder *e = NULL;
    struct ak_err err = {0};
    double least = 1e9, rate, sgemm;
    void *scratch;

    setenv("AKIND_ISA", isa, 1);
    must(ak_hash_create("lsh", &params, NULL, &h, &err), &err);
    must(ak_hash_freeze(h, &e, &err), &err);
    scratch = array(1, ak_encoder_scratch(e));
    for (int i = 0; i < 10; i++) {
        double start = now(), took;

        ak_encoder_encode(e, s.x, rows, codes, scratch);
        took = (now() - start) * MILLION / (double)rows;
        least = took < least ? took : least;
        sgemm_rate();
    }
    rate = 2e-9 * MILLION * ENCODED_DIM * BITS / least;
    sgemm = sgemm_rate();
    printf("{\"bench\": \"hash\", \"case\": \"encode\", \"isa\": \"%s\", "
           "\"rows\": %d, \"dim\": %d, \"bits\": %d, \"seconds\": %.3f, "
           "\"gflops\": %.1f, \"sgemm_gflops\": %.1f, \"of_sgemm\": %.2f}\n",
           isa, MILLION, ENCODED_DIM, BITS, least, rate, sgemm, rate / sgemm);
    fprintf(stderr,
            "encode 1,000,000 x %d to %d bits, %-7s %6.2f s, %6.1f GFLOP/s, "
            "%3.0f %% of sgemm's %.1f\n",
            ENCODED_DIM, BITS, isa, least, rate, 100 * rate / sgemm, sgemm);
    unsetenv("AKIND_ISA");
    ak_array_free(scratch);
    ak_array_free(codes);
    ak_ref_drop(ak_encoder_ref(e));
    ak_hash_destroy(h);
    free_set(&s);
}

/* NAME's place in the method's table of options, or -1. */
static int place_of(const struct ak_hash_method *m, const char *name)
{
    for (size_t o = 0; o < m->n_options; o++)
        if (strcmp(m->options[o].name, name) == 0)
            return (int)o;
    return -1;
}

static void set_option(const struct ak_hash_method *m, double *options,
                       const char *name, double value)
{
    int place = place_of(m, name);

    if (place >= 0)
        options[place] = value;
}

/* A learner of the whole set, which took *seconds. */
static struct ak_hash *learn(const struct ak_hash_method *m, uint32_t bits,
                             const double *options, const struct set *s,
                             double *seconds)
{
    const struct ak_hash_params params = {s->dim, bits, 10000, 1};
    const struct ak_hash_batch all = {s->x, s->labels, s->first, s->n};
    struct ak_hash *h = NULL;
    struct ak_err err = {0};
    double start = now();
    size_t wanted;

    must(ak_hash_create(m->name, &params, options, &h, &err), &err);
    wanted = ak_hash_warmup_rows(h);
    if (wanted > 0)
        must(ak_hash_fix(h, s->x, wanted < s->n ? wanted : s->n, &err), &err);
    must(ak_hash_train(h, &all, NULL, &err), &err);
    *seconds = now() - start;
    return h;
}

static double least_of(int repeats, const struct ak_hash_method *m,
                       uint32_t bits, const double *options,
                       const struct set *s)
{
    double least = 1e9, seconds;

    for (int i = 0; i < repeats; i++) {
        ak_hash_destroy(learn(m, bits, options, s, &seconds));
        least = seconds < least ? seconds : least;
    }
    return least;
}

static void defaults(const struct ak_hash_method *m, double *options)
{
    for (size_t o = 0; o < m->n_options; o++)
        options[o] = m->options[o].initial;
}

static void train(const struct ak_hash_method *m, const struct set *s)
{
    double options[MOST_OPTIONS], seconds, sgemm;
    struct ak_hash *h;
    size_t bytes;

    defaults(m, options);
    /* Those that take seconds need no repeats. */
    h = learn(m, BITS, options, s, &seconds);
    bytes = ak_hash_bytes(h);
    ak_hash_destroy(h);
    if (seconds < 2) {
        double again = least_of(2, m, BITS, options, s);

        seconds = again < seconds ? again : seconds;
    }
    sgemm = sgemm_rate();
    printf("{\"bench\": \"hash\", \"case\": \"train\", \"method\": \"%s\", "
           "\"data\": \"%s\", \"rows\": %zu, \"dim\": %u, \"bits\": %d, "
           "\"seconds\": %.3f, \"learner_bytes\": %zu, \"sgemm_gflops\": "
           "%.1f}\n",
           m->name, s->name, s->n, s->dim, BITS, seconds, bytes, sgemm);
    fprintf(stderr, "train %-5s %d bits, %zu rows of %s: %7.3f s\n", m->name,
            BITS, s->n, s->name, seconds);
}

/* The pairs of fcoh for a block of its default size, and for a larger one. */
static void pairs(const struct set *s, double block)
{
    static const uint32_t bits[] = {8, 32, 64, 128};
    const struct ak_hash_method *m = ak_hash_find("fcoh");

    for (size_t b = 0; b < sizeof(bits) / sizeof(bits[0]); b++) {
        double options[MOST_OPTIONS], seconds;
        size_t taken, full;
        struct ak_hash *h;

        defaults(m, options);
        if (block > 0)
            set_option(m, options, "block", block);
        h = learn(m, bits[b], options, s, &seconds);
        ak_fcoh_pair_bytes(h, &taken, &full);
        ak_hash_destroy(h);
        printf("{\"bench\": \"hash\", \"case\": \"pairs\", \"method\": "
               "\"fcoh\", \"block\": %.0f, \"bits\": %u, \"pair_bytes\": %zu, "
               "\"full_bytes\": %zu, \"saved\": %.4f}\n",
               options[place_of(m, "block")], bits[b], taken, full,
               1 - (double)taken / (double)full);
        fprintf(stderr,
                "fcoh, block of %.0f, %3u bits: %7zu bytes of pairs, all are "
                "%8zu, %.1f %% saved\n",
                options[place_of(m, "block")], bits[b], taken, full,
                100 * (1 - (double)taken / (double)full));
    }
}

struct point {
    const char *varied;
    uint32_t dim, bits, block, classes;
};

static void grow(const struct ak_hash_method *m, const struct point *p)
{
    struct set s = make_set(GROWTH_ROWS, p->dim, p->classes);
    double options[MOST_OPTIONS], seconds;

    if (strcmp(p->varied, "block") == 0 && place_of(m, "block") < 0)
        goto out;
    defaults(m, options);
    set_option(m, options, "block", p->block);
    set_option(m, options, "classes", p->classes);
    /* So that the steps of sdoh in a block are always ten, and hcdh passes
       over the set once. */
    if (strcmp(m->name, "sdoh") == 0) {
        set_option(m, options, "iterations", 10);
        set_option(m, options, "threshold", 0);
        set_option(m, options, "rate", 0.01);
    }
    set_option(m, options, "epochs", 1);
    seconds = least_of(2, m, p->bits, options, &s);
    printf("{\"bench\": \"hash\", \"case\": \"growth\", \"method\": \"%s\", "
           "\"varied\": \"%s\", \"rows\": %zu, \"dim\": %u, \"bits\": %u, "
           "\"block\": %.0f, \"classes\": %u, \"seconds\": %.4f, "
           "\"sgemm_gflops\": %.1f}\n",
           m->name, p->varied, s.n, p->dim, p->bits,
           place_of(m, "block") < 0 ? 1 : (double)p->block, p->classes, seconds,
           sgemm_rate());
    fprintf(stderr,
            "grow %-5s with %-7s dim %4u, bits %3u, block %4u, classes %4u: "
            "%7.4f s\n",
            m->name, p->varied, p->dim, p->bits, p->block, p->classes, seconds);
out:
    free_set(&s);
}

static void growth(void)
{
    static const struct point points[] = {
        {"dim", 64, 64, 1000, 10},       {"dim", 128, 64, 1000, 10},
        {"dim", 256, 64, 1000, 10},      {"dim", 512, 64, 1000, 10},
        {"dim", 1024, 64, 1000, 10},     {"dim", 2048, 64, 1000, 10},
        {"bits", 256, 16, 1000, 10},     {"bits", 256, 32, 1000, 10},
        {"bits", 256, 64, 1000, 10},     {"bits", 256, 128, 1000, 10},
        {"bits", 256, 256, 1000, 10},    {"block", 256, 64, 125, 10},
        {"block", 256, 64, 250, 10},     {"block", 256, 64, 500, 10},
        {"block", 256, 64, 1000, 10},    {"block", 256, 64, 2000, 10},
        {"block", 256, 64, 4000, 10},    {"classes", 256, 64, 1000, 2},
        {"classes", 256, 64, 1000, 10},  {"classes", 256, 64, 1000, 50},
        {"classes", 256, 64, 1000, 250}, {"classes", 256, 64, 1000, 1000},
    };

    for (size_t m = 0; ak_hash_method(m) != NULL; m++)
        for (size_t p = 0; p < sizeof(points) / sizeof(points[0]); p++)
            if (ak_hash_method(m)->learns)
                grow(ak_hash_method(m), &points[p]);
}

/* FOLDER, or mnist in $AKIN_DATA, or rows that are made. */
static struct set learnt_set(const char *folder)
{
    const char *data = getenv("AKIN_DATA");
    char path[1024];

    if (folder == NULL && data != NULL) {
        snprintf(path, sizeof(path), "%s/mnist", data);
        folder = path;
    }
    return folder != NULL ? read_set(folder) : make_set(LEARNT, LEARNT_DIM, 10);
}

int main(int argc, char **argv)
{
    bool grows = argc > 1 && strcmp(argv[1], "--growth") == 0;
    double sgemm = sgemm_rate();
    struct set s;

    argc -= grows;
    argv += grows;
    if (argc > 2 || (argc == 2 && argv[1][0] == '-'))
        die("usage: bench_hash [--growth] [FOLDER]");
    printf("{\"bench\": \"hash\", \"case\": \"sgemm\", \"n\": %d, "
           "\"gflops\": %.1f}\n",
           SQUARE, sgemm);
    if (grows) {
        growth();
        return 0;
    }
    for (unsigned i = 0; ak_project_kernels_at(i) != NULL; i++)
        encode(ak_project_kernels_at(i)->isa);
    s = learnt_set(argc == 2 ? argv[1] : NULL);
    for (size_t m = 0; ak_hash_method(m) != NULL; m++)
        if (ak_hash_method(m)->learns)
            train(ak_hash_method(m), &s);
    s.n = GROWTH_ROWS;
    pairs(&s, 0);
    pairs(&s, 2000);
    free_set(&s);
    return 0;
}
