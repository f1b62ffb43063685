/*
 * moment.h -- places in the code at which a test may end the process.
 *
 * A moment has a name, "snapshot renamed".  Nothing happens there unless a test
 * has set the hook, before there are threads; it may then count, and kill.
 */
#ifndef AK_CORE_BASE_MOMENT_H
#define AK_CORE_BASE_MOMENT_H

#include <stddef.h>

extern void (*ak_moment_hook)(const char *name);

static inline void ak_moment(const char *name)
{
    if (ak_moment_hook != NULL)
        ak_moment_hook(name);
}

#endif
