/*
 * offline KIND DIM BITS MAX_LABELS SEED N STREAM [OPTION=VALUE]... <in >out
 *
 * What core/hash makes of a stream without a daemon, for tests that compare.
 * In: N vectors of DIM floats, then as many labels, uint32.  The first STREAM
 * of them are learnt as one batch, or by passes in the order of a collection's
 * first generation; all are encoded.  Out: the length of the model file as
 * uint64, the file, and N codes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/hash/hash.h"
#include "server/shadow.h"

static void stop(const char *what)
{
    fprintf(stderr, "offline: %s\n", what);
    exit(1);
}

static void check(enum ak_status status, const struct ak_err *err)
{
    if (status != AK_OK)
        stop(err->text);
}

/* Sets the option that "name=value" names. */
static void set_option(const struct ak_hash_method *m, const char *text,
                       double *options)
{
    const char *equals = strchr(text, '=');

    for (size_t i = 0; equals != NULL && i < m->n_options; i++)
        if (strlen(m->options[i].name) == (size_t)(equals - text) &&
            strncmp(m->options[i].name, text, (size_t)(equals - text)) == 0) {
            options[i] = strtod(equals + 1, NULL);
            return;
        }
    stop("no such option");
}

static struct ak_encoder *learn(const char *kind,
                                const struct ak_hash_params *params,
                                const double *options,
                                const struct ak_hash_batch *batch)
{
    struct ak_hash *h = NULL;
    struct ak_encoder *e = NULL;
    struct ak_err err = {0};
    size_t wanted;

    check(ak_hash_create(kind, params, options, &h, &err), &err);
    wanted = ak_hash_warmup_rows(h);
    if (wanted > 0)
        check(ak_hash_fix(h, batch->x, wanted < batch->n ? wanted : batch->n,
                          &err),
              &err);
    check(ak_hash_train(h, batch, NULL, &err), &err);
    check(ak_hash_freeze(h, &e, &err), &err);
    ak_hash_destroy(h);
    return e;
}

/* Rows in the order in which the first generation of a collection has them. */
static struct ak_hash_batch shuffled(const struct ak_hash_params *params,
                                     const struct ak_hash_batch *batch)
{
    size_t n = batch->n, dim = params->dim;
    uint32_t *order = ak_array_new(n, sizeof(*order));
    uint32_t *labels = ak_array_new(n, sizeof(*labels));
    float *x = ak_array_new(n * dim, sizeof(*x));

    if (order == NULL || labels == NULL || x == NULL)
        stop("no memory");
    for (uint32_t i = 0; i < n; i++)
        order[i] = i;
    ak_shadow_shuffle(params->seed, 1, order, (uint32_t)n);
    for (size_t i = 0; i < n; i++) {
        memcpy(x + i * dim, batch->x + order[i] * dim, dim * sizeof(*x));
        labels[i] = batch->labels[order[i]];
    }
    ak_array_free(order);
    return (struct ak_hash_batch){x, labels, batch->first, n};
}

static void write_all(struct ak_encoder *e, const float *x, size_t n,
                      size_t code_bytes)
{
    struct ak_writer w = {0};
    struct ak_err err = {0};
    void *scratch = ak_array_new(1, ak_encoder_scratch(e));
    uint8_t *codes = ak_array_new(n, code_bytes);
    uint64_t len;

    if (scratch == NULL || codes == NULL)
        stop("no memory");
    check(ak_encoder_save(e, &w, &err), &err);
    ak_encoder_encode(e, x, n, codes, scratch);
    len = w.len;
    if (fwrite(&len, sizeof(len), 1, stdout) != 1 ||
        fwrite(w.data, 1, w.len, stdout) != w.len ||
        fwrite(codes, code_bytes, n, stdout) != n || fflush(stdout) != 0)
        stop("cannot write");
    ak_writer_clear(&w);
    ak_array_free(codes);
    ak_array_free(scratch);
}

int main(int argc, char **argv)
{
    struct ak_hash_params params = {0};
    const struct ak_hash_method *m;
    struct ak_hash_batch batch;
    struct ak_encoder *e;
    double options[64] = {0};
    uint32_t *labels, *first;
    size_t n, stream;
    float *x;

    if (argc < 8)
        stop("too few arguments");
    m = ak_hash_find(argv[1]);
    if (m == NULL)
        stop("no such kind");
    params.dim = (uint32_t)strtoul(argv[2], NULL, 10);
    params.bits = (uint32_t)strtoul(argv[3], NULL, 10);
    params.max_labels = (uint32_t)strtoul(argv[4], NULL, 10);
    params.seed = strtoull(argv[5], NULL, 10);
    n = strtoul(argv[6], NULL, 10);
    stream = strtoul(argv[7], NULL, 10);
    for (size_t i = 0; i < m->n_options; i++)
        options[i] = m->options[i].initial;
    for (int i = 8; i < argc; i++)
        set_option(m, argv[i], options);
    x = ak_array_new(n * params.dim, sizeof(*x));
    labels = ak_array_new(n, sizeof(*labels));
    first = ak_array_new(n + 1, sizeof(*first));
    if (x == NULL || labels == NULL || first == NULL || stream > n)
        stop("no memory, or numbers that do not fit");
    if (fread(x, sizeof(*x), n * params.dim, stdin) != n * params.dim ||
        fread(labels, sizeof(*labels), n, stdin) != n)
        stop("too short an input");
    for (size_t i = 0; i <= n; i++)
        first[i] = (uint32_t)i;
    batch = (struct ak_hash_batch){x, labels, first, stream};
    if (m->by_epochs)
        batch = shuffled(&params, &batch);
    e = learn(argv[1], &params, options, &batch);
    if (m->by_epochs) {
        ak_array_free((void *)(uintptr_t)batch.x);
        ak_array_free((void *)(uintptr_t)batch.labels);
    }
    write_all(e, x, n, params.bits / 8);
    ak_ref_drop((struct ak_ref *)e);
    ak_array_free(x);
    ak_array_free(labels);
    ak_array_free(first);
    return 0;
}
