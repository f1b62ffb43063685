/*
 * A whole segment made of columns, as a start has them: no row is looked at that
 * need not be.
 */
#include "core/code/index_internal.h"

#include <string.h>

#include "core/base/mem.h"

#define ROWS AK_SEGMENT_ROWS

static struct ak_ids *fill_numbers(const struct ak_index_segment *from)
{
    size_t one = from->numbers != NULL   ? sizeof(*from->numbers)
                 : from->offsets != NULL ? sizeof(*from->offsets)
                                         : 0;
    struct ak_ids *ids = ak_array_new(1, sizeof(*ids) + ROWS * one);

    if (ids == NULL)
        return NULL;
    ak_ids_init(ids, sizeof(*ids) + ROWS * one);
    ids->base = from->base;
    if (from->numbers != NULL) {
        ids->numbers = (uint64_t *)(ids + 1);
        memcpy(ids->numbers, from->numbers, ROWS * one);
    } else if (from->offsets != NULL) {
        ids->offsets = (uint32_t *)(ids + 1);
        memcpy(ids->offsets, from->offsets, ROWS * one);
    }
    return ids;
}

static struct ak_ids *fill_texts(const struct ak_index_segment *from)
{
    uint32_t len = from->text_first[ROWS];
    struct ak_ids *ids = ak_ids_new(AK_ID_STRING, len);

    if (ids == NULL)
        return NULL;
    memcpy(ids->first, from->text_first, (ROWS + 1) * sizeof(*ids->first));
    memcpy(ids->text, from->text, len);
    ids->used = len;
    return ids;
}

static size_t labels_of(const struct ak_index_segment *from, size_t row,
                        const uint32_t **labels)
{
    *labels = from->labels + row;
    if (from->label_first == NULL)
        return from->labels[row] != AK_NO_LABEL;
    *labels = from->labels + from->label_first[row];
    return from->label_first[row + 1] - from->label_first[row];
}

static struct ak_labels *fill_labels(const struct ak_index_segment *from,
                                     size_t lists)
{
    struct ak_labels *to = ak_labels_new(lists);

    if (to == NULL)
        return NULL;
    if (lists == 0 && from->label_first == NULL) {
        memcpy(to->rows, from->labels, sizeof(to->rows));
        return to;
    }
    for (size_t i = 0; i < ROWS; i++) {
        const uint32_t *labels;
        size_t n = labels_of(from, i, &labels);

        ak_labels_put(to, i, labels, n);
    }
    return to;
}

static void fill_codes(struct ak_codes *to, uint32_t bits, const uint8_t *codes)
{
    size_t bytes = ak_code_bytes(bits), words = ak_code_words(bits);

    if (bits == 64) { /* nothing stands between two codes */
        memcpy(to->words, codes, ROWS * bytes);
        return;
    }
    for (size_t i = 0; i < ROWS; i++) {
        uint64_t code[AK_CODE_MAX_WORDS];

        ak_code_load(codes + i * bytes, bits, code);
        ak_hamming_put(to->words, i, words, code);
    }
}

size_t ak_segment_lists(const struct ak_index_segment *from)
{
    size_t room = 0;

    for (size_t i = 0; i < ROWS && from->labels != NULL; i++) {
        const uint32_t *labels;
        size_t n = labels_of(from, i, &labels);

        room += ak_labels_room(labels, n);
    }
    return room;
}

struct ak_segment *ak_segment_fill(uint32_t bits, enum ak_id_kind kind,
                                   const struct ak_index_segment *from,
                                   size_t lists, struct ak_slab **slab)
{
    struct ak_segment *segment = ak_segment_empty();
    bool whole;

    if (segment == NULL)
        return NULL;
    segment->codes = ak_codes_new(ak_code_words(bits), slab);
    segment->ids =
        kind == AK_ID_INTEGER ? fill_numbers(from) : fill_texts(from);
    if (from->labels != NULL)
        segment->labels = fill_labels(from, lists);
    if (from->dead != NULL)
        segment->dead = ak_dead_copy(NULL);
    whole = segment->codes != NULL && segment->ids != NULL &&
            (from->labels == NULL || segment->labels != NULL) &&
            (from->dead == NULL || segment->dead != NULL);
    if (!whole) {
        ak_ref_drop(&segment->ref);
        return NULL;
    }
    fill_codes(segment->codes, bits, from->codes);
    if (from->dead != NULL)
        memcpy(segment->dead->bits, from->dead, sizeof(segment->dead->bits));
    return segment;
}
