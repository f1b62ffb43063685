/*
 * search_run.c -- codes of the queries, scans, hits.
 *
 * Where a request runs: what is short, on the thread of HTTP that read it.  What
 * needs the disk or brings many queries of its own, as a task of the search pool,
 * a slice at a time.  All else goes by the collection's gather: while such
 * requests are scanned those that come wait, and go next together, when the first
 * thread of the pool has nothing left to do for those before.  That includes what
 * is not so short that it would be over before anyone could have joined.
 */
#include "server/json_memory.h"
#include "server/search.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/digest.h"
#include "core/base/mem.h"
#include "server/metrics.h"

/* A scan that is shorter runs where it is, whoever else is at work. */
#define AT_ONCE_NS UINT64_C(20000)
/* One that is shorter runs on a thread of HTTP, if no other is at work. */
#define SHORT_NS UINT64_C(1000000)
/* And if none has ended just now: the time between two requests that one thread
   of HTTP takes up one after the other, but shorter than a client's way. */
#define QUIET_NS UINT64_C(40000)
/* A request is scanned in slices of about so long, so that what comes behind a
   large one need not wait for all of it. */
#define SLICE_NS UINT64_C(20000000)

/* Requests of more queries are large: they need no others beside them. */
#define LARGE 64
/* Requests in one round. */
#define MOST_REQUESTS 128

enum ak_status ak_search_scope(const struct ak_query *query,
                               const struct ak_settings *settings,
                               uint64_t *out, struct ak_err *err)
{
    char *filter =
        query->filter_json == NULL
            ? NULL
            : ak_json_text(query->filter_json,
                           JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
    const struct ak_piece pieces[] = {
        {settings->name, strlen(settings->name) + 1},
        {query->code, ak_code_bytes(settings->bits)},
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
    uint64_t start;
    uint8_t *codes;
    float *y = NULL;
    void *scratch;

    if (n == 0)
        return AK_OK;
    start = ak_clock_ns();
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
    status = ak_search_scope(query, &op->settings, &scope, err);
    if (status == AK_OK && scope != query->cursor.scope)
        return refuse(q, "invalid-cursor", err, "/cursor: is of another search",
                      query->pointer);
    return status;
}

static bool same_filter(const struct ak_query *a, const struct ak_query *b)
{
    return a->filter == b->filter ||
           (a->filter_json != NULL && b->filter_json != NULL &&
            json_equal(a->filter_json, b->filter_json));
}

/* Neighbours that have equal filters get one, and can be scanned together. */
static enum ak_status bind_filter(struct ak_op *op, struct ak_queries *q,
                                  size_t i, const struct ak_filter_names *names,
                                  struct ak_err *err)
{
    struct ak_query *query = &q->list[i];

    if (i > 0 && same_filter(query, &q->list[i - 1])) {
        query->bound = q->list[i - 1].bound;
        return AK_OK;
    }
    return ak_filter_bind(query->filter, names, &op->arena, &query->bound, err);
}

static void set_scan(const struct ak_op *op, const struct ak_queries *q,
                     struct ak_query *query)
{
    query->scan = (struct ak_scan){
        .snapshot = q->lookup.snapshot,
        .code = query->code,
        .bits = op->settings.bits,
        .limit = (size_t)ak_search_candidates(query),
        .max_distance = query->max_distance,
        .filter = query->bound,
        .paging = query->paging,
        .after_distance = query->cursor.distance,
        .after_ordinal = query->cursor.ordinal,
        .deadline_ns = query->deadline_ns,
        .hits = query->hits,
    };
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
                     : bind_filter(op, q, i, &names, err);
        set_scan(op, q, query);
    }
    return status;
}

/* ------------------------------------------------------------- a piece of it */

static bool same_rank(const struct ak_query *a, const struct ak_query *b)
{
    return a->rerank == b->rerank && a->limit == b->limit &&
           a->oversample == b->oversample && a->deadline_ns == b->deadline_ns;
}

/* Where queries from .. from + n - 1 have their candidates until they are
   ranked, if they have any. */
static enum ak_status take_room(struct ak_queries *q, size_t from, size_t n,
                                struct ak_err *err)
{
    size_t sum = 0, at = 0;

    for (size_t i = from; i < from + n; i++)
        if (q->list[i].rerank != AK_RERANK_NONE)
            sum += q->list[i].scan.limit;
    if (sum == 0)
        return AK_OK;
    q->room = ak_array_new(sum, sizeof(*q->room));
    if (q->room == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for %zu candidates", sum);
    for (size_t i = from; i < from + n; i++) {
        if (q->list[i].rerank == AK_RERANK_NONE)
            continue;
        q->list[i].scan.hits = q->room + at;
        at += q->list[i].scan.limit;
    }
    return AK_OK;
}

static void count(const struct ak_query *query)
{
    const struct ak_search_result *r = &query->result;

    ak_metric_add(AK_METRIC_QUERY_CODES_SCANNED, 0, r->searched);
    ak_metric_observe(AK_METRIC_QUERY_RESULTS, 0, (double)r->n_hits);
    if (!r->complete)
        ak_metric_add(AK_METRIC_QUERY_INCOMPLETE, 0, 1);
    if (r->n_hits > 0)
        ak_metric_observe(AK_METRIC_QUERY_TOP_DISTANCE, 0,
                          query->hits[0].distance);
}

/* What was found becomes the hits. */
static enum ak_status rank(struct ak_op *op, struct ak_queries *q, size_t from,
                           size_t n, struct ak_err *err)
{
    size_t end = from + n;
    enum ak_status status = AK_OK;

    for (size_t i = from; i < end; i++)
        q->list[i].result = q->list[i].scan.result;
    for (size_t i = from, m; i < end && status == AK_OK; i += m) {
        m = 1;
        if (q->list[i].rerank == AK_RERANK_NONE)
            continue;
        while (i + m < end && same_rank(&q->list[i], &q->list[i + m]))
            m++;
        status = ak_search_rank(op, q, i, m, err);
    }
    for (size_t i = from; i < end && status == AK_OK; i++)
        count(&q->list[i]);
    ak_array_free(q->room);
    q->room = NULL;
    return status;
}

/* ---------------------------------------------------------------- a request */

/* Another extractor serves than the one by which the queries were read: those
   that are images go through it. */
static enum ak_status extract_again(struct ak_op *op, struct ak_queries *q,
                                    struct ak_err *err)
{
    struct ak_rows *rows = &op->rows;

    ak_rows_restart(rows);
    for (size_t i = 0; i < q->n; i++) {
        struct ak_query *query = &q->list[i];

        if (query->by != AK_QUERY_VECTOR)
            continue;
        if (query->image.data == NULL)
            return refuse(q, "state-conflict", err,
                          ": the collection has another extractor by now",
                          query->pointer);
        query->row = rows->n;
        snprintf(rows->at, sizeof(rows->at), "%s", query->pointer);
        if (!ak_rows_add_image(rows, 0, "image", query->image))
            return rows->status != AK_OK
                       ? ak_fail(err, AK_ENOMEM, "no memory for an image")
                       : refuse(q, "state-conflict", err,
                                ": the extractor that serves by now does not "
                                "take the image",
                                query->pointer);
        rows->n++;
    }
    return AK_OK;
}

static enum ak_status begin(struct ak_op *op, struct ak_queries *q,
                            struct ak_err *err)
{
    uint64_t space = op->settings.space;
    enum ak_status status = AK_OK;

    ak_lookup_init(&q->lookup, op->c, &op->settings);
    if (op->settings.space != space)
        status = extract_again(op, q, err);
    return status == AK_OK ? prepare(op, q, err) : status;
}

static void end(struct ak_op *op, struct ak_queries *q, enum ak_status status,
                struct ak_err *err)
{
    struct ak_text text = {0};
    uint64_t version, seq;

    if (status == AK_OK)
        status = ak_search_write(op, q, &text, err);
    version = ak_snapshot_version(q->lookup.snapshot);
    seq = q->lookup.visible_seq;
    /* Before the answer: with it, the op and all in it may be gone. */
    ak_array_free(q->room);
    q->room = NULL;
    ak_lookup_clear(&q->lookup);
    ak_op_headers(op, version, seq);
    if (status == AK_OK) {
        ak_reply_bytes(op->rq, 200, "application/json", text.data, text.len);
        return;
    }
    ak_text_clear(&text);
    if (q->slug != NULL)
        ak_reply_problem(op->rq, q->slug, "%s", err->text);
    else
        ak_op_fail(op, status, err);
}

static struct ak_pool *pool_of(struct ak_op *op)
{
    return ak_engine_search_pool(ak_request_engine(op->rq));
}

/* The next queries, as many as one slice can take. */
static enum ak_status run_some(struct ak_op *op, struct ak_queries *q,
                               struct ak_err *err)
{
    uint64_t one = ak_scan_estimate(q->lookup.snapshot, op->settings.bits, 1);
    size_t from = q->done, n = 0, found = 0, most = q->n - from;
    struct ak_scan *alone, **list = &alone;
    enum ak_status status;
    uint64_t start;

    if (one > 0 && most > SLICE_NS / one)
        most = (size_t)(SLICE_NS / one);
    do
        found += q->list[from + n++].scan.limit;
    while (n < most && found < AK_SCAN_HITS);
    if (n > 1)
        list = ak_array_new(n, sizeof(*list));
    if (list == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for %zu queries", n);
    for (size_t i = 0; i < n; i++)
        list[i] = &q->list[from + i].scan;
    status = take_room(q, from, n, err);
    if (status == AK_OK) {
        start = ak_clock_ns();
        status = ak_scan_run(list, n, pool_of(op), err);
        ak_request_stage(op->rq, "scan", ak_clock_ns() - start);
    }
    if (status == AK_OK)
        status = rank(op, q, from, n, err);
    if (n > 1)
        ak_array_free(list);
    q->done += n;
    return status;
}

/* A slice of a request that goes by itself; the last one answers. */
static void run_slice(struct ak_op *op)
{
    struct ak_queries *q = op->arg;
    struct ak_err err = {0};
    enum ak_status status = AK_OK;

    if (q->done == 0)
        status = begin(op, q, &err);
    if (status == AK_OK)
        status = run_some(op, q, &err);
    if (status == AK_OK && q->done < q->n)
        ak_op_offload(op, run_slice);
    else
        end(op, q, status, &err);
}

/* ------------------------------------------------------------------- a round */

struct round {
    struct ak_queries *list[MOST_REQUESTS];
    size_t n, n_scans;
};

static void leave(struct ak_collection *c);

/* All requests of a round at once. */
static void run_requests(struct round *r, struct ak_pool *pool)
{
    struct ak_scan **list = ak_array_new(r->n_scans, sizeof(*list));
    struct ak_err err = {0};
    enum ak_status status = AK_OK;
    uint64_t start = ak_clock_ns(), ns;
    size_t n = 0;

    if (list == NULL)
        status =
            ak_fail(&err, AK_ENOMEM, "no memory for %zu queries", r->n_scans);
    for (size_t i = 0; i < r->n && status == AK_OK; i++)
        for (size_t k = 0; k < r->list[i]->n; k++)
            list[n++] = &r->list[i]->list[k].scan;
    if (n > 0 && status == AK_OK)
        status = ak_scan_run(list, n, pool, &err);
    ak_array_free(list);
    ns = ak_clock_ns() - start;
    for (size_t i = 0; i < r->n; i++) {
        struct ak_queries *q = r->list[i];
        struct ak_err mine = err;
        enum ak_status s = status;

        ak_request_stage(q->op->rq, "scan", ns);
        if (s == AK_OK)
            s = rank(q->op, q, 0, q->n, &mine);
        end(q->op, q, s, &mine);
    }
}

static void run_round(void *arg)
{
    struct ak_collection *c = arg;
    struct ak_gather_item *item =
        ak_gather_take(ak_collection_gather(c), MOST_REQUESTS);
    struct ak_pool *pool = NULL;
    struct round r = {.n = 0};
    uint64_t now = ak_clock_ns();

    for (struct ak_gather_item *next; item != NULL; item = next) {
        struct ak_queries *q = (struct ak_queries *)item;
        struct ak_err err = {0};
        enum ak_status status;

        next = item->next;
        pool = pool_of(q->op);
        ak_request_stage(q->op->rq, "queue", now - q->queued_ns);
        status = begin(q->op, q, &err);
        if (status == AK_OK)
            status = take_room(q, 0, q->n, &err);
        if (status != AK_OK) {
            end(q->op, q, status, &err);
            continue;
        }
        r.list[r.n++] = q;
        r.n_scans += q->n;
    }
    if (r.n > 0)
        run_requests(&r, pool);
    leave(c);
}

/* The gather was left to those who wait, if any; the collection is held until
   their round, or given back. */
static void leave(struct ak_collection *c)
{
    if (ak_gather_end(ak_collection_gather(c)))
        ak_engine_run(ak_collection_engine(c), run_round, c);
    else
        ak_collection_drop(c);
}

/* ------------------------------------------------------------- which way it goes */

static bool has_ids(const struct ak_filter_text *filter)
{
    for (size_t k = 0; filter != NULL && k < 3; k++)
        for (size_t i = 0; i < filter->n[k]; i++)
            if (filter->clause[k][i].n_ids > 0)
                return true;
    return false;
}

/* It needs no disk, and neither many hits nor many queries are asked for. */
static bool is_light(const struct ak_queries *q)
{
    size_t found = 0;

    for (size_t i = 0; i < q->n; i++) {
        const struct ak_query *query = &q->list[i];

        found += ak_search_candidates(query);
        if (query->by == AK_QUERY_ID || has_ids(query->filter) ||
            query->with & (AK_WITH_PAYLOAD | AK_WITH_EXPLAIN) ||
            query->rerank == AK_RERANK_FEATURE || found > AK_SCAN_HITS)
            return false;
    }
    return q->n < LARGE;
}

void ak_search_run(struct ak_op *op)
{
    struct ak_queries *q = op->arg;
    struct ak_collection *c = op->c;
    struct ak_gather *gather = ak_collection_gather(c);
    struct ak_snapshot *s;
    uint64_t ns;

    q->op = op;
    if (!is_light(q)) {
        ak_op_offload(op, run_slice);
        return;
    }
    s = ak_collection_snapshot(c);
    ns = ak_scan_estimate(s, op->settings.bits, q->n);
    ak_snapshot_drop(s);
    if (ns < AT_ONCE_NS) {
        run_slice(op);
        return;
    }
    /* With the answer the op is gone, and with it perhaps the collection. */
    ak_collection_ref(c);
    if (ns < SHORT_NS && ak_gather_begin(gather, QUIET_NS)) {
        run_slice(op);
        leave(c);
        return;
    }
    q->queued_ns = ak_clock_ns();
    if (ak_gather_push(gather, &q->item))
        ak_engine_run(ak_collection_engine(c), run_round, c);
    else
        ak_collection_drop(c);
}
