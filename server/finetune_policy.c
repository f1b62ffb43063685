/*
 * finetune_policy.c -- the policy of fine-tuning: by the clock, what is due, what
 * is under way, and what came of it.
 *
 *     decided   what is kept says that attempt n is under way; committed
 *     job       `finetune`, under the key "finetune/FILE/n"
 *     job       `promote` of the version that came of it, "finetune/FILE/n/promote"
 *     over      what is kept says how it ended; committed
 *
 * Each step is found again after a kill by what the step before has left: a key
 * starts one job, however often it is asked for, and no request can have such a
 * key.  A job ends as jobs do; here is only looked at how it is.
 *
 * `finetune` of struct ak_collection is the ticking thread's, but that jobs report
 * to it: all of it is under the collection's lock.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/moment.h"
#include "server/engine_internal.h"
#include "server/jobs.h"
#include "server/log.h"

#define KEY_ROOM 64

/* ---------------------------------------------------------------- keeping */

struct keep_job {
    struct ak_job job; /* first */
    struct ak_collection *c;
    struct ak_writer state;
    ak_done_fn *done;
    void *arg;
};

static enum ak_status keep_apply(struct ak_job *job, struct ak_store *store,
                                 struct ak_err *err)
{
    struct keep_job *j = (struct keep_job *)job;
    enum ak_status status = ak_store_put_finetune(
        store, (struct ak_bytes){j->state.data, j->state.len}, err);

    ak_moment(AK_AT_FINETUNE);
    return status;
}

static void keep_done(struct ak_job *job, enum ak_status status,
                      const struct ak_err *err)
{
    struct keep_job *j = (struct keep_job *)job;

    ak_moment(AK_AT_FINETUNED);
    if (status != AK_OK && status != AK_ENOTFOUND && status != AK_ECANCELED)
        ak_log_warn("engine", "how far a fine-tuning is was not stored",
                    AK_TEXT("collection", j->c->settings.name),
                    AK_TEXT("reason", err->text));
    j->done(j->arg, status, err);
    ak_writer_clear(&j->state);
    ak_collection_drop(j->c);
    free(j);
}

/* What is kept goes to the file; `done` comes from the writer, or at once. */
static void keep(struct ak_collection *c, ak_done_fn *done, void *arg)
{
    struct keep_job *j = calloc(1, sizeof(*j));
    struct ak_err err = {0};

    if (j != NULL) {
        pthread_mutex_lock(&c->lock);
        ak_finetune_save(&c->finetune.state, &j->state);
        pthread_mutex_unlock(&c->lock);
    }
    if (j == NULL || j->state.status != AK_OK) {
        if (j != NULL)
            ak_writer_clear(&j->state);
        free(j);
        done(arg, ak_fail(&err, AK_ENOMEM, "no memory for a policy"), &err);
        return;
    }
    j->job.apply = keep_apply;
    j->job.done = keep_done;
    j->job.bytes = sizeof(*j) + j->state.len;
    j->c = ak_collection_ref(c);
    j->done = done;
    j->arg = arg;
    ak_writer_push(c->engine->writer, &c->lane, &j->job);
}

void ak_collection_note_finetune(struct ak_collection *c, uint64_t labelled,
                                 ak_done_fn *done, void *arg)
{
    pthread_mutex_lock(&c->lock);
    if (labelled > c->finetune.state.mark)
        c->finetune.state.mark = labelled;
    pthread_mutex_unlock(&c->lock);
    keep(c, done, arg);
}

enum ak_status ak_collection_load_finetune(struct ak_collection *c,
                                           struct ak_view *view,
                                           struct ak_err *err)
{
    struct ak_finetune_state *s = &c->finetune.state;
    struct ak_bytes bytes;
    struct ak_reader r;
    enum ak_status status = ak_view_finetune(view, &bytes, err);

    if (status == AK_ENOTFOUND)
        return AK_OK;
    if (status == AK_OK) {
        ak_reader_init(&r, bytes.data, bytes.len);
        status = ak_finetune_load(s, &r);
    }
    if (status == AK_ECORRUPT) {
        /* Nobody's images are in it: at worst one begins early. */
        ak_log_warn("engine", "how far a fine-tuning is cannot be read",
                    AK_TEXT("collection", c->settings.name));
        return AK_OK;
    }
    /* Of a file that came from elsewhere, so did its jobs. */
    if (s->file != c->file || s->running) {
        s->job = s->promotion = 0;
        s->file = c->file;
    }
    return status;
}

/* ------------------------------------------------------------------- deciding */

/* The ticking thread waits for what it has asked for. */
static void set_busy(struct ak_collection *c, bool busy)
{
    pthread_mutex_lock(&c->lock);
    c->finetune.busy = busy;
    pthread_mutex_unlock(&c->lock);
}

static void decided(void *arg, enum ak_status status, const struct ak_err *err)
{
    struct ak_collection *c = arg;
    struct ak_finetune_state s;

    (void)err;
    pthread_mutex_lock(&c->lock);
    /* What is not there is not under way; it is due again, by the same alarm. */
    if (status != AK_OK) {
        c->finetune.state.running = false;
        c->finetune.state.answered = 0;
    } else {
        c->status.finetunes_started++;
    }
    c->finetune.busy = false;
    s = c->finetune.state;
    pthread_mutex_unlock(&c->lock);
    if (status == AK_OK)
        ak_log_info("engine", "a fine-tuning begins",
                    AK_TEXT("collection", c->settings.name),
                    AK_NUMBER("attempt", s.attempts),
                    AK_TEXT("reason", ak_finetune_why_name(s.why)),
                    AK_NUMBER("new_images", s.tried - s.mark));
    ak_collection_drop(c);
}

static void decide(struct ak_collection *c, enum ak_finetune_why why,
                   const struct ak_finetune_look *look)
{
    struct ak_finetune_state *s = &c->finetune.state;

    pthread_mutex_lock(&c->lock);
    s->attempts++;
    s->running = true;
    s->why = why;
    s->tried = look->labelled;
    s->answered = look->alarm_seq;
    s->started_ms = look->now_ms;
    s->outcome = AK_FINETUNE_NONE;
    s->job = s->promotion = 0;
    s->file = c->file;
    s->version = 0;
    s->error[0] = '\0';
    c->finetune.told = false;
    c->finetune.busy = true;
    pthread_mutex_unlock(&c->lock);
    keep(c, decided, ak_collection_ref(c));
}

static void ended(void *arg, enum ak_status status, const struct ak_err *err)
{
    struct ak_collection *c = arg;

    /* If it is not in the file, the next start finds out the same again. */
    (void)status;
    (void)err;
    set_busy(c, false);
    ak_collection_drop(c);
}

/* `pinned`: not the fine-tuning's fault, so nothing is backed off. */
static void end(struct ak_collection *c, enum ak_finetune_outcome outcome,
                bool pinned, const char *error)
{
    struct ak_finetune_state *s = &c->finetune.state, now;
    uint64_t pause;

    pthread_mutex_lock(&c->lock);
    s->running = false;
    s->ended_ms = ak_time_ms();
    s->outcome = outcome;
    if (outcome == AK_FINETUNE_PROMOTED)
        s->failures = 0;
    else if (!pinned)
        s->failures++;
    snprintf(s->error, sizeof(s->error), "%s", error);
    c->status.finetunes_ended[outcome]++;
    c->finetune.busy = true;
    now = *s;
    pause = ak_finetune_pause(&c->settings.finetune, s);
    pthread_mutex_unlock(&c->lock);
    if (outcome == AK_FINETUNE_PROMOTED)
        ak_log_info("engine", "a fine-tuning was promoted",
                    AK_TEXT("collection", c->settings.name),
                    AK_NUMBER("attempt", now.attempts),
                    AK_NUMBER("version", now.version),
                    AK_NUMBER("job", now.job),
                    AK_NUMBER("promotion", now.promotion));
    else
        ak_log_warn("engine", "a fine-tuning came to nothing",
                    AK_TEXT("collection", c->settings.name),
                    AK_NUMBER("attempt", now.attempts),
                    AK_TEXT("outcome", ak_finetune_outcome_name(outcome)),
                    AK_NUMBER("job", now.job), AK_TEXT("reason", error),
                    AK_NUMBER("pause_seconds", pause));
    keep(c, ended, ak_collection_ref(c));
}

/* ------------------------------------------------------------------ its jobs */

static void write_key(const struct ak_collection *c, uint64_t attempt,
                      bool promotion, char key[KEY_ROOM])
{
    snprintf(key, KEY_ROOM, "finetune/%llu/%llu%s", (unsigned long long)c->file,
             (unsigned long long)attempt, promotion ? "/promote" : "");
}

/* Under the lock. */
static void set_job(struct ak_finetune_state *s, bool promotion, uint64_t id)
{
    *(promotion ? &s->promotion : &s->job) = id;
}

struct asking {
    struct ak_collection *c; /* held */
    bool promotion;
};

/* Why none was accepted, once an attempt: it is asked for again. */
static void tell_refusal(struct ak_collection *c, const struct ak_err *err)
{
    bool told;

    pthread_mutex_lock(&c->lock);
    told = c->finetune.told;
    c->finetune.told = true;
    pthread_mutex_unlock(&c->lock);
    if (!told)
        ak_log_info("engine", "a fine-tuning waits for its job",
                    AK_TEXT("collection", c->settings.name),
                    AK_TEXT("reason", err->text));
}

static void accepted(void *arg, enum ak_status status, uint64_t id,
                     bool replayed, const struct ak_err *err)
{
    struct asking *a = arg;
    struct ak_collection *c = a->c;

    (void)replayed;
    ak_moment(AK_AT_FINETUNE_JOB);
    if (status != AK_OK)
        tell_refusal(c, err);
    pthread_mutex_lock(&c->lock);
    if (status == AK_OK)
        set_job(&c->finetune.state, a->promotion, id);
    c->finetune.busy = false;
    pthread_mutex_unlock(&c->lock);
    ak_collection_drop(c);
    free(a);
}

/* Whether it may be accepted later on. */
static bool passes(enum ak_status status)
{
    return status == AK_EBUSY || status == AK_ELIMIT ||
           status == AK_ECANCELED || status == AK_ENOMEM || status == AK_EFULL;
}

/* Params, budget and gate are stolen. */
static void ask(struct ak_collection *c, bool promotion, json_t *params,
                json_t *budget, json_t *gate)
{
    struct ak_fault fault = {0};
    struct ak_err err = {0};
    struct asking *a = calloc(1, sizeof(*a));
    char key[KEY_ROOM];
    struct ak_run_request request = {.kind = promotion ? "promote" : "finetune",
                                     .target = c->settings.name,
                                     .params = params,
                                     .budget = budget,
                                     .gate = gate,
                                     .key = key};
    enum ak_status status = AK_ENOMEM;

    pthread_mutex_lock(&c->lock);
    write_key(c, c->finetune.state.attempts, promotion, key);
    pthread_mutex_unlock(&c->lock);
    if (a != NULL && params != NULL && gate != NULL) {
        *a = (struct asking){ak_collection_ref(c), promotion};
        set_busy(c, true);
        status = ak_jobs_submit(c->engine->jobs, &request, &fault, accepted, a,
                                &err);
        if (status != AK_OK) {
            set_busy(c, false);
            ak_collection_drop(c);
        }
    }
    if (status != AK_OK)
        free(a);
    json_decref(params);
    json_decref(budget);
    json_decref(gate);
    if (status != AK_OK && passes(status))
        tell_refusal(c, &err);
    else if (status != AK_OK)
        end(c, AK_FINETUNE_FAILED, false, err.text);
}

static void ask_training(struct ak_collection *c,
                         const struct ak_finetune_settings *settings,
                         enum ak_finetune_why why)
{
    json_t *params = ak_finetune_params_json(settings);

    if (params != NULL)
        json_object_set_new(params, "reason",
                            json_string(ak_finetune_why_name(why)));
    ask(c, false, params, ak_finetune_budget_json(settings),
        ak_finetune_gate_json(settings));
}

/* Of the version that came of a training; of nothing, when the collection has
   another network by now than the one that it began with. */
static void ask_promotion(struct ak_collection *c,
                          const struct ak_finetune_settings *settings,
                          const json_t *training)
{
    const json_t *from = json_object_get(training, "params");
    const char *name = json_string_value(json_object_get(from, "from"));
    struct ak_settings served;
    uint32_t version;

    pthread_mutex_lock(&c->lock);
    version = c->finetune.state.version;
    pthread_mutex_unlock(&c->lock);
    ak_collection_served_settings(c, &served);
    if (name == NULL || strcmp(served.extractor, name) != 0 ||
        served.extractor_version !=
            (uint32_t)json_integer_value(
                json_object_get(from, "from_version"))) {
        end(c, AK_FINETUNE_FAILED, false,
            "the collection has another network by now");
        return;
    }
    ask(c, true,
        json_pack("{s:{s:s, s:I}, s:s}", "extractor", "name", name, "version",
                  (json_int_t)version, "reason", "fine-tuning"),
        NULL,
        json_pack("{s:f}", "max_quality_loss", settings->max_quality_loss));
}

/* A job of the policy that is to be no more; it may have ended meanwhile. */
static void cancel(struct ak_collection *c, uint64_t id)
{
    if (ak_jobs_ask(c->engine->jobs, id, AK_RUN_CANCEL, NULL, NULL, NULL) ==
        AK_OK)
        ak_log_info(
            "engine", "a fine-tuning is cancelled: the policy is manual",
            AK_TEXT("collection", c->settings.name), AK_NUMBER("job", id));
}

/* Of a job: what is to come of it now. */
enum look { GOES_ON, SUCCEEDED, CAME_TO_NOTHING };

static enum look look_at(struct ak_collection *c, uint64_t id, bool automatic,
                         json_t **job)
{
    const char *state, *error;

    *job = ak_jobs_json(c->engine->jobs, id);
    state = json_string_value(json_object_get(*job, "state"));
    error = json_string_value(json_object_get(*job, "error"));
    if (state == NULL) {
        end(c, AK_FINETUNE_FAILED, false, "its job is not known any more");
        return CAME_TO_NOTHING;
    }
    if (strcmp(state, "succeeded") == 0)
        return SUCCEEDED;
    if (strcmp(state, "canceled") == 0) {
        end(c, AK_FINETUNE_CANCELED, !automatic, "its job was cancelled");
        return CAME_TO_NOTHING;
    }
    if (strcmp(state, "failed") == 0) {
        end(c, AK_FINETUNE_FAILED, false, error != NULL ? error : "");
        return CAME_TO_NOTHING;
    }
    if (!automatic && !json_is_string(json_object_get(*job, "wanted")))
        cancel(c, id);
    return GOES_ON;
}

static void follow_promotion(struct ak_collection *c, uint64_t id,
                             bool automatic)
{
    json_t *job = NULL;

    if (look_at(c, id, automatic, &job) == SUCCEEDED)
        end(c, AK_FINETUNE_PROMOTED, false, "");
    json_decref(job);
}

/* The training has succeeded: its version is promoted, or is already. */
static void go_on(struct ak_collection *c,
                  const struct ak_finetune_settings *settings,
                  const json_t *training)
{
    const json_t *result = json_object_get(training, "result");
    char key[KEY_ROOM];
    uint64_t id;

    pthread_mutex_lock(&c->lock);
    c->finetune.state.version =
        (uint32_t)json_integer_value(json_object_get(result, "version"));
    write_key(c, c->finetune.state.attempts, true, key);
    pthread_mutex_unlock(&c->lock);
    id = ak_jobs_with_key(c->engine->jobs, key);
    if (id > 0) {
        pthread_mutex_lock(&c->lock);
        c->finetune.state.promotion = id;
        pthread_mutex_unlock(&c->lock);
    } else if (!settings->automatic) {
        end(c, AK_FINETUNE_CANCELED, true,
            "the policy is manual by now: the version is not promoted");
    } else {
        ask_promotion(c, settings, training);
    }
}

static void follow(struct ak_collection *c,
                   const struct ak_finetune_settings *settings,
                   const struct ak_finetune_state *s)
{
    uint64_t id = s->job;
    char key[KEY_ROOM];
    json_t *job = NULL;

    if (id == 0) {
        write_key(c, s->attempts, false, key);
        id = ak_jobs_with_key(c->engine->jobs, key);
        pthread_mutex_lock(&c->lock);
        c->finetune.state.job = id;
        pthread_mutex_unlock(&c->lock);
    }
    if (id == 0 && settings->automatic)
        ask_training(c, settings, s->why);
    else if (id == 0)
        end(c, AK_FINETUNE_CANCELED, true, "the policy is manual by now");
    else if (s->promotion > 0)
        follow_promotion(c, s->promotion, settings->automatic);
    else if (look_at(c, id, settings->automatic, &job) == SUCCEEDED)
        go_on(c, settings, job);
    json_decref(job);
}

/* ------------------------------------------------------------------ the clock */

void ak_collection_finetune(struct ak_collection *c)
{
    struct ak_finetune_look look = {.now_ms = ak_time_ms()};
    struct ak_finetune_settings settings;
    struct ak_finetune_state s;
    enum ak_finetune_why why;
    bool busy;

    pthread_mutex_lock(&c->lock);
    busy = c->finetune.busy || c->state != AK_SERVING;
    settings = c->settings.finetune;
    s = c->finetune.state;
    look.labelled = c->status.labelled_images;
    if (c->status.drift.alarm)
        look.alarm_seq = c->status.drift.since_seq;
    pthread_mutex_unlock(&c->lock);
    if (busy || atomic_load(&c->engine->disk.low) ||
        atomic_load(&c->engine->read_only))
        return;
    if (s.running) {
        follow(c, &settings, &s);
        return;
    }
    why = ak_finetune_due(&settings, &s, &look);
    if (why != AK_FINETUNE_NOT)
        decide(c, why, &look);
}
