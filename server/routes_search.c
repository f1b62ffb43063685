/* routes_search.c -- search, search/batch and encode. */
#include "server/routes.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/hex.h"
#include "core/base/mem.h"
#include "server/body_rows.h"
#include "server/npy.h"
#include "server/op.h"
#include "server/search.h"

/* Longer bodies, and images, are read on the pool. */
#define READ_HERE 65536

/* ------------------------------------------------------------------ search */

static void read_search(struct ak_op *op)
{
    struct ak_queries *q = op->arg;

    if (ak_search_read(op, q, q->batch))
        ak_op_run_here(op, ak_search_run);
}

static void search(struct ak_request *rq, bool batch, unsigned accepted)
{
    static const char *const names[] = {"limit", "label", "rerank",
                                        "oversample"};
    /* A JSON body says itself what it wants. */
    bool json = ak_body_kind(rq) == AK_BODY_JSON;
    struct ak_op *op =
        ak_op_begin(rq, AK_OP_READS, names, json ? 0 : AK_COUNT(names));
    struct ak_queries *q;
    enum ak_body_kind kind;
    const uint8_t *body;
    size_t len;

    if (op == NULL)
        return;
    kind = ak_body_accept(rq, accepted);
    if (kind == AK_BODY_OTHER)
        return;
    q = ak_arena_array(&op->arena, 1, sizeof(*q));
    if (q == NULL) {
        ak_op_fail(op, AK_ENOMEM, NULL);
        return;
    }
    q->batch = batch;
    op->arg = q;
    body = ak_request_body(rq, &len);
    if (kind == AK_BODY_IMAGE || len > READ_HERE ||
        (json && memmem(body, len, "\"image\"", 7) != NULL))
        ak_op_offload(op, read_search);
    else
        read_search(op);
}

static void post_search(struct ak_request *rq)
{
    search(rq, false, AK_BODY_JSON | AK_BODY_NPY | AK_BODY_IMAGE);
}

static void post_search_batch(struct ak_request *rq)
{
    search(rq, true, AK_BODY_JSON | AK_BODY_NPY);
}

/* ------------------------------------------------------------------ encode */

static bool wants_npy(struct ak_request *rq)
{
    const char *accept = ak_request_header(rq, "Accept");

    return accept != NULL && strstr(accept, "application/x-npy") != NULL;
}

static void reply_npy(struct ak_op *op, const uint8_t *codes, size_t n,
                      size_t len)
{
    const uint64_t shape[] = {n, len};
    struct ak_writer w = {0};

    ak_npy_write_header(&w, AK_NPY_U8, 2, shape);
    ak_write_bytes(&w, codes, n * len);
    if (w.status == AK_OK) {
        ak_reply_bytes(op->rq, 200, "application/x-npy", w.data, w.len);
        return;
    }
    ak_writer_clear(&w);
    ak_op_fail(op, AK_ENOMEM, NULL);
}

static void reply_codes(struct ak_op *op, const uint8_t *codes, size_t n,
                        size_t len, uint64_t version)
{
    char hex[AK_CODE_MAX_BITS / 4 + 1];
    json_t *list = json_array();

    for (size_t i = 0; i < n && list != NULL; i++) {
        ak_hex_encode(codes + i * len, len, hex);
        if (json_array_append_new(list, json_string(hex)) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    if (list == NULL)
        ak_op_fail(op, AK_ENOMEM, NULL);
    else
        ak_reply_json(op->rq, 200,
                      json_pack("{s:I, s:o}", "model_version",
                                (json_int_t)version, "codes", list));
}

static void encode_rows(struct ak_op *op)
{
    size_t n = op->rows.n, len = ak_code_bytes(op->settings.bits);
    uint8_t *codes = ak_arena_array(&op->arena, n, len);
    uint64_t start = ak_clock_ns(), version, seq, space = op->settings.space;
    struct ak_lookup l;
    struct ak_encoder *model;
    void *scratch;

    ak_lookup_init(&l, op->c, &op->settings);
    if (op->settings.space != space) {
        ak_lookup_clear(&l);
        ak_reply_problem(op->rq, "state-conflict",
                         "another extractor took over while this was read; "
                         "ask again");
        return;
    }
    model = ak_collection_model(l.snapshot);
    version = ak_snapshot_version(l.snapshot);
    seq = l.visible_seq;
    scratch = model == NULL ? NULL : ak_array_new(1, ak_encoder_scratch(model));
    if (codes != NULL && scratch != NULL)
        ak_encoder_encode(model, ak_rows_vectors(&op->rows), n, codes, scratch);
    ak_lookup_clear(&l);
    if (codes == NULL || scratch == NULL) {
        ak_array_free(scratch);
        ak_op_fail(op, AK_ENOMEM, NULL);
        return;
    }
    ak_array_free(scratch);
    ak_request_stage(op->rq, "hash", ak_clock_ns() - start);
    ak_op_headers(op, version, seq);
    if (wants_npy(op->rq))
        reply_npy(op, codes, n, len);
    else
        reply_codes(op, codes, n, len, version);
}

static void read_encode(struct ak_op *op)
{
    uint64_t start = ak_clock_ns();
    size_t len;
    uint8_t *body = ak_request_body(op->rq, &len);

    ak_rows_init(&op->rows, &op->settings, ak_op_extractors(op),
                 AK_ROWS_ENCODE);
    ak_body_read_rows(&op->rows, ak_body_kind(op->rq),
                      ak_request_header(op->rq, "Content-Type"), body, len);
    ak_op_decoded(op, &op->rows, start);
    if (op->rows.status != AK_OK)
        ak_op_fail(op, op->rows.status, NULL);
    else if (!ak_faults_none(&op->rows.faults))
        ak_faults_reply(op->rq, &op->rows.faults);
    else
        encode_rows(op);
}

static void post_encode(struct ak_request *rq)
{
    struct ak_op *op = ak_op_begin(rq, AK_OP_READS, NULL, 0);

    if (op == NULL)
        return;
    if (ak_body_accept(rq, AK_BODY_JSON | AK_BODY_NPY | AK_BODY_MULTIPART |
                               AK_BODY_IMAGE) == AK_BODY_OTHER)
        return;
    if (op->settings.format == AK_FORMAT_CODE)
        ak_reply_problem(rq, "state-conflict",
                         "kind %s has no model: its codes come from outside",
                         op->settings.kind);
    else
        ak_op_run(op, read_encode);
}

const struct ak_route ak_routes_search[] = {
    {"POST", "/v1/collections/{c}/search", post_search, 0,
     "the nearest items to a vector, an image, a code or an item"},
    {"POST", "/v1/collections/{c}/search/batch", post_search_batch, 0,
     "many searches, scanned together"},
    {"POST", "/v1/collections/{c}/encode", post_encode, 0,
     "codes of vectors or images; nothing is stored"},
    {0},
};
