/*
 * jobs_start.c -- how a job is asked for.
 *
 * A request is checked by its kind, then by who is there already: another that
 * excludes it, or the same request sent again, which gets the same job.  It is
 * seen when the catalog has it.
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "server/jobs_internal.h"
#include "server/json_memory.h"
#include "server/log.h"
#include "server/metrics.h"

/* The text of a request; NULL when memory is short. */
static char *request_text(const struct ak_run_check *check)
{
    json_t *root = json_pack("{s:O, s:O, s:O}", "params", check->params,
                             "budget", check->budget, "gate", check->gate);
    char *text = ak_json_text(root, JSON_COMPACT);

    json_decref(root);
    return text;
}

/* A kind without `check` takes an empty object and nothing else. */
static enum ak_status only_empty(const struct ak_run_check *check,
                                 struct ak_fault *fault)
{
    json_t *const objects[] = {check->params, check->budget, check->gate};
    static const char *const pointers[] = {"/params", "/budget", "/gate"};

    for (size_t i = 0; i < 3; i++)
        if (json_object_size(objects[i]) > 0)
            return ak_fault_keys(fault, objects[i], pointers[i], NULL, 0,
                                 "is not known here");
    return AK_OK;
}

static enum ak_status check_target(const struct ak_run_kind *kind,
                                   struct ak_run_check *check,
                                   struct ak_fault *fault, struct ak_err *err)
{
    enum ak_status status;

    if (!ak_run_wants_collection(kind, check->params))
        return strlen(check->target) < AK_SETTINGS_NAME
                   ? AK_OK
                   : ak_fault_set(fault, "/target", "validation-failed",
                                  "must have at most %d bytes",
                                  AK_SETTINGS_NAME - 1);
    if (check->target[0] == '\0')
        return ak_fault_set(fault, "/target", "validation-failed",
                            "must be the name of a collection");
    if (strlen(check->target) >= AK_SETTINGS_NAME)
        return ak_fault_set(fault, "/target", "validation-failed",
                            "there is no such collection");
    status = ak_engine_get(check->engine, check->target, &check->c, err);
    if (status == AK_ENOTFOUND)
        return ak_fault_set(fault, "/target", "validation-failed",
                            "there is no such collection");
    return status;
}

static json_t *copy_or_object(const json_t *value)
{
    return value != NULL ? json_deep_copy(value) : json_object();
}

/* Fills `text` with the request as it is kept. */
static enum ak_status check_request(struct ak_jobs *jobs,
                                    const struct ak_run_kind *kind,
                                    const struct ak_run_request *rq,
                                    char **text, struct ak_fault *fault,
                                    struct ak_err *err)
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
            ak_jobs_remove(jobs, i);
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
        ak_jobs_schedule(jobs);
    ak_run_drop(run);
    free(s);
}

enum ak_status ak_jobs_submit(struct ak_jobs *jobs,
                              const struct ak_run_request *rq,
                              struct ak_fault *fault, ak_run_started_fn *done,
                              void *arg, struct ak_err *err)
{
    const struct ak_run_kind *kind = ak_jobs_kind(jobs, rq->kind);
    struct starting *s = NULL;
    struct ak_run *run = NULL;
    enum ak_status status;
    char *text = NULL;
    struct same same = {.done = done, .arg = arg};

    if (kind == NULL) {
        ak_fail(err, AK_EINVAL, "/kind: there are no jobs of kind %.40s",
                rq->kind);
        return ak_fault_set(fault, "/kind", "unsupported-option",
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
        run = ak_run_make(jobs, 0, rq->kind, rq->target ? rq->target : "", text,
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
        if (!ak_jobs_append(jobs, run))
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
