/*
 * job_worker.h -- a run whose work akin-worker does: its folder, its process,
 * what it says, and what becomes of it when it dies.
 *
 * DIR/jobs/ID is the folder (server/worker/job.h says what is in it).  The
 * process is started by the first step, begun again from its checkpoint when it
 * dies, and given up when it dies AK_JOB_WORKER_DEATHS times with no further
 * checkpoint in between.  Its lines are bounded, and what it says wrong is
 * dropped: a mad worker fails its job and harms nothing else.
 */
#ifndef AK_SERVER_JOB_WORKER_H
#define AK_SERVER_JOB_WORKER_H

#include "server/job_kind.h"

#define AK_JOB_WORKER_DEATHS 4
#define AK_JOB_WORKER_PATH   4096

struct ak_job_worker;

/* The folder, made or found, and the checkpoint of the run.  AK_EIO. */
enum ak_status ak_job_worker_begin(struct ak_run *run,
                                   struct ak_job_worker **out,
                                   struct ak_err *err) AK_MUST_CHECK;

/* Whether a file is in the folder, and its path there. */
bool ak_job_worker_has(const struct ak_job_worker *w, const char *name);
void ak_job_worker_path(const struct ak_job_worker *w, const char *name,
                        char path[AK_JOB_WORKER_PATH]);
/* Put a file there, all or nothing.  AK_EIO, AK_EFULL. */
enum ak_status ak_job_worker_put(const struct ak_job_worker *w,
                                 const char *name, const void *data, size_t len,
                                 struct ak_err *err) AK_MUST_CHECK;

/*
 * Start the process if there is none, and take what it says.  AK_STEP_DONE: it
 * has finished, and result.json is there; AK_STEP_INTERRUPTED: it died, and shall
 * begin again; else AK_STEP_WAIT or AK_STEP_FAILED.
 */
enum ak_run_step ak_job_worker_step(struct ak_job_worker *w,
                                    struct ak_err *err);
/* Ask the process to leave with a checkpoint; true when there is none (more). */
bool ak_job_worker_rest(struct ak_job_worker *w);
/* What result.json has; NULL with a failure. */
json_t *ak_job_worker_result(const struct ak_job_worker *w, struct ak_err *err);

/* For `end` of a kind, which may come without a begin: then w is NULL.  Unless
   it was interrupted, the folder goes. */
void ak_job_worker_end(struct ak_job_worker *w, struct ak_run *run,
                       enum ak_run_state why);

#endif
