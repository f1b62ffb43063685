#include "core/base/clock.h"

#include <stdio.h>
#include <time.h>

static uint64_t read_clock(clockid_t which)
{
    struct timespec t;

    clock_gettime(which, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t ak_clock_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

uint64_t ak_clock_coarse_ns(void)
{
    return read_clock(CLOCK_MONOTONIC_COARSE);
}

int64_t ak_time_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

const char *ak_time_format(int64_t time_ms, char text[AK_TIME_TEXT])
{
    /* Rounds down, so that times before 1970 keep 0..999 milliseconds. */
    int64_t ms = ((time_ms % 1000) + 1000) % 1000;
    time_t seconds = (time_t)((time_ms - ms) / 1000);
    struct tm tm;
    size_t n;

    if (gmtime_r(&seconds, &tm) == NULL)
        tm = (struct tm){.tm_year = 70, .tm_mday = 1};
    n = strftime(text, AK_TIME_TEXT - 6, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text + n, AK_TIME_TEXT - n, ".%03dZ", (int)ms);
    return text;
}
