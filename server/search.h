/*
 * search.h -- one search or a batch of them, from what was asked to the hits.
 *
 * search_read.c   the body into queries, what is wrong told with its place
 * search_run.c    codes of the queries, scans, hits
 * search_rank.c   hits in the order of a rerank
 * search_reply.c  hits into JSON
 */
#ifndef AK_SERVER_SEARCH_H
#define AK_SERVER_SEARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/code/code.h"
#include "server/cursor.h"
#include "server/filter_json.h"
#include "server/gather.h"
#include "server/lookup.h"
#include "server/op.h"
#include "server/rerank.h"
#include "server/scan.h"
#include "server/text.h"

enum {
    AK_WITH_LABELS = 1 << 0,
    AK_WITH_PAYLOAD = 1 << 1,
    AK_WITH_CODE = 1 << 2,
    AK_WITH_EXPLAIN = 1 << 3
};

enum ak_query_by { AK_QUERY_VECTOR, AK_QUERY_CODE, AK_QUERY_ID };

struct ak_query {
    enum ak_query_by by;
    size_t row;            /* VECTOR: which of op->rows */
    struct ak_bytes image; /* VECTOR: the file it is of, lent; absent: none */
    struct ak_row_id id;   /* ID */
    uint64_t ordinal;      /* ID: its row in the snapshot */
    uint8_t code[AK_CODE_MAX_BITS / 8];

    uint64_t limit;
    enum ak_rerank rerank;
    uint64_t oversample;   /* candidates of a rerank, for each hit wanted */
    uint32_t max_distance; /* UINT32_MAX: none */
    unsigned with;
    uint64_t deadline_ns;
    const json_t *filter_json; /* lent by the body; NULL: none */
    struct ak_filter_text *filter;
    const struct ak_filter *bound;
    bool paging;
    struct ak_cursor cursor;
    char pointer[64]; /* where it stands in the body: "", "/queries/3" */

    /* In the arena of the op: */
    float *y;            /* (bits) projections, for AK_RERANK_ASYMMETRIC */
    float *x;            /* (dim) features, for AK_RERANK_FEATURE */
    struct ak_hit *hits; /* (limit) */
    float *scores;       /* (limit) of a rerank; NULL: they follow from the
                            distances */
    struct ak_scan scan; /* what is looked for: `limit` hits, or candidates */
    struct ak_search_result result;
};

struct ak_queries {
    struct ak_gather_item item; /* first */
    struct ak_op *op;
    uint64_t queued_ns;
    struct ak_query *list; /* (n) */
    size_t n, done;
    struct ak_hit *room; /* of candidates, until they are ranked */
    bool batch;          /* the answer is a list of results */
    struct ak_lookup lookup;
    const char *slug; /* of a failure that is not just a status; NULL: none */
};

/* Read the body of a search, or of a batch; false: it was answered. */
bool ak_search_read(struct ak_op *op, struct ak_queries *q, bool batch);

/* How many of the nearest are looked for. */
uint64_t ak_search_candidates(const struct ak_query *query);

/*
 * Rank what the scans of queries from .. from + n - 1 have found, which ask for
 * the same rerank: sets their hits and scores.  When a deadline passes first,
 * the answer is in the order of distances, and not complete.
 */
enum ak_status ak_search_rank(struct ak_op *op, struct ak_queries *q,
                              size_t from, size_t n,
                              struct ak_err *err) AK_MUST_CHECK;

/* Run all of them and answer; op->arg is the struct ak_queries.  When this
   returns the op may be gone. */
void ak_search_run(struct ak_op *op);

/* A hash of what is asked of the collection that has these settings: two pages
   of one search have the same.  AK_ENOMEM. */
enum ak_status ak_search_scope(const struct ak_query *query,
                               const struct ak_settings *settings,
                               uint64_t *out, struct ak_err *err) AK_MUST_CHECK;

/* The answer, as text. */
enum ak_status ak_search_write(struct ak_op *op, struct ak_queries *q,
                               struct ak_text *t,
                               struct ak_err *err) AK_MUST_CHECK;

#endif
