/* job.c -- the life of a job's process: what it may take, and how it ends. */
#include "server/worker/job.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "server/worker/worker.h"

#define LOCK_SECONDS 60
/* linux/ioprio.h is not everywhere. */
#define IOPRIO_PROCESS 1
#define IOPRIO_IDLE    (3 << 13)
#define OOM_SCORE      "500" /* the kernel's choice before akind */

void (*ak_job_moment_hook)(const char *name);

const struct ak_job_program *const ak_job_programs[] = {
    &ak_job_train,
    NULL,
};

static volatile sig_atomic_t told_to_stop;

static void on_stop(int number)
{
    (void)number;
    told_to_stop = 1;
}

const json_t *ak_job_get(const struct ak_job *job, const char *object,
                         const char *name)
{
    return json_object_get(json_object_get(job->root, object), name);
}

const char *ak_job_text(const struct ak_job *job, const char *object,
                        const char *name)
{
    return json_string_value(ak_job_get(job, object, name));
}

double ak_job_number(const struct ak_job *job, const char *object,
                     const char *name, double otherwise)
{
    const json_t *value = ak_job_get(job, object, name);

    return json_is_number(value) ? json_number_value(value) : otherwise;
}

bool ak_job_stops(const struct ak_job *job)
{
    struct pollfd life = {.fd = STDIN_FILENO, .events = POLLIN};

    (void)job;
    /* Nothing is ever written to it: that it can be read is its end. */
    if (!told_to_stop && poll(&life, 1, 0) > 0)
        told_to_stop = 1;
    return told_to_stop;
}

double ak_job_seconds(const struct ak_job *job)
{
    return job->before + (double)(ak_clock_ns() - job->start_ns) / 1e9;
}

uint64_t ak_job_peak_bytes(void)
{
    struct rusage usage;

    return getrusage(RUSAGE_SELF, &usage) == 0
               ? (uint64_t)usage.ru_maxrss * 1024
               : 0;
}

/* One process a folder; the lock ends with its process, however that ends. */
static enum ak_status lock_folder(struct ak_err *err)
{
    int fd = open("lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    const struct timespec tenth = {.tv_nsec = 100000000};

    if (fd < 0)
        return ak_fail(err, AK_EIO, "lock: %s", strerror(errno));
    for (int i = 0; i < 10 * LOCK_SECONDS; i++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            return AK_OK;
        nanosleep(&tenth, NULL);
    }
    return ak_fail(err, AK_EBUSY, "another process works in the folder");
}

static enum ak_status read_job(struct ak_job *job, struct ak_err *err)
{
    uint8_t *text = NULL;
    size_t len = 0;
    enum ak_status status = ak_job_read("job.json", &text, &len, err);

    if (status != AK_OK)
        return status;
    job->root = json_loadb((const char *)text, len, 0, NULL);
    free(text);
    return json_is_object(job->root)
               ? AK_OK
               : ak_fail(err, AK_EINVAL, "job.json is no object");
}

/*
 * RLIMIT_DATA counts what was really asked for, writable and private; what is
 * only reserved, as arenas and stacks of threads are, would count against
 * RLIMIT_AS.
 */
static enum ak_status set_limits(const struct ak_job *job, struct ak_err *err)
{
    double memory = ak_job_number(job, "budget", "memory_bytes", 0);
    struct rlimit none = {0, 0};
    struct rlimit data = {(rlim_t)memory, (rlim_t)memory};
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

    (void)setpriority(
        PRIO_PROCESS, 0,
        (int)json_integer_value(json_object_get(job->root, "niceness")));
    (void)syscall(SYS_ioprio_set, IOPRIO_PROCESS, 0, IOPRIO_IDLE);
    (void)setrlimit(RLIMIT_CORE, &none);
    if (fd >= 0) {
        if (write(fd, OOM_SCORE, strlen(OOM_SCORE)) < 0)
            errno = 0; /* a wish, no more */
        close(fd);
    }
    if (memory > 0 && setrlimit(RLIMIT_DATA, &data) != 0)
        return ak_fail(err, AK_EUNSUPPORTED,
                       "the budget of memory cannot be set: %s",
                       strerror(errno));
    return AK_OK;
}

static enum ak_status run_program(struct ak_job *job, struct ak_err *err)
{
    const char *name = json_string_value(json_object_get(job->root, "program"));

    for (size_t i = 0; name != NULL && ak_job_programs[i] != NULL; i++)
        if (strcmp(ak_job_programs[i]->name, name) == 0)
            return ak_job_programs[i]->run(job, err);
    return ak_fail(err, AK_EUNSUPPORTED, "no program %.40s in this build",
                   name != NULL ? name : "");
}

static int run_job(int argc, char **argv)
{
    const struct sigaction stop = {.sa_handler = on_stop};
    struct ak_job job = {.start_ns = ak_clock_ns()};
    struct ak_err err = {0};
    enum ak_status status;

    if (argc != 1) {
        fputs("usage: akin-worker --job FOLDER\n", stderr);
        return EX_USAGE;
    }
    sigaction(SIGTERM, &stop, NULL);
    signal(SIGPIPE, SIG_IGN);
    if (chdir(argv[0]) != 0)
        status = ak_fail(&err, AK_EIO, "%s: %s", argv[0], strerror(errno));
    else
        status = lock_folder(&err);
    if (status == AK_OK)
        status = read_job(&job, &err);
    if (status == AK_OK)
        status = set_limits(&job, &err);
    /* An earlier process may have finished and not lived to say so. */
    if (status == AK_OK && access("result.json", F_OK) != 0)
        status = run_program(&job, &err);
    if (status != AK_OK && status != AK_ECANCELED)
        ak_job_error(&job, &err);
    json_decref(job.metrics);
    json_decref(job.root);
    if (status == AK_ECANCELED)
        return EX_TEMPFAIL;
    return status == AK_OK ? EX_OK : EX_DATAERR;
}

const struct ak_worker_mode ak_worker_job = {
    .option = "--job",
    .help = "do the job whose folder is the argument",
    .run = run_job,
};
