/* trainer_internal.h -- a trainer from the inside: trainer.c, trainer_set.c. */
#ifndef AK_SERVER_TRAINER_INTERNAL_H
#define AK_SERVER_TRAINER_INTERNAL_H

#include "core/hash/label_map.h"
#include "server/reservoir.h"
#include "server/trainer.h"

struct ak_trainer {
    struct ak_settings settings;
    const struct ak_hash_method *about;
    struct ak_hash *hash;
    uint64_t seq;       /* followed */
    uint64_t from;      /* records up to it are in what was fed */
    uint64_t warm_seq;  /* the record that ended the warm-up; 0: it goes on */
    uint64_t warm_rows; /* seen in it; `by_epochs`: labelled ones */
    uint64_t fed;       /* rows that were fed, not followed */
    uint64_t done;      /* rows of the set that were learnt, over all passes */
    bool trained;       /* or needs no training before it follows */

    /* Learning in blocks: gathered are `n_new` rows at most, before they are
       learnt with those of the reservoir that fill the block. */
    size_t block, n_new;
    struct ak_row_list gathered;
    struct ak_label_map fresh; /* labels in it that have no class yet */
    struct ak_reservoir *reservoir;

    /* Rows of the record that is being followed. */
    uint64_t rows_first;
    size_t n_rows, cap_rows;
    void *packed;
    float *x;

    /* Rows of the set in the order of the pass that goes on: a piece of them,
       and the step that is made of it. */
    uint32_t *order;
    uint64_t order_n, order_pass;
    float *piece;
    uint64_t piece_at;
    size_t piece_n;
    struct ak_row_list step;
};

/* One update; what comes of it is added to *out. */
enum ak_status ak_trainer_update(struct ak_trainer *t,
                                 const struct ak_hash_batch *batch,
                                 struct ak_trained *out,
                                 struct ak_err *err) AK_MUST_CHECK;

/* Rows to learn: at once, or gathered and learnt when a block is full. */
enum ak_status ak_trainer_learn(struct ak_trainer *t, struct ak_view *view,
                                const uint64_t *ordinals,
                                const struct ak_hash_batch *batch,
                                struct ak_trained *out,
                                struct ak_err *err) AK_MUST_CHECK;

/* The first n rows, to be rehearsed, but for those without a class. */
enum ak_status ak_trainer_remember(struct ak_trainer *t,
                                   const struct ak_row_list *rows, size_t n,
                                   struct ak_err *err) AK_MUST_CHECK;

void ak_trainer_clear_set(struct ak_trainer *t);

#endif
