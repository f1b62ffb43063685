/*
 * search_reply.c -- hits into JSON.
 *
 * Written as text at once: a batch has up to a million hits, and a tree of them
 * would cost more than the scan.
 */
#include "server/search.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/hex.h"
#include "core/base/mem.h"

#define IDS 32

/* What a result, and a hit with a short label, are about as long as. */
#define HEAD_ROOM 320
#define HIT_ROOM  80

#define ADD(t, literal) ak_text_put(t, literal, sizeof(literal) - 1)

struct writer {
    struct ak_op *op;
    struct ak_queries *q;
    struct ak_text *t;
    /* For `explain`: projections of the query and of a hit, (bits) each, the
       hit's vector, and the scratch of the model. */
    struct ak_encoder *model;
    float *of_query, *of_hit, *x;
    bool query_known;
    void *scratch;
    /* A score follows from a distance: the last one's text serves again. */
    uint32_t scored;
    size_t score_len;
    char score[AK_TEXT_SHARE];
};

static void add_code(struct ak_text *t, const uint8_t *code, uint32_t bits)
{
    char hex[AK_CODE_MAX_BITS / 4 + 1];

    ak_hex_encode(code, ak_code_bytes(bits), hex);
    ADD(t, "\"");
    ak_text_add(t, hex, 2 * ak_code_bytes(bits));
    ADD(t, "\"");
}

static void add_id(struct writer *w, struct ak_id id)
{
    char text[129];

    if (!w->op->settings.string_ids) {
        ak_text_add_u64(w->t, id.number);
        return;
    }
    memcpy(text, id.text, id.len < 128 ? id.len : 128);
    text[id.len < 128 ? id.len : 128] = '\0';
    ak_text_add_json(w->t, text);
}

static enum ak_status add_labels(struct writer *w, uint64_t ordinal,
                                 struct ak_err *err)
{
    const uint32_t *labels;
    size_t n = ak_snapshot_labels(w->q->lookup.snapshot, ordinal, &labels);
    json_t *list = NULL;

    ADD(w->t, ",\"labels\":[");
    for (size_t i = 0; i < n; i++) {
        const char *name = ak_collection_label(w->q->lookup.c, labels[i]);

        /* The snapshot shows it, so its name is known. */
        if (name == NULL) {
            list = ak_lookup_labels(&w->q->lookup, &labels[i], 1);
            name = json_string_value(json_array_get(list, 0));
        }
        if (name == NULL) {
            json_decref(list);
            return ak_fail(err, AK_ECORRUPT, "label %u has no name", labels[i]);
        }
        if (i > 0)
            ADD(w->t, ",");
        ak_text_add_json(w->t, name);
        json_decref(list);
        list = NULL;
    }
    ADD(w->t, "]");
    return AK_OK;
}

static enum ak_status add_payload(struct writer *w, uint64_t ordinal,
                                  struct ak_err *err)
{
    struct ak_arena arena = {0};
    struct ak_bytes payload;
    enum ak_status status =
        ak_lookup_payload(&w->q->lookup, ordinal, &arena, &payload, err);

    if (status == AK_OK) {
        ak_text_addf(w->t, ",\"payload\":");
        if (payload.data == NULL)
            ak_text_addf(w->t, "null");
        else
            ak_text_add(w->t, payload.data, payload.len);
    }
    ak_arena_clear(&arena);
    return status;
}

/* ------------------------------------------------------------------- explain */

static enum ak_status need_explain(struct writer *w, struct ak_err *err)
{
    const struct ak_settings *s = &w->op->settings;

    w->model = ak_collection_model(w->q->lookup.snapshot);
    if (w->model == NULL || w->scratch != NULL)
        return AK_OK;
    w->of_query = ak_array_new(s->bits, sizeof(float));
    w->of_hit = ak_array_new(s->bits, sizeof(float));
    w->x = ak_array_new(s->dim, sizeof(float));
    w->scratch = ak_array_new(1, ak_encoder_scratch(w->model));
    if (w->of_query == NULL || w->of_hit == NULL || w->x == NULL ||
        w->scratch == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory to explain hits");
    return AK_OK;
}

static void clear_explain(struct writer *w)
{
    ak_array_free(w->scratch);
    ak_array_free(w->x);
    ak_array_free(w->of_hit);
    ak_array_free(w->of_query);
}

/* Margins of the query; a query by code has none. */
static enum ak_status project_query(struct writer *w, const struct ak_query *q,
                                    struct ak_err *err)
{
    size_t dim = w->op->settings.dim;
    enum ak_status status = AK_OK;

    w->query_known = w->model != NULL && q->by != AK_QUERY_CODE;
    if (!w->query_known)
        return AK_OK;
    if (q->by == AK_QUERY_ID)
        status = ak_lookup_vector(&w->q->lookup, q->ordinal, w->x, err);
    else
        memcpy(w->x, ak_rows_vectors(&w->op->rows) + q->row * dim,
               dim * sizeof(float));
    if (status == AK_OK)
        ak_encoder_project(w->model, w->x, 1, w->of_query, w->scratch);
    return status;
}

static void add_margin(struct ak_text *t, const char *name, bool known, float y)
{
    if (known)
        ak_text_addf(t, ",\"%s\":%.9g", name, (double)y);
    else
        ak_text_addf(t, ",\"%s\":null", name);
}

static enum ak_status add_explain(struct writer *w, const struct ak_query *q,
                                  uint64_t ordinal, struct ak_err *err)
{
    uint32_t bits = w->op->settings.bits;
    uint8_t code[AK_CODE_MAX_BITS / 8];
    enum ak_status status = AK_OK;
    bool first = true;

    ak_snapshot_code(w->q->lookup.snapshot, ordinal, code);
    if (w->model != NULL) {
        status = ak_lookup_vector(&w->q->lookup, ordinal, w->x, err);
        if (status != AK_OK)
            return status;
        ak_encoder_project(w->model, w->x, 1, w->of_hit, w->scratch);
    }
    ak_text_addf(w->t, ",\"explain\":[");
    for (uint32_t j = 0; j < bits; j++) {
        if (((code[j / 8] ^ q->code[j / 8]) >> (7 - j % 8) & 1) == 0)
            continue;
        ak_text_addf(w->t, "%s{\"bit\":%u", first ? "" : ",", j);
        add_margin(w->t, "query", w->query_known,
                   w->query_known ? w->of_query[j] : 0);
        add_margin(w->t, "item", w->model != NULL,
                   w->model != NULL ? w->of_hit[j] : 0);
        ADD(w->t, "}");
        first = false;
    }
    ADD(w->t, "]");
    return AK_OK;
}

/* ------------------------------------------------------------------- results */

static void add_score(struct writer *w, const struct ak_query *q,
                      const struct ak_hit *hit)
{
    if (q->scores != NULL) {
        ak_text_addf(w->t, "%.9g", (double)q->scores[hit - q->hits]);
        return;
    }
    if (w->score_len == 0 || w->scored != hit->distance) {
        w->scored = hit->distance;
        w->score_len = ak_text_share(w->op->settings.bits - hit->distance,
                                     w->op->settings.bits, w->score);
    }
    ak_text_put(w->t, w->score, w->score_len);
}

static enum ak_status add_hit(struct writer *w, const struct ak_query *q,
                              const struct ak_hit *hit, struct ak_id id,
                              struct ak_err *err)
{
    uint32_t bits = w->op->settings.bits;
    uint8_t code[AK_CODE_MAX_BITS / 8];
    enum ak_status status = AK_OK;

    ADD(w->t, "{\"id\":");
    add_id(w, id);
    ADD(w->t, ",\"distance\":");
    ak_text_add_u64(w->t, hit->distance);
    ADD(w->t, ",\"score\":");
    add_score(w, q, hit);
    if (q->with & AK_WITH_LABELS)
        status = add_labels(w, hit->ordinal, err);
    if (status == AK_OK && q->with & AK_WITH_PAYLOAD)
        status = add_payload(w, hit->ordinal, err);
    if (status == AK_OK && q->with & AK_WITH_CODE) {
        ak_snapshot_code(w->q->lookup.snapshot, hit->ordinal, code);
        ak_text_addf(w->t, ",\"code\":");
        add_code(w->t, code, bits);
    }
    if (status == AK_OK && q->with & AK_WITH_EXPLAIN)
        status = add_explain(w, q, hit->ordinal, err);
    ADD(w->t, "}");
    return status;
}

/* Where the next page of a radius search begins, or null. */
static enum ak_status add_cursor(struct writer *w, const struct ak_query *q,
                                 struct ak_err *err)
{
    struct ak_cursor c = {.kind = AK_CURSOR_SEARCH};
    char text[AK_CURSOR_TEXT];
    size_t n = q->result.n_hits;
    enum ak_status status;

    ADD(w->t, ",\"next_cursor\":");
    if (q->max_distance == UINT32_MAX || q->rerank != AK_RERANK_NONE ||
        n < q->limit || !q->result.complete) {
        ADD(w->t, "null");
        return AK_OK;
    }
    c.version = ak_snapshot_version(w->q->lookup.snapshot);
    c.ordinal = q->hits[n - 1].ordinal;
    c.distance = q->hits[n - 1].distance;
    status = ak_search_scope(q, &w->op->settings, &c.scope, err);
    if (status != AK_OK)
        return status;
    if (ak_cursor_write(&c, text) == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for a cursor");
    ak_text_addf(w->t, "\"%s\"", text);
    return AK_OK;
}

static enum ak_status add_result(struct writer *w, const struct ak_query *q,
                                 struct ak_err *err)
{
    struct ak_id ids[IDS];
    enum ak_status status = AK_OK;

    if (q->with & AK_WITH_EXPLAIN) {
        status = need_explain(w, err);
        if (status == AK_OK)
            status = project_query(w, q, err);
    }
    ADD(w->t, "{\"items\":[");
    for (size_t i = 0; i < q->result.n_hits && status == AK_OK; i++) {
        /* Some at a time: each is somewhere else in memory, and so the
           processor waits for all of them at once. */
        if (i % IDS == 0)
            for (size_t k = i; k < i + IDS && k < q->result.n_hits; k++)
                ids[k % IDS] =
                    ak_snapshot_id(w->q->lookup.snapshot, q->hits[k].ordinal);
        if (i > 0)
            ADD(w->t, ",");
        status = add_hit(w, q, &q->hits[i], ids[i % IDS], err);
    }
    if (status != AK_OK)
        return status;
    ADD(w->t, "],\"searched\":");
    ak_text_add_u64(w->t, q->result.searched);
    if (q->result.complete)
        ADD(w->t, ",\"complete\":true,\"query_code\":");
    else
        ADD(w->t, ",\"complete\":false,\"query_code\":");
    add_code(w->t, q->code, w->op->settings.bits);
    ADD(w->t, ",\"model_version\":");
    ak_text_add_u64(w->t, ak_snapshot_version(w->q->lookup.snapshot));
    status = add_cursor(w, q, err);
    ADD(w->t, "}");
    return status;
}

enum ak_status ak_search_write(struct ak_op *op, struct ak_queries *q,
                               struct ak_text *t, struct ak_err *err)
{
    struct writer w = {.op = op, .q = q, .t = t};
    enum ak_status status = AK_OK;

    if (q->n == 1)
        ak_text_reserve(t, HEAD_ROOM + q->list[0].result.n_hits * HIT_ROOM);
    if (q->batch)
        ak_text_addf(t, "{\"model_version\":%" PRIu64 ",\"results\":[",
                     ak_snapshot_version(q->lookup.snapshot));
    for (size_t i = 0; i < q->n && status == AK_OK; i++) {
        if (i > 0)
            ADD(t, ",");
        status = add_result(&w, &q->list[i], err);
    }
    if (q->batch)
        ak_text_addf(t, "]}");
    ak_text_add(t, "\n", 1);
    clear_explain(&w);
    if (status == AK_OK && t->failed)
        status = ak_fail(err, AK_ENOMEM, "no memory for the answer");
    return status;
}
