/*
 * All pairs of a group of codes that are within a distance, by a tree of balls
 * (duplicates_tree.c).
 *
 * Two nodes with centres c apart and radii r and s are looked at together, and
 * fall into smaller ones only if they must:
 *
 *     c - r - s > max_distance    no pair of them is near: nothing to do
 *     c + r + s <= max_distance   all are: they are united as a whole
 *
 * and where two nodes are in one cluster already, their pairs matter only while
 * they can be among the nearest that are listed.  So codes that are all near, or
 * all the same, cost about as much as their number.  With features a pair must be
 * verified, no whole is united, and the bounds of the sketches exclude pairs too.
 *
 * The join of two trees is that of Gray and Moore, "N-Body Problems in
 * Statistical Learning", NIPS 2000; to go on only while two trees are not yet
 * connected is that of March, Ram and Gray, "Fast Euclidean Minimum Spanning
 * Tree", KDD 2010.
 */
#include "core/code/duplicates_internal.h"

#include <string.h>

#include "core/base/mem.h"

/* ------------------------------------------------------------------ clusters */

static uint32_t cluster_of(struct ak_duplicates *d, size_t place)
{
    return ak_clusters_find(&d->clusters,
                            ak_duplicates_item(d, d->tree.objects[place]));
}

/* Whether all of a node are known to be in one cluster. */
static bool is_united(struct ak_duplicates *d, struct ak_duplicates_node *node)
{
    const struct ak_duplicates_node *nodes = d->tree.nodes;

    if (node->united)
        return true;
    for (uint32_t i = 0; i < node->n_children; i++) {
        const struct ak_duplicates_node *child = &nodes[node->children + i];

        if (!child->united ||
            cluster_of(d, child->from) != cluster_of(d, node->from))
            return false;
    }
    if (node->n_children > 0) {
        node->united = true;
        return true;
    }
    for (size_t i = node->from + 1; i < node->to; i++)
        if (cluster_of(d, i) != cluster_of(d, node->from))
            return false;
    node->united = true;
    return true;
}

static bool in_one_cluster(struct ak_duplicates *d,
                           struct ak_duplicates_node *a,
                           struct ak_duplicates_node *b)
{
    return is_united(d, a) && is_united(d, b) &&
           cluster_of(d, a->from) == cluster_of(d, b->from);
}

static void unite_all(struct ak_duplicates *d, struct ak_duplicates_node *node,
                      uint32_t with)
{
    size_t to = node->united ? node->from + 1 : node->to;

    for (size_t i = node->from; i < to; i++)
        ak_clusters_unite(&d->clusters,
                          ak_duplicates_item(d, d->tree.objects[i]), with);
    d->work += to - node->from;
    node->united = true;
}

/* ---------------------------------------------------------------- the visits */

static enum ak_status push(struct ak_duplicates_tree *t, uint32_t a, uint32_t b,
                           struct ak_err *err)
{
    if (t->n_visits == t->cap_visits) {
        size_t cap = t->cap_visits > 0 ? 2 * t->cap_visits : 64;
        struct ak_duplicates_visit *visits = ak_array_new(cap, sizeof(*visits));

        if (visits == NULL)
            return ak_fail(err, AK_ENOMEM, "no memory for %zu visits", cap);
        if (t->n_visits > 0)
            memcpy(visits, t->visits, t->n_visits * sizeof(*visits));
        ak_array_free(t->visits);
        t->visits = visits;
        t->cap_visits = cap;
    }
    t->visits[t->n_visits++] = (struct ak_duplicates_visit){a, b};
    return AK_OK;
}

/* The children are where their parent is known to be. */
static void open_node(struct ak_duplicates *d,
                      const struct ak_duplicates_node *node)
{
    struct ak_duplicates_node *children = d->tree.nodes + node->children;

    for (uint32_t i = 0; i < node->n_children && node->united; i++)
        children[i].united = true;
}

/* Whether some number of the sketches keeps two nodes apart. */
static bool sketches_apart(const struct ak_duplicates *d, uint32_t a,
                           uint32_t b)
{
    const struct ak_duplicates_tree *t = &d->tree;
    size_t k = d->features->n_sketch;

    for (size_t j = 0; j < k; j++)
        if (t->low[a * k + j] - t->high[b * k + j] > d->features->reach ||
            t->low[b * k + j] - t->high[a * k + j] > d->features->reach)
            return true;
    return false;
}

/* Each object of leaf `a` with each of leaf `b`, or with the later ones of its
   own; up to a distance of `most`. */
static enum ak_status compare_leaves(struct ak_duplicates *d, uint32_t a,
                                     uint32_t b, uint32_t most,
                                     struct ak_err *err)
{
    const struct ak_duplicates_tree *t = &d->tree;
    const struct ak_duplicates_node *x = &t->nodes[a], *y = &t->nodes[b];
    struct ak_near near[AK_DUPLICATES_LEAF + AK_HAMMING_GROUP];
    size_t stride = AK_HAMMING_GROUP * d->words;

    for (size_t i = 0; i < ak_duplicates_size(x); i++) {
        uint32_t object = t->objects[x->from + i];
        size_t skip = a == b ? (i + 1) / AK_HAMMING_GROUP : 0;
        size_t from = skip * AK_HAMMING_GROUP, n;

        if (from >= ak_duplicates_size(y))
            break;
        n = d->kernel->near(ak_duplicates_code(d, object),
                            t->codes + (y->at + skip) * stride,
                            ak_hamming_groups(ak_duplicates_size(y) - from),
                            d->words, most + 1, near);
        d->compared += ak_duplicates_size(y) - from;
        d->work += ak_duplicates_size(y) - from;
        for (size_t j = 0; j < n; j++) {
            size_t place = from + near[j].position;
            enum ak_status status;

            if (place >= ak_duplicates_size(y) || (a == b && place <= i))
                continue;
            status = ak_duplicates_found(d, object, t->objects[y->from + place],
                                         near[j].distance, err);
            if (status != AK_OK)
                return status;
        }
    }
    return AK_OK;
}

/* How near and how far two objects of a visit can be. */
static void find_bounds(struct ak_duplicates *d, uint32_t a, uint32_t b,
                        uint32_t *least, uint32_t *most)
{
    const struct ak_duplicates_tree *t = &d->tree;
    uint32_t reach = (uint32_t)t->nodes[a].radius + t->nodes[b].radius;
    uint32_t apart = 0;

    if (a != b)
        apart = ak_duplicates_between(d, t->centres + a * d->words,
                                      t->centres + b * d->words);
    /* Objects without features are of different codes. */
    *least = apart > reach ? apart - reach : d->features == NULL;
    *most = apart + reach;
}

/* The pairs of a node, from its children: what is last is visited first, which is
   each of them alone, so that they are in as few clusters as can be; and those in
   front before those behind, whose pairs are less likely to be listed. */
static enum ak_status push_within(struct ak_duplicates *d,
                                  const struct ak_duplicates_node *node,
                                  struct ak_err *err)
{
    uint32_t first = node->children, end = first + node->n_children;
    enum ak_status status = AK_OK;

    open_node(d, node);
    for (uint32_t i = end; i-- > first;)
        for (uint32_t j = end; j-- > i + 1 && status == AK_OK;)
            status = push(&d->tree, i, j, err);
    for (uint32_t i = end; i-- > first && status == AK_OK;)
        status = push(&d->tree, i, i, err);
    return status;
}

/* The pairs of node `a` with each child of another one. */
static enum ak_status push_with(struct ak_duplicates *d, uint32_t a,
                                const struct ak_duplicates_node *node,
                                struct ak_err *err)
{
    enum ak_status status = AK_OK;

    open_node(d, node);
    for (uint32_t i = node->n_children; i-- > 0 && status == AK_OK;)
        status = push(&d->tree, a, node->children + i, err);
    return status;
}

static enum ak_status visit(struct ak_duplicates *d, uint32_t a, uint32_t b,
                            struct ak_err *err)
{
    struct ak_duplicates_tree *t = &d->tree;
    struct ak_duplicates_node *x = &t->nodes[a], *y = &t->nodes[b];
    uint32_t wanted = d->params.max_distance, reach, least, most;
    double area =
        a == b ? (double)ak_duplicates_size(x) *
                     (double)(ak_duplicates_size(x) - 1) / 2
               : (double)ak_duplicates_size(x) * (double)ak_duplicates_size(y);

    find_bounds(d, a, b, &least, &most);
    t->area += area;
    if (least > wanted ||
        (d->features != NULL && a != b && sketches_apart(d, a, b)))
        return AK_OK;
    if (d->features == NULL && most <= wanted) {
        if (t->dry)
            return AK_OK;
        unite_all(d, x, cluster_of(d, y->from));
        unite_all(d, y, cluster_of(d, x->from));
    }
    reach = ak_pairs_reach(&d->pairs);
    if (!t->dry && reach != UINT32_MAX && in_one_cluster(d, x, y)) {
        /* The first pair that there can be. */
        if (!ak_pairs_takes(&d->pairs, x->lowest,
                            a == b ? x->lowest + 1 : y->lowest, least))
            return AK_OK;
        if (reach < wanted)
            wanted = reach;
    }
    if (x->n_children == 0 && y->n_children == 0) {
        t->surviving += area;
        return t->dry ? AK_OK : compare_leaves(d, a, b, wanted, err);
    }
    t->area -= area;
    if (a == b)
        return push_within(d, x, err);
    if (x->n_children == 0 ||
        (y->n_children > 0 && ak_duplicates_size(y) > ak_duplicates_size(x)))
        return push_with(d, a, y, err);
    return push_with(d, b, x, err);
}

enum ak_status ak_duplicates_tree_step(struct ak_duplicates *d, bool *done,
                                       struct ak_err *err)
{
    struct ak_duplicates_tree *t = &d->tree;
    enum ak_status status = AK_OK;
    bool built = true;

    *done = false;
    if (t->split < t->n_nodes) {
        status = ak_duplicates_tree_build(d, &built, err);
        if (status == AK_OK && built)
            status = push(t, 0, 0, err);
    }
    if (status != AK_OK || !built)
        return status;
    while (status == AK_OK && t->n_visits > 0 &&
           d->work < AK_DUPLICATES_SLICE) {
        struct ak_duplicates_visit next = t->visits[--t->n_visits];

        status = visit(d, next.a, next.b, err);
    }
    *done = t->n_visits == 0;
    return status;
}
