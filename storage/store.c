/*
 * The writer's side of a collection's file: its life, its groups, its log, and
 * the small things that are put beside the records.
 */
#include "storage/collection.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/digest.h"
#include "core/base/moment.h"
#include "storage/sqlite_schema_internal.h"
#include "storage/store_internal.h"

/* Pages of the log after which begin() copies it, if nobody did before: 64 MiB.
   A log that is too long makes readers slow and a start long. */
#define LOG_PAGES 16384
/* How long an emptying waits for readers to be done. */
#define TRUNCATE_WAIT_MS 1000
#define BUSY_MS          5000

#define DAY_MS       (24 * INT64_C(3600) * 1000)
#define MAX_OUTCOMES 100000

/* -------------------------------------------------------------------- life */

static int note_log(void *arg, sqlite3 *db, const char *schema, int pages)
{
    struct ak_store *store = arg;

    (void)db;
    (void)schema;
    store->wal_pages = (uint64_t)pages;
    return SQLITE_OK;
}

static enum ak_status put_shape(struct ak_store *store, struct ak_bytes config,
                                struct ak_err *err)
{
    static const char insert_shape[] = "INSERT INTO shape VALUES (1, ?, ?, ?)";
    static const char insert_space[] = "INSERT INTO spaces VALUES (0, ?)";
    static const char insert_config[] = "INSERT INTO config VALUES (1, ?)";
    enum ak_status status;
    struct ak_sql q;

    ak_sql_start(&q, &store->db, insert_shape);
    ak_sql_i64(&q, store->shape.string_ids);
    ak_sql_i64(&q, store->shape.row_bytes);
    ak_sql_i64(&q, store->shape.code_bytes);
    status = ak_sql_run(&q, err);
    if (status != AK_OK)
        return status;
    ak_sql_start(&q, &store->db, insert_space);
    ak_sql_i64(&q, store->shape.row_bytes);
    status = ak_sql_run(&q, err);
    if (status != AK_OK)
        return status;
    ak_sql_start(&q, &store->db, insert_config);
    ak_sql_text(&q, config.data, config.len);
    return ak_sql_run(&q, err);
}

static enum ak_status read_shape(struct ak_store *store, struct ak_err *err)
{
    static const char select_shape[] =
        "SELECT string_ids, row_bytes, code_bytes, last_seq, next_ordinal,"
        " live_rows, n_labels, last_id, published, last_rollback_seq,"
        " labelled_images,"
        " coalesce((SELECT max(seq) FROM records), last_seq),"
        " coalesce((SELECT max(ordinal) FROM rows) + 1, next_ordinal)"
        " FROM shape JOIN state USING (one)";
    static const char get_page_size[] = "PRAGMA page_size";
    enum ak_status status;
    struct ak_sql q;
    bool row, negative = false;

    ak_sql_start(&q, &store->db, select_shape);
    status = ak_sql_next(&q, &row, err);
    if (status != AK_OK)
        return status;
    if (!row)
        return ak_fail(err, AK_ECORRUPT, "%s: its shape is missing",
                       store->db.name);
    store->shape.string_ids = ak_sql_col_i64(&q, 0) != 0;
    store->shape.row_bytes = (uint32_t)ak_sql_col_i64(&q, 1);
    store->shape.code_bytes = (uint32_t)ak_sql_col_i64(&q, 2);
    store->now.last_seq = ak_sql_col_u64(&q, 3);
    store->now.next_ordinal = ak_sql_col_u64(&q, 4);
    store->now.live_rows = ak_sql_col_u64(&q, 5);
    store->now.n_labels = ak_sql_col_u64(&q, 6);
    store->now.last_id = ak_sql_col_i64(&q, 7);
    store->now.published = ak_sql_col_u64(&q, 8);
    store->now.last_rollback_seq = ak_sql_col_u64(&q, 9);
    store->now.labelled_images = ak_sql_col_u64(&q, 10);
    store->committed = store->now;
    store->opened_seq = store->now.last_seq;
    for (int i = 1; i < 11 && !negative; i++)
        negative = ak_sql_col_i64(&q, i) < (i == 7 ? -1 : 0);
    /* As they are not when a log of an earlier life was put beside it. */
    negative = negative || ak_sql_col_u64(&q, 11) != store->now.last_seq ||
               ak_sql_col_u64(&q, 12) != store->now.next_ordinal;
    ak_sql_end(&q);
    if (negative || store->shape.row_bytes == 0 || store->shape.code_bytes == 0)
        return ak_fail(err, AK_ECORRUPT, "%s: its counters make no sense",
                       store->db.name);
    ak_sql_start(&q, &store->db, get_page_size);
    status = ak_sql_next(&q, &row, err);
    if (status != AK_OK)
        return status;
    store->page_bytes = row ? (uint32_t)ak_sql_col_i64(&q, 0) : 0;
    if (row)
        ak_sql_end(&q);
    return AK_OK;
}

static void free_store(struct ak_store *store)
{
    free(store->path);
    free(store);
}

static struct ak_store *new_store(const char *path)
{
    struct ak_store *store = calloc(1, sizeof(*store));

    if (store == NULL)
        return NULL;
    store->checkpoint_at = LOG_PAGES;
    store->path = strdup(path);
    if (store->path != NULL)
        return store;
    free_store(store);
    return NULL;
}

static enum ak_status fill_new_file(struct ak_store *store,
                                    struct ak_bytes config, struct ak_err *err)
{
    enum ak_status status = ak_db_exec(&store->db, "BEGIN IMMEDIATE", err);

    if (status == AK_OK)
        status = ak_schema_create(&store->db, &ak_schema_collection, err);
    if (status == AK_OK)
        status = put_shape(store, config, err);
    if (status == AK_OK)
        status = ak_db_exec(&store->db, "COMMIT", err);
    if (status == AK_OK)
        status = read_shape(store, err);
    return status;
}

enum ak_status ak_store_create(const char *path,
                               const struct ak_store_shape *shape,
                               struct ak_bytes config, struct ak_store **out,
                               struct ak_err *err)
{
    struct ak_store *store = new_store(path);
    enum ak_status status;

    if (store == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for a store");
    assert(shape->row_bytes > 0 && shape->code_bytes > 0);
    store->shape = *shape;
    status = ak_db_open(&store->db, path, AK_DB_CREATE, err);
    if (status == AK_EEXISTS) {
        free_store(store);
        return status;
    }
    if (status == AK_OK) {
        sqlite3_wal_hook(store->db.handle, note_log, store);
        status = fill_new_file(store, config, err);
    }
    /* What it is stands in the file itself, whatever becomes of the log. */
    if (status == AK_OK)
        status = ak_store_checkpoint_wal(store, false, err);
    if (status == AK_OK)
        status = ak_db_mark(path, err);
    if (status == AK_OK)
        status = ak_db_sync_folder(path, err);
    if (status != AK_OK) {
        enum ak_status removed;

        ak_db_close(&store->db);
        removed = ak_db_remove(path, NULL);
        (void)removed; /* the catalog removes it at the next start */
        free_store(store);
        return status;
    }
    *out = store;
    return AK_OK;
}

#define IDENTITY_LEN 16

/* What a file says it is and how often it was changed, or nothing where it does
   not say. */
struct identity {
    bool known;
    uint8_t id[IDENTITY_LEN];
    uint64_t commits;
};

static enum ak_status read_identity(struct ak_db *db, struct identity *out,
                                    struct ak_err *err)
{
    static const char find[] =
        "SELECT 1 FROM pragma_table_info('state') WHERE name = 'id'";
    static const char select[] = "SELECT id, commits FROM state";
    struct ak_bytes id = {0};
    enum ak_status status;
    struct ak_sql q;
    bool row;

    out->known = false;
    ak_sql_start(&q, db, find);
    status = ak_sql_next(&q, &row, err);
    if (status != AK_OK || !row)
        return status;
    ak_sql_end(&q);
    ak_sql_start(&q, db, select);
    status = ak_sql_next(&q, &row, err);
    if (status != AK_OK || !row)
        return status;
    status = ak_sql_col_bytes(&q, 0, &id, err);
    out->known = status == AK_OK && id.len == IDENTITY_LEN;
    if (out->known)
        memcpy(out->id, id.data, IDENTITY_LEN);
    out->commits = ak_sql_col_u64(&q, 1);
    ak_sql_end(&q);
    return status;
}

/* Of the file alone, as if it had no log.  One that a crash left in the middle
   of a copying of the log may not be readable so, and then says nothing. */
static struct identity identity_without_log(const char *path)
{
    struct identity identity = {0};
    struct ak_db db;

    if (ak_db_open(&db, path, AK_DB_COPY, NULL) != AK_OK)
        return identity;
    if (read_identity(&db, &identity, NULL) != AK_OK)
        identity.known = false;
    ak_db_close(&db);
    return identity;
}

/*
 * SQLite takes any log whose checksums fit each other.  One of another file has
 * its identity, and one of an earlier life of this file, put back by hand, would
 * take it back to where it was.
 */
static enum ak_status check_log(struct ak_store *store,
                                const struct identity *alone,
                                struct ak_err *err)
{
    struct identity now;
    enum ak_status status = read_identity(&store->db, &now, err);

    if (status != AK_OK || !alone->known)
        return status;
    if (!now.known || memcmp(alone->id, now.id, IDENTITY_LEN) != 0)
        return ak_fail(err, AK_ECORRUPT,
                       "%s: its log, %s-wal, is of another file: take it away",
                       store->db.name, store->db.name);
    if (now.commits < alone->commits)
        return ak_fail(err, AK_ECORRUPT,
                       "%s: its log, %s-wal, ends with commit %llu, but the "
                       "file has %llu: take it away",
                       store->db.name, store->db.name,
                       (unsigned long long)now.commits,
                       (unsigned long long)alone->commits);
    return AK_OK;
}

enum ak_status ak_store_open(const char *path, bool check,
                             struct ak_store **out, struct ak_err *err)
{
    struct ak_store *store = new_store(path);
    bool has_log = ak_db_has_log(path);
    struct identity alone = {0};
    enum ak_status status;

    if (store == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for a store");
    store->log_lost = check && ak_db_log_lost(path);
    if (has_log)
        alone = identity_without_log(path);
    status = ak_db_open(&store->db, path, AK_DB_WRITE, err);
    if (status != AK_OK) {
        free_store(store);
        return status;
    }
    sqlite3_wal_hook(store->db.handle, note_log, store);
    if (has_log)
        status = check_log(store, &alone, err);
    if (status == AK_OK && (check || has_log))
        status = ak_db_quick_check(&store->db, err);
    if (status == AK_OK)
        status = ak_schema_check(&store->db, &ak_schema_collection, true, err);
    if (status == AK_OK)
        status = read_shape(store, err);
    /* What a crash left in the log goes into the file now; a reader that is
       there already only puts it off. */
    if (status == AK_OK) {
        status = ak_store_checkpoint_wal(store, false, err);
        /* On a full disk it stays in the log, which can be read as well. */
        if (status == AK_EFULL)
            status = AK_OK;
    }
    if (status == AK_OK)
        status = ak_db_mark(path, err);
    if (status != AK_OK) {
        ak_db_close(&store->db);
        free_store(store);
        return status;
    }
    *out = store;
    return AK_OK;
}

bool ak_store_log_lost(const struct ak_store *store)
{
    return store->log_lost;
}

void ak_store_close(struct ak_store *store)
{
    if (store == NULL)
        return;
    if (store->in_group)
        ak_store_rollback(store);
    ak_store_end_copy(store);
    if (!store->db.sync_failed) {
        /* What views that are still there keep in the log is safe in it. */
        enum ak_status copied = ak_store_checkpoint_wal(store, false, NULL);

        (void)copied;
        ak_db_unmark(store->path);
    }
    ak_db_settle(&store->db);
    ak_writer_clear(&store->ordinals);
    ak_writer_clear(&store->label_first);
    ak_writer_clear(&store->labels);
    ak_writer_clear(&store->row_labels);
    free(store->changed_seq);
    free_store(store);
}

enum ak_status ak_store_remove(const char *path, struct ak_err *err)
{
    return ak_db_remove(path, err);
}

/* ------------------------------------------------------------------ groups */

static enum ak_status refuse_after_sync(struct ak_store *store,
                                        struct ak_err *err)
{
    return ak_fail(err, AK_EIO,
                   "%s: an fsync failed before: nothing more is written until "
                   "a restart has read what is on the disk",
                   store->db.name);
}

enum ak_status ak_store_begin(struct ak_store *store, struct ak_err *err)
{
    static const char begin[] = "BEGIN IMMEDIATE";
    enum ak_status status;
    struct ak_sql q;

    assert(!store->in_group);
    if (store->db.sync_failed)
        return refuse_after_sync(store, err);
    if (store->wal_pages >= store->checkpoint_at) {
        status = ak_store_checkpoint_wal(store, false, err);
        /* A full disk may still take what this group writes into the log. */
        if (status != AK_OK && store->db.sync_failed)
            return status;
    }
    ak_sql_start(&q, &store->db, begin);
    status = ak_sql_run(&q, err);
    if (status != AK_OK)
        return status;
    store->in_group = true;
    store->broken = false;
    store->changes = sqlite3_total_changes64(store->db.handle);
    store->now = store->committed;
    return AK_OK;
}

static enum ak_status write_state(struct ak_store *store, struct ak_err *err)
{
    static const char update_state[] =
        "UPDATE state SET last_seq = ?, next_ordinal = ?, live_rows = ?,"
        " n_labels = ?, last_id = ?, published = ?, last_rollback_seq = ?,"
        " labelled_images = ?, commits = commits + 1";
    const struct ak_store_state *now = &store->now;
    struct ak_sql q;

    ak_sql_start(&q, &store->db, update_state);
    ak_sql_u64(&q, now->last_seq);
    ak_sql_u64(&q, now->next_ordinal);
    ak_sql_u64(&q, now->live_rows);
    ak_sql_u64(&q, now->n_labels);
    ak_sql_i64(&q, now->last_id);
    ak_sql_u64(&q, now->published);
    ak_sql_u64(&q, now->last_rollback_seq);
    ak_sql_u64(&q, now->labelled_images);
    return ak_sql_run(&q, err);
}

static enum ak_status refuse_broken(struct ak_store *store, struct ak_err *err)
{
    return ak_fail(err, AK_EIO,
                   "%s: the group failed before and must be rolled back",
                   store->db.name);
}

enum ak_status ak_store_commit(struct ak_store *store, struct ak_err *err)
{
    static const char commit[] = "COMMIT";
    enum ak_status status = AK_OK;
    struct ak_sql q;

    assert(store->in_group);
    if (store->broken)
        status = refuse_broken(store, err);
    else if (sqlite3_total_changes64(store->db.handle) != store->changes)
        status =
            write_state(store, err); /* whatever changed: see check_log() */
    ak_moment(AK_AT_COMMIT);
    if (status == AK_OK) {
        ak_sql_start(&q, &store->db, commit);
        status = ak_sql_run(&q, err);
    }
    if (status != AK_OK) {
        ak_store_rollback(store);
        return status;
    }
    ak_moment(AK_AT_COMMITTED);
    store->committed = store->now;
    store->in_group = false;
    return AK_OK;
}

void ak_store_rollback(struct ak_store *store)
{
    static const char rollback[] = "ROLLBACK";

    if (!store->in_group)
        return;
    /* SQLite has rolled back by itself after some failures.  If this one fails
       too, the next begin() says so. */
    if (!sqlite3_get_autocommit(store->db.handle)) {
        enum ak_status status;
        struct ak_sql q;

        ak_sql_start(&q, &store->db, rollback);
        status = ak_sql_run(&q, NULL);
        (void)status;
    }
    store->now = store->committed;
    store->in_group = false;
    store->broken = false;
}

enum ak_status ak_store_enter(struct ak_store *store, struct ak_err *err)
{
    static const char savepoint[] = "SAVEPOINT change";
    enum ak_status status;
    struct ak_sql q;

    assert(store->in_group);
    if (store->broken)
        return refuse_broken(store, err);
    store->before = store->now;
    store->unpacked = 0;
    ak_sql_start(&q, &store->db, savepoint);
    status = ak_sql_run(&q, err);
    if (status != AK_OK)
        store->broken = true;
    return status;
}

enum ak_status ak_store_leave(struct ak_store *store, enum ak_status status,
                              struct ak_err *err)
{
    static const char undo[] = "ROLLBACK TO change";
    static const char release[] = "RELEASE change";
    enum ak_status left = AK_OK;
    struct ak_sql q;

    switch (status) {
    case AK_OK:
        break;
    case AK_EINVAL:
    case AK_ENOTFOUND:
    case AK_EEXISTS:
    case AK_ELIMIT:
    case AK_ESEQUENCE:
        store->now = store->before;
        ak_sql_start(&q, &store->db, undo);
        left = ak_sql_run(&q, err);
        break;
    default:
        store->broken = true;
        return status;
    }
    if (left == AK_OK) {
        ak_sql_start(&q, &store->db, release);
        left = ak_sql_run(&q, err);
    }
    if (left != AK_OK) {
        store->broken = true;
        return left;
    }
    return status;
}

/* ----------------------------------------------------------------- the log */

enum ak_status ak_store_checkpoint_wal(struct ak_store *store, bool truncate,
                                       struct ak_err *err)
{
    int pages = 0, copied = 0, rc;

    assert(!store->in_group);
    if (store->db.sync_failed)
        return refuse_after_sync(store, err);
    if (truncate)
        sqlite3_busy_timeout(store->db.handle, TRUNCATE_WAIT_MS);
    ak_moment(AK_AT_LOG_COPY);
    rc = sqlite3_wal_checkpoint_v2(store->db.handle, NULL,
                                   truncate ? SQLITE_CHECKPOINT_TRUNCATE
                                            : SQLITE_CHECKPOINT_PASSIVE,
                                   &pages, &copied);
    ak_moment(AK_AT_LOG_COPIED);
    if (truncate)
        sqlite3_busy_timeout(store->db.handle, BUSY_MS);
    if (rc != SQLITE_OK && rc != SQLITE_BUSY)
        return ak_db_fail(&store->db, rc, err);
    if (pages >= 0 && copied == pages) {
        /* SQLite starts the log over at the next commit. */
        store->checkpoint_at = LOG_PAGES;
        if (rc == SQLITE_OK)
            store->wal_pages = 0;
    } else {
        /* Try again when it has grown by as much once more. */
        store->checkpoint_at = store->wal_pages + LOG_PAGES;
    }
    if (truncate && rc == SQLITE_BUSY)
        return ak_fail(err, AK_EBUSY,
                       "%s: a reader held the log for %d ms: %d of %d pages "
                       "are copied",
                       store->db.name, TRUNCATE_WAIT_MS, copied, pages);
    return AK_OK;
}

uint64_t ak_store_wal_bytes(const struct ak_store *store)
{
    /* Each page in the log has a header of 24 bytes. */
    return store->wal_pages * (store->page_bytes + 24);
}

/* ---------------------------------------------------- beside the records */

static enum ak_status put_checkpoint(struct ak_store *store,
                                     const struct ak_checkpoint *checkpoint,
                                     struct ak_err *err)
{
    static const char put_constants[] =
        "INSERT OR REPLACE INTO constants VALUES (1, ?, ?)";
    static const char put_state[] =
        "INSERT OR REPLACE INTO checkpoint VALUES (1, ?, ?, ?, ?)";
    const struct ak_bytes *constants = &checkpoint->constants;
    enum ak_status status = AK_OK;
    struct ak_sql q;

    if (constants->data != NULL) {
        ak_sql_start(&q, &store->db, put_constants);
        ak_sql_i64(&q, ak_crc32(constants->data, constants->len));
        ak_sql_blob(&q, constants->data, constants->len);
        status = ak_sql_run(&q, err);
    }
    if (status != AK_OK)
        return status;
    ak_sql_start(&q, &store->db, put_state);
    ak_sql_u64(&q, checkpoint->learned_seq);
    ak_sql_text(
        &q, checkpoint->fingerprint,
        strnlen(checkpoint->fingerprint, sizeof(checkpoint->fingerprint)));
    ak_sql_i64(&q, ak_crc32(checkpoint->state.data, checkpoint->state.len));
    ak_sql_blob(&q, checkpoint->state.data, checkpoint->state.len);
    status = ak_sql_run(&q, err);
    if (status != AK_OK)
        return status;
    return ak_store_trim_generations(store, checkpoint->learned_seq, err);
}

enum ak_status ak_store_put_checkpoint(struct ak_store *store,
                                       const struct ak_checkpoint *checkpoint,
                                       struct ak_err *err)
{
    enum ak_status status = ak_store_enter(store, err);

    if (status != AK_OK)
        return status;
    status = ak_store_leave(store, put_checkpoint(store, checkpoint, err), err);
    ak_moment(AK_AT_CHECKPOINT);
    return status;
}

static enum ak_status put_outcome(struct ak_store *store, uint64_t seq,
                                  struct ak_bytes outcome, struct ak_err *err)
{
    static const char sql[] = "INSERT OR REPLACE INTO outcomes"
                              " SELECT seq, time_ms, ?2 FROM records"
                              " WHERE seq = ?1";
    enum ak_status status;
    struct ak_sql q;

    ak_sql_start(&q, &store->db, sql);
    ak_sql_u64(&q, seq);
    ak_sql_text(&q, outcome.data, outcome.len);
    status = ak_sql_run(&q, err);
    if (status == AK_OK && sqlite3_changes(store->db.handle) == 0)
        status = ak_fail(err, AK_ENOTFOUND, "there is no record %llu",
                         (unsigned long long)seq);
    return status;
}

enum ak_status ak_store_put_outcome(struct ak_store *store, uint64_t seq,
                                    struct ak_bytes outcome, struct ak_err *err)
{
    enum ak_status status = ak_store_enter(store, err);

    if (status != AK_OK)
        return status;
    return ak_store_leave(store, put_outcome(store, seq, outcome, err), err);
}

static enum ak_status tidy(struct ak_store *store, int64_t now_ms,
                           struct ak_err *err)
{
    static const char forget_keys[] = "DELETE FROM keys WHERE time_ms <= ?";
    static const char forget_old[] = "DELETE FROM outcomes WHERE time_ms <= ?";
    static const char forget_beyond[] =
        "DELETE FROM outcomes WHERE seq <="
        " (SELECT seq FROM outcomes ORDER BY seq DESC LIMIT 1 OFFSET ?)";
    enum ak_status status;
    struct ak_sql q;

    ak_sql_start(&q, &store->db, forget_keys);
    ak_sql_i64(&q, now_ms - DAY_MS);
    status = ak_sql_run(&q, err);
    if (status != AK_OK)
        return status;
    ak_sql_start(&q, &store->db, forget_old);
    ak_sql_i64(&q, now_ms - 7 * DAY_MS);
    status = ak_sql_run(&q, err);
    if (status != AK_OK)
        return status;
    ak_sql_start(&q, &store->db, forget_beyond);
    ak_sql_i64(&q, MAX_OUTCOMES);
    return ak_sql_run(&q, err);
}

enum ak_status ak_store_tidy(struct ak_store *store, int64_t now_ms,
                             struct ak_err *err)
{
    enum ak_status status = ak_store_enter(store, err);

    if (status != AK_OK)
        return status;
    return ak_store_leave(store, tidy(store, now_ms, err), err);
}
