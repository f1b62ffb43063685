/*
 * All pairs of a group of codes that are within a distance, by a tree of balls.
 *
 * A node is split by two far codes of a sample: each becomes the majority of the
 * sampled codes that are nearer to it, as a round of k-modes would make it, and
 * every code goes to the nearer one.  Two nodes with centres c apart and radii r
 * and s are then looked at together, and fall into smaller ones only if they
 * must:
 *
 *     c - r - s > max_distance    no pair of them is near: nothing to do
 *     c + r + s <= max_distance   all are: they are united as a whole
 *
 * and where two nodes are in one cluster already, their pairs matter only while
 * they can be among the nearest that are listed.  So codes that are all near, or
 * all the same, cost about as much as their number.
 *
 * With features a pair must be verified, and no whole is united.  Nodes whose
 * codes cannot be told apart any more are then split by the sketches, whose
 * bounds exclude pairs in the same way.
 *
 * The join of two trees is that of Gray and Moore, "N-Body Problems in
 * Statistical Learning", NIPS 2000; to go on only while two trees are not yet
 * connected is that of March, Ram and Gray, "Fast Euclidean Minimum Spanning
 * Tree", KDD 2010.
 */
#include "core/code/duplicates_internal.h"

#include <string.h>

#include "core/base/mem.h"

#define SAMPLE 128 /* codes of a node that its split is found from */
#define SLICE  UINT64_C(4000000) /* distances in a step */
#define CHUNK  512               /* codes that are measured in one call */

/* No side of a split has less than one in so many. */
#define MIN_SHARE 8

/* ------------------------------------------------------------------- memory */

static bool grow_nodes(struct ak_duplicates *d, size_t n)
{
    struct ak_duplicates_tree *t = &d->tree;
    size_t sketch = d->features != NULL ? d->features->n_sketch : 0;

    if (n <= t->cap_nodes)
        return true;
    ak_array_free(t->nodes);
    ak_array_free(t->centres);
    ak_array_free(t->low);
    ak_array_free(t->high);
    t->nodes = ak_array_new(n, sizeof(*t->nodes));
    t->centres = ak_array_new(n, d->words * sizeof(*t->centres));
    t->low = ak_array_new(n * sketch, sizeof(*t->low));
    t->high = ak_array_new(n * sketch, sizeof(*t->high));
    t->cap_nodes = n;
    return t->nodes != NULL && t->centres != NULL && t->low != NULL &&
           t->high != NULL;
}

static bool grow_objects(struct ak_duplicates_tree *t, size_t n)
{
    if (n <= t->cap)
        return true;
    ak_array_free(t->to_left);
    ak_array_free(t->to_right);
    ak_array_free(t->moved);
    t->to_left = ak_array_new(n, sizeof(*t->to_left));
    t->to_right = ak_array_new(n, sizeof(*t->to_right));
    t->moved = ak_array_new(n, sizeof(*t->moved));
    t->cap = n;
    return t->to_left != NULL && t->to_right != NULL && t->moved != NULL;
}

void ak_duplicates_tree_clear(struct ak_duplicates_tree *t)
{
    ak_array_free(t->nodes);
    ak_array_free(t->centres);
    ak_array_free(t->low);
    ak_array_free(t->high);
    ak_array_free(t->to_left);
    ak_array_free(t->to_right);
    ak_array_free(t->moved);
    ak_array_free(t->codes);
    ak_array_free(t->visits);
    *t = (struct ak_duplicates_tree){0};
}

/* ----------------------------------------------------------------- distances */

static uint32_t between(struct ak_duplicates *d, const uint64_t *a,
                        const uint64_t *b)
{
    uint32_t n = 0;

    d->compared++;
    d->work++;
    for (size_t w = 0; w < d->words; w++)
        n += (uint32_t)__builtin_popcountll(a[w] ^ b[w]);
    return n;
}

/* Of the objects (n) from each of two centres. */
static void measure(struct ak_duplicates *d, const uint32_t *objects, size_t n,
                    const uint64_t *left, const uint64_t *right,
                    uint16_t *to_left, uint16_t *to_right)
{
    _Alignas(64) uint64_t codes[CHUNK * AK_CODE_MAX_WORDS];
    uint16_t out[CHUNK];

    d->compared += 2 * n;
    d->work += 2 * n;
    for (size_t at = 0; at < n; at += CHUNK) {
        size_t m = n - at < CHUNK ? n - at : CHUNK;
        size_t groups = ak_hamming_groups(m);

        /* The padding is read, though what comes of it is not. */
        memset(codes + (groups - 1) * AK_HAMMING_GROUP * d->words, 0,
               AK_HAMMING_GROUP * d->words * sizeof(*codes));
        for (size_t i = 0; i < m; i++)
            ak_hamming_put(codes, i, d->words,
                           ak_duplicates_code(d, objects[at + i]));
        d->kernel->distances(left, codes, groups, d->words, out);
        memcpy(to_left + at, out, m * sizeof(*out));
        d->kernel->distances(right, codes, groups, d->words, out);
        memcpy(to_right + at, out, m * sizeof(*out));
    }
}

/* --------------------------------------------------------------------- nodes */

static size_t size_of(const struct ak_duplicates_node *node)
{
    return node->to - node->from;
}

static const float *sketch_of(const struct ak_duplicates *d, uint32_t object)
{
    return d->features->sketch +
           ak_duplicates_item(d, object) * d->features->n_sketch;
}

static uint32_t add_node(struct ak_duplicates *d, size_t from, size_t to,
                         const uint64_t *centre, uint16_t radius)
{
    struct ak_duplicates_tree *t = &d->tree;
    size_t at = t->n_nodes++, k = d->features ? d->features->n_sketch : 0;
    float *low = t->low + at * k, *high = t->high + at * k;

    t->nodes[at] = (struct ak_duplicates_node){
        .from = (uint32_t)from, .to = (uint32_t)to, .radius = radius};
    if (centre != NULL)
        memcpy(t->centres + at * d->words, centre, d->words * sizeof(*centre));
    for (size_t i = from; k > 0 && i < to; i++) {
        const float *sketch = sketch_of(d, t->objects[i]);

        for (size_t j = 0; j < k; j++) {
            low[j] = i == from || sketch[j] < low[j] ? sketch[j] : low[j];
            high[j] = i == from || sketch[j] > high[j] ? sketch[j] : high[j];
        }
    }
    d->work += k > 0 ? to - from : 0;
    return (uint32_t)at;
}

/* The farthest of the sample from `from`. */
static const uint64_t *farthest(struct ak_duplicates *d, const uint32_t *sample,
                                size_t n, const uint64_t *from)
{
    const uint64_t *best = from;
    uint32_t most = 0;

    for (size_t i = 0; i < n; i++) {
        const uint64_t *code = ak_duplicates_code(d, sample[i]);
        uint32_t distance = between(d, from, code);

        if (distance > most) {
            most = distance;
            best = code;
        }
    }
    return best;
}

/* The bits that more than half of `n` codes have, from counts of ones. */
static void majority(const uint16_t *ones, size_t n, size_t words,
                     uint64_t *out)
{
    for (size_t w = 0; w < words; w++) {
        out[w] = 0;
        for (size_t j = 0; j < 64; j++)
            out[w] |= (uint64_t)(2 * ones[64 * w + j] > n) << j;
    }
}

/* Centres of two halves of a node's sample. */
static void find_centres(struct ak_duplicates *d,
                         const struct ak_duplicates_node *node, uint64_t *left,
                         uint64_t *right)
{
    const uint32_t *objects = d->tree.objects + node->from;
    uint16_t ones[2][AK_CODE_MAX_BITS];
    uint32_t sample[SAMPLE];
    size_t n = size_of(node) < SAMPLE ? size_of(node) : SAMPLE,
           members[2] = {0};
    const uint64_t *a, *b;

    memset(ones, 0, sizeof(ones));
    for (size_t i = 0; i < n; i++)
        sample[i] = objects[(uint64_t)size_of(node) * i / n];
    a = ak_duplicates_code(d, sample[ak_rng_below(&d->rng, n)]);
    b = farthest(d, sample, n, a);
    a = farthest(d, sample, n, b);
    for (size_t i = 0; i < n; i++) {
        const uint64_t *code = ak_duplicates_code(d, sample[i]);
        size_t side = between(d, code, b) < between(d, code, a);

        members[side]++;
        for (size_t w = 0; w < d->words; w++)
            for (uint64_t bits = code[w]; bits != 0; bits &= bits - 1)
                ones[side][64 * w + (size_t)__builtin_ctzll(bits)]++;
    }
    majority(ones[0], members[0], d->words, left);
    majority(ones[1], members[1], d->words, right);
}

/* How many go to the left: those that are nearer to it, if that is a fair share;
   else half.  *key: of the last that does. */
static size_t find_share(const struct ak_duplicates_tree *t, size_t n,
                         uint32_t bits, int *key)
{
    uint32_t counts[2 * AK_CODE_MAX_BITS + 1] = {0};
    size_t nearer = 0, wanted, below = 0;
    int at = -(int)bits;

    for (size_t i = 0; i < n; i++) {
        int k = (int)t->to_left[i] - (int)t->to_right[i];

        counts[k + (int)bits]++;
        nearer += k < 0;
    }
    wanted =
        nearer >= n / MIN_SHARE && n - nearer >= n / MIN_SHARE ? nearer : n / 2;
    while (below + counts[at + (int)bits] < wanted)
        below += counts[at++ + (int)bits];
    *key = at;
    return wanted;
}

static uint16_t larger(uint16_t a, uint16_t b)
{
    return a > b ? a : b;
}

/* By two centres; returns where the right child begins. */
static size_t split_by_codes(struct ak_duplicates *d,
                             const struct ak_duplicates_node *node,
                             uint64_t *left, uint64_t *right,
                             uint16_t radius[2])
{
    struct ak_duplicates_tree *t = &d->tree;
    uint32_t *objects = t->objects + node->from;
    size_t n = size_of(node), share, i = 0, n_left = 0, n_right = 0, ties;
    int key;

    find_centres(d, node, left, right);
    measure(d, objects, n, left, right, t->to_left, t->to_right);
    share = find_share(t, n, d->params.bits, &key);
    ties = share;
    for (i = 0; i < n; i++)
        ties -= (int)t->to_left[i] - (int)t->to_right[i] < key;
    radius[0] = radius[1] = 0;
    for (i = 0; i < n; i++) {
        int k = (int)t->to_left[i] - (int)t->to_right[i];

        if (k < key || (k == key && ties > 0)) {
            ties -= k == key;
            radius[0] = larger(radius[0], t->to_left[i]);
            objects[n_left++] = objects[i];
        } else {
            radius[1] = larger(radius[1], t->to_right[i]);
            t->moved[n_right++] = objects[i];
        }
    }
    memcpy(objects + n_left, t->moved, n_right * sizeof(*objects));
    return node->from + n_left;
}

/* By the number of the sketches that is spread most. */
static size_t split_by_sketch(struct ak_duplicates *d, size_t index)
{
    struct ak_duplicates_tree *t = &d->tree;
    const struct ak_duplicates_node *node = &t->nodes[index];
    uint32_t *objects = t->objects + node->from;
    size_t k = d->features->n_sketch, best = 0, n = size_of(node);
    const float *low = t->low + index * k, *high = t->high + index * k;
    size_t n_left = 0, n_right = 0;
    float middle;

    for (size_t j = 1; j < k; j++)
        if (high[j] - low[j] > high[best] - low[best])
            best = j;
    middle = low[best] + (high[best] - low[best]) / 2;
    for (size_t i = 0; i < n; i++)
        if (sketch_of(d, objects[i])[best] <= middle)
            objects[n_left++] = objects[i];
        else
            t->moved[n_right++] = objects[i];
    memcpy(objects + n_left, t->moved, n_right * sizeof(*objects));
    d->work += n;
    /* Far ones that are few are cut off; what is the same is cut anywhere. */
    if (n_left < n / MIN_SHARE || n_right < n / MIN_SHARE)
        n_left = n / 2;
    return node->from + n_left;
}

static void split(struct ak_duplicates *d, size_t index)
{
    struct ak_duplicates_tree *t = &d->tree;
    struct ak_duplicates_node node = t->nodes[index];
    uint64_t left[AK_CODE_MAX_WORDS], right[AK_CODE_MAX_WORDS];
    uint16_t radius[2] = {node.radius, node.radius};
    size_t middle;

    if (size_of(&node) <= AK_DUPLICATES_LEAF)
        return;
    if (d->features != NULL && 2u * node.radius <= d->params.max_distance) {
        middle = split_by_sketch(d, index);
        memcpy(left, t->centres + index * d->words, d->words * sizeof(*left));
        memcpy(right, left, d->words * sizeof(*right));
    } else {
        middle = split_by_codes(d, &node, left, right, radius);
    }
    t->nodes[index].left = add_node(d, node.from, middle, left, radius[0]);
    t->nodes[index].right = add_node(d, middle, node.to, right, radius[1]);
}

/* The codes of each leaf together. */
static bool pack(struct ak_duplicates *d)
{
    struct ak_duplicates_tree *t = &d->tree;
    size_t groups = 0, group_words = AK_HAMMING_GROUP * d->words;

    for (size_t i = 0; i < t->n_nodes; i++) {
        t->nodes[i].at = (uint32_t)groups;
        if (t->nodes[i].left == 0)
            groups += ak_hamming_groups(size_of(&t->nodes[i]));
    }
    if (groups > t->cap_groups) {
        ak_array_free(t->codes);
        t->codes = ak_array_new(groups * group_words, sizeof(*t->codes));
        t->cap_groups = groups;
        if (t->codes == NULL)
            return false;
    }
    for (size_t i = 0; i < t->n_nodes; i++) {
        const struct ak_duplicates_node *node = &t->nodes[i];

        for (size_t j = 0; node->left == 0 && j < size_of(node); j++)
            ak_hamming_put(t->codes + node->at * group_words, j, d->words,
                           ak_duplicates_code(d, t->objects[node->from + j]));
    }
    d->work += t->n;
    return true;
}

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
    if (node->left != 0) {
        node->united = nodes[node->left].united && nodes[node->right].united &&
                       cluster_of(d, node->from) == cluster_of(d, node->to - 1);
        return node->united;
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
    struct ak_duplicates_node *nodes = d->tree.nodes;

    if (node->united)
        nodes[node->left].united = nodes[node->right].united = true;
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

    for (size_t i = 0; i < size_of(x); i++) {
        uint32_t object = t->objects[x->from + i];
        size_t skip = a == b ? (i + 1) / AK_HAMMING_GROUP : 0;
        size_t from = skip * AK_HAMMING_GROUP, n;

        if (from >= size_of(y))
            break;
        n = d->kernel->near(
            ak_duplicates_code(d, object), t->codes + (y->at + skip) * stride,
            ak_hamming_groups(size_of(y) - from), d->words, most + 1, near);
        d->compared += size_of(y) - from;
        d->work += size_of(y) - from;
        for (size_t j = 0; j < n; j++) {
            size_t place = from + near[j].position;
            enum ak_status status;

            if (place >= size_of(y) || (a == b && place <= i))
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
        apart =
            between(d, t->centres + a * d->words, t->centres + b * d->words);
    /* Objects without features are of different codes. */
    *least = apart > reach ? apart - reach : d->features == NULL;
    *most = apart + reach;
}

static enum ak_status visit(struct ak_duplicates *d, uint32_t a, uint32_t b,
                            struct ak_err *err)
{
    struct ak_duplicates_tree *t = &d->tree;
    struct ak_duplicates_node *x = &t->nodes[a], *y = &t->nodes[b];
    uint32_t wanted = d->params.max_distance, reach, least, most;
    double area = a == b ? (double)size_of(x) * (double)(size_of(x) - 1) / 2
                         : (double)size_of(x) * (double)size_of(y);
    enum ak_status status = AK_OK;

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
    if (!t->dry && reach < wanted && in_one_cluster(d, x, y)) {
        if (least > reach)
            return AK_OK;
        wanted = reach;
    }
    if (x->left == 0 && y->left == 0) {
        t->surviving += area;
        return t->dry ? AK_OK : compare_leaves(d, a, b, wanted, err);
    }
    t->area -= area;
    if (a == b) {
        /* The halves first, which then are in as few clusters as can be. */
        open_node(d, x);
        status = push(t, x->left, x->right, err);
        if (status == AK_OK)
            status = push(t, x->right, x->right, err);
        return status == AK_OK ? push(t, x->left, x->left, err) : status;
    }
    if (x->left == 0 || (y->left != 0 && size_of(y) > size_of(x))) {
        open_node(d, y);
        status = push(t, a, y->right, err);
        return status == AK_OK ? push(t, a, y->left, err) : status;
    }
    open_node(d, x);
    status = push(t, x->right, b, err);
    return status == AK_OK ? push(t, x->left, b, err) : status;
}

/* ----------------------------------------------------------------- the group */

enum ak_status ak_duplicates_tree_begin(struct ak_duplicates *d,
                                        uint32_t *objects, size_t n, bool dry,
                                        struct ak_err *err)
{
    struct ak_duplicates_tree *t = &d->tree;

    /* A leaf has at least 4 objects, unless it is the only node. */
    if (!grow_nodes(d, n / 2 + 2) || !grow_objects(t, n))
        return ak_fail(err, AK_ENOMEM, "no memory to compare %zu codes", n);
    t->objects = objects;
    t->n = n;
    t->n_nodes = t->split = t->n_visits = 0;
    t->area = t->surviving = 0;
    t->dry = dry;
    /* Its bounds are never asked for but to split it: what is not known yet is
       as wide as can be. */
    add_node(d, 0, n, NULL, (uint16_t)d->params.bits);
    return AK_OK;
}

enum ak_status ak_duplicates_tree_step(struct ak_duplicates *d, bool *done,
                                       struct ak_err *err)
{
    struct ak_duplicates_tree *t = &d->tree;
    enum ak_status status = AK_OK;

    *done = false;
    while (t->split < t->n_nodes) {
        split(d, t->split++);
        if (d->work >= SLICE)
            return AK_OK;
        if (t->split < t->n_nodes)
            continue;
        if (!pack(d))
            return ak_fail(err, AK_ENOMEM, "no memory for %zu codes", t->n);
        status = push(t, 0, 0, err);
        if (status != AK_OK)
            return status;
    }
    while (status == AK_OK && t->n_visits > 0 && d->work < SLICE) {
        struct ak_duplicates_visit next = t->visits[--t->n_visits];

        status = visit(d, next.a, next.b, err);
    }
    *done = t->n_visits == 0;
    return status;
}
