/*
 * sqlite_internal.h -- a connection as every file of ours is opened, and the
 * few shapes in which statements are used.
 *
 * A statement is a constant beside the function that uses it; it is prepared at
 * its first use and kept until the connection is closed.  Binding goes from
 * left to right and errors stick, so that a use is a straight list:
 *
 *     struct ak_sql q;
 *
 *     ak_sql_start(&q, db, delete_row);
 *     ak_sql_u64(&q, ordinal);
 *     return ak_sql_run(&q, err);
 *
 * What is bound is not copied and must live until the statement ended.  A
 * statement that answers with rows is stepped by ak_sql_next() and must be
 * ended by ak_sql_end() unless that failed or said that there are no more.
 */
#ifndef AK_STORAGE_SQLITE_INTERNAL_H
#define AK_STORAGE_SQLITE_INTERNAL_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "storage/collection.h"

/* More than any handle uses; a handle that reaches it is a bug. */
#define AK_DB_STATEMENTS 96

enum ak_db_mode {
    AK_DB_CREATE, /* the file must not be there */
    AK_DB_WRITE,
    AK_DB_READ,
    AK_DB_COPY /* nobody writes it, it has no log, and nothing is put beside it */
};

struct ak_db {
    sqlite3 *handle;
    char name[64];    /* of the file, for texts; never the whole path */
    bool sync_failed; /* an fsync failed: nothing may be written any more */
    size_t n_statements;
    struct {
        const char *sql;
        sqlite3_stmt *statement;
    } statements[AK_DB_STATEMENTS];
};

/*
 * Open with the settings that all files share.  AK_ENOTFOUND: no such file;
 * AK_EEXISTS: CREATE of one that is there; AK_ECORRUPT: no database.
 */
enum ak_status ak_db_open(struct ak_db *db, const char *path,
                          enum ak_db_mode mode,
                          struct ak_err *err) AK_MUST_CHECK;
/* Ends what is open, and leaves the log as it is. */
void ak_db_close(struct ak_db *db);
/* The same of one that writes: what is in the log is copied, and the files
   beside are removed, unless others read or an fsync failed. */
void ak_db_settle(struct ak_db *db);

/* The status and text of a result code that is not SQLITE_OK. */
enum ak_status ak_db_fail(struct ak_db *db, int rc, struct ak_err *err);

/* Several statements without parameters or rows. */
enum ak_status ak_db_exec(struct ak_db *db, const char *sql,
                          struct ak_err *err) AK_MUST_CHECK;

/*
 * While a file is open for writing, FILE-open lies beside it: made when its log
 * is there, removed before the log is.  So one that is there without a log says
 * that somebody took the log away.
 */
enum ak_status ak_db_mark(const char *path, struct ak_err *err) AK_MUST_CHECK;
void ak_db_unmark(const char *path);
bool ak_db_log_lost(const char *path); /* before it is opened */
/* Whether there is a log with something in it. */
bool ak_db_has_log(const char *path);

/* AK_ECORRUPT: what SQLite's quick check found. */
enum ak_status ak_db_quick_check(struct ak_db *db,
                                 struct ak_err *err) AK_MUST_CHECK;

/* Remove a closed file and what SQLite keeps beside it; absent is fine. */
enum ak_status ak_db_remove(const char *path, struct ak_err *err) AK_MUST_CHECK;

/* fsync() of the folder that `path` lies in: makes a new name last. */
enum ak_status ak_db_sync_folder(const char *path,
                                 struct ak_err *err) AK_MUST_CHECK;

struct ak_sql {
    struct ak_db *db;
    sqlite3_stmt *statement;
    int rc;
    int n; /* parameters bound */
};

void ak_sql_start(struct ak_sql *q, struct ak_db *db, const char *sql);
void ak_sql_i64(struct ak_sql *q, int64_t value);
void ak_sql_u64(struct ak_sql *q, uint64_t value); /* at most INT64_MAX */
void ak_sql_f64(struct ak_sql *q, double value);   /* NaN becomes NULL */
void ak_sql_null(struct ak_sql *q);
/* Text and blobs; data NULL and len 0 is empty, not NULL. */
void ak_sql_text(struct ak_sql *q, const void *data, size_t len);
void ak_sql_blob(struct ak_sql *q, const void *data, size_t len);

/* Run a statement that answers with nothing. */
enum ak_status ak_sql_run(struct ak_sql *q, struct ak_err *err) AK_MUST_CHECK;
/* The next row, if there is one. */
enum ak_status ak_sql_next(struct ak_sql *q, bool *row,
                           struct ak_err *err) AK_MUST_CHECK;
void ak_sql_end(struct ak_sql *q);
/* The first `n` columns of the first row, which also ends it; 0 for NULL, and where
   there is no row. */
enum ak_status ak_sql_numbers(struct ak_sql *q, int n, uint64_t *numbers,
                              struct ak_err *err) AK_MUST_CHECK;

int64_t ak_sql_col_i64(const struct ak_sql *q, int column);
uint64_t ak_sql_col_u64(const struct ak_sql *q, int column);
double ak_sql_col_f64(const struct ak_sql *q, int column); /* NULL is NaN */
bool ak_sql_col_null(const struct ak_sql *q, int column);
/* Text or blob; lent until the statement is stepped or ended.  NULL is absent.
   AK_ENOMEM. */
enum ak_status ak_sql_col_bytes(const struct ak_sql *q, int column,
                                struct ak_bytes *out,
                                struct ak_err *err) AK_MUST_CHECK;

#endif
