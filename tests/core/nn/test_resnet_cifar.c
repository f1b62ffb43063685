/*
 * The CIFAR-10 ResNets of akamaster's pytorch_resnet_cifar10 are as often right
 * here as its README says: 91.73 % and 93.39 % of the test images, measured with
 * numpy.  Skipped where weights or images are not.
 */
#include "tests/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/eval/cifar.h"
#include "core/nn/evaluate.h"
#include "core/nn/import.h"
#include "core/nn/zoo.h"
#include "tests/data.h"

enum { BATCH = 50 };

static struct {
    uint8_t *records;
    uint32_t *labels;
    size_t n;
} set;

static void must(enum ak_status status, const struct ak_err *err)
{
    if (status != AK_OK)
        fail_msg("%s", err->text);
}

struct net {
    struct ak_graph *g;
    float *values;
};

static struct net load(const char *arch)
{
    struct ak_safetensors st;
    struct ak_err err = {0};
    struct net net = {NULL, NULL};
    char name[64], path[4096];
    uint8_t *bytes;
    size_t len;

    snprintf(name, sizeof(name), "resnet/%s_cifar10.safetensors", arch);
    assert_non_null(ak_test_data(name, path, sizeof(path)));
    bytes = ak_test_read_file(path, &len);
    must(ak_arch_graph(arch, 0, &net.g, &err), &err);
    net.values = ak_array_new(net.g->n_values, sizeof(*net.values));
    assert_non_null(net.values);
    must(ak_safetensors_parse(bytes, len, &st, &err), &err);
    must(ak_import_named(net.g, &st, net.values, &err), &err);
    ak_safetensors_clear(&st);
    free(bytes);
    return net;
}

static struct ak_evaluation evaluate(const struct net *net, const char *engine,
                                     enum ak_exec_type type, size_t n,
                                     float *features)
{
    const struct ak_exec_params params = {.batch = BATCH, .type = type};
    const struct ak_pictures data = {set.records + 1, AK_CIFAR_RECORD,
                                     set.labels, n};
    struct ak_evaluation e;
    struct ak_exec *exec = NULL;
    struct ak_err err = {0};

    must(ak_exec_create(engine, net->g, &params, &exec, &err), &err);
    must(ak_exec_load(exec, net->values, &err), &err);
    must(
        ak_evaluate(exec, net->g, &data, BATCH, NULL, NULL, features, &e, &err),
        &err);
    ak_exec_destroy(exec);
    return e;
}

static void clear(struct net *net)
{
    ak_array_free(net->values);
    ak_graph_destroy(net->g);
}

/* 5 of 10,000 images are 0.05 points. */
static void resnet20_is_right_on_91_73_percent(void **state)
{
    struct net net = load("resnet20");
    struct ak_evaluation e;

    (void)state;
    if (strcmp(ak_exec_engine(0), "plain") == 0) {
        e = evaluate(&net, NULL, AK_EXEC_F32, 1000, NULL);
        assert_in_range(e.top1, 905, 925);
    } else {
        e = evaluate(&net, NULL, AK_EXEC_F32, set.n, NULL);
        assert_in_range(e.top1, 9168, 9178);
    }
    clear(&net);
}

/* As many as a test has time for: the whole is for `akin extractor evaluate`. */
static void resnet56_and_bf16_are_as_good_on_the_first_thousand(void **state)
{
    struct net net = load("resnet56");
    struct ak_evaluation e;

    (void)state;
    if (strcmp(ak_exec_engine(0), "plain") != 0) {
        e = evaluate(&net, NULL, AK_EXEC_F32, 1000, NULL);
        assert_in_range(e.top1, 925, 927);
        if (ak_exec_can(NULL, AK_EXEC_BF16)) {
            struct ak_evaluation b =
                evaluate(&net, NULL, AK_EXEC_BF16, 1000, NULL);

            assert_in_range(b.top1, e.top1 - 4, e.top1 + 4);
        }
    }
    clear(&net);
}

static void engines_give_the_same_features(void **state)
{
    static float a[BATCH * 64], b[BATCH * 64];
    struct net net = load("resnet20");

    (void)state;
    (void)evaluate(&net, "plain", AK_EXEC_F32, BATCH, a);
    (void)evaluate(&net, NULL, AK_EXEC_F32, BATCH, b);
    for (size_t i = 0; i < BATCH * 64; i++)
        assert_true(a[i] - b[i] < 1e-4f && b[i] - a[i] < 1e-4f);
    clear(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resnet20_is_right_on_91_73_percent),
        cmocka_unit_test(resnet56_and_bf16_are_as_good_on_the_first_thousand),
        cmocka_unit_test(engines_give_the_same_features),
    };
    struct ak_err err = {0};
    char path[4096], weights[4096];
    int failed;

    if (ak_test_data("cifar10/test_batch.bin.xz", path, sizeof(path)) == NULL ||
        ak_test_data("resnet/resnet20_cifar10.safetensors", weights,
                     sizeof(weights)) == NULL)
        return ak_test_skip_all("the resnets of cifar10", "no data");
    if (ak_cifar_read(path, &set.records, &set.n, &err) != AK_OK) {
        printf("Bail out! %s\n", err.text);
        return 1;
    }
    set.labels = calloc(set.n, sizeof(*set.labels));
    if (set.labels == NULL)
        return 1;
    for (size_t i = 0; i < set.n; i++)
        set.labels[i] = set.records[i * AK_CIFAR_RECORD];
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(set.labels);
    free(set.records);
    return failed;
}
