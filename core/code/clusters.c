#include "core/code/clusters.h"

#include <stdlib.h>

#include "core/base/mem.h"

bool ak_clusters_init(struct ak_clusters *c, size_t n)
{
    c->n = n;
    c->parent = ak_array_new(n, sizeof(*c->parent));
    if (c->parent == NULL)
        return false;
    for (size_t i = 0; i < n; i++)
        c->parent[i] = (uint32_t)i;
    return true;
}

void ak_clusters_clear(struct ak_clusters *c)
{
    ak_array_free(c->parent);
    *c = (struct ak_clusters){0};
}

uint32_t ak_clusters_find(struct ak_clusters *c, uint32_t item)
{
    uint32_t *parent = c->parent;

    /* Each that is passed is moved halfway up. */
    while (parent[item] != item) {
        parent[item] = parent[parent[item]];
        item = parent[item];
    }
    return item;
}

void ak_clusters_unite(struct ak_clusters *c, uint32_t a, uint32_t b)
{
    a = ak_clusters_find(c, a);
    b = ak_clusters_find(c, b);
    if (a < b)
        c->parent[b] = a;
    else
        c->parent[a] = b;
}

/* -------------------------------------------------------------------- pairs */

static int compare(const void *x, const void *y)
{
    const struct ak_pair *p = x, *q = y;

    if (p->distance != q->distance)
        return p->distance < q->distance ? -1 : 1;
    if (p->a != q->a)
        return p->a < q->a ? -1 : 1;
    return (p->b > q->b) - (p->b < q->b);
}

static struct ak_pair pair_of(uint32_t a, uint32_t b, uint32_t distance)
{
    return (struct ak_pair){
        .a = a < b ? a : b, .b = a < b ? b : a, .distance = distance};
}

bool ak_pairs_init(struct ak_pairs *p, size_t cap)
{
    p->n = 0;
    p->cap = cap;
    p->heap = ak_array_new(cap, sizeof(*p->heap));
    return p->heap != NULL;
}

void ak_pairs_clear(struct ak_pairs *p)
{
    ak_array_free(p->heap);
    *p = (struct ak_pairs){0};
}

bool ak_pairs_takes(const struct ak_pairs *p, uint32_t a, uint32_t b,
                    uint32_t distance)
{
    struct ak_pair pair = pair_of(a, b, distance);

    return p->n < p->cap || compare(&pair, &p->heap[0]) < 0;
}

/* From the top of a heap whose largest is at the top. */
static void sift_down(struct ak_pairs *p, struct ak_pair pair)
{
    size_t at = 0;

    for (;;) {
        size_t child = 2 * at + 1;

        if (child >= p->n)
            break;
        if (child + 1 < p->n &&
            compare(&p->heap[child + 1], &p->heap[child]) > 0)
            child++;
        if (compare(&pair, &p->heap[child]) >= 0)
            break;
        p->heap[at] = p->heap[child];
        at = child;
    }
    p->heap[at] = pair;
}

void ak_pairs_push(struct ak_pairs *p, uint32_t a, uint32_t b,
                   uint32_t distance, double feature)
{
    struct ak_pair pair = pair_of(a, b, distance);
    size_t at;

    pair.feature = feature;
    if (p->n == p->cap) {
        sift_down(p, pair);
        return;
    }
    at = p->n++;
    while (at > 0 && compare(&pair, &p->heap[(at - 1) / 2]) > 0) {
        p->heap[at] = p->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    p->heap[at] = pair;
}

uint32_t ak_pairs_reach(const struct ak_pairs *p)
{
    return p->n < p->cap ? UINT32_MAX : p->heap[0].distance;
}

void ak_pairs_sort(struct ak_pairs *p)
{
    qsort(p->heap, p->n, sizeof(*p->heap), compare);
}
