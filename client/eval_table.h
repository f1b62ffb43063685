/*
 * eval_table.h -- tables of the lines of `akin eval`: means over seeds.
 *
 * One block for each data set, protocol and kind of queries.  Without a metric a
 * row is a variant at one number of bits, with what the papers tell of it; with
 * one a row is a variant and a column is a number of bits, or, of a series, a
 * variant at one number of bits and a place: rows learnt, classes learnt, K.
 */
#ifndef AK_CLIENT_EVAL_TABLE_H
#define AK_CLIENT_EVAL_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#define EVAL_METRICS                                                        \
    "map|map_ordered|map_at_1000|p_at_h2|p_at_100|auc|train_seconds|"       \
    "encode_seconds|model_bytes|learner_bytes|samples|p_at|curve|map_seen|" \
    "map_first"

/* EXIT_OK, or the code of what was said.  `metric` may be NULL. */
int eval_table_print(const json_t *lines, const char *metric, bool markdown);

/* Mean and standard deviation over seeds of one number. */
struct eval_cell {
    const char *dataset, *protocol, *queries; /* lent by the lines */
    const char *variant;
    uint32_t bits;
    double at; /* place in a series; 0 of a single number */
    double mean, deviation;
    size_t n; /* of lines */
};

/*
 * All cells of a metric, in the order of the lines; *out (n) is to be freed.
 */
int eval_cells(const json_t *lines, const char *metric, struct eval_cell **out,
               size_t *n);

/* Whether two cells are of one block. */
bool eval_same_block(const struct eval_cell *a, const struct eval_cell *b);

#endif
