/*
 * The stream as it comes in real life, through the engine: every method learns
 * from it what core/hash learns from the same rows in one call, and nothing
 * stops it.
 */
#include "tests/server/jobs_fixture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 50 };

/* The methods, with options that make them quick. */
static const char *const kinds[] = {"hmoh", "hcoh", "fcoh", "sdoh"};
enum { N_KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static struct ak_settings quick(const char *what, const char *kind)
{
    char name[AK_SETTINGS_NAME];
    struct ak_settings s;

    snprintf(name, sizeof(name), "%s-%s", what, kind);
    s = settings_of(name, kind);
    if (strcmp(kind, "hmoh") == 0) {
        set_option(&s, "kernel_anchors", 16);
        set_option(&s, "anchor_rounds", 0);
    }
    if (strcmp(kind, "hcdh") == 0) {
        set_option(&s, "hidden", 8);
        set_option(&s, "epochs", 2);
        set_option(&s, "batch", BLOCK);
        return s;
    }
    if (ak_hash_find(kind)->per_sample)
        return s;
    set_option(&s, "block", BLOCK);
    if (strcmp(kind, "sdoh") == 0)
        set_option(&s, "iterations", 5);
    return s;
}

/* Rows 0 .. n - 1 in records of `sizes`, over and over; the last one's seq. */
static uint64_t put_cut(struct ak_collection *c, size_t n, const size_t *sizes,
                        labels_fn *labels, row_fn *row)
{
    struct ak_receipt r = {0};
    size_t at = 0;

    for (size_t i = 0; at < n; i++) {
        size_t some;

        if (sizes[i] == 0)
            i = 0;
        some = sizes[i] < n - at ? sizes[i] : n - at;
        r = put_made(c, at, some, AK_RECORD_BATCH, labels, row, NULL);
        at += some;
    }
    return r.seq;
}

static const size_t ones[] = {1, 0};
static const size_t large[] = {4096, 0};
static const size_t fifties[] = {50, 0};
static const size_t mixed[] = {1, 99, 7, 150, 43, 0};

struct stream {
    const char *name;
    size_t n;
    const size_t *sizes; /* 0 ends */
    labels_fn *labels;
    row_fn *row;
    size_t learnt; /* a multiple of BLOCK */
    uint32_t max_labels;
};

/* Rows as they may be. */

static size_t two_of_three(uint64_t i, uint32_t labels[MOST_LABELS])
{
    return i % 3 == 0 ? 0 : one_label(i, labels);
}

/* Row i is of class i / 100, and lies where that class does. */
static size_t sorted_label(uint64_t i, uint32_t labels[MOST_LABELS])
{
    labels[0] = (uint32_t)(i / 100 % CLASSES);
    return 1;
}

static void sorted_row(uint64_t i, float x[DIM])
{
    make_row(i * CLASSES + i / 100 % CLASSES, x);
}

static void constant_row(uint64_t i, float x[DIM])
{
    (void)i;
    for (int d = 0; d < DIM; d++)
        x[d] = 0.5f;
}

static size_t flipped_label(uint64_t i, uint32_t labels[MOST_LABELS])
{
    labels[0] = (uint32_t)((i < 200 ? i : i + 1) % CLASSES);
    return 1;
}

/* 1 to 3 labels: the class, its pair, and one that few have. */
static size_t some_labels(uint64_t i, uint32_t labels[MOST_LABELS])
{
    labels[0] = (uint32_t)(i % CLASSES);
    labels[1] = 10 + (uint32_t)(i % CLASSES) / 2;
    labels[2] = 20 + (uint32_t)(i / 97 % 3);
    return 1 + i % 3;
}

enum {
    NEVER,
    ONES,
    LARGE,
    SORTED,
    CONSTANT,
    FLIPS,
    SEVERAL,
    BEYOND,
    N_STREAMS
};

static const struct stream streams[N_STREAMS] = {
    [NEVER] = {"never", 300, mixed, two_of_three, NULL, 200, 256},
    [ONES] = {"ones", 100, ones, one_label, NULL, 100, 256},
    [LARGE] = {"large", 4150, large, one_label, NULL, 4150, 256},
    [SORTED] = {"sorted", 400, fifties, sorted_label, sorted_row, 400, 256},
    [CONSTANT] = {"constant", 200, mixed, one_label, constant_row, 200, 256},
    [FLIPS] = {"flips", 400, mixed, flipped_label, NULL, 400, 256},
    [SEVERAL] = {"several", 400, mixed, some_labels, NULL, 400, 256},
    [BEYOND] = {"beyond", 400, mixed, one_label, NULL, 300, 3},
};

static void assert_learnt(const struct ak_collection_status *s,
                          const struct stream *stream)
{
    assert_false(s->broken);
    assert_int_equal(s->items, stream->n);
    assert_int_equal(s->live_samples, stream->learnt);
    assert_int_equal(s->rollbacks, 0);
    assert_int_equal(s->pending_rows, 0);
    assert_int_equal(s->skipped_rows, stream->n - stream->learnt);
}

/* All kinds learn the stream, and their codes are those of core/hash; with a
   stride, one of them does, another of the next stream. */
static void run(int which)
{
    const struct stream *stream = &streams[which];
    struct ak_engine *e = open_engine();
    int stride = (int)test_stride();

    for (int k = stride > 1 ? which % N_KINDS : 0; k < N_KINDS; k += stride) {
        struct ak_settings s = quick(stream->name, kinds[k]);
        struct ak_collection_status status;
        struct ak_writer here, offline;
        struct ak_collection *c;

        s.max_labels = stream->max_labels;
        c = create(e, &s);
        put_cut(c, stream->n, stream->sizes, stream->labels, stream->row);
        publish(c);
        ak_collection_status(c, &status);
        assert_learnt(&status, stream);
        here = state_of(c);
        offline = state_offline(&s, stream->n, stream->labels, stream->row);
        assert_same_state(&here, &offline);
        ak_writer_clear(&here);
        ak_writer_clear(&offline);
        ak_collection_drop(c);
    }
    ak_engine_close(e);
}

/* ---------------------------------------------------- rows as they may be */

static void labels_that_never_come_are_done_without(void **state)
{
    (void)state;
    run(NEVER);
}

static void one_row_batches_are_learnt(void **state)
{
    (void)state;
    run(ONES);
}

static void batches_of_4096_rows_are_learnt(void **state)
{
    (void)state;
    run(LARGE);
}

static void
a_stream_sorted_by_class_is_learnt_in_one_class_batches(void **state)
{
    (void)state;
    run(SORTED);
}

static void constant_features_harm_nobody(void **state)
{
    (void)state;
    run(CONSTANT);
}

static void labels_that_flip_are_learnt_anew(void **state)
{
    (void)state;
    run(FLIPS);
}

static void items_of_several_labels_are_learnt(void **state)
{
    (void)state;
    run(SEVERAL);
}

/* 4 classes, of which 3 are learnt: every fourth row is not. */
static void classes_beyond_the_limit_are_stored_and_not_learnt(void **state)
{
    struct ak_engine *e;
    struct ak_collection *c = NULL;
    struct ak_collection_status status;
    (void)state;
    run(BEYOND);
    e = open_engine();
    assert_status(ak_engine_get(e, "beyond-sdoh", &c, NULL), AK_OK);
    ak_collection_status(c, &status);
    assert_int_equal(status.labels, 4);
    assert_int_equal(status.unlearnt_labels, 1);
    ak_collection_drop(c);
    ak_engine_close(e);
}

/* A method of passes is trained by a publish, follows, and is trained again. */
static void hcdh_gets_through_all_of_it(void **state)
{
    struct ak_engine *e = fixture_open(NULL);

    (void)state;
    for (int i = 0; i < N_STREAMS; i += (int)test_stride()) {
        const struct stream *stream = &streams[i];
        struct ak_settings s = quick(stream->name, "hcdh");
        struct ak_collection_status first, followed, last;
        struct ak_collection *c;
        struct ak_receipt r;
        uint64_t extra;

        if (i == LARGE) /* it would not wait for the publish */
            continue;
        s.max_labels = stream->max_labels;
        c = create(e, &s);
        put_cut(c, stream->n, stream->sizes, stream->labels, stream->row);
        publish(c);
        ak_collection_status(c, &first);
        assert_false(first.broken);
        assert_int_equal(first.published, 1);
        assert_int_equal(first.live_samples, 2 * stream->learnt);
        assert_int_equal(first.rollbacks, 0);
        r = put_made(c, 10000, BLOCK, AK_RECORD_BATCH, stream->labels,
                     stream->row, NULL);
        wait_for(c, r.seq, AK_ACK_LEARNED);
        ak_collection_status(c, &followed);
        extra = followed.live_samples - first.live_samples;
        print_message("# %s: %llu rows in steps\n", stream->name,
                      (unsigned long long)extra);
        assert_true(extra > 0 && extra % BLOCK == 0);
        publish(c);
        ak_collection_status(c, &last);
        assert_false(last.broken);
        assert_int_equal(last.published, 2);
        assert_int_equal(last.pending_rows, 0);
        assert_true(last.live_samples > first.live_samples);
        ak_collection_drop(c);
    }
    fixture_close(e);
}

/* --------------------------------------------------------- other records */

static size_t no_label(uint64_t i, uint32_t labels[MOST_LABELS])
{
    (void)i;
    (void)labels;
    return 0;
}

static void relabel(struct ak_collection *c, uint64_t id)
{
    struct ak_row_id row = {.number = id};
    char text[2] = {(char)('0' + id % CLASSES), 0};
    struct ak_bytes label = {text, 1};
    struct ak_change change = {.kind = AK_RECORD_RELABEL,
                               .ids = &row,
                               .n_ids = 1,
                               .set_labels = true,
                               .labels = &label,
                               .n_labels = 1,
                               .now_ms = 1};

    submit(c, &change);
}

/* Rows are indexed and warm up; their labels are learnt when they come. */
static void labels_that_come_late_are_learnt_when_they_come(void **state)
{
    enum { N = 100 };
    struct ak_engine *e = open_engine();

    (void)state;
    for (int k = 0; k < N_KINDS; k++) {
        struct ak_settings s = quick("late", kinds[k]);
        struct ak_collection *c = create(e, &s);
        struct ak_collection_status status;
        struct ak_writer here, offline;
        struct ak_receipt r =
            put_made(c, 0, N, AK_RECORD_BATCH, no_label, NULL, NULL);

        wait_for(c, r.seq, AK_ACK_VISIBLE);
        publish(c); /* ends the warm-up, and there is nothing to freeze */
        ak_collection_status(c, &status);
        assert_int_equal(status.items, N);
        assert_int_equal(status.live_samples, 0);
        assert_int_equal(status.published, 0);
        for (uint64_t i = 0; i < N; i++)
            relabel(c, i);
        publish(c);
        ak_collection_status(c, &status);
        assert_int_equal(status.live_samples, N);
        assert_int_equal(status.published, 1);
        here = state_of(c);
        offline = state_offline(&s, N, one_label, NULL);
        assert_same_state(&here, &offline);
        ak_writer_clear(&here);
        ak_writer_clear(&offline);
        ak_collection_drop(c);
    }
    ak_engine_close(e);
}

static void labels_that_come_late_are_what_hcdh_is_trained_with(void **state)
{
    enum { N = 60 };
    struct ak_engine *e = fixture_open(NULL);
    struct ak_settings s = quick("late", "hcdh");
    struct ak_collection *c = create(e, &s);
    struct ak_collection_status status;

    (void)state;
    put_made(c, 0, N, AK_RECORD_BATCH, no_label, NULL, NULL);
    publish(c);
    ak_collection_status(c, &status);
    assert_int_equal(status.published, 0);
    for (uint64_t i = 0; i < N; i++)
        relabel(c, i);
    publish(c);
    ak_collection_status(c, &status);
    assert_int_equal(status.published, 1);
    assert_int_equal(status.live_samples, 2 * N);
    ak_collection_drop(c);
    fixture_close(e);
}

/* A short block waits, and says so; a publish fills it with rows from before. */
static void a_short_block_is_learnt_by_a_publish(void **state)
{
    struct ak_engine *e = open_engine();

    (void)state;
    for (int k = 0; k < N_KINDS; k++) {
        struct ak_settings s = quick("short", kinds[k]);
        bool blocks = !ak_hash_find(kinds[k])->per_sample;
        struct ak_collection *c = create(e, &s);
        struct ak_collection_status status;
        struct ak_receipt r;

        put_rows(c, 0, 2 * BLOCK, AK_RECORD_BATCH, NULL);
        publish(c);
        r = put_rows(c, 2 * BLOCK, 30, AK_RECORD_BATCH, NULL);
        wait_for(c, r.seq, AK_ACK_LEARNED);
        ak_collection_status(c, &status);
        assert_int_equal(status.pending_rows, blocks ? 30 : 0);
        assert_int_equal(status.live_samples, blocks ? 100 : 130);
        assert_string_equal(status.state, "ready");
        publish(c);
        ak_collection_status(c, &status);
        assert_int_equal(status.pending_rows, 0);
        assert_int_equal(status.live_samples, blocks ? 150 : 130);
        assert_int_equal(status.published, 2);
        ak_collection_drop(c);
    }
    ak_engine_close(e);
}

/* What is deleted while it waits for its block is not learnt with it. */
static void a_row_that_is_deleted_while_it_waits_is_not_learnt(void **state)
{
    struct ak_engine *e = open_engine();

    (void)state;
    for (int k = 0; k < N_KINDS; k++) {
        struct ak_settings s = quick("gone", kinds[k]);
        bool blocks = !ak_hash_find(kinds[k])->per_sample;
        struct ak_collection *c = create(e, &s);
        struct ak_row_id gone[2] = {{.number = 3}, {.number = 17}};
        struct ak_change erase = {
            .kind = AK_RECORD_DELETE, .ids = gone, .n_ids = 2, .now_ms = 1};
        struct ak_collection_status status;

        put_rows(c, 0, 40, AK_RECORD_BATCH, NULL);
        submit(c, &erase);
        put_rows(c, 20, 2, AK_RECORD_BATCH, NULL); /* replaced by themselves */
        publish(c);
        ak_collection_status(c, &status);
        assert_int_equal(status.live_samples, blocks ? 38 : 42);
        ak_collection_drop(c);
    }
    ak_engine_close(e);
}

/* ----------------------------------------------------------- bad numbers */

/* Rows 100 .. 149 are as large as floats can be. */
static void huge_row(uint64_t i, float x[DIM])
{
    make_row(i, x);
    for (int d = 0; d < DIM && i >= 100 && i < 150; d++)
        x[d] = copysignf(3e38f, x[d]);
}

/* An update that would end in a weight that is not finite is undone; the model
   is that of a stream without those rows. */
static void an_update_that_is_not_finite_is_undone(void **state)
{
    static const char *const able[] = {"hmoh", "hcoh", "fcoh", "sdoh"};
    struct ak_engine *e = open_engine();
    int undone = 0;

    (void)state;
    for (size_t k = 0; k < sizeof(able) / sizeof(able[0]); k++) {
        struct ak_settings s = quick("huge", able[k]);
        struct ak_collection_status before, after, later;
        struct ak_writer w = {0};
        struct ak_collection *c;
        struct ak_receipt r;
        char *text = NULL;

        if (strcmp(able[k], "hmoh") == 0)
            set_option(&s, "kernel_anchors", 0);
        c = create(e, &s);
        put_made(c, 0, 100, AK_RECORD_BATCH, NULL, huge_row, NULL);
        publish(c);
        ak_collection_status(c, &before);
        r = put_made(c, 100, 50, AK_RECORD_BATCH, NULL, huge_row, NULL);
        wait_for(c, r.seq, AK_ACK_VISIBLE);
        wait_for(c, r.seq, AK_ACK_LEARNED);
        ak_collection_status(c, &after);
        assert_false(after.broken);
        assert_int_equal(after.items, 150);
        assert_status(ak_collection_outcome(c, r.seq, &text, NULL), AK_OK);
        if (after.rollbacks > 0) {
            undone++;
            assert_int_equal(after.rollbacks, 1);
            assert_int_equal(after.rejected_batches, 1);
            assert_int_equal(after.live_samples, before.live_samples);
            assert_non_null(strstr(text, "rejected"));
        } else {
            assert_int_equal(after.live_samples, 150);
        }
        free(text);
        /* It goes on, and what it serves is finite. */
        put_made(c, 150, 50, AK_RECORD_BATCH, NULL, huge_row, NULL);
        publish(c);
        ak_collection_status(c, &later);
        assert_int_equal(later.live_samples, after.live_samples + 50);
        w = state_of(c);
        ak_writer_clear(&w);
        ak_collection_drop(c);
    }
    print_message("# %d methods undid an update\n", undone);
    assert_true(undone > 0);
    ak_engine_close(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels_that_never_come_are_done_without),
        cmocka_unit_test(one_row_batches_are_learnt),
        cmocka_unit_test(batches_of_4096_rows_are_learnt),
        cmocka_unit_test(
            a_stream_sorted_by_class_is_learnt_in_one_class_batches),
        cmocka_unit_test(constant_features_harm_nobody),
        cmocka_unit_test(labels_that_flip_are_learnt_anew),
        cmocka_unit_test(items_of_several_labels_are_learnt),
        cmocka_unit_test(classes_beyond_the_limit_are_stored_and_not_learnt),
        cmocka_unit_test(hcdh_gets_through_all_of_it),
        cmocka_unit_test(labels_that_come_late_are_learnt_when_they_come),
        cmocka_unit_test(labels_that_come_late_are_what_hcdh_is_trained_with),
        cmocka_unit_test(a_short_block_is_learnt_by_a_publish),
        cmocka_unit_test(a_row_that_is_deleted_while_it_waits_is_not_learnt),
        cmocka_unit_test(an_update_that_is_not_finite_is_undone),
    };

    return cmocka_run_group_tests_name("stream", tests, make_dir, remove_dir);
}
