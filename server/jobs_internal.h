/*
 * jobs_internal.h -- runs from the inside: jobs.c (life, turns), jobs_start.c (how
 * one is asked for), jobs_run.c (what a kind asks of its run), jobs_save.c (what
 * the catalog gets), jobs_events.c (who watches), jobs_json.c (as the API shows
 * it).
 *
 * `lock` of struct ak_jobs guards the list and all that is said to be under it.
 * Nothing but the writer's is locked while it is held, and no callback is called.
 */
#ifndef AK_SERVER_JOBS_INTERNAL_H
#define AK_SERVER_JOBS_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "core/base/blob.h"
#include "server/engine_internal.h"
#include "server/job_kind.h"
#include "storage/catalog.h"

#define AK_RUN_KIND    24 /* characters of a kind's name, with its zero */
#define AK_RUN_PHASE   32
#define AK_RUN_METRICS 24
#define AK_RUN_EVENTS  128  /* kept for those who watch */
#define AK_RUN_LINES   1000 /* not saved yet; beyond it they are lost */
#define AK_RUN_WATCHES 64   /* of all runs together */

struct ak_run_line {
    uint64_t n;
    int64_t time_ms;
    int level;
    char *text;
};

struct ak_run_event {
    uint64_t id;
    char *text;
    size_t len;
};

struct ak_run_watch {
    struct ak_run *run; /* held */
    struct ak_run_watcher watcher;
    struct ak_run_watch *next; /* of the run */
    /* Under the lock. */
    uint64_t at; /* number of the next event */
    char *text;  /* of one that is being read */
    size_t len, read;
    bool comment; /* a keep-alive is due */
    bool last;    /* `text` is the last one */
    bool over;
    uint64_t sent_ns;
};

/* Another request with the key of a run that is not in the catalog yet. */
struct ak_run_twin {
    ak_run_started_fn *done;
    void *arg;
    struct ak_run_twin *next;
};

struct ak_run {
    struct ak_actor actor; /* first */
    atomic_uint refs;
    struct ak_jobs *jobs;
    uint64_t id;
    const struct ak_run_kind *kind; /* NULL: this build has no such kind */
    char kind_name[AK_RUN_KIND];
    char target[AK_SETTINGS_NAME];
    char *request; /* text of `root` */
    json_t *root;  /* {"params","budget","gate"}; the actor's */
    char *key;     /* NULL: none */
    uint8_t fingerprint[32];
    int64_t created_ms;

    /* The actor's; after the pool stopped, of who stops. */
    struct ak_collection *c; /* held */
    void *data;
    bool begun;
    _Atomic uint64_t saved_ns; /* the clock looks at it, too */

    /* Under the lock. */
    bool is_new;               /* not in the catalog yet, and not to be seen */
    struct ak_run_twin *twins; /* to be told when it is */
    bool waiting;              /* step() said so */
    bool bound;                /* to its end: no wish is taken */
    enum ak_run_state state;
    enum ak_run_wish wish;
    enum ak_run_state end; /* saved, or on its way; 0: none yet */
    int64_t started_ms, ended_ms, end_ms;
    char phase[AK_RUN_PHASE];
    uint64_t done, total;
    uint64_t phase_ns, phase_done; /* when this phase began, and with what */
    struct {
        char name[AK_RUN_PHASE];
        double value;
    } metrics[AK_RUN_METRICS];
    size_t n_metrics;
    char error[AK_ERR_TEXT];
    char *result; /* JSON */
    struct ak_writer checkpoint;
    bool dirty;                /* something since the last save */
    bool told;                 /* the progress of now is among the events */
    unsigned saves;            /* on their way */
    struct ak_run_line *lines; /* not saved yet */
    size_t n_lines, cap_lines;
    uint64_t last_line;
    struct ak_run_event *events; /* a ring of AK_RUN_EVENTS, or NULL */
    uint64_t n_events;           /* ever */
    uint64_t last_event;         /* its id */
    uint64_t event_ns;           /* when progress was last told */
    struct ak_run_watch *watches;
};

struct ak_jobs {
    struct ak_jobs_params params;
    struct ak_engine *engine;
    pthread_mutex_t lock;
    bool ready; /* the collections are loaded */
    bool stopped;
    struct ak_run **runs; /* by id, held */
    size_t n, cap;
    uint64_t next_id;
    unsigned n_watches;
};

/* NULL: this build has no such kind. */
const struct ak_run_kind *ak_jobs_kind(const struct ak_jobs *jobs,
                                       const char *name);
/* Whether its target is a collection. */
bool ak_run_wants_collection(const struct ak_run_kind *kind,
                             const json_t *params);
/* One that waits for its turn, held once and in no list yet; takes over `request`.
   NULL when memory is short, or the request is no JSON. */
struct ak_run *ak_run_make(struct ak_jobs *jobs, uint64_t id, const char *kind,
                           const char *target, char *request, const char *key);
/* Give those their turn for whom there is room. */
void ak_jobs_schedule(struct ak_jobs *jobs);

/* Under the lock, or before there are threads. */

/* The run of an id that may be seen, or NULL. */
struct ak_run *ak_jobs_find(struct ak_jobs *jobs, uint64_t id);
/* To the end of the list, which takes over the reference; false when memory is
   short. */
bool ak_jobs_append(struct ak_jobs *jobs, struct ak_run *run);
/* The reference is the caller's. */
void ak_jobs_remove(struct ak_jobs *jobs, size_t i);

/* jobs_save.c: hand it to the writer; `done` may be NULL.  An end is saved before
   it is the state of the run. */
void ak_run_store(struct ak_run *run, ak_run_asked_fn *done, void *arg);
void ak_jobs_forget(struct ak_jobs *jobs, uint64_t id);

/* jobs_events.c; the first four under the lock, the caller then wakes. */
void ak_run_tell_progress(struct ak_run *run);
void ak_run_tell_line(struct ak_run *run, const struct ak_run_line *line);
void ak_run_set_end(struct ak_run *run,
                    enum ak_run_state state); /* end_ms, too */
void ak_run_tell_end(struct ak_run *run);     /* sets ended_ms */
void ak_run_wake_watches(struct ak_run *run); /* without the lock */
void ak_run_free_events(struct ak_run *run);
/* Keep-alives, progress held back, rings that nobody reads. */
void ak_run_tick_events(struct ak_run *run, uint64_t now_ns);

/* jobs_json.c, under the lock. */
json_t *ak_run_json(const struct ak_run *run);
json_t *ak_run_progress_json(const struct ak_run *run);
json_t *ak_run_line_json(uint64_t n, int64_t time_ms, int level,
                         const char *text);
void ak_run_read_progress(struct ak_run *run, const char *text);

#endif
