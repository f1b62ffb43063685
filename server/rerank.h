/*
 * rerank.h -- candidates of a Hamming search in a finer order.
 *
 * The `limit` x `oversample` nearest codes are the candidates.  Each gets a
 * score, 0..1 and larger for what is more alike, and the first `limit` in the
 * order (score descending, distance, ordinal) are the hits.  A score is a float,
 * rounded once at its end from the double below, so that what is shown orders as
 * what was compared; it is a function of query and item alone, whatever else is
 * searched with them.
 *
 * asymmetric   with y the projections of the query (encoder.h), whose signs are
 *              its bits, and c the code of the item:
 *
 *                  1 - (sum of |y_j| over the bits j in which c differs from
 *                       the query's) / (sum of |y_j| over all bits j)
 *
 *              sums in double in order of j; 1 where the second sum is 0.  So a
 *              bit counts as much as the query is sure of it; equal |y_j| give
 *              the score of the Hamming order, 1 - distance / bits.  (A. Gordo,
 *              F. Perronnin, Y. Gong, S. Lazebnik: Asymmetric Distances for
 *              Binary Embeddings, IEEE TPAMI 36(1), 2014.)
 *
 * feature      with q and x the stored features of query and item (both rounded
 *              to what the collection stores):
 *
 *                  1 / (1 + sqrt(sum of (q_i - x_i)^2))
 *
 *              differences and squares in double; eight sums, of the i with one
 *              i mod 8 each in order of i, which are then added as
 *              ((s0 + s4) + (s2 + s6)) + ((s1 + s5) + (s3 + s7)).
 */
#ifndef AK_SERVER_RERANK_H
#define AK_SERVER_RERANK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/code/index.h"

enum ak_rerank { AK_RERANK_NONE, AK_RERANK_ASYMMETRIC, AK_RERANK_FEATURE };

/* How many of the nearest are candidates, for each hit that is wanted. */
#define AK_RERANK_OVERSAMPLE 4

/* By name: "asymmetric", "feature"; false: there is none. */
bool ak_rerank_find(const char *name, enum ak_rerank *out);

/* The second sum, of y (bits). */
double ak_rerank_total(const float *y, uint32_t bits);
/* Of `code` (bits / 8 bytes); `query` is the code of y. */
float ak_rerank_asymmetric(const float *y, double total, const uint8_t *query,
                           const uint8_t *code, uint32_t bits);
/* Of x (dim) for q (dim). */
float ak_rerank_feature(const float *q, const float *x, size_t dim);

/* A candidate; they are put in their order by qsort(). */
struct ak_candidate {
    struct ak_hit hit;
    float score;
};
void ak_rerank_sort(struct ak_candidate *list, size_t n);

#endif
