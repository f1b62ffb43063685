/*
 * Connections as every file of ours is opened.
 *
 * The settings follow from what each would cost when it is wrong:
 *
 *   journal_mode=WAL          readers never wait for the writer
 *   synchronous=FULL          a commit is on the disk when it returns
 *   mmap_size=0               an I/O error is a result code, not a SIGBUS
 *   secure_delete=ON          what was erased is overwritten
 *   trusted_schema=OFF, DEFENSIVE, cell_size_check
 *                             a file from elsewhere cannot run code or lead
 *                             SQLite out of a page
 *   wal_autocheckpoint=0      the checkpoint inside a COMMIT ignores a failed
 *                             fsync; ours (store.c) reports it
 *
 * SQLite before 3.51.3 can lose a commit when two connections write or
 * checkpoint at one time (sqlite.org/wal.html, "the WAL-reset bug").  So one
 * connection of a file writes and checkpoints, and all others are read-only and
 * leave the log alone even when they close last.
 */
#include "storage/sqlite_internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUSY_MS 5000
#define MARK    "-open" /* beside a file that is open */
/* Above the largest block (32 MiB), and far below what could hurt. */
#define MAX_VALUE_BYTES (64 << 20)

static const char settings[] = "PRAGMA synchronous=FULL;"
                               "PRAGMA foreign_keys=ON;"
                               "PRAGMA wal_autocheckpoint=0;"
                               "PRAGMA mmap_size=0;"
                               "PRAGMA temp_store=MEMORY;"
                               "PRAGMA trusted_schema=OFF;"
                               "PRAGMA cell_size_check=ON;";

/*
 * The cache of a writer need hold no more than the pages of one group (8 MiB);
 * there may be a thousand collections, so more would be taken from the codes.
 */
static const char writer_settings[] = "PRAGMA journal_size_limit=67108864;"
                                      "PRAGMA cache_size=-16384;"
                                      "PRAGMA secure_delete=ON;";
static const char reader_settings[] = "PRAGMA cache_size=-2048;"
                                      "PRAGMA query_only=ON;";

/* ------------------------------------------------------------- connection */

static atomic_bool sync_failed; /* of any file */

bool ak_storage_sync_failed(void)
{
    return atomic_load(&sync_failed);
}

void ak_storage_limit_memory(uint64_t bytes)
{
    sqlite3_soft_heap_limit64((sqlite3_int64)bytes);
}

uint64_t ak_storage_memory(void)
{
    return (uint64_t)sqlite3_memory_used();
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash != NULL ? slash + 1 : path;
}

static enum ak_status no_space(const struct ak_db *db, struct ak_err *err)
{
    return ak_fail(err, AK_EFULL, "%s: no space left on the disk", db->name);
}

/* What the system said to the call that failed; 0: it is not known.  SQLite tells
   of statements, but not of a commit: then the file itself does. */
static int system_errno(struct ak_db *db, int rc)
{
    sqlite3_file *log = NULL;
    int system;

    if (db->handle == NULL)
        return 0;
    system = sqlite3_system_errno(db->handle);
    if (system != 0 || (rc & 0xff) != SQLITE_IOERR)
        return system;
    if (sqlite3_file_control(db->handle, "main", SQLITE_FCNTL_JOURNAL_POINTER,
                             &log) == SQLITE_OK &&
        log != NULL && log->pMethods != NULL)
        (void)log->pMethods->xFileControl(log, SQLITE_FCNTL_LAST_ERRNO,
                                          &system);
    if (system == 0)
        (void)sqlite3_file_control(db->handle, "main", SQLITE_FCNTL_LAST_ERRNO,
                                   &system);
    return system;
}

enum ak_status ak_db_fail(struct ak_db *db, int rc, struct ak_err *err)
{
    const char *text =
        db->handle != NULL && sqlite3_extended_errcode(db->handle) == rc
            ? sqlite3_errmsg(db->handle)
            : sqlite3_errstr(rc);
    int system = system_errno(db, rc);

    switch (rc) {
    case SQLITE_IOERR_FSYNC:
    case SQLITE_IOERR_DIR_FSYNC:
        db->sync_failed = true;
        atomic_store(&sync_failed, true);
        return ak_fail(err, AK_EIO,
                       "%s: fsync failed (%s): what was written last may not "
                       "be on the disk, and only a restart can tell",
                       db->name, system != 0 ? strerror(system) : text);
    case SQLITE_IOERR_NOMEM:
        return ak_fail(err, AK_ENOMEM, "%s: out of memory", db->name);
    default:
        break;
    }
    switch (rc & 0xff) {
    case SQLITE_NOMEM:
        return ak_fail(err, AK_ENOMEM, "%s: out of memory", db->name);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_FORMAT:
    case SQLITE_CONSTRAINT: /* we look before we write: the file is at odds
                               with itself */
    case SQLITE_MISMATCH:
        return ak_fail(err, AK_ECORRUPT, "%s: %s (%d)", db->name, text, rc);
    case SQLITE_FULL:
        return no_space(db, err);
    case SQLITE_TOOBIG:
        return ak_fail(err, AK_ELIMIT, "%s: a value has more than %d bytes",
                       db->name, MAX_VALUE_BYTES);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return ak_fail(err, AK_EBUSY, "%s: %s (%d)", db->name, text, rc);
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
        /* A quota, or a file beside the database that could not grow. */
        if (system == ENOSPC || system == EDQUOT)
            return no_space(db, err);
        return ak_fail(err, AK_EIO, "%s: %s (%d): %s", db->name, text, rc,
                       system != 0 ? strerror(system) : "no reason given");
    default:
        if (system != 0)
            return ak_fail(err, AK_EIO, "%s: %s (%d): %s", db->name, text, rc,
                           strerror(system));
        return ak_fail(err, AK_EIO, "%s: %s (%d)", db->name, text, rc);
    }
}

enum ak_status ak_db_exec(struct ak_db *db, const char *sql, struct ak_err *err)
{
    int rc = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);

    return rc == SQLITE_OK ? AK_OK : ak_db_fail(db, rc, err);
}

/*
 * SQLite would make the file with the mode of the umask and would take over a
 * log that another file left; neither is wanted.
 */
static enum ak_status make_file(struct ak_db *db, const char *path,
                                struct ak_err *err)
{
    static const char *const beside[] = {"-wal", "-shm", "-journal"};
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd < 0 && errno == EEXIST)
        return ak_fail(err, AK_EEXISTS, "%s is there already", db->name);
    if (fd < 0 && (errno == ENOSPC || errno == EDQUOT))
        return no_space(db, err);
    if (fd < 0)
        return ak_fail(err, AK_EIO, "%s: cannot make the file: %s", db->name,
                       strerror(errno));
    close(fd);
    for (size_t i = 0; i < sizeof(beside) / sizeof(beside[0]); i++) {
        char *name = sqlite3_mprintf("%s%s", path, beside[i]);

        if (name == NULL)
            return ak_fail(err, AK_ENOMEM, "%s: out of memory", db->name);
        unlink(name);
        sqlite3_free(name);
    }
    return AK_OK;
}

static enum ak_status set_wal(struct ak_db *db, struct ak_err *err)
{
    static const char sql[] = "PRAGMA journal_mode=WAL";
    struct ak_sql q;
    struct ak_bytes mode;
    enum ak_status status;
    bool row;

    ak_sql_start(&q, db, sql);
    status = ak_sql_next(&q, &row, err);
    if (status != AK_OK)
        return status;
    if (!row)
        return ak_fail(err, AK_EIO, "%s: no journal mode", db->name);
    status = ak_sql_col_bytes(&q, 0, &mode, err);
    if (status == AK_OK && (mode.len != 3 || memcmp(mode.data, "wal", 3) != 0))
        status = ak_fail(err, AK_EIO,
                         "%s: the file system lets no write-ahead log be used",
                         db->name);
    ak_sql_end(&q);
    return status;
}

static bool reads_only(enum ak_db_mode mode)
{
    return mode == AK_DB_READ || mode == AK_DB_COPY;
}

static enum ak_status configure(struct ak_db *db, enum ak_db_mode mode,
                                struct ak_err *err)
{
    enum ak_status status;

    sqlite3_extended_result_codes(db->handle, 1);
    sqlite3_busy_timeout(db->handle, BUSY_MS);
    sqlite3_limit(db->handle, SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES);
    sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, (int *)NULL);
    sqlite3_db_config(db->handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0,
                      (int *)NULL);
    sqlite3_db_config(db->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1,
                      (int *)NULL);
    status = ak_db_exec(db, settings, err);
    if (status == AK_OK)
        status = ak_db_exec(
            db, reads_only(mode) ? reader_settings : writer_settings, err);
    if (status == AK_OK && !reads_only(mode))
        status = set_wal(db, err);
    return status;
}

/* The address of a file that does not change, to be freed by sqlite3_free(). */
static char *immutable(const char *path)
{
    sqlite3_str *text = sqlite3_str_new(NULL);

    sqlite3_str_appendall(text, "file:");
    for (const char *p = path; *p != '\0'; p++)
        if (strchr("%?#", *p) != NULL)
            sqlite3_str_appendf(text, "%%%02x", (unsigned char)*p);
        else
            sqlite3_str_append(text, p, 1);
    sqlite3_str_appendall(text, "?immutable=1");
    return sqlite3_str_finish(text);
}

static int open_handle(struct ak_db *db, const char *path, enum ak_db_mode mode)
{
    int flags =
        SQLITE_OPEN_NOMUTEX |
        (reads_only(mode) ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE);
    char *uri;
    int rc;

    if (mode != AK_DB_COPY)
        return sqlite3_open_v2(path, &db->handle, flags, NULL);
    uri = immutable(path);
    if (uri == NULL)
        return SQLITE_NOMEM;
    rc = sqlite3_open_v2(uri, &db->handle, flags | SQLITE_OPEN_URI, NULL);
    sqlite3_free(uri);
    return rc;
}

enum ak_status ak_db_open(struct ak_db *db, const char *path,
                          enum ak_db_mode mode, struct ak_err *err)
{
    enum ak_status status = AK_OK;
    int rc;

    memset(db, 0, sizeof(*db));
    snprintf(db->name, sizeof(db->name), "%s", base_name(path));
    if (mode == AK_DB_CREATE)
        status = make_file(db, path, err);
    else if (access(path, F_OK) != 0 && errno == ENOENT)
        status = ak_fail(err, AK_ENOTFOUND, "%s is not there", db->name);
    if (status != AK_OK)
        return status;
    rc = open_handle(db, path, mode);
    status =
        rc == SQLITE_OK ? configure(db, mode, err) : ak_db_fail(db, rc, err);
    if (status != AK_OK)
        ak_db_close(db);
    return status;
}

void ak_db_close(struct ak_db *db)
{
    int rc;

    for (size_t i = 0; i < db->n_statements; i++)
        sqlite3_finalize(db->statements[i].statement);
    db->n_statements = 0;
    rc = sqlite3_close(db->handle);
    assert(rc == SQLITE_OK); /* else a statement was prepared past us */
    (void)rc;
    db->handle = NULL;
}

void ak_db_settle(struct ak_db *db)
{
    if (!db->sync_failed) {
        sqlite3_busy_timeout(db->handle, 0);
        sqlite3_db_config(db->handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0,
                          (int *)NULL);
    }
    ak_db_close(db);
}

static enum ak_status unlink_if_there(const char *path, const char *beside,
                                      struct ak_err *err)
{
    char *name = sqlite3_mprintf("%s%s", path, beside);
    enum ak_status status = AK_OK;

    if (name == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for a path");
    if (unlink(name) != 0 && errno != ENOENT)
        status = ak_fail(err, AK_EIO, "cannot remove %s: %s", base_name(name),
                         strerror(errno));
    sqlite3_free(name);
    return status;
}

enum ak_status ak_db_remove(const char *path, struct ak_err *err)
{
    static const char *const beside[] = {"", "-wal", "-shm", "-journal", MARK};

    for (size_t i = 0; i < sizeof(beside) / sizeof(beside[0]); i++) {
        enum ak_status status = unlink_if_there(path, beside[i], err);

        if (status != AK_OK)
            return status;
    }
    return ak_db_sync_folder(path, err);
}

enum ak_status ak_db_sync_folder(const char *path, struct ak_err *err)
{
    const char *base = base_name(path);
    char *folder = base == path
                       ? sqlite3_mprintf(".")
                       : sqlite3_mprintf("%.*s", (int)(base - path), path);
    enum ak_status status = AK_OK;
    int fd;

    if (folder == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for a path");
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0)
        status = ak_fail(err, AK_EIO, "cannot sync the folder of %s: %s", base,
                         strerror(errno));
    if (fd >= 0)
        close(fd);
    sqlite3_free(folder);
    return status;
}

/* ------------------------------------------------------- what lies beside */

/* Whether FILE + `beside` is there, with at least `len` bytes. */
static bool is_beside(const char *path, const char *beside, off_t len)
{
    char *name = sqlite3_mprintf("%s%s", path, beside);
    struct stat info;
    bool there = name != NULL && stat(name, &info) == 0 && info.st_size >= len;

    sqlite3_free(name);
    return there;
}

bool ak_db_has_log(const char *path)
{
    return is_beside(path, "-wal", 1);
}

bool ak_db_log_lost(const char *path)
{
    return is_beside(path, MARK, 0) && !is_beside(path, "-wal", 0);
}

enum ak_status ak_db_mark(const char *path, struct ak_err *err)
{
    char *name = sqlite3_mprintf("%s%s", path, MARK);
    enum ak_status status = AK_OK;
    int fd;

    if (name == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for a path");
    fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    /* A full disk can be read without it. */
    if (fd < 0 && errno != ENOSPC)
        status = ak_fail(err, AK_EIO, "cannot make %s: %s", base_name(name),
                         strerror(errno));
    if (fd >= 0)
        close(fd);
    sqlite3_free(name);
    return status;
}

void ak_db_unmark(const char *path)
{
    enum ak_status status = unlink_if_there(path, MARK, NULL);

    (void)status; /* what stays of a clean stop is not looked at */
}

enum ak_status ak_db_quick_check(struct ak_db *db, struct ak_err *err)
{
    static const char sql[] = "PRAGMA quick_check(1)";
    struct ak_bytes text = {0};
    enum ak_status status;
    struct ak_sql q;
    bool row;

    ak_sql_start(&q, db, sql);
    status = ak_sql_next(&q, &row, err);
    if (status != AK_OK)
        return status;
    if (!row)
        return ak_fail(err, AK_ECORRUPT, "%s: the check said nothing",
                       db->name);
    status = ak_sql_col_bytes(&q, 0, &text, err);
    if (status == AK_OK && (text.len != 2 || memcmp(text.data, "ok", 2) != 0))
        status =
            ak_fail(err, AK_ECORRUPT, "%s: quick check: %.*s", db->name,
                    (int)strcspn(text.data, "\n"), (const char *)text.data);
    ak_sql_end(&q);
    return status;
}

/* -------------------------------------------------------------- statements */

void ak_sql_start(struct ak_sql *q, struct ak_db *db, const char *sql)
{
    size_t i = 0;

    q->db = db;
    q->n = 0;
    q->rc = SQLITE_OK;
    q->statement = NULL;
    /* By address: the text is a constant, and there are few. */
    while (i < db->n_statements && db->statements[i].sql != sql)
        i++;
    if (i == db->n_statements) {
        assert(i < AK_DB_STATEMENTS);
        q->rc =
            sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT,
                               &q->statement, NULL);
        if (q->rc != SQLITE_OK)
            return;
        db->statements[i].sql = sql;
        db->statements[i].statement = q->statement;
        db->n_statements++;
    }
    q->statement = db->statements[i].statement;
    assert(!sqlite3_stmt_busy(q->statement));
}

void ak_sql_i64(struct ak_sql *q, int64_t value)
{
    if (q->rc == SQLITE_OK)
        q->rc = sqlite3_bind_int64(q->statement, ++q->n, value);
}

void ak_sql_u64(struct ak_sql *q, uint64_t value)
{
    /* Nothing of ours counts so far: it came out of a broken file. */
    if (value > INT64_MAX)
        q->rc = SQLITE_MISMATCH;
    else
        ak_sql_i64(q, (int64_t)value);
}

void ak_sql_f64(struct ak_sql *q, double value)
{
    if (q->rc == SQLITE_OK)
        q->rc = sqlite3_bind_double(q->statement, ++q->n, value);
}

void ak_sql_null(struct ak_sql *q)
{
    if (q->rc == SQLITE_OK)
        q->rc = sqlite3_bind_null(q->statement, ++q->n);
}

void ak_sql_text(struct ak_sql *q, const void *data, size_t len)
{
    if (q->rc == SQLITE_OK)
        q->rc = sqlite3_bind_text64(q->statement, ++q->n, len > 0 ? data : "",
                                    len, SQLITE_STATIC, SQLITE_UTF8);
}

void ak_sql_blob(struct ak_sql *q, const void *data, size_t len)
{
    if (q->rc == SQLITE_OK)
        q->rc = sqlite3_bind_blob64(q->statement, ++q->n, len > 0 ? data : "",
                                    len, SQLITE_STATIC);
}

enum ak_status ak_sql_next(struct ak_sql *q, bool *row, struct ak_err *err)
{
    enum ak_status status;

    if (q->rc == SQLITE_OK) {
        assert(sqlite3_bind_parameter_count(q->statement) == q->n);
        q->rc = sqlite3_step(q->statement);
        if (q->rc == SQLITE_ROW) {
            q->rc = SQLITE_OK;
            *row = true;
            return AK_OK;
        }
    }
    *row = false;
    /* The text of the failure is gone after the reset. */
    status = q->rc == SQLITE_OK || q->rc == SQLITE_DONE
                 ? AK_OK
                 : ak_db_fail(q->db, q->rc, err);
    ak_sql_end(q);
    return status;
}

enum ak_status ak_sql_run(struct ak_sql *q, struct ak_err *err)
{
    bool row;
    enum ak_status status = ak_sql_next(q, &row, err);

    if (status == AK_OK && row)
        ak_sql_end(q);
    return status;
}

void ak_sql_end(struct ak_sql *q)
{
    if (q->statement != NULL) {
        sqlite3_reset(q->statement);
        sqlite3_clear_bindings(q->statement);
    }
}

enum ak_status ak_sql_numbers(struct ak_sql *q, int n, uint64_t *numbers,
                              struct ak_err *err)
{
    bool row;
    enum ak_status status = ak_sql_next(q, &row, err);

    if (status != AK_OK)
        return status;
    for (int i = 0; i < n; i++)
        numbers[i] = row ? ak_sql_col_u64(q, i) : 0;
    if (row)
        ak_sql_end(q);
    return AK_OK;
}

int64_t ak_sql_col_i64(const struct ak_sql *q, int column)
{
    return sqlite3_column_int64(q->statement, column);
}

uint64_t ak_sql_col_u64(const struct ak_sql *q, int column)
{
    return (uint64_t)sqlite3_column_int64(q->statement, column);
}

double ak_sql_col_f64(const struct ak_sql *q, int column)
{
    return ak_sql_col_null(q, column)
               ? (double)NAN
               : sqlite3_column_double(q->statement, column);
}

bool ak_sql_col_null(const struct ak_sql *q, int column)
{
    return sqlite3_column_type(q->statement, column) == SQLITE_NULL;
}

enum ak_status ak_sql_col_bytes(const struct ak_sql *q, int column,
                                struct ak_bytes *out, struct ak_err *err)
{
    int type = sqlite3_column_type(q->statement, column);
    const void *data = NULL;

    out->data = NULL;
    out->len = 0;
    if (type == SQLITE_NULL)
        return AK_OK;
    data = type == SQLITE_BLOB
               ? sqlite3_column_blob(q->statement, column)
               : (const void *)sqlite3_column_text(q->statement, column);
    out->len = (size_t)sqlite3_column_bytes(q->statement, column);
    if (data == NULL && sqlite3_errcode(q->db->handle) == SQLITE_NOMEM)
        return ak_db_fail(q->db, SQLITE_NOMEM, err);
    /* An empty blob has no address in SQLite, but is not an absent one. */
    out->data = data != NULL ? data : "";
    return AK_OK;
}
