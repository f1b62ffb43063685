/*
 * job.h -- akin-worker --job FOLDER: one job a process.
 *
 * akind has put FOLDER/job.json there:
 *
 *     {"program":"train","niceness":19,"data":{...},"params":{...},
 *      "budget":{...},"gate":{...}}
 *
 * and reads lines of JSON, at most AK_JOB_LINE bytes each, from descriptor 1:
 *
 *     {"phase":"train","done":12,"total":390,"metrics":{"loss":2.1}}
 *     {"level":"info","log":"..."}
 *     {"mark":12}           a checkpoint: what is before it is not done again
 *     {"error":"..."}       it cannot be done
 *
 * What came of it is in FOLDER/result.json, the last file that is written; then
 * the program ends with EX_OK, and with EX_DATAERR after an error.
 *
 * Descriptor 0 is the other end of akind's life: at its end of file, as at TERM,
 * the program writes a checkpoint and leaves with EX_TEMPFAIL.  Whoever is
 * started in the folder again goes on from there, to the same bytes.  One process
 * a folder: the second one waits for the first.
 */
#ifndef AK_SERVER_WORKER_JOB_H
#define AK_SERVER_WORKER_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "core/base/err.h"

#define AK_JOB_LINE 4096

struct ak_job {
    json_t *root;      /* job.json */
    uint64_t start_ns; /* of this process */
    double before;     /* seconds that earlier ones had until the checkpoint */
    uint64_t told_ns;
    char phase[32];  /* as last told */
    json_t *metrics; /* since then */
};

/* What a process can be started for: one row of a table each (job.c). */
struct ak_job_program {
    const char *name;
    /* AK_OK: a result was given; AK_ECANCELED: stopped, with a checkpoint. */
    enum ak_status (*run)(struct ak_job *job, struct ak_err *err);
};
extern const struct ak_job_program
    *const ak_job_programs[];                    /* ends with NULL */
extern const struct ak_job_program ak_job_train; /* job_train.c */

/* Called, if it is set, with the name of each phase as it goes on, and where files
   are written: where a test may end the process. */
extern void (*ak_job_moment_hook)(const char *name);
static inline void ak_job_moment(const char *name)
{
    if (ak_job_moment_hook != NULL)
        ak_job_moment_hook(name);
}

/* ------------------------------------------------------------- being asked */

/* Members of job.json; NULL when they are not there. */
const json_t *ak_job_get(const struct ak_job *job, const char *object,
                         const char *name);
const char *ak_job_text(const struct ak_job *job, const char *object,
                        const char *name);
double ak_job_number(const struct ak_job *job, const char *object,
                     const char *name, double otherwise);

/* Whether to write a checkpoint and leave. */
bool ak_job_stops(const struct ak_job *job);
/* Seconds that the job has run, those of earlier processes included. */
double ak_job_seconds(const struct ak_job *job);
uint64_t ak_job_peak_bytes(void); /* of memory, in this process */

/* ------------------------------------------------------------------ telling */

/* At most ten times a second, but for a new phase and the end of one. */
void ak_job_progress(struct ak_job *job, const char *phase, uint64_t done,
                     uint64_t total);
/* Goes with the next progress. */
void ak_job_metric(struct ak_job *job, const char *name, double value);
void ak_job_log(struct ak_job *job, const char *level, const char *fmt, ...)
    AK_PRINTF(3, 4);
/* A checkpoint was written; `mark` grows with what is done. */
void ak_job_mark(struct ak_job *job, uint64_t mark);
void ak_job_error(struct ak_job *job, const struct ak_err *err);

/* -------------------------------------------------------------------- files */

/* All or nothing, and on the disk when it returns.  AK_EIO, AK_EFULL. */
enum ak_status ak_job_write(const char *name, const void *data, size_t len,
                            struct ak_err *err) AK_MUST_CHECK;
/* *data is to be freed.  AK_ENOTFOUND: there is none. */
enum ak_status ak_job_read(const char *name, uint8_t **data, size_t *len,
                           struct ak_err *err) AK_MUST_CHECK;

/* Writes result.json; `result` is stolen. */
enum ak_status ak_job_finish(struct ak_job *job, json_t *result,
                             struct ak_err *err) AK_MUST_CHECK;

#endif
