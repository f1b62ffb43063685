/* hcdh_network.c: what a network with a hash layer is, learns and encodes. */
#include "tests/test.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/digest.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/hash/hcdh_head.h"
#include "core/hash/hcdh_network.h"
#include "core/nn/evaluate.h"
#include "core/nn/loss.h"
#include "core/nn/model.h"
#include "core/nn/weights.h"
#include "core/nn/zoo.h"

enum { IMAGES = 128, CLASSES = 10, SIZE = 3 * 8 * 8, DIM = 16, BATCH = 16 };

static void must(enum ak_status status, const struct ak_err *err)
{
    if (status != AK_OK)
        fail_msg("%s", err->text);
}

/* Images whose class shows in which channels are bright, or striped. */
struct set {
    uint8_t pixels[IMAGES * SIZE];
    uint32_t labels[IMAGES];
    struct ak_pictures view;
    struct ak_graph *backbone;
    float *values;
};

static const char backbone_text[] =
    "akin-net 1\ninput image 3 8 8 mean=0.3,0.3,0.3 std=0.2,0.2,0.2\n"
    "conv c image out=16 k=3 pad=1\nbn b c\nrelu r b\n"
    "conv d r out=16 k=3 pad=1\nbn e d\nadd a e,r\nrelu q a\ngap f q\n"
    "linear z f out=24\nrelu y z\nlinear l y out=7\nfeature f\noutput l\n";

static void make_set(struct set *s)
{
    struct ak_rng rng;
    struct ak_err err = {0};

    ak_rng_init(&rng, 2);
    for (size_t i = 0; i < IMAGES; i++) {
        s->labels[i] = (uint32_t)(i % CLASSES);
        for (size_t k = 0; k < SIZE; k++)
            s->pixels[i * SIZE + k] =
                (uint8_t)(ak_rng_below(&rng, 40) +
                          50 * (i % CLASSES >> k / 64 & 1) +
                          (i % CLASSES > 7 && k % 2 ? 100 : 0));
    }
    s->view = (struct ak_pictures){s->pixels, SIZE, s->labels, IMAGES};
    must(ak_graph_parse(backbone_text, strlen(backbone_text), &s->backbone,
                        &err),
         &err);
    s->values = ak_array_new(s->backbone->n_values, sizeof(float));
    assert_non_null(s->values);
    ak_weights_init(s->backbone, 5, s->values);
}

static void clear_set(struct set *s)
{
    ak_graph_destroy(s->backbone);
    ak_array_free(s->values);
}

static void init(const struct set *s, uint32_t bits, struct ak_hcdh_network *n)
{
    struct ak_err err = {0};

    must(
        ak_hcdh_network_init(n, s->backbone, s->values, bits, CLASSES, 1, &err),
        &err);
}

/* Of all images: features (n, DIM), and h (n, bits) unless it is NULL. */
static void run(const char *engine, const struct ak_graph *g,
                const float *values, const struct set *s, float *features,
                float *h)
{
    uint32_t code = h != NULL ? ak_graph_find(g, AK_HASH_CODE) : 0;
    const struct ak_exec_params params = {
        .batch = IMAGES, .keep = &code, .n_keep = h != NULL};
    float *x = ak_array_new((size_t)IMAGES * SIZE, sizeof(*x));
    struct ak_exec *e = NULL;
    struct ak_err err = {0};

    assert_non_null(x);
    for (size_t i = 0; i < IMAGES; i++)
        ak_graph_normalise(g, ak_picture(&s->view, i), x + i * SIZE);
    must(ak_exec_create(engine, g, &params, &e, &err), &err);
    must(ak_exec_load(e, values, &err), &err);
    must(ak_exec_forward(e, x, IMAGES, 0, &err), &err);
    must(ak_exec_output(e, g->feature, features, &err), &err);
    if (h != NULL)
        must(ak_exec_output(e, code, h, &err), &err);
    ak_exec_destroy(e);
    ak_array_free(x);
}

static struct ak_train_params params_of(const struct ak_hcdh_network *n,
                                        uint32_t epochs)
{
    double options[AK_HCDH_OPTIONS];
    struct ak_train_params p;
    struct ak_err err = {0};

    must(ak_hash_check_options(&ak_hcdh_network_method, NULL, options, &err),
         &err);
    options[AK_HCDH_EPOCHS] = epochs;
    options[AK_HCDH_BATCH] = BATCH;
    options[AK_HCDH_BACKBONE_RATE] = 1;
    ak_hcdh_network_params(n, options, 3, &p);
    p.augment = (struct ak_augment){.pad = 1, .mirror = false};
    return p;
}

/* ---- what it is ------------------------------------------------------------- */

static void a_hash_head_stands_on_the_feature(void **state)
{
    static const char expected[] =
        "gap f q\nlinear hash f out=32 bias=1\ntanh hash_tanh hash\n"
        "linear hash_classes hash_tanh out=10 bias=1\nfeature f\n"
        "output hash_classes\n";
    static struct set s;
    struct ak_graph *g = NULL, *again = NULL;
    struct ak_err err = {0};
    char *text = NULL;
    size_t len;

    (void)state;
    make_set(&s);
    must(ak_arch_hash_head(s.backbone, 32, CLASSES, &g, &err), &err);
    must(ak_graph_write(g, &text, &len, &err), &err);
    assert_non_null(strstr(text, expected));
    /* What stood behind the feature is gone. */
    assert_int_equal(g->n_layers, s.backbone->n_layers - 3 + 3);
    assert_int_equal(ak_graph_find(g, "z"), UINT32_MAX);
    free(text);
    /* A head is replaced, not put on top. */
    must(ak_arch_hash_head(g, 16, 3, &again, &err), &err);
    assert_int_equal(again->n_layers, g->n_layers);
    assert_int_equal(again->layers[ak_graph_find(again, "hash")].c, 16);
    assert_int_equal(again->layers[again->output].c, 3);
    ak_graph_destroy(again);
    ak_graph_destroy(g);
    clear_set(&s);
}

static void every_architecture_takes_a_hash_head(void **state)
{
    const struct ak_arch *arch;

    (void)state;
    for (size_t i = 0; (arch = ak_arch_get(i)) != NULL; i++) {
        struct ak_graph *g = NULL, *hashed = NULL;
        struct ak_err err = {0};

        must(ak_arch_graph(arch->name, 0, &g, &err), &err);
        must(ak_arch_hash_head(g, 64, 10, &hashed, &err), &err);
        assert_string_equal(hashed->layers[hashed->feature].name,
                            g->layers[g->feature].name);
        assert_int_equal(hashed->layers[ak_graph_find(hashed, "hash")].in[0],
                         hashed->feature);
        ak_graph_destroy(hashed);
        ak_graph_destroy(g);
    }
}

static void what_cannot_be_is_refused(void **state)
{
    static const char taken[] = "akin-net 1\ninput image 3 8 8\n"
                                "gap hash_pool image\nlinear l hash_pool "
                                "out=2\nfeature hash_pool\noutput l\n";
    static struct set s;
    struct ak_hcdh_network n = {0};
    struct ak_graph *g = NULL;
    struct ak_encoder *e = NULL;
    struct ak_err err = {0};

    (void)state;
    make_set(&s);
    assert_status(
        ak_hcdh_network_init(&n, s.backbone, s.values, 12, CLASSES, 1, &err),
        AK_EINVAL);
    assert_string_equal(err.text,
                        "bits is 12, must be 8..1024 and a multiple of 8");
    assert_status(
        ak_hcdh_network_init(&n, s.backbone, s.values, 16, 1, 1, &err),
        AK_EINVAL);
    assert_string_equal(err.text, "1 classes, must be 2..4096");
    must(ak_graph_parse(taken, strlen(taken), &g, &err), &err);
    assert_status(ak_hcdh_network_init(&n, g, NULL, 16, CLASSES, 1, &err),
                  AK_EINVAL);
    assert_string_equal(err.text, "a layer before the feature is called "
                                  "\"hash_pool\", which is a name of hash "
                                  "heads");
    ak_graph_destroy(g);
    assert_null(n.g);
    assert_status(ak_hcdh_head_encoder(s.backbone, s.values, 0, &e, &err),
                  AK_EINVAL);
    assert_string_equal(err.text,
                        "the network has no layer \"hash\" on its feature");
    clear_set(&s);
}

static uint32_t distance(const struct ak_hcdh_network *n, uint32_t a,
                         uint32_t b)
{
    uint32_t d = 0;

    for (uint32_t j = 0; j < n->bits; j++)
        d += n->codes[a * n->bits + j] != n->codes[b * n->bits + j];
    return d;
}

static void codes_of_classes_are_half_their_bits_apart(void **state)
{
    /* 8 bits are fewer than the classes: no two are alike then. */
    static const uint32_t bits[] = {8, 16, 32, 48, 64};
    static struct set s;

    (void)state;
    make_set(&s);
    for (size_t i = 0; i < 5; i++) {
        struct ak_hcdh_network n = {0};

        init(&s, bits[i], &n);
        for (uint32_t k = 0; k < CLASSES * bits[i]; k++)
            assert_true(fabsf(n.codes[k]) == 1.0f);
        for (uint32_t a = 0; a < CLASSES; a++)
            for (uint32_t b = 0; b < a; b++) {
                if (bits[i] == 8)
                    assert_true(distance(&n, a, b) >= 2);
                else
                    assert_int_equal(distance(&n, a, b), bits[i] / 2);
            }
        ak_hcdh_network_clear(&n);
    }
    clear_set(&s);
}

static void the_backbone_comes_along(void **state)
{
    static struct set s;
    struct ak_hcdh_network n = {0}, drawn = {0};
    float before[IMAGES * DIM], after[IMAGES * DIM];
    struct ak_err err = {0};

    (void)state;
    make_set(&s);
    init(&s, 32, &n);
    run("plain", s.backbone, s.values, &s, before, NULL);
    run("plain", n.g, n.values, &s, after, NULL);
    assert_memory_equal(before, after, sizeof(before));
    /* Without values they are drawn. */
    must(ak_hcdh_network_init(&drawn, s.backbone, NULL, 32, CLASSES, 1, &err),
         &err);
    run("plain", drawn.g, drawn.values, &s, after, NULL);
    assert_memory_not_equal(before, after, sizeof(before));
    ak_hcdh_network_clear(&drawn);
    ak_hcdh_network_clear(&n);
    clear_set(&s);
}

/* ---- what it learns ----------------------------------------------------------- */

static void the_loss_is_that_of_the_paper(void **state)
{
    static struct set s;
    static float features[IMAGES * DIM], h[IMAGES * 16], z[IMAGES * CLASSES];
    /* Without normalisation, whose statistics are others in training. */
    static const char plain[] = "akin-net 1\ninput image 3 8 8\n"
                                "conv c image out=16 k=3\ngap f c\n"
                                "linear l f out=2\nfeature f\noutput l\n";
    struct ak_hcdh_network n = {0};
    struct ak_train_params p;
    struct ak_trainer *t = NULL;
    struct ak_err err = {0};
    const struct ak_param *v, *b;
    double expected = 0;

    (void)state;
    make_set(&s);
    ak_graph_destroy(s.backbone);
    must(ak_graph_parse(plain, strlen(plain), &s.backbone, &err), &err);
    must(ak_hcdh_network_init(&n, s.backbone, NULL, 16, CLASSES, 1, &err),
         &err);
    p = params_of(&n, 1);
    p.engine = "plain";
    p.batch = IMAGES;
    p.augment.pad = 0;
    p.losses[1].weight = 3;
    run("plain", n.g, n.values, &s, features, h);
    v = ak_graph_param(n.g, n.g->output, AK_PARAM_WEIGHT);
    b = ak_graph_param(n.g, n.g->output, AK_PARAM_BIAS);
    for (size_t i = 0; i < IMAGES; i++) {
        double sum = 0, miss = 0;

        for (size_t c = 0; c < CLASSES; c++) {
            double at = (double)n.values[b->offset + c];

            for (size_t j = 0; j < 16; j++)
                at += (double)n.values[v->offset + c * 16 + j] *
                      (double)h[i * 16 + j];
            z[i * CLASSES + c] = (float)at;
            sum += exp(at);
        }
        for (size_t j = 0; j < 16; j++) {
            double d =
                (double)h[i * 16 + j] - (double)n.codes[s.labels[i] * 16 + j];

            miss += d * d;
        }
        expected +=
            log(sum) - (double)z[i * CLASSES + s.labels[i]] + 3 * miss / 16;
    }
    must(ak_trainer_create(n.g, &s.view, &p, n.values, &t, &err), &err);
    must(ak_trainer_step(t, &err), &err);
    /* Sums of single precision, in another order. */
    assert_true(fabs(ak_trainer_state(t)->loss - expected / IMAGES) < 1e-4);
    ak_trainer_destroy(t);
    ak_hcdh_network_clear(&n);
    clear_set(&s);
}

/* Whether a parameter that gradients move has moved. */
static bool moved(const struct ak_hcdh_network *n, const float *values,
                  const struct ak_param *p)
{
    return memcmp(n->values + p->offset, values + p->offset,
                  p->n * sizeof(*values)) != 0;
}

static void a_backbone_may_stand_still(void **state)
{
    static struct set s;
    struct ak_hcdh_network n = {0};
    struct ak_train_params p;
    struct ak_trainer *t = NULL;
    struct ak_err err = {0};

    (void)state;
    make_set(&s);
    init(&s, 16, &n);
    for (int still = 0; still < 2; still++) {
        p = params_of(&n, 1);
        ak_hcdh_network_losses(&n, 1, still ? 0 : 0.1, 5e-4, &p);
        must(ak_trainer_create(n.g, &s.view, &p, n.values, &t, &err), &err);
        for (int i = 0; i < 3; i++)
            must(ak_trainer_step(t, &err), &err);
        for (uint32_t i = 0; i < n.g->n_params; i++) {
            const struct ak_param *at = &n.g->params[i];
            const char *name = n.g->layers[at->layer].name;

            if (at->role == AK_PARAM_MEAN || at->role == AK_PARAM_VAR)
                continue;
            assert_int_equal(moved(&n, ak_trainer_values(t), at),
                             !still || strncmp(name, "hash", 4) == 0);
        }
        ak_trainer_destroy(t);
    }
    ak_hcdh_network_clear(&n);
    clear_set(&s);
}

static void a_checkpoint_with_other_codes_is_refused(void **state)
{
    static struct set s;
    struct ak_hcdh_network n = {0};
    struct ak_train_params p;
    struct ak_trainer *t = NULL;
    struct ak_writer w = {0};
    struct ak_err err = {0};

    (void)state;
    make_set(&s);
    init(&s, 16, &n);
    p = params_of(&n, 2);
    must(ak_trainer_create(n.g, &s.view, &p, n.values, &t, &err), &err);
    must(ak_trainer_step(t, &err), &err);
    must(ak_trainer_save(t, &w, &err), &err);
    must(ak_trainer_load(t, w.data, w.len, &err), &err);
    n.codes[17] = -n.codes[17];
    assert_status(ak_trainer_load(t, w.data, w.len, &err), AK_EINVAL);
    assert_string_equal(err.text, "a checkpoint of other images or parameters");
    ak_writer_clear(&w);
    ak_trainer_destroy(t);
    ak_hcdh_network_clear(&n);
    clear_set(&s);
}

/* ---- what comes of it ----------------------------------------------------------- */

/* y of a bit by hand, and what single precision can make of it. */
static double by_hand(const struct ak_graph *g, const float *values,
                      const float *f, uint32_t j, double *tie)
{
    uint32_t layer = ak_graph_find(g, AK_HASH_LAYER);
    const struct ak_param *w = ak_graph_param(g, layer, AK_PARAM_WEIGHT);
    const struct ak_param *b = ak_graph_param(g, layer, AK_PARAM_BIAS);
    double y = (double)values[b->offset + j], size = fabs(y);

    for (size_t k = 0; k < DIM; k++) {
        double term = (double)values[w->offset + j * DIM + k] * (double)f[k];

        y += term;
        size += fabs(term);
    }
    *tie = (DIM + 2) * (double)FLT_EPSILON * size;
    return y;
}

/* Codes of the saved and loaded pair against the hash layer of an engine. */
static void check_codes(const char *engine, const struct ak_model *m,
                        const struct ak_encoder *e, const struct set *s,
                        uint32_t bits, size_t *right)
{
    float *features = ak_array_new((size_t)IMAGES * DIM, sizeof(float));
    float *h = ak_array_new((size_t)IMAGES * bits, sizeof(float));
    uint8_t *codes = ak_array_new(IMAGES, bits / 8);
    void *scratch = ak_array_new(1, ak_encoder_scratch(e));
    size_t ties = 0, ones = 0;

    assert_true(features != NULL && h != NULL && codes != NULL &&
                scratch != NULL);
    run(engine, m->g, m->values, s, features, h);
    ak_encoder_encode(e, features, IMAGES, codes, scratch);
    for (uint32_t i = 0; i < IMAGES; i++)
        for (uint32_t j = 0; j < bits; j++) {
            bool bit = codes[i * (bits / 8) + j / 8] >> (7 - j % 8) & 1;
            double tie;
            double y = by_hand(m->g, m->values, features + i * DIM, j, &tie);

            ones += bit;
            if (fabs(y) <= tie) {
                ties++;
                continue;
            }
            assert_int_equal(bit, y > 0);
            assert_int_equal(bit, h[i * bits + j] > 0.0f);
        }
    /* Ties are what is seldom; both signs are there. */
    assert_true(ties * 1000 <= IMAGES * bits);
    assert_true(ones > 0 && ones < IMAGES * bits);
    *right = 0;
    for (uint32_t i = 0; i < IMAGES; i++) {
        size_t same = 0;

        for (uint32_t k = 0; k < IMAGES; k++)
            same += s->labels[i] == s->labels[k] &&
                    memcmp(codes + i * (bits / 8), codes + k * (bits / 8),
                           bits / 8) == 0;
        *right += same > IMAGES / CLASSES / 2;
    }
    ak_array_free(features);
    ak_array_free(h);
    ak_array_free(codes);
    ak_array_free(scratch);
}

static void the_pair_makes_the_codes_of_the_network(void **state)
{
    static const uint32_t lengths[] = {16, 48};
    static struct set s;

    (void)state;
    make_set(&s);
    for (size_t l = 0; l < 2; l++) {
        struct ak_hcdh_network n = {0};
        struct ak_train_params p;
        struct ak_trainer *t = NULL;
        struct ak_encoder *e = NULL, *loaded = NULL;
        struct ak_model made = {0}, read = {0};
        struct ak_writer network = {0}, hash = {0};
        struct ak_encoder_info info;
        struct ak_err err = {0};
        size_t right = 0;

        init(&s, lengths[l], &n);
        p = params_of(&n, test_stride() > 1 ? 2 : 40);
        must(ak_trainer_create(n.g, &s.view, &p, n.values, &t, &err), &err);
        while (ak_trainer_state(t)->step < ak_trainer_state(t)->steps)
            must(ak_trainer_step(t, &err), &err);
        made.g = n.g;
        made.values = (float *)(uintptr_t)ak_trainer_values(t);
        must(ak_hcdh_head_encoder(made.g, made.values, 77, &e, &err), &err);
        /* As a collection would have them: from files. */
        must(ak_model_write(&made, &network, &err), &err);
        must(ak_encoder_save(e, &hash, &err), &err);
        must(ak_model_read(network.data, network.len, &read, &err), &err);
        must(ak_encoder_load(hash.data, hash.len, &loaded, &err), &err);
        ak_encoder_info(loaded, &info);
        assert_string_equal(info.kind, "hcdh");
        assert_int_equal(info.dim, DIM);
        assert_int_equal(info.bits, lengths[l]);
        assert_int_equal(info.samples, 77);
        for (size_t i = 0; ak_exec_engine(i) != NULL; i++)
            check_codes(ak_exec_engine(i), &read, loaded, &s, lengths[l],
                        &right);
        /* It has learnt them: most images share a code with their class. */
        if (test_stride() == 1)
            assert_true(right > IMAGES * 9 / 10);
        ak_ref_drop(ak_encoder_ref(e));
        ak_ref_drop(ak_encoder_ref(loaded));
        ak_model_clear(&read);
        ak_writer_clear(&network);
        ak_writer_clear(&hash);
        ak_trainer_destroy(t);
        ak_hcdh_network_clear(&n);
    }
    clear_set(&s);
}

static void a_model_file_is_both(void **state)
{
    static struct set s;
    struct ak_hcdh_network n = {0};
    struct ak_model model = {0}, read = {0};
    struct ak_encoder *e = NULL, *of_file = NULL;
    struct ak_writer file = {0}, hash = {0}, again = {0};
    struct ak_encoder_info info;
    struct ak_err err = {0};
    char lines[AK_HCDH_NOTES], expected[64], notes[512];

    (void)state;
    make_set(&s);
    assert_int_equal(ak_hcdh_head_bits(s.backbone), 0);
    init(&s, 48, &n);
    assert_int_equal(ak_hcdh_head_bits(n.g), 48);
    must(ak_hcdh_head_encoder(n.g, n.values, 12345, &e, &err), &err);
    must(ak_encoder_save(e, &hash, &err), &err);
    must(ak_hcdh_head_notes(e, 2, 0.5, lines, &err), &err);
    snprintf(expected, sizeof(expected),
             "hash model: hcdh, 48 bits, crc32 %08x",
             ak_crc32(hash.data, hash.len));
    assert_int_equal(strncmp(lines, expected, strlen(expected)), 0);
    assert_non_null(strstr(lines, "\nhash samples: 12345\n"));
    snprintf(notes, sizeof(notes), "arch: none\n%s", lines);
    model = (struct ak_model){n.g, n.values, notes};
    must(ak_model_write(&model, &file, &err), &err);
    must(ak_model_read(file.data, file.len, &read, &err), &err);
    must(ak_hcdh_head_of(&read, &of_file, &err), &err);
    must(ak_encoder_save(of_file, &again, &err), &err);
    assert_int_equal(again.len, hash.len);
    assert_memory_equal(again.data, hash.data, hash.len);
    ak_ref_drop(ak_encoder_ref(of_file));
    /* Notes that tell nothing, or were written by somebody else. */
    free(read.notes);
    read.notes = strdup("about: hash samples: 3\n");
    must(ak_hcdh_head_of(&read, &of_file, &err), &err);
    ak_encoder_info(of_file, &info);
    assert_int_equal(info.samples, 0);
    ak_ref_drop(ak_encoder_ref(of_file));
    free(read.notes);
    read.notes = NULL;
    must(ak_hcdh_head_of(&read, &of_file, &err), &err);
    ak_ref_drop(ak_encoder_ref(of_file));
    ak_ref_drop(ak_encoder_ref(e));
    ak_model_clear(&read);
    ak_writer_clear(&file);
    ak_writer_clear(&hash);
    ak_writer_clear(&again);
    ak_hcdh_network_clear(&n);
    clear_set(&s);
}

/* Layers of a name, that are none of a hash head. */
static void what_is_only_called_so_is_no_hash_layer(void **state)
{
    static const char *const tails[] = {
        "gap f image\nlinear l f out=16\nlinear hash l out=16\n"
        "feature f\noutput hash\n",
        "conv hash image out=16 k=1\ngap f hash\nlinear l f out=2\n"
        "feature f\noutput l\n",
    };

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct ak_graph *g = NULL;
        struct ak_err err = {0};
        char text[512];

        snprintf(text, sizeof(text), "akin-net 1\ninput image 3 8 8\n%s",
                 tails[i]);
        must(ak_graph_parse(text, strlen(text), &g, &err), &err);
        assert_int_equal(ak_hcdh_head_bits(g), 0);
        ak_graph_destroy(g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hash_head_stands_on_the_feature),
        cmocka_unit_test(every_architecture_takes_a_hash_head),
        cmocka_unit_test(what_cannot_be_is_refused),
        cmocka_unit_test(codes_of_classes_are_half_their_bits_apart),
        cmocka_unit_test(the_backbone_comes_along),
        cmocka_unit_test(the_loss_is_that_of_the_paper),
        cmocka_unit_test(a_backbone_may_stand_still),
        cmocka_unit_test(a_checkpoint_with_other_codes_is_refused),
        cmocka_unit_test(the_pair_makes_the_codes_of_the_network),
        cmocka_unit_test(a_model_file_is_both),
        cmocka_unit_test(what_is_only_called_so_is_no_hash_layer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
