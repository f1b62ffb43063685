#include "server/drain.h"

#define KEPT 0.9 /* of the past, with each group */

/* In which something waited, since the last group left. */
static double spent_ns(const struct ak_drain *drain, uint64_t since_ns,
                       uint64_t now_ns)
{
    uint64_t begin = since_ns > drain->last_ns ? since_ns : drain->last_ns;

    return now_ns > begin ? (double)(now_ns - begin) : 0;
}

void ak_drain_add(struct ak_drain *drain, size_t bytes, uint64_t since_ns,
                  uint64_t now_ns)
{
    drain->ns = KEPT * drain->ns + spent_ns(drain, since_ns, now_ns);
    drain->bytes = KEPT * drain->bytes + (double)bytes;
    drain->last_ns = now_ns;
}

double ak_drain_rate(const struct ak_drain *drain, uint64_t since_ns,
                     uint64_t now_ns)
{
    double ns = drain->ns;

    if (since_ns > 0)
        ns += spent_ns(drain, since_ns, now_ns);
    return ns > 0 ? drain->bytes / ns * 1e9 : 0;
}

unsigned ak_retry_seconds(double bytes, double rate)
{
    double seconds;

    if (rate <= 0)
        return 1;
    seconds = bytes / 2 / rate;
    if (seconds > AK_RETRY_MAX_SECONDS - 1)
        return AK_RETRY_MAX_SECONDS;
    return 1 + (unsigned)seconds;
}
