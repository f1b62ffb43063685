/* routes_export.c -- all of a collection in one answer. */
#include "server/routes.h"

#include <string.h>

#include "server/export.h"
#include "server/op.h"

static const char *const formats[] = {[AK_EXPORT_NDJSON] = "ndjson",
                                      [AK_EXPORT_NPY] = "npy",
                                      [AK_EXPORT_CODES] = "codes"};
static const char *const endings[] = {[AK_EXPORT_NDJSON] = ".ndjson",
                                      [AK_EXPORT_NPY] = ".npy",
                                      [AK_EXPORT_CODES] = "-codes.npy"};

static void start(struct ak_op *op)
{
    const enum ak_export_format *format = op->arg;
    struct ak_export *x = NULL;
    struct ak_err err = {0};
    /* Asked first: the state that is exported has at least this record. */
    uint64_t seq = ak_collection_visible_seq(op->c);
    enum ak_status status = ak_export_create(op->rq, op->c, *format, &x, &err);

    if (status == AK_ELIMIT) {
        ak_reply_problem(op->rq, "rate-limited", "%s", err.text);
        return;
    }
    if (status != AK_OK) {
        ak_op_fail(op, status, &err);
        return;
    }
    ak_op_headers(op, ak_export_version(x), seq);
    ak_reply_header(op->rq, "Content-Disposition",
                    "attachment; filename=\"%s%s\"", op->settings.name,
                    endings[*format]);
    ak_export_reply(x);
}

/* ?format=; false: it was answered. */
static bool read_format(struct ak_op *op, enum ak_export_format *out)
{
    const char *text = ak_request_query(op->rq, "format");
    size_t i = 0;

    while (text != NULL && i < AK_COUNT(formats) &&
           strcmp(text, formats[i]) != 0)
        i++;
    if (i == AK_COUNT(formats)) {
        ak_op_fault(op, "/format", "validation-failed",
                    "must be one of: ndjson, npy, codes");
        return false;
    }
    *out = (enum ak_export_format)i;
    if (*out != AK_EXPORT_NPY || op->settings.format != AK_FORMAT_CODE)
        return true;
    ak_op_fault(op, "/format", "unsupported-option",
                "a collection of kind external has codes only");
    return false;
}

static void get_export(struct ak_request *rq)
{
    static const char *const names[] = {"format"};
    struct ak_op *op = ak_op_begin(rq, AK_OP_READS, names, AK_COUNT(names));

    if (op == NULL)
        return;
    op->arg = ak_arena_array(&op->arena, 1, sizeof(enum ak_export_format));
    if (op->arg == NULL)
        ak_op_fail(op, AK_ENOMEM, NULL);
    else if (read_format(op, op->arg))
        ak_op_run(op, start);
}

const struct ak_route ak_routes_export[] = {
    {"GET", "/v1/collections/{c}/export", get_export, 0,
     "all items in order of arrival, as a stream"},
    {0},
};
