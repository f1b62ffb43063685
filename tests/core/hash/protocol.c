#include "tests/core/hash/protocol.h"

#include <stdio.h>

#include "core/base/mem.h"
#include "core/eval/idx.h"
#include "core/eval/protocol.h"
#include "tests/data.h"
#include "tests/test.h"

enum { DIM = 784, BITS = 32, TOTAL = 70000, TRAIN = 60000 };

/* Images and labels of one part of the set in `folder`, from row `from` on. */
static void read_part(const char *folder, const char *part, size_t n, float *x,
                      uint32_t *its_labels, size_t from)
{
    struct ak_idx images = {0}, labels = {0};
    struct ak_err err = {0};
    char path[1024];

    snprintf(path, sizeof(path), "%s/%s-images-idx3-ubyte.gz", folder, part);
    if (ak_idx_read(path, 3, &images, &err) != AK_OK)
        fail_msg("%s", err.text);
    assert_int_equal(images.dims[0], n);
    assert_int_equal(images.item, DIM);
    ak_idx_floats(images.data, n * DIM, x + from * DIM);
    snprintf(path, sizeof(path), "%s/%s-labels-idx1-ubyte.gz", folder, part);
    if (ak_idx_read(path, 1, &labels, &err) != AK_OK)
        fail_msg("%s", err.text);
    assert_int_equal(labels.dims[0], n);
    for (size_t i = 0; i < n; i++)
        its_labels[from + i] = labels.data[i];
    ak_idx_clear(&images);
    ak_idx_clear(&labels);
}

double protocol_map(const char *set, const char *method, int seeds)
{
    struct ak_split_params params;

    ak_split_defaults(&params);
    return protocol_map_of(set, method, seeds, params.stream);
}

double protocol_map_of(const char *set, const char *method, int seeds,
                       size_t rows)
{
    float *x = ak_array_new((size_t)TOTAL * DIM, sizeof(*x));
    uint32_t *labels = ak_array_new(TOTAL, sizeof(*labels));
    const struct ak_eval_set data = {x, labels, TOTAL, DIM};
    char folder[512];
    double sum = 0;

    assert_non_null(x);
    assert_non_null(labels);
    assert_non_null(ak_test_data(set, folder, sizeof(folder)));
    read_part(folder, "train", TRAIN, x, labels, 0);
    read_part(folder, "t10k", TOTAL - TRAIN, x, labels, TRAIN);
    for (int seed = 0; seed < seeds; seed++) {
        const struct ak_eval_run run = {.method = method,
                                        .bits = BITS,
                                        .seed = (uint64_t)seed,
                                        .points = 1,
                                        .radius = 2,
                                        .map_at = 1000,
                                        .n_k = 1,
                                        .k = {100}};
        struct ak_split_params params;
        struct ak_split split = {0};
        struct ak_eval_outcome got;
        struct ak_err err = {0};
        const struct ak_eval_result *r = &got.result;

        ak_split_defaults(&params);
        params.stream = rows;
        params.seed = (uint64_t)seed;
        if (ak_split_make(&params, labels, TOTAL, &split, &err) != AK_OK ||
            ak_eval_protocol(&data, &split, &run, &got, &err) != AK_OK)
            fail_msg("%s", err.text);
        assert_int_equal(split.n_queries, 1000);
        assert_int_equal(split.n_database, 69000);
        assert_int_equal(split.n_stream, rows);
        assert_int_equal(r->queries, 1000);
        ak_split_clear(&split);
        print_message("# %s, %s, %d bits, seed %d: mAP %.4f (ordered %.4f), "
                      "mAP@1000 %.4f, P@100 %.4f, P@H2 %.4f\n",
                      set, method, BITS, seed, r->map, r->map_ordered,
                      r->map_at, r->precision[0], r->precision_in_radius);
        assert_true(r->map - r->map_ordered < 0.005);
        assert_true(r->map_ordered - r->map < 0.005);
        sum += r->map;
    }
    ak_array_free(x);
    ak_array_free(labels);
    print_message("# %s, %s: mean mAP %.4f\n", set, method, sum / seeds);
    return sum / seeds;
}

void assert_between(double value, double least, double most)
{
    if (value < least || value > most)
        fail_msg("%.4f, must be %.2f..%.2f", value, least, most);
}
