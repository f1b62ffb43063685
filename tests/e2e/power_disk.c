/*
 * power_disk.c -- a library that is loaded before others (LD_PRELOAD) and writes
 * down what a process changes beneath POWER_FOLDER, in order, in the file
 * POWER_JOURNAL, so that power_disk.py can make what a disk may hold if the power
 * fails at that moment.
 *
 * A sync is written down and not done, but with POWER_LIES, when it is not even
 * written down: a disk that only says it has synced.  What is written through a
 * mapping (SQLite's -shm, which is not read after a crash) or by stdio (the port)
 * is not seen.
 *
 * A lock is held over a change and its entry, so that their orders are the same.
 * The journal needs no sync: it must only outlive the process.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { MADE = 1, WROTE, SIZED, SYNCED, RENAMED, REMOVED, FOLDER };

/* Followed by the two names, beneath the folder, and by the data. */
struct entry {
    uint32_t kind, name_len, other_len, data_len;
    uint64_t inode, at;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int journal = -1;
static char folder[PATH_MAX];
static size_t folder_len;

/* The function that this one stands before. */
#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static void die(const char *why)
{
    dprintf(2, "power_disk: %s\n", why);
    _exit(99);
}

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("POWER_JOURNAL");
    const char *where = getenv("POWER_FOLDER");

    if (path == NULL || where == NULL || realpath(where, folder) == NULL)
        die("POWER_JOURNAL and POWER_FOLDER are not set");
    folder_len = strlen(folder);
    journal = REAL(open)(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (journal < 0)
        die("the journal cannot be opened");
}

/* ------------------------------------------------------------------- names */

/* The part of a path beneath the folder, "" for the folder; NULL: elsewhere. */
static const char *beneath(const char *path)
{
    if (folder_len == 0 || strncmp(path, folder, folder_len) != 0)
        return NULL;
    if (path[folder_len] == '\0')
        return path + folder_len;
    return path[folder_len] == '/' ? path + folder_len + 1 : NULL;
}

static const char *name_of(int fd, char path[PATH_MAX])
{
    char link[32];
    ssize_t n;

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    n = readlink(link, path, PATH_MAX - 1);
    path[n > 0 ? n : 0] = '\0';
    return beneath(path);
}

/* The same of a name in the folder `at`; symbolic links are not looked for. */
static const char *name_at(int at, const char *name, char path[PATH_MAX])
{
    size_t len;

    if (name[0] == '/' || at == AT_FDCWD) {
        if (name[0] != '/')
            return NULL;
        snprintf(path, PATH_MAX, "%s", name);
        return beneath(path);
    }
    if (name_of(at, path) == NULL)
        return NULL;
    len = strlen(path);
    snprintf(path + len, PATH_MAX - len, "/%s", name);
    return beneath(path);
}

static uint64_t inode_of(int fd)
{
    struct stat info;

    return fstat(fd, &info) == 0 ? info.st_ino : 0;
}

/* ------------------------------------------------------------------ entries */

static void put(enum kind kind, uint64_t inode, const char *name,
                const char *other, uint64_t at, const void *data, size_t len)
{
    struct entry e = {.kind = kind,
                      .inode = inode,
                      .name_len = (uint32_t)strlen(name),
                      .other_len = (uint32_t)strlen(other),
                      .data_len = (uint32_t)len,
                      .at = at};
    struct iovec parts[] = {{&e, sizeof(e)},
                            {(void *)(uintptr_t)name, e.name_len},
                            {(void *)(uintptr_t)other, e.other_len},
                            {(void *)(uintptr_t)data, len}};
    ssize_t all = (ssize_t)(sizeof(e) + e.name_len + e.other_len + len);

    if (writev(journal, parts, 4) != all)
        die("the journal cannot be written");
}

static int opened(int (*real)(int, const char *, int, ...), int at,
                  const char *name, int flags, mode_t mode)
{
    char path[PATH_MAX];
    struct stat info;
    const char *known =
        flags & (O_CREAT | O_TRUNC) ? name_at(at, name, path) : NULL;
    bool was_there;
    int fd;

    if (known == NULL)
        return real(at, name, flags, mode);
    pthread_mutex_lock(&lock);
    was_there = fstatat(at, name, &info, AT_SYMLINK_NOFOLLOW) == 0;
    fd = real(at, name, flags, mode);
    if (fd >= 0 && !was_there)
        put(MADE, inode_of(fd), known, "", 0, NULL, 0);
    else if (fd >= 0 && flags & O_TRUNC)
        put(SIZED, inode_of(fd), "", "", 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    return fd;
}

/* `open` has its mode only with O_CREAT; to read it always harms nobody. */
#define OPENER(name)                                              \
    int name(const char *path, int flags, ...)                    \
    {                                                             \
        va_list list;                                             \
        mode_t mode;                                              \
        va_start(list, flags);                                    \
        mode = va_arg(list, mode_t);                              \
        va_end(list);                                             \
        return opened(REAL(openat), AT_FDCWD, path, flags, mode); \
    }

OPENER(open)
OPENER(open64)

#define OPENER_AT(name)                                     \
    int name(int at, const char *path, int flags, ...)      \
    {                                                       \
        va_list list;                                       \
        mode_t mode;                                        \
        va_start(list, flags);                              \
        mode = va_arg(list, mode_t);                        \
        va_end(list);                                       \
        return opened(REAL(openat), at, path, flags, mode); \
    }

OPENER_AT(openat)
OPENER_AT(openat64)

/* At a place of a file of ours; the lock is held. */
static ssize_t put_there(int fd, const void *data, size_t n, off_t at)
{
    ssize_t done = REAL(pwrite)(fd, data, n, at);

    if (done > 0)
        put(WROTE, inode_of(fd), "", "", (uint64_t)at, data, (size_t)done);
    return done;
}

ssize_t pwrite(int fd, const void *data, size_t n, off_t at)
{
    char path[PATH_MAX];
    ssize_t done;

    if (name_of(fd, path) == NULL)
        return REAL(pwrite)(fd, data, n, at);
    pthread_mutex_lock(&lock);
    done = put_there(fd, data, n, at);
    pthread_mutex_unlock(&lock);
    return done;
}

ssize_t pwrite64(int fd, const void *data, size_t n, off_t at)
{
    return pwrite(fd, data, n, at);
}

ssize_t write(int fd, const void *data, size_t n)
{
    char path[PATH_MAX];
    ssize_t done;

    if (name_of(fd, path) == NULL)
        return REAL(write)(fd, data, n);
    pthread_mutex_lock(&lock);
    done = put_there(fd, data, n, lseek(fd, 0, SEEK_CUR));
    if (done > 0)
        lseek(fd, done, SEEK_CUR);
    pthread_mutex_unlock(&lock);
    return done;
}

static int sized(int fd, off_t size)
{
    char path[PATH_MAX];
    int rc;

    pthread_mutex_lock(&lock);
    rc = REAL(ftruncate)(fd, size);
    if (rc == 0 && name_of(fd, path) != NULL)
        put(SIZED, inode_of(fd), "", "", (uint64_t)size, NULL, 0);
    pthread_mutex_unlock(&lock);
    return rc;
}

int ftruncate(int fd, off_t size)
{
    return sized(fd, size);
}

int ftruncate64(int fd, off_t size)
{
    return sized(fd, size);
}

static int synced(int fd)
{
    char path[PATH_MAX];

    pthread_mutex_lock(&lock);
    if (name_of(fd, path) != NULL && getenv("POWER_LIES") == NULL)
        put(SYNCED, inode_of(fd), "", "", 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    return 0;
}

int fsync(int fd)
{
    return synced(fd);
}

int fdatasync(int fd)
{
    return synced(fd);
}

static int renamed(int from, const char *a, int to, const char *b)
{
    char path[PATH_MAX], other[PATH_MAX];
    const char *old, *new;
    int rc;

    pthread_mutex_lock(&lock);
    old = name_at(from, a, path);
    new = name_at(to, b, other);
    rc = REAL(renameat)(from, a, to, b);
    if (rc == 0 && old != NULL && new != NULL)
        put(RENAMED, 0, old, new, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    return rc;
}

int renameat(int from, const char *a, int to, const char *b)
{
    return renamed(from, a, to, b);
}

int rename(const char *a, const char *b)
{
    return renamed(AT_FDCWD, a, AT_FDCWD, b);
}

static int removed(int at, const char *name, int flags)
{
    char path[PATH_MAX];
    const char *known;
    int rc;

    pthread_mutex_lock(&lock);
    known = name_at(at, name, path);
    rc = REAL(unlinkat)(at, name, flags);
    if (rc == 0 && known != NULL)
        put(REMOVED, 0, known, "", 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    return rc;
}

int unlinkat(int at, const char *name, int flags)
{
    return removed(at, name, flags);
}

int unlink(const char *name)
{
    return removed(AT_FDCWD, name, 0);
}

int rmdir(const char *name)
{
    return removed(AT_FDCWD, name, AT_REMOVEDIR);
}

static int folder_made(int at, const char *name, mode_t mode)
{
    char path[PATH_MAX];
    const char *known;
    struct stat info;
    int rc;

    pthread_mutex_lock(&lock);
    known = name_at(at, name, path);
    rc = REAL(mkdirat)(at, name, mode);
    if (rc == 0 && known != NULL && fstatat(at, name, &info, 0) == 0)
        put(FOLDER, info.st_ino, known, "", 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    return rc;
}

int mkdirat(int at, const char *name, mode_t mode)
{
    return folder_made(at, name, mode);
}

int mkdir(const char *name, mode_t mode)
{
    return folder_made(AT_FDCWD, name, mode);
}
