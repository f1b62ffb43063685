/*
 * A trainer alone, over a file of records: what it has learnt depends on the
 * rows and the records, and on nothing else.
 */
#include "tests/server/engine_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/rng.h"
#include "server/reservoir.h"
#include "server/trainer.h"

enum { BLOCK = 40, MOST_ROWS = 2000 };

static const char *const kinds[] = {"hmoh", "hcoh", "fcoh", "sdoh", "hcdh"};
enum { N_KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static struct ak_settings quick(const char *kind)
{
    struct ak_settings s = settings_of("x", kind);

    s.max_labels = 3;
    if (strcmp(kind, "hmoh") == 0)
        set_option(&s, "kernel_anchors", 16);
    if (strcmp(kind, "fcoh") == 0 || strcmp(kind, "sdoh") == 0)
        set_option(&s, "block", BLOCK);
    if (strcmp(kind, "sdoh") == 0)
        set_option(&s, "iterations", 5);
    if (strcmp(kind, "hcdh") == 0) {
        set_option(&s, "hidden", 8);
        set_option(&s, "epochs", 3);
        set_option(&s, "batch", BLOCK);
    }
    return s;
}

static bool waits(const char *kind)
{
    return ak_hash_find(kind)->by_epochs;
}

/* ---------------------------------------------------------------- the file */

struct file {
    char path[128];
    struct ak_store *store;
    struct ak_view *view;
};

static void file_open(struct file *f)
{
    static int number;
    struct ak_store_shape shape = {.row_bytes = DIM * sizeof(float),
                                   .code_bytes = BITS / 8};
    struct ak_bytes config = {"{}", 2};

    snprintf(f->path, sizeof(f->path), "%s/%d.db", fixture_dir, number++);
    assert_status(ak_store_create(f->path, &shape, config, &f->store, NULL),
                  AK_OK);
    assert_status(ak_view_open(f->path, &f->view, NULL), AK_OK);
    /* One transaction for all that follows: nothing here is about the disk. */
    assert_status(ak_store_begin(f->store, NULL), AK_OK);
}

static void file_commit(struct file *f)
{
    assert_status(ak_store_commit(f->store, NULL), AK_OK);
}

static void file_close(struct file *f)
{
    ak_view_close(f->view);
    ak_store_close(f->store);
}

static void apply(struct file *f, const struct ak_change *change)
{
    struct ak_receipt receipt;
    struct ak_err err = {0};

    if (ak_store_apply(f->store, change, &receipt, &err) != AK_OK)
        fail_msg("%s", err.text);
}

static void add(struct file *f, enum ak_record_kind kind, uint64_t cause)
{
    struct ak_change change = {.kind = kind, .cause = cause, .now_ms = 1};

    apply(f, &change);
}

/* 4 classes of which 3 are learnt, and every fifth row has no label. */
static size_t label_of(uint64_t i)
{
    return i % 5 == 4 ? SIZE_MAX : (size_t)(i % CLASSES);
}

static void add_rows(struct file *f, enum ak_record_kind kind, uint64_t from,
                     size_t n)
{
    static const char *const names[CLASSES] = {"a", "b", "c", "d"};
    float *x = calloc(n * DIM, sizeof(*x));
    struct ak_row_id *ids = calloc(n, sizeof(*ids));
    struct ak_bytes *labels = calloc(n, sizeof(*labels));
    uint32_t *first = calloc(n + 1, sizeof(*first));
    struct ak_change change = {.kind = kind, .now_ms = 1};

    for (size_t i = 0; i < n; i++) {
        size_t label = label_of(from + i);

        make_row(from + i, x + i * DIM);
        ids[i].number = from + i;
        first[i + 1] = first[i];
        if (label != SIZE_MAX)
            labels[first[i + 1]++] = (struct ak_bytes){names[label], 1};
    }
    change.rows = (struct ak_store_rows){
        .n = n, .block = x, .ids = ids, .labels = labels, .label_first = first};
    apply(f, &change);
    free(x);
    free(ids);
    free(labels);
    free(first);
}

/* ------------------------------------------------------------- the trainer */

static struct ak_trainer *make(const struct ak_settings *s)
{
    struct ak_trainer *t = NULL;
    struct ak_err err = {0};

    if (ak_trainer_create(s, &t, &err) != AK_OK)
        fail_msg("%s", err.text);
    return t;
}

/* Follow one record; false when there is none. */
static bool step(struct ak_trainer *t, struct file *f)
{
    struct ak_record rec;
    struct ak_trained out;
    struct ak_err err = {0};
    enum ak_status status =
        ak_view_record(f->view, ak_trainer_seq(t), &rec, &err);

    if (status == AK_ENOTFOUND)
        return false;
    if (status == AK_OK)
        status = ak_trainer_follow(t, f->view, &rec, &out, &err);
    if (status != AK_OK)
        fail_msg("%s", err.text);
    assert_int_equal(out.refused, 0);
    return true;
}

static void follow(struct ak_trainer *t, struct file *f)
{
    while (step(t, f))
        ;
}

/* A trainer made again from what this one saves. */
static struct ak_trainer *again(struct ak_trainer *t,
                                const struct ak_settings *s)
{
    struct ak_writer constants = {0}, state = {0};
    struct ak_reader c, r;
    struct ak_trainer *other = make(s);
    struct ak_err err = {0};

    assert_status(ak_trainer_save_constants(t, &constants, NULL), AK_OK);
    assert_status(ak_trainer_save_state(t, &state, NULL), AK_OK);
    ak_reader_init(&c, constants.data, constants.len);
    ak_reader_init(&r, state.data, state.len);
    if (ak_trainer_load(other, &c, &r, &err) != AK_OK)
        fail_msg("%s", err.text);
    ak_writer_clear(&constants);
    ak_writer_clear(&state);
    ak_trainer_destroy(t);
    return other;
}

/* What the learner has learnt; with `all` what the trainer holds, too. */
static struct ak_writer learnt(const struct ak_trainer *t, bool all)
{
    struct ak_writer w = {0};

    if (all)
        assert_status(ak_trainer_save_state(t, &w, NULL), AK_OK);
    assert_status(ak_hash_save_state(ak_trainer_hash(t), &w, NULL), AK_OK);
    assert_status(ak_hash_save_constants(ak_trainer_hash(t), &w, NULL), AK_OK);
    return w;
}

static void assert_same(struct ak_writer a, struct ak_writer b)
{
    assert_same_state(&a, &b);
    ak_writer_clear(&a);
    ak_writer_clear(&b);
}

/* ------------------------------------------------------------ sets of rows */

struct set {
    uint64_t ordinals[MOST_ROWS];
    uint32_t labels[MOST_ROWS], first[MOST_ROWS + 1];
    float x[MOST_ROWS * DIM];
    struct ak_row_refs refs;
    struct ak_hash_batch batch;
};

/* Rows 0 .. n - 1 of a file with add_rows(), in a seeded order or in theirs.
   Labels have the numbers that the file gave them: by first sight. */
static struct set *make_set(size_t n, uint64_t seed)
{
    static struct set set;
    static const uint32_t numbers[CLASSES] = {0, 1, 2, 3};
    uint32_t order[MOST_ROWS];
    struct ak_rng rng;

    ak_rng_init(&rng, seed);
    for (uint32_t i = 0; i < n; i++)
        order[i] = i;
    if (seed > 0)
        ak_rng_shuffle(&rng, order, (uint32_t)n);
    for (size_t i = 0; i < n; i++) {
        size_t label = label_of(order[i]);

        set.ordinals[i] = order[i];
        make_row(order[i], set.x + i * DIM);
        set.first[i + 1] = set.first[i];
        if (label != SIZE_MAX)
            set.labels[set.first[i + 1]++] = numbers[label];
    }
    set.refs = (struct ak_row_refs){set.ordinals, set.labels, set.first, n};
    set.batch = (struct ak_hash_batch){set.x, set.labels, set.first, n};
    return &set;
}

/* Train with the whole set, `most` rows at a time, perhaps through a save. */
static struct ak_trainer *train(struct ak_trainer *t, struct file *f,
                                const struct ak_settings *s,
                                const struct set *set, size_t most, bool saved)
{
    uint64_t done, total;
    struct ak_trained out;
    struct ak_err err = {0};

    do {
        if (ak_trainer_train(t, f->view, &set->refs, most, &out, &err) != AK_OK)
            fail_msg("%s", err.text);
        assert_int_equal(out.refused, 0);
        if (saved)
            t = again(t, s);
        ak_trainer_progress(t, set->refs.n, &done, &total);
    } while (done < total);
    assert_int_equal(done, total);
    return t;
}

/* ---------------------------------------------------------------- the tests */

/* Rows 0 .. 699 in records of `sizes`, with two flushes among them. */
static void add_cut(struct file *f, const size_t *sizes)
{
    static const uint64_t flushes[] = {133, 500, 700};
    uint64_t at = 0;

    for (size_t i = 0, k = 0; k<3; i = sizes[i + 1]> 0 ? i + 1 : 0) {
        uint64_t left = flushes[k] - at;
        size_t n = sizes[i] < left ? sizes[i] : (size_t)left;

        add_rows(f, AK_RECORD_BATCH, at, n);
        at += n;
        if (at == flushes[k]) {
            add(f, AK_RECORD_FLUSH, 0);
            k++;
        }
    }
}

static void the_cut_into_batches_does_not_matter(void **state)
{
    static const size_t cuts[][4] = {{1, 0}, {7, 100, 31, 0}, {600, 0}};
    struct file files[3];

    (void)state;
    for (int i = 0; i < 3; i++) {
        file_open(&files[i]);
        add_cut(&files[i], cuts[i]);
        file_commit(&files[i]);
    }
    for (int k = 0; k < N_KINDS; k++) {
        struct ak_settings s = quick(kinds[k]);
        struct ak_writer ends[3];

        for (int i = 0; i < 3; i++) {
            struct ak_trainer *t = make(&s);

            if (waits(kinds[k])) {
                t = train(t, &files[i], &s, make_set(300, 5), 1000, false);
                ak_trainer_begin(t, 0);
                assert_int_equal(ak_trainer_seq(t), 0);
            }
            follow(t, &files[i]);
            assert_true(ak_hash_samples(ak_trainer_hash(t)) > 400);
            ends[i] = learnt(t, false);
            ak_trainer_destroy(t);
        }
        assert_same_state(&ends[0], &ends[1]);
        assert_same_state(&ends[0], &ends[2]);
        for (int i = 0; i < 3; i++)
            ak_writer_clear(&ends[i]);
    }
    for (int i = 0; i < 3; i++)
        file_close(&files[i]);
}

/* Records of all kinds, seeded. */
static void add_all_kinds(struct file *f, int n)
{
    static const struct ak_bytes new_label = {"b", 1};
    struct ak_rng rng;
    uint64_t rows = 0;

    ak_rng_init(&rng, 77);
    for (int i = 0; i < n; i++) {
        struct ak_row_id ids[3] = {{.number = ak_rng_below(&rng, rows + 1)},
                                   {.number = rows / 2},
                                   {.number = rows}};
        struct ak_change gone = {
            .kind = AK_RECORD_DELETE, .ids = ids, .n_ids = 3, .now_ms = 1};
        struct ak_change relabelled = {.kind = AK_RECORD_RELABEL,
                                       .ids = &ids[2],
                                       .n_ids = 1,
                                       .set_labels = true,
                                       .labels = &new_label,
                                       .n_labels = 1,
                                       .now_ms = 1};
        size_t some = 1 + (size_t)ak_rng_below(&rng, 60);

        add_rows(f, AK_RECORD_BATCH, rows, some);
        rows += some;
        switch (i % 6) {
        case 0:
            add_rows(f, AK_RECORD_UPSERT, rows - some / 2 - 1, some / 2 + 1);
            break;
        case 1:
            add_rows(f, AK_RECORD_BATCH, rows / 3, 20); /* replaced */
            break;
        case 2:
            apply(f, &gone);
            break;
        case 3:
            apply(f, &relabelled);
            break;
        case 4:
            add(f, AK_RECORD_FLUSH, 0);
            break;
        default:
            add(f, AK_RECORD_PUBLISH, i > 20 ? (uint64_t)i : 0);
        }
    }
}

static void a_trainer_goes_on_after_a_load_as_without_it(void **state)
{
    struct file f;

    (void)state;
    file_open(&f);
    add_all_kinds(&f, 30);
    file_commit(&f);
    for (int k = 0; k < N_KINDS; k++) {
        struct ak_settings s = quick(kinds[k]);
        struct ak_trainer *one = make(&s), *two = make(&s);

        if (waits(kinds[k])) {
            one = train(one, &f, &s, make_set(100, 9), 50, false);
            two = train(two, &f, &s, make_set(100, 9), 20, true);
            ak_trainer_begin(one, 2);
            ak_trainer_begin(two, 2);
        }
        follow(one, &f);
        while (step(two, &f))
            if (ak_trainer_can_save(two))
                two = again(two, &s);
        assert_int_equal(ak_trainer_seq(one), ak_trainer_seq(two));
        assert_int_equal(ak_trainer_pending(one), ak_trainer_pending(two));
        assert_same(learnt(one, true), learnt(two, true));
        ak_trainer_destroy(one);
        ak_trainer_destroy(two);
    }
    file_close(&f);
}

static void a_set_in_steps_is_what_core_hash_learns_at_once(void **state)
{
    static const size_t mosts[] = {33, 64, 5000};
    struct set *set = make_set(10 * BLOCK * 5 / 3, 3);
    struct file f;

    (void)state;
    file_open(&f);
    add_rows(&f, AK_RECORD_BATCH, 0, set->refs.n);
    file_commit(&f);
    for (int k = 0; k < N_KINDS; k++) {
        struct ak_settings s = quick(kinds[k]);
        struct ak_hash_params params = {s.dim, s.bits, s.max_labels, s.seed};

        for (int i = 0; i < 3; i++) {
            struct ak_hash *h = NULL;
            struct ak_trainer *t = make(&s);
            struct ak_writer w = {0};
            size_t n = set->refs.n, wanted;
            struct ak_hash_batch whole = set->batch;

            t = train(t, &f, &s, set, mosts[i], i < 2);
            assert_status(
                ak_hash_create(kinds[k], &params, s.options, &h, NULL), AK_OK);
            wanted = ak_hash_warmup_rows(h);
            if (wanted > 0)
                assert_status(
                    ak_hash_fix(h, set->x, wanted < n ? wanted : n, NULL),
                    AK_OK);
            /* What is left over waits for more. */
            for (uint64_t left = ak_trainer_pending(t); left > 0;) {
                whole.n--;
                left -= set->first[whole.n] < set->first[whole.n + 1] &&
                        ak_hash_knows(ak_trainer_hash(t),
                                      set->labels[set->first[whole.n]]);
            }
            assert_status(ak_hash_train(h, &whole, NULL, NULL), AK_OK);
            assert_status(ak_hash_save_state(h, &w, NULL), AK_OK);
            assert_status(ak_hash_save_constants(h, &w, NULL), AK_OK);
            assert_same(w, learnt(t, false));
            ak_hash_destroy(h);
            ak_trainer_destroy(t);
        }
    }
    file_close(&f);
}

/* Fed with the rows of the first records, then following the others: the same
   as following all. */
static void a_trainer_that_is_fed_rows_follows_from_there(void **state)
{
    struct set *set = make_set(700, 0);
    struct file f;

    (void)state;
    file_open(&f);
    for (int i = 0; i < 7; i++)
        add_rows(&f, AK_RECORD_BATCH, (uint64_t)i * 100, 100);
    for (int i = 7; i < 14; i++)
        add_rows(&f, AK_RECORD_BATCH, (uint64_t)i * 100, 100);
    add(&f, AK_RECORD_FLUSH, 0);
    file_commit(&f);
    for (int k = 0; k < N_KINDS; k++) {
        struct ak_settings s = quick(kinds[k]);
        struct ak_trainer *all = make(&s), *fed = make(&s);
        struct ak_row_refs rest = set->refs;
        struct set *part;
        struct ak_trained out;

        if (waits(kinds[k])) {
            ak_trainer_destroy(all);
            ak_trainer_destroy(fed);
            continue;
        }
        if (strcmp(kinds[k], "hmoh") == 0) {
            /* Its map is fixed with what is fed. */
            set_option(&s, "kernel_anchors", 0);
            ak_trainer_destroy(all);
            ak_trainer_destroy(fed);
            all = make(&s);
            fed = make(&s);
        }
        follow(all, &f);
        part = make_set(600, 0);
        fed = train(fed, &f, &s, part, 77, true);
        rest = make_set(700, 0)->refs;
        rest.ordinals += 600;
        rest.first += 600;
        rest.n = 100;
        assert_status(ak_trainer_feed(fed, f.view, &rest, &out, NULL), AK_OK);
        ak_trainer_begin(fed, 7);
        assert_int_equal(ak_trainer_absorbed(fed), 7);
        follow(fed, &f);
        assert_same(learnt(all, false), learnt(fed, false));
        ak_trainer_destroy(all);
        ak_trainer_destroy(fed);
    }
    file_close(&f);
}

/* Without passes it counts what has a label; after them it takes steps of which
   half is new, and does not forget what it knew. */
static void hcdh_waits_for_its_passes_and_then_follows(void **state)
{
    struct ak_settings s = quick("hcdh");
    struct ak_trainer *t = make(&s);
    struct file f;

    (void)state;
    file_open(&f);
    add_rows(&f, AK_RECORD_BATCH, 0, 300);
    add(&f, AK_RECORD_FLUSH, 0);
    add(&f, AK_RECORD_PUBLISH, 0);
    add_rows(&f, AK_RECORD_BATCH, 300, 50);
    file_commit(&f);
    follow(t, &f);
    assert_true(ak_trainer_waits(t));
    assert_false(ak_trainer_can_flush(t));
    assert_true(ak_trainer_can_save(t));
    assert_int_equal(ak_trainer_pending(t), 280);
    assert_int_equal(ak_hash_samples(ak_trainer_hash(t)), 0);
    t = again(t, &s);
    assert_int_equal(ak_trainer_pending(t), 280);
    assert_int_equal(ak_trainer_seq(t), 4);
    ak_trainer_destroy(t);

    t = train(make(&s), &f, &s, make_set(300, 1), 100, true);
    ak_trainer_begin(t, 3);
    assert_false(ak_trainer_waits(t));
    /* 3 passes over 4 of 5 rows, of which 3 of 4 classes. */
    assert_int_equal(ak_hash_samples(ak_trainer_hash(t)), 3 * 180);
    follow(t, &f);
    /* 30 learnable rows: a step of 20 and 20 rehearsed, and 10 wait. */
    assert_int_equal(ak_hash_samples(ak_trainer_hash(t)), 3 * 180 + BLOCK);
    assert_int_equal(ak_trainer_pending(t), 10);
    assert_true(ak_trainer_can_flush(t));
    ak_trainer_destroy(t);
    file_close(&f);
}

/* One that another of the same shape has learnt, of each kind: it waits for
   nothing, learns nothing, and is saved with what it is. */
static void a_trainer_that_has_taken_a_model_passes_over_rows(void **state)
{
    struct file f;

    (void)state;
    file_open(&f);
    add_all_kinds(&f, 60);
    file_commit(&f);
    for (int k = 0; k < N_KINDS; k++) {
        struct ak_settings s = quick(kinds[k]);
        struct ak_trainer *t = make(&s);
        struct ak_encoder *e = NULL, *now = NULL;
        struct ak_writer wanted = {0}, found = {0};
        struct set *set = make_set(90, 3);
        struct ak_trained out;

        assert_status(ak_hash_freeze(ak_trainer_hash(t), &e, NULL), AK_OK);
        assert_status(ak_encoder_save(e, &wanted, NULL), AK_OK);
        assert_false(ak_trainer_has_taken(t));
        assert_status(ak_trainer_take(t, e, NULL), AK_OK);
        ak_ref_drop(ak_encoder_ref(e));
        assert_false(ak_trainer_waits(t));
        t = train(t, &f, &s, set, 20, k % 2 == 0);
        assert_status(ak_trainer_feed(t, f.view, &set->refs, &out, NULL),
                      AK_OK);
        assert_int_equal(out.loss.learnt, 0);
        assert_status(ak_trainer_flush(t, f.view, &out, NULL), AK_OK);
        ak_trainer_begin(t, 7);
        assert_int_equal(ak_trainer_warmed_at(t), 7);
        assert_true(ak_trainer_can_save(t));
        assert_true(step(t, &f));
        assert_int_equal(ak_trainer_seq(t), 8);
        t = again(t, &s);
        follow(t, &f);
        assert_true(ak_trainer_has_taken(t));
        assert_true(ak_trainer_seq(t) >= 60);
        assert_int_equal(ak_trainer_pending(t), 0);
        assert_false(ak_trainer_can_flush(t));
        assert_int_equal(ak_hash_classes(ak_trainer_hash(t)), 0);
        assert_status(ak_hash_freeze(ak_trainer_hash(t), &now, NULL), AK_OK);
        assert_status(ak_encoder_save(now, &found, NULL), AK_OK);
        ak_ref_drop(ak_encoder_ref(now));
        assert_same(wanted, found);
        /* Where nothing was before it, it is what it is from the first on. */
        ak_trainer_begin(t, 0);
        assert_true(step(t, &f));
        assert_int_equal(ak_trainer_warmed_at(t), 1);
        assert_true(ak_trainer_can_save(t));
        assert_true(step(t, &f));
        assert_int_equal(ak_trainer_warmed_at(t), 1);
        ak_trainer_destroy(t);
    }
    file_close(&f);
}

/* A decay that makes weights ten times larger at each step: one that would end
   beyond all numbers is undone, and what it would have learnt is given up. */
static void a_step_that_is_not_finite_is_undone(void **state)
{
    struct ak_settings s = quick("hcdh");
    struct ak_trainer *t;
    struct ak_writer before;
    struct ak_record rec;
    struct ak_trained out;
    struct file f;

    (void)state;
    set_option(&s, "rate", 1e-6);
    set_option(&s, "follow_rate", 10);
    set_option(&s, "decay", 1);
    file_open(&f);
    add_rows(&f, AK_RECORD_BATCH, 0, 300);
    add_rows(&f, AK_RECORD_BATCH, 300, 1500);
    add_rows(&f, AK_RECORD_BATCH, 1800, 200);
    file_commit(&f);
    t = train(make(&s), &f, &s, make_set(300, 1), 100, false);
    ak_trainer_begin(t, 1);
    assert_status(ak_view_record(f.view, 1, &rec, NULL), AK_OK);
    assert_status(ak_trainer_follow(t, f.view, &rec, &out, NULL), AK_OK);
    assert_true(out.loss.learnt > 0);
    assert_true(out.refused > 0);
    assert_non_null(strstr(out.reason, "hcdh"));
    before = learnt(t, false);
    assert_status(ak_view_record(f.view, 2, &rec, NULL), AK_OK);
    assert_status(ak_trainer_follow(t, f.view, &rec, &out, NULL), AK_OK);
    assert_int_equal(out.loss.learnt, 0);
    assert_int_equal(out.refused, 200 * 3 / 5 / (BLOCK / 2));
    assert_same(before, learnt(t, false));
    assert_int_equal(ak_trainer_seq(t), 3);
    ak_trainer_destroy(t);
    file_close(&f);
}

/* The vector of a row that has ended is not read, not even to go on from a
   state that was saved before its block was learnt. */
static void rows_that_have_ended_are_not_read_again(void **state)
{
    struct ak_settings s = quick("fcoh");
    struct ak_trainer *t = make(&s);
    struct ak_row_id ids[60];
    struct ak_change gone = {
        .kind = AK_RECORD_DELETE, .ids = ids, .n_ids = 60, .now_ms = 1};
    struct file f;

    (void)state;
    for (uint64_t i = 0; i < 60; i++)
        ids[i].number = i;
    file_open(&f);
    add_rows(&f, AK_RECORD_BATCH, 0, 60); /* 36 are learnable */
    add(&f, AK_RECORD_FLUSH, 0);
    add_rows(&f, AK_RECORD_BATCH, 60, 10); /* 6 are */
    apply(&f, &gone);
    add(&f, AK_RECORD_FLUSH, 0);
    file_commit(&f);
    /* The flush ends the warm-up; record 1 is next. */
    while (ak_trainer_warmed_at(t) == 0)
        assert_true(step(t, &f));
    assert_int_equal(ak_trainer_seq(t), 0);
    while (ak_trainer_seq(t) < 4)
        assert_true(step(t, &f));
    assert_int_equal(ak_trainer_pending(t), 6);
    assert_int_equal(ak_hash_samples(ak_trainer_hash(t)), 36);
    t = again(t, &s);
    assert_true(step(t, &f));
    /* Nothing was left to fill the block with. */
    assert_int_equal(ak_hash_samples(ak_trainer_hash(t)), 36 + 6);
    ak_trainer_destroy(t);
    file_close(&f);
}

/* ---------------------------------------------------------- the reservoir */

static struct ak_row_list draw_all(struct ak_reservoir *r)
{
    struct ak_row_list l;

    ak_row_list_init(&l, 1);
    assert_status(ak_reservoir_draw(r, SIZE_MAX, NULL, NULL, &l, NULL), AK_OK);
    return l;
}

static void a_reservoir_holds_rare_classes_and_samples_large_ones(void **state)
{
    enum { ROWS = 300, LARGE = 20000, EVERY = 333, SMALL = 61 };
    struct ak_reservoir *r = NULL;
    struct ak_row_list all;
    size_t n[3] = {0}, early = 0;

    (void)state;
    assert_status(ak_reservoir_create(ROWS, 1, 1, &r, NULL), AK_OK);
    for (uint64_t i = 0; i < LARGE; i++) {
        uint32_t label = i % EVERY == 7 ? 2 : i < LARGE / 2 ? 0 : 1;
        float x = (float)i;

        assert_status(ak_reservoir_offer(r, i, &label, 1, &x, NULL), AK_OK);
    }
    all = draw_all(r);
    assert_int_equal(all.n, ROWS);
    for (size_t i = 0; i < all.n; i++) {
        n[all.labels[i]]++;
        assert_true(all.x[i] == (float)all.ordinals[i]);
        early += all.labels[i] == 0 && all.ordinals[i] < LARGE / 4;
        for (size_t j = 0; j < i; j++)
            assert_true(all.ordinals[j] != all.ordinals[i]);
    }
    assert_int_equal(n[2], SMALL);
    assert_in_range(n[0], 119, 121);
    assert_in_range(n[1], 119, 121);
    /* Uniform within a class: half of 120, give or take four sigma. */
    assert_in_range(early, 38, 82);
    ak_row_list_clear(&all);
    ak_reservoir_destroy(r);
}

static void a_damaged_state_is_refused(void **state)
{
    struct ak_settings s = quick("fcoh");
    struct ak_trainer *t = make(&s);
    struct ak_writer constants = {0}, w = {0};
    struct file f;

    (void)state;
    file_open(&f);
    add_rows(&f, AK_RECORD_BATCH, 0, 100);
    add(&f, AK_RECORD_FLUSH, 0);
    add_rows(&f, AK_RECORD_BATCH, 100, 20);
    file_commit(&f);
    follow(t, &f);
    assert_true(ak_trainer_pending(t) > 0);
    assert_status(ak_trainer_save_constants(t, &constants, NULL), AK_OK);
    assert_status(ak_trainer_save_state(t, &w, NULL), AK_OK);
    for (size_t len = 0; len < w.len; len += len < 100 ? 3 : 137) {
        struct ak_trainer *other = make(&s);
        struct ak_reader c, r;
        struct ak_err err = {0};
        uint8_t *copy = malloc(len + 1);

        memcpy(copy, w.data, len);
        ak_reader_init(&c, constants.data, constants.len);
        ak_reader_init(&r, copy, len);
        assert_status(ak_trainer_load(other, &c, &r, &err), AK_ECORRUPT);
        assert_true(err.text[0] != '\0');
        ak_trainer_destroy(other);
        free(copy);
    }
    ak_writer_clear(&constants);
    ak_writer_clear(&w);
    ak_trainer_destroy(t);
    file_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_cut_into_batches_does_not_matter),
        cmocka_unit_test(a_trainer_goes_on_after_a_load_as_without_it),
        cmocka_unit_test(a_set_in_steps_is_what_core_hash_learns_at_once),
        cmocka_unit_test(a_trainer_that_is_fed_rows_follows_from_there),
        cmocka_unit_test(hcdh_waits_for_its_passes_and_then_follows),
        cmocka_unit_test(a_trainer_that_has_taken_a_model_passes_over_rows),
        cmocka_unit_test(a_step_that_is_not_finite_is_undone),
        cmocka_unit_test(rows_that_have_ended_are_not_read_again),
        cmocka_unit_test(a_reservoir_holds_rare_classes_and_samples_large_ones),
        cmocka_unit_test(a_damaged_state_is_refused),
    };

    return cmocka_run_group_tests_name("trainer", tests, make_dir, remove_dir);
}
