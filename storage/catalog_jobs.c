/*
 * catalog_jobs.c -- the table of jobs in catalog.db, and their logs.
 *
 * A job is written whole at each change of its state and now and then while it
 * runs; a log keeps its last AK_CATALOG_JOB_LINES lines.
 */
#include <string.h>

#include "core/base/digest.h"
#include "core/base/moment.h"
#include "storage/catalog_internal.h"

/* Saves after which the log of the database is copied. */
#define COPY_AFTER 64

static void bind_text(struct ak_sql *q, const char *text)
{
    if (text != NULL)
        ak_sql_text(q, text, strlen(text));
    else
        ak_sql_null(q);
}

static enum ak_status put_row(struct ak_catalog *catalog,
                              const struct ak_job_row *row, struct ak_err *err)
{
    static const char put[] = "INSERT OR REPLACE INTO jobs VALUES"
                              " (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,"
                              " ?)";
    struct ak_sql q;

    ak_sql_start(&q, &catalog->db, put);
    ak_sql_u64(&q, row->id);
    ak_sql_i64(&q, row->state);
    ak_sql_i64(&q, row->wanted);
    bind_text(&q, row->kind);
    bind_text(&q, row->target);
    bind_text(&q, row->request);
    ak_sql_i64(&q, row->created_ms);
    ak_sql_i64(&q, row->started_ms);
    ak_sql_i64(&q, row->ended_ms);
    bind_text(&q, row->progress);
    bind_text(&q, row->result);
    bind_text(&q, row->error);
    if (row->checkpoint.data != NULL) {
        ak_sql_i64(&q, ak_crc32(row->checkpoint.data, row->checkpoint.len));
        ak_sql_blob(&q, row->checkpoint.data, row->checkpoint.len);
    } else {
        ak_sql_null(&q);
        ak_sql_null(&q);
    }
    if (row->key.data != NULL)
        ak_sql_text(&q, row->key.data, row->key.len);
    else
        ak_sql_null(&q);
    ak_sql_blob(&q, row->fingerprint, sizeof(row->fingerprint));
    return ak_sql_run(&q, err);
}

static enum ak_status put_lines(struct ak_catalog *catalog, uint64_t id,
                                const struct ak_job_line *lines, size_t n,
                                struct ak_err *err)
{
    static const char put[] =
        "INSERT OR REPLACE INTO job_lines VALUES (?, ?, ?, ?, ?)";
    static const char forget[] =
        "DELETE FROM job_lines WHERE job = ? AND n <= ?";
    enum ak_status status = AK_OK;
    struct ak_sql q;

    for (size_t i = 0; i < n && status == AK_OK; i++) {
        ak_sql_start(&q, &catalog->db, put);
        ak_sql_u64(&q, id);
        ak_sql_u64(&q, lines[i].n);
        ak_sql_i64(&q, lines[i].time_ms);
        ak_sql_i64(&q, lines[i].level);
        bind_text(&q, lines[i].text);
        status = ak_sql_run(&q, err);
    }
    if (status != AK_OK || n == 0 || lines[n - 1].n <= AK_CATALOG_JOB_LINES)
        return status;
    ak_sql_start(&q, &catalog->db, forget);
    ak_sql_u64(&q, id);
    ak_sql_u64(&q, lines[n - 1].n - AK_CATALOG_JOB_LINES);
    return ak_sql_run(&q, err);
}

enum ak_status ak_catalog_put_job(struct ak_catalog *catalog,
                                  const struct ak_job_row *row,
                                  const struct ak_job_line *lines, size_t n,
                                  struct ak_err *err)
{
    enum ak_status status = ak_catalog_writable(catalog, err);

    if (status == AK_OK && ++catalog->n_saves >= COPY_AFTER) {
        catalog->n_saves = 0;
        status = ak_catalog_copy_log(catalog, err);
    }
    if (status == AK_OK)
        status = ak_db_exec(&catalog->db, "BEGIN IMMEDIATE", err);
    if (status != AK_OK)
        return status;
    status = put_row(catalog, row, err);
    if (status == AK_OK)
        status = put_lines(catalog, row->id, lines, n, err);
    ak_moment(row->ended_ms > 0 ? AK_AT_JOB_END : AK_AT_JOB_SAVE);
    status = ak_catalog_end_change(catalog, status, err);
    ak_moment(row->ended_ms > 0 ? AK_AT_JOB_ENDED : AK_AT_JOB_SAVED);
    return status;
}

enum ak_status ak_catalog_drop_job(struct ak_catalog *catalog, uint64_t id,
                                   struct ak_err *err)
{
    static const char *const deletes[] = {"DELETE FROM job_lines WHERE job = ?",
                                          "DELETE FROM jobs WHERE id = ?"};
    enum ak_status status = ak_catalog_writable(catalog, err);

    if (status == AK_OK)
        status = ak_db_exec(&catalog->db, "BEGIN IMMEDIATE", err);
    if (status != AK_OK)
        return status;
    for (size_t i = 0; i < 2 && status == AK_OK; i++) {
        struct ak_sql q;

        ak_sql_start(&q, &catalog->db, deletes[i]);
        ak_sql_u64(&q, id);
        status = ak_sql_run(&q, err);
    }
    return ak_catalog_end_change(catalog, status, err);
}

/* Text of a column, or NULL; SQLite ends it with a zero. */
static enum ak_status text_of(const struct ak_sql *q, int column,
                              const char **out, struct ak_err *err)
{
    struct ak_bytes bytes = {0};
    enum ak_status status = ak_sql_col_bytes(q, column, &bytes, err);

    *out = bytes.data;
    return status;
}

static enum ak_status read_row(struct ak_catalog *catalog,
                               const struct ak_sql *q, struct ak_job_row *row,
                               struct ak_err *err)
{
    const char **const texts[] = {&row->kind,     &row->target, &row->request,
                                  &row->progress, &row->result, &row->error};
    static const int columns[] = {3, 4, 5, 9, 10, 11};
    struct ak_bytes fingerprint;
    enum ak_status status = AK_OK;

    row->id = ak_sql_col_u64(q, 0);
    row->state = (uint32_t)ak_sql_col_i64(q, 1);
    row->wanted = (uint32_t)ak_sql_col_i64(q, 2);
    row->created_ms = ak_sql_col_i64(q, 6);
    row->started_ms = ak_sql_col_i64(q, 7);
    row->ended_ms = ak_sql_col_i64(q, 8);
    for (size_t i = 0; i < 6 && status == AK_OK; i++)
        status = text_of(q, columns[i], texts[i], err);
    if (status == AK_OK)
        status = ak_sql_col_bytes(q, 13, &row->checkpoint, err);
    if (status == AK_OK)
        status = ak_sql_col_bytes(q, 14, &row->key, err);
    if (status == AK_OK)
        status = ak_sql_col_bytes(q, 15, &fingerprint, err);
    if (status != AK_OK)
        return status;
    if (fingerprint.len != sizeof(row->fingerprint))
        return ak_fail(err, AK_ECORRUPT,
                       "%s: the fingerprint of job %llu has %zu bytes, must "
                       "have %zu",
                       catalog->db.name, (unsigned long long)row->id,
                       fingerprint.len, sizeof(row->fingerprint));
    memcpy(row->fingerprint, fingerprint.data, fingerprint.len);
    /* A job whose checkpoint is damaged begins anew. */
    if (row->checkpoint.data != NULL &&
        ak_crc32(row->checkpoint.data, row->checkpoint.len) !=
            (uint32_t)ak_sql_col_i64(q, 12))
        row->checkpoint = (struct ak_bytes){0};
    return AK_OK;
}

enum ak_status ak_catalog_jobs(struct ak_catalog *catalog,
                               ak_catalog_each_job *each, void *arg,
                               struct ak_err *err)
{
    static const char select[] =
        "SELECT id, state, wanted, kind, target, request, created_ms,"
        " started_ms, ended_ms, progress, result, error, crc, checkpoint, key,"
        " fingerprint FROM jobs ORDER BY id";
    enum ak_status status;
    struct ak_sql q;
    bool more;

    ak_sql_start(&q, &catalog->db, select);
    while ((status = ak_sql_next(&q, &more, err)) == AK_OK && more) {
        struct ak_job_row row = {0};

        status = read_row(catalog, &q, &row, err);
        if (status == AK_OK)
            status = each(arg, &row, err);
        if (status != AK_OK) {
            ak_sql_end(&q);
            return status;
        }
    }
    return status;
}

enum ak_status ak_catalog_job_lines(struct ak_catalog *catalog, uint64_t id,
                                    uint64_t after, size_t limit,
                                    ak_catalog_each_line *each, void *arg,
                                    struct ak_err *err)
{
    static const char select[] = "SELECT n, time_ms, level, text FROM job_lines"
                                 " WHERE job = ? AND n > ? ORDER BY n LIMIT ?";
    enum ak_status status;
    struct ak_sql q;
    bool more;

    ak_sql_start(&q, &catalog->db, select);
    ak_sql_u64(&q, id);
    ak_sql_u64(&q, after);
    ak_sql_u64(&q, limit);
    while ((status = ak_sql_next(&q, &more, err)) == AK_OK && more) {
        struct ak_job_line line = {.n = ak_sql_col_u64(&q, 0),
                                   .time_ms = ak_sql_col_i64(&q, 1),
                                   .level = (uint32_t)ak_sql_col_i64(&q, 2)};

        status = text_of(&q, 3, &line.text, err);
        if (status == AK_OK)
            status = each(arg, &line, err);
        if (status != AK_OK) {
            ak_sql_end(&q);
            return status;
        }
    }
    return status;
}

enum ak_status ak_catalog_job_last_line(struct ak_catalog *catalog, uint64_t id,
                                        uint64_t *n, struct ak_err *err)
{
    static const char select[] =
        "SELECT coalesce(max(n), 0) FROM job_lines WHERE job = ?";
    enum ak_status status;
    struct ak_sql q;
    bool more;

    ak_sql_start(&q, &catalog->db, select);
    ak_sql_u64(&q, id);
    status = ak_sql_next(&q, &more, err);
    if (status != AK_OK)
        return status;
    *n = more ? ak_sql_col_u64(&q, 0) : 0;
    if (more)
        ak_sql_end(&q);
    return AK_OK;
}
