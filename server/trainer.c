/*
 * trainer.c -- rows into a learner: warm-up, blocks, records, state.
 *
 * Warm-up: a feature map wants rows before it can be fixed.  Until there are
 * enough, records are only counted; the record that completes them (or asks for
 * it: a flush, a publish) ends the warm-up: the map is fixed with the first
 * rows of the stream, and the trainer goes back to the first record.
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "server/engine.h"
#include "server/trainer_internal.h"

/* Rows before the warm-up of a method that has no map to fix is over: what is
   published after fewer would not be worth it. */
#define LEAST_WARMUP 2000

/* The reservoir: so many rows, or fewer if their vectors are long. */
#define RESERVOIR_ROWS   4096
#define RESERVOIR_LEAST  256
#define RESERVOIR_FLOATS ((size_t)1 << 24)

#define STATE_FORMAT 1

static size_t reservoir_rows(size_t dim)
{
    size_t n = RESERVOIR_FLOATS / dim;

    if (n > RESERVOIR_ROWS)
        return RESERVOIR_ROWS;
    return n > RESERVOIR_LEAST ? n : RESERVOIR_LEAST;
}

enum ak_status ak_trainer_create(const struct ak_settings *settings,
                                 struct ak_trainer **out, struct ak_err *err)
{
    const struct ak_settings *s = settings;
    struct ak_hash_params params = {.dim = s->dim,
                                    .bits = s->bits,
                                    .max_labels = s->max_labels,
                                    .seed = s->seed};
    struct ak_trainer *t = calloc(1, sizeof(*t));
    enum ak_status status;

    if (t == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for a trainer");
    t->settings = *s;
    ak_row_list_init(&t->gathered, s->dim);
    ak_row_list_init(&t->step, s->dim);
    status = ak_hash_create(s->kind, &params, s->options, &t->hash, err);
    if (status == AK_OK) {
        t->about = ak_hash_find(s->kind);
        t->block = ak_hash_block_rows(t->hash);
        /* Half of a step is new, the other half rehearsed. */
        t->n_new = t->about->by_epochs ? (t->block + 1) / 2 : t->block;
        t->trained = !t->about->by_epochs;
    }
    if (status == AK_OK && t->block > 1)
        status = ak_reservoir_create(reservoir_rows(s->dim), s->dim, s->seed,
                                     &t->reservoir, err);
    if (status != AK_OK) {
        ak_trainer_destroy(t);
        return status;
    }
    *out = t;
    return AK_OK;
}

enum ak_status ak_trainer_take(struct ak_trainer *t, struct ak_encoder *e,
                               struct ak_err *err)
{
    return ak_hash_take(t->hash, e, err);
}

bool ak_trainer_has_taken(const struct ak_trainer *t)
{
    return ak_hash_has_taken(t->hash);
}

void ak_trainer_destroy(struct ak_trainer *t)
{
    if (t == NULL)
        return;
    ak_trainer_clear_set(t);
    ak_hash_destroy(t->hash);
    ak_reservoir_destroy(t->reservoir);
    ak_row_list_clear(&t->gathered);
    ak_label_map_clear(&t->fresh);
    free(t->packed);
    ak_array_free(t->x);
    free(t);
}

uint64_t ak_trainer_seq(const struct ak_trainer *t)
{
    return t->seq;
}

uint64_t ak_trainer_absorbed(const struct ak_trainer *t)
{
    return t->seq > t->warm_seq ? t->seq : t->warm_seq;
}

uint64_t ak_trainer_warmed_at(const struct ak_trainer *t)
{
    return t->warm_seq;
}

bool ak_trainer_waits(const struct ak_trainer *t)
{
    return !t->trained && !ak_trainer_has_taken(t);
}

uint64_t ak_trainer_pending(const struct ak_trainer *t)
{
    bool warming = t->warm_seq == 0 && t->fed == 0;

    return !t->trained || warming ? t->warm_rows : t->gathered.n;
}

bool ak_trainer_can_flush(const struct ak_trainer *t)
{
    return t->trained && ak_trainer_pending(t) > 0;
}

const struct ak_hash_method *ak_trainer_method(const struct ak_trainer *t)
{
    return t->about;
}

const struct ak_settings *ak_trainer_settings(const struct ak_trainer *t)
{
    return &t->settings;
}

const struct ak_hash *ak_trainer_hash(const struct ak_trainer *t)
{
    return t->hash;
}

size_t ak_trainer_bytes(const struct ak_trainer *t)
{
    size_t row =
        ak_settings_row_bytes(&t->settings) + t->settings.dim * sizeof(*t->x);

    return ak_hash_bytes(t->hash) + ak_row_list_bytes(&t->gathered) +
           ak_row_list_bytes(&t->step) + t->cap_rows * row +
           (t->reservoir ? ak_reservoir_bytes(t->reservoir) : 0);
}

enum ak_status ak_trainer_rows(struct ak_trainer *t, struct ak_view *view,
                               uint64_t first, size_t n, const float **x,
                               struct ak_err *err)
{
    const struct ak_space space = ak_settings_space(&t->settings);
    enum ak_status status = AK_OK;

    if (n > t->cap_rows) {
        free(t->packed);
        ak_array_free(t->x);
        t->cap_rows = t->n_rows = 0;
        t->packed = calloc(n, ak_settings_row_bytes(&t->settings));
        t->x = ak_array_new(n * t->settings.dim, sizeof(*t->x));
        if (t->packed == NULL || t->x == NULL)
            return ak_fail(err, AK_ENOMEM, "no memory to learn %zu rows", n);
        t->cap_rows = n;
    }
    if (first != t->rows_first || n != t->n_rows) {
        t->n_rows = 0;
        status = ak_view_block(view, &space, first, n, t->packed, err);
        if (status == AK_OK) {
            ak_collection_unpack(&t->settings, t->packed, n, t->x);
            t->rows_first = first;
            t->n_rows = n;
        }
    }
    if (status == AK_OK)
        *x = t->x;
    return status;
}

/* ---------------------------------------------------------------- learning */

enum ak_status ak_trainer_update(struct ak_trainer *t,
                                 const struct ak_hash_batch *batch,
                                 struct ak_trained *out, struct ak_err *err)
{
    struct ak_hash_loss loss = {0};
    struct ak_err why = {0};
    enum ak_status status = ak_hash_update(t->hash, batch, &loss, &why);
    uint64_t learnt = out->loss.learnt + loss.learnt;

    if (status == AK_ENUMERIC || status == AK_EINVAL) {
        out->refused++;
        memcpy(out->reason, why.text, sizeof(out->reason));
        return AK_OK;
    }
    if (status != AK_OK)
        return ak_fail(err, status, "%s", why.text);
    if (learnt > 0)
        out->loss.loss = (out->loss.loss * (double)out->loss.learnt +
                          loss.loss * (double)loss.learnt) /
                         (double)learnt;
    out->loss.learnt = learnt;
    out->loss.skipped += loss.skipped;
    return AK_OK;
}

/* One of the labels has a class. */
static bool known(const struct ak_trainer *t, const uint32_t *labels, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (ak_hash_knows(t->hash, labels[i]))
            return true;
    return false;
}

enum ak_status ak_trainer_remember(struct ak_trainer *t,
                                   const struct ak_row_list *rows, size_t n,
                                   struct ak_err *err)
{
    enum ak_status status = AK_OK;

    for (size_t i = 0; i < n && status == AK_OK; i++) {
        const uint32_t *labels = rows->labels + rows->first[i];
        size_t n_labels = rows->first[i + 1] - rows->first[i];

        if (known(t, labels, n_labels))
            status = ak_reservoir_offer(t->reservoir, rows->ordinals[i], labels,
                                        n_labels, rows->x + i * rows->dim, err);
    }
    return status;
}

/* Learn what is gathered, as one block that the reservoir fills. */
static enum ak_status learn_block(struct ak_trainer *t, struct ak_view *view,
                                  struct ak_trained *out, struct ak_err *err)
{
    struct ak_row_list *l = &t->gathered;
    size_t n_new = l->n;
    uint64_t refused = out->refused;
    struct ak_hash_batch batch;
    enum ak_status status = ak_row_list_fetch(l, view, &t->settings, err);

    if (status == AK_OK && n_new < t->block)
        status = ak_reservoir_draw(t->reservoir, t->block - n_new, view,
                                   &t->settings, l, err);
    batch = (struct ak_hash_batch){l->x, l->labels, l->first, l->n};
    if (status == AK_OK)
        status = ak_trainer_update(t, &batch, out, err);
    if (status == AK_OK && out->refused == refused)
        status = ak_trainer_remember(t, l, n_new, err);
    ak_row_list_reset(l);
    ak_label_map_truncate(&t->fresh, 0);
    return status;
}

/*
 * Whether a row will have a class when its block is learnt; its new labels are
 * noted.  The learner gives classes in the order of the rows, and only rows
 * that pass here reach it, so that both always count alike.
 */
static enum ak_status learnable(struct ak_trainer *t, const uint32_t *labels,
                                size_t n, bool *yes, struct ak_err *err)
{
    enum ak_status status =
        ak_label_map_reserve(&t->fresh, t->fresh.n + n, err);

    *yes = false;
    for (size_t i = 0; i < n && status == AK_OK; i++) {
        bool has = ak_hash_knows(t->hash, labels[i]) ||
                   ak_label_map_find(&t->fresh, labels[i]) != AK_NO_CLASS;

        if (!has &&
            ak_hash_classes(t->hash) + t->fresh.n < t->settings.max_labels) {
            ak_label_map_add(&t->fresh, labels[i]);
            has = true;
        }
        *yes |= has;
    }
    return status;
}

enum ak_status ak_trainer_learn(struct ak_trainer *t, struct ak_view *view,
                                const uint64_t *ordinals,
                                const struct ak_hash_batch *batch,
                                struct ak_trained *out, struct ak_err *err)
{
    enum ak_status status = AK_OK;

    if (t->block == 1)
        return ak_trainer_update(t, batch, out, err);
    status = ak_row_list_reserve(&t->gathered, t->block, err);
    for (size_t i = 0; i < batch->n && status == AK_OK; i++) {
        const uint32_t *labels = batch->labels + batch->first[i];
        size_t n = batch->first[i + 1] - batch->first[i];
        bool yes;

        status = learnable(t, labels, n, &yes, err);
        if (status != AK_OK)
            break;
        if (!yes) {
            out->loss.skipped++;
            continue;
        }
        status = ak_row_list_push(&t->gathered, ordinals[i], labels, n,
                                  batch->x + i * t->settings.dim, err);
        if (status == AK_OK && t->gathered.n == t->n_new)
            status = learn_block(t, view, out, err);
    }
    return status;
}

static enum ak_status flush(struct ak_trainer *t, struct ak_view *view,
                            struct ak_trained *out, struct ak_err *err)
{
    return t->gathered.n > 0 ? learn_block(t, view, out, err) : AK_OK;
}

enum ak_status ak_trainer_flush(struct ak_trainer *t, struct ak_view *view,
                                struct ak_trained *out, struct ak_err *err)
{
    *out = (struct ak_trained){.refused = 0};
    return flush(t, view, out, err);
}

/* ----------------------------------------------------------------- records */

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* The labels of the gathered rows that have no class, counted anew. */
static enum ak_status count_fresh(struct ak_trainer *t, struct ak_err *err)
{
    const struct ak_row_list *l = &t->gathered;
    enum ak_status status = AK_OK;

    ak_label_map_truncate(&t->fresh, 0);
    for (size_t i = 0; i < l->n && status == AK_OK; i++) {
        bool yes;

        status = learnable(t, l->labels + l->first[i],
                           l->first[i + 1] - l->first[i], &yes, err);
    }
    return status;
}

/* Rows that have ended, or are about to get other labels. */
static enum ak_status forget(struct ak_trainer *t, const uint64_t *ordinals,
                             uint64_t n, struct ak_err *err)
{
    uint64_t *gone;
    enum ak_status status = AK_OK;

    if (t->block == 1 || n == 0)
        return AK_OK;
    gone = malloc((size_t)n * sizeof(*gone));
    if (gone == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory to forget %llu rows",
                       (unsigned long long)n);
    memcpy(gone, ordinals, (size_t)n * sizeof(*gone));
    qsort(gone, (size_t)n, sizeof(*gone), by_number);
    ak_reservoir_remove(t->reservoir, gone, (size_t)n);
    if (ak_row_list_remove(&t->gathered, gone, (size_t)n) > 0)
        status = count_fresh(t, err);
    free(gone);
    return status;
}

/* The rows of a batch, or the row of a relabel. */
static enum ak_status learn_record(struct ak_trainer *t, struct ak_view *view,
                                   const struct ak_record *rec,
                                   struct ak_trained *out, struct ak_err *err)
{
    size_t n = (size_t)rec->n;
    uint64_t *ordinals = NULL;
    struct ak_hash_batch batch = {
        .labels = rec->labels, .first = rec->label_first, .n = n};
    enum ak_status status =
        ak_trainer_rows(t, view, rec->first_ordinal, n, &batch.x, err);

    if (status != AK_OK)
        return status;
    ordinals = malloc((n + 1) * sizeof(*ordinals));
    if (ordinals == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory to learn %zu rows", n);
    for (size_t i = 0; i < n; i++)
        ordinals[i] = rec->first_ordinal + i;
    status = ak_trainer_learn(t, view, ordinals, &batch, out, err);
    free(ordinals);
    return status;
}

static enum ak_status follow(struct ak_trainer *t, struct ak_view *view,
                             const struct ak_record *rec,
                             struct ak_trained *out, struct ak_err *err)
{
    enum ak_status status = AK_OK;

    switch (rec->kind) {
    case AK_RECORD_BATCH:
        status = forget(t, rec->ordinals, rec->n_ordinals, err);
        if (status == AK_OK)
            status = learn_record(t, view, rec, out, err);
        break;
    case AK_RECORD_UPSERT:
    case AK_RECORD_DELETE:
        status = forget(t, rec->ordinals, rec->n_ordinals, err);
        break;
    case AK_RECORD_RELABEL: /* one more update, with the new labels */
        status = forget(t, &rec->first_ordinal, 1, err);
        if (status == AK_OK)
            status = learn_record(t, view, rec, out, err);
        break;
    case AK_RECORD_FLUSH:
        status = flush(t, view, out, err);
        break;
    case AK_RECORD_PUBLISH:
        if (rec->cause == 0)
            status = flush(t, view, out, err);
        break;
    case AK_RECORD_ROLLBACK:
    case AK_RECORD_INSTALL:
        break;
    }
    return status;
}

/* ----------------------------------------------------------------- warm-up */

static size_t warmup_rows(const struct ak_trainer *t)
{
    size_t wanted = ak_hash_warmup_rows(t->hash);

    return wanted > 0 ? wanted : LEAST_WARMUP;
}

/* The first `wanted` rows of the stream, or as many as there are up to `seq`,
   from their records; *x is freed with ak_array_free(). */
static enum ak_status first_rows(struct ak_trainer *t, struct ak_view *view,
                                 uint64_t seq, size_t wanted, float **x,
                                 size_t *n, struct ak_err *err)
{
    size_t dim = t->settings.dim;
    enum ak_status status = AK_OK;
    struct ak_record rec = {.seq = t->from};

    *n = 0;
    *x = ak_array_new(wanted * dim, sizeof(**x));
    if (*x == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory to warm up with %zu rows",
                       wanted);
    while (status == AK_OK && *n < wanted && rec.seq < seq) {
        const float *some = NULL;
        size_t take;

        status = ak_view_record(view, rec.seq, &rec, err);
        if (status != AK_OK)
            break;
        if (rec.kind != AK_RECORD_BATCH && rec.kind != AK_RECORD_UPSERT)
            continue;
        take = wanted - *n < rec.n ? wanted - *n : (size_t)rec.n;
        status = ak_trainer_rows(t, view, rec.first_ordinal, take, &some, err);
        if (status == AK_OK)
            memcpy(*x + *n * dim, some, take * dim * sizeof(**x));
        *n += take;
    }
    if (status != AK_OK) {
        ak_array_free(*x);
        *x = NULL;
    }
    return status;
}

/* `seq` completes the warm-up: fix the map and go back. */
static enum ak_status end_warmup(struct ak_trainer *t, struct ak_view *view,
                                 uint64_t seq, struct ak_err *err)
{
    size_t wanted = ak_hash_warmup_rows(t->hash), n = 0;
    float *x = NULL;
    enum ak_status status = AK_OK;

    if (wanted > 0) {
        status = first_rows(t, view, seq, wanted, &x, &n, err);
        if (status == AK_OK)
            status = ak_hash_fix(t->hash, x, n, err);
        ak_array_free(x);
    }
    if (status != AK_OK)
        return status;
    t->warm_seq = seq;
    t->seq = t->from;
    return AK_OK;
}

static enum ak_status warm_up(struct ak_trainer *t, struct ak_view *view,
                              const struct ak_record *rec,
                              struct ak_trained *out, struct ak_err *err)
{
    bool rows = rec->kind == AK_RECORD_BATCH || rec->kind == AK_RECORD_UPSERT;
    bool asked = rec->kind == AK_RECORD_FLUSH || rec->kind == AK_RECORD_PUBLISH;

    if (rows)
        t->warm_rows += rec->n;
    out->warmed = t->warm_rows >= warmup_rows(t) || (asked && t->warm_rows > 0);
    if (out->warmed)
        return end_warmup(t, view, rec->seq, err);
    t->seq = rec->seq;
    return AK_OK;
}

/* Labelled rows wait for the first passes over a set; those whose labels came
   late, too. */
static void count_waiting(struct ak_trainer *t, const struct ak_record *rec)
{
    if (rec->kind == AK_RECORD_BATCH || rec->kind == AK_RECORD_RELABEL)
        for (size_t i = 0; i < rec->n; i++)
            t->warm_rows += rec->label_first[i] < rec->label_first[i + 1];
    t->seq = rec->seq;
}

enum ak_status ak_trainer_follow(struct ak_trainer *t, struct ak_view *view,
                                 const struct ak_record *rec,
                                 struct ak_trained *out, struct ak_err *err)
{
    uint64_t seq = rec->seq;
    enum ak_status status = AK_OK;

    *out = (struct ak_trained){.refused = 0};
    if (ak_trainer_has_taken(t)) {
        t->seq = seq;
        if (t->warm_seq == 0) /* there was no record before */
            t->warm_seq = seq;
        return AK_OK;
    }
    if (!t->trained) {
        count_waiting(t, rec);
        return AK_OK;
    }
    if (t->warm_seq == 0)
        return warm_up(t, view, rec, out, err);
    status = follow(t, view, rec, out, err);
    if (status == AK_OK)
        t->seq = seq;
    return status;
}

void ak_trainer_begin(struct ak_trainer *t, uint64_t seq)
{
    t->seq = t->from = seq;
    t->warm_seq = t->fed > 0 || ak_trainer_has_taken(t) ? seq : 0;
    t->warm_rows = 0;
}

/* ------------------------------------------------------------------- state */

bool ak_trainer_can_save(const struct ak_trainer *t)
{
    return t->warm_seq > 0 ||
           (!t->trained && ak_hash_warmup_rows(t->hash) == 0);
}

enum ak_status ak_trainer_save_constants(const struct ak_trainer *t,
                                         struct ak_writer *w,
                                         struct ak_err *err)
{
    return ak_hash_save_constants(t->hash, w, err);
}

enum ak_status ak_trainer_save_state(const struct ak_trainer *t,
                                     struct ak_writer *w, struct ak_err *err)
{
    ak_write_u32(w, STATE_FORMAT);
    ak_write_u64(w, t->seq);
    ak_write_u64(w, t->from);
    ak_write_u64(w, t->warm_seq);
    ak_write_u64(w, t->warm_rows);
    ak_write_u64(w, t->fed);
    ak_write_u64(w, t->done);
    ak_write_u8(w, t->trained);
    if (t->reservoir != NULL) {
        ak_row_list_save(&t->gathered, w);
        ak_reservoir_save(t->reservoir, w);
    }
    if (w->status != AK_OK)
        return ak_fail(err, w->status, "no memory to save a trainer");
    return ak_hash_save_state(t->hash, w, err);
}

enum ak_status ak_trainer_load(struct ak_trainer *t,
                               struct ak_reader *constants,
                               struct ak_reader *state, struct ak_err *err)
{
    uint32_t format = ak_read_u32(state);
    enum ak_status status = AK_OK;

    if (format != STATE_FORMAT)
        return ak_fail(err, AK_ECORRUPT, "trainer: format is %u, must be %d",
                       format, STATE_FORMAT);
    t->seq = ak_read_u64(state);
    t->from = ak_read_u64(state);
    t->warm_seq = ak_read_u64(state);
    t->warm_rows = ak_read_u64(state);
    t->fed = ak_read_u64(state);
    t->done = ak_read_u64(state);
    t->trained = ak_read_u8(state) != 0;
    if (t->reservoir != NULL) {
        status = ak_row_list_load(&t->gathered, t->block, state, err);
        if (status == AK_OK && t->gathered.n >= t->n_new)
            status =
                ak_fail(err, AK_ECORRUPT, "%zu rows wait for a block of %zu",
                        t->gathered.n, t->n_new);
        if (status == AK_OK)
            status = ak_reservoir_load(t->reservoir, state, err);
    }
    if (status == AK_OK)
        status = ak_hash_load(t->hash, constants, state, err);
    if (status == AK_OK)
        status = count_fresh(t, err);
    return status;
}
