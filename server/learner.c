/*
 * learner.c -- the actor that learns from the records, strictly in order.
 *
 * It reads them from the file, so that a restart and a run do the same thing.
 *
 * Warm-up: a feature map wants rows before it can be fixed.  Until there are
 * enough, records are only counted; the record that completes them (or asks for
 * it: a flush, a publish) ends the warm-up: the map is fixed with the first
 * rows of the stream, and the learner goes back to the first record and learns.
 * After the record that ended it, a publish is appended.  All of this depends
 * on the records alone.
 *
 * Checkpoints are asked of the writer every 64 batches or 5 seconds and hold
 * everything that the next record needs.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/code/hamming.h"
#include "server/engine_internal.h"
#include "server/log.h"
#include <config.h>

#define SLICE_NS           UINT64_C(20000000)
#define CHECKPOINT_BATCHES 64
#define CHECKPOINT_NS      UINT64_C(5000000000)

/* Rows before the first publish of a method that has no map to fix. */
#define LEAST_WARMUP 2000

/* A policy publishes only when encoding has had at most this share of a core
   since the publish before: 1 / (1 + 4) = 20 %. */
#define PUBLISH_REST 4

#define STATE_FORMAT 1

void ak_learner_clear(struct ak_learner *l)
{
    ak_view_close(l->view);
    ak_hash_destroy(l->hash);
    ak_ref_drop((struct ak_ref *)l->map);
    ak_quality_destroy(l->quality);
    free(l->block);
    ak_array_free(l->x);
}

/* Rows [first, first + n) as floats in l->x. */
static enum ak_status read_rows(struct ak_collection *c, uint64_t first,
                                size_t n, struct ak_err *err)
{
    struct ak_learner *l = &c->learner;
    enum ak_status status;

    if (n > l->cap_rows) {
        free(l->block);
        ak_array_free(l->x);
        l->cap_rows = 0;
        l->block = calloc(n, c->shape.row_bytes);
        l->x = ak_array_new(n * c->settings.dim, sizeof(float));
        if (l->block == NULL || l->x == NULL)
            return ak_fail(err, AK_ENOMEM, "no memory to learn %zu rows", n);
        l->cap_rows = n;
    }
    status = ak_view_block(l->view, first, n, l->block, err);
    if (status == AK_OK)
        ak_collection_unpack(&c->settings, l->block, n, l->x);
    return status;
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

    if (status != AK_OK && status != AK_ENOTFOUND)
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
    if (status == AK_OK)
        c->status.checkpoint_ms = ak_time_ms();
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
    ak_write_u64(w, l->warm_seq);
    ak_write_u64(w, l->learnt_batches);
    ak_write_u64(w, l->due_seq);
    ak_quality_save(l->quality, &quality);
    ak_write_u64(w, quality.len);
    ak_write_bytes(w, quality.data, quality.len);
    status = quality.status;
    ak_writer_clear(&quality);
    if (status != AK_OK)
        return ak_fail(err, status, "no memory for a checkpoint");
    return ak_hash_save_state(l->hash, w, err);
}

/* Hand a checkpoint to the writer.  One at a time is on its way. */
static void save(struct ak_collection *c)
{
    struct ak_learner *l = &c->learner;
    struct checkpoint_job *j;
    struct ak_err err = {0};
    enum ak_status status;

    if (l->hash == NULL || l->broken || l->warm_seq == 0 ||
        l->seq == l->saved_seq || atomic_exchange(&l->saving, true))
        return;
    j = calloc(1, sizeof(*j));
    if (j == NULL) {
        atomic_store(&l->saving, false);
        return;
    }
    status = write_state(l, &j->state, &err);
    if (status == AK_OK && !l->constants_saved)
        status = ak_hash_save_constants(l->hash, &j->constants, &err);
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
    j->checkpoint.learned_seq = l->seq;
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
    l->saved_seq = l->seq;
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
    l->warm_seq = l->absorbed = ak_read_u64(&state);
    l->learnt_batches = ak_read_u64(&state);
    l->due_seq = ak_read_u64(&state);
    len = ak_read_u64(&state);
    bytes = ak_read_span(&state, (size_t)len);
    if (bytes == NULL)
        return ak_fail(err, AK_ECORRUPT, "checkpoint: it is cut short");
    ak_reader_init(&quality, bytes, (size_t)len);
    status = ak_quality_load(l->quality, &quality, err);
    if (status == AK_OK)
        status = ak_hash_load(l->hash, &constants, &state, err);
    if (status == AK_OK)
        l->seq = checkpoint->learned_seq;
    return status;
}

static enum ak_status make_learner(struct ak_collection *c, struct ak_err *err)
{
    struct ak_learner *l = &c->learner;
    const struct ak_settings *s = &c->settings;
    struct ak_hash_params params = {.dim = s->dim,
                                    .bits = s->bits,
                                    .max_labels = s->max_labels,
                                    .seed = s->seed};
    enum ak_status status =
        ak_hash_create(s->kind, &params, s->options, &l->hash, err);

    if (status == AK_OK)
        status = ak_quality_create(s->dim, s->bits, s->seed, &l->quality, err);
    return status;
}

enum ak_status ak_learner_load(struct ak_collection *c, struct ak_err *err)
{
    struct ak_learner *l = &c->learner;
    const struct ak_hash_method *method = ak_hash_find(c->settings.kind);
    struct ak_checkpoint checkpoint;
    struct ak_err why = {0};
    enum ak_status status;

    if (method == NULL || !method->learns)
        return AK_OK;
    status = make_learner(c, err);
    if (status != AK_OK)
        return status;
    status = ak_view_checkpoint(l->view, &checkpoint, err);
    if (status == AK_ENOTFOUND)
        return AK_OK;
    if (status != AK_OK)
        return status;
    status = read_state(c, &checkpoint, &why);
    if (status == AK_OK) {
        l->constants_saved = true;
        l->saved_seq = l->seq;
        return AK_OK;
    }
    if (status != AK_ECORRUPT)
        return ak_fail(err, status, "%s", why.text);
    /* The records are all there: learn them again from the first. */
    ak_log_warn("engine", "the checkpoint cannot be used; learning again",
                AK_TEXT("collection", c->settings.name),
                AK_TEXT("reason", why.text));
    ak_hash_destroy(l->hash);
    ak_quality_destroy(l->quality);
    l->hash = NULL;
    l->quality = NULL;
    l->warm_seq = l->absorbed = l->learnt_batches = l->due_seq = 0;
    return make_learner(c, err);
}

/* -------------------------------------------------------------- versions */

struct freeze_job {
    struct ak_job job; /* first */
    struct ak_collection *c;
    struct ak_version version;
    struct ak_encoder *encoder; /* held */
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

    if (status == AK_OK) {
        pthread_mutex_lock(&c->lock);
        unwanted = c->offered.encoder;
        c->offered = (struct ak_next_version){.version = j->number,
                                              .seq = j->version.at_seq,
                                              .encoder = j->encoder};
        pthread_mutex_unlock(&c->lock);
        ak_actor_wake(&c->indexer.actor);
    } else if (status != AK_ENOTFOUND) {
        ak_log_error("engine", "a version was not stored",
                     AK_TEXT("collection", c->settings.name),
                     AK_TEXT("reason", err->text));
    }
    ak_ref_drop((struct ak_ref *)unwanted);
    ak_writer_clear(&j->model);
    ak_collection_drop(c);
    free(j);
}

static enum ak_status freeze(struct ak_collection *c,
                             const struct ak_record *rec, struct ak_err *err)
{
    struct freeze_job *j = calloc(1, sizeof(*j));
    enum ak_status status;

    if (j == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory to publish");
    status = ak_hash_freeze(c->learner.hash, &j->encoder, err);
    if (status == AK_OK)
        status = ak_encoder_save(j->encoder, &j->model, err);
    if (status != AK_OK) {
        ak_ref_drop((struct ak_ref *)j->encoder);
        ak_writer_clear(&j->model);
        free(j);
        return status;
    }
    j->job.apply = freeze_apply;
    j->job.done = freeze_done;
    j->job.bytes = j->model.len;
    j->c = ak_collection_ref(c);
    j->version = (struct ak_version){
        .state = AK_VERSION_ENCODING,
        .at_seq = rec->seq,
        .samples = ak_hash_samples(c->learner.hash),
        .created_ms = rec->time_ms,
        .served_quality = NAN,
        .model_len = j->model.len,
    };
    ak_writer_push(c->engine->writer, &c->lane, &j->job);
    return AK_OK;
}

static enum ak_status learn_publish(struct ak_collection *c,
                                    const struct ak_record *rec,
                                    struct ak_err *err)
{
    bool served;

    pthread_mutex_lock(&c->lock);
    served = c->reached.seq[AK_ACK_SERVED] >= rec->seq;
    pthread_mutex_unlock(&c->lock);
    if (served) /* a replay of what was done */
        return AK_OK;
    if (ak_hash_samples(c->learner.hash) == 0) {
        /* Nothing learnt: every code would be the same. */
        ak_collection_advance(c, AK_ACK_SERVED, rec->seq);
        return AK_OK;
    }
    return freeze(c, rec, err);
}

/* --------------------------------------------------------------- quality */

/* An encoder of this learner, for its map, which never changes.  Until a row is
   learnt there is none: what is frozen then is the floor, without a map. */
static enum ak_status want_map(struct ak_learner *l, struct ak_err *err)
{
    if (l->map != NULL || ak_hash_samples(l->hash) == 0)
        return AK_OK;
    return ak_hash_freeze(l->hash, &l->map, err);
}

/* After a restart: the vectors of the reservoir, from the file. */
static enum ak_status refill(struct ak_collection *c, struct ak_err *err)
{
    struct ak_learner *l = &c->learner;
    enum ak_status status = AK_OK;
    uint64_t ordinal;

    while (status == AK_OK && ak_quality_wants(l->quality, &ordinal)) {
        status = read_rows(c, ordinal, 1, err);
        if (status == AK_OK)
            status = ak_quality_refill(l->quality, l->map, l->x, err);
    }
    return status;
}

/*
 * Rank the rows of a batch before they are learnt.  Rows that were here before
 * (`replaced`) are not a test.
 */
static enum ak_status measure(struct ak_collection *c,
                              const struct ak_hash_batch *batch, bool replaced,
                              struct ak_err *err)
{
    struct ak_learner *l = &c->learner;
    uint64_t start = ak_clock_ns();
    struct ak_encoder *live = NULL;
    struct ak_snapshot *s;
    enum ak_status status;

    if (l->map == NULL) /* nothing learnt yet, so nothing to rank against */
        return AK_OK;
    if (!ak_quality_due(l->quality, batch->n, ak_encoder_map_dim(l->map)) ||
        replaced)
        return AK_OK;
    s = ak_index_snapshot(c->index);
    status = ak_hash_freeze(l->hash, &live, err);
    if (status == AK_OK)
        status = ak_quality_measure(l->quality, live, ak_collection_model(s),
                                    ak_snapshot_version(s), batch, err);
    ak_ref_drop((struct ak_ref *)live);
    ak_snapshot_drop(s);
    pthread_mutex_lock(&c->lock);
    ak_quality_get(l->quality, &c->status.served, &c->status.live);
    c->status.quality_seconds += (double)(ak_clock_ns() - start) * 1e-9;
    pthread_mutex_unlock(&c->lock);
    return status;
}

/* Once learnt, some of the rows are what later ones are ranked against. */
static enum ak_status offer(struct ak_collection *c,
                            const struct ak_hash_batch *batch,
                            uint64_t first_ordinal, struct ak_err *err)
{
    struct ak_learner *l = &c->learner;
    enum ak_status status = want_map(l, err);
    struct ak_snapshot *s;

    if (status != AK_OK || l->map == NULL)
        return status;
    s = ak_index_snapshot(c->index);
    status =
        ak_quality_offer(l->quality, l->map, ak_collection_model(s),
                         ak_snapshot_version(s), batch, first_ordinal, err);
    ak_snapshot_drop(s);
    return status;
}

/* --------------------------------------------------------------- records */

static void report(struct ak_collection *c, uint64_t seq, uint64_t ns,
                   const struct ak_hash_loss *loss,
                   const struct ak_err *refused)
{
    struct ak_learner *l = &c->learner;
    struct ak_outcome *o = calloc(1, sizeof(*o));

    pthread_mutex_lock(&c->lock);
    c->status.learn_seconds += (double)ns * 1e-9;
    c->status.live_samples = ak_hash_samples(l->hash);
    c->status.learner_bytes = ak_hash_bytes(l->hash);
    if (refused != NULL) {
        c->status.rejected_batches++;
    } else {
        c->status.learnt_batches++;
        c->status.learnt_rows += loss->learnt;
        c->status.skipped_rows += loss->skipped;
        c->status.last_loss = loss->loss;
    }
    if (o != NULL) {
        o->seq = seq;
        if (refused != NULL)
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
        o->next = c->outcomes;
        c->outcomes = o;
    }
    pthread_mutex_unlock(&c->lock);
}

static enum ak_status learn_batch(struct ak_collection *c,
                                  const struct ak_record *rec,
                                  struct ak_err *err)
{
    struct ak_learner *l = &c->learner;
    uint64_t start = ak_clock_ns();
    struct ak_hash_batch batch = {
        .labels = rec->labels, .first = rec->label_first, .n = (size_t)rec->n};
    struct ak_hash_loss loss = {0};
    struct ak_err refused = {0};
    enum ak_status status = want_map(l, err);

    if (status == AK_OK)
        status = refill(c, err);
    if (status == AK_OK)
        status = read_rows(c, rec->first_ordinal, batch.n, err);
    batch.x = l->x;
    if (status == AK_OK)
        status = measure(c, &batch, rec->n_ordinals > 0, err);
    if (status != AK_OK)
        return status;
    status = ak_hash_update(l->hash, &batch, &loss, &refused);
    if (status != AK_OK && status != AK_ENUMERIC && status != AK_EINVAL)
        return ak_fail(err, status, "%s", refused.text);
    if (status != AK_OK)
        ak_log_warn("engine", "a batch was not learnt",
                    AK_TEXT("collection", c->settings.name),
                    AK_NUMBER("seq", rec->seq),
                    AK_TEXT("reason", refused.text));
    report(c, rec->seq, ak_clock_ns() - start, &loss,
           status == AK_OK ? NULL : &refused);
    l->since_batches++;
    l->learnt_batches++;
    return offer(c, &batch, rec->first_ordinal, err);
}

/* New labels of a row are one more update with them. */
static enum ak_status learn_relabel(struct ak_collection *c,
                                    const struct ak_record *rec,
                                    struct ak_err *err)
{
    struct ak_learner *l = &c->learner;
    struct ak_hash_batch batch = {
        .labels = rec->labels, .first = rec->label_first, .n = 1};
    struct ak_hash_loss loss = {0};
    struct ak_err refused = {0};
    enum ak_status status = read_rows(c, rec->first_ordinal, 1, err);

    if (status != AK_OK)
        return status;
    batch.x = l->x;
    status = ak_hash_update(l->hash, &batch, &loss, &refused);
    if (status == AK_ENUMERIC || status == AK_EINVAL)
        status = AK_OK;
    else if (status != AK_OK)
        return ak_fail(err, status, "%s", refused.text);
    pthread_mutex_lock(&c->lock);
    c->status.live_samples = ak_hash_samples(c->learner.hash);
    pthread_mutex_unlock(&c->lock);
    return status;
}

/* Under the policy every so many batches make a publish due. */
static void count_batch(struct ak_collection *c, uint64_t seq)
{
    struct ak_learner *l = &c->learner;

    pthread_mutex_lock(&c->lock);
    if (c->settings.policy == AK_POLICY_EVERY_BATCHES &&
        l->learnt_batches % c->settings.every_batches == 0)
        l->due_seq = seq;
    pthread_mutex_unlock(&c->lock);
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
    due = c->status.publish_remaining_rows == 0 &&
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

/* ---------------------------------------------------------------- warm-up */

static size_t warmup_rows(const struct ak_learner *l)
{
    size_t wanted = ak_hash_warmup_rows(l->hash);

    return wanted > 0 ? wanted : LEAST_WARMUP;
}

/* The first `wanted` rows of the stream, or as many as there are up to `seq`,
   from their records; *x is freed with ak_array_free(). */
static enum ak_status gather(struct ak_collection *c, uint64_t seq,
                             size_t wanted, float **x, size_t *n,
                             struct ak_err *err)
{
    struct ak_learner *l = &c->learner;
    size_t dim = c->settings.dim;
    enum ak_status status = AK_OK;
    struct ak_record rec = {0};

    *n = 0;
    *x = ak_array_new(wanted * dim, sizeof(**x));
    if (*x == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory to warm up with %zu rows",
                       wanted);
    while (status == AK_OK && *n < wanted && rec.seq < seq) {
        size_t take;

        status = ak_view_record(l->view, rec.seq, &rec, err);
        if (status != AK_OK)
            break;
        if (rec.kind != AK_RECORD_BATCH && rec.kind != AK_RECORD_UPSERT)
            continue;
        take = wanted - *n < rec.n ? wanted - *n : (size_t)rec.n;
        status = read_rows(c, rec.first_ordinal, take, err);
        if (status == AK_OK)
            memcpy(*x + *n * dim, l->x, take * dim * sizeof(**x));
        *n += take;
    }
    if (status != AK_OK) {
        ak_array_free(*x);
        *x = NULL;
    }
    return status;
}

static void report_pending(struct ak_collection *c, uint64_t rows)
{
    pthread_mutex_lock(&c->lock);
    c->status.pending_rows = rows;
    pthread_mutex_unlock(&c->lock);
}

/* `seq` completes the warm-up: fix the map and begin with the first record. */
static enum ak_status end_warmup(struct ak_collection *c, uint64_t seq,
                                 struct ak_err *err)
{
    struct ak_learner *l = &c->learner;
    size_t wanted = ak_hash_warmup_rows(l->hash), n = 0;
    float *x = NULL;
    enum ak_status status = AK_OK;

    if (wanted > 0) {
        status = gather(c, seq, wanted, &x, &n, err);
        if (status == AK_OK)
            status = ak_hash_fix(l->hash, x, n, err);
        ak_array_free(x);
    }
    if (status != AK_OK)
        return status;
    ak_log_info("engine", "warm-up ended",
                AK_TEXT("collection", c->settings.name),
                AK_NUMBER("rows", l->warm_rows), AK_NUMBER("seq", seq));
    l->warm_seq = l->absorbed = seq;
    l->seq = 0;
    report_pending(c, 0);
    return AK_OK;
}

/* A record before the map is fixed; *ended when it was the last such one, and
   then the learner stands before the first record. */
static enum ak_status warm_up(struct ak_collection *c,
                              const struct ak_record *rec, bool *ended,
                              struct ak_err *err)
{
    struct ak_learner *l = &c->learner;
    bool rows = rec->kind == AK_RECORD_BATCH || rec->kind == AK_RECORD_UPSERT;
    bool asked = rec->kind == AK_RECORD_FLUSH || rec->kind == AK_RECORD_PUBLISH;

    if (rows)
        l->warm_rows += rec->n;
    *ended = l->warm_rows >= warmup_rows(l) || (asked && l->warm_rows > 0);
    if (*ended)
        return end_warmup(c, rec->seq, err);
    if (rows)
        report_pending(c, l->warm_rows);
    if (rec->kind == AK_RECORD_PUBLISH)
        ak_collection_advance(c, AK_ACK_SERVED, rec->seq);
    return AK_OK;
}

static enum ak_status learn(struct ak_collection *c,
                            const struct ak_record *rec, struct ak_err *err)
{
    enum ak_status status = AK_OK;

    switch (rec->kind) {
    case AK_RECORD_BATCH:
        status = learn_batch(c, rec, err);
        if (status == AK_OK)
            count_batch(c, rec->seq);
        break;
    case AK_RECORD_RELABEL:
        status = learn_relabel(c, rec, err);
        break;
    case AK_RECORD_PUBLISH:
        status = learn_publish(c, rec, err);
        break;
    case AK_RECORD_UPSERT:
    case AK_RECORD_DELETE:
    case AK_RECORD_FLUSH:
    case AK_RECORD_ROLLBACK:
    case AK_RECORD_INSTALL:
        break;
    }
    if (status == AK_OK && rec->seq == c->learner.warm_seq &&
        rec->kind != AK_RECORD_PUBLISH)
        ak_collection_append(c, AK_RECORD_PUBLISH, rec->seq);
    return status;
}

static void stop(struct ak_collection *c, const struct ak_err *err)
{
    c->learner.broken = true;
    pthread_mutex_lock(&c->lock);
    c->status.broken = true;
    pthread_mutex_unlock(&c->lock);
    ak_log_error(
        "engine", "learning stopped", AK_TEXT("collection", c->settings.name),
        AK_NUMBER("after_seq", c->learner.seq), AK_TEXT("reason", err->text));
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
    c->unsaved = l->due_seq > 0 || (l->warm_seq > 0 && l->seq != l->saved_seq);
    if (c->reached.seq[AK_ACK_LEARNED] >= c->reached.seq[AK_ACK_DURABLE])
        c->first_unlearnt_ns = 0;
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
        bool ended = false;

        status = ak_view_record(l->view, l->seq, &rec, err);
        if (status == AK_ENOTFOUND) {
            *more = false;
            return AK_OK;
        }
        if (status == AK_OK && l->warm_seq == 0)
            status = warm_up(c, &rec, &ended, err);
        else if (status == AK_OK)
            status = learn(c, &rec, err);
        if (status != AK_OK || ended)
            break;
        l->seq = rec.seq;
        ak_collection_advance(c, AK_ACK_LEARNED,
                              l->seq > l->absorbed ? l->seq : l->absorbed);
    }
    return status;
}

bool ak_learner_slice(struct ak_actor *actor)
{
    struct ak_collection *c = ak_learner_owner(actor);
    struct ak_learner *l = &c->learner;
    struct ak_err err = {0};
    bool serving, more = false;

    pthread_mutex_lock(&c->lock);
    serving = c->state == AK_SERVING;
    pthread_mutex_unlock(&c->lock);
    if (!serving || l->broken || atomic_load(&c->engine->stopping))
        return false;
    if (l->hash == NULL) {
        pass_all(c);
        return false;
    }
    if (learn_records(c, &more, &err) != AK_OK) {
        stop(c, &err);
        return false;
    }
    follow_policy(c);
    if (!more)
        note_caught_up(c);
    if (l->since_batches >= CHECKPOINT_BATCHES ||
        ak_clock_ns() - l->saved_ns >= CHECKPOINT_NS)
        save(c);
    return more;
}
