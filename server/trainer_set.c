/*
 * trainer_set.c -- learning a set of rows that is given, in steps that can be
 * taken up again.
 *
 * Vectors of a set are read in pieces, not one by one: in a shuffled order each
 * would be another block of the file.
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "server/trainer_internal.h"

/* Floats in a piece: 64 MiB of them. */
#define PIECE_FLOATS ((size_t)1 << 24)

/* Rows that are handed on together, where a method makes no steps. */
#define STEP 1024

void ak_trainer_clear_set(struct ak_trainer *t)
{
    free(t->order);
    ak_array_free(t->piece);
    ak_row_list_clear(&t->step);
    t->order = NULL;
    t->piece = NULL;
    t->order_n = t->piece_n = 0;
}

static uint64_t passes(const struct ak_trainer *t)
{
    return t->about->by_epochs ? ak_hash_epochs(t->hash) : 1;
}

void ak_trainer_progress(const struct ak_trainer *t, size_t n, uint64_t *done,
                         uint64_t *total)
{
    *done = t->done;
    *total = n * passes(t);
}

/* The order of a pass; without passes, that of the set. */
static enum ak_status want_order(struct ak_trainer *t, uint64_t pass, size_t n,
                                 struct ak_err *err)
{
    if (t->order != NULL && t->order_n == n && t->order_pass == pass)
        return AK_OK;
    free(t->order);
    t->order = malloc((n + 1) * sizeof(*t->order));
    t->piece_n = 0;
    if (t->order == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for a pass over %zu rows", n);
    t->order_n = n;
    t->order_pass = pass;
    if (t->about->by_epochs)
        ak_hash_pass_order(t->hash, (uint32_t)pass, (uint32_t)n, t->order);
    else
        for (size_t i = 0; i < n; i++)
            t->order[i] = (uint32_t)i;
    return AK_OK;
}

/* Vectors of places [at, at + n) of the order: *x is lent. */
static enum ak_status want_piece(struct ak_trainer *t, struct ak_view *view,
                                 const struct ak_row_refs *set, uint64_t at,
                                 size_t n, const float **x, struct ak_err *err)
{
    size_t dim = t->settings.dim, room = PIECE_FLOATS / dim;
    uint64_t *ordinals;
    enum ak_status status;

    if (at >= t->piece_at && at + n <= t->piece_at + t->piece_n) {
        *x = t->piece + (at - t->piece_at) * dim;
        return AK_OK;
    }
    room = room < n ? n : room;
    room = room > set->n - at ? (size_t)(set->n - at) : room;
    t->piece_n = 0;
    ak_array_free(t->piece);
    t->piece = ak_array_new(room * dim, sizeof(*t->piece));
    ordinals = malloc((room + 1) * sizeof(*ordinals));
    if (t->piece == NULL || ordinals == NULL) {
        free(ordinals);
        return ak_fail(err, AK_ENOMEM, "no memory to read %zu rows", room);
    }
    for (size_t i = 0; i < room; i++)
        ordinals[i] = set->ordinals[t->order[at + i]];
    status = ak_rows_read(view, &t->settings, ordinals, room, t->piece, err);
    free(ordinals);
    if (status != AK_OK)
        return status;
    t->piece_at = at;
    t->piece_n = room;
    *x = t->piece;
    return AK_OK;
}

/* Places [at, at + n) of the order, with their labels, in t->step. */
static enum ak_status gather(struct ak_trainer *t, struct ak_view *view,
                             const struct ak_row_refs *set, uint64_t at,
                             size_t n, struct ak_err *err)
{
    const float *x = NULL;
    enum ak_status status = want_piece(t, view, set, at, n, &x, err);

    ak_row_list_reset(&t->step);
    for (size_t i = 0; i < n && status == AK_OK; i++) {
        uint32_t row = t->order[at + i], from = set->first[row];

        status = ak_row_list_push(
            &t->step, set->ordinals[row], set->labels + from,
            set->first[row + 1] - from, x + i * t->settings.dim, err);
    }
    return status;
}

/* The feature map is fixed with the first rows of the set. */
static enum ak_status fix(struct ak_trainer *t, struct ak_view *view,
                          const struct ak_row_refs *set, struct ak_err *err)
{
    size_t n = ak_hash_warmup_rows(t->hash);
    float *x;
    enum ak_status status;

    if (n == 0 || set->n == 0)
        return AK_OK;
    n = n < set->n ? n : set->n;
    x = ak_array_new(n * t->settings.dim, sizeof(*x));
    if (x == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory to warm up with %zu rows", n);
    status = ak_rows_read(view, &t->settings, set->ordinals, n, x, err);
    if (status == AK_OK)
        status = ak_hash_fix(t->hash, x, n, err);
    ak_array_free(x);
    return status;
}

/* One step of a pass; rows of the last one are remembered. */
static enum ak_status learn_step(struct ak_trainer *t, bool last,
                                 struct ak_trained *out, struct ak_err *err)
{
    const struct ak_row_list *l = &t->step;
    const struct ak_hash_batch batch = {l->x, l->labels, l->first, l->n};
    uint64_t refused = out->refused;
    enum ak_status status = ak_trainer_update(t, &batch, out, err);

    if (status == AK_OK && last && t->reservoir != NULL &&
        out->refused == refused)
        status = ak_trainer_remember(t, l, l->n, err);
    return status;
}

static enum ak_status learn_piece(struct ak_trainer *t, struct ak_view *view,
                                  const struct ak_row_refs *set, size_t most,
                                  struct ak_trained *out, struct ak_err *err)
{
    uint64_t pass = t->done / set->n, at = t->done % set->n;
    size_t n = t->about->by_epochs ? t->block : most < STEP ? most : STEP;
    enum ak_status status = want_order(t, pass, set->n, err);

    n = n > set->n - at ? (size_t)(set->n - at) : n;
    if (status == AK_OK)
        status = gather(t, view, set, at, n, err);
    if (status != AK_OK)
        return status;
    if (t->about->by_epochs) {
        if (at == 0)
            ak_hash_pass(t->hash, (uint32_t)pass);
        status = learn_step(t, pass + 1 == passes(t), out, err);
    } else {
        const struct ak_row_list *l = &t->step;
        const struct ak_hash_batch batch = {l->x, l->labels, l->first, l->n};

        status = ak_trainer_learn(t, view, l->ordinals, &batch, out, err);
    }
    t->done += n;
    t->fed += n;
    return status;
}

enum ak_status ak_trainer_train(struct ak_trainer *t, struct ak_view *view,
                                const struct ak_row_refs *set, size_t most,
                                struct ak_trained *out, struct ak_err *err)
{
    uint64_t done, total, begun = t->done;
    enum ak_status status = AK_OK;

    *out = (struct ak_trained){.refused = 0};
    if (set->n > UINT32_MAX)
        return ak_fail(err, AK_EINVAL, "a set of %zu rows, must be 0..%u",
                       set->n, UINT32_MAX);
    if (ak_trainer_has_taken(t)) {
        t->done = set->n * passes(t);
        t->trained = true;
        return AK_OK;
    }
    status = fix(t, view, set, err);
    ak_trainer_progress(t, set->n, &done, &total);
    most = most > 0 ? most : 1;
    while (status == AK_OK && t->done < total && t->done - begun < most)
        status = learn_piece(t, view, set, (size_t)(most - (t->done - begun)),
                             out, err);
    if (status == AK_OK && t->done == total) {
        if (t->about->by_epochs)
            ak_hash_pass(t->hash, ak_hash_epochs(t->hash));
        t->trained = true;
        ak_trainer_clear_set(t);
    }
    return status;
}

enum ak_status ak_trainer_feed(struct ak_trainer *t, struct ak_view *view,
                               const struct ak_row_refs *rows,
                               struct ak_trained *out, struct ak_err *err)
{
    struct ak_hash_batch batch = {
        .labels = rows->labels, .first = rows->first, .n = rows->n};
    float *x = ak_array_new(rows->n * t->settings.dim, sizeof(*x));
    enum ak_status status = AK_OK;

    *out = (struct ak_trained){.refused = 0};
    if (ak_trainer_has_taken(t)) {
        ak_array_free(x);
        return AK_OK;
    }
    if (x == NULL)
        status = ak_fail(err, AK_ENOMEM, "no memory to read %zu rows", rows->n);
    if (status == AK_OK)
        status =
            ak_rows_read(view, &t->settings, rows->ordinals, rows->n, x, err);
    batch.x = x;
    if (status == AK_OK)
        status = ak_trainer_learn(t, view, rows->ordinals, &batch, out, err);
    if (status == AK_OK)
        t->fed += rows->n;
    ak_array_free(x);
    return status;
}
