#include "core/code/topk.h"

#include <string.h>

#include "core/code/index.h"

#define DISTANCE_MASK ((1u << AK_TOPK_SHIFT) - 1)

/* Runs of at most so many are sorted by insertion. */
#define SHORT 24

void ak_topk_init(struct ak_topk *t, size_t k, uint32_t limit, bool ordered,
                  uint32_t *counts, uint64_t *buffer)
{
    memset(counts, 0, (limit + 1) * sizeof(*counts));
    *t = (struct ak_topk){.k = k,
                          .limit = limit,
                          .kth = limit,
                          .room = AK_TOPK_ROOM(k),
                          .worst = UINT64_MAX,
                          .ordered = ordered,
                          .counts = counts,
                          .buffer = buffer};
}

/* A heap with the largest of `n` in front: `i` may be smaller than those below
   it, and sinks. */
static void sink(uint64_t *heap, size_t n, size_t i)
{
    uint64_t v = heap[i];

    for (;;) {
        size_t child = 2 * i + 1;

        if (child >= n)
            break;
        if (child + 1 < n && heap[child + 1] > heap[child])
            child++;
        if (heap[child] <= v)
            break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = v;
}

static void make_heap(uint64_t *heap, size_t n)
{
    for (size_t i = n / 2; i-- > 0;)
        sink(heap, n, i);
}

/* The `n` smallest of `ties` come to the front; returns the largest of them. */
static uint64_t smallest(uint64_t *ties, size_t n_ties, size_t n)
{
    make_heap(ties, n);
    for (size_t i = n; i < n_ties; i++)
        if (ties[i] < ties[0]) {
            ties[0] = ties[i];
            sink(ties, n, 0);
        }
    return ties[0];
}

/* Hits come in order: of those at the k-th distance the first ones stay. */
static void compact_ordered(struct ak_topk *t, size_t ties)
{
    size_t kept = 0;

    for (size_t i = 0; i < t->used; i++) {
        uint32_t distance = (uint32_t)t->buffer[i] & DISTANCE_MASK;

        if (distance > t->kth || (distance == t->kth && ties == 0))
            continue;
        ties -= distance == t->kth;
        t->buffer[kept++] = t->buffer[i];
    }
    t->used = kept;
}

/* Those below the k-th distance go to the front, those at it behind them. */
static void compact_any(struct ak_topk *t, size_t ties)
{
    uint64_t *buffer = t->buffer, last;
    size_t n = 0, end = 0;

    for (size_t i = 0; i < t->used; i++) {
        uint64_t hit = buffer[i];
        uint32_t distance = (uint32_t)hit & DISTANCE_MASK;

        if (distance > t->kth)
            continue;
        if (distance == t->kth) {
            buffer[end++] = hit;
            continue;
        }
        buffer[end++] = buffer[n];
        buffer[n++] = hit;
    }
    last = smallest(buffer + n, end - n, ties);
    t->worst = last >> AK_TOPK_SHIFT;
    t->used = n + ties;
}

/* Once k hits have come. */
static void compact(struct ak_topk *t)
{
    size_t ties = t->k - t->below;

    if (t->ordered)
        compact_ordered(t, ties);
    else
        compact_any(t, ties);
    t->counts[t->kth] = (uint32_t)ties;
}

/*
 * The k-th distance only falls, so all its steps together are at most the bits
 * of a code; a compaction of 2 k hits comes once in k pushes.  Without k hits
 * the buffer is not full.
 */
void ak_topk_settle(struct ak_topk *t)
{
    if (t->below == t->k) {
        do
            t->below -= t->counts[--t->kth];
        while (t->below == t->k);
        t->worst = UINT64_MAX;
    }
    if (t->used == t->room)
        compact(t);
}

void ak_topk_tighten(struct ak_topk *t)
{
    if (t->kth < t->limit &&
        (t->worst == UINT64_MAX || t->counts[t->kth] > t->k - t->below))
        compact(t);
}

static void sort_short(struct ak_hit *hits, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        struct ak_hit hit = hits[i];
        size_t j = i;

        for (; j > 0 && hits[j - 1].ordinal > hit.ordinal; j--)
            hits[j] = hits[j - 1];
        hits[j] = hit;
    }
}

/* `n` hits of one distance by their ordinals, with `scratch` (n). */
static void sort_run(struct ak_hit *hits, size_t n, uint64_t *scratch)
{
    if (n <= SHORT) {
        sort_short(hits, n);
        return;
    }
    for (size_t i = 0; i < n; i++)
        scratch[i] = hits[i].ordinal;
    make_heap(scratch, n);
    for (size_t i = n; i-- > 0;) {
        hits[i].ordinal = scratch[0];
        scratch[0] = scratch[i];
        sink(scratch, i, 0);
    }
}

size_t ak_topk_finish(struct ak_topk *t, struct ak_hit *hits)
{
    uint32_t end = t->limit, at = 0;

    if (t->kth < t->limit) {
        compact(t);
        end = t->kth + 1;
    }
    for (uint32_t d = 0; d < end; d++) {
        uint32_t count = t->counts[d];

        t->counts[d] = at;
        at += count;
    }
    for (size_t i = 0; i < t->used; i++) {
        uint32_t d = (uint32_t)t->buffer[i] & DISTANCE_MASK;

        hits[t->counts[d]++] = (struct ak_hit){
            .ordinal = t->buffer[i] >> AK_TOPK_SHIFT, .distance = d};
    }
    /* Each count is now where its run ends. */
    if (!t->ordered)
        for (uint32_t d = 0, first = 0; d < end; first = t->counts[d++])
            sort_run(hits + first, t->counts[d] - first, t->buffer);
    return t->used;
}
