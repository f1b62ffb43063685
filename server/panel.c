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

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/code/hamming.h"

const uint32_t ak_precision_at[AK_N_PRECISIONS] = {1, 10, 100};

void ak_panel_init(struct ak_panel *p, uint64_t seed)
{
    memset(p, 0, sizeof(*p));
    p->seed = ak_rng_derive(seed, "panel");
    p->bound = UINT64_MAX;
}

void ak_panel_clear(struct ak_panel *p)
{
    for (uint32_t i = 0; i < p->n; i++)
        free(p->rows[i].labels);
    p->n = 0;
}

static uint64_t draw_of(const struct ak_panel *p, uint64_t ordinal)
{
    struct ak_rng rng;

    ak_rng_init(&rng, p->seed ^ ordinal);
    return ak_rng_u64(&rng);
}

/* Place of a draw among those there are: how many are less. */
static uint32_t place_of(const struct ak_panel *p, uint64_t draw)
{
    uint32_t from = 0, to = p->n;

    while (from < to) {
        uint32_t mid = (from + to) / 2;

        if (p->rows[p->order[mid]].draw < draw)
            from = mid + 1;
        else
            to = mid;
    }
    return from;
}

static void set_place(struct ak_panel *p, uint32_t place, uint32_t slot,
                      uint32_t n)
{
    memmove(&p->order[place + 1], &p->order[place],
            (n - place) * sizeof(p->order[0]));
    p->order[place] = (uint16_t)slot;
}

enum ak_status ak_panel_offer(struct ak_panel *p, uint64_t ordinal,
                              uint32_t print, const uint32_t *labels,
                              size_t n_labels, uint32_t *slot,
                              struct ak_err *err)
{
    uint64_t draw = draw_of(p, ordinal);
    uint32_t *copy, at;

    *slot = AK_PANEL_ROWS;
    if (draw >= p->bound)
        return AK_OK;
    if (p->n == AK_PANEL_ROWS) {
        uint64_t greatest = p->rows[p->order[p->n - 1]].draw;

        if (draw >= greatest) {
            p->bound = draw;
            return AK_OK;
        }
    }
    copy = malloc(n_labels * sizeof(*copy) + 1);
    if (copy == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory to measure quality");
    memcpy(copy, labels, n_labels * sizeof(*copy));
    at = p->n;
    if (p->n == AK_PANEL_ROWS) {
        at = p->order[--p->n];
        p->bound = p->rows[at].draw;
        free(p->rows[at].labels);
    }
    set_place(p, place_of(p, draw), at, p->n);
    p->rows[at] = (struct ak_panel_row){.ordinal = ordinal,
                                        .draw = draw,
                                        .labels = copy,
                                        .n_labels = (uint32_t)n_labels,
                                        .print = print};
    p->n++;
    *slot = at;
    return AK_OK;
}

bool ak_panel_takes(const struct ak_panel *p, uint64_t ordinal)
{
    uint64_t draw = draw_of(p, ordinal);

    return draw < p->bound &&
           (p->n < AK_PANEL_ROWS || draw < p->rows[p->order[p->n - 1]].draw);
}

uint32_t ak_panel_find(const struct ak_panel *p, uint64_t ordinal)
{
    uint32_t at = place_of(p, draw_of(p, ordinal));

    if (at < p->n && p->rows[p->order[at]].ordinal == ordinal)
        return p->order[at];
    return AK_PANEL_ROWS;
}

void ak_panel_remove(struct ak_panel *p, uint32_t slot)
{
    uint32_t at = place_of(p, p->rows[slot].draw), last = p->n - 1;

    free(p->rows[slot].labels);
    memmove(&p->order[at], &p->order[at + 1],
            (last - at) * sizeof(p->order[0]));
    p->n = last;
    if (slot != last) {
        p->order[place_of(p, p->rows[last].draw)] = (uint16_t)slot;
        p->rows[slot] = p->rows[last];
    }
    if (p->n < AK_PANEL_ROWS / 2)
        p->bound = UINT64_MAX;
}

enum ak_status ak_panel_relabel(struct ak_panel *p, uint32_t slot,
                                const uint32_t *labels, size_t n_labels,
                                struct ak_err *err)
{
    uint32_t *copy = malloc(n_labels * sizeof(*copy) + 1);

    if (copy == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory to measure quality");
    memcpy(copy, labels, n_labels * sizeof(*copy));
    free(p->rows[slot].labels);
    p->rows[slot].labels = copy;
    p->rows[slot].n_labels = (uint32_t)n_labels;
    return AK_OK;
}

bool ak_panel_has(const struct ak_panel *p, uint32_t print)
{
    for (uint32_t i = 0; i < p->n; i++)
        if (p->rows[i].print == print)
            return true;
    return false;
}

/* ----------------------------------------------------------------- ranking */

enum ak_status ak_panel_codes_init(struct ak_panel_codes *codes, uint32_t bits,
                                   struct ak_err *err)
{
    codes->bits = bits;
    codes->bound = bits / 4 + 1;
    codes->words = ak_array_new((size_t)AK_PANEL_ROWS * ak_code_words(bits), 8);
    return codes->words != NULL
               ? AK_OK
               : ak_fail(err, AK_ENOMEM, "no memory to measure quality");
}

void ak_panel_codes_clear(struct ak_panel_codes *codes)
{
    ak_array_free(codes->words);
    codes->words = NULL;
}

void ak_panel_codes_put(struct ak_panel_codes *codes, const struct ak_panel *p,
                        const uint8_t *bytes)
{
    size_t len = ak_code_bytes(codes->bits), words = ak_code_words(codes->bits);
    uint64_t code[AK_CODE_MAX_WORDS];

    for (uint32_t i = 0; i < p->n; i++) {
        ak_code_load(bytes + p->order[i] * len, codes->bits, code);
        ak_hamming_put(codes->words, i, words, code);
    }
}

static bool share_label(const uint32_t *a, size_t na,
                        const struct ak_panel_row *row)
{
    for (size_t i = 0; i < na; i++)
        for (size_t j = 0; j < row->n_labels; j++)
            if (a[i] == row->labels[j])
                return true;
    return false;
}

static bool any_shares(const struct ak_panel *p, const uint32_t *labels,
                       size_t n_labels, uint32_t except)
{
    for (uint32_t i = 0; i < p->n; i++)
        if (i != except && share_label(labels, n_labels, &p->rows[i]))
            return true;
    return false;
}

/*
 * At least `most` rows nearest to the query, or all, as slots in their order;
 * how many.  The rows nearer than a bound come in the order of the draws, and
 * are then counted into the order of their distances, which keeps it.  When the
 * bound was too near, the next one is further; which one is tried first changes
 * no result.
 */
static uint32_t nearest(const struct ak_panel *p, struct ak_panel_codes *codes,
                        const uint64_t *query, uint32_t except, uint32_t most,
                        uint16_t slots[AK_PANEL_ROWS])
{
    struct ak_near near[AK_PANEL_ROWS];
    uint32_t first[AK_CODE_MAX_BITS + 2] = {0};
    uint32_t bound = codes->bound, wanted = most < p->n ? most + 1 : p->n;
    size_t n, groups = ak_hamming_groups(p->n);

    for (;;) {
        n = ak_hamming_kernel()->near(query, codes->words, groups,
                                      ak_code_words(codes->bits), bound, near);
        while (n > 0 && near[n - 1].position >= p->n)
            n--; /* the padding of the last group */
        if (n >= wanted || bound > codes->bits)
            break;
        bound = bound + bound / 2 + 1;
        bound = bound > codes->bits ? codes->bits + 1 : bound;
    }
    /* Much further than it had to be: try a nearer one the next time. */
    codes->bound = n > 4 * (size_t)wanted && bound > 1 ? bound - 1 : bound;
    for (size_t i = 0; i < n; i++)
        first[near[i].distance + 1]++;
    for (uint32_t d = 0; d < bound; d++)
        first[d + 1] += first[d];
    for (size_t i = 0; i < n; i++)
        slots[first[near[i].distance]++] = p->order[near[i].position];
    for (size_t i = 0; i < n && except < AK_PANEL_ROWS; i++)
        if (slots[i] == except) {
            memmove(&slots[i], &slots[i + 1], (n - i - 1) * sizeof(slots[0]));
            return (uint32_t)n - 1;
        }
    return (uint32_t)n;
}

bool ak_panel_rank(const struct ak_panel *p, struct ak_panel_codes *codes,
                   const uint8_t *query, const uint32_t *labels,
                   size_t n_labels, uint32_t depth, uint32_t except,
                   struct ak_score *out)
{
    uint16_t ranked[AK_PANEL_ROWS];
    uint64_t words[AK_CODE_MAX_WORDS];
    uint32_t last = ak_precision_at[AK_N_PRECISIONS - 1];
    uint32_t n, hits = 0, hits_at[AK_N_PRECISIONS] = {0};
    double sum = 0;
    bool any = false;

    last = last > depth ? last : depth;
    ak_code_load(query, codes->bits, words);
    n = nearest(p, codes, words, except, last, ranked);
    for (uint32_t i = 0; i < n && i < last; i++) {
        if (!share_label(labels, n_labels, &p->rows[ranked[i]]))
            continue;
        any = true;
        if (i < depth)
            sum += ++hits / (double)(i + 1);
        for (int k = 0; k < AK_N_PRECISIONS; k++)
            hits_at[k] += i < ak_precision_at[k];
    }
    if (!any && !any_shares(p, labels, n_labels, except))
        return false;
    out->ap = hits > 0 ? (float)(sum / hits) : 0.0f;
    for (int k = 0; k < AK_N_PRECISIONS; k++)
        out->precision[k] = (float)hits_at[k] / (float)ak_precision_at[k];
    return true;
}

/* ------------------------------------------------------------------- state */

void ak_panel_save(const struct ak_panel *p, struct ak_writer *w)
{
    ak_write_u64(w, p->bound);
    ak_write_u32(w, p->n);
    for (uint32_t i = 0; i < p->n; i++) {
        const struct ak_panel_row *row = &p->rows[i];

        ak_write_u64(w, row->ordinal);
        ak_write_u32(w, row->print);
        ak_write_u32(w, row->n_labels);
        ak_write_u32s(w, row->labels, row->n_labels);
    }
}

void ak_panel_load(struct ak_panel *p, struct ak_reader *in)
{
    uint64_t bound = ak_read_u64(in);
    uint32_t n = ak_read_u32(in), slot;

    if (n > AK_PANEL_ROWS)
        in->status = AK_ECORRUPT;
    p->bound = UINT64_MAX;
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
        if (ak_panel_find(p, ordinal) != AK_PANEL_ROWS)
            in->status = AK_ECORRUPT;
        else if (ak_panel_offer(p, ordinal, print, labels, n_labels, &slot,
                                NULL) != AK_OK)
            in->status = AK_ENOMEM;
        free(labels);
    }
    p->bound = bound;
}
