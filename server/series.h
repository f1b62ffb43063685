/*
 * series.h -- what is kept of the queries that were ranked.
 *
 * Two series of scores, `served` and `live`: a window of the last
 * AK_SERIES_WINDOW queries each, means a label, and a history of bounded length
 * that a page can plot from the first measure to the last.  A query adds to
 * both series, so the latest entries of the two windows are of the same ones.
 */
#ifndef AK_SERVER_SERIES_H
#define AK_SERVER_SERIES_H

#include "core/base/blob.h"
#include "core/base/err.h"
#include "server/quality_report.h"

#define AK_SERIES_WINDOW 1000
#define AK_SERIES_POINTS 512

struct ak_window {
    struct ak_score scores[AK_SERIES_WINDOW];
    uint32_t n, at; /* `at` is where the next one goes */
};

struct ak_series {
    struct ak_window served, live;
    struct ak_label_quality *labels; /* by number; the first `max` that came */
    uint32_t n_labels, cap_labels, max_labels;
    struct ak_quality_point points[AK_SERIES_POINTS];
    uint32_t n_points;
    uint32_t stride; /* measures between two points, a power of two */
    uint32_t passed; /* since the last one */
};

void ak_series_init(struct ak_series *s, uint32_t max_labels);
void ak_series_clear(struct ak_series *s);

/* What a query got under both models; its labels, of which there is one. */
enum ak_status ak_series_add(struct ak_series *s, const uint32_t *labels,
                             size_t n_labels, const struct ak_score *served,
                             const struct ak_score *live,
                             struct ak_err *err) AK_MUST_CHECK;

/* Another model is served: its window begins anew.  `both`: the measure itself
   changed, so all but the history does. */
void ak_series_restart(struct ak_series *s, bool both);

/* After a measure: a point of the history with the windows as they are.  When
   there is no room, every other point goes and they come half as often. */
void ak_series_point(struct ak_series *s, struct ak_quality_point point);

/* Mean over a window; of one label, NULL when it is not known. */
struct ak_quality ak_window_mean(const struct ak_window *w);
const struct ak_label_quality *ak_series_label(const struct ak_series *s,
                                               uint32_t label);

/* The i-th latest of a window, i < n. */
const struct ak_score *ak_window_latest(const struct ak_window *w, uint32_t i);

void ak_series_save(const struct ak_series *s, struct ak_writer *w);
/* Into one that is empty; what is wrong is in r->status. */
void ak_series_load(struct ak_series *s, struct ak_reader *r);

#endif
