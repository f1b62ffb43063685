#include "tests/storage/fixture.h"

#include <stdio.h>
#include <string.h>

#define HOUR_MS (3600 * INT64_C(1000))
#define DAY_MS  (24 * HOUR_MS)
#define NOW     INT64_C(1700000000000)

static const uint8_t block[4 * ROW_BYTES];

/* A batch of n rows under a key; the request is told apart by `request`. */
static struct ak_change keyed(const char *key, uint8_t request, size_t n)
{
    struct ak_change change = {
        .kind = AK_RECORD_BATCH,
        .rows = {.n = n, .block = block},
        .key = bytes_of(key),
        .now_ms = NOW,
    };

    memset(change.fingerprint, request, sizeof(change.fingerprint));
    return change;
}

static struct ak_change numbered(const char *producer, uint64_t number,
                                 uint8_t request)
{
    struct ak_change change = keyed(producer, request, 1);

    change.producer_seq = number;
    return change;
}

static uint64_t last_seq(struct fixture *f)
{
    struct ak_store_info info;

    assert_status(ak_view_info(f->view, &info, &f->err), AK_OK);
    return info.last_seq;
}

static void a_key_makes_a_request_happen_once(void **state)
{
    struct ak_change change = keyed("upload-1", 1, 3);
    struct ak_receipt first = {0}, again = {0};
    struct fixture *f = *state;

    put_rows(f, 2, NULL, 0);
    assert_status(apply_alone(f, &change, &first), AK_OK);
    assert_false(first.replayed);
    for (int round = 0; round < 2; round++) {
        assert_status(apply_alone(f, &change, &again), AK_OK);
        assert_true(again.replayed);
        assert_int_equal(again.seq, 2);
        assert_int_equal(again.seq, first.seq);
        assert_int_equal(again.first_ordinal, 2);
        assert_int_equal(again.first_id, 2);
        assert_int_equal(again.accepted, 3);
        assert_int_equal(again.missing, 0);
        assert_int_equal(last_seq(f), 2);
        close_all(f);
        open_all(f);
    }
}

static void twins_in_one_group_are_one(void **state)
{
    struct ak_change change = keyed("upload-1", 1, 3);
    struct ak_receipt first, again;
    struct fixture *f = *state;

    assert_status(ak_store_begin(f->store, &f->err), AK_OK);
    assert_status(ak_store_apply(f->store, &change, &first, &f->err), AK_OK);
    assert_status(ak_store_apply(f->store, &change, &again, &f->err), AK_OK);
    assert_status(ak_store_commit(f->store, &f->err), AK_OK);
    assert_true(again.replayed);
    assert_int_equal(again.seq, first.seq);
    assert_int_equal(last_seq(f), 1);
}

static void a_key_of_another_request_is_taken(void **state)
{
    struct ak_change change = keyed("upload-1", 1, 3);
    struct fixture *f = *state;
    struct ak_receipt receipt;

    assert_status(apply_alone(f, &change, &receipt), AK_OK);
    change.fingerprint[31] ^= 1;
    assert_status(apply_alone(f, &change, &receipt), AK_EEXISTS);
    assert_string_equal(f->err.text,
                        "the key upload-1 was used for another request");
    assert_int_equal(last_seq(f), 1);
    change = keyed("upload-2", 9, 3);
    assert_status(apply_alone(f, &change, &receipt), AK_OK);
    assert_int_equal(receipt.seq, 2);
}

static void a_key_is_forgotten_after_a_day(void **state)
{
    struct ak_change change = keyed("upload-1", 1, 1);
    struct fixture *f = *state;
    struct ak_receipt receipt;

    assert_status(apply_alone(f, &change, &receipt), AK_OK);
    change.now_ms = NOW + DAY_MS - 1;
    assert_status(apply_alone(f, &change, &receipt), AK_OK);
    assert_true(receipt.replayed);
    change.now_ms = NOW + DAY_MS;
    memset(change.fingerprint, 2, sizeof(change.fingerprint));
    assert_status(apply_alone(f, &change, &receipt), AK_OK);
    assert_false(receipt.replayed);
    assert_int_equal(receipt.seq, 2);
    /* And begins a day of its own. */
    change.now_ms = NOW + 2 * DAY_MS - 1;
    assert_status(apply_alone(f, &change, &receipt), AK_OK);
    assert_true(receipt.replayed);
    assert_int_equal(receipt.seq, 2);
    /* A clock that is set back does not make it happen twice. */
    change.now_ms = NOW - 100 * DAY_MS;
    assert_status(apply_alone(f, &change, &receipt), AK_OK);
    assert_true(receipt.replayed);
}

static void a_key_outlives_a_tidying_by_its_day(void **state)
{
    struct ak_change change = keyed("upload-1", 1, 1);
    struct fixture *f = *state;
    struct ak_receipt receipt;

    assert_status(apply_alone(f, &change, &receipt), AK_OK);
    for (int64_t h = 0; h < 24; h += 23) {
        assert_status(ak_store_begin(f->store, &f->err), AK_OK);
        assert_status(ak_store_tidy(f->store, NOW + h * HOUR_MS, &f->err),
                      AK_OK);
        assert_status(ak_store_commit(f->store, &f->err), AK_OK);
        assert_status(apply_alone(f, &change, &receipt), AK_OK);
        assert_true(receipt.replayed);
    }
    assert_status(ak_store_begin(f->store, &f->err), AK_OK);
    assert_status(ak_store_tidy(f->store, NOW + DAY_MS, &f->err), AK_OK);
    assert_status(ak_store_commit(f->store, &f->err), AK_OK);
    assert_status(apply_alone(f, &change, &receipt), AK_OK);
    assert_false(receipt.replayed);
}

static void what_failed_leaves_its_key_free(void **state)
{
    struct ak_change change = keyed("upload-1", 1, 0);
    struct fixture *f = *state;
    struct ak_receipt receipt;

    assert_status(apply_alone(f, &change, &receipt), AK_EINVAL);
    change.rows.n = 1;
    memset(change.fingerprint, 2, sizeof(change.fingerprint));
    assert_status(apply_alone(f, &change, &receipt), AK_OK);
    assert_false(receipt.replayed);
}

static void a_rolled_back_key_was_never_used(void **state)
{
    struct ak_change change = keyed("upload-1", 1, 1);
    struct fixture *f = *state;
    struct ak_receipt receipt;

    assert_status(ak_store_begin(f->store, &f->err), AK_OK);
    assert_status(ak_store_apply(f->store, &change, &receipt, &f->err), AK_OK);
    ak_store_rollback(f->store);
    assert_status(apply_alone(f, &change, &receipt), AK_OK);
    assert_false(receipt.replayed);
    assert_int_equal(receipt.seq, 1);
}

static void a_key_covers_what_appends_no_record(void **state)
{
    const struct ak_row_id id = {.number = 9};
    struct ak_change change = keyed("delete-1", 1, 0);
    struct fixture *f = *state;
    struct ak_receipt receipt;

    change.kind = AK_RECORD_DELETE;
    change.ids = &id;
    change.n_ids = 1;
    assert_status(apply_alone(f, &change, &receipt), AK_OK);
    put_rows(f, 1, &id, 0);
    /* The answer is that of then, and the row stays. */
    assert_status(apply_alone(f, &change, &receipt), AK_OK);
    assert_true(receipt.replayed);
    assert_int_equal(receipt.seq, 0);
    assert_int_equal(receipt.missing, 1);
    assert_int_equal(last_seq(f), 1);
}

static void a_key_has_at_most_128_bytes(void **state)
{
    char text[AK_STORE_KEY_MAX + 2];
    struct fixture *f = *state;
    struct ak_receipt receipt;
    struct ak_change change;

    memset(text, 'k', sizeof(text));
    text[AK_STORE_KEY_MAX] = '\0';
    change = keyed(text, 1, 1);
    assert_status(apply_alone(f, &change, &receipt), AK_OK);
    change.key.len++;
    assert_status(apply_alone(f, &change, &receipt), AK_EINVAL);
    assert_string_equal(f->err.text, "the key has 129 bytes, at most 128");
}

static void a_producer_counts_from_one_without_gaps(void **state)
{
    struct fixture *f = *state;
    struct ak_receipt receipt = {0};
    struct ak_change change = numbered("camera", 2, 1);

    assert_status(apply_alone(f, &change, &receipt), AK_ESEQUENCE);
    assert_int_equal(receipt.expected, 1);
    assert_string_equal(f->err.text,
                        "producer camera sent number 2, 1 is expected");
    for (uint64_t n = 1; n <= 3; n++) {
        change = numbered("camera", n, (uint8_t)n);
        assert_status(apply_alone(f, &change, &receipt), AK_OK);
        assert_int_equal(receipt.seq, n);
        assert_false(receipt.replayed);
    }
    change = numbered("camera", 5, 5);
    assert_status(apply_alone(f, &change, &receipt), AK_ESEQUENCE);
    assert_int_equal(receipt.expected, 4);
    assert_int_equal(receipt.seq, 3); /* the rest is as it was */
    change = numbered("camera", UINT64_MAX, 5);
    assert_status(apply_alone(f, &change, &receipt), AK_EINVAL);
    close_all(f);
    open_all(f);
    /* Another producer has numbers of its own, and a key is no producer. */
    change = numbered("crawler", 1, 1);
    assert_status(apply_alone(f, &change, &receipt), AK_OK);
    assert_int_equal(receipt.seq, 4);
    change = keyed("camera", 77, 1);
    assert_status(apply_alone(f, &change, &receipt), AK_OK);
    assert_false(receipt.replayed);
}

static void a_producers_number_is_replayed(void **state)
{
    struct fixture *f = *state;
    struct ak_receipt receipt = {0};
    struct ak_change change;

    for (uint64_t n = 1; n <= 3; n++) {
        change = numbered("camera", n, (uint8_t)n);
        assert_status(apply_alone(f, &change, &receipt), AK_OK);
    }
    change = numbered("camera", 2, 2);
    change.now_ms = NOW + 1000 * DAY_MS; /* producers are not forgotten */
    assert_status(apply_alone(f, &change, &receipt), AK_OK);
    assert_true(receipt.replayed);
    assert_int_equal(receipt.seq, 2);
    assert_int_equal(receipt.first_ordinal, 1);
    assert_int_equal(receipt.accepted, 1);
    change = numbered("camera", 2, 9);
    assert_status(apply_alone(f, &change, &receipt), AK_EEXISTS);
    assert_string_equal(f->err.text,
                        "producer camera used number 2 for another request");
    assert_int_equal(last_seq(f), 3);
}

static void of_an_old_number_only_that_it_was_done_is_known(void **state)
{
    struct fixture *f = *state;
    struct ak_receipt receipt = {0};
    struct ak_change change;

    assert_status(ak_store_begin(f->store, &f->err), AK_OK);
    for (uint64_t n = 1; n <= 1002; n++) {
        change = numbered("camera", n, (uint8_t)n);
        assert_status(ak_store_apply(f->store, &change, &receipt, &f->err),
                      AK_OK);
    }
    assert_status(ak_store_commit(f->store, &f->err), AK_OK);
    change = numbered("camera", 3, 3);
    assert_status(apply_alone(f, &change, &receipt), AK_OK);
    assert_true(receipt.replayed);
    assert_int_equal(receipt.seq, 3);
    change = numbered("camera", 2, 2);
    assert_status(apply_alone(f, &change, &receipt), AK_OK);
    assert_true(receipt.replayed);
    assert_int_equal(receipt.seq, 0);
    assert_int_equal(receipt.accepted, 0);
    assert_int_equal(last_seq(f), 1002);
}

static void assert_last(struct fixture *f, const char *name, uint64_t last,
                        uint64_t seq)
{
    uint64_t found_last = 99, found_seq = 99;

    assert_status(ak_view_producer(f->view, bytes_of(name), &found_last,
                                   &found_seq, &f->err),
                  AK_OK);
    assert_int_equal(found_last, last);
    assert_int_equal(found_seq, seq);
}

static void a_producers_last_number_can_be_asked_for(void **state)
{
    const struct ak_row_id absent = {.number = 9};
    struct fixture *f = *state;
    struct ak_receipt receipt = {0};
    struct ak_change change;

    assert_last(f, "camera", 0, 0);
    put_rows(f, 1, NULL, 0);
    for (uint64_t n = 1; n <= 3; n++) {
        change = numbered("camera", n, (uint8_t)n);
        assert_status(apply_alone(f, &change, &receipt), AK_OK);
    }
    assert_last(f, "camera", 3, 4);
    assert_last(f, "camer", 0, 0);
    /* What was refused has taken no number. */
    change = numbered("camera", 4, 4);
    change.kind = AK_RECORD_ROLLBACK;
    change.version = 99;
    assert_status(apply_alone(f, &change, &receipt), AK_ENOTFOUND);
    assert_last(f, "camera", 3, 4);
    /* A delete that finds nothing has one, but appends no record. */
    change = numbered("camera", 4, 4);
    change.kind = AK_RECORD_DELETE;
    change.ids = &absent;
    change.n_ids = 1;
    assert_status(apply_alone(f, &change, &receipt), AK_OK);
    assert_last(f, "camera", 4, 0);
    /* Nor does one with no rows, which only a number makes a request. */
    change = numbered("camera", 5, 5);
    change.rows.n = 0;
    assert_status(apply_alone(f, &change, &receipt), AK_OK);
    assert_int_equal(receipt.seq, 0);
    assert_int_equal(receipt.accepted, 0);
    change.producer_seq = 0;
    assert_status(apply_alone(f, &change, &receipt), AK_EINVAL);
    assert_last(f, "camera", 5, 0);
    close_all(f);
    open_all(f);
    assert_last(f, "camera", 5, 0);
}

#define TEST(name) \
    cmocka_unit_test_setup_teardown(name, make_fixture, remove_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_key_makes_a_request_happen_once),
        TEST(twins_in_one_group_are_one),
        TEST(a_key_of_another_request_is_taken),
        TEST(a_key_is_forgotten_after_a_day),
        TEST(a_key_outlives_a_tidying_by_its_day),
        TEST(what_failed_leaves_its_key_free),
        TEST(a_rolled_back_key_was_never_used),
        TEST(a_key_covers_what_appends_no_record),
        TEST(a_key_has_at_most_128_bytes),
        TEST(a_producer_counts_from_one_without_gaps),
        TEST(a_producers_number_is_replayed),
        TEST(a_producers_last_number_can_be_asked_for),
        TEST(of_an_old_number_only_that_it_was_done_is_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
