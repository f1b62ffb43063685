/*
 * search_rank.c -- hits in the order of a rerank.
 *
 * Features are in the file.  The candidates of all queries of a scan are fetched
 * together, in order of their rows: each row is read once, whatever queries it is
 * a candidate of, and rows of one block follow each other.
 */
#include "server/search.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/mem.h"

/* A candidate of a query, by its row. */
struct wanted {
    uint64_t ordinal;
    size_t at; /* in the list of all candidates */
};

struct ranking {
    struct ak_op *op;
    struct ak_queries *q;
    struct ak_query *first;
    size_t n, most;            /* queries, and candidates of each */
    struct ak_candidate *list; /* (n, most) */
    struct wanted *wanted;
    size_t n_wanted;
    void *block;
    float *x;
    bool late; /* the time was up */
};

uint64_t ak_search_candidates(const struct ak_query *query)
{
    return query->rerank == AK_RERANK_NONE ? query->limit
                                           : query->limit * query->oversample;
}

static void score_codes(struct ranking *r, size_t i)
{
    const struct ak_query *query = &r->first[i];
    uint32_t bits = r->op->settings.bits;
    double total = ak_rerank_total(query->y, bits);
    uint8_t code[AK_CODE_MAX_BITS / 8];

    for (size_t k = 0; k < query->result.n_hits; k++) {
        struct ak_candidate *c = &r->list[i * r->most + k];

        ak_snapshot_code(r->q->lookup.snapshot, c->hit.ordinal, code);
        c->score =
            ak_rerank_asymmetric(query->y, total, query->code, code, bits);
    }
}

static int by_ordinal(const void *a, const void *b)
{
    const struct wanted *x = a, *y = b;

    return (x->ordinal > y->ordinal) - (x->ordinal < y->ordinal);
}

static bool is_late(const struct ranking *r)
{
    uint64_t deadline = r->first->deadline_ns;

    return deadline != 0 && ak_clock_ns() >= deadline;
}

/* The rows that are wanted, in their order. */
static enum ak_status score_rows(struct ranking *r, struct ak_view *view,
                                 struct ak_err *err)
{
    const struct ak_settings *s = &r->op->settings;
    const struct ak_space space = ak_settings_space(s);
    uint64_t read = UINT64_MAX;

    for (size_t i = 0; i < r->n_wanted && !r->late; i++) {
        const struct wanted *w = &r->wanted[i];

        if (w->ordinal != read) {
            enum ak_status status =
                ak_view_block(view, &space, w->ordinal, 1, r->block, err);

            if (status != AK_OK)
                return status;
            ak_collection_unpack(s, r->block, 1, r->x);
            read = w->ordinal;
            r->late = is_late(r);
        }
        r->list[w->at].score =
            ak_rerank_feature(r->first[w->at / r->most].x, r->x, s->dim);
    }
    return AK_OK;
}

static enum ak_status score_features(struct ranking *r, struct ak_err *err)
{
    struct ak_view *view;
    enum ak_status status = ak_lookup_view(&r->q->lookup, &view, err);

    if (status != AK_OK)
        return status;
    for (size_t i = 0; i < r->n; i++)
        for (size_t k = 0; k < r->first[i].result.n_hits; k++) {
            size_t at = i * r->most + k;

            r->wanted[r->n_wanted++] =
                (struct wanted){r->list[at].hit.ordinal, at};
        }
    qsort(r->wanted, r->n_wanted, sizeof(*r->wanted), by_ordinal);
    status = ak_view_hold(view, err);
    if (status == AK_OK)
        status = score_rows(r, view, err);
    ak_view_release(view);
    return status;
}

/* The hits of query i, of its candidates. */
static enum ak_status put(struct ranking *r, size_t i, struct ak_err *err)
{
    struct ak_query *query = &r->first[i];
    struct ak_candidate *list = r->list + i * r->most;
    size_t n = query->result.n_hits;

    if (query->result.n_hits > query->limit)
        query->result.n_hits = (size_t)query->limit;
    if (r->late) {
        memcpy(query->hits, query->scan.hits,
               query->result.n_hits * sizeof(*query->hits));
        query->result.complete = false;
        return AK_OK;
    }
    query->scores =
        ak_arena_array(&r->op->arena, query->limit, sizeof(*query->scores));
    if (query->scores == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for scores");
    ak_rerank_sort(list, n);
    for (size_t k = 0; k < query->result.n_hits; k++) {
        query->hits[k] = list[k].hit;
        query->scores[k] = list[k].score;
    }
    return AK_OK;
}

enum ak_status ak_search_rank(struct ak_op *op, struct ak_queries *q,
                              size_t from, size_t n, struct ak_err *err)
{
    struct ranking r = {.op = op, .q = q, .first = &q->list[from], .n = n};
    uint64_t start = ak_clock_ns();
    enum ak_status status = AK_OK;

    r.most = r.first->scan.limit;
    r.list = ak_array_new(n, r.most * sizeof(*r.list));
    r.wanted = ak_array_new(n, r.most * sizeof(*r.wanted));
    r.block = ak_array_new(1, ak_settings_row_bytes(&op->settings));
    r.x = ak_array_new(op->settings.dim, sizeof(*r.x));
    if (r.list == NULL || r.wanted == NULL || r.block == NULL || r.x == NULL) {
        status = ak_fail(err, AK_ENOMEM, "no memory to rerank %zu queries", n);
        goto out;
    }
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < r.first[i].result.n_hits; k++)
            r.list[i * r.most + k].hit = r.first[i].scan.hits[k];
    if (r.first->rerank == AK_RERANK_FEATURE)
        status = score_features(&r, err);
    else
        for (size_t i = 0; i < n; i++)
            score_codes(&r, i);
    for (size_t i = 0; i < n && status == AK_OK; i++)
        status = put(&r, i, err);
    ak_request_stage(op->rq, "rerank", ak_clock_ns() - start);
out:
    ak_array_free(r.x);
    ak_array_free(r.block);
    ak_array_free(r.wanted);
    ak_array_free(r.list);
    return status;
}
