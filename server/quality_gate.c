/*
 * quality_gate.c -- what the meter tells the gate.
 *
 * The paired differences are those of the two windows.  The veto needs more:
 * classes that the published model knows need not be among those that arrive
 * now, and what a model has forgotten of them does not show in the others.  So
 * rows of the panel are asked, by both models, each left out of what it is
 * ranked against; both have had their chance to learn them.
 */
#include <stdlib.h>

#include "core/code/code.h"
#include "server/gate.h"
#include "server/quality_internal.h"

/* Rows of the panel that stand for the older classes, and for one. */
#define OLDER_QUERIES 1024
#define CLASS_QUERIES 32

struct class_sum {
    uint32_t label, n;
    double served, live;
};

static int by_label(const void *a, const void *b)
{
    uint32_t x = ((const struct class_sum *)a)->label;
    uint32_t y = ((const struct class_sum *)b)->label;

    return (x > y) - (x < y);
}

/* Labels of the rows that the published model may have learnt, each once. */
static enum ak_status older_classes(const struct ak_quality_meter *m,
                                    struct class_sum **out, size_t *n,
                                    struct ak_err *err)
{
    const struct ak_panel *r = &m->panel;
    struct class_sum *all;
    size_t cap = 0, found = 0;

    for (uint32_t i = 0; i < r->n; i++)
        cap += r->rows[i].n_labels;
    all = calloc(cap + 1, sizeof(*all));
    if (all == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory to ask the gate");
    for (uint32_t i = 0; i < r->n; i++)
        for (uint32_t l = 0;
             r->rows[i].ordinal < m->published.rows && l < r->rows[i].n_labels;
             l++)
            all[found++].label = r->rows[i].labels[l];
    qsort(all, found, sizeof(*all), by_label);
    *n = 0;
    for (size_t i = 0; i < found; i++)
        if (i == 0 || all[i].label != all[*n - 1].label)
            all[(*n)++] = all[i];
    *out = all;
    return AK_OK;
}

/* Adds a row as a query, left out of the database, to its classes that have not
   enough yet. */
static void ask_slot(struct ak_quality_meter *m, uint32_t slot,
                     struct class_sum *classes, size_t n, uint32_t wanted)
{
    const struct ak_panel_row *row = &m->panel.rows[slot];
    size_t bytes = ak_code_bytes(m->params.bits);
    struct ak_score served, live;
    bool ranked = false;

    for (uint32_t l = 0; l < row->n_labels; l++) {
        struct class_sum key = {.label = row->labels[l]};
        struct class_sum *c = bsearch(&key, classes, n, sizeof(key), by_label);

        if (c == NULL || c->n == wanted)
            continue;
        if (!ranked &&
            (!ak_panel_rank(&m->panel, &m->near_served,
                            m->served + slot * bytes, row->labels,
                            row->n_labels, m->depth, slot, &served) ||
             !ak_panel_rank(&m->panel, &m->near_live, m->live + slot * bytes,
                            row->labels, row->n_labels, m->depth, slot, &live)))
            return;
        ranked = true;
        c->n++;
        c->served += served.ap;
        c->live += live.ap;
    }
}

/* The veto, on macro averages over the older classes. */
static enum ak_status look_back(struct ak_quality_meter *m,
                                struct ak_encoder *live,
                                struct ak_gate_decision *d, struct ak_err *err)
{
    struct class_sum *classes = NULL;
    size_t n = 0, counted = 0;
    double served = 0, found = 0;
    uint32_t wanted;
    enum ak_status status = ak_meter_want_memory(m, live, err);

    if (status == AK_OK)
        status = older_classes(m, &classes, &n, err);
    if (status != AK_OK)
        return status;
    ak_meter_encode_live(m, live);
    wanted = n > OLDER_QUERIES / CLASS_QUERIES
                 ? (uint32_t)(OLDER_QUERIES /
                              (n < OLDER_QUERIES ? n : OLDER_QUERIES))
                 : CLASS_QUERIES;
    /* In the order of the draws, which is a random one. */
    for (uint32_t i = 0; i < m->panel.n; i++)
        ask_slot(m, m->panel.order[i], classes, n, wanted);
    for (size_t i = 0; i < n; i++) {
        if (classes[i].n == 0)
            continue;
        served += classes[i].served / classes[i].n;
        found += classes[i].live / classes[i].n;
        counted++;
    }
    free(classes);
    if (counted > 0)
        ak_gate_veto(d, counted, served / (double)counted,
                     found / (double)counted);
    return AK_OK;
}

enum ak_status ak_quality_gate(struct ak_quality_meter *m,
                               struct ak_encoder *live,
                               const struct ak_quality_place *place,
                               const struct ak_gate_params *params,
                               struct ak_gate_decision *out, struct ak_err *err)
{
    const struct ak_series *s = &m->series;
    double differences[AK_SERIES_WINDOW];
    struct ak_gate_input in = {.published_samples = m->published.samples,
                               .live_samples = place->samples,
                               .differences = differences,
                               .n = s->served.n,
                               .min_new_ratio = params->min_new_ratio,
                               .min_gain = params->min_gain};
    struct ak_gate_decision d = {.seq = place->seq};
    enum ak_status status = AK_OK;

    for (uint32_t i = 0; i < s->served.n; i++)
        differences[i] = (double)ak_window_latest(&s->live, i)->ap -
                         (double)ak_window_latest(&s->served, i)->ap;
    ak_gate_judge(&in, &d);
    if (d.reason == AK_GATE_BETTER)
        status = look_back(m, live, &d, err);
    if (status == AK_OK)
        m->gate = *out = d;
    return status;
}
