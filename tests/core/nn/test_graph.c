/* graph.c and graph_text.c: shapes, width variables, and what is refused. */
#include "tests/test.h"

#include <stdlib.h>
#include <string.h>

#include "core/nn/graph.h"

#define HEAD "akin-net 1\ninput image 3 8 6\n"
#define TAIL "feature p\noutput l\n"

static struct ak_graph *parse(const char *text)
{
    struct ak_graph *g = NULL;
    struct ak_err err = {0};
    enum ak_status status = ak_graph_parse(text, strlen(text), &g, &err);

    if (status != AK_OK)
        fail_msg("%s", err.text);
    return g;
}

static const struct ak_layer *layer(const struct ak_graph *g, const char *name)
{
    uint32_t i = ak_graph_find(g, name);

    assert_int_not_equal(i, UINT32_MAX);
    return &g->layers[i];
}

static void assert_shape(const struct ak_graph *g, const char *name, uint32_t c,
                         uint32_t h, uint32_t w)
{
    const struct ak_layer *l = layer(g, name);

    assert_int_equal(l->c, c);
    assert_int_equal(l->h, h);
    assert_int_equal(l->w, w);
}

static void shapes_follow_from_options(void **state)
{
    struct ak_graph *g = parse(HEAD "conv a image out=4 k=3\n"
                                    "conv b image out=4 k=3,2 stride=2 pad=1\n"
                                    "conv c image out=4 k=3 stride=2 pad=same\n"
                                    "conv d image out=4 k=2 pad=0,0,1,1\n"
                                    "conv e d out=8 k=1 groups=4 bias=1\n"
                                    "maxpool f d k=3 stride=2 pad=1\n"
                                    "avgpool g d k=2\n"
                                    "map m d stride=3 from=-2,1+3,-1,0+1\n"
                                    "concat n g,g\n"
                                    "gap p n\n"
                                    "linear l d out=5\n" TAIL);

    (void)state;
    assert_shape(g, "a", 4, 6, 4);
    assert_shape(g, "b", 4, 4, 4);
    assert_shape(g, "c", 4, 4, 3);
    assert_shape(g, "d", 4, 8, 6);
    assert_shape(g, "e", 8, 8, 6);
    assert_shape(g, "f", 4, 4, 3);
    assert_shape(g, "g", 4, 4, 3);
    assert_shape(g, "m", 7, 3, 2);
    assert_shape(g, "n", 8, 4, 3);
    assert_shape(g, "p", 8, 1, 1);
    assert_shape(g, "l", 5, 1, 1);
    /* TensorFlow's odd row of padding is behind. */
    assert_int_equal(layer(g, "c")->pad[0], 0);
    assert_int_equal(layer(g, "c")->pad[2], 1);
    assert_int_equal(
        ak_graph_param(g, ak_graph_find(g, "l"), AK_PARAM_WEIGHT)->dims[1],
        4 * 8 * 6);
    assert_int_equal(
        ak_graph_param(g, ak_graph_find(g, "e"), AK_PARAM_WEIGHT)->dims[1], 1);
    assert_int_equal(ak_graph_param(g, ak_graph_find(g, "e"), AK_PARAM_BIAS)->n,
                     8);
    assert_null(ak_graph_param(g, ak_graph_find(g, "d"), AK_PARAM_BIAS));
    for (uint32_t i = 0; i < g->n_params; i++)
        assert_int_equal(g->params[i].offset % 16, 0);
    ak_graph_destroy(g);
}

static void a_depthwise_convolution_keeps_its_variable(void **state)
{
    struct ak_graph *g = parse(HEAD "conv a image out=4 k=3\n"
                                    "conv b a out=4 k=1 groups=4\n"
                                    "conv c a out=8 k=1\n"
                                    "conv d c out=8 k=1 groups=2\n"
                                    "gap p d\n"
                                    "linear l p out=5\n" TAIL);

    (void)state;
    assert_int_equal(layer(g, "a")->width, layer(g, "b")->width);
    assert_false(g->widths[layer(g, "a")->width].frozen);
    /* Groups of several channels cannot lose some. */
    assert_true(g->widths[layer(g, "c")->width].frozen);
    assert_true(g->widths[layer(g, "d")->width].frozen);
    ak_graph_destroy(g);
}

static void a_concat_is_a_composite(void **state)
{
    struct ak_graph *g = parse(HEAD "conv a image out=4 k=1\n"
                                    "conv b image out=2 k=1\n"
                                    "conv c image out=4 k=1\n"
                                    "add s a,c\n"
                                    "concat n s,b\n"
                                    "gap p n\n"
                                    "linear l p out=5\n" TAIL);
    const struct ak_width *w = &g->widths[layer(g, "n")->width];

    (void)state;
    assert_int_equal(w->n, 6);
    assert_int_equal(w->n_parts, 2);
    assert_int_equal(w->parts[0], layer(g, "a")->width);
    assert_int_equal(w->parts[0], layer(g, "c")->width);
    assert_int_equal(w->parts[1], layer(g, "b")->width);
    assert_false(w->frozen);
    ak_graph_destroy(g);
    /* Added to something else, its parts cannot change. */
    g = parse(HEAD "conv a image out=4 k=1\n"
                   "conv b image out=2 k=1\n"
                   "concat n a,b\n"
                   "conv c image out=6 k=1\n"
                   "add s c,n\n"
                   "gap p s\n"
                   "linear l p out=5\n" TAIL);
    assert_int_equal(layer(g, "n")->width, layer(g, "c")->width);
    assert_true(g->widths[layer(g, "a")->width].frozen);
    assert_true(g->widths[layer(g, "b")->width].frozen);
    assert_true(g->widths[layer(g, "s")->width].frozen);
    ak_graph_destroy(g);
}

static void what_is_wrong_is_said(void **state)
{
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"", "line 1 of the graph: must be \"akin-net 1\""},
        {"akin-net 1\n", "line 1 of the graph: ends without an input"},
        {"akin-net 1\ninput i 3 8\n", "line 2 of the graph: \"\" is no width"},
        {"akin-net 1\ninput i 5 8 8\n",
         "line 2 of the graph: 5 channels, must be 1..4"},
        {"akin-net 1\nrelu r i\n",
         "line 2 of the graph: relu, must be the input first"},
        {HEAD, "line 2 of the graph: ends without feature"},
        {HEAD "input j 3 8 8\n",
         "line 3 of the graph: input, must be the input first"},
        {HEAD "gelu a image\n",
         "line 3 of the graph: \"gelu\" is no kind of layer"},
        {HEAD "relu a b\n",
         "line 3 of the graph: there is no layer \"b\" above"},
        {HEAD "relu image image\n",
         "line 3 of the graph: a second layer \"image\""},
        {HEAD "relu a/b image\n", "line 3 of the graph: \"a/b\" is no name"},
        {HEAD "relu a image,image\n",
         "line 3 of the graph: relu takes 1 inputs, not more"},
        {HEAD "add a image\n",
         "line 3 of the graph: add needs 2 inputs, has 1"},
        {HEAD "conv a image k=3\n", "line 3 of the graph: conv needs out="},
        {HEAD "conv a image out=3 k=3 k=3\n",
         "line 3 of the graph: k is given twice"},
        {HEAD "conv a image out=3 k=9\n",
         "line 3 of the graph: a kernel of 9x9 does not fit an input of 8x6"},
        {HEAD "conv a image out=3 k=3 pad=3\n",
         "line 3 of the graph: pad is 3,3,3,3, must be below the kernel's "
         "3x3"},
        {HEAD "conv a image out=3 k=3 pad=1,1\n",
         "line 3 of the graph: 2 values of pad, must be 1 or 4"},
        {HEAD "conv a image out=4 k=3 groups=2\n",
         "line 3 of the graph: 2 groups, must divide both 3 and 4 channels"},
        {HEAD "conv a image out=0 k=3\n",
         "line 3 of the graph: out is 0, must be 1..16384"},
        {HEAD "conv a image out=03 k=3\n",
         "line 3 of the graph: \"03\" is no out"},
        {HEAD "relu a image k=3\n",
         "line 3 of the graph: relu has no option \"k\""},
        {HEAD "conv a image out=3 k=3\nadd b a,image\n",
         "line 4 of the graph: inputs are 3x6x4 and 3x8x6, must be alike"},
        {HEAD "conv a image out=3 k=3\nconcat b a,image\n",
         "line 4 of the graph: inputs are 6x4 and 8x6, must be alike"},
        {HEAD "map a image from=0+4\n",
         "line 3 of the graph: takes channels 0 to 3 of an input with 3"},
        {HEAD "map a image from=16384+1\n",
         "line 3 of the graph: takes channels 16384 to 16384 of an input with "
         "3"},
        {HEAD "map a image from=-16384,-1\n",
         "line 3 of the graph: more than 16384 channels are not possible"},
        {HEAD "bn a image eps=nan\n", "line 3 of the graph: \"nan\" is no eps"},
        {HEAD "bn a image eps=2\n",
         "line 3 of the graph: eps is 2, must be 1e-12..1"},
        {"akin-net 1\ninput i 3 8 8 std=1,0,1\n",
         "line 2 of the graph: std is 0, must be 1e-06..1e+06"},
        {"akin-net 1\ninput i 3 8 8 std=1,1,1,1\n",
         "line 2 of the graph: more than 3 values of std"},
        {HEAD "feature image\nfeature image\n",
         "line 4 of the graph: a second feature"},
        {HEAD "feature image\n", "line 3 of the graph: ends without output"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ak_graph *g = NULL;
        struct ak_err err = {0};

        assert_status(
            ak_graph_parse(cases[i].text, strlen(cases[i].text), &g, &err),
            strstr(cases[i].why, "not possible") ? AK_ELIMIT : AK_EINVAL);
        assert_string_equal(err.text, cases[i].why);
        assert_null(g);
    }
}

static void what_is_too_large_is_refused(void **state)
{
    struct ak_graph *g = NULL;
    struct ak_err err = {0};
    const char *wide = "akin-net 1\ninput image 3 2048 2048\n"
                       "conv p image out=16384 k=1\n"
                       "linear l p out=1\n" TAIL;
    const char *deep = "akin-net 1\ninput image 3 1 1\n"
                       "conv a image out=16384 k=1\n"
                       "conv p a out=16384 k=1\n"
                       "linear l p out=1\n" TAIL;
    const char *grows = "akin-net 1\ninput image 3 2048 2048\n"
                        "conv p image out=1 k=2 pad=1\n"
                        "linear l p out=1\n" TAIL;

    (void)state;
    assert_status(ak_graph_parse(wide, strlen(wide), &g, &err), AK_ELIMIT);
    assert_string_equal(err.text,
                        "layer p: more than 268435456 values of one image");
    assert_status(ak_graph_parse(deep, strlen(deep), &g, &err), AK_ELIMIT);
    assert_string_equal(err.text,
                        "layer p: more than 268435456 values of parameters");
    assert_status(ak_graph_parse(grows, strlen(grows), &g, &err), AK_ELIMIT);
    assert_string_equal(err.text, "line 3 of the graph: an output of "
                                  "2049x2049, at most 2048x2048");
}

static void parameters_have_the_names_of_pytorch(void **state)
{
    static const char *const names[] = {
        "a.weight",      "n.weight", "n.bias",   "n.running_mean",
        "n.running_var", "r.weight", "l.weight", "l.bias",
    };
    struct ak_graph *g = parse(HEAD "conv a image out=4 k=1\n"
                                    "bn n a\n"
                                    "prelu r n\n"
                                    "gap p r\n"
                                    "linear l p out=5\n" TAIL);
    char text[AK_PARAM_TEXT];

    (void)state;
    assert_int_equal(g->n_params, sizeof(names) / sizeof(names[0]));
    for (uint32_t i = 0; i < g->n_params; i++) {
        ak_param_name(g, &g->params[i], text);
        assert_string_equal(text, names[i]);
    }
    ak_graph_destroy(g);
}

static void pixels_are_normalised_by_channel(void **state)
{
    struct ak_graph *g =
        parse("akin-net 1\ninput image 2 1 2 mean=0.5,0 std=0.5,2\n"
              "gap p image\nlinear l p out=2\n" TAIL);
    const uint8_t pixels[] = {0, 255, 255, 51};
    float out[4];

    (void)state;
    ak_graph_normalise(g, pixels, out);
    assert_float_equal(out[0], -1.0f, 1e-6);
    assert_float_equal(out[1], 1.0f, 1e-6);
    assert_float_equal(out[2], 0.5f, 1e-6);
    assert_float_equal(out[3], 0.1f, 1e-6);
    ak_graph_destroy(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes_follow_from_options),
        cmocka_unit_test(a_depthwise_convolution_keeps_its_variable),
        cmocka_unit_test(a_concat_is_a_composite),
        cmocka_unit_test(what_is_wrong_is_said),
        cmocka_unit_test(what_is_too_large_is_refused),
        cmocka_unit_test(parameters_have_the_names_of_pytorch),
        cmocka_unit_test(pixels_are_normalised_by_channel),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
