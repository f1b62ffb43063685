/* job_tell.c -- what a job says, line by line. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "server/worker/job.h"

#define TOLD_NS UINT64_C(100000000)

/* A line that cannot be written is lost: akind is gone, which ak_job_stops()
   finds out. */
static void put_line(const json_t *line)
{
    char *text = line != NULL ? json_dumps(line, JSON_COMPACT) : NULL;
    size_t len = text != NULL ? strlen(text) : 0, at = 0;

    if (text != NULL && len < AK_JOB_LINE) {
        text[len++] = '\n'; /* in place of the zero */
        while (at < len) {
            ssize_t n = write(STDOUT_FILENO, text + at, len - at);

            if (n < 0 && errno == EINTR)
                continue;
            if (n <= 0)
                break;
            at += (size_t)n;
        }
    }
    free(text);
}

void ak_job_progress(struct ak_job *job, const char *phase, uint64_t done,
                     uint64_t total)
{
    uint64_t now = ak_clock_ns();
    json_t *line;

    ak_job_moment(phase);
    if (strcmp(job->phase, phase) == 0 && done != total &&
        now - job->told_ns < TOLD_NS)
        return;
    snprintf(job->phase, sizeof(job->phase), "%s", phase);
    job->told_ns = now;
    line = json_pack("{s:s, s:I, s:I}", "phase", phase, "done",
                     (json_int_t)done, "total", (json_int_t)total);
    if (json_object_size(job->metrics) > 0)
        json_object_set(line, "metrics", job->metrics);
    put_line(line);
    json_decref(line);
    json_object_clear(job->metrics);
}

void ak_job_metric(struct ak_job *job, const char *name, double value)
{
    if (job->metrics == NULL)
        job->metrics = json_object();
    json_object_set_new(job->metrics, name, json_real(value));
}

void ak_job_log(struct ak_job *job, const char *level, const char *fmt, ...)
{
    char text[512];
    json_t *line;
    va_list ap;

    (void)job;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    line = json_pack("{s:s, s:s}", "level", level, "log", text);
    put_line(line);
    json_decref(line);
}

void ak_job_mark(struct ak_job *job, uint64_t mark)
{
    json_t *line = json_pack("{s:I}", "mark", (json_int_t)mark);

    (void)job;
    put_line(line);
    json_decref(line);
}

void ak_job_error(struct ak_job *job, const struct ak_err *err)
{
    json_t *line = json_pack("{s:s}", "error", err->text);

    (void)job;
    /* A text that is no UTF-8 does not pack. */
    if (line == NULL)
        line = json_pack("{s:s}", "error", ak_status_name(err->status));
    put_line(line);
    json_decref(line);
}

enum ak_status ak_job_finish(struct ak_job *job, json_t *result,
                             struct ak_err *err)
{
    char *text = result != NULL ? json_dumps(result, JSON_COMPACT) : NULL;
    enum ak_status status;

    (void)job;
    json_decref(result);
    if (text == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for the result");
    status = ak_job_write("result.json", text, strlen(text), err);
    free(text);
    ak_job_moment("finished");
    return status;
}
