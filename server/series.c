/*
 * series.c -- windows, means that forget, and a history that thins itself.
 *
 * The mean of a label moves by 1 / min(n, AK_LABEL_MEMORY) of the difference at
 * its n-th query: a plain mean at first, then one whose weights fall off
 * exponentially.  It takes one record a label, where a window would take one a
 * label and query.
 */
#include "server/series.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void ak_series_init(struct ak_series *s, uint32_t max_labels)
{
    memset(s, 0, sizeof(*s));
    s->max_labels = max_labels;
    s->stride = 1;
}

void ak_series_clear(struct ak_series *s)
{
    free(s->labels);
    s->labels = NULL;
    s->n_labels = s->cap_labels = 0;
}

static void remember(struct ak_window *w, const struct ak_score *score)
{
    w->scores[w->at] = *score;
    w->at = (w->at + 1) % AK_SERIES_WINDOW;
    if (w->n < AK_SERIES_WINDOW)
        w->n++;
}

/* How many labels have a smaller number. */
static uint32_t place_of(const struct ak_series *s, uint32_t label)
{
    uint32_t from = 0, to = s->n_labels;

    while (from < to) {
        uint32_t mid = (from + to) / 2;

        if (s->labels[mid].label < label)
            from = mid + 1;
        else
            to = mid;
    }
    return from;
}

const struct ak_label_quality *ak_series_label(const struct ak_series *s,
                                               uint32_t label)
{
    uint32_t at = place_of(s, label);

    return at < s->n_labels && s->labels[at].label == label ? &s->labels[at]
                                                            : NULL;
}

static enum ak_status want_label(struct ak_series *s, struct ak_err *err)
{
    struct ak_label_quality *grown;
    uint32_t cap = 2 * s->cap_labels + 16;

    if (s->n_labels < s->cap_labels)
        return AK_OK;
    grown = realloc(s->labels, cap * sizeof(*grown));
    if (grown == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory to measure quality");
    s->labels = grown;
    s->cap_labels = cap;
    return AK_OK;
}

static void move_mean(struct ak_score *mean, const struct ak_score *score,
                      float weight)
{
    mean->ap += weight * (score->ap - mean->ap);
    for (int k = 0; k < AK_N_PRECISIONS; k++)
        mean->precision[k] +=
            weight * (score->precision[k] - mean->precision[k]);
}

/* Labels beyond the limit have no record, as they are not learnt. */
static enum ak_status add_label(struct ak_series *s, uint32_t label,
                                const struct ak_score *served,
                                const struct ak_score *live, struct ak_err *err)
{
    uint32_t at = place_of(s, label);
    struct ak_label_quality *l;
    float weight;

    if (at == s->n_labels || s->labels[at].label != label) {
        if (s->n_labels == s->max_labels)
            return AK_OK;
        if (want_label(s, err) != AK_OK)
            return AK_ENOMEM;
        memmove(&s->labels[at + 1], &s->labels[at],
                (s->n_labels - at) * sizeof(s->labels[0]));
        s->labels[at] = (struct ak_label_quality){.label = label};
        s->n_labels++;
    }
    l = &s->labels[at];
    l->queries++;
    weight = 1.0f / (float)(l->queries < AK_LABEL_MEMORY ? l->queries
                                                         : AK_LABEL_MEMORY);
    move_mean(&l->served, served, weight);
    move_mean(&l->live, live, weight);
    return AK_OK;
}

enum ak_status ak_series_add(struct ak_series *s, const uint32_t *labels,
                             size_t n_labels, const struct ak_score *served,
                             const struct ak_score *live, struct ak_err *err)
{
    enum ak_status status = AK_OK;

    for (size_t i = 0; i < n_labels && status == AK_OK; i++)
        status = add_label(s, labels[i], served, live, err);
    if (status == AK_OK) {
        remember(&s->served, served);
        remember(&s->live, live);
    }
    return status;
}

void ak_series_restart(struct ak_series *s, bool both)
{
    s->served.n = s->served.at = 0;
    if (!both)
        return;
    s->live.n = s->live.at = 0;
    s->n_labels = 0;
}

struct ak_quality ak_window_mean(const struct ak_window *w)
{
    struct ak_quality q = {.queries = w->n};

    for (uint32_t i = 0; i < w->n; i++) {
        q.map_at_r += w->scores[i].ap;
        for (int k = 0; k < AK_N_PRECISIONS; k++)
            q.precision[k] += w->scores[i].precision[k];
    }
    if (w->n == 0)
        return q;
    q.map_at_r /= w->n;
    for (int k = 0; k < AK_N_PRECISIONS; k++)
        q.precision[k] /= w->n;
    return q;
}

const struct ak_score *ak_window_latest(const struct ak_window *w, uint32_t i)
{
    return &w->scores[(w->at + 2 * AK_SERIES_WINDOW - 1 - i) %
                      AK_SERIES_WINDOW];
}

void ak_series_point(struct ak_series *s, struct ak_quality_point point)
{
    struct ak_quality served = ak_window_mean(&s->served);
    struct ak_quality live = ak_window_mean(&s->live);

    if (++s->passed < s->stride)
        return;
    s->passed = 0;
    if (s->n_points == AK_SERIES_POINTS) {
        for (uint32_t i = 0; i < AK_SERIES_POINTS / 2; i++)
            s->points[i] = s->points[2 * i];
        s->n_points = AK_SERIES_POINTS / 2;
        s->stride *= 2;
    }
    point.served_queries = (uint32_t)served.queries;
    point.live_queries = (uint32_t)live.queries;
    point.served = (float)served.map_at_r;
    point.live = (float)live.map_at_r;
    s->points[s->n_points++] = point;
}

/* ------------------------------------------------------------------- state */

static void save_score(const struct ak_score *score, struct ak_writer *w)
{
    ak_write_f32s(w, &score->ap, 1);
    ak_write_f32s(w, score->precision, AK_N_PRECISIONS);
}

static void load_score(struct ak_score *score, struct ak_reader *r)
{
    ak_read_f32s(r, &score->ap, 1);
    ak_read_f32s(r, score->precision, AK_N_PRECISIONS);
}

static void save_window(const struct ak_window *w, struct ak_writer *out)
{
    ak_write_u32(out, w->n);
    ak_write_u32(out, w->at);
    for (uint32_t i = 0; i < w->n; i++)
        save_score(&w->scores[i], out);
}

/* Until it is full it begins with place 0. */
static void load_window(struct ak_window *w, struct ak_reader *r)
{
    uint32_t n = ak_read_u32(r), at = ak_read_u32(r);

    if (n > AK_SERIES_WINDOW || at >= AK_SERIES_WINDOW ||
        (n < AK_SERIES_WINDOW && at != n))
        r->status = AK_ECORRUPT;
    for (uint32_t i = 0; i < n && r->status == AK_OK; i++)
        load_score(&w->scores[i], r);
    if (r->status != AK_OK)
        return;
    w->n = n;
    w->at = at;
}

static void save_points(const struct ak_series *s, struct ak_writer *w)
{
    ak_write_u32(w, s->n_points);
    ak_write_u32(w, s->stride);
    ak_write_u32(w, s->passed);
    for (uint32_t i = 0; i < s->n_points; i++) {
        const struct ak_quality_point *p = &s->points[i];

        ak_write_u64(w, p->seq);
        ak_write_u64(w, (uint64_t)p->time_ms);
        ak_write_u64(w, p->samples);
        ak_write_u64(w, p->model_seq);
        ak_write_u32(w, p->served_queries);
        ak_write_u32(w, p->live_queries);
        ak_write_f32s(w, &p->served, 1);
        ak_write_f32s(w, &p->live, 1);
    }
}

static void load_points(struct ak_series *s, struct ak_reader *r)
{
    uint32_t n = ak_read_u32(r);

    s->stride = ak_read_u32(r);
    s->passed = ak_read_u32(r);
    if (n > AK_SERIES_POINTS || s->stride == 0)
        r->status = AK_ECORRUPT;
    for (uint32_t i = 0; i < n && r->status == AK_OK; i++) {
        struct ak_quality_point *p = &s->points[i];

        p->seq = ak_read_u64(r);
        p->time_ms = (int64_t)ak_read_u64(r);
        p->samples = ak_read_u64(r);
        p->model_seq = ak_read_u64(r);
        p->served_queries = ak_read_u32(r);
        p->live_queries = ak_read_u32(r);
        ak_read_f32s(r, &p->served, 1);
        ak_read_f32s(r, &p->live, 1);
        s->n_points = i + 1;
    }
}

void ak_series_save(const struct ak_series *s, struct ak_writer *w)
{
    save_window(&s->served, w);
    save_window(&s->live, w);
    ak_write_u32(w, s->n_labels);
    for (uint32_t i = 0; i < s->n_labels; i++) {
        ak_write_u32(w, s->labels[i].label);
        ak_write_u64(w, s->labels[i].queries);
        save_score(&s->labels[i].served, w);
        save_score(&s->labels[i].live, w);
    }
    save_points(s, w);
}

void ak_series_load(struct ak_series *s, struct ak_reader *r)
{
    uint32_t n;

    load_window(&s->served, r);
    load_window(&s->live, r);
    n = ak_read_u32(r);
    if (r->status == AK_OK && n > s->max_labels)
        r->status = AK_ECORRUPT;
    for (uint32_t i = 0; i < n && r->status == AK_OK; i++) {
        struct ak_label_quality l = {.label = ak_read_u32(r)};

        l.queries = ak_read_u64(r);
        load_score(&l.served, r);
        load_score(&l.live, r);
        if (i > 0 && l.label <= s->labels[i - 1].label)
            r->status = AK_ECORRUPT;
        else if (want_label(s, NULL) != AK_OK)
            r->status = AK_ENOMEM;
        else
            s->labels[s->n_labels++] = l;
    }
    load_points(s, r);
}
