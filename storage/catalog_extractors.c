/*
 * catalog_extractors.c -- the table of extractors' versions in catalog.db.
 *
 * A row has all that is shown of a version, so that one whose file is damaged
 * can still be told.  The file itself is the caller's.
 */
#include <math.h>
#include <string.h>

#include "storage/catalog_internal.h"

static void bind_text(struct ak_sql *q, const char *text)
{
    if (text != NULL)
        ak_sql_text(q, text, strlen(text));
    else
        ak_sql_null(q);
}

/* A key of 24 hours ago may be used again, by this row. */
static enum ak_status free_key(struct ak_catalog *catalog,
                               const struct ak_extractor_row *row,
                               struct ak_err *err)
{
    static const char update[] =
        "UPDATE extractors SET key = NULL WHERE name = ? AND key = ?";
    struct ak_sql q;

    if (row->key.data == NULL)
        return AK_OK;
    ak_sql_start(&q, &catalog->db, update);
    bind_text(&q, row->name);
    ak_sql_text(&q, row->key.data, row->key.len);
    return ak_sql_run(&q, err);
}

static enum ak_status look_for(struct ak_catalog *catalog,
                               const struct ak_extractor_row *row,
                               struct ak_err *err)
{
    static const char select[] = "SELECT name, version FROM extractors"
                                 " WHERE name = ? AND version = ? OR job = ?";
    enum ak_status status;
    struct ak_sql q;
    bool found;

    ak_sql_start(&q, &catalog->db, select);
    bind_text(&q, row->name);
    ak_sql_u64(&q, row->version);
    if (row->job > 0)
        ak_sql_u64(&q, row->job);
    else
        ak_sql_null(&q);
    status = ak_sql_next(&q, &found, err);
    if (status != AK_OK || !found)
        return status;
    ak_sql_end(&q);
    return ak_fail(err, AK_EEXISTS, "there is version %u of extractor %s",
                   row->version, row->name);
}

static enum ak_status put_row(struct ak_catalog *catalog,
                              const struct ak_extractor_row *row,
                              struct ak_err *err)
{
    static const char insert[] = "INSERT INTO extractors VALUES"
                                 " (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
                                 "?, ?, ?, ?, ?, ?)";
    struct ak_sql q;

    ak_sql_start(&q, &catalog->db, insert);
    bind_text(&q, row->name);
    ak_sql_u64(&q, row->version);
    ak_sql_blob(&q, row->sha256, sizeof(row->sha256));
    ak_sql_u64(&q, row->bytes);
    ak_sql_i64(&q, row->created_ms);
    ak_sql_i64(&q, row->published);
    if (row->job > 0)
        ak_sql_u64(&q, row->job);
    else
        ak_sql_null(&q);
    bind_text(&q, row->architecture);
    bind_text(&q, row->notes);
    ak_sql_u64(&q, row->channels);
    ak_sql_u64(&q, row->height);
    ak_sql_u64(&q, row->width);
    ak_sql_u64(&q, row->dim);
    ak_sql_u64(&q, row->classes);
    ak_sql_u64(&q, row->macs);
    ak_sql_u64(&q, row->parameters);
    ak_sql_f64(&q, row->ms);
    if (row->key.data != NULL)
        ak_sql_text(&q, row->key.data, row->key.len);
    else
        ak_sql_null(&q);
    ak_sql_blob(&q, row->fingerprint, sizeof(row->fingerprint));
    ak_sql_u64(&q, row->hash_bits);
    return ak_sql_run(&q, err);
}

enum ak_status ak_catalog_put_extractor(struct ak_catalog *catalog,
                                        const struct ak_extractor_row *row,
                                        struct ak_err *err)
{
    size_t len = strlen(row->name);
    enum ak_status status = ak_catalog_writable(catalog, err);

    if (len < 1 || len > AK_NAME_MAX)
        return ak_fail(err, AK_EINVAL,
                       "a name has %zu bytes, must have 1 to %d", len,
                       AK_NAME_MAX);
    if (status == AK_OK)
        status = ak_catalog_copy_log(catalog, err);
    if (status == AK_OK)
        status = ak_db_exec(&catalog->db, "BEGIN IMMEDIATE", err);
    if (status != AK_OK)
        return status;
    status = look_for(catalog, row, err);
    if (status == AK_OK)
        status = free_key(catalog, row, err);
    if (status == AK_OK)
        status = put_row(catalog, row, err);
    return ak_catalog_end_change(catalog, status, err);
}

enum ak_status ak_catalog_drop_extractor(struct ak_catalog *catalog,
                                         const char *name, struct ak_err *err)
{
    static const char delete[] = "DELETE FROM extractors WHERE name = ?";
    enum ak_status status = ak_catalog_writable(catalog, err);
    struct ak_sql q;

    if (status != AK_OK)
        return status;
    ak_sql_start(&q, &catalog->db, delete);
    bind_text(&q, name);
    status = ak_sql_run(&q, err);
    if (status == AK_OK && sqlite3_changes(catalog->db.handle) == 0)
        status =
            ak_fail(err, AK_ENOTFOUND, "there is no extractor \"%s\"", name);
    return status;
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

/* A blob of 32 bytes. */
static enum ak_status digest_of(struct ak_catalog *catalog,
                                const struct ak_sql *q, int column,
                                uint8_t out[32], struct ak_err *err)
{
    struct ak_bytes bytes = {0};
    enum ak_status status = ak_sql_col_bytes(q, column, &bytes, err);

    if (status == AK_OK && bytes.len != 32)
        status = ak_fail(err, AK_ECORRUPT,
                         "%s: a checksum of an extractor has %zu bytes, must "
                         "have 32",
                         catalog->db.name, bytes.len);
    if (status == AK_OK)
        memcpy(out, bytes.data, 32);
    return status;
}

static enum ak_status read_row(struct ak_catalog *catalog,
                               const struct ak_sql *q,
                               struct ak_extractor_row *row, struct ak_err *err)
{
    enum ak_status status = text_of(q, 0, &row->name, err);

    row->version = (uint32_t)ak_sql_col_u64(q, 1);
    row->bytes = ak_sql_col_u64(q, 3);
    row->created_ms = ak_sql_col_i64(q, 4);
    row->published = ak_sql_col_i64(q, 5) != 0;
    row->job = ak_sql_col_u64(q, 6); /* NULL is 0 */
    row->channels = (uint32_t)ak_sql_col_u64(q, 9);
    row->height = (uint32_t)ak_sql_col_u64(q, 10);
    row->width = (uint32_t)ak_sql_col_u64(q, 11);
    row->dim = (uint32_t)ak_sql_col_u64(q, 12);
    row->classes = (uint32_t)ak_sql_col_u64(q, 13);
    row->macs = ak_sql_col_u64(q, 14);
    row->parameters = ak_sql_col_u64(q, 15);
    row->ms = ak_sql_col_f64(q, 16); /* NULL is NaN */
    row->hash_bits = (uint32_t)ak_sql_col_u64(q, 19);
    if (status == AK_OK)
        status = digest_of(catalog, q, 2, row->sha256, err);
    if (status == AK_OK)
        status = text_of(q, 7, &row->architecture, err);
    if (status == AK_OK)
        status = text_of(q, 8, &row->notes, err);
    if (status == AK_OK)
        status = ak_sql_col_bytes(q, 17, &row->key, err);
    if (status == AK_OK)
        status = digest_of(catalog, q, 18, row->fingerprint, err);
    return status;
}

enum ak_status ak_catalog_extractors(struct ak_catalog *catalog,
                                     ak_catalog_each_extractor *each, void *arg,
                                     struct ak_err *err)
{
    static const char select[] =
        "SELECT name, version, sha256, bytes, created_ms, published, job,"
        " architecture, notes, channels, height, width, dim, classes, macs,"
        " parameters, ms, key, fingerprint, hash_bits FROM extractors"
        " ORDER BY name, version";
    enum ak_status status;
    struct ak_sql q;
    bool more;

    ak_sql_start(&q, &catalog->db, select);
    while ((status = ak_sql_next(&q, &more, err)) == AK_OK && more) {
        struct ak_extractor_row row = {0};

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
