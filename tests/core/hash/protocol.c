#include "tests/core/hash/protocol.h"

#include <stdio.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/eval/idx.h"
#include "core/eval/metrics.h"
#include "core/hash/hash.h"
#include "tests/data.h"
#include "tests/test.h"

enum {
    DIM = 784,
    BITS = 32,
    BYTES = BITS / 8,
    TOTAL = 70000,
    CLASSES = 10,
    A_CLASS = 100,
    QUERIES = CLASSES * A_CLASS,
    DATABASE = TOTAL - QUERIES,
    STREAM = 20000,
    WARM_UP = 2000
};

struct data {
    float *x;         /* (TOTAL, DIM) */
    uint32_t *labels; /* (TOTAL) */
};

static void make_data(struct data *data)
{
    data->x = ak_array_new((size_t)TOTAL * DIM, sizeof(float));
    data->labels = ak_array_new(TOTAL, sizeof(uint32_t));
    assert_non_null(data->x);
    assert_non_null(data->labels);
}

static void free_data(struct data *data)
{
    ak_array_free(data->x);
    ak_array_free(data->labels);
}

/* Images and labels of one part of the set in `folder`, from row `from` on. */
static void read_part(const char *folder, const char *part, size_t n,
                      struct data *data, size_t from)
{
    struct ak_idx images = {0}, labels = {0};
    struct ak_err err = {0};
    char path[1024];

    snprintf(path, sizeof(path), "%s/%s-images-idx3-ubyte.gz", folder, part);
    if (ak_idx_read(path, 3, &images, &err) != AK_OK)
        fail_msg("%s", err.text);
    assert_int_equal(images.dims[0], n);
    assert_int_equal(images.item, DIM);
    ak_idx_floats(images.data, n * DIM, data->x + from * DIM);
    snprintf(path, sizeof(path), "%s/%s-labels-idx1-ubyte.gz", folder, part);
    if (ak_idx_read(path, 1, &labels, &err) != AK_OK)
        fail_msg("%s", err.text);
    assert_int_equal(labels.dims[0], n);
    for (size_t i = 0; i < n; i++) {
        assert_in_range(labels.data[i], 0, CLASSES - 1);
        data->labels[from + i] = labels.data[i];
    }
    ak_idx_clear(&images);
    ak_idx_clear(&labels);
}

/* A seeded order: the queries, A_CLASS of each class, then the database. */
static void split(const struct data *data, uint64_t seed, struct data *out)
{
    uint32_t *order = ak_array_new(TOTAL, sizeof(*order));
    size_t taken[CLASSES] = {0}, q = 0, b = QUERIES;
    struct ak_rng rng;

    assert_non_null(order);
    for (uint32_t i = 0; i < TOTAL; i++)
        order[i] = i;
    ak_rng_init(&rng, ak_rng_derive(seed, "split"));
    ak_rng_shuffle(&rng, order, TOTAL);
    for (uint32_t i = 0; i < TOTAL; i++) {
        uint32_t label = data->labels[order[i]];
        size_t to = taken[label]++ < A_CLASS ? q++ : b++;

        out->labels[to] = label;
        memcpy(out->x + to * DIM, data->x + (size_t)order[i] * DIM,
               DIM * sizeof(float));
    }
    assert_int_equal(q, QUERIES);
    assert_int_equal(b, TOTAL);
    ak_array_free(order);
}

/* Learn from the stream, in batches as a daemon would see them. */
static struct ak_encoder *learn(const char *method, const struct data *data,
                                const uint32_t *first, size_t stream,
                                uint64_t seed)
{
    const struct ak_hash_params params = {DIM, BITS, 1000, seed};
    const float *x = data->x + (size_t)QUERIES * DIM;
    struct ak_hash *h = NULL;
    struct ak_encoder *e = NULL;

    assert_status(ak_hash_create(method, &params, NULL, &h, NULL), AK_OK);
    if (ak_hash_warmup_rows(h) > 0) {
        assert_int_equal(ak_hash_warmup_rows(h), WARM_UP);
        assert_status(ak_hash_fix(h, x, WARM_UP, NULL), AK_OK);
    }
    if (ak_hash_epochs(h) > 0) {
        const struct ak_hash_batch set = {x, data->labels + QUERIES, first,
                                          stream};

        assert_status(ak_hash_train(h, &set, NULL, NULL), AK_OK);
        stream = 0;
    }
    /* A batch is of whole blocks, where the method learns by blocks. */
    for (size_t i = 0, n; i < stream; i += n) {
        struct ak_hash_batch batch = {x + i * DIM, data->labels + QUERIES,
                                      first + i, 500};

        if (ak_hash_block_rows(h) > batch.n)
            batch.n = ak_hash_block_rows(h);
        if (batch.n > stream - i)
            batch.n = stream - i;
        n = batch.n;
        assert_status(ak_hash_update(h, &batch, NULL, NULL), AK_OK);
    }
    assert_status(ak_hash_freeze(h, &e, NULL), AK_OK);
    ak_hash_destroy(h);
    return e;
}

static struct ak_eval_result
evaluate(struct ak_encoder *e, const struct data *data, const uint32_t *first)
{
    const struct ak_eval_params params = {
        .bits = BITS, .map_at = 1000, .radius = 2, .n_k = 1, .k = {100}};
    uint8_t *codes = ak_array_new(TOTAL, BYTES);
    void *scratch = ak_array_new(1, ak_encoder_scratch(e));
    struct ak_eval_items queries, database;
    struct ak_eval_result result = {0};

    assert_non_null(codes);
    assert_non_null(scratch);
    ak_encoder_encode(e, data->x, TOTAL, codes, scratch);
    queries = (struct ak_eval_items){codes, data->labels, first, QUERIES};
    database = (struct ak_eval_items){codes + (size_t)QUERIES * BYTES,
                                      data->labels, first + QUERIES, DATABASE};
    assert_status(ak_eval_rank(&params, &queries, &database, &result, NULL),
                  AK_OK);
    assert_int_equal(result.queries, QUERIES);
    ak_array_free(scratch);
    ak_array_free(codes);
    return result;
}

double protocol_map(const char *set, const char *method, int seeds)
{
    return protocol_map_of(set, method, seeds, STREAM);
}

double protocol_map_of(const char *set, const char *method, int seeds,
                       size_t rows)
{
    struct data data = {0}, parts = {0};
    uint32_t *first = ak_array_new(TOTAL + 1, sizeof(*first));
    char folder[512];
    double sum = 0;

    assert_non_null(first);
    assert_non_null(ak_test_data(set, folder, sizeof(folder)));
    make_data(&data);
    make_data(&parts);
    read_part(folder, "train", 60000, &data, 0);
    read_part(folder, "t10k", 10000, &data, 60000);
    for (uint32_t i = 0; i <= TOTAL; i++)
        first[i] = i;
    for (int seed = 0; seed < seeds; seed++) {
        struct ak_encoder *e;
        struct ak_eval_result r;

        split(&data, (uint64_t)seed, &parts);
        e = learn(method, &parts, first, rows, (uint64_t)seed);
        r = evaluate(e, &parts, first);
        ak_ref_drop(ak_encoder_ref(e));
        print_message("# %s, %s, %d bits, seed %d: mAP %.4f (ordered %.4f), "
                      "mAP@1000 %.4f, P@100 %.4f, P@H2 %.4f\n",
                      set, method, BITS, seed, r.map, r.map_ordered, r.map_at,
                      r.precision[0], r.precision_in_radius);
        assert_true(r.map - r.map_ordered < 0.005);
        assert_true(r.map_ordered - r.map < 0.005);
        sum += r.map;
    }
    free_data(&parts);
    free_data(&data);
    ak_array_free(first);
    print_message("# %s, %s: mean mAP %.4f\n", set, method, sum / seeds);
    return sum / seeds;
}

void assert_between(double value, double least, double most)
{
    if (value < least || value > most)
        fail_msg("%.4f, must be %.2f..%.2f", value, least, most);
}
