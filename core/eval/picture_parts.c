/* picture_parts.c -- which images train, which search, and which are the gate's. */
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/eval/pictures.h"

enum part { TRAIN, SEARCH, GATE };

struct place {
    uint32_t label;
    uint64_t hash;
    size_t index;
};

/* The finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014). */
static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static uint64_t hash_of(const struct ak_picture_parts *p, uint64_t number)
{
    return mix(mix(p->seed) + (number + 1) * UINT64_C(0x9e3779b97f4a7c15));
}

static int compare_places(const void *a, const void *b)
{
    const struct place *x = a, *y = b;

    if (x->label != y->label)
        return x->label < y->label ? -1 : 1;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

/* The parts of the n images of one class, which are in order of their hash. */
static void share_out(const struct ak_picture_parts *p,
                      const struct place *places, size_t n, uint8_t *part)
{
    size_t gate = (size_t)(p->gate * (double)n + 0.5);
    size_t search = (size_t)(p->search * (double)n + 0.5);

    while (gate + search >= n && gate + search > 0)
        *(search >= gate ? &search : &gate) -= 1;
    for (size_t i = 0; i < gate + search; i++)
        part[places[i].index] = i < gate ? GATE : SEARCH;
}

static void swap(uint8_t *a, uint8_t *b, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        uint8_t byte = a[i];

        a[i] = b[i];
        b[i] = byte;
    }
}

/* Moves image order[i] to place i, for all i, along the cycles. */
static void reorder(struct ak_picture_set *set, size_t *order, size_t n)
{
    size_t size = set->view.stride;

    for (size_t start = 0; start < n; start++) {
        size_t to = start;

        while (order[to] != start) {
            size_t from = order[to];
            uint32_t label = set->labels[to];

            swap(set->pixels + to * size, set->pixels + from * size, size);
            set->labels[to] = set->labels[from];
            set->labels[from] = label;
            order[to] = to;
            to = from;
        }
        order[to] = to;
    }
}

enum ak_status ak_picture_set_split(struct ak_picture_set *set, size_t n,
                                    struct ak_picture_parts *p,
                                    struct ak_err *err)
{
    struct place *places = NULL;
    uint8_t *part = NULL;
    size_t *order = NULL, next = 0, counts[3] = {0};
    enum ak_status status = AK_OK;

    if (!(p->search >= 0) || !(p->gate >= 0) || !(p->search + p->gate < 1))
        return ak_fail(err, AK_EINVAL,
                       "shares are %g and %g, must be 0 or more and together "
                       "below 1",
                       p->search, p->gate);
    places = ak_array_new(n + 1, sizeof(*places));
    order = ak_array_new(n + 1, sizeof(*order));
    part = ak_array_new(n + 1, 1);
    if (places == NULL || order == NULL || part == NULL) {
        status = ak_fail(err, AK_ENOMEM, "no memory to split %zu images", n);
        goto out;
    }
    for (size_t i = 0; i < n; i++)
        places[i] = (struct place){
            set->labels[i], hash_of(p, p->numbers ? p->numbers[i] : i), i};
    qsort(places, n, sizeof(*places), compare_places);
    for (size_t i = 0, end; i < n; i = end) {
        for (end = i; end < n && places[end].label == places[i].label;)
            end++;
        share_out(p, places + i, end - i, part);
    }
    for (uint8_t which = TRAIN; which <= GATE; which++)
        for (size_t i = 0; i < n; i++)
            if (part[i] == which) {
                order[next++] = i;
                counts[which]++;
            }
    reorder(set, order, n);
    p->n_train = counts[TRAIN];
    p->n_search = counts[SEARCH];
    p->n_gate = counts[GATE];
out:
    ak_array_free(places);
    ak_array_free(order);
    ak_array_free(part);
    return status;
}
