/*
 * Packed rows on the writer's side: kept while they are right.
 *
 * A view packs the rows of a segment as of some record while others are
 * written; so the store remembers which record last changed a row of each
 * segment, and refuses what was packed before it.  What is in the file goes by
 * the transaction that makes it wrong.
 *
 * A change is the end of a row, or other labels: nothing else that is packed
 * ever changes.  An erasure is none, as it takes the labels of dead rows alone,
 * which are not packed.
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/digest.h"
#include "storage/store_internal.h"

static enum ak_status note_change(struct ak_store *store, uint64_t segment,
                                  struct ak_err *err)
{
    if (segment >= store->n_changed) {
        size_t n = (size_t)segment + (size_t)segment / 2 + 64;
        uint64_t *changed = realloc(store->changed_seq, n * sizeof(*changed));

        if (changed == NULL)
            return ak_fail(err, AK_ENOMEM, "no memory for %zu segments", n);
        memset(changed + store->n_changed, 0,
               (n - store->n_changed) * sizeof(*changed));
        store->changed_seq = changed;
        store->n_changed = n;
    }
    store->changed_seq[segment] = store->now.last_seq + 1;
    return AK_OK;
}

enum ak_status ak_store_unpack(struct ak_store *store, uint64_t ordinal,
                               struct ak_err *err)
{
    static const char unpack[] = "DELETE FROM packed WHERE segment = ?";
    uint64_t segment = ordinal / AK_STORE_SEGMENT_ROWS;
    enum ak_status status;
    struct ak_sql q;

    if (store->unpacked == segment + 1)
        return AK_OK;
    status = note_change(store, segment, err);
    if (status != AK_OK)
        return status;
    ak_sql_start(&q, &store->db, unpack);
    ak_sql_u64(&q, segment);
    status = ak_sql_run(&q, err);
    if (status == AK_OK)
        store->unpacked = segment + 1;
    return status;
}

/* Whether rows that were packed as of `seq` are so still.  A change that was
   undone counts until the next record; that is safe, and rare. */
static bool is_right(const struct ak_store *store, uint64_t segment,
                     uint64_t seq)
{
    if (seq == store->now.last_seq)
        return true;
    return seq >= store->opened_seq &&
           (segment >= store->n_changed || seq >= store->changed_seq[segment]);
}

static enum ak_status put_packed(struct ak_store *store, uint64_t segment,
                                 uint64_t seq, struct ak_bytes packed,
                                 bool *stored, struct ak_err *err)
{
    static const char put[] = "INSERT OR REPLACE INTO packed VALUES (?, ?, ?)";
    struct ak_sql q;

    if (segment >= store->now.next_ordinal / AK_STORE_SEGMENT_ROWS)
        return ak_fail(err, AK_EINVAL,
                       "segment %llu is not full: there are %llu rows",
                       (unsigned long long)segment,
                       (unsigned long long)store->now.next_ordinal);
    *stored = is_right(store, segment, seq);
    if (!*stored)
        return AK_OK;
    ak_sql_start(&q, &store->db, put);
    ak_sql_u64(&q, segment);
    ak_sql_i64(&q, ak_crc32(packed.data, packed.len));
    ak_sql_blob(&q, packed.data, packed.len);
    return ak_sql_run(&q, err);
}

enum ak_status ak_store_put_packed(struct ak_store *store, uint64_t segment,
                                   uint64_t seq, struct ak_bytes packed,
                                   bool *stored, struct ak_err *err)
{
    enum ak_status status = ak_store_enter(store, err);

    if (status != AK_OK)
        return status;
    return ak_store_leave(
        store, put_packed(store, segment, seq, packed, stored, err), err);
}
