/*
 * job_kind.h -- what a kind of job is: one row in job_kinds.c, one file.
 *
 * The functions of a run are called by one thread at a time, on the pool.  A
 * slice takes some ten milliseconds; what takes longer is cut.  After `begin`
 * failed, or `step` said that it is over, or somebody cancelled it, `end` is
 * called once.  When the daemon stops, or starts again, it is: save, end with
 * AK_RUN_INTERRUPTED; then, in the next process, begin.
 */
#ifndef AK_SERVER_JOB_KIND_H
#define AK_SERVER_JOB_KIND_H

#include "server/engine.h"
#include "server/jobs.h"

/* What was asked, as `check` may complete it. */
struct ak_run_check {
    struct ak_engine *engine;
    const char *target;
    struct ak_collection *c; /* of the target, where the kind wants one */
    json_t *params;          /* an object; defaults are filled in */
    json_t *budget;          /* likewise */
    json_t *gate;            /* an object, or null: none */
    bool gate_given;         /* else the kind's default goes in */
};

enum ak_run_step {
    AK_STEP_MORE,        /* at once */
    AK_STEP_WAIT,        /* when it is woken, or after a tenth of a second */
    AK_STEP_INTERRUPTED, /* end with AK_RUN_INTERRUPTED, and begin again */
    AK_STEP_DONE,
    AK_STEP_FAILED
};

struct ak_run_kind {
    const char *name;
    const char *help;   /* one line */
    bool on_collection; /* the target is the name of one */
    /* Unless the parameters say so; NULL: they never do. */
    bool (*elsewhere)(const json_t *params);
    /* What one target has one run of at a time: of all kinds that say the same.
       NULL: as many as there are. */
    const char *exclusive;

    /* AK_EINVAL with a fault; NULL: it takes no parameters. */
    enum ak_status (*check)(struct ak_run_check *check, struct ak_fault *fault);
    /* From the checkpoint, if there is one. */
    enum ak_status (*begin)(struct ak_run *run, struct ak_err *err);
    enum ak_run_step (*step)(struct ak_run *run, struct ak_err *err);
    /* Put a checkpoint: every 5 s, at a pause and at the end of the daemon. */
    void (*save)(struct ak_run *run);
    /* For a pause: let go of what would go on by itself.  True when nothing
       does; else it is called again.  Then comes `end`, interrupted, and a
       begin when it is resumed.  NULL: it keeps what it holds. */
    bool (*rest)(struct ak_run *run);
    /* Free what is held.  SUCCEEDED, FAILED and CANCELED: leave no trace.
       CANCELED may come without a begin. */
    void (*end)(struct ak_run *run, enum ak_run_state why);
};

/* The table; ends with NULL (job_kinds.c). */
extern const struct ak_run_kind *const ak_run_kinds[];

/* ------------------------------------------- what a kind may ask of its run */

struct ak_engine *ak_run_engine(struct ak_run *run);
struct ak_collection *ak_run_collection(struct ak_run *run);
uint64_t ak_run_id(const struct ak_run *run);
const char *ak_run_target(const struct ak_run *run);
int64_t ak_run_created_ms(const struct ak_run *run);
/* Lent; as they are after `check`. */
const json_t *ak_run_params(const struct ak_run *run);
const json_t *ak_run_budget(const struct ak_run *run);
const json_t *ak_run_gate(const struct ak_run *run);

void **ak_run_data(struct ak_run *run); /* the kind's own, NULL at first */

/* How far it is; `phase` is a constant.  A new phase restarts the clock. */
void ak_run_progress(struct ak_run *run, const char *phase, uint64_t done,
                     uint64_t total);
/* A figure of progress.metrics; `name` is a constant. */
void ak_run_metric(struct ak_run *run, const char *name, double value);
void ak_run_log(struct ak_run *run, int level, const char *fmt, ...)
    AK_PRINTF(3, 4);
/* What came of it; `result` is stolen. */
void ak_run_result(struct ak_run *run, json_t *result);
/* What begin() gets; copied, and in the catalog soon. */
void ak_run_checkpoint(struct ak_run *run, const void *data, size_t len);
/* Lent until the next ak_run_checkpoint(); len 0: there is none. */
struct ak_bytes ak_run_last_checkpoint(const struct ak_run *run);
/* From here on it can be neither paused nor cancelled; false: it was asked to,
   and shall end its step. */
bool ak_run_no_return(struct ak_run *run);
/* Any thread: one that waits is stepped now. */
void ak_run_wake(struct ak_run *run);
struct ak_run *ak_run_hold(struct ak_run *run);
void ak_run_drop(struct ak_run *run);

#endif
