/* job_files.c -- the files of a job's folder, which is the working directory. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/worker/job.h"

#define NAME_ROOM 64

static enum ak_status failed(struct ak_err *err, const char *name)
{
    return ak_fail(err, errno == ENOSPC || errno == EDQUOT ? AK_EFULL : AK_EIO,
                   "%s: %s", name, strerror(errno));
}

static bool write_all(int fd, const uint8_t *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

static bool sync_folder(void)
{
    int fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool good = fd >= 0 && fsync(fd) == 0;

    if (fd >= 0)
        close(fd);
    return good;
}

enum ak_status ak_job_write(const char *name, const void *data, size_t len,
                            struct ak_err *err)
{
    char temporary[NAME_ROOM];
    enum ak_status status = AK_OK;
    int fd;

    snprintf(temporary, sizeof(temporary), "%s.new", name);
    fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return failed(err, name);
    if (!write_all(fd, data, len) || fsync(fd) != 0)
        status = failed(err, name);
    close(fd);
    ak_job_moment("file written");
    if (status == AK_OK && (rename(temporary, name) != 0 || !sync_folder()))
        status = failed(err, name);
    if (status != AK_OK)
        unlink(temporary);
    return status;
}

enum ak_status ak_job_read(const char *name, uint8_t **data, size_t *len,
                           struct ak_err *err)
{
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    uint8_t *bytes = NULL;
    size_t at = 0;
    struct stat st;

    if (fd < 0 && errno == ENOENT)
        return ak_fail(err, AK_ENOTFOUND, "%s: there is none", name);
    if (fd < 0)
        return failed(err, name);
    if (fstat(fd, &st) == 0)
        bytes = malloc((size_t)st.st_size + 1);
    while (bytes != NULL && at < (size_t)st.st_size) {
        ssize_t n = read(fd, bytes + at, (size_t)st.st_size - at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        at += (size_t)n;
    }
    close(fd);
    if (bytes == NULL)
        return ak_fail(err, AK_ENOMEM, "%s: no memory for it", name);
    if (at < (size_t)st.st_size) {
        free(bytes);
        return ak_fail(err, AK_EIO, "%s: it cannot be read", name);
    }
    *data = bytes;
    *len = at;
    return AK_OK;
}
