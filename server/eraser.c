/*
 * eraser.c -- rows that were asked to be erased, when nobody needs them.
 *
 * The clock asks for it while there are some: a transaction zeroes what a
 * checkpoint of the learner lies behind of (storage/store_erase.c), and then
 * the log of the file is emptied, since it may hold what they were.
 */
#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/moment.h"
#include "server/engine_internal.h"
#include "server/log.h"
#include "server/metrics.h"

#define REST_NS UINT64_C(1000000000)

struct erase_job {
    struct ak_job job; /* first */
    struct ak_collection *c;
    uint64_t seq, n;
};

static enum ak_status erase_apply(struct ak_job *job, struct ak_store *store,
                                  struct ak_err *err)
{
    struct erase_job *j = (struct erase_job *)job;

    return ak_store_erase(store, j->seq, &j->n, err);
}

static void erase_done(struct ak_job *job, enum ak_status status,
                       const struct ak_err *err)
{
    struct erase_job *j = (struct erase_job *)job;
    struct ak_collection *c = j->c;
    struct ak_err why = {0};

    if (status == AK_OK && j->n > 0) {
        ak_moment(AK_AT_ERASED);
        /* Readers may hold it for a moment; then it is tried with the next. */
        if (ak_store_checkpoint_wal(c->lane.store, true, &why) != AK_OK)
            ak_log_warn("engine", "the log still has what was erased",
                        AK_TEXT("collection", c->settings.name),
                        AK_TEXT("reason", why.text));
        ak_moment(AK_AT_ERASED_LOG);
        ak_log_info("engine", "rows erased",
                    AK_TEXT("collection", c->settings.name),
                    AK_NUMBER("rows", j->n));
    } else if (status != AK_OK && status != AK_ENOTFOUND) {
        ak_log_error("engine", "rows were not erased",
                     AK_TEXT("collection", c->settings.name),
                     AK_TEXT("reason", err->text));
    }
    pthread_mutex_lock(&c->lock);
    c->erasing = false;
    c->erased_ns = ak_clock_ns();
    if (status == AK_OK) {
        c->status.erasures_pending -= j->n < c->status.erasures_pending
                                          ? j->n
                                          : c->status.erasures_pending;
        c->status.erased_rows += j->n;
        if (j->n > 0)
            c->wal_dirty = true; /* the tidying empties it too */
    }
    pthread_mutex_unlock(&c->lock);
    ak_collection_drop(c);
    free(j);
}

void ak_collection_erase(struct ak_collection *c, uint64_t now_ns)
{
    struct erase_job *j;
    uint64_t seq;
    bool due;

    pthread_mutex_lock(&c->lock);
    due = c->status.erasures_pending > 0 && !c->erasing &&
          now_ns - c->erased_ns > REST_NS && c->state == AK_SERVING;
    seq = ak_settings_learns(&c->settings) ? c->stored_seq : INT64_MAX;
    c->erasing = c->erasing || due;
    pthread_mutex_unlock(&c->lock);
    if (!due)
        return;
    j = calloc(1, sizeof(*j));
    if (j == NULL) {
        pthread_mutex_lock(&c->lock);
        c->erasing = false;
        pthread_mutex_unlock(&c->lock);
        return;
    }
    j->job.apply = erase_apply;
    j->job.done = erase_done;
    j->c = ak_collection_ref(c);
    j->seq = seq;
    ak_writer_push(c->engine->writer, &c->lane, &j->job);
}
