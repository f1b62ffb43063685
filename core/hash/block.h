/*
 * block.h -- what the methods share that learn from blocks of rows.
 *
 * For core/hash/ and its tests.  Weights here are row-major, (dim, bits), as
 * BLAS has them.
 */
#ifndef AK_CORE_HASH_BLOCK_H
#define AK_CORE_HASH_BLOCK_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/rng.h"
#include "core/hash/hash_ops.h"

/* Rows [from, to) of a batch, of which `n` have a class. */
struct ak_hash_block {
    size_t from, to, n;
};

/* The next block of at most `most` learnable rows; the first after {0}. */
bool ak_hash_next_block(const struct ak_hash_rows *rows, size_t most,
                        struct ak_hash_block *b);

/* No block of `rows` is longer than this: `most`, or all that are learnable. */
size_t ak_hash_block_room(const struct ak_hash_rows *rows, size_t most);

/* w (dim, bits) from the normal distribution, columns scaled to length 1. */
void ak_draw_unit_columns(struct ak_rng *rng, size_t dim, size_t bits,
                          float *w);

/*
 * A weight beyond this is refused as if it were not finite, so that products
 * with features of reasonable size cannot overflow.
 */
#define AK_MOST_WEIGHT 1e30f

bool ak_weights_are_sane(const float *w, size_t n);

/* Reads n weights: AK_ECORRUPT if one of them is not sane. */
enum ak_status ak_read_weights(struct ak_reader *r, float *w, size_t n,
                               struct ak_err *err) AK_MUST_CHECK;

/* What update() says after it has rolled back. */
enum ak_status ak_fail_weights(const struct ak_hash *h, struct ak_err *err);

/* An encoder of w (dim, bits) over `map`, whose reference it takes over. */
enum ak_status ak_hash_freeze_weights(const struct ak_hash *h,
                                      struct ak_feature_map *map,
                                      const float *w, struct ak_encoder **out,
                                      struct ak_err *err) AK_MUST_CHECK;

/* The same over the centred unit map about a running mean. */
enum ak_status ak_hash_freeze_unit(const struct ak_hash *h,
                                   const struct ak_running_mean *mean,
                                   const float *w, struct ak_encoder **out,
                                   struct ak_err *err) AK_MUST_CHECK;

#endif
