/*
 * quality.h -- how good the codes are now, measured on the stream itself.
 *
 * Prequential: labelled rows that arrive are queries before they are learnt.
 * Each is ranked against one panel of labelled rows that came before (see
 * panel.h), so that growth of the index does not look like progress.  Two
 * series: `served`, under the published model, and `live`, under the one that
 * learns.  On them stand the gate of the publish policy `quality` (gate.h) and
 * the alarm of drift (drift.h).  Nothing here influences a model.
 *
 * A meter is a pure function of the records before it, so that what the gate
 * says is the same in a replay: *published* means as of the record, that is by
 * the last publish or rollback record before it, not by what happens to serve
 * at that moment.  The work is bounded to a share of the learner's, counted in
 * multiplications rather than in seconds, for the same reason.
 *
 * One thread.
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
#include "server/drift.h"
#include "server/panel.h"
#include "server/quality_report.h"
#include "server/series.h"

#define AK_QUALITY_DEPTH 100 /* R, when nothing else is said */

struct ak_quality_meter;

struct ak_quality_params {
    uint32_t dim, bits;
    uint32_t max_labels; /* with figures of their own */
    uint64_t seed;
    bool moving_map; /* of the method: see core/hash/hash.h */
};

enum ak_status ak_quality_create(const struct ak_quality_params *params,
                                 struct ak_quality_meter **out,
                                 struct ak_err *err) AK_MUST_CHECK;
void ak_quality_destroy(struct ak_quality_meter *m); /* NULL is a no-op */

/* R of mAP@R, 1..AK_PANEL_ROWS.  Another one begins the series anew: true. */
bool ak_quality_set_depth(struct ak_quality_meter *m, uint32_t depth,
                          uint64_t seq);

/* -------------------------------------------------------- the published model */

/*
 * From here on `encoder` is published, frozen at record `model_seq` (0: version
 * 0); a reference is taken.  To be called with version 0 before the first
 * measure or offer.  After one that this learner did not freeze there may be
 * rows to refill (below).
 */
enum ak_status ak_quality_publish(struct ak_quality_meter *m,
                                  struct ak_encoder *encoder,
                                  uint64_t model_seq,
                                  struct ak_err *err) AK_MUST_CHECK;

/* After a load: the encoder of ak_quality_published(). */
enum ak_status ak_quality_resume(struct ak_quality_meter *m,
                                 struct ak_encoder *encoder,
                                 struct ak_err *err) AK_MUST_CHECK;
uint64_t ak_quality_published(const struct ak_quality_meter *m);

/*
 * What is published, frozen at record `model_seq`, takes vectors of another
 * extractor than the learner: until something else is published nothing can be
 * measured, offered or asked.
 */
void ak_quality_blind(struct ak_quality_meter *m, uint64_t model_seq);
bool ak_quality_is_blind(const struct ak_quality_meter *m);

/*
 * At record `seq` the learner gave way to another, of vectors of `dim`, of whose
 * encoders the first is published by that record: vectors of the panel are to be
 * mapped anew.
 */
void ak_quality_remap(struct ak_quality_meter *m, uint32_t dim, bool moving_map,
                      uint64_t seq);

/* ----------------------------------------------------------------- measuring */

/*
 * Credit the meter for n rows that are about to be learnt; true when it has
 * saved up enough to measure now.
 */
bool ak_quality_due(struct ak_quality_meter *m, size_t n, uint32_t map_dim);

/* Where in the stream it is. */
struct ak_quality_place {
    uint64_t seq;
    int64_t time_ms;
    uint64_t samples; /* learnt by the live model */
};

/*
 * Measure: rows of `batch` as queries.  `live` was frozen just now.  Rows
 * without a label, and rows equal to one in the panel, are passed over, as
 * is a query of whose labels the panel has no row.
 */
enum ak_status ak_quality_measure(struct ak_quality_meter *m,
                                  struct ak_encoder *live,
                                  const struct ak_quality_place *place,
                                  const struct ak_hash_batch *batch,
                                  enum ak_drift_event *drift,
                                  struct ak_err *err) AK_MUST_CHECK;

/*
 * Ask the gate, at a mark; `live` was frozen just now.  The decision is kept for
 * the report.
 */
struct ak_gate_params {
    double min_new_ratio, min_gain;
};
enum ak_status ak_quality_gate(struct ak_quality_meter *m,
                               struct ak_encoder *live,
                               const struct ak_quality_place *place,
                               const struct ak_gate_params *params,
                               struct ak_gate_decision *out,
                               struct ak_err *err) AK_MUST_CHECK;

/* ----------------------------------------------------------------- the panel */

/*
 * Offer the labelled rows of a batch, with ordinals first_ordinal upwards.
 * `map` is any encoder of the learner.
 */
enum ak_status ak_quality_offer(struct ak_quality_meter *m,
                                struct ak_encoder *map,
                                const struct ak_hash_batch *batch,
                                uint64_t first_ordinal,
                                struct ak_err *err) AK_MUST_CHECK;

/* Rows that are no more, and other labels of one that is. */
void ak_quality_forget(struct ak_quality_meter *m, const uint64_t *ordinals,
                       size_t n);
enum ak_status ak_quality_relabel(struct ak_quality_meter *m, uint64_t ordinal,
                                  const uint32_t *labels, size_t n_labels,
                                  struct ak_err *err) AK_MUST_CHECK;

/*
 * Rows whose vectors must be given back before the next measure, gate or offer:
 * ak_quality_wants() names one and ak_quality_refill() takes it, until there are
 * no more.
 */
bool ak_quality_wants(struct ak_quality_meter *m, uint64_t *ordinal);
enum ak_status ak_quality_refill(struct ak_quality_meter *m,
                                 struct ak_encoder *map, const float *x,
                                 struct ak_err *err) AK_MUST_CHECK;

/* --------------------------------------------------------------- what is known */

/* Of what is published; all that is known when it is replaced. */
struct ak_quality ak_quality_served(const struct ak_quality_meter *m);

/* A copy of all figures, one block for free(); NULL when memory is short. */
struct ak_quality_report *ak_quality_report(const struct ak_quality_meter *m);

/* All but the vectors and the encoder. */
void ak_quality_save(const struct ak_quality_meter *m, struct ak_writer *w);
enum ak_status ak_quality_load(struct ak_quality_meter *m, struct ak_reader *r,
                               struct ak_err *err) AK_MUST_CHECK;

#endif
