/* clock.h -- what time it is, and how long something took. */
#ifndef AK_CORE_BASE_CLOCK_H
#define AK_CORE_BASE_CLOCK_H

#include <stdint.h>

/* Nanoseconds of a clock that never jumps: for intervals and deadlines. */
uint64_t ak_clock_ns(void);
/* The same clock, at most some milliseconds behind, for less: for deadlines that
   are seconds away. */
uint64_t ak_clock_coarse_ns(void);

/* Milliseconds since 1970 in UTC: for what a person reads. */
int64_t ak_time_ms(void);

#define AK_TIME_TEXT 32

/* "2026-11-22T10:00:00.123Z" (RFC 3339) into `text`, which it returns. */
const char *ak_time_format(int64_t time_ms, char text[AK_TIME_TEXT]);

#endif
