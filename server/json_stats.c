#include "server/json_stats.h"

json_t *ak_json_quality(const struct ak_quality *q)
{
    if (q->queries == 0)
        return json_null();
    return json_pack("{s:I, s:f, s:f, s:f, s:f}", "queries",
                     (json_int_t)q->queries, "map", q->map_at_r,
                     "precision_at_1", q->precision[0], "precision_at_10",
                     q->precision[1], "precision_at_100", q->precision[2]);
}

json_t *ak_json_score(const struct ak_score *score)
{
    return json_pack("{s:f, s:f, s:f, s:f}", "map", (double)score->ap,
                     "precision_at_1", (double)score->precision[0],
                     "precision_at_10", (double)score->precision[1],
                     "precision_at_100", (double)score->precision[2]);
}

/* A record's number; null for none. */
static json_t *seq_json(uint64_t seq)
{
    return seq == 0 ? json_null() : json_integer((json_int_t)seq);
}

json_t *ak_json_drift(const struct ak_drift_report *d)
{
    return json_pack(
        "{s:b, s:f, s:f, s:f, s:I, s:I, s:o, s:o}", "alarm", d->alarm, "score",
        d->score, "expected_map", d->mean, "deviation", d->sigma, "queries",
        (json_int_t)d->queries, "alarms", (json_int_t)d->alarms, "since_seq",
        seq_json(d->since_seq), "cleared_seq", seq_json(d->cleared_seq));
}

static json_t *older_json(const struct ak_gate_decision *d)
{
    if (d->older_classes == 0)
        return json_null();
    return json_pack("{s:I, s:f, s:f}", "classes", (json_int_t)d->older_classes,
                     "served_map", d->older_served, "live_map", d->older_live);
}

json_t *ak_json_gate(const struct ak_gate_decision *d)
{
    if (d->reason == AK_GATE_NONE)
        return json_null();
    return json_pack("{s:s, s:b, s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:o}",
                     "decision", ak_gate_reason_name(d->reason), "publish",
                     ak_gate_publishes(d->reason), "seq", (json_int_t)d->seq,
                     "pairs", (json_int_t)d->pairs, "new_ratio", d->new_ratio,
                     "gain", d->gain, "lower", d->lower, "upper", d->upper,
                     "recent", d->recent, "min_quality_gain", d->min_gain,
                     "older_classes", older_json(d));
}
