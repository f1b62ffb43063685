#include "server/ingest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "server/body_rows.h"
#include "server/limits.h"
#include "server/metrics.h"
#include "server/op.h"

/* A longer body is read on the pool: the threads of HTTP serve all. */
#define READ_HERE 65536

void ak_ingest_count(const struct ak_receipt *receipt)
{
    ak_metric_add(AK_METRIC_INGEST_ITEMS,
                  receipt->replayed ? AK_OUTCOME_REPLAYED : AK_OUTCOME_ACCEPTED,
                  receipt->accepted);
}

/* By what the bytes hold: an array in a form is an array. */
static void count_bytes(const struct ak_op *op, enum ak_body_kind kind,
                        size_t len)
{
    bool images = op->settings.extractor[0] != '\0';

    ak_metric_add(AK_METRIC_INGEST_BYTES,
                  kind == AK_BODY_JSON ? AK_INGEST_JSON
                  : images             ? AK_INGEST_IMAGE
                                       : AK_INGEST_NPY,
                  len);
}

static void answer(struct ak_op *op)
{
    struct ak_collection_status now;
    const struct ak_receipt *r = &op->receipt;
    bool batch = op->submission.change.kind == AK_RECORD_BATCH;
    json_t *o = ak_op_receipt_json(op);

    ak_ingest_count(r);
    ak_collection_status(op->c, &now);
    ak_op_headers(op, now.published, r->seq != 0 ? r->seq : now.durable_seq);
    if (o != NULL) {
        json_object_set_new(o, "accepted",
                            json_integer((json_int_t)r->accepted));
        json_object_set_new(o, "first_id",
                            op->settings.string_ids || r->accepted == 0
                                ? json_null()
                                : json_integer((json_int_t)r->first_id));
        if (batch)
            json_object_set_new(o, "published",
                                json_integer((json_int_t)now.published));
    }
    ak_reply_json(op->rq, op->status, o);
}

/* What the key stands for: this route, and the body as it came. */
static bool take_fingerprint(struct ak_op *op, const uint8_t *body, size_t len)
{
    struct ak_change *change = &op->submission.change;
    const char *type = ak_request_header(op->rq, "Content-Type");
    struct ak_err err = {0};
    uint8_t digest[32];
    enum ak_status status;

    if (change->key.data == NULL)
        return true;
    status =
        ak_body_digest(ak_body_kind(op->rq), type, body, len, digest, &err);
    if (status == AK_OK)
        status = ak_op_fingerprint(
            op, change->kind == AK_RECORD_BATCH ? "POST batches" : "PUT items",
            digest, sizeof(digest), change->fingerprint, &err);
    if (status != AK_OK)
        ak_op_fail(op, status, &err);
    return status == AK_OK;
}

static void read_rows(struct ak_op *op)
{
    struct ak_change *change = &op->submission.change;
    uint64_t start = ak_clock_ns();
    struct ak_err err = {0};
    enum ak_status status;
    size_t len;
    uint8_t *body = ak_request_body(op->rq, &len);

    if (!take_fingerprint(op, body, len))
        return;
    ak_rows_init(&op->rows, &op->settings, ak_op_extractors(op),
                 change->producer_seq > 0 ? AK_ROWS_NUMBERED : 0);
    ak_body_read_rows(&op->rows, ak_body_kind(op->rq),
                      ak_request_header(op->rq, "Content-Type"), body, len);
    ak_op_decoded(op, &op->rows, start);
    if (op->rows.status != AK_OK) {
        ak_op_fail(op, op->rows.status, NULL);
        return;
    }
    if (!ak_faults_none(&op->rows.faults)) {
        ak_metric_add(AK_METRIC_INGEST_ITEMS, AK_OUTCOME_REFUSED, op->rows.n);
        ak_faults_reply(op->rq, &op->rows.faults);
        return;
    }
    status = ak_rows_store(&op->rows, &change->rows, &err);
    if (status != AK_OK)
        ak_op_fail(op, status, &err);
    else
        ak_op_submit(op, ak_rows_bytes(&op->rows) + len, answer);
}

/* A number that is under way, as long as its request. */
struct numbered {
    struct ak_turn turn;
    struct ak_collection *c; /* held */
};

static void end_turn(void *arg)
{
    struct numbered *n = arg;

    ak_collection_end_turn(n->c, &n->turn);
    ak_collection_drop(n->c);
}

/* Without one, a request is only refused as a gap the sooner. */
static void begin_turn(struct ak_request *rq)
{
    const char *text = ak_request_header(rq, "Akin-Producer");
    struct ak_op_key key = {0};
    struct numbered *n;

    if (text == NULL || !ak_op_parse_producer(text, &key))
        return;
    n = ak_request_alloc(rq, sizeof(*n));
    if (n == NULL ||
        ak_engine_get(ak_request_engine(rq), ak_request_param(rq, "c"), &n->c,
                      NULL) != AK_OK)
        return;
    snprintf(n->turn.producer, sizeof(n->turn.producer), "%.*s",
             (int)key.key.len, (const char *)key.key.data);
    n->turn.number = key.producer_seq;
    ak_collection_begin_turn(n->c, &n->turn);
    ak_request_on_end(rq, end_turn, n);
}

/* A body that will be refused for its length: the server says so. */
static bool too_long(struct ak_request *rq)
{
    const char *length = ak_request_header(rq, "Content-Length");

    return length != NULL &&
           strtoull(length, NULL, 10) > ak_limits()->max_body_bytes;
}

bool ak_ingest_headers(struct ak_request *rq, unsigned accepted)
{
    enum ak_body_kind kind = ak_body_kind(rq);

    if (kind != AK_BODY_NDJSON && too_long(rq))
        return true;
    if (ak_body_accept(rq, accepted) == AK_BODY_OTHER)
        return false;
    begin_turn(rq);
    return true;
}

void ak_ingest(struct ak_request *rq, enum ak_record_kind kind,
               unsigned accepted)
{
    struct ak_op *op = ak_op_begin(rq, AK_OP_WRITES, NULL, 0);
    enum ak_body_kind body_kind;
    struct ak_op_key key;
    size_t len;

    if (op == NULL)
        return;
    body_kind = ak_body_accept(rq, accepted);
    if (body_kind == AK_BODY_OTHER || !ak_op_read_key(op, &key))
        return;
    op->submission.change.kind = kind;
    op->submission.change.key = key.key;
    op->submission.change.producer_seq = key.producer_seq;
    ak_request_body(rq, &len);
    count_bytes(op, body_kind, len);
    if (len > READ_HERE || op->settings.extractor[0] != '\0')
        ak_op_offload_images(op, read_rows);
    else
        read_rows(op);
}
