#include "server/waiters.h"

#include <stdlib.h>

enum ak_ack ak_reached_state(const struct ak_reached *reached, uint64_t seq)
{
    if (reached->seq[AK_ACK_VISIBLE] >= seq)
        return AK_ACK_VISIBLE;
    if (reached->seq[AK_ACK_LEARNED] >= seq)
        return AK_ACK_LEARNED;
    return AK_ACK_DURABLE;
}

struct ak_waiter *ak_waiters_take(struct ak_waiter **list,
                                  const struct ak_reached *reached,
                                  uint64_t now_ns, bool all)
{
    struct ak_waiter *taken = NULL;

    while (*list != NULL) {
        struct ak_waiter *w = *list;
        bool there = reached->seq[w->ack] >= w->seq;

        if (!there && !all && now_ns < w->deadline_ns) {
            list = &w->next;
            continue;
        }
        w->in_time = there;
        w->reached = there ? w->ack : ak_reached_state(reached, w->seq);
        *list = w->next;
        w->next = taken;
        taken = w;
    }
    return taken;
}

void ak_waiters_call(struct ak_waiter *list)
{
    while (list != NULL) {
        struct ak_waiter *w = list;

        list = w->next;
        w->done(w->arg, w->reached, w->in_time);
        free(w);
    }
}
