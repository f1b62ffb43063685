/*
 * Copies of the file while it is written: SQLite's backup, on the writing
 * connection.
 *
 * Since the same connection does all writes, a page that was copied already and
 * is written again is written to the copy too (sqlite.org/backup.html).  Only a
 * group that is rolled back as a whole, which takes a disk that fails, lets the
 * copy begin anew; a change that is undone alone does not.  It is made without a
 * journal and without syncs: until it is renamed by its caller, who syncs it, it
 * is worth nothing.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "storage/sqlite_schema_internal.h"
#include "storage/store_internal.h"

struct ak_copy {
    struct ak_db to; /* without statements */
    sqlite3_backup *backup;
};

static const char settings[] = "PRAGMA locking_mode=EXCLUSIVE;"
                               "PRAGMA journal_mode=OFF;"
                               "PRAGMA synchronous=OFF;"
                               "PRAGMA mmap_size=0;"
                               "PRAGMA cache_size=-4096;";

static enum ak_status make_file(const char *path, struct ak_err *err)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd < 0)
        return ak_fail(err, errno == EEXIST ? AK_EEXISTS : AK_EIO,
                       "cannot make the file of a copy: %s", strerror(errno));
    close(fd);
    return AK_OK;
}

enum ak_status ak_store_begin_copy(struct ak_store *store, const char *path,
                                   struct ak_err *err)
{
    struct ak_copy *copy;
    enum ak_status status;
    int rc;

    assert(!store->in_group);
    if (store->copy != NULL)
        return ak_fail(err, AK_EBUSY, "%s is being copied already",
                       store->db.name);
    status = make_file(path, err);
    if (status != AK_OK)
        return status;
    copy = calloc(1, sizeof(*copy));
    if (copy == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for a copy");
    strcpy(copy->to.name, "the copy");
    store->copy = copy;
    rc = sqlite3_open_v2(path, &copy->to.handle,
                         SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc == SQLITE_OK) {
        sqlite3_extended_result_codes(copy->to.handle, 1);
        rc = sqlite3_exec(copy->to.handle, settings, NULL, NULL, NULL);
    }
    if (rc == SQLITE_OK) {
        copy->backup = sqlite3_backup_init(copy->to.handle, "main",
                                           store->db.handle, "main");
        rc = copy->backup != NULL ? SQLITE_OK
                                  : sqlite3_extended_errcode(copy->to.handle);
    }
    if (rc == SQLITE_OK)
        return AK_OK;
    status = ak_db_fail(&copy->to, rc, err);
    ak_store_end_copy(store);
    return status;
}

static void tell_end(const struct ak_store *store, struct ak_store_copy *out)
{
    out->over = true;
    out->last_seq = store->committed.last_seq;
    out->next_ordinal = store->committed.next_ordinal;
    out->live_rows = store->committed.live_rows;
    out->published = store->committed.published;
}

enum ak_status ak_store_copy(struct ak_store *store, int pages,
                             struct ak_store_copy *out, struct ak_err *err)
{
    struct ak_copy *copy = store->copy;
    enum ak_status status = AK_OK;
    int rc, left;

    assert(!store->in_group);
    if (copy == NULL)
        return ak_fail(err, AK_ENOTFOUND, "%s is not being copied",
                       store->db.name);
    memset(out, 0, sizeof(*out));
    rc = sqlite3_backup_step(copy->backup, pages);
    left = sqlite3_backup_remaining(copy->backup);
    out->total = (uint64_t)sqlite3_backup_pagecount(copy->backup);
    out->done = (out->total - (uint64_t)left) * store->page_bytes;
    out->total *= store->page_bytes;
    if (rc == SQLITE_OK)
        return AK_OK;
    if (rc == SQLITE_DONE) {
        rc = sqlite3_backup_finish(copy->backup);
        copy->backup = NULL;
    }
    if (rc == SQLITE_OK)
        tell_end(store, out);
    else
        status = ak_db_fail(&copy->to, rc, err);
    ak_store_end_copy(store);
    return status;
}

void ak_store_end_copy(struct ak_store *store)
{
    struct ak_copy *copy = store->copy;

    if (copy == NULL)
        return;
    store->copy = NULL;
    sqlite3_backup_finish(copy->backup); /* NULL is a no-op */
    ak_db_close(&copy->to);
    free(copy);
}

enum ak_status ak_store_check_copy(const char *path, bool *older,
                                   struct ak_err *err)
{
    struct ak_db db;
    uint32_t version = 0;
    enum ak_status status = ak_db_open(&db, path, AK_DB_COPY, err);

    if (status != AK_OK)
        return status;
    status = ak_schema_read(&db, &ak_schema_collection, &version, err);
    *older = version < ak_schema_collection.n_steps;
    if (status == AK_OK)
        status = ak_db_quick_check(&db, err);
    ak_db_close(&db);
    return status;
}
