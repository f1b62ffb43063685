/* stride.h -- tests that look at fewer cases where looking takes long. */
#ifndef AK_TESTS_STRIDE_H
#define AK_TESTS_STRIDE_H

#include <stdlib.h>

/*
 * Of many cases of one kind, only one in so many is to be gone through: 1, or
 * AKIN_STRIDE, which .ci/run sets where each access to memory is watched and
 * takes fifty times as long.
 */
static inline unsigned test_stride(void)
{
    const char *given = getenv("AKIN_STRIDE");
    long stride = given != NULL ? strtol(given, NULL, 10) : 1;

    return stride > 1 ? (unsigned)stride : 1;
}

#endif
