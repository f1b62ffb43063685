/*
 * A process that is killed in the middle of its work: what it reported as
 * committed must be there, once, and what is there must be whole.
 */
#include "tests/storage/numbered.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/rng.h"

#define ROUNDS 15

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
            if (numbered_apply(store, c, first, &receipt, NULL) != AK_OK ||
                receipt.seq != c || receipt.replayed)
                _exit(3);
            first += numbered_rows(c);
        } while (c % GROUP_CHANGES != 0);
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

static void what_was_reported_is_there_once_after_a_kill(void **state)
{
    struct fixture *f = *state;
    uint64_t last = 0;
    struct ak_rng rng;

    ak_rng_init(&rng, 2);
    close_all(f);
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t reported = run_and_kill(f, &rng);

        open_all(f);
        last = numbered_check(f, reported);
        close_all(f);
    }
    assert_true(last > ROUNDS);
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
