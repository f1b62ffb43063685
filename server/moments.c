#include "server/moments.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/moment.h"

#define MAX_TIMES 9

static struct {
    enum ak_moment_at at;
    atomic_uint left; /* passings until it happens; 0: it has */
    int signal;
    unsigned times;
} wanted;

static void pass(enum ak_moment_at at)
{
    unsigned left = atomic_load(&wanted.left);

    if (at != wanted.at)
        return;
    while (left > 0 &&
           !atomic_compare_exchange_weak(&wanted.left, &left, left - 1)) {
    }
    if (left != 1)
        return;
    for (unsigned i = 0; i < wanted.times; i++)
        kill(getpid(), wanted.signal);
}

static bool find(const char *name, size_t len, enum ak_moment_at *at)
{
    for (int i = 0; i < AK_N_MOMENTS; i++) {
        if (strlen(ak_moment_names[i]) == len &&
            memcmp(ak_moment_names[i], name, len) == 0) {
            *at = (enum ak_moment_at)i;
            return true;
        }
    }
    return false;
}

enum ak_status ak_moments_set(const char *text, struct ak_err *err)
{
    unsigned nth = 0, number = 0;
    int n = 0, more = 0;
    size_t len;

    if (text == NULL)
        return AK_OK;
    len = strcspn(text, ":");
    wanted.times = 1;
    if (sscanf(text + len, ":%9u:%2u%n", &nth, &number, &n) != 2 || nth < 1 ||
        number < 1)
        return ak_fail(err, AK_EINVAL,
                       "AKIND_MOMENT is \"%.60s\", must be "
                       "NAME:NTH:SIGNAL[:TIMES]",
                       text);
    if (text[len + (size_t)n] != '\0' &&
        (sscanf(text + len + n, ":%1u%n", &wanted.times, &more) != 1 ||
         text[len + (size_t)(n + more)] != '\0' || wanted.times < 1))
        return ak_fail(err, AK_EINVAL,
                       "AKIND_MOMENT is \"%.60s\", TIMES must be 1..%d", text,
                       MAX_TIMES);
    if (!find(text, len, &wanted.at))
        return ak_fail(err, AK_EINVAL,
                       "AKIND_MOMENT is \"%.60s\": no moment has that name",
                       text);
    atomic_store(&wanted.left, nth);
    wanted.signal = (int)number;
    ak_moment_hook = pass;
    return AK_OK;
}
