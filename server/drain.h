/*
 * drain.h -- how fast a queue empties, and when to come again.
 *
 * The rate is that of what left lately: bytes over the time in which something
 * waited, both fading by a tenth with each group that leaves.  A group that takes
 * long counts before it has left, so that a disk that hangs is not one that is
 * fast.  Monotonic time; the caller locks.
 */
#ifndef AK_SERVER_DRAIN_H
#define AK_SERVER_DRAIN_H

#include <stddef.h>
#include <stdint.h>

#define AK_RETRY_MAX_SECONDS 60

struct ak_drain {
    double bytes, ns;
    uint64_t last_ns; /* when the last group left */
};

/* A group left; `since_ns`: when the first of it came. */
void ak_drain_add(struct ak_drain *drain, size_t bytes, uint64_t since_ns,
                  uint64_t now_ns);
/* Bytes a second; 0: nothing has left yet.  `since_ns`: when what is waiting
   longest came; 0: nothing waits. */
double ak_drain_rate(const struct ak_drain *drain, uint64_t since_ns,
                     uint64_t now_ns);
/*
 * Seconds, 1..60, until half of `bytes` have left, at a rate; 1 without a rate.
 * Half, since at the end of the queue all who were refused would meet an empty
 * one, and at its first free byte each other.
 */
unsigned ak_retry_seconds(double bytes, double rate);

#endif
