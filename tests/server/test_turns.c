/*
 * Numbers of a producer that overtake each other on their way: they are stored
 * in their order, and who waits for what will not come is told.
 */
#include "tests/server/engine_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"

enum { MANY = 40 };

/* ----------------------------------------------------------------- helpers */

/* One row under a number; its vector tells it from others. */
struct numbered {
    struct ak_turn turn;
    struct submitted submitted;
    float row[DIM];
    struct ak_row_id id;
};

static void take_turn(struct ak_collection *c, struct numbered *n,
                      const char *producer, uint64_t number)
{
    *n =
        (struct numbered){.id = {.number = number}, .turn = {.number = number}};
    snprintf(n->turn.producer, sizeof(n->turn.producer), "%s", producer);
    ak_collection_begin_turn(c, &n->turn);
}

static void send_number(struct ak_collection *c, struct numbered *n)
{
    struct ak_change change = {.kind = AK_RECORD_UPSERT,
                               .rows = {.n = 1, .block = n->row, .ids = &n->id},
                               .now_ms = 1};

    change.key = (struct ak_bytes){n->turn.producer, strlen(n->turn.producer)};
    change.producer_seq = n->turn.number;
    submit_later(c, &change, &n->submitted);
}

static void assert_came(struct numbered *n, enum ak_status status, uint64_t seq)
{
    box_wait(&n->submitted.box);
    assert_status(n->submitted.box.status, status);
    if (status == AK_OK)
        assert_int_equal(n->submitted.box.receipt.seq, seq);
    else if (status == AK_ESEQUENCE)
        assert_int_equal(n->submitted.box.receipt.expected, seq);
}

static void wait_parked(struct ak_collection *c, size_t n)
{
    while (atomic_load(&c->n_parked) != n)
        usleep(100);
}

static struct ak_collection *create_named(struct ak_engine *e, const char *name)
{
    struct ak_settings s = settings_of(name, "lsh");

    return create(e, &s);
}

static void end_turns(struct ak_collection *c, struct numbered *n, size_t count)
{
    for (size_t i = 0; i < count; i++)
        ak_collection_end_turn(c, &n[i].turn);
}

/* ---------------------------------------------------------------- the tests */

static void a_number_waits_for_the_one_before_it(void **state)
{
    struct ak_engine *e = open_engine();
    struct ak_collection *c = create_named(e, "before");
    struct numbered n[2];

    (void)state;
    take_turn(c, &n[0], "camera", 1);
    take_turn(c, &n[1], "camera", 2);
    send_number(c, &n[1]);
    wait_parked(c, 1);
    assert_false(n[1].submitted.box.done);
    send_number(c, &n[0]);
    assert_came(&n[0], AK_OK, 1);
    assert_came(&n[1], AK_OK, 2);
    end_turns(c, n, 2);
    ak_collection_drop(c);
    ak_engine_close(e);
}

static void numbers_in_any_order_are_stored_in_theirs(void **state)
{
    static struct numbered n[MANY];
    struct ak_engine *e = open_engine();
    struct ak_collection *c = create_named(e, "any");

    (void)state;
    for (uint64_t i = 0; i < MANY; i++)
        take_turn(c, &n[i], "camera", i + 1);
    /* 7 and MANY have no common divisor: each comes once. */
    for (uint64_t i = 1; i <= MANY; i++)
        send_number(c, &n[i * 7 % MANY]);
    for (uint64_t i = 0; i < MANY; i++)
        assert_came(&n[i], AK_OK, i + 1);
    assert_int_equal(atomic_load(&c->n_parked), 0);
    end_turns(c, n, MANY);
    ak_collection_drop(c);
    ak_engine_close(e);
}

static void a_gap_that_nobody_fills_is_told_at_once(void **state)
{
    struct ak_engine *e = open_engine();
    struct ak_collection *c = create_named(e, "gap");
    struct numbered other, n[3], far;

    (void)state;
    /* Turns of others, and of numbers behind it, do not count. */
    take_turn(c, &other, "crawler", 1);
    take_turn(c, &n[0], "camera", 3);
    take_turn(c, &n[1], "camera", 4);
    take_turn(c, &n[2], "camera", 1);
    send_number(c, &n[0]);
    assert_came(&n[0], AK_ESEQUENCE, 1);
    send_number(c, &n[2]);
    assert_came(&n[2], AK_OK, 1);
    /* 2 has no turn, though 3 has. */
    send_number(c, &n[1]);
    assert_came(&n[1], AK_ESEQUENCE, 2);
    take_turn(c, &far, "camera", 1000000);
    send_number(c, &far);
    assert_came(&far, AK_ESEQUENCE, 2);
    end_turns(c, &other, 1);
    end_turns(c, n, 3);
    end_turns(c, &far, 1);
    ak_collection_drop(c);
    ak_engine_close(e);
}

static void when_the_one_before_ends_without_a_commit_it_is_a_gap(void **state)
{
    struct ak_engine *e = open_engine();
    struct ak_collection *c = create_named(e, "ends");
    struct numbered n[3];

    (void)state;
    for (uint64_t i = 0; i < 3; i++)
        take_turn(c, &n[i], "camera", i + 1);
    send_number(c, &n[2]);
    send_number(c, &n[1]);
    wait_parked(c, 2);
    end_turns(c, n, 1); /* its client went away */
    assert_came(&n[1], AK_ESEQUENCE, 1);
    end_turns(c, n + 1, 1);
    assert_came(&n[2], AK_ESEQUENCE, 1);
    end_turns(c, n + 2, 1);
    ak_collection_drop(c);
    ak_engine_close(e);
}

static void nobody_waits_for_longer_than_ten_seconds(void **state)
{
    struct ak_engine *e = open_engine();
    struct ak_collection *c = create_named(e, "late");
    struct numbered n[2];

    (void)state;
    take_turn(c, &n[0], "camera", 1);
    take_turn(c, &n[1], "camera", 2);
    send_number(c, &n[1]);
    wait_parked(c, 1);
    ak_turns_expire(c, ak_clock_ns() + UINT64_C(5000000000), false);
    assert_int_equal(atomic_load(&c->n_parked), 1);
    ak_turns_expire(c, ak_clock_ns() + UINT64_C(11000000000), false);
    assert_came(&n[1], AK_ESEQUENCE, 1);
    end_turns(c, n, 2);
    ak_collection_drop(c);
    ak_engine_close(e);
}

static void twins_that_wait_happen_once(void **state)
{
    struct ak_engine *e = open_engine();
    struct ak_collection *c = create_named(e, "twins");
    struct numbered n[3];

    (void)state;
    take_turn(c, &n[0], "camera", 1);
    take_turn(c, &n[1], "camera", 2);
    take_turn(c, &n[2], "camera", 2);
    send_number(c, &n[1]);
    send_number(c, &n[2]);
    wait_parked(c, 2);
    send_number(c, &n[0]);
    assert_came(&n[0], AK_OK, 1);
    assert_came(&n[1], AK_OK, 2);
    assert_came(&n[2], AK_OK, 2);
    assert_int_equal(n[1].submitted.box.receipt.replayed +
                         n[2].submitted.box.receipt.replayed,
                     1);
    end_turns(c, n, 3);
    ak_collection_drop(c);
    ak_engine_close(e);
}

static void what_waits_counts_in_the_queue(void **state)
{
    struct ak_engine_params params = fixture_params();
    struct ak_engine *e;
    struct ak_collection *c;
    struct ak_collection_status status;
    struct numbered n[2];

    (void)state;
    params.collection_queue_bytes = 1500;
    e = open_engine_with(&params);
    c = create_named(e, "counts");
    take_turn(c, &n[0], "camera", 1);
    take_turn(c, &n[1], "camera", 2);
    send_number(c, &n[1]);
    wait_parked(c, 1);
    ak_collection_status(c, &status);
    assert_int_equal(status.queue_records, 1);
    assert_int_equal(status.queue_bytes, 1000);
    assert_true(ak_collection_full(c, 1000));
    send_number(c, &n[0]);
    assert_came(&n[0], AK_EBUSY, 0);
    /* It will be sent again; until then the other one is a gap. */
    end_turns(c, n, 1);
    assert_came(&n[1], AK_ESEQUENCE, 1);
    ak_collection_status(c, &status);
    assert_int_equal(status.queue_bytes, 0);
    end_turns(c, n + 1, 1);
    ak_collection_drop(c);
    ak_engine_close(e);
}

static void removed(void *arg, enum ak_status status, const struct ak_err *err)
{
    struct box *b = arg;

    (void)err;
    pthread_mutex_lock(&b->lock);
    b->status = status;
    box_put(b);
}

static void who_waits_is_told_when_the_collection_goes(void **state)
{
    struct ak_engine *e = open_engine();
    struct ak_collection *c = create_named(e, "gone");
    struct numbered n[2];
    struct box b;

    (void)state;
    take_turn(c, &n[0], "camera", 1);
    take_turn(c, &n[1], "camera", 2);
    send_number(c, &n[1]);
    wait_parked(c, 1);
    box_init(&b);
    ak_engine_remove(e, "gone", removed, &b);
    assert_came(&n[1], AK_ENOTFOUND, 0);
    box_wait(&b);
    assert_status(b.status, AK_OK);
    end_turns(c, n, 2);
    ak_collection_drop(c);
    ak_engine_close(e);
}

static void who_waits_is_told_when_the_daemon_stops(void **state)
{
    struct ak_engine *e = open_engine();
    struct ak_collection *c = create_named(e, "stops");
    struct numbered n[2];

    (void)state;
    take_turn(c, &n[0], "camera", 1);
    take_turn(c, &n[1], "camera", 2);
    send_number(c, &n[1]);
    wait_parked(c, 1);
    ak_engine_close(e);
    assert_came(&n[1], AK_ESEQUENCE, 1);
    end_turns(c, n, 2);
    ak_collection_drop(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_number_waits_for_the_one_before_it),
        cmocka_unit_test(numbers_in_any_order_are_stored_in_theirs),
        cmocka_unit_test(a_gap_that_nobody_fills_is_told_at_once),
        cmocka_unit_test(when_the_one_before_ends_without_a_commit_it_is_a_gap),
        cmocka_unit_test(nobody_waits_for_longer_than_ten_seconds),
        cmocka_unit_test(twins_that_wait_happen_once),
        cmocka_unit_test(what_waits_counts_in_the_queue),
        cmocka_unit_test(who_waits_is_told_when_the_collection_goes),
        cmocka_unit_test(who_waits_is_told_when_the_daemon_stops),
    };

    return cmocka_run_group_tests_name("turns", tests, make_dir, remove_dir);
}
