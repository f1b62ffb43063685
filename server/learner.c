/*
 * learner.c -- the actor that learns from the records, strictly in order.
 *
 * A trainer follows the records, which are read from the file, so that a
 * restart and a run do the same thing.  Around it: what the live model is worth
 * is measured before rows are learnt, publishes are frozen and appended as the
 * policy says, what came of each batch is told.
 *
 * After the record that ended the warm-up a publish is appended.  All of this
 * depends on the records alone.
 *
 * What it cannot read stops it.  When memory is short at a record, that may have
 * been followed by half: the learner waits a second, becomes what it was at its
 * checkpoint, as at a start, and follows the records since again.
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/base/clock.h"
#include "server/engine_internal.h"
#include "server/log.h"

#define SLICE_NS UINT64_C(20000000)

/* A policy publishes only when encoding has had at most this share of a core
   since the publish before: 1 / (1 + 4) = 20 %. */
#define PUBLISH_REST 4

/* Between two tries when memory is short. */
#define MEMORY_NS UINT64_C(1000000000)

void ak_learner_report_pending(struct ak_collection *c)
{
    const struct ak_trainer *t = c->learner.trainer;
    uint64_t pending = ak_trainer_pending(t);

    pthread_mutex_lock(&c->lock);
    c->status.pending_rows = pending;
    c->status.warming =
        pending > 0 && (ak_trainer_warmed_at(t) == 0 || ak_trainer_waits(t));
    c->can_flush = ak_trainer_can_flush(t);
    pthread_mutex_unlock(&c->lock);
}

/* What came of a batch, for who asks. */
static void write_outcome(const struct ak_collection *c,
                          const struct ak_trained *out, struct ak_outcome *o)
{
    const struct ak_hash_loss *loss = &out->loss;

    if (out->refused > 0)
        snprintf(o->text, sizeof(o->text), "{\"rejected\":true}");
    else if (c->status.live.queries > 0)
        snprintf(o->text, sizeof(o->text),
                 "{\"learnt\":%llu,\"skipped\":%llu,\"loss\":%.6g,"
                 "\"map_at_r\":%.6g}",
                 (unsigned long long)loss->learnt,
                 (unsigned long long)loss->skipped, loss->loss,
                 c->status.live.map_at_r);
    else
        snprintf(o->text, sizeof(o->text),
                 "{\"learnt\":%llu,\"skipped\":%llu,\"loss\":%.6g}",
                 (unsigned long long)loss->learnt,
                 (unsigned long long)loss->skipped, loss->loss);
}

/* A record was followed. */
static void report(struct ak_collection *c, const struct ak_record *rec,
                   uint64_t ns, const struct ak_trained *out)
{
    struct ak_learner *l = &c->learner;
    bool batch = rec->kind == AK_RECORD_BATCH;
    struct ak_outcome *o = batch ? calloc(1, sizeof(*o)) : NULL;

    if (out->refused > 0)
        ak_log_warn("engine", "an update was refused and undone",
                    AK_TEXT("collection", c->settings.name),
                    AK_NUMBER("seq", rec->seq), AK_TEXT("reason", out->reason));
    pthread_mutex_lock(&c->lock);
    c->status.learn_seconds += (double)ns * 1e-9;
    c->status.live_samples = ak_hash_samples(ak_learner_hash(l));
    c->status.learner_bytes =
        ak_trainer_bytes(l->trainer) + ak_view_bytes(l->view);
    c->status.rollbacks += out->refused;
    c->status.learnt_rows += out->loss.learnt;
    if (out->loss.learnt > 0)
        c->status.last_loss = out->loss.loss;
    if (batch && out->refused > 0)
        c->status.rejected_batches++;
    if (batch && out->refused == 0) {
        c->status.learnt_batches++;
        c->status.skipped_rows += out->loss.skipped;
    }
    if (o != NULL) {
        o->seq = rec->seq;
        write_outcome(c, out, o);
        o->next = c->outcomes;
        c->outcomes = o;
    }
    pthread_mutex_unlock(&c->lock);
}

static enum ak_status follow(struct ak_collection *c,
                             const struct ak_record *rec,
                             struct ak_trained *out, struct ak_err *err)
{
    struct ak_learner *l = &c->learner;
    uint64_t start = ak_clock_ns();
    enum ak_status status =
        ak_trainer_follow(l->trainer, l->view, rec, out, err);

    if (status == AK_OK && !out->warmed)
        report(c, rec, ak_clock_ns() - start, out);
    if (status == AK_OK)
        ak_learner_report_pending(c);
    return status;
}

static enum ak_status learn_batch(struct ak_collection *c,
                                  const struct ak_record *rec,
                                  struct ak_trained *out, struct ak_err *err)
{
    struct ak_learner *l = &c->learner;
    enum ak_status status = ak_learner_measure(c, rec, err);

    if (status == AK_OK)
        status = follow(c, rec, out, err);
    if (status != AK_OK)
        return status;
    l->since_batches++;
    l->learnt_batches++;
    return ak_learner_offer(c, rec, err);
}

/* Every so many batches there is a mark: a publish is due, or the gate is asked
   whether it is.  What it refuses is not due any more. */
static enum ak_status count_batch(struct ak_collection *c, uint64_t seq,
                                  struct ak_err *err)
{
    struct ak_learner *l = &c->learner;
    struct ak_settings settings;
    enum ak_status status = AK_OK;
    bool publish = true;

    ak_collection_settings(c, &settings);
    if (settings.policy == AK_POLICY_MANUAL ||
        ak_trainer_has_taken(l->trainer) || /* it is as it was */
        l->learnt_batches % settings.every_batches != 0)
        return AK_OK;
    if (settings.policy == AK_POLICY_QUALITY)
        status = ak_learner_gate(c, &settings, seq, &publish, err);
    if (status == AK_OK)
        l->due_seq = publish ? seq : 0;
    return status;
}

/* Appends the publish that is due, as soon as codes were not encoded again only
   just now.  Marks that pass meanwhile are one publish. */
static void follow_policy(struct ak_collection *c)
{
    struct ak_learner *l = &c->learner;
    uint64_t due, now = ak_clock_ns();

    if (l->due_seq == 0)
        return;
    pthread_mutex_lock(&c->lock);
    /* What is about to be installed would take its place at once. */
    due = !c->rebuilding && c->status.publish_remaining_rows == 0 &&
                  now - c->last_publish_ns >=
                      PUBLISH_REST * c->last_publish_cost_ns
              ? l->due_seq
              : 0;
    pthread_mutex_unlock(&c->lock);
    if (due == 0)
        return;
    l->due_seq = 0;
    ak_collection_append(c, AK_RECORD_PUBLISH, due);
}

/* A rebuild is wanted, of all that there is up to this record. */
static void want_rebuild(struct ak_learner *l, uint64_t seq,
                         enum ak_rebuild_why why)
{
    l->rebuild_due = seq;
    l->rebuild_why = why;
}

/* Labelled rows of a method that learns by passes, before it does so by
   itself. */
#define FIRST_ROWS 2000

/* A record before anything is learnt; a publish has nothing to freeze. */
static enum ak_status warm_up(struct ak_collection *c,
                              const struct ak_record *rec,
                              struct ak_trained *out, struct ak_err *err)
{
    struct ak_learner *l = &c->learner;
    struct ak_trainer *t = l->trainer;
    uint64_t before = ak_trainer_pending(t), rows = before + rec->n;
    uint64_t seq = rec->seq;
    bool publish = rec->kind == AK_RECORD_PUBLISH;
    enum ak_status status = ak_trainer_follow(t, l->view, rec, out, err);

    if (status != AK_OK)
        return status;
    ak_learner_report_pending(c);
    if (out->warmed)
        ak_log_info("engine", "warm-up ended",
                    AK_TEXT("collection", c->settings.name),
                    AK_NUMBER("rows", rows), AK_NUMBER("seq", seq));
    else if (publish && ak_trainer_waits(t) && before > 0)
        want_rebuild(l, seq, AK_REBUILD_PUBLISH);
    else if (publish)
        ak_collection_advance(c, AK_ACK_SERVED, seq);
    else if (ak_trainer_waits(t) && before < FIRST_ROWS &&
             ak_trainer_pending(t) >= FIRST_ROWS)
        want_rebuild(l, seq, AK_REBUILD_FIRST);
    return AK_OK;
}

/* What a person publishes of a method that learns by passes is trained to its
   end first. */
static enum ak_status publish(struct ak_collection *c,
                              const struct ak_record *rec, struct ak_err *err)
{
    struct ak_learner *l = &c->learner;

    if (!ak_trainer_method(l->trainer)->by_epochs || rec->cause > 0 ||
        ak_trainer_has_taken(l->trainer))
        return ak_learner_publish(c, rec, err);
    want_rebuild(l, rec->seq, AK_REBUILD_PUBLISH);
    return AK_OK;
}

static enum ak_status install(struct ak_collection *c,
                              const struct ak_record *rec,
                              struct ak_trained *out, struct ak_err *err)
{
    enum ak_status status = ak_learner_install(c, rec, err);

    if (status != AK_OK)
        return status;
    report(c, rec, 0, out);
    ak_learner_report_pending(c);
    pthread_mutex_lock(&c->lock);
    c->status.debt = ak_debt_ratio(&c->learner.debt);
    pthread_mutex_unlock(&c->lock);
    return ak_learner_publish(c, rec, err);
}

static enum ak_status learn(struct ak_collection *c,
                            const struct ak_record *rec, struct ak_trained *out,
                            struct ak_err *err)
{
    const struct ak_trainer *t = c->learner.trainer;
    uint64_t seq = rec->seq;
    enum ak_record_kind kind = rec->kind;
    enum ak_status status;

    if (kind == AK_RECORD_INSTALL)
        return install(c, rec, out, err);
    if (ak_trainer_warmed_at(t) == 0 || ak_trainer_waits(t))
        return warm_up(c, rec, out, err);
    if (kind == AK_RECORD_BATCH)
        status = learn_batch(c, rec, out, err);
    else
        status = follow(c, rec, out, err);
    if (status == AK_OK && kind == AK_RECORD_BATCH)
        status = count_batch(c, seq, err);
    if (status == AK_OK && kind != AK_RECORD_BATCH)
        status = ak_learner_note(c, rec, err);
    if (status == AK_OK && kind == AK_RECORD_PUBLISH)
        status = publish(c, rec, err);
    if (status == AK_OK)
        status = ak_learner_count_debt(c, rec, err);
    if (status == AK_OK && seq == ak_trainer_warmed_at(t) &&
        kind != AK_RECORD_PUBLISH)
        ak_collection_append(c, AK_RECORD_PUBLISH, seq);
    return status;
}

static uint64_t seq_now(const struct ak_learner *l)
{
    return l->trainer != NULL ? ak_trainer_seq(l->trainer) : 0;
}

static void stop(struct ak_collection *c, const struct ak_err *err)
{
    c->learner.broken = true;
    pthread_mutex_lock(&c->lock);
    c->status.broken = true;
    pthread_mutex_unlock(&c->lock);
    ak_log_error("engine", "learning stopped",
                 AK_TEXT("collection", c->settings.name),
                 AK_NUMBER("after_seq", seq_now(&c->learner)),
                 AK_TEXT("reason", err->text));
}

/* Until the clock wakes it. */
static void wait_for_memory(struct ak_collection *c)
{
    uint64_t ns = c->learner.memory_ns > 0 ? c->learner.memory_ns : MEMORY_NS;

    pthread_mutex_lock(&c->lock);
    c->learn_due_ns = ak_clock_ns() + ns;
    pthread_mutex_unlock(&c->lock);
}

/* What came of the records since the checkpoint will be told again. */
static void forget_outcomes(struct ak_collection *c)
{
    struct ak_outcome *o;

    pthread_mutex_lock(&c->lock);
    o = c->outcomes;
    c->outcomes = NULL;
    pthread_mutex_unlock(&c->lock);
    while (o != NULL) {
        struct ak_outcome *next = o->next;

        free(o);
        o = next;
    }
}

/* True when it may go on. */
static bool begin_again(struct ak_collection *c)
{
    struct ak_learner *l = &c->learner;
    struct ak_err err = {0};
    enum ak_status status;

    /* The one on its way has outcomes of ours. */
    if (atomic_load(&l->saving)) {
        wait_for_memory(c);
        return false;
    }
    forget_outcomes(c);
    status = ak_learner_load(c, &err);
    if (status == AK_ENOMEM) {
        wait_for_memory(c);
        return false;
    }
    if (status != AK_OK) {
        stop(c, &err);
        return false;
    }
    l->lost = false;
    ak_log_info("engine", "learning goes on",
                AK_TEXT("collection", c->settings.name),
                AK_NUMBER("after_seq", seq_now(l)));
    return true;
}

/* A slice ended with `err`. */
static void fail(struct ak_collection *c, const struct ak_err *err)
{
    if (err->status == AK_ECANCELED) /* by the end of the daemon */
        return;
    if (err->status != AK_ENOMEM) {
        stop(c, err);
        return;
    }
    ak_log_warn("engine", "learning waits for memory",
                AK_TEXT("collection", c->settings.name),
                AK_NUMBER("after_seq", seq_now(&c->learner)),
                AK_TEXT("reason", err->text));
    c->learner.lost = true;
    wait_for_memory(c);
}

/* A kind that does not learn has learnt everything at once. */
static void pass_all(struct ak_collection *c)
{
    uint64_t durable;

    pthread_mutex_lock(&c->lock);
    durable = c->reached.seq[AK_ACK_DURABLE];
    pthread_mutex_unlock(&c->lock);
    ak_collection_advance(c, AK_ACK_LEARNED, durable);
}

static void note_caught_up(struct ak_collection *c)
{
    const struct ak_learner *l = &c->learner;

    pthread_mutex_lock(&c->lock);
    c->unsaved = l->due_seq > 0 || l->rebuild_due > 0 ||
                 (ak_trainer_can_save(l->trainer) &&
                  ak_trainer_seq(l->trainer) != l->saved_seq);
    pthread_mutex_unlock(&c->lock);
}

static enum ak_status learn_records(struct ak_collection *c, bool *more,
                                    struct ak_err *err)
{
    struct ak_learner *l = &c->learner;
    uint64_t start = ak_clock_ns();
    enum ak_status status = AK_OK;

    *more = true;
    while (status == AK_OK && ak_clock_ns() - start < SLICE_NS) {
        struct ak_record rec;
        struct ak_trained out = {.refused = 0};

        status = ak_view_record(l->view, ak_trainer_seq(l->trainer), &rec, err);
        if (status == AK_ENOTFOUND) {
            *more = false;
            return AK_OK;
        }
        if (status == AK_OK)
            status = learn(c, &rec, &out, err);
        if (status != AK_OK || out.warmed)
            break;
        ak_collection_advance(c, AK_ACK_LEARNED,
                              ak_trainer_absorbed(l->trainer));
    }
    return status;
}

bool ak_learner_slice(struct ak_actor *actor)
{
    struct ak_collection *c = ak_learner_owner(actor);
    struct ak_learner *l = &c->learner;
    struct ak_err err = {0};
    bool serving, waits, more = false;

    pthread_mutex_lock(&c->lock);
    serving = c->state == AK_SERVING;
    waits = c->learn_due_ns > 0;
    pthread_mutex_unlock(&c->lock);
    if (!serving || waits || l->broken || atomic_load(&c->engine->stopping))
        return false;
    if (l->lost && !begin_again(c))
        return false;
    if (l->trainer == NULL) {
        pass_all(c);
        return false;
    }
    if (learn_records(c, &more, &err) != AK_OK) {
        fail(c, &err);
        return false;
    }
    follow_policy(c);
    ak_learner_ask_rebuild(c);
    if (!more)
        note_caught_up(c);
    ak_learner_save_if_due(c);
    return more;
}
