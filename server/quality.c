/*
 * quality.c -- the prequential measure.
 *
 * The reservoir is Vitter's Algorithm R ("Random Sampling with a Reservoir",
 * ACM TOMS 11(1), 1985).  A slot keeps its row *mapped* (the learner's feature
 * map never changes), so that the codes of all slots under a newer live model
 * cost one product instead of a pass through the map, which is most of the work.
 */
#include "server/quality.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/digest.h"
#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/code/code.h"

/* Queries of one measure: the reservoir's codes are the larger cost, and a
   figure after every 64 queries is often enough to watch. */
#define MAX_QUERIES 64

/* A measure may cost this share of the learning done since the last one. */
#define SHARE 0.05

/* Multiplications that are free, some 0.1 s in all: so that a short stream has
   figures too, and a long one has them from its start. */
#define FREE_START 2e9

#define FORMAT 1

struct slot {
    uint64_t ordinal;
    uint32_t *labels; /* owned */
    uint32_t n_labels;
    uint32_t print; /* checksum of the vector, to know a duplicate */
    bool mapped;    /* z is there */
    bool coded;     /* the code under the published model is there */
};

struct window {
    float ap[AK_QUALITY_WINDOW], p10[AK_QUALITY_WINDOW];
    uint32_t n, at;
};

struct ak_quality_meter {
    uint32_t dim, bits, map_dim; /* map_dim: 0 until the first row */
    struct ak_rng rng;
    uint64_t offered; /* labelled rows so far */
    double credit;
    struct slot slots[AK_QUALITY_ROWS];
    uint32_t n_slots;
    uint32_t *refill; /* after a load: slots by ordinal, to be filled again */
    uint32_t n_refill, n_refilled;
    uint64_t version;       /* of the codes in `served` */
    bool recode;            /* though the version is the same */
    float *z;               /* (AK_QUALITY_ROWS, map_dim) */
    uint8_t *served, *live; /* (AK_QUALITY_ROWS, bits / 8) */
    void *scratch;
    size_t scratch_len;
    struct window of_served, of_live;
};

enum ak_status ak_quality_create(uint32_t dim, uint32_t bits, uint64_t seed,
                                 struct ak_quality_meter **out,
                                 struct ak_err *err)
{
    struct ak_quality_meter *m = calloc(1, sizeof(*m));

    if (m == NULL)
        goto no_memory;
    m->dim = dim;
    m->bits = bits;
    m->credit = FREE_START;
    ak_rng_init(&m->rng, ak_rng_derive(seed, "quality"));
    m->served = ak_array_new(AK_QUALITY_ROWS, ak_code_bytes(bits));
    m->live = ak_array_new(AK_QUALITY_ROWS, ak_code_bytes(bits));
    if (m->served == NULL || m->live == NULL)
        goto no_memory;
    *out = m;
    return AK_OK;

no_memory:
    ak_quality_destroy(m);
    return ak_fail(err, AK_ENOMEM, "no memory to measure quality");
}

void ak_quality_destroy(struct ak_quality_meter *m)
{
    if (m == NULL)
        return;
    for (uint32_t i = 0; i < m->n_slots; i++)
        free(m->slots[i].labels);
    ak_array_free(m->z);
    ak_array_free(m->served);
    ak_array_free(m->live);
    ak_array_free(m->scratch);
    free(m->refill);
    free(m);
}

/* Multiplications of a measure with the slots of now. */
static double cost_of_measure(const struct ak_quality_meter *m,
                              uint32_t map_dim)
{
    return (double)m->n_slots * map_dim * m->bits +
           MAX_QUERIES * (2.0 * m->dim * map_dim +
                          4.0 * m->n_slots * (double)ak_code_words(m->bits));
}

bool ak_quality_due(struct ak_quality_meter *m, size_t n, uint32_t map_dim)
{
    double learn =
        (double)n * (2.0 * m->dim * map_dim + 4.0 * map_dim * m->bits);
    double cost = cost_of_measure(m, map_dim);

    m->credit += SHARE * learn;
    if (m->n_slots == 0 || m->credit < cost)
        return false;
    m->credit -= cost;
    return true;
}

static enum ak_status want_scratch(struct ak_quality_meter *m,
                                   const struct ak_encoder *e,
                                   struct ak_err *err)
{
    size_t len = ak_encoder_scratch(e);

    if (len <= m->scratch_len)
        return AK_OK;
    ak_array_free(m->scratch);
    m->scratch = ak_array_new(1, len);
    m->scratch_len = m->scratch ? len : 0;
    if (m->scratch == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory to measure quality");
    return AK_OK;
}

static enum ak_status want_z(struct ak_quality_meter *m,
                             const struct ak_encoder *map, struct ak_err *err)
{
    if (m->z != NULL)
        return want_scratch(m, map, err);
    m->map_dim = ak_encoder_map_dim(map);
    m->z = ak_array_new((size_t)AK_QUALITY_ROWS * m->map_dim, sizeof(float));
    if (m->z == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory to measure quality");
    return want_scratch(m, map, err);
}

static float *z_of(const struct ak_quality_meter *m, uint32_t slot)
{
    return m->z + (size_t)slot * m->map_dim;
}

/*
 * Codes of the slots under the published model.  Version 0 has no map, so that
 * a slot filled under another version stays without a code; it is passed over.
 */
static void follow_version(struct ak_quality_meter *m,
                           const struct ak_encoder *served, uint64_t version)
{
    size_t bytes = ak_code_bytes(m->bits);

    if (m->version == version && !m->recode)
        return;
    if (m->version != version)
        m->of_served = (struct window){.n = 0};
    m->version = version;
    m->recode = false;
    for (uint32_t i = 0; i < m->n_slots; i++) {
        struct slot *s = &m->slots[i];

        s->coded = version > 0 && s->mapped;
        if (s->coded)
            ak_encoder_encode_mapped(served, z_of(m, i), 1,
                                     m->served + i * bytes, m->scratch);
    }
}

static bool share_label(const uint32_t *a, size_t na, const uint32_t *b,
                        size_t nb)
{
    for (size_t i = 0; i < na; i++)
        for (size_t j = 0; j < nb; j++)
            if (a[i] == b[j])
                return true;
    return false;
}

static uint32_t distance(const uint8_t *a, const uint8_t *b, uint32_t bits)
{
    uint64_t wa[AK_CODE_MAX_WORDS], wb[AK_CODE_MAX_WORDS];
    uint32_t sum = 0;

    ak_code_load(a, bits, wa);
    ak_code_load(b, bits, wb);
    for (size_t w = 0; w < ak_code_words(bits); w++)
        sum += (uint32_t)__builtin_popcountll(wa[w] ^ wb[w]);
    return sum;
}

/*
 * AP@R and P@10 of one query against `codes`; false when no slot is relevant.
 * `order` is scratch for AK_QUALITY_ROWS numbers.
 */
static bool rank(const struct ak_quality_meter *m, const uint8_t *query,
                 const uint8_t *codes, bool served, const uint32_t *labels,
                 size_t n_labels, uint32_t *order, float *ap, float *p10)
{
    uint32_t first[AK_CODE_MAX_BITS + 2] = {0};
    uint16_t far[AK_QUALITY_ROWS];
    size_t bytes = ak_code_bytes(m->bits);
    uint32_t n = 0, hits = 0, hits10 = 0;
    double sum = 0;
    bool any = false;

    for (uint32_t i = 0; i < m->n_slots; i++) {
        const struct slot *s = &m->slots[i];

        far[i] = UINT16_MAX;
        if (served ? !s->coded : !s->mapped)
            continue;
        far[i] = (uint16_t)distance(query, codes + i * bytes, m->bits);
        first[far[i] + 1]++;
        n++;
    }
    for (uint32_t d = 0; d <= m->bits; d++)
        first[d + 1] += first[d];
    for (uint32_t i = 0; i < m->n_slots; i++)
        if (far[i] != UINT16_MAX)
            order[first[far[i]]++] = i;
    for (uint32_t i = 0; i < n; i++) {
        const struct slot *s = &m->slots[order[i]];

        if (!share_label(labels, n_labels, s->labels, s->n_labels))
            continue;
        any = true;
        if (i >= AK_QUALITY_R)
            break;
        sum += ++hits / (double)(i + 1);
        hits10 += i < 10;
    }
    *ap = hits > 0 ? (float)(sum / hits) : 0.0f;
    *p10 = (float)hits10 / 10.0f;
    return any;
}

static void remember(struct window *w, float ap, float p10)
{
    w->ap[w->at] = ap;
    w->p10[w->at] = p10;
    w->at = (w->at + 1) % AK_QUALITY_WINDOW;
    if (w->n < AK_QUALITY_WINDOW)
        w->n++;
}

static uint32_t print_of(const struct ak_quality_meter *m, const float *x)
{
    return ak_crc32(x, m->dim * sizeof(*x));
}

static bool in_reservoir(const struct ak_quality_meter *m, const float *x)
{
    uint32_t print = print_of(m, x);

    for (uint32_t i = 0; i < m->n_slots; i++)
        if (m->slots[i].print == print)
            return true;
    return false;
}

enum ak_status ak_quality_measure(struct ak_quality_meter *m,
                                  struct ak_encoder *live,
                                  struct ak_encoder *served, uint64_t version,
                                  const struct ak_hash_batch *batch,
                                  struct ak_err *err)
{
    uint8_t code[AK_CODE_MAX_BITS / 8];
    uint32_t *order = malloc(AK_QUALITY_ROWS * sizeof(*order));
    float *z = NULL;
    enum ak_status status = want_z(m, live, err);
    size_t asked = 0;

    if (status == AK_OK)
        status = want_scratch(m, served, err);
    if (status != AK_OK)
        goto out;
    z = malloc(m->map_dim * sizeof(*z));
    if (order == NULL || z == NULL) {
        status = ak_fail(err, AK_ENOMEM, "no memory to measure quality");
        goto out;
    }
    follow_version(m, served, version);
    ak_encoder_encode_mapped(live, m->z, m->n_slots, m->live, m->scratch);
    for (size_t i = 0; i < batch->n && asked < MAX_QUERIES; i++) {
        const float *x = batch->x + i * m->dim;
        const uint32_t *labels = batch->labels + batch->first[i];
        size_t n_labels = batch->first[i + 1] - batch->first[i];
        float ap, p10;

        if (n_labels == 0 || in_reservoir(m, x))
            continue;
        asked++;
        ak_encoder_map(live, x, 1, z, m->scratch);
        ak_encoder_encode_mapped(live, z, 1, code, m->scratch);
        if (rank(m, code, m->live, false, labels, n_labels, order, &ap, &p10))
            remember(&m->of_live, ap, p10);
        ak_encoder_encode(served, x, 1, code, m->scratch);
        if (rank(m, code, m->served, true, labels, n_labels, order, &ap, &p10))
            remember(&m->of_served, ap, p10);
    }

out:
    free(z);
    free(order);
    return status;
}

/* Put a row into a slot; the old one's labels go. */
static enum ak_status fill(struct ak_quality_meter *m, uint32_t i,
                           struct ak_encoder *map, struct ak_encoder *served,
                           const float *x, const uint32_t *labels,
                           size_t n_labels, uint64_t ordinal,
                           struct ak_err *err)
{
    struct slot *s = &m->slots[i];
    uint32_t *copy = malloc(n_labels * sizeof(*copy));

    if (copy == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory to measure quality");
    memcpy(copy, labels, n_labels * sizeof(*copy));
    free(s->labels);
    s->labels = copy;
    s->n_labels = (uint32_t)n_labels;
    s->ordinal = ordinal;
    s->print = print_of(m, x);
    ak_encoder_map(map, x, 1, z_of(m, i), m->scratch);
    ak_encoder_encode(served, x, 1, m->served + i * ak_code_bytes(m->bits),
                      m->scratch);
    s->mapped = s->coded = true;
    return AK_OK;
}

enum ak_status ak_quality_offer(struct ak_quality_meter *m,
                                struct ak_encoder *map,
                                struct ak_encoder *served, uint64_t version,
                                const struct ak_hash_batch *batch,
                                uint64_t first_ordinal, struct ak_err *err)
{
    enum ak_status status = want_z(m, map, err);

    if (status == AK_OK)
        status = want_scratch(m, served, err);
    if (status != AK_OK)
        return status;
    follow_version(m, served, version);
    for (size_t i = 0; i < batch->n && status == AK_OK; i++) {
        size_t n_labels = batch->first[i + 1] - batch->first[i];
        uint64_t at = m->n_slots;

        if (n_labels == 0)
            continue;
        m->offered++;
        if (m->n_slots == AK_QUALITY_ROWS) {
            at = ak_rng_below(&m->rng, m->offered);
            if (at >= AK_QUALITY_ROWS)
                continue;
        }
        status = fill(m, (uint32_t)at, map, served, batch->x + i * m->dim,
                      batch->labels + batch->first[i], n_labels,
                      first_ordinal + i, err);
        if (status == AK_OK && at == m->n_slots)
            m->n_slots++;
    }
    return status;
}

static struct ak_quality mean_of(const struct window *w)
{
    struct ak_quality q = {.queries = w->n};

    for (uint32_t i = 0; i < w->n; i++) {
        q.map_at_r += w->ap[i];
        q.precision10 += w->p10[i];
    }
    if (w->n > 0) {
        q.map_at_r /= w->n;
        q.precision10 /= w->n;
    }
    return q;
}

void ak_quality_get(const struct ak_quality_meter *m, struct ak_quality *served,
                    struct ak_quality *live)
{
    *served = mean_of(&m->of_served);
    *live = mean_of(&m->of_live);
}

static void save_window(const struct window *w, struct ak_writer *out)
{
    ak_write_u32(out, w->n);
    ak_write_u32(out, w->at);
    ak_write_f32s(out, w->ap, w->n);
    ak_write_f32s(out, w->p10, w->n);
}

static void load_window(struct window *w, struct ak_reader *r)
{
    w->n = ak_read_u32(r);
    w->at = ak_read_u32(r);
    if (w->n > AK_QUALITY_WINDOW || w->at >= AK_QUALITY_WINDOW) {
        r->status = AK_ECORRUPT;
        w->n = w->at = 0;
        return;
    }
    ak_read_f32s(r, w->ap, w->n);
    ak_read_f32s(r, w->p10, w->n);
}

void ak_quality_save(const struct ak_quality_meter *m, struct ak_writer *w)
{
    ak_write_u32(w, FORMAT);
    ak_write_u64(w, m->rng.state);
    ak_write_u64(w, m->offered);
    ak_write_f64(w, m->credit);
    ak_write_u64(w, m->version);
    ak_write_u32(w, m->n_slots);
    for (uint32_t i = 0; i < m->n_slots; i++) {
        const struct slot *s = &m->slots[i];

        ak_write_u64(w, s->ordinal);
        ak_write_u32(w, s->print);
        ak_write_u32(w, s->n_labels);
        ak_write_u32s(w, s->labels, s->n_labels);
    }
    save_window(&m->of_served, w);
    save_window(&m->of_live, w);
}

static int by_ordinal(const void *a, const void *b, void *arg)
{
    const struct slot *slots = arg;
    uint64_t x = slots[*(const uint32_t *)a].ordinal;
    uint64_t y = slots[*(const uint32_t *)b].ordinal;

    return (x > y) - (x < y);
}

/* In the order in which the vectors lie in the file. */
static enum ak_status order_refill(struct ak_quality_meter *m,
                                   struct ak_err *err)
{
    m->refill = calloc(m->n_slots + 1, sizeof(*m->refill));
    if (m->refill == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory to measure quality");
    for (uint32_t i = 0; i < m->n_slots; i++)
        m->refill[i] = i;
    m->n_refill = m->n_slots;
    qsort_r(m->refill, m->n_refill, sizeof(*m->refill), by_ordinal, m->slots);
    return AK_OK;
}

enum ak_status ak_quality_load(struct ak_quality_meter *m, struct ak_reader *r,
                               struct ak_err *err)
{
    uint32_t format = ak_read_u32(r);
    uint32_t n_slots;

    if (format != FORMAT)
        return ak_fail(err, AK_ECORRUPT, "quality: format is %u, must be %d",
                       format, FORMAT);
    m->rng.state = ak_read_u64(r);
    m->offered = ak_read_u64(r);
    m->credit = ak_read_f64(r);
    m->version = ak_read_u64(r);
    n_slots = ak_read_u32(r);
    if (n_slots > AK_QUALITY_ROWS)
        r->status = AK_ECORRUPT;
    for (uint32_t i = 0; i < n_slots && r->status == AK_OK; i++) {
        struct slot *s = &m->slots[i];

        s->ordinal = ak_read_u64(r);
        s->print = ak_read_u32(r);
        s->n_labels = ak_read_u32(r);
        if (s->n_labels > ak_reader_left(r) / 4) {
            r->status = AK_ECORRUPT;
            break;
        }
        s->labels = malloc(s->n_labels * sizeof(*s->labels) + 1);
        if (s->labels == NULL)
            return ak_fail(err, AK_ENOMEM, "no memory to measure quality");
        ak_read_u32s(r, s->labels, s->n_labels);
        m->n_slots = i + 1;
    }
    load_window(&m->of_served, r);
    load_window(&m->of_live, r);
    if (r->status != AK_OK)
        return ak_fail(err, AK_ECORRUPT, "quality: the saved state is damaged");
    return order_refill(m, err);
}

bool ak_quality_wants(const struct ak_quality_meter *m, uint64_t *ordinal)
{
    if (m->n_refilled >= m->n_refill)
        return false;
    *ordinal = m->slots[m->refill[m->n_refilled]].ordinal;
    return true;
}

enum ak_status ak_quality_refill(struct ak_quality_meter *m,
                                 struct ak_encoder *map, const float *x,
                                 struct ak_err *err)
{
    enum ak_status status = want_z(m, map, err);
    uint32_t slot;

    if (status != AK_OK)
        return status;
    slot = m->refill[m->n_refilled++];
    ak_encoder_map(map, x, 1, z_of(m, slot), m->scratch);
    m->slots[slot].mapped = true;
    m->recode = true; /* its code under the published model follows */
    return AK_OK;
}
