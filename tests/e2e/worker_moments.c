/*
 * worker_moments.c -- akin-worker --job, that a test can end or hold at a place.
 *
 * The file that AKIN_TEST_MOMENT names says "NAME, COUNT ACTION": at the COUNT-th call
 * of ak_job_moment(NAME) in this process the file is removed, and then
 *
 *     kill    the process kills itself, as kill -9 would
 *     hold    it waits until it gets a signal; FILE.held is there meanwhile
 *     halt    it waits for ever
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/worker/job.h"
#include "server/worker/worker.h"

static void hold(const char *file)
{
    char held[4096];
    sigset_t term, before;
    FILE *f;

    /* One that comes as soon as the file is there ends the wait too. */
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_BLOCK, &term, &before);
    snprintf(held, sizeof(held), "%s.held", file);
    f = fopen(held, "w");
    if (f != NULL)
        fclose(f);
    sigsuspend(&before);
    sigprocmask(SIG_SETMASK, &before, NULL);
    unlink(held);
}

static void on_moment(const char *name)
{
    static char counted[64];
    static unsigned count;
    const char *file = getenv("AKIN_TEST_MOMENT");
    char wanted[64] = "", action[16] = "";
    unsigned at = 0;
    FILE *f = file != NULL ? fopen(file, "r") : NULL;
    int n;

    if (f == NULL)
        return;
    n = fscanf(f, "%63[^,], %u %15s", wanted, &at, action);
    fclose(f);
    if (n != 3 || strcmp(name, wanted) != 0)
        return;
    if (strcmp(counted, wanted) != 0) {
        snprintf(counted, sizeof(counted), "%s", wanted);
        count = 0;
    }
    if (++count < at || unlink(file) != 0)
        return;
    if (strcmp(action, "kill") == 0)
        raise(SIGKILL);
    else if (strcmp(action, "hold") == 0)
        hold(file);
    while (strcmp(action, "halt") == 0)
        hold(file);
}

int main(int argc, char **argv)
{
    ak_job_moment_hook = on_moment;
    return argc > 1 ? ak_worker_job.run(argc - 2, argv + 2) : 2;
}
