/*
 * Generations: learners that are made anew, and what they are installed with.
 *
 * At most one is being made.  The INSTALL record and what the generation is at
 * that moment are written in one transaction, so a replay that comes to the
 * record always finds it; when the learner's checkpoint lies behind the record,
 * that is not needed any more.
 */
#include <string.h>

#include "core/base/digest.h"
#include "core/base/moment.h"
#include "storage/store_internal.h"
#include "storage/view_internal.h"

static enum ak_status insert(struct ak_store *store, uint64_t number,
                             const struct ak_generation *g,
                             struct ak_bytes settings, struct ak_err *err)
{
    static const char put[] = "INSERT OR IGNORE INTO generations"
                              " VALUES (?, ?, 0, ?, ?, ?, NULL, NULL, NULL,"
                              " NULL, ?)";
    struct ak_sql q;

    ak_sql_start(&q, &store->db, put);
    ak_sql_u64(&q, number);
    ak_sql_u64(&q, g->base_seq);
    ak_sql_u64(&q, g->held);
    ak_sql_u64(&q, g->job);
    ak_sql_text(&q, settings.data, settings.len);
    ak_sql_u64(&q, g->space);
    return ak_sql_run(&q, err);
}

static enum ak_status forget(struct ak_store *store, struct ak_err *err)
{
    static const char forget_begun[] =
        "DELETE FROM generations WHERE number > 0 AND install_seq = 0";
    struct ak_sql q;

    ak_sql_start(&q, &store->db, forget_begun);
    return ak_sql_run(&q, err);
}

static enum ak_status begin(struct ak_store *store,
                            const struct ak_generation *g,
                            struct ak_bytes before, uint64_t *number,
                            struct ak_err *err)
{
    static const char next[] = "SELECT coalesce(max(number), 0) + 1"
                               " FROM generations WHERE install_seq > 0";
    static const struct ak_generation first;
    enum ak_status status;
    struct ak_sql q;

    status = insert(store, 0, &first, before, err);
    if (status != AK_OK)
        return status;
    ak_sql_start(&q, &store->db, next);
    status = ak_sql_numbers(&q, 1, number, err);
    if (status == AK_OK)
        status = forget(store, err);
    if (status != AK_OK)
        return status;
    return insert(store, *number, g, g->settings, err);
}

enum ak_status ak_store_begin_generation(struct ak_store *store,
                                         const struct ak_generation *generation,
                                         struct ak_bytes before,
                                         uint64_t *number, struct ak_err *err)
{
    enum ak_status status = ak_store_enter(store, err);

    if (status != AK_OK)
        return status;
    status = ak_store_leave(store,
                            begin(store, generation, before, number, err), err);
    ak_moment(AK_AT_GENERATION);
    return status;
}

/* After an update of one that must be in the making. */
static enum ak_status expect_begun(struct ak_store *store, uint64_t number,
                                   struct ak_err *err)
{
    if (sqlite3_changes(store->db.handle) > 0)
        return AK_OK;
    return ak_fail(err, AK_ENOTFOUND, "generation %llu is not being made",
                   (unsigned long long)number);
}

static enum ak_status put(struct ak_store *store, uint64_t number,
                          struct ak_bytes constants, struct ak_bytes state,
                          struct ak_err *err)
{
    static const char put_constants[] =
        "UPDATE generations SET constants_crc = ?, constants = ?"
        " WHERE number = ? AND install_seq = 0";
    static const char put_state[] =
        "UPDATE generations SET state_crc = ?, state = ?"
        " WHERE number = ? AND number > 0 AND install_seq = 0";
    enum ak_status status = AK_OK;
    struct ak_sql q;

    if (constants.data != NULL) {
        ak_sql_start(&q, &store->db, put_constants);
        ak_sql_i64(&q, ak_crc32(constants.data, constants.len));
        ak_sql_blob(&q, constants.data, constants.len);
        ak_sql_u64(&q, number);
        status = ak_sql_run(&q, err);
    }
    if (status != AK_OK)
        return status;
    ak_sql_start(&q, &store->db, put_state);
    ak_sql_i64(&q, ak_crc32(state.data, state.len));
    ak_sql_blob(&q, state.data, state.len);
    ak_sql_u64(&q, number);
    status = ak_sql_run(&q, err);
    return status == AK_OK ? expect_begun(store, number, err) : status;
}

enum ak_status ak_store_put_generation(struct ak_store *store, uint64_t number,
                                       struct ak_bytes constants,
                                       struct ak_bytes state,
                                       struct ak_err *err)
{
    enum ak_status status = ak_store_enter(store, err);

    if (status != AK_OK)
        return status;
    return ak_store_leave(store, put(store, number, constants, state, err),
                          err);
}

static enum ak_status install(struct ak_store *store, uint64_t number,
                              struct ak_bytes config, int64_t now_ms,
                              uint64_t *seq, struct ak_err *err)
{
    static const char update[] =
        "UPDATE generations SET install_seq = ?"
        " WHERE number = ? AND number > 0 AND install_seq = 0";
    struct ak_change change = {
        .kind = AK_RECORD_INSTALL, .version = number, .now_ms = now_ms};
    enum ak_status status = ak_store_append(store, &change, seq, err);
    struct ak_sql q;

    if (status != AK_OK)
        return status;
    ak_sql_start(&q, &store->db, update);
    ak_sql_u64(&q, *seq);
    ak_sql_u64(&q, number);
    status = ak_sql_run(&q, err);
    if (status == AK_OK)
        status = expect_begun(store, number, err);
    if (status == AK_OK && config.data != NULL)
        status = ak_store_set_config(store, &config, err);
    return status;
}

enum ak_status ak_store_install(struct ak_store *store, uint64_t number,
                                struct ak_bytes config, int64_t now_ms,
                                uint64_t *seq, struct ak_err *err)
{
    enum ak_status status = ak_store_enter(store, err);

    if (status != AK_OK)
        return status;
    status = ak_store_leave(
        store, install(store, number, config, now_ms, seq, err), err);
    ak_moment(AK_AT_INSTALL);
    return status;
}

enum ak_status ak_store_drop_generation(struct ak_store *store,
                                        struct ak_err *err)
{
    enum ak_status status = ak_store_enter(store, err);

    if (status != AK_OK)
        return status;
    return ak_store_leave(store, forget(store, err), err);
}

static enum ak_status set(struct ak_store *store, uint64_t number,
                          struct ak_bytes settings, struct ak_err *err)
{
    static const char update[] =
        "UPDATE generations SET settings = ? WHERE number = ?";
    enum ak_status status;
    struct ak_sql q;

    ak_sql_start(&q, &store->db, update);
    ak_sql_text(&q, settings.data, settings.len);
    ak_sql_u64(&q, number);
    status = ak_sql_run(&q, err);
    if (status != AK_OK || sqlite3_changes(store->db.handle) > 0)
        return status;
    return ak_fail(err, AK_ENOTFOUND, "there is no generation %llu",
                   (unsigned long long)number);
}

enum ak_status ak_store_set_generation(struct ak_store *store, uint64_t number,
                                       struct ak_bytes settings,
                                       struct ak_err *err)
{
    enum ak_status status = ak_store_enter(store, err);

    if (status != AK_OK)
        return status;
    return ak_store_leave(store, set(store, number, settings, err), err);
}

enum ak_status ak_store_trim_generations(struct ak_store *store, uint64_t seq,
                                         struct ak_err *err)
{
    static const char trim[] =
        "UPDATE generations SET constants_crc = NULL, constants = NULL,"
        " state_crc = NULL, state = NULL"
        " WHERE state IS NOT NULL AND install_seq > 0 AND install_seq <= ?";
    struct ak_sql q;

    ak_sql_start(&q, &store->db, trim);
    ak_sql_u64(&q, seq);
    return ak_sql_run(&q, err);
}

/* ------------------------------------------------------------------ reading */

/* A blob of the row with its checksum in the column before it. */
static enum ak_status copy_blob(struct ak_view *view, const struct ak_sql *q,
                                int column, size_t *at, size_t *len,
                                struct ak_err *err)
{
    enum ak_status status = ak_view_copy(&view->lent, q, column, at, len, err);

    if (status != AK_OK || *at == SIZE_MAX)
        return status;
    return ak_view_check_crc(view, "state of generation", ak_sql_col_u64(q, 0),
                             view->lent.data + *at, *len,
                             ak_sql_col_i64(q, column - 1), err);
}

enum ak_status ak_view_generation(struct ak_view *view, uint64_t number,
                                  struct ak_generation *out, struct ak_err *err)
{
    static const char select[] =
        "SELECT number, base_seq, install_seq, held, settings, constants_crc,"
        " constants, state_crc, state, space FROM generations"
        " WHERE number = ?";
    static const int columns[] = {4, 6, 8};
    struct ak_bytes *const parts[] = {&out->settings, &out->constants,
                                      &out->state};
    size_t at[3] = {SIZE_MAX, SIZE_MAX, SIZE_MAX}, len[3] = {0};
    enum ak_status status;
    struct ak_sql q;
    bool row;

    ak_view_restart(&view->lent);
    ak_sql_start(&q, &view->db, select);
    ak_sql_u64(&q, number);
    status = ak_sql_next(&q, &row, err);
    if (status != AK_OK)
        return status;
    if (!row)
        return ak_fail(err, AK_ENOTFOUND, "there is no generation %llu",
                       (unsigned long long)number);
    *out = (struct ak_generation){.number = ak_sql_col_u64(&q, 0),
                                  .base_seq = ak_sql_col_u64(&q, 1),
                                  .install_seq = ak_sql_col_u64(&q, 2),
                                  .held = ak_sql_col_u64(&q, 3),
                                  .space = ak_sql_col_u64(&q, 9)};
    status = ak_view_copy(&view->lent, &q, 4, &at[0], &len[0], err);
    for (int i = 1; i < 3 && status == AK_OK; i++)
        status = copy_blob(view, &q, columns[i], &at[i], &len[i], err);
    ak_sql_end(&q);
    if (status == AK_ECORRUPT)
        at[1] = at[2] = SIZE_MAX;
    if (status != AK_OK && status != AK_ECORRUPT)
        return status;
    for (int i = 0; i < 3; i++)
        *parts[i] = at[i] != SIZE_MAX
                        ? (struct ak_bytes){view->lent.data + at[i], len[i]}
                        : (struct ak_bytes){NULL, 0};
    return status;
}

enum ak_status ak_view_generation_of(struct ak_view *view, uint64_t job,
                                     uint64_t *number, struct ak_err *err)
{
    static const char select[] =
        "SELECT max(number) FROM generations WHERE job = ?";
    enum ak_status status;
    struct ak_sql q;

    ak_sql_start(&q, &view->db, select);
    ak_sql_u64(&q, job);
    status = ak_sql_numbers(&q, 1, number, err);
    if (status == AK_OK && *number == 0) /* which is nobody's */
        return ak_fail(err, AK_ENOTFOUND, "job %llu has no generation",
                       (unsigned long long)job);
    return status;
}

enum ak_status ak_view_generation_at(struct ak_view *view, uint64_t seq,
                                     uint64_t *number, struct ak_err *err)
{
    static const char select[] =
        "SELECT coalesce(max(number), 0) FROM generations"
        " WHERE install_seq > 0 AND install_seq <= ?";
    struct ak_sql q;

    ak_sql_start(&q, &view->db, select);
    ak_sql_u64(&q, seq);
    return ak_sql_numbers(&q, 1, number, err);
}

enum ak_status ak_view_generations(struct ak_view *view, uint64_t *installed,
                                   uint64_t *begun, struct ak_err *err)
{
    static const char select[] =
        "SELECT coalesce((SELECT max(number) FROM generations"
        "                 WHERE install_seq > 0), 0),"
        " coalesce((SELECT max(number) FROM generations"
        "           WHERE number > 0 AND install_seq = 0), 0)";
    uint64_t numbers[2];
    enum ak_status status;
    struct ak_sql q;

    ak_sql_start(&q, &view->db, select);
    status = ak_sql_numbers(&q, 2, numbers, err);
    if (status != AK_OK)
        return status;
    *installed = numbers[0];
    *begun = numbers[1];
    return AK_OK;
}

static enum ak_status forget_jobs(struct ak_store *store, struct ak_err *err)
{
    static const char own_none[] = "UPDATE generations SET job = 0";
    static const char be_another[] = "UPDATE state SET id = randomblob(16)";
    enum ak_status status = forget(store, err);
    struct ak_sql q;

    if (status != AK_OK)
        return status;
    ak_sql_start(&q, &store->db, own_none);
    status = ak_sql_run(&q, err);
    if (status != AK_OK)
        return status;
    ak_sql_start(&q, &store->db, be_another);
    return ak_sql_run(&q, err);
}

enum ak_status ak_store_forget_jobs(struct ak_store *store, struct ak_err *err)
{
    enum ak_status status = ak_store_enter(store, err);

    if (status != AK_OK)
        return status;
    return ak_store_leave(store, forget_jobs(store, err), err);
}
