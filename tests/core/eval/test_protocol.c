/* Runs of the protocol on small made data, against the same by hand. */
#include "tests/test.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/eval/protocol.h"
#include "core/hash/hash.h"

enum { ROWS = 1200, DIM = 12, CLASSES = 6, BITS = 16 };

static float x[ROWS * DIM];
static uint32_t labels[ROWS];
static const struct ak_eval_set set = {x, labels, ROWS, DIM};

/* Clouds about seeded centres, far from zero. */
static int make_set(void **state)
{
    float centre[CLASSES][DIM];
    struct ak_rng rng;

    (void)state;
    ak_rng_init(&rng, 8);
    for (int c = 0; c < CLASSES; c++)
        for (int k = 0; k < DIM; k++)
            centre[c][k] = 4 + ak_rng_normal(&rng);
    for (uint32_t i = 0; i < ROWS; i++) {
        labels[i] = 10 + i % CLASSES;
        for (int k = 0; k < DIM; k++)
            x[i * DIM + (uint32_t)k] =
                centre[i % CLASSES][k] + 0.7f * ak_rng_normal(&rng);
    }
    return 0;
}

static struct ak_split split_of(enum ak_split_kind kind)
{
    struct ak_split_params p;
    struct ak_split s = {0};

    ak_split_defaults(&p);
    p.kind = kind;
    p.queries = 10;
    p.stream = 500;
    p.seed = 2;
    assert_status(ak_split_make(&p, labels, ROWS, &s, NULL), AK_OK);
    return s;
}

/* The defaults, but for a small hidden layer where there is one. */
static const double *options_of(const char *method)
{
    static double values[32];
    const struct ak_hash_method *m = ak_hash_find(method);

    assert_non_null(m);
    assert_true(m->n_options <= 32);
    for (size_t i = 0; i < m->n_options; i++)
        values[i] = strcmp(m->options[i].name, "hidden") == 0
                        ? 16
                        : m->options[i].initial;
    return values;
}

static struct ak_eval_run run_of(const char *method, uint32_t points)
{
    return (struct ak_eval_run){.method = method,
                                .options = options_of(method),
                                .bits = BITS,
                                .seed = 3,
                                .points = points,
                                .radius = 2,
                                .map_at = 100,
                                .n_k = 2,
                                .k = {1, 50}};
}

/* Learner fed by hand with rows of the stream. */
static void feed(struct ak_hash *h, const struct ak_split *s, size_t from,
                 size_t to)
{
    float *rows = ak_array_new((to - from) * DIM, sizeof(*rows));
    uint32_t *its = ak_array_new(to - from, sizeof(*its));
    uint32_t *first = ak_array_new(to - from + 1, sizeof(*first));
    struct ak_hash_batch batch = {rows, its, first, to - from};

    assert_true(rows != NULL && its != NULL && first != NULL);
    for (size_t i = from; i < to; i++) {
        memcpy(rows + (i - from) * DIM, x + (size_t)s->stream[i] * DIM,
               DIM * sizeof(*rows));
        its[i - from] = labels[s->stream[i]];
        first[i - from + 1] = (uint32_t)(i - from + 1);
    }
    if (ak_hash_warmup_rows(h) > 0)
        assert_status(ak_hash_fix(h, rows, batch.n, NULL), AK_OK);
    if (ak_hash_epochs(h) > 0)
        assert_status(ak_hash_train(h, &batch, NULL, NULL), AK_OK);
    else
        assert_status(ak_hash_update(h, &batch, NULL, NULL), AK_OK);
    ak_array_free(first);
    ak_array_free(its);
    ak_array_free(rows);
}

/* Mean average precision by sorting, over queries and items that `use` marks;
   ties in the order of the database. */
static double slow_map(const struct ak_hash *h, const struct ak_split *s,
                       const bool *use_query, const bool *use_item)
{
    static uint8_t codes[ROWS][BITS / 8];
    struct ak_encoder *e = NULL;
    void *scratch;
    double sum = 0;
    size_t n = 0;

    assert_status(ak_hash_freeze(h, &e, NULL), AK_OK);
    scratch = ak_array_new(1, ak_encoder_scratch(e));
    assert_non_null(scratch);
    for (size_t i = 0; i < ROWS; i++)
        ak_encoder_encode(e, x + i * DIM, 1, codes[i], scratch);
    for (size_t q = 0; q < s->n_queries; q++) {
        uint32_t row = s->queries[q];
        double hits = 0, rank = 0, precision = 0;

        if (!use_query[labels[row]])
            continue;
        for (int d = 0; d <= BITS; d++)
            for (size_t i = 0; i < s->n_database; i++) {
                uint32_t item = s->database[i];
                int distance =
                    __builtin_popcount(codes[row][0] ^ codes[item][0]) +
                    __builtin_popcount(codes[row][1] ^ codes[item][1]);

                if (distance != d || !use_item[labels[item]])
                    continue;
                rank++;
                if (labels[item] == labels[row])
                    precision += ++hits / rank;
            }
        if (hits > 0)
            sum += precision / hits;
        n += hits > 0;
    }
    ak_array_free(scratch);
    ak_ref_drop(ak_encoder_ref(e));
    return sum / (double)n;
}

static void a_run_is_what_one_does_by_hand(void **state)
{
    bool all[32];
    const struct ak_hash_method *m;

    (void)state;
    memset(all, true, sizeof(all));
    for (size_t i = 0; (m = ak_hash_method(i)) != NULL; i++) {
        const struct ak_hash_params params = {DIM, BITS, 65536, 3};
        struct ak_split s = split_of(AK_SPLIT_STANDARD);
        struct ak_eval_run run = run_of(m->name, 1);
        struct ak_eval_outcome got;
        struct ak_hash *h = NULL;
        struct ak_err err = {0};

        if (ak_eval_protocol(&set, &s, &run, &got, &err) != AK_OK)
            fail_msg("%s: %s", m->name, err.text);
        assert_status(
            ak_hash_create(m->name, &params, options_of(m->name), &h, NULL),
            AK_OK);
        feed(h, &s, 0, s.n_stream);
        assert_true(fabs(got.result.map_ordered - slow_map(h, &s, all, all)) <
                    1e-9);
        assert_int_equal(got.n_points, 1);
        assert_int_equal(got.points[0].rows, 500);
        assert_true(got.points[0].map == got.result.map);
        assert_true(got.auc == got.result.map);
        assert_int_equal(got.samples, ak_hash_samples(h));
        assert_int_equal(got.learner_bytes, ak_hash_bytes(h));
        assert_true(got.model_bytes > 0);
        assert_true(got.train_seconds >= 0 && got.encode_seconds > 0);
        assert_int_equal(got.encoded, ROWS);
        /* By chance .17. */
        if (m->learns && got.result.map < 0.2)
            fail_msg("%s: mAP %.3f", m->name, got.result.map);
        ak_hash_destroy(h);
        ak_split_clear(&s);
    }
}

static void a_curve_ends_where_one_point_does(void **state)
{
    const struct ak_hash_method *m;

    (void)state;
    for (size_t i = 0; (m = ak_hash_method(i)) != NULL; i++) {
        struct ak_split s = split_of(AK_SPLIT_STANDARD);
        struct ak_eval_run one = run_of(m->name, 1), five = run_of(m->name, 5);
        struct ak_eval_outcome a, b;
        double area = 0;

        assert_status(ak_eval_protocol(&set, &s, &one, &a, NULL), AK_OK);
        assert_status(ak_eval_protocol(&set, &s, &five, &b, NULL), AK_OK);
        assert_true(a.result.map == b.result.map);
        assert_true(a.result.precision[1] == b.result.precision[1]);
        assert_true(b.n_points >= 1 && b.n_points <= 5);
        assert_int_equal(b.points[b.n_points - 1].rows, 500);
        for (size_t p = 1; p < b.n_points; p++) {
            assert_true(b.points[p].rows > b.points[p - 1].rows);
            area += (b.points[p].map + b.points[p - 1].map) / 2 *
                    (double)(b.points[p].rows - b.points[p - 1].rows);
        }
        if (b.n_points > 1)
            assert_true(fabs(b.auc - area / (double)(500 - b.points[0].rows)) <
                        1e-12);
        ak_split_clear(&s);
    }
}

static void stages_tell_old_classes_from_all_that_is_known(void **state)
{
    const char *const names[] = {"hcoh", "hcdh"};

    (void)state;
    for (int m = 0; m < 2; m++) {
        const struct ak_hash_params params = {DIM, BITS, 65536, 3};
        struct ak_split s = split_of(AK_SPLIT_INCREMENTAL);
        struct ak_eval_run run = run_of(names[m], 1);
        struct ak_eval_outcome got;
        struct ak_hash *h = NULL;

        assert_status(ak_eval_protocol(&set, &s, &run, &got, NULL), AK_OK);
        assert_int_equal(got.n_points, 3);
        for (size_t p = 0; p < 3; p++) {
            bool seen[32] = {false}, old[32] = {false}, all[32];
            double by_hand;

            memset(all, true, sizeof(all));
            for (size_t c = 0; c < 2 * (p + 1); c++)
                seen[s.classes[c]] = true;
            old[s.classes[0]] = old[s.classes[1]] = true;
            if (h == NULL || names[m][2] == 'd') {
                ak_hash_destroy(h);
                h = NULL;
                assert_status(ak_hash_create(names[m], &params,
                                             options_of(names[m]), &h, NULL),
                              AK_OK);
                feed(h, &s, 0, s.stages[p]);
            } else {
                feed(h, &s, s.stages[p - 1], s.stages[p]);
            }
            assert_int_equal(got.points[p].rows, s.stages[p]);
            assert_int_equal(got.points[p].classes, 2 * (p + 1));
            /* Ties are averaged in the one and not in the other. */
            by_hand = slow_map(h, &s, seen, seen);
            assert_true(fabs(got.points[p].map_seen - by_hand) < 0.05);
            by_hand = slow_map(h, &s, old, all);
            assert_true(fabs(got.points[p].map_first - by_hand) < 0.05);
        }
        assert_true(got.points[2].map_seen == got.points[2].map);
        ak_hash_destroy(h);
        ak_split_clear(&s);
    }
}

/* Clouds far from zero are on one side of most planes through it. */
static void centring_helps_random_planes(void **state)
{
    struct ak_split s = split_of(AK_SPLIT_STANDARD);
    struct ak_eval_run run = run_of("lsh", 1);
    struct ak_eval_outcome plain, centred, unit;
    float mean[DIM];

    (void)state;
    assert_status(ak_eval_mean(&set, mean, NULL), AK_OK);
    for (int k = 0; k < DIM; k++) {
        double sum = 0;

        for (size_t i = 0; i < ROWS; i++)
            sum += (double)x[i * DIM + (size_t)k];
        assert_true(fabs((double)mean[k] - sum / ROWS) < 1e-5);
    }
    assert_status(ak_eval_protocol(&set, &s, &run, &plain, NULL), AK_OK);
    run.mean = mean;
    run.scaling = AK_SCALE_CENTRE;
    assert_status(ak_eval_protocol(&set, &s, &run, &centred, NULL), AK_OK);
    run.scaling = AK_SCALE_UNIT;
    assert_status(ak_eval_protocol(&set, &s, &run, &unit, NULL), AK_OK);
    assert_true(centred.result.map > plain.result.map + 0.1);
    /* Signs do not see lengths. */
    assert_true(fabs(unit.result.map - centred.result.map) < 1e-3);
    ak_split_clear(&s);
}

static bool stop_at_once(void *context, size_t done, size_t total)
{
    size_t *calls = context;

    assert_true(done > 0 && done <= total);
    ++*calls;
    return false;
}

static void a_run_ends_when_it_is_told_to(void **state)
{
    struct ak_split s = split_of(AK_SPLIT_STANDARD);
    struct ak_eval_run run = run_of("hmoh", 5);
    struct ak_eval_outcome got;
    size_t calls = 0;

    (void)state;
    run.progress = stop_at_once;
    run.context = &calls;
    assert_status(ak_eval_protocol(&set, &s, &run, &got, NULL), AK_ECANCELED);
    assert_int_equal(calls, 1);
    ak_split_clear(&s);
}

static void an_encoder_is_ranked_as_its_learner_was(void **state)
{
    struct ak_split s = split_of(AK_SPLIT_STANDARD);
    struct ak_eval_run run = run_of("hcoh", 1);
    const struct ak_hash_params params = {DIM, BITS, 100, run.seed};
    struct ak_eval_outcome learnt, ranked;
    struct ak_encoder *e = NULL;
    struct ak_hash *h = NULL;
    struct ak_err err = {0};

    (void)state;
    assert_status(ak_eval_protocol(&set, &s, &run, &learnt, NULL), AK_OK);
    assert_status(ak_hash_create("hcoh", &params, run.options, &h, NULL),
                  AK_OK);
    feed(h, &s, 0, s.n_stream);
    assert_status(ak_hash_freeze(h, &e, NULL), AK_OK);
    assert_status(ak_eval_encoder(&set, &s, &run, e, &ranked, NULL), AK_OK);
    assert_true(ranked.result.map == learnt.result.map);
    assert_true(ranked.result.precision_in_radius ==
                learnt.result.precision_in_radius);
    assert_true(ranked.auc == ranked.result.map);
    assert_int_equal(ranked.n_points, 1);
    assert_int_equal(ranked.points[0].rows, s.n_stream);
    assert_int_equal(ranked.samples, learnt.samples);
    assert_int_equal(ranked.model_bytes, learnt.model_bytes);
    assert_int_equal(ranked.encoded, learnt.encoded);
    run.bits = 32;
    assert_status(ak_eval_encoder(&set, &s, &run, e, &ranked, &err), AK_EINVAL);
    assert_string_equal(
        err.text, "the encoder makes 16 bits of 12 floats, must be 32 of 12");
    ak_ref_drop(ak_encoder_ref(e));
    ak_hash_destroy(h);
    ak_split_clear(&s);
}

static void says_what_makes_no_sense(void **state)
{
    struct ak_split s = split_of(AK_SPLIT_STANDARD);
    struct ak_eval_run run = run_of("hmoh", 0);
    struct ak_eval_outcome got;
    struct ak_err err = {0};

    (void)state;
    assert_status(ak_eval_protocol(&set, &s, &run, &got, &err), AK_EINVAL);
    assert_string_equal(err.text, "0 points of the curve, must be 1..64");
    run.points = 1;
    run.bits = 12;
    assert_status(ak_eval_protocol(&set, &s, &run, &got, &err), AK_EINVAL);
    run.method = "nothing";
    assert_status(ak_eval_protocol(&set, &s, &run, &got, &err), AK_ENOTFOUND);
    ak_split_clear(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_is_what_one_does_by_hand),
        cmocka_unit_test(a_curve_ends_where_one_point_does),
        cmocka_unit_test(stages_tell_old_classes_from_all_that_is_known),
        cmocka_unit_test(centring_helps_random_planes),
        cmocka_unit_test(a_run_ends_when_it_is_told_to),
        cmocka_unit_test(an_encoder_is_ranked_as_its_learner_was),
        cmocka_unit_test(says_what_makes_no_sense),
    };

    return cmocka_run_group_tests_name("protocol", tests, make_set, NULL);
}
