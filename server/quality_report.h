/*
 * quality_report.h -- what is known of the quality of a collection's codes.
 *
 * Plain records: the learner's meter fills them, the routes show them.
 */
#ifndef AK_SERVER_QUALITY_REPORT_H
#define AK_SERVER_QUALITY_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Precision is taken at these ranks. */
#define AK_N_PRECISIONS 3
extern const uint32_t ak_precision_at[AK_N_PRECISIONS]; /* 1, 10, 100 */

/* Of one query, or a mean of some. */
struct ak_score {
    float ap;
    float precision[AK_N_PRECISIONS];
};

/* A series: means over its window of queries. */
struct ak_quality {
    uint64_t queries; /* in the window; 0: nothing is known */
    double map_at_r;
    double precision[AK_N_PRECISIONS];
};

/* One label: means that forget, over about its last AK_LABEL_MEMORY queries. */
#define AK_LABEL_MEMORY 100
struct ak_label_quality {
    uint32_t label;
    uint64_t queries; /* ever */
    struct ak_score served, live;
};

/* A point of the history, at a measure. */
struct ak_quality_point {
    uint64_t seq; /* the batch that was measured */
    int64_t time_ms;
    uint64_t samples;   /* learnt by the live model */
    uint64_t model_seq; /* the publish record of the served one; 0: version 0 */
    uint32_t served_queries, live_queries; /* in the windows */
    float served, live;                    /* mAP@R over them */
};

/* What the gate said at a mark. */
enum ak_gate_reason {
    AK_GATE_NONE, /* not asked yet */
    /* publish */
    AK_GATE_FIRST,  /* version 0 serves, which has learnt nothing */
    AK_GATE_BETTER, /* the lower bound beats min_quality_gain */
    /* wait: it is too early to say */
    AK_GATE_FEW_NEW,   /* less than min_new_ratio is new */
    AK_GATE_FEW_PAIRS, /* fewer than AK_GATE_PAIRS queries under both */
    /* refused */
    AK_GATE_NO_GAIN,       /* the lower bound does not beat it */
    AK_GATE_WORSE,         /* nor does the upper bound reach 0 */
    AK_GATE_FALLING,       /* the window does, its newest quarter does not */
    AK_GATE_OLDER_CLASSES, /* classes of the published model lost too much */
    AK_N_GATE_REASONS
};
const char *ak_gate_reason_name(enum ak_gate_reason reason);
bool ak_gate_publishes(enum ak_gate_reason reason);
bool ak_gate_refuses(enum ak_gate_reason reason);

struct ak_gate_decision {
    enum ak_gate_reason reason;
    uint64_t seq;           /* the batch of the mark */
    uint64_t pairs;         /* queries under both models */
    double new_ratio;       /* samples since the published model, of its own */
    double gain;            /* mean of live less served AP over the pairs */
    double lower, upper;    /* its one-sided 95 % bounds */
    double recent;          /* mean over the newest quarter */
    double min_gain;        /* to be beaten */
    uint64_t older_classes; /* 0: not looked at */
    double older_served, older_live; /* macro averages over them */
};

/* The alarm of drift. */
struct ak_drift_report {
    bool alarm;
    double score;         /* the statistic over its threshold: 1 raises it */
    double mean, sigma;   /* of the served AP, as expected now */
    uint64_t queries;     /* it has seen */
    uint64_t alarms;      /* raised so far */
    uint64_t since_seq;   /* of the batch that raised the last one; 0: none */
    uint64_t cleared_seq; /* and that cleared it; 0: not yet */
};

/* Bits of the codes of the panel, at the last measure. */
struct ak_bits_summary {
    uint32_t rows;                        /* 0: not known */
    double ones_min, ones_mean, ones_max; /* share of ones of a bit */
    double entropy;                       /* mean over bits, 0..1 */
    double flips; /* served against live: share of bits */
};

struct ak_quality_report {
    uint32_t depth;         /* R */
    uint64_t published_seq; /* the publish record of the served model */
    uint64_t asked;         /* queries that were ranked */
    uint64_t duplicates;    /* passed over: equal to a row in the panel */
    uint64_t lonely; /* passed over: no row there has a label of theirs */
    uint32_t panel_rows;
    struct ak_quality served, live;
    struct ak_gate_decision gate;
    struct ak_drift_report drift;
    struct ak_bits_summary bits;
    size_t n_labels;
    struct ak_label_quality *labels; /* by number */
    size_t n_points;
    struct ak_quality_point *points; /* oldest first */
};

/* Entropy of a bit that is 1 with probability p: 0..1. */
double ak_bit_entropy(double p);

/* One block of memory, freed with free(). */
struct ak_quality_report *
ak_quality_report_copy(const struct ak_quality_report *report);

#endif
