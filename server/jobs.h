/*
 * jobs.h -- what takes long: started, watched, paused and cancelled in one way.
 *
 * In the code a job is a *run*, since `struct ak_job` is what the writer does.
 * A run is of a kind (job_kind.h), has a target and parameters, and works in
 * slices on the engine's pool of low priority.  It is kept in catalog.db: its
 * state, its progress, its log and a checkpoint, so that it goes on where it
 * was when the daemon starts again.
 *
 * Any thread may call what is here.  Callbacks come from the writer's thread,
 * or before the call returns; they must not block.
 */
#ifndef AK_SERVER_JOBS_H
#define AK_SERVER_JOBS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "core/base/err.h"
#include "server/settings.h"

struct ak_engine;
struct ak_jobs;
struct ak_run;
struct ak_run_kind;

/* Stored as these numbers. */
enum ak_run_state {
    AK_RUN_QUEUED = 1,
    AK_RUN_RUNNING,
    AK_RUN_PAUSED,
    AK_RUN_SUCCEEDED,
    AK_RUN_FAILED,
    AK_RUN_CANCELED,
    AK_RUN_INTERRUPTED, /* the daemon stopped; goes on by itself */
    AK_RUN_STATES
};
const char *ak_run_state_name(enum ak_run_state state);
bool ak_run_state_parse(const char *name, enum ak_run_state *out);
static inline bool ak_run_ended(enum ak_run_state state)
{
    return state == AK_RUN_SUCCEEDED || state == AK_RUN_FAILED ||
           state == AK_RUN_CANCELED;
}

/* ------------------------------------------------------------- life */

struct ak_jobs_params {
    struct ak_engine *engine;
    const struct ak_run_kind *const *kinds; /* ends with NULL */
    unsigned max_unfinished;                /* more are AK_ELIMIT; 0: 64 */
    unsigned max_running;                   /* at the same time; 0: 2 */
    unsigned keep;                          /* ended ones; 0: 1,000 */
};

/* Reads what the catalog has; the writer is not running yet, or this is its
   thread.  Nothing runs before ak_jobs_tick() is first called. */
enum ak_status ak_jobs_open(const struct ak_jobs_params *params,
                            struct ak_jobs **out,
                            struct ak_err *err) AK_MUST_CHECK;
/* About ten times a second: starts what waits, saves, sends keep-alives. */
void ak_jobs_tick(struct ak_jobs *jobs);
/* The pool has stopped: what runs becomes interrupted and is saved by the
   writer, which must still be there. */
void ak_jobs_stop(struct ak_jobs *jobs);
void ak_jobs_destroy(struct ak_jobs *jobs); /* NULL is a no-op */

/* ------------------------------------------------------------- asking */

struct ak_run_request {
    const char *kind;
    const char *target;                   /* "" or NULL: none */
    const json_t *params, *budget, *gate; /* NULL: absent */
    const char *key;                      /* Idempotency-Key; NULL: none */
    uint8_t fingerprint[32];
};

/*
 * Start one.  `done` gets AK_OK and its id when it is in the catalog; with
 * `replayed` it is the one that the key had started before.  Of two requests at
 * one time the second hears what became of the first.
 *
 * AK_EINVAL: `fault` says what is wrong where.  AK_ELIMIT: there are too many
 * that have not ended.  AK_EBUSY: its kind lets one run a target at a time; the
 * text names the other.  AK_EEXISTS: the key was used by another request.
 */
typedef void ak_run_started_fn(void *arg, enum ak_status status, uint64_t id,
                               bool replayed, const struct ak_err *err);
enum ak_status ak_jobs_submit(struct ak_jobs *jobs,
                              const struct ak_run_request *request,
                              struct ak_fault *fault, ak_run_started_fn *done,
                              void *arg, struct ak_err *err) AK_MUST_CHECK;

/* What one that has not ended shall become; `done` is called when that it was
   asked is in the catalog.  AK_ENOTFOUND; AK_EBUSY: its state does not allow
   it.  A cancel is never refused for want of room. */
enum ak_run_wish { AK_RUN_GO_ON, AK_RUN_PAUSE, AK_RUN_CANCEL };
typedef void ak_run_asked_fn(void *arg, enum ak_status status,
                             const struct ak_err *err);
enum ak_status ak_jobs_ask(struct ak_jobs *jobs, uint64_t id,
                           enum ak_run_wish wish, ak_run_asked_fn *done,
                           void *arg, struct ak_err *err) AK_MUST_CHECK;

/* ------------------------------------------------------------ reading */

/* As the API shows it; NULL: there is none, or memory is short. */
json_t *ak_jobs_json(struct ak_jobs *jobs, uint64_t id);
/* Those that match, newest first, from below `before` (0: all); NULL when
   memory is short.  *more: there are further ones. */
struct ak_run_filter {
    const char *kind, *target; /* NULL: any */
    enum ak_run_state state;   /* 0: any */
    uint64_t before;
    size_t limit;
};
json_t *ak_jobs_list(struct ak_jobs *jobs, const struct ak_run_filter *filter,
                     bool *more);
/* {"kind","help"} of all kinds; NULL when memory is short. */
json_t *ak_jobs_kinds(const struct ak_jobs *jobs);
void ak_jobs_count(struct ak_jobs *jobs, unsigned counts[AK_RUN_STATES]);

/* Lines of a log, {"n","time","level","text"}, after line `after`; `list` is
   the callee's, NULL after a failure. */
typedef void ak_run_lines_fn(void *arg, enum ak_status status, json_t *list,
                             bool more, const struct ak_err *err);
void ak_jobs_log(struct ak_jobs *jobs, uint64_t id, uint64_t after,
                 size_t limit, ak_run_lines_fn *done, void *arg);

/* The job that an Idempotency-Key has started; 0: none that is in the catalog. */
uint64_t ak_jobs_with_key(struct ak_jobs *jobs, const char *key);

/* ------------------------------------------------------------- events */

/*
 * Events of one run as text/event-stream: `progress`, `log`, `end`, and a
 * comment every 15 s.  A watcher that falls behind by more events than are
 * kept is ended.
 */
struct ak_run_watch;
struct ak_run_watcher {
    /* There is something to read; any thread, with no lock held. */
    void (*wake)(void *arg);
    /* Around a wake, so that `arg` lives. */
    void (*hold)(void *arg);
    void (*drop)(void *arg);
    void *arg;
};
/*
 * From the event after `last` (0: from now on, beginning with the state).
 * AK_ENOTFOUND: no such run.  AK_ECANCELED: all has been seen, there will be
 * nothing more.  AK_ELIMIT: too many watch.
 */
enum ak_status ak_jobs_watch(struct ak_jobs *jobs, uint64_t id, uint64_t last,
                             const struct ak_run_watcher *watcher,
                             struct ak_run_watch **out,
                             struct ak_err *err) AK_MUST_CHECK;
#define AK_RUN_WATCH_END SIZE_MAX
/* Up to `cap` bytes; 0: none for now; AK_RUN_WATCH_END: that was all. */
size_t ak_run_watch_read(struct ak_run_watch *watch, char *out, size_t cap);
void ak_run_watch_close(struct ak_run_watch *watch);

#endif
