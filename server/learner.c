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
 * Checkpoints are asked of the writer every 64 batches or 5 seconds and hold
 * everything that the next record needs.
 *
 * What it cannot read stops it.  When memory is short at a record, that may have
 * been followed by half: the learner waits a second, becomes what it was at its
 * checkpoint, as at a start, and follows the records since again.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/moment.h"
#include "core/code/hamming.h"
#include "server/engine_internal.h"
#include "server/log.h"
#include <config.h>

#define SLICE_NS           UINT64_C(20000000)
#define CHECKPOINT_BATCHES 64
#define CHECKPOINT_NS      UINT64_C(5000000000)

/* A policy publishes only when encoding has had at most this share of a core
   since the publish before: 1 / (1 + 4) = 20 %. */
#define PUBLISH_REST 4

/* Between two tries when memory is short. */
#define MEMORY_NS UINT64_C(1000000000)

#define STATE_FORMAT 3

void ak_learner_clear(struct ak_learner *l)
{
    ak_view_close(l->view);
    ak_trainer_destroy(l->trainer);
    ak_ref_drop((struct ak_ref *)l->map);
    ak_quality_destroy(l->quality);
    ak_debt_clear(&l->debt);
}

static const struct ak_hash *hash_of(const struct ak_learner *l)
{
    return ak_trainer_hash(l->trainer);
}

/* ------------------------------------------------------------- checkpoints */

struct checkpoint_job {
    struct ak_job job; /* first */
    struct ak_collection *c;
    struct ak_checkpoint checkpoint;
    struct ak_writer constants, state;
    struct ak_outcome *outcomes; /* to be stored with it, latest first */
};

static enum ak_status
checkpoint_apply(struct ak_job *job, struct ak_store *store, struct ak_err *err)
{
    struct checkpoint_job *j = (struct checkpoint_job *)job;
    enum ak_status status = AK_OK;

    for (const struct ak_outcome *o = j->outcomes; o && status == AK_OK;
         o = o->next) {
        struct ak_bytes text = {o->text, strlen(o->text)};

        status = ak_store_put_outcome(store, o->seq, text, err);
    }
    if (status == AK_OK)
        status = ak_store_put_checkpoint(store, &j->checkpoint, err);
    return status;
}

static void checkpoint_done(struct ak_job *job, enum ak_status status,
                            const struct ak_err *err)
{
    struct checkpoint_job *j = (struct checkpoint_job *)job;
    struct ak_collection *c = j->c;
    struct ak_outcome **at;

    ak_moment(AK_AT_CHECKPOINTED);
    if (status == AK_EFULL) {
        ak_disk_wait(c->engine, job);
        return;
    }
    if (status != AK_OK && status != AK_ENOTFOUND && status != AK_ECANCELED)
        ak_log_warn("engine", "a checkpoint was not stored",
                    AK_TEXT("collection", c->settings.name),
                    AK_NUMBER("seq", j->checkpoint.learned_seq),
                    AK_TEXT("reason", err->text));
    pthread_mutex_lock(&c->lock);
    /* Those that are in the file now are the tail of the list. */
    for (at = &c->outcomes; *at != NULL && *at != j->outcomes;)
        at = &(*at)->next;
    if (status == AK_OK)
        *at = NULL;
    if (status == AK_OK) {
        c->status.checkpoint_ms = ak_time_ms();
        c->stored_seq = j->checkpoint.learned_seq;
    }
    pthread_mutex_unlock(&c->lock);
    while (status == AK_OK && j->outcomes != NULL) {
        struct ak_outcome *next = j->outcomes->next;

        free(j->outcomes);
        j->outcomes = next;
    }
    atomic_store(&c->learner.saving, false);
    ak_writer_clear(&j->constants);
    ak_writer_clear(&j->state);
    ak_collection_drop(c);
    free(j);
}

static enum ak_status write_state(struct ak_learner *l, struct ak_writer *w,
                                  struct ak_err *err)
{
    struct ak_writer quality = {0};
    enum ak_status status;

    ak_write_u32(w, STATE_FORMAT);
    ak_write_u64(w, l->generation);
    ak_debt_save(&l->debt, w);
    ak_write_u64(w, l->debt_asked);
    ak_write_u64(w, l->rebuild_due);
    ak_write_u32(w, l->rebuild_why);
    ak_write_u64(w, l->learnt_batches);
    ak_write_u64(w, l->due_seq);
    ak_quality_save(l->quality, &quality);
    ak_write_u64(w, quality.len);
    ak_write_bytes(w, quality.data, quality.len);
    status = quality.status;
    ak_writer_clear(&quality);
    if (status != AK_OK)
        return ak_fail(err, status, "no memory for a checkpoint");
    return ak_trainer_save_state(l->trainer, w, err);
}

/* Hand a checkpoint to the writer.  One at a time is on its way. */
static void save(struct ak_collection *c)
{
    struct ak_learner *l = &c->learner;
    struct checkpoint_job *j;
    struct ak_err err = {0};
    enum ak_status status;

    if (l->trainer == NULL || l->broken || l->lost ||
        !ak_trainer_can_save(l->trainer) ||
        ak_trainer_seq(l->trainer) == l->saved_seq ||
        atomic_exchange(&l->saving, true))
        return;
    j = calloc(1, sizeof(*j));
    if (j == NULL) {
        atomic_store(&l->saving, false);
        return;
    }
    status = write_state(l, &j->state, &err);
    if (status == AK_OK && !l->constants_saved)
        status = ak_trainer_save_constants(l->trainer, &j->constants, &err);
    if (status != AK_OK) {
        ak_log_warn("engine", "a checkpoint was not made",
                    AK_TEXT("collection", c->settings.name),
                    AK_TEXT("reason", err.text));
        ak_writer_clear(&j->constants);
        ak_writer_clear(&j->state);
        free(j);
        atomic_store(&l->saving, false);
        return;
    }
    j->job.apply = checkpoint_apply;
    j->job.done = checkpoint_done;
    j->job.bytes = j->state.len + j->constants.len;
    j->c = ak_collection_ref(c);
    j->checkpoint.learned_seq = ak_trainer_seq(l->trainer);
    j->checkpoint.state = (struct ak_bytes){j->state.data, j->state.len};
    if (!l->constants_saved)
        j->checkpoint.constants =
            (struct ak_bytes){j->constants.data, j->constants.len};
    snprintf(j->checkpoint.fingerprint, sizeof(j->checkpoint.fingerprint),
             "akin %s %s", PACKAGE_VERSION, ak_hamming_kernel()->isa);
    pthread_mutex_lock(&c->lock);
    j->outcomes = c->outcomes;
    pthread_mutex_unlock(&c->lock);
    /* If it fails, the next one that is asked for has them again. */
    l->constants_saved = true;
    l->saved_seq = j->checkpoint.learned_seq;
    l->saved_ns = ak_clock_ns();
    l->since_batches = 0;
    ak_writer_push(c->engine->writer, &c->lane, &j->job);
}

void ak_learner_save(struct ak_collection *c)
{
    save(c);
}

static enum ak_status read_state(struct ak_collection *c,
                                 const struct ak_checkpoint *checkpoint,
                                 struct ak_err *err)
{
    struct ak_learner *l = &c->learner;
    struct ak_reader state, constants, quality;
    const uint8_t *bytes;
    uint64_t len;
    uint32_t format;
    enum ak_status status;

    ak_reader_init(&constants, checkpoint->constants.data,
                   checkpoint->constants.len);
    ak_reader_init(&state, checkpoint->state.data, checkpoint->state.len);
    format = ak_read_u32(&state);
    if (format != STATE_FORMAT)
        return ak_fail(err, AK_ECORRUPT, "checkpoint: format is %u, must be %d",
                       format, STATE_FORMAT);
    (void)ak_read_u64(&state); /* the generation, see generation_of() */
    ak_debt_load(&l->debt, &state);
    l->debt_asked = ak_read_u64(&state);
    l->rebuild_due = ak_read_u64(&state);
    l->rebuild_why = (enum ak_rebuild_why)ak_read_u32(&state);
    l->learnt_batches = ak_read_u64(&state);
    l->due_seq = ak_read_u64(&state);
    len = ak_read_u64(&state);
    bytes = ak_read_span(&state, (size_t)len);
    if (bytes == NULL)
        return ak_fail(err, AK_ECORRUPT, "checkpoint: it is cut short");
    ak_reader_init(&quality, bytes, (size_t)len);
    status = ak_quality_load(l->quality, &quality, err);
    if (status == AK_OK)
        status = ak_trainer_load(l->trainer, &constants, &state, err);
    if (status == AK_OK &&
        ak_trainer_seq(l->trainer) != checkpoint->learned_seq)
        status = ak_fail(err, AK_ECORRUPT,
                         "checkpoint: of record %llu, its state is of %llu",
                         (unsigned long long)checkpoint->learned_seq,
                         (unsigned long long)ak_trainer_seq(l->trainer));
    return status;
}

/* How many rows wait, and for what. */
static void report_pending(struct ak_collection *c)
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

/* The generation that a checkpoint is of; 0 for one that cannot be read. */
static uint64_t generation_of(const struct ak_checkpoint *checkpoint)
{
    struct ak_reader state;
    uint64_t generation;

    ak_reader_init(&state, checkpoint->state.data, checkpoint->state.len);
    if (ak_read_u32(&state) != STATE_FORMAT)
        return 0;
    generation = ak_read_u64(&state);
    return state.status == AK_OK ? generation : 0;
}

/* The meter of quality outlives generations: it is made as in the beginning. */
static enum ak_status make_learner(struct ak_collection *c, uint64_t generation,
                                   struct ak_err *err)
{
    struct ak_learner *l = &c->learner;
    struct ak_settings first, s;
    struct ak_quality_params params;
    enum ak_status status =
        ak_generation_settings(l->view, 0, &c->settings, &first, err);

    if (status == AK_OK)
        status =
            ak_generation_settings(l->view, generation, &c->settings, &s, err);
    if (status == AK_OK)
        status = ak_trainer_create(&s, &l->trainer, err);
    if (status != AK_OK)
        return status;
    l->generation = generation;
    params = (struct ak_quality_params){
        .dim = s.dim,
        .bits = first.bits,
        .max_labels = first.max_labels,
        .seed = first.seed,
        .moving_map = ak_trainer_method(l->trainer)->moving_map};
    return ak_quality_create(&params, &l->quality, err);
}

static void unmake_learner(struct ak_learner *l)
{
    ak_trainer_destroy(l->trainer);
    ak_quality_destroy(l->quality);
    ak_ref_drop((struct ak_ref *)l->map);
    ak_debt_clear(&l->debt);
    l->trainer = NULL;
    l->quality = NULL;
    l->map = NULL;
    l->learnt_batches = l->due_seq = 0;
    l->debt_asked = l->rebuild_due = 0;
    l->saved_seq = l->since_batches = 0;
    l->constants_saved = false;
}

enum ak_status ak_learner_load(struct ak_collection *c, struct ak_err *err)
{
    struct ak_learner *l = &c->learner;
    const struct ak_hash_method *method = ak_hash_find(c->settings.kind);
    struct ak_checkpoint checkpoint;
    uint64_t generation = 0;
    struct ak_err why = {0};
    enum ak_status status, there;

    if (method == NULL || !method->learns)
        return AK_OK;
    there = ak_view_checkpoint(l->view, &checkpoint, err);
    if (there == AK_OK)
        generation = generation_of(&checkpoint);
    else if (there != AK_ENOTFOUND)
        return there;
    status = make_learner(c, generation, err);
    /* To make it was to read other things. */
    if (status == AK_OK && there == AK_OK)
        status = ak_view_checkpoint(l->view, &checkpoint, err);
    if (status != AK_OK)
        return status;
    if (there == AK_ENOTFOUND)
        return ak_learner_watch(c, err);
    status = read_state(c, &checkpoint, &why);
    if (status == AK_OK)
        status = ak_learner_watch(c, &why);
    if (status == AK_OK) {
        l->constants_saved = true;
        l->saved_seq = ak_trainer_seq(l->trainer);
        pthread_mutex_lock(&c->lock);
        c->stored_seq = l->saved_seq;
        c->status.debt = ak_debt_ratio(&l->debt);
        pthread_mutex_unlock(&c->lock);
        report_pending(c);
        return AK_OK;
    }
    if (status != AK_ECORRUPT)
        return ak_fail(err, status, "%s", why.text);
    /* The records are all there: learn them again from the first. */
    ak_log_warn("engine", "the checkpoint cannot be used; learning again",
                AK_TEXT("collection", c->settings.name),
                AK_TEXT("reason", why.text));
    unmake_learner(l);
    status = make_learner(c, 0, err);
    return status == AK_OK ? ak_learner_watch(c, err) : status;
}

/* -------------------------------------------------------------- versions */

struct freeze_job {
    struct ak_job job; /* first */
    struct ak_collection *c;
    struct ak_version version;
    struct ak_encoder *encoder; /* held */
    struct ak_quality replaced; /* of what it takes over from */
    struct ak_writer model;
    uint64_t number;
};

static enum ak_status freeze_apply(struct ak_job *job, struct ak_store *store,
                                   struct ak_err *err)
{
    struct freeze_job *j = (struct freeze_job *)job;
    struct ak_bytes model = {j->model.data, j->model.len};

    return ak_store_put_version(store, &j->version, model, &j->number, err);
}

/* In the file: the indexer may have it.  One that it has not begun yet gives
   way to the newer one and stays unserved. */
static void freeze_done(struct ak_job *job, enum ak_status status,
                        const struct ak_err *err)
{
    struct freeze_job *j = (struct freeze_job *)job;
    struct ak_collection *c = j->c;
    struct ak_encoder *unwanted = j->encoder;
    struct ak_err noted = {0};

    ak_moment(AK_AT_VERSIONED);
    if (status == AK_EFULL) {
        ak_disk_wait(c->engine, job);
        return;
    }
    if (status == AK_OK)
        status =
            ak_collection_note_version(c, j->number, j->version.space, &noted);
    if (status == AK_OK) {
        pthread_mutex_lock(&c->lock);
        unwanted = c->offered.encoder;
        c->offered =
            (struct ak_next_version){.version = j->number,
                                     .seq = j->version.at_seq,
                                     .encoder = j->encoder,
                                     .has_quality = j->replaced.queries > 0,
                                     .quality = j->replaced.map_at_r};
        pthread_mutex_unlock(&c->lock);
        ak_actor_wake(&c->indexer.actor);
    } else if (status != AK_ENOTFOUND && status != AK_ECANCELED) {
        ak_log_error("engine", "a version was not stored",
                     AK_TEXT("collection", c->settings.name),
                     AK_TEXT("reason", err->text));
    }
    ak_ref_drop((struct ak_ref *)unwanted);
    ak_writer_clear(&j->model);
    ak_collection_drop(c);
    free(j);
}

static enum ak_status store_version(struct ak_collection *c,
                                    const struct ak_record *rec,
                                    struct ak_encoder *encoder,
                                    const struct ak_quality *replaced,
                                    struct ak_err *err)
{
    struct freeze_job *j = calloc(1, sizeof(*j));
    enum ak_status status;

    if (j == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory to publish");
    status = ak_encoder_save(encoder, &j->model, err);
    if (status != AK_OK) {
        ak_writer_clear(&j->model);
        free(j);
        return status;
    }
    j->job.apply = freeze_apply;
    j->job.done = freeze_done;
    j->job.bytes = j->model.len;
    j->c = ak_collection_ref(c);
    ak_ref_take((struct ak_ref *)encoder);
    j->encoder = encoder;
    j->replaced = *replaced;
    j->version = (struct ak_version){
        .state = AK_VERSION_ENCODING,
        .at_seq = rec->seq,
        .samples = ak_hash_samples(hash_of(&c->learner)),
        .created_ms = rec->time_ms,
        .served_quality = NAN,
        .model_len = j->model.len,
        .space = ak_trainer_settings(c->learner.trainer)->space,
    };
    ak_writer_push(c->engine->writer, &c->lane, &j->job);
    return AK_OK;
}

enum ak_status ak_learner_freeze(struct ak_collection *c,
                                 struct ak_encoder **out, struct ak_err *err)
{
    struct ak_err why = {0};
    enum ak_status status = ak_hash_freeze(hash_of(&c->learner), out, &why);

    if (status == AK_OK)
        return AK_OK;
    *out = NULL;
    if (status != AK_ENUMERIC)
        return ak_fail(err, status, "%s", why.text);
    ak_log_warn("engine", "the live model cannot be frozen",
                AK_TEXT("collection", c->settings.name),
                AK_TEXT("reason", why.text));
    return AK_OK;
}

void ak_learner_adopt(struct ak_collection *c, struct ak_trainer *trainer,
                      uint64_t seq)
{
    struct ak_learner *l = &c->learner;

    ak_trainer_destroy(l->trainer);
    l->trainer = trainer;
    ak_ref_drop((struct ak_ref *)l->map);
    l->map = NULL;
    ak_quality_remap(l->quality, ak_trainer_settings(trainer)->dim,
                     ak_trainer_method(trainer)->moving_map, seq);
    l->constants_saved = false;
    l->since_batches = CHECKPOINT_BATCHES; /* so that the next slice saves */
    report_pending(c);
}

enum ak_status ak_learner_publish(struct ak_collection *c,
                                  const struct ak_record *rec,
                                  struct ak_err *err)
{
    struct ak_encoder *encoder = NULL;
    struct ak_quality replaced;
    enum ak_status status;
    bool served;

    if (ak_hash_samples(hash_of(&c->learner)) == 0) {
        /* Nothing learnt: every code would be the same. */
        ak_collection_advance(c, AK_ACK_SERVED, rec->seq);
        return AK_OK;
    }
    status = ak_learner_freeze(c, &encoder, err);
    if (status == AK_OK && encoder == NULL) {
        ak_collection_advance(c, AK_ACK_SERVED, rec->seq);
        return AK_OK;
    }
    if (status == AK_OK)
        status = ak_learner_published(c, rec->seq, encoder, &replaced, err);
    pthread_mutex_lock(&c->lock);
    served = c->reached.seq[AK_ACK_SERVED] >= rec->seq;
    pthread_mutex_unlock(&c->lock);
    if (status == AK_OK && !served) /* else a replay of what was done */
        status = store_version(c, rec, encoder, &replaced, err);
    ak_ref_drop((struct ak_ref *)encoder);
    return status;
}

/* --------------------------------------------------------------- records */

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
    c->status.live_samples = ak_hash_samples(hash_of(l));
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
        report_pending(c);
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
    report_pending(c);
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
    report_pending(c);
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
    unmake_learner(l);
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
    if (l->since_batches >= CHECKPOINT_BATCHES ||
        ak_clock_ns() - l->saved_ns >= CHECKPOINT_NS)
        save(c);
    return more;
}
