/*
 * jobs.c -- runs: how they begin, take turns, and end.
 *
 * At most `max_running` run at a time; the others wait in the order in which
 * they came, those that a stop interrupted before those that never began.  Each
 * is an actor on the engine's pool, which gives it a slice at a time among
 * learners and indexers.  A wish (pause, cancel) is looked at between slices.
 *
 *     queued, interrupted <-> running -> succeeded, failed, canceled
 *            ^                  |
 *            +---- paused <-----+
 */
#include "server/jobs.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "server/jobs_internal.h"
#include "server/json_memory.h"
#include "server/log.h"
#include "server/metrics.h"

#define MAX_UNFINISHED 64
#define MAX_RUNNING    2
#define KEEP           1000
#define SAVE_NS        UINT64_C(5000000000)

static bool slice(struct ak_actor *actor);

static void hold(struct ak_actor *actor)
{
    ak_run_hold((struct ak_run *)actor);
}

static void drop(struct ak_actor *actor)
{
    ak_run_drop((struct ak_run *)actor);
}

const struct ak_run_kind *ak_jobs_kind(const struct ak_jobs *jobs,
                                       const char *name)
{
    for (size_t i = 0; jobs->params.kinds[i] != NULL; i++)
        if (strcmp(jobs->params.kinds[i]->name, name) == 0)
            return jobs->params.kinds[i];
    return NULL;
}

bool ak_run_wants_collection(const struct ak_run_kind *kind,
                             const json_t *params)
{
    return kind->on_collection &&
           (kind->elsewhere == NULL || !kind->elsewhere(params));
}

struct ak_run *ak_jobs_find(struct ak_jobs *jobs, uint64_t id)
{
    for (size_t i = jobs->n; i-- > 0;)
        if (jobs->runs[i]->id == id)
            return jobs->runs[i]->is_new ? NULL : jobs->runs[i];
    return NULL;
}

struct ak_run *ak_run_make(struct ak_jobs *jobs, uint64_t id, const char *kind,
                           const char *target, char *request, const char *key)
{
    struct ak_run *run = calloc(1, sizeof(*run));

    if (run == NULL || request == NULL) {
        free(request);
        free(run);
        return NULL;
    }
    atomic_init(&run->refs, 1);
    run->actor = (struct ak_actor){
        .pool = jobs->engine->work, .slice = slice, .hold = hold, .drop = drop};
    run->jobs = jobs;
    run->id = id;
    run->kind = ak_jobs_kind(jobs, kind);
    strncpy(run->kind_name, kind, sizeof(run->kind_name) - 1);
    strncpy(run->target, target, sizeof(run->target) - 1);
    run->request = request;
    run->root = ak_json_value(request, strlen(request), 0, NULL);
    run->key = key != NULL ? strdup(key) : NULL;
    run->told = true;
    run->state = AK_RUN_QUEUED;
    if (run->root == NULL || (key != NULL && run->key == NULL)) {
        ak_run_drop(run);
        return NULL;
    }
    return run;
}

bool ak_jobs_append(struct ak_jobs *jobs, struct ak_run *run)
{
    if (jobs->n == jobs->cap) {
        size_t cap = jobs->cap > 0 ? 2 * jobs->cap : 16;
        struct ak_run **grown =
            realloc(jobs->runs, cap * sizeof(struct ak_run *));

        if (grown == NULL)
            return false;
        jobs->runs = grown;
        jobs->cap = cap;
    }
    jobs->runs[jobs->n++] = run;
    return true;
}

void ak_jobs_remove(struct ak_jobs *jobs, size_t i)
{
    jobs->n--;
    memmove(&jobs->runs[i], &jobs->runs[i + 1],
            (jobs->n - i) * sizeof(struct ak_run *));
}

/* ------------------------------------------------------------------- taking turns */

/* The next to run, under the lock; NULL: none, or enough run. */
static struct ak_run *next_run(struct ak_jobs *jobs)
{
    struct ak_run *queued = NULL;
    unsigned running = 0;

    for (size_t i = 0; i < jobs->n; i++)
        running += jobs->runs[i]->state == AK_RUN_RUNNING;
    if (running >= jobs->params.max_running)
        return NULL;
    for (size_t i = 0; i < jobs->n; i++) {
        struct ak_run *run = jobs->runs[i];

        if (run->is_new || run->wish != AK_RUN_GO_ON)
            continue;
        if (run->state == AK_RUN_INTERRUPTED)
            return run;
        if (run->state == AK_RUN_QUEUED && queued == NULL)
            queued = run;
    }
    return queued;
}

void ak_jobs_schedule(struct ak_jobs *jobs)
{
    struct ak_run *run;

    do {
        pthread_mutex_lock(&jobs->lock);
        run = jobs->ready && !jobs->stopped ? next_run(jobs) : NULL;
        if (run != NULL) {
            run->state = AK_RUN_RUNNING;
            if (run->started_ms == 0)
                run->started_ms = ak_time_ms();
            run->phase_ns = 0;
            run->told = false;
            ak_run_hold(run);
        }
        pthread_mutex_unlock(&jobs->lock);
        if (run == NULL)
            return;
        ak_run_store(run, NULL, NULL);
        ak_actor_wake(&run->actor);
        ak_run_drop(run);
    } while (true);
}

/* Those that ended first go, beyond what is kept. */
static void prune(struct ak_jobs *jobs)
{
    bool more = true;

    while (more) {
        struct ak_run *gone = NULL;
        size_t ended = 0, oldest = 0;

        pthread_mutex_lock(&jobs->lock);
        for (size_t i = jobs->n; i-- > 0;) {
            if (!ak_run_ended(jobs->runs[i]->state))
                continue;
            ended++;
            oldest = i;
        }
        more = ended > jobs->params.keep;
        if (more) {
            gone = jobs->runs[oldest];
            ak_jobs_remove(jobs, oldest);
        }
        pthread_mutex_unlock(&jobs->lock);
        if (gone != NULL) {
            ak_jobs_forget(jobs, gone->id);
            ak_run_drop(gone);
        }
    }
}

/* Its end is in the catalog, so that it may be seen: who knows of it may undo
   what it did, and a start must not do it again.  When it could not be saved,
   the log says so. */
static void ended(void *arg, enum ak_status status, const struct ak_err *err)
{
    static const enum ak_job_end ends[AK_RUN_STATES] = {
        [AK_RUN_SUCCEEDED] = AK_JOB_END_SUCCEEDED,
        [AK_RUN_FAILED] = AK_JOB_END_FAILED,
        [AK_RUN_CANCELED] = AK_JOB_END_CANCELED,
    };
    struct ak_run *run = arg; /* held */
    struct ak_jobs *jobs = run->jobs;
    enum ak_run_state state = run->end;
    bool stopped;

    (void)status;
    (void)err;
    ak_metric_add(AK_METRIC_JOBS_ENDED, ends[state], 1);
    if (state == AK_RUN_FAILED)
        ak_log_warn("jobs", "job failed", AK_NUMBER("job", run->id),
                    AK_TEXT("kind", run->kind_name),
                    AK_TEXT("target", run->target),
                    AK_TEXT("reason", run->error));
    else
        ak_log_info("jobs", "job ended", AK_NUMBER("job", run->id),
                    AK_TEXT("kind", run->kind_name),
                    AK_TEXT("target", run->target),
                    AK_TEXT("state", ak_run_state_name(state)));
    pthread_mutex_lock(&jobs->lock);
    run->state = state;
    run->wish = AK_RUN_GO_ON;
    ak_run_tell_end(run);
    stopped = jobs->stopped;
    pthread_mutex_unlock(&jobs->lock);
    ak_run_wake_watches(run);
    ak_run_drop(run);
    if (stopped)
        return;
    prune(jobs);
    ak_jobs_schedule(jobs);
}

static void finish(struct ak_run *run, enum ak_run_state state,
                   const struct ak_err *err)
{
    struct ak_jobs *jobs = run->jobs;

    /* One that never began here may have left something there. */
    if (run->kind != NULL && run->c == NULL &&
        ak_run_wants_collection(run->kind, ak_run_params(run)) &&
        ak_engine_get(jobs->engine, run->target, &run->c, NULL) != AK_OK)
        run->c = NULL;
    if (run->kind != NULL && run->kind->end != NULL)
        run->kind->end(run, state);
    run->begun = false;
    ak_collection_drop(run->c);
    run->c = NULL;
    if (state == AK_RUN_FAILED)
        ak_run_log(run, AK_LOG_ERROR, "%s", err->text);
    pthread_mutex_lock(&jobs->lock);
    if (state == AK_RUN_FAILED)
        memcpy(run->error, err->text, sizeof(run->error));
    ak_writer_clear(&run->checkpoint);
    ak_run_set_end(run, state);
    pthread_mutex_unlock(&jobs->lock);
    ak_run_store(run, ended, ak_run_hold(run));
}

/* True when it was meant otherwise meanwhile, and must be looked at again. */
static bool pause_run(struct ak_run *run)
{
    bool paused;

    if (run->begun && run->kind->rest != NULL && !run->kind->rest(run)) {
        pthread_mutex_lock(&run->jobs->lock);
        run->waiting = true;
        pthread_mutex_unlock(&run->jobs->lock);
        return false;
    }
    if (run->begun && run->kind->save != NULL)
        run->kind->save(run);
    if (run->begun && run->kind->rest != NULL) {
        run->kind->end(run, AK_RUN_INTERRUPTED);
        run->begun = false;
    }
    pthread_mutex_lock(&run->jobs->lock);
    paused = run->wish == AK_RUN_PAUSE;
    if (paused) {
        run->state = AK_RUN_PAUSED;
        run->wish = AK_RUN_GO_ON;
        run->told = false;
    }
    pthread_mutex_unlock(&run->jobs->lock);
    if (!paused)
        return true;
    ak_run_store(run, NULL, NULL);
    ak_jobs_schedule(run->jobs);
    return false;
}

/* It stopped by itself and shall begin again, in its turn. */
static void interrupt(struct ak_run *run)
{
    run->kind->end(run, AK_RUN_INTERRUPTED);
    run->begun = false;
    pthread_mutex_lock(&run->jobs->lock);
    run->state = AK_RUN_INTERRUPTED;
    if (run->wish == AK_RUN_PAUSE) {
        run->state = AK_RUN_PAUSED;
        run->wish = AK_RUN_GO_ON;
    }
    run->told = false;
    pthread_mutex_unlock(&run->jobs->lock);
    ak_run_store(run, NULL, NULL);
    ak_jobs_schedule(run->jobs);
}

/* True when it may be stepped; else *step says what comes of it. */
static bool begin(struct ak_run *run, enum ak_run_step *step,
                  struct ak_err *err)
{
    enum ak_status status = AK_OK;

    if (run->begun)
        return true;
    *step = AK_STEP_FAILED;
    if (run->kind == NULL) {
        ak_fail(err, AK_EUNSUPPORTED, "this build has no jobs of kind %s",
                run->kind_name);
        return false;
    }
    if (run->c == NULL &&
        ak_run_wants_collection(run->kind, ak_run_params(run)))
        status = ak_engine_get(run->jobs->engine, run->target, &run->c, err);
    if (status == AK_EBUSY) {
        *step = AK_STEP_WAIT;
        return false;
    }
    if (status == AK_OK && run->kind->begin != NULL)
        status = run->kind->begin(run, err);
    run->begun = status == AK_OK;
    run->saved_ns = ak_clock_ns();
    return run->begun;
}

static bool slice(struct ak_actor *actor)
{
    struct ak_run *run = (struct ak_run *)actor;
    struct ak_jobs *jobs = run->jobs;
    struct ak_err err = {0};
    enum ak_run_step step;
    enum ak_run_wish wish;
    bool running;

    pthread_mutex_lock(&jobs->lock);
    running = run->state == AK_RUN_RUNNING && run->end == 0;
    wish = ak_run_ended(run->state) || run->end != 0 ? AK_RUN_GO_ON : run->wish;
    run->waiting = false;
    pthread_mutex_unlock(&jobs->lock);
    if (atomic_load(&jobs->engine->stopping))
        return false;
    if (wish == AK_RUN_CANCEL) {
        finish(run, AK_RUN_CANCELED, &err);
        return false;
    }
    if (!running)
        return false;
    if (wish == AK_RUN_PAUSE)
        return pause_run(run);
    if (begin(run, &step, &err))
        step = run->kind->step(run, &err);
    switch (step) {
    case AK_STEP_DONE:
        finish(run, AK_RUN_SUCCEEDED, &err);
        return false;
    case AK_STEP_FAILED:
        /* Perhaps for no other reason than that all stops: the next daemon
           does it again. */
        if (!atomic_load(&jobs->engine->stopping))
            finish(run, AK_RUN_FAILED, &err);
        return false;
    case AK_STEP_INTERRUPTED:
        interrupt(run);
        return false;
    case AK_STEP_MORE:
    case AK_STEP_WAIT:
        break;
    }
    if (run->begun && run->kind->save != NULL &&
        ak_clock_ns() - run->saved_ns >= SAVE_NS) {
        run->saved_ns = ak_clock_ns();
        run->kind->save(run);
    }
    if (step == AK_STEP_MORE)
        return true;
    pthread_mutex_lock(&jobs->lock);
    run->waiting = true;
    pthread_mutex_unlock(&jobs->lock);
    return false;
}

/* References to all of them; *n. */
static struct ak_run **hold_all(struct ak_jobs *jobs, size_t *n)
{
    struct ak_run **list;

    pthread_mutex_lock(&jobs->lock);
    list = calloc(jobs->n + 1, sizeof(struct ak_run *));
    *n = list != NULL ? jobs->n : 0;
    for (size_t i = 0; i < *n; i++)
        list[i] = ak_run_hold(jobs->runs[i]);
    pthread_mutex_unlock(&jobs->lock);
    return list;
}

static void tick_run(struct ak_run *run, uint64_t now)
{
    bool wake, save;

    pthread_mutex_lock(&run->jobs->lock);
    wake = (run->waiting && run->state == AK_RUN_RUNNING) ||
           (run->wish == AK_RUN_CANCEL && !ak_run_ended(run->state) &&
            !run->is_new);
    save = run->dirty && run->saves == 0 && now - run->saved_ns >= SAVE_NS &&
           !run->is_new;
    pthread_mutex_unlock(&run->jobs->lock);
    if (wake)
        ak_actor_wake(&run->actor);
    if (save)
        ak_run_store(run, NULL, NULL);
    ak_run_tick_events(run, now);
}

void ak_jobs_tick(struct ak_jobs *jobs)
{
    struct ak_engine_progress progress;
    uint64_t now = ak_clock_ns();
    struct ak_run **list;
    bool first;
    size_t n;

    ak_engine_progress(jobs->engine, &progress);
    if (!progress.ready)
        return;
    pthread_mutex_lock(&jobs->lock);
    first = !jobs->ready;
    jobs->ready = true;
    pthread_mutex_unlock(&jobs->lock);
    if (first)
        prune(jobs);
    ak_jobs_schedule(jobs);
    list = hold_all(jobs, &n);
    for (size_t i = 0; i < n; i++) {
        tick_run(list[i], now);
        ak_run_drop(list[i]);
    }
    free(list);
}

/* -------------------------------------------------------------------- asking */

/* Under the lock: what the wish makes of the state now. */
static enum ak_status take_wish(struct ak_run *run, enum ak_run_wish wish,
                                struct ak_err *err)
{
    enum ak_run_state state = run->state;
    bool waits = state == AK_RUN_QUEUED || state == AK_RUN_INTERRUPTED;

    if (ak_run_ended(state))
        return ak_fail(err, AK_EBUSY, "job %llu is %s",
                       (unsigned long long)run->id, ak_run_state_name(state));
    if (run->wish == AK_RUN_CANCEL && wish != AK_RUN_CANCEL)
        return ak_fail(err, AK_EBUSY, "job %llu is being cancelled",
                       (unsigned long long)run->id);
    if ((run->bound && wish != AK_RUN_GO_ON) || run->end != 0)
        return ak_fail(err, AK_EBUSY,
                       "job %llu has done what it was to do and "
                       "ends soon",
                       (unsigned long long)run->id);
    switch (wish) {
    case AK_RUN_CANCEL:
        run->wish = AK_RUN_CANCEL;
        break;
    case AK_RUN_PAUSE:
        if (waits)
            run->state = AK_RUN_PAUSED;
        else if (state == AK_RUN_RUNNING)
            run->wish = AK_RUN_PAUSE;
        break;
    case AK_RUN_GO_ON:
        if (state == AK_RUN_PAUSED)
            run->state = AK_RUN_QUEUED;
        run->wish = AK_RUN_GO_ON;
        break;
    }
    run->told = false;
    return AK_OK;
}

enum ak_status ak_jobs_ask(struct ak_jobs *jobs, uint64_t id,
                           enum ak_run_wish wish, ak_run_asked_fn *done,
                           void *arg, struct ak_err *err)
{
    enum ak_status status = AK_OK;
    struct ak_run *run;
    bool ready;

    pthread_mutex_lock(&jobs->lock);
    run = ak_jobs_find(jobs, id);
    if (run == NULL)
        status = ak_fail(err, AK_ENOTFOUND, "there is no job %llu",
                         (unsigned long long)id);
    else
        status = take_wish(run, wish, err);
    if (status == AK_OK)
        ak_run_hold(run);
    ready = jobs->ready;
    pthread_mutex_unlock(&jobs->lock);
    if (status != AK_OK)
        return status;
    ak_run_store(run, done, arg);
    if (wish == AK_RUN_GO_ON)
        ak_jobs_schedule(jobs);
    else if (ready) /* else when the collections are there */
        ak_actor_wake(&run->actor);
    ak_run_drop(run);
    return AK_OK;
}

/* ---------------------------------------------------------------------- life */

static enum ak_status load_run(void *arg, const struct ak_job_row *row,
                               struct ak_err *err)
{
    struct ak_jobs *jobs = arg;
    char *key =
        row->key.data != NULL ? strndup(row->key.data, row->key.len) : NULL;
    struct ak_run *run =
        ak_run_make(jobs, row->id, row->kind, row->target ? row->target : "",
                    strdup(row->request), key);

    free(key);
    jobs->next_id = row->id + 1;
    if (run == NULL) {
        ak_log_warn("jobs", "a job cannot be read and is left out",
                    AK_NUMBER("job", row->id));
        return AK_OK;
    }
    if (!ak_jobs_append(jobs, run)) {
        ak_run_drop(run);
        return ak_fail(err, AK_ENOMEM, "no memory for jobs");
    }
    if (row->state >= 1 && row->state < AK_RUN_STATES)
        run->state = (enum ak_run_state)row->state;
    else
        run->state = AK_RUN_FAILED;
    if (run->state == AK_RUN_RUNNING)
        run->state = AK_RUN_INTERRUPTED;
    if (row->wanted <= AK_RUN_CANCEL && !ak_run_ended(run->state))
        run->wish = (enum ak_run_wish)row->wanted;
    if (run->wish == AK_RUN_PAUSE) {
        run->state = AK_RUN_PAUSED;
        run->wish = AK_RUN_GO_ON;
    }
    run->created_ms = row->created_ms;
    run->started_ms = row->started_ms;
    run->ended_ms = row->ended_ms;
    memcpy(run->fingerprint, row->fingerprint, sizeof(run->fingerprint));
    ak_run_read_progress(run, row->progress);
    if (row->result != NULL)
        run->result = strdup(row->result);
    if (row->error != NULL)
        strncpy(run->error, row->error, sizeof(run->error) - 1);
    if (!ak_run_ended(run->state) && row->checkpoint.data != NULL)
        ak_write_bytes(&run->checkpoint, row->checkpoint.data,
                       row->checkpoint.len);
    return AK_OK;
}

enum ak_status ak_jobs_open(const struct ak_jobs_params *params,
                            struct ak_jobs **out, struct ak_err *err)
{
    struct ak_jobs *jobs = calloc(1, sizeof(*jobs));
    struct ak_catalog *catalog = params->engine->catalog;
    enum ak_status status;

    if (jobs == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for jobs");
    pthread_mutex_init(&jobs->lock, NULL);
    jobs->params = *params;
    jobs->engine = params->engine;
    jobs->next_id = 1;
    if (jobs->params.max_unfinished == 0)
        jobs->params.max_unfinished = MAX_UNFINISHED;
    if (jobs->params.max_running == 0)
        jobs->params.max_running = MAX_RUNNING;
    if (jobs->params.keep == 0)
        jobs->params.keep = KEEP;
    status = ak_catalog_jobs(catalog, load_run, jobs, err);
    for (size_t i = 0; i < jobs->n && status == AK_OK; i++)
        if (!ak_run_ended(jobs->runs[i]->state))
            status = ak_catalog_job_last_line(catalog, jobs->runs[i]->id,
                                              &jobs->runs[i]->last_line, err);
    if (status != AK_OK) {
        ak_jobs_destroy(jobs);
        return status;
    }
    *out = jobs;
    return AK_OK;
}

void ak_jobs_stop(struct ak_jobs *jobs)
{
    struct ak_run **list;
    size_t n;

    if (jobs == NULL)
        return;
    pthread_mutex_lock(&jobs->lock);
    jobs->stopped = true;
    pthread_mutex_unlock(&jobs->lock);
    list = hold_all(jobs, &n);
    for (size_t i = 0; i < n; i++) {
        struct ak_run *run = list[i];
        bool running;

        if (run->begun) {
            if (run->kind->save != NULL)
                run->kind->save(run);
            if (run->kind->end != NULL)
                run->kind->end(run, AK_RUN_INTERRUPTED);
            run->begun = false;
        }
        ak_collection_drop(run->c);
        run->c = NULL;
        pthread_mutex_lock(&jobs->lock);
        running = run->state == AK_RUN_RUNNING && run->end == 0;
        if (running)
            run->state = AK_RUN_INTERRUPTED;
        running = running || (run->dirty && !run->is_new);
        pthread_mutex_unlock(&jobs->lock);
        if (running)
            ak_run_store(run, NULL, NULL);
        ak_run_drop(run);
    }
    free(list);
}

void ak_jobs_destroy(struct ak_jobs *jobs)
{
    if (jobs == NULL)
        return;
    for (size_t i = 0; i < jobs->n; i++)
        ak_run_drop(jobs->runs[i]);
    free(jobs->runs);
    pthread_mutex_destroy(&jobs->lock);
    free(jobs);
}
