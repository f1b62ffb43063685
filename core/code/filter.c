/*
 * Which rows of a segment pass a filter, 64 rows to a word.
 *
 * Labels are compared for all rows of a word at once; rows with a list of labels
 * are looked at one by one.  Ordinals are sorted, so a segment that has none of
 * them is passed over without a look at it.
 */
#include "core/code/index_internal.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

/* With more labels than this, a row looks for its label among them, rather than
   each label for its rows. */
#define MANY_LABELS 16

/* Index of the first ordinal that is not below `ordinal`. */
static size_t lower_bound(const struct ak_condition *c, uint64_t ordinal)
{
    size_t low = 0, high = c->n_ordinals;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (c->ordinals[middle] < ordinal)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool has_label(const struct ak_condition *c, bool sorted, uint32_t label)
{
    size_t low = 0, high = c->n_labels;

    if (!sorted) {
        for (size_t i = 0; i < c->n_labels; i++)
            if (c->labels[i] == label)
                return true;
        return false;
    }
    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (c->labels[middle] < label)
            low = middle + 1;
        else
            high = middle;
    }
    return low < c->n_labels && c->labels[low] == label;
}

/* A bit for each byte, which is 0 or 1; the product moves byte i to bit 56 + i.
   (The machine is little-endian, as blob.c asserts.) */
static uint64_t pack(const uint8_t *bytes)
{
    uint64_t bits = 0;

    for (size_t i = 0; i < 8; i++) {
        uint64_t eight;

        memcpy(&eight, bytes + 8 * i, sizeof(eight));
        bits |= (eight * 0x0102040810204080u >> 56) << (8 * i);
    }
    return bits;
}

static uint64_t rows_equal(const uint32_t *rows, uint32_t label)
{
    uint8_t equal[64];

    for (size_t i = 0; i < 64; i++)
        equal[i] = rows[i] == label;
    return pack(equal);
}

/* Rows of a word that have a list of labels. */
static uint64_t rows_listed(const uint32_t *rows)
{
    uint8_t listed[64];

    for (size_t i = 0; i < 64; i++)
        listed[i] = rows[i] >= AK_LABEL_LIST && rows[i] != AK_LABEL_NONE;
    return pack(listed);
}

/* Which of the rows in `ask` have a label of the condition. */
static uint64_t rows_labelled(const struct ak_condition *c, bool sorted,
                              const struct ak_labels *labels,
                              const uint32_t *rows, uint64_t ask)
{
    uint64_t listed = labels->cap > 0 ? rows_listed(rows) & ask : 0;
    uint64_t found = 0;

    if (sorted && c->n_labels > MANY_LABELS) {
        for (uint64_t left = ask & ~listed; left != 0; left &= left - 1) {
            size_t i = (size_t)__builtin_ctzll(left);

            if (rows[i] != AK_LABEL_NONE && has_label(c, true, rows[i]))
                found |= (uint64_t)1 << i;
        }
    } else {
        /* A label of AK_LABEL_LIST or more is always in a list. */
        for (size_t l = 0; l < c->n_labels; l++)
            if (c->labels[l] < AK_LABEL_LIST)
                found |= rows_equal(rows, c->labels[l]);
    }
    for (; listed != 0; listed &= listed - 1) {
        size_t i = (size_t)__builtin_ctzll(listed);
        const uint32_t *list = &labels->lists[rows[i] - AK_LABEL_LIST];

        for (uint32_t l = 1; l <= list[0]; l++)
            if (has_label(c, sorted, list[l])) {
                found |= (uint64_t)1 << i;
                break;
            }
    }
    return found & ask;
}

/* Rows of one word for which the condition holds; only those in `ask` matter. */
static uint64_t holds(const struct ak_condition *c, bool sorted,
                      const struct ak_snapshot *s, size_t segment, size_t word,
                      uint64_t ask)
{
    uint64_t base = (uint64_t)segment * AK_SEGMENT_ROWS + word * 64;
    const struct ak_labels *labels = s->segments[segment]->labels;
    uint64_t found = 0;

    for (size_t i = c->n_ordinals > 0 ? lower_bound(c, base) : 0;
         i < c->n_ordinals && c->ordinals[i] < base + 64; i++)
        found |= (uint64_t)1 << (c->ordinals[i] - base);
    if (c->n_labels > 0 && labels != NULL && (ask & ~found) != 0) {
        const uint32_t *rows = labels->rows + word * 64;
        uint32_t local[64];

        /* Rows behind the snapshot's end may be written at this moment. */
        if (s->rows - base < 64) {
            memset(local, 0xff, sizeof(local));
            memcpy(local, rows, (size_t)(s->rows - base) * sizeof(*rows));
            rows = local;
        }
        found |= rows_labelled(c, sorted, labels, rows, ask & ~found);
    }
    return found & ask;
}

static uint64_t alive(const struct ak_snapshot *s, size_t segment, size_t word)
{
    uint64_t base = (uint64_t)segment * AK_SEGMENT_ROWS + word * 64;
    const struct ak_dead *dead = s->segments[segment]->dead;
    uint64_t rows = UINT64_MAX;

    if (base >= s->rows)
        return 0;
    if (s->rows - base < 64)
        rows = ((uint64_t)1 << (s->rows - base)) - 1;
    return dead == NULL ? rows : rows & ~dead->bits[word];
}

void ak_filter_rows(const struct ak_snapshot *s, const struct ak_filter *filter,
                    bool sorted, size_t segment, size_t first, size_t n_words,
                    uint64_t *out)
{
    for (size_t w = 0; w < n_words; w++) {
        uint64_t pass = alive(s, segment, first + w);

        if (filter != NULL) {
            uint64_t any = 0;

            for (size_t i = 0; i < filter->n_must && pass != 0; i++)
                pass = holds(&filter->must[i], sorted, s, segment, first + w,
                             pass);
            for (size_t i = 0; i < filter->n_should && any != pass; i++)
                any |= holds(&filter->should[i], sorted, s, segment, first + w,
                             pass & ~any);
            if (filter->n_should > 0)
                pass = any;
            for (size_t i = 0; i < filter->n_must_not && pass != 0; i++)
                pass &= ~holds(&filter->must_not[i], sorted, s, segment,
                               first + w, pass);
        }
        out[w] = pass;
    }
}

/* The rows of the snapshot in a segment that satisfy a condition. */
static void whole_holds(const struct ak_condition *c,
                        const struct ak_snapshot *s, size_t segment,
                        uint64_t *out)
{
    uint64_t base = (uint64_t)segment * AK_SEGMENT_ROWS;
    struct ak_labels *labels = s->segments[segment]->labels;
    const struct ak_label_index *index = NULL;

    /* The last segment grows, and is not indexed. */
    if (c->n_labels > 0 && labels != NULL && s->rows - base >= AK_SEGMENT_ROWS)
        index = ak_labels_index(labels);
    if (index == NULL) {
        for (size_t w = 0; w < AK_SEGMENT_WORDS; w++)
            out[w] = base + w * 64 < s->rows
                         ? holds(c, true, s, segment, w, UINT64_MAX)
                         : 0;
        return;
    }
    memset(out, 0, AK_SEGMENT_WORDS * sizeof(*out));
    ak_label_index_rows(index, c->labels, c->n_labels, out);
    for (size_t i = c->n_ordinals > 0 ? lower_bound(c, base) : 0;
         i < c->n_ordinals && c->ordinals[i] < base + AK_SEGMENT_ROWS; i++)
        out[(c->ordinals[i] - base) / 64] |= (uint64_t)1
                                             << (c->ordinals[i] % 64);
}

/* a &= b; returns whether anything is left. */
static bool intersect(uint64_t *a, const uint64_t *b)
{
    uint64_t any = 0;

    for (size_t w = 0; w < AK_SEGMENT_WORDS; w++)
        any |= a[w] &= b[w];
    return any != 0;
}

void ak_filter_whole(const struct ak_snapshot *s,
                     const struct ak_filter *filter, size_t segment,
                     uint64_t *out)
{
    uint64_t rows[AK_SEGMENT_WORDS], any[AK_SEGMENT_WORDS] = {0};
    bool left = true;

    for (size_t w = 0; w < AK_SEGMENT_WORDS; w++)
        out[w] = alive(s, segment, w);
    if (filter == NULL)
        return;
    for (size_t i = 0; i < filter->n_must && left; i++) {
        whole_holds(&filter->must[i], s, segment, rows);
        left = intersect(out, rows);
    }
    for (size_t i = 0; i < filter->n_should && left; i++) {
        whole_holds(&filter->should[i], s, segment, rows);
        for (size_t w = 0; w < AK_SEGMENT_WORDS; w++)
            any[w] |= rows[w];
    }
    if (filter->n_should > 0 && left)
        left = intersect(out, any);
    for (size_t i = 0; i < filter->n_must_not && left; i++) {
        whole_holds(&filter->must_not[i], s, segment, rows);
        for (size_t w = 0; w < AK_SEGMENT_WORDS; w++)
            rows[w] = ~rows[w];
        left = intersect(out, rows);
    }
}

/* The next segment with an ordinal of the condition, which has no labels. */
static size_t next_named(const struct ak_condition *c, size_t segment)
{
    size_t i = lower_bound(c, (uint64_t)segment * AK_SEGMENT_ROWS);

    return i == c->n_ordinals ? SIZE_MAX
                              : (size_t)(c->ordinals[i] / AK_SEGMENT_ROWS);
}

size_t ak_filter_segment(const struct ak_snapshot *s,
                         const struct ak_filter *filter, size_t segment)
{
    size_t before;

    /* Each condition that must hold moves on; until all agree. */
    do {
        size_t should = SIZE_MAX;

        before = segment;
        for (size_t i = 0; i < filter->n_must && segment < s->n_segments; i++)
            if (filter->must[i].n_labels == 0)
                segment = next_named(&filter->must[i], segment);
        for (size_t i = 0; i < filter->n_should && segment < s->n_segments;
             i++) {
            size_t next = filter->should[i].n_labels > 0
                              ? segment
                              : next_named(&filter->should[i], segment);

            if (next < should)
                should = next;
        }
        if (filter->n_should > 0 && segment < s->n_segments)
            segment = should;
    } while (segment != before && segment < s->n_segments);
    return segment < s->n_segments ? segment : s->n_segments;
}

static int compare_labels(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* Copies `n` conditions to *to and their labels to *labels; both move on. */
static const struct ak_condition *copy_sorted(const struct ak_condition *from,
                                              size_t n,
                                              struct ak_condition **to,
                                              uint32_t **labels)
{
    struct ak_condition *copy = *to;

    for (size_t i = 0; i < n; i++) {
        copy[i] = from[i];
        if (from[i].n_labels == 0)
            continue;
        memcpy(*labels, from[i].labels, from[i].n_labels * sizeof(**labels));
        qsort(*labels, from[i].n_labels, sizeof(**labels), compare_labels);
        copy[i].labels = *labels;
        *labels += from[i].n_labels;
    }
    *to += n;
    return copy;
}

struct ak_filter *ak_filter_sorted(const struct ak_filter *filter)
{
    size_t n = filter->n_must + filter->n_should + filter->n_must_not;
    size_t n_labels = 0;
    struct ak_filter *copy;
    struct ak_condition *to;
    uint32_t *labels;

    for (size_t i = 0; i < filter->n_must; i++)
        n_labels += filter->must[i].n_labels;
    for (size_t i = 0; i < filter->n_should; i++)
        n_labels += filter->should[i].n_labels;
    for (size_t i = 0; i < filter->n_must_not; i++)
        n_labels += filter->must_not[i].n_labels;
    copy = ak_array_new(1, sizeof(*copy) + n * sizeof(*to) +
                               n_labels * sizeof(*labels));
    if (copy == NULL)
        return NULL;
    *copy = *filter;
    to = (struct ak_condition *)(copy + 1);
    labels = (uint32_t *)(to + n);
    copy->must = copy_sorted(filter->must, filter->n_must, &to, &labels);
    copy->should = copy_sorted(filter->should, filter->n_should, &to, &labels);
    copy->must_not =
        copy_sorted(filter->must_not, filter->n_must_not, &to, &labels);
    return copy;
}
