/* engine_tick.c -- the clockwork: what comes due without a request. */
#include <stdlib.h>

#include "core/base/clock.h"
#include "server/engine_internal.h"
#include "server/extractors.h"
#include "server/jobs.h"
#include "server/log.h"

#define IDLE_FLUSH_NS UINT64_C(10000000000) /* warm-up ends by itself */
#define IDLE_WAL_NS   UINT64_C(2000000000)  /* then the log is copied */
#define IDLE_SAVE_NS  UINT64_C(1000000000)
#define TIDY_NS       UINT64_C(600000000000)

/* Forget what is old; then, outside of the transaction, copy the log. */
struct tidy_job {
    struct ak_job job; /* first */
    struct ak_collection *collection;
};

static enum ak_status tidy_apply(struct ak_job *job, struct ak_store *store,
                                 struct ak_err *err)
{
    (void)job;
    return ak_store_tidy(store, ak_time_ms(), err);
}

static void tidy_done(struct ak_job *job, enum ak_status status,
                      const struct ak_err *err)
{
    struct tidy_job *j = (struct tidy_job *)job;

    if (status == AK_OK) {
        struct ak_err why = {0};

        if (ak_store_checkpoint_wal(j->collection->lane.store, true, &why) !=
            AK_OK)
            ak_log_warn("engine", "the log was not copied",
                        AK_TEXT("reason", why.text));
        ak_disk_count_log(j->collection->engine, &j->collection->lane);
    }
    (void)err;
    ak_collection_drop(j->collection);
    free(j);
}

static void ask_tidy(struct ak_collection *c)
{
    struct tidy_job *j = calloc(1, sizeof(*j));

    if (j == NULL)
        return;
    j->job.apply = tidy_apply;
    j->job.done = tidy_done;
    j->collection = ak_collection_ref(c);
    ak_writer_push(c->engine->writer, &c->lane, &j->job);
}

static void tick(struct ak_collection *c, uint64_t now, bool tidy, bool ready)
{
    uint64_t idle, cause;
    bool flush, copy, unsaved, waits, learn;

    ak_collection_expire(c, now, false);
    ak_turns_expire(c, now, false);
    pthread_mutex_lock(&c->lock);
    idle = now - c->last_commit_ns;
    cause = c->reached.seq[AK_ACK_DURABLE];
    flush = c->can_flush && idle > IDLE_FLUSH_NS && c->last_commit_ns > 0;
    unsaved = c->unsaved;
    waits = c->index_waits;
    c->index_waits = false;
    learn = c->learn_due_ns > 0 && now >= c->learn_due_ns;
    if (learn)
        c->learn_due_ns = 0;
    copy = c->wal_dirty &&
           (idle > IDLE_WAL_NS || atomic_load(&c->engine->disk.low));
    if (copy)
        c->wal_dirty = false;
    pthread_mutex_unlock(&c->lock);
    if (flush)
        ak_collection_append(c, AK_RECORD_FLUSH, cause);
    if (copy || tidy)
        ask_tidy(c);
    ak_collection_erase(c, now);
    ak_collection_forget_spaces(c, now);
    if (ready)
        ak_collection_finetune(c);
    if (waits || now >= atomic_load(&c->indexer.packer.wake_ns))
        ak_actor_wake(&c->indexer.actor);
    /* So that an idle learner is saved too, and what is due is published. */
    if (learn || (unsaved && idle > IDLE_SAVE_NS))
        ak_actor_wake(&c->learner.actor);
}

void ak_engine_tick(struct ak_engine *e)
{
    struct ak_engine_progress progress;
    struct ak_collection **list;
    uint64_t now = ak_clock_ns();
    bool tidy = now - e->last_tidy_ns > TIDY_NS;
    size_t n;

    if (atomic_load(&e->stopping) ||
        ak_engine_list(e, &list, &n, NULL) != AK_OK)
        return;
    /* Of the catalog or of a log that was copied, too. */
    if (ak_storage_sync_failed())
        atomic_store(&e->read_only, true);
    if (tidy)
        e->last_tidy_ns = now;
    ak_disk_ask(e);
    ak_engine_progress(e, &progress);
    for (size_t i = 0; i < n; i++) {
        tick(list[i], now, tidy, progress.ready);
        ak_collection_drop(list[i]);
    }
    free(list);
    ak_extractors_tick(e->extractors);
    ak_jobs_tick(e->jobs);
}
