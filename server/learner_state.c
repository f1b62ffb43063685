/*
 * learner_state.c -- what a learner has become: made, saved, and loaded.
 *
 * A checkpoint holds everything that the next record needs.  One is asked of the
 * writer every 64 batches or 5 seconds, and takes along what came of the records
 * since the one before.  One that cannot be used costs time and nothing else: the
 * records are learnt again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/moment.h"
#include "core/code/hamming.h"
#include "server/engine_internal.h"
#include "server/log.h"
#include <config.h>

#define CHECKPOINT_BATCHES 64
#define CHECKPOINT_NS      UINT64_C(5000000000)

#define STATE_FORMAT 3

/* ------------------------------------------------------------------- life */

static void unmake(struct ak_learner *l)
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

void ak_learner_clear(struct ak_learner *l)
{
    ak_view_close(l->view);
    unmake(l);
}

/* The meter of quality outlives generations: it is made as in the beginning. */
static enum ak_status make(struct ak_collection *c, uint64_t generation,
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

/* ----------------------------------------------------------------- saving */

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

/* One at a time is on its way. */
void ak_learner_save(struct ak_collection *c)
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

void ak_learner_save_if_due(struct ak_collection *c)
{
    const struct ak_learner *l = &c->learner;

    if (l->since_batches >= CHECKPOINT_BATCHES ||
        ak_clock_ns() - l->saved_ns >= CHECKPOINT_NS)
        ak_learner_save(c);
}

/* ---------------------------------------------------------------- loading */

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

enum ak_status ak_learner_load(struct ak_collection *c, struct ak_err *err)
{
    struct ak_learner *l = &c->learner;
    const struct ak_hash_method *method = ak_hash_find(c->settings.kind);
    struct ak_checkpoint checkpoint;
    uint64_t generation = 0;
    struct ak_err why = {0};
    enum ak_status status, there;

    unmake(l);
    if (method == NULL || !method->learns)
        return AK_OK;
    there = ak_view_checkpoint(l->view, &checkpoint, err);
    if (there == AK_OK)
        generation = generation_of(&checkpoint);
    else if (there != AK_ENOTFOUND)
        return there;
    status = make(c, generation, err);
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
        ak_learner_report_pending(c);
        return AK_OK;
    }
    if (status != AK_ECORRUPT)
        return ak_fail(err, status, "%s", why.text);
    /* The records are all there: learn them again from the first. */
    ak_log_warn("engine", "the checkpoint cannot be used; learning again",
                AK_TEXT("collection", c->settings.name),
                AK_TEXT("reason", why.text));
    unmake(l);
    status = make(c, 0, err);
    return status == AK_OK ? ak_learner_watch(c, err) : status;
}
