/*
 * Which rows of a segment have a label: found without a look at each of them.
 *
 * For every label of the segment there is a list of its rows, or from
 * BITMAP_ROWS on a bitmap, which is shorter then.  That is 2 bytes for each label
 * of a row at most, and 8 for each label that occurs: it does not grow with the
 * labels that there are elsewhere.  A full segment is indexed by the first search
 * that filters by labels, as most collections are never filtered.
 */
#include "core/code/index_internal.h"

#include <string.h>

#include "core/base/mem.h"

/* A bitmap of a segment is as long as a list of so many rows. */
#define BITMAP_ROWS (AK_SEGMENT_ROWS / 16)

struct entry {
    uint32_t label;
    uint32_t row;
};

/* A label's rows are at data[first], as a bitmap or up to those of the next. */
struct ak_label_index {
    size_t len;
    size_t n;         /* labels */
    uint32_t *labels; /* (n), sorted upwards */
    uint32_t *first;  /* (n + 1) in units of 16 bits, and BITMAP if it is one */
    uint16_t *data;
};
#define BITMAP     0x80000000u
#define BITMAP_LEN (AK_SEGMENT_ROWS / 16) /* in units of 16 bits */

static size_t count_entries(const struct ak_labels *labels)
{
    const uint32_t *list;
    size_t n = 0;

    for (size_t row = 0; row < AK_SEGMENT_ROWS; row++)
        n += ak_labels_get(labels, row, &list);
    return n;
}

static void list_entries(const struct ak_labels *labels, struct entry *to)
{
    for (uint32_t row = 0; row < AK_SEGMENT_ROWS; row++) {
        const uint32_t *list;
        size_t n = ak_labels_get(labels, row, &list);

        for (size_t i = 0; i < n; i++)
            *to++ = (struct entry){list[i], row};
    }
}

/* By label, and of the same label by row as before; byte by byte, without those
   in which no two differ. */
static struct entry *sort_entries(struct entry *from, struct entry *to,
                                  size_t n)
{
    for (unsigned shift = 0; shift < 32; shift += 8) {
        size_t at[257] = {0};

        for (size_t i = 0; i < n; i++)
            at[(from[i].label >> shift & 0xffu) + 1]++;
        if (n == 0 || at[(from[0].label >> shift & 0xffu) + 1] == n)
            continue;
        for (size_t i = 1; i < 257; i++)
            at[i] += at[i - 1];
        for (size_t i = 0; i < n; i++)
            to[at[from[i].label >> shift & 0xffu]++] = from[i];
        struct entry *swap = from;
        from = to;
        to = swap;
    }
    return from;
}

/* The end of the entries with the label of entry `i`. */
static size_t run_end(const struct entry *entries, size_t i, size_t n)
{
    size_t end = i + 1;

    while (end < n && entries[end].label == entries[i].label)
        end++;
    return end;
}

static void set_row(uint64_t *rows, uint32_t row)
{
    rows[row / 64] |= (uint64_t)1 << (row % 64);
}

static struct ak_label_index *index_entries(const struct entry *entries,
                                            size_t n)
{
    struct ak_label_index *index;
    size_t n_labels = 0, n_data = 0, len;

    for (size_t i = 0, end; i < n; i = end, n_labels++) {
        end = run_end(entries, i, n);
        n_data += end - i >= BITMAP_ROWS ? BITMAP_LEN : end - i;
    }
    len = sizeof(*index) + (2 * n_labels + 1) * sizeof(uint32_t) +
          n_data * sizeof(uint16_t);
    index = ak_array_new(1, len);
    if (index == NULL)
        return NULL;
    index->len = len;
    index->labels = (uint32_t *)(index + 1);
    index->first = index->labels + n_labels;
    index->data = (uint16_t *)(index->first + n_labels + 1);
    n_data = 0;
    for (size_t i = 0, end; i < n; i = end) {
        uint32_t first = (uint32_t)n_data;
        uint16_t *data = index->data + n_data;

        end = run_end(entries, i, n);
        if (end - i >= BITMAP_ROWS) {
            uint64_t rows[AK_SEGMENT_WORDS] = {0};

            for (size_t e = i; e < end; e++)
                set_row(rows, entries[e].row);
            memcpy(data, rows, sizeof(rows));
            first |= BITMAP;
            n_data += BITMAP_LEN;
        } else {
            for (size_t e = i; e < end; e++)
                *data++ = (uint16_t)entries[e].row;
            n_data += end - i;
        }
        index->labels[index->n] = entries[i].label;
        index->first[index->n++] = first;
    }
    index->first[index->n] = (uint32_t)n_data;
    return index;
}

static struct ak_label_index *make_index(const struct ak_labels *labels)
{
    size_t n = count_entries(labels);
    struct entry *entries = ak_array_new(2 * n, sizeof(*entries));
    struct ak_label_index *index = NULL;

    if (entries != NULL) {
        list_entries(labels, entries);
        index = index_entries(sort_entries(entries, entries + n, n), n);
    }
    ak_array_free(entries);
    return index;
}

const struct ak_label_index *ak_labels_index(struct ak_labels *labels)
{
    struct ak_label_index *index =
        atomic_load_explicit(&labels->index, memory_order_acquire);
    struct ak_label_index *other = NULL;

    if (index != NULL)
        return index;
    index = make_index(labels);
    /* Who comes second takes the index of the first. */
    if (index != NULL && !atomic_compare_exchange_strong_explicit(
                             &labels->index, &other, index,
                             memory_order_acq_rel, memory_order_acquire)) {
        ak_array_free(index);
        index = other;
    }
    return index;
}

void ak_labels_drop_index(struct ak_labels *labels)
{
    ak_array_free(
        atomic_exchange_explicit(&labels->index, NULL, memory_order_acq_rel));
}

size_t ak_label_index_bytes(const struct ak_labels *labels)
{
    const struct ak_label_index *index =
        atomic_load_explicit(&labels->index, memory_order_acquire);

    return index == NULL ? 0 : index->len;
}

/* Sets the rows of label number `i`. */
static void add_rows(const struct ak_label_index *index, size_t i,
                     uint64_t *out)
{
    uint32_t first = index->first[i];
    const uint16_t *data = index->data + (first & ~BITMAP);

    if ((first & BITMAP) == 0) {
        size_t n = (index->first[i + 1] & ~BITMAP) - first;

        for (size_t r = 0; r < n; r++)
            set_row(out, data[r]);
        return;
    }
    for (size_t w = 0; w < AK_SEGMENT_WORDS; w++) {
        uint64_t word;

        memcpy(&word, data + 4 * w, sizeof(word));
        out[w] |= word;
    }
}

/* Index of the first of `n` sorted labels that is not below `label`. */
static size_t lower_bound(const uint32_t *labels, size_t n, uint32_t label)
{
    size_t low = 0;

    while (low < n) {
        size_t middle = low + (n - low) / 2;

        if (labels[middle] < label)
            low = middle + 1;
        else
            n = middle;
    }
    return low;
}

void ak_label_index_rows(const struct ak_label_index *index,
                         const uint32_t *labels, size_t n, uint64_t *out)
{
    size_t at = 0;

    /* The shorter of two sorted lists is looked up in the longer one. */
    if (n <= index->n) {
        for (size_t l = 0; l < n && at < index->n; l++) {
            at += lower_bound(index->labels + at, index->n - at, labels[l]);
            if (at < index->n && index->labels[at] == labels[l])
                add_rows(index, at, out);
        }
        return;
    }
    for (size_t i = 0; i < index->n && at < n; i++) {
        at += lower_bound(labels + at, n - at, index->labels[i]);
        if (at < n && labels[at] == index->labels[i])
            add_rows(index, i, out);
    }
}
