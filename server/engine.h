/*
 * engine.h -- the collections: accept, learn, index, publish.
 *
 * Routes see only this.  What changes a collection is *submitted* and becomes
 * one record; the writer thread commits records in groups and answers.  Two
 * actors a collection then follow the records in order, each on a pool thread
 * at a time: the *indexer* makes rows searchable under the published model and
 * is the only one that changes the index; the *learner* updates the live model
 * and freezes it where a publish record says so.  Both read the records from
 * the file, so that a start replays exactly what a run does.
 *
 * Callbacks are called once each, from a thread of the engine (or, where said,
 * from the caller's before the call returns); they must not block.
 */
#ifndef AK_SERVER_ENGINE_H
#define AK_SERVER_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/code/index.h"
#include "core/hash/encoder.h"
#include "server/finetune.h"
#include "server/quality_report.h"
#include "server/settings.h"
#include "storage/collection.h"

struct ak_engine;
struct ak_collection;
struct ak_gather;
struct ak_pool;
struct ak_jobs;
struct ak_run_kind;

struct ak_engine_params {
    const char *data_dir;
    /* Of model files, NAME.akx, that a data directory without extractors and
       collections begins with; NULL: none. */
    const char *shipped_dir;
    unsigned threads;   /* of the pool; 0: one a core */
    size_t queue_bytes; /* submitted and not committed, all collections */
    size_t collection_queue_bytes;
    uint64_t disk_low_bytes; /* free on the disk: below, writes are refused */
    /* What is free beneath data_dir, without what the logs will take; NULL: the
       system is asked.  On the writer; UINT64_MAX: it cannot be told. */
    uint64_t (*disk_free)(const char *data_dir);
    unsigned max_jobs;         /* that have not ended; 0: 64 */
    unsigned max_running_jobs; /* 0: 2 */
    unsigned keep_jobs;        /* ended ones; 0: 1,000 */
    /* Where jobs find data sets; NULL or "": `datasets` in data_dir. */
    const char *datasets_dir;
    const char *worker_program; /* NULL or "": beside this program */
    /* Of jobs, ends with NULL; NULL: those of job_kinds.c. */
    const struct ak_run_kind *const *job_kinds;
};

/* Opens the data directory (AK_EBUSY: it is in use) and starts the threads;
   the collections are loaded behind.  `learner idle` flush after 10 s. */
enum ak_status ak_engine_open(const struct ak_engine_params *params,
                              struct ak_engine **out,
                              struct ak_err *err) AK_MUST_CHECK;
/* Finish what is submitted, checkpoint, close.  NULL is a no-op. */
void ak_engine_close(struct ak_engine *engine);
/* Call about ten times a second, from one thread: timeouts, idle, tidy. */
void ak_engine_tick(struct ak_engine *engine);

const char *ak_engine_data_dir(const struct ak_engine *engine);

struct ak_engine_progress {
    bool ready;
    uint32_t collections, loaded;
    uint64_t rows, rows_loaded;
    uint32_t failed; /* could not be opened; served as 503, told in the log */
    uint32_t logs_lost; /* serve what was there before the log of the file */
    unsigned extractors, extractors_damaged; /* versions */
    bool read_only;   /* a commit failed on the disk: writes are refused */
    bool sync_failed; /* an fsync failed: the process should end */
    bool disk_low;    /* there is little room: all but deletes is refused */
    uint64_t disk_free_bytes; /* as it was looked at last */
    uint64_t disk_low_bytes;
};
void ak_engine_progress(const struct ak_engine *engine,
                        struct ak_engine_progress *out);

/* Another mark, as of a reload; any thread. */
void ak_engine_set_disk_low(struct ak_engine *engine, uint64_t bytes);

/* Submitted and not committed, all collections; threads of each pool. */
uint64_t ak_engine_queue_bytes(const struct ak_engine *engine);
unsigned ak_engine_threads(const struct ak_engine *engine);

/* What takes long (jobs.h). */
struct ak_jobs *ak_engine_jobs(struct ak_engine *engine);
/* How many are in each state, by its number (jobs.h). */
#define AK_JOB_STATES 8
void ak_engine_count_jobs(struct ak_engine *engine,
                          unsigned counts[AK_JOB_STATES]);

/* ------------------------------------------------------------ collections */

/*
 * A reference to a collection, to be dropped.  AK_ENOTFOUND; AK_EBUSY while it
 * is being loaded; AK_EIO when it could not be loaded.
 */
enum ak_status ak_engine_get(struct ak_engine *engine, const char *name,
                             struct ak_collection **out,
                             struct ak_err *err) AK_MUST_CHECK;
struct ak_collection *ak_collection_ref(struct ak_collection *c);
void ak_collection_drop(struct ak_collection *c); /* NULL is a no-op */

/* References to all that are loaded, by name; *out is freed by free() after
   each was dropped. */
enum ak_status ak_engine_list(struct ak_engine *engine,
                              struct ak_collection ***out, size_t *n,
                              struct ak_err *err) AK_MUST_CHECK;

/*
 * Make a collection.  `done` gets AK_OK with a reference and `created` true, or
 * false when one with equal settings was there; AK_EEXISTS when it differs.
 */
typedef void ak_created_fn(void *arg, enum ak_status status, bool created,
                           struct ak_collection *c, const struct ak_err *err);
void ak_engine_create(struct ak_engine *engine,
                      const struct ak_settings *settings, ak_created_fn *done,
                      void *arg);
/* Take it away, with its file; requests under way end with AK_ENOTFOUND. */
typedef void ak_done_fn(void *arg, enum ak_status status,
                        const struct ak_err *err);
void ak_engine_remove(struct ak_engine *engine, const char *name,
                      ak_done_fn *done, void *arg);

/* A copy of the settings of now. */
void ak_collection_settings(const struct ak_collection *c,
                            struct ak_settings *out);

struct ak_collection_status {
    uint64_t items; /* living rows, visible */
    uint64_t rows;  /* ever, visible */
    uint64_t durable_seq, learned_seq, visible_seq;
    uint64_t published;         /* version */
    uint64_t published_seq;     /* its publish record */
    uint64_t live_samples;      /* learnt by the live model */
    uint64_t published_samples; /* learnt by the published one */
    int64_t checkpoint_ms;    /* when the learner was last stored; 0: not yet */
    uint64_t pending_rows;    /* waiting in the warm-up, or for a block */
    bool warming;             /* they wait for the warm-up */
    uint64_t labels;          /* distinct */
    uint64_t unlearnt_labels; /* beyond max_labels */
    uint64_t queue_records, queue_bytes; /* submitted, not committed */
    double queue_oldest_seconds;         /* age of the oldest; 0: none */
    uint64_t publish_remaining_rows; /* to encode again; 0: none under way */
    double debt;      /* share of rows learnt that are not so any more */
    double staleness; /* share of live_samples that the published one has not */
    double lag_seconds; /* age of the oldest record not learnt; 0: none */
    const char *state;  /* "warming" "ready" "publishing" "behind" "broken" */
    bool broken; /* indexing or learning stopped at a record; see the log */
    struct ak_quality served, live;
    struct ak_gate_decision gate; /* the last */
    struct ak_drift_report drift;
    struct ak_bits_summary bits;
    uint64_t labelled_images;          /* ever */
    uint64_t new_images;               /* of these since the last fine-tuning */
    struct ak_finetune_state finetune; /* the last of the policy */
    bool finetune_running;
    uint64_t memory_bytes, learner_bytes, file_bytes;
    uint64_t publish_bytes, partition_bytes; /* of what is being made */
    /* Counters since the start of the daemon. */
    uint64_t learnt_rows, skipped_rows, learnt_batches, rejected_batches;
    uint64_t rollbacks;        /* updates that were undone */
    uint64_t erasures_pending; /* rows that wait to be erased */
    uint64_t erased_rows;
    uint64_t rebuilds_refused;  /* by their gate */
    uint64_t finetunes_started; /* by the policy */
    uint64_t finetunes_ended[AK_N_FINETUNE_OUTCOMES];
    uint64_t publishes, published_rows;
    uint64_t reused_segments;            /* whose stored codes served again */
    uint64_t refused[AK_N_GATE_REASONS]; /* publishes, by the gate */
    double learn_seconds, index_seconds, publish_seconds, quality_seconds;
    double last_loss;
};
void ak_collection_status(struct ak_collection *c,
                          struct ak_collection_status *out);
/* Of the above, for those who ask with every request. */
uint64_t ak_collection_visible_seq(struct ak_collection *c);

/* A fine-tuning had so many of the labelled images, and came to something; `done`
   when that is in the file, from the writer or at once. */
void ak_collection_note_finetune(struct ak_collection *c, uint64_t labelled,
                                 ak_done_fn *done, void *arg);

/* All that is known of its quality, freed with free(); AK_ENOTFOUND: it does not
   learn. */
enum ak_status ak_collection_quality(struct ak_collection *c,
                                     struct ak_quality_report **out,
                                     struct ak_err *err) AK_MUST_CHECK;

/* -------------------------------------------------------------- changes */

/*
 * A change, submitted.  The struct and all that `change` points to belong to
 * the engine until `done` is called (from the writer, after the commit, or
 * before ak_collection_submit() returns when it is refused at once).
 *
 * AK_EBUSY: the queue is full, try later.  AK_EFULL: there is little room on the
 * disk, or none.  A delete is refused for neither.  AK_ENOTFOUND: the collection
 * is gone.  AK_EIO: the disk refused; nothing happened.  Else as
 * ak_store_apply().
 */
struct ak_submission {
    struct ak_change change;
    size_t bytes;          /* memory behind it, for the bound of the queue */
    bool settings_changed; /* `settings` become those of the collection */
    struct ak_settings settings;
    void (*done)(struct ak_submission *s, enum ak_status status,
                 const struct ak_receipt *receipt, const struct ak_err *err);
    void *arg;                  /* the caller's */
    struct ak_submission *next; /* the engine's */
    struct ak_collection *collection;
};
void ak_collection_submit(struct ak_collection *c, struct ak_submission *s);

/*
 * The turn of a request with a producer's number, from when its headers are
 * there to its end.  A submission that leaves a gap waits while all the numbers
 * in between have turns (turns.c), up to 10 s; then it is AK_ESEQUENCE.  The
 * struct is the caller's, and so is the reference that holds the collection.
 */
struct ak_turn {
    char producer[AK_STORE_KEY_MAX + 1];
    uint64_t number;
    struct ak_turn *next; /* the engine's */
    bool committed;
};
void ak_collection_begin_turn(struct ak_collection *c, struct ak_turn *turn);
void ak_collection_end_turn(struct ak_collection *c, struct ak_turn *turn);

/* True when a submission of so many bytes would be refused now: answer 429
   before the body is read. */
bool ak_collection_full(struct ak_collection *c, size_t bytes);
/* When to come again, 1..60: half of what is queued will be committed. */
unsigned ak_collection_retry_seconds(struct ak_collection *c);
/* The same for `bytes` that wait elsewhere for the queue of all collections. */
unsigned ak_engine_retry_seconds(struct ak_engine *engine, size_t bytes);

enum ak_ack { AK_ACK_DURABLE, AK_ACK_LEARNED, AK_ACK_VISIBLE, AK_ACK_SERVED };

/*
 * Wait until record `seq` is learned, or visible under the published model, or
 * (SERVED: of a publish or rollback record) until its version serves.  `done`
 * gets the state reached and true, or at the deadline the best state so far and
 * false.  May be called before this returns.
 */
typedef void ak_waited_fn(void *arg, enum ak_ack reached, bool in_time);
void ak_collection_wait(struct ak_collection *c, uint64_t seq, enum ak_ack ack,
                        uint64_t deadline_ns, ak_waited_fn *done, void *arg);

/* -------------------------------------------------------------- reading */

/* The rows and codes of one version; to be dropped. */
struct ak_snapshot *ak_collection_snapshot(struct ak_collection *c);
/* The model of a snapshot, lent by it; NULL for kind external. */
struct ak_encoder *ak_collection_model(const struct ak_snapshot *s);

/* The settings, but with the extractor of the version that serves. */
void ak_collection_served_settings(struct ak_collection *c,
                                   struct ak_settings *out);

/* The same of any version, and the space of its vectors. */
void ak_collection_settings_of(struct ak_collection *c, uint64_t version,
                               struct ak_settings *out);
uint64_t ak_collection_space_of(struct ak_collection *c, uint64_t version);

/* A reading handle of the collection's file, and back. */
enum ak_status ak_collection_borrow(struct ak_collection *c,
                                    struct ak_view **out,
                                    struct ak_err *err) AK_MUST_CHECK;
void ak_collection_return(struct ak_collection *c, struct ak_view *view);

/*
 * Labels by number and by name.  A name is lent for as long as the collection
 * is held; NULL for a number that is not visible yet.
 */
const char *ak_collection_label(struct ak_collection *c, uint32_t number);
bool ak_collection_label_number(struct ak_collection *c, const char *name,
                                size_t len, uint32_t *number);

/* Round n floats to what the collection stores, in place. */
void ak_collection_round(const struct ak_settings *s, float *x, size_t n);
/* Rows as stored: n rows of floats to block (n * row bytes), and back. */
void ak_collection_pack(const struct ak_settings *s, const float *x, size_t n,
                        void *block);
void ak_collection_unpack(const struct ak_settings *s, const void *block,
                          size_t n, float *x);

/*
 * What came of a learnt record, as JSON text to be freed with free(): {"learnt",
 * "skipped", "loss", "map_at_r"}; AK_ENOTFOUND when it is not known (any more).
 */
enum ak_status ak_collection_outcome(struct ak_collection *c, uint64_t seq,
                                     char **text,
                                     struct ak_err *err) AK_MUST_CHECK;

/* ---------------------------------------------------------------- pool */

/* Run `fn` soon on a pool thread: scans too long for an HTTP thread. */
void ak_engine_run(struct ak_engine *engine, void (*fn)(void *arg), void *arg);

/* The same for many images, on threads of low priority of their own. */
void ak_engine_run_images(struct ak_engine *engine, void (*fn)(void *arg),
                          void *arg);

/* The pool of searches, to split a scan over its threads. */
struct ak_pool *ak_engine_search_pool(struct ak_engine *engine);

struct ak_engine *ak_collection_engine(const struct ak_collection *c);
/* Where searches of the collection wait for one another. */
struct ak_gather *ak_collection_gather(struct ak_collection *c);

#endif
