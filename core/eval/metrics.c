/*
 * metrics.c -- average precision without sorting: items fall into bits + 1
 * buckets of distance, and counts by bucket give every rank.
 *
 * The average over tied orders is McSherry and Najork, "Computing Information
 * Retrieval Performance Measures Efficiently in the Presence of Tied Scores",
 * ECIR 2008.  A bucket of n items, r relevant, behind N items with R relevant
 * adds in expectation
 *
 *     sum over k = 1..n of r/n (R + 1 + (k - 1) (r - 1)/(n - 1)) / (N + k)
 *
 * and with harmonic numbers H, d = H(N + n) - H(N), the sums over k are
 *
 *     sum 1 / (N + k) = d        sum (k - 1) / (N + k) = n - (N + 1) d
 *
 * so that a query costs its buckets and not its items.
 */
#include "core/eval/metrics.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/code/code.h"

/* All that one query needs, made once. */
struct work {
    size_t words;
    uint64_t *database; /* (n, words) */
    uint64_t query[AK_CODE_MAX_WORDS];
    uint32_t *names; /* different labels of the database, sorted */
    size_t n_names;
    uint32_t *labels;      /* the database's labels as places in `names` */
    bool *wanted;          /* (n_names) labels of the query */
    uint16_t *distance;    /* (n) */
    bool *relevant;        /* (n) */
    double *harmonic;      /* (n + 1) */
    uint32_t *total, *hit; /* (bits + 1) items and relevant ones by distance */
    uint32_t *rank, *seen; /* (bits + 1) of both, how many came before */
};

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static enum ak_status check(const struct ak_eval_params *p,
                            const struct ak_eval_items *queries,
                            const struct ak_eval_items *database,
                            struct ak_err *err)
{
    if (p->bits < AK_CODE_MIN_BITS || p->bits > AK_CODE_MAX_BITS ||
        p->bits % 8 != 0)
        return ak_fail(err, AK_EINVAL,
                       "bits is %u, must be %d..%d and a multiple of 8",
                       p->bits, AK_CODE_MIN_BITS, AK_CODE_MAX_BITS);
    if (p->n_k > AK_EVAL_MAX_K)
        return ak_fail(err, AK_EINVAL, "%u values of K, at most %d", p->n_k,
                       AK_EVAL_MAX_K);
    for (uint32_t i = 0; i < p->n_k; i++)
        if (p->k[i] == 0)
            return ak_fail(err, AK_EINVAL, "a K is 0, must be 1 or more");
    if (queries->n == 0 || database->n == 0 || database->n > UINT32_MAX)
        return ak_fail(err, AK_EINVAL,
                       "%zu queries and %zu items, must be 1 or more",
                       queries->n, database->n);
    return AK_OK;
}

static void clear(struct work *w)
{
    ak_array_free(w->database);
    ak_array_free(w->names);
    ak_array_free(w->labels);
    ak_array_free(w->wanted);
    ak_array_free(w->distance);
    ak_array_free(w->relevant);
    ak_array_free(w->harmonic);
    ak_array_free(w->total);
    ak_array_free(w->hit);
    ak_array_free(w->rank);
    ak_array_free(w->seen);
}

/* The place of `label` in the sorted names, or n_names. */
static size_t place_of(const struct work *w, uint32_t label)
{
    const uint32_t *at =
        bsearch(&label, w->names, w->n_names, sizeof(label), by_number);

    return at ? (size_t)(at - w->names) : w->n_names;
}

static enum ak_status prepare(struct work *w, const struct ak_eval_params *p,
                              const struct ak_eval_items *db,
                              struct ak_err *err)
{
    size_t n_labels = db->first[db->n] - db->first[0];
    size_t buckets = (size_t)p->bits + 1;

    w->words = ak_code_words(p->bits);
    w->database = ak_array_new(db->n * w->words, sizeof(*w->database));
    w->names = ak_array_new(n_labels, sizeof(*w->names));
    w->labels = ak_array_new(n_labels, sizeof(*w->labels));
    w->wanted = ak_array_new(n_labels + 1, sizeof(*w->wanted));
    w->distance = ak_array_new(db->n, sizeof(*w->distance));
    w->relevant = ak_array_new(db->n, sizeof(*w->relevant));
    w->harmonic = ak_array_new(db->n + 1, sizeof(*w->harmonic));
    w->total = ak_array_new(buckets, sizeof(*w->total));
    w->hit = ak_array_new(buckets, sizeof(*w->hit));
    w->rank = ak_array_new(buckets, sizeof(*w->rank));
    w->seen = ak_array_new(buckets, sizeof(*w->seen));
    if (w->database == NULL || w->names == NULL || w->labels == NULL ||
        w->wanted == NULL || w->distance == NULL || w->relevant == NULL ||
        w->harmonic == NULL || w->total == NULL || w->hit == NULL ||
        w->rank == NULL || w->seen == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory to rank %zu items", db->n);

    for (size_t i = 0; i < db->n; i++)
        ak_code_load(db->codes + i * ak_code_bytes(p->bits), p->bits,
                     w->database + i * w->words);
    for (size_t i = 1; i <= db->n; i++)
        w->harmonic[i] = w->harmonic[i - 1] + 1 / (double)i;
    if (n_labels > 0) {
        memcpy(w->names, db->labels + db->first[0],
               n_labels * sizeof(*w->names));
        qsort(w->names, n_labels, sizeof(*w->names), by_number);
        w->n_names = 1;
    }
    for (size_t i = 1; i < n_labels; i++)
        if (w->names[i] != w->names[w->n_names - 1])
            w->names[w->n_names++] = w->names[i];
    for (size_t i = 0; i < n_labels; i++)
        w->labels[i] = (uint32_t)place_of(w, db->labels[db->first[0] + i]);
    return AK_OK;
}

/* Distance and relevance of every item, counted by distance. */
static void scan(struct work *w, const struct ak_eval_items *db, uint32_t bits)
{
    memset(w->total, 0, ((size_t)bits + 1) * sizeof(*w->total));
    memset(w->hit, 0, ((size_t)bits + 1) * sizeof(*w->hit));
    for (size_t i = 0; i < db->n; i++) {
        const uint64_t *code = w->database + i * w->words;
        uint32_t d = 0;
        bool relevant = false;

        for (size_t j = 0; j < w->words; j++)
            d += (uint32_t)__builtin_popcountll(code[j] ^ w->query[j]);
        for (uint32_t l = db->first[i]; l < db->first[i + 1]; l++)
            relevant = relevant || w->wanted[w->labels[l - db->first[0]]];
        w->distance[i] = (uint16_t)d;
        w->relevant[i] = relevant;
        w->total[d]++;
        w->hit[d] += relevant;
    }
}

/* Average precision in expectation over the orders of tied items. */
static double tied_precision(const struct work *w, uint32_t bits, double all)
{
    size_t before = 0;
    double hits = 0, sum = 0;

    for (uint32_t d = 0; d <= bits; d++) {
        double n = w->total[d], r = w->hit[d];
        double inverse, slope;

        if (w->total[d] == 0)
            continue;
        inverse = w->harmonic[before + w->total[d]] - w->harmonic[before];
        slope = w->total[d] > 1 ? (r - 1) / (n - 1) : 0;
        if (w->hit[d] > 0)
            sum += r / n *
                   ((hits + 1) * inverse +
                    slope * (n - ((double)before + 1) * inverse));
        before += w->total[d];
        hits += r;
    }
    return sum / all;
}

struct sums {
    double map, ordered, map_at, in_radius, precision[AK_EVAL_MAX_K];
    size_t queries, empty;
};

/* What depends on the order of tied items, in that of the database. */
static void ordered_precision(struct work *w, const struct ak_eval_params *p,
                              size_t n, double all, struct sums *sums)
{
    uint32_t hits[AK_EVAL_MAX_K] = {0};
    double sum = 0, sum_at = 0;
    uint32_t items = 0, found = 0, found_at = 0;

    for (uint32_t d = 0; d <= p->bits; d++) {
        w->rank[d] = items;
        w->seen[d] = found;
        items += w->total[d];
        found += w->hit[d];
    }
    for (size_t i = 0; i < n; i++) {
        uint32_t d = w->distance[i];
        uint32_t rank = ++w->rank[d];
        double precision;

        if (!w->relevant[i])
            continue;
        precision = (double)++w->seen[d] / rank;
        sum += precision;
        if (rank <= p->map_at) {
            sum_at += precision;
            found_at++;
        }
        for (uint32_t k = 0; k < p->n_k; k++)
            hits[k] += rank <= p->k[k];
    }
    if (all > 0)
        sums->ordered += sum / all;
    if (found_at > 0)
        sums->map_at += sum_at / found_at;
    for (uint32_t k = 0; k < p->n_k; k++)
        sums->precision[k] +=
            (double)hits[k] / (double)(p->k[k] < n ? p->k[k] : n);
}

static void rank_one(struct work *w, const struct ak_eval_params *p,
                     const struct ak_eval_items *queries, size_t q,
                     const struct ak_eval_items *db, struct sums *sums)
{
    uint32_t ball = 0, ball_hits = 0, all = 0;

    ak_code_load(queries->codes + q * ak_code_bytes(p->bits), p->bits,
                 w->query);
    for (uint32_t l = queries->first[q]; l < queries->first[q + 1]; l++)
        w->wanted[place_of(w, queries->labels[l])] = true;
    /* The place of labels that the database does not have. */
    w->wanted[w->n_names] = false;
    scan(w, db, p->bits);
    for (uint32_t l = queries->first[q]; l < queries->first[q + 1]; l++)
        w->wanted[place_of(w, queries->labels[l])] = false;

    for (uint32_t d = 0; d <= p->bits; d++) {
        all += w->hit[d];
        if (d <= p->radius) {
            ball += w->total[d];
            ball_hits += w->hit[d];
        }
    }
    if (all > 0) {
        sums->queries++;
        sums->map += tied_precision(w, p->bits, all);
    }
    ordered_precision(w, p, db->n, all, sums);
    if (ball > 0)
        sums->in_radius += (double)ball_hits / ball;
    else
        sums->empty++;
}

enum ak_status ak_eval_rank(const struct ak_eval_params *params,
                            const struct ak_eval_items *queries,
                            const struct ak_eval_items *database,
                            struct ak_eval_result *out, struct ak_err *err)
{
    struct work w = {0};
    struct sums sums = {0};
    double n = (double)queries->n, some;
    enum ak_status status = check(params, queries, database, err);

    if (status == AK_OK)
        status = prepare(&w, params, database, err);
    if (status != AK_OK)
        goto out;
    for (size_t q = 0; q < queries->n; q++)
        rank_one(&w, params, queries, q, database, &sums);

    memset(out, 0, sizeof(*out));
    some = sums.queries > 0 ? (double)sums.queries : 1;
    out->queries = sums.queries;
    out->empty = sums.empty;
    out->map = sums.map / some;
    out->map_ordered = sums.ordered / some;
    out->map_at = sums.map_at / some;
    out->precision_in_radius = sums.in_radius / n;
    for (uint32_t k = 0; k < params->n_k; k++)
        out->precision[k] = sums.precision[k] / n;

out:
    clear(&w);
    return status;
}
