#include "server/search.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/hex.h"
#include "server/body_rows.h"
#include "server/id_json.h"
#include "server/json_read.h"
#include "server/limits.h"
#include "server/pointer.h"
#include "server/rows_columns.h"

#define DEFAULT_LIMIT 10
#define POINTER       128

struct reader {
    struct ak_op *op;
    struct ak_faults *faults;
    bool answered;
};

static void fault_at(struct reader *r, const char *base, const char *key,
                     const char *code, const char *text)
{
    char at[POINTER];

    snprintf(at, sizeof(at), "%s", base);
    if (key != NULL)
        ak_pointer_add(at, sizeof(at), key);
    ak_faults_add(r->faults, at, code, "%s", text);
}

static void known(struct reader *r, const char *base, const json_t *o,
                  const char *const *names, size_t n)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)o, key, value)
    {
        size_t i = 0;

        while (i < n && strcmp(key, names[i]) != 0)
            i++;
        if (i == n)
            fault_at(r, base, key, "unknown-field", "no such field");
    }
}

/* -------------------------------------------------------------- what is near */

static void read_code(struct reader *r, const char *at, const json_t *value,
                      struct ak_query *q)
{
    size_t want = 2 * ak_code_bytes(r->op->settings.bits);
    size_t digits = json_string_length(value);
    char text[80];

    q->by = AK_QUERY_CODE;
    if (json_is_string(value) && digits != want) {
        snprintf(text, sizeof(text), "%zu hex digits expected, %zu given", want,
                 digits);
        fault_at(r, at, "code", "dim-mismatch", text);
    } else if (!json_is_string(value) ||
               !ak_hex_decode(json_string_value(value), digits, q->code,
                              digits / 2)) {
        fault_at(r, at, "code", "validation-failed",
                 "must be a string of hex digits");
    }
}

static void read_id(struct reader *r, const char *at, const json_t *value,
                    struct ak_query *q)
{
    char why[AK_ID_WHY];

    q->by = AK_QUERY_ID;
    if (!ak_id_read(value, r->op->settings.string_ids, &q->id, why))
        fault_at(r, at, "id", "validation-failed", why);
}

/* A vector or an image: one more row of op->rows. */
static void read_row(struct reader *r, const char *at, const json_t *vector,
                     const json_t *image, struct ak_query *q)
{
    struct ak_rows *rows = &r->op->rows;
    struct ak_bytes file;
    const float *values;
    size_t n;

    q->by = AK_QUERY_VECTOR;
    q->row = rows->n;
    snprintf(rows->at, sizeof(rows->at), "%s", at);
    if (vector != NULL) {
        values = ak_json_vector(&r->op->json, vector, &n);
        if (values == NULL)
            ak_rows_fault(rows, 0, "vector", "validation-failed",
                          "must be an array of numbers");
        else if (ak_rows_add_vector(rows, 0, "vector", values, n))
            rows->n++;
    } else if (ak_rows_read_image(rows, 0, image, NULL, &file) &&
               ak_rows_add_image(rows, 0, "image", file)) {
        q->image = file;
        rows->n++;
    }
}

static void read_looks(struct reader *r, const char *base, const json_t *query,
                       struct ak_query *q)
{
    static const char *const names[] = {"vector", "id", "code", "image"};
    const json_t *value[4];
    char at[POINTER], text[80];
    int given = 0;

    snprintf(at, sizeof(at), "%s", base);
    ak_pointer_add(at, sizeof(at), "query");
    if (!json_is_object(query)) {
        fault_at(r, at, NULL, "validation-failed",
                 "must be an object with one of vector, id, code and image");
        return;
    }
    known(r, at, query, names, AK_COUNT(names));
    for (size_t i = 0; i < 4; i++) {
        value[i] = json_object_get(query, names[i]);
        given += value[i] != NULL;
    }
    if (given != 1) {
        snprintf(text, sizeof(text),
                 "must have one of vector, id, code and image, has %d", given);
        fault_at(r, at, NULL, "validation-failed", text);
        return;
    }
    if (value[1] != NULL)
        read_id(r, at, value[1], q);
    else if (value[2] != NULL)
        read_code(r, at, value[2], q);
    else
        read_row(r, at, value[0], value[3], q);
}

/* ------------------------------------------------------------------ how many */

static bool read_integer(struct reader *r, const char *base, const json_t *o,
                         const char *key, json_int_t min, json_int_t max,
                         json_int_t *out)
{
    const json_t *v = json_object_get(o, key);
    char text[80];

    if (v == NULL)
        return false;
    if (json_is_integer(v) && json_integer_value(v) >= min &&
        json_integer_value(v) <= max) {
        *out = json_integer_value(v);
        return true;
    }
    snprintf(text, sizeof(text), "must be an integer, %lld..%lld",
             (long long)min, (long long)max);
    fault_at(r, base, key, "validation-failed", text);
    return false;
}

static void read_timeout(struct reader *r, const char *base, const json_t *o,
                         struct ak_query *q)
{
    const json_t *v = json_object_get(o, "timeout_seconds");
    double max = (double)ak_limits()->max_timeout_ms / 1e3;
    char text[80];

    if (v == NULL)
        return;
    if (json_is_number(v) && json_number_value(v) >= 0 &&
        json_number_value(v) <= max) {
        q->deadline_ns =
            r->op->begun_ns + (uint64_t)(json_number_value(v) * 1e9);
        return;
    }
    snprintf(text, sizeof(text), "must be a number of seconds, 0..%g", max);
    fault_at(r, base, "timeout_seconds", "validation-failed", text);
}

static void read_with(struct reader *r, const char *base, const json_t *o,
                      struct ak_query *q)
{
    static const char *const names[] = {"labels", "payload", "code", "explain"};
    const json_t *list = json_object_get(o, "with"), *entry;
    size_t i;

    if (list == NULL)
        return;
    if (!json_is_array(list)) {
        fault_at(r, base, "with", "validation-failed", "must be an array");
        return;
    }
    q->with = 0;
    json_array_foreach((json_t *)(uintptr_t)list, i, entry)
    {
        const char *name = json_string_value(entry);
        char at[POINTER];
        size_t k = 0;

        while (name != NULL && k < 4 && strcmp(name, names[k]) != 0)
            k++;
        if (name != NULL && k < 4) {
            q->with |= 1u << k;
            continue;
        }
        snprintf(at, sizeof(at), "%s/with", base);
        ak_pointer_add_index(at, sizeof(at), i);
        fault_at(r, at, NULL, "unsupported-option",
                 "must be one of labels, payload, code and explain");
    }
}

static void read_cursor(struct reader *r, const char *base, const json_t *o,
                        struct ak_query *q)
{
    const json_t *v = json_object_get(o, "cursor");

    if (v == NULL || json_is_null(v))
        return;
    if (!json_is_string(v)) {
        fault_at(r, base, "cursor", "validation-failed", "must be a string");
    } else if (q->max_distance == UINT32_MAX) {
        fault_at(r, base, "cursor", "validation-failed",
                 "only a search with max_distance has pages");
    } else if (q->rerank != AK_RERANK_NONE) {
        fault_at(r, base, "cursor", "validation-failed",
                 "a search with rerank has no pages");
    } else if (strlen(json_string_value(v)) != json_string_length(v) ||
               !ak_cursor_read(json_string_value(v), AK_CURSOR_SEARCH,
                               &q->cursor)) {
        ak_faults_whole(r->faults, "invalid-cursor",
                        "the cursor is not one of a search");
    } else {
        q->paging = true;
    }
}

/* ------------------------------------------------------------------- rerank */

/* What a rerank needs is there; told at /rerank beneath `base`, and at
   /oversample beneath `at`. */
static void check_rerank(struct reader *r, const char *base, const char *at,
                         const struct ak_query *q)
{
    const struct ak_settings *s = &r->op->settings;
    uint64_t max = ak_limits()->max_rerank;
    char text[120];

    if (q->rerank == AK_RERANK_NONE)
        return;
    if (s->format == AK_FORMAT_CODE) {
        snprintf(text, sizeof(text),
                 "kind %s has neither features nor projections to rerank by",
                 s->kind);
        fault_at(r, base, "rerank", "unsupported-option", text);
    } else if (q->by == AK_QUERY_CODE) {
        fault_at(r, base, "rerank", "unsupported-option",
                 "a query by code has neither features nor projections to "
                 "rerank by: ask by vector, image or id");
    } else if (ak_search_candidates(q) > max) {
        snprintf(text, sizeof(text),
                 "limit %" PRIu64 " x oversample %" PRIu64
                 " are more than %" PRIu64 " candidates",
                 q->limit, q->oversample, max);
        fault_at(r, at, "oversample", "validation-failed", text);
    }
}

static void read_rerank(struct reader *r, const char *base, const json_t *o,
                        struct ak_query *q)
{
    static const char *const names[] = {"by", "oversample"};
    const json_t *rerank = json_object_get(o, "rerank"), *by;
    char at[POINTER];
    json_int_t n;

    if (rerank == NULL || json_is_null(rerank))
        return;
    snprintf(at, sizeof(at), "%s/rerank", base);
    if (!json_is_object(rerank)) {
        fault_at(r, at, NULL, "validation-failed",
                 "must be null, or an object with by and perhaps oversample");
        return;
    }
    known(r, at, rerank, names, AK_COUNT(names));
    by = json_object_get(rerank, "by");
    if (!json_is_string(by) ||
        !ak_rerank_find(json_string_value(by), &q->rerank)) {
        fault_at(r, at, "by", "unsupported-option",
                 "must be asymmetric or feature");
        return;
    }
    if (read_integer(r, at, rerank, "oversample", 1,
                     (json_int_t)ak_limits()->max_rerank, &n))
        q->oversample = (uint64_t)n;
    check_rerank(r, base, at, q);
}

/* The same of a body that is no JSON; false: it was answered. */
static bool read_rerank_query(struct reader *r, struct ak_query *q)
{
    const char *by = ak_request_query(r->op->rq, "rerank");

    if (by != NULL && !ak_rerank_find(by, &q->rerank)) {
        ak_op_fault(r->op, "/rerank", "unsupported-option",
                    "must be asymmetric or feature");
        return false;
    }
    if (by == NULL && ak_request_query(r->op->rq, "oversample") != NULL) {
        ak_op_fault(r->op, "/oversample", "validation-failed",
                    "must not be given without rerank");
        return false;
    }
    return ak_op_query_number(r->op, "oversample", 1, ak_limits()->max_rerank,
                              AK_RERANK_OVERSAMPLE, &q->oversample);
}

/* What a query starts from: of a request, or of the whole of a batch. */
static void init_query(const struct ak_op *op, struct ak_query *q)
{
    memset(q, 0, sizeof(*q));
    q->limit = DEFAULT_LIMIT;
    q->max_distance = UINT32_MAX;
    q->oversample = AK_RERANK_OVERSAMPLE;
    q->with = AK_WITH_LABELS;
    q->deadline_ns = op->deadline_ns;
}

static void read_query(struct reader *r, const char *base, const json_t *o,
                       struct ak_query *q)
{
    static const char *const names[] = {
        "query",  "limit", "max_distance",    "filter",
        "rerank", "with",  "timeout_seconds", "cursor"};
    char at[POINTER];
    json_int_t n;

    init_query(r->op, q);
    snprintf(q->pointer, sizeof(q->pointer), "%s", base);
    if (!json_is_object(o)) {
        fault_at(r, base, NULL, "validation-failed", "must be an object");
        return;
    }
    known(r, base, o, names, AK_COUNT(names));
    read_looks(r, base, json_object_get(o, "query"), q);
    if (read_integer(r, base, o, "limit", 1, (json_int_t)ak_limits()->max_limit,
                     &n))
        q->limit = (uint64_t)n;
    if (read_integer(r, base, o, "max_distance", 0, r->op->settings.bits, &n))
        q->max_distance = (uint32_t)n;
    read_rerank(r, base, o, q);
    read_timeout(r, base, o, q);
    read_with(r, base, o, q);
    read_cursor(r, base, o, q);
    q->filter_json = json_object_get(o, "filter");
    snprintf(at, sizeof(at), "%s/filter", base);
    if (ak_filter_read(q->filter_json, at, &r->op->settings, &r->op->arena,
                       &q->filter, r->faults) == AK_ENOMEM)
        r->op->rows.status = AK_ENOMEM;
}

/* ------------------------------------------------------------------- bodies */

static bool make_list(struct ak_op *op, struct ak_queries *q, size_t n)
{
    q->list = ak_arena_array(&op->arena, n, sizeof(*q->list));
    if (q->list == NULL)
        op->rows.status = AK_ENOMEM;
    else
        q->n = n;
    return q->list != NULL;
}

static void read_batch(struct reader *r, struct ak_queries *q)
{
    static const char *const names[] = {"queries"};
    const json_t *list = json_object_get(r->op->json.root, "queries"), *entry;
    size_t max = ak_limits()->max_search_batch, i;
    char text[80];

    known(r, "", r->op->json.root, names, AK_COUNT(names));
    if (!json_is_array(list) || json_array_size(list) == 0 ||
        json_array_size(list) > max) {
        snprintf(text, sizeof(text), "must be an array of 1..%zu queries", max);
        fault_at(r, "", "queries", "validation-failed", text);
        return;
    }
    if (!make_list(r->op, q, json_array_size(list)))
        return;
    json_array_foreach((json_t *)(uintptr_t)list, i, entry)
    {
        char at[POINTER] = "/queries";

        ak_pointer_add_index(at, sizeof(at), i);
        read_query(r, at, entry, &q->list[i]);
    }
}

static void read_json(struct reader *r, struct ak_queries *q, uint8_t *bytes,
                      size_t len)
{
    static const char *const hot[] = {"query.vector", "queries[].query.vector"};
    struct ak_op *op = r->op;

    if (!ak_read_json(&op->json, bytes, len, &hot[q->batch], 1,
                      AK_JSON_VALUES_POOL, r->faults))
        return;
    if (!json_is_object(op->json.root))
        fault_at(r, "", NULL, "validation-failed", "must be an object");
    else if (q->batch)
        read_batch(r, q);
    else if (make_list(op, q, 1))
        read_query(r, "", op->json.root, &q->list[0]);
}

/* A body that is no JSON: rows, with limit and label in the query. */
static void read_rows(struct reader *r, struct ak_queries *q,
                      enum ak_body_kind kind, uint8_t *bytes, size_t len)
{
    const char *label = ak_request_query(r->op->rq, "label");
    const struct ak_settings *s = &r->op->settings;
    struct ak_rows *rows = &r->op->rows;
    struct ak_filter_text *filter = NULL;
    struct ak_query all;

    init_query(r->op, &all);
    all.by = s->format == AK_FORMAT_CODE ? AK_QUERY_CODE : AK_QUERY_VECTOR;
    if (!ak_op_query_number(r->op, "limit", 1, ak_limits()->max_limit,
                            DEFAULT_LIMIT, &all.limit) ||
        !read_rerank_query(r, &all)) {
        r->answered = true;
        return;
    }
    check_rerank(r, "", "", &all);
    if (kind == AK_BODY_NPY) {
        ak_rows_add_npy(rows, (struct ak_bytes){bytes, len},
                        q->batch ? ak_limits()->max_search_batch : 1);
    } else {
        snprintf(rows->at, sizeof(rows->at), "/body");
        all.image = (struct ak_bytes){bytes, len};
        rows->n += ak_rows_add_image(rows, 0, "image", all.image);
    }
    if (!ak_rows_going(rows) || !ak_faults_none(&rows->faults) ||
        !make_list(r->op, q, rows->n))
        return;
    if (label != NULL &&
        ak_filter_of_label(label, &r->op->arena, &filter) != AK_OK)
        rows->status = AK_ENOMEM;
    all.filter = filter;
    for (size_t i = 0; i < q->n; i++) {
        struct ak_query *one = &q->list[i];

        *one = all;
        one->row = i;
        if (one->by == AK_QUERY_CODE)
            memcpy(one->code, ak_rows_codes(rows) + i * ak_code_bytes(s->bits),
                   ak_code_bytes(s->bits));
    }
}

/* A body that says how long it may take means the wait for min_seq too. */
static void take_deadline(struct ak_op *op, const struct ak_queries *q)
{
    uint64_t last = 0;

    if (ak_request_query(op->rq, "timeout_seconds") != NULL)
        return;
    for (size_t i = 0; i < q->n; i++)
        if (q->list[i].deadline_ns > last)
            last = q->list[i].deadline_ns;
    op->deadline_ns = last;
}

bool ak_search_read(struct ak_op *op, struct ak_queries *q, bool batch)
{
    struct reader r = {.op = op, .faults = &op->rows.faults};
    enum ak_body_kind kind = ak_body_kind(op->rq);
    uint64_t start = ak_clock_ns();
    size_t len;
    uint8_t *bytes = ak_request_body(op->rq, &len);

    q->batch = batch;
    ak_rows_init(&op->rows, &op->settings, ak_op_extractors(op),
                 AK_ROWS_ENCODE);
    if (kind == AK_BODY_JSON)
        read_json(&r, q, bytes, len);
    else
        read_rows(&r, q, kind, bytes, len);
    if (r.answered)
        return false;
    if (op->rows.status != AK_OK) {
        ak_op_fail(op, op->rows.status, NULL);
        return false;
    }
    if (!ak_faults_none(r.faults)) {
        /* Here rather than when the request ends: a large one takes a thread of
           HTTP its time. */
        ak_json_clear(&op->json);
        ak_faults_reply(op->rq, r.faults);
        return false;
    }
    ak_op_decoded(op, &op->rows, start);
    take_deadline(op, q);
    return true;
}
