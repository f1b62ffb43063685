/*
 * panel.c -- a uniform sample by the least of seeded draws.
 *
 * Bottom-k sampling: Cohen and Kaplan, "Summarizing Data using Bottom-k
 * Sketches", PODC 2007.  Every ordinal has a draw, a hash of it and the seed;
 * kept are the rows with the least draws, and `bound` is the least draw that was
 * ever turned away.  So each offered row that lives is in the sample when its
 * draw is below `bound`, and rows that are deleted need no bookkeeping: the
 * others stay a uniform sample, of fewer rows until new ones come.
 *
 * Vitter's Algorithm R, which was here before, is not uniform any more after a
 * deletion, and the schemes that mend it (Gemulla, Lehner and Haas, "A Dip in
 * the Reservoir", VLDB 2006) must know of each deleted row whether it had been
 * offered, which a record does not say.
 *
 * When deletions leave less than half, `bound` is opened: recent rows fill the
 * gap, and are too many for a while, which is better than hardly any rows.
 */
#include "server/panel.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/rng.h"
#include "core/code/code.h"

const uint32_t ak_precision_at[AK_N_PRECISIONS] = {1, 10, 100};

void ak_panel_init(struct ak_panel *r, uint64_t seed)
{
    memset(r, 0, sizeof(*r));
    r->seed = ak_rng_derive(seed, "panel");
    r->bound = UINT64_MAX;
}

void ak_panel_clear(struct ak_panel *r)
{
    for (uint32_t i = 0; i < r->n; i++)
        free(r->rows[i].labels);
    r->n = 0;
}

static uint64_t draw_of(const struct ak_panel *r, uint64_t ordinal)
{
    struct ak_rng rng;

    ak_rng_init(&rng, r->seed ^ ordinal);
    return ak_rng_u64(&rng);
}

/* Place of a draw among those there are: how many are less. */
static uint32_t place_of(const struct ak_panel *r, uint64_t draw)
{
    uint32_t from = 0, to = r->n;

    while (from < to) {
        uint32_t mid = (from + to) / 2;

        if (r->rows[r->order[mid]].draw < draw)
            from = mid + 1;
        else
            to = mid;
    }
    return from;
}

static void set_place(struct ak_panel *r, uint32_t place, uint32_t slot,
                      uint32_t n)
{
    memmove(&r->order[place + 1], &r->order[place],
            (n - place) * sizeof(r->order[0]));
    r->order[place] = (uint16_t)slot;
}

enum ak_status ak_panel_offer(struct ak_panel *r, uint64_t ordinal,
                              uint32_t print, const uint32_t *labels,
                              size_t n_labels, uint32_t *slot,
                              struct ak_err *err)
{
    uint64_t draw = draw_of(r, ordinal);
    uint32_t *copy, at;

    *slot = AK_PANEL_ROWS;
    if (draw >= r->bound)
        return AK_OK;
    if (r->n == AK_PANEL_ROWS) {
        uint64_t greatest = r->rows[r->order[r->n - 1]].draw;

        if (draw >= greatest) {
            r->bound = draw;
            return AK_OK;
        }
    }
    copy = malloc(n_labels * sizeof(*copy) + 1);
    if (copy == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory to measure quality");
    memcpy(copy, labels, n_labels * sizeof(*copy));
    at = r->n;
    if (r->n == AK_PANEL_ROWS) {
        at = r->order[--r->n];
        r->bound = r->rows[at].draw;
        free(r->rows[at].labels);
    }
    set_place(r, place_of(r, draw), at, r->n);
    r->rows[at] = (struct ak_panel_row){.ordinal = ordinal,
                                        .draw = draw,
                                        .labels = copy,
                                        .n_labels = (uint32_t)n_labels,
                                        .print = print};
    r->n++;
    *slot = at;
    return AK_OK;
}

uint32_t ak_panel_find(const struct ak_panel *r, uint64_t ordinal)
{
    uint32_t at = place_of(r, draw_of(r, ordinal));

    if (at < r->n && r->rows[r->order[at]].ordinal == ordinal)
        return r->order[at];
    return AK_PANEL_ROWS;
}

void ak_panel_remove(struct ak_panel *r, uint32_t slot)
{
    uint32_t at = place_of(r, r->rows[slot].draw), last = r->n - 1;

    free(r->rows[slot].labels);
    memmove(&r->order[at], &r->order[at + 1],
            (last - at) * sizeof(r->order[0]));
    r->n = last;
    if (slot != last) {
        r->order[place_of(r, r->rows[last].draw)] = (uint16_t)slot;
        r->rows[slot] = r->rows[last];
    }
    if (r->n < AK_PANEL_ROWS / 2)
        r->bound = UINT64_MAX;
}

enum ak_status ak_panel_relabel(struct ak_panel *r, uint32_t slot,
                                const uint32_t *labels, size_t n_labels,
                                struct ak_err *err)
{
    uint32_t *copy = malloc(n_labels * sizeof(*copy) + 1);

    if (copy == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory to measure quality");
    memcpy(copy, labels, n_labels * sizeof(*copy));
    free(r->rows[slot].labels);
    r->rows[slot].labels = copy;
    r->rows[slot].n_labels = (uint32_t)n_labels;
    return AK_OK;
}

bool ak_panel_has(const struct ak_panel *r, uint32_t print)
{
    for (uint32_t i = 0; i < r->n; i++)
        if (r->rows[i].print == print)
            return true;
    return false;
}

/* ----------------------------------------------------------------- ranking */

static bool share_label(const uint32_t *a, size_t na,
                        const struct ak_panel_row *row)
{
    for (size_t i = 0; i < na; i++)
        for (size_t j = 0; j < row->n_labels; j++)
            if (a[i] == row->labels[j])
                return true;
    return false;
}

/* Slots by distance, then draw, into ranked; how many. */
static uint32_t sort_slots(const struct ak_panel *r, const uint8_t *codes,
                           uint32_t bits, const uint8_t *query, uint32_t except,
                           uint16_t ranked[AK_PANEL_ROWS])
{
    uint32_t first[AK_CODE_MAX_BITS + 2] = {0};
    uint16_t far[AK_PANEL_ROWS];
    uint64_t wanted[AK_CODE_MAX_WORDS], code[AK_CODE_MAX_WORDS];
    size_t bytes = ak_code_bytes(bits), words = ak_code_words(bits);

    ak_code_load(query, bits, wanted);
    for (uint32_t i = 0; i < r->n; i++) {
        uint32_t d = 0;

        ak_code_load(codes + i * bytes, bits, code);
        for (size_t w = 0; w < words; w++)
            d += (uint32_t)__builtin_popcountll(wanted[w] ^ code[w]);
        far[i] = (uint16_t)d;
        first[d + 1] += i != except;
    }
    for (uint32_t d = 0; d <= bits; d++)
        first[d + 1] += first[d];
    for (uint32_t i = 0; i < r->n; i++)
        if (r->order[i] != except)
            ranked[first[far[r->order[i]]]++] = r->order[i];
    return first[bits];
}

bool ak_panel_rank(const struct ak_panel *r, const uint8_t *codes,
                   uint32_t bits, const uint8_t *query, const uint32_t *labels,
                   size_t n_labels, uint32_t depth, uint32_t except,
                   struct ak_score *out)
{
    uint16_t ranked[AK_PANEL_ROWS];
    uint32_t n = sort_slots(r, codes, bits, query, except, ranked);
    uint32_t last = ak_precision_at[AK_N_PRECISIONS - 1];
    uint32_t hits = 0, hits_at[AK_N_PRECISIONS] = {0};
    double sum = 0;
    bool any = false;

    last = last > depth ? last : depth;
    for (uint32_t i = 0; i < n && (i < last || !any); i++) {
        if (!share_label(labels, n_labels, &r->rows[ranked[i]]))
            continue;
        any = true;
        if (i < depth)
            sum += ++hits / (double)(i + 1);
        for (int k = 0; k < AK_N_PRECISIONS; k++)
            hits_at[k] += i < ak_precision_at[k];
    }
    if (!any)
        return false;
    out->ap = hits > 0 ? (float)(sum / hits) : 0.0f;
    for (int k = 0; k < AK_N_PRECISIONS; k++)
        out->precision[k] = (float)hits_at[k] / (float)ak_precision_at[k];
    return true;
}

/* ------------------------------------------------------------------- state */

void ak_panel_save(const struct ak_panel *r, struct ak_writer *w)
{
    ak_write_u64(w, r->bound);
    ak_write_u32(w, r->n);
    for (uint32_t i = 0; i < r->n; i++) {
        const struct ak_panel_row *row = &r->rows[i];

        ak_write_u64(w, row->ordinal);
        ak_write_u32(w, row->print);
        ak_write_u32(w, row->n_labels);
        ak_write_u32s(w, row->labels, row->n_labels);
    }
}

void ak_panel_load(struct ak_panel *r, struct ak_reader *in)
{
    uint64_t bound = ak_read_u64(in);
    uint32_t n = ak_read_u32(in), slot;

    if (n > AK_PANEL_ROWS)
        in->status = AK_ECORRUPT;
    r->bound = UINT64_MAX;
    for (uint32_t i = 0; i < n && in->status == AK_OK; i++) {
        uint64_t ordinal = ak_read_u64(in);
        uint32_t print = ak_read_u32(in), n_labels = ak_read_u32(in);
        uint32_t *labels = NULL;

        if (in->status == AK_OK && n_labels > ak_reader_left(in) / 4)
            in->status = AK_ECORRUPT;
        if (in->status == AK_OK &&
            (labels = malloc(n_labels * sizeof(*labels) + 1)) == NULL)
            in->status = AK_ENOMEM;
        if (in->status != AK_OK)
            break;
        ak_read_u32s(in, labels, n_labels);
        if (ak_panel_find(r, ordinal) != AK_PANEL_ROWS)
            in->status = AK_ECORRUPT;
        else if (ak_panel_offer(r, ordinal, print, labels, n_labels, &slot,
                                NULL) != AK_OK)
            in->status = AK_ENOMEM;
        free(labels);
    }
    r->bound = bound;
}
