#include "server/gather.h"

#include <assert.h>

#include "core/base/clock.h"

void ak_gather_init(struct ak_gather *g)
{
    pthread_mutex_init(&g->lock, NULL);
    g->head = g->tail = NULL;
    g->rounds = 0;
    g->coming = g->crowded = false;
    g->ended_ns = 0;
}

void ak_gather_clear(struct ak_gather *g)
{
    assert(g->rounds == 0 && g->head == NULL);
    pthread_mutex_destroy(&g->lock);
}

bool ak_gather_begin(struct ak_gather *g, uint64_t quiet_ns)
{
    uint64_t now = ak_clock_ns();
    bool began;

    pthread_mutex_lock(&g->lock);
    began = g->rounds == 0 && !g->crowded && now >= g->ended_ns + quiet_ns;
    if (began)
        g->rounds = 1;
    pthread_mutex_unlock(&g->lock);
    return began;
}

/* Under the lock: whether the caller sees to a round for those who wait. */
static bool call_round(struct ak_gather *g)
{
    if (g->head == NULL || g->coming || g->rounds == AK_GATHER_ROUNDS)
        return false;
    g->rounds++;
    g->coming = true;
    return true;
}

bool ak_gather_push(struct ak_gather *g, struct ak_gather_item *item)
{
    bool called;

    item->next = NULL;
    pthread_mutex_lock(&g->lock);
    if (g->tail != NULL)
        g->tail->next = item;
    else
        g->head = item;
    g->tail = item;
    called = call_round(g);
    pthread_mutex_unlock(&g->lock);
    return called;
}

struct ak_gather_item *ak_gather_take(struct ak_gather *g, size_t most)
{
    struct ak_gather_item *first, *last;

    pthread_mutex_lock(&g->lock);
    assert(g->coming);
    g->coming = false;
    first = last = g->head;
    for (size_t n = 1; n < most && last != NULL && last->next != NULL; n++)
        last = last->next;
    if (last != NULL) {
        g->head = last->next;
        last->next = NULL;
    }
    if (g->head == NULL)
        g->tail = NULL;
    g->crowded = first != last;
    pthread_mutex_unlock(&g->lock);
    return first;
}

bool ak_gather_end(struct ak_gather *g)
{
    uint64_t now = ak_clock_ns();
    bool called;

    pthread_mutex_lock(&g->lock);
    assert(g->rounds > 0);
    g->rounds--;
    g->ended_ns = now;
    called = call_round(g);
    pthread_mutex_unlock(&g->lock);
    return called;
}
