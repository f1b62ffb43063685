/*
 * gather.h -- who comes while others are at work waits, and all who wait go next
 * together: batching without a timer.
 *
 * Who finds a gather idle begins and does its work at once.  Who finds it busy
 * pushes itself to those who wait for a *round*, which takes all that wait when it
 * begins to run.  One round may be on its way while another is at work: where the
 * threads of a pool are what is scarce, it begins when the first of them has
 * nothing left to do, rather than when the last has; and takes who came until
 * then.  Were it two that began whenever someone comes, rounds would be small.
 * So under load rounds grow until they are as fast as what comes, and without
 * load nobody waits for anybody.
 */
#ifndef AK_SERVER_GATHER_H
#define AK_SERVER_GATHER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* At work or on their way, at a time. */
#define AK_GATHER_ROUNDS 2

struct ak_gather_item {
    struct ak_gather_item *next; /* the gather's */
};

struct ak_gather {
    pthread_mutex_t lock; /* guards the rest; no other is taken under it */
    struct ak_gather_item *head, *tail;
    unsigned rounds;   /* begun or on their way */
    bool coming;       /* one of them has not taken yet */
    bool crowded;      /* the last one took several */
    uint64_t ended_ns; /* when it became idle */
};

void ak_gather_init(struct ak_gather *g);
void ak_gather_clear(struct ak_gather *g); /* idle, and nobody waits */

/*
 * True: it was idle for `quiet_ns` and is not crowded, and is at work until
 * ak_gather_end().  One thread that brings one request after the other never
 * finds it busy; where it finds that it has only just ended, more are on their
 * way, and are faster together.
 */
bool ak_gather_begin(struct ak_gather *g, uint64_t quiet_ns);

/* The item waits.  True: the caller sees to it that a round is run; false: one is
   on its way, or comes when another ends. */
bool ak_gather_push(struct ak_gather *g, struct ak_gather_item *item);

/* Of a round: those who wait, at most `most`, in order of arrival, as a list
   that ends with NULL; the rest goes on waiting. */
struct ak_gather_item *ak_gather_take(struct ak_gather *g, size_t most);

/* The end of what was begun, or of a round.  True: somebody waits, and the caller
   sees to it that a round is run. */
bool ak_gather_end(struct ak_gather *g);

#endif
