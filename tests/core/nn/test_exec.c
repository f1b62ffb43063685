/* exec.c and the plain engine: values by hand, statistics, what is refused. */
#include "tests/test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/nn/exec.h"
#include "core/nn/weights.h"
#include "core/nn/zoo.h"

/* In doubles; cmocka's own compares floats. */
static void assert_near(double actual, double expected, double tolerance)
{
    if (!(fabs(actual - expected) <= tolerance))
        fail_msg("%.9g, must be %.9g", actual, expected);
}

static struct ak_graph *parse(const char *text)
{
    struct ak_graph *g = NULL;
    struct ak_err err = {0};

    if (ak_graph_parse(text, strlen(text), &g, &err) != AK_OK)
        fail_msg("%s", err.text);
    return g;
}

static struct ak_exec *exec(const struct ak_graph *g, uint32_t batch,
                            bool train)
{
    const struct ak_exec_params params = {.batch = batch, .train = train};
    struct ak_exec *e = NULL;

    assert_status(ak_exec_create("plain", g, &params, &e, NULL), AK_OK);
    return e;
}

/* Output of one layer of one kind by values 1, 2, 3 ... of its input. */
static void assert_layer(const char *line, uint32_t c, uint32_t h, uint32_t w,
                         const float *values, const float *expected)
{
    char text[512];
    struct ak_graph *g;
    struct ak_exec *e;
    float x[64], y[64];
    float *all;

    snprintf(text, sizeof(text),
             "akin-net 1\ninput x %u %u %u\n%s\nfeature y\noutput y\n", c, h, w,
             line);
    g = parse(text);
    e = exec(g, 1, false);
    all = ak_array_new(g->n_values, sizeof(*all));
    assert_non_null(all);
    for (uint32_t i = 0; i < g->n_params; i++) {
        memcpy(all + g->params[i].offset, values,
               g->params[i].n * sizeof(*values));
        values += g->params[i].n;
    }
    for (uint32_t i = 0; i < c * h * w; i++)
        x[i] = (float)i + 1;
    assert_status(ak_exec_load(e, all, NULL), AK_OK);
    assert_status(ak_exec_forward(e, x, 1, 0, NULL), AK_OK);
    assert_status(ak_exec_output(e, g->output, y, NULL), AK_OK);
    for (size_t i = 0; i < ak_layer_size(&g->layers[g->output]); i++)
        assert_near((double)y[i], (double)expected[i], 1e-5);
    ak_array_free(all);
    ak_exec_destroy(e);
    ak_graph_destroy(g);
}

/* The input of 1 channel and 3x3 is 1 2 3 / 4 5 6 / 7 8 9. */
static void layers_compute_what_they_say(void **state)
{
    (void)state;
    assert_layer("conv y x out=1 k=2 bias=1", 1, 3, 3,
                 (float[]){1, 10, 100, 1000, .5f},
                 (float[]){5421.5f, 6532.5f, 8754.5f, 9865.5f});
    assert_layer("conv y x out=1 k=3 stride=2 pad=1", 1, 3, 3,
                 (float[]){0, 0, 0, 0, 1, 10, 0, 100, 1000},
                 (float[]){5421, 603, 87, 9});
    assert_layer("conv y x out=2 k=1 groups=2", 2, 1, 2, (float[]){2, 3},
                 (float[]){2, 4, 9, 12});
    assert_layer("linear y x out=2", 2, 1, 2,
                 (float[]){1, 10, 100, 1000, 0, 0, 0, 1, .5f, -4},
                 (float[]){4321.5f, 0});
    assert_layer("bn y x eps=0.25", 1, 1, 2, (float[]){3, 1, 2, 2},
                 (float[]){-1, 1});
    assert_layer("map y x stride=2 from=-1,1+1,0+2", 2, 2, 3, (float[]){0},
                 (float[]){0, 0, 7, 9, 1, 3, 7, 9});
}

static void layers_without_parameters_compute_what_they_say(void **state)
{
    static const struct {
        const char *line;
        float out[18];
    } cases[] = {
        {"maxpool y x k=2", {5}},
        {"maxpool y x k=2 stride=1 pad=0,0,1,1", {5, 6, 6, 8, 9, 9, 8, 9, 9}},
        {"avgpool y x k=3 stride=2 pad=1", {3, 4, 6, 7}},
        {"avgpool y x k=2 stride=1", {3, 4, 6, 7}},
        {"gap y x", {5}},
        {"relu6 y x", {1, 2, 3, 4, 5, 6, 6, 6, 6}},
        {"hardtanh y x", {1, 1, 1, 1, 1, 1, 1, 1, 1}},
        {"dropout y x", {1, 2, 3, 4, 5, 6, 7, 8, 9}},
        {"add y x,x", {2, 4, 6, 8, 10, 12, 14, 16, 18}},
        {"concat y x,x",
         {1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_layer(cases[i].line, 1, 3, 3, NULL, cases[i].out);
}

static void running_statistics_move_towards_the_batch(void **state)
{
    struct ak_graph *g = parse("akin-net 1\ninput x 1 1 2\nbn y x\n"
                               "feature y\noutput y\n");
    struct ak_exec *e = exec(g, 2, true);
    const float x[] = {1, 3, 5, 7};
    float values[64], y[4];

    (void)state;
    ak_weights_init(g, 1, values);
    assert_status(ak_exec_load(e, values, NULL), AK_OK);
    assert_status(ak_exec_forward(e, x, 2, 0, NULL), AK_OK);
    assert_status(ak_exec_output(e, g->output, y, NULL), AK_OK);
    assert_near((double)y[3], 3 / sqrt(5 + 1e-5), 1e-5);
    ak_exec_statistics(e, values);
    assert_near((double)values[32], 0.1 * 4, 1e-6);
    /* The variance over 3: as PyTorch has it. */
    assert_near((double)values[48], 0.9 + 0.1 * 20 / 3, 1e-6);
    ak_exec_destroy(e);
    ak_graph_destroy(g);
}

static void dropout_drops_a_share_by_its_seed(void **state)
{
    struct ak_graph *g = parse("akin-net 1\ninput x 1 64 64\n"
                               "dropout y x p=0.25\nfeature y\noutput y\n");
    struct ak_exec *e = exec(g, 1, true);
    static float x[4096], y[4096], again[4096];
    size_t dropped = 0;
    float none[16] = {0};

    (void)state;
    for (size_t i = 0; i < 4096; i++)
        x[i] = 3;
    assert_status(ak_exec_load(e, none, NULL), AK_OK);
    assert_status(ak_exec_forward(e, x, 1, 9, NULL), AK_OK);
    assert_status(ak_exec_output(e, g->output, y, NULL), AK_OK);
    for (size_t i = 0; i < 4096; i++) {
        dropped += y[i] == 0;
        assert_true(y[i] == 0 || y[i] == 4);
    }
    assert_in_range(dropped, 900, 1150);
    assert_status(ak_exec_forward(e, x, 1, 9, NULL), AK_OK);
    assert_status(ak_exec_output(e, g->output, again, NULL), AK_OK);
    assert_memory_equal(y, again, sizeof(y));
    assert_status(ak_exec_forward(e, x, 1, 10, NULL), AK_OK);
    assert_status(ak_exec_output(e, g->output, again, NULL), AK_OK);
    assert_memory_not_equal(y, again, sizeof(y));
    ak_exec_destroy(e);
    ak_graph_destroy(g);
}

static void wrong_use_is_an_error(void **state)
{
    struct ak_graph *g = NULL;
    struct ak_exec_params params = {.batch = 2, .train = true};
    struct ak_exec *e = NULL;
    struct ak_err err = {0};
    static float x[2 * 3 * 32 * 32];
    float *values, y[32];

    (void)state;
    assert_status(ak_arch_graph("tiny", 0, &g, &err), AK_OK);
    values = ak_array_new(g->n_values, sizeof(*values));
    assert_non_null(values);
    ak_weights_init(g, 1, values);
    assert_status(ak_exec_create("fast", g, &params, &e, &err), AK_ENOTFOUND);
    assert_string_equal(err.text, "no engine \"fast\"");
    params.type = AK_EXEC_BF16;
    assert_status(ak_exec_create("plain", g, &params, &e, &err),
                  AK_EUNSUPPORTED);
    params.type = AK_EXEC_F32;
    params.batch = 0;
    assert_status(ak_exec_create("plain", g, &params, &e, &err), AK_EINVAL);
    params.batch = 2;
    assert_status(ak_exec_create("plain", g, &params, &e, &err), AK_OK);
    assert_status(ak_exec_forward(e, x, 2, 0, &err), AK_EINVAL);
    assert_string_equal(err.text, "no values were loaded");
    assert_status(ak_exec_load(e, values, &err), AK_OK);
    assert_status(ak_exec_output(e, g->output, y, &err), AK_EINVAL);
    assert_status(ak_exec_backward(e, NULL, 0, values, NULL, &err), AK_EINVAL);
    assert_status(ak_exec_forward(e, x, 1, 0, &err), AK_EINVAL);
    assert_string_equal(err.text, "1 images, must be 2");
    assert_true(ak_exec_bytes(e) > 2 * 4 * 8 * 32 * 32);
    ak_exec_destroy(e);

    params.train = false;
    assert_status(ak_exec_create("plain", g, &params, &e, &err), AK_OK);
    assert_status(ak_exec_load(e, values, &err), AK_OK);
    assert_status(ak_exec_forward(e, x, 3, 0, &err), AK_EINVAL);
    assert_string_equal(err.text, "3 images, must be 1..2");
    assert_status(ak_exec_forward(e, x, 1, 0, &err), AK_OK);
    assert_status(ak_exec_output(e, g->output, y, &err), AK_OK);
    assert_status(ak_exec_output(e, 1, y, &err), AK_EINVAL);
    assert_string_equal(err.text, "layer 1 was not kept");
    assert_status(ak_exec_backward(e, NULL, 0, values, NULL, &err), AK_EINVAL);
    ak_exec_destroy(e);
    ak_array_free(values);
    ak_graph_destroy(g);
}

static void weights_begin_as_he_has_them(void **state)
{
    struct ak_graph *g = NULL;
    float *values, *again;
    const struct ak_param *p;
    double sum = 0, squares = 0;

    (void)state;
    assert_status(ak_arch_graph("resnet20", 0, &g, NULL), AK_OK);
    values = ak_array_new(g->n_values, sizeof(*values));
    again = ak_array_new(g->n_values, sizeof(*values));
    assert_true(values != NULL && again != NULL);
    ak_weights_init(g, 1, values);
    p = ak_graph_param(g, ak_graph_find(g, "layer3.1.conv1"), AK_PARAM_WEIGHT);
    for (size_t i = p->offset; i < p->offset + p->n; i++) {
        sum += (double)values[i];
        squares += (double)values[i] * (double)values[i];
    }
    assert_near(sum / (double)p->n, 0, 0.002);
    assert_near(sqrt(squares / (double)p->n), sqrt(2.0 / (64 * 9)), 0.001);
    ak_weights_init(g, 1, again);
    assert_memory_equal(values, again, g->n_values * sizeof(*values));
    ak_weights_init(g, 2, again);
    assert_memory_not_equal(values + p->offset, again + p->offset,
                            p->n * sizeof(*values));
    ak_array_free(again);
    ak_array_free(values);
    ak_graph_destroy(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layers_compute_what_they_say),
        cmocka_unit_test(layers_without_parameters_compute_what_they_say),
        cmocka_unit_test(running_statistics_move_towards_the_batch),
        cmocka_unit_test(dropout_drops_a_share_by_its_seed),
        cmocka_unit_test(wrong_use_is_an_error),
        cmocka_unit_test(weights_begin_as_he_has_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
