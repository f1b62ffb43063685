/*
 * learner_publish.c -- the live model is frozen as the next version.
 *
 * The version is written at its record; the indexer encodes and serves it
 * (indexer.c).
 */
#include <math.h>
#include <stdlib.h>

#include "core/base/moment.h"
#include "server/engine_internal.h"
#include "server/log.h"

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

/* In the file: the indexer may have it. */
static void freeze_done(struct ak_job *job, enum ak_status status,
                        const struct ak_err *err)
{
    struct freeze_job *j = (struct freeze_job *)job;
    struct ak_collection *c = j->c;
    struct ak_next_version next = {.seq = j->version.at_seq,
                                   .encoder = j->encoder,
                                   .has_quality = j->replaced.queries > 0,
                                   .quality = j->replaced.map_at_r};
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
        next.version = j->number;
        ak_indexer_offer(c, &next);
        ak_actor_wake(&c->indexer.actor);
    } else {
        ak_ref_drop((struct ak_ref *)j->encoder);
    }
    if (status != AK_OK && status != AK_ENOTFOUND && status != AK_ECANCELED)
        ak_log_error("engine", "a version was not stored",
                     AK_TEXT("collection", c->settings.name),
                     AK_TEXT("reason", err->text));
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
        .samples = ak_hash_samples(ak_learner_hash(&c->learner)),
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
    enum ak_status status =
        ak_hash_freeze(ak_learner_hash(&c->learner), out, &why);

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

enum ak_status ak_learner_publish(struct ak_collection *c,
                                  const struct ak_record *rec,
                                  struct ak_err *err)
{
    struct ak_encoder *encoder = NULL;
    struct ak_quality replaced;
    enum ak_status status;
    bool served;

    if (ak_hash_samples(ak_learner_hash(&c->learner)) == 0) {
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
