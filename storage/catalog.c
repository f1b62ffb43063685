/*
 * catalog.db: which collections there are, and in which file.
 *
 * A row of `files` without a name is a file that was reserved and never named,
 * or whose collection is gone: whatever lies under its number is removed at the
 * next open.  Files that the catalog does not know are never touched, since
 * they may be all that is left after catalog.db was lost.
 */
#include "storage/catalog.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/moment.h"
#include "storage/catalog_internal.h"
#include "storage/collection.h"
#include "storage/sqlite_schema_internal.h"

#define FOLDER_MODE 0700

/* ------------------------------------------------------------------ folder */

static char *join(const struct ak_catalog *catalog, const char *name)
{
    return sqlite3_mprintf("%s/%s", catalog->dir, name);
}

static enum ak_status no_memory(struct ak_err *err)
{
    return ak_fail(err, AK_ENOMEM, "no memory for the catalog");
}

static enum ak_status make_folder(const char *path, struct ak_err *err)
{
    if (mkdir(path, FOLDER_MODE) == 0)
        return ak_db_sync_folder(path, err);
    if (errno != EEXIST)
        return ak_fail(err, AK_EIO, "cannot make %s: %s", path,
                       strerror(errno));
    return AK_OK;
}

/* A folder with all that leads to it. */
static enum ak_status make_folders(const char *path, struct ak_err *err)
{
    enum ak_status status = AK_OK;
    struct stat info;
    char *copy;

    if (stat(path, &info) == 0) {
        if (!S_ISDIR(info.st_mode))
            return ak_fail(err, AK_EIO, "%s is not a folder", path);
        return AK_OK;
    }
    copy = strdup(path);
    if (copy == NULL)
        return no_memory(err);
    for (char *p = copy + 1; *p != '\0' && status == AK_OK; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        /* What is there may be unreadable to us, and still lead on. */
        if (stat(copy, &info) != 0)
            status = make_folder(copy, err);
        *p = '/';
    }
    if (status == AK_OK)
        status = make_folder(path, err);
    free(copy);
    return status;
}

/* -------------------------------------------------------------------- lock */

/* Whose process id is in the file of a lock; 0 when it cannot be read. */
static long lock_holder(int fd)
{
    char text[24];
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

    if (n <= 0)
        return 0;
    text[n] = '\0';
    return strtol(text, NULL, 10);
}

static enum ak_status take_lock(struct ak_catalog *catalog, struct ak_err *err)
{
    enum ak_status status = AK_OK;
    char *path = join(catalog, "LOCK");
    char text[24];
    int n, fd;

    if (path == NULL)
        return no_memory(err);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    sqlite3_free(path);
    if (fd < 0)
        return ak_fail(err, AK_EIO, "cannot open LOCK in %s: %s", catalog->dir,
                       strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        long holder = lock_holder(fd);

        if (errno != EWOULDBLOCK)
            status = ak_fail(err, AK_EIO, "cannot lock %s: %s", catalog->dir,
                             strerror(errno));
        else if (holder > 0)
            status = ak_fail(err, AK_EBUSY, "%s is in use by process %ld",
                             catalog->dir, holder);
        else
            status = ak_fail(err, AK_EBUSY, "%s is in use by another process",
                             catalog->dir);
        close(fd);
        return status;
    }
    n = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)n, 0) != n) {
        status = ak_fail(err, AK_EIO, "cannot write LOCK in %s: %s",
                         catalog->dir, strerror(errno));
        close(fd);
        return status;
    }
    catalog->lock = fd;
    return AK_OK;
}

/* ---------------------------------------------------------------- database */

static enum ak_status count_files(const char *folder, size_t *n,
                                  struct ak_err *err)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;

    *n = 0;
    if (dir == NULL)
        return errno == ENOENT ? AK_OK
                               : ak_fail(err, AK_EIO, "cannot read %s: %s",
                                         folder, strerror(errno));
    while ((entry = readdir(dir)) != NULL)
        *n += entry->d_name[0] != '.';
    closedir(dir);
    return AK_OK;
}

/* A catalog that was not there, or one of which a crash left an empty file. */
static enum ak_status make_database(struct ak_catalog *catalog,
                                    const char *path, const char *folder,
                                    struct ak_err *err)
{
    enum ak_status status;
    size_t n;

    status = count_files(folder, &n, err);
    if (status != AK_OK)
        return status;
    if (n > 0)
        return ak_fail(err, AK_ECORRUPT,
                       "%s has no catalog.db, but %zu files in collections/",
                       catalog->dir, n);
    unlink(path);
    status = ak_db_open(&catalog->db, path, AK_DB_CREATE, err);
    if (status != AK_OK)
        return status;
    catalog->opened = true;
    status = ak_db_exec(&catalog->db, "BEGIN IMMEDIATE", err);
    if (status == AK_OK)
        status = ak_schema_create(&catalog->db, &ak_schema_catalog, err);
    if (status == AK_OK)
        status = ak_db_exec(&catalog->db, "COMMIT", err);
    if (status == AK_OK)
        status = ak_db_sync_folder(path, err);
    return status;
}

/*
 * True if a catalog was never committed here.  A commit is in the log until it
 * is copied, so an empty file with a log beside it is not a new one.
 */
static bool is_new(const char *path)
{
    char *log = sqlite3_mprintf("%s-wal", path);
    struct stat info;
    bool new = stat(path, &info) != 0 ? errno == ENOENT : info.st_size == 0;

    if (log != NULL && new &&stat(log, &info) == 0 && info.st_size > 0)
        new = false;
    sqlite3_free(log);
    return new;
}

static enum ak_status open_known(struct ak_catalog *catalog, const char *path,
                                 struct ak_err *err)
{
    /* Of an end that was not clean, or of somebody else. */
    bool check = ak_db_has_log(path);
    enum ak_status status = ak_db_open(&catalog->db, path, AK_DB_WRITE, err);

    catalog->opened = status == AK_OK;
    if (status == AK_OK && check)
        status = ak_db_quick_check(&catalog->db, err);
    if (status == AK_OK)
        status = ak_schema_check(&catalog->db, &ak_schema_catalog, true, err);
    return status;
}

static enum ak_status open_database(struct ak_catalog *catalog,
                                    struct ak_err *err)
{
    char *path = join(catalog, "catalog.db");
    char *folder = join(catalog, "collections");
    enum ak_status status;

    if (path == NULL || folder == NULL) {
        status = no_memory(err);
    } else if (is_new(path)) {
        status = make_database(catalog, path, folder, err);
    } else if (ak_db_log_lost(path)) {
        /* Names may be lost with it, and what has no name is removed. */
        status = ak_fail(err, AK_ECORRUPT,
                         "catalog.db-wal is missing, with what was made or "
                         "removed last: put it back, or remove "
                         "catalog.db-open to go on without it");
    } else {
        status = open_known(catalog, path, err);
    }
    if (status == AK_OK)
        status = ak_db_mark(path, err);
    if (status == AK_OK)
        status = make_folder(folder, err);
    sqlite3_free(path);
    sqlite3_free(folder);
    return status;
}

/* ------------------------------------------------------------ open, close */

static enum ak_status set_clean(struct ak_catalog *catalog, bool clean,
                                struct ak_err *err)
{
    static const char update[] = "UPDATE state SET clean = ?";
    struct ak_sql q;

    ak_sql_start(&q, &catalog->db, update);
    ak_sql_i64(&q, clean);
    return ak_sql_run(&q, err);
}

static enum ak_status get_clean(struct ak_catalog *catalog, bool *clean,
                                struct ak_err *err)
{
    static const char select[] = "SELECT clean FROM state";
    enum ak_status status;
    struct ak_sql q;
    bool row;

    ak_sql_start(&q, &catalog->db, select);
    status = ak_sql_next(&q, &row, err);
    if (status != AK_OK)
        return status;
    if (!row)
        return ak_fail(err, AK_ECORRUPT, "%s: its state is missing",
                       catalog->db.name);
    *clean = ak_sql_col_i64(&q, 0) != 0;
    ak_sql_end(&q);
    return AK_OK;
}

/* The lowest number without a name. */
static enum ak_status next_nameless(struct ak_catalog *catalog, uint64_t *file,
                                    bool *found, struct ak_err *err)
{
    static const char select[] =
        "SELECT file FROM files WHERE name IS NULL ORDER BY file LIMIT 1";
    enum ak_status status;
    struct ak_sql q;

    ak_sql_start(&q, &catalog->db, select);
    status = ak_sql_next(&q, found, err);
    if (status != AK_OK || !*found)
        return status;
    *file = ak_sql_col_u64(&q, 0);
    ak_sql_end(&q);
    return AK_OK;
}

static enum ak_status forget_file(struct ak_catalog *catalog, uint64_t file,
                                  struct ak_err *err)
{
    static const char delete[] = "DELETE FROM files WHERE file = ?";
    struct ak_sql q;

    ak_sql_start(&q, &catalog->db, delete);
    ak_sql_u64(&q, file);
    return ak_sql_run(&q, err);
}

static char *file_path(const struct ak_catalog *catalog, uint64_t file)
{
    return sqlite3_mprintf("%s/collections/%llu.db", catalog->dir,
                           (unsigned long long)file);
}

static enum ak_status remove_nameless(struct ak_catalog *catalog,
                                      struct ak_err *err)
{
    enum ak_status status;
    uint64_t file = 0; /* for compilers that do not see that found implies it */
    bool found;

    while ((status = next_nameless(catalog, &file, &found, err)) == AK_OK &&
           found) {
        char *path = file_path(catalog, file);

        if (path == NULL)
            return no_memory(err);
        status = ak_db_remove(path, err);
        sqlite3_free(path);
        if (status == AK_OK)
            status = forget_file(catalog, file, err);
        if (status != AK_OK)
            break;
    }
    return status;
}

static void end(struct ak_catalog *catalog)
{
    if (catalog->opened)
        ak_db_close(&catalog->db);
    if (catalog->lock >= 0) {
        /* The file stays: to remove it would let two processes hold a lock of
           the same name. */
        if (ftruncate(catalog->lock, 0) != 0) {
            /* A pid that is stale is read by nobody while the lock is free. */
        }
        close(catalog->lock);
    }
    free(catalog);
}

static struct ak_catalog *new_catalog(const char *dir)
{
    size_t len = strlen(dir);
    struct ak_catalog *catalog = calloc(1, sizeof(*catalog) + len + 1);

    while (len > 1 && dir[len - 1] == '/')
        len--;
    if (catalog == NULL)
        return NULL;
    catalog->lock = -1;
    catalog->dir_len = len;
    memcpy(catalog->dir, dir, len);
    return catalog;
}

enum ak_status ak_catalog_open(const char *dir, struct ak_catalog **out,
                               bool *unclean, struct ak_err *err)
{
    struct ak_catalog *catalog = new_catalog(dir);
    enum ak_status status;
    bool clean = false;

    if (catalog == NULL)
        return no_memory(err);
    status = make_folders(catalog->dir, err);
    if (status == AK_OK)
        status = take_lock(catalog, err);
    if (status == AK_OK)
        status = open_database(catalog, err);
    if (status == AK_OK)
        status = get_clean(catalog, &clean, err);
    if (status == AK_OK)
        status = set_clean(catalog, false, err);
    ak_moment(AK_AT_CATALOG_OPEN);
    if (status == AK_OK)
        status = remove_nameless(catalog, err);
    if (status != AK_OK) {
        end(catalog);
        return status;
    }
    *unclean = !clean;
    *out = catalog;
    return AK_OK;
}

void ak_catalog_close(struct ak_catalog *catalog)
{
    char *path;

    if (catalog == NULL)
        return;
    /* Whatever file it was of: the next start must look at all of them. */
    if (!ak_storage_sync_failed()) {
        enum ak_status status = set_clean(catalog, true, NULL);

        /* Else the next start only checks more than it needs to. */
        (void)status;
    }
    path = catalog->db.sync_failed ? NULL : join(catalog, "catalog.db");
    if (path != NULL)
        ak_db_unmark(path);
    sqlite3_free(path);
    ak_db_settle(&catalog->db);
    catalog->opened = false;
    end(catalog);
}

/* ------------------------------------------------------------------- names */

enum ak_status ak_catalog_list(struct ak_catalog *catalog,
                               ak_catalog_each *each, void *arg,
                               struct ak_err *err)
{
    static const char select[] =
        "SELECT name, file FROM files WHERE name IS NOT NULL ORDER BY name";
    enum ak_status status;
    struct ak_bytes name;
    struct ak_sql q;
    bool row;

    ak_sql_start(&q, &catalog->db, select);
    while ((status = ak_sql_next(&q, &row, err)) == AK_OK && row) {
        status = ak_sql_col_bytes(&q, 0, &name, err);
        /* Text of SQLite ends with a zero. */
        if (status == AK_OK)
            status = each(arg, name.data, ak_sql_col_u64(&q, 1), err);
        if (status != AK_OK) {
            ak_sql_end(&q);
            return status;
        }
    }
    return status;
}

/* After a failed fsync nothing is written until a restart, as in a store. */
enum ak_status ak_catalog_writable(struct ak_catalog *catalog,
                                   struct ak_err *err)
{
    if (!catalog->db.sync_failed)
        return AK_OK;
    return ak_fail(err, AK_EIO, "%s: an fsync failed before: restart to write",
                   catalog->db.name);
}

/* Copy the log, which is short and has no readers. */
enum ak_status ak_catalog_copy_log(struct ak_catalog *catalog,
                                   struct ak_err *err)
{
    int rc = sqlite3_wal_checkpoint_v2(catalog->db.handle, NULL,
                                       SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);

    return rc == SQLITE_OK ? AK_OK : ak_db_fail(&catalog->db, rc, err);
}

enum ak_status ak_catalog_end_change(struct ak_catalog *catalog,
                                     enum ak_status status, struct ak_err *err)
{
    if (status == AK_OK)
        status = ak_db_exec(&catalog->db, "COMMIT", err);
    if (status != AK_OK && !sqlite3_get_autocommit(catalog->db.handle)) {
        enum ak_status undone = ak_db_exec(&catalog->db, "ROLLBACK", NULL);

        (void)undone; /* the first failure is the one to tell */
    }
    return status;
}

enum ak_status ak_catalog_reserve(struct ak_catalog *catalog, uint64_t *file,
                                  struct ak_err *err)
{
    static const char insert[] = "INSERT INTO files(name) VALUES (NULL)";
    enum ak_status status = ak_catalog_writable(catalog, err);
    struct ak_sql q;

    if (status == AK_OK)
        status = ak_catalog_copy_log(catalog, err);
    if (status != AK_OK)
        return status;
    ak_sql_start(&q, &catalog->db, insert);
    status = ak_sql_run(&q, err);
    if (status == AK_OK)
        *file = (uint64_t)sqlite3_last_insert_rowid(catalog->db.handle);
    return status;
}

enum ak_status ak_catalog_made_by(struct ak_catalog *catalog, const char *name,
                                  uint64_t *job, struct ak_err *err)
{
    static const char select[] = "SELECT job FROM files WHERE name = ?";
    enum ak_status status;
    struct ak_sql q;
    bool found;

    ak_sql_start(&q, &catalog->db, select);
    ak_sql_text(&q, name, strlen(name));
    status = ak_sql_next(&q, &found, err);
    if (status != AK_OK)
        return status;
    if (!found)
        return ak_fail(err, AK_ENOTFOUND, "there is no collection %s", name);
    *job = ak_sql_col_u64(&q, 0); /* NULL is 0 */
    ak_sql_end(&q);
    return AK_OK;
}

enum ak_status ak_catalog_add_by(struct ak_catalog *catalog, const char *name,
                                 uint64_t file, uint64_t job,
                                 struct ak_err *err)
{
    static const char update[] = "UPDATE files SET name = ?, job = ?"
                                 " WHERE file = ? AND name IS NULL";
    size_t len = strlen(name);
    enum ak_status status;
    uint64_t other;
    struct ak_sql q;

    if (len < 1 || len > AK_NAME_MAX)
        return ak_fail(err, AK_EINVAL,
                       "a name has %zu bytes, must have 1 to %d", len,
                       AK_NAME_MAX);
    status = ak_catalog_writable(catalog, err);
    if (status != AK_OK)
        return status;
    status = ak_catalog_made_by(catalog, name, &other, err);
    if (status == AK_OK)
        return ak_fail(err, AK_EEXISTS, "there is a collection %s", name);
    if (status != AK_ENOTFOUND)
        return status;
    ak_sql_start(&q, &catalog->db, update);
    ak_sql_text(&q, name, len);
    if (job > 0)
        ak_sql_u64(&q, job);
    else
        ak_sql_null(&q);
    ak_sql_u64(&q, file);
    status = ak_sql_run(&q, err);
    if (status == AK_OK && sqlite3_changes(catalog->db.handle) == 0)
        status = ak_fail(err, AK_EINVAL, "file %llu is not reserved",
                         (unsigned long long)file);
    return status;
}

enum ak_status ak_catalog_add(struct ak_catalog *catalog, const char *name,
                              uint64_t file, struct ak_err *err)
{
    return ak_catalog_add_by(catalog, name, file, 0, err);
}

enum ak_status ak_catalog_remove(struct ak_catalog *catalog, const char *name,
                                 struct ak_err *err)
{
    static const char update[] = "UPDATE files SET name = NULL WHERE name = ?";
    enum ak_status status = ak_catalog_writable(catalog, err);
    struct ak_sql q;

    if (status != AK_OK)
        return status;
    ak_sql_start(&q, &catalog->db, update);
    ak_sql_text(&q, name, strlen(name));
    status = ak_sql_run(&q, err);
    if (status == AK_OK && sqlite3_changes(catalog->db.handle) == 0)
        status = ak_fail(err, AK_ENOTFOUND, "there is no collection %s", name);
    return status;
}

bool ak_catalog_path(const struct ak_catalog *catalog, uint64_t file,
                     char *path, size_t cap)
{
    int n = snprintf(path, cap, "%s/collections/%" PRIu64 ".db", catalog->dir,
                     file);

    return n >= 0 && (size_t)n < cap;
}
