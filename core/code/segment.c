/*
 * The parts of a segment: how they are made, copied, and destroyed by their last
 * holder.  index_internal.h says who may change them when.
 */
#include "core/code/index_internal.h"

#include <assert.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/code/pages.h"

/* Parts that hold nothing: their memory is all there is. */
static void part_free(struct ak_ref *ref)
{
    ak_array_free(ref);
}

static void slab_free(struct ak_ref *ref)
{
    struct ak_slab *slab = (struct ak_slab *)ref;

    ak_pages_free(slab->words, slab->len);
    ak_array_free(slab);
}

static struct ak_slab *slab_new(size_t n, size_t one)
{
    struct ak_slab *slab = ak_array_new(1, sizeof(*slab));

    if (slab == NULL)
        return NULL;
    slab->len = n * one;
    slab->n = n;
    slab->words = ak_pages_new(slab->len);
    if (slab->words == NULL) {
        ak_array_free(slab);
        return NULL;
    }
    ak_ref_init(&slab->ref, slab_free);
    return slab;
}

static void codes_free(struct ak_ref *ref)
{
    struct ak_codes *codes = (struct ak_codes *)ref;

    ak_ref_drop(&codes->slab->ref);
    ak_array_free(codes);
}

struct ak_codes *ak_codes_new(size_t words, struct ak_slab **slab)
{
    size_t one = AK_SEGMENT_ROWS * words * sizeof(uint64_t);
    struct ak_codes *codes = ak_array_new(1, sizeof(*codes));
    struct ak_slab *from = *slab;

    if (codes == NULL)
        return NULL;
    if (from == NULL || from->used == from->n) {
        size_t n = from == NULL ? 1 : 2 * from->n;

        if (n > AK_HUGE_PAGE / one)
            n = AK_HUGE_PAGE / one;
        from = slab_new(n, one);
        if (from == NULL) {
            ak_array_free(codes);
            return NULL;
        }
        if (*slab != NULL)
            ak_ref_drop(&(*slab)->ref);
        *slab = from;
    }
    ak_ref_init(&codes->ref, codes_free);
    ak_ref_take(&from->ref);
    codes->slab = from;
    codes->len = one;
    codes->words = from->words + from->used++ * (one / sizeof(uint64_t));
    return codes;
}

void ak_ids_init(struct ak_ids *ids, size_t len)
{
    ak_ref_init(&ids->ref, part_free);
    ids->len = len;
}

struct ak_ids *ak_ids_new(enum ak_id_kind kind, size_t text_cap)
{
    size_t numbers = kind == AK_ID_INTEGER ? AK_SEGMENT_ROWS : 0;
    size_t first = kind == AK_ID_STRING ? AK_SEGMENT_ROWS + 1 : 0;
    size_t len = sizeof(struct ak_ids) + numbers * sizeof(uint64_t) +
                 first * sizeof(uint32_t) + text_cap;
    struct ak_ids *ids = ak_array_new(1, len);

    assert(text_cap <= UINT32_MAX);
    if (ids == NULL)
        return NULL;
    ak_ids_init(ids, len);
    ids->numbers = (uint64_t *)(ids + 1);
    ids->first = (uint32_t *)(ids->numbers + numbers);
    ids->text = (char *)(ids->first + first);
    ids->cap = (uint32_t)text_cap;
    return ids;
}

/* Strings only: the arena of integers never grows. */
struct ak_ids *ak_ids_copy(const struct ak_ids *ids, size_t text_cap)
{
    struct ak_ids *copy = ak_ids_new(AK_ID_STRING, text_cap);

    if (copy == NULL)
        return NULL;
    memcpy(copy->first, ids->first, (AK_SEGMENT_ROWS + 1) * sizeof(uint32_t));
    memcpy(copy->text, ids->text, ids->used);
    copy->used = ids->used;
    return copy;
}

struct ak_ids *ak_ids_pack(const struct ak_ids *ids)
{
    uint64_t least = UINT64_MAX, most = 0;
    bool in_order = true;
    struct ak_ids *packed;
    size_t len = sizeof(*packed);

    for (size_t i = 0; i < AK_SEGMENT_ROWS; i++) {
        uint64_t number = ids->numbers[i];

        least = number < least ? number : least;
        most = number > most ? number : most;
        in_order = in_order && number == ids->numbers[0] + i;
    }
    if (most - least > UINT32_MAX)
        return NULL;
    if (!in_order)
        len += AK_SEGMENT_ROWS * sizeof(uint32_t);
    packed = ak_array_new(1, len);
    if (packed == NULL)
        return NULL;
    ak_ids_init(packed, len);
    packed->base = least;
    if (in_order)
        return packed;
    packed->offsets = (uint32_t *)(packed + 1);
    for (size_t i = 0; i < AK_SEGMENT_ROWS; i++)
        packed->offsets[i] = (uint32_t)(ids->numbers[i] - least);
    return packed;
}

static void labels_free(struct ak_ref *ref)
{
    ak_labels_drop_index((struct ak_labels *)ref);
    ak_array_free(ref);
}

struct ak_labels *ak_labels_new(size_t list_cap)
{
    size_t len = sizeof(struct ak_labels) + list_cap * sizeof(uint32_t);
    struct ak_labels *labels = ak_array_new(1, len);

    assert(list_cap < AK_LABEL_LIST - 1);
    if (labels == NULL)
        return NULL;
    ak_ref_init(&labels->ref, labels_free);
    labels->len = len;
    labels->cap = (uint32_t)list_cap;
    memset(labels->rows, 0xff, sizeof(labels->rows)); /* AK_LABEL_NONE */
    return labels;
}

void ak_labels_put(struct ak_labels *to, size_t row, const uint32_t *labels,
                   size_t n)
{
    uint32_t at = to->used;

    if (n == 0) {
        to->rows[row] = AK_LABEL_NONE;
    } else if (ak_labels_room(labels, n) == 0) {
        to->rows[row] = labels[0];
    } else {
        assert(n < to->cap - at);
        to->lists[at] = (uint32_t)n;
        memcpy(to->lists + at + 1, labels, n * sizeof(*labels));
        to->rows[row] = AK_LABEL_LIST + at;
        to->used += (uint32_t)n + 1;
    }
}

size_t ak_labels_get(const struct ak_labels *from, size_t row,
                     const uint32_t **labels)
{
    uint32_t value = from->rows[row];

    *labels = &from->rows[row];
    if (value == AK_LABEL_NONE)
        return 0;
    if (value < AK_LABEL_LIST)
        return 1;
    *labels = &from->lists[value - AK_LABEL_LIST + 1];
    return from->lists[value - AK_LABEL_LIST];
}

struct ak_labels *ak_labels_copy(const struct ak_labels *labels, size_t more)
{
    struct ak_labels *copy;
    size_t room = 0;

    /* What a relabelled row had before stays behind in the old arena. */
    for (size_t i = 0; i < AK_SEGMENT_ROWS && labels->cap > 0; i++) {
        const uint32_t *list;
        size_t n = ak_labels_get(labels, i, &list);

        room += ak_labels_room(list, n);
    }
    copy = ak_labels_new(room + more);
    if (copy == NULL)
        return NULL;
    for (size_t i = 0; i < AK_SEGMENT_ROWS; i++) {
        const uint32_t *list;
        size_t n = ak_labels_get(labels, i, &list);

        ak_labels_put(copy, i, list, n);
    }
    return copy;
}

struct ak_dead *ak_dead_copy(const struct ak_dead *dead)
{
    struct ak_dead *copy = ak_array_new(1, sizeof(*copy));

    if (copy == NULL)
        return NULL;
    ak_ref_init(&copy->ref, part_free);
    if (dead != NULL)
        memcpy(copy->bits, dead->bits, sizeof(copy->bits));
    return copy;
}

static void segment_free(struct ak_ref *ref)
{
    struct ak_segment *segment = (struct ak_segment *)ref;

    if (segment->codes != NULL)
        ak_ref_drop(&segment->codes->ref);
    if (segment->ids != NULL)
        ak_ref_drop(&segment->ids->ref);
    if (segment->labels != NULL)
        ak_ref_drop(&segment->labels->ref);
    if (segment->dead != NULL)
        ak_ref_drop(&segment->dead->ref);
    ak_array_free(segment);
}

struct ak_segment *ak_segment_empty(void)
{
    struct ak_segment *segment = ak_array_new(1, sizeof(*segment));

    if (segment != NULL)
        ak_ref_init(&segment->ref, segment_free);
    return segment;
}

struct ak_segment *ak_segment_new(size_t words, enum ak_id_kind kind,
                                  struct ak_slab **slab)
{
    struct ak_segment *segment = ak_segment_empty();

    if (segment == NULL)
        return NULL;
    segment->codes = ak_codes_new(words, slab);
    segment->ids = ak_ids_new(kind, 0);
    if (segment->codes == NULL || segment->ids == NULL) {
        ak_ref_drop(&segment->ref);
        return NULL;
    }
    return segment;
}

/* Integers that nobody asks for. */
static struct ak_ids *no_numbers(void)
{
    struct ak_ids *ids = ak_array_new(1, sizeof(*ids));

    if (ids != NULL)
        ak_ids_init(ids, sizeof(*ids));
    return ids;
}

struct ak_segment *ak_segment_dead(size_t words, enum ak_id_kind kind)
{
    struct ak_segment *segment = ak_segment_empty();
    struct ak_slab *slab = NULL;

    if (segment == NULL)
        return NULL;
    segment->all_dead = true;
    segment->codes = ak_codes_new(words, &slab);
    if (slab != NULL)
        ak_ref_drop(&slab->ref);
    segment->dead = ak_dead_copy(NULL);
    segment->ids = kind == AK_ID_STRING ? ak_ids_new(kind, 0) : no_numbers();
    if (segment->codes == NULL || segment->ids == NULL ||
        segment->dead == NULL) {
        ak_ref_drop(&segment->ref);
        return NULL;
    }
    memset(segment->dead->bits, 0xff, sizeof(segment->dead->bits));
    return segment;
}

struct ak_segment *ak_segment_copy(const struct ak_segment *segment,
                                   struct ak_codes *codes)
{
    struct ak_segment *copy = ak_segment_empty();

    if (copy == NULL)
        return NULL;
    copy->codes = codes != NULL ? codes : segment->codes;
    copy->ids = segment->ids;
    copy->labels = segment->labels;
    copy->dead = segment->dead;
    ak_ref_take(&copy->codes->ref);
    ak_ref_take(&copy->ids->ref);
    if (copy->labels != NULL)
        ak_ref_take(&copy->labels->ref);
    if (copy->dead != NULL)
        ak_ref_take(&copy->dead->ref);
    return copy;
}

size_t ak_segment_bytes(const struct ak_segment *segment)
{
    size_t bytes = sizeof(*segment) + segment->codes->len + segment->ids->len;

    if (segment->all_dead)
        return 0;
    if (segment->labels != NULL)
        bytes += segment->labels->len + ak_label_index_bytes(segment->labels);
    if (segment->dead != NULL)
        bytes += sizeof(*segment->dead);
    return bytes;
}
