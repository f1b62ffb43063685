/*
 * jobs_save.c -- runs into the catalog, by the writer.
 *
 * What is written is a copy made under the lock, and handed over under it: saves
 * of a run are done in the order of what they say.  One that fails is told in the
 * log: the run goes on, and after a restart it is where the last good one was.
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "server/jobs_internal.h"
#include "server/json_memory.h"
#include "server/log.h"

struct store_job {
    struct ak_job job;  /* first */
    struct ak_run *run; /* held */
    struct ak_job_row row;
    char *progress, *result, error[AK_ERR_TEXT];
    struct ak_writer checkpoint;
    struct ak_run_line *lines;
    size_t n_lines;
    ak_run_asked_fn *done;
    void *arg;
};

static void free_lines(struct ak_run_line *lines, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(lines[i].text);
    free(lines);
}

static void free_store(struct store_job *j)
{
    free(j->progress);
    free(j->result);
    ak_writer_clear(&j->checkpoint);
    free_lines(j->lines, j->n_lines);
    ak_run_drop(j->run);
    free(j);
}

static enum ak_status store_apply(struct ak_job *job, struct ak_store *store,
                                  struct ak_err *err)
{
    struct store_job *j = (struct store_job *)job;
    struct ak_job_line *lines = calloc(j->n_lines + 1, sizeof(*lines));
    enum ak_status status;

    (void)store;
    if (lines == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for the log of a job");
    for (size_t i = 0; i < j->n_lines; i++)
        lines[i] = (struct ak_job_line){.n = j->lines[i].n,
                                        .time_ms = j->lines[i].time_ms,
                                        .level = (uint32_t)j->lines[i].level,
                                        .text = j->lines[i].text};
    status = ak_catalog_put_job(j->run->jobs->engine->catalog, &j->row, lines,
                                j->n_lines, err);
    free(lines);
    return status;
}

static void store_done(struct ak_job *job, enum ak_status status,
                       const struct ak_err *err)
{
    struct store_job *j = (struct store_job *)job;

    if (status != AK_OK)
        ak_log_warn("jobs", "a job was not saved", AK_NUMBER("job", j->run->id),
                    AK_TEXT("reason", err->text));
    pthread_mutex_lock(&j->run->jobs->lock);
    j->run->saves--;
    pthread_mutex_unlock(&j->run->jobs->lock);
    if (j->done != NULL)
        j->done(j->arg, status, err);
    free_store(j);
}

/* Under the lock; false when memory is short. */
static bool copy_run(struct store_job *j, struct ak_run *run)
{
    json_t *progress = ak_run_progress_json(run);

    j->progress = ak_json_text(progress, JSON_COMPACT);
    json_decref(progress);
    j->result = run->result != NULL ? strdup(run->result) : NULL;
    memcpy(j->error, run->error, sizeof(j->error));
    ak_write_bytes(&j->checkpoint, run->checkpoint.data, run->checkpoint.len);
    if (j->progress == NULL || (run->result != NULL && j->result == NULL) ||
        j->checkpoint.status != AK_OK)
        return false;
    j->row = (struct ak_job_row){
        .id = run->id,
        .state = run->end != 0 ? run->end : run->state,
        .wanted = run->end != 0 ? AK_RUN_GO_ON : run->wish,
        .kind = run->kind_name,
        .target = run->target,
        .request = run->request,
        .created_ms = run->created_ms,
        .started_ms = run->started_ms,
        .ended_ms = run->end != 0 ? run->end_ms : run->ended_ms,
        .progress = j->progress,
        .result = j->result,
        .error = j->error[0] != '\0' ? j->error : NULL,
    };
    if (j->checkpoint.len > 0)
        j->row.checkpoint =
            (struct ak_bytes){j->checkpoint.data, j->checkpoint.len};
    if (run->key != NULL)
        j->row.key = (struct ak_bytes){run->key, strlen(run->key)};
    memcpy(j->row.fingerprint, run->fingerprint, sizeof(run->fingerprint));
    j->lines = run->lines;
    j->n_lines = run->n_lines;
    run->lines = NULL;
    run->n_lines = run->cap_lines = 0;
    run->dirty = false;
    run->saves++;
    return true;
}

void ak_run_store(struct ak_run *run, ak_run_asked_fn *done, void *arg)
{
    struct ak_engine *e = run->jobs->engine;
    struct store_job *j = calloc(1, sizeof(*j));
    bool copied = false;

    if (j != NULL) {
        j->job.apply = store_apply;
        j->job.done = store_done;
        j->run = ak_run_hold(run);
        j->done = done;
        j->arg = arg;
        pthread_mutex_lock(&run->jobs->lock);
        copied = copy_run(j, run);
        if (copied) {
            j->job.bytes = j->checkpoint.len + sizeof(*j);
            /* The catalog's lane is never closed, so that nothing is called. */
            ak_writer_push(e->writer, &e->catalog_lane, &j->job);
        }
        pthread_mutex_unlock(&run->jobs->lock);
    }
    if (copied)
        return;
    if (j != NULL)
        free_store(j);
    ak_log_warn("jobs", "a job was not saved", AK_NUMBER("job", run->id),
                AK_TEXT("reason", "no memory"));
    if (done != NULL) {
        struct ak_err err = {0};

        done(arg, ak_fail(&err, AK_ENOMEM, "no memory for a job"), &err);
    }
}

/* ----------------------------------------------------------------- forgetting */

struct forget_job {
    struct ak_job job; /* first */
    struct ak_jobs *jobs;
    uint64_t id;
};

static enum ak_status forget_apply(struct ak_job *job, struct ak_store *store,
                                   struct ak_err *err)
{
    struct forget_job *j = (struct forget_job *)job;

    (void)store;
    return ak_catalog_drop_job(j->jobs->engine->catalog, j->id, err);
}

static void forget_done(struct ak_job *job, enum ak_status status,
                        const struct ak_err *err)
{
    /* It is tried again when the daemon starts, since then it is there. */
    (void)status;
    (void)err;
    free(job);
}

void ak_jobs_forget(struct ak_jobs *jobs, uint64_t id)
{
    struct forget_job *j = calloc(1, sizeof(*j));

    if (j == NULL)
        return;
    j->job.apply = forget_apply;
    j->job.done = forget_done;
    j->jobs = jobs;
    j->id = id;
    ak_writer_push(jobs->engine->writer, &jobs->engine->catalog_lane, &j->job);
}

/* -------------------------------------------------------------------- the log */

struct log_job {
    struct ak_job job; /* first */
    struct ak_jobs *jobs;
    uint64_t id, after, last; /* last: the line that was read last */
    size_t limit;
    json_t *list;
    bool more;
    bool again; /* lines were on their way between the two */
    ak_run_lines_fn *done;
    void *arg;
};

static enum ak_status add_line(struct log_job *j, uint64_t n, int64_t time_ms,
                               int level, const char *text, struct ak_err *err)
{
    if (n <= j->last)
        return AK_OK;
    if (json_array_size(j->list) == j->limit) {
        j->more = true;
        return AK_OK;
    }
    j->last = n;
    return json_array_append_new(j->list,
                                 ak_run_line_json(n, time_ms, level, text)) == 0
               ? AK_OK
               : ak_fail(err, AK_ENOMEM, "no memory for a log");
}

static enum ak_status each_line(void *arg, const struct ak_job_line *line,
                                struct ak_err *err)
{
    return add_line(arg, line->n, line->time_ms, (int)line->level, line->text,
                    err);
}

/*
 * What the catalog has, then what it has not yet.  Lines that a save has taken
 * along are in neither: then the log is read again, behind that save.
 */
static enum ak_status log_apply(struct ak_job *job, struct ak_store *store,
                                struct ak_err *err)
{
    struct log_job *j = (struct log_job *)job;
    enum ak_status status;
    struct ak_run *run;

    (void)store;
    j->list = json_array();
    j->last = j->after;
    if (j->list == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for a log");
    status = ak_catalog_job_lines(j->jobs->engine->catalog, j->id, j->after,
                                  j->limit + 1, each_line, j, err);
    pthread_mutex_lock(&j->jobs->lock);
    run = ak_jobs_find(j->jobs, j->id);
    if (status == AK_OK && run == NULL)
        status = ak_fail(err, AK_ENOTFOUND, "there is no job %llu",
                         (unsigned long long)j->id);
    for (size_t i = 0; status == AK_OK && i < run->n_lines; i++)
        status = add_line(j, run->lines[i].n, run->lines[i].time_ms,
                          run->lines[i].level, run->lines[i].text, err);
    j->again = status == AK_OK && run->saves > 0;
    pthread_mutex_unlock(&j->jobs->lock);
    return status;
}

static void log_done(struct ak_job *job, enum ak_status status,
                     const struct ak_err *err)
{
    struct log_job *j = (struct log_job *)job;
    bool again = status == AK_OK && j->again;

    if (status != AK_OK || again) {
        json_decref(j->list);
        j->list = NULL;
        j->more = false;
    }
    if (again) {
        ak_writer_push(j->jobs->engine->writer, &j->jobs->engine->catalog_lane,
                       &j->job);
        return;
    }
    j->done(j->arg, status, j->list, j->more, err);
    free(j);
}

void ak_jobs_log(struct ak_jobs *jobs, uint64_t id, uint64_t after,
                 size_t limit, ak_run_lines_fn *done, void *arg)
{
    struct log_job *j = calloc(1, sizeof(*j));

    if (j == NULL) {
        struct ak_err err = {0};

        done(arg, ak_fail(&err, AK_ENOMEM, "no memory for a log"), NULL, false,
             &err);
        return;
    }
    j->job.apply = log_apply;
    j->job.done = log_done;
    j->jobs = jobs;
    j->id = id;
    j->after = after;
    j->limit = limit;
    j->done = done;
    j->arg = arg;
    ak_writer_push(jobs->engine->writer, &jobs->engine->catalog_lane, &j->job);
}
