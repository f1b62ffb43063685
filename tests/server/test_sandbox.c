/* The sandbox of akin-worker --decode: what is not needed is not possible. */
#include "tests/test.h"

#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/server/beside.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* How a process ended that tried that, with a socket of whose other end it is
   said "ping". */
static int attempt(const char *what, char *said)
{
    char path[4096], name[] = "caged", copy[32];
    char *argv[] = {name, copy, NULL}, *env[] = {NULL};
    posix_spawn_file_actions_t files;
    int ends[2], how = 0;
    pid_t pid;

    snprintf(copy, sizeof(copy), "%s", what);
    beside(path, sizeof(path), "caged");
    assert_int_equal(
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(posix_spawn_file_actions_init(&files), 0);
    assert_int_equal(posix_spawn_file_actions_adddup2(&files, ends[1], 3), 0);
    assert_int_equal(write(ends[0], "ping", 4), 4);
    assert_int_equal(posix_spawn(&pid, path, &files, NULL, argv, env), 0);
    posix_spawn_file_actions_destroy(&files);
    close(ends[1]);
    assert_int_equal(waitpid(pid, &how, 0), pid);
    if (said != NULL)
        assert_int_equal(read(ends[0], said, 4), 4);
    close(ends[0]);
    return how;
}

static void ended(const char *what, int status)
{
    int how = attempt(what, NULL);

    if (!WIFEXITED(how) || WEXITSTATUS(how) != status)
        fail_msg("%s: wait status %#x, must be the exit status %d", what, how,
                 status);
}

static void killed(const char *what)
{
    int how = attempt(what, NULL);

    if (!WIFSIGNALED(how) || WTERMSIG(how) != SIGSYS)
        fail_msg("%s: wait status %#x, must be SIGSYS", what, how);
}

static void what_is_needed_is_possible(void **state)
{
    char said[4];
    int how;

    (void)state;
    ended("nothing", 0);
    ended("memory", 0);
    how = attempt("talk", said);
    assert_true(WIFEXITED(how) && WEXITSTATUS(how) == 0);
    assert_memory_equal(said, "ping", 4);
}

static void other_calls_are_the_end(void **state)
{
    static const char *const calls[] = {"socket", "exec",   "fork",
                                        "kill",   "ptrace", "unlink",
                                        "dup",    "prctl",  "limits"};

    (void)state;
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
        killed(calls[i]);
}

/* A sanitizer makes these calls itself. */
static void files_and_code_are_out_of_reach(void **state)
{
    static const char *const calls[] = {"open",     "read-elsewhere",
                                        "map-code", "write-elsewhere",
                                        "map-file", "make-code"};

    (void)state;
    if (SANITIZED)
        skip();
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
        killed(calls[i]);
}

/* A sanitizer has its own way with memory. */
static void memory_is_limited(void **state)
{
    (void)state;
    if (SANITIZED)
        skip();
    ended("more-memory", 1);
    ended("much-memory", 1);
}

static void time_is_limited(void **state)
{
    int how = attempt("time", NULL);

    (void)state;
    assert_true(WIFSIGNALED(how));
    assert_true(WTERMSIG(how) == SIGXCPU || WTERMSIG(how) == SIGKILL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_needed_is_possible),
        cmocka_unit_test(other_calls_are_the_end),
        cmocka_unit_test(files_and_code_are_out_of_reach),
        cmocka_unit_test(memory_is_limited),
        cmocka_unit_test(time_is_limited),
    };

    return cmocka_run_group_tests_name("sandbox", tests, NULL, NULL);
}
