#include "tests/test.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/extract/network.h"
#include "core/image/resize.h"
#include "core/nn/exec.h"
#include "core/nn/weights.h"
#include "core/nn/zoo.h"

#define N_IMAGES  6
#define N_THREADS 4
#define MAX_DIM   64

static struct ak_model model_of(struct ak_graph *g)
{
    struct ak_model m = {.g = g};
    struct ak_rng rng;

    m.values = ak_array_new(g->n_values, sizeof(*m.values));
    assert_non_null(m.values);
    ak_weights_init(g, 5, m.values);
    /* Normalisations that do something. */
    ak_rng_init(&rng, 6);
    for (uint32_t i = 0; i < g->n_params; i++)
        for (size_t k = 0; k < g->params[i].n; k++) {
            float *v = m.values + g->params[i].offset + k;

            if (g->params[i].role == AK_PARAM_MEAN ||
                g->params[i].role == AK_PARAM_BETA)
                *v = 0.1f * ak_rng_normal(&rng);
        }
    return m;
}

static struct ak_model model(const char *arch)
{
    struct ak_graph *g = NULL;

    assert_status(ak_arch_graph(arch, 0, &g, NULL), AK_OK);
    return model_of(g);
}

static struct ak_model model_of_text(const char *text)
{
    struct ak_graph *g = NULL;
    struct ak_err err = {0};

    if (ak_graph_parse(text, strlen(text), &g, &err) != AK_OK)
        fail_msg("%s", err.text);
    return model_of(g);
}

static struct ak_extractor *extractor(const char *arch, const char *engine,
                                      unsigned computers)
{
    struct ak_model m = model(arch);
    struct ak_extractor *e = NULL;
    struct ak_err err = {0};

    if (ak_network_create("net", &m, engine, computers, &e, &err) != AK_OK)
        fail_msg("%s", err.text);
    assert_null(m.g);
    return e;
}

/* Image i: of a size of its own, grey or not. */
static void make_image(int i, struct ak_image *out)
{
    static const uint32_t sizes[N_IMAGES][2] = {{32, 32}, {1, 1},   {7, 90},
                                                {64, 64}, {33, 31}, {200, 5}};
    struct ak_rng rng;

    ak_rng_init(&rng, 100 + (uint64_t)i);
    assert_status(
        ak_image_init(out, sizes[i][0], sizes[i][1], i % 2 ? 1 : 3, NULL),
        AK_OK);
    for (size_t k = 0; k < ak_image_len(out); k++)
        out->pixels[k] = (uint8_t)ak_rng_u64(&rng);
}

static void extract(const struct ak_extractor *e, int i, float *out)
{
    struct ak_image image = {0};
    struct ak_err err = {0};

    make_image(i, &image);
    if (ak_extractor_extract(e, &image, out, &err) != AK_OK)
        fail_msg("%s", err.text);
    ak_image_clear(&image);
}

/* The slow way: by the header's words, with the plain engine. */
static void expected(const char *arch, int i, float *out)
{
    const struct ak_exec_params params = {.batch = 1};
    struct ak_model m = model(arch);
    const struct ak_layer *in = &m.g->layers[0];
    struct ak_image image = {0}, small = {0};
    struct ak_exec *exec = NULL;
    float *x = calloc(ak_layer_size(in), sizeof(*x));

    make_image(i, &image);
    assert_status(ak_image_resize(&image, in->w, in->h, &small, NULL), AK_OK);
    for (uint32_t c = 0; c < in->c; c++)
        for (uint32_t p = 0; p < in->h * in->w; p++) {
            uint8_t byte =
                small
                    .pixels[p * small.channels + (small.channels == 3 ? c : 0)];

            x[c * in->h * in->w + p] =
                ((float)byte / 255.0f - in->mean[c]) / in->std[c];
        }
    assert_status(ak_exec_create("plain", m.g, &params, &exec, NULL), AK_OK);
    assert_status(ak_exec_load(exec, m.values, NULL), AK_OK);
    assert_status(ak_exec_forward(exec, x, 1, 0, NULL), AK_OK);
    assert_status(ak_exec_output(exec, m.g->feature, out, NULL), AK_OK);
    ak_exec_destroy(exec);
    ak_image_clear(&small);
    ak_image_clear(&image);
    ak_model_clear(&m);
    free(x);
}

static void a_feature_is_what_the_plain_engine_says(void **state)
{
    static const char *const archs[] = {"tiny", "resnet20"};

    (void)state;
    for (size_t a = 0; a < 2; a++) {
        struct ak_extractor *fast = extractor(archs[a], NULL, 1);
        struct ak_extractor *plain = extractor(archs[a], "plain", 1);

        assert_int_equal(fast->width, 32);
        assert_int_equal(fast->height, 32);
        assert_true(fast->dim <= MAX_DIM);
        for (int i = 0; i < (a == 0 ? N_IMAGES : 2); i++) {
            float want[MAX_DIM], got[MAX_DIM], same[MAX_DIM];
            double size = 0;

            expected(archs[a], i, want);
            extract(plain, i, same);
            assert_memory_equal(want, same, fast->dim * sizeof(float));
            extract(fast, i, got);
            for (uint32_t k = 0; k < fast->dim; k++)
                size = fmax(size, fabs((double)want[k]));
            /* 20 layers of sums of some hundred floats, in another order. */
            for (uint32_t k = 0; k < fast->dim; k++)
                assert_true(fabs((double)(got[k] - want[k])) < 1e-4 * size);
        }
        ak_extractor_unref(fast);
        ak_extractor_unref(plain);
    }
}

struct asker {
    pthread_t thread;
    const struct ak_extractor *e;
    int first;
    float x[2 * N_IMAGES][MAX_DIM];
};

static void *ask(void *arg)
{
    struct asker *a = arg;

    for (int i = 0; i < 2 * N_IMAGES; i++)
        extract(a->e, (a->first + i) % N_IMAGES, a->x[i]);
    return NULL;
}

/* Alone, among others in any order, in any thread, with fewer computers than
   threads and with enough. */
static void the_same_image_has_the_same_bytes_wherever_it_comes(void **state)
{
    struct ak_extractor *alone = extractor("tiny", NULL, 1);
    float want[N_IMAGES][MAX_DIM];

    (void)state;
    for (int i = 0; i < N_IMAGES; i++)
        extract(alone, i, want[i]);
    ak_extractor_unref(alone);
    for (unsigned computers = 1; computers <= N_THREADS; computers += 3) {
        struct ak_extractor *e = extractor("tiny", NULL, computers);
        struct asker *askers = calloc(N_THREADS, sizeof(*askers));

        for (int t = 0; t < N_THREADS; t++) {
            askers[t].e = e;
            askers[t].first = t;
            assert_int_equal(
                pthread_create(&askers[t].thread, NULL, ask, &askers[t]), 0);
        }
        for (int t = 0; t < N_THREADS; t++) {
            assert_int_equal(pthread_join(askers[t].thread, NULL), 0);
            for (int i = 0; i < 2 * N_IMAGES; i++)
                assert_memory_equal(askers[t].x[i], want[(t + i) % N_IMAGES],
                                    e->dim * sizeof(float));
        }
        free(askers);
        ak_extractor_unref(e);
    }
}

static void it_holds_no_more_computers_than_it_may(void **state)
{
    struct ak_extractor *e = extractor("tiny", NULL, 1);
    struct asker askers[2] = {{.e = e}, {.e = e, .first = 1}};
    size_t before = ak_network_bytes(e);

    (void)state;
    for (int t = 0; t < 2; t++)
        assert_int_equal(
            pthread_create(&askers[t].thread, NULL, ask, &askers[t]), 0);
    for (int t = 0; t < 2; t++)
        assert_int_equal(pthread_join(askers[t].thread, NULL), 0);
    assert_int_equal(ak_network_bytes(e), before);
    ak_extractor_unref(e);
}

static void grey_networks_take_the_luma(void **state)
{
    struct ak_model m = model_of_text("akin-net 1\n"
                                      "input image 1 2 2 mean=0 std=1\n"
                                      "gap pool image\n"
                                      "linear linear pool out=2\n"
                                      "feature pool\n"
                                      "output linear\n");
    struct ak_image image = {0};
    struct ak_extractor *e = NULL;
    float out;

    (void)state;
    assert_status(ak_network_create("grey", &m, NULL, 1, &e, NULL), AK_OK);
    assert_int_equal(e->dim, 1);
    assert_status(ak_image_init(&image, 2, 2, 3, NULL), AK_OK);
    for (int i = 0; i < 4; i++)
        image.pixels[3 * i] = 255; /* red: a luma of 76 */
    assert_status(ak_extractor_extract(e, &image, &out, NULL), AK_OK);
    assert_true(fabsf(out - 76.0f / 255.0f) < 1e-6f);
    ak_image_clear(&image);
    ak_extractor_unref(e);
}

static void what_cannot_be_an_extractor_is_refused(void **state)
{
    static const struct {
        const char *text;
        enum ak_status status;
        const char *why;
    } cases[] = {
        {"akin-net 1\ninput image 2 8 8 mean=0,0 std=1,1\ngap pool image\n"
         "linear linear pool out=2\nfeature pool\noutput linear\n",
         AK_EINVAL, "channels"},
        {"akin-net 1\ninput image 3 256 256 mean=0,0,0 std=1,1,1\n"
         "gap pool image\nlinear linear pool out=2\nfeature image\n"
         "output linear\n",
         AK_ELIMIT, "numbers"},
        {"akin-net 1\ninput image 3 2048 2048 mean=0,0,0 std=1,1,1\n"
         "conv conv1 image out=512 k=3 pad=1 stride=4\ngap pool conv1\n"
         "linear linear pool out=2\nfeature pool\noutput linear\n",
         AK_ELIMIT, "values"},
        {"akin-net 1\ninput image 3 256 256 mean=0,0,0 std=1,1,1\n"
         "conv conv1 image out=64 k=3 pad=1\n"
         "conv conv2 conv1 out=256 k=7 pad=3\ngap pool conv2\n"
         "linear linear pool out=2\nfeature pool\noutput linear\n",
         AK_ELIMIT, "products"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ak_model m = model_of_text(cases[i].text);
        struct ak_extractor *e = NULL;
        struct ak_err err = {0};

        assert_status(ak_network_create("net", &m, NULL, 1, &e, &err),
                      cases[i].status);
        if (strstr(err.text, cases[i].why) == NULL)
            fail_msg("%s", err.text);
        assert_non_null(m.g); /* still the caller's */
        ak_model_clear(&m);
    }
}

static void a_feature_that_is_not_finite_is_told(void **state)
{
    struct ak_model m = model_of_text("akin-net 1\n"
                                      "input image 3 2 2 mean=0,0,0 std=1,1,1\n"
                                      "gap pool image\n"
                                      "linear linear pool out=2\n"
                                      "feature linear\n"
                                      "output linear\n");
    struct ak_extractor *e = NULL;
    struct ak_image image = {0};
    float out[MAX_DIM];

    (void)state;
    for (size_t i = 0; i < m.g->n_values; i++)
        m.values[i] = 3e38f; /* twice that is none any more */
    assert_status(ak_network_create("net", &m, NULL, 1, &e, NULL), AK_OK);
    assert_status(ak_image_init(&image, 2, 2, 3, NULL), AK_OK);
    assert_status(ak_extractor_extract(e, &image, out, NULL), AK_OK);
    memset(image.pixels, 255, ak_image_len(&image));
    assert_status(ak_extractor_extract(e, &image, out, NULL), AK_ENUMERIC);
    ak_image_clear(&image);
    ak_extractor_unref(e);
    ak_extractor_unref(NULL);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_feature_is_what_the_plain_engine_says),
        cmocka_unit_test(the_same_image_has_the_same_bytes_wherever_it_comes),
        cmocka_unit_test(it_holds_no_more_computers_than_it_may),
        cmocka_unit_test(grey_networks_take_the_luma),
        cmocka_unit_test(what_cannot_be_an_extractor_is_refused),
        cmocka_unit_test(a_feature_that_is_not_finite_is_told),
    };

    return cmocka_run_group_tests_name("network", tests, NULL, NULL);
}
