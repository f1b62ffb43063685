/*
 * gate.h -- whether the live model is better enough to be published.
 *
 * Interleaved test-then-train: both models ranked the same arriving queries
 * before those were learnt, so the differences of their AP are paired.  A plain
 * function of numbers, that a replay computes again.
 */
#ifndef AK_SERVER_GATE_H
#define AK_SERVER_GATE_H

#include "server/quality_report.h"

/* Pairs that a decision takes, at least. */
#define AK_GATE_PAIRS 1000
/* What the macro average over older classes may fall by: 2 points. */
#define AK_GATE_MAX_LOSS 0.02

struct ak_gate_input {
    uint64_t
        published_samples; /* learnt by the published model; 0: version 0 */
    uint64_t live_samples;
    const double *differences; /* live less served AP, newest first */
    uint64_t n;
    double min_new_ratio, min_gain;
};

/* All but the veto; `out` is overwritten but for its seq. */
void ak_gate_judge(const struct ak_gate_input *in,
                   struct ak_gate_decision *out);

/* The veto over a decision to publish: macro averages over `classes`. */
void ak_gate_veto(struct ak_gate_decision *d, uint64_t classes, double served,
                  double live);

#endif
