/*
 * gate.c -- a paired test, asked at marks only.
 *
 * Gama, Sebastiao and Rodrigues, "On evaluating stream learning algorithms",
 * Machine Learning 90(3), 2013, for test-then-train; core/eval/paired.c for the
 * bounds.  The pairs of a window were ranked by a live model that went on
 * learning, so a window may look well while the model has just been spoilt: the
 * mean of its newest quarter must beat the gain as well.
 */
#include "server/gate.h"

#include "core/eval/paired.h"

#define RECENT 4 /* a quarter */

static const char *const names[AK_N_GATE_REASONS] = {
    [AK_GATE_NONE] = "none",
    [AK_GATE_FIRST] = "first",
    [AK_GATE_BETTER] = "better",
    [AK_GATE_FEW_NEW] = "few_new",
    [AK_GATE_FEW_PAIRS] = "few_pairs",
    [AK_GATE_NO_GAIN] = "no_gain",
    [AK_GATE_WORSE] = "worse",
    [AK_GATE_FALLING] = "falling",
    [AK_GATE_OLDER_CLASSES] = "older_classes",
};

const char *ak_gate_reason_name(enum ak_gate_reason reason)
{
    return reason < AK_N_GATE_REASONS ? names[reason] : "none";
}

bool ak_gate_publishes(enum ak_gate_reason reason)
{
    return reason == AK_GATE_FIRST || reason == AK_GATE_BETTER;
}

bool ak_gate_refuses(enum ak_gate_reason reason)
{
    return reason >= AK_GATE_NO_GAIN && reason < AK_N_GATE_REASONS;
}

/* Mean, bounds and the newest quarter. */
static void measure(const struct ak_gate_input *in,
                    struct ak_gate_decision *out)
{
    struct ak_paired all, recent;

    ak_paired_bounds(in->differences, in->n, &all);
    ak_paired_bounds(in->differences, in->n / RECENT, &recent);
    out->gain = all.mean;
    out->lower = all.lower;
    out->upper = all.upper;
    out->recent = recent.mean;
}

void ak_gate_judge(const struct ak_gate_input *in, struct ak_gate_decision *out)
{
    uint64_t fresh = in->live_samples > in->published_samples
                         ? in->live_samples - in->published_samples
                         : 0;

    *out = (struct ak_gate_decision){
        .seq = out->seq, .pairs = in->n, .min_gain = in->min_gain};
    measure(in, out);
    if (in->published_samples == 0) {
        out->reason = AK_GATE_FIRST;
        return;
    }
    out->new_ratio = (double)fresh / (double)in->published_samples;
    if (fresh == 0 || out->new_ratio < in->min_new_ratio)
        out->reason = AK_GATE_FEW_NEW;
    else if (in->n < AK_GATE_PAIRS)
        out->reason = AK_GATE_FEW_PAIRS;
    else if (out->upper < 0)
        out->reason = AK_GATE_WORSE;
    else if (!(out->lower > in->min_gain))
        out->reason = AK_GATE_NO_GAIN;
    else if (!(out->recent > in->min_gain))
        out->reason = AK_GATE_FALLING;
    else
        out->reason = AK_GATE_BETTER;
}

void ak_gate_veto(struct ak_gate_decision *d, uint64_t classes, double served,
                  double live)
{
    d->older_classes = classes;
    d->older_served = served;
    d->older_live = live;
    if (classes > 0 && served - live > AK_GATE_MAX_LOSS)
        d->reason = AK_GATE_OLDER_CLASSES;
}
