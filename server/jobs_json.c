/* jobs_json.c -- runs as the API shows them. */
#include <string.h>

#include "core/base/clock.h"
#include "server/jobs_internal.h"
#include "server/json_memory.h"
#include "server/log.h"

static const char *const state_names[AK_RUN_STATES] = {
    [AK_RUN_QUEUED] = "queued",           [AK_RUN_RUNNING] = "running",
    [AK_RUN_PAUSED] = "paused",           [AK_RUN_SUCCEEDED] = "succeeded",
    [AK_RUN_FAILED] = "failed",           [AK_RUN_CANCELED] = "canceled",
    [AK_RUN_INTERRUPTED] = "interrupted",
};

const char *ak_run_state_name(enum ak_run_state state)
{
    return state_names[state];
}

bool ak_run_state_parse(const char *name, enum ak_run_state *out)
{
    for (int i = 1; i < AK_RUN_STATES; i++) {
        if (strcmp(state_names[i], name) == 0) {
            *out = (enum ak_run_state)i;
            return true;
        }
    }
    return false;
}

static json_t *time_json(int64_t time_ms)
{
    char text[AK_TIME_TEXT];

    return time_ms > 0 ? json_string(ak_time_format(time_ms, text))
                       : json_null();
}

/* Seconds to the end of the phase, at the pace of it so far. */
static json_t *eta_json(const struct ak_run *run)
{
    double seconds = (double)(ak_clock_ns() - run->phase_ns) * 1e-9;
    uint64_t made = run->done - run->phase_done;

    if (run->state != AK_RUN_RUNNING || run->total <= run->done || made == 0)
        return json_null();
    return json_real(seconds / (double)made * (double)(run->total - run->done));
}

json_t *ak_run_progress_json(const struct ak_run *run)
{
    json_t *metrics = json_object();

    for (size_t i = 0; i < run->n_metrics; i++)
        json_object_set_new(metrics, run->metrics[i].name,
                            json_real(run->metrics[i].value));
    return json_pack(
        "{s:o, s:I, s:o, s:o, s:o, s:o}", "phase",
        run->phase[0] != '\0' ? json_string(run->phase) : json_null(), "done",
        (json_int_t)run->done, "total",
        run->total > 0 ? json_integer((json_int_t)run->total) : json_null(),
        "ratio",
        run->total > 0 ? json_real((double)run->done / (double)run->total)
                       : json_null(),
        "eta_seconds", eta_json(run), "metrics", metrics);
}

json_t *ak_run_line_json(uint64_t n, int64_t time_ms, int level,
                         const char *text)
{
    return json_pack("{s:I, s:o, s:s, s:s}", "n", (json_int_t)n, "time",
                     time_json(time_ms), "level",
                     level >= AK_LOG_ERROR  ? "error"
                     : level == AK_LOG_WARN ? "warn"
                                            : "info",
                     "text", text);
}

/* What the stored text of a progress says. */
void ak_run_read_progress(struct ak_run *run, const char *text)
{
    json_t *root =
        text != NULL ? ak_json_value(text, strlen(text), 0, NULL) : NULL;
    const char *phase = json_string_value(json_object_get(root, "phase"));
    const char *name;
    json_t *value;

    if (phase != NULL)
        strncpy(run->phase, phase, sizeof(run->phase) - 1);
    run->done = (uint64_t)json_integer_value(json_object_get(root, "done"));
    run->total = (uint64_t)json_integer_value(json_object_get(root, "total"));
    json_object_foreach(json_object_get(root, "metrics"), name, value)
    {
        if (run->n_metrics == AK_RUN_METRICS)
            break;
        strncpy(run->metrics[run->n_metrics].name, name, AK_RUN_PHASE - 1);
        run->metrics[run->n_metrics++].value = json_number_value(value);
    }
    json_decref(root);
}

json_t *ak_run_json(const struct ak_run *run)
{
    json_t *o = json_pack("{s:I, s:s, s:s?, s:s, s:o}", "id",
                          (json_int_t)run->id, "kind", run->kind_name, "target",
                          run->target[0] != '\0' ? run->target : NULL, "state",
                          ak_run_state_name(run->state), "progress",
                          ak_run_progress_json(run));
    json_t *request =
        ak_json_value(run->request, strlen(run->request), 0, NULL);
    json_t *result =
        run->result != NULL
            ? ak_json_value(run->result, strlen(run->result), 0, NULL)
            : NULL;

    json_object_update(o, request);
    json_decref(request);
    if (json_object_set_new(o, "wanted",
                            run->wish == AK_RUN_CANCEL ? json_string("canceled")
                            : run->wish == AK_RUN_PAUSE ? json_string("paused")
                                                        : json_null()) != 0 ||
        json_object_set_new(o, "created", time_json(run->created_ms)) != 0 ||
        json_object_set_new(o, "started", time_json(run->started_ms)) != 0 ||
        json_object_set_new(o, "ended", time_json(run->ended_ms)) != 0 ||
        json_object_set_new(o, "result", result ? result : json_null()) != 0 ||
        json_object_set_new(o, "error",
                            ak_run_ended(run->state) && run->error[0] != '\0'
                                ? json_string(run->error)
                                : json_null()) != 0) {
        json_decref(o);
        return NULL;
    }
    return o;
}

json_t *ak_jobs_json(struct ak_jobs *jobs, uint64_t id)
{
    struct ak_run *run;
    json_t *o = NULL;

    pthread_mutex_lock(&jobs->lock);
    run = ak_jobs_find(jobs, id);
    if (run != NULL)
        o = ak_run_json(run);
    pthread_mutex_unlock(&jobs->lock);
    return o;
}

static bool matches(const struct ak_run *run, const struct ak_run_filter *f)
{
    return !run->is_new && (f->before == 0 || run->id < f->before) &&
           (f->state == 0 || run->state == f->state) &&
           (f->kind == NULL || strcmp(run->kind_name, f->kind) == 0) &&
           (f->target == NULL || strcmp(run->target, f->target) == 0);
}

json_t *ak_jobs_list(struct ak_jobs *jobs, const struct ak_run_filter *filter,
                     bool *more)
{
    json_t *list = json_array();
    size_t n = 0;

    *more = false;
    pthread_mutex_lock(&jobs->lock);
    for (size_t i = jobs->n; list != NULL && i-- > 0 && !*more;) {
        if (!matches(jobs->runs[i], filter))
            continue;
        if (n == filter->limit) {
            *more = true;
        } else if (json_array_append_new(list, ak_run_json(jobs->runs[i])) !=
                   0) {
            json_decref(list);
            list = NULL;
        }
        n++;
    }
    pthread_mutex_unlock(&jobs->lock);
    return list;
}

void ak_jobs_count(struct ak_jobs *jobs, unsigned counts[AK_RUN_STATES])
{
    memset(counts, 0, AK_RUN_STATES * sizeof(counts[0]));
    pthread_mutex_lock(&jobs->lock);
    for (size_t i = 0; i < jobs->n; i++)
        if (!jobs->runs[i]->is_new)
            counts[jobs->runs[i]->state]++;
    pthread_mutex_unlock(&jobs->lock);
}

uint64_t ak_jobs_with_key(struct ak_jobs *jobs, const char *key)
{
    uint64_t id = 0;

    pthread_mutex_lock(&jobs->lock);
    for (size_t i = jobs->n; id == 0 && i-- > 0;) {
        const struct ak_run *run = jobs->runs[i];

        if (!run->is_new && run->key != NULL && strcmp(run->key, key) == 0)
            id = run->id;
    }
    pthread_mutex_unlock(&jobs->lock);
    return id;
}

json_t *ak_jobs_kinds(const struct ak_jobs *jobs)
{
    json_t *list = json_array();

    for (size_t i = 0; list != NULL && jobs->params.kinds[i] != NULL; i++) {
        const struct ak_run_kind *kind = jobs->params.kinds[i];

        if (json_array_append_new(
                list, json_pack("{s:s, s:s, s:s?}", "kind", kind->name, "help",
                                kind->help, "target",
                                kind->on_collection ? "collection" : NULL)) !=
            0) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}
