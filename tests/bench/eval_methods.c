/*
 * eval_methods -- the papers' protocol on a set of MNIST's form, offline: one
 * line of JSON a run.
 *
 *     eval_methods [--validate] FOLDER METHOD BITS SEED [NAME=VALUE ...]
 *
 * 70,000 images of 28 x 28 pixels in [0, 1]: 100 seeded queries a class, the
 * other 69,000 are the database, the first 20,000 of the shuffled database the
 * labelled stream, which arrives in batches of 2,000, or at once for a method
 * that passes over it.
 *
 * With --validate the test queries stay unseen: the stream is as above, and
 * 1,000 of the next rows of the database search the 20,000 after them.  That
 * is what settings are chosen with.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/eval/idx.h"
#include "core/eval/metrics.h"
#include "core/hash/hash.h"

enum {
    DIM = 784,
    TOTAL = 70000,
    CLASSES = 10,
    A_CLASS = 100,
    QUERIES = CLASSES * A_CLASS,
    STREAM = 20000,
    BATCH = 2000,
    VALIDATED = 20000,
    MOST_OPTIONS = 16
};

struct data {
    float *x;         /* (TOTAL, DIM) queries, then the database */
    uint32_t *labels; /* (TOTAL) */
    uint32_t *first;  /* (TOTAL + 1) */
};

static void die(const char *text)
{
    fprintf(stderr, "eval_methods: %s\n", text);
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

static void read_part(const char *folder, const char *part, size_t n,
                      struct ak_idx *images, struct ak_idx *labels)
{
    struct ak_err err = {0};
    char path[1024];

    snprintf(path, sizeof(path), "%s/%s-images-idx3-ubyte.gz", folder, part);
    must(ak_idx_read(path, 3, images, &err), &err);
    snprintf(path, sizeof(path), "%s/%s-labels-idx1-ubyte.gz", folder, part);
    must(ak_idx_read(path, 1, labels, &err), &err);
    if (images->dims[0] != n || labels->dims[0] != n || images->item != DIM)
        die("a set of another size");
}

/* A seeded order: the queries, A_CLASS of each class, then the database. */
static struct data split(const char *folder, uint64_t seed)
{
    struct ak_idx images[2] = {{0}, {0}}, labels[2] = {{0}, {0}};
    struct data data = {array((size_t)TOTAL * DIM, sizeof(float)),
                        array(TOTAL, sizeof(uint32_t)),
                        array(TOTAL + 1, sizeof(uint32_t))};
    uint32_t *order = array(TOTAL, sizeof(*order));
    size_t taken[CLASSES] = {0}, q = 0, b = QUERIES;
    struct ak_rng rng;

    read_part(folder, "train", 60000, &images[0], &labels[0]);
    read_part(folder, "t10k", 10000, &images[1], &labels[1]);
    for (uint32_t i = 0; i < TOTAL; i++)
        order[i] = i;
    ak_rng_init(&rng, ak_rng_derive(seed, "split"));
    ak_rng_shuffle(&rng, order, TOTAL);
    for (uint32_t i = 0; i < TOTAL; i++) {
        int part = order[i] >= 60000;
        size_t from = order[i] - (part ? 60000 : 0), to;
        uint8_t label = labels[part].data[from];

        if (label >= CLASSES)
            die("a label above 9");
        to = taken[label]++ < A_CLASS ? q++ : b++;
        data.labels[to] = label;
        data.first[i + 1] = i + 1;
        ak_idx_floats(images[part].data + from * DIM, DIM, data.x + to * DIM);
    }
    for (int part = 0; part < 2; part++) {
        ak_idx_clear(&images[part]);
        ak_idx_clear(&labels[part]);
    }
    ak_array_free(order);
    return data;
}

static struct ak_encoder *learn(const struct ak_hash_method *m,
                                const struct ak_hash_params *params,
                                const double *options, const struct data *data,
                                double *seconds)
{
    const float *x = data->x + (size_t)QUERIES * DIM;
    struct ak_hash *h = NULL;
    struct ak_encoder *e = NULL;
    struct ak_err err = {0};
    double start;

    must(ak_hash_create(m->name, params, options, &h, &err), &err);
    start = now();
    if (ak_hash_warmup_rows(h) > 0)
        must(ak_hash_fix(h, x, ak_hash_warmup_rows(h), &err), &err);
    if (m->by_epochs) {
        const struct ak_hash_batch set = {x, data->labels + QUERIES,
                                          data->first, STREAM};

        must(ak_hash_train(h, &set, NULL, &err), &err);
    }
    for (size_t i = 0; !m->by_epochs && i < STREAM;) {
        size_t block = ak_hash_block_rows(h), n;
        struct ak_hash_batch batch;

        n = block > BATCH ? block : BATCH / block * block;
        n = n < STREAM - i ? n : STREAM - i;
        batch = (struct ak_hash_batch){x + i * DIM, data->labels + QUERIES,
                                       data->first + i, n};
        must(ak_hash_update(h, &batch, NULL, &err), &err);
        i += n;
    }
    *seconds = now() - start;
    must(ak_hash_freeze(h, &e, &err), &err);
    ak_hash_destroy(h);
    return e;
}

static struct ak_eval_result evaluate(const struct ak_encoder *e,
                                      const struct data *data, uint32_t bits,
                                      bool validate)
{
    const struct ak_eval_params params = {
        .bits = bits, .map_at = 1000, .radius = 2, .n_k = 1, .k = {100}};
    size_t from = validate ? QUERIES + STREAM : 0, len = bits / 8;
    size_t n = validate ? VALIDATED : TOTAL - QUERIES;
    uint8_t *codes = array(TOTAL, len);
    void *scratch = array(1, ak_encoder_scratch(e));
    const struct ak_eval_items queries = {codes + from * len, data->labels,
                                          data->first + from, QUERIES};
    const struct ak_eval_items database = {codes + (from + QUERIES) * len,
                                           data->labels,
                                           data->first + from + QUERIES, n};
    struct ak_eval_result result = {0};
    struct ak_err err = {0};

    ak_encoder_encode(e, data->x, TOTAL, codes, scratch);
    must(ak_eval_rank(&params, &queries, &database, &result, &err), &err);
    ak_array_free(scratch);
    ak_array_free(codes);
    return result;
}

/* NAME=VALUE into the place of the option of that name. */
static void set_option(const struct ak_hash_method *m, const char *text,
                       double *options)
{
    for (size_t o = 0; o < m->n_options; o++) {
        size_t len = strlen(m->options[o].name);

        if (strncmp(text, m->options[o].name, len) == 0 && text[len] == '=') {
            options[o] = strtod(text + len + 1, NULL);
            return;
        }
    }
    fprintf(stderr, "eval_methods: %s has no option \"%s\"\n", m->name, text);
    exit(1);
}

int main(int argc, char **argv)
{
    bool validate = argc > 1 && strcmp(argv[1], "--validate") == 0;
    struct ak_hash_params params = {.dim = DIM, .max_labels = 1000};
    double options[MOST_OPTIONS], seconds = 0;
    const struct ak_hash_method *m;
    struct ak_encoder *e;
    struct ak_encoder_info info;
    struct ak_eval_result r;
    struct ak_writer model = {0};
    struct ak_err err = {0};
    struct data data;

    argv += validate;
    argc -= validate;
    if (argc < 5)
        die("usage: eval_methods [--validate] FOLDER METHOD BITS SEED "
            "[NAME=VALUE ...]");
    m = ak_hash_find(argv[2]);
    if (m == NULL)
        die("no such method");
    for (size_t o = 0; o < m->n_options; o++)
        options[o] = m->options[o].initial;
    for (int i = 5; i < argc; i++)
        set_option(m, argv[i], options);
    params.bits = (uint32_t)strtoul(argv[3], NULL, 10);
    params.seed = strtoull(argv[4], NULL, 10);
    data = split(argv[1], params.seed);
    e = learn(m, &params, options, &data, &seconds);
    r = evaluate(e, &data, params.bits, validate);
    must(ak_encoder_save(e, &model, &err), &err);
    ak_encoder_info(e, &info);
    printf("{\"dataset\": \"%s\", \"queries\": \"%s\", \"method\": \"%s\", "
           "\"options\": {",
           strrchr(argv[1], '/') ? strrchr(argv[1], '/') + 1 : argv[1],
           validate ? "validation" : "test", m->name);
    for (size_t o = 0; o < m->n_options; o++)
        printf("%s\"%s\": %.9g", o > 0 ? ", " : "", m->options[o].name,
               options[o]);
    printf("}, \"bits\": %u, \"seed\": %llu, \"map\": %.4f, "
           "\"map_ordered\": %.4f, \"map_at_1000\": %.4f, \"p_at_h2\": %.4f, "
           "\"p_at_100\": %.4f, \"train_seconds\": %.2f, "
           "\"model_bytes\": %zu, \"samples\": %llu}\n",
           params.bits, (unsigned long long)params.seed, r.map, r.map_ordered,
           r.map_at, r.precision_in_radius, r.precision[0], seconds, model.len,
           (unsigned long long)info.samples);
    ak_writer_clear(&model);
    ak_ref_drop(ak_encoder_ref(e));
    ak_array_free(data.x);
    ak_array_free(data.labels);
    ak_array_free(data.first);
    return 0;
}
