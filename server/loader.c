/*
 * loader.c -- a collection's file into memory.
 *
 * Full segments come with their stored codes and their packed rows; where one of
 * the two is missing or has a wrong checksum, and for the rows after the last
 * full segment, codes are made again and the table of rows is walked.  The rows
 * are loaded as of now, so the indexer goes on behind the last record.
 * What was under way at the last stop is taken up: a version that was being
 * encoded, and a rollback that was not carried out.
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "server/engine_internal.h"
#include "server/log.h"

enum ak_status ak_collection_load_model(struct ak_view *view, uint64_t version,
                                        struct ak_encoder **out,
                                        struct ak_err *err)
{
    struct ak_bytes model;
    enum ak_status status = ak_view_model(view, version, &model, err);

    *out = NULL;
    if (status != AK_OK || model.len == 0)
        return status;
    status = ak_encoder_load(model.data, model.len, out, err);
    if (status != AK_OK)
        ak_err_context(err, "model %llu", (unsigned long long)version);
    return status;
}

/* Rows of one segment as they are read. */
struct segment {
    struct ak_collection *c;
    struct ak_id ids[AK_SEGMENT_ROWS];
    size_t text_at[AK_SEGMENT_ROWS];
    bool dead[AK_SEGMENT_ROWS];
    uint32_t first[AK_SEGMENT_ROWS + 1];
    struct ak_writer labels, text;
    uint64_t from;
    size_t want, n; /* rows of it, and those that are read */
    uint8_t *codes;
    uint64_t version;
    const struct ak_encoder *encoder; /* NULL: external */
    uint64_t encoded;                 /* rows whose codes were not stored */
    uint64_t stored; /* segments up to the first such full one */
    bool gap;        /* there was one */
    bool damaged;    /* the codes of this segment */
};

static enum ak_status segment_codes(struct segment *s, struct ak_err *err)
{
    struct ak_collection *c = s->c;
    struct ak_view *view = c->indexer.view;

    s->damaged = false;
    if (s->want == AK_SEGMENT_ROWS) {
        struct ak_err why = {0};
        uint64_t segment = s->from / AK_SEGMENT_ROWS;
        enum ak_status status =
            ak_view_codes(view, s->version, segment, s->codes, &why);

        if (status == AK_OK) {
            s->stored += !s->gap;
            return AK_OK;
        }
        s->gap = true;
        s->damaged = status != AK_ENOTFOUND;
        if (s->damaged)
            ak_log_warn("engine", "stored codes cannot be used; encoding again",
                        AK_TEXT("collection", c->settings.name),
                        AK_NUMBER("segment", segment),
                        AK_TEXT("reason", why.text));
    }
    if (s->encoder != NULL)
        s->encoded += s->want;
    return ak_indexer_encode(c, view, s->encoder, s->version, s->from, s->want,
                             s->codes, err);
}

/* ---------------------------------------------------------------- the rows */

/* The rows of a full segment without looking at each; *done false: they must
   be walked. */
static enum ak_status append_packed(struct segment *s, bool *done,
                                    struct ak_err *err)
{
    struct ak_collection *c = s->c;
    uint64_t segment = s->from / AK_SEGMENT_ROWS;
    struct ak_packed packed;
    struct ak_err why = {0};
    enum ak_status status =
        ak_view_packed(c->indexer.view, segment, &packed, &why);
    struct ak_index_segment rows;

    *done = status == AK_OK;
    ak_packer_found(c, segment, *done && !s->damaged);
    if (status == AK_ENOTFOUND)
        return AK_OK;
    if (status != AK_OK) {
        ak_log_warn("engine", "packed rows cannot be used; walking the rows",
                    AK_TEXT("collection", c->settings.name),
                    AK_NUMBER("segment", segment), AK_TEXT("reason", why.text));
        return AK_OK;
    }
    rows = (struct ak_index_segment){.base = packed.base,
                                     .offsets = packed.offsets,
                                     .numbers = packed.numbers,
                                     .text = packed.text,
                                     .text_first = packed.text_first,
                                     .labels = packed.labels,
                                     .label_first = packed.label_first,
                                     .dead = packed.dead,
                                     .codes = s->codes};
    return ak_index_append_segment(c->index, &rows, err);
}

/* What an erased row had is nowhere, so a dead one shows no labels. */
static enum ak_status add_row(void *arg, const struct ak_row *row,
                              struct ak_err *err)
{
    struct segment *s = arg;
    size_t n_labels = row->dead != 0 ? 0 : row->n_labels;

    if (s->n == s->want)
        return AK_ECANCELED;
    if (row->ordinal != s->from + s->n)
        return ak_fail(err, AK_ECORRUPT, "row %llu stands where %llu should",
                       (unsigned long long)row->ordinal,
                       (unsigned long long)(s->from + s->n));
    s->ids[s->n] = (struct ak_id){.number = row->id.number, .len = row->id.len};
    s->text_at[s->n] = s->text.len;
    if (s->c->shape.string_ids)
        ak_write_bytes(&s->text, row->id.text, row->id.len);
    s->dead[s->n] = row->dead != 0;
    ak_write_u32s(&s->labels, row->labels, n_labels);
    s->first[s->n + 1] = s->first[s->n] + (uint32_t)n_labels;
    s->n++;
    return AK_OK;
}

static enum ak_status append_walked(struct segment *s, struct ak_err *err)
{
    struct ak_collection *c = s->c;
    struct ak_index_batch batch = {.n = s->want,
                                   .ids = s->ids,
                                   .first = s->first,
                                   .codes = s->codes,
                                   .dead = s->dead};
    enum ak_status status;

    s->n = s->labels.len = s->text.len = 0;
    status = ak_view_rows(c->indexer.view, s->from, add_row, s, err);
    if (status != AK_OK)
        return status;
    if (s->n < s->want)
        return ak_fail(err, AK_ECORRUPT, "row %llu is missing",
                       (unsigned long long)(s->from + s->n));
    if (s->labels.status != AK_OK || s->text.status != AK_OK)
        return ak_fail(err, AK_ENOMEM, "no memory to load rows");
    batch.labels = (const uint32_t *)s->labels.data;
    for (size_t i = 0; i < s->n && c->shape.string_ids; i++)
        s->ids[i].text = (const char *)s->text.data + s->text_at[i];
    return ak_index_append(c->index, &batch, err);
}

static enum ak_status load_segment(struct segment *s, struct ak_err *err)
{
    struct ak_engine *e = s->c->engine;
    enum ak_status status = segment_codes(s, err);
    bool done = false;

    if (status == AK_OK && s->want == AK_SEGMENT_ROWS)
        status = append_packed(s, &done, err);
    if (status == AK_OK && !done)
        status = append_walked(s, err);
    if (status != AK_OK)
        return status;
    s->from += s->want;
    pthread_mutex_lock(&e->lock);
    e->progress.rows_loaded += s->want;
    pthread_mutex_unlock(&e->lock);
    return atomic_load(&e->stopping)
               ? ak_fail(err, AK_ECANCELED, "the daemon is stopping")
               : AK_OK;
}

static enum ak_status load_rows(struct ak_collection *c, uint64_t version,
                                const struct ak_encoder *encoder,
                                uint64_t n_rows, struct ak_err *err)
{
    struct segment *s = calloc(1, sizeof(*s));
    enum ak_status status = AK_OK;

    if (s == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory to load rows");
    s->c = c;
    s->version = version;
    s->encoder = encoder;
    s->codes = ak_array_new(AK_SEGMENT_ROWS, c->shape.code_bytes);
    if (s->codes == NULL)
        status = ak_fail(err, AK_ENOMEM, "no memory to load rows");
    /* Nobody writes yet, but each call would ask for a lock of its own. */
    if (status == AK_OK)
        status = ak_view_hold(c->indexer.view, err);
    while (status == AK_OK && s->from < n_rows) {
        s->want = n_rows - s->from < AK_SEGMENT_ROWS
                      ? (size_t)(n_rows - s->from)
                      : AK_SEGMENT_ROWS;
        status = load_segment(s, err);
    }
    ak_view_release(c->indexer.view);
    if (status == AK_OK && s->encoded > AK_SEGMENT_ROWS)
        ak_log_info("engine", "encoded rows whose codes were not stored",
                    AK_TEXT("collection", c->settings.name),
                    AK_NUMBER("rows", s->encoded));
    /* From the first gap on the indexer stores them again. */
    c->indexer.stored_segments = s->stored;
    ak_array_free(s->codes);
    ak_writer_clear(&s->labels);
    ak_writer_clear(&s->text);
    free(s);
    return status;
}

/* What the table of versions says about the last stop. */
struct versions {
    uint64_t encoding, encoding_seq; /* the latest to be resumed; seq 0: none */
    uint64_t settled_seq;            /* of those that are not */
    uint64_t published_seq;
    uint64_t published;
    uint64_t published_samples;
};

static enum ak_status look_at_version(void *arg, const struct ak_version *v,
                                      struct ak_err *err)
{
    struct versions *all = arg;

    (void)err;
    if (v->state == AK_VERSION_ENCODING) {
        if (v->at_seq > all->encoding_seq) {
            all->encoding = v->version;
            all->encoding_seq = v->at_seq;
        }
        return AK_OK;
    }
    if (v->at_seq > all->settled_seq)
        all->settled_seq = v->at_seq;
    if (v->version == all->published) {
        all->published_seq = v->at_seq;
        all->published_samples = v->samples;
    }
    return AK_OK;
}

/* A version that was being encoded, and a rollback that has not been. */
static enum ak_status resume(struct ak_collection *c,
                             const struct ak_store_info *info,
                             struct ak_err *err)
{
    struct versions all = {.published = info->published};
    struct ak_view *view = c->indexer.view;
    uint64_t rollback = info->last_rollback_seq;
    uint64_t served = 0;
    struct ak_next_version next = {0};
    enum ak_status status = ak_view_versions(view, look_at_version, &all, err);

    if (status != AK_OK)
        return status;
    served = all.settled_seq;
    if (rollback > all.published_seq) {
        struct ak_record rec;

        status = ak_view_record(view, rollback - 1, &rec, err);
        if (status != AK_OK)
            return status;
        if (rec.version == info->published)
            served = served > rollback ? served : rollback;
        else
            next = (struct ak_next_version){
                .version = rec.version, .seq = rollback, .rollback = true};
    }
    if (all.encoding_seq > rollback && all.encoding_seq > all.published_seq)
        next = (struct ak_next_version){.version = all.encoding,
                                        .seq = all.encoding_seq};
    if (next.seq > 0) {
        served = served < next.seq ? served : next.seq - 1;
        status =
            ak_collection_load_model(view, next.version, &next.encoder, err);
        if (status != AK_OK)
            return status;
        c->offered = next;
    } else if (c->learner.trainer != NULL &&
               served < ak_trainer_seq(c->learner.trainer)) {
        served = ak_trainer_seq(c->learner.trainer);
    }
    c->reached.seq[AK_ACK_SERVED] = served;
    c->status.published_seq = all.published_seq;
    c->status.published_samples = all.published_samples;
    return AK_OK;
}

static enum ak_status load_labels(struct ak_collection *c, uint64_t n,
                                  struct ak_err *err)
{
    enum ak_status status = AK_OK;

    for (uint32_t i = 0; i < n && status == AK_OK; i++) {
        struct ak_bytes name;

        status = ak_view_label(c->indexer.view, i, &name, err);
        if (status == AK_OK)
            status = ak_labels_add(c->labels, name.data, name.len, err);
    }
    return status;
}

static enum ak_status load_settings(struct ak_collection *c, struct ak_err *err)
{
    struct ak_bytes text;
    struct ak_settings settings;
    char name[AK_SETTINGS_NAME];
    uint64_t installed, begun;
    enum ak_status status = ak_view_config(c->indexer.view, &text, err);

    if (status != AK_OK)
        return status;
    memcpy(name, c->settings.name, sizeof(name));
    status = ak_settings_of_text(name, text, &settings, err);
    if (status != AK_OK)
        return status;
    /* The text may be of a moment before the last generation took over. */
    status = ak_view_generations(c->indexer.view, &installed, &begun, err);
    if (status == AK_OK && installed > 0)
        status = ak_generation_settings(c->indexer.view, installed, &settings,
                                        &settings, err);
    if (status != AK_OK)
        return status;
    pthread_mutex_lock(&c->lock);
    ak_collection_set(c, &settings);
    pthread_mutex_unlock(&c->lock);
    return AK_OK;
}

/* It serves what there is, and says so. */
static void tell_loss(struct ak_collection *c)
{
    ak_log_error("engine",
                 "the log of a file is missing: what was in it is "
                 "lost",
                 AK_TEXT("collection", c->settings.name),
                 AK_NUMBER("file", c->file));
    pthread_mutex_lock(&c->engine->lock);
    c->engine->progress.logs_lost++;
    pthread_mutex_unlock(&c->engine->lock);
}

enum ak_status ak_collection_open(struct ak_collection *c, struct ak_err *err)
{
    enum ak_status status = AK_OK;

    if (c->lane.store == NULL)
        status =
            ak_store_open(c->path, c->engine->unclean, &c->lane.store, err);
    if (status == AK_OK && ak_store_log_lost(c->lane.store))
        tell_loss(c);
    if (status == AK_OK)
        ak_disk_count_log(c->engine, &c->lane);
    if (status == AK_OK)
        status = ak_collection_open_view(c, &c->indexer.view, err);
    if (status == AK_OK)
        status = ak_collection_open_view(c, &c->learner.view, err);
    if (status == AK_OK)
        status = load_settings(c, err);
    if (status == AK_OK)
        status = ak_collection_load_spaces(c, c->indexer.view, err);
    return status;
}

enum ak_status ak_collection_load(struct ak_collection *c, struct ak_err *err)
{
    struct ak_store_info info;
    struct ak_encoder *encoder = NULL;
    enum ak_status status =
        c->learner.view == NULL ? ak_collection_open(c, err) : AK_OK;

    if (status == AK_OK)
        status = ak_view_info(c->indexer.view, &info, err);
    if (status != AK_OK)
        return status;
    c->shape = info.shape;
    pthread_mutex_lock(&c->engine->lock);
    c->engine->progress.rows += info.next_ordinal;
    pthread_mutex_unlock(&c->engine->lock);
    status = ak_index_create(c->settings.bits,
                             c->shape.string_ids ? AK_ID_STRING : AK_ID_INTEGER,
                             &c->index, err);
    if (status == AK_OK)
        status = ak_collection_load_model(c->indexer.view, info.published,
                                          &encoder, err);
    if (status == AK_OK)
        status = ak_index_install(c->index, NULL, (struct ak_ref *)encoder,
                                  info.published, err);
    if (status == AK_OK)
        status = load_labels(c, info.n_labels, err);
    if (status == AK_OK)
        status = load_rows(c, info.published, encoder, info.next_ordinal, err);
    if (status == AK_OK)
        status = ak_index_commit(c->index, err);
    if (status == AK_OK)
        status = ak_learner_load(c, err);
    if (status == AK_OK)
        status =
            ak_view_erasures(c->indexer.view, &c->status.erasures_pending, err);
    if (status == AK_OK)
        status = ak_collection_load_finetune(c, c->indexer.view, err);
    if (status == AK_OK)
        status = resume(c, &info, err);
    ak_ref_drop((struct ak_ref *)encoder);
    if (status != AK_OK)
        return status;
    c->indexer.seq = c->indexer.shown_seq = info.last_seq;
    pthread_mutex_lock(&c->lock);
    c->status.labelled_images = info.labelled_images;
    c->reached.seq[AK_ACK_DURABLE] = info.last_seq;
    c->reached.seq[AK_ACK_VISIBLE] = info.last_seq;
    c->reached.seq[AK_ACK_LEARNED] =
        c->learner.trainer ? ak_trainer_seq(c->learner.trainer) : info.last_seq;
    /* How old it is was not kept: it counts from now. */
    if (c->reached.seq[AK_ACK_LEARNED] < info.last_seq)
        ak_lag_commit(&c->lag, info.last_seq, ak_clock_ns());
    if (c->learner.trainer != NULL)
        c->status.live_samples =
            ak_hash_samples(ak_trainer_hash(c->learner.trainer));
    pthread_mutex_unlock(&c->lock);
    return AK_OK;
}
