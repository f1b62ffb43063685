/*
 * learner_quality.c -- the learner's records, shown to the meter of quality.
 *
 * What is published is followed by records (see quality.h); only what is
 * reported goes to the collection's status.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "server/engine_internal.h"
#include "server/log.h"

static const struct ak_hash *hash_of(const struct ak_learner *l)
{
    return ak_trainer_hash(l->trainer);
}

/* What is known now, for those who ask. */
static void report(struct ak_collection *c)
{
    struct ak_quality_report *now = ak_quality_report(c->learner.quality);
    struct ak_quality_report *old;

    if (now == NULL)
        return; /* the next one tells */
    pthread_mutex_lock(&c->lock);
    old = c->quality;
    c->quality = now;
    c->status.served = now->served;
    c->status.live = now->live;
    c->status.gate = now->gate;
    c->status.drift = now->drift;
    c->status.bits = now->bits;
    pthread_mutex_unlock(&c->lock);
    free(old);
}

/* ------------------------------------------------------ the published model */

struct wanted {
    uint64_t version, at_seq;
    bool by_seq, found;
};

static enum ak_status look_for(void *arg, const struct ak_version *v,
                               struct ak_err *err)
{
    struct wanted *w = arg;

    (void)err;
    if (w->by_seq ? v->at_seq == w->at_seq : v->version == w->version) {
        w->version = v->version;
        w->at_seq = v->at_seq;
        w->found = true;
    }
    return AK_OK;
}

/* The encoder of a version, held; AK_ENOTFOUND. */
static enum ak_status load_version(struct ak_collection *c, struct wanted *w,
                                   struct ak_encoder **out, struct ak_err *err)
{
    struct ak_view *view = c->learner.view;
    enum ak_status status = ak_view_versions(view, look_for, w, err);

    *out = NULL;
    if (status == AK_OK && w->found)
        status = ak_collection_load_model(view, w->version, out, err);
    if (status == AK_OK && *out == NULL)
        status = ak_fail(err, AK_ENOTFOUND, "there is no model of record %llu",
                         (unsigned long long)w->at_seq);
    return status;
}

/* Whether a version takes the vectors that the learner has. */
static bool is_seen(struct ak_collection *c, uint64_t version)
{
    return ak_collection_space_of(c, version) ==
           ak_trainer_settings(c->learner.trainer)->space;
}

enum ak_status ak_learner_watch(struct ak_collection *c, struct ak_err *err)
{
    struct ak_quality_meter *m = c->learner.quality;
    struct wanted w = {.by_seq = true, .at_seq = ak_quality_published(m)};
    struct ak_encoder *encoder = NULL;
    enum ak_status status = load_version(c, &w, &encoder, err);

    if (status == AK_OK && !is_seen(c, w.version))
        ak_quality_blind(m, w.at_seq);
    else if (status == AK_OK)
        status = ak_quality_resume(m, encoder, err);
    else if (status == AK_ENOTFOUND)
        status = AK_ECORRUPT;
    ak_ref_drop((struct ak_ref *)encoder);
    if (status == AK_OK)
        report(c);
    return status;
}

enum ak_status ak_learner_published(struct ak_collection *c, uint64_t seq,
                                    struct ak_encoder *encoder,
                                    struct ak_quality *replaced,
                                    struct ak_err *err)
{
    struct ak_quality_meter *m = c->learner.quality;
    enum ak_status status;

    *replaced = ak_quality_served(m);
    status = ak_quality_publish(m, encoder, seq, err);
    report(c);
    return status;
}

/* A version that is not kept is not served either; the indexer says so. */
static enum ak_status roll_back(struct ak_collection *c, uint64_t version,
                                struct ak_err *err)
{
    struct ak_quality_meter *m = c->learner.quality;
    struct wanted w = {.version = version};
    struct ak_encoder *encoder = NULL;
    struct ak_err why = {0};
    enum ak_status status = load_version(c, &w, &encoder, &why);

    if (status == AK_ENOTFOUND || status == AK_ECORRUPT)
        return AK_OK;
    if (status != AK_OK)
        return ak_fail(err, status, "%s", why.text);
    if (!is_seen(c, w.version))
        ak_quality_blind(m, w.at_seq);
    else if (w.at_seq != ak_quality_published(m) || ak_quality_is_blind(m))
        status = ak_quality_publish(m, encoder, w.at_seq, err);
    ak_ref_drop((struct ak_ref *)encoder);
    report(c);
    return status;
}

/* ----------------------------------------------------------------- measuring */

/* An encoder of this learner, for its map.  Until a row is learnt there is
   none: what is frozen then is the floor, without a map. */
static enum ak_status want_map(struct ak_collection *c, struct ak_err *err)
{
    struct ak_learner *l = &c->learner;

    if (l->map != NULL || ak_hash_samples(hash_of(l)) == 0)
        return AK_OK;
    return ak_learner_freeze(c, &l->map, err);
}

/* After a restart, and what else lost them: vectors of the panel, from the
   file. */
static enum ak_status refill(struct ak_learner *l, struct ak_err *err)
{
    enum ak_status status = AK_OK;
    uint64_t ordinal;

    while (status == AK_OK && ak_quality_wants(l->quality, &ordinal)) {
        const float *x = NULL;

        status = ak_trainer_rows(l->trainer, l->view, ordinal, 1, &x, err);
        if (status == AK_OK)
            status = ak_quality_refill(l->quality, l->map, x, err);
    }
    return status;
}

/* The rows of a batch, and before them those that the panel wants. */
static enum ak_status read_batch(struct ak_learner *l,
                                 const struct ak_record *rec,
                                 struct ak_hash_batch *out, struct ak_err *err)
{
    enum ak_status status = refill(l, err);

    *out = (struct ak_hash_batch){
        .labels = rec->labels, .first = rec->label_first, .n = (size_t)rec->n};
    if (status == AK_OK)
        status = ak_trainer_rows(l->trainer, l->view, rec->first_ordinal,
                                 out->n, &out->x, err);
    return status;
}

static void tell_drift(struct ak_collection *c, enum ak_drift_event event,
                       uint64_t seq)
{
    struct ak_drift_report now;

    if (event == AK_DRIFT_NONE)
        return;
    pthread_mutex_lock(&c->lock);
    now = c->status.drift;
    pthread_mutex_unlock(&c->lock);
    if (event == AK_DRIFT_RAISED)
        ak_log_warn("engine", "what is served finds less than it did",
                    AK_TEXT("collection", c->settings.name),
                    AK_NUMBER("seq", seq), AK_REAL("score", now.score),
                    AK_REAL("map_expected", now.mean));
    else
        ak_log_info("engine", "the alarm of drift is over",
                    AK_TEXT("collection", c->settings.name),
                    AK_NUMBER("seq", seq), AK_REAL("map_expected", now.mean));
}

static void add_time(struct ak_collection *c, uint64_t start)
{
    pthread_mutex_lock(&c->lock);
    c->status.quality_seconds += (double)(ak_clock_ns() - start) * 1e-9;
    pthread_mutex_unlock(&c->lock);
}

/* Rows of a batch that replaces some were perhaps learnt before: no test. */
enum ak_status ak_learner_measure(struct ak_collection *c,
                                  const struct ak_record *rec,
                                  struct ak_err *err)
{
    struct ak_learner *l = &c->learner;
    struct ak_quality_place place = {.seq = rec->seq, .time_ms = rec->time_ms};
    uint64_t start;
    struct ak_encoder *live = NULL;
    enum ak_drift_event drift = AK_DRIFT_NONE;
    enum ak_status status = want_map(c, err);
    struct ak_hash_batch batch;
    uint32_t depth;

    /* Nothing learnt yet, so nothing to rank against; or nothing to rank by. */
    if (status != AK_OK || l->map == NULL || ak_quality_is_blind(l->quality))
        return status;
    pthread_mutex_lock(&c->lock);
    depth = c->settings.quality_depth;
    pthread_mutex_unlock(&c->lock);
    /* A change of the settings is no record: what follows from it is saved at
       once, so that a replay begins behind it. */
    if (ak_quality_set_depth(l->quality, depth, rec->seq))
        l->saved_ns = 0;
    if (!ak_quality_due(l->quality, (size_t)rec->n,
                        ak_encoder_map_dim(l->map)) ||
        rec->n_ordinals > 0)
        return AK_OK;
    place.samples = ak_hash_samples(hash_of(l));
    /* The rows would have to be read anyway. */
    status = read_batch(l, rec, &batch, err);
    start = ak_clock_ns();
    if (status == AK_OK)
        status = ak_learner_freeze(c, &live, err);
    if (status == AK_OK && live != NULL)
        status =
            ak_quality_measure(l->quality, live, &place, &batch, &drift, err);
    ak_ref_drop((struct ak_ref *)live);
    report(c);
    tell_drift(c, drift, rec->seq);
    add_time(c, start);
    return status;
}

/* Once learnt, some of the rows are what later ones are ranked against. */
enum ak_status ak_learner_offer(struct ak_collection *c,
                                const struct ak_record *rec, struct ak_err *err)
{
    struct ak_learner *l = &c->learner;
    enum ak_status status = want_map(c, err);
    struct ak_hash_batch batch;
    uint64_t start;

    ak_quality_forget(l->quality, rec->ordinals, (size_t)rec->n_ordinals);
    if (status != AK_OK || l->map == NULL || ak_quality_is_blind(l->quality))
        return status;
    status = read_batch(l, rec, &batch, err);
    start = ak_clock_ns();
    if (status == AK_OK)
        status = ak_quality_offer(l->quality, l->map, &batch,
                                  rec->first_ordinal, err);
    add_time(c, start);
    return status;
}

enum ak_status ak_learner_note(struct ak_collection *c,
                               const struct ak_record *rec, struct ak_err *err)
{
    struct ak_quality_meter *m = c->learner.quality;

    switch (rec->kind) {
    case AK_RECORD_UPSERT:
    case AK_RECORD_DELETE:
        ak_quality_forget(m, rec->ordinals, (size_t)rec->n_ordinals);
        break;
    case AK_RECORD_RELABEL:
        return ak_quality_relabel(m, rec->first_ordinal, rec->labels,
                                  rec->label_first[1], err);
    case AK_RECORD_ROLLBACK:
        return roll_back(c, rec->version, err);
    case AK_RECORD_BATCH:
    case AK_RECORD_FLUSH:
    case AK_RECORD_PUBLISH:
    case AK_RECORD_INSTALL:
        break;
    }
    return AK_OK;
}

/* ------------------------------------------------------------------ the gate */

/* Into what is told of the batch: its outcome is the latest. */
static void write_gate(struct ak_collection *c,
                       const struct ak_gate_decision *d)
{
    struct ak_outcome *o;
    size_t len;

    pthread_mutex_lock(&c->lock);
    o = c->outcomes;
    len = o != NULL && o->seq == d->seq ? strlen(o->text) : 0;
    if (len > 0)
        snprintf(o->text + len - 1, sizeof(o->text) - len + 1,
                 ",\"gate\":{\"decision\":\"%s\",\"publish\":%s,"
                 "\"pairs\":%llu,\"gain\":%.6g,\"lower\":%.6g,"
                 "\"upper\":%.6g}}",
                 ak_gate_reason_name(d->reason),
                 ak_gate_publishes(d->reason) ? "true" : "false",
                 (unsigned long long)d->pairs, d->gain, d->lower, d->upper);
    if (ak_gate_refuses(d->reason))
        c->status.refused[d->reason]++;
    pthread_mutex_unlock(&c->lock);
}

/* What an operator would want to know: when the answer is another one. */
static void tell_gate(struct ak_collection *c, const struct ak_gate_decision *d)
{
    enum ak_gate_reason before;

    pthread_mutex_lock(&c->lock);
    before = c->status.gate.reason;
    pthread_mutex_unlock(&c->lock);
    if (before == d->reason || !ak_gate_refuses(d->reason))
        return;
    if (d->reason == AK_GATE_NO_GAIN)
        ak_log_info("engine", "the live model is not better enough to publish",
                    AK_TEXT("collection", c->settings.name),
                    AK_NUMBER("seq", d->seq), AK_REAL("gain", d->gain),
                    AK_REAL("lower", d->lower));
    else
        ak_log_warn(
            "engine", "the live model is not published",
            AK_TEXT("collection", c->settings.name), AK_NUMBER("seq", d->seq),
            AK_TEXT("reason", ak_gate_reason_name(d->reason)),
            AK_REAL("gain", d->gain), AK_REAL("recent", d->recent),
            AK_REAL("older_classes_gain", d->older_live - d->older_served));
}

enum ak_status ak_learner_gate(struct ak_collection *c,
                               const struct ak_settings *settings, uint64_t seq,
                               bool *publish, struct ak_err *err)
{
    struct ak_learner *l = &c->learner;
    struct ak_gate_params params = {.min_new_ratio = settings->min_new_ratio,
                                    .min_gain = settings->min_quality_gain};
    struct ak_quality_place place = {.seq = seq,
                                     .samples = ak_hash_samples(hash_of(l))};
    struct ak_gate_decision d;
    struct ak_encoder *live = NULL;
    uint64_t start = ak_clock_ns();
    enum ak_status status = AK_OK;

    *publish = false;
    if (place.samples == 0 || ak_quality_is_blind(l->quality))
        return AK_OK;
    status = refill(l, err);
    if (status == AK_OK)
        status = ak_learner_freeze(c, &live, err);
    if (status != AK_OK || live == NULL)
        return status;
    status = ak_quality_gate(l->quality, live, &place, &params, &d, err);
    ak_ref_drop((struct ak_ref *)live);
    if (status != AK_OK)
        return status;
    *publish = ak_gate_publishes(d.reason);
    tell_gate(c, &d);
    write_gate(c, &d);
    report(c);
    add_time(c, start);
    return AK_OK;
}
