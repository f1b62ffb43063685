#include "tests/storage/faulty.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/storage/power.h"

/* An engine has several threads.  Guards all of power.c; recursive, since a
   moment of it may use SQLite. */
static pthread_mutex_t power_lock;
/* Guards what follows; nothing is called under it, as SQLite calls us with locks
   of its own. */
static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
static enum fault armed;
static long left;
static bool met;

static bool fails_now(enum fault fault)
{
    if (armed != fault)
        return false;
    if (left > 0 && --left > 0)
        return false;
    if (met && fault != FAULT_FULL)
        return false; /* once; a full disk stays full */
    met = true;
    return true;
}

static bool fails(enum fault fault)
{
    bool yes;

    pthread_mutex_lock(&guard);
    yes = fails_now(fault);
    pthread_mutex_unlock(&guard);
    return yes;
}

void faulty_arm(enum fault fault, long n)
{
    pthread_mutex_lock(&guard);
    armed = fault;
    left = n;
    met = false;
    pthread_mutex_unlock(&guard);
}

bool faulty_met(void)
{
    bool was_met;

    pthread_mutex_lock(&guard);
    was_met = met;
    pthread_mutex_unlock(&guard);
    return was_met;
}

bool faulty_disarm(void)
{
    bool was_met;

    pthread_mutex_lock(&guard);
    armed = FAULT_NONE;
    was_met = met;
    pthread_mutex_unlock(&guard);
    return was_met;
}

/* ------------------------------------------------------------------ memory */

static sqlite3_mem_methods real_memory;

static void *faulty_malloc(int n)
{
    return fails(FAULT_MEMORY) ? NULL : real_memory.xMalloc(n);
}

static void *faulty_realloc(void *p, int n)
{
    return fails(FAULT_MEMORY) ? NULL : real_memory.xRealloc(p, n);
}

/* ------------------------------------------------------------------- files */

struct faulty_file {
    sqlite3_file base;
    sqlite3_file *real; /* behind this struct */
    const char *path;   /* SQLite's, as long as it is open; NULL: a temporary */
};

static sqlite3_vfs *real_vfs;

static sqlite3_file *real_of(sqlite3_file *file)
{
    return ((struct faulty_file *)(void *)file)->real;
}

static const char *path_of(sqlite3_file *file)
{
    return ((struct faulty_file *)(void *)file)->path;
}

static int file_close(sqlite3_file *file)
{
    return real_of(file)->pMethods->xClose(real_of(file));
}

static int file_read(sqlite3_file *file, void *data, int n, sqlite3_int64 at)
{
    if (fails(FAULT_READ))
        return SQLITE_IOERR_READ;
    return real_of(file)->pMethods->xRead(real_of(file), data, n, at);
}

static void tell_changed(sqlite3_file *file, const void *data, size_t n,
                         uint64_t at)
{
    pthread_mutex_lock(&power_lock);
    if (path_of(file) != NULL)
        power_changed(path_of(file), data, n, at);
    pthread_mutex_unlock(&power_lock);
}

static int file_write(sqlite3_file *file, const void *data, int n,
                      sqlite3_int64 at)
{
    if (fails(FAULT_WRITE))
        return SQLITE_IOERR_WRITE;
    if (fails(FAULT_FULL))
        return SQLITE_FULL;
    tell_changed(file, data, (size_t)n, (uint64_t)at);
    return real_of(file)->pMethods->xWrite(real_of(file), data, n, at);
}

static int file_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    if (fails(FAULT_WRITE))
        return SQLITE_IOERR_TRUNCATE;
    tell_changed(file, NULL, 0, (uint64_t)size);
    return real_of(file)->pMethods->xTruncate(real_of(file), size);
}

static int file_sync(sqlite3_file *file, int flags)
{
    (void)flags;
    if (fails(FAULT_SYNC))
        return SQLITE_IOERR_FSYNC;
    pthread_mutex_lock(&power_lock);
    if (path_of(file) != NULL)
        power_synced(path_of(file));
    pthread_mutex_unlock(&power_lock);
    return SQLITE_OK;
}

static int file_size(sqlite3_file *file, sqlite3_int64 *size)
{
    return real_of(file)->pMethods->xFileSize(real_of(file), size);
}

static int file_lock(sqlite3_file *file, int lock)
{
    return real_of(file)->pMethods->xLock(real_of(file), lock);
}

static int file_unlock(sqlite3_file *file, int lock)
{
    return real_of(file)->pMethods->xUnlock(real_of(file), lock);
}

static int file_check_lock(sqlite3_file *file, int *out)
{
    return real_of(file)->pMethods->xCheckReservedLock(real_of(file), out);
}

static int file_control(sqlite3_file *file, int op, void *arg)
{
    return real_of(file)->pMethods->xFileControl(real_of(file), op, arg);
}

static int file_sector(sqlite3_file *file)
{
    return real_of(file)->pMethods->xSectorSize(real_of(file));
}

static int file_device(sqlite3_file *file)
{
    return real_of(file)->pMethods->xDeviceCharacteristics(real_of(file));
}

static int file_shm_map(sqlite3_file *file, int page, int size, int extend,
                        void volatile **out)
{
    return real_of(file)->pMethods->xShmMap(real_of(file), page, size, extend,
                                            out);
}

static int file_shm_lock(sqlite3_file *file, int at, int n, int flags)
{
    return real_of(file)->pMethods->xShmLock(real_of(file), at, n, flags);
}

static void file_shm_barrier(sqlite3_file *file)
{
    real_of(file)->pMethods->xShmBarrier(real_of(file));
}

static int file_shm_unmap(sqlite3_file *file, int delete)
{
    return real_of(file)->pMethods->xShmUnmap(real_of(file), delete);
}

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_check_lock,
    .xFileControl = file_control,
    .xSectorSize = file_sector,
    .xDeviceCharacteristics = file_device,
    .xShmMap = file_shm_map,
    .xShmLock = file_shm_lock,
    .xShmBarrier = file_shm_barrier,
    .xShmUnmap = file_shm_unmap,
};

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file,
                    int flags, int *out_flags)
{
    struct faulty_file *faulty = (void *)file;
    bool was_there = name != NULL && access(name, F_OK) == 0;
    int rc;

    (void)vfs;
    faulty->real = (void *)(faulty + 1);
    faulty->path = name;
    rc = real_vfs->xOpen(real_vfs, name, faulty->real, flags, out_flags);
    faulty->base.pMethods = rc == SQLITE_OK ? &methods : NULL;
    pthread_mutex_lock(&power_lock);
    if (rc == SQLITE_OK && name != NULL)
        power_opened(name, was_there);
    pthread_mutex_unlock(&power_lock);
    return rc;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
    (void)vfs;
    pthread_mutex_lock(&power_lock);
    power_removed(name, sync != 0);
    pthread_mutex_unlock(&power_lock);
    return real_vfs->xDelete(real_vfs, name, sync);
}

void faulty_install(void)
{
    static sqlite3_vfs vfs;
    sqlite3_mem_methods memory;
    pthread_mutexattr_t recursive;

    pthread_mutexattr_init(&recursive);
    pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&power_lock, &recursive);
    pthread_mutexattr_destroy(&recursive);
    sqlite3_config(SQLITE_CONFIG_GETMALLOC, &real_memory);
    memory = real_memory;
    memory.xMalloc = faulty_malloc;
    memory.xRealloc = faulty_realloc;
    if (sqlite3_config(SQLITE_CONFIG_MALLOC, &memory) != SQLITE_OK)
        abort();
    /* Pages come from the allocator too, and not from a pool of their own. */
    sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0);
    real_vfs = sqlite3_vfs_find(NULL);
    vfs = *real_vfs;
    vfs.zName = "faulty";
    vfs.pNext = NULL;
    vfs.szOsFile += (int)sizeof(struct faulty_file);
    vfs.xOpen = vfs_open;
    vfs.xDelete = vfs_delete;
    if (sqlite3_vfs_register(&vfs, 1) != SQLITE_OK)
        abort();
}
