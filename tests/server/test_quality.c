/* The meter against a plain computation, with learners of several kinds. */
#include "tests/test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "server/gate.h"
#include "server/quality.h"

enum { DIM = 16, BITS = 24, CLASSES = 4, BATCH = 100, MOST = 3600, SEED = 11 };

/* ------------------------------------------------------------ a made stream */

struct world {
    struct ak_hash *hash;
    struct ak_encoder *map;
    struct ak_quality_meter *meter;
    uint64_t n; /* rows so far */
    uint64_t seq;
    float x[MOST][DIM];
    uint32_t labels[MOST]; /* UINT32_MAX: the row is gone */
};

static struct world w;

static void make_row(uint64_t i, uint32_t c, float x[DIM])
{
    struct ak_rng rng;

    ak_rng_init(&rng, 5000 + i);
    for (uint32_t d = 0; d < DIM; d++)
        x[d] = ak_rng_normal(&rng) + (d % CLASSES == c ? 1.0f : 0.0f);
}

static struct ak_hash *make_hash(const char *kind)
{
    const struct ak_hash_method *m = ak_hash_find(kind);
    struct ak_hash_params p = {
        .dim = DIM, .bits = BITS, .max_labels = 16, .seed = SEED};
    double options[16];
    static float x[64 * DIM];
    struct ak_hash *h = NULL;

    for (size_t i = 0; i < m->n_options; i++)
        options[i] = strcmp(m->options[i].name, "kernel_anchors") == 0
                         ? 24
                         : m->options[i].initial;
    assert_status(ak_hash_create(kind, &p, options, &h, NULL), AK_OK);
    for (uint32_t i = 0; i < 64; i++)
        make_row(90000 + i, i % CLASSES, x + i * DIM);
    if (ak_hash_warmup_rows(h) > 0)
        assert_status(ak_hash_fix(h, x, 64, NULL), AK_OK);
    return h;
}

static struct ak_quality_meter *make_meter(const char *kind)
{
    struct ak_quality_params p = {.dim = DIM,
                                  .bits = BITS,
                                  .max_labels = 16,
                                  .seed = SEED,
                                  .moving_map = ak_hash_find(kind)->moving_map};
    struct ak_quality_meter *m = NULL;

    assert_status(ak_quality_create(&p, &m, NULL), AK_OK);
    return m;
}

static struct ak_encoder *freeze(const struct ak_hash *h)
{
    struct ak_encoder *e = NULL;

    assert_status(ak_hash_freeze(h, &e, NULL), AK_OK);
    return e;
}

static void drop(struct ak_encoder *e)
{
    ak_ref_drop((struct ak_ref *)e);
}

/* A floor to begin with, as version 0 is. */
static void begin(const char *kind)
{
    struct ak_hash *floor = make_hash("lsh");
    struct ak_encoder *e = freeze(floor);

    memset(&w, 0, sizeof(w));
    w.hash = make_hash(kind);
    w.meter = make_meter(kind);
    assert_status(ak_quality_publish(w.meter, e, 0, NULL), AK_OK);
    drop(e);
    ak_hash_destroy(floor);
}

static void end(void)
{
    ak_hash_destroy(w.hash);
    ak_quality_destroy(w.meter);
    drop(w.map);
}

/* The next n rows, with labels by `label_of(row)`. */
static struct ak_hash_batch next_rows(size_t n, uint32_t (*label_of)(uint64_t))
{
    static uint32_t first[BATCH + 1];
    struct ak_hash_batch b = {.x = w.x[w.n], .labels = &w.labels[w.n], .n = n};

    assert_true(w.n + n <= MOST && n <= BATCH);
    for (size_t i = 0; i < n; i++) {
        make_row(w.n + i, (uint32_t)((w.n + i) % CLASSES), w.x[w.n + i]);
        w.labels[w.n + i] = label_of(w.n + i);
        first[i + 1] = (uint32_t)i + 1;
    }
    b.first = first;
    return b;
}

static uint32_t true_label(uint64_t i)
{
    return (uint32_t)(i % CLASSES);
}

static enum ak_drift_event measure(struct ak_encoder *live,
                                   const struct ak_hash_batch *b)
{
    struct ak_quality_place place = {
        .seq = ++w.seq, .time_ms = 1000, .samples = ak_hash_samples(w.hash)};
    enum ak_drift_event drift;

    assert_status(ak_quality_measure(w.meter, live, &place, b, &drift, NULL),
                  AK_OK);
    return drift;
}

static void offer(const struct ak_hash_batch *b)
{
    if (w.map == NULL)
        w.map = freeze(w.hash);
    assert_status(ak_quality_offer(w.meter, w.map, b, w.n, NULL), AK_OK);
    w.n += b->n;
}

static void learn(const struct ak_hash_batch *b)
{
    assert_status(ak_hash_update(w.hash, b, NULL, NULL), AK_OK);
}

/* ---------------------------------------------------- the plain computation */

static void encode(const struct ak_encoder *e, const float *x, uint8_t *code)
{
    void *scratch = ak_array_new(1, ak_encoder_scratch(e));

    ak_encoder_encode(e, x, 1, code, scratch);
    ak_array_free(scratch);
}

struct ranked {
    unsigned distance;
    uint64_t draw;
    bool relevant;
};

static int by_rank(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;

    if (x->distance != y->distance)
        return x->distance < y->distance ? -1 : 1;
    return (x->draw > y->draw) - (x->draw < y->draw);
}

/* Of a row against all rows before it: everything encoded anew. */
static struct ak_score plain_score(const struct ak_encoder *e,
                                   const uint8_t codes[][BITS / 8], size_t row)
{
    static struct ranked all[MOST];
    struct ak_score out = {0};
    uint8_t query[BITS / 8];
    double sum = 0;
    uint32_t hits = 0;
    size_t n = 0;

    encode(e, w.x[row], query);
    for (size_t i = 0; i < w.n; i++) {
        struct ak_rng rng;

        if (w.labels[i] == UINT32_MAX)
            continue;
        ak_rng_init(&rng, ak_rng_derive(SEED, "panel") ^ i);
        all[n] = (struct ranked){.draw = ak_rng_u64(&rng),
                                 .relevant = w.labels[i] == w.labels[row]};
        for (int b = 0; b < BITS / 8; b++)
            all[n].distance +=
                (unsigned)__builtin_popcount(query[b] ^ codes[i][b]);
        n++;
    }
    qsort(all, n, sizeof(*all), by_rank);
    for (size_t i = 0; i < n && i < 100; i++) {
        if (!all[i].relevant)
            continue;
        sum += ++hits / (double)(i + 1);
        out.precision[0] += i < 1;
        out.precision[1] += i < 10;
        out.precision[2] += 1;
    }
    out.ap = hits ? (float)(sum / hits) : 0;
    out.precision[1] /= 10;
    out.precision[2] /= 100;
    return out;
}

static uint8_t codes_now[MOST][BITS / 8];

static void encode_all(const struct ak_encoder *e)
{
    for (size_t i = 0; i < w.n; i++)
        encode(e, w.x[i], codes_now[i]);
}

/* Both series as plain lists. */
struct plain {
    struct ak_score live[MOST], served[MOST];
    uint32_t label[MOST];
    size_t n, served_from;
};

static struct plain plain;

static void plain_measure(const struct ak_encoder *live,
                          const struct ak_encoder *served, size_t n)
{
    encode_all(live);
    for (size_t i = 0; i < n; i++) {
        plain.live[plain.n + i] = plain_score(live, codes_now, w.n + i);
        plain.label[plain.n + i] = w.labels[w.n + i];
    }
    encode_all(served);
    for (size_t i = 0; i < n; i++)
        plain.served[plain.n + i] = plain_score(served, codes_now, w.n + i);
    plain.n += n;
}

static void assert_mean(const struct ak_quality *q, const struct ak_score *all,
                        size_t from, size_t n)
{
    double map = 0, p[AK_N_PRECISIONS] = {0};

    if (n - from > AK_SERIES_WINDOW)
        from = n - AK_SERIES_WINDOW;
    assert_int_equal(q->queries, n - from);
    for (size_t i = from; i < n; i++) {
        map += all[i].ap;
        for (int k = 0; k < AK_N_PRECISIONS; k++)
            p[k] += all[i].precision[k];
    }
    if (n == from)
        return;
    /* Sums of the same floats in another order. */
    assert_true(fabs(q->map_at_r - map / (double)(n - from)) < 1e-9);
    for (int k = 0; k < AK_N_PRECISIONS; k++)
        assert_true(fabs(q->precision[k] - p[k] / (double)(n - from)) < 1e-9);
}

static void assert_label(const struct ak_label_quality *l)
{
    double live = 0, served = 0;
    uint64_t n = 0;

    for (size_t i = 0; i < plain.n; i++) {
        if (plain.label[i] != l->label)
            continue;
        n++;
        live += (plain.live[i].ap - live) / (double)(n < 100 ? n : 100);
        served += (plain.served[i].ap - served) / (double)(n < 100 ? n : 100);
    }
    assert_int_equal(l->queries, n);
    assert_true(fabs(l->live.ap - live) < 1e-4);
    assert_true(fabs(l->served.ap - served) < 1e-4);
}

static void assert_report(void)
{
    struct ak_quality_report *r = ak_quality_report(w.meter);

    assert_non_null(r);
    assert_mean(&r->live, plain.live, 0, plain.n);
    assert_mean(&r->served, plain.served, plain.served_from, plain.n);
    assert_int_equal(r->asked, plain.n);
    assert_int_equal(r->n_labels, CLASSES);
    for (size_t i = 0; i < r->n_labels; i++)
        assert_label(&r->labels[i]);
    free(r);
}

/* ---------------------------------------------------------------- the tests */

static const char *const kinds[] = {"hmoh", "hcoh", "fcoh", "sdoh"};
enum { N_KINDS = sizeof(kinds) / sizeof(kinds[0]) };

/* Those to go through. */
static int some_kinds(void)
{
    return test_stride() == 1 ? N_KINDS : 1;
}

/*
 * Thirty batches, a publish in their middle, with deletes and new labels on the
 * way: the floor is published first, which shares no map with the learner, then
 * a model that does.
 */
static void figures_are_those_of_a_plain_computation(void **state)
{
    (void)state;
    for (int k = 0; k < some_kinds(); k++) {
        struct ak_hash *floor = make_hash("lsh");
        struct ak_encoder *served = freeze(floor);

        begin(kinds[k]);
        memset(&plain, 0, sizeof(plain));
        for (int b = 0; b < (test_stride() > 1 ? 9 : 14); b++) {
            struct ak_hash_batch batch = next_rows(BATCH, true_label);
            struct ak_encoder *live = freeze(w.hash);

            if (b > 0) {
                measure(live, &batch);
                plain_measure(live, served, BATCH);
                assert_report();
            }
            drop(live);
            learn(&batch);
            offer(&batch);
            if (b == 5) {
                uint64_t gone[] = {3, 590, 44, 0};
                uint32_t label = 2;

                ak_quality_forget(w.meter, gone, 4);
                for (int i = 0; i < 4; i++)
                    w.labels[gone[i]] = UINT32_MAX;
                assert_status(ak_quality_relabel(w.meter, 100, &label, 1, NULL),
                              AK_OK);
                w.labels[100] = 2;
                assert_status(ak_quality_relabel(w.meter, 101, NULL, 0, NULL),
                              AK_OK);
                w.labels[101] = UINT32_MAX;
            }
            if (b == 7) {
                drop(served);
                served = freeze(w.hash);
                assert_status(ak_quality_publish(w.meter, served, w.seq, NULL),
                              AK_OK);
                plain.served_from = plain.n;
            }
        }
        drop(served);
        ak_hash_destroy(floor);
        end();
    }
}

static void refill(struct ak_quality_meter *m, uint64_t want)
{
    uint64_t ordinal, n = 0;

    while (ak_quality_wants(m, &ordinal)) {
        assert_status(ak_quality_refill(m, w.map, w.x[ordinal], NULL), AK_OK);
        n++;
    }
    assert_int_equal(n, want);
}

static struct ak_writer saved(const struct ak_quality_meter *m)
{
    struct ak_writer out = {0};

    ak_quality_save(m, &out);
    assert_status(out.status, AK_OK);
    return out;
}

/* One goes on, the other is saved, loaded and given its vectors again. */
static void a_saved_meter_goes_on_byte_for_byte(void **state)
{
    (void)state;
    for (int k = 0; k < some_kinds(); k++) {
        struct ak_encoder *published = NULL;
        struct ak_writer a, b;

        begin(kinds[k]);
        for (int i = 0; i < 20; i++) {
            struct ak_hash_batch batch = next_rows(BATCH, true_label);
            struct ak_encoder *live = freeze(w.hash);

            if (i > 0)
                measure(live, &batch);
            drop(live);
            learn(&batch);
            offer(&batch);
            if (i == 6) {
                published = freeze(w.hash);
                assert_status(
                    ak_quality_publish(w.meter, published, w.seq, NULL), AK_OK);
            }
            if (i == 9) {
                struct ak_quality_meter *loaded = make_meter(kinds[k]);
                struct ak_writer state_of = saved(w.meter);
                struct ak_reader r;

                ak_reader_init(&r, state_of.data, state_of.len);
                assert_status(ak_quality_load(loaded, &r, NULL), AK_OK);
                assert_int_equal(ak_quality_published(loaded), 6);
                assert_status(ak_quality_resume(loaded, published, NULL),
                              AK_OK);
                ak_writer_clear(&state_of);
                refill(loaded, w.n);
                a = saved(w.meter);
                ak_quality_destroy(w.meter);
                w.meter = loaded;
                b = saved(w.meter);
                assert_int_equal(a.len, b.len);
                assert_memory_equal(a.data, b.data, a.len);
                ak_writer_clear(&a);
                ak_writer_clear(&b);
            }
        }
        a = saved(w.meter);
        end();
        /* The same without the load. */
        begin(kinds[k]);
        for (int i = 0; i < 20; i++) {
            struct ak_hash_batch batch = next_rows(BATCH, true_label);
            struct ak_encoder *live = freeze(w.hash);

            if (i > 0)
                measure(live, &batch);
            drop(live);
            learn(&batch);
            offer(&batch);
            if (i == 6)
                assert_status(
                    ak_quality_publish(w.meter, published, w.seq, NULL), AK_OK);
        }
        b = saved(w.meter);
        assert_int_equal(a.len, b.len);
        assert_memory_equal(a.data, b.data, a.len);
        ak_writer_clear(&a);
        ak_writer_clear(&b);
        drop(published);
        end();
    }
}

/* A rollback to the floor: it has no map in common, so its codes are made from
   the vectors again; and forward, to a model that has. */
static void a_rollback_measures_what_is_served_then(void **state)
{
    struct ak_hash *floor = make_hash("lsh");
    struct ak_encoder *bottom = freeze(floor), *top;

    (void)state;
    begin("hmoh");
    memset(&plain, 0, sizeof(plain));
    for (int b = 0; b < 8; b++) {
        struct ak_hash_batch batch = next_rows(BATCH, true_label);

        learn(&batch);
        offer(&batch);
    }
    top = freeze(w.hash);
    w.seq = 8;
    assert_status(ak_quality_publish(w.meter, top, 8, NULL), AK_OK);
    refill(w.meter, 0);
    assert_status(ak_quality_publish(w.meter, bottom, 0, NULL), AK_OK);
    refill(w.meter, w.n);
    for (int round = 0; round < 2; round++) {
        struct ak_hash_batch batch = next_rows(BATCH, true_label);

        plain.served_from = plain.n;
        measure(top, &batch);
        plain_measure(top, round == 0 ? bottom : top, BATCH);
        assert_report();
        assert_status(ak_quality_publish(w.meter, top, 8, NULL), AK_OK);
        refill(w.meter, 0);
    }
    drop(bottom);
    drop(top);
    ak_hash_destroy(floor);
    end();
}

static void rows_seen_before_are_no_queries(void **state)
{
    struct ak_hash_batch batch;
    struct ak_quality_report *r;
    struct ak_encoder *live;

    (void)state;
    begin("hmoh");
    batch = next_rows(BATCH, true_label);
    learn(&batch);
    offer(&batch);
    live = freeze(w.hash);
    batch.x = w.x[0];
    measure(live, &batch);
    r = ak_quality_report(w.meter);
    assert_int_equal(r->duplicates, BATCH);
    assert_int_equal(r->asked, 0);
    free(r);
    drop(live);
    end();
}

static uint32_t other_label(uint64_t i)
{
    return 100 + (uint32_t)(i % CLASSES);
}

static void queries_with_nothing_to_find_are_counted_apart(void **state)
{
    struct ak_hash_batch batch;
    struct ak_quality_report *r;
    struct ak_encoder *live;

    (void)state;
    begin("hmoh");
    batch = next_rows(BATCH, true_label);
    learn(&batch);
    offer(&batch);
    live = freeze(w.hash);
    batch = next_rows(BATCH, other_label);
    measure(live, &batch);
    r = ak_quality_report(w.meter);
    assert_int_equal(r->lonely, BATCH);
    assert_int_equal(r->live.queries, 0);
    free(r);
    drop(live);
    end();
}

static void the_history_is_bounded_and_reaches_back(void **state)
{
    struct ak_series *s = malloc(sizeof(*s));
    struct ak_score score = {.ap = 0.5f};
    uint32_t label = 1;

    (void)state;
    ak_series_init(s, 4);
    for (uint64_t i = 1; i <= 5000; i++) {
        assert_status(ak_series_add(s, &label, 1, &score, &score, NULL), AK_OK);
        ak_series_point(s, (struct ak_quality_point){.seq = i});
    }
    assert_in_range(s->n_points, AK_SERIES_POINTS / 2, AK_SERIES_POINTS);
    assert_true(s->points[0].seq < 50);
    assert_true(s->points[s->n_points - 1].seq > 4950);
    for (uint32_t i = 2; i < s->n_points; i++)
        assert_int_equal(s->points[i].seq - s->points[i - 1].seq, s->stride);
    ak_series_clear(s);
    free(s);
}

/* ----------------------------------------------------------------- the gate */

static struct ak_gate_decision gate(struct ak_encoder *live)
{
    struct ak_quality_place place = {.seq = w.seq, .samples = 1000000};
    struct ak_gate_params params = {.min_new_ratio = 0.1, .min_gain = 0.005};
    struct ak_gate_decision d;

    assert_status(ak_quality_gate(w.meter, live, &place, &params, &d, NULL),
                  AK_OK);
    return d;
}

/* Rows until there are a thousand pairs, ranked by `live`, which stays. */
static void ask_a_thousand(struct ak_encoder *live,
                           uint32_t (*label_of)(uint64_t))
{
    for (int i = 0; i < 11; i++) {
        struct ak_hash_batch batch = next_rows(BATCH, label_of);

        measure(live, &batch);
        offer(&batch);
    }
}

/* A learner of the same map that has learnt n rows labelled so. */
static struct ak_encoder *taught(size_t n, uint32_t (*label_of)(uint64_t))
{
    struct ak_hash *h = make_hash("hmoh");
    struct ak_encoder *e;

    for (uint64_t i = 0; i < n; i++) {
        uint32_t first[2] = {0, 1}, label = label_of(i);
        float x[DIM];
        struct ak_hash_batch b = {x, &label, first, 1};

        make_row(200000 + i, (uint32_t)(i % CLASSES), x);
        if (label != UINT32_MAX)
            assert_status(ak_hash_update(h, &b, NULL, NULL), AK_OK);
    }
    e = freeze(h);
    ak_hash_destroy(h);
    return e;
}

static uint32_t shuffled_label(uint64_t i)
{
    struct ak_rng rng;

    ak_rng_init(&rng, i);
    return (uint32_t)ak_rng_below(&rng, CLASSES);
}

static uint32_t first_half(uint64_t i)
{
    return i % CLASSES < CLASSES / 2 ? (uint32_t)(i % CLASSES) : UINT32_MAX;
}

static uint32_t second_half(uint64_t i)
{
    return i % CLASSES < CLASSES / 2 ? UINT32_MAX : (uint32_t)(i % CLASSES);
}

/* Publish one model, let the other be live, ask the gate. */
static enum ak_gate_reason judged(struct ak_encoder *published,
                                  struct ak_encoder *live)
{
    struct ak_gate_decision d;
    struct ak_hash_batch batch;

    begin("hmoh");
    batch = next_rows(BATCH, true_label);
    learn(&batch);
    offer(&batch);
    w.seq = 1;
    assert_status(ak_quality_publish(w.meter, published, 1, NULL), AK_OK);
    assert_int_equal(gate(live).reason, AK_GATE_FEW_PAIRS);
    ask_a_thousand(live, true_label);
    d = gate(live);
    print_message("# %s: gain %.3f, lower %.3f, upper %.3f, %u older classes "
                  "%.3f -> %.3f\n",
                  ak_gate_reason_name(d.reason), d.gain, d.lower, d.upper,
                  (unsigned)d.older_classes, d.older_served, d.older_live);
    end();
    return d.reason;
}

static void the_better_of_two_models_passes_the_gate(void **state)
{
    struct ak_encoder *good = taught(2000, true_label);
    struct ak_encoder *bad = taught(2000, shuffled_label);

    (void)state;
    assert_int_equal(judged(bad, good), AK_GATE_BETTER);
    assert_int_equal(judged(good, bad), AK_GATE_WORSE);
    assert_int_equal(judged(good, good), AK_GATE_NO_GAIN);
    drop(good);
    drop(bad);
}

/* Rows of two classes only, the first two or the last two. */
static struct ak_hash_batch rows_of_half(uint32_t half)
{
    struct ak_hash_batch b = next_rows(BATCH, true_label);

    for (size_t i = 0; i < BATCH; i++) {
        uint32_t c = half * CLASSES / 2 + (uint32_t)(i % (CLASSES / 2));

        make_row(w.n + i, c, w.x[w.n + i]);
        w.labels[w.n + i] = c;
    }
    return b;
}

/* Two classes at a time: the new model finds what arrives, and has never seen
   what the old one knows. */
static void what_has_forgotten_older_classes_does_not_pass(void **state)
{
    struct ak_encoder *old = taught(4000, first_half);
    struct ak_encoder *new = taught(4000, second_half);
    struct ak_encoder *both = taught(4000, true_label);
    struct ak_gate_decision d;

    (void)state;
    begin("hmoh");
    for (int i = 0; i < 10; i++) {
        struct ak_hash_batch batch = rows_of_half(0);

        learn(&batch);
        offer(&batch);
    }
    w.seq = 10;
    assert_status(ak_quality_publish(w.meter, old, 10, NULL), AK_OK);
    for (int i = 0; i < 12; i++) {
        struct ak_hash_batch batch = rows_of_half(1);

        measure(new, &batch);
        offer(&batch);
    }
    d = gate(new);
    print_message("# gain %.3f, lower %.3f; older classes %.3f -> %.3f\n",
                  d.gain, d.lower, d.older_served, d.older_live);
    assert_true(d.lower > d.min_gain);
    assert_int_equal(d.older_classes, CLASSES / 2);
    assert_int_equal(d.reason, AK_GATE_OLDER_CLASSES);
    /* One that learnt all of them has no veto against it. */
    d = gate(both);
    print_message("# of one that knows both: %.3f -> %.3f\n", d.older_served,
                  d.older_live);
    assert_int_equal(d.reason, AK_GATE_BETTER);
    drop(old);
    drop(new);
    drop(both);
    end();
}

/* What is served begins to find less: labels trade places. */
static uint32_t flipped(uint64_t i)
{
    return i < 2000 ? true_label(i) : (uint32_t)((i + 1) % CLASSES);
}

static void labels_that_trade_places_raise_the_alarm(void **state)
{
    struct ak_encoder *good = taught(2000, true_label);
    struct ak_quality_report *r;
    uint64_t raised = 0;

    (void)state;
    begin("hmoh");
    w.seq = 1;
    for (int i = 0; i < 30 && raised == 0; i++) {
        struct ak_hash_batch batch = next_rows(BATCH, flipped);

        if (i == 0)
            learn(&batch);
        else if (measure(good, &batch) == AK_DRIFT_RAISED)
            raised = w.n;
        offer(&batch);
        if (i == 0)
            assert_status(ak_quality_publish(w.meter, good, 1, NULL), AK_OK);
    }
    print_message("# flipped from row 2,000 on, raised by the batch of row "
                  "%u\n",
                  (unsigned)raised);
    assert_in_range(raised, 2000, 2200);
    r = ak_quality_report(w.meter);
    assert_true(r->drift.alarm);
    assert_int_equal(r->drift.alarms, 1);
    free(r);
    drop(good);
    end();
}

static void a_damaged_state_is_refused(void **state)
{
    struct ak_writer s;

    (void)state;
    begin("hmoh");
    for (int b = 0; b < 3; b++) {
        struct ak_hash_batch batch = next_rows(BATCH, true_label);
        struct ak_encoder *live = freeze(w.hash);

        if (b > 0)
            measure(live, &batch);
        drop(live);
        learn(&batch);
        offer(&batch);
    }
    s = saved(w.meter);
    for (size_t len = 0; len < s.len; len += 97 * test_stride()) {
        struct ak_quality_meter *m = make_meter("hmoh");
        struct ak_reader r;

        ak_reader_init(&r, s.data, len);
        assert_status(ak_quality_load(m, &r, NULL), AK_ECORRUPT);
        ak_quality_destroy(m);
    }
    ak_writer_clear(&s);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures_are_those_of_a_plain_computation),
        cmocka_unit_test(a_saved_meter_goes_on_byte_for_byte),
        cmocka_unit_test(a_rollback_measures_what_is_served_then),
        cmocka_unit_test(rows_seen_before_are_no_queries),
        cmocka_unit_test(queries_with_nothing_to_find_are_counted_apart),
        cmocka_unit_test(the_history_is_bounded_and_reaches_back),
        cmocka_unit_test(the_better_of_two_models_passes_the_gate),
        cmocka_unit_test(what_has_forgotten_older_classes_does_not_pass),
        cmocka_unit_test(labels_that_trade_places_raise_the_alarm),
        cmocka_unit_test(a_damaged_state_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
