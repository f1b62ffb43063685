/*
 * What happens where there is no room, in the queue or on the disk: writes are
 * refused and told why, deletes and reads go on, and when there is room again
 * nothing remembers.
 */
#include "tests/server/engine_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/storage/faulty.h"

enum { LOW = 1000000 };

/* ----------------------------------------------------------------- helpers */

/* What the engine is told to be free, and how often it has asked. */
static atomic_uint_fast64_t free_bytes;
static atomic_uint looks;

static uint64_t pretend_free(const char *data_dir)
{
    assert_string_equal(data_dir, fixture_dir);
    atomic_fetch_add(&looks, 1);
    return atomic_load(&free_bytes);
}

static struct ak_engine *open_low(uint64_t free_at_start)
{
    struct ak_engine_params params = fixture_params();

    params.disk_low_bytes = LOW;
    params.disk_free = pretend_free;
    atomic_store(&free_bytes, free_at_start);
    return open_engine_with(&params);
}

/* So much is free from here on, and the engine has seen it. */
static void set_free(struct ak_engine *e, uint64_t n)
{
    unsigned before;

    atomic_store(&free_bytes, n);
    before = atomic_load(&looks);
    /* Two, since the first may have begun before. */
    while (atomic_load(&looks) < before + 2) {
        ak_engine_tick(e);
        usleep(100);
    }
}

static bool is_low(struct ak_engine *e)
{
    struct ak_engine_progress p;

    ak_engine_progress(e, &p);
    return p.disk_low;
}

static const float one_row[DIM];
static const struct ak_row_id seven = {.number = 7};
static const struct ak_change put_one = {
    .kind = AK_RECORD_BATCH,
    .rows = {.n = 1, .block = one_row, .ids = &seven},
    .now_ms = 1};
static const struct ak_change relabel_one = {.kind = AK_RECORD_RELABEL,
                                             .ids = &seven,
                                             .n_ids = 1,
                                             .set_labels = true,
                                             .now_ms = 1};
static const struct ak_change delete_one = {
    .kind = AK_RECORD_DELETE, .ids = &seven, .n_ids = 1, .now_ms = 1};
static const struct ak_change publish_now = {.kind = AK_RECORD_PUBLISH,
                                             .now_ms = 1};

/* The writer, held until it is let go. */
struct hold {
    struct ak_job job; /* first */
    struct box begun, go, done;
};

static enum ak_status hold_apply(struct ak_job *job, struct ak_store *store,
                                 struct ak_err *err)
{
    struct hold *h = (struct hold *)job;

    (void)store;
    (void)err;
    pthread_mutex_lock(&h->begun.lock);
    box_put(&h->begun);
    box_wait(&h->go);
    return AK_OK;
}

static void hold_done(struct ak_job *job, enum ak_status status,
                      const struct ak_err *err)
{
    struct hold *h = (struct hold *)job;

    (void)status;
    (void)err;
    pthread_mutex_lock(&h->done.lock);
    box_put(&h->done);
}

static void hold_writer(struct ak_engine *e, struct hold *h)
{
    *h = (struct hold){.job = {.apply = hold_apply, .done = hold_done}};
    box_init(&h->begun);
    box_init(&h->go);
    box_init(&h->done);
    ak_writer_push(e->writer, &e->catalog_lane, &h->job);
    box_wait(&h->begun);
}

static void let_go(struct hold *h)
{
    pthread_mutex_lock(&h->go.lock);
    box_put(&h->go);
    box_wait(&h->done);
}

/* ------------------------------------------------------------------ the disk */

static void below_the_mark_all_but_deletes_is_refused(void **state)
{
    struct ak_settings s = settings_of("low", "hmoh");
    struct ak_engine *e = open_low(LOW);
    struct ak_collection *c = create(e, &s);
    struct ak_collection_status status;

    (void)state;
    put_rows(c, 0, 50, AK_RECORD_BATCH, NULL);
    assert_false(is_low(e));
    set_free(e, LOW - 1);
    assert_true(is_low(e));
    assert_status(submit_status(c, &put_one), AK_EFULL);
    assert_status(submit_status(c, &relabel_one), AK_EFULL);
    assert_status(submit_status(c, &publish_now), AK_EFULL);
    assert_status(submit_status(c, &delete_one), AK_OK);
    wait_for(c, 2, AK_ACK_VISIBLE);
    ak_collection_status(c, &status);
    assert_int_equal(status.items, 49);
    assert_int_equal(status.durable_seq, 2);
    ak_collection_drop(c);
    ak_engine_close(e);
}

static void writes_are_taken_again_with_a_quarter_more(void **state)
{
    struct ak_settings s = settings_of("again", "hmoh");
    struct ak_engine *e = open_low(LOW);
    struct ak_collection *c = create(e, &s);

    (void)state;
    set_free(e, 0);
    assert_true(is_low(e));
    set_free(e, LOW + LOW / 4 - 1);
    assert_true(is_low(e));
    assert_status(submit_status(c, &put_one), AK_EFULL);
    set_free(e, LOW + LOW / 4);
    assert_false(is_low(e));
    assert_status(submit_status(c, &put_one), AK_OK);
    /* On the way down it is the mark itself that counts. */
    set_free(e, LOW);
    assert_false(is_low(e));
    ak_collection_drop(c);
    ak_engine_close(e);
}

static void a_start_with_little_room_reads_and_refuses(void **state)
{
    struct ak_settings s = settings_of("start", "hmoh");
    struct ak_engine *e = open_low(LOW);
    struct ak_collection *c = create(e, &s);
    struct ak_collection_status status;
    struct ak_err err = {0};

    (void)state;
    put_rows(c, 0, 50, AK_RECORD_BATCH, NULL);
    ak_collection_drop(c);
    ak_engine_close(e);
    e = open_low(0);
    assert_status(ak_engine_get(e, "start", &c, &err), AK_OK);
    ak_collection_status(c, &status);
    assert_int_equal(status.items, 50);
    assert_status(submit_status(c, &put_one), AK_EFULL);
    ak_collection_drop(c);
    ak_engine_close(e);
}

static void the_mark_can_be_moved(void **state)
{
    struct ak_settings s = settings_of("moved", "hmoh");
    struct ak_engine *e = open_low(LOW);
    struct ak_collection *c = create(e, &s);

    (void)state;
    ak_engine_set_disk_low(e, LOW + 1);
    set_free(e, LOW);
    assert_status(submit_status(c, &put_one), AK_EFULL);
    ak_engine_set_disk_low(e, 0);
    set_free(e, 1);
    assert_status(submit_status(c, &put_one), AK_OK);
    set_free(e, 0);
    assert_status(submit_status(c, &put_one), AK_EFULL);
    /* Who cannot be asked is not held to be full. */
    ak_engine_set_disk_low(e, LOW);
    set_free(e, UINT64_MAX);
    assert_status(submit_status(c, &put_one), AK_OK);
    ak_collection_drop(c);
    ak_engine_close(e);
}

static void
what_is_queued_when_room_ends_does_not_take_the_reserve(void **state)
{
    struct ak_settings s = settings_of("queued", "hmoh");
    struct ak_engine *e = open_low(2 * LOW);
    struct ak_collection *c = create(e, &s);
    struct submitted put, gone;
    struct hold hold;

    (void)state;
    put_rows(c, 0, 50, AK_RECORD_BATCH, NULL);
    hold_writer(e, &hold);
    submit_later(c, &put_one, &put);
    submit_later(c, &delete_one, &gone);
    atomic_store(&e->disk.low, true);
    let_go(&hold);
    box_wait(&put.box);
    box_wait(&gone.box);
    assert_status(put.box.status, AK_EFULL);
    assert_status(gone.box.status, AK_OK);
    assert_int_equal(gone.box.receipt.seq, 2);
    ak_collection_drop(c);
    ak_engine_close(e);
}

/* With the disk as it is. */
static void
what_is_in_a_log_is_not_free_and_is_copied_when_room_ends(void **state)
{
    struct ak_settings s = settings_of("log", "hmoh");
    struct ak_engine *e = open_engine();
    struct ak_collection *c = create(e, &s);

    (void)state;
    put_rows(c, 0, 50, AK_RECORD_BATCH, NULL);
    assert_true(atomic_load(&e->disk.log_bytes) > 50 * DIM * sizeof(float));
    assert_false(is_low(e));
    ak_engine_set_disk_low(e, UINT64_MAX / 2);
    while (!is_low(e) || atomic_load(&e->disk.log_bytes) > 0) {
        ak_engine_tick(e);
        usleep(100);
    }
    ak_collection_drop(c);
    ak_engine_close(e);
}

static void a_policy_does_not_publish_without_room(void **state)
{
    struct ak_settings s = settings_of("policy", "hmoh");
    struct ak_engine *e = open_low(LOW);
    struct ak_collection *c = create(e, &s);
    struct ak_collection_status status;

    (void)state;
    set_free(e, 0);
    ak_collection_append(c, AK_RECORD_PUBLISH, 0);
    ak_collection_status(c, &status);
    assert_int_equal(status.durable_seq, 0);
    assert_int_equal(status.queue_records, 0);
    set_free(e, 2 * LOW);
    ak_collection_append(c, AK_RECORD_PUBLISH, 0);
    wait_for(c, 1, AK_ACK_SERVED);
    ak_collection_drop(c);
    ak_engine_close(e);
}

/* The disk is full in the middle of a commit, though much was said to be free:
   as with a quota. */
static void a_full_disk_fails_a_commit_and_is_forgotten(void **state)
{
    struct ak_settings s = settings_of("full", "hmoh");
    struct ak_engine *e = open_low(2 * LOW);
    struct ak_collection *c = create(e, &s);
    struct ak_collection_status status;
    struct ak_engine_progress p;
    struct ak_writer before, after;

    (void)state;
    put_rows(c, 0, 50, AK_RECORD_BATCH, NULL);
    wait_for(c, 1, AK_ACK_VISIBLE);
    faulty_arm(FAULT_FULL, 1);
    assert_status(submit_status(c, &put_one), AK_EFULL);
    ak_engine_progress(e, &p);
    assert_true(p.disk_low);
    /* An I/O error is for good, a full disk is not. */
    assert_false(p.read_only);
    before = state_of(c);
    assert_true(faulty_disarm());
    set_free(e, 2 * LOW);
    assert_false(is_low(e));
    after = state_of(c);
    assert_same_state(&before, &after);
    ak_writer_clear(&before);
    ak_writer_clear(&after);
    put_rows(c, 50, 50, AK_RECORD_BATCH, NULL);
    wait_for(c, 2, AK_ACK_VISIBLE);
    ak_collection_status(c, &status);
    assert_int_equal(status.items, 100);
    assert_int_equal(status.durable_seq, 2);
    ak_collection_drop(c);
    ak_engine_close(e);
}

/* The disk is full from the n-th write on, for all n: of the record, the frozen
   model, its codes, the flip. */
/* Publishes at once, with no room for the n-th write from here on; then there is
   room, and what was published last serves: *seq is its record.  False: there were
   fewer writes. */
static bool publish_without_room(struct ak_engine *e, struct ak_collection *c,
                                 int n, int publishes, uint64_t *seq)
{
    struct ak_collection_status status;
    struct submitted published[2];
    struct box *last = &published[publishes - 1].box;
    bool met;

    *seq = put_rows(c, 0, 1, AK_RECORD_BATCH, NULL).seq;
    wait_for(c, *seq, AK_ACK_LEARNED);
    faulty_arm(FAULT_FULL, n);
    for (int i = 0; i < publishes; i++)
        submit_later(c, &publish_now, &published[i]);
    for (int i = 0; i < publishes; i++)
        box_wait(&published[i].box);
    *seq = last->receipt.seq;
    do {
        usleep(100);
        ak_collection_status(c, &status);
        met = faulty_met();
    } while (last->status == AK_OK && !met && status.published_seq < *seq);
    faulty_disarm();
    set_free(e, 2 * LOW);
    if (last->status != AK_OK) {
        assert_status(last->status, AK_EFULL);
        *seq = publish(c).seq;
    }
    wait_for(c, *seq, AK_ACK_SERVED);
    return met;
}

static void a_version_that_found_no_room_serves_when_there_is_some(void **state)
{
    struct ak_settings s = settings_of("flip", "hmoh");
    struct ak_engine *e = open_low(2 * LOW);
    struct ak_collection *c = create(e, &s);
    struct ak_collection_status status;
    uint64_t seq;
    bool met = true;
    int n = 1;

    (void)state;
    put_rows(c, 0, 50, AK_RECORD_BATCH, NULL);
    for (; met; n++) {
        met = publish_without_room(e, c, n, 1, &seq);
        ak_collection_status(c, &status);
        assert_int_equal(status.published, n);
        assert_false(status.broken);
    }
    assert_true(n > 5);
    ak_collection_drop(c);
    ak_engine_close(e);
}

/* Whichever of them found no room, and had to be written after the other. */
static void the_newer_of_two_versions_serves(void **state)
{
    struct ak_settings s = settings_of("newer", "hmoh");
    struct ak_engine *e = open_low(2 * LOW);
    struct ak_collection *c = create(e, &s);
    struct ak_collection_status status;
    uint64_t seq;
    bool met = true;
    int n = 1;

    (void)state;
    put_rows(c, 0, 50, AK_RECORD_BATCH, NULL);
    for (; met; n++) {
        met = publish_without_room(e, c, n, 2, &seq);
        ak_collection_status(c, &status);
        assert_int_equal(status.published_seq, seq);
        assert_false(status.broken);
    }
    assert_true(n > 5);
    ak_collection_drop(c);
    ak_engine_close(e);
}

static uint64_t stored_seq(struct ak_collection *c)
{
    uint64_t seq;

    pthread_mutex_lock(&c->lock);
    seq = c->stored_seq;
    pthread_mutex_unlock(&c->lock);
    return seq;
}

/* Puts batches until a checkpoint is on its way, which the writer, held, has not
   begun.  One that is missed costs 64 more. */
static void put_until_a_checkpoint(struct ak_engine *e, struct ak_collection *c,
                                   struct hold *hold)
{
    for (bool there = false; !there;) {
        uint64_t seq = put_rows(c, 0, 1, AK_RECORD_BATCH, NULL).seq;

        hold_writer(e, hold);
        wait_for(c, seq, AK_ACK_LEARNED);
        for (int i = 0; i < 20 && !there; i++) {
            usleep(100);
            there = atomic_load(&c->learner.saving);
        }
        if (!there)
            let_go(hold);
    }
}

static void
a_checkpoint_that_found_no_room_is_stored_when_there_is_some(void **state)
{
    struct ak_settings s = settings_of("checkpoint", "hmoh");
    struct ak_engine *e = open_low(2 * LOW);
    struct ak_collection *c = create(e, &s);
    struct hold hold;
    uint64_t before;

    (void)state;
    /* Before the warm-up is over there is nothing to store. */
    put_rows(c, 0, 2000, AK_RECORD_BATCH, NULL);
    put_until_a_checkpoint(e, c, &hold);
    before = stored_seq(c);
    faulty_arm(FAULT_FULL, 1);
    let_go(&hold);
    while (!faulty_met() || !is_low(e))
        usleep(100);
    assert_int_equal(stored_seq(c), before);
    faulty_disarm();
    set_free(e, 2 * LOW);
    while (stored_seq(c) == before)
        usleep(100);
    ak_collection_drop(c);
    ak_engine_close(e);
}

/* ----------------------------------------------------------------- the queue */

static void a_full_queue_refuses_writes_and_takes_deletes(void **state)
{
    struct ak_settings s = settings_of("queue", "hmoh");
    struct ak_engine_params params = fixture_params();
    struct submitted first, second, refused, gone;
    struct ak_engine *e;
    struct ak_collection *c;
    struct ak_collection_status status;
    struct hold hold;

    (void)state;
    params.collection_queue_bytes = 2000;
    e = open_engine_with(&params);
    c = create(e, &s);
    put_rows(c, 0, 50, AK_RECORD_BATCH, NULL);
    hold_writer(e, &hold);
    assert_false(ak_collection_full(c, 1000));
    submit_later(c, &put_one, &first);
    submit_later(c, &relabel_one, &second);
    assert_true(ak_collection_full(c, 1));
    submit_later(c, &put_one, &refused);
    assert_true(refused.box.done);
    assert_status(refused.box.status, AK_EBUSY);
    submit_later(c, &delete_one, &gone);
    assert_false(gone.box.done);
    ak_collection_status(c, &status);
    assert_int_equal(status.queue_records, 3);
    assert_int_equal(status.queue_bytes, 3000);
    assert_true(status.queue_oldest_seconds > 0);
    assert_in_range(ak_collection_retry_seconds(c), 1, 60);
    let_go(&hold);
    box_wait(&gone.box);
    assert_status(gone.box.status, AK_OK);
    assert_status(first.box.status, AK_OK);
    assert_status(second.box.status, AK_OK);
    wait_for(c, gone.box.receipt.seq, AK_ACK_VISIBLE);
    ak_collection_status(c, &status);
    assert_int_equal(status.items, 49);
    assert_int_equal(status.queue_bytes, 0);
    assert_true(status.queue_oldest_seconds == 0);
    assert_status(submit_status(c, &put_one), AK_OK);
    ak_collection_drop(c);
    ak_engine_close(e);
}

static void the_queues_have_a_bound_together(void **state)
{
    struct ak_settings s = settings_of("one", "lsh"),
                       t = settings_of("two", "lsh");
    struct ak_engine_params params = fixture_params();
    struct submitted first, second, refused;
    struct ak_engine *e;
    struct ak_collection *c, *d;
    struct hold hold;

    (void)state;
    params.queue_bytes = 2000;
    e = open_engine_with(&params);
    c = create(e, &s);
    d = create(e, &t);
    hold_writer(e, &hold);
    submit_later(c, &put_one, &first);
    submit_later(c, &put_one, &second);
    /* Of another collection, whose own queue is empty. */
    submit_later(d, &put_one, &refused);
    assert_true(refused.box.done);
    assert_status(refused.box.status, AK_EBUSY);
    let_go(&hold);
    box_wait(&second.box);
    assert_status(submit_status(d, &put_one), AK_OK);
    box_wait(&first.box);
    ak_collection_drop(c);
    ak_collection_drop(d);
    ak_engine_close(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(below_the_mark_all_but_deletes_is_refused),
        cmocka_unit_test(writes_are_taken_again_with_a_quarter_more),
        cmocka_unit_test(a_start_with_little_room_reads_and_refuses),
        cmocka_unit_test(the_mark_can_be_moved),
        cmocka_unit_test(
            what_is_queued_when_room_ends_does_not_take_the_reserve),
        cmocka_unit_test(
            what_is_in_a_log_is_not_free_and_is_copied_when_room_ends),
        cmocka_unit_test(a_policy_does_not_publish_without_room),
        cmocka_unit_test(a_full_disk_fails_a_commit_and_is_forgotten),
        cmocka_unit_test(
            a_version_that_found_no_room_serves_when_there_is_some),
        cmocka_unit_test(the_newer_of_two_versions_serves),
        cmocka_unit_test(
            a_checkpoint_that_found_no_room_is_stored_when_there_is_some),
        cmocka_unit_test(a_full_queue_refuses_writes_and_takes_deletes),
        cmocka_unit_test(the_queues_have_a_bound_together),
    };

    faulty_install();
    return cmocka_run_group_tests_name("room", tests, make_dir, remove_dir);
}
