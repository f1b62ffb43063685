/*
 * collection.c -- one collection as the routes see it: references, submission,
 * waiting, status, reading handles.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/half.h"
#include "server/engine_internal.h"
#include "server/log.h"

struct ak_collection *ak_collection_ref(struct ak_collection *c)
{
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    return c;
}

void ak_collection_drop(struct ak_collection *c)
{
    if (c != NULL &&
        atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) == 1)
        ak_collection_free(c);
}

void ak_collection_free(struct ak_collection *c)
{
    ak_indexer_clear(&c->indexer);
    ak_partitioner_clear(&c->partitioner);
    ak_learner_clear(&c->learner);
    /* Frozen when the daemon stopped, and taken up at the next start. */
    ak_ref_drop((struct ak_ref *)c->offered.encoder);
    ak_collection_clear_spaces(c);
    for (size_t i = 0; i < c->n_views; i++)
        ak_view_close(c->views[i]);
    ak_store_close(c->lane.store);
    ak_index_destroy(c->index);
    ak_labels_destroy(c->labels);
    while (c->outcomes != NULL) {
        struct ak_outcome *next = c->outcomes->next;

        free(c->outcomes);
        c->outcomes = next;
    }
    pthread_mutex_destroy(&c->lock);
    free(c->quality);
    free(c->path);
    free(c);
}

void ak_collection_settings(const struct ak_collection *c,
                            struct ak_settings *out)
{
    struct ak_collection *unlocked = (struct ak_collection *)(uintptr_t)c;

    pthread_mutex_lock(&unlocked->lock);
    *out = c->settings;
    pthread_mutex_unlock(&unlocked->lock);
}

_Static_assert(offsetof(struct ak_settings, name) == 0, "the rest follows");

void ak_collection_set(struct ak_collection *c, const struct ak_settings *s)
{
    size_t at = sizeof(s->name);

    memcpy((char *)&c->settings + at, (const char *)s + at, sizeof(*s) - at);
}

struct ak_engine *ak_collection_engine(const struct ak_collection *c)
{
    return c->engine;
}

struct ak_gather *ak_collection_gather(struct ak_collection *c)
{
    return &c->gather;
}

/* -------------------------------------------------------------- progress */

void ak_collection_advance(struct ak_collection *c, enum ak_ack ack,
                           uint64_t seq)
{
    struct ak_waiter *over;

    pthread_mutex_lock(&c->lock);
    if (c->reached.seq[ack] < seq)
        c->reached.seq[ack] = seq;
    if (ack == AK_ACK_LEARNED)
        ak_lag_learn(&c->lag, c->reached.seq[ack],
                     c->reached.seq[AK_ACK_DURABLE]);
    over = ak_waiters_take(&c->waiters, &c->reached, 0, false);
    pthread_mutex_unlock(&c->lock);
    ak_waiters_call(over);
}

void ak_collection_expire(struct ak_collection *c, uint64_t now_ns, bool all)
{
    struct ak_waiter *over;

    pthread_mutex_lock(&c->lock);
    over = ak_waiters_take(&c->waiters, &c->reached, now_ns, all);
    pthread_mutex_unlock(&c->lock);
    ak_waiters_call(over);
}

void ak_collection_wait(struct ak_collection *c, uint64_t seq, enum ak_ack ack,
                        uint64_t deadline_ns, ak_waited_fn *done, void *arg)
{
    struct ak_waiter *w = calloc(1, sizeof(*w));
    enum ak_ack reached;
    bool wait;

    pthread_mutex_lock(&c->lock);
    wait = w != NULL && c->reached.seq[ack] < seq && c->state == AK_SERVING &&
           !atomic_load(&c->engine->stopping);
    reached =
        c->reached.seq[ack] >= seq ? ack : ak_reached_state(&c->reached, seq);
    if (wait) {
        w->seq = seq;
        w->ack = ack;
        w->deadline_ns = deadline_ns;
        w->done = done;
        w->arg = arg;
        w->next = c->waiters;
        c->waiters = w;
    }
    pthread_mutex_unlock(&c->lock);
    if (!wait) {
        free(w);
        done(arg, reached, reached >= ack);
    }
}

/* ------------------------------------------------------------- submission */

static enum ak_status submit_apply(struct ak_job *job, struct ak_store *store,
                                   struct ak_err *err)
{
    struct ak_submit_job *j = (struct ak_submit_job *)job;

    /* The queue may be long, and what is in it would take the reserve. */
    job->alone = j->submission->change.kind != AK_RECORD_DELETE &&
                 atomic_load(&j->submission->collection->engine->disk.low);
    if (job->alone)
        return ak_fail(err, AK_EFULL, "there is little room on the disk");
    return ak_store_apply(store, &j->submission->change, &j->receipt, err);
}

/* Memory changes only after the commit. */
static void submit_done(struct ak_job *job, enum ak_status status,
                        const struct ak_err *err)
{
    struct ak_submit_job *j = (struct ak_submit_job *)job;
    struct ak_submission *s = j->submission;
    struct ak_collection *c = s->collection;
    bool changed = status == AK_OK && !j->receipt.replayed;

    if (status == AK_ESEQUENCE && ak_turns_park(c, j))
        return;
    if (status == AK_EFULL) {
        /* What it has written into the log before is given back with it. */
        pthread_mutex_lock(&c->lock);
        c->wal_dirty = true;
        pthread_mutex_unlock(&c->lock);
    }
    if (changed) {
        pthread_mutex_lock(&c->lock);
        if (s->settings_changed) {
            /* Only a rebuild changes the model, perhaps since this was read. */
            ak_settings_take_model(&s->settings, &c->settings);
            ak_collection_set(c, &s->settings);
        }
        c->status.erasures_pending += j->receipt.erasing;
        c->status.labelled_images += j->receipt.labelled_images;
        if (j->receipt.seq > c->reached.seq[AK_ACK_DURABLE]) {
            c->reached.seq[AK_ACK_DURABLE] = j->receipt.seq;
            c->last_commit_ns = ak_clock_ns();
            /* The learner may have read it before. */
            if (j->receipt.seq > c->reached.seq[AK_ACK_LEARNED])
                ak_lag_commit(&c->lag, j->receipt.seq, c->last_commit_ns);
            c->wal_dirty = true;
        }
        pthread_mutex_unlock(&c->lock);
    }
    if (status == AK_OK && s->change.producer_seq > 0)
        ak_turns_committed(c, &s->change);
    s->done(s, status, &j->receipt, err);
    free(j);
    if (changed) {
        ak_actor_wake(&c->indexer.actor);
        ak_actor_wake(&c->learner.actor);
    }
    ak_collection_drop(c);
}

bool ak_collection_full(struct ak_collection *c, size_t bytes)
{
    const struct ak_engine_params *p = &c->engine->params;
    struct ak_lane_load load;
    size_t lane, all;

    ak_lane_load(c->engine->writer, &c->lane, &load);
    lane = load.bytes + atomic_load(&c->parked_bytes);
    all = load.all_bytes + atomic_load(&c->engine->parked_bytes);
    /* What is larger than the bound by itself may go when nothing else waits. */
    return (lane > 0 && lane + bytes > p->collection_queue_bytes) ||
           (all > 0 && all + bytes > p->queue_bytes);
}

unsigned ak_collection_retry_seconds(struct ak_collection *c)
{
    struct ak_lane_load load;
    unsigned own, all;

    ak_lane_load(c->engine->writer, &c->lane, &load);
    own = ak_retry_seconds((double)load.bytes, load.rate);
    all = ak_retry_seconds((double)load.all_bytes, load.all_rate);
    return own > all ? own : all;
}

unsigned ak_engine_retry_seconds(struct ak_engine *e, size_t bytes)
{
    return ak_retry_seconds((double)bytes, ak_writer_rate(e->writer));
}

static void refuse(struct ak_submission *s, enum ak_status status,
                   const char *text)
{
    struct ak_receipt none = {0};
    struct ak_err err = {0};

    ak_fail(&err, status, "%s", text);
    s->done(s, status, &none, &err);
}

void ak_collection_submit(struct ak_collection *c, struct ak_submission *s)
{
    struct ak_submit_job *j;

    if (atomic_load(&c->engine->read_only)) {
        refuse(s, AK_EIO, "the disk refused a write; the daemon is read-only");
        return;
    }
    /* What frees memory and disk must not wait for either. */
    if (s->change.kind != AK_RECORD_DELETE) {
        if (atomic_load(&c->engine->disk.low)) {
            refuse(s, AK_EFULL, "there is little room on the disk");
            return;
        }
        if (ak_collection_full(c, s->bytes)) {
            refuse(s, AK_EBUSY, "the queue of this collection is full");
            return;
        }
    }
    j = calloc(1, sizeof(*j));
    if (j == NULL) {
        refuse(s, AK_ENOMEM, "no memory for a request");
        return;
    }
    j->job.apply = submit_apply;
    j->job.done = submit_done;
    j->job.bytes = s->bytes;
    j->job.since_ns = ak_clock_ns();
    j->submission = s;
    s->collection = ak_collection_ref(c);
    ak_writer_push(c->engine->writer, &c->lane, &j->job);
}

static void appended(struct ak_submission *s, enum ak_status status,
                     const struct ak_receipt *receipt, const struct ak_err *err)
{
    (void)receipt;
    if (status != AK_OK && status != AK_ENOTFOUND && status != AK_EFULL)
        ak_log_warn("engine", "a record of a policy was not appended",
                    AK_TEXT("reason", err->text));
    free(s);
}

void ak_collection_append(struct ak_collection *c, enum ak_record_kind kind,
                          uint64_t cause)
{
    struct ak_submission *s;

    /* In either case the policy comes again at its next mark. */
    if (atomic_load(&c->engine->disk.low))
        return;
    s = calloc(1, sizeof(*s));
    if (s == NULL)
        return;
    s->change.kind = kind;
    s->change.cause = cause;
    s->change.now_ms = ak_time_ms();
    s->done = appended;
    ak_collection_submit(c, s);
}

/* ---------------------------------------------------------------- reading */

struct ak_snapshot *ak_collection_snapshot(struct ak_collection *c)
{
    return ak_index_snapshot(c->index);
}

struct ak_encoder *ak_collection_model(const struct ak_snapshot *s)
{
    return (struct ak_encoder *)ak_snapshot_model(s);
}

enum ak_status ak_collection_borrow(struct ak_collection *c,
                                    struct ak_view **out, struct ak_err *err)
{
    struct ak_view *view = NULL;
    bool gone;

    pthread_mutex_lock(&c->lock);
    gone = c->state == AK_GONE;
    if (!gone && c->n_views > 0)
        view = c->views[--c->n_views];
    pthread_mutex_unlock(&c->lock);
    if (gone)
        return ak_fail(err, AK_ENOTFOUND, "the collection was deleted");
    if (view == NULL) {
        enum ak_status status = ak_collection_open_view(c, &view, err);

        if (status != AK_OK)
            return status;
    }
    *out = view;
    return AK_OK;
}

void ak_collection_return(struct ak_collection *c, struct ak_view *view)
{
    ak_view_trim(view);
    pthread_mutex_lock(&c->lock);
    if (c->state != AK_GONE && c->n_views < AK_IDLE_VIEWS) {
        c->views[c->n_views++] = view;
        view = NULL;
    }
    pthread_mutex_unlock(&c->lock);
    ak_view_close(view);
}

const char *ak_collection_label(struct ak_collection *c, uint32_t number)
{
    return ak_labels_name(c->labels, number);
}

bool ak_collection_label_number(struct ak_collection *c, const char *name,
                                size_t len, uint32_t *number)
{
    return ak_labels_find(c->labels, name, len, number);
}

enum ak_status ak_collection_outcome(struct ak_collection *c, uint64_t seq,
                                     char **text, struct ak_err *err)
{
    struct ak_view *view = NULL;
    struct ak_bytes bytes;
    enum ak_status status;

    *text = NULL;
    pthread_mutex_lock(&c->lock);
    for (const struct ak_outcome *o = c->outcomes; o != NULL; o = o->next)
        if (o->seq == seq)
            *text = strdup(o->text);
    pthread_mutex_unlock(&c->lock);
    if (*text != NULL)
        return AK_OK;
    status = ak_collection_borrow(c, &view, err);
    if (status != AK_OK)
        return status;
    status = ak_view_outcome(view, seq, &bytes, err);
    if (status == AK_OK) {
        *text = strndup(bytes.data, bytes.len);
        if (*text == NULL)
            status = ak_fail(err, AK_ENOMEM, "no memory for an answer");
    }
    ak_collection_return(c, view);
    return status;
}

enum ak_status ak_collection_quality(struct ak_collection *c,
                                     struct ak_quality_report **out,
                                     struct ak_err *err)
{
    enum ak_status status = AK_OK;

    *out = NULL;
    pthread_mutex_lock(&c->lock);
    if (c->quality != NULL)
        *out = ak_quality_report_copy(c->quality);
    else
        status = AK_ENOTFOUND;
    pthread_mutex_unlock(&c->lock);
    if (status == AK_ENOTFOUND)
        return ak_fail(err, status, "this collection does not learn");
    if (*out == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for an answer");
    return AK_OK;
}

/* ----------------------------------------------------------------- format */

void ak_collection_pack(const struct ak_settings *s, const float *x, size_t n,
                        void *block)
{
    size_t count = n * s->dim;

    if (s->format == AK_FORMAT_F16)
        ak_half_pack(x, count, block);
    else
        memcpy(block, x, count * sizeof(*x));
}

void ak_collection_unpack(const struct ak_settings *s, const void *block,
                          size_t n, float *x)
{
    size_t count = n * s->dim;

    if (s->format == AK_FORMAT_F16)
        ak_half_unpack(block, count, x);
    else
        memcpy(x, block, count * sizeof(*x));
}

void ak_collection_round(const struct ak_settings *s, float *x, size_t n)
{
    if (s->format != AK_FORMAT_F16)
        return;
    for (size_t i = 0; i < n; i++)
        x[i] = ak_half_to_float(ak_half_from_float(x[i]));
}

/* ----------------------------------------------------------------- status */

static const char *state_name(const struct ak_collection_status *s)
{
    if (s->broken)
        return "broken";
    if (s->publish_remaining_rows > 0)
        return "publishing";
    if (s->warming)
        return "warming";
    return s->learned_seq < s->durable_seq ? "behind" : "ready";
}

void ak_collection_status(struct ak_collection *c,
                          struct ak_collection_status *out)
{
    struct ak_snapshot *snapshot = ak_index_snapshot(c->index);
    uint64_t now = ak_clock_ns();
    struct ak_lane_load load;
    uint32_t max_labels;

    ak_lane_load(c->engine->writer, &c->lane, &load);
    pthread_mutex_lock(&c->lock);
    *out = c->status;
    max_labels =
        ak_settings_learns(&c->settings) ? c->settings.max_labels : UINT32_MAX;
    out->durable_seq = c->reached.seq[AK_ACK_DURABLE];
    out->learned_seq = c->reached.seq[AK_ACK_LEARNED];
    out->visible_seq = c->reached.seq[AK_ACK_VISIBLE];
    if (out->live_samples > out->published_samples)
        out->staleness = (double)(out->live_samples - out->published_samples) /
                         (double)out->live_samples;
    out->lag_seconds = ak_lag_seconds(&c->lag, now);
    out->finetune = c->finetune.state;
    out->finetune_running = out->finetune.running;
    out->new_images = out->labelled_images - out->finetune.mark;
    for (const struct ak_job *job = c->parked; job != NULL; job = job->next)
        if (load.oldest_ns == 0 || job->since_ns < load.oldest_ns)
            load.oldest_ns = job->since_ns;
    pthread_mutex_unlock(&c->lock);
    out->items = ak_snapshot_live(snapshot);
    out->rows = ak_snapshot_rows(snapshot);
    out->published = ak_snapshot_version(snapshot);
    out->memory_bytes = ak_snapshot_bytes(snapshot);
    ak_snapshot_drop(snapshot);
    out->labels = ak_labels_count(c->labels);
    if (out->labels > max_labels)
        out->unlearnt_labels = out->labels - max_labels;
    out->queue_records = load.n + atomic_load(&c->n_parked);
    out->queue_bytes = load.bytes + atomic_load(&c->parked_bytes);
    if (load.oldest_ns > 0 && load.oldest_ns < now)
        out->queue_oldest_seconds = (double)(now - load.oldest_ns) * 1e-9;
    out->state = state_name(out);
}

uint64_t ak_collection_visible_seq(struct ak_collection *c)
{
    uint64_t seq;

    pthread_mutex_lock(&c->lock);
    seq = c->reached.seq[AK_ACK_VISIBLE];
    pthread_mutex_unlock(&c->lock);
    return seq;
}
