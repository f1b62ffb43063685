/* optim.c, augment.c and train.c: steps by hand, and trainings that go on. */
#include "tests/test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/nn/evaluate.h"
#include "core/nn/train.h"
#include "core/nn/weights.h"

static void must(enum ak_status status, const struct ak_err *err)
{
    if (status != AK_OK)
        fail_msg("%s", err->text);
}

static void assert_near(double actual, double expected, double tolerance)
{
    if (!(fabs(actual - expected) <= tolerance))
        fail_msg("%.9g, must be %.9g", actual, expected);
}

/* ---- schedules ---------------------------------------------------------------- */

static void rates_follow_their_schedule(void **state)
{
    const struct ak_schedule step = {.kind = AK_SCHEDULE_STEP,
                                     .rate = 0.1,
                                     .factor = 0.1,
                                     .marks = {0.5, 0.75},
                                     .n_marks = 2};
    const struct ak_schedule cosine = {
        .kind = AK_SCHEDULE_COSINE, .rate = 0.4, .warmup = 0.2};
    const struct ak_schedule triangle = {.kind = AK_SCHEDULE_TRIANGULAR,
                                         .rate = 0.2,
                                         .marks = {0.25},
                                         .n_marks = 1};

    (void)state;
    assert_near(ak_schedule_rate(&step, 0), 0.1, 1e-12);
    assert_near(ak_schedule_rate(&step, 0.4999), 0.1, 1e-12);
    assert_near(ak_schedule_rate(&step, 0.5), 0.01, 1e-12);
    assert_near(ak_schedule_rate(&step, 0.9), 0.001, 1e-12);
    assert_near(ak_schedule_rate(&cosine, 0.1), 0.2, 1e-12);
    assert_near(ak_schedule_rate(&cosine, 0.2), 0.4, 1e-12);
    assert_near(ak_schedule_rate(&cosine, 0.6), 0.2, 1e-12);
    assert_near(ak_schedule_rate(&cosine, 1), 0, 1e-12);
    assert_near(ak_schedule_rate(&triangle, 0.125), 0.1, 1e-12);
    assert_near(ak_schedule_rate(&triangle, 0.25), 0.2, 1e-12);
    assert_near(ak_schedule_rate(&triangle, 0.625), 0.1, 1e-12);
}

static void wrong_schedules_are_refused(void **state)
{
    struct ak_schedule s = {.kind = AK_SCHEDULE_STEP,
                            .rate = 0.1,
                            .factor = 0.1,
                            .marks = {0.5, 0.5},
                            .n_marks = 2};
    struct ak_err err = {0};

    (void)state;
    assert_status(ak_schedule_check(&s, &err), AK_EINVAL);
    assert_string_equal(err.text, "mark 1 is 0.5, must be above 0.5 and "
                                  "below 1");
    s.n_marks = 1;
    assert_status(ak_schedule_check(&s, &err), AK_OK);
    s.factor = 0;
    assert_status(ak_schedule_check(&s, &err), AK_EINVAL);
    s.rate = NAN;
    assert_status(ak_schedule_check(&s, &err), AK_EINVAL);
    s = (struct ak_schedule){.kind = AK_SCHEDULE_TRIANGULAR, .rate = 1};
    assert_status(ak_schedule_check(&s, &err), AK_EINVAL);
    assert_string_equal(err.text, "0 marks, must be 1");
    s = (struct ak_schedule){.rate = 1, .warmup = 1};
    assert_status(ak_schedule_check(&s, &err), AK_EINVAL);
}

/* ---- optimisers ----------------------------------------------------------------- */

enum { WEIGHTS = 20, STEPS = 5 };

static struct ak_graph *linear(void)
{
    const char *text = "akin-net 1\ninput x 1 1 10\nlinear l x out=2\nbn b l\n"
                       "feature l\noutput b\n";
    struct ak_graph *g = NULL;
    struct ak_err err = {0};

    must(ak_graph_parse(text, strlen(text), &g, &err), &err);
    return g;
}

/* The formulas of PyTorch's documentation, in doubles. */
static double by_hand(enum ak_optim_kind kind, double w, double decay,
                      const double *grads)
{
    double v = 0, m = 0, s = 0;

    for (int t = 1; t <= STEPS; t++) {
        double g = grads[t - 1] + decay * w;

        v = 0.9 * v + g;
        m = 0.9 * m + 0.1 * g;
        s = 0.99 * s + 0.01 * g * g;
        if (kind == AK_OPTIM_SGD)
            w -= 0.1 * v;
        else if (kind == AK_OPTIM_NESTEROV)
            w -= 0.1 * (g + 0.9 * v);
        else
            w -= 0.1 * (m / (1 - pow(0.9, t))) /
                 (sqrt(s / (1 - pow(0.99, t))) + 1e-8);
    }
    return w;
}

static void steps_are_those_of_the_formulas(void **state)
{
    struct ak_graph *g = linear();

    (void)state;
    for (unsigned kind = AK_OPTIM_SGD; kind <= AK_OPTIM_ADAM; kind++) {
        const struct ak_optim_params params = {
            .kind = (enum ak_optim_kind)kind,
            .momentum = 0.9,
            .second = 0.99,
            .tiny = 1e-8,
            .groups = {{1u << AK_PARAM_WEIGHT, "l", 1, 0.05}, {0, NULL, 1, 0}},
            .n_groups = 2};
        float *values = ak_array_new(g->n_values, sizeof(*values));
        float *grads = ak_array_new(g->n_values, sizeof(*grads));
        const struct ak_param *bias = ak_graph_param(g, 1, AK_PARAM_BIAS);
        const struct ak_param *var = ak_graph_param(g, 2, AK_PARAM_VAR);
        struct ak_optim *o = NULL;
        struct ak_err err = {0};

        assert_true(values != NULL && grads != NULL);
        must(ak_optim_create(g, &params, &o, &err), &err);
        for (size_t i = 0; i < g->n_params; i++)
            for (size_t k = 0; k < g->params[i].n; k++)
                values[g->params[i].offset + k] = 0.5f + 0.1f * (float)k;
        for (int t = 0; t < STEPS; t++) {
            for (size_t i = 0; i < g->n_params; i++)
                for (size_t k = 0; k < g->params[i].n; k++)
                    grads[g->params[i].offset + k] =
                        0.3f * (float)(t - 1) + 0.021f * (float)k;
            ak_optim_step(o, 0.1, grads, values);
        }
        for (size_t k = 0; k < WEIGHTS; k++) {
            double series[STEPS];

            for (int t = 0; t < STEPS; t++)
                series[t] = 0.3 * (t - 1) + 0.021 * (double)k;
            assert_near((double)values[k],
                        by_hand((enum ak_optim_kind)kind, 0.5 + 0.1 * (double)k,
                                0.05, series),
                        2e-5);
            if (k < 2)
                assert_near((double)values[bias->offset + k],
                            by_hand((enum ak_optim_kind)kind,
                                    0.5 + 0.1 * (double)k, 0, series),
                            2e-5);
        }
        /* Neither running statistics nor what pads a parameter move. */
        assert_true(values[var->offset] == 0.5f && values[WEIGHTS] == 0.0f);
        ak_optim_destroy(o);
        ak_array_free(values);
        ak_array_free(grads);
    }
    ak_graph_destroy(g);
}

static void a_parameter_without_a_group_is_an_error(void **state)
{
    const struct ak_optim_params params = {
        .kind = AK_OPTIM_SGD,
        .groups = {{1u << AK_PARAM_WEIGHT, NULL, 1, 0}},
        .n_groups = 1};
    struct ak_graph *g = linear();
    struct ak_optim *o = NULL;
    struct ak_err err = {0};

    (void)state;
    assert_status(ak_optim_create(g, &params, &o, &err), AK_EINVAL);
    assert_string_equal(err.text, "l.bias is in no group");
    ak_graph_destroy(g);
}

/* ---- augmentation ---------------------------------------------------------------- */

/* Every output is the image moved by some (dy, dx), mirrored or not; with
   enough draws all of them come. */
static void images_are_moved_and_mirrored(void **state)
{
    const char *text = "akin-net 1\ninput x 1 3 4\nlinear l x out=2\n"
                       "feature l\noutput l\n";
    const struct ak_augment augment = {.pad = 1, .mirror = true};
    struct ak_graph *g = NULL;
    struct ak_byte_table table;
    struct ak_rng rng;
    uint8_t pixels[12];
    bool seen[3][3][2] = {{{0}}};
    int kinds = 0;

    (void)state;
    must(ak_graph_parse(text, strlen(text), &g, NULL), &(struct ak_err){0});
    ak_byte_table_init(&table, g);
    for (uint8_t i = 0; i < 12; i++)
        pixels[i] = (uint8_t)(20 * (i + 1));
    ak_rng_init(&rng, 5);
    for (int draw = 0; draw < 300; draw++) {
        float out[12];
        int fits = 0;

        ak_augment_image(&augment, g, &table, pixels, &rng, out);
        for (int k = 0; k < 18; k++) {
            int dy = k / 6 - 1, dx = k / 2 % 3 - 1, mirror = k % 2;
            bool same = true;

            for (int i = 0; i < 12; i++) {
                int y = i / 4 + dy, x = (mirror ? 3 - i % 4 : i % 4) + dx;
                bool black = y < 0 || y > 2 || x < 0 || x > 3;

                same = same &&
                       out[i] ==
                           (black ? 0.0f : (float)pixels[4 * y + x] / 255.0f);
            }
            fits += same;
            if (same)
                seen[dy + 1][dx + 1][mirror] = true;
        }
        assert_int_equal(fits, 1);
    }
    for (int k = 0; k < 18; k++)
        kinds += seen[k / 6][k / 2 % 3][k % 2];
    assert_int_equal(kinds, 18);
    ak_graph_destroy(g);
}

/* ---- training -------------------------------------------------------------------- */

enum { IMAGES = 64, BATCH = 16, SIZE = 3 * 8 * 8 };

/* Images whose class shows in which channels are bright, or striped. */
struct set {
    uint8_t pixels[IMAGES * SIZE];
    uint32_t labels[IMAGES];
    struct ak_pictures view;
    struct ak_graph *g;
};

static void make_set(struct set *s)
{
    const char *text = "akin-net 1\ninput image 3 8 8 mean=0.3,0.3,0.3 "
                       "std=0.2,0.2,0.2\n"
                       "conv c image out=16 k=3 pad=1\nbn b c\nrelu r b\n"
                       "conv d r out=16 k=3 pad=1\nbn e d\nadd a e,r\n"
                       "relu q a\ngap f q\ndropout o f p=0.1\n"
                       "linear l o out=10\nfeature f\noutput l\n";
    struct ak_rng rng;

    ak_rng_init(&rng, 2);
    for (size_t i = 0; i < IMAGES; i++) {
        s->labels[i] = (uint32_t)(i % 10);
        for (size_t k = 0; k < SIZE; k++)
            s->pixels[i * SIZE + k] =
                (uint8_t)(ak_rng_below(&rng, 40) + 50 * (i % 10 >> k / 64 & 1) +
                          (i % 10 > 7 && k % 2 ? 100 : 0));
    }
    s->view = (struct ak_pictures){s->pixels, SIZE, s->labels, IMAGES};
    must(ak_graph_parse(text, strlen(text), &s->g, NULL), &(struct ak_err){0});
}

static struct ak_train_params params_of(const char *engine, uint32_t epochs)
{
    struct ak_train_params p;

    ak_train_defaults(&p);
    p.engine = engine;
    p.batch = BATCH;
    p.epochs = epochs;
    p.augment = (struct ak_augment){.pad = 0, .mirror = false};
    p.schedule.rate = 0.1;
    return p;
}

static void steps(struct ak_trainer *t, unsigned n)
{
    struct ak_err err = {0};

    while (n-- > 0)
        must(ak_trainer_step(t, &err), &err);
}

static void a_network_learns_its_images_by_heart(void **state)
{
    static struct set s;
    struct ak_train_params p;
    struct ak_trainer *t = NULL;
    struct ak_err err = {0};
    double first;

    (void)state;
    make_set(&s);
    p = params_of(NULL, 60 / test_stride());
    must(ak_trainer_create(s.g, &s.view, &p, NULL, &t, &err), &err);
    steps(t, 4);
    first = ak_trainer_state(t)->loss;
    assert_true(first > 1.5);
    steps(t, 4 * p.epochs - 4);
    assert_int_equal(ak_trainer_state(t)->step, ak_trainer_state(t)->steps);
    assert_true(ak_trainer_state(t)->loss < first);
    if (test_stride() == 1) {
        assert_true(ak_trainer_state(t)->accuracy > 0.95);
        assert_true(ak_trainer_state(t)->loss < 0.3 * first);
    }
    ak_trainer_destroy(t);
    ak_graph_destroy(s.g);
}

static void a_saved_training_goes_on_to_the_same_bytes(void **state)
{
    static struct set s;

    (void)state;
    make_set(&s);
    for (size_t k = 0; ak_exec_engine(k) != NULL; k++)
        for (unsigned type = 0; type < 2; type++) {
            struct ak_train_params p = params_of(ak_exec_engine(k), 3);
            struct ak_trainer *whole = NULL, *first = NULL, *second = NULL;
            struct ak_writer w = {0};
            struct ak_err err = {0};

            p.type = (enum ak_exec_type)type;
            p.augment = (struct ak_augment){.pad = 1, .mirror = true};
            if (!ak_exec_can(p.engine, p.type))
                continue;
            must(ak_trainer_create(s.g, &s.view, &p, NULL, &whole, &err), &err);
            must(ak_trainer_create(s.g, &s.view, &p, NULL, &first, &err), &err);
            steps(whole, 12);
            steps(first, 6);
            must(ak_trainer_save(first, &w, &err), &err);
            ak_trainer_destroy(first);
            must(ak_trainer_create(s.g, &s.view, &p, NULL, &second, &err),
                 &err);
            must(ak_trainer_load(second, w.data, w.len, &err), &err);
            assert_int_equal(ak_trainer_state(second)->step, 6);
            steps(second, 6);
            assert_memory_equal(ak_trainer_values(whole),
                                ak_trainer_values(second),
                                s.g->n_values * sizeof(float));
            assert_true(ak_trainer_state(whole)->loss ==
                        ak_trainer_state(second)->loss);
            ak_writer_clear(&w);
            ak_trainer_destroy(whole);
            ak_trainer_destroy(second);
        }
    ak_graph_destroy(s.g);
}

static void other_seeds_give_other_values(void **state)
{
    static struct set s;
    struct ak_train_params p;
    struct ak_trainer *a = NULL, *b = NULL, *c = NULL;
    struct ak_err err = {0};

    (void)state;
    make_set(&s);
    p = params_of(NULL, 2);
    must(ak_trainer_create(s.g, &s.view, &p, NULL, &a, &err), &err);
    must(ak_trainer_create(s.g, &s.view, &p, NULL, &b, &err), &err);
    p.seed = 1;
    must(ak_trainer_create(s.g, &s.view, &p, ak_trainer_values(a), &c, &err),
         &err);
    steps(a, 3);
    steps(b, 3);
    steps(c, 3);
    assert_memory_equal(ak_trainer_values(a), ak_trainer_values(b),
                        s.g->n_values * sizeof(float));
    assert_memory_not_equal(ak_trainer_values(a), ak_trainer_values(c),
                            s.g->n_values * sizeof(float));
    ak_trainer_destroy(a);
    ak_trainer_destroy(b);
    ak_trainer_destroy(c);
    ak_graph_destroy(s.g);
}

static void checkpoints_of_something_else_are_refused(void **state)
{
    static struct set s;
    struct ak_train_params p;
    struct ak_trainer *a = NULL, *b = NULL;
    struct ak_writer w = {0};
    struct ak_err err = {0};
    float *before;

    (void)state;
    make_set(&s);
    p = params_of(NULL, 2);
    before = ak_array_new(s.g->n_values, sizeof(*before));
    assert_non_null(before);
    must(ak_trainer_create(s.g, &s.view, &p, NULL, &a, &err), &err);
    steps(a, 1);
    must(ak_trainer_save(a, &w, &err), &err);
    p.schedule.rate = 0.3;
    must(ak_trainer_create(s.g, &s.view, &p, NULL, &b, &err), &err);
    memcpy(before, ak_trainer_values(b), s.g->n_values * sizeof(*before));
    assert_status(ak_trainer_load(b, w.data, w.len, &err), AK_EINVAL);
    assert_string_equal(err.text, "a checkpoint of other images or parameters");
    assert_status(ak_trainer_load(b, w.data, 9, &err), AK_ECORRUPT);
    assert_status(ak_trainer_load(a, w.data, w.len - 5, &err), AK_ECORRUPT);
    for (size_t i = 0; i < w.len; i += 37 * test_stride()) {
        w.data[i] ^= 1;
        assert_int_not_equal(ak_trainer_load(a, w.data, w.len, NULL), AK_OK);
        w.data[i] ^= 1;
    }
    assert_memory_equal(before, ak_trainer_values(b),
                        s.g->n_values * sizeof(*before));
    assert_status(ak_trainer_load(a, w.data, w.len, &err), AK_OK);
    ak_array_free(before);
    ak_writer_clear(&w);
    ak_trainer_destroy(a);
    ak_trainer_destroy(b);
    ak_graph_destroy(s.g);
}

/* A code loss alone brings the hash layer to the codes of the labels, and a
   teacher alone brings the scores to its own. */
static void codes_and_teachers_are_learnt_too(void **state)
{
    static struct set s;
    const char *text = "akin-net 1\ninput image 3 8 8\n"
                       "conv c image out=8 k=3 pad=1\nbn n c\nrelu r n\n"
                       "maxpool m r k=2\nlinear a m out=8\ntanh h a\n"
                       "linear l h out=10\nfeature h\noutput l\n";
    struct ak_exec_params ep = {.batch = BATCH};
    struct ak_train_params p;
    struct ak_graph *g = NULL;
    struct ak_trainer *t = NULL;
    struct ak_exec *teacher = NULL;
    struct ak_err err = {0};
    float codes[80];
    float *values;
    double first;

    (void)state;
    make_set(&s);
    must(ak_graph_parse(text, strlen(text), &g, &err), &err);
    for (int i = 0; i < 80; i++)
        codes[i] = (i / 8 * 7 + i % 8 * 5) % 4 < 2 ? 1.0f : -1.0f;
    p = params_of(NULL, test_stride() > 1 ? 4 : 20);
    p.schedule.rate = 0.05;
    p.losses[0] = (struct ak_train_loss){.kind = AK_TRAIN_CODE,
                                         .weight = 1,
                                         .layer = g->feature,
                                         .codes = codes};
    must(ak_trainer_create(g, &s.view, &p, NULL, &t, &err), &err);
    steps(t, 4);
    first = ak_trainer_state(t)->loss;
    steps(t, 4 * p.epochs - 4);
    assert_true(ak_trainer_state(t)->loss <
                (test_stride() == 1 ? 0.4 : 1) * first);
    ak_trainer_destroy(t);

    values = ak_array_new(g->n_values, sizeof(*values));
    assert_non_null(values);
    ak_weights_init(g, 99, values);
    must(ak_exec_create(NULL, g, &ep, &teacher, &err), &err);
    must(ak_exec_load(teacher, values, &err), &err);
    p = params_of(NULL, test_stride() > 1 ? 4 : 20);
    p.losses[0] = (struct ak_train_loss){.kind = AK_TRAIN_DISTILL,
                                         .weight = 1,
                                         .temperature = 2,
                                         .teacher = teacher,
                                         .teacher_graph = g};
    must(ak_trainer_create(g, &s.view, &p, NULL, &t, &err), &err);
    steps(t, 4);
    first = ak_trainer_state(t)->loss;
    steps(t, 4 * p.epochs - 4);
    assert_true(ak_trainer_state(t)->loss <
                (test_stride() == 1 ? 0.4 : 1) * first);
    ak_trainer_destroy(t);
    ak_exec_destroy(teacher);
    ak_array_free(values);
    ak_graph_destroy(g);
    ak_graph_destroy(s.g);
}

static void wrong_parameters_are_refused(void **state)
{
    static struct set s;
    struct ak_trainer *t = NULL;
    struct ak_err err = {0};
    struct ak_train_params p;

    (void)state;
    make_set(&s);
    p = params_of(NULL, 1);
    p.batch = IMAGES + 1;
    assert_status(ak_trainer_create(s.g, &s.view, &p, NULL, &t, &err),
                  AK_EINVAL);
    assert_string_equal(err.text, "batch is 65, must be 1..64 images");
    p = params_of(NULL, 0);
    assert_status(ak_trainer_create(s.g, &s.view, &p, NULL, &t, &err),
                  AK_EINVAL);
    p = params_of(NULL, 1);
    p.losses[0].smoothing = 1;
    assert_status(ak_trainer_create(s.g, &s.view, &p, NULL, &t, &err),
                  AK_EINVAL);
    p = params_of(NULL, 1);
    p.losses[0].kind = AK_TRAIN_CODE;
    assert_status(ak_trainer_create(s.g, &s.view, &p, NULL, &t, &err),
                  AK_EINVAL);
    p = params_of(NULL, 1);
    p.augment.pad = 9;
    assert_status(ak_trainer_create(s.g, &s.view, &p, NULL, &t, &err),
                  AK_EINVAL);
    p = params_of(NULL, 1);
    s.labels[7] = 10;
    assert_status(ak_trainer_create(s.g, &s.view, &p, NULL, &t, &err),
                  AK_EINVAL);
    assert_string_equal(err.text,
                        "image 7 has label 10, the network 10 classes");
    assert_null(t);
    ak_graph_destroy(s.g);
}

static void a_training_that_diverges_says_so(void **state)
{
    static struct set s;
    struct ak_train_params p;
    struct ak_trainer *t = NULL;
    struct ak_err err = {0};
    enum ak_status status = AK_OK;

    (void)state;
    make_set(&s);
    p = params_of("plain", 20);
    p.schedule = (struct ak_schedule){.rate = 1000};
    p.optim.groups[0].rate = 1e6;
    must(ak_trainer_create(s.g, &s.view, &p, NULL, &t, &err), &err);
    for (int i = 0; i < 20 && status == AK_OK; i++)
        status = ak_trainer_step(t, &err);
    assert_status(status, AK_ENUMERIC);
    assert_non_null(strstr(err.text, "the loss is"));
    ak_trainer_destroy(t);
    ak_graph_destroy(s.g);
}

/* ---- evaluation -------------------------------------------------------------------- */

static bool count(void *context, size_t done, size_t n)
{
    unsigned *calls = context;

    assert_true(done <= n);
    return ++*calls < 3;
}

static void evaluation_counts_and_can_be_cancelled(void **state)
{
    static struct set s;
    const struct ak_exec_params params = {.batch = 24};
    struct ak_evaluation a, b;
    struct ak_exec *e = NULL;
    struct ak_err err = {0};
    float *values, *features;
    unsigned calls = 0;

    (void)state;
    make_set(&s);
    values = ak_array_new(s.g->n_values, sizeof(*values));
    features = ak_array_new((size_t)IMAGES * 16, sizeof(*features));
    assert_true(values != NULL && features != NULL);
    ak_weights_init(s.g, 1, values);
    must(ak_exec_create(NULL, s.g, &params, &e, &err), &err);
    must(ak_exec_load(e, values, &err), &err);
    must(ak_evaluate(e, s.g, &s.view, 24, NULL, NULL, features, &a, &err),
         &err);
    must(ak_evaluate(e, s.g, &s.view, 7, NULL, NULL, NULL, &b, &err), &err);
    assert_int_equal(a.n, IMAGES);
    assert_int_equal(a.top1, b.top1);
    assert_int_equal(a.top5, b.top5);
    assert_near(a.loss, b.loss, 1e-6);
    assert_true(a.top1 <= a.top5 && a.top5 < IMAGES);
    assert_true(features[16 * IMAGES - 1] != 0.0f);
    assert_status(
        ak_evaluate(e, s.g, &s.view, 7, count, &calls, NULL, &b, &err),
        AK_ECANCELED);
    assert_string_equal(err.text, "cancelled at image 21 of 64");
    ak_exec_destroy(e);
    ak_array_free(features);
    ak_array_free(values);
    ak_graph_destroy(s.g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rates_follow_their_schedule),
        cmocka_unit_test(wrong_schedules_are_refused),
        cmocka_unit_test(steps_are_those_of_the_formulas),
        cmocka_unit_test(a_parameter_without_a_group_is_an_error),
        cmocka_unit_test(images_are_moved_and_mirrored),
        cmocka_unit_test(a_network_learns_its_images_by_heart),
        cmocka_unit_test(a_saved_training_goes_on_to_the_same_bytes),
        cmocka_unit_test(other_seeds_give_other_values),
        cmocka_unit_test(checkpoints_of_something_else_are_refused),
        cmocka_unit_test(codes_and_teachers_are_learnt_too),
        cmocka_unit_test(wrong_parameters_are_refused),
        cmocka_unit_test(a_training_that_diverges_says_so),
        cmocka_unit_test(evaluation_counts_and_can_be_cancelled),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
