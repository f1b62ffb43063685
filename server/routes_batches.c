/* routes_batches.c -- labelled batches, what came of them, and the stream. */
#include "server/json_memory.h"
#include "server/routes.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "server/body_rows.h"
#include "server/ingest.h"
#include "server/op.h"

#define ACCEPTED (AK_BODY_JSON | AK_BODY_MULTIPART | AK_BODY_NDJSON)

/* Called after the headers, and again with the whole body unless it streams. */
static void post_batches(struct ak_request *rq)
{
    bool lines = ak_body_kind(rq) == AK_BODY_NDJSON;

    if (!ak_request_complete(rq)) {
        if (ak_ingest_headers(rq, ACCEPTED) && lines)
            ak_ingest_stream(rq);
    } else if (lines) {
        ak_reply_problem(rq, "validation-failed",
                         "the body has no line with an item");
    } else {
        ak_ingest(rq, AK_RECORD_BATCH, ACCEPTED);
    }
}

/* ------------------------------------------------------------- what became */

static const char *kind_name(enum ak_record_kind kind)
{
    switch (kind) {
    case AK_RECORD_BATCH:
        return "batch";
    case AK_RECORD_UPSERT:
        return "upsert";
    case AK_RECORD_DELETE:
        return "delete";
    case AK_RECORD_RELABEL:
        return "relabel";
    case AK_RECORD_FLUSH:
        return "flush";
    case AK_RECORD_PUBLISH:
        return "publish";
    case AK_RECORD_ROLLBACK:
        return "rollback";
    case AK_RECORD_INSTALL:
        break;
    }
    return "install";
}

/* The record `seq` and what came of it, {"learnt", "loss", ...} when it is
   known. */
static enum ak_status record_json(struct ak_op *op, uint64_t seq,
                                  const struct ak_collection_status *now,
                                  json_t **out, struct ak_err *err)
{
    char time[AK_TIME_TEXT], *text = NULL;
    struct ak_record record = {0};
    struct ak_view *view;
    json_t *o = NULL, *outcome = NULL;
    enum ak_status status = ak_collection_borrow(op->c, &view, err);

    if (status != AK_OK)
        return status;
    status = ak_view_record(view, seq - 1, &record, err);
    if (status == AK_OK && record.seq != seq)
        status = AK_ENOTFOUND;
    if (status == AK_OK)
        o = json_pack(
            "{s:I, s:s, s:s, s:s, s:I, s:b, s:b}", "seq", (json_int_t)seq,
            "kind", kind_name(record.kind), "state",
            ak_op_state_name(seq <= now->visible_seq   ? AK_ACK_VISIBLE
                             : seq <= now->learned_seq ? AK_ACK_LEARNED
                                                       : AK_ACK_DURABLE),
            "created", ak_time_format(record.time_ms, time), "accepted",
            (json_int_t)record.n, "learned", seq <= now->learned_seq, "visible",
            seq <= now->visible_seq);
    ak_collection_return(op->c, view);
    if (status == AK_ENOTFOUND)
        return ak_fail(err, status, "there is no such record, or not any more");
    if (status != AK_OK)
        return status;
    if (ak_collection_outcome(op->c, seq, &text, NULL) == AK_OK && text != NULL)
        outcome = ak_json_value(text, strlen(text), 0, NULL);
    free(text);
    if (outcome != NULL)
        json_object_update(o, outcome);
    json_decref(outcome);
    *out = o;
    return o != NULL ? AK_OK : ak_fail(err, AK_ENOMEM, "no memory");
}

static void show_batch(struct ak_op *op)
{
    const uint64_t *seq = op->arg;
    struct ak_collection_status now;
    struct ak_err err = {0};
    json_t *o = NULL;
    enum ak_status status;

    ak_collection_status(op->c, &now);
    status = record_json(op, *seq, &now, &o, &err);
    ak_op_headers(op, now.published, now.visible_seq);
    if (status != AK_OK)
        ak_op_fail(op, status, &err);
    else
        ak_reply_json(op->rq, 200, o);
}

static void get_batch(struct ak_request *rq)
{
    const char *text = ak_request_param(rq, "seq");
    struct ak_op *op = ak_op_begin(rq, AK_OP_READS, NULL, 0);
    uint64_t *seq;
    size_t len;

    if (op == NULL)
        return;
    len = strlen(text);
    seq = ak_arena_array(&op->arena, 1, sizeof(*seq));
    if (seq == NULL) {
        ak_op_fail(op, AK_ENOMEM, NULL);
        return;
    }
    op->arg = seq;
    if (len >= 1 && len <= 18 && strspn(text, "0123456789") == len)
        *seq = strtoull(text, NULL, 10);
    if (*seq == 0)
        ak_reply_problem(rq, "not-found", "there is no such record");
    else
        ak_op_run(op, show_batch);
}

static void show_stream(struct ak_op *op)
{
    struct ak_collection_status now;

    ak_collection_status(op->c, &now);
    ak_op_headers(op, now.published, now.visible_seq);
    ak_reply_json(op->rq, 200,
                  json_pack("{s:I, s:I, s:I, s:I, s:{s:I, s:I}, s:f, s:s}",
                            "durable_seq", (json_int_t)now.durable_seq,
                            "learned_seq", (json_int_t)now.learned_seq,
                            "visible_seq", (json_int_t)now.visible_seq,
                            "pending_rows", (json_int_t)now.pending_rows,
                            "queue", "records", (json_int_t)now.queue_records,
                            "bytes", (json_int_t)now.queue_bytes, "lag_seconds",
                            now.lag_seconds, "state", now.state));
}

static void get_stream(struct ak_request *rq)
{
    struct ak_op *op = ak_op_begin(rq, AK_OP_READS, NULL, 0);

    if (op != NULL)
        ak_op_run_here(op, show_stream);
}

/* ----------------------------------------------------------------- producers */

static void show_producer(struct ak_op *op)
{
    const char *name = ak_request_param(op->rq, "name");
    struct ak_collection_status now;
    struct ak_view *view;
    struct ak_err err = {0};
    uint64_t last = 0, seq = 0;
    enum ak_status status = ak_collection_borrow(op->c, &view, &err);

    if (status == AK_OK) {
        status = ak_view_producer(view, (struct ak_bytes){name, strlen(name)},
                                  &last, &seq, &err);
        ak_collection_return(op->c, view);
    }
    if (status != AK_OK) {
        ak_op_fail(op, status, &err);
        return;
    }
    ak_collection_status(op->c, &now);
    ak_op_headers(op, now.published, now.visible_seq);
    ak_reply_json(
        op->rq, 200,
        json_pack("{s:s, s:I, s:o}", "producer", name, "last_seq",
                  (json_int_t)last, "record_seq",
                  seq > 0 ? json_integer((json_int_t)seq) : json_null()));
}

static void get_producer(struct ak_request *rq)
{
    struct ak_op *op = ak_op_begin(rq, AK_OP_READS, NULL, 0);

    if (op == NULL)
        return;
    if (ak_op_is_producer(ak_request_param(rq, "name")))
        ak_op_run(op, show_producer);
    else
        ak_op_fault(op, "/name", "validation-failed",
                    "must have 1..%d characters of A-Z a-z 0-9 . _ ~ -",
                    AK_STORE_KEY_MAX);
}

const struct ak_route ak_routes_batches[] = {
    {"POST", "/v1/collections/{c}/batches", post_batches,
     AK_ROUTE_WRITES | AK_ROUTE_STREAMS,
     "a labelled batch: index it and learn from it"},
    {"GET", "/v1/collections/{c}/batches/{seq}", get_batch, 0,
     "what came of a batch"},
    {"GET", "/v1/collections/{c}/stream", get_stream, 0,
     "how far the collection has come"},
    {"GET", "/v1/collections/{c}/producers/{name}", get_producer, 0,
     "the last number that a producer has sent"},
    {0},
};
