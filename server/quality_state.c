/* quality_state.c -- the meter's figures: reported, saved, loaded. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "server/quality_internal.h"

#define FORMAT 2

double ak_bit_entropy(double p)
{
    if (p <= 0 || p >= 1)
        return 0;
    return -p * log2(p) - (1 - p) * log2(1 - p);
}

/* One block: the record, then its arrays. */
struct ak_quality_report *
ak_quality_report_copy(const struct ak_quality_report *report)
{
    size_t points = report->n_points * sizeof(*report->points);
    size_t labels = report->n_labels * sizeof(*report->labels);
    struct ak_quality_report *copy = malloc(sizeof(*copy) + points + labels);

    if (copy == NULL)
        return NULL;
    *copy = *report;
    copy->points = (struct ak_quality_point *)(copy + 1);
    copy->labels = (struct ak_label_quality *)(copy->points + copy->n_points);
    if (points > 0)
        memcpy(copy->points, report->points, points);
    if (labels > 0)
        memcpy(copy->labels, report->labels, labels);
    return copy;
}

struct ak_quality ak_quality_served(const struct ak_quality_meter *m)
{
    return ak_window_mean(&m->series.served);
}

struct ak_quality_report *ak_quality_report(const struct ak_quality_meter *m)
{
    struct ak_quality_report all = {
        .depth = m->depth,
        .published_seq = m->published.model_seq,
        .asked = m->asked,
        .duplicates = m->duplicates,
        .lonely = m->lonely,
        .panel_rows = m->panel.n,
        .served = ak_window_mean(&m->series.served),
        .live = ak_window_mean(&m->series.live),
        .gate = m->gate,
        .drift = ak_drift_report(&m->drift),
        .bits = m->bits,
        .n_labels = m->series.n_labels,
        .labels = m->series.labels,
        .n_points = m->series.n_points,
        .points = (struct ak_quality_point *)(uintptr_t)m->series.points,
    };

    return ak_quality_report_copy(&all);
}

static void save_gate(const struct ak_gate_decision *d, struct ak_writer *w)
{
    const double numbers[] = {d->new_ratio,    d->gain,      d->lower,
                              d->upper,        d->recent,    d->min_gain,
                              d->older_served, d->older_live};

    ak_write_u32(w, (uint32_t)d->reason);
    ak_write_u64(w, d->seq);
    ak_write_u64(w, d->pairs);
    ak_write_u64(w, d->older_classes);
    ak_write_f64s(w, numbers, sizeof(numbers) / sizeof(numbers[0]));
}

static void load_gate(struct ak_gate_decision *d, struct ak_reader *r)
{
    uint32_t reason = ak_read_u32(r);

    if (reason >= AK_N_GATE_REASONS)
        r->status = AK_ECORRUPT;
    d->reason = (enum ak_gate_reason)reason;
    d->seq = ak_read_u64(r);
    d->pairs = ak_read_u64(r);
    d->older_classes = ak_read_u64(r);
    d->new_ratio = ak_read_f64(r);
    d->gain = ak_read_f64(r);
    d->lower = ak_read_f64(r);
    d->upper = ak_read_f64(r);
    d->recent = ak_read_f64(r);
    d->min_gain = ak_read_f64(r);
    d->older_served = ak_read_f64(r);
    d->older_live = ak_read_f64(r);
}

static void save_bits(const struct ak_bits_summary *b, struct ak_writer *w)
{
    const double numbers[] = {b->ones_min, b->ones_mean, b->ones_max,
                              b->entropy, b->flips};

    ak_write_u32(w, b->rows);
    ak_write_f64s(w, numbers, sizeof(numbers) / sizeof(numbers[0]));
}

static void load_bits(struct ak_bits_summary *b, struct ak_reader *r)
{
    b->rows = ak_read_u32(r);
    b->ones_min = ak_read_f64(r);
    b->ones_mean = ak_read_f64(r);
    b->ones_max = ak_read_f64(r);
    b->entropy = ak_read_f64(r);
    b->flips = ak_read_f64(r);
}

void ak_quality_save(const struct ak_quality_meter *m, struct ak_writer *w)
{
    ak_write_u32(w, FORMAT);
    ak_write_f64(w, m->credit);
    ak_write_u32(w, m->depth);
    ak_write_u64(w, m->asked);
    ak_write_u64(w, m->duplicates);
    ak_write_u64(w, m->lonely);
    ak_write_u64(w, m->rows);
    ak_write_u64(w, m->base_seq);
    ak_write_u64(w, m->published.model_seq);
    ak_write_u64(w, m->published.samples);
    ak_write_u64(w, m->published.rows);
    ak_write_u8(w, m->published.own);
    save_gate(&m->gate, w);
    save_bits(&m->bits, w);
    ak_drift_save(&m->drift, w);
    ak_series_save(&m->series, w);
    ak_panel_save(&m->panel, w);
}

enum ak_status ak_quality_load(struct ak_quality_meter *m, struct ak_reader *r,
                               struct ak_err *err)
{
    uint32_t format = ak_read_u32(r);

    if (format != FORMAT)
        return ak_fail(err, AK_ECORRUPT, "quality: format is %u, must be %d",
                       format, FORMAT);
    m->credit = ak_read_f64(r);
    m->depth = ak_read_u32(r);
    m->asked = ak_read_u64(r);
    m->duplicates = ak_read_u64(r);
    m->lonely = ak_read_u64(r);
    m->rows = ak_read_u64(r);
    m->base_seq = ak_read_u64(r);
    m->published.model_seq = ak_read_u64(r);
    m->published.samples = ak_read_u64(r);
    m->published.rows = ak_read_u64(r);
    m->published.own = ak_read_u8(r) != 0;
    load_gate(&m->gate, r);
    load_bits(&m->bits, r);
    ak_drift_load(&m->drift, r);
    ak_series_load(&m->series, r);
    ak_panel_load(&m->panel, r);
    if (r->status == AK_ENOMEM)
        return ak_fail(err, AK_ENOMEM, "no memory to measure quality");
    if (m->depth == 0 || m->depth > AK_PANEL_ROWS ||
        ak_reader_finish(r) != AK_OK)
        return ak_fail(err, AK_ECORRUPT, "quality: the saved state is damaged");
    return AK_OK;
}
