#include "core/code/topk.h"

#include <string.h>

#include "core/code/index.h"

#define DISTANCE_MASK ((1u << AK_TOPK_SHIFT) - 1)

void ak_topk_init(struct ak_topk *t, size_t k, uint32_t bound, uint32_t *counts,
                  uint64_t *buffer)
{
    memset(counts, 0, AK_TOPK_COUNTS * sizeof(*counts));
    *t = (struct ak_topk){
        .k = k, .bound = bound, .counts = counts, .buffer = buffer};
}

/*
 * Whether a hit of the buffer is among the best: all those below the k-th
 * distance are, and the first `*ties` of those at it.
 */
static int stays(const struct ak_topk *t, uint32_t distance, uint32_t *ties)
{
    if (distance != t->bound)
        return distance < t->bound;
    if (*ties == 0)
        return 0;
    --*ties;
    return 1;
}

static void compact(struct ak_topk *t)
{
    uint32_t ties = t->counts[t->bound];
    size_t kept = 0;

    for (size_t i = 0; i < t->used; i++)
        if (stays(t, (uint32_t)t->buffer[i] & DISTANCE_MASK, &ties))
            t->buffer[kept++] = t->buffer[i];
    t->used = kept;
}

/*
 * Called with k hits, when the bound becomes the k-th distance for the first
 * time, or with k + 1, when the last one at the k-th distance falls out.  The
 * bound only falls, so all its steps together are at most the bits of a code;
 * a compaction of 2 k hits comes once in k pushes.
 */
void ak_topk_settle(struct ak_topk *t)
{
    if (t->n == t->k || --t->counts[t->bound] == 0) {
        do
            t->bound--;
        while (t->counts[t->bound] == 0);
    }
    t->n = t->k;
    if (t->used == 2 * t->k)
        compact(t);
}

size_t ak_topk_finish(struct ak_topk *t, struct ak_hit *hits)
{
    /* Without k hits nothing has fallen out, and all are below the bound. */
    uint32_t ties = t->n < t->k ? 0 : t->counts[t->bound];
    uint32_t at = 0;

    for (uint32_t d = 0; d < AK_TOPK_COUNTS; d++) {
        uint32_t count = t->counts[d];

        t->counts[d] = at;
        at += count;
    }
    for (size_t i = 0; i < t->used; i++) {
        uint32_t d = (uint32_t)t->buffer[i] & DISTANCE_MASK;

        if (!stays(t, d, &ties))
            continue;
        hits[t->counts[d]++] = (struct ak_hit){
            .ordinal = t->buffer[i] >> AK_TOPK_SHIFT, .distance = d};
    }
    return t->n;
}
