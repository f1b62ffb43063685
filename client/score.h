/*
 * score.h -- what `akin score` measures, fetched from a live collection.
 *
 * The queries are asked through the API, as anyone would; then all stored codes
 * and the queries' own are fetched and ranked here.  So the figures do not rest
 * on the daemon's word, and its hits are compared with the codes.
 */
#ifndef AK_CLIENT_SCORE_H
#define AK_CLIENT_SCORE_H

#include "client/names.h"
#include "client/tool.h"
#include "core/eval/idx.h"

struct score_hit {
    uint32_t item; /* row of the database */
    uint32_t distance;
};

struct score {
    uint32_t bits;
    size_t dim;
    int64_t model_version;
    struct names labels;

    /* Queries: rows of the file, chosen by the seed, in the order asked. */
    struct ak_idx images;
    size_t n_queries;
    uint32_t *rows;         /* (n_queries) */
    uint32_t *query_labels; /* (n_queries) */
    uint8_t *query_codes;   /* (n_queries, bits / 8) */
    size_t k;
    struct score_hit *hits; /* (n_queries, k) */
    size_t *n_hits;         /* (n_queries) */
    double search_seconds;  /* of all searches */

    /* The database, in order of arrival. */
    struct names ids;
    size_t n_items;
    size_t cap;
    uint8_t *codes;        /* (n_items, bits / 8) */
    uint32_t *item_labels; /* one after the other */
    size_t n_item_labels;
    size_t label_cap;
    uint32_t *first; /* (n_items + 1) into item_labels */
};

struct score_params {
    const char *collection;
    const char *images;
    const char *labels;
    const char *label_names;
    uint64_t n;
    uint64_t seed;
    uint64_t k;
    const char *rerank; /* NULL: none */
    uint64_t oversample;
};

/* EXIT_OK, or the code of what was said; clear it in any case. */
int score_fetch(struct tool *tool, const struct score_params *params,
                struct score *out);
void score_clear(struct score *score);

/* Whether item `item` has the label. */
bool score_is_right(const struct score *score, size_t item, uint32_t label);

struct score_result {
    double precision; /* at k, of the hits that came */
    double map;       /* over the full ranking, ties averaged */
    double map_ordered;
    uint64_t hits, agreeing; /* whose distance is that of the codes */
    uint32_t n_labels;
    double *label_map; /* (n_labels) below 0: no query */
    double *label_precision;
    size_t *label_queries;
};

int score_measure(const struct score *score, struct score_result *out);
void score_result_clear(struct score_result *result);

#endif
