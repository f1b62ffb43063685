/*
 * Gradients of every layer and loss against central differences.  This program
 * compiles the plain engine with doubles (real.h), so that the two agree to
 * many digits.
 */
#include "tests/test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/nn/exec.h"
#include "core/nn/loss.h"
#include "core/nn/weights.h"

_Static_assert(sizeof(ak_real) == sizeof(double), "compiled with doubles");

#define STEP 1e-5

/*
 * Differences are off by the third derivative times STEP^2 and by the last
 * digits of the loss over STEP: about 1e-10 either, of numbers around 1.
 */
#define TOLERANCE 2e-7

/* In doubles; cmocka's own compares floats. */
static void assert_near(double actual, double expected, double tolerance)
{
    if (!(fabs(actual - expected) <= tolerance))
        fail_msg("%.12g, must be %.12g", actual, expected);
}

static ak_real *reals(size_t n)
{
    ak_real *x = ak_array_new(n, sizeof(*x));

    assert_non_null(x);
    return x;
}

static void noise(ak_real *x, size_t n, uint64_t seed)
{
    struct ak_rng rng;

    ak_rng_init(&rng, seed);
    for (size_t i = 0; i < n; i++)
        x[i] = (ak_real)ak_rng_normal(&rng);
}

struct net {
    struct ak_graph *g;
    struct ak_exec *e;
    uint32_t n;
    size_t in;
    ak_real *values, *x, *y;
    ak_real *weigh[2]; /* of the feature and of the output in the loss */
};

static void must(enum ak_status status, const struct ak_err *err)
{
    if (status != AK_OK)
        fail_msg("%s", err->text);
}

/* A loss that sees every value of the feature and of the output. */
static double loss_of(struct net *t)
{
    const uint32_t layers[] = {t->g->feature, t->g->output};
    struct ak_err err = {0};
    double loss = 0;

    must(ak_exec_load(t->e, t->values, &err), &err);
    must(ak_exec_forward(t->e, t->x, t->n, 5, &err), &err);
    for (int k = 0; k < 2; k++) {
        size_t size = t->n * ak_layer_size(&t->g->layers[layers[k]]);

        must(ak_exec_output(t->e, layers[k], t->y, &err), &err);
        for (size_t i = 0; i < size; i++)
            loss += t->y[i] * t->weigh[k][i];
    }
    return loss;
}

static double slope_at(struct net *t, ak_real *x, double step)
{
    ak_real was = *x;
    double up, down;

    *x = was + step;
    up = loss_of(t);
    *x = was - step;
    down = loss_of(t);
    *x = was;
    return (up - down) / (2 * step);
}

static void compare(struct net *t, ak_real *x, double gradient,
                    const char *what, size_t i)
{
    double tolerance = TOLERANCE * (1 + fabs(gradient));
    double slope = slope_at(t, x, STEP);

    /* Some value of many may pass the corner of a ReLU within the step; hardly
       one within a hundredth of it. */
    if (!(fabs(slope - gradient) <= tolerance))
        slope = slope_at(t, x, STEP / 100);
    if (!(fabs(slope - gradient) <= tolerance))
        fail_msg("%s %zu: gradient %.10g, difference %.10g", what, i, gradient,
                 slope);
}

static void check_graph(const char *text, uint32_t n)
{
    struct net t = {.n = n};
    const struct ak_exec_params params = {.batch = n, .train = true};
    struct ak_err err = {0};
    struct ak_exec_start starts[2];
    ak_real *grads, *dx;
    size_t most = 0;

    must(ak_graph_parse(text, strlen(text), &t.g, &err), &err);
    must(ak_exec_create("plain", t.g, &params, &t.e, &err), &err);
    for (uint32_t i = 0; i < t.g->n_layers; i++)
        if (ak_layer_size(&t.g->layers[i]) > most)
            most = ak_layer_size(&t.g->layers[i]);
    t.in = n * ak_layer_size(&t.g->layers[0]);
    t.values = reals(t.g->n_values);
    t.x = reals(t.in);
    t.y = reals(n * most);
    grads = reals(t.g->n_values);
    dx = reals(t.in);
    for (unsigned k = 0; k < 2; k++) {
        t.weigh[k] = reals(n * most);
        noise(t.weigh[k], n * most, 7 + k);
    }
    ak_weights_init(t.g, 3, t.values);
    /* No parameter at a value that hides a factor: gammas of 1, biases of 0. */
    for (size_t i = 0; i < t.g->n_values; i++)
        t.values[i] += 0.05 * (double)(i % 7);
    noise(t.x, t.in, 11);

    (void)loss_of(&t);
    starts[0] = (struct ak_exec_start){t.g->feature, t.weigh[0]};
    starts[1] = (struct ak_exec_start){t.g->output, t.weigh[1]};
    must(ak_exec_backward(t.e, starts, 2, grads, dx, &err), &err);
    for (uint32_t k = 0; k < t.g->n_params; k++) {
        const struct ak_param *p = &t.g->params[k];
        char name[AK_PARAM_TEXT];

        ak_param_name(t.g, p, name);
        for (size_t i = p->offset; i < p->offset + p->n; i++)
            if (p->role == AK_PARAM_MEAN || p->role == AK_PARAM_VAR)
                assert_true(grads[i] == 0);
            else
                compare(&t, &t.values[i], grads[i], name, i - p->offset);
    }
    for (size_t i = 0; i < t.in; i++)
        compare(&t, &t.x[i], dx[i], "input", i);
    for (int k = 0; k < 2; k++)
        ak_array_free(t.weigh[k]);
    ak_array_free(dx);
    ak_array_free(grads);
    ak_array_free(t.y);
    ak_array_free(t.x);
    ak_array_free(t.values);
    ak_exec_destroy(t.e);
    ak_graph_destroy(t.g);
}

#define HEAD "akin-net 1\ninput image 2 5 4\n"
#define TAIL "feature f\noutput l\n"

/* What a layer is given is not the input itself, and `f` has two users. */
static void check_layer(const char *line)
{
    char text[512];

    snprintf(text, sizeof(text),
             HEAD "conv c image out=4 k=1 bias=1\n%s\n"
                  "linear l f out=3\n" TAIL,
             line);
    check_graph(text, 3);
}

static void convolutions(void **state)
{
    (void)state;
    check_layer("conv f c out=3 k=3");
    check_layer("conv f c out=3 k=3 stride=2 pad=1 bias=1");
    check_layer("conv f c out=3 k=3,2 stride=2 pad=0,1,2,0");
    check_layer("conv f c out=3 k=3 stride=3 pad=same");
    check_layer("conv f c out=6 k=3 pad=1 groups=2 bias=1");
    check_layer("conv f c out=4 k=3 pad=1 groups=4");
}

static void linear_layers(void **state)
{
    (void)state;
    check_layer("linear f c out=5");
    check_layer("linear f c out=5 bias=0");
}

static void batch_normalisation(void **state)
{
    (void)state;
    check_layer("bn f c");
    check_layer("bn f c eps=0.1");
}

static void activations(void **state)
{
    (void)state;
    check_layer("relu f c");
    check_layer("relu6 f c");
    check_layer("prelu f c");
    check_layer("hardtanh f c");
    check_layer("tanh f c");
}

static void pooling(void **state)
{
    (void)state;
    check_layer("maxpool f c k=2");
    check_layer("maxpool f c k=3 stride=2 pad=1");
    check_layer("avgpool f c k=2,3 stride=1");
    check_layer("avgpool f c k=3 stride=2 pad=1");
    check_layer("gap f c");
}

static void joins(void **state)
{
    (void)state;
    check_layer("conv d image out=4 k=1\nadd f c,d");
    check_layer("add f c,c");
    check_layer("conv d image out=2 k=1\nconcat f c,d,c");
    check_layer("map f c stride=2 from=-1,2+2,-2,0+3");
    check_layer("dropout f c p=0.4");
}

/* Branches that part and meet again, as in the networks of the zoo. */
static void whole_networks(void **state)
{
    (void)state;
    check_graph("akin-net 1\ninput image 3 6 6\n"
                "conv conv1 image out=4 k=3 pad=1\nbn bn1 conv1\n"
                "relu relu1 bn1\n"
                "conv a1 relu1 out=4 k=3 pad=1\nbn a2 a1\nrelu a3 a2\n"
                "conv a4 a3 out=4 k=3 pad=1\nbn a5 a4\nadd a6 a5,relu1\n"
                "relu a7 a6\n"
                "conv b1 a7 out=8 k=3 stride=2 pad=1\nbn b2 b1\nrelu b3 b2\n"
                "conv b4 b3 out=8 k=3 pad=1\nbn b5 b4\n"
                "map b6 a7 stride=2 from=-2,0+4,-2\nadd b7 b5,b6\n"
                "prelu b8 b7\n"
                "gap f b8\nlinear h f out=6\ntanh t h\nlinear l t out=3\n"
                "feature t\noutput l\n",
                4);
    check_graph("akin-net 1\ninput image 3 6 6\n"
                "conv a image out=6 k=1\nbn b a\nrelu6 c b\n"
                "conv d c out=6 k=3 stride=2 pad=same groups=6\nbn e d\n"
                "relu6 g e\nconv h g out=4 k=1\nbn i h\n"
                "conv j i out=8 k=1\nconv k j out=4 k=1\nadd m k,i\n"
                "gap f m\nlinear l f out=3\n" TAIL,
                4);
}

/* ---- losses ------------------------------------------------------------- */

enum { ROWS = 3, CLASSES = 4, SIZE = ROWS * CLASSES };

static const uint32_t labels[ROWS] = {1, 3, 0};
static ak_real z[SIZE], other[SIZE], codes[SIZE + CLASSES];

static double loss_by(int which, ak_real *dz)
{
    switch (which) {
    case 0:
        return ak_loss_cross_entropy(0.7, z, labels, ROWS, CLASSES, 0, dz);
    case 1:
        return ak_loss_cross_entropy(1, z, labels, ROWS, CLASSES, 0.1, dz);
    case 2:
        return ak_loss_mse(0.7, z, other, ROWS, CLASSES, dz);
    case 3:
        return ak_loss_distill(0.7, z, other, ROWS, CLASSES, 4, dz);
    default:
        return ak_loss_code(0.7, z, labels, codes, ROWS, CLASSES, dz);
    }
}

static void losses(void **state)
{
    (void)state;
    noise(z, SIZE, 1);
    noise(other, SIZE, 2);
    for (size_t i = 0; i < SIZE + CLASSES; i++)
        codes[i] = i % 3 == 0 ? 1 : -1;
    for (int which = 0; which < 5; which++) {
        ak_real dz[SIZE];

        for (size_t i = 0; i < SIZE; i++)
            dz[i] = 100;
        (void)loss_by(which, dz);
        for (size_t i = 0; i < SIZE; i++) {
            ak_real was = z[i];
            double up, down;

            z[i] = was + STEP;
            up = loss_by(which, NULL);
            z[i] = was - STEP;
            down = loss_by(which, NULL);
            z[i] = was;
            /* It is added to what was there. */
            assert_near(dz[i] - 100, (up - down) / (2 * STEP), 1e-8);
        }
    }
}

static void losses_have_the_values_of_their_formulas(void **state)
{
    const ak_real two[] = {0, 0, 0, 0}, teacher[] = {2, 0, 0, 0};
    const ak_real code[] = {1, -1, 1, -1};
    const uint32_t label = 0;
    double e = exp(0.5);
    double p = e / (e + 3), q = 1 / (e + 3);

    (void)state;
    assert_near(ak_loss_cross_entropy(2, two, &label, 1, 4, 0.3, NULL),
                2 * log(4), 1e-12);
    assert_near(ak_loss_mse(3, two, code, 1, 4, NULL), 3, 1e-12);
    assert_near(ak_loss_code(1, teacher, &label, code, 1, 4, NULL), 1, 1e-12);
    assert_near(ak_loss_distill(1, two, teacher, 1, 4, 4, NULL),
                16 * (p * log(4 * p) + 3 * q * log(4 * q)), 1e-12);
    /* Scores too large for exp() alone. */
    {
        const ak_real large[] = {2000, 0, -2000, 0};

        assert_near(ak_loss_cross_entropy(1, large, &label, 1, 4, 0, NULL), 0,
                    1e-12);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convolutions),
        cmocka_unit_test(linear_layers),
        cmocka_unit_test(batch_normalisation),
        cmocka_unit_test(activations),
        cmocka_unit_test(pooling),
        cmocka_unit_test(joins),
        cmocka_unit_test(whole_networks),
        cmocka_unit_test(losses),
        cmocka_unit_test(losses_have_the_values_of_their_formulas),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
