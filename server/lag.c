#include "server/lag.h"

#include <stdbool.h>

static bool is_near(const struct ak_lag *lag, size_t n, uint64_t ns)
{
    return n > 0 && ns - lag->marks[n - 1].ns < lag->gap_ns;
}

/* Half of them stay at most.  Each that was there is within the gaps so far of
   one that stays, and a gap is twice the one before it. */
static void thin(struct ak_lag *lag, uint64_t now_ns)
{
    size_t kept = 0;

    lag->gap_ns = (now_ns - lag->marks[0].ns) / (AK_LAG_MARKS / 2) + 1;
    for (size_t i = 0; i < lag->n; i++)
        if (!is_near(lag, kept, lag->marks[i].ns))
            lag->marks[kept++] = lag->marks[i];
    lag->n = kept;
}

void ak_lag_commit(struct ak_lag *lag, uint64_t seq, uint64_t now_ns)
{
    if (lag->n == 0)
        lag->gap_ns = 0;
    if (lag->n == AK_LAG_MARKS && !is_near(lag, lag->n, now_ns))
        thin(lag, now_ns);
    if (is_near(lag, lag->n, now_ns))
        return;
    lag->marks[lag->n].seq = seq;
    lag->marks[lag->n++].ns = now_ns;
}

void ak_lag_learn(struct ak_lag *lag, uint64_t seq, uint64_t last)
{
    size_t gone = 0;

    if (seq >= last) {
        lag->n = 0;
        return;
    }
    /* The next record is not older than the last mark before it. */
    while (gone + 1 < lag->n && lag->marks[gone + 1].seq <= seq + 1)
        gone++;
    lag->n -= gone;
    for (size_t i = 0; i < lag->n && gone > 0; i++)
        lag->marks[i] = lag->marks[i + gone];
}

double ak_lag_seconds(const struct ak_lag *lag, uint64_t now_ns)
{
    /* The time may have been looked at before the commit. */
    if (lag->n == 0 || now_ns < lag->marks[0].ns)
        return 0;
    return (double)(now_ns - lag->marks[0].ns) * 1e-9;
}
