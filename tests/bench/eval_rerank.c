/*
 * eval_rerank -- what a rerank adds to the Hamming order, and what it costs, on
 * a set of MNIST's form: a line of JSON for each number of hits, oversample and
 * order.
 *
 *     eval_rerank FOLDER METHOD BITS SEED
 *
 * The standard split of core/eval: 1,000 queries, 69,000 items, the first 20,000
 * learnt.  precision and map are of the hits that were asked for, AP as `map_at`
 * in core/eval/metrics.h.  us_scan is the Hamming search for the candidates (one
 * query at a time, one thread), us_rerank the scores and the order, the features
 * being in memory.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/code/index.h"
#include "core/eval/idx.h"
#include "core/eval/split.h"
#include "core/hash/hash.h"
#include "server/rerank.h"

enum { DIM = 784, TRAIN = 60000, TOTAL = 70000, BATCH = 2000 };

struct set {
    float *x;         /* (TOTAL, DIM) */
    uint32_t *labels; /* (TOTAL) */
    uint32_t *first;  /* (TOTAL + 1) */
    struct ak_split split;
};

struct world {
    struct set set;
    uint32_t bits;
    struct ak_index *index;
    uint8_t *codes; /* (queries, bits / 8) */
    float *y;       /* (queries, bits) */
};

static void die(const char *text)
{
    fprintf(stderr, "eval_rerank: %s\n", text);
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

static void read_part(const char *folder, const char *part, size_t from,
                      size_t n, struct set *set)
{
    struct ak_idx images = {0}, labels = {0};
    struct ak_err err = {0};
    char path[1024];

    snprintf(path, sizeof(path), "%s/%s-images-idx3-ubyte.gz", folder, part);
    must(ak_idx_read(path, 3, &images, &err), &err);
    snprintf(path, sizeof(path), "%s/%s-labels-idx1-ubyte.gz", folder, part);
    must(ak_idx_read(path, 1, &labels, &err), &err);
    if (images.dims[0] != n || labels.dims[0] != n || images.item != DIM)
        die("a set of another size");
    ak_idx_floats(images.data, n * DIM, set->x + from * DIM);
    for (size_t i = 0; i < n; i++)
        set->labels[from + i] = labels.data[i];
    ak_idx_clear(&images);
    ak_idx_clear(&labels);
}

static void read_set(const char *folder, uint64_t seed, struct set *set)
{
    struct ak_split_params p;
    struct ak_err err = {0};

    set->x = array((size_t)TOTAL * DIM, sizeof(float));
    set->labels = array(TOTAL, sizeof(uint32_t));
    set->first = array(TOTAL + 1, sizeof(uint32_t));
    for (uint32_t i = 0; i <= TOTAL; i++)
        set->first[i] = i;
    read_part(folder, "train", 0, TRAIN, set);
    read_part(folder, "t10k", TRAIN, TOTAL - TRAIN, set);
    ak_split_defaults(&p);
    p.seed = seed;
    must(ak_split_make(&p, set->labels, TOTAL, &set->split, &err), &err);
}

/* Rows of the set, one behind the other, with their labels. */
static void gather(const struct set *set, const uint32_t *rows, size_t n,
                   float *x, uint32_t *labels)
{
    for (size_t i = 0; i < n; i++) {
        memcpy(x + i * DIM, set->x + (size_t)rows[i] * DIM, DIM * sizeof(*x));
        labels[i] = set->labels[rows[i]];
    }
}

static struct ak_encoder *learn(const char *method, uint32_t bits,
                                uint64_t seed, const struct set *set)
{
    const struct ak_hash_params params = {
        .dim = DIM, .bits = bits, .max_labels = 1000, .seed = seed};
    const struct ak_hash_method *m = ak_hash_find(method);
    size_t n = set->split.n_stream;
    float *x = array(n * DIM, sizeof(*x));
    uint32_t *labels = array(n, sizeof(*labels));
    struct ak_encoder *e = NULL;
    struct ak_hash *h = NULL;
    struct ak_err err = {0};

    if (m == NULL)
        die("no such method");
    gather(set, set->split.stream, n, x, labels);
    must(ak_hash_create(method, &params, NULL, &h, &err), &err);
    if (ak_hash_warmup_rows(h) > 0)
        must(ak_hash_fix(h, x, ak_hash_warmup_rows(h), &err), &err);
    if (m->by_epochs) {
        const struct ak_hash_batch all = {x, labels, set->first, n};

        must(ak_hash_train(h, &all, NULL, &err), &err);
    }
    for (size_t i = 0, rows; !m->by_epochs && i < n; i += rows) {
        struct ak_hash_batch batch = {x + i * DIM, labels + i, set->first, 0};

        rows = n - i < BATCH ? n - i : BATCH;
        batch.n = rows;
        must(ak_hash_update(h, &batch, NULL, &err), &err);
    }
    must(ak_hash_freeze(h, &e, &err), &err);
    ak_hash_destroy(h);
    ak_array_free(labels);
    ak_array_free(x);
    return e;
}

/* The database as an index, the queries as codes and projections. */
static void encode(struct world *w, const struct ak_encoder *e)
{
    const struct ak_split *split = &w->set.split;
    size_t len = w->bits / 8;
    uint8_t *codes = array(BATCH, len);
    struct ak_id *ids = array(BATCH, sizeof(*ids));
    uint32_t *labels = array(BATCH, sizeof(*labels));
    float *x = array((size_t)BATCH * DIM, sizeof(*x));
    void *scratch = array(1, ak_encoder_scratch(e));
    struct ak_err err = {0};

    must(ak_index_create(w->bits, AK_ID_INTEGER, &w->index, &err), &err);
    for (size_t i = 0, n; i < split->n_database; i += n) {
        n = split->n_database - i < BATCH ? split->n_database - i : BATCH;
        gather(&w->set, split->database + i, n, x, labels);
        ak_encoder_encode(e, x, n, codes, scratch);
        must(ak_index_append(
                 w->index,
                 &(struct ak_index_batch){.n = n, .ids = ids, .codes = codes},
                 &err),
             &err);
    }
    must(ak_index_commit(w->index, &err), &err);
    w->codes = array(split->n_queries, len);
    w->y = array(split->n_queries, w->bits * sizeof(*w->y));
    for (size_t i = 0; i < split->n_queries; i++) {
        const float *one = w->set.x + (size_t)split->queries[i] * DIM;

        ak_encoder_encode(e, one, 1, w->codes + i * len, scratch);
        ak_encoder_project(e, one, 1, w->y + i * w->bits, scratch);
    }
    ak_array_free(scratch);
    ak_array_free(x);
    ak_array_free(labels);
    ak_array_free(ids);
    ak_array_free(codes);
}

static void score(const struct world *w, const struct ak_snapshot *s, size_t q,
                  enum ak_rerank by, struct ak_candidate *list, size_t n)
{
    const struct ak_split *split = &w->set.split;
    const float *x = w->set.x + (size_t)split->queries[q] * DIM;
    const uint8_t *query = w->codes + q * (w->bits / 8);
    const float *y = w->y + q * w->bits;
    double total = ak_rerank_total(y, w->bits);
    uint8_t code[AK_CODE_MAX_BITS / 8];

    for (size_t i = 0; i < n; i++) {
        uint64_t ordinal = list[i].hit.ordinal;

        if (by == AK_RERANK_FEATURE) {
            list[i].score = ak_rerank_feature(
                x, w->set.x + (size_t)split->database[ordinal] * DIM, DIM);
        } else {
            ak_snapshot_code(s, ordinal, code);
            list[i].score =
                ak_rerank_asymmetric(y, total, query, code, w->bits);
        }
    }
    ak_rerank_sort(list, n);
}

struct sums {
    double precision, map, scan_ns, rerank_ns;
};

/* One query; adds to the sums. */
static void ask(const struct world *w, const struct ak_snapshot *s, size_t q,
                size_t limit, size_t oversample, enum ak_rerank by,
                struct ak_hit *hits, struct ak_candidate *list,
                struct sums *sums)
{
    const struct ak_split *split = &w->set.split;
    size_t most = by == AK_RERANK_NONE ? limit : limit * oversample;
    uint32_t label = w->set.labels[split->queries[q]];
    struct ak_search search = {.codes = w->codes + q * (w->bits / 8),
                               .n = 1,
                               .limit = most,
                               .max_distance = UINT32_MAX};
    struct ak_search_result result;
    struct ak_err err = {0};
    uint64_t t0 = ak_clock_ns(), t1;
    size_t right = 0, n;
    double ap = 0;

    must(ak_snapshot_search(s, &search, hits, &result, &err), &err);
    t1 = ak_clock_ns();
    for (size_t i = 0; i < result.n_hits; i++)
        list[i].hit = hits[i];
    if (by != AK_RERANK_NONE)
        score(w, s, q, by, list, result.n_hits);
    sums->rerank_ns += (double)(ak_clock_ns() - t1);
    sums->scan_ns += (double)(t1 - t0);
    n = result.n_hits < limit ? result.n_hits : limit;
    for (size_t i = 0; i < n; i++) {
        if (w->set.labels[split->database[list[i].hit.ordinal]] != label)
            continue;
        right++;
        ap += (double)right / (double)(i + 1);
    }
    sums->precision += (double)right / (double)limit;
    sums->map += right > 0 ? ap / (double)right : 0;
}

int main(int argc, char **argv)
{
    static const char *const names[] = {"hamming", "asymmetric", "feature"};
    static const size_t limits[] = {10, 100, 1000};
    static const size_t oversamples[] = {2, 4, 8, 16};
    struct world w = {0};
    struct ak_snapshot *s;
    struct ak_encoder *e;
    struct ak_candidate *list;
    struct ak_hit *hits;
    const char *set;
    double n;

    if (argc != 5)
        die("usage: eval_rerank FOLDER METHOD BITS SEED");
    set = strrchr(argv[1], '/') ? strrchr(argv[1], '/') + 1 : argv[1];
    w.bits = (uint32_t)strtoul(argv[3], NULL, 10);
    read_set(argv[1], strtoull(argv[4], NULL, 10), &w.set);
    e = learn(argv[2], w.bits, strtoull(argv[4], NULL, 10), &w.set);
    encode(&w, e);
    s = ak_index_snapshot(w.index);
    hits = array(1000 * 16, sizeof(*hits));
    list = array(1000 * 16, sizeof(*list));
    n = (double)w.set.split.n_queries;
    for (size_t l = 0; l < 3; l++)
        for (int by = AK_RERANK_NONE; by <= AK_RERANK_FEATURE; by++)
            for (size_t o = 0; o < (by == AK_RERANK_NONE ? 1 : 4); o++) {
                struct sums sums = {0};

                for (size_t q = 0; q < w.set.split.n_queries; q++)
                    ask(&w, s, q, limits[l], oversamples[o], (enum ak_rerank)by,
                        hits, list, &sums);
                printf("{\"dataset\": \"%s\", \"method\": \"%s\", "
                       "\"bits\": %u, \"seed\": %s, \"limit\": %zu, "
                       "\"order\": \"%s\", \"oversample\": %zu, "
                       "\"precision\": %.4f, \"map\": %.4f, "
                       "\"us_scan\": %.1f, \"us_rerank\": %.1f}\n",
                       set, argv[2], w.bits, argv[4], limits[l], names[by],
                       by == AK_RERANK_NONE ? (size_t)1 : oversamples[o],
                       sums.precision / n, sums.map / n, sums.scan_ns / n / 1e3,
                       sums.rerank_ns / n / 1e3);
            }
    ak_snapshot_drop(s);
    ak_index_destroy(w.index);
    ak_ref_drop(ak_encoder_ref(e));
    ak_split_clear(&w.set.split);
    ak_array_free(list);
    ak_array_free(hits);
    ak_array_free(w.y);
    ak_array_free(w.codes);
    ak_array_free(w.set.x);
    ak_array_free(w.set.labels);
    ak_array_free(w.set.first);
    return 0;
}
