/*
 * shadow.c -- gather, train, test, feed, follow.
 *
 * What is gathered is not saved: after a load it is gathered again, which reads
 * no vector, and the work goes on in the phase that was saved.
 */
#include "server/shadow.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/eval/metrics.h"

#define SLICE_NS      UINT64_C(10000000)
#define TRAIN_ROWS    256 /* in a call of the trainer, at least a block */
#define DATABASE_ROWS 4096
#define STATE_FORMAT  1
#define DEAD          UINT32_MAX

/* Labels of a row, in the pool. */
struct row {
    uint32_t at, n; /* n DEAD: it ended */
};

struct ak_shadow {
    struct ak_settings settings;
    struct ak_shadow_params params;
    struct ak_trainer *trainer;
    struct ak_debt debt;
    enum ak_shadow_phase phase;
    enum ak_shadow_phase resume; /* the phase after GATHER */

    /* GATHER */
    uint64_t gathered; /* record */
    struct row *rows;
    size_t n_rows, cap_rows;
    uint32_t *pool;
    size_t n_pool, cap_pool;

    /* Up to FEED: the set, and behind it the rows that are held. */
    uint64_t *ordinals;
    uint32_t *labels, *first;
    size_t n_set, n_held, n_labelled;
};

void ak_shadow_shuffle(uint64_t seed, uint64_t number, uint32_t *values,
                       uint32_t n)
{
    struct ak_rng rng;

    ak_rng_init(&rng, ak_rng_derive(seed + number, "generation"));
    ak_rng_shuffle(&rng, values, n);
}

enum ak_status ak_shadow_create(const struct ak_shadow_params *params,
                                struct ak_shadow **out, struct ak_err *err)
{
    struct ak_shadow *s = calloc(1, sizeof(*s));
    enum ak_status status;

    if (s == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for a rebuild");
    s->settings = *params->settings;
    s->params = *params;
    s->params.settings = &s->settings;
    s->resume = AK_SHADOW_TRAIN;
    status = ak_trainer_create(&s->settings, &s->trainer, err);
    if (status == AK_OK && params->head != NULL)
        status = ak_trainer_take(s->trainer, params->head, err);
    if (status != AK_OK) {
        ak_trainer_destroy(s->trainer);
        free(s);
        return status;
    }
    *out = s;
    return AK_OK;
}

static void clear_set(struct ak_shadow *s)
{
    free(s->rows);
    free(s->pool);
    free(s->ordinals);
    free(s->labels);
    free(s->first);
    s->rows = NULL;
    s->pool = s->labels = s->first = NULL;
    s->ordinals = NULL;
    s->n_rows = s->cap_rows = s->n_pool = s->cap_pool = 0;
}

void ak_shadow_destroy(struct ak_shadow *s)
{
    if (s == NULL)
        return;
    clear_set(s);
    ak_trainer_destroy(s->trainer);
    ak_debt_clear(&s->debt);
    free(s);
}

enum ak_shadow_phase ak_shadow_phase(const struct ak_shadow *s)
{
    return s->phase;
}

uint64_t ak_shadow_seq(const struct ak_shadow *s)
{
    return s->phase == AK_SHADOW_FOLLOW ? ak_trainer_seq(s->trainer)
                                        : s->params.base_seq;
}

uint64_t ak_shadow_base(const struct ak_shadow *s)
{
    return s->params.base_seq;
}

size_t ak_shadow_rows(const struct ak_shadow *s)
{
    return s->n_labelled;
}

void ak_shadow_progress(const struct ak_shadow *s, uint64_t *done,
                        uint64_t *total)
{
    *done = *total = 0;
    switch (s->phase) {
    case AK_SHADOW_GATHER:
        *done = s->gathered;
        *total = s->params.base_seq;
        break;
    case AK_SHADOW_TRAIN:
        ak_trainer_progress(s->trainer, s->n_set, done, total);
        break;
    case AK_SHADOW_TEST:
    case AK_SHADOW_FEED:
        *total = s->n_held;
        break;
    case AK_SHADOW_FOLLOW:
        *done = ak_trainer_seq(s->trainer);
        break;
    }
}

/* ------------------------------------------------------------------ gathering */

static enum ak_status no_memory(struct ak_err *err)
{
    return ak_fail(err, AK_ENOMEM, "no memory to gather the rows of a rebuild");
}

/* Room for n more of `size` bytes behind *array. */
static enum ak_status grow(void **array, size_t size, size_t used, size_t *cap,
                           size_t n, struct ak_err *err)
{
    size_t want = used + n;
    void *grown;

    if (want <= *cap)
        return AK_OK;
    want = want < 2 * *cap ? 2 * *cap : want + 1024;
    grown = realloc(*array, want * size);
    if (grown == NULL)
        return no_memory(err);
    *array = grown;
    *cap = want;
    return AK_OK;
}

static enum ak_status set_labels(struct ak_shadow *s, uint64_t ordinal,
                                 const uint32_t *labels, uint32_t n,
                                 struct ak_err *err)
{
    void *pool = s->pool;
    enum ak_status status =
        grow(&pool, sizeof(*s->pool), s->n_pool, &s->cap_pool, n, err);

    s->pool = pool;
    if (status != AK_OK)
        return status;
    if (s->n_pool + n >= DEAD)
        return ak_fail(err, AK_ELIMIT, "%zu labels are too many for a rebuild",
                       s->n_pool);
    s->rows[ordinal] = (struct row){(uint32_t)s->n_pool, n};
    if (n > 0)
        memcpy(s->pool + s->n_pool, labels, n * sizeof(*labels));
    s->n_pool += n;
    return AK_OK;
}

/* What a record does to the rows and their labels. */
static enum ak_status gather(struct ak_shadow *s, const struct ak_record *rec,
                             struct ak_err *err)
{
    bool brings = rec->kind == AK_RECORD_BATCH || rec->kind == AK_RECORD_UPSERT;
    void *rows = s->rows;
    enum ak_status status = AK_OK;

    if (brings && rec->first_ordinal != s->n_rows)
        return ak_fail(err, AK_ECORRUPT,
                       "record %llu brings row %llu, expected %zu",
                       (unsigned long long)rec->seq,
                       (unsigned long long)rec->first_ordinal, s->n_rows);
    if (brings) {
        status = grow(&rows, sizeof(*s->rows), s->n_rows, &s->cap_rows,
                      (size_t)rec->n, err);
        s->rows = rows;
    }
    for (size_t i = 0; i < rec->n && brings && status == AK_OK; i++) {
        uint32_t from = rec->label_first[i], to = rec->label_first[i + 1];

        status = set_labels(s, s->n_rows, rec->labels + from,
                            rec->kind == AK_RECORD_BATCH ? to - from : 0, err);
        s->n_rows++;
    }
    if (status == AK_OK && rec->kind == AK_RECORD_RELABEL &&
        rec->first_ordinal < s->n_rows)
        status = set_labels(s, rec->first_ordinal, rec->labels,
                            rec->label_first[1], err);
    if (status != AK_OK || rec->kind == AK_RECORD_RELABEL)
        return status;
    for (uint64_t i = 0; i < rec->n_ordinals; i++)
        if (rec->ordinals[i] < s->n_rows)
            s->rows[rec->ordinals[i]].n = DEAD;
    return AK_OK;
}

/* Rows of `order` (n), first those that are not held, then those that are. */
static void lay_out(struct ak_shadow *s, const uint32_t *order, uint32_t n,
                    uint32_t left)
{
    size_t at[2] = {0, n - s->n_held};
    uint32_t *to = malloc(((size_t)n + 1) * sizeof(*to));

    s->n_set = n - s->n_held;
    /* Without the memory for it the caller sees n_set 0 rows laid out. */
    if (to == NULL) {
        s->n_set = SIZE_MAX;
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        bool labelled = s->rows[order[i]].n > 0;
        bool held = labelled && left == 0 && s->n_held > 0;

        to[at[held]++] = order[i];
        if (labelled && left > 0)
            left--;
    }
    s->first[0] = 0;
    for (uint32_t i = 0; i < n; i++) {
        const struct row *row = &s->rows[to[i]];

        s->ordinals[i] = to[i];
        if (row->n > 0)
            memcpy(s->labels + s->first[i], s->pool + row->at,
                   row->n * sizeof(*s->labels));
        s->first[i + 1] = s->first[i] + row->n;
    }
    free(to);
}

/* All is gathered: shuffle what lives, and choose what is held. */
static enum ak_status end_gather(struct ak_shadow *s, struct ak_err *err)
{
    uint32_t *order, n = 0;
    size_t held;

    if (s->n_rows >= DEAD)
        return ak_fail(err, AK_ELIMIT, "%zu rows, a rebuild takes %u",
                       s->n_rows, DEAD - 1);
    order = malloc((s->n_rows + 1) * sizeof(*order));
    s->ordinals = malloc((s->n_rows + 1) * sizeof(*s->ordinals));
    s->labels = malloc((s->n_pool + 1) * sizeof(*s->labels));
    s->first = malloc((s->n_rows + 1) * sizeof(*s->first));
    if (order == NULL || s->ordinals == NULL || s->labels == NULL ||
        s->first == NULL) {
        free(order);
        return no_memory(err);
    }
    s->n_labelled = 0;
    for (size_t i = 0; i < s->n_rows; i++) {
        if (s->rows[i].n == DEAD)
            continue;
        order[n++] = (uint32_t)i;
        s->n_labelled += s->rows[i].n > 0;
    }
    held = s->n_labelled / 10;
    if (held > s->params.held)
        held = (size_t)s->params.held;
    s->n_held = held < AK_SHADOW_LEAST ? 0 : held;
    ak_shadow_shuffle(s->settings.seed, s->params.number, order, n);
    lay_out(s, order, n, (uint32_t)(s->n_labelled - s->n_held));
    free(order);
    if (s->n_set == SIZE_MAX)
        return no_memory(err);
    free(s->rows);
    free(s->pool);
    s->rows = NULL;
    s->pool = NULL;
    s->n_rows = s->cap_rows = s->n_pool = s->cap_pool = 0;
    if (s->n_labelled == 0 && !ak_trainer_has_taken(s->trainer))
        return ak_fail(err, AK_ENOTFOUND,
                       "there is no row with a label to learn from");
    s->phase = s->resume;
    if (s->phase == AK_SHADOW_TRAIN && !ak_trainer_has_taken(s->trainer))
        s->debt.learnt = s->n_labelled;
    return AK_OK;
}

static enum ak_status gather_some(struct ak_shadow *s, struct ak_view *view,
                                  struct ak_err *err)
{
    uint64_t start = ak_clock_ns();
    enum ak_status status = AK_OK;

    while (status == AK_OK && s->gathered < s->params.base_seq &&
           ak_clock_ns() - start < SLICE_NS) {
        struct ak_record rec;

        status = ak_view_record(view, s->gathered, &rec, err);
        if (status == AK_ENOTFOUND ||
            (status == AK_OK && rec.seq > s->params.base_seq))
            return ak_fail(err, AK_ECORRUPT, "record %llu is missing",
                           (unsigned long long)s->params.base_seq);
        if (status == AK_OK)
            status = gather(s, &rec, err);
        if (status == AK_OK)
            s->gathered = rec.seq;
    }
    if (status == AK_OK && s->gathered >= s->params.base_seq)
        status = end_gather(s, err);
    return status;
}

/* ------------------------------------------------------------------- learning */

static struct ak_row_refs refs_of(const struct ak_shadow *s, size_t from,
                                  size_t n)
{
    return (struct ak_row_refs){.ordinals = s->ordinals + from,
                                .labels = s->labels,
                                .first = s->first + from,
                                .n = n};
}

static enum ak_status train_some(struct ak_shadow *s, struct ak_view *view,
                                 struct ak_err *err)
{
    const struct ak_row_refs set = refs_of(s, 0, s->n_set);
    uint64_t start = ak_clock_ns(), done, total;
    struct ak_trained out;
    enum ak_status status = AK_OK;

    do {
        status =
            ak_trainer_train(s->trainer, view, &set, TRAIN_ROWS, &out, err);
        ak_trainer_progress(s->trainer, s->n_set, &done, &total);
    } while (status == AK_OK && done < total &&
             ak_clock_ns() - start < SLICE_NS);
    if (status == AK_OK && done >= total)
        s->phase = s->n_held > 0 ? AK_SHADOW_TEST : AK_SHADOW_FEED;
    return status;
}

static enum ak_status feed(struct ak_shadow *s, struct ak_view *view,
                           struct ak_err *err)
{
    const struct ak_row_refs held = refs_of(s, s->n_set, s->n_held);
    struct ak_trained out;
    enum ak_status status = AK_OK;

    if (s->n_held > 0)
        status = ak_trainer_feed(s->trainer, view, &held, &out, err);
    /* What is installed has learnt all of its rows. */
    if (status == AK_OK)
        status = ak_trainer_flush(s->trainer, view, &out, err);
    if (status != AK_OK)
        return status;
    ak_trainer_begin(s->trainer, s->params.base_seq);
    clear_set(s);
    s->phase = AK_SHADOW_FOLLOW;
    return AK_OK;
}

static enum ak_status follow_one(struct ak_shadow *s, struct ak_view *view,
                                 const struct ak_record *rec,
                                 struct ak_err *err)
{
    struct ak_trained out;
    enum ak_status status = ak_trainer_follow(s->trainer, view, rec, &out, err);

    if (status == AK_OK && out.warmed)
        return ak_fail(err, AK_ECORRUPT, "a rebuild warms up");
    return status == AK_OK && !ak_trainer_has_taken(s->trainer)
               ? ak_debt_follow(&s->debt, view, rec, err)
               : status;
}

static enum ak_status follow_some(struct ak_shadow *s, struct ak_view *view,
                                  uint64_t until, bool *idle,
                                  struct ak_err *err)
{
    uint64_t start = ak_clock_ns();
    enum ak_status status = AK_OK;

    while (status == AK_OK && ak_trainer_seq(s->trainer) < until &&
           ak_clock_ns() - start < SLICE_NS) {
        struct ak_record rec;

        status = ak_view_record(view, ak_trainer_seq(s->trainer), &rec, err);
        if (status == AK_ENOTFOUND || (status == AK_OK && rec.seq > until)) {
            *idle = true;
            return AK_OK;
        }
        if (status == AK_OK)
            status = follow_one(s, view, &rec, err);
    }
    *idle = ak_trainer_seq(s->trainer) >= until;
    return status;
}

enum ak_status ak_shadow_step(struct ak_shadow *s, struct ak_view *view,
                              uint64_t until, bool *idle, struct ak_err *err)
{
    *idle = false;
    switch (s->phase) {
    case AK_SHADOW_GATHER:
        return gather_some(s, view, err);
    case AK_SHADOW_TRAIN:
        return train_some(s, view, err);
    case AK_SHADOW_TEST:
        *idle = true;
        break;
    case AK_SHADOW_FEED:
        return feed(s, view, err);
    case AK_SHADOW_FOLLOW:
        return follow_some(s, view, until, idle, err);
    }
    return AK_OK;
}

/* ----------------------------------------------------------------------- test */

struct items {
    struct ak_eval_items items;
    uint64_t *ordinals;
    uint32_t *labels, *first;
    uint8_t *codes;
};

static void clear_items(struct items *it)
{
    free(it->ordinals);
    free(it->labels);
    free(it->first);
    free(it->codes);
}

/* The first `most` rows with a label among [from, to). */
static enum ak_status find_items(const struct ak_shadow *s, size_t from,
                                 size_t to, size_t most, struct items *out,
                                 struct ak_err *err)
{
    size_t n = 0, n_labels = 0;

    *out = (struct items){
        .ordinals = malloc((most + 1) * sizeof(*out->ordinals)),
        .labels = malloc((s->first[to] + 1) * sizeof(*out->labels)),
        .first = calloc(most + 1, sizeof(*out->first)),
        .codes = malloc(most * s->settings.bits / 8 + 1)};
    if (out->ordinals == NULL || out->labels == NULL || out->first == NULL ||
        out->codes == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory to test a rebuild");
    for (size_t i = from; i < to && n < most; i++) {
        uint32_t k = s->first[i + 1] - s->first[i];

        if (k == 0)
            continue;
        memcpy(out->labels + n_labels, s->labels + s->first[i],
               k * sizeof(*out->labels));
        n_labels += k;
        out->ordinals[n++] = s->ordinals[i];
        out->first[n] = (uint32_t)n_labels;
    }
    out->items = (struct ak_eval_items){out->codes, out->labels, out->first, n};
    return AK_OK;
}

/* Their codes, by an encoder that takes vectors of these settings. */
static enum ak_status encode_items(struct ak_view *view,
                                   const struct ak_settings *settings,
                                   const struct ak_encoder *encoder,
                                   struct items *it, struct ak_err *err)
{
    size_t n = it->items.n, size = ak_encoder_scratch(encoder);
    float *x = ak_array_new(n, settings->dim * sizeof(*x));
    void *scratch = ak_array_new(1, size > 0 ? size : 1);
    enum ak_status status = AK_OK;

    if (x == NULL || scratch == NULL)
        status = ak_fail(err, AK_ENOMEM, "no memory to test a rebuild");
    if (status == AK_OK && n > 0)
        status = ak_rows_read(view, settings, it->ordinals, n, x, err);
    if (status == AK_OK)
        ak_encoder_encode(encoder, x, n, it->codes, scratch);
    ak_array_free(scratch);
    ak_array_free(x);
    return status;
}

static enum ak_status rank(struct ak_view *view,
                           const struct ak_settings *settings,
                           const struct ak_encoder *encoder,
                           struct items *queries, struct items *database,
                           struct ak_eval_result *out, struct ak_err *err)
{
    const struct ak_eval_params params = {.bits = settings->bits};
    enum ak_status status = encode_items(view, settings, encoder, queries, err);

    if (status == AK_OK)
        status = encode_items(view, settings, encoder, database, err);
    if (status == AK_OK)
        status =
            ak_eval_rank(&params, &queries->items, &database->items, out, err);
    return status;
}

enum ak_status ak_shadow_test(struct ak_shadow *s, struct ak_view *view,
                              const struct ak_encoder *published,
                              const struct ak_settings *settings,
                              struct ak_shadow_test *out, struct ak_err *err)
{
    struct items queries = {0}, database = {0};
    struct ak_encoder *mine = NULL;
    struct ak_eval_result now, before;
    enum ak_status status;

    *out = (struct ak_shadow_test){0};
    if (s->phase != AK_SHADOW_TEST || s->n_held == 0)
        return AK_OK;
    status =
        find_items(s, s->n_set, s->n_set + s->n_held, s->n_held, &queries, err);
    if (status == AK_OK)
        status = find_items(s, 0, s->n_set, DATABASE_ROWS, &database, err);
    if (status == AK_OK)
        status = ak_hash_freeze(ak_trainer_hash(s->trainer), &mine, err);
    if (status == AK_OK)
        status = rank(view, &s->settings, mine, &queries, &database, &now, err);
    if (status == AK_OK)
        status =
            rank(view, settings, published, &queries, &database, &before, err);
    if (status == AK_OK)
        *out = (struct ak_shadow_test){.queries = now.queries,
                                       .database = database.items.n,
                                       .map = now.map,
                                       .published_map = before.map};
    ak_ref_drop((struct ak_ref *)mine);
    clear_items(&queries);
    clear_items(&database);
    return status;
}

void ak_shadow_tested(struct ak_shadow *s)
{
    if (s->phase == AK_SHADOW_TEST)
        s->phase = AK_SHADOW_FEED;
}

struct ak_trainer *ak_shadow_take(struct ak_shadow *s, struct ak_debt *debt)
{
    struct ak_trainer *t = s->trainer;

    ak_debt_clear(debt);
    *debt = s->debt;
    s->debt = (struct ak_debt){0};
    s->trainer = NULL;
    return t;
}

/* ---------------------------------------------------------------------- state */

bool ak_shadow_can_save(const struct ak_shadow *s)
{
    uint64_t done, total;

    ak_trainer_progress(s->trainer, s->n_set, &done, &total);
    return s->phase == AK_SHADOW_FOLLOW ||
           (s->phase != AK_SHADOW_GATHER && done > 0 &&
            ak_hash_warmup_rows(ak_trainer_hash(s->trainer)) == 0);
}

enum ak_status ak_shadow_save_constants(const struct ak_shadow *s,
                                        struct ak_writer *w, struct ak_err *err)
{
    return ak_trainer_save_constants(s->trainer, w, err);
}

enum ak_status ak_shadow_save_state(const struct ak_shadow *s,
                                    struct ak_writer *w, struct ak_err *err)
{
    ak_write_u32(w, STATE_FORMAT);
    ak_write_u32(w, s->phase);
    ak_write_u64(w, s->n_labelled);
    ak_debt_save(&s->debt, w);
    if (w->status != AK_OK)
        return ak_fail(err, w->status, "no memory to save a rebuild");
    return ak_trainer_save_state(s->trainer, w, err);
}

enum ak_status ak_shadow_load(struct ak_shadow *s, struct ak_bytes constants,
                              struct ak_bytes state, struct ak_err *err)
{
    struct ak_reader c, r;
    uint32_t format, phase;

    ak_reader_init(&c, constants.data, constants.len);
    ak_reader_init(&r, state.data, state.len);
    format = ak_read_u32(&r);
    phase = ak_read_u32(&r);
    s->n_labelled = (size_t)ak_read_u64(&r);
    ak_debt_load(&s->debt, &r);
    if (r.status != AK_OK || format != STATE_FORMAT ||
        phase < AK_SHADOW_TRAIN || phase > AK_SHADOW_FOLLOW)
        return ak_fail(err, AK_ECORRUPT,
                       "rebuild: format is %u and phase %u, must be %d and "
                       "%d..%d",
                       format, phase, STATE_FORMAT, AK_SHADOW_TRAIN,
                       AK_SHADOW_FOLLOW);
    s->resume = (enum ak_shadow_phase)phase;
    s->phase =
        s->resume == AK_SHADOW_FOLLOW ? AK_SHADOW_FOLLOW : AK_SHADOW_GATHER;
    return ak_trainer_load(s->trainer, &c, &r, err);
}
