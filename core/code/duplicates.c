/*
 * Which pairs of items are looked at: same codes once, and the rest in groups.
 *
 * Items of the same code are one *object*, so that a million of them cost no
 * more than one (with features each item is an object, since they differ).
 * Objects are put into groups as the plan says (duplicates_plan.c), once for each
 * of its groupings, and in each group all pairs are looked for that are near
 * (duplicates_join.c).
 */
#include "core/code/duplicates_internal.h"

#include <string.h>

#include "core/base/mem.h"

/* A pass of the sort takes so many bits of the upper half of a key. */
#define PASS_BITS 11
#define N_PASSES  3

enum phase {
    SAME_KEYS, /* hashes of items, to find those of the same code */
    SAME_SORT,
    OBJECTS,
    PLAN,
    KEYS, /* of the next grouping */
    SORT,
    GROUP, /* the next group */
    TREE,
    OVER
};

/* -------------------------------------------------------------------- life */

enum ak_status ak_duplicates_create(const struct ak_duplicates_params *params,
                                    struct ak_duplicates **out,
                                    struct ak_err *err)
{
    struct ak_duplicates *d = ak_array_new(1, sizeof(*d));
    size_t n = params->n;

    if (d == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory to look for duplicates");
    d->params = *params;
    d->features = params->features;
    d->kernel = ak_hamming_kernel();
    d->words = ak_code_words(params->bits);
    d->n = n;
    d->phase = n < 2 ? OVER : d->features != NULL ? PLAN : SAME_KEYS;
    d->forced = -1;
    ak_rng_init(&d->rng, params->seed);
    d->keys = ak_array_new(n, sizeof(*d->keys));
    d->sorted = ak_array_new(n, sizeof(*d->sorted));
    d->group = ak_array_new(n, sizeof(*d->group));
    if (!ak_clusters_init(&d->clusters, n) ||
        /* One more than is wanted says whether there are more. */
        !ak_pairs_init(&d->pairs, params->limit + 1) || d->keys == NULL ||
        d->sorted == NULL || d->group == NULL) {
        ak_duplicates_destroy(d);
        return ak_fail(err, AK_ENOMEM,
                       "no memory to look for duplicates among %zu items", n);
    }
    *out = d;
    return AK_OK;
}

void ak_duplicates_destroy(struct ak_duplicates *d)
{
    if (d == NULL)
        return;
    ak_duplicates_tree_clear(&d->tree);
    ak_clusters_clear(&d->clusters);
    ak_pairs_clear(&d->pairs);
    ak_array_free(d->keys);
    ak_array_free(d->sorted);
    ak_array_free(d->group);
    ak_array_free(d->first);
    ak_array_free(d->members);
    ak_array_free(d);
}

/* -------------------------------------------------------------------- sorting */

/* One of N_PASSES over the keys, which keeps their order where they agree. */
static void sort_pass(struct ak_duplicates *d, size_t n)
{
    unsigned shift = 32 + d->pass * PASS_BITS;
    uint32_t next[1 << PASS_BITS] = {0}, at = 0;
    uint64_t *swap = d->keys, mask = (1 << PASS_BITS) - 1;

    for (size_t i = 0; i < n; i++)
        next[d->keys[i] >> shift & mask]++;
    for (size_t i = 0; i <= mask; i++) {
        uint32_t count = next[i];

        next[i] = at;
        at += count;
    }
    for (size_t i = 0; i < n; i++)
        d->sorted[next[d->keys[i] >> shift & mask]++] = d->keys[i];
    d->keys = d->sorted;
    d->sorted = swap;
    d->pass++;
    d->work += n;
}

/* ------------------------------------------------------------- the same codes */

static const uint64_t *item_code(const struct ak_duplicates *d, uint32_t item)
{
    return d->params.codes + item * d->words;
}

static void same_keys(struct ak_duplicates *d)
{
    uint64_t mask[AK_CODE_MAX_WORDS];

    memset(mask, 0xff, sizeof(mask));
    for (size_t i = 0; i < d->params.n; i++)
        d->keys[i] = (uint64_t)ak_duplicates_hash(item_code(d, (uint32_t)i),
                                                  mask, d->words)
                         << 32 |
                     i;
    d->work += d->params.n;
    d->pass = 0;
}

/* All of a new object, whose items are the last ones among the members. */
static void end_object(struct ak_duplicates *d, size_t n_members)
{
    const uint32_t *members = d->members + d->first[d->n];
    size_t n = n_members - d->first[d->n];

    for (size_t i = 1; i < n; i++)
        ak_clusters_unite(&d->clusters, members[0], members[i]);
    /* In order, so that after the first that is not taken none is. */
    for (size_t i = 0; i + 1 < n; i++)
        for (size_t j = i + 1; j < n; j++) {
            if (!ak_pairs_takes(&d->pairs, members[i], members[j], 0)) {
                i = n;
                break;
            }
            ak_pairs_push(&d->pairs, members[i], members[j], 0, 0);
        }
    d->first[++d->n] = (uint32_t)n_members;
}

/* The items of a run of equal hashes, which nearly always are of one code. */
static void take_run(struct ak_duplicates *d, uint64_t *keys, size_t n,
                     size_t *n_members)
{
    while (n > 0) {
        const uint64_t *code = item_code(d, (uint32_t)keys[0]);
        size_t left = 0;

        for (size_t i = 0; i < n; i++)
            if (memcmp(item_code(d, (uint32_t)keys[i]), code,
                       d->words * sizeof(*code)) == 0)
                d->members[(*n_members)++] = (uint32_t)keys[i];
            else
                keys[left++] = keys[i];
        end_object(d, *n_members);
        n = left;
    }
}

static enum ak_status make_objects(struct ak_duplicates *d, struct ak_err *err)
{
    size_t n = d->params.n, n_members = 0;

    d->first = ak_array_new(n + 1, sizeof(*d->first));
    d->members = ak_array_new(n, sizeof(*d->members));
    if (d->first == NULL || d->members == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for %zu items", n);
    d->n = 0;
    for (size_t from = 0, to; from < n; from = to) {
        to = ak_duplicates_run_end(d->keys, n, from);
        take_run(d, d->keys + from, to - from, &n_members);
    }
    d->compared += n;
    d->work += n;
    return AK_OK;
}

/* -------------------------------------------------------------------- groups */

static void group_keys(struct ak_duplicates *d)
{
    uint64_t mask[AK_CODE_MAX_WORDS];

    ak_duplicates_mask(d, &d->plan, mask);
    for (size_t i = 0; i < d->n; i++)
        d->keys[i] = (uint64_t)ak_duplicates_hash(
                         ak_duplicates_code(d, (uint32_t)i), mask, d->words)
                         << 32 |
                     i;
    d->work += d->n;
    d->pass = 0;
    d->at = 0;
}

/* The next group of two or more; false: that was the last. */
static bool next_group(struct ak_duplicates *d)
{
    while (d->at < d->n) {
        d->group_end = ak_duplicates_run_end(d->keys, d->n, d->at);
        if (d->group_end - d->at > 1) {
            for (size_t i = d->at; i < d->group_end; i++)
                d->group[i] = (uint32_t)d->keys[i];
            return true;
        }
        d->at = d->group_end;
        d->work++;
    }
    return false;
}

/* ------------------------------------------------------------ what was found */

/* The pairs of the items of two objects, smallest first, until one is not
   taken: then none of the later ones is. */
static void list_pairs(struct ak_duplicates *d, uint32_t u, uint32_t v,
                       uint32_t distance)
{
    const uint32_t *x = d->members + d->first[u];
    const uint32_t *y = d->members + d->first[v];
    const uint32_t *x_end = d->members + d->first[u + 1];
    const uint32_t *y_end = d->members + d->first[v + 1];

    while (x < x_end && y < y_end) {
        const uint32_t *lower = *x < *y ? x : y, *other = *x < *y ? y : x;
        const uint32_t *other_end = *x < *y ? y_end : x_end;

        for (; other < other_end; other++) {
            if (!ak_pairs_takes(&d->pairs, *lower, *other, distance))
                return;
            ak_pairs_push(&d->pairs, *lower, *other, distance, 0);
        }
        if (lower == x)
            x++;
        else
            y++;
    }
}

/* Two items by their features, where it makes a difference. */
static enum ak_status verify(struct ak_duplicates *d, uint32_t a, uint32_t b,
                             uint32_t distance, struct ak_err *err)
{
    const struct ak_duplicates_features *f = d->features;
    const float *x = f->sketch + a * f->n_sketch;
    const float *y = f->sketch + b * f->n_sketch;
    enum ak_status status;
    bool wanted, near;
    double number;

    /* What tells most of them apart comes first. */
    for (size_t i = 0; i < f->n_sketch; i++)
        if (x[i] - y[i] > f->reach || y[i] - x[i] > f->reach)
            return AK_OK;
    wanted = ak_pairs_takes(&d->pairs, a, b, distance);
    if (!wanted &&
        ak_clusters_find(&d->clusters, a) == ak_clusters_find(&d->clusters, b))
        return AK_OK;
    if (!ak_duplicates_counts_here(d, item_code(d, a), item_code(d, b)))
        return AK_OK;
    d->verified++;
    d->work += 64;
    status = f->near(f->arg, a, b, &near, &number, err);
    if (status != AK_OK || !near)
        return status;
    ak_clusters_unite(&d->clusters, a, b);
    if (wanted)
        ak_pairs_push(&d->pairs, a, b, distance, number);
    return AK_OK;
}

enum ak_status ak_duplicates_found(struct ak_duplicates *d, uint32_t u,
                                   uint32_t v, uint32_t distance,
                                   struct ak_err *err)
{
    uint32_t a = ak_duplicates_item(d, u), b = ak_duplicates_item(d, v);

    if (d->features != NULL)
        return verify(d, a, b, distance, err);
    ak_clusters_unite(&d->clusters, a, b);
    if (ak_pairs_takes(&d->pairs, a, b, distance) &&
        ak_duplicates_counts_here(d, item_code(d, a), item_code(d, b)))
        list_pairs(d, u, v, distance);
    return AK_OK;
}

/* ---------------------------------------------------------------------- steps */

static void end_grouping(struct ak_duplicates *d)
{
    d->grouping++;
    d->phase = d->grouping < d->plan.n_groupings ? KEYS : OVER;
    ak_duplicates_next_choice(&d->plan);
}

static enum ak_status advance(struct ak_duplicates *d, struct ak_err *err)
{
    enum ak_status status = AK_OK;
    bool done;

    switch (d->phase) {
    case SAME_KEYS:
        same_keys(d);
        d->phase = SAME_SORT;
        break;
    case SAME_SORT:
        sort_pass(d, d->params.n);
        if (d->pass == N_PASSES)
            d->phase = OBJECTS;
        break;
    case OBJECTS:
        status = make_objects(d, err);
        d->phase = d->n < 2 ? OVER : PLAN;
        break;
    case PLAN:
        status = ak_duplicates_choose_plan(d, err);
        d->phase = KEYS;
        break;
    case KEYS:
        group_keys(d);
        d->phase = SORT;
        break;
    case SORT:
        sort_pass(d, d->n);
        if (d->pass == N_PASSES)
            d->phase = GROUP;
        break;
    case GROUP:
        if (!next_group(d)) {
            end_grouping(d);
            break;
        }
        status =
            ak_duplicates_tree_begin(d, d->group + d->at, d->group_end - d->at,
                                     d->plan.n_modes, false, err);
        d->phase = TREE;
        break;
    case TREE:
        status = ak_duplicates_tree_step(d, &done, err);
        if (status == AK_OK && done) {
            d->at = d->group_end;
            d->phase = GROUP;
        }
        break;
    default:
        break;
    }
    return status;
}

enum ak_status ak_duplicates_step(struct ak_duplicates *d, bool *done,
                                  struct ak_err *err)
{
    enum ak_status status = AK_OK;

    d->work = 0;
    while (status == AK_OK && d->phase != OVER && d->work < AK_DUPLICATES_SLICE)
        status = advance(d, err);
    *done = d->phase == OVER;
    return status;
}

double ak_duplicates_ratio(const struct ak_duplicates *d)
{
    double at = (double)d->at, m = (double)(d->group_end - d->at);

    if (d->phase == OVER)
        return 1;
    if (d->phase < GROUP)
        return d->phase < KEYS
                   ? 0
                   : (double)d->grouping / (double)d->plan.n_groupings;
    if (d->phase == TREE)
        at += m * d->tree.area / (m * (m - 1) / 2);
    return ((double)d->grouping + at / (double)d->n) /
           (double)d->plan.n_groupings;
}

void ak_duplicates_result(struct ak_duplicates *d,
                          struct ak_duplicates_result *result)
{
    size_t n = d->pairs.n, limit = d->params.limit;

    ak_pairs_sort(&d->pairs);
    for (size_t i = 0; i < d->params.n; i++)
        d->clusters.parent[i] = ak_clusters_find(&d->clusters, (uint32_t)i);
    *result = (struct ak_duplicates_result){.pairs = d->pairs.heap,
                                            .n_pairs = n < limit ? n : limit,
                                            .truncated = n > limit,
                                            .cluster = d->clusters.parent,
                                            .compared = d->compared,
                                            .verified = d->verified};
}
