/* beside.h -- the path of a program that was built beside this one. */
#ifndef AK_TESTS_SERVER_BESIDE_H
#define AK_TESTS_SERVER_BESIDE_H

#include <stdio.h>
#include <stdlib.h>

/* `name` in tests/server of the build, which `make check` tells. */
static inline void beside(char *path, size_t cap, const char *name)
{
    const char *top = getenv("top_builddir");

    snprintf(path, cap, "%s/tests/server/%s", top != NULL ? top : ".", name);
}

#endif
