/* Every engine against the plain one: all layers, odd shapes, both types. */
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

struct result {
    float *feature, *output, *grads, *dx, *values;
};

static float *floats(size_t n)
{
    float *x = ak_array_new(n, sizeof(*x));

    assert_non_null(x);
    return x;
}

static void noise(float *x, size_t n, uint64_t seed)
{
    struct ak_rng rng;

    ak_rng_init(&rng, seed);
    for (size_t i = 0; i < n; i++)
        x[i] = ak_rng_normal(&rng);
}

static void must(enum ak_status status, const struct ak_err *err)
{
    if (status != AK_OK)
        fail_msg("%s", err->text);
}

struct trial {
    const char *engine;
    enum ak_exec_type type;
    bool train;
    uint32_t batch, n, threads;
    unsigned rounds; /* forward and backward, to see that nothing is left */
};

static size_t feature_size(const struct ak_graph *g, uint32_t n)
{
    return n * ak_layer_size(&g->layers[g->feature]);
}

static size_t output_size(const struct ak_graph *g, uint32_t n)
{
    return n * ak_layer_size(&g->layers[g->output]);
}

static struct result run(const struct ak_graph *g, const struct trial *t)
{
    const struct ak_exec_params params = {.batch = t->batch,
                                          .train = t->train,
                                          .type = t->type,
                                          .threads = t->threads};
    size_t in = t->n * ak_layer_size(&g->layers[0]);
    struct result r = {.feature = floats(feature_size(g, t->n)),
                       .output = floats(output_size(g, t->n)),
                       .grads = floats(g->n_values),
                       .dx = floats(in),
                       .values = floats(g->n_values)};
    float *x = floats(in);
    float *by_feature = floats(feature_size(g, t->n));
    float *by_output = floats(output_size(g, t->n));
    const struct ak_exec_start starts[] = {{g->feature, by_feature},
                                           {g->output, by_output}};
    struct ak_exec *e = NULL;
    struct ak_err err = {0};

    ak_weights_init(g, 6, r.values);
    for (uint32_t i = 0; i < g->n_params; i++)
        for (size_t k = 0; k < g->params[i].n; k++)
            if (g->params[i].role != AK_PARAM_WEIGHT)
                r.values[g->params[i].offset + k] +=
                    0.03f * (float)((i + k) % 7);
    must(ak_exec_create(t->engine, g, &params, &e, &err), &err);
    for (unsigned round = 0; round < t->rounds; round++) {
        noise(x, in, 20 + t->rounds - 1 - round);
        noise(by_feature, feature_size(g, t->n), 3);
        noise(by_output, output_size(g, t->n), 4);
        must(ak_exec_load(e, r.values, &err), &err);
        must(ak_exec_forward(e, x, t->n, 8, &err), &err);
        must(ak_exec_output(e, g->feature, r.feature, &err), &err);
        must(ak_exec_output(e, g->output, r.output, &err), &err);
        if (t->train)
            must(ak_exec_backward(e, starts, 2, r.grads, r.dx, &err), &err);
    }
    ak_exec_statistics(e, r.values);
    ak_exec_destroy(e);
    ak_array_free(x);
    ak_array_free(by_feature);
    ak_array_free(by_output);
    return r;
}

static void clear(struct result *r)
{
    ak_array_free(r->feature);
    ak_array_free(r->output);
    ak_array_free(r->grads);
    ak_array_free(r->dx);
    ak_array_free(r->values);
}

/* Distance of the two, relative to the length of the second. */
static double distance(const float *a, const float *b, size_t n)
{
    double d = 0, s = 0;

    for (size_t i = 0; i < n; i++) {
        double x = (double)a[i] - (double)b[i];

        if (!isfinite(a[i]))
            return INFINITY;
        d += x * x;
        s += (double)b[i] * (double)b[i];
    }
    return s > 0 ? sqrt(d / s) : sqrt(d);
}

static void assert_close(const char *what, const char *text, const float *a,
                         const float *b, size_t n, double tolerance)
{
    double d = distance(a, b, n);

    if (!(d <= tolerance))
        fail_msg("%s: %s is off by %g, may be %g", text, what, d, tolerance);
}

static void compare(const char *text, const struct ak_graph *g,
                    const struct trial *t, double tolerance)
{
    const struct trial plain = {"plain", AK_EXEC_F32, t->train, t->n,
                                t->n,    1,           1};
    struct result a = run(g, t), b = run(g, &plain);
    size_t in = t->n * ak_layer_size(&g->layers[0]);

    assert_close("feature", text, a.feature, b.feature, feature_size(g, t->n),
                 tolerance);
    assert_close("output", text, a.output, b.output, output_size(g, t->n),
                 tolerance);
    if (t->train) {
        assert_close("dx", text, a.dx, b.dx, in, 3 * tolerance);
        for (uint32_t i = 0; i < g->n_params; i++) {
            const struct ak_param *p = &g->params[i];
            char name[AK_PARAM_TEXT];

            ak_param_name(g, p, name);
            assert_close(name, text, a.grads + p->offset, b.grads + p->offset,
                         p->n, 3 * tolerance);
            assert_close(name, text, a.values + p->offset, b.values + p->offset,
                         p->n, tolerance);
        }
    }
    clear(&a);
    clear(&b);
}

static void check(const char *text, const struct ak_graph *g, uint32_t n)
{
    for (size_t k = 0; strcmp(ak_exec_engine(k), "plain") != 0; k++)
        for (int mode = 0; mode < 4; mode++) {
            struct trial t = {
                .engine = ak_exec_engine(k),
                .type = mode & 1 ? AK_EXEC_BF16 : AK_EXEC_F32,
                .train = mode >= 2,
                .batch = mode >= 2 ? n : n + 2,
                .n = n,
                .threads = 1,
                .rounds = 2,
            };

            if (ak_exec_can(t.engine, t.type))
                compare(text, g, &t, mode & 1 ? 0.04 : 2e-5);
        }
}

static void check_text(const char *lines)
{
    char text[2048];
    struct ak_graph *g = NULL;
    struct ak_err err = {0};

    snprintf(text, sizeof(text),
             "akin-net 1\ninput image 3 9 7\n%s\nfeature f\noutput l\n", lines);
    must(ak_graph_parse(text, strlen(text), &g, &err), &err);
    check(lines, g, 3);
    ak_graph_destroy(g);
}

/* Behind a convolution of 16 channels or 10, with another user of it. */
static void check_layer(const char *line)
{
    static const unsigned channels[] = {16, 10};
    char text[1024];

    for (int i = 0; i < 2; i++) {
        snprintf(text, sizeof(text),
                 "conv c image out=%u k=3 pad=1\n%s\nlinear l f out=5",
                 channels[i], line);
        check_text(text);
    }
}

static void convolutions(void **state)
{
    (void)state;
    check_layer("conv f c out=16 k=3");
    check_layer("conv f c out=7 k=1 stride=2 bias=1");
    check_layer("conv f c out=32 k=3 stride=2 pad=1 bias=1");
    check_layer("conv f c out=5 k=3,2 stride=2 pad=0,1,2,0");
    check_layer("conv f c out=16 k=3 stride=3 pad=same");
    check_layer("conv f c out=20 k=3 pad=1 groups=2 bias=1");
    check_text("conv c image out=32 k=1\n"
               "conv f c out=32 k=3 stride=2 pad=same groups=32\n"
               "linear l f out=5");
    check_text("conv c image out=12 k=1\n"
               "conv f c out=12 k=3 pad=1 groups=12 bias=1\n"
               "linear l f out=5");
}

static void other_layers(void **state)
{
    static const char *const lines[] = {
        "linear f c out=9",
        "linear f c out=9 bias=0",
        "bn f c",
        "bn b c eps=0.1\nrelu f b",
        "relu f c",
        "relu6 f c",
        "prelu f c",
        "hardtanh f c",
        "tanh f c",
        "maxpool f c k=2",
        "maxpool f c k=3 stride=2 pad=1",
        "avgpool f c k=2,3 stride=1",
        "avgpool f c k=3 stride=2 pad=1",
        "gap f c",
        "gap p c\nbn f p",
        "add f c,c",
        "add a c,c\nrelu f a",
        "relu r c\nadd f c,r",
        "relu r c\nconcat f c,r,c",
        "map f c stride=2 from=-8,0+10,-14",
        "map f c from=4+6,-4,0+2,-20",
        "map f c from=0+8,-4,0+2,-2",
        "dropout f c p=0.4",
        "dropout d c p=0.4\nadd f d,c",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        check_layer(lines[i]);
}

static void layers_behind_each_other(void **state)
{
    (void)state;
    /* A sum of two convolutions, of which either can be made in the other. */
    check_text("conv a image out=16 k=3 pad=1\nbn b a\nrelu c b\n"
               "conv d c out=16 k=3 pad=1\nbn e d\n"
               "conv h c out=16 k=1\nbn i h\nadd j e,i\nrelu k j\n"
               "gap f k\nlinear l f out=4");
    /* A summand that is needed again. */
    check_text("conv a image out=16 k=3 pad=1\nrelu b a\n"
               "conv c b out=16 k=1\nadd d c,b\nconv e b out=16 k=1\n"
               "add h d,e\ntanh f h\nlinear l f out=4");
    /* Nothing of it may be lost when an inner layer is the feature. */
    check_text("conv a image out=16 k=3 pad=1\nbn f a\nrelu c f\n"
               "conv d c out=16 k=3 pad=1\nadd e d,f\ngap g e\n"
               "linear l g out=4");
    /* A layer that leads nowhere. */
    check_text("conv a image out=16 k=3 pad=1\nconv x a out=4 k=1\n"
               "relu y x\ngap f a\nlinear l f out=4");
}

static void check_arch(const char *name, uint32_t n)
{
    struct ak_graph *g = NULL;
    struct ak_err err = {0};

    must(ak_arch_graph(name, 0, &g, &err), &err);
    check(name, g, n);
    ak_graph_destroy(g);
}

static void whole_networks(void **state)
{
    (void)state;
    check_arch("tiny", 4);
}

/* The thread sanitizer does not know how libgomp's threads wait. */
#if defined(__SANITIZE_THREAD__)
#define MODES 2
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define MODES 2
#endif
#endif
#ifndef MODES
#define MODES 4
#endif

/* The same bytes again, in either engine, with one thread or two. */
static void the_same_gives_the_same_bytes(void **state)
{
    struct ak_graph *g = NULL;

    (void)state;
    must(ak_arch_graph("tiny", 0, &g, NULL), &(struct ak_err){0});
    for (size_t k = 0; ak_exec_engine(k) != NULL; k++)
        for (unsigned mode = 0; mode < MODES; mode++) {
            struct trial t = {.engine = ak_exec_engine(k),
                              .type = mode & 1 ? AK_EXEC_BF16 : AK_EXEC_F32,
                              .train = true,
                              .batch = 8,
                              .n = 8,
                              .threads = 1 + mode / 2,
                              .rounds = 1};
            struct result a, b;

            if (!ak_exec_can(t.engine, t.type))
                continue;
            a = run(g, &t);
            t.rounds = 2;
            b = run(g, &t);
            assert_memory_equal(a.output, b.output,
                                output_size(g, 8) * sizeof(float));
            assert_memory_equal(a.grads, b.grads, g->n_values * sizeof(float));
            clear(&a);
            clear(&b);
        }
    ak_graph_destroy(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convolutions),
        cmocka_unit_test(other_layers),
        cmocka_unit_test(layers_behind_each_other),
        cmocka_unit_test(whole_networks),
        cmocka_unit_test(the_same_gives_the_same_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
