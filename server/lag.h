/*
 * lag.h -- how old the oldest record is that was not learnt yet.
 *
 * Records are committed and learnt in one order.  The times of some commits are
 * kept, at most 64 and not too near each other, so that the age is never too
 * small, and too large by a sixteenth of the longest lag since it was 0 at most.
 * Monotonic time; the caller locks.
 */
#ifndef AK_SERVER_LAG_H
#define AK_SERVER_LAG_H

#include <stddef.h>
#include <stdint.h>

#define AK_LAG_MARKS 64

struct ak_lag {
    struct {
        uint64_t seq, ns;
    } marks[AK_LAG_MARKS];
    size_t n;
    uint64_t gap_ns; /* between marks, at least */
};

/* Record `seq` was committed now. */
void ak_lag_commit(struct ak_lag *lag, uint64_t seq, uint64_t now_ns);
/* All up to `seq` are learnt, of those up to `last`. */
void ak_lag_learn(struct ak_lag *lag, uint64_t seq, uint64_t last);
/* 0: nothing waits. */
double ak_lag_seconds(const struct ak_lag *lag, uint64_t now_ns);

#endif
