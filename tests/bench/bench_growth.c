/*
 * bench_growth -- one line of JSON a case: how the time to learn grows with the
 * length of features, the bits, the rows of a block, and the classes; one of
 * them at a time.  plot-growth draws it.
 *
 * Of fcoh a line says besides how many bytes the pairs of a block took, and
 * what all of them would have taken.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/hash/fcoh_internal.h"
#include "core/hash/hash.h"

enum { ROWS = 4000, MOST_DIM = 2048, MOST_OPTIONS = 32 };

struct shape {
    uint32_t dim, bits, block, classes; /* block 0: the method's default */
};

static const struct shape usual = {512, 64, 0, 10};

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void must(enum ak_status status, const struct ak_err *err)
{
    if (status == AK_OK)
        return;
    fprintf(stderr, "bench_growth: %s\n", err->text);
    exit(1);
}

static size_t find_option(const struct ak_hash_method *m, const char *name)
{
    size_t i = 0;

    while (i < m->n_options && strcmp(m->options[i].name, name) != 0)
        i++;
    return i;
}

/* The option that says how many rows a step has; n_options if none does. */
static size_t block_option(const struct ak_hash_method *m)
{
    size_t i = find_option(m, "block");

    return i < m->n_options ? i : find_option(m, "batch");
}

/* Clouds of unit variance about centres at random; labels take turns. */
static void make_rows(const struct shape *s, float *x, uint32_t *labels)
{
    struct ak_rng rng;
    float *centres = ak_array_new((size_t)s->classes * s->dim, sizeof(*x));

    if (centres == NULL)
        exit(1);
    ak_rng_init(&rng, 1);
    for (size_t i = 0; i < (size_t)s->classes * s->dim; i++)
        centres[i] = ak_rng_normal(&rng);
    for (size_t i = 0; i < ROWS; i++) {
        labels[i] = (uint32_t)ak_rng_below(&rng, s->classes);
        for (size_t k = 0; k < s->dim; k++)
            x[i * s->dim + k] =
                0.1f * (centres[labels[i] * s->dim + k] + ak_rng_normal(&rng));
    }
    ak_array_free(centres);
}

static void run(const struct ak_hash_method *m, const char *axis,
                uint32_t value, struct shape s, float *x, uint32_t *labels,
                const uint32_t *first)
{
    const struct ak_hash_params params = {s.dim, s.bits, 65536, 1};
    const struct ak_hash_batch all = {x, labels, first, ROWS};
    double options[MOST_OPTIONS], fix, learn, start;
    size_t at = find_option(m, "classes"), taken = 0, full = 0;
    struct ak_hash *h = NULL;
    struct ak_err err = {0};

    for (size_t i = 0; i < m->n_options; i++)
        options[i] = m->options[i].initial;
    if (at < m->n_options && options[at] < s.classes)
        options[at] = s.classes;
    at = block_option(m);
    if (s.block > 0)
        options[at] = s.block;
    make_rows(&s, x, labels);
    must(ak_hash_create(m->name, &params, options, &h, &err), &err);
    start = now();
    if (ak_hash_warmup_rows(h) > 0)
        must(ak_hash_fix(h, x, ROWS, &err), &err);
    fix = now() - start;
    start = now();
    must(ak_hash_train(h, &all, NULL, &err), &err);
    learn = now() - start;
    printf("{\"bench\": \"growth\", \"method\": \"%s\", \"axis\": \"%s\", "
           "\"value\": %u, \"dim\": %u, \"bits\": %u, \"block\": %.0f, "
           "\"classes\": %u, \"rows\": %d, \"fix_seconds\": %.4f, "
           "\"train_seconds\": %.4f, \"learner_bytes\": %zu",
           m->name, axis, value, s.dim, s.bits,
           at < m->n_options ? options[at] : 1, s.classes, ROWS, fix, learn,
           ak_hash_bytes(h));
    if (strcmp(m->name, "fcoh") == 0) {
        ak_fcoh_pair_bytes(h, &taken, &full);
        printf(", \"pair_bytes\": %zu, \"all_pair_bytes\": %zu", taken, full);
    }
    printf("}\n");
    fflush(stdout);
    ak_hash_destroy(h);
}

int main(void)
{
    static const uint32_t dims[] = {64, 128, 256, 512, 1024, MOST_DIM};
    static const uint32_t bits[] = {16, 32, 64, 128, 256};
    static const uint32_t blocks[] = {25, 50, 100, 200, 500, 1000, 2000, 4000};
    static const uint32_t classes[] = {2, 5, 10, 20, 50, 100, 200};
    static const struct {
        const char *name;
        const uint32_t *values;
        size_t n;
    } axes[] = {{"dim", dims, sizeof(dims) / sizeof(*dims)},
                {"bits", bits, sizeof(bits) / sizeof(*bits)},
                {"block", blocks, sizeof(blocks) / sizeof(*blocks)},
                {"classes", classes, sizeof(classes) / sizeof(*classes)}};
    float *x = ak_array_new((size_t)ROWS * MOST_DIM, sizeof(*x));
    uint32_t *labels = ak_array_new(ROWS, sizeof(*labels));
    uint32_t *first = ak_array_new(ROWS + 1, sizeof(*first));
    const struct ak_hash_method *m;

    if (x == NULL || labels == NULL || first == NULL)
        return 1;
    for (size_t i = 0; i <= ROWS; i++)
        first[i] = (uint32_t)i;
    for (size_t i = 0; (m = ak_hash_method(i)) != NULL; i++)
        for (size_t a = 0; m->learns && a < sizeof(axes) / sizeof(*axes); a++)
            for (size_t v = 0; v < axes[a].n; v++) {
                uint32_t value = axes[a].values[v];
                struct shape s = usual;

                switch (a) {
                case 0:
                    s.dim = value;
                    break;
                case 1:
                    s.bits = value;
                    break;
                case 2:
                    s.block = value;
                    break;
                default:
                    s.classes = value;
                }
                if (a == 2 && (block_option(m) == m->n_options ||
                               value < m->options[block_option(m)].min ||
                               value > m->options[block_option(m)].max))
                    continue;
                run(m, axes[a].name, value, s, x, labels, first);
            }
    ak_array_free(first);
    ak_array_free(labels);
    ak_array_free(x);
    return 0;
}
