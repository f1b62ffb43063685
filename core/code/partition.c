/*
 * How a partition is built: centres from a sample, the nearest of them for each
 * row, then a counting sort by (bucket, distance to the centre) that keeps the
 * order of ordinals.  visit.c searches it.
 */
#include "core/code/partition.h"

#include <math.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/code/kmodes.h"
#include "core/code/pages.h"
#include "core/code/partition_internal.h"
#include "core/code/search_internal.h"

/* Fewer words of codes than this are scanned in a microsecond or two. */
#define MIN_WORDS 32768

#define MIN_SAMPLE 32768
#define PER_CENTRE 64 /* codes of the sample */
#define STEP_ROWS  65536

/* Queries to measure with, and hits of each. */
#define TRIALS     64
#define TRIAL_HITS 10

enum phase { SAMPLE, CENTRES, ASSIGN, PLACE, MEASURE, DONE };

struct ak_partition_build {
    struct ak_snapshot *s;
    struct ak_partition_params params;
    struct ak_partition *p;
    enum phase phase;
    uint64_t at; /* rows done in this phase */
    struct ak_kmodes modes;
    uint16_t *bucket, *distance; /* (covered) */
    uint32_t *next;              /* (n_buckets, bits + 1) counts, then places */
};

/* ------------------------------------------------------------------ the rest */

static void partition_free(struct ak_ref *ref)
{
    struct ak_partition *p = (struct ak_partition *)ref;

    ak_pages_free(p->codes, p->len_codes);
    ak_pages_free(p->ordinals, p->len_ordinals);
    ak_array_free(p->low);
    ak_array_free(p->high);
    ak_array_free(p->at);
    ak_array_free(p->shells);
    ak_array_free(p->centres);
    ak_array_free(p);
}

bool ak_snapshot_partition_due(const struct ak_snapshot *s)
{
    const struct ak_partition *p = s->partition;

    if (s->live * s->words < MIN_WORDS || s->rows > UINT32_MAX)
        return false;
    if (p == NULL)
        return true;
    if (p->rows == 0)
        return s->rows >= 2 * p->covered;
    return (s->rows - p->covered + (s->rows - s->live - p->dead)) * 16 >
           p->rows;
}

void ak_snapshot_partition_info(const struct ak_snapshot *s,
                                struct ak_partition_info *info)
{
    const struct ak_partition *p = s->partition;

    *info = (struct ak_partition_info){0};
    if (p != NULL)
        *info = (struct ak_partition_info){.rows = p->rows,
                                           .covered = p->covered,
                                           .buckets = p->n_buckets,
                                           .bytes = p->len,
                                           .share = p->share};
}

/* A quarter of the square root of the rows: 256 for a million. */
static size_t count_buckets(uint64_t rows)
{
    size_t n =
        (size_t)(sqrt((double)rows) / 4) / AK_HAMMING_GROUP * AK_HAMMING_GROUP;

    if (n < AK_HAMMING_GROUP)
        n = AK_HAMMING_GROUP;
    return n < AK_PARTITION_MAX_BUCKETS ? n : AK_PARTITION_MAX_BUCKETS;
}

enum ak_status ak_partition_build_create_with(
    struct ak_snapshot *s, const struct ak_partition_params *params,
    struct ak_partition_build **out, struct ak_err *err)
{
    struct ak_partition_build *b = ak_array_new(1, sizeof(*b));
    struct ak_partition *p = ak_array_new(1, sizeof(*p));

    if (b == NULL || p == NULL) {
        ak_array_free(b);
        ak_array_free(p);
        return ak_fail(err, AK_ENOMEM, "no memory for a partition");
    }
    ak_ref_init(&p->ref, partition_free);
    p->bits = s->bits;
    p->words = s->words;
    p->column = s->column;
    p->covered = s->rows / 64 * 64;
    p->forced = params->forced;
    p->n_buckets =
        params->n_buckets > 0 ? params->n_buckets : count_buckets(s->rows);
    b->p = p;
    b->params = *params;
    b->s = s;
    ak_ref_take(&s->ref);
    *out = b;
    return AK_OK;
}

enum ak_status ak_partition_build_create(struct ak_snapshot *s,
                                         struct ak_partition_build **out,
                                         struct ak_err *err)
{
    const struct ak_partition_params params = {0};

    return ak_partition_build_create_with(s, &params, out, err);
}

static void free_scratch(struct ak_partition_build *b)
{
    ak_kmodes_clear(&b->modes);
    ak_pages_free(b->bucket, b->p->covered * sizeof(*b->bucket));
    ak_pages_free(b->distance, b->p->covered * sizeof(*b->distance));
    ak_array_free(b->next);
    b->bucket = b->distance = NULL;
    b->next = NULL;
}

void ak_partition_build_destroy(struct ak_partition_build *b)
{
    if (b == NULL)
        return;
    free_scratch(b);
    ak_ref_drop(&b->p->ref);
    ak_snapshot_drop(b->s);
    ak_array_free(b);
}

size_t ak_partition_build_bytes(const struct ak_partition_build *b)
{
    const struct ak_partition *p = b->p;
    size_t bytes = sizeof(*b) + p->len;

    if (b->bucket != NULL)
        bytes += p->covered * sizeof(*b->bucket);
    if (b->distance != NULL)
        bytes += p->covered * sizeof(*b->distance);
    if (b->next != NULL)
        bytes += p->n_buckets * (p->bits + 1) * sizeof(*b->next);
    return bytes;
}

struct ak_partition *
ak_partition_build_result(const struct ak_partition_build *b)
{
    return b->phase == DONE ? b->p : NULL;
}

/* ---------------------------------------------------------------- the phases */

static bool draw_sample(struct ak_partition_build *b)
{
    const struct ak_partition *p = b->p;
    uint64_t rows = p->covered, wanted = PER_CENTRE * p->n_buckets;
    struct ak_rng rng;
    size_t n;

    if (wanted < MIN_SAMPLE)
        wanted = MIN_SAMPLE;
    if (b->params.n_sample > 0)
        wanted = b->params.n_sample;
    n = (size_t)(wanted < rows ? wanted : rows);
    if (n == 0)
        n = 1;
    if (!ak_kmodes_init(&b->modes, p->bits, n, p->n_buckets, b->params.seed))
        return false;
    ak_rng_init(&rng, b->params.seed + 1);
    for (size_t i = 0; i < n && rows > 0; i++) {
        /* One from each of n stretches, so that all times are in. */
        uint64_t from = rows * i / n, to = rows * (i + 1) / n;
        uint64_t row = from + ak_rng_below(&rng, to - from);
        uint64_t words[AK_CODE_MAX_WORDS];

        ak_hamming_get(b->s->codes[row / AK_SEGMENT_ROWS],
                       row % AK_SEGMENT_ROWS, p->words, words);
        ak_hamming_put(b->modes.codes, i, p->words, words);
    }
    return true;
}

static bool keep_centres(struct ak_partition_build *b)
{
    struct ak_partition *p = b->p;

    p->centres = b->modes.centres;
    b->modes.centres = NULL;
    ak_kmodes_clear(&b->modes);
    /* Pages are there when they are written, step by step. */
    b->bucket = ak_pages_new(p->covered * sizeof(*b->bucket));
    b->distance = ak_pages_new(p->covered * sizeof(*b->distance));
    b->next = ak_array_new(p->n_buckets * (p->bits + 1), sizeof(*b->next));
    return b->bucket != NULL && b->distance != NULL && b->next != NULL;
}

static uint64_t step_end(const struct ak_partition_build *b)
{
    uint64_t left = b->p->covered - b->at;

    return b->at + (left < STEP_ROWS ? left : STEP_ROWS);
}

static uint32_t *place_of(struct ak_partition_build *b, uint64_t row)
{
    return &b->next[(size_t)b->bucket[row] * (b->p->bits + 1) +
                    b->distance[row]];
}

/* The nearest centre of rows; how many alive there are in each shell. */
static void assign_rows(struct ak_partition_build *b)
{
    const struct ak_partition *p = b->p;
    uint64_t end = step_end(b);

    while (b->at < end) {
        size_t row = b->at % AK_SEGMENT_ROWS;
        const uint64_t *codes = b->s->codes[b->at / AK_SEGMENT_ROWS];
        size_t n = AK_SEGMENT_ROWS - row;

        if (n > end - b->at)
            n = (size_t)(end - b->at);
        ak_nearest_centres(p->centres, p->n_buckets, codes + row * p->words,
                           n / AK_HAMMING_GROUP, p->words, b->bucket + b->at,
                           b->distance + b->at);
        for (size_t i = 0; i < n; i++)
            if (ak_snapshot_alive(b->s, b->at + i))
                ++*place_of(b, b->at + i);
        b->at += n;
    }
}

/* The distances at which a bucket has rows. */
static void find_bounds(const uint32_t *counts, uint32_t bits, int16_t *low,
                        int16_t *high)
{
    *low = AK_BUCKET_EMPTY_LOW;
    *high = AK_BUCKET_EMPTY_HIGH;
    for (uint32_t r = 0; r <= bits; r++) {
        if (counts[r] == 0)
            continue;
        if (*low == AK_BUCKET_EMPTY_LOW)
            *low = (int16_t)r;
        *high = (int16_t)r;
    }
}

/* From counts to places: which shells there are, and where each begins. */
static bool lay_out(struct ak_partition_build *b)
{
    struct ak_partition *p = b->p;
    size_t padded = ak_hamming_groups(p->n_buckets) * AK_HAMMING_GROUP;
    size_t n_shells = 0, rows = 0, stride = p->bits + 1;

    p->low = ak_array_new(padded, sizeof(*p->low));
    p->high = ak_array_new(padded, sizeof(*p->high));
    p->at = ak_array_new(padded, sizeof(*p->at));
    if (p->low == NULL || p->high == NULL || p->at == NULL)
        return false;
    for (size_t i = 0; i < padded; i++) {
        p->low[i] = AK_BUCKET_EMPTY_LOW;
        p->high[i] = AK_BUCKET_EMPTY_HIGH;
        if (i < p->n_buckets)
            find_bounds(b->next + i * stride, p->bits, &p->low[i], &p->high[i]);
        p->at[i] = (uint32_t)n_shells;
        if (p->low[i] <= p->high[i])
            n_shells += (size_t)(p->high[i] - p->low[i]) + 2;
    }
    p->shells = ak_array_new(n_shells, sizeof(*p->shells));
    if (p->shells == NULL)
        return false;
    for (size_t i = 0; i < p->n_buckets; i++) {
        uint32_t *places = b->next + i * stride, *shells = p->shells + p->at[i];

        for (int r = p->low[i]; r <= p->high[i]; r++) {
            uint32_t n = places[r];

            *shells++ = places[r] = (uint32_t)rows;
            rows += n;
        }
        if (p->low[i] <= p->high[i])
            *shells = (uint32_t)rows;
    }
    p->rows = rows;
    p->dead = p->covered - rows;
    p->len_codes = ak_hamming_groups(rows) * AK_HAMMING_GROUP * p->words *
                   sizeof(*p->codes);
    p->len_ordinals = rows * sizeof(*p->ordinals);
    p->codes = ak_pages_new(p->len_codes);
    p->ordinals = ak_pages_new(p->len_ordinals);
    p->len = sizeof(*p) + p->len_codes + p->len_ordinals +
             padded * (sizeof(*p->low) + sizeof(*p->high) + sizeof(*p->at) +
                       p->words * sizeof(*p->centres)) +
             n_shells * sizeof(*p->shells);
    return p->codes != NULL && p->ordinals != NULL;
}

static void place_rows(struct ak_partition_build *b)
{
    struct ak_partition *p = b->p;
    uint64_t end = step_end(b), words[AK_CODE_MAX_WORDS];

    for (; b->at < end; b->at++) {
        const uint64_t *codes = b->s->codes[b->at / AK_SEGMENT_ROWS];
        uint32_t at;

        if (!ak_snapshot_alive(b->s, b->at))
            continue;
        at = (*place_of(b, b->at))++;
        ak_hamming_get(codes, b->at % AK_SEGMENT_ROWS, p->words, words);
        ak_hamming_put(p->codes, at, p->words, words);
        p->ordinals[at] = (uint32_t)b->at;
    }
}

/* The share of the rows that queries like the rows compare. */
static bool measure(struct ak_partition_build *b)
{
    struct ak_partition *p = b->p;
    struct ak_snapshot s = {0};
    struct ak_search search = {.max_distance = UINT32_MAX};
    struct ak_scan scan = {.s = &s,
                           .search = &search,
                           .kernel = ak_hamming_kernel(),
                           .max_groups = AK_VISIT_GROUPS,
                           .complete = true};
    uint64_t buffer[AK_TOPK_ROOM(TRIAL_HITS)], compared = 0;
    uint32_t counts[AK_TOPK_COUNTS];
    struct ak_query *q = ak_array_new(1, sizeof(*q));
    struct ak_rng rng;

    /* All but the count of holders, which others change meanwhile. */
    memcpy((char *)&s + sizeof(s.ref), (const char *)b->s + sizeof(s.ref),
           sizeof(s) - sizeof(s.ref));
    scan.near[0] = ak_array_new(AK_VISIT_GROUPS * AK_HAMMING_GROUP,
                                sizeof(struct ak_near));
    if (q == NULL || scan.near[0] == NULL) {
        ak_array_free(q);
        ak_array_free(scan.near[0]);
        return false;
    }
    s.partition = p;
    ak_rng_init(&rng, b->params.seed + 2);
    for (size_t i = 0; i < TRIALS; i++) {
        ak_hamming_get(p->codes, (size_t)ak_rng_below(&rng, p->rows), p->words,
                       q->words);
        ak_topk_init(&q->top, TRIAL_HITS, p->bits + 1, false, counts, buffer);
        q->in_order = false;
        scan.compared = 0;
        ak_visit_partition(&scan, q);
        if (q->in_order)
            scan.compared += p->rows;
        compared += scan.compared;
    }
    ak_array_free(q);
    ak_array_free(scan.near[0]);
    p->share = (double)compared / ((double)p->rows * TRIALS);
    return true;
}

/* What remains of a partition that is not worth while. */
static void give_up(struct ak_partition *p)
{
    ak_pages_free(p->codes, p->len_codes);
    ak_pages_free(p->ordinals, p->len_ordinals);
    ak_array_free(p->low);
    ak_array_free(p->high);
    ak_array_free(p->at);
    ak_array_free(p->shells);
    ak_array_free(p->centres);
    p->codes = p->centres = NULL;
    p->ordinals = p->shells = p->at = NULL;
    p->low = p->high = NULL;
    p->rows = p->n_buckets = 0;
    p->len_codes = p->len_ordinals = 0;
    p->len = sizeof(*p);
}

static bool step(struct ak_partition_build *b)
{
    struct ak_partition *p = b->p;

    switch (b->phase) {
    case SAMPLE:
        b->phase = CENTRES;
        return draw_sample(b);
    case CENTRES:
        if (ak_kmodes_step(&b->modes))
            return true;
        b->phase = ASSIGN;
        return keep_centres(b);
    case ASSIGN:
        assign_rows(b);
        if (b->at < p->covered)
            return true;
        b->phase = PLACE;
        b->at = 0;
        return lay_out(b);
    case PLACE:
        place_rows(b);
        if (b->at < p->covered)
            return true;
        b->phase = MEASURE;
        return true;
    case MEASURE:
        free_scratch(b);
        if (p->rows > 0 && !measure(b))
            return false;
        if (!p->forced && p->share > AK_PARTITION_MAX_SHARE)
            give_up(p);
        b->phase = DONE;
        return true;
    case DONE:
        return true;
    }
    return true;
}

enum ak_status ak_partition_build_step(struct ak_partition_build *b, bool *done,
                                       struct ak_err *err)
{
    if (!step(b))
        return ak_fail(err, AK_ENOMEM, "no memory for a partition of %llu rows",
                       (unsigned long long)b->p->covered);
    *done = b->phase == DONE;
    return AK_OK;
}
