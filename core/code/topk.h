/*
 * topk.h -- the k nearest of a stream of distances, by counting.
 *
 * Hamming distances are small integers, so the k-th smallest so far is known
 * from a histogram and only ever falls: a push is a few additions, whatever k
 * is.  Hits are pushed in order of ordinals; of those at the same distance the
 * first ones stay, so that the result is the k smallest (distance, ordinal).
 *
 * Only what is below ak_topk_bound() may be pushed: what is not cannot be in the
 * result, and the kernels drop it for nothing.
 */
#ifndef AK_CORE_CODE_TOPK_H
#define AK_CORE_CODE_TOPK_H

#include <stddef.h>
#include <stdint.h>

#include "core/code/code.h"

/* A hit in one word, (ordinal, distance): distances are 0..1024. */
#define AK_TOPK_SHIFT 11

struct ak_topk {
    size_t k;
    uint32_t bound;   /* push only what is below */
    size_t n;         /* of the k best, how many have come */
    size_t used;      /* hits in the buffer, with those that fell out since */
    uint32_t *counts; /* (AK_CODE_MAX_BITS + 1) of the best, by distance */
    uint64_t *buffer; /* (2 k) in order of arrival */
};

/*
 * Scratch: `counts` and `buffer` belong to the caller, as long as they are used,
 * and `buffer` need not be cleared.  `bound` is 1 + the largest distance wanted.
 */
#define AK_TOPK_COUNTS (AK_CODE_MAX_BITS + 1)
void ak_topk_init(struct ak_topk *t, size_t k, uint32_t bound, uint32_t *counts,
                  uint64_t *buffer);

static inline uint32_t ak_topk_bound(const struct ak_topk *t)
{
    return t->bound;
}

/* What a push does when it is more than to count; not to be called directly. */
void ak_topk_settle(struct ak_topk *t);

static inline void ak_topk_push(struct ak_topk *t, uint64_t ordinal,
                                uint32_t distance)
{
    t->counts[distance]++;
    t->buffer[t->used++] = ordinal << AK_TOPK_SHIFT | distance;
    if (++t->n >= t->k)
        ak_topk_settle(t);
}

/*
 * The hits in order of (distance, ordinal); returns how many, at most k.  Only
 * ak_topk_init() may follow.
 */
struct ak_hit; /* of index.h */
size_t ak_topk_finish(struct ak_topk *t, struct ak_hit *hits);

#endif
