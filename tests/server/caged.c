/*
 * caged.c -- enters the sandbox of akin-worker and tries to do something there,
 * for test_sandbox.  A process of its own, since it does not leave it again.
 *
 *     caged ATTEMPT
 *
 * Descriptor 3 is its socket.  Ends with 0 when the attempt came to its end, 1
 * when it was refused, 2 when it is not known.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "server/worker/sandbox.h"

#define SOCKET 3
#define MEMORY (64u << 20)

static char path[] = "/proc/self/statm";
static void *page;
static void *volatile memory; /* so that no compiler leaves a malloc() out */

static long try_nothing(void)
{
    return 0;
}

static long try_open(void)
{
    return syscall(SYS_openat, AT_FDCWD, path, O_RDONLY);
}

static long try_socket(void)
{
    return syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
}

static long try_exec(void)
{
    char *const none[] = {NULL};

    return syscall(SYS_execve, "/bin/true", none, none);
}

static long try_fork(void)
{
    return syscall(SYS_clone, 17 /* SIGCHLD */, 0, 0, 0, 0);
}

static long try_kill(void)
{
    return syscall(SYS_kill, 1, 0);
}

static long try_ptrace(void)
{
    return syscall(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0);
}

static long try_unlink(void)
{
    return syscall(SYS_unlinkat, AT_FDCWD, "/nowhere", 0);
}

static long try_dup(void)
{
    return syscall(SYS_dup3, SOCKET, 9, 0);
}

static long try_prctl(void)
{
    return syscall(SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static long try_limits(void)
{
    return syscall(SYS_prlimit64, 0, 9 /* RLIMIT_AS */, NULL, NULL);
}

static long try_read_elsewhere(void)
{
    char byte;

    return syscall(SYS_read, STDIN_FILENO, &byte, 1);
}

static long try_write_elsewhere(void)
{
    return syscall(SYS_write, STDERR_FILENO, "!\n", 2);
}

static long try_map_code(void)
{
    return syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_EXEC,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == -1
               ? -1
               : 0;
}

static long try_map_file(void)
{
    return syscall(SYS_mmap, NULL, 4096, PROT_READ, MAP_PRIVATE, SOCKET, 0);
}

static long try_make_code(void)
{
    return syscall(SYS_mprotect, page, 4096, PROT_READ | PROT_EXEC);
}

/* Half of what is allowed, written to, many times. */
static long try_memory(void)
{
    for (int i = 0; i < 10; i++) {
        char *p = malloc(MEMORY / 2);

        if (p == NULL)
            return -1;
        memset(p, i, MEMORY / 2);
        free(p);
    }
    return 0;
}

static long try_more_memory(void)
{
    memory = malloc(MEMORY + (1u << 20));
    return memory != NULL ? 0 : -1;
}

static long try_much_memory(void)
{
    size_t n = 0;

    do {
        memory = malloc(1u << 16);
        n += 1u << 16;
    } while (n < 4 * MEMORY && memory != NULL);
    return memory != NULL ? 0 : -1;
}

static long try_time(void)
{
    volatile unsigned long i = 0;

    while (++i != 0)
        ;
    return 0;
}

static long try_talk(void)
{
    char bytes[4];

    return read(SOCKET, bytes, 4) == 4 && write(SOCKET, bytes, 4) == 4 ? 0 : -1;
}

static const struct {
    const char *name;
    long (*run)(void);
} attempts[] = {
    {"nothing", try_nothing},
    {"open", try_open},
    {"socket", try_socket},
    {"exec", try_exec},
    {"fork", try_fork},
    {"kill", try_kill},
    {"ptrace", try_ptrace},
    {"unlink", try_unlink},
    {"dup", try_dup},
    {"prctl", try_prctl},
    {"limits", try_limits},
    {"read-elsewhere", try_read_elsewhere},
    {"write-elsewhere", try_write_elsewhere},
    {"map-code", try_map_code},
    {"map-file", try_map_file},
    {"make-code", try_make_code},
    {"memory", try_memory},
    {"more-memory", try_more_memory},
    {"much-memory", try_much_memory},
    {"time", try_time},
    {"talk", try_talk},
};

int main(int argc, char **argv)
{
    const struct ak_sandbox sandbox = {SOCKET, MEMORY, 1};
    struct ak_err err = {0};

    page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                -1, 0);
    if (page == MAP_FAILED || ak_sandbox_enter(&sandbox, &err) != AK_OK) {
        fprintf(stderr, "caged: %s\n", err.text);
        return 3;
    }
    for (size_t i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++)
        if (argc == 2 && strcmp(argv[1], attempts[i].name) == 0)
            _exit(attempts[i].run() >= 0 ? 0 : 1);
    _exit(2);
}
