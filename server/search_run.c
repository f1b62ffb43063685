#include "server/search.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/digest.h"
#include "core/base/mem.h"

/* Words that are compared in well under a millisecond by the slowest kernel. */
#define SMALL_SCAN 2000000
#define SMALL_ROWS 8

/* Hits that one scan looks for; more queries than that go in several. */
#define MOST_FOUND ((size_t)1 << 18)

bool ak_search_is_small(struct ak_op *op, const struct ak_queries *q)
{
    struct ak_collection_status now;
    uint64_t words;

    for (size_t i = 0; i < q->n; i++)
        if (q->list[i].by == AK_QUERY_ID ||
            q->list[i].with & (AK_WITH_PAYLOAD | AK_WITH_EXPLAIN) ||
            q->list[i].rerank == AK_RERANK_FEATURE || q->list[i].filter != NULL)
            return false;
    ak_collection_status(op->c, &now);
    words = now.rows * ak_code_words(op->settings.bits) * q->n;
    return q->n <= SMALL_ROWS && words <= SMALL_SCAN;
}

enum ak_status ak_search_scope(const struct ak_query *query, size_t code_len,
                               uint64_t *out, struct ak_err *err)
{
    char *filter =
        query->filter_json == NULL
            ? NULL
            : json_dumps(query->filter_json,
                         JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
    const struct ak_piece pieces[] = {
        {query->code, code_len},
        {&query->max_distance, sizeof(query->max_distance)},
        {filter, filter == NULL ? 0 : strlen(filter)}};
    uint8_t sum[AK_SHA256_LEN];
    enum ak_status status = AK_OK;

    if (query->filter_json != NULL && filter == NULL)
        status = ak_fail(err, AK_ENOMEM, "no memory for a filter");
    if (status == AK_OK)
        status = ak_sha256(pieces, AK_COUNT(pieces), sum, err);
    if (status == AK_OK)
        memcpy(out, sum, sizeof(*out));
    free(filter);
    return status;
}

/* ------------------------------------------------------------ codes to look for */

/* Projections of x (n, dim), and the codes that are their signs. */
static void project(const struct ak_encoder *model, const float *x, size_t n,
                    uint32_t bits, float *y, uint8_t *codes, void *scratch)
{
    ak_encoder_project(model, x, n, y, scratch);
    memset(codes, 0, n * ak_code_bytes(bits));
    for (size_t i = 0; i < n * bits; i++)
        if (y[i] > 0)
            codes[i / 8] |= (uint8_t)(0x80u >> i % 8);
}

static bool wants(const struct ak_queries *q, enum ak_rerank rerank)
{
    for (size_t i = 0; i < q->n; i++)
        if (q->list[i].rerank == rerank)
            return true;
    return false;
}

/* Codes of all vectors at once, by the model of the snapshot. */
static enum ak_status encode_vectors(struct ak_op *op, struct ak_queries *q,
                                     struct ak_err *err)
{
    struct ak_encoder *model = ak_collection_model(q->lookup.snapshot);
    size_t n = op->rows.vectors.len / sizeof(float) /
               (op->settings.dim > 0 ? op->settings.dim : 1);
    size_t len = ak_code_bytes(op->settings.bits), bits = op->settings.bits;
    bool projected = wants(q, AK_RERANK_ASYMMETRIC);
    const float *x = ak_rows_vectors(&op->rows);
    uint64_t start = ak_clock_ns();
    uint8_t *codes;
    float *y = NULL;
    void *scratch;

    if (n == 0)
        return AK_OK;
    if (model == NULL)
        return ak_fail(err, AK_EINVAL, "kind %s has no model",
                       op->settings.kind);
    codes = ak_arena_array(&op->arena, n, len);
    if (projected)
        y = ak_arena_array(&op->arena, n, bits * sizeof(*y));
    scratch = ak_array_new(1, ak_encoder_scratch(model));
    if (codes == NULL || (projected && y == NULL) || scratch == NULL) {
        ak_array_free(scratch);
        return ak_fail(err, AK_ENOMEM, "no memory for %zu codes", n);
    }
    if (projected)
        project(model, x, n, (uint32_t)bits, y, codes, scratch);
    else
        ak_encoder_encode(model, x, n, codes, scratch);
    ak_array_free(scratch);
    for (size_t i = 0; i < q->n; i++) {
        struct ak_query *query = &q->list[i];

        if (query->by != AK_QUERY_VECTOR)
            continue;
        memcpy(query->code, codes + query->row * len, len);
        query->x = (float *)(uintptr_t)x + query->row * op->settings.dim;
        if (projected)
            query->y = y + query->row * bits;
    }
    ak_request_stage(op->rq, "hash", ak_clock_ns() - start);
    return AK_OK;
}

/* Say what the answer is, once the snapshot and the view are given back. */
static enum ak_status refuse(struct ak_queries *q, const char *slug,
                             struct ak_err *err, const char *text,
                             const char *at)
{
    q->slug = slug;
    return ak_fail(err, AK_EINVAL, "%s%s", at, text);
}

/* What a rerank needs of a stored row. */
static enum ak_status look_up_looks(struct ak_op *op, struct ak_queries *q,
                                    struct ak_query *query, struct ak_err *err)
{
    struct ak_encoder *model = ak_collection_model(q->lookup.snapshot);
    uint8_t code[AK_CODE_MAX_BITS / 8];
    enum ak_status status;
    void *scratch;

    query->x = ak_arena_array(&op->arena, op->settings.dim, sizeof(float));
    query->y = ak_arena_array(&op->arena, op->settings.bits, sizeof(float));
    if (query->x == NULL || query->y == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for a vector");
    status = ak_lookup_vector(&q->lookup, query->ordinal, query->x, err);
    if (status != AK_OK || query->rerank != AK_RERANK_ASYMMETRIC)
        return status;
    scratch = ak_array_new(1, ak_encoder_scratch(model));
    if (scratch == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for projections");
    project(model, query->x, 1, op->settings.bits, query->y, code, scratch);
    ak_array_free(scratch);
    return AK_OK;
}

/* The code that a stored row has. */
static enum ak_status look_up_id(struct ak_op *op, struct ak_queries *q,
                                 struct ak_query *query, struct ak_err *err)
{
    size_t n = 0;
    enum ak_status status =
        ak_lookup_rows(&q->lookup, &query->id, 1, &query->ordinal, &n, err);

    if (status == AK_OK && n == 0)
        return refuse(q, "not-found", err, "/query/id: there is no such item",
                      query->pointer);
    if (status != AK_OK)
        return status;
    ak_snapshot_code(q->lookup.snapshot, query->ordinal, query->code);
    return query->rerank == AK_RERANK_NONE ? AK_OK
                                           : look_up_looks(op, q, query, err);
}

/* A cursor belongs to one search under one model. */
static enum ak_status check_cursor(struct ak_op *op, struct ak_queries *q,
                                   struct ak_query *query, struct ak_err *err)
{
    uint64_t version = ak_snapshot_version(q->lookup.snapshot), scope = 0;
    enum ak_status status;

    if (!query->paging)
        return AK_OK;
    if (query->cursor.version != version)
        return refuse(q, "state-conflict", err,
                      "/cursor: another model version serves now; begin again",
                      query->pointer);
    status =
        ak_search_scope(query, ak_code_bytes(op->settings.bits), &scope, err);
    if (status == AK_OK && scope != query->cursor.scope)
        return refuse(q, "invalid-cursor", err, "/cursor: is of another search",
                      query->pointer);
    return status;
}

static enum ak_status prepare(struct ak_op *op, struct ak_queries *q,
                              struct ak_err *err)
{
    struct ak_filter_names names = ak_lookup_names(&q->lookup);
    enum ak_status status = encode_vectors(op, q, err);

    for (size_t i = 0; i < q->n && status == AK_OK; i++) {
        struct ak_query *query = &q->list[i];

        if (query->by == AK_QUERY_ID)
            status = look_up_id(op, q, query, err);
        if (status == AK_OK)
            status = check_cursor(op, q, query, err);
        if (status != AK_OK)
            break;
        query->hits =
            ak_arena_array(&op->arena, query->limit, sizeof(*query->hits));
        status = query->hits == NULL
                     ? ak_fail(err, AK_ENOMEM, "no memory for hits")
                     : ak_filter_bind(query->filter, &names, &op->arena,
                                      &query->bound, err);
    }
    return status;
}

/* --------------------------------------------------------------------- scans */

/* Queries that ask for the same but for their code are scanned together. */
static bool go_together(const struct ak_query *a, const struct ak_query *b)
{
    bool same_filter = a->filter == b->filter ||
                       (a->filter_json != NULL && b->filter_json != NULL &&
                        json_equal(a->filter_json, b->filter_json));

    return !a->paging && !b->paging && a->limit == b->limit &&
           a->rerank == b->rerank && a->oversample == b->oversample &&
           a->max_distance == b->max_distance &&
           a->deadline_ns == b->deadline_ns && same_filter;
}

static enum ak_status scan(struct ak_op *op, struct ak_queries *q, size_t from,
                           size_t n, struct ak_err *err)
{
    struct ak_query *first = &q->list[from];
    size_t len = ak_code_bytes(op->settings.bits);
    size_t limit = (size_t)ak_search_candidates(first);
    uint64_t start = ak_clock_ns();
    uint8_t *codes = ak_array_new(n, len);
    struct ak_hit *hits = ak_array_new(n, limit * sizeof(*hits));
    struct ak_search_result *results = ak_array_new(n, sizeof(*results));
    const struct ak_search search = {
        .codes = codes,
        .n = n,
        .limit = limit,
        .max_distance = first->max_distance,
        .filter = first->bound,
        .paging = first->paging,
        .after_distance = first->cursor.distance,
        .after_ordinal = first->cursor.ordinal,
        .deadline_ns = first->deadline_ns,
    };
    enum ak_status status = AK_ENOMEM;

    if (codes == NULL || hits == NULL || results == NULL) {
        ak_fail(err, AK_ENOMEM, "no memory for %zu queries", n);
        goto out;
    }
    for (size_t i = 0; i < n; i++)
        memcpy(codes + i * len, first[i].code, len);
    status =
        ak_snapshot_search(q->lookup.snapshot, &search, hits, results, err);
    ak_request_stage(op->rq, "scan", ak_clock_ns() - start);
    for (size_t i = 0; i < n && status == AK_OK; i++)
        first[i].result = results[i];
    if (status == AK_OK && first->rerank != AK_RERANK_NONE)
        status = ak_search_rank(op, q, from, n, hits, err);
    for (size_t i = 0; i < n && status == AK_OK; i++) {
        if (first[i].result.n_hits > first->limit)
            first[i].result.n_hits = (size_t)first->limit;
        memcpy(first[i].hits, hits + i * limit,
               first[i].result.n_hits * sizeof(*hits));
    }
out:
    ak_array_free(results);
    ak_array_free(hits);
    ak_array_free(codes);
    return status;
}

static enum ak_status scan_all(struct ak_op *op, struct ak_queries *q,
                               struct ak_err *err)
{
    enum ak_status status = AK_OK;

    for (size_t i = 0, n; i < q->n && status == AK_OK; i += n) {
        uint64_t most = MOST_FOUND / ak_search_candidates(&q->list[i]);

        n = 1;
        while (i + n < q->n && n < most &&
               go_together(&q->list[i], &q->list[i + n]))
            n++;
        status = scan(op, q, i, n, err);
    }
    return status;
}

void ak_search_run(struct ak_op *op, struct ak_queries *q)
{
    struct ak_text text = {0};
    struct ak_err err = {0};
    uint64_t version, seq;
    enum ak_status status;

    ak_lookup_init(&q->lookup, op->c, &op->settings);
    status = prepare(op, q, &err);
    if (status == AK_OK)
        status = scan_all(op, q, &err);
    if (status == AK_OK)
        status = ak_search_write(op, q, &text, &err);
    version = ak_snapshot_version(q->lookup.snapshot);
    seq = q->lookup.visible_seq;
    /* Before the answer: with it, the op and all in it may be gone. */
    ak_lookup_clear(&q->lookup);
    ak_op_headers(op, version, seq);
    if (status == AK_OK) {
        ak_reply_bytes(op->rq, 200, "application/json", text.data, text.len);
        return;
    }
    ak_text_clear(&text);
    if (q->slug != NULL)
        ak_reply_problem(op->rq, q->slug, "%s", err.text);
    else
        ak_op_fail(op, status, &err);
}
