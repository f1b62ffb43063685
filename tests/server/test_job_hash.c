/* worker/job_hash.c: what a training to codes adds to a training. */
#include "tests/test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/eval/features.h"
#include "core/hash/hcdh_head.h"
#include "core/nn/weights.h"
#include "server/worker/job_hash.h"

enum { DIM = 12, BITS = 24, N = 90, CLASSES = 4 };

static const char plain[] = "akin-net 1\ninput image 3 4 4\n"
                            "linear f image out=12\nrelu r f\n"
                            "linear l r out=3\nfeature f\noutput l\n";

static struct ak_job job_of(const char *params)
{
    struct ak_job job = {.root = json_object()};

    json_object_set_new(job.root, "params", json_loads(params, 0, NULL));
    assert_non_null(ak_job_get(&job, "params", "seed"));
    return job;
}

static struct ak_model make_model(void)
{
    struct ak_model m = {0};
    struct ak_err err = {0};

    if (ak_graph_parse(plain, strlen(plain), &m.g, &err) != AK_OK)
        fail_msg("%s", err.text);
    m.values = ak_array_new(m.g->n_values, sizeof(float));
    assert_non_null(m.values);
    ak_weights_init(m.g, 4, m.values);
    return m;
}

static void what_is_not_asked_for_changes_nothing(void **state)
{
    struct ak_job job = job_of("{\"seed\":1}");
    struct ak_model m = make_model();
    struct ak_graph *before = m.g;
    struct ak_job_hash h = {0};
    struct ak_train_params p, same;
    char notes[AK_HCDH_NOTES];
    json_t *json;

    (void)state;
    assert_false(ak_job_hash_wanted(&job));
    assert_status(ak_job_hash_add(&job, CLASSES, &m, &h, NULL), AK_OK);
    assert_ptr_equal(m.g, before);
    memset(&p, 0, sizeof(p));
    ak_train_defaults(&p);
    same = p;
    ak_job_hash_losses(&h, &p);
    assert_memory_equal(&p, &same, sizeof(p));
    assert_status(ak_job_hash_notes(&h, &m, 5, notes, NULL), AK_OK);
    assert_string_equal(notes, "");
    json = ak_job_hash_json(&h);
    assert_true(json_is_null(json));
    json_decref(json);
    ak_job_hash_clear(&h);
    ak_model_clear(&m);
    json_decref(job.root);
}

static void what_is_asked_for_is_trained(void **state)
{
    struct ak_job job = job_of("{\"seed\":1,\"hash\":\"hcdh\",\"bits\":24,"
                               "\"backbone_rate\":0.25,\"code_weight\":3}");
    struct ak_job wrong = job_of("{\"seed\":1,\"hash\":\"hcdh\",\"bits\":9}");
    struct ak_model m = make_model();
    struct ak_job_hash h = {0};
    struct ak_train_params p;
    struct ak_err err = {0};
    char notes[AK_HCDH_NOTES];
    json_t *json;

    (void)state;
    assert_status(ak_job_hash_add(&wrong, CLASSES, &m, &h, &err), AK_EINVAL);
    assert_status(ak_job_hash_add(&job, 1, &m, &h, &err), AK_EINVAL);
    assert_int_equal(ak_hcdh_head_bits(m.g), 0); /* it is as it was */
    assert_status(ak_job_hash_add(&job, CLASSES, &m, &h, &err), AK_OK);
    assert_int_equal(ak_hcdh_head_bits(m.g), BITS);
    assert_int_equal(m.g->layers[m.g->output].c, CLASSES);
    ak_train_defaults(&p);
    ak_job_hash_losses(&h, &p);
    assert_int_equal(p.n_losses, 2);
    assert_true(p.losses[1].weight == 3);
    assert_int_equal(p.losses[1].layer, ak_graph_find(m.g, "hash_tanh"));
    assert_true(p.optim.groups[2].rate == 0.25);
    assert_status(ak_job_hash_notes(&h, &m, 5, notes, &err), AK_OK);
    assert_non_null(strstr(notes, "24 bits"));
    assert_non_null(
        strstr(notes, "code weight 3, rate of the backbone x 0.25"));
    json = ak_job_hash_json(&h);
    assert_int_equal(json_integer_value(json_object_get(json, "bits")), BITS);
    json_decref(json);
    ak_job_hash_clear(&h);
    ak_model_clear(&m);
    json_decref(job.root);
    json_decref(wrong.root);
}

/* mAP of codes by counting: of items as near the irrelevant come first. */
static double map_of(uint8_t codes[N][BITS / 8], const uint32_t *labels)
{
    double sum = 0;

    for (size_t q = 0; q < N; q++) {
        double ap = 0;
        size_t relevant = 0;

        for (size_t i = 0; i < N; i++) {
            unsigned mine = 0, rank = 0, found = 0;

            if (i == q || labels[i] != labels[q])
                continue;
            for (size_t b = 0; b < BITS / 8; b++)
                mine += (unsigned)__builtin_popcount(codes[q][b] ^ codes[i][b]);
            for (size_t k = 0; k < N; k++) {
                unsigned d = 0;

                for (size_t b = 0; b < BITS / 8; b++)
                    d +=
                        (unsigned)__builtin_popcount(codes[q][b] ^ codes[k][b]);
                /* Of relevant ones at one distance, in their order. */
                if (k == q || d > mine)
                    continue;
                if (labels[k] != labels[q])
                    rank++;
                else if (d < mine || k <= i)
                    rank++, found++;
            }
            ap += (double)found / rank;
            relevant++;
        }
        sum += ap / (double)relevant;
    }
    return sum / N;
}

static void the_gate_ranks_by_hamming_distance(void **state)
{
    struct ak_job job = job_of("{\"seed\":7,\"hash\":\"hcdh\",\"bits\":24}");
    struct ak_model m = make_model();
    struct ak_job_hash h = {0};
    struct ak_encoder *e = NULL;
    float *x = ak_array_new((size_t)N * DIM, sizeof(*x));
    uint8_t codes[N][BITS / 8];
    uint32_t labels[N], dim = DIM;
    struct ak_feature_rank rank;
    struct ak_rng rng;
    void *scratch;

    (void)state;
    assert_non_null(x);
    ak_rng_init(&rng, 3);
    for (size_t i = 0; i < N; i++) {
        labels[i] = (uint32_t)(i % CLASSES);
        for (size_t k = 0; k < DIM; k++)
            x[i * DIM + k] =
                ak_rng_normal(&rng) + (k % CLASSES == labels[i] ? 1.5f : 0.0f);
    }
    assert_status(ak_job_hash_add(&job, CLASSES, &m, &h, NULL), AK_OK);
    assert_status(ak_hcdh_head_of(&m, &e, NULL), AK_OK);
    scratch = ak_array_new(1, ak_encoder_scratch(e));
    assert_non_null(scratch);
    ak_encoder_encode(e, x, N, &codes[0][0], scratch);
    assert_status(ak_job_hash_codes(&m, N, &x, &dim, NULL), AK_OK);
    assert_int_equal(dim, 64);
    for (size_t i = 0; i < (size_t)N * 64; i++) {
        size_t j = i % 64;
        bool bit = j >= BITS || (codes[i / 64][j / 8] >> (7 - j % 8) & 1);

        assert_true(x[i] == (bit ? 1.0f : -1.0f));
    }
    assert_status(
        ak_eval_features(x, labels, N, dim, N, NULL, NULL, NULL, &rank, NULL),
        AK_OK);
    assert_int_equal(rank.queries, N);
    assert_true(rank.map > 0.3);
    assert_true(fabs(rank.map - map_of(codes, labels)) < 1e-9);
    ak_array_free(scratch);
    ak_array_free(x);
    ak_ref_drop(ak_encoder_ref(e));
    ak_job_hash_clear(&h);
    ak_model_clear(&m);
    json_decref(job.root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_asked_for_changes_nothing),
        cmocka_unit_test(what_is_asked_for_is_trained),
        cmocka_unit_test(the_gate_ranks_by_hamming_distance),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
