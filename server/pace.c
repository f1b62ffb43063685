#include "server/pace.h"

#include "core/base/clock.h"

#define MAX_RATE 1e12

enum ak_status ak_pace_check(const struct ak_run_check *check,
                             struct ak_fault *fault)
{
    static const char *const known[] = {"bytes_per_second"};
    const json_t *rate = json_object_get(check->budget, known[0]);

    if (json_object_size(check->gate) > 0)
        return ak_fault_set(fault, "/gate", "unknown-field",
                            "is not known here");
    if (ak_fault_keys(fault, check->budget, "/budget", known, 1,
                      "is not known here") != AK_OK)
        return AK_EINVAL;
    if (rate != NULL && (!json_is_number(rate) || json_number_value(rate) < 0 ||
                         json_number_value(rate) > MAX_RATE))
        return ak_fault_set(
            fault, "/budget/bytes_per_second", "validation-failed",
            "must be a number, 0..%g; 0: as fast as it goes", MAX_RATE);
    return AK_OK;
}

void ak_pace_begin(struct ak_pace *pace, const json_t *budget, uint64_t bytes)
{
    pace->rate = json_number_value(json_object_get(budget, "bytes_per_second"));
    pace->begun_ns = ak_clock_ns();
    pace->begun_bytes = bytes;
}

bool ak_pace_allows(const struct ak_pace *pace, uint64_t bytes)
{
    double seconds = (double)(ak_clock_ns() - pace->begun_ns) * 1e-9;

    return pace->rate <= 0 ||
           (double)(bytes - pace->begun_bytes) <= pace->rate * seconds;
}
