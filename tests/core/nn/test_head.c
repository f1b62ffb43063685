/* head.c: other classes, and the same features. */
#include "tests/test.h"

#include <string.h>

#include "core/base/mem.h"
#include "core/nn/exec.h"
#include "core/nn/head.h"
#include "core/nn/weights.h"

#define TITLE                        \
    "akin-net 1\n"                   \
    "input image 1 4 4\n"            \
    "conv c image out=3 k=3 pad=1\n" \
    "relu r c\n"                     \
    "gap pool r\n"

static const char with_head[] = TITLE "dropout d pool p=0.25\n"
                                      "linear fc d out=4 bias=1\n"
                                      "feature pool\noutput fc\n";
static const char plain_head[] = TITLE "linear fc pool out=4 bias=0\n"
                                       "feature pool\noutput fc\n";
/* Its feature is what it answers. */
static const char headless[] = TITLE "feature pool\noutput pool\n";
/* Its linear layer is no head: somebody reads it; and the name is taken. */
static const char squashed[] = TITLE "linear classes pool out=4\n"
                                     "tanh t classes\n"
                                     "feature pool\noutput t\n";

static struct ak_model make(const char *text)
{
    struct ak_model m = {0};

    assert_status(ak_graph_parse(text, strlen(text), &m.g, NULL), AK_OK);
    m.values = ak_array_new(m.g->n_values, sizeof(*m.values));
    assert_non_null(m.values);
    ak_weights_init(m.g, 7, m.values);
    return m;
}

/* Output of a layer for one fixed image. */
static void answer(const struct ak_model *m, uint32_t layer, float *out)
{
    const struct ak_exec_params params = {.batch = 1, .threads = 1};
    struct ak_exec *exec = NULL;
    float image[16];

    for (int i = 0; i < 16; i++)
        image[i] = (float)(i % 5) / 5;
    assert_status(ak_exec_create("plain", m->g, &params, &exec, NULL), AK_OK);
    assert_status(ak_exec_load(exec, m->values, NULL), AK_OK);
    assert_status(ak_exec_forward(exec, image, 1, 0, NULL), AK_OK);
    assert_status(ak_exec_output(exec, layer, out, NULL), AK_OK);
    ak_exec_destroy(exec);
}

static void known_classes_answer_as_before(const char *text)
{
    static const uint32_t from[] = {2, AK_HEAD_NEW, 0, AK_HEAD_NEW, 3, 2};
    struct ak_model m = make(text);
    float feature[3], again[3], scores[4], after[6];

    answer(&m, m.g->feature, feature);
    answer(&m, m.g->output, scores);
    assert_status(ak_model_set_classes(&m, 6, from, 1, NULL), AK_OK);
    assert_int_equal(m.g->layers[m.g->output].c, 6);
    assert_string_equal(m.g->layers[m.g->output].name, "fc");
    answer(&m, m.g->feature, again);
    answer(&m, m.g->output, after);
    assert_memory_equal(feature, again, sizeof(feature));
    for (int i = 0; i < 6; i++)
        if (from[i] != AK_HEAD_NEW)
            assert_memory_equal(&after[i], &scores[from[i]], sizeof(float));
    assert_memory_not_equal(&after[1], &after[3], sizeof(float));
    ak_model_clear(&m);
}

static void classes_that_it_had_answer_as_before(void **state)
{
    (void)state;
    known_classes_answer_as_before(with_head);
    known_classes_answer_as_before(plain_head);
}

static void the_same_classes_are_the_same_network(void **state)
{
    static const uint32_t from[] = {0, 1, 2, 3};
    struct ak_model m = make(with_head);
    struct ak_writer before = {0}, after = {0};

    (void)state;
    assert_status(ak_model_write(&m, &before, NULL), AK_OK);
    assert_status(ak_model_set_classes(&m, 4, from, 1, NULL), AK_OK);
    assert_status(ak_model_write(&m, &after, NULL), AK_OK);
    assert_int_equal(before.len, after.len);
    assert_memory_equal(before.data, after.data, after.len);
    ak_writer_clear(&before);
    ak_writer_clear(&after);
    ak_model_clear(&m);
}

static void new_classes_follow_the_seed(void **state)
{
    static const uint32_t from[] = {AK_HEAD_NEW, 1};
    float scores[3][2];

    (void)state;
    for (int i = 0; i < 3; i++) {
        struct ak_model m = make(with_head);

        assert_status(ak_model_set_classes(&m, 2, from, i > 0, NULL), AK_OK);
        answer(&m, m.g->output, scores[i]);
        ak_model_clear(&m);
    }
    assert_memory_equal(scores[1], scores[2], sizeof(scores[1]));
    assert_memory_not_equal(&scores[0][0], &scores[1][0], sizeof(float));
    assert_memory_equal(&scores[0][1], &scores[1][1], sizeof(float));
}

static void one_without_a_head_gets_one(const char *text, const char *name)
{
    static const uint32_t from[] = {0, AK_HEAD_NEW};
    struct ak_model m = make(text);
    float feature[3], again[3];

    answer(&m, m.g->feature, feature);
    assert_status(ak_model_set_classes(&m, 2, from, 1, NULL), AK_OK);
    assert_string_equal(m.g->layers[m.g->output].name, name);
    assert_int_equal(m.g->layers[m.g->output].c, 2);
    assert_string_equal(m.g->layers[m.g->feature].name, "pool");
    answer(&m, m.g->feature, again);
    assert_memory_equal(feature, again, sizeof(feature));
    ak_model_clear(&m);
}

static void a_network_without_a_head_gets_one(void **state)
{
    (void)state;
    one_without_a_head_gets_one(headless, "classes");
    one_without_a_head_gets_one(squashed, "classes2");
}

static void no_classes_are_refused(void **state)
{
    struct ak_model m = make(with_head);
    struct ak_graph *g = m.g;

    (void)state;
    assert_status(ak_model_set_classes(&m, 0, NULL, 1, NULL), AK_EINVAL);
    assert_ptr_equal(m.g, g);
    ak_model_clear(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes_that_it_had_answer_as_before),
        cmocka_unit_test(the_same_classes_are_the_same_network),
        cmocka_unit_test(new_classes_follow_the_seed),
        cmocka_unit_test(a_network_without_a_head_gets_one),
        cmocka_unit_test(no_classes_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
