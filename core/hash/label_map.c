#include "core/hash/label_map.h"

#include <string.h>

#include "core/base/mem.h"

void ak_label_map_clear(struct ak_label_map *m)
{
    ak_array_free(m->labels);
    ak_array_free(m->slots);
    memset(m, 0, sizeof(*m));
}

/* The slot of `label`, or the empty one where it belongs. */
static size_t slot_of(const struct ak_label_map *m, uint32_t label)
{
    /* Knuth's multiplicative hash; label numbers are often consecutive. */
    size_t i = (size_t)(label * 0x9e3779b97f4a7c15u >> 32) & (m->n_slots - 1);

    while (m->slots[i] != 0 && m->labels[m->slots[i] - 1] != label)
        i = (i + 1) & (m->n_slots - 1);
    return i;
}

static void fill_slots(struct ak_label_map *m)
{
    memset(m->slots, 0, m->n_slots * sizeof(*m->slots));
    for (uint32_t c = 0; c < m->n; c++)
        m->slots[slot_of(m, m->labels[c])] = c + 1;
}

enum ak_status ak_label_map_reserve(struct ak_label_map *m, size_t n,
                                    struct ak_err *err)
{
    size_t cap = m->cap ? m->cap : 16;
    uint32_t *labels, *slots;

    if (m->slots != NULL && n <= m->cap)
        return AK_OK;
    while (cap < n)
        cap *= 2;
    labels = ak_array_new(cap, sizeof(*labels));
    slots = ak_array_new(2 * cap, sizeof(*slots));
    if (labels == NULL || slots == NULL) {
        ak_array_free(labels);
        ak_array_free(slots);
        return ak_fail(err, AK_ENOMEM, "no memory for %zu labels", n);
    }
    if (m->n > 0)
        memcpy(labels, m->labels, m->n * sizeof(*labels));
    ak_array_free(m->labels);
    ak_array_free(m->slots);
    m->labels = labels;
    m->slots = slots;
    m->cap = cap;
    m->n_slots = 2 * cap;
    fill_slots(m);
    return AK_OK;
}

uint32_t ak_label_map_find(const struct ak_label_map *m, uint32_t label)
{
    /* An empty slot gives 0 - 1, which is AK_NO_CLASS. */
    return m->n_slots == 0 ? AK_NO_CLASS : m->slots[slot_of(m, label)] - 1;
}

uint32_t ak_label_map_add(struct ak_label_map *m, uint32_t label)
{
    size_t slot = slot_of(m, label);

    m->labels[m->n] = label;
    m->slots[slot] = m->n + 1;
    return m->n++;
}

void ak_label_map_truncate(struct ak_label_map *m, uint32_t n)
{
    if (n >= m->n)
        return;
    m->n = n;
    fill_slots(m);
}

void ak_label_map_write(const struct ak_label_map *m, struct ak_writer *w)
{
    ak_write_u32(w, m->n);
    ak_write_u32s(w, m->labels, m->n);
}

enum ak_status ak_label_map_read(struct ak_label_map *m, uint32_t most,
                                 struct ak_reader *r, struct ak_err *err)
{
    uint32_t n = ak_read_u32(r);
    enum ak_status status;

    if (r->status != AK_OK || n > most ||
        n > ak_reader_left(r) / sizeof(uint32_t))
        return ak_fail(err, AK_ECORRUPT,
                       "there are %u labels in %zu bytes, at most %u", n,
                       ak_reader_left(r), most);
    status = ak_label_map_reserve(m, n, err);
    if (status != AK_OK)
        return status;
    m->n = 0;
    fill_slots(m);
    for (uint32_t c = 0; c < n; c++) {
        uint32_t label = ak_read_u32(r);

        if (ak_label_map_find(m, label) != AK_NO_CLASS)
            return ak_fail(err, AK_ECORRUPT, "label %u is there twice", label);
        ak_label_map_add(m, label);
    }
    return AK_OK;
}
