/*
 * engine_internal.h -- the engine and its collections from the inside; for the
 * engine's own files: engine.c, collections.c, collection.c, disk.c, turns.c,
 * loader.c, indexer.c, learner.c.
 *
 * Who touches what:
 *
 *   writer        `store`, through jobs
 *   indexer       struct ak_indexer, and it alone changes `index`
 *   partitioner   struct ak_partitioner
 *   learner       struct ak_learner
 *   any thread    what `lock` guards, the index's snapshots, `labels`, views
 *
 * Locks, in the order in which they may be taken: the engine's, a collection's,
 * then those inside writer, pool, jobs, index and labels, which take no other.
 * Callbacks are called with none.
 */
#ifndef AK_SERVER_ENGINE_INTERNAL_H
#define AK_SERVER_ENGINE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "core/hash/hash.h"
#include "server/debt.h"
#include "server/engine.h"
#include "server/gather.h"
#include "server/labels.h"
#include "server/lag.h"
#include "server/pool.h"
#include "server/quality.h"
#include "server/trainer.h"
#include "server/waiters.h"
#include "server/writer.h"
#include "storage/catalog.h"

#define AK_IDLE_VIEWS 8

/* disk.c: the room that there is. */
struct ak_disk {
    atomic_uint_fast64_t low_bytes, free_bytes;
    atomic_uint_fast64_t log_bytes; /* of all collections */
    atomic_bool low;
    atomic_bool looking;    /* the writer is about to */
    struct ak_job *waiting; /* for room; the writer's */
};

struct ak_engine {
    struct ak_engine_params params;
    struct ak_catalog *catalog; /* the writer's */
    struct ak_writer_thread *writer;
    struct ak_lane catalog_lane;
    struct ak_pool *work;     /* indexers and learners */
    struct ak_pool *search;   /* scans */
    struct ak_pool *images;   /* to features, by networks */
    atomic_uint images_asked; /* batches there, or on their way to it */
    struct ak_jobs *jobs;
    struct ak_extractors *extractors;
    struct ak_task verify; /* their files */
    bool unclean;          /* the last run was not ended */
    atomic_bool stopping, read_only;
    struct ak_disk disk;
    atomic_size_t parked_bytes;
    uint64_t last_tidy_ns; /* the ticking thread's */

    pthread_mutex_t lock;               /* guards what follows */
    struct ak_collection **collections; /* sorted by name */
    size_t n, cap;
    bool verified; /* the files of extractors */
    struct ak_engine_progress progress;
};

/* A version on its way to be served. */
struct ak_next_version {
    uint64_t version;
    uint64_t seq; /* of its publish or rollback record */
    bool rollback;
    struct ak_encoder *encoder; /* held; NULL for none */
    bool has_quality;           /* of the version that it takes over from: */
    double quality;             /* mAP@R at its record */
};

/* packer.c: which full segments are to be packed. */
struct ak_packer {
    uint64_t *due_ns; /* (n): when; 0: it is packed, or about to be */
    size_t n, cap;
    size_t at;          /* where the next look begins */
    uint64_t packed_ns; /* when one was packed again last */
    uint64_t n_again;   /* how often that was */
    uint64_t quiet_ns;  /* without changes, before one is; tests shorten it */
    atomic_ullong wake_ns;
};

/* indexer.c: records to rows, versions to codes. */
struct ak_indexer {
    struct ak_actor actor;
    struct ak_view *view;
    uint64_t seq;             /* applied */
    uint64_t shown_seq;       /* committed, so that searches see it */
    bool appended;            /* of the next record, when memory was short: */
    uint64_t killed;          /* what of it is done already */
    uint64_t stored_segments; /* of the published version, in the file */
    struct ak_packer packer;
    struct ak_next_version next; /* being encoded, or none: encoder == NULL */
    struct ak_column *column;    /* its codes */
    uint64_t column_segments;    /* stored, or on their way */
    uint64_t encode_start_ns;
    enum { AK_FLIP_NONE, AK_FLIP_ASKED, AK_FLIP_DONE, AK_FLIP_FAILED } flip;
    bool broken;

    /* Scratch, grown when needed. */
    void *block;
    float *x;
    void *scratch;
    size_t cap_block, cap_x, cap_scratch; /* bytes, floats, bytes */
    uint8_t *codes; /* of the segment that `column` is in the middle of */
};

struct ak_partition_build;

/* partitioner.c: the order in which searches go through the rows. */
struct ak_partitioner {
    struct ak_actor actor;
    struct ak_partition_build *build; /* the indexer's while `ready` */
    atomic_bool ready;
    uint64_t began_ns;
};

enum ak_rebuild_why { AK_REBUILD_DEBT, AK_REBUILD_FIRST, AK_REBUILD_PUBLISH };
const char *ak_rebuild_why_name(enum ak_rebuild_why why);

/* learner.c, learner_state.c: records to the live model. */
struct ak_learner {
    struct ak_actor actor;
    struct ak_view *view;
    struct ak_trainer *trainer; /* NULL: a kind that does not learn */
    struct ak_encoder *map;     /* of this learner, for its feature map */
    uint64_t learnt_batches;    /* ever; decides every_batches */
    uint64_t due_seq; /* the batch that made a publish due; 0: none is */
    struct ak_quality_meter *quality;
    uint64_t generation; /* of the trainer */
    struct ak_debt debt;
    uint64_t rebuild_due; /* the record that asked for a rebuild; 0: none did */
    enum ak_rebuild_why rebuild_why;
    uint64_t rebuild_asked; /* the same, once there is a job for it */
    uint64_t debt_asked;    /* rows in debt when it last asked for one */
    bool constants_saved;
    uint64_t saved_seq;     /* of the last checkpoint that was asked for */
    uint64_t saved_ns;      /* when */
    uint64_t since_batches; /* learnt since */
    atomic_bool saving;     /* a checkpoint is on its way */
    bool lost; /* memory was short: it must begin again at its checkpoint */
    uint64_t memory_ns; /* between two tries of that; tests shorten it */
    bool broken;
};

/* What came of a record, until it is in the file. */
struct ak_outcome {
    uint64_t seq;
    char text[512];
    struct ak_outcome *next;
};

struct ak_collection {
    atomic_uint refs;
    struct ak_engine *engine;
    uint64_t file;
    char *path;
    struct ak_store_shape shape;
    struct ak_lane lane;
    atomic_size_t n_parked, parked_bytes;

    struct ak_index *index;
    struct ak_gather gather; /* of searches */
    struct ak_labels *labels;
    struct ak_indexer indexer;
    struct ak_partitioner partitioner;
    struct ak_learner learner;

    pthread_mutex_t lock; /* guards what follows */
    struct ak_settings settings;
    struct ak_settings *spaces; /* (n_spaces): by space, its extractor */
    size_t n_spaces;
    uint64_t *version_spaces; /* (n_version_spaces): by version */
    size_t n_version_spaces;
    bool spaces_due, spaces_busy; /* to be forgotten, and that is under way */
    uint64_t spaces_ns;           /* when that was last */
    enum { AK_LOADING, AK_SERVING, AK_FAILED, AK_GONE } state;
    struct ak_reached reached;
    struct ak_waiter *waiters;
    struct ak_view *views[AK_IDLE_VIEWS];
    size_t n_views;
    struct ak_next_version offered;     /* by the learner, for the indexer */
    struct ak_collection_status status; /* what the actors report */
    struct ak_quality_report *quality;  /* the learner's; NULL: none yet */
    struct ak_outcome *outcomes;        /* latest first */
    uint64_t last_commit_ns;
    struct ak_lag lag;
    uint64_t last_publish_ns, last_publish_cost_ns;
    bool wal_dirty;   /* committed since the log was copied */
    bool unsaved;     /* the learner is idle, but has something to do later */
    bool index_waits; /* for memory, until the clock wakes the indexer */
    uint64_t learn_due_ns; /* likewise the learner, then; 0: it does not wait */
    uint64_t stored_seq;   /* of the checkpoint in the file */
    uint64_t erased_ns;    /* when it was last tried */
    bool erasing;          /* the writer is at it */
    bool rebuilding;       /* a generation is being made */
    bool rebuild_failed;   /* the last one was not installed */
    bool rebuild_refused;  /* the job for one was not accepted */
    struct ak_turn *turns; /* under way */
    struct ak_job *parked; /* submissions, until their turn comes */
    bool can_flush;        /* it has rows that a flush would let it learn */
    struct {
        struct ak_finetune_state state;
        bool busy; /* the clock waits for the writer */
        bool told; /* of this attempt: that its job has to wait */
    } finetune;
};

/* A submission on its way through the writer. */
struct ak_submit_job {
    struct ak_job job; /* first */
    struct ak_submission *submission;
    struct ak_receipt receipt;
    uint64_t parked_ns;
    bool last_try; /* it is not parked (again) */
};

/* The collection whose actor this is. */
static inline struct ak_collection *ak_indexer_owner(struct ak_actor *actor)
{
    return (
        struct ak_collection *)((char *)actor -
                                offsetof(struct ak_collection, indexer.actor));
}

static inline struct ak_collection *ak_partitioner_owner(struct ak_actor *actor)
{
    return (struct ak_collection *)((char *)actor -
                                    offsetof(struct ak_collection,
                                             partitioner.actor));
}

static inline struct ak_collection *ak_learner_owner(struct ak_actor *actor)
{
    return (
        struct ak_collection *)((char *)actor -
                                offsetof(struct ak_collection, learner.actor));
}

static inline const struct ak_hash *ak_learner_hash(const struct ak_learner *l)
{
    return ak_trainer_hash(l->trainer);
}

/* ---------------------------------------------------------------- disk.c */

/* Look now, on the caller's thread; before there are others, or the writer's. */
void ak_disk_look(struct ak_engine *e);
/* Count the log of a lane's store, by who has the store. */
void ak_disk_count_log(struct ak_engine *e, struct ak_lane *lane);
/* Let the writer look soon. */
void ak_disk_ask(struct ak_engine *e);
/* A commit found no room, whatever was seen. */
void ak_disk_was_full(struct ak_engine *e, const struct ak_err *err);
/* On the writer: a job of the engine's own that was done with AK_EFULL and must
   be done after all is queued again when there is room. */
void ak_disk_wait(struct ak_engine *e, struct ak_job *job);
/* Those that wait are done with AK_ECANCELED; the writer has ended. */
void ak_disk_stop(struct ak_engine *e);

/* --------------------------------------------------------- collections.c */

/* A new collection object, of state AK_LOADING, held once. */
enum ak_status ak_collection_new(struct ak_engine *e,
                                 const struct ak_settings *settings,
                                 uint64_t file, struct ak_collection **out,
                                 struct ak_err *err) AK_MUST_CHECK;
/* Into the list, which takes over the reference. */
enum ak_status ak_engine_insert(struct ak_engine *e, struct ak_collection *c,
                                struct ak_err *err) AK_MUST_CHECK;

/*
 * On the writer: a collection that is loaded gets the name of its settings, made
 * by a job (0: by none); from here on it exists, and serves.  The list takes a
 * reference of its own.  AK_EEXISTS.
 */
enum ak_status ak_engine_adopt(struct ak_engine *e, struct ak_collection *c,
                               uint64_t job, struct ak_err *err) AK_MUST_CHECK;

/* ---------------------------------------------------------- collection.c */

/* Other settings, under the lock; not the name, which is read without it. */
void ak_collection_set(struct ak_collection *c, const struct ak_settings *s);
/* `seq` has got as far as `ack`: tell those who wait. */
void ak_collection_advance(struct ak_collection *c, enum ak_ack ack,
                           uint64_t seq);
/* Append a record of the engine's own: a policy's publish, a flush. */
void ak_collection_append(struct ak_collection *c, enum ak_record_kind kind,
                          uint64_t cause);
/* Call those whose time is up, or all. */
void ak_collection_expire(struct ak_collection *c, uint64_t now_ns, bool all);
void ak_collection_free(struct ak_collection *c); /* by the last drop */

/* The encoder of the published version, from its file; *out is NULL for kind
   external. */
enum ak_status ak_collection_load_model(struct ak_view *view, uint64_t version,
                                        struct ak_encoder **out,
                                        struct ak_err *err) AK_MUST_CHECK;

/* ---------------------------------------------------------------- spaces.c */

/* At the load, once the settings are there. */
enum ak_status ak_collection_load_spaces(struct ak_collection *c,
                                         struct ak_view *view,
                                         struct ak_err *err) AK_MUST_CHECK;
void ak_collection_clear_spaces(struct ak_collection *c);
/* A space, and whose it is, as settings say; one that is known is put right. */
enum ak_status ak_collection_add_space(struct ak_collection *c,
                                       const struct ak_settings *s,
                                       struct ak_err *err) AK_MUST_CHECK;
/* On the writer, when the generation that was being made is not any more: forget
   its space. */
void ak_collection_keep_spaces(struct ak_collection *c);
/* By the clock: some vectors of a space that nobody takes any more. */
void ak_collection_forget_spaces(struct ak_collection *c, uint64_t now_ns);
enum ak_status ak_collection_note_version(struct ak_collection *c,
                                          uint64_t version, uint64_t space,
                                          struct ak_err *err) AK_MUST_CHECK;
/* The settings, but with the extractor of a space; false: it is not known. */
bool ak_collection_settings_in(struct ak_collection *c, uint64_t space,
                               struct ak_settings *out);
/* Whether a space is of any version of that extractor. */
bool ak_collection_uses(struct ak_collection *c, const char *extractor);
/* The networks of its spaces, each once and that of now first: how many, of which
   `cap` are written. */
struct ak_network {
    char name[AK_SETTINGS_NAME];
    uint32_t version;
};
size_t ak_collection_networks(struct ak_collection *c, struct ak_network *out,
                              size_t cap);
/* A row's vector as stored, in the space of these settings: what its image gives,
   or zeroes, and *good is false, if there is none or the extractor does not take
   it. */
enum ak_status ak_collection_compute(struct ak_collection *c,
                                     const struct ak_settings *s,
                                     struct ak_bytes image, void *out,
                                     bool *good,
                                     struct ak_err *err) AK_MUST_CHECK;
/* A view that computes what is missing. */
enum ak_status ak_collection_open_view(struct ak_collection *c,
                                       struct ak_view **out,
                                       struct ak_err *err) AK_MUST_CHECK;

/* ----------------------------------------------------------------- turns.c */

/* A gap: true when it was parked, and is submitted again when its turn comes. */
bool ak_turns_park(struct ak_collection *c, struct ak_submit_job *job);
/* A number was committed, or was before: the next one may go. */
void ak_turns_committed(struct ak_collection *c,
                        const struct ak_change *change);
/* Try those a last time that have waited long, or all. */
void ak_turns_expire(struct ak_collection *c, uint64_t now_ns, bool all);

/* ------------------------------------------------------ finetune_policy.c */

enum ak_status ak_collection_load_finetune(struct ak_collection *c,
                                           struct ak_view *view,
                                           struct ak_err *err) AK_MUST_CHECK;
/* Begin what is due, look at what is under way; by the clock, when jobs are there. */
void ak_collection_finetune(struct ak_collection *c);

/* ---------------------------------------------------------------- eraser.c */

/* Erase what is due; by the clock. */
void ak_collection_erase(struct ak_collection *c, uint64_t now_ns);

/* --------------------------------------------------- loader.c, the actors */

/* Opens a collection's file, and reads its settings and those of its spaces. */
enum ak_status ak_collection_open(struct ak_collection *c,
                                  struct ak_err *err) AK_MUST_CHECK;
/* Reads all of it, opened or not; on a pool thread, before it serves. */
enum ak_status ak_collection_load(struct ak_collection *c,
                                  struct ak_err *err) AK_MUST_CHECK;

bool ak_indexer_slice(struct ak_actor *actor);
/*
 * A version that is in the file waits to be served; its encoder is handed over.
 * Of it and one that it finds waiting the newer is to be served, and its flip
 * retires the other.  That need not be the one that comes later: what found no
 * room on the disk, or is made again after a restart, is written behind newer ones.
 */
void ak_indexer_offer(struct ak_collection *c,
                      const struct ak_next_version *next);
void ak_indexer_clear(struct ak_indexer *ix);
/* Codes of stored rows [first, first + n) under the encoder of a version, into
   codes (n * code bytes); external: the block itself. */
enum ak_status ak_indexer_encode(struct ak_collection *c, struct ak_view *view,
                                 const struct ak_encoder *encoder,
                                 uint64_t version, uint64_t first, size_t n,
                                 uint8_t *codes,
                                 struct ak_err *err) AK_MUST_CHECK;

/* A full segment to the file. */
void ak_indexer_store_codes(struct ak_collection *c, uint64_t version,
                            uint64_t segment, const uint8_t *codes);

/* The loader's: each full segment in turn, and whether it was packed. */
void ak_packer_found(struct ak_collection *c, uint64_t segment, bool packed);
/* The indexer's: a row has ended or has other labels; and when it has nothing
   else to do, pack a segment.  True: there may be more to pack. */
void ak_packer_changed(struct ak_collection *c, uint64_t ordinal);
bool ak_packer_slice(struct ak_collection *c);
void ak_packer_init(struct ak_packer *p);
void ak_packer_clear(struct ak_packer *p);

bool ak_partitioner_slice(struct ak_actor *actor);
void ak_partitioner_clear(struct ak_partitioner *p);
/* The indexer's: put what was built in its place; after each of its commits,
   see whether there is something to build. */
void ak_partitioner_install(struct ak_collection *c);
void ak_partitioner_look(struct ak_collection *c);

bool ak_learner_slice(struct ak_actor *actor);
/* How many rows wait, and for what, into the status. */
void ak_learner_report_pending(struct ak_collection *c);

/* -------------------------------------------------------- learner_state.c */

/* Make the learner of the settings, in place of one that there is, and read its
   checkpoint. */
enum ak_status ak_learner_load(struct ak_collection *c,
                               struct ak_err *err) AK_MUST_CHECK;
void ak_learner_clear(struct ak_learner *l);
/* Hand a checkpoint to the writer, if there is anything new; by the learner, or at
   the end, when no actor runs any more. */
void ak_learner_save(struct ak_collection *c);
/* The same when the last one was long ago. */
void ak_learner_save_if_due(struct ak_collection *c);

/* ------------------------------------------------------ learner_publish.c */

/* An encoder of the live model; NULL, and a line in the log, when its numbers
   would not be finite. */
enum ak_status ak_learner_freeze(struct ak_collection *c,
                                 struct ak_encoder **out,
                                 struct ak_err *err) AK_MUST_CHECK;
/* Freeze the live model as of a record, to be served. */
enum ak_status ak_learner_publish(struct ak_collection *c,
                                  const struct ak_record *rec,
                                  struct ak_err *err) AK_MUST_CHECK;

/* ------------------------------------------------------ learner_install.c */

/* What a generation's learner is made with. */
enum ak_status ak_generation_settings(struct ak_view *view, uint64_t number,
                                      const struct ak_settings *now,
                                      struct ak_settings *out,
                                      struct ak_err *err) AK_MUST_CHECK;
/* An INSTALL record: the learner gives way to the generation. */
enum ak_status ak_learner_install(struct ak_collection *c,
                                  const struct ak_record *rec,
                                  struct ak_err *err) AK_MUST_CHECK;
/* A record was followed, and what it lends may be gone afterwards: count the
   debt, and see whether a rebuild is due. */
enum ak_status ak_learner_count_debt(struct ak_collection *c,
                                     const struct ak_record *rec,
                                     struct ak_err *err) AK_MUST_CHECK;
/* Start the job that is due, when there is room for it. */
void ak_learner_ask_rebuild(struct ak_collection *c);

/* ------------------------------------------------------ learner_quality.c */

/* After the learner was made, or loaded: find what is published as of its
   record.  AK_ECORRUPT: it is not there. */
enum ak_status ak_learner_watch(struct ak_collection *c,
                                struct ak_err *err) AK_MUST_CHECK;
/* A batch, before it is learnt and after. */
enum ak_status ak_learner_measure(struct ak_collection *c,
                                  const struct ak_record *rec,
                                  struct ak_err *err) AK_MUST_CHECK;
enum ak_status ak_learner_offer(struct ak_collection *c,
                                const struct ak_record *rec,
                                struct ak_err *err) AK_MUST_CHECK;
/* A record that changes what is in the panel, or a rollback. */
enum ak_status ak_learner_note(struct ak_collection *c,
                               const struct ak_record *rec,
                               struct ak_err *err) AK_MUST_CHECK;
/* `encoder` was frozen at record `seq`; *replaced is set when the quality of
   what was published until then is known. */
enum ak_status ak_learner_published(struct ak_collection *c, uint64_t seq,
                                    struct ak_encoder *encoder,
                                    struct ak_quality *replaced,
                                    struct ak_err *err) AK_MUST_CHECK;
/* At a mark of policy `quality`, after batch `seq`: what the gate says. */
enum ak_status ak_learner_gate(struct ak_collection *c,
                               const struct ak_settings *settings, uint64_t seq,
                               bool *publish, struct ak_err *err) AK_MUST_CHECK;

#endif
