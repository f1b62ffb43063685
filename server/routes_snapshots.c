/* routes_snapshots.c -- snapshots in the data directory: listed, removed.  The
   jobs `snapshot`, `verify` and `restore` make and use them. */
#include "server/routes.h"

#include "server/backup.h"
#include "server/engine.h"
#include "server/op.h"

static const char *dir_of(const struct ak_op *op)
{
    return ak_engine_data_dir(ak_request_engine(op->rq));
}

static void list(struct ak_op *op)
{
    json_t *items = NULL;
    struct ak_err err = {0};
    enum ak_status status = ak_backups_json(dir_of(op), &items, &err);

    if (status != AK_OK)
        ak_op_fail(op, status, &err);
    else
        ak_reply_json(op->rq, 200,
                      json_pack("{s:o, s:n}", "items", items, "next_cursor"));
}

static void show(struct ak_op *op)
{
    const char *name = ak_request_param(op->rq, "n");
    struct ak_backup backup;
    struct ak_err err = {0};
    enum ak_status status = ak_backup_read(dir_of(op), name, &backup, &err);

    if (status == AK_OK)
        ak_reply_json(op->rq, 200, ak_backup_json(&backup));
    else if (status == AK_ECORRUPT)
        ak_reply_json(op->rq, 200, ak_backup_damaged_json(name, err.text));
    else
        ak_op_fail(op, status, &err);
}

static void drop(struct ak_op *op)
{
    const char *name = ak_request_param(op->rq, "n");
    struct ak_err err = {0};
    enum ak_status status =
        ak_settings_good_name(name)
            ? ak_backup_remove(dir_of(op), name, &err)
            : ak_fail(&err, AK_ENOTFOUND, "there is no such snapshot");

    if (status != AK_OK)
        ak_op_fail(op, status, &err);
    else
        ak_reply_empty(op->rq, 204);
}

/* Folders are read on the pool. */
static void offload(struct ak_request *rq, ak_op_fn *fn)
{
    struct ak_op *op = ak_op_begin(rq, AK_OP_NO_COLLECTION, NULL, 0);

    if (op != NULL)
        ak_op_offload(op, fn);
}

static void get_snapshots(struct ak_request *rq)
{
    offload(rq, list);
}

static void get_snapshot(struct ak_request *rq)
{
    offload(rq, show);
}

static void delete_snapshot(struct ak_request *rq)
{
    offload(rq, drop);
}

const struct ak_route ak_routes_snapshots[] = {
    {"GET", "/v1/snapshots", get_snapshots, 0, "snapshots, by name"},
    {"GET", "/v1/snapshots/{n}", get_snapshot, 0,
     "one snapshot: of what, when, how large, its checksum"},
    {"DELETE", "/v1/snapshots/{n}", delete_snapshot, AK_ROUTE_DELETES,
     "remove a snapshot"},
    {0},
};
