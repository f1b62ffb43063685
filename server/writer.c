/*
 * writer.c -- group commit.
 *
 * The lock guards the lanes and the list of those that have jobs.  It is never
 * held while a job runs.  Order: a collection's lock may be held when this one
 * is taken, never the other way round.
 */
#include "server/writer.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "server/json_memory.h"

#define GROUP_BYTES ((size_t)8 << 20)
#define GROUP_NS    UINT64_C(5000000)

struct ak_writer_thread {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct ak_lane *head, *tail; /* lanes with jobs */
    size_t bytes;
    struct ak_drain drain;
    uint64_t committing_ns; /* when what is being committed came; 0: nothing */
    bool stopping;
    struct ak_writer_hooks hooks;
};

/* Failures that the change itself is to blame for. */
static bool fails_alone(enum ak_status status)
{
    return status == AK_EINVAL || status == AK_ENOTFOUND ||
           status == AK_EEXISTS || status == AK_ELIMIT ||
           status == AK_ESEQUENCE;
}

static void queue_lane(struct ak_writer_thread *w, struct ak_lane *lane)
{
    if (lane->queued || lane->head == NULL)
        return;
    lane->queued = true;
    lane->next = NULL;
    if (w->tail != NULL)
        w->tail->next = lane;
    else
        w->head = lane;
    w->tail = lane;
    pthread_cond_signal(&w->more);
}

/* Takes jobs of one group off a lane: a list in order. */
static struct ak_job *take_group(struct ak_lane *lane)
{
    struct ak_job *first = lane->head, *last = first;
    size_t bytes = first->bytes;

    if (lane->store != NULL && !first->apart)
        while (last->next != NULL && !last->next->apart &&
               bytes + last->next->bytes <= GROUP_BYTES) {
            last = last->next;
            bytes += last->bytes;
        }
    lane->head = last->next;
    if (lane->head == NULL)
        lane->tail = NULL;
    last->next = NULL;
    return first;
}

/* Gives back what a group had no time for, in front of what came since. */
static void give_back(struct ak_writer_thread *w, struct ak_lane *lane,
                      struct ak_job *jobs)
{
    struct ak_job *last = jobs;

    if (jobs == NULL)
        return;
    while (last->next != NULL)
        last = last->next;
    pthread_mutex_lock(&w->lock);
    last->next = lane->head;
    if (lane->tail == NULL)
        lane->tail = last;
    lane->head = jobs;
    pthread_mutex_unlock(&w->lock);
}

static void finish(struct ak_writer_thread *w, struct ak_lane *lane,
                   struct ak_job *jobs)
{
    size_t n = 0, bytes = 0;
    uint64_t since = jobs != NULL ? jobs->queued_ns : 0, now = ak_clock_ns();

    for (const struct ak_job *job = jobs; job != NULL; job = job->next) {
        n++;
        bytes += job->bytes;
    }
    pthread_mutex_lock(&w->lock);
    lane->n -= n;
    lane->bytes -= bytes;
    w->bytes -= bytes;
    lane->committing_ns = w->committing_ns = 0;
    if (bytes > 0) {
        ak_drain_add(&lane->drain, bytes, since, now);
        ak_drain_add(&w->drain, bytes, since, now);
    }
    pthread_mutex_unlock(&w->lock);
    while (jobs != NULL) {
        struct ak_job *job = jobs;
        /* Copied: done() frees the job. */
        struct ak_err err = job->err;

        jobs = job->next;
        job->done(job, job->status, &err);
    }
}

/*
 * One transaction of `jobs`.  Jobs for which there was no time are put in
 * *left; of the others each has its status when this returns.
 */
static void run_group(struct ak_writer_thread *w, struct ak_lane *lane,
                      struct ak_job *jobs, struct ak_job **left)
{
    struct ak_store *store = lane->store;
    uint64_t start = ak_clock_ns();
    struct ak_err err = {0};
    enum ak_status status = ak_store_begin(store, &err);
    bool begun = status == AK_OK;

    *left = NULL;
    for (struct ak_job *job = jobs; job != NULL && status == AK_OK;
         job = job->next) {
        job->err = (struct ak_err){0};
        job->status = job->apply(job, store, &job->err);
        if (job->status != AK_OK && !job->alone && !fails_alone(job->status)) {
            status = job->status;
            err = job->err;
        }
        if (job->next != NULL && ak_clock_ns() - start > GROUP_NS) {
            *left = job->next;
            job->next = NULL;
        }
    }
    if (status == AK_OK)
        status = ak_store_commit(store, &err);
    else if (begun)
        ak_store_rollback(store);
    if (status == AK_OK) {
        w->hooks.written(w->hooks.arg, lane);
        return;
    }
    for (struct ak_job *job = jobs; job != NULL; job = job->next) {
        job->status = status;
        job->err = err;
    }
    if (status != AK_ENOMEM)
        w->hooks.failed(w->hooks.arg, &err);
}

static void *write_all(void *arg)
{
    struct ak_writer_thread *w = arg;

    pthread_setname_np(pthread_self(), "writer");
    pthread_mutex_lock(&w->lock);
    for (;;) {
        struct ak_lane *lane = w->head;
        struct ak_job *jobs, *left = NULL;

        if (lane == NULL) {
            if (w->stopping)
                break;
            pthread_cond_wait(&w->more, &w->lock);
            continue;
        }
        w->head = lane->next;
        if (w->head == NULL)
            w->tail = NULL;
        jobs = take_group(lane);
        lane->committing_ns = w->committing_ns = jobs->queued_ns;
        pthread_mutex_unlock(&w->lock);
        (void)ak_json_memory_short(); /* of the group before */
        if (lane->store != NULL && !jobs->apart) {
            run_group(w, lane, jobs, &left);
            give_back(w, lane, left);
        } else {
            jobs->err = (struct ak_err){0};
            jobs->status = jobs->apply(jobs, lane->store, &jobs->err);
        }
        /* Back in the queue before its jobs are done: the last of them may be
           what keeps the lane alive. */
        pthread_mutex_lock(&w->lock);
        lane->queued = false;
        queue_lane(w, lane);
        pthread_mutex_unlock(&w->lock);
        finish(w, lane, jobs);
        pthread_mutex_lock(&w->lock);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

enum ak_status ak_writer_start(const struct ak_writer_hooks *hooks,
                               struct ak_writer_thread **out,
                               struct ak_err *err)
{
    struct ak_writer_thread *w = calloc(1, sizeof(*w));
    int error;

    if (w == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for the writer");
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->more, NULL);
    w->hooks = *hooks;
    error = pthread_create(&w->thread, NULL, write_all, w);
    if (error) {
        free(w);
        return ak_fail(err, AK_ENOMEM, "cannot start a thread: %s",
                       strerror(error));
    }
    *out = w;
    return AK_OK;
}

void ak_writer_stop(struct ak_writer_thread *w)
{
    if (w == NULL)
        return;
    pthread_mutex_lock(&w->lock);
    w->stopping = true;
    pthread_cond_signal(&w->more);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    pthread_cond_destroy(&w->more);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

void ak_writer_push(struct ak_writer_thread *w, struct ak_lane *lane,
                    struct ak_job *job)
{
    bool closed;

    job->next = NULL;
    job->lane = lane;
    job->queued_ns = job->since_ns > 0 ? job->since_ns : ak_clock_ns();
    pthread_mutex_lock(&w->lock);
    closed = lane->closed;
    if (!closed) {
        if (lane->tail != NULL)
            lane->tail->next = job;
        else
            lane->head = job;
        lane->tail = job;
        lane->n++;
        lane->bytes += job->bytes;
        w->bytes += job->bytes;
        queue_lane(w, lane);
    }
    pthread_mutex_unlock(&w->lock);
    if (closed) {
        struct ak_err err = {0};

        ak_fail(&err, AK_ENOTFOUND, "the collection was deleted");
        job->done(job, AK_ENOTFOUND, &err);
    }
}

void ak_lane_close(struct ak_writer_thread *w, struct ak_lane *lane)
{
    struct ak_job *jobs;

    pthread_mutex_lock(&w->lock);
    lane->closed = true;
    jobs = lane->head;
    lane->head = lane->tail = NULL;
    if (lane->queued) {
        struct ak_lane **at = &w->head, *before = NULL;

        while (*at != lane) {
            before = *at;
            at = &before->next;
        }
        *at = lane->next;
        if (w->tail == lane)
            w->tail = before;
        lane->queued = false;
    }
    pthread_mutex_unlock(&w->lock);
    for (struct ak_job *job = jobs; job != NULL; job = job->next)
        job->status =
            ak_fail(&job->err, AK_ENOTFOUND, "the collection was deleted");
    finish(w, lane, jobs);
}

void ak_lane_load(struct ak_writer_thread *w, struct ak_lane *lane,
                  struct ak_lane_load *out)
{
    uint64_t now = ak_clock_ns();

    pthread_mutex_lock(&w->lock);
    out->n = lane->n;
    out->bytes = lane->bytes;
    out->oldest_ns = lane->committing_ns;
    if (lane->head != NULL &&
        (out->oldest_ns == 0 || lane->head->queued_ns < out->oldest_ns))
        out->oldest_ns = lane->head->queued_ns;
    out->rate = ak_drain_rate(&lane->drain, out->oldest_ns, now);
    out->all_bytes = w->bytes;
    out->all_rate = ak_drain_rate(&w->drain, w->committing_ns, now);
    pthread_mutex_unlock(&w->lock);
}

double ak_writer_rate(struct ak_writer_thread *w)
{
    double rate;

    pthread_mutex_lock(&w->lock);
    rate = ak_drain_rate(&w->drain, w->committing_ns, ak_clock_ns());
    pthread_mutex_unlock(&w->lock);
    return rate;
}

size_t ak_writer_bytes(struct ak_writer_thread *w)
{
    size_t bytes;

    pthread_mutex_lock(&w->lock);
    bytes = w->bytes;
    pthread_mutex_unlock(&w->lock);
    return bytes;
}
