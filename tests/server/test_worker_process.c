/* Processes that this one starts: what they get, what is heard, how they end. */
#include "tests/test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "server/process.h"
#include "server/worker_process.h"

#define DEADLINE_MS 60000

static char script[] = "test_worker_process_XXXXXX";

static void write_script(const char *text)
{
    FILE *f = fopen(script, "w");

    assert_non_null(f);
    fprintf(f, "#!/bin/sh\n%s\n", text);
    assert_int_equal(fclose(f), 0);
}

static int make_script(void **state)
{
    int fd = mkstemp(script);

    (void)state;
    if (fd < 0)
        return -1;
    return fchmod(fd, 0700) == 0 ? close(fd) : -1;
}

static int remove_script(void **state)
{
    (void)state;
    return unlink(script);
}

struct heard {
    char lines[1024], said[1024];
};

static void on_line(void *arg, const char *line, size_t len)
{
    struct heard *h = arg;

    if (len + strlen(h->lines) + 2 < sizeof(h->lines))
        strcat(strcat(h->lines, line), "|");
}

static void on_said(void *arg, const char *line, size_t len)
{
    struct heard *h = arg;

    if (len + strlen(h->said) + 2 < sizeof(h->said))
        strcat(strcat(h->said, line), "|");
}

static struct ak_worker_process *start(const char *text)
{
    struct ak_worker_process *p = NULL;
    char path[128];

    snprintf(path, sizeof(path), "./%s", script);
    write_script(text);
    assert_status(
        ak_worker_process_start(path, "--job", "/the folder", &p, NULL), AK_OK);
    return p;
}

static void hear_all(struct ak_worker_process *p, struct heard *h)
{
    const struct timespec pause = {.tv_nsec = 2000000};

    memset(h, 0, sizeof(*h));
    while (ak_worker_process_read(p, on_line, on_said, h))
        nanosleep(&pause, NULL);
}

static void it_gets_three_descriptors_and_no_more(void **state)
{
    /* Whoever does not look inherits it. */
    int open_here = open("/dev/zero", O_RDONLY);
    struct ak_worker_process *p;
    struct heard h;

    (void)state;
    assert_true(open_here > 2);
    p = start("echo \"$1 $2 $OMP_WAIT_POLICY\"; echo to stderr >&2\n"
              "for fd in 0 1 2; do [ -p /dev/fd/$fd ] && echo pipe; done\n"
              "for fd in /proc/$$/fd/*; do\n"
              "[ $fd -ef /dev/zero ] && echo inherited; done");
    hear_all(p, &h);
    assert_string_equal(h.lines, "--job /the folder passive|pipe|pipe|pipe|");
    assert_string_equal(h.said, "to stderr|");
    assert_true(ak_worker_process_wait(p, DEADLINE_MS));
    ak_worker_process_destroy(p);
    close(open_here);
}

static void how_it_ended_is_told(void **state)
{
    struct ak_worker_process *p = start("exit 7");
    struct ak_worker_end end = {0};

    (void)state;
    assert_true(ak_worker_process_wait(p, DEADLINE_MS));
    assert_true(ak_worker_process_ended(p, &end));
    assert_int_equal(end.code, 7);
    assert_int_equal(end.signal, 0);
    ak_worker_process_destroy(p);
    p = start("kill -SEGV $$");
    assert_true(ak_worker_process_wait(p, DEADLINE_MS));
    assert_true(ak_worker_process_ended(p, &end));
    assert_int_equal(end.signal, SIGSEGV);
    assert_false(end.oom);
    ak_worker_process_destroy(p);
}

static void it_is_asked_and_then_killed_with_its_children(void **state)
{
    struct ak_worker_process *p =
        start("trap 'echo asked' TERM; sleep 1000 & echo $!\n"
              "while :; do wait; done");
    const struct timespec pause = {.tv_nsec = 2000000};
    struct heard h = {0};
    int child;

    (void)state;
    while (strchr(h.lines, '|') == NULL) {
        assert_true(ak_worker_process_read(p, on_line, on_said, &h));
        nanosleep(&pause, NULL);
    }
    child = atoi(h.lines);
    assert_true(child > 1);
    assert_int_equal(kill(child, 0), 0);
    ak_worker_process_stop(p);
    while (strstr(h.lines, "asked") == NULL) {
        assert_true(ak_worker_process_read(p, on_line, on_said, &h));
        nanosleep(&pause, NULL);
    }
    assert_false(ak_worker_process_ended(p, NULL));
    ak_worker_process_destroy(p);
    /* Its child goes to init, which may take its time to bury it. */
    for (int i = 0; i < DEADLINE_MS / 2; i++) {
        char path[64], status[512] = "";
        FILE *f;

        snprintf(path, sizeof(path), "/proc/%d/stat", child);
        f = fopen(path, "r");
        if (f == NULL)
            return;
        if (fgets(status, sizeof(status), f) == NULL ||
            strstr(status, ") Z") != NULL) {
            fclose(f);
            return;
        }
        fclose(f);
        nanosleep(&pause, NULL);
    }
    fail_msg("the child %d lives on", child);
}

static void the_children_of_others_are_left_alone(void **state)
{
    pid_t other = fork();
    struct ak_worker_process *p;
    int status = 0;

    (void)state;
    if (other == 0)
        _exit(9);
    assert_true(other > 0);
    p = start("exit 0");
    assert_true(ak_worker_process_wait(p, DEADLINE_MS));
    ak_worker_process_destroy(p);
    assert_int_equal(waitpid(other, &status, 0), other);
    assert_int_equal(WEXITSTATUS(status), 9);
}

static void what_cannot_be_started_is_told(void **state)
{
    struct ak_worker_process *p = NULL;
    struct ak_err err = {0};

    (void)state;
    assert_status(
        ak_worker_process_start("/no/such/program", "--job", "x", &p, &err),
        AK_EIO);
    assert_null(p);
    assert_non_null(strstr(err.text, "/no/such/program"));
    ak_worker_process_destroy(NULL);
}

static void kills_for_want_of_memory_are_read(void **state)
{
    FILE *f = fopen(script, "w");

    (void)state;
    assert_non_null(f);
    fputs("nr_free_pages 12\noom_kill 34\nnuma_hit 56\n", f);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(ak_process_oom_kills(script), 34);
    assert_int_equal(ak_process_oom_kills("/no/such/file"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_gets_three_descriptors_and_no_more),
        cmocka_unit_test(how_it_ended_is_told),
        cmocka_unit_test(it_is_asked_and_then_killed_with_its_children),
        cmocka_unit_test(the_children_of_others_are_left_alone),
        cmocka_unit_test(what_cannot_be_started_is_told),
        cmocka_unit_test(kills_for_want_of_memory_are_read),
    };

    return cmocka_run_group_tests(tests, make_script, remove_script);
}
