/* store_finetune.c -- how far a policy of fine-tuning is: bytes of its own. */
#include "core/base/digest.h"
#include "storage/store_internal.h"

static enum ak_status put(struct ak_store *store, struct ak_bytes state,
                          struct ak_err *err)
{
    static const char replace[] = "INSERT OR REPLACE INTO finetune VALUES"
                                  " (1, ?, ?)";
    struct ak_sql q;

    ak_sql_start(&q, &store->db, replace);
    ak_sql_i64(&q, ak_crc32(state.data, state.len));
    ak_sql_blob(&q, state.data, state.len);
    return ak_sql_run(&q, err);
}

enum ak_status ak_store_put_finetune(struct ak_store *store,
                                     struct ak_bytes state, struct ak_err *err)
{
    enum ak_status status = ak_store_enter(store, err);

    if (status != AK_OK)
        return status;
    return ak_store_leave(store, put(store, state, err), err);
}
