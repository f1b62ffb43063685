/*
 * indexer.c -- the actor that makes records searchable.
 *
 * It follows the records in order and is the only one that changes the index.
 * Rows are coded with the published model.  When a version waits to be served,
 * slices of applying records and of encoding the rows again take turns; when
 * the new column has every row, the flip is committed and the column installed
 * before another record is applied.  So arrivals have the old version until the
 * swap and there is no second path by which a row gets into the index.
 *
 * What it cannot read (a damaged block) stops it: searches go on with what there
 * is, and the log and the status say so.  When memory is short it waits for the
 * clock to wake it and goes on where it was; nothing of a record is seen before
 * all of it was applied.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/moment.h"
#include "server/engine_internal.h"
#include "server/log.h"

/* A slice ends after so long, or after so many rows encoded again. */
#define SLICE_NS    UINT64_C(10000000)
#define ENCODE_ROWS 1024

_Static_assert(AK_SEGMENT_ROWS == AK_STORE_SEGMENT_ROWS,
               "segments in memory and in the file have the same rows");
_Static_assert(AK_SEGMENT_ROWS % ENCODE_ROWS == 0, "a slice ends a segment");

void ak_indexer_clear(struct ak_indexer *ix)
{
    ak_view_close(ix->view);
    ak_packer_clear(&ix->packer);
    ak_column_destroy(ix->column);
    ak_ref_drop((struct ak_ref *)ix->next.encoder);
    free(ix->block);
    ak_array_free(ix->x);
    ak_array_free(ix->codes);
    ak_array_free(ix->scratch);
}

/* ---------------------------------------------------------------- encoding */

static enum ak_status want_rows(struct ak_indexer *ix,
                                const struct ak_settings *s, size_t n,
                                size_t scratch, struct ak_err *err)
{
    size_t block = n * ak_settings_row_bytes(s), floats = n * s->dim;

    if (block > ix->cap_block) {
        free(ix->block);
        ix->block = calloc(1, block);
        ix->cap_block = ix->block != NULL ? block : 0;
    }
    if (floats > ix->cap_x) {
        ak_array_free(ix->x);
        ix->x = ak_array_new(floats, sizeof(float));
        ix->cap_x = ix->x != NULL ? floats : 0;
    }
    if (scratch > ix->cap_scratch) {
        ak_array_free(ix->scratch);
        ix->scratch = ak_array_new(1, scratch);
        ix->cap_scratch = ix->scratch != NULL ? scratch : 0;
    }
    return block <= ix->cap_block && floats <= ix->cap_x &&
                   scratch <= ix->cap_scratch
               ? AK_OK
               : ak_fail(err, AK_ENOMEM, "no memory to index %zu rows", n);
}

enum ak_status ak_indexer_encode(struct ak_collection *c, struct ak_view *view,
                                 const struct ak_encoder *encoder,
                                 uint64_t version, uint64_t first, size_t n,
                                 uint8_t *codes, struct ak_err *err)
{
    struct ak_indexer *ix = &c->indexer;
    struct ak_settings s;
    struct ak_space space;
    enum ak_status status;

    ak_collection_settings_of(c, version, &s);
    space = ak_settings_space(&s);
    if (encoder == NULL) /* external: the block is the codes */
        return ak_view_block(view, &space, first, n, codes, err);
    status = want_rows(ix, &s, n, ak_encoder_scratch(encoder), err);
    if (status == AK_OK)
        status = ak_view_block(view, &space, first, n, ix->block, err);
    if (status != AK_OK)
        return status;
    ak_collection_unpack(&s, ix->block, n, ix->x);
    ak_encoder_encode(encoder, ix->x, n, codes, ix->scratch);
    return AK_OK;
}

/* ----------------------------------------------- jobs of the writer's for us */

struct codes_job {
    struct ak_job job; /* first */
    struct ak_collection *c;
    uint64_t version, segment;
    size_t len;
    uint8_t codes[];
};

static enum ak_status codes_apply(struct ak_job *job, struct ak_store *store,
                                  struct ak_err *err)
{
    struct codes_job *j = (struct codes_job *)job;
    struct ak_bytes codes = {j->codes, j->len};

    return ak_store_put_codes(store, j->version, j->segment, codes, err);
}

/* Stored codes are a cache: without them a start encodes the rows again. */
static void codes_done(struct ak_job *job, enum ak_status status,
                       const struct ak_err *err)
{
    struct codes_job *j = (struct codes_job *)job;

    if (status != AK_OK && status != AK_ENOTFOUND)
        ak_log_warn("engine", "codes were not stored",
                    AK_TEXT("collection", j->c->settings.name),
                    AK_NUMBER("version", j->version),
                    AK_TEXT("reason", err->text));
    ak_collection_drop(j->c);
    free(j);
}

void ak_indexer_store_codes(struct ak_collection *c, uint64_t version,
                            uint64_t segment, const uint8_t *codes)
{
    size_t len = (size_t)AK_SEGMENT_ROWS * c->shape.code_bytes;
    struct codes_job *j = malloc(sizeof(*j) + len);

    if (j == NULL)
        return;
    memset(j, 0, sizeof(*j));
    j->job.apply = codes_apply;
    j->job.done = codes_done;
    j->job.bytes = len;
    j->c = ak_collection_ref(c);
    j->version = version;
    j->segment = segment;
    j->len = len;
    memcpy(j->codes, codes, len);
    ak_writer_push(c->engine->writer, &c->lane, &j->job);
}

enum switch_what { SWITCH_FLIP, SWITCH_DROP };

struct switch_job {
    struct ak_job job; /* first */
    struct ak_collection *c;
    enum switch_what what;
    uint64_t version;
    double served_quality;
};

static enum ak_status switch_apply(struct ak_job *job, struct ak_store *store,
                                   struct ak_err *err)
{
    struct switch_job *j = (struct switch_job *)job;

    if (j->what == SWITCH_DROP)
        return ak_store_drop_version(store, j->version, err);
    return ak_store_flip(store, j->version, j->served_quality, err);
}

static void switch_done(struct ak_job *job, enum ak_status status,
                        const struct ak_err *err)
{
    struct switch_job *j = (struct switch_job *)job;
    struct ak_collection *c = j->c;

    if (status == AK_EFULL && j->what == SWITCH_FLIP) {
        ak_disk_wait(c->engine, job);
        return;
    }
    if (status != AK_OK && status != AK_ENOTFOUND && status != AK_ECANCELED)
        ak_log_error("engine", "a version was not switched",
                     AK_TEXT("collection", c->settings.name),
                     AK_NUMBER("version", j->version),
                     AK_TEXT("reason", err->text));
    if (j->what == SWITCH_FLIP) {
        ak_moment(AK_AT_FLIPPED);
        pthread_mutex_lock(&c->lock);
        c->indexer.flip = status == AK_OK ? AK_FLIP_DONE : AK_FLIP_FAILED;
        pthread_mutex_unlock(&c->lock);
        ak_actor_wake(&c->indexer.actor);
    }
    ak_collection_drop(c);
    free(j);
}

/* Of what serves until a flip: as it was at the record of the version that is
   about to, or for a rollback, as it is now. */
static double quality_replaced(const struct ak_collection *c)
{
    const struct ak_next_version *next = &c->indexer.next;

    if (!next->rollback)
        return next->has_quality ? next->quality : NAN;
    return c->status.served.queries > 0 ? c->status.served.map_at_r : NAN;
}

static bool ask_switch(struct ak_collection *c, enum switch_what what,
                       uint64_t version)
{
    struct switch_job *j = calloc(1, sizeof(*j));

    if (j == NULL)
        return false;
    j->job.apply = switch_apply;
    j->job.done = switch_done;
    j->c = ak_collection_ref(c);
    j->what = what;
    j->version = version;
    pthread_mutex_lock(&c->lock);
    j->served_quality = quality_replaced(c);
    if (what == SWITCH_FLIP)
        c->indexer.flip = AK_FLIP_ASKED;
    pthread_mutex_unlock(&c->lock);
    ak_writer_push(c->engine->writer, &c->lane, &j->job);
    return true;
}

/* -------------------------------------------------------------- versions */

/* What it has beside the index: the next column, and room to work. */
static void report_memory(struct ak_collection *c)
{
    const struct ak_indexer *ix = &c->indexer;
    uint64_t bytes = ix->cap_block + ix->cap_x * sizeof(float) +
                     ix->cap_scratch + ak_view_bytes(ix->view);

    if (ix->column != NULL)
        bytes += ak_column_bytes(ix->column);
    if (ix->codes != NULL)
        bytes += AK_SEGMENT_ROWS * (uint64_t)c->shape.code_bytes;
    pthread_mutex_lock(&c->lock);
    c->status.publish_bytes = bytes;
    pthread_mutex_unlock(&c->lock);
}

static void report_remaining(struct ak_collection *c, uint64_t rows)
{
    pthread_mutex_lock(&c->lock);
    c->status.publish_remaining_rows = rows;
    pthread_mutex_unlock(&c->lock);
}

/* Forget the version that was being encoded; its file rows go too, unless it
   had served before. */
static void abandon(struct ak_collection *c)
{
    struct ak_indexer *ix = &c->indexer;

    if (ix->next.encoder == NULL)
        return;
    if (!ix->next.rollback)
        ask_switch(c, SWITCH_DROP, ix->next.version);
    ak_ref_drop((struct ak_ref *)ix->next.encoder);
    ix->next = (struct ak_next_version){0};
    ak_column_destroy(ix->column);
    ix->column = NULL;
    report_remaining(c, 0);
}

static enum ak_status begin_version(struct ak_collection *c,
                                    const struct ak_next_version *next,
                                    struct ak_err *err)
{
    struct ak_indexer *ix = &c->indexer;
    enum ak_status status =
        ak_column_create(c->settings.bits, &ix->column, err);

    if (status != AK_OK)
        return status;
    ix->next = *next;
    ix->column_segments = 0;
    ix->encode_start_ns = ak_clock_ns();
    return AK_OK;
}

void ak_indexer_offer(struct ak_collection *c,
                      const struct ak_next_version *next)
{
    struct ak_encoder *unwanted = next->encoder;

    pthread_mutex_lock(&c->lock);
    if (c->offered.seq <= next->seq) {
        unwanted = c->offered.encoder;
        c->offered = *next;
    }
    pthread_mutex_unlock(&c->lock);
    ak_ref_drop((struct ak_ref *)unwanted);
}

/*
 * Takes what the learner offers, if nothing is under way.  A version is begun
 * only when the records up to its own have been applied, so that a rollback
 * finds what came before it under way and nothing that came after.  A version
 * frozen before the last rollback is not wanted any more.
 */
static enum ak_status take_offer(struct ak_collection *c, struct ak_err *err)
{
    struct ak_indexer *ix = &c->indexer;
    struct ak_next_version next = {0};
    enum ak_status status = AK_OK;
    uint64_t served;

    if (ix->next.encoder != NULL)
        return AK_OK;
    pthread_mutex_lock(&c->lock);
    if (c->offered.seq <= ix->seq) {
        next = c->offered;
        c->offered = (struct ak_next_version){0};
    }
    served = c->reached.seq[AK_ACK_SERVED];
    pthread_mutex_unlock(&c->lock);
    if (next.encoder == NULL)
        return AK_OK;
    if (next.seq > served) {
        status = begin_version(c, &next, err);
        if (status != AK_OK)
            ak_indexer_offer(c, &next);
        return status;
    }
    /* That of the record that serves is the one that serves: offered again by a
       learner that went back to its checkpoint. */
    if (next.seq < served)
        ask_switch(c, SWITCH_DROP, next.version);
    ak_ref_drop((struct ak_ref *)next.encoder);
    return AK_OK;
}

/*
 * A segment whose rows are all dead needs no codes.  Some are stored nevertheless,
 * since a start takes the first segment without for the end of what was stored.
 */
static enum ak_status pass_dead(struct ak_collection *c, uint64_t segment,
                                struct ak_err *err)
{
    struct ak_indexer *ix = &c->indexer;
    uint64_t rows = ak_index_rows(c->index);
    enum ak_status status = ak_column_append_dead(ix->column, err);

    if (status != AK_OK)
        return status;
    memset(ix->codes, 0, AK_SEGMENT_ROWS * (size_t)c->shape.code_bytes);
    ak_indexer_store_codes(c, ix->next.version, segment, ix->codes);
    ix->column_segments = segment + 1;
    report_remaining(c, rows - ak_column_rows(ix->column) + 1);
    return AK_OK;
}

/* Up to ENCODE_ROWS rows into the next column; asks for the flip when it has
   them all. */
static enum ak_status encode_some(struct ak_collection *c, struct ak_err *err)
{
    struct ak_indexer *ix = &c->indexer;
    uint64_t done = ak_column_rows(ix->column);
    uint64_t rows = ak_index_rows(c->index);
    uint64_t segment = done / AK_SEGMENT_ROWS;
    size_t n = rows - done < ENCODE_ROWS ? (size_t)(rows - done) : ENCODE_ROWS;
    size_t bytes = c->shape.code_bytes;
    size_t at = (size_t)(done % AK_SEGMENT_ROWS);
    enum ak_status status;
    uint64_t start = ak_clock_ns();

    /* Rows that arrived after the last slice do not begin at a round one. */
    if (n > AK_SEGMENT_ROWS - at)
        n = AK_SEGMENT_ROWS - at;

    if (done == rows) {
        report_remaining(c, 1);
        return ask_switch(c, SWITCH_FLIP, ix->next.version)
                   ? AK_OK
                   : ak_fail(err, AK_ENOMEM, "no memory to publish");
    }
    if (ix->codes == NULL)
        ix->codes = ak_array_new(AK_SEGMENT_ROWS, bytes);
    if (ix->codes == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory to encode rows again");
    if (at == 0 && ak_index_all_dead(c->index, segment))
        return pass_dead(c, segment, err);
    /* Codes of an earlier run, or of a version that has served before. */
    if (at == 0 && rows - done >= AK_SEGMENT_ROWS &&
        ak_view_codes(ix->view, ix->next.version, segment, ix->codes, NULL) ==
            AK_OK) {
        status = ak_column_append(ix->column, ix->codes, AK_SEGMENT_ROWS, err);
        if (status == AK_OK)
            ix->column_segments = segment + 1;
        pthread_mutex_lock(&c->lock);
        c->status.reused_segments += status == AK_OK;
        c->status.publish_remaining_rows = rows - done - AK_SEGMENT_ROWS + 1;
        pthread_mutex_unlock(&c->lock);
        return status;
    }
    /* `codes` gathers the segment, so that it can be stored when it is full. */
    status = ak_indexer_encode(c, ix->view, ix->next.encoder, ix->next.version,
                               done, n, ix->codes + at * bytes, err);
    if (status == AK_OK)
        status = ak_column_append(ix->column, ix->codes + at * bytes, n, err);
    if (status != AK_OK)
        return status;
    if (at + n == AK_SEGMENT_ROWS) {
        ak_indexer_store_codes(c, ix->next.version, segment, ix->codes);
        ix->column_segments = segment + 1;
    }
    pthread_mutex_lock(&c->lock);
    c->status.publish_remaining_rows = rows - done - n + 1;
    c->status.published_rows += n;
    c->status.publish_seconds += (double)(ak_clock_ns() - start) * 1e-9;
    pthread_mutex_unlock(&c->lock);
    return AK_OK;
}

/* The flip is in the file: what is served changes in one step. */
static enum ak_status install(struct ak_collection *c, struct ak_err *err)
{
    struct ak_indexer *ix = &c->indexer;
    struct ak_next_version next = ix->next;
    struct ak_encoder_info info;
    enum ak_status status = ak_index_install(
        c->index, ix->column, (struct ak_ref *)next.encoder, next.version, err);

    if (status != AK_OK)
        return status;
    ix->column = NULL;
    ix->stored_segments = ix->column_segments;
    ix->next = (struct ak_next_version){0};
    ak_encoder_info(next.encoder, &info);
    ak_ref_drop((struct ak_ref *)next.encoder);
    pthread_mutex_lock(&c->lock);
    c->status.published_samples = info.samples;
    ix->flip = AK_FLIP_NONE;
    c->status.publish_remaining_rows = 0;
    c->status.published_seq = next.seq;
    c->status.publishes++;
    c->spaces_due = c->n_spaces > 1;
    c->last_publish_ns = ak_clock_ns();
    c->last_publish_cost_ns = c->last_publish_ns - ix->encode_start_ns;
    pthread_mutex_unlock(&c->lock);
    ak_log_info("engine", next.rollback ? "rolled back" : "published",
                AK_TEXT("collection", c->settings.name),
                AK_NUMBER("version", next.version),
                AK_NUMBER("rows", ak_index_rows(c->index)),
                AK_REAL("seconds",
                        (double)(ak_clock_ns() - ix->encode_start_ns) * 1e-9));
    ak_moment(next.rollback ? AK_AT_ROLLED_BACK : AK_AT_SERVED);
    ak_collection_advance(c, AK_ACK_SERVED, next.seq);
    return AK_OK;
}

/* --------------------------------------------------------------- records */

/* Ids of the rows of one record, copied: a row is lent for one call only. */
struct row_ids {
    struct ak_id *ids;
    char *text;
    size_t n, at, len, cap;
    bool strings;
};

static enum ak_status collect_id(void *arg, const struct ak_row *row,
                                 struct ak_err *err)
{
    struct row_ids *r = arg;

    if (r->at == r->n)
        return AK_ECANCELED;
    if (r->strings) {
        if (r->len + row->id.len > r->cap) {
            size_t cap = 2 * r->cap + row->id.len + 4096;
            char *text = realloc(r->text, cap);

            if (text == NULL)
                return ak_fail(err, AK_ENOMEM, "no memory for ids");
            r->text = text;
            r->cap = cap;
        }
        memcpy(r->text + r->len, row->id.text, row->id.len);
        r->ids[r->at] = (struct ak_id){.len = row->id.len};
        r->len += row->id.len;
    } else {
        r->ids[r->at] = (struct ak_id){.number = row->id.number};
    }
    r->at++;
    return AK_OK;
}

static enum ak_status read_ids(struct ak_collection *c, uint64_t first,
                               size_t n, struct row_ids *out,
                               struct ak_err *err)
{
    enum ak_status status;
    size_t at = 0;

    *out = (struct row_ids){.n = n, .strings = c->shape.string_ids};
    out->ids = calloc(n, sizeof(*out->ids));
    if (out->ids == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for %zu ids", n);
    status = ak_view_rows(c->indexer.view, first, collect_id, out, err);
    if (status == AK_OK && out->at != n)
        status =
            ak_fail(err, AK_ECORRUPT, "%zu rows from %llu on, expected %zu",
                    out->at, (unsigned long long)first, n);
    for (size_t i = 0; i < n && out->strings && status == AK_OK; i++) {
        out->ids[i].text = out->text + at;
        at += out->ids[i].len;
    }
    return status;
}

/* Names of label numbers that appear for the first time. */
static enum ak_status learn_names(struct ak_collection *c,
                                  const uint32_t *labels, size_t n,
                                  struct ak_err *err)
{
    enum ak_status status = AK_OK;

    for (size_t i = 0; i < n && status == AK_OK; i++)
        while (ak_labels_count(c->labels) <= labels[i] && status == AK_OK) {
            struct ak_bytes name;

            status = ak_view_label(c->indexer.view, ak_labels_count(c->labels),
                                   &name, err);
            if (status == AK_OK)
                status = ak_labels_add(c->labels, name.data, name.len, err);
        }
    return status;
}

/* The rows that a record ended, from where it was. */
static enum ak_status kill_rows(struct ak_collection *c,
                                const struct ak_record *rec, struct ak_err *err)
{
    struct ak_indexer *ix = &c->indexer;
    enum ak_status status = AK_OK;

    while (ix->killed < rec->n_ordinals && status == AK_OK) {
        status = ak_index_kill(c->index, rec->ordinals[ix->killed], err);
        ak_packer_changed(c, rec->ordinals[ix->killed]);
        ix->killed += status == AK_OK;
    }
    return status;
}

static enum ak_status append_rows(struct ak_collection *c,
                                  const struct ak_record *rec,
                                  struct ak_err *err)
{
    struct ak_indexer *ix = &c->indexer;
    struct ak_snapshot *s = ak_index_snapshot(c->index);
    struct ak_encoder *encoder = ak_collection_model(s);
    size_t n = (size_t)rec->n;
    struct row_ids rows = {0};
    uint8_t *codes = NULL;
    enum ak_status status =
        learn_names(c, rec->labels, rec->label_first[n], err);

    if (status == AK_OK)
        status = read_ids(c, rec->first_ordinal, n, &rows, err);
    if (status == AK_OK) {
        codes = malloc(n * c->shape.code_bytes);
        status = codes ? ak_indexer_encode(c, ix->view, encoder,
                                           ak_snapshot_version(s),
                                           rec->first_ordinal, n, codes, err)
                       : ak_fail(err, AK_ENOMEM, "no memory for %zu codes", n);
    }
    if (status == AK_OK) {
        struct ak_index_batch batch = {.n = n,
                                       .ids = rows.ids,
                                       .labels = rec->labels,
                                       .first = rec->label_first,
                                       .codes = codes};

        status = ak_index_append(c->index, &batch, err);
    }
    free(codes);
    free(rows.ids);
    free(rows.text);
    ak_snapshot_drop(s);
    return status;
}

/* From here on `version` is to be served; what was on its way is not. */
static enum ak_status apply_rollback(struct ak_collection *c,
                                     const struct ak_record *rec,
                                     struct ak_err *err)
{
    struct ak_next_version next = {
        .version = rec->version, .seq = rec->seq, .rollback = true};
    struct ak_snapshot *s = ak_index_snapshot(c->index);
    uint64_t published = ak_snapshot_version(s);
    enum ak_status status;

    ak_snapshot_drop(s);
    abandon(c);
    if (published == rec->version) {
        ak_collection_advance(c, AK_ACK_SERVED, rec->seq);
        return AK_OK;
    }
    status = ak_collection_load_model(c->indexer.view, rec->version,
                                      &next.encoder, err);
    if (status == AK_ENOMEM)
        return status;
    if (status != AK_OK || next.encoder == NULL) {
        /* Said, and the published version stays. */
        ak_log_error(
            "engine", "cannot roll back",
            AK_TEXT("collection", c->settings.name),
            AK_NUMBER("version", rec->version),
            AK_TEXT("reason", status != AK_OK ? err->text : "it has no model"));
        ak_collection_advance(c, AK_ACK_SERVED, rec->seq);
        return AK_OK;
    }
    status = begin_version(c, &next, err);
    if (status != AK_OK)
        ak_ref_drop((struct ak_ref *)next.encoder);
    return status;
}

static enum ak_status apply(struct ak_collection *c,
                            const struct ak_record *rec, struct ak_err *err)
{
    struct ak_indexer *ix = &c->indexer;
    enum ak_status status = AK_OK;

    switch (rec->kind) {
    case AK_RECORD_BATCH:
    case AK_RECORD_UPSERT:
        if (!ix->appended)
            status = append_rows(c, rec, err);
        ix->appended = status == AK_OK;
        return status == AK_OK ? kill_rows(c, rec, err) : status;
    case AK_RECORD_DELETE:
        return kill_rows(c, rec, err);
    case AK_RECORD_RELABEL:
        status = learn_names(c, rec->labels, rec->label_first[1], err);
        if (status == AK_OK)
            status = ak_index_relabel(c->index, rec->first_ordinal, rec->labels,
                                      rec->label_first[1], err);
        ak_packer_changed(c, rec->first_ordinal);
        return status;
    case AK_RECORD_ROLLBACK:
        return apply_rollback(c, rec, err);
    case AK_RECORD_FLUSH:
    case AK_RECORD_PUBLISH: /* the learner's; it offers a version */
    case AK_RECORD_INSTALL:
        return AK_OK;
    }
    return ak_fail(err, AK_ECORRUPT, "a record of kind %d", (int)rec->kind);
}

/* Segments that have become full under the published version. */
static void store_full_segments(struct ak_collection *c)
{
    struct ak_indexer *ix = &c->indexer;
    size_t bytes = c->shape.code_bytes;
    struct ak_snapshot *s;
    uint8_t *codes;

    if (ak_index_rows(c->index) / AK_SEGMENT_ROWS <= ix->stored_segments)
        return;
    s = ak_index_snapshot(c->index);
    /* Codes of kind external are in the blocks. */
    codes = ak_snapshot_model(s) ? malloc(AK_SEGMENT_ROWS * bytes) : NULL;
    while (codes != NULL &&
           (ix->stored_segments + 1) * AK_SEGMENT_ROWS <= ak_snapshot_rows(s)) {
        uint64_t first = ix->stored_segments * AK_SEGMENT_ROWS;

        for (size_t i = 0; i < AK_SEGMENT_ROWS; i++)
            ak_snapshot_code(s, first + i, codes + i * bytes);
        ak_indexer_store_codes(c, ak_snapshot_version(s), ix->stored_segments++,
                               codes);
    }
    free(codes);
    ak_snapshot_drop(s);
}

static void stop(struct ak_collection *c, const struct ak_err *err)
{
    c->indexer.broken = true;
    pthread_mutex_lock(&c->lock);
    c->status.broken = true;
    pthread_mutex_unlock(&c->lock);
    ak_log_error(
        "engine", "indexing stopped", AK_TEXT("collection", c->settings.name),
        AK_NUMBER("after_seq", c->indexer.seq), AK_TEXT("reason", err->text));
}

/* Until the clock wakes it. */
static void wait_for_memory(struct ak_collection *c, const struct ak_err *err)
{
    pthread_mutex_lock(&c->lock);
    c->index_waits = true;
    pthread_mutex_unlock(&c->lock);
    ak_log_warn("engine", "indexing waits for memory",
                AK_TEXT("collection", c->settings.name),
                AK_NUMBER("after_seq", c->indexer.seq),
                AK_TEXT("reason", err->text));
}

/* Records until the slice's time is up; *more when there are some left. */
static enum ak_status apply_records(struct ak_collection *c, bool *more,
                                    struct ak_err *err)
{
    struct ak_indexer *ix = &c->indexer;
    uint64_t start = ak_clock_ns();
    enum ak_status status = AK_OK;
    struct ak_record rec;

    *more = true;
    while (ak_clock_ns() - start < SLICE_NS) {
        status = ak_view_record(ix->view, ix->seq, &rec, err);
        if (status == AK_ENOTFOUND) {
            *more = false;
            status = AK_OK;
            break;
        }
        if (status == AK_OK)
            status = apply(c, &rec, err);
        if (status != AK_OK)
            break;
        ix->seq = rec.seq;
        ix->appended = false;
        ix->killed = 0;
    }
    /* A part of a record would be seen, too. */
    if (ix->appended || ix->killed > 0)
        return status;
    if (ix->seq != ix->shown_seq) {
        struct ak_err err2 = {0};

        if (ak_index_commit(c->index, &err2) != AK_OK) {
            *err = err2;
            return err2.status;
        }
        ix->shown_seq = ix->seq;
        pthread_mutex_lock(&c->lock);
        c->status.index_seconds += (double)(ak_clock_ns() - start) * 1e-9;
        pthread_mutex_unlock(&c->lock);
        ak_collection_advance(c, AK_ACK_VISIBLE, ix->seq);
        store_full_segments(c);
    }
    return status;
}

bool ak_indexer_slice(struct ak_actor *actor)
{
    struct ak_collection *c = ak_indexer_owner(actor);
    struct ak_indexer *ix = &c->indexer;
    struct ak_err err = {0};
    enum ak_status status = AK_OK;
    bool serving, more = false;
    int flip;

    pthread_mutex_lock(&c->lock);
    serving = c->state == AK_SERVING;
    flip = (int)ix->flip;
    pthread_mutex_unlock(&c->lock);
    if (!serving || ix->broken || atomic_load(&c->engine->stopping))
        return false;
    if (flip == AK_FLIP_ASKED)
        return false; /* woken when it is committed */
    if (!ix->appended && ix->killed == 0)
        ak_partitioner_install(c);
    if (flip == AK_FLIP_DONE)
        status = install(c, &err);
    else if (flip == AK_FLIP_FAILED)
        status = ak_fail(&err, AK_EIO, "the flip of a version was not stored");
    if (status == AK_OK)
        status = apply_records(c, &more, &err);
    if (status == AK_OK)
        status = take_offer(c, &err);
    if (status == AK_OK && ix->next.encoder != NULL) {
        status = encode_some(c, &err);
        more = true; /* when the flip is asked for, the next slice ends */
    }
    report_memory(c);
    if (status == AK_ENOMEM) {
        wait_for_memory(c, &err);
        return false;
    }
    if (status != AK_OK) {
        stop(c, &err);
        return false;
    }
    ak_partitioner_look(c);
    return more || ak_packer_slice(c);
}
