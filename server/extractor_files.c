#include "server/extractor_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/hex.h"
#include "core/base/moment.h"
#include "server/backup.h"

#define FOLDER   "extractors"
#define END      ".akx"
#define PATH_LEN 4096
#define HEX      (2 * AK_SHA256_LEN)

static enum ak_status failed(const char *what, struct ak_err *err)
{
    enum ak_status status = errno == ENOSPC || errno == EDQUOT ? AK_EFULL
                            : errno == ENOENT                  ? AK_ENOTFOUND
                                                               : AK_EIO;

    return ak_fail(err, status, "cannot %s a model file: %s", what,
                   strerror(errno));
}

/* The checksum that a name stands for; false: it is no complete file. */
static bool read_name(const char *name, uint8_t sha256[32])
{
    return strlen(name) == HEX + sizeof(END) - 1 &&
           strcmp(name + HEX, END) == 0 &&
           ak_hex_decode(name, HEX, sha256, AK_SHA256_LEN);
}

bool ak_extractor_file_path(const char *data_dir, const uint8_t sha256[32],
                            char *path, size_t cap)
{
    char hex[HEX + 1];
    int n;

    ak_hex_encode(sha256, AK_SHA256_LEN, hex);
    n = snprintf(path, cap, "%s/" FOLDER "/%s" END, data_dir, hex);
    return n >= 0 && (size_t)n < cap;
}

bool ak_extractor_file_new(const char *data_dir, uint64_t number, char *path,
                           size_t cap)
{
    int n = snprintf(path, cap, "%s/" FOLDER "/.%llu.new", data_dir,
                     (unsigned long long)number);

    return n >= 0 && (size_t)n < cap;
}

/* Removes from the folder what `goes` says. */
static enum ak_status sweep(const char *data_dir,
                            bool (*goes)(const char *name, void *arg),
                            void *arg, struct ak_err *err)
{
    char path[PATH_LEN];
    int n = snprintf(path, sizeof(path), "%s/" FOLDER, data_dir);
    struct dirent *entry;
    DIR *dir = n >= 0 && (size_t)n < sizeof(path) ? opendir(path) : NULL;

    if (dir == NULL)
        return ak_fail(err, AK_EIO, "cannot open the folder of extractors: %s",
                       strerror(errno));
    /* What cannot be removed stays, and harms nobody. */
    while ((entry = readdir(dir)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 &&
            strcmp(entry->d_name, "..") != 0 && goes(entry->d_name, arg))
            (void)unlinkat(dirfd(dir), entry->d_name, 0);
    closedir(dir);
    return AK_OK;
}

static bool is_new(const char *name, void *arg)
{
    (void)arg;
    return name[0] == '.';
}

enum ak_status ak_extractor_files_open(const char *data_dir, struct ak_err *err)
{
    char path[PATH_LEN];
    int n = snprintf(path, sizeof(path), "%s/" FOLDER, data_dir);
    enum ak_status status = AK_OK;

    if (n < 0 || (size_t)n >= sizeof(path))
        return ak_fail(err, AK_EIO, "the data directory's name is too long");
    if (mkdir(path, 0700) == 0)
        status = ak_backup_sync_folder(path, err);
    else if (errno != EEXIST)
        status =
            ak_fail(err, AK_EIO, "cannot make the folder of extractors: %s",
                    strerror(errno));
    if (status == AK_OK)
        status = sweep(data_dir, is_new, NULL, err);
    return status;
}

struct sweeping {
    ak_extractor_known_fn *known;
    void *arg;
};

static bool is_orphan(const char *name, void *arg)
{
    const struct sweeping *s = arg;
    uint8_t sha256[AK_SHA256_LEN];

    return read_name(name, sha256) && !s->known(s->arg, sha256);
}

void ak_extractor_files_sweep(const char *data_dir,
                              ak_extractor_known_fn *known, void *arg)
{
    struct sweeping s = {known, arg};

    (void)sweep(data_dir, is_orphan, &s, NULL); /* else at the next start */
}

enum ak_status ak_extractor_file_read(const char *path, uint64_t max,
                                      void **bytes, size_t *len,
                                      uint8_t sha256[32], struct ak_err *err)
{
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    enum ak_status status = AK_OK;
    uint8_t *data = NULL;
    struct stat info;
    size_t at = 0;
    ssize_t n = 0;

    if (fd < 0)
        return failed("open", err);
    if (fstat(fd, &info) != 0)
        status = failed("look at", err);
    else if (!S_ISREG(info.st_mode))
        status = ak_fail(err, AK_EIO, "a model file is no file");
    else if ((uint64_t)info.st_size > max)
        status =
            ak_fail(err, AK_ELIMIT,
                    "a model file has %llu bytes, must have at most %llu",
                    (unsigned long long)info.st_size, (unsigned long long)max);
    if (status == AK_OK && (data = malloc((size_t)info.st_size + 1)) == NULL)
        status = ak_fail(err, AK_ENOMEM, "no memory for a model file");
    while (status == AK_OK && at < (size_t)info.st_size &&
           (n = read(fd, data + at, (size_t)info.st_size - at)) > 0)
        at += (size_t)n;
    if (n < 0)
        status = failed("read", err);
    close(fd);
    if (status == AK_OK)
        status = ak_sha256(&(struct ak_piece){data, at}, 1, sha256, err);
    if (status != AK_OK) {
        free(data);
        return status;
    }
    *bytes = data;
    *len = at;
    return AK_OK;
}

enum ak_status ak_extractor_file_sync(const char *path, struct ak_err *err)
{
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    enum ak_status status = AK_OK;

    if (fd < 0)
        return failed("open", err);
    if (fsync(fd) != 0)
        status = failed("sync", err);
    close(fd);
    return status;
}

enum ak_status ak_extractor_file_write(const char *path, const void *bytes,
                                       size_t len, struct ak_err *err)
{
    int fd =
        open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    const uint8_t *at = bytes;
    enum ak_status status = AK_OK;
    ssize_t n;

    if (fd < 0)
        return failed("make", err);
    while (len > 0 && (n = write(fd, at, len)) > 0) {
        at += n;
        len -= (size_t)n;
    }
    if (len > 0 || fsync(fd) != 0)
        status = failed("write", err);
    close(fd);
    if (status != AK_OK)
        unlink(path);
    return status;
}

enum ak_status ak_extractor_file_keep(const char *data_dir, const char *path,
                                      const uint8_t sha256[32],
                                      struct ak_err *err)
{
    char kept[PATH_LEN];

    if (!ak_extractor_file_path(data_dir, sha256, kept, sizeof(kept)))
        return ak_fail(err, AK_EIO, "the data directory's name is too long");
    if (rename(path, kept) != 0)
        return failed("rename", err);
    ak_moment(AK_AT_EXTRACTOR_FILE);
    return ak_backup_sync_folder(kept, err);
}
