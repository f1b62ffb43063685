/*
 * How objects are put into groups of which the pairs are looked for.
 *
 * By the pigeonhole principle: the bits of a code are cut into m = D + k bands;
 * two codes that differ in at most D bits differ in at most D bands, hence agree
 * in k or more.  For each choice of k bands there is a *grouping*: the objects
 * that agree in all of them are a group, and the pairs within the groups of all
 * groupings have all that are near.  A pair counts in the one grouping whose
 * choice is the first k bands in which it agrees.
 *
 *     k = 1   Hamming distance to be found by equal parts is from Manber and
 *             Wu, "An Algorithm for Approximate Membership Checking with
 *             Application to Password Security", IPL 50(4), 1994;
 *     k > 1   longer keys, so smaller groups, but more groupings: Manku, Jain
 *             and Das Sarma, "Detecting Near-Duplicates for Web Crawling", WWW
 *             2007.
 *
 * Random codes need the groupings, as balls exclude nothing there; clustered
 * codes often agree in bands without being near, and are left to the tree alone,
 * as one group of all.  Which of k = 1, 2, 3 and the tree alone, of halves or of
 * many children of its root, is cheapest is estimated from a sample of the codes.
 */
#include "core/code/duplicates_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Of a plan: objects that it is tried with, groupings that are, and groupings
   that it may have. */
#define SAMPLE        2048
#define TRIED         8
#define MAX_GROUPINGS 1000

/* Children of a root that has many, and codes of a sample for each at least. */
#define MIN_MODES    16
#define MAX_MODES    2048
#define MIN_PER_MODE 8

/* What it costs, in distances, to sort an object; to put it into a tree, times
   the logarithm of their number. */
#define SORT_COST 20
#define TREE_COST 8

/* Of the bits of a code in `mask`; what differs may have the same one. */
uint32_t ak_duplicates_hash(const uint64_t *code, const uint64_t *mask,
                            size_t words)
{
    uint64_t h = 0;

    for (size_t w = 0; w < words; w++) {
        h = (h ^ (code[w] & mask[w])) * UINT64_C(0x9e3779b97f4a7c15);
        h ^= h >> 32;
    }
    h *= UINT64_C(0xd6e8feb86659fd93);
    return (uint32_t)(h >> 32);
}

static uint32_t key_hash(uint64_t key)
{
    return (uint32_t)(key >> 32);
}

/* Where the run of equal hashes that begins at `from` ends. */
size_t ak_duplicates_run_end(const uint64_t *keys, size_t n, size_t from)
{
    size_t to = from + 1;

    while (to < n && key_hash(keys[to]) == key_hash(keys[from]))
        to++;
    return to;
}

static size_t band_begin(const struct ak_duplicates *d, unsigned n_bands,
                         unsigned band)
{
    return (size_t)d->params.bits * band / n_bands;
}

/* Bits from..to, as one word's share of them. */
static uint64_t range_mask(size_t word, size_t from, size_t to)
{
    size_t begin = 64 * word, end = begin + 64;
    uint64_t mask = UINT64_MAX;

    if (from >= end || to <= begin)
        return 0;
    if (from > begin)
        mask &= UINT64_MAX << (from - begin);
    if (to < end)
        mask &= UINT64_MAX >> (end - to);
    return mask;
}

static bool band_agrees(const struct ak_duplicates *d, const uint64_t *a,
                        const uint64_t *b, unsigned band)
{
    size_t from = band_begin(d, d->plan.n_bands, band);
    size_t to = band_begin(d, d->plan.n_bands, band + 1);

    for (size_t w = from / 64; w * 64 < to; w++)
        if (((a[w] ^ b[w]) & range_mask(w, from, to)) != 0)
            return false;
    return true;
}

/* The bits that agree in a grouping; all are masked out when there is none. */
void ak_duplicates_mask(const struct ak_duplicates *d,
                        const struct ak_duplicates_plan *plan, uint64_t *mask)
{
    memset(mask, 0, d->words * sizeof(*mask));
    for (unsigned i = 0; i < plan->n_agree; i++) {
        size_t from = band_begin(d, plan->n_bands, plan->agree[i]);
        size_t to = band_begin(d, plan->n_bands, plan->agree[i] + 1);

        for (size_t w = from / 64; w * 64 < to; w++)
            mask[w] |= range_mask(w, from, to);
    }
}

/* The next choice of bands; false after the last. */
bool ak_duplicates_next_choice(struct ak_duplicates_plan *plan)
{
    unsigned i = plan->n_agree;

    while (i > 0 &&
           plan->agree[i - 1] + (plan->n_agree - i) + 1 == plan->n_bands)
        i--;
    if (i == 0)
        return false;
    plan->agree[i - 1]++;
    for (; i < plan->n_agree; i++)
        plan->agree[i] = plan->agree[i - 1] + 1;
    return true;
}

static bool make_plan(const struct ak_duplicates *d, unsigned n_agree,
                      struct ak_duplicates_plan *plan)
{
    unsigned n_bands = d->params.max_distance + n_agree;
    double n = 1;

    if (n_bands > d->params.bits)
        return false;
    for (unsigned i = 0; i < n_agree; i++)
        n = n * (n_bands - i) / (i + 1);
    if (n > MAX_GROUPINGS)
        return false;
    *plan = (struct ak_duplicates_plan){.n_bands = n_bands,
                                        .n_agree = n_agree,
                                        .n_groupings = (size_t)lround(n)};
    for (unsigned i = 0; i < n_agree; i++)
        plan->agree[i] = i;
    return true;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* Pairs of the sample (n objects at d->group) that a grouping has together. */
static double count_pairs(struct ak_duplicates *d,
                          const struct ak_duplicates_plan *plan, size_t n)
{
    uint64_t mask[AK_CODE_MAX_WORDS];
    double pairs = 0;

    ak_duplicates_mask(d, plan, mask);
    for (size_t i = 0; i < n; i++)
        d->keys[i] = (uint64_t)ak_duplicates_hash(
                         ak_duplicates_code(d, d->group[i]), mask, d->words)
                     << 32;
    qsort(d->keys, n, sizeof(*d->keys), by_value);
    for (size_t from = 0, to; from < n; from = to) {
        to = ak_duplicates_run_end(d->keys, n, from);
        pairs += (double)(to - from) * (double)(to - from - 1) / 2;
    }
    return pairs;
}

/* In distances. */
static double plan_cost(struct ak_duplicates *d, struct ak_duplicates_plan plan,
                        size_t n_sample)
{
    size_t every = plan.n_groupings / TRIED + 1, tried = 0;
    double all = (double)d->n * (double)(d->n - 1) / 2, pairs = 0;
    double of_sample = (double)n_sample * (double)(n_sample - 1) / 2;

    for (size_t i = 0; i < plan.n_groupings;
         i++, ak_duplicates_next_choice(&plan))
        if (i % every == 0) {
            pairs += count_pairs(d, &plan, n_sample);
            tried++;
        }
    return (double)plan.n_groupings *
           (SORT_COST * (double)d->n +
            all * pairs / ((double)tried * of_sample));
}

/* Children of a root that has many: as many as a code can be compared with for
   the price of a few levels. */
static size_t count_modes(size_t n)
{
    size_t most = (size_t)sqrt((double)n);

    return most < MAX_MODES ? most : MAX_MODES;
}

/* The same of the tree alone. */
static enum ak_status tree_cost(struct ak_duplicates *d, size_t n_modes,
                                size_t n_sample, double *cost,
                                struct ak_err *err)
{
    size_t tried =
        n_modes < n_sample / MIN_PER_MODE ? n_modes : n_sample / MIN_PER_MODE;
    double n = (double)d->n, of_sample;
    enum ak_status status =
        ak_duplicates_tree_begin(d, d->group, n_sample, tried, true, err);
    bool done = false;

    while (status == AK_OK && !done) {
        d->work = 0;
        status = ak_duplicates_tree_step(d, &done, err);
    }
    if (status != AK_OK)
        return status;
    of_sample = (double)n_sample * (double)(n_sample - 1) / 2;
    *cost = TREE_COST * n * log2(n) + n * (double)n_modes +
            n * (n - 1) / 2 * d->tree.surviving / of_sample;
    return AK_OK;
}

/* What a tree of many children costs whatever it excludes. */
static double least_cost(const struct ak_duplicates *d, size_t n_modes)
{
    double n = (double)d->n;

    return n * ((double)n_modes + TREE_COST * log2(n));
}

static void find_bands(struct ak_duplicates *d, size_t n_sample, double *best)
{
    for (unsigned k = 1; k <= AK_DUPLICATES_AGREE; k++) {
        struct ak_duplicates_plan plan;
        double cost;

        if (!make_plan(d, k, &plan))
            continue;
        cost = plan_cost(d, plan, n_sample);
        if (d->forced < 0 ? cost < *best : d->forced == (int)k) {
            *best = cost;
            d->plan = plan;
        }
    }
}

enum ak_status ak_duplicates_choose_plan(struct ak_duplicates *d,
                                         struct ak_err *err)
{
    size_t n_sample = d->n < SAMPLE ? d->n : SAMPLE;
    size_t n_modes = count_modes(d->n);
    enum ak_status status;
    double best, cost;

    d->plan = (struct ak_duplicates_plan){.n_groupings = 1};
    for (size_t i = 0; i < n_sample; i++)
        d->group[i] = (uint32_t)((uint64_t)d->n * i / n_sample);
    status = tree_cost(d, 0, n_sample, &best, err);
    if (status != AK_OK)
        return status;
    find_bands(d, n_sample, &best);
    if (d->forced == AK_DUPLICATES_MODES)
        d->plan.n_modes = n_modes;
    if (d->forced >= 0 || n_modes < MIN_MODES || best < least_cost(d, n_modes))
        return AK_OK;
    status = tree_cost(d, n_modes, n_sample, &cost, err);
    if (status == AK_OK && cost < best)
        d->plan =
            (struct ak_duplicates_plan){.n_groupings = 1, .n_modes = n_modes};
    return status;
}

/* Whether a pair counts in this grouping: it agrees in the chosen bands, and in
   no other one before the last of them. */
bool ak_duplicates_counts_here(const struct ak_duplicates *d, const uint64_t *a,
                               const uint64_t *b)
{
    const struct ak_duplicates_plan *plan = &d->plan;
    unsigned next = 0;

    for (unsigned band = 0; next < plan->n_agree; band++) {
        bool chosen = band == plan->agree[next];

        if (band_agrees(d, a, b, band) != chosen)
            return false;
        next += chosen;
    }
    return true;
}
