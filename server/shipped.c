#include "server/shipped.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/log.h"

#define SUFFIX ".akx"

struct shipping {
    atomic_uint left; /* that have not answered, and one for who asks */
    void (*done)(void *arg);
    void *arg;
};

struct shipped {
    struct shipping *all;
    char name[AK_SETTINGS_NAME];
};

static void end_one(struct shipping *all)
{
    if (atomic_fetch_sub(&all->left, 1) > 1)
        return;
    all->done(all->arg);
    free(all);
}

static void put(void *arg, enum ak_status status, uint32_t version,
                const struct ak_err *err)
{
    struct shipped *s = arg;

    (void)version;
    if (status != AK_OK)
        ak_log_warn("extractors", "what is shipped cannot be used",
                    AK_TEXT("extractor", s->name),
                    AK_TEXT("reason", err->text));
    end_one(s->all);
    free(s);
}

static bool copy_all(int from, int to)
{
    char buffer[65536];
    ssize_t n, m;

    while ((n = read(from, buffer, sizeof(buffer))) > 0)
        for (ssize_t at = 0; at < n; at += m) {
            m = write(to, buffer + at, (size_t)(n - at));
            if (m < 0)
                return false;
        }
    return n == 0;
}

/* A copy where the registry can take it. */
static enum ak_status copy(struct ak_extractors *x, const char *dir,
                           const char *file, char path[AK_EXTRACTORS_PATH],
                           struct ak_err *err)
{
    char source[AK_EXTRACTORS_PATH];
    enum ak_status status = AK_OK;
    int from, to;

    if (snprintf(source, sizeof(source), "%s/%s", dir, file) >=
        (int)sizeof(source))
        return ak_fail(err, AK_EINVAL, "the path is too long");
    status = ak_extractors_room(x, path, err);
    if (status != AK_OK)
        return status;
    from = open(source, O_RDONLY | O_CLOEXEC);
    to = from < 0 ? -1
                  : open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (to < 0 || !copy_all(from, to))
        status = ak_fail(err, AK_EIO, "%s: %s", source, strerror(errno));
    if (to >= 0 && close(to) != 0 && status == AK_OK)
        status = ak_fail(err, AK_EIO, "%s: %s", path, strerror(errno));
    if (status != AK_OK && to >= 0)
        unlink(path);
    if (from >= 0)
        close(from);
    return status;
}

static void ship(struct ak_extractors *x, struct shipping *all, const char *dir,
                 const char *file)
{
    size_t len = strlen(file) - (sizeof(SUFFIX) - 1);
    struct shipped *s = calloc(1, sizeof(*s));
    char path[AK_EXTRACTORS_PATH];
    struct ak_err err = {0};
    enum ak_status status;

    if (s == NULL)
        return;
    atomic_fetch_add(&all->left, 1);
    s->all = all;
    memcpy(s->name, file, len);
    status = copy(x, dir, file, path, &err);
    if (status == AK_OK)
        ak_extractors_put(x, s->name, path, 0, put, s);
    else
        put(s, status, 0, &err);
}

/* "NAME.akx" */
static bool is_model(const char *file)
{
    size_t len = strlen(file);

    return len >= sizeof(SUFFIX) &&
           len < AK_SETTINGS_NAME + sizeof(SUFFIX) - 1 &&
           strcmp(file + len - (sizeof(SUFFIX) - 1), SUFFIX) == 0;
}

void ak_shipped_put(struct ak_extractors *x, const char *dir,
                    void (*done)(void *arg), void *arg)
{
    struct shipping *all = calloc(1, sizeof(*all));
    const struct dirent *entry;
    DIR *folder;

    if (all == NULL) {
        done(arg);
        return;
    }
    atomic_init(&all->left, 1);
    all->done = done;
    all->arg = arg;
    folder = opendir(dir);
    while (folder != NULL && (entry = readdir(folder)) != NULL)
        if (is_model(entry->d_name))
            ship(x, all, dir, entry->d_name);
    if (folder != NULL)
        closedir(folder);
    else if (errno != ENOENT)
        ak_log_warn("extractors", "what is shipped cannot be read",
                    AK_TEXT("folder", dir), AK_TEXT("reason", strerror(errno)));
    end_one(all);
}
