/*
 * Versions of the model, and the codes that each gave to the rows.
 *
 * At most one version is PUBLISHED and at most one PREVIOUS; the codes of these
 * and of those being encoded are kept, of the rest only the model.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/digest.h"
#include "core/base/moment.h"
#include "storage/store_internal.h"

static const char *const state_names[] = {
    [AK_VERSION_ENCODING] = "encoding",
    [AK_VERSION_PUBLISHED] = "published",
    [AK_VERSION_PREVIOUS] = "previous",
    [AK_VERSION_RETIRED] = "retired",
};

enum ak_status ak_store_version_state(struct ak_store *store, uint64_t version,
                                      enum ak_version_state *state,
                                      struct ak_err *err)
{
    static const char select_state[] =
        "SELECT state FROM versions WHERE version = ?";
    enum ak_status status;
    struct ak_sql q;
    int64_t found;
    bool row = false;

    if (version <= INT64_MAX) {
        ak_sql_start(&q, &store->db, select_state);
        ak_sql_u64(&q, version);
        status = ak_sql_next(&q, &row, err);
        if (status != AK_OK)
            return status;
    }
    if (!row)
        return ak_fail(err, AK_ENOTFOUND, "there is no version %llu",
                       (unsigned long long)version);
    found = ak_sql_col_i64(&q, 0);
    ak_sql_end(&q);
    if (found < AK_VERSION_ENCODING || found > AK_VERSION_RETIRED)
        return ak_fail(err, AK_ECORRUPT, "%s: version %llu is in state %lld",
                       store->db.name, (unsigned long long)version,
                       (long long)found);
    if (state != NULL)
        *state = (enum ak_version_state)found;
    return AK_OK;
}

/* The version of a publish record, or the number that a new one gets. */
static enum ak_status version_number(struct ak_store *store, uint64_t at_seq,
                                     uint64_t *number, bool *found,
                                     struct ak_err *err)
{
    static const char select_number[] =
        "SELECT (SELECT version FROM versions WHERE at_seq = ?),"
        " (SELECT coalesce(max(version) + 1, 0) FROM versions)";
    enum ak_status status;
    struct ak_sql q;
    bool row;

    ak_sql_start(&q, &store->db, select_number);
    ak_sql_u64(&q, at_seq);
    status = ak_sql_next(&q, &row, err);
    if (status != AK_OK)
        return status;
    assert(row);
    *found = !ak_sql_col_null(&q, 0);
    *number = ak_sql_col_u64(&q, *found ? 0 : 1);
    ak_sql_end(&q);
    return AK_OK;
}

static enum ak_status put_version(struct ak_store *store,
                                  const struct ak_version *version,
                                  struct ak_bytes model, uint64_t *number,
                                  struct ak_err *err)
{
    static const char insert_version[] =
        "INSERT INTO versions VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
    static const char insert_model[] = "INSERT INTO models VALUES (?, ?, ?)";
    enum ak_status status;
    struct ak_sql q;
    uint64_t given;
    bool found;

    status = version_number(store, version->at_seq, &given, &found, err);
    if (status != AK_OK)
        return status;
    if (!found) {
        ak_sql_start(&q, &store->db, insert_version);
        ak_sql_u64(&q, given);
        ak_sql_i64(&q, AK_VERSION_ENCODING);
        ak_sql_u64(&q, version->at_seq);
        ak_sql_u64(&q, version->samples);
        ak_sql_i64(&q, version->created_ms);
        ak_sql_f64(&q, version->served_quality);
        ak_sql_u64(&q, model.len);
        ak_sql_u64(&q, version->space);
        status = ak_sql_run(&q, err);
        if (status != AK_OK)
            return status;
        ak_sql_start(&q, &store->db, insert_model);
        ak_sql_u64(&q, given);
        ak_sql_i64(&q, ak_crc32(model.data, model.len));
        ak_sql_blob(&q, model.data, model.len);
        status = ak_sql_run(&q, err);
        if (status != AK_OK)
            return status;
    }
    *number = given;
    return AK_OK;
}

enum ak_status ak_store_put_version(struct ak_store *store,
                                    const struct ak_version *version,
                                    struct ak_bytes model, uint64_t *number,
                                    struct ak_err *err)
{
    enum ak_status status = ak_store_enter(store, err);

    if (status != AK_OK)
        return status;
    status = ak_store_leave(
        store, put_version(store, version, model, number, err), err);
    ak_moment(AK_AT_VERSION);
    return status;
}

/*
 * Who encoded the rows may have read them before they were erased: their codes
 * become zeroes.  *copy, to be freed, takes the place of the codes if there are
 * such rows; else it is NULL.
 */
static enum ak_status blank_erased(struct ak_store *store, uint64_t segment,
                                   struct ak_bytes *codes, uint8_t **copy,
                                   struct ak_err *err)
{
    static const char select[] = "SELECT ordinal FROM erasures"
                                 " WHERE ordinal >= ? AND ordinal < ?"
                                 " AND done = 1";
    uint64_t first = segment * AK_STORE_SEGMENT_ROWS;
    size_t code_bytes = store->shape.code_bytes;
    enum ak_status status;
    struct ak_sql q;
    bool row;

    *copy = NULL;
    ak_sql_start(&q, &store->db, select);
    ak_sql_u64(&q, first);
    ak_sql_u64(&q, first + AK_STORE_SEGMENT_ROWS);
    while ((status = ak_sql_next(&q, &row, err)) == AK_OK && row) {
        uint64_t at = ak_sql_col_u64(&q, 0) - first;

        if (*copy == NULL) {
            *copy = malloc(codes->len);
            if (*copy == NULL) {
                ak_sql_end(&q);
                return ak_fail(err, AK_ENOMEM, "no memory for codes");
            }
            memcpy(*copy, codes->data, codes->len);
            codes->data = *copy;
        }
        memset(*copy + at * code_bytes, 0, code_bytes);
    }
    return status;
}

static enum ak_status put_codes(struct ak_store *store, uint64_t version,
                                uint64_t segment, struct ak_bytes codes,
                                struct ak_err *err)
{
    static const char put[] =
        "INSERT INTO codes VALUES (?, ?, ?, ?)"
        " ON CONFLICT (version, segment)"
        " DO UPDATE SET crc = excluded.crc, data = excluded.data";
    size_t len = (size_t)AK_STORE_SEGMENT_ROWS * store->shape.code_bytes;
    uint8_t *copy = NULL;
    enum ak_status status;
    struct ak_sql q;

    if (segment > INT64_MAX / AK_STORE_SEGMENT_ROWS - 1)
        return ak_fail(err, AK_EINVAL, "there is no segment %llu",
                       (unsigned long long)segment);
    if (codes.len != len)
        return ak_fail(err, AK_EINVAL,
                       "codes of a segment have %zu bytes, must be %zu",
                       codes.len, len);
    status = ak_store_version_state(store, version, NULL, err);
    if (status == AK_OK)
        status = blank_erased(store, segment, &codes, &copy, err);
    if (status == AK_OK) {
        ak_sql_start(&q, &store->db, put);
        ak_sql_u64(&q, version);
        ak_sql_u64(&q, segment);
        ak_sql_i64(&q, ak_crc32(codes.data, codes.len));
        ak_sql_blob(&q, codes.data, codes.len);
        status = ak_sql_run(&q, err);
    }
    free(copy);
    return status;
}

enum ak_status ak_store_put_codes(struct ak_store *store, uint64_t version,
                                  uint64_t segment, struct ak_bytes codes,
                                  struct ak_err *err)
{
    enum ak_status status = ak_store_enter(store, err);

    if (status != AK_OK)
        return status;
    status = ak_store_leave(
        store, put_codes(store, version, segment, codes, err), err);
    ak_moment(AK_AT_CODES);
    return status;
}

static enum ak_status set_state(struct ak_store *store, uint64_t version,
                                enum ak_version_state state, struct ak_err *err)
{
    static const char update[] =
        "UPDATE versions SET state = ? WHERE version = ?";
    struct ak_sql q;

    ak_sql_start(&q, &store->db, update);
    ak_sql_i64(&q, state);
    ak_sql_u64(&q, version);
    return ak_sql_run(&q, err);
}

static enum ak_status delete_codes(struct ak_store *store, uint64_t version,
                                   struct ak_err *err)
{
    static const char delete_all[] = "DELETE FROM codes WHERE version = ?";
    struct ak_sql q;

    ak_sql_start(&q, &store->db, delete_all);
    ak_sql_u64(&q, version);
    return ak_sql_run(&q, err);
}

/* The version in a state of which there is at most one. */
static enum ak_status find_state(struct ak_store *store,
                                 enum ak_version_state state, uint64_t *version,
                                 bool *found, struct ak_err *err)
{
    static const char select[] = "SELECT version FROM versions WHERE state = ?";
    enum ak_status status;
    struct ak_sql q;

    ak_sql_start(&q, &store->db, select);
    ak_sql_i64(&q, state);
    status = ak_sql_next(&q, found, err);
    if (status != AK_OK || !*found)
        return status;
    *version = ak_sql_col_u64(&q, 0);
    ak_sql_end(&q);
    return AK_OK;
}

/* The published version stops serving, and the one before it is let go, unless
   it is the one that takes over. */
static enum ak_status step_down(struct ak_store *store, uint64_t next,
                                double served_quality, struct ak_err *err)
{
    static const char set_quality[] =
        "UPDATE versions SET served_quality = ? WHERE version = ?";
    uint64_t published = 0, previous = 0;
    bool has_published, has_previous;
    enum ak_status status;
    struct ak_sql q;

    status =
        find_state(store, AK_VERSION_PREVIOUS, &previous, &has_previous, err);
    if (status == AK_OK && has_previous && previous != next) {
        status = set_state(store, previous, AK_VERSION_RETIRED, err);
        if (status == AK_OK)
            status = delete_codes(store, previous, err);
    }
    if (status == AK_OK)
        status = find_state(store, AK_VERSION_PUBLISHED, &published,
                            &has_published, err);
    if (status != AK_OK || !has_published)
        return status;
    ak_sql_start(&q, &store->db, set_quality);
    ak_sql_f64(&q, served_quality);
    ak_sql_u64(&q, published);
    status = ak_sql_run(&q, err);
    if (status != AK_OK)
        return status;
    return set_state(store, published, AK_VERSION_PREVIOUS, err);
}

/* Those that still wait to be encoded and are older than the one that serves now
   will not be: a newer one was there before they were begun. */
#define OLDER          \
    "WHERE state = ?1" \
    " AND at_seq < (SELECT at_seq FROM versions WHERE version = ?2)"

static enum ak_status retire_older(struct ak_store *store, uint64_t version,
                                   struct ak_err *err)
{
    static const char delete_theirs[] =
        "DELETE FROM codes WHERE version IN (SELECT version FROM "
        "versions " OLDER ")";
    static const char retire[] = "UPDATE versions SET state = ?3 " OLDER;
    enum ak_status status;
    struct ak_sql q;

    ak_sql_start(&q, &store->db, delete_theirs);
    ak_sql_i64(&q, AK_VERSION_ENCODING);
    ak_sql_u64(&q, version);
    status = ak_sql_run(&q, err);
    if (status != AK_OK)
        return status;
    ak_sql_start(&q, &store->db, retire);
    ak_sql_i64(&q, AK_VERSION_ENCODING);
    ak_sql_u64(&q, version);
    ak_sql_i64(&q, AK_VERSION_RETIRED);
    return ak_sql_run(&q, err);
}

static enum ak_status flip(struct ak_store *store, uint64_t version,
                           double served_quality, struct ak_err *err)
{
    enum ak_version_state state;
    enum ak_status status = ak_store_version_state(store, version, &state, err);

    if (status != AK_OK || state == AK_VERSION_PUBLISHED)
        return status;
    status = step_down(store, version, served_quality, err);
    if (status == AK_OK)
        status = set_state(store, version, AK_VERSION_PUBLISHED, err);
    if (status == AK_OK)
        status = retire_older(store, version, err);
    if (status == AK_OK)
        store->now.published = version;
    return status;
}

enum ak_status ak_store_flip(struct ak_store *store, uint64_t version,
                             double served_quality, struct ak_err *err)
{
    enum ak_status status = ak_store_enter(store, err);

    if (status != AK_OK)
        return status;
    status =
        ak_store_leave(store, flip(store, version, served_quality, err), err);
    ak_moment(AK_AT_FLIP);
    return status;
}

static enum ak_status drop(struct ak_store *store, uint64_t version,
                           struct ak_err *err)
{
    enum ak_version_state state;
    enum ak_status status = ak_store_version_state(store, version, &state, err);

    if (status != AK_OK)
        return status;
    if (state != AK_VERSION_ENCODING && state != AK_VERSION_RETIRED)
        return ak_fail(err, AK_EINVAL,
                       "version %llu is %s, only one that does not serve can "
                       "be dropped",
                       (unsigned long long)version, state_names[state]);
    status = set_state(store, version, AK_VERSION_RETIRED, err);
    if (status == AK_OK)
        status = delete_codes(store, version, err);
    return status;
}

enum ak_status ak_store_drop_version(struct ak_store *store, uint64_t version,
                                     struct ak_err *err)
{
    enum ak_status status = ak_store_enter(store, err);

    if (status != AK_OK)
        return status;
    return ak_store_leave(store, drop(store, version, err), err);
}
