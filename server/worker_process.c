#include "server/worker_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "server/process.h"

#define READ_AT_ONCE ((size_t)64 << 10)
#define KILL_MS      5000 /* for a killed process to be gone */
#define N_ENV        2

extern char **environ;

enum { LINES, SAID, N_PIPES };

struct ak_worker_process {
    pid_t pid;
    int life; /* written to by nobody: closed when this process ends */
    int pipes[N_PIPES];
    struct ak_lines lines[N_PIPES];
    bool ended;
    struct ak_worker_end end;
    uint64_t ooms; /* that the kernel had counted at the start */
};

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* Both ends beyond 0, 1 and 2, which they are to become in the child. */
static enum ak_status make_pipe(int ends[2], struct ak_err *err)
{
    if (pipe2(ends, O_CLOEXEC) != 0) {
        ends[0] = ends[1] = -1;
        return ak_fail(err, AK_EIO, "no pipe for a worker: %s",
                       strerror(errno));
    }
    for (int i = 0; i < 2; i++) {
        int fd = ends[i] > 2 ? ends[i] : fcntl(ends[i], F_DUPFD_CLOEXEC, 3);

        if (fd != ends[i])
            close(ends[i]);
        ends[i] = fd;
        if (fd < 0)
            return ak_fail(err, AK_EIO, "no pipe for a worker: %s",
                           strerror(errno));
    }
    return AK_OK;
}

/* The environment of this process, and that idle threads of a worker sleep. */
static char **make_env(void)
{
    static char passive[] = "OMP_WAIT_POLICY=passive";
    static char single[] = "OPENBLAS_NUM_THREADS=1";
    size_t n = 0, m = 0;
    char **env;

    while (environ[n] != NULL)
        n++;
    env = calloc(n + N_ENV + 1, sizeof(*env));
    if (env == NULL)
        return NULL;
    env[m++] = passive;
    env[m++] = single;
    for (size_t i = 0; i < n; i++)
        if (strncmp(environ[i], "OMP_WAIT_POLICY=", 16) != 0 &&
            strncmp(environ[i], "OPENBLAS_NUM_THREADS=", 21) != 0)
            env[m++] = environ[i];
    return env;
}

/* Signals as at the start of a program, whatever this one does with them. */
static int set_attributes(posix_spawnattr_t *attr)
{
    sigset_t none, all;
    int code;

    sigemptyset(&none);
    sigfillset(&all);
    code = posix_spawnattr_setflags(attr, (short)(POSIX_SPAWN_SETPGROUP |
                                                  POSIX_SPAWN_SETSIGMASK |
                                                  POSIX_SPAWN_SETSIGDEF));
    if (code == 0)
        code = posix_spawnattr_setpgroup(attr, 0);
    if (code == 0)
        code = posix_spawnattr_setsigmask(attr, &none);
    if (code == 0)
        code = posix_spawnattr_setsigdefault(attr, &all);
    return code;
}

/* fds become 0, 1 and 2; nothing else stays open. */
static int spawn(const char *program, char *const *argv, const int fds[3],
                 pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    char **env = make_env();
    int code = env != NULL ? posix_spawn_file_actions_init(&actions) : ENOMEM;

    if (code != 0) {
        free(env);
        return code;
    }
    code = posix_spawnattr_init(&attr);
    if (code == 0) {
        for (int i = 0; i < 3 && code == 0; i++)
            code = posix_spawn_file_actions_adddup2(&actions, fds[i], i);
        if (code == 0)
            code = posix_spawn_file_actions_addclosefrom_np(&actions, 3);
        if (code == 0)
            code = set_attributes(&attr);
        if (code == 0)
            code = posix_spawn(pid, program, &actions, &attr, argv, env);
        posix_spawnattr_destroy(&attr);
    }
    posix_spawn_file_actions_destroy(&actions);
    free(env);
    return code;
}

enum ak_status ak_worker_process_start(const char *program, const char *option,
                                       const char *folder,
                                       struct ak_worker_process **out,
                                       struct ak_err *err)
{
    struct ak_worker_process *p = calloc(1, sizeof(*p));
    int life[2] = {-1, -1}, pipes[N_PIPES][2] = {{-1, -1}, {-1, -1}}, code;
    char *texts[] = {strdup(program), strdup(option), strdup(folder), NULL};
    enum ak_status status = AK_OK;

    if (p == NULL || texts[0] == NULL || texts[1] == NULL || texts[2] == NULL)
        status = ak_fail(err, AK_ENOMEM, "no memory for a worker");
    if (status == AK_OK)
        status = make_pipe(life, err);
    for (int i = 0; i < N_PIPES && status == AK_OK; i++) {
        status = make_pipe(pipes[i], err);
        if (status == AK_OK && fcntl(pipes[i][0], F_SETFL, O_NONBLOCK) != 0)
            status =
                ak_fail(err, AK_EIO, "a pipe of a worker: %s", strerror(errno));
    }
    if (status == AK_OK) {
        const int fds[3] = {life[0], pipes[LINES][1], pipes[SAID][1]};

        p->ooms = ak_process_oom_kills("/proc/vmstat");
        /* Not every system tells of a failed exec where it was asked for. */
        code = access(program, X_OK) == 0 ? spawn(program, texts, fds, &p->pid)
                                          : errno;
        if (code != 0)
            status = ak_fail(err, AK_EIO, "%s cannot be started: %s", program,
                             strerror(code));
    }
    for (int i = 0; i < 3; i++)
        free(texts[i]);
    close_fd(&life[0]);
    for (int i = 0; i < N_PIPES; i++)
        close_fd(&pipes[i][1]);
    if (status != AK_OK) {
        close_fd(&life[1]);
        for (int i = 0; i < N_PIPES; i++)
            close_fd(&pipes[i][0]);
        free(p);
        return status;
    }
    p->life = life[1];
    for (int i = 0; i < N_PIPES; i++) {
        p->pipes[i] = pipes[i][0];
        ak_lines_init(&p->lines[i], ak_clock_ns());
    }
    *out = p;
    return AK_OK;
}

static void read_pipe(struct ak_worker_process *p, int i, ak_lines_fn *each,
                      void *arg)
{
    char bytes[4096];
    size_t total = 0;

    while (p->pipes[i] >= 0 && total < READ_AT_ONCE / N_PIPES) {
        ssize_t n = read(p->pipes[i], bytes, sizeof(bytes));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            ak_lines_end(&p->lines[i], each, arg);
            close_fd(&p->pipes[i]);
            return;
        }
        ak_lines_add(&p->lines[i], bytes, (size_t)n, ak_clock_ns(), each, arg);
        total += (size_t)n;
    }
}

bool ak_worker_process_read(struct ak_worker_process *p, ak_lines_fn *line,
                            ak_lines_fn *said, void *arg)
{
    read_pipe(p, LINES, line, arg);
    read_pipe(p, SAID, said, arg);
    return p->pipes[LINES] >= 0 || p->pipes[SAID] >= 0;
}

uint64_t ak_worker_process_dropped(const struct ak_worker_process *p)
{
    return p->lines[LINES].dropped + p->lines[SAID].dropped;
}

void ak_worker_process_stop(struct ak_worker_process *p)
{
    if (!p->ended)
        kill(p->pid, SIGTERM);
}

bool ak_worker_process_ended(struct ak_worker_process *p,
                             struct ak_worker_end *end)
{
    int status = 0;

    if (!p->ended && waitpid(p->pid, &status, WNOHANG) == p->pid) {
        p->ended = true;
        p->end.code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
        p->end.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
        p->end.oom = p->end.signal == SIGKILL &&
                     ak_process_oom_kills("/proc/vmstat") > p->ooms;
    }
    if (p->ended && end != NULL)
        *end = p->end;
    return p->ended;
}

bool ak_worker_process_wait(struct ak_worker_process *p, unsigned ms)
{
    const struct timespec pause = {.tv_nsec = 2000000};
    uint64_t end = ak_clock_ns() + (uint64_t)ms * 1000000;

    while (!ak_worker_process_ended(p, NULL)) {
        if (ak_clock_ns() >= end)
            return false;
        nanosleep(&pause, NULL);
    }
    return true;
}

void ak_worker_process_destroy(struct ak_worker_process *p)
{
    if (p == NULL)
        return;
    if (!ak_worker_process_ended(p, NULL)) {
        kill(-p->pid, SIGKILL);
        (void)ak_worker_process_wait(p, KILL_MS);
    }
    close_fd(&p->life);
    for (int i = 0; i < N_PIPES; i++)
        close_fd(&p->pipes[i]);
    free(p);
}
