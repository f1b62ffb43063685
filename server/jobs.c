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

#include <stdarg.h>
#include <stdio.h>
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

static const struct ak_run_kind *find_kind(const struct ak_jobs *jobs,
                                           const char *name)
{
    for (size_t i = 0; jobs->params.kinds[i] != NULL; i++)
        if (strcmp(jobs->params.kinds[i]->name, name) == 0)
            return jobs->params.kinds[i];
    return NULL;
}

static bool wants_collection(const struct ak_run_kind *kind,
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

/* Takes over `request`. */
static struct ak_run *make_run(struct ak_jobs *jobs, uint64_t id,
                               const char *kind, const char *target,
                               char *request, const char *key)
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
    run->kind = find_kind(jobs, kind);
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

/* Under the lock, or before there are threads; takes over the reference. */
static bool append(struct ak_jobs *jobs, struct ak_run *run)
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

static void remove_at(struct ak_jobs *jobs, size_t i)
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

static void schedule(struct ak_jobs *jobs)
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
            remove_at(jobs, oldest);
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
    schedule(jobs);
}

static void finish(struct ak_run *run, enum ak_run_state state,
                   const struct ak_err *err)
{
    struct ak_jobs *jobs = run->jobs;

    /* One that never began here may have left something there. */
    if (run->kind != NULL && run->c == NULL &&
        wants_collection(run->kind, ak_run_params(run)) &&
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
    schedule(run->jobs);
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
    schedule(run->jobs);
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
    if (run->c == NULL && wants_collection(run->kind, ak_run_params(run)))
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
    schedule(jobs);
    list = hold_all(jobs, &n);
    for (size_t i = 0; i < n; i++) {
        tick_run(list[i], now);
        ak_run_drop(list[i]);
    }
    free(list);
}

/* ---------------------------------------------------------------- submitting */

/* The text of a request; NULL when memory is short. */
static char *request_text(const struct ak_run_check *check)
{
    json_t *root = json_pack("{s:O, s:O, s:O}", "params", check->params,
                             "budget", check->budget, "gate", check->gate);
    char *text = ak_json_text(root, JSON_COMPACT);

    json_decref(root);
    return text;
}

static enum ak_status fault_at(struct ak_settings_error *fault,
                               const char *slug, const char *pointer,
                               const char *fmt, ...) AK_PRINTF(4, 5);
static enum ak_status fault_at(struct ak_settings_error *fault,
                               const char *slug, const char *pointer,
                               const char *fmt, ...)
{
    va_list ap;

    fault->slug = slug;
    snprintf(fault->pointer, sizeof(fault->pointer), "%s", pointer);
    va_start(ap, fmt);
    vsnprintf(fault->detail, sizeof(fault->detail), fmt, ap);
    va_end(ap);
    return AK_EINVAL;
}

/* A kind without `check` takes an empty object and nothing else. */
static enum ak_status only_empty(const struct ak_run_check *check,
                                 struct ak_settings_error *fault)
{
    json_t *const objects[] = {check->params, check->budget, check->gate};
    static const char *const pointers[] = {"/params", "/budget", "/gate"};

    for (size_t i = 0; i < 3; i++) {
        const char *key = json_object_iter_key(json_object_iter(objects[i]));

        if (key != NULL) {
            char at[128];

            snprintf(at, sizeof(at), "%s/%.80s", pointers[i], key);
            return fault_at(fault, "unknown-field", at, "is not known here");
        }
    }
    return AK_OK;
}

static enum ak_status check_target(const struct ak_run_kind *kind,
                                   struct ak_run_check *check,
                                   struct ak_settings_error *fault,
                                   struct ak_err *err)
{
    enum ak_status status;

    if (!wants_collection(kind, check->params))
        return strlen(check->target) < AK_SETTINGS_NAME
                   ? AK_OK
                   : fault_at(fault, "validation-failed", "/target",
                              "must have at most %d bytes",
                              AK_SETTINGS_NAME - 1);
    if (check->target[0] == '\0')
        return fault_at(fault, "validation-failed", "/target",
                        "must be the name of a collection");
    if (strlen(check->target) >= AK_SETTINGS_NAME)
        return fault_at(fault, "validation-failed", "/target",
                        "there is no such collection");
    status = ak_engine_get(check->engine, check->target, &check->c, err);
    if (status == AK_ENOTFOUND)
        return fault_at(fault, "validation-failed", "/target",
                        "there is no such collection");
    return status;
}

static json_t *copy_or_object(const json_t *value)
{
    return value != NULL ? json_deep_copy(value) : json_object();
}

/* Fills `text` with the request as it is kept. */
static enum ak_status
check_request(struct ak_jobs *jobs, const struct ak_run_kind *kind,
              const struct ak_run_request *rq, char **text,
              struct ak_settings_error *fault, struct ak_err *err)
{
    struct ak_run_check check = {
        .engine = jobs->engine,
        .target = rq->target != NULL ? rq->target : "",
        .params = copy_or_object(rq->params),
        .budget = copy_or_object(rq->budget),
        .gate = rq->gate != NULL ? json_deep_copy(rq->gate) : json_null(),
        .gate_given = rq->gate != NULL,
    };
    enum ak_status status;

    if (check.params == NULL || check.budget == NULL || check.gate == NULL)
        status = ak_fail(err, AK_ENOMEM, "no memory for a job");
    else
        status = check_target(kind, &check, fault, err);
    if (status == AK_OK)
        status = kind->check != NULL ? kind->check(&check, fault)
                                     : only_empty(&check, fault);
    if (status == AK_EINVAL)
        ak_fail(err, status, "%s: %s", fault->pointer, fault->detail);
    if (status == AK_OK) {
        *text = request_text(&check);
        if (*text == NULL)
            status = ak_fail(err, AK_ENOMEM, "no memory for a job");
    }
    json_decref(check.params);
    json_decref(check.budget);
    json_decref(check.gate);
    ak_collection_drop(check.c);
    return status;
}

/* Whoever asked for a job that another request with its key has started. */
struct same {
    ak_run_started_fn *done;
    void *arg;
    uint64_t id;  /* of the job; 0: there is none */
    bool to_wait; /* for the catalog: `done` is called then */
};

/* Under the lock: the job that the key of the request has started, if there is
   one.  It may be lost as long as it is not in the catalog. */
static enum ak_status find_same(const struct ak_jobs *jobs,
                                const struct ak_run_request *rq,
                                struct same *same, struct ak_err *err)
{
    for (size_t i = 0; i < jobs->n && rq->key != NULL; i++) {
        struct ak_run *run = jobs->runs[i];
        struct ak_run_twin *twin;

        if (run->key == NULL || strcmp(run->key, rq->key) != 0)
            continue;
        if (memcmp(run->fingerprint, rq->fingerprint,
                   sizeof(run->fingerprint)) != 0)
            return ak_fail(err, AK_EEXISTS,
                           "the key was used by another request");
        same->id = run->id;
        same->to_wait = run->is_new;
        if (!run->is_new || same->done == NULL)
            break;
        twin = malloc(sizeof(*twin));
        if (twin == NULL)
            return ak_fail(err, AK_ENOMEM, "no memory for a job");
        *twin = (struct ak_run_twin){same->done, same->arg, run->twins};
        run->twins = twin;
        break;
    }
    return AK_OK;
}

/* Without the lock. */
static void tell_same(const struct same *same)
{
    if (!same->to_wait && same->done != NULL)
        same->done(same->arg, AK_OK, same->id, true, NULL);
}

static void tell_twins(struct ak_run_twin *twin, enum ak_status status,
                       uint64_t id, const struct ak_err *err)
{
    while (twin != NULL) {
        struct ak_run_twin *next = twin->next;

        twin->done(twin->arg, status, id, true, err);
        free(twin);
        twin = next;
    }
}

static bool exclude(const struct ak_run_kind *a, const struct ak_run_kind *b)
{
    return b != NULL && a->exclusive != NULL && b->exclusive != NULL &&
           strcmp(a->exclusive, b->exclusive) == 0;
}

/* Under the lock: whether another stands in the way, or is the same. */
static enum ak_status look_around(struct ak_jobs *jobs,
                                  const struct ak_run_kind *kind,
                                  const struct ak_run_request *rq,
                                  struct same *same, struct ak_err *err)
{
    const char *target = rq->target != NULL ? rq->target : "";
    enum ak_status status = find_same(jobs, rq, same, err);
    unsigned unfinished = 0;

    if (status != AK_OK || same->id > 0)
        return status;
    for (size_t i = 0; i < jobs->n; i++) {
        const struct ak_run *run = jobs->runs[i];

        if (ak_run_ended(run->state))
            continue;
        unfinished++;
        if (exclude(kind, run->kind) && strcmp(run->target, target) == 0)
            return ak_fail(
                err, AK_EBUSY, "job %llu is %s: one %s of \"%s\" at a time",
                (unsigned long long)run->id, ak_run_state_name(run->state),
                run->kind->name, target);
    }
    if (unfinished >= jobs->params.max_unfinished)
        return ak_fail(err, AK_ELIMIT, "%u jobs have not ended, at most %u may",
                       unfinished, jobs->params.max_unfinished);
    if (jobs->stopped)
        return ak_fail(err, AK_ECANCELED, "the daemon is stopping");
    return AK_OK;
}

struct starting {
    struct ak_run *run; /* held */
    ak_run_started_fn *done;
    void *arg;
};

static void started(void *arg, enum ak_status status, const struct ak_err *err)
{
    struct starting *s = arg;
    struct ak_run *run = s->run;
    struct ak_jobs *jobs = run->jobs;
    struct ak_run_twin *twins;

    pthread_mutex_lock(&jobs->lock);
    run->is_new = false;
    twins = run->twins;
    run->twins = NULL;
    for (size_t i = 0; i < jobs->n && status != AK_OK; i++) {
        if (jobs->runs[i] == run) {
            remove_at(jobs, i);
            ak_run_drop(run); /* the list's: not the last one */
            break;
        }
    }
    pthread_mutex_unlock(&jobs->lock);
    if (status == AK_OK) {
        ak_metric_add(AK_METRIC_JOBS_STARTED, 0, 1);
        ak_log_info("jobs", "job accepted", AK_NUMBER("job", run->id),
                    AK_TEXT("kind", run->kind_name),
                    AK_TEXT("target", run->target));
    }
    if (s->done != NULL)
        s->done(s->arg, status, run->id, false, err);
    tell_twins(twins, status, run->id, err);
    if (status == AK_OK)
        schedule(jobs);
    ak_run_drop(run);
    free(s);
}

enum ak_status ak_jobs_submit(struct ak_jobs *jobs,
                              const struct ak_run_request *rq,
                              struct ak_settings_error *fault,
                              ak_run_started_fn *done, void *arg,
                              struct ak_err *err)
{
    const struct ak_run_kind *kind = find_kind(jobs, rq->kind);
    struct starting *s = NULL;
    struct ak_run *run = NULL;
    enum ak_status status;
    char *text = NULL;
    struct same same = {.done = done, .arg = arg};

    if (kind == NULL) {
        ak_fail(err, AK_EINVAL, "/kind: there are no jobs of kind %.40s",
                rq->kind);
        return fault_at(fault, "unsupported-option", "/kind",
                        "there are no jobs of kind %.40s", rq->kind);
    }
    /* Before it is checked: what the first one has done may be what refuses the
       second, such as the name that it has given. */
    pthread_mutex_lock(&jobs->lock);
    status = find_same(jobs, rq, &same, err);
    pthread_mutex_unlock(&jobs->lock);
    if (status == AK_OK && same.id > 0)
        tell_same(&same);
    if (status != AK_OK || same.id > 0)
        return status;
    status = check_request(jobs, kind, rq, &text, fault, err);
    if (status != AK_OK)
        return status;
    s = calloc(1, sizeof(*s));
    if (s != NULL)
        run = make_run(jobs, 0, rq->kind, rq->target ? rq->target : "", text,
                       rq->key);
    else
        free(text);
    if (run == NULL) {
        free(s);
        return ak_fail(err, AK_ENOMEM, "no memory for a job");
    }
    memcpy(run->fingerprint, rq->fingerprint, sizeof(run->fingerprint));
    run->is_new = true;
    run->created_ms = ak_time_ms();
    pthread_mutex_lock(&jobs->lock);
    status = look_around(jobs, kind, rq, &same, err);
    if (status == AK_OK && same.id == 0) {
        run->id = jobs->next_id++;
        if (!append(jobs, run))
            status = ak_fail(err, AK_ENOMEM, "no memory for a job");
        else
            ak_run_hold(run); /* for `s` */
    }
    pthread_mutex_unlock(&jobs->lock);
    if (status != AK_OK || same.id > 0) {
        ak_run_drop(run);
        free(s);
        if (status == AK_OK)
            tell_same(&same);
        return status;
    }
    *s = (struct starting){run, done, arg};
    ak_run_store(run, started, s);
    return AK_OK;
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
        schedule(jobs);
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
        make_run(jobs, row->id, row->kind, row->target ? row->target : "",
                 strdup(row->request), key);

    free(key);
    jobs->next_id = row->id + 1;
    if (run == NULL) {
        ak_log_warn("jobs", "a job cannot be read and is left out",
                    AK_NUMBER("job", row->id));
        return AK_OK;
    }
    if (!append(jobs, run)) {
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
