/*
 * A process that is killed in the middle of its work: what it reported as
 * committed must be there, once, and what is there must be whole.
 *
 * Change number c is known from c alone, so that the parent can say what the
 * file must hold: every seventh replaces the row with id 0, the others are
 * batches of one to five rows.  Each appends one record, so c is its seq.
 */
#include "tests/storage/fixture.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/rng.h"

#define ROUNDS   15
#define MAX_ROWS 5
#define NOW      INT64_C(1700000000000)

static bool replaces(uint64_t c)
{
    return c % 7 == 0;
}

static size_t rows_of(uint64_t c)
{
    return replaces(c) ? 1 : 1 + c * 3 % MAX_ROWS;
}

/* Apply change c, whose rows begin at ordinal `first`. */
static enum ak_status apply_number(struct ak_store *store, uint64_t c,
                                   uint64_t first, struct ak_receipt *receipt,
                                   struct ak_err *err)
{
    static const struct ak_row_id zero = {.number = 0};
    uint8_t block[MAX_ROWS * ROW_BYTES];
    char key[24];
    struct ak_change change = {
        .kind = replaces(c) ? AK_RECORD_UPSERT : AK_RECORD_BATCH,
        .rows = {.n = rows_of(c),
                 .block = block,
                 .ids = replaces(c) ? &zero : NULL},
        .now_ms = NOW,
    };

    snprintf(key, sizeof(key), "change-%d", (int)c);
    change.key = bytes_of(key);
    memcpy(change.fingerprint, &c, sizeof(c));
    fill_block(block, rows_of(c), first);
    return ak_store_apply(store, &change, receipt, err);
}

/* What the child does until it is killed: groups of changes, the number of the
   last of which it reports after each commit.  Never returns. */
static void work(const char *path, int report)
{
    struct ak_store_info info;
    struct ak_store *store;
    struct ak_view *view;
    uint64_t c, first;

    if (ak_store_open(path, true, &store, NULL) != AK_OK ||
        ak_view_open(path, &view, NULL) != AK_OK ||
        ak_view_info(view, &info, NULL) != AK_OK)
        _exit(1);
    c = info.last_seq;
    first = info.next_ordinal;
    for (;;) {
        struct ak_receipt receipt;

        if (ak_store_begin(store, NULL) != AK_OK)
            _exit(2);
        do {
            c++;
            if (apply_number(store, c, first, &receipt, NULL) != AK_OK ||
                receipt.seq != c || receipt.replayed)
                _exit(3);
            first += rows_of(c);
        } while (c % 3 != 0);
        if (ak_store_commit(store, NULL) != AK_OK)
            _exit(4);
        if (write(report, &c, sizeof(c)) != sizeof(c))
            _exit(5);
        if (c % 30 == 0 &&
            ak_store_checkpoint_wal(store, c % 60 == 0, NULL) != AK_OK)
            _exit(6);
    }
}

/* Start a child, kill it at a random moment, and say what it reported last. */
static uint64_t run_and_kill(struct fixture *f, struct ak_rng *rng)
{
    uint64_t reports = ak_rng_below(rng, 25), last = 0, c;
    int pipes[2], status;
    pid_t child;

    assert_int_equal(pipe(pipes), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(pipes[0]);
        work(f->path, pipes[1]);
    }
    close(pipes[1]);
    while (reports > 0 && read(pipes[0], &c, sizeof(c)) == sizeof(c)) {
        last = c;
        reports--;
    }
    usleep((useconds_t)ak_rng_below(rng, 4000));
    kill(child, SIGKILL);
    while (read(pipes[0], &c, sizeof(c)) == sizeof(c))
        last = c;
    close(pipes[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    /* It did not end by itself, which would say that something failed. */
    assert_true(WIFSIGNALED(status));
    return last;
}

static void check_records(struct fixture *f, uint64_t last_seq,
                          uint64_t *n_rows, uint64_t *live)
{
    struct ak_record record;
    uint64_t first = 0;

    *live = 0;
    for (uint64_t c = 1; c <= last_seq; c++) {
        assert_status(ak_view_record(f->view, c - 1, &record, &f->err), AK_OK);
        assert_int_equal(record.seq, c);
        assert_int_equal(record.n, rows_of(c));
        assert_int_equal(record.first_ordinal, first);
        assert_int_equal(record.n_ordinals, replaces(c));
        first += rows_of(c);
        *live += replaces(c) ? 0 : rows_of(c);
    }
    *n_rows = first;
    assert_status(ak_view_record(f->view, last_seq, &record, &f->err),
                  AK_ENOTFOUND);
}

/* A client that never got its answer asks again, and nothing is doubled. */
static void check_keys(struct fixture *f, uint64_t last_seq)
{
    struct ak_receipt receipt;

    assert_status(ak_store_begin(f->store, &f->err), AK_OK);
    for (uint64_t c = last_seq > 9 ? last_seq - 9 : 1; c <= last_seq; c++) {
        assert_status(apply_number(f->store, c, 0, &receipt, &f->err), AK_OK);
        assert_true(receipt.replayed);
        assert_int_equal(receipt.seq, c);
    }
    assert_status(ak_store_commit(f->store, &f->err), AK_OK);
}

static void what_was_reported_is_there_once_after_a_kill(void **state)
{
    struct fixture *f = *state;
    struct ak_store_info info;
    uint64_t n_rows, live;
    struct ak_rng rng;

    ak_rng_init(&rng, 2);
    close_all(f);
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t reported = run_and_kill(f, &rng);

        open_all(f);
        assert_status(ak_view_info(f->view, &info, &f->err), AK_OK);
        assert_true(info.last_seq >= reported);
        assert_int_equal(info.last_seq % 3, 0); /* whole groups only */
        check_records(f, info.last_seq, &n_rows, &live);
        assert_int_equal(info.next_ordinal, n_rows);
        assert_int_equal(info.live_rows, live);
        if (n_rows > 0)
            assert_block(f->view, 0, n_rows, 0);
        check_keys(f, info.last_seq);
        close_all(f);
    }
    assert_true(info.last_seq > ROUNDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            what_was_reported_is_there_once_after_a_kill, make_fixture,
            remove_fixture),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
