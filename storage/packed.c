/*
 * packed.c -- the format of packed rows; packed_internal.h says what it is.
 *
 * Each part has the least form that holds what there is, since of most
 * collections the ids are in order and the labels one each.
 */
#include "storage/packed_internal.h"

#define ROWS AK_STORE_SEGMENT_ROWS

enum ids { IN_ORDER, OFFSETS, NUMBERS, TEXTS };
enum labels { NO_LABELS, ONE_EACH, LISTS };

/* ----------------------------------------------------------------- packing */

void ak_packing_add(struct ak_packing *p, const struct ak_row_id *id, bool dead,
                    const void *labels, size_t n_labels)
{
    size_t i = p->n++;

    p->numbers[i] = id->number;
    ak_write_bytes(&p->text, id->text, id->len);
    p->text_first[i + 1] = (uint32_t)p->text.len;
    /* What an erased row had is nowhere, so a dead one shows none. */
    if (dead) {
        p->dead[i / 64] |= UINT64_C(1) << (i % 64);
        p->any_dead = true;
    } else {
        ak_write_bytes(&p->labels, labels, n_labels * sizeof(uint32_t));
    }
    p->label_first[i + 1] = (uint32_t)(p->labels.len / sizeof(uint32_t));
}

void ak_packing_clear(struct ak_packing *p)
{
    ak_writer_clear(&p->text);
    ak_writer_clear(&p->labels);
}

static enum ids form_of_ids(const struct ak_packing *p, uint64_t *base)
{
    uint64_t least = p->numbers[0], most = p->numbers[0];
    bool in_order = true;

    for (size_t i = 1; i < ROWS; i++) {
        uint64_t number = p->numbers[i];

        least = number < least ? number : least;
        most = number > most ? number : most;
        in_order = in_order && number == p->numbers[0] + i;
    }
    *base = most - least > UINT32_MAX ? 0 : least;
    if (in_order)
        return IN_ORDER;
    return most - least > UINT32_MAX ? NUMBERS : OFFSETS;
}

/* The label of a row that has one at most. */
static uint32_t one_label(const struct ak_packing *p, size_t i)
{
    const uint32_t *labels = (const void *)p->labels.data;

    return p->label_first[i] < p->label_first[i + 1] ? labels[p->label_first[i]]
                                                     : AK_PACKED_NO_LABEL;
}

static enum labels form_of_labels(const struct ak_packing *p)
{
    if (p->labels.len == 0)
        return NO_LABELS;
    for (size_t i = 0; i < ROWS; i++) {
        uint32_t n = p->label_first[i + 1] - p->label_first[i];

        if (n > 1 || (n == 1 && one_label(p, i) == AK_PACKED_NO_LABEL))
            return LISTS;
    }
    return ONE_EACH;
}

static void write_ids(const struct ak_packing *p, enum ids ids, uint64_t base,
                      struct ak_writer *out)
{
    if (ids == NUMBERS)
        ak_write_u64s(out, p->numbers, ROWS);
    for (size_t i = 0; i < ROWS && ids == OFFSETS; i++)
        ak_write_u32(out, (uint32_t)(p->numbers[i] - base));
    if (ids == TEXTS)
        ak_write_u32s(out, p->text_first, ROWS + 1);
}

static void write_labels(const struct ak_packing *p, enum labels labels,
                         struct ak_writer *out)
{
    for (size_t i = 0; i < ROWS && labels == ONE_EACH; i++)
        ak_write_u32(out, one_label(p, i));
    if (labels == LISTS) {
        ak_write_u32s(out, p->label_first, ROWS + 1);
        ak_write_bytes(out, p->labels.data, p->labels.len);
    }
}

enum ak_status ak_packing_write(const struct ak_packing *p, bool texts,
                                struct ak_writer *out, struct ak_err *err)
{
    uint64_t base = 0;
    enum ids ids = texts ? TEXTS : form_of_ids(p, &base);
    enum labels labels = form_of_labels(p);

    ak_write_u8(out, (uint8_t)ids);
    ak_write_u8(out, p->any_dead);
    ak_write_u8(out, (uint8_t)labels);
    ak_write_u8(out, 0);
    ak_write_u32(out, ROWS);
    ak_write_u64(out, base);
    if (p->any_dead)
        ak_write_u64s(out, p->dead, AK_PACKED_WORDS);
    write_ids(p, ids, base, out);
    write_labels(p, labels, out);
    ak_write_bytes(out, p->text.data, p->text.len);
    if (out->status != AK_OK || p->text.status != AK_OK ||
        p->labels.status != AK_OK)
        return ak_fail(err, AK_ENOMEM, "no memory to pack rows");
    return AK_OK;
}

/* ----------------------------------------------------------------- reading */

/* Where the parts of each row begin in what follows, and that they end there. */
static const uint32_t *read_first(struct ak_reader *r)
{
    const uint32_t *first =
        (const void *)ak_read_span(r, (ROWS + 1) * sizeof(uint32_t));
    bool right = first != NULL && first[0] == 0;

    for (size_t i = 0; i < ROWS && right; i++)
        right = first[i] <= first[i + 1];
    return right ? first : NULL;
}

static bool read_ids(struct ak_reader *r, uint8_t ids, struct ak_packed *out)
{
    switch (ids) {
    case IN_ORDER:
        break;
    case OFFSETS:
        out->offsets = (const void *)ak_read_span(r, ROWS * sizeof(uint32_t));
        break;
    case NUMBERS:
        out->numbers = (const void *)ak_read_span(r, ROWS * sizeof(uint64_t));
        break;
    case TEXTS:
        out->text_first = read_first(r);
        return out->text_first != NULL;
    default:
        return false;
    }
    return r->status == AK_OK;
}

static bool read_labels(struct ak_reader *r, uint8_t labels,
                        struct ak_packed *out)
{
    size_t n = ROWS;

    if (labels == NO_LABELS)
        return true;
    if (labels == LISTS) {
        out->label_first = read_first(r);
        if (out->label_first == NULL)
            return false;
        n = out->label_first[ROWS];
    } else if (labels != ONE_EACH) {
        return false;
    }
    out->labels = (const void *)ak_read_span(r, n * sizeof(uint32_t));
    return out->labels != NULL;
}

enum ak_status ak_packed_read(const void *data, size_t len, bool texts,
                              struct ak_packed *out, struct ak_err *err)
{
    struct ak_packed packed = {0};
    struct ak_reader r;
    uint8_t ids, dead, labels, none;
    uint32_t rows;
    bool right;

    ak_reader_init(&r, data, len);
    ids = ak_read_u8(&r);
    dead = ak_read_u8(&r);
    labels = ak_read_u8(&r);
    none = ak_read_u8(&r);
    rows = ak_read_u32(&r);
    packed.base = ak_read_u64(&r);
    right = r.status == AK_OK && none == 0 && rows == ROWS && dead <= 1 &&
            (ids == TEXTS) == texts;
    if (right && dead == 1)
        packed.dead =
            (const void *)ak_read_span(&r, AK_PACKED_WORDS * sizeof(uint64_t));
    right =
        right && read_ids(&r, ids, &packed) && read_labels(&r, labels, &packed);
    if (right && texts)
        packed.text = (const void *)ak_read_span(&r, packed.text_first[ROWS]);
    if (!right || ak_reader_finish(&r) != AK_OK)
        return ak_fail(err, AK_ECORRUPT,
                       "%zu bytes are not the packed rows of a segment", len);
    *out = packed;
    return AK_OK;
}
