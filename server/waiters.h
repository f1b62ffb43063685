/*
 * waiters.h -- who waits until a record has got somewhere.
 *
 * Guarded by the owner's lock, which is held by the caller of every function
 * here; callbacks are called by ak_waiters_call() after it was let go.
 */
#ifndef AK_SERVER_WAITERS_H
#define AK_SERVER_WAITERS_H

#include "server/engine.h"

struct ak_waiter {
    uint64_t seq;
    enum ak_ack ack;
    uint64_t deadline_ns;
    ak_waited_fn *done;
    void *arg;
    enum ak_ack reached; /* set when it is taken off the list */
    bool in_time;
    struct ak_waiter *next;
};

/* How far the records have got, by ak_ack. */
struct ak_reached {
    uint64_t seq[AK_ACK_SERVED + 1];
};

/* Moves those whose wait is over, or whose deadline has passed, or (`all`)
   everyone, from *list to the returned list. */
struct ak_waiter *ak_waiters_take(struct ak_waiter **list,
                                  const struct ak_reached *reached,
                                  uint64_t now_ns, bool all);
/* Call and free a list that was taken. */
void ak_waiters_call(struct ak_waiter *list);
/* The state that record `seq` has reached. */
enum ak_ack ak_reached_state(const struct ak_reached *reached, uint64_t seq);

#endif
