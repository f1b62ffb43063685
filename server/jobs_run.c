/* jobs_run.c -- what a kind of job may ask of its run. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "server/jobs_internal.h"
#include "server/json_memory.h"
#include "server/log.h"

struct ak_engine *ak_run_engine(struct ak_run *run)
{
    return run->jobs->engine;
}

struct ak_collection *ak_run_collection(struct ak_run *run)
{
    return run->c;
}

uint64_t ak_run_id(const struct ak_run *run)
{
    return run->id;
}

const char *ak_run_target(const struct ak_run *run)
{
    return run->target;
}

int64_t ak_run_created_ms(const struct ak_run *run)
{
    return run->created_ms;
}

const json_t *ak_run_params(const struct ak_run *run)
{
    return json_object_get(run->root, "params");
}

const json_t *ak_run_budget(const struct ak_run *run)
{
    return json_object_get(run->root, "budget");
}

const json_t *ak_run_gate(const struct ak_run *run)
{
    return json_object_get(run->root, "gate");
}

void **ak_run_data(struct ak_run *run)
{
    return &run->data;
}

struct ak_run *ak_run_hold(struct ak_run *run)
{
    atomic_fetch_add_explicit(&run->refs, 1, memory_order_relaxed);
    return run;
}

void ak_run_drop(struct ak_run *run)
{
    if (run == NULL ||
        atomic_fetch_sub_explicit(&run->refs, 1, memory_order_acq_rel) != 1)
        return;
    ak_collection_drop(run->c);
    ak_run_free_events(run);
    for (size_t i = 0; i < run->n_lines; i++)
        free(run->lines[i].text);
    free(run->lines);
    ak_writer_clear(&run->checkpoint);
    json_decref(run->root);
    free(run->request);
    free(run->result);
    free(run->key);
    free(run);
}

void ak_run_progress(struct ak_run *run, const char *phase, uint64_t done,
                     uint64_t total)
{
    pthread_mutex_lock(&run->jobs->lock);
    if (strcmp(run->phase, phase) != 0 || run->phase_ns == 0) {
        snprintf(run->phase, sizeof(run->phase), "%s", phase);
        run->phase_ns = ak_clock_ns();
        run->phase_done = done;
    }
    run->done = done;
    run->total = total;
    run->dirty = true;
    run->told = false;
    pthread_mutex_unlock(&run->jobs->lock);
}

void ak_run_metric(struct ak_run *run, const char *name, double value)
{
    size_t i = 0;

    pthread_mutex_lock(&run->jobs->lock);
    while (i < run->n_metrics && strcmp(run->metrics[i].name, name) != 0)
        i++;
    if (i < AK_RUN_METRICS) {
        snprintf(run->metrics[i].name, sizeof(run->metrics[i].name), "%s",
                 name);
        run->metrics[i].value = value;
        if (i == run->n_metrics)
            run->n_metrics++;
    }
    run->dirty = true;
    run->told = false;
    pthread_mutex_unlock(&run->jobs->lock);
}

/* Under the lock.  What there is no room for is lost: the newest are kept. */
static void add_line(struct ak_run *run, int level, const char *text)
{
    struct ak_run_line line = {
        .n = ++run->last_line, .time_ms = ak_time_ms(), .level = level};

    if (run->n_lines == AK_RUN_LINES) {
        free(run->lines[0].text);
        memmove(&run->lines[0], &run->lines[1],
                (AK_RUN_LINES - 1) * sizeof(run->lines[0]));
        run->n_lines--;
    }
    if (run->n_lines == run->cap_lines) {
        size_t cap = run->cap_lines > 0 ? 2 * run->cap_lines : 8;
        struct ak_run_line *grown =
            realloc(run->lines, cap * sizeof(run->lines[0]));

        if (grown == NULL)
            return;
        run->lines = grown;
        run->cap_lines = cap;
    }
    line.text = strdup(text);
    if (line.text == NULL)
        return;
    run->lines[run->n_lines++] = line;
    run->dirty = true;
    ak_run_tell_line(run, &line);
}

void ak_run_log(struct ak_run *run, int level, const char *fmt, ...)
{
    char text[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    pthread_mutex_lock(&run->jobs->lock);
    add_line(run, level, text);
    pthread_mutex_unlock(&run->jobs->lock);
    ak_run_wake_watches(run);
}

void ak_run_result(struct ak_run *run, json_t *result)
{
    char *text = ak_json_text(result, JSON_COMPACT);

    json_decref(result);
    pthread_mutex_lock(&run->jobs->lock);
    free(run->result);
    run->result = text;
    pthread_mutex_unlock(&run->jobs->lock);
}

void ak_run_checkpoint(struct ak_run *run, const void *data, size_t len)
{
    pthread_mutex_lock(&run->jobs->lock);
    run->checkpoint.len = 0;
    run->checkpoint.status = AK_OK;
    ak_write_bytes(&run->checkpoint, data, len);
    run->dirty = true;
    pthread_mutex_unlock(&run->jobs->lock);
}

struct ak_bytes ak_run_last_checkpoint(const struct ak_run *run)
{
    return (struct ak_bytes){run->checkpoint.len > 0 ? run->checkpoint.data
                                                     : NULL,
                             run->checkpoint.len};
}

bool ak_run_no_return(struct ak_run *run)
{
    pthread_mutex_lock(&run->jobs->lock);
    run->bound = run->wish == AK_RUN_GO_ON;
    pthread_mutex_unlock(&run->jobs->lock);
    return run->bound;
}

void ak_run_wake(struct ak_run *run)
{
    ak_actor_wake(&run->actor);
}
