/* quality_internal.h -- the meter from the inside: quality*.c. */
#ifndef AK_SERVER_QUALITY_INTERNAL_H
#define AK_SERVER_QUALITY_INTERNAL_H

#include "server/quality.h"

struct ak_published {
    struct ak_encoder *encoder; /* held; NULL: none yet */
    uint64_t model_seq;         /* its publish record; 0: version 0 */
    uint64_t samples;           /* that it has learnt */
    uint64_t rows;              /* ordinals below were offered before it */
    bool own; /* frozen from this learner: its map is the learner's */
};

/*
 * A slot keeps its row *mapped*, so that the codes of all slots under a newer
 * live model cost one product instead of a pass through the map, which is most
 * of the work.  Where the map moves, it keeps the row as it is.
 */
struct ak_quality_meter {
    struct ak_quality_params params;
    uint32_t width; /* of a kept row; 0 until the first */
    double credit;  /* multiplications that may be spent */
    uint32_t depth; /* R */
    uint64_t asked, duplicates, lonely;
    uint64_t rows;     /* one more than the greatest ordinal offered */
    uint64_t base_seq; /* the record that brought this learner; 0: the first */
    struct ak_published published;
    struct ak_panel panel;
    bool kept[AK_PANEL_ROWS];  /* by slot: `x` is there */
    bool coded[AK_PANEL_ROWS]; /* by slot: `served` is there */
    uint32_t next_refill;      /* slots below want nothing */
    float *x;                  /* (AK_PANEL_ROWS, width) */
    uint8_t *served, *live;    /* (AK_PANEL_ROWS, bits / 8) */
    struct ak_panel_codes near_served, near_live; /* the same, to be ranked */
    float *query, *mapped; /* a chunk of queries, as they are and mapped */
    size_t mapped_len;     /* of one */
    uint8_t *query_live, *query_served; /* and their codes */
    void *scratch;
    size_t scratch_len;
    struct ak_series series;
    struct ak_drift drift;
    struct ak_gate_decision gate;
    struct ak_bits_summary bits;
};

/* All that is needed to keep a row and to encode one; `map` of the learner. */
enum ak_status ak_meter_want_memory(struct ak_quality_meter *m,
                                    const struct ak_encoder *map,
                                    struct ak_err *err) AK_MUST_CHECK;

/* Codes of all slots under the live model, and all of both to be ranked. */
void ak_meter_encode_live(struct ak_quality_meter *m,
                          const struct ak_encoder *live);

#endif
