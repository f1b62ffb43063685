/*
 * metrics.h -- how good codes are at finding items of a kind.
 *
 * Queries rank a whole database by Hamming distance; an item is relevant when
 * it shares a label with the query.  Codes compare in whole numbers, so many
 * items tie: `map` averages over all orders of tied items, and `map_ordered`
 * keeps them in the order of the database, as the papers' code does.
 */
#ifndef AK_CORE_EVAL_METRICS_H
#define AK_CORE_EVAL_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

/* Borrowed: codes as encoder.h packs them, labels as in ak_hash_batch. */
struct ak_eval_items {
    const uint8_t *codes;   /* (n, bits / 8) */
    const uint32_t *labels; /* label numbers, item after item */
    const uint32_t *first;  /* (n + 1) */
    size_t n;
};

#define AK_EVAL_MAX_K 16

struct ak_eval_params {
    uint32_t bits;             /* 8..1024, a multiple of 8 */
    uint32_t map_at;           /* R of mAP@R; 0 leaves it out */
    uint32_t radius;           /* of precision_in_radius; the papers take 2 */
    uint32_t n_k;              /* how many precisions at K, 0..AK_EVAL_MAX_K */
    uint32_t k[AK_EVAL_MAX_K]; /* 1 or more each */
};

struct ak_eval_result {
    size_t queries; /* that have a relevant item in the database */
    size_t empty;   /* queries with nothing within the radius */

    /*
     * Mean average precision over the full ranking,
     *     AP = 1 / P sum over relevant items of (relevant so far) / rank,
     * P the number of relevant items; mean over `queries`.  The first averages
     * over the orders of tied items, the second takes database order.
     */
    double map, map_ordered;

    /*
     * The same over the first R in database order, P being the relevant items
     * among them, as the papers' code has it; a query with none counts 0.
     */
    double map_at;

    /*
     * Over all queries: relevant among the first K (or the whole database if
     * smaller), ties in database order; and among those within the radius,
     * where an empty ball counts 0.
     */
    double precision[AK_EVAL_MAX_K];
    double precision_in_radius;
};

/*
 * AK_EINVAL: bits, a K, or that there is no query or no item.  AK_ENOMEM.
 * Needs a few bytes of memory an item; about 0.5 ms for a query of 69,000.
 */
enum ak_status ak_eval_rank(const struct ak_eval_params *params,
                            const struct ak_eval_items *queries,
                            const struct ak_eval_items *database,
                            struct ak_eval_result *out,
                            struct ak_err *err) AK_MUST_CHECK;

#endif
