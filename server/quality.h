/*
 * quality.h -- how good the codes are now, measured on the stream itself.
 *
 * Prequential: labelled rows that arrive are queries before they are learnt.
 * Each is ranked against one reservoir of at most AK_QUALITY_ROWS labelled rows,
 * drawn uniformly from those that came before, so that growth of the index does
 * not look like progress.  Two series: `served`, under the published model, and
 * `live`, under the one that learns.  The figures are means over the last
 * AK_QUALITY_WINDOW queries; they never influence a model.
 *
 * The work is bounded to a share of the learner's, counted in multiplications
 * rather than in seconds, so that a replay measures at the same places.
 *
 * AP@R of a query is the mean of the precisions at the ranks, up to R, of rows
 * that share a label with it; rows at one distance are taken in the order of
 * arrival.  One thread.
 */
#ifndef AK_SERVER_QUALITY_H
#define AK_SERVER_QUALITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/blob.h"
#include "core/base/err.h"
#include "core/hash/encoder.h"
#include "core/hash/hash.h"
#include "server/engine.h"

#define AK_QUALITY_ROWS   4096
#define AK_QUALITY_WINDOW 1000
#define AK_QUALITY_R      100

struct ak_quality_meter;

enum ak_status ak_quality_create(uint32_t dim, uint32_t bits, uint64_t seed,
                                 struct ak_quality_meter **out,
                                 struct ak_err *err) AK_MUST_CHECK;
void ak_quality_destroy(struct ak_quality_meter *m); /* NULL is a no-op */

/*
 * Credit the meter for n rows that are about to be learnt; true when it has
 * saved up enough to measure now.
 */
bool ak_quality_due(struct ak_quality_meter *m, size_t n, uint32_t map_dim);

/*
 * Measure: rows of `batch` as queries.  `live` was frozen just now; `served` is
 * the published encoder and its version.  Rows without a label, and rows equal
 * to one in the reservoir, are passed over, as is a query of whose labels the
 * reservoir has no row.
 */
enum ak_status ak_quality_measure(struct ak_quality_meter *m,
                                  struct ak_encoder *live,
                                  struct ak_encoder *served, uint64_t version,
                                  const struct ak_hash_batch *batch,
                                  struct ak_err *err) AK_MUST_CHECK;

/*
 * Offer the labelled rows of a batch, with ordinals first_ordinal upwards, to
 * the reservoir.  `map` is any encoder of the learner.
 */
enum ak_status ak_quality_offer(struct ak_quality_meter *m,
                                struct ak_encoder *map,
                                struct ak_encoder *served, uint64_t version,
                                const struct ak_hash_batch *batch,
                                uint64_t first_ordinal,
                                struct ak_err *err) AK_MUST_CHECK;

void ak_quality_get(const struct ak_quality_meter *m, struct ak_quality *served,
                    struct ak_quality *live);

/*
 * Ordinals and labels of the reservoir, the windows and the draws; not the
 * vectors.  After a load, ak_quality_wants() names the rows whose vectors must
 * be given back by ak_quality_refill(), in the order of its calls; it returns
 * false when there are no more.
 */
void ak_quality_save(const struct ak_quality_meter *m, struct ak_writer *w);
enum ak_status ak_quality_load(struct ak_quality_meter *m, struct ak_reader *r,
                               struct ak_err *err) AK_MUST_CHECK;
bool ak_quality_wants(const struct ak_quality_meter *m, uint64_t *ordinal);
enum ak_status ak_quality_refill(struct ak_quality_meter *m,
                                 struct ak_encoder *map, const float *x,
                                 struct ak_err *err) AK_MUST_CHECK;

#endif
