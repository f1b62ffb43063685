/*
 * gather.h -- who comes while one is at work waits, and all who wait go next
 * together: batching without a timer.
 *
 * A gather is busy or idle.  Who finds it idle begins and does its work at once.
 * Who finds it busy pushes itself, and whoever ends takes care that a *round* is
 * run, which takes all that wait by then.  So under load rounds grow until they
 * are as fast as what comes, and without load nobody waits for anybody.
 */
#ifndef AK_SERVER_GATHER_H
#define AK_SERVER_GATHER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ak_gather_item {
    struct ak_gather_item *next; /* the gather's */
};

struct ak_gather {
    pthread_mutex_t lock; /* guards the rest; no other is taken under it */
    struct ak_gather_item *head, *tail;
    bool busy, crowded;
    uint64_t ended_ns; /* when it became idle */
};

void ak_gather_init(struct ak_gather *g);
void ak_gather_clear(struct ak_gather *g); /* idle, and nobody waits */

/*
 * True: it was idle for `quiet_ns` and is not crowded, and is busy until
 * ak_gather_end().  One thread that brings one request after the other never
 * finds it busy; where it finds that it has only just ended, more are on their
 * way, and are faster together.
 */
bool ak_gather_begin(struct ak_gather *g, uint64_t quiet_ns);

/* The item waits.  True: it was idle and is busy now, and the caller sees to it
   that a round is run. */
bool ak_gather_push(struct ak_gather *g, struct ak_gather_item *item);

/* Of a round: those who wait, at most `most`, in order of arrival, as a list
   that ends with NULL; the rest goes on waiting. */
struct ak_gather_item *ak_gather_take(struct ak_gather *g, size_t most);

/* The end of what was begun, or of a round.  True: somebody waits, it stays
   busy, and the caller sees to it that a round is run. */
bool ak_gather_end(struct ak_gather *g);

#endif
