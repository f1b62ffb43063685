/* Connections that are taken off a listening socket. */
#include "tests/test.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "server/accept.h"

enum { MOST = 64 };

/* Who is given connections. */
static struct {
    atomic_uint n;
    int fds[MOST];
    atomic_bool refuses;
} taker;

static bool give(void *arg, int fd, const struct sockaddr *address,
                 socklen_t len)
{
    const struct sockaddr_in *in = (const struct sockaddr_in *)address;
    unsigned n = atomic_load(&taker.n);

    assert_ptr_equal(arg, &taker);
    assert_true(len == sizeof(*in) && in->sin_family == AF_INET);
    if (atomic_load(&taker.refuses))
        close(fd);
    else
        taker.fds[n] = fd;
    atomic_store(&taker.n, n + 1);
    return !atomic_load(&taker.refuses);
}

static int listener;
static struct sockaddr_in here;
static struct ak_accept *accepting;

static void begin(unsigned limit)
{
    socklen_t len = sizeof(here);

    atomic_store(&taker.n, 0);
    atomic_store(&taker.refuses, false);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    here = (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(bind(listener, (struct sockaddr *)&here, len), 0);
    assert_int_equal(listen(listener, MOST), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&here, &len), 0);
    assert_status(
        ak_accept_start(listener, limit, give, &taker, &accepting, NULL),
        AK_OK);
}

static void end(void)
{
    ak_accept_stop(accepting);
    if (!atomic_load(&taker.refuses))
        for (unsigned i = 0; i < atomic_load(&taker.n); i++)
            close(taker.fds[i]);
    ak_accept_destroy(accepting);
    close(listener);
}

static int dial(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(connect(fd, (struct sockaddr *)&here, sizeof(here)), 0);
    return fd;
}

static void wait_for(unsigned n)
{
    while (atomic_load(&taker.n) < n)
        usleep(1000);
}

/* ---------------------------------------------------------------- the tests */

static void each_is_given_once(void **state)
{
    int fds[MOST];

    (void)state;
    begin(MOST);
    for (int i = 0; i < MOST; i++)
        fds[i] = dial();
    wait_for(MOST);
    for (int i = 0; i < MOST; i++) {
        char c = (char)i;

        assert_int_equal(write(fds[i], &c, 1), 1);
    }
    /* In the order in which they came. */
    for (int i = 0; i < MOST; i++) {
        char c = -1;

        while (read(taker.fds[i], &c, 1) < 0)
            usleep(1000);
        assert_int_equal(c, i);
        close(fds[i]);
    }
    assert_int_equal(atomic_load(&taker.n), MOST);
    end();
}

static void those_beyond_the_limit_wait(void **state)
{
    int fds[4];

    (void)state;
    begin(2);
    for (int i = 0; i < 4; i++)
        fds[i] = dial();
    wait_for(2);
    usleep(20000); /* for one that is rash */
    assert_int_equal(atomic_load(&taker.n), 2);
    ak_accept_ended(accepting);
    wait_for(3);
    usleep(20000);
    assert_int_equal(atomic_load(&taker.n), 3);
    ak_accept_ended(accepting);
    wait_for(4);
    for (int i = 0; i < 4; i++)
        close(fds[i]);
    end();
}

static void those_that_are_refused_do_not_count(void **state)
{
    (void)state;
    begin(1);
    atomic_store(&taker.refuses, true);
    for (unsigned i = 1; i <= 5; i++) {
        int fd = dial();

        wait_for(i);
        close(fd);
    }
    end();
}

/* How many files may be open, so that no more can be; what it was. */
static struct rlimit close_the_door(void)
{
    struct rlimit before, now;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    now = before;
    now.rlim_cur = 3;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
    return before;
}

/* Which has a limit of its own: it accepts a connection and throws it away. */
static bool under_valgrind(void)
{
    const char *loaded = getenv("LD_PRELOAD");

    return loaded != NULL && strstr(loaded, "vgpreload") != NULL;
}

static void one_waits_while_no_file_may_be_opened(void **state)
{
    struct rlimit before;
    int fds[2];

    (void)state;
    if (under_valgrind())
        skip();
    begin(MOST);
    fds[0] = dial();
    wait_for(1);
    fds[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    before = close_the_door();
    assert_int_equal(connect(fds[1], (struct sockaddr *)&here, sizeof(here)),
                     0);
    usleep(20000);
    assert_int_equal(atomic_load(&taker.n), 1);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    wait_for(2);
    close(fds[0]);
    close(fds[1]);
    end();
}

static void it_stops_while_it_waits_for_room(void **state)
{
    int fd;

    (void)state;
    begin(1);
    fd = dial();
    wait_for(1);
    usleep(5000);
    ak_accept_stop(accepting);
    ak_accept_stop(accepting); /* a second time is fine */
    close(fd);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_is_given_once),
        cmocka_unit_test(those_beyond_the_limit_wait),
        cmocka_unit_test(those_that_are_refused_do_not_count),
        cmocka_unit_test(one_waits_while_no_file_may_be_opened),
        cmocka_unit_test(it_stops_while_it_waits_for_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
