#include "core/code/index_internal.h"

#include <string.h>

#include "core/base/mem.h"

/* Bytes of the arrays behind the object. */
#define PER_SEGMENT (2 * sizeof(void *) + sizeof(bool))

static void snapshot_free(struct ak_ref *ref)
{
    struct ak_snapshot *s = (struct ak_snapshot *)ref;

    for (size_t i = 0; i < s->n_segments; i++)
        ak_ref_drop(&s->segments[i]->ref);
    ak_ref_drop(s->model);
    if (s->partition != NULL)
        ak_ref_drop(&s->partition->ref);
    ak_array_free(s);
}

struct ak_snapshot *ak_snapshot_new(const struct ak_snapshot *fields,
                                    struct ak_segment *const *segments)
{
    size_t n = ak_segments_of(fields->rows);
    struct ak_snapshot *s = ak_array_new(1, sizeof(*s) + n * PER_SEGMENT);

    if (s == NULL)
        return NULL;
    *s = *fields;
    ak_ref_init(&s->ref, snapshot_free);
    ak_ref_take(s->model);
    if (s->partition != NULL)
        ak_ref_take(&s->partition->ref);
    s->n_segments = n;
    s->segments = (struct ak_segment **)(s + 1);
    s->codes = (const uint64_t **)(void *)(s->segments + n);
    s->has_dead = (bool *)(s->codes + n);
    for (size_t i = 0; i < n; i++) {
        s->segments[i] = segments[i];
        s->codes[i] = segments[i]->codes->words;
        s->has_dead[i] = segments[i]->dead != NULL;
        ak_ref_take(&segments[i]->ref);
    }
    return s;
}

void ak_snapshot_drop(struct ak_snapshot *s)
{
    if (s != NULL)
        ak_ref_drop(&s->ref);
}

uint64_t ak_snapshot_rows(const struct ak_snapshot *s)
{
    return s->rows;
}

uint64_t ak_snapshot_live(const struct ak_snapshot *s)
{
    return s->live;
}

struct ak_ref *ak_snapshot_model(const struct ak_snapshot *s)
{
    return s->model;
}

uint64_t ak_snapshot_version(const struct ak_snapshot *s)
{
    return s->version;
}

size_t ak_snapshot_bytes(const struct ak_snapshot *s)
{
    size_t bytes = sizeof(*s) + s->n_segments * PER_SEGMENT;

    if (s->partition != NULL)
        bytes += s->partition->len;

    for (size_t i = 0; i < s->n_segments; i++)
        bytes += ak_segment_bytes(s->segments[i]);
    return bytes;
}

static const struct ak_segment *segment_of(const struct ak_snapshot *s,
                                           uint64_t ordinal)
{
    return s->segments[ordinal / AK_SEGMENT_ROWS];
}

bool ak_snapshot_alive(const struct ak_snapshot *s, uint64_t ordinal)
{
    const struct ak_dead *dead = segment_of(s, ordinal)->dead;
    size_t row = ordinal % AK_SEGMENT_ROWS;

    return dead == NULL || (dead->bits[row / 64] >> (row % 64) & 1) == 0;
}

struct ak_id ak_snapshot_id(const struct ak_snapshot *s, uint64_t ordinal)
{
    const struct ak_ids *ids = segment_of(s, ordinal)->ids;
    size_t row = ordinal % AK_SEGMENT_ROWS;

    if (s->ids == AK_ID_INTEGER)
        return (struct ak_id){.number = ak_ids_number(ids, row)};
    return (struct ak_id){.text = ids->text + ids->first[row],
                          .len = ids->first[row + 1] - ids->first[row]};
}

size_t ak_snapshot_labels(const struct ak_snapshot *s, uint64_t ordinal,
                          const uint32_t **labels)
{
    const struct ak_labels *from = segment_of(s, ordinal)->labels;

    if (from == NULL) {
        *labels = NULL;
        return 0;
    }
    return ak_labels_get(from, ordinal % AK_SEGMENT_ROWS, labels);
}

void ak_snapshot_code(const struct ak_snapshot *s, uint64_t ordinal,
                      uint8_t *code)
{
    uint64_t words[AK_CODE_MAX_WORDS];

    ak_hamming_get(segment_of(s, ordinal)->codes->words,
                   ordinal % AK_SEGMENT_ROWS, s->words, words);
    memcpy(code, words, ak_code_bytes(s->bits));
}

uint64_t ak_snapshot_next(const struct ak_snapshot *s, uint64_t ordinal,
                          const struct ak_filter *filter)
{
    while (ordinal < s->rows) {
        size_t segment = (size_t)(ordinal / AK_SEGMENT_ROWS);
        size_t word = ordinal % AK_SEGMENT_ROWS / 64;
        uint64_t pass;

        if (filter != NULL) {
            size_t next = ak_filter_segment(s, filter, segment);

            if (next != segment) {
                ordinal = (uint64_t)next * AK_SEGMENT_ROWS;
                continue;
            }
        }
        ak_filter_rows(s, filter, false, segment, word, 1, &pass);
        pass &= UINT64_MAX << (ordinal % 64);
        ordinal -= ordinal % 64;
        if (pass != 0)
            return ordinal + (uint64_t)__builtin_ctzll(pass);
        ordinal += 64;
    }
    return s->rows;
}
