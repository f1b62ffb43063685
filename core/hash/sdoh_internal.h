/*
 * sdoh_internal.h -- the cost of a block and its gradient, for sdoh.c and tests.
 */
#ifndef AK_CORE_HASH_SDOH_INTERNAL_H
#define AK_CORE_HASH_SDOH_INTERNAL_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

struct ak_sdoh_scale {
    double sigma; /* of the Gaussian that makes P of similarities */
    double pos,
        neg; /* Student-t scale of pairs with and without a common class */
};

/*
 * A block of n rows in which those of one set of classes stand together: group
 * a has rows [start[a], start[a + 1]) and classes[from[a]..from[a + 1]), which
 * are sorted.  The caller owns the struct; zeroed, it can be cleared.
 */
struct ak_sdoh_block {
    struct ak_sdoh_scale scale;
    size_t n, bits, n_groups;
    uint32_t *start, *from; /* (n + 1) each */
    uint32_t *classes;

    double total; /* of the unnormalised P over ordered pairs */
    double self;  /* sum P log P */

    float *panel;    /* (AK_SDOH_PANEL, n) pairs */
    float *lengths;  /* (n) |h_i|^2 */
    double *row_sum; /* (n) of L */
    double *weight;  /* (n) unnormalised P of a group against each */
    float *inverse;  /* (n) 1 / scale, likewise */
};

/* Rows whose pairs are held at a time. */
#define AK_SDOH_PANEL 64

/* Room for n rows and `mentions` classes in all. */
enum ak_status ak_sdoh_block_init(struct ak_sdoh_block *b, size_t n,
                                  size_t mentions, size_t bits,
                                  const struct ak_sdoh_scale *scale,
                                  struct ak_err *err) AK_MUST_CHECK;
void ak_sdoh_block_clear(struct ak_sdoh_block *b);

/* To be called when the groups are set: `total` and `self`. */
void ak_sdoh_block_weigh(struct ak_sdoh_block *b);

/*
 * KL(P || Q) of soft codes h (n, bits), and G (n, bits): its gradient by h when
 * pos and neg are 1, and else what the released code takes for it.
 */
double ak_sdoh_cost(struct ak_sdoh_block *b, const float *h, float *g);

#endif
