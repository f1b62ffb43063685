#include "server/program.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME "akin-worker"

enum ak_status ak_program_worker(char **path, struct ak_err *err)
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - sizeof(NAME));
    char *slash;

    if (n > 0) {
        self[n] = '\0';
        slash = strrchr(self, '/');
        memcpy(slash + 1, NAME, sizeof(NAME));
        if (access(self, X_OK) == 0) {
            *path = strdup(self);
            return *path != NULL ? AK_OK : ak_fail(err, AK_ENOMEM, "no memory");
        }
    } else {
        self[0] = '\0';
    }
    if (access(AK_LIBEXECDIR "/" NAME, X_OK) != 0)
        return ak_fail(err, AK_ENOTFOUND, "%s is neither %s nor %s", NAME, self,
                       AK_LIBEXECDIR "/" NAME);
    *path = strdup(AK_LIBEXECDIR "/" NAME);
    return *path != NULL ? AK_OK : ak_fail(err, AK_ENOMEM, "no memory");
}
