/* zoo.c: what the architectures cost, against the numbers of the papers. */
#include "tests/test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/nn/zoo.h"

static struct ak_graph *make(const char *name, uint32_t classes)
{
    struct ak_graph *g = NULL;
    struct ak_err err = {0};
    enum ak_status status = ak_arch_graph(name, classes, &g, &err);

    if (status != AK_OK)
        fail_msg("%s", err.text);
    return g;
}

/* Recounts of the models that the pruning and binarization papers start from,
   in millions with two and three digits behind the point. */
static void costs_are_those_of_the_papers(void **state)
{
    static const struct {
        const char *name;
        double macs, params, params_bn;
    } known[] = {
        {"resnet20", 40.55, 0.268, 0.270},
        {"resnet32", 68.86, 0.462, 0.464},
        {"resnet56", 125.49, 0.849, 0.853},
        {"resnet110", 252.89, 1.720, 1.728},
        {"vgg16bn_fc512", 313.46, 14.982, 14.991},
        {"vgg16bn", 313.20, 14.720, 14.728},
        {"vgg_small", 607.60, 4.657, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        struct ak_graph *g = make(known[i].name, 0);
        struct ak_graph_cost cost;

        ak_graph_count(g, &cost);
        assert_int_equal(lround((double)cost.macs / 1e4),
                         lround(known[i].macs * 100));
        assert_int_equal(lround((double)cost.params / 1e3),
                         lround(known[i].params * 1000));
        if (known[i].params_bn > 0)
            assert_int_equal(
                lround((double)(cost.params + cost.bn_params) / 1e3),
                lround(known[i].params_bn * 1000));
        ak_graph_destroy(g);
    }
}

/* By hand: the sums over the layers. */
static void counts_are_exact(void **state)
{
    static const struct {
        const char *name;
        uint64_t macs, params, bn_params;
    } known[] = {
        {"resnet20", 40551040, 268346, 1376},
        {"resnet18", 1814073344, 11679912, 9600},
        /* The same layers, and a slope for each of two activations a block. */
        {"resnet20_bireal", 40551040, 268346 + 2 * 3 * (16 + 32 + 64),
         1376 + 2 * 64},
        {"resnet20_bireal_hardtanh", 40551040, 268346, 1376 + 2 * 64},
        {"mobilenet_v2", 300775552, 3470760 + 1281, 34112},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        struct ak_graph *g = make(known[i].name, 0);
        struct ak_graph_cost cost;

        ak_graph_count(g, &cost);
        assert_int_equal(cost.macs, known[i].macs);
        assert_int_equal(cost.params, known[i].params);
        assert_int_equal(cost.bn_params, known[i].bn_params);
        ak_graph_destroy(g);
    }
}

static void every_architecture_survives_its_text(void **state)
{
    (void)state;
    for (size_t i = 0; ak_arch_get(i) != NULL; i++) {
        const char *name = ak_arch_get(i)->name;
        struct ak_graph *g = make(name, 0);
        struct ak_graph *again = NULL;
        struct ak_err err = {0};
        char *text = NULL, *text_again = NULL;
        size_t len, len_again;

        assert_ptr_equal(ak_arch_find(name), ak_arch_get(i));
        assert_status(ak_graph_write(g, &text, &len, &err), AK_OK);
        assert_status(ak_graph_parse(text, len, &again, &err), AK_OK);
        assert_status(ak_graph_write(again, &text_again, &len_again, &err),
                      AK_OK);
        assert_string_equal(text, text_again);
        assert_int_equal(again->n_values, g->n_values);
        assert_int_equal(again->n_widths, g->n_widths);
        free(text);
        free(text_again);
        ak_graph_destroy(again);
        ak_graph_destroy(g);
    }
}

static void classes_can_be_chosen(void **state)
{
    struct ak_graph *g = make("resnet20", 7);
    struct ak_err err = {0};

    (void)state;
    assert_int_equal(g->layers[g->output].c, 7);
    assert_int_equal(g->layers[g->feature].c, 64);
    ak_graph_destroy(g);
    assert_status(ak_arch_graph("resnet20", 1000000, &g, &err), AK_EINVAL);
    assert_status(ak_arch_graph("resnet21", 0, &g, &err), AK_ENOTFOUND);
    assert_string_equal(err.text, "no architecture \"resnet21\"");
}

/* One variable a stage, one in each block, the input and the scores. */
static void residual_groups_are_width_variables(void **state)
{
    struct ak_graph *g = make("resnet20", 0);
    uint32_t stem = g->layers[ak_graph_find(g, "conv1")].width;
    uint32_t last = g->layers[ak_graph_find(g, "layer1.2.conv2")].width;
    uint32_t inner = g->layers[ak_graph_find(g, "layer1.2.conv1")].width;
    uint32_t next = g->layers[ak_graph_find(g, "layer2.0.conv2")].width;
    unsigned frozen = 0;

    (void)state;
    assert_int_equal(g->n_widths, 3 + 9 + 2);
    assert_int_equal(stem, last);
    assert_int_not_equal(stem, inner);
    assert_int_not_equal(stem, next);
    assert_int_not_equal(next, g->layers[g->feature].width);
    assert_int_equal(g->widths[stem].n, 16);
    assert_int_equal(g->widths[next].n, 32);
    assert_int_equal(g->widths[g->layers[g->feature].width].n, 64);
    for (uint32_t i = 0; i < g->n_widths; i++)
        frozen += g->widths[i].frozen;
    assert_int_equal(frozen, 2);
    ak_graph_destroy(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(costs_are_those_of_the_papers),
        cmocka_unit_test(counts_are_exact),
        cmocka_unit_test(every_architecture_survives_its_text),
        cmocka_unit_test(classes_can_be_chosen),
        cmocka_unit_test(residual_groups_are_width_variables),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
