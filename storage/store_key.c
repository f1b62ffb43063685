/*
 * Exactly once: what a key led to is written in the transaction of its effect,
 * so that after a crash either both are there or neither.
 *
 * An Idempotency-Key stands for one request for 24 hours.  A producer numbers
 * its requests 1, 2, 3 ...; its last number is kept for ever, and the last
 * LOG_LENGTH requests are kept to be compared and answered.  An earlier number
 * is a replay too, but all that is left to say is that it was done.
 */
#include <string.h>

#include "storage/store_internal.h"
#include "storage/view_internal.h"

#define KEY_LIFE_MS (24 * INT64_C(3600) * 1000)
#define LOG_LENGTH  1000

/* Compare with what was asked then, and take over what was answered: columns
   from `column` are fingerprint, seq, first_ordinal, first_id, accepted and
   missing. */
static enum ak_status read_receipt(struct ak_sql *q, int column,
                                   const struct ak_change *change,
                                   struct ak_receipt *receipt,
                                   struct ak_err *err)
{
    struct ak_bytes fingerprint;
    enum ak_status status = ak_sql_col_bytes(q, column, &fingerprint, err);

    if (status != AK_OK)
        return status;
    if (fingerprint.len != sizeof(change->fingerprint))
        return ak_fail(err, AK_ECORRUPT,
                       "%s: a key's fingerprint has %zu bytes, must be %zu",
                       q->db->name, fingerprint.len,
                       sizeof(change->fingerprint));
    if (memcmp(fingerprint.data, change->fingerprint, fingerprint.len) != 0) {
        if (change->producer_seq > 0)
            return ak_fail(err, AK_EEXISTS,
                           "producer %.*s used number %llu for another request",
                           (int)change->key.len, (const char *)change->key.data,
                           (unsigned long long)change->producer_seq);
        return ak_fail(err, AK_EEXISTS,
                       "the key %.*s was used for another request",
                       (int)change->key.len, (const char *)change->key.data);
    }
    receipt->seq = ak_sql_col_u64(q, column + 1);
    receipt->first_ordinal = ak_sql_col_u64(q, column + 2);
    receipt->first_id = ak_sql_col_u64(q, column + 3);
    receipt->accepted = ak_sql_col_u64(q, column + 4);
    receipt->missing = ak_sql_col_u64(q, column + 5);
    receipt->replayed = true;
    return AK_OK;
}

static enum ak_status find_key(struct ak_store *store,
                               const struct ak_change *change,
                               struct ak_receipt *receipt, struct ak_err *err)
{
    static const char select_key[] =
        "SELECT fingerprint, seq, first_ordinal, first_id, accepted, missing"
        " FROM keys WHERE name = ? AND time_ms > ?";
    enum ak_status status;
    struct ak_sql q;
    bool row;

    ak_sql_start(&q, &store->db, select_key);
    ak_sql_text(&q, change->key.data, change->key.len);
    ak_sql_i64(&q, change->now_ms - KEY_LIFE_MS);
    status = ak_sql_next(&q, &row, err);
    if (status != AK_OK || !row)
        return status;
    status = read_receipt(&q, 0, change, receipt, err);
    ak_sql_end(&q);
    return status;
}

static enum ak_status last_number(struct ak_store *store,
                                  const struct ak_change *change,
                                  uint64_t *last, struct ak_err *err)
{
    static const char select_last[] =
        "SELECT last FROM producers WHERE name = ?";
    struct ak_sql q;

    ak_sql_start(&q, &store->db, select_last);
    ak_sql_text(&q, change->key.data, change->key.len);
    return ak_sql_numbers(&q, 1, last, err);
}

static enum ak_status find_number(struct ak_store *store,
                                  const struct ak_change *change,
                                  struct ak_receipt *receipt,
                                  struct ak_err *err)
{
    static const char select_number[] =
        "SELECT fingerprint, seq, first_ordinal, first_id, accepted, missing"
        " FROM producer_log WHERE name = ? AND number = ?";
    enum ak_status status;
    struct ak_sql q;
    uint64_t last;
    bool row;

    if (change->producer_seq > INT64_MAX)
        return ak_fail(err, AK_EINVAL, "producer number is %llu, at most %lld",
                       (unsigned long long)change->producer_seq,
                       (long long)INT64_MAX);
    status = last_number(store, change, &last, err);
    if (status != AK_OK || change->producer_seq == last + 1)
        return status;
    if (change->producer_seq > last) {
        receipt->expected = last + 1;
        return ak_fail(err, AK_ESEQUENCE,
                       "producer %.*s sent number %llu, %llu is expected",
                       (int)change->key.len, (const char *)change->key.data,
                       (unsigned long long)change->producer_seq,
                       (unsigned long long)(last + 1));
    }
    ak_sql_start(&q, &store->db, select_number);
    ak_sql_text(&q, change->key.data, change->key.len);
    ak_sql_u64(&q, change->producer_seq);
    status = ak_sql_next(&q, &row, err);
    if (status != AK_OK)
        return status;
    receipt->replayed = true;
    if (!row)
        return AK_OK;
    status = read_receipt(&q, 0, change, receipt, err);
    ak_sql_end(&q);
    return status;
}

enum ak_status ak_store_key_find(struct ak_store *store,
                                 const struct ak_change *change,
                                 struct ak_receipt *receipt, struct ak_err *err)
{
    if (change->key.data == NULL)
        return AK_OK;
    if (change->key.len > AK_STORE_KEY_MAX)
        return ak_fail(err, AK_EINVAL, "the key has %zu bytes, at most %d",
                       change->key.len, AK_STORE_KEY_MAX);
    return change->producer_seq > 0 ? find_number(store, change, receipt, err)
                                    : find_key(store, change, receipt, err);
}

static void bind_receipt(struct ak_sql *q, const struct ak_change *change,
                         const struct ak_receipt *receipt)
{
    ak_sql_blob(q, change->fingerprint, sizeof(change->fingerprint));
    ak_sql_u64(q, receipt->seq);
    ak_sql_u64(q, receipt->first_ordinal);
    ak_sql_u64(q, receipt->first_id);
    ak_sql_u64(q, receipt->accepted);
    ak_sql_u64(q, receipt->missing);
}

static enum ak_status put_number(struct ak_store *store,
                                 const struct ak_change *change,
                                 const struct ak_receipt *receipt,
                                 struct ak_err *err)
{
    static const char put_last[] =
        "INSERT OR REPLACE INTO producers VALUES (?, ?)";
    static const char insert_number[] =
        "INSERT INTO producer_log VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
    static const char forget_number[] =
        "DELETE FROM producer_log WHERE name = ? AND number = ?";
    enum ak_status status;
    struct ak_sql q;

    ak_sql_start(&q, &store->db, put_last);
    ak_sql_text(&q, change->key.data, change->key.len);
    ak_sql_u64(&q, change->producer_seq);
    status = ak_sql_run(&q, err);
    if (status != AK_OK)
        return status;
    ak_sql_start(&q, &store->db, insert_number);
    ak_sql_text(&q, change->key.data, change->key.len);
    ak_sql_u64(&q, change->producer_seq);
    bind_receipt(&q, change, receipt);
    status = ak_sql_run(&q, err);
    if (status != AK_OK || change->producer_seq <= LOG_LENGTH)
        return status;
    ak_sql_start(&q, &store->db, forget_number);
    ak_sql_text(&q, change->key.data, change->key.len);
    ak_sql_u64(&q, change->producer_seq - LOG_LENGTH);
    return ak_sql_run(&q, err);
}

enum ak_status ak_store_key_put(struct ak_store *store,
                                const struct ak_change *change,
                                const struct ak_receipt *receipt,
                                struct ak_err *err)
{
    /* A key of the same name that is here is older than 24 hours. */
    static const char put_key[] =
        "INSERT OR REPLACE INTO keys VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
    struct ak_sql q;

    if (change->key.data == NULL)
        return AK_OK;
    if (change->producer_seq > 0)
        return put_number(store, change, receipt, err);
    ak_sql_start(&q, &store->db, put_key);
    ak_sql_text(&q, change->key.data, change->key.len);
    ak_sql_i64(&q, change->now_ms);
    bind_receipt(&q, change, receipt);
    return ak_sql_run(&q, err);
}

enum ak_status ak_view_producer(struct ak_view *view, struct ak_bytes name,
                                uint64_t *last, uint64_t *seq,
                                struct ak_err *err)
{
    /* The last number is in the log for as long as it is the last. */
    static const char select_last[] =
        "SELECT last, seq FROM producers JOIN producer_log USING (name)"
        " WHERE name = ? AND number = last";
    uint64_t numbers[2];
    enum ak_status status;
    struct ak_sql q;

    ak_sql_start(&q, &view->db, select_last);
    ak_sql_text(&q, name.data, name.len);
    status = ak_sql_numbers(&q, 2, numbers, err);
    if (status != AK_OK)
        return status;
    *last = numbers[0];
    *seq = numbers[1];
    return AK_OK;
}
