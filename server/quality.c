/* quality.c -- the prequential measure and the rows it is taken against. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/digest.h"
#include "core/base/mem.h"
#include "core/code/code.h"
#include "server/quality_internal.h"

/* Queries of one measure: the codes of the panel are the larger cost, and a
   figure after so many queries is often enough to watch. */
#define MAX_QUERIES 256

/* Of them, so many are encoded together, which is what the kernels like. */
#define CHUNK_ROWS 64

/* A measure may cost this share of what was done with the rows since the last
   one: of their multiplications, and of so many more that stand for reading and
   storing a row. */
#define SHARE    0.05
#define ROW_COST 1e5

/* Multiplications that are free, some 0.1 s in all: so that a short stream has
   figures too, and a long one has them from its start. */
#define FREE_START 2e9

enum ak_status ak_quality_create(const struct ak_quality_params *params,
                                 struct ak_quality_meter **out,
                                 struct ak_err *err)
{
    struct ak_quality_meter *m = calloc(1, sizeof(*m));
    size_t bytes = ak_code_bytes(params->bits);

    if (m == NULL)
        goto no_memory;
    m->params = *params;
    m->credit = FREE_START;
    m->depth = AK_QUALITY_DEPTH;
    ak_panel_init(&m->panel, params->seed);
    ak_series_init(&m->series, params->max_labels);
    m->served = ak_array_new(AK_PANEL_ROWS, bytes);
    m->live = ak_array_new(AK_PANEL_ROWS, bytes);
    if (m->served == NULL || m->live == NULL ||
        ak_panel_codes_init(&m->near_served, params->bits, NULL) != AK_OK ||
        ak_panel_codes_init(&m->near_live, params->bits, NULL) != AK_OK)
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
    ak_ref_drop((struct ak_ref *)m->published.encoder);
    ak_panel_clear(&m->panel);
    ak_series_clear(&m->series);
    ak_array_free(m->x);
    ak_array_free(m->served);
    ak_array_free(m->live);
    ak_panel_codes_clear(&m->near_served);
    ak_panel_codes_clear(&m->near_live);
    ak_array_free(m->query);
    ak_array_free(m->mapped);
    ak_array_free(m->query_live);
    ak_array_free(m->query_served);
    ak_array_free(m->scratch);
    free(m);
}

bool ak_quality_set_depth(struct ak_quality_meter *m, uint32_t depth,
                          uint64_t seq)
{
    if (m->depth == depth)
        return false;
    m->depth = depth;
    ak_series_restart(&m->series, true);
    ak_drift_restart(&m->drift, seq);
    return true;
}

/* ------------------------------------------------------------------ memory */

static enum ak_status no_memory(struct ak_err *err)
{
    return ak_fail(err, AK_ENOMEM, "no memory to measure quality");
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
    return m->scratch ? AK_OK : no_memory(err);
}

/* What a chunk of queries is encoded in. */
static enum ak_status want_query(struct ak_quality_meter *m,
                                 const struct ak_encoder *e, struct ak_err *err)
{
    size_t len = ak_encoder_map_dim(e);
    size_t bytes = ak_code_bytes(m->params.bits);

    if (len <= m->mapped_len)
        return AK_OK;
    ak_array_free(m->mapped);
    m->mapped_len = 0;
    m->mapped = ak_array_new(CHUNK_ROWS * len, sizeof(float));
    if (m->query == NULL)
        m->query =
            ak_array_new(CHUNK_ROWS * (size_t)m->params.dim, sizeof(float));
    if (m->query_live == NULL)
        m->query_live = ak_array_new(CHUNK_ROWS, bytes);
    if (m->query_served == NULL)
        m->query_served = ak_array_new(CHUNK_ROWS, bytes);
    if (m->mapped == NULL || m->query == NULL || m->query_live == NULL ||
        m->query_served == NULL)
        return no_memory(err);
    m->mapped_len = len;
    return AK_OK;
}

enum ak_status ak_meter_want_memory(struct ak_quality_meter *m,
                                    const struct ak_encoder *map,
                                    struct ak_err *err)
{
    enum ak_status status = want_scratch(m, map, err);

    if (status == AK_OK)
        status = want_scratch(m, m->published.encoder, err);
    if (status == AK_OK)
        status = want_query(m, map, err);
    if (status != AK_OK || m->x != NULL)
        return status;
    m->width = m->params.moving_map ? m->params.dim : ak_encoder_map_dim(map);
    m->x = ak_array_new((size_t)AK_PANEL_ROWS * m->width, sizeof(float));
    return m->x ? AK_OK : no_memory(err);
}

/* ---------------------------------------------------------------- the slots */

/* Published codes of n rows in m->query, which the learner's map has mapped
   into m->mapped unless it moves. */
static void encode_query(struct ak_quality_meter *m, size_t n)
{
    if (m->published.own && !m->params.moving_map)
        ak_encoder_encode_mapped(m->published.encoder, m->mapped, n,
                                 m->query_served, m->scratch);
    else
        ak_encoder_encode(m->published.encoder, m->query, n, m->query_served,
                          m->scratch);
}

static float *row_of(const struct ak_quality_meter *m, uint32_t slot)
{
    return m->x + (size_t)slot * m->width;
}

static uint8_t *served_of(const struct ak_quality_meter *m, uint32_t slot)
{
    return m->served + (size_t)slot * ak_code_bytes(m->params.bits);
}

/* Codes of all slots under an encoder that has the learner's map. */
static void encode_slots(struct ak_quality_meter *m, const struct ak_encoder *e,
                         uint8_t *codes)
{
    if (m->params.moving_map)
        ak_encoder_encode(e, m->x, m->panel.n, codes, m->scratch);
    else
        ak_encoder_encode_mapped(e, m->x, m->panel.n, codes, m->scratch);
}

void ak_meter_encode_live(struct ak_quality_meter *m,
                          const struct ak_encoder *live)
{
    encode_slots(m, live, m->live);
    ak_panel_codes_put(&m->near_live, &m->panel, m->live);
    ak_panel_codes_put(&m->near_served, &m->panel, m->served);
}

/* A few rows that are encoded together, which is what the kernels like. */
struct chunk {
    size_t rows[CHUNK_ROWS]; /* of the batch, or what else gave them */
    uint32_t slots[CHUNK_ROWS];
    size_t n;
};

/* The vectors of n slots are in m->query: keep them, and their codes under what
   is published. */
static void fill(struct ak_quality_meter *m, const uint32_t *slots, size_t n,
                 const struct ak_encoder *map)
{
    size_t bytes = ak_code_bytes(m->params.bits);
    const float *kept = m->params.moving_map ? m->query : m->mapped;

    if (!m->params.moving_map)
        ak_encoder_map(map, m->query, n, m->mapped, m->scratch);
    encode_query(m, n);
    for (size_t i = 0; i < n; i++) {
        memcpy(row_of(m, slots[i]), kept + i * m->width,
               m->width * sizeof(*kept));
        memcpy(served_of(m, slots[i]), m->query_served + i * bytes, bytes);
        m->kept[slots[i]] = m->coded[slots[i]] = true;
    }
}

/* Takes a row out; the last one fills the gap. */
static void drop_slot(struct ak_quality_meter *m, uint32_t slot)
{
    uint32_t last;

    ak_panel_remove(&m->panel, slot);
    last = m->panel.n;
    if (slot != last) {
        if (m->x != NULL)
            memcpy(row_of(m, slot), row_of(m, last), m->width * sizeof(*m->x));
        memcpy(served_of(m, slot), served_of(m, last),
               ak_code_bytes(m->params.bits));
        m->kept[slot] = m->kept[last];
        m->coded[slot] = m->coded[last];
    }
    m->kept[last] = m->coded[last] = false;
    if (slot < m->next_refill)
        m->next_refill = slot;
}

static uint32_t print_of(const struct ak_quality_meter *m, const float *x)
{
    return ak_crc32(x, m->params.dim * sizeof(*x));
}

/* A row of the chunk may have given way to a later one. */
static void fill_chunk(struct ak_quality_meter *m, const struct ak_encoder *map,
                       const struct ak_hash_batch *batch,
                       uint64_t first_ordinal, struct chunk *c)
{
    size_t dim = m->params.dim, n = 0;

    for (size_t i = 0; i < c->n; i++) {
        uint32_t slot = c->slots[i];

        if (m->panel.rows[slot].ordinal != first_ordinal + c->rows[i])
            continue;
        memcpy(m->query + n * dim, batch->x + c->rows[i] * dim,
               dim * sizeof(*m->query));
        c->slots[n++] = slot;
    }
    fill(m, c->slots, n, map);
    c->n = 0;
}

enum ak_status ak_quality_offer(struct ak_quality_meter *m,
                                struct ak_encoder *map,
                                const struct ak_hash_batch *batch,
                                uint64_t first_ordinal, struct ak_err *err)
{
    enum ak_status status = ak_meter_want_memory(m, map, err);
    struct chunk c = {.n = 0};

    for (size_t i = 0; i < batch->n && status == AK_OK; i++) {
        size_t n_labels = batch->first[i + 1] - batch->first[i];
        uint32_t slot;

        if (n_labels == 0)
            continue;
        status = ak_panel_offer(&m->panel, first_ordinal + i,
                                ak_panel_takes(&m->panel, first_ordinal + i)
                                    ? print_of(m, batch->x + i * m->params.dim)
                                    : 0,
                                batch->labels + batch->first[i], n_labels,
                                &slot, err);
        if (status != AK_OK || slot == AK_PANEL_ROWS)
            continue;
        c.slots[c.n] = slot;
        c.rows[c.n++] = i;
        if (c.n == CHUNK_ROWS)
            fill_chunk(m, map, batch, first_ordinal, &c);
    }
    if (c.n > 0)
        fill_chunk(m, map, batch, first_ordinal, &c);
    if (status == AK_OK && first_ordinal + batch->n > m->rows)
        m->rows = first_ordinal + batch->n;
    return status;
}

void ak_quality_forget(struct ak_quality_meter *m, const uint64_t *ordinals,
                       size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t slot = ak_panel_find(&m->panel, ordinals[i]);

        if (slot < AK_PANEL_ROWS)
            drop_slot(m, slot);
    }
}

enum ak_status ak_quality_relabel(struct ak_quality_meter *m, uint64_t ordinal,
                                  const uint32_t *labels, size_t n_labels,
                                  struct ak_err *err)
{
    uint32_t slot = ak_panel_find(&m->panel, ordinal);

    if (slot == AK_PANEL_ROWS)
        return AK_OK;
    if (n_labels > 0)
        return ak_panel_relabel(&m->panel, slot, labels, n_labels, err);
    drop_slot(m, slot);
    return AK_OK;
}

bool ak_quality_wants(struct ak_quality_meter *m, uint64_t *ordinal)
{
    uint32_t *i = &m->next_refill;

    while (*i < m->panel.n && m->kept[*i] && m->coded[*i])
        ++*i;
    if (*i >= m->panel.n)
        return false;
    *ordinal = m->panel.rows[*i].ordinal;
    return true;
}

enum ak_status ak_quality_refill(struct ak_quality_meter *m,
                                 struct ak_encoder *map, const float *x,
                                 struct ak_err *err)
{
    enum ak_status status = ak_meter_want_memory(m, map, err);

    if (status != AK_OK)
        return status;
    memcpy(m->query, x, m->params.dim * sizeof(*x));
    fill(m, &m->next_refill, 1, map);
    m->next_refill++;
    return AK_OK;
}

/* ------------------------------------------------------ the published model */

static void hold(struct ak_quality_meter *m, struct ak_encoder *encoder)
{
    struct ak_ref *old = (struct ak_ref *)m->published.encoder;

    ak_ref_take((struct ak_ref *)encoder);
    ak_ref_drop(old);
    m->published.encoder = encoder;
}

/* Slots that have no vector yet get their code with it. */
static enum ak_status code_slots(struct ak_quality_meter *m, struct ak_err *err)
{
    bool all = m->published.own || m->params.moving_map;
    enum ak_status status = want_scratch(m, m->published.encoder, err);

    if (status != AK_OK)
        return status;
    for (uint32_t i = 0; i < m->panel.n; i++)
        m->coded[i] = all && m->kept[i];
    if (all && m->x != NULL)
        encode_slots(m, m->published.encoder, m->served);
    m->next_refill = 0;
    return AK_OK;
}

enum ak_status ak_quality_publish(struct ak_quality_meter *m,
                                  struct ak_encoder *encoder,
                                  uint64_t model_seq, struct ak_err *err)
{
    struct ak_encoder_info info;

    hold(m, encoder);
    ak_encoder_info(encoder, &info);
    m->published.model_seq = model_seq;
    m->published.samples = info.samples;
    m->published.rows = m->rows;
    m->published.own = model_seq > 0 && model_seq >= m->base_seq;
    ak_series_restart(&m->series, false);
    return code_slots(m, err);
}

enum ak_status ak_quality_resume(struct ak_quality_meter *m,
                                 struct ak_encoder *encoder, struct ak_err *err)
{
    hold(m, encoder);
    return code_slots(m, err);
}

uint64_t ak_quality_published(const struct ak_quality_meter *m)
{
    return m->published.model_seq;
}

void ak_quality_blind(struct ak_quality_meter *m, uint64_t model_seq)
{
    hold(m, NULL);
    m->published.model_seq = model_seq;
    m->published.own = false;
    ak_series_restart(&m->series, false);
}

bool ak_quality_is_blind(const struct ak_quality_meter *m)
{
    return m->published.encoder == NULL;
}

void ak_quality_remap(struct ak_quality_meter *m, uint32_t dim, bool moving_map,
                      uint64_t seq)
{
    if (dim != m->params.dim) {
        ak_array_free(m->query);
        ak_array_free(m->mapped);
        m->query = m->mapped = NULL;
        m->mapped_len = 0;
        m->params.dim = dim;
    }
    m->base_seq = seq;
    m->published.own = false;
    m->params.moving_map = moving_map;
    ak_array_free(m->x);
    m->x = NULL;
    memset(m->kept, 0, sizeof(m->kept));
    memset(m->coded, 0, sizeof(m->coded));
    m->next_refill = 0;
}

/* ---------------------------------------------------------------- measuring */

/* Of a pass of one row through the map, and from there to a code. */
static double cost_of_map(const struct ak_quality_meter *m, uint32_t map_dim)
{
    return (double)m->params.dim * map_dim;
}

static double cost_of_code(const struct ak_quality_meter *m, uint32_t map_dim)
{
    return (double)m->params.bits * map_dim;
}

/* Multiplications of a measure of n queries with the slots of now.  To look
   through the codes for one query takes as long as some ten for each. */
static double cost_of_measure(const struct ak_quality_meter *m, size_t n,
                              uint32_t map_dim)
{
    double map = cost_of_map(m, map_dim), code = cost_of_code(m, map_dim);
    double slots = m->panel.n, words = (double)ak_code_words(m->params.bits);

    if (m->params.moving_map)
        code += 2.0 * m->params.dim;
    if (!m->published.own || m->params.moving_map)
        map *= 2;
    return slots * code + (double)n * (map + 2 * code + 20 * slots * words);
}

static size_t queries_of(size_t n)
{
    return n < MAX_QUERIES ? n : MAX_QUERIES;
}

bool ak_quality_due(struct ak_quality_meter *m, size_t n, uint32_t map_dim)
{
    /* A row is mapped and coded twice, to be found and to be learnt. */
    double row = 2 * (cost_of_map(m, map_dim) + cost_of_code(m, map_dim));
    double cost = cost_of_measure(m, queries_of(n), map_dim);

    m->credit += SHARE * (row + ROW_COST) * (double)n;
    if (m->panel.n == 0 || m->credit < cost)
        return false;
    m->credit -= cost;
    return true;
}

/* Codes of the chunk's rows, under both. */
static void encode_chunk(struct ak_quality_meter *m,
                         const struct ak_encoder *live,
                         const struct ak_hash_batch *batch,
                         const struct chunk *q)
{
    size_t dim = m->params.dim;

    for (size_t i = 0; i < q->n; i++)
        memcpy(m->query + i * dim, batch->x + q->rows[i] * dim,
               dim * sizeof(*m->query));
    ak_encoder_map(live, m->query, q->n, m->mapped, m->scratch);
    ak_encoder_encode_mapped(live, m->mapped, q->n, m->query_live, m->scratch);
    encode_query(m, q->n);
}

/* One query; what it adds to the series and to the watch for drift. */
static enum ak_status ask(struct ak_quality_meter *m, uint64_t seq,
                          const uint8_t *live_code, const uint8_t *served_code,
                          const uint32_t *labels, size_t n_labels,
                          enum ak_drift_event *drift, struct ak_err *err)
{
    struct ak_score served, found;
    const struct ak_label_quality *known = NULL;
    enum ak_drift_event event;

    if (!ak_panel_rank(&m->panel, &m->near_live, live_code, labels, n_labels,
                       m->depth, AK_PANEL_ROWS, &found) ||
        !ak_panel_rank(&m->panel, &m->near_served, served_code, labels,
                       n_labels, m->depth, AK_PANEL_ROWS, &served)) {
        m->lonely++;
        return AK_OK;
    }
    m->asked++;
    if (n_labels == 1)
        known = ak_series_label(&m->series, labels[0]);
    event = ak_drift_add(&m->drift, seq, served.ap, known ? known->queries : 0,
                         known ? known->served.ap : 0);
    if (event != AK_DRIFT_NONE)
        *drift = event;
    return ak_series_add(&m->series, labels, n_labels, &served, &found, err);
}

static enum ak_status ask_chunk(struct ak_quality_meter *m,
                                const struct ak_encoder *live, uint64_t seq,
                                const struct ak_hash_batch *batch,
                                struct chunk *q, enum ak_drift_event *drift,
                                struct ak_err *err)
{
    size_t bytes = ak_code_bytes(m->params.bits);
    enum ak_status status = AK_OK;

    encode_chunk(m, live, batch, q);
    for (size_t i = 0; i < q->n && status == AK_OK; i++) {
        uint32_t first = batch->first[q->rows[i]];

        status = ask(m, seq, m->query_live + i * bytes,
                     m->query_served + i * bytes, batch->labels + first,
                     batch->first[q->rows[i] + 1] - first, drift, err);
    }
    q->n = 0;
    return status;
}

/* Rows of the batch, spread over it when it is large. */
static enum ak_status ask_batch(struct ak_quality_meter *m,
                                const struct ak_encoder *live, uint64_t seq,
                                const struct ak_hash_batch *batch,
                                enum ak_drift_event *drift, struct ak_err *err)
{
    size_t step = (batch->n + MAX_QUERIES - 1) / MAX_QUERIES;
    enum ak_status status = AK_OK;
    struct chunk q = {.n = 0};

    for (size_t i = 0; i < batch->n && status == AK_OK; i += step) {
        if (batch->first[i + 1] == batch->first[i])
            continue;
        if (ak_panel_has(&m->panel,
                         print_of(m, batch->x + i * m->params.dim))) {
            m->duplicates++;
            continue;
        }
        q.rows[q.n++] = i;
        if (q.n == CHUNK_ROWS)
            status = ask_chunk(m, live, seq, batch, &q, drift, err);
    }
    if (status == AK_OK && q.n > 0)
        status = ask_chunk(m, live, seq, batch, &q, drift, err);
    return status;
}

/* Ones of each bit over the slots' codes, and how the live ones differ. */
static void summarize_bits(struct ak_quality_meter *m)
{
    size_t bytes = ak_code_bytes(m->params.bits);
    uint32_t n = m->panel.n;
    uint64_t flips = 0;
    struct ak_bits_summary s = {.rows = n, .ones_min = 1};

    if (n == 0)
        return;
    for (size_t i = 0; i < n * bytes; i++)
        flips += (uint64_t)__builtin_popcount(m->served[i] ^ m->live[i]);
    for (uint32_t j = 0; j < m->params.bits; j++) {
        const uint8_t *at = m->served + j / 8;
        uint32_t ones = 0;
        double p;

        for (uint32_t i = 0; i < n; i++)
            ones += at[i * bytes] >> (7 - j % 8) & 1;
        p = (double)ones / n;
        s.ones_mean += p / m->params.bits;
        s.ones_min = fmin(s.ones_min, p);
        s.ones_max = fmax(s.ones_max, p);
        s.entropy += ak_bit_entropy(p) / m->params.bits;
    }
    s.flips = (double)flips / ((double)n * m->params.bits);
    m->bits = s;
}

enum ak_status ak_quality_measure(struct ak_quality_meter *m,
                                  struct ak_encoder *live,
                                  const struct ak_quality_place *place,
                                  const struct ak_hash_batch *batch,
                                  enum ak_drift_event *drift,
                                  struct ak_err *err)
{
    enum ak_status status = ak_meter_want_memory(m, live, err);

    *drift = AK_DRIFT_NONE;
    if (status != AK_OK)
        return status;
    ak_meter_encode_live(m, live);
    summarize_bits(m);
    status = ask_batch(m, live, place->seq, batch, drift, err);
    if (status == AK_OK)
        ak_series_point(&m->series, (struct ak_quality_point){
                                        .seq = place->seq,
                                        .time_ms = place->time_ms,
                                        .samples = place->samples,
                                        .model_seq = m->published.model_seq});
    return status;
}
