/*
 * topk.h -- the k nearest of a stream of distances, by counting.
 *
 * Hamming distances are small integers, so the k-th smallest so far is known
 * from a histogram and only ever falls: a push is a few additions, whatever k
 * is.  The result is the k smallest (distance, ordinal), in whatever order the
 * hits come.
 *
 * Only what can still be in the result may be pushed, and the kernels drop the
 * rest for nothing.  Of a stream in order of ordinals that is what is below
 * ak_topk_bound(): of hits at the same distance the first ones stay.  Of any
 * other stream it is what ak_topk_takes(), which is below ak_topk_reach().
 */
#ifndef AK_CORE_CODE_TOPK_H
#define AK_CORE_CODE_TOPK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/code/code.h"

/* A hit in one word, (ordinal, distance): distances are 0..1024. */
#define AK_TOPK_SHIFT 11

struct ak_topk {
    size_t k;
    uint32_t limit;   /* 1 + the largest distance wanted */
    uint32_t kth;     /* distance of the k-th hit; `limit` before it came */
    size_t below;     /* hits below `kth`, fewer than k */
    size_t used;      /* hits in the buffer, with those that fell out since */
    size_t room;      /* of the buffer */
    uint64_t worst;   /* hits at `kth` must have an ordinal below */
    bool ordered;     /* hits come in order of ordinals */
    uint32_t *counts; /* (limit + 1) of the hits, by distance up to kth */
    uint64_t *buffer;
};

/*
 * Scratch: `counts` and `buffer` belong to the caller, as long as they are used,
 * and need not be cleared.  `limit` is at most AK_CODE_MAX_BITS + 1.
 */
#define AK_TOPK_COUNTS  (AK_CODE_MAX_BITS + 2)
#define AK_TOPK_ROOM(k) (2 * (k) + 64)
void ak_topk_init(struct ak_topk *t, size_t k, uint32_t limit, bool ordered,
                  uint32_t *counts, uint64_t *buffer);

static inline uint32_t ak_topk_bound(const struct ak_topk *t)
{
    return t->kth;
}

static inline uint32_t ak_topk_reach(const struct ak_topk *t)
{
    return t->kth + (t->kth < t->limit);
}

static inline bool ak_topk_takes(const struct ak_topk *t, uint64_t ordinal,
                                 uint32_t distance)
{
    return distance < t->kth || (distance == t->kth && ordinal < t->worst);
}

/* At least k hits are known to come that are below `limit`.  Before the first
   push. */
static inline void ak_topk_lower(struct ak_topk *t, uint32_t limit)
{
    if (limit < t->limit)
        t->limit = t->kth = limit;
}

/* What a push does when it is more than to count; not to be called directly. */
void ak_topk_settle(struct ak_topk *t);

static inline void ak_topk_push(struct ak_topk *t, uint64_t ordinal,
                                uint32_t distance)
{
    t->counts[distance]++;
    t->buffer[t->used++] = ordinal << AK_TOPK_SHIFT | distance;
    t->below += distance < t->kth;
    if (t->below == t->k || t->used == t->room)
        ak_topk_settle(t);
}

/*
 * Forget what has fallen out since, which makes `worst` known: worth while
 * before a long run of hits that are all at the same distance.
 */
void ak_topk_tighten(struct ak_topk *t);

/*
 * The hits in order of (distance, ordinal); returns how many, at most k.  Only
 * ak_topk_init() may follow.
 */
struct ak_hit; /* of index.h */
size_t ak_topk_finish(struct ak_topk *t, struct ak_hit *hits);

#endif
