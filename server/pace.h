/* pace.h -- `budget.bytes_per_second` of a job: how fast it may read. */
#ifndef AK_SERVER_PACE_H
#define AK_SERVER_PACE_H

#include "server/job_kind.h"

struct ak_pace {
    double rate; /* bytes a second; 0: any */
    uint64_t begun_ns;
    uint64_t begun_bytes;
};

/* For a kind that takes this budget and no gate; AK_EINVAL with a fault. */
enum ak_status ak_pace_check(const struct ak_run_check *check,
                             struct ak_fault *fault) AK_MUST_CHECK;
/* From now on, `bytes` having been read before. */
void ak_pace_begin(struct ak_pace *pace, const json_t *budget, uint64_t bytes);
/* Whether to read on after `bytes` in all. */
bool ak_pace_allows(const struct ak_pace *pace, uint64_t bytes);

#endif
