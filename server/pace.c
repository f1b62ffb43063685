#include "server/pace.h"

#include <stdio.h>
#include <string.h>

#include "core/base/clock.h"

#define MAX_RATE 1e12

enum ak_status ak_pace_check(const struct ak_run_check *check,
                             struct ak_settings_error *fault)
{
    const char *key;
    json_t *value;

    fault->slug = "unknown-field";
    snprintf(fault->detail, sizeof(fault->detail), "is not known here");
    if (json_object_size(check->gate) > 0) {
        snprintf(fault->pointer, sizeof(fault->pointer), "/gate");
        return AK_EINVAL;
    }
    json_object_foreach(check->budget, key, value)
    {
        snprintf(fault->pointer, sizeof(fault->pointer), "/budget/%.80s", key);
        if (strcmp(key, "bytes_per_second") != 0)
            return AK_EINVAL;
        if (json_is_number(value) && json_number_value(value) >= 0 &&
            json_number_value(value) <= MAX_RATE)
            continue;
        fault->slug = "validation-failed";
        snprintf(fault->detail, sizeof(fault->detail),
                 "must be a number, 0..%g; 0: as fast as it goes", MAX_RATE);
        return AK_EINVAL;
    }
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
