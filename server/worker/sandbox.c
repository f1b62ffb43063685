/*
 * sandbox.c -- limits of the kernel (setrlimit(2)), and a filter of system
 * calls (seccomp(2)) by libseccomp.
 *
 * The list of calls is what libjpeg-turbo, libpng, zlib and malloc() make once
 * they are loaded: memory and the end.  The two calls that move bytes are bound
 * to the one socket.
 */
#include "server/worker/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#define NICE 5

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

/* Beside mmap(), read() and write(), which have conditions.  The time is mostly
   read without a call, but not with every clock of a machine. */
static const int calls[] = {
    SCMP_SYS(brk),
    SCMP_SYS(munmap),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(exit_group),
};

/* What the sanitizers' own memory, threads and reports need. */
static const int sanitizer_calls[] = {
    SCMP_SYS(madvise),         SCMP_SYS(mprotect),       SCMP_SYS(futex),
    SCMP_SYS(mremap),          SCMP_SYS(sched_yield),    SCMP_SYS(nanosleep),
    SCMP_SYS(clock_nanosleep), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigaction),
    SCMP_SYS(sigaltstack),     SCMP_SYS(getpid),         SCMP_SYS(gettid),
    SCMP_SYS(tgkill),          SCMP_SYS(exit),           SCMP_SYS(mmap),
    SCMP_SYS(openat),          SCMP_SYS(read),           SCMP_SYS(write),
    SCMP_SYS(close),           SCMP_SYS(readlink),       SCMP_SYS(newfstatat),
    SCMP_SYS(lseek),
};

/* Bytes of address space in use. */
static enum ak_status mapped(uint64_t *out, struct ak_err *err)
{
    unsigned long pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    int n = f == NULL ? 0 : fscanf(f, "%lu", &pages);

    if (f != NULL)
        fclose(f);
    if (n != 1)
        return ak_fail(err, AK_EIO, "/proc/self/statm cannot be read");
    *out = (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
    return AK_OK;
}

static enum ak_status limit(int what, const char *name, uint64_t value,
                            struct ak_err *err)
{
    struct rlimit now, r = {value, value};

    if (getrlimit((__rlimit_resource_t)what, &now) != 0)
        return ak_fail(err, AK_EIO, "getrlimit(%s): %s", name, strerror(errno));
    /* Whoever started all this may have set a lower one already. */
    if (now.rlim_max < r.rlim_max)
        r.rlim_cur = r.rlim_max = now.rlim_max;
    if (setrlimit((__rlimit_resource_t)what, &r) != 0)
        return ak_fail(err, AK_EIO, "setrlimit(%s): %s", name, strerror(errno));
    return AK_OK;
}

static enum ak_status set_limits(const struct ak_sandbox *s, struct ak_err *err)
{
    uint64_t used = 0;
    enum ak_status status = mapped(&used, err);

    if (status == AK_OK && !SANITIZED)
        status = limit(RLIMIT_AS, "AS", used + s->memory, err);
    if (status == AK_OK)
        status = limit(RLIMIT_CPU, "CPU", s->cpu_seconds, err);
    if (status == AK_OK)
        status = limit(RLIMIT_FSIZE, "FSIZE", 0, err);
    if (status == AK_OK && !SANITIZED)
        status = limit(RLIMIT_NOFILE, "NOFILE", 0, err);
    if (status == AK_OK)
        status = limit(RLIMIT_CORE, "CORE", 0, err);
    return status;
}

static int allow(scmp_filter_ctx ctx, const int *list, size_t n)
{
    int failed = 0;

    for (size_t i = 0; failed == 0 && i < n; i++)
        failed = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, list[i], 0);
    return failed;
}

static int fill(scmp_filter_ctx ctx, int socket)
{
    const scmp_datum_t fd = (scmp_datum_t)socket;
    int failed;

    failed =
        seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    if (failed == 0)
        failed = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);
    if (failed == 0)
        failed = allow(ctx, calls, sizeof(calls) / sizeof(calls[0]));
    if (failed == 0 && SANITIZED)
        return allow(ctx, sanitizer_calls,
                     sizeof(sanitizer_calls) / sizeof(sanitizer_calls[0]));
    if (failed == 0)
        failed = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(read), 1,
                                  SCMP_A0(SCMP_CMP_EQ, fd, 0));
    if (failed == 0)
        failed = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(write), 1,
                                  SCMP_A0(SCMP_CMP_EQ, fd, 0));
    /* Memory of no file, and no code in it. */
    if (failed == 0)
        failed = seccomp_rule_add(
            ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2,
            SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0),
            SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS, MAP_ANONYMOUS));
    return failed;
}

static enum ak_status filter(int socket, struct ak_err *err)
{
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
    int failed = ctx == NULL ? -ENOMEM : fill(ctx, socket);

    if (failed == 0)
        failed = seccomp_load(ctx);
    if (ctx != NULL)
        seccomp_release(ctx);
    return failed == 0 ? AK_OK
                       : ak_fail(err, AK_EIO, "seccomp: %s", strerror(-failed));
}

enum ak_status ak_sandbox_enter(const struct ak_sandbox *sandbox,
                                struct ak_err *err)
{
    enum ak_status status;

    (void)!nice(NICE); /* a courtesy, without which it goes as well */
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return ak_fail(err, AK_EIO, "prctl: %s", strerror(errno));
    status = set_limits(sandbox, err);
    return status == AK_OK ? filter(sandbox->socket, err) : status;
}
