/*
 * A group of codes as a tree of balls.
 *
 * A node is split by two far codes of a sample: each becomes the majority of the
 * sampled codes that are nearer to it, as a round of k-modes would make it, and
 * every code goes to the nearer one.
 *
 * Halves cut clusters in two that lie between their centres, again and again, so
 * that leaves hold pieces of several, which are far apart.  Therefore the root may
 * have many children at once, around centres that k-modes finds, of which each
 * cluster gets one of its own.  That costs each code a distance to all of them.
 *
 * With features, a node that reaches further in its sketches than in its codes is
 * split by the number of the sketches that is spread most.
 */
#include "core/code/duplicates_internal.h"

#include <string.h>

#include "core/base/mem.h"

#define SAMPLE 128 /* codes of a node that its split is found from */
#define CHUNK  512 /* codes that are measured in one call */

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
    /* Whole groups are written. */
    t->to_left = ak_array_new(n + AK_HAMMING_GROUP, sizeof(*t->to_left));
    t->to_right = ak_array_new(n + AK_HAMMING_GROUP, sizeof(*t->to_right));
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
    ak_kmodes_clear(&t->modes);
    *t = (struct ak_duplicates_tree){0};
}

/* ----------------------------------------------------------------- distances */

/* The codes of objects (n) in groups. */
static void put_codes(const struct ak_duplicates *d, const uint32_t *objects,
                      size_t n, uint64_t *codes)
{
    size_t last = (ak_hamming_groups(n) - 1) * AK_HAMMING_GROUP * d->words;

    /* The padding is read, though what comes of it is not. */
    memset(codes + last, 0, AK_HAMMING_GROUP * d->words * sizeof(*codes));
    for (size_t i = 0; i < n; i++)
        ak_hamming_put(codes, i, d->words, ak_duplicates_code(d, objects[i]));
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

        put_codes(d, objects + at, m, codes);
        d->kernel->distances(left, codes, groups, d->words, out);
        memcpy(to_left + at, out, m * sizeof(*out));
        d->kernel->distances(right, codes, groups, d->words, out);
        memcpy(to_right + at, out, m * sizeof(*out));
    }
}

/* --------------------------------------------------------------------- nodes */

static const float *sketch_of(const struct ak_duplicates *d, uint32_t object)
{
    return d->features->sketch +
           ak_duplicates_item(d, object) * d->features->n_sketch;
}

static void add_node(struct ak_duplicates *d, size_t from, size_t to,
                     const uint64_t *centre, uint16_t radius)
{
    struct ak_duplicates_tree *t = &d->tree;
    size_t at = t->n_nodes++, k = d->features ? d->features->n_sketch : 0;
    float *low = t->low + at * k, *high = t->high + at * k;

    t->nodes[at] = (struct ak_duplicates_node){.from = (uint32_t)from,
                                               .to = (uint32_t)to,
                                               .lowest = UINT32_MAX,
                                               .radius = radius};
    for (size_t i = from; i < to; i++) {
        uint32_t item = ak_duplicates_item(d, t->objects[i]);

        if (item < t->nodes[at].lowest)
            t->nodes[at].lowest = item;
    }
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
}

/* The farthest of the sample from `from`. */
static const uint64_t *farthest(struct ak_duplicates *d, const uint32_t *sample,
                                size_t n, const uint64_t *from)
{
    const uint64_t *best = from;
    uint32_t most = 0;

    for (size_t i = 0; i < n; i++) {
        const uint64_t *code = ak_duplicates_code(d, sample[i]);
        uint32_t distance = ak_duplicates_between(d, from, code);

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
    size_t n = ak_duplicates_size(node) < SAMPLE ? ak_duplicates_size(node)
                                                 : SAMPLE,
           members[2] = {0};
    const uint64_t *a, *b;

    memset(ones, 0, sizeof(ones));
    for (size_t i = 0; i < n; i++)
        sample[i] = objects[(uint64_t)ak_duplicates_size(node) * i / n];
    a = ak_duplicates_code(d, sample[ak_rng_below(&d->rng, n)]);
    b = farthest(d, sample, n, a);
    a = farthest(d, sample, n, b);
    for (size_t i = 0; i < n; i++) {
        const uint64_t *code = ak_duplicates_code(d, sample[i]);
        size_t side = ak_duplicates_between(d, code, b) <
                      ak_duplicates_between(d, code, a);

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
    size_t n = ak_duplicates_size(node), share, i = 0, n_left = 0, n_right = 0,
           ties;
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

/* The number of the sketches that is spread most in a node. */
static size_t widest(const struct ak_duplicates *d, size_t index,
                     double *spread)
{
    const struct ak_duplicates_tree *t = &d->tree;
    size_t k = d->features->n_sketch, best = 0;
    const float *low = t->low + index * k, *high = t->high + index * k;

    for (size_t j = 1; j < k; j++)
        if (high[j] - low[j] > high[best] - low[best])
            best = j;
    *spread = (double)high[best] - (double)low[best];
    return best;
}

/* Whether a node reaches further in its sketches than in its codes, each beside
   what is near. */
static bool wider_by_sketch(const struct ak_duplicates *d, size_t index)
{
    double in_codes = 2.0 * d->tree.nodes[index].radius;
    double spread;

    if (d->features == NULL)
        return false;
    widest(d, index, &spread);
    return spread * (d->params.max_distance + .5) >=
           in_codes * (double)d->features->reach;
}

/* By that number, in the middle. */
static size_t split_by_sketch(struct ak_duplicates *d, size_t index)
{
    struct ak_duplicates_tree *t = &d->tree;
    const struct ak_duplicates_node *node = &t->nodes[index];
    uint32_t *objects = t->objects + node->from;
    size_t n = ak_duplicates_size(node), n_left = 0, n_right = 0;
    double spread;
    size_t best = widest(d, index, &spread);
    double middle =
        (double)t->low[index * d->features->n_sketch + best] + spread / 2;

    for (size_t i = 0; i < n; i++)
        if ((double)sketch_of(d, objects[i])[best] <= middle)
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

    if (ak_duplicates_size(&node) <= AK_DUPLICATES_LEAF)
        return;
    if (wider_by_sketch(d, index)) {
        middle = split_by_sketch(d, index);
        memcpy(left, t->centres + index * d->words, d->words * sizeof(*left));
        memcpy(right, left, d->words * sizeof(*right));
    } else {
        middle = split_by_codes(d, &node, left, right, radius);
    }
    t->nodes[index].children = (uint32_t)t->n_nodes;
    t->nodes[index].n_children = 2;
    add_node(d, node.from, middle, left, radius[0]);
    add_node(d, middle, node.to, right, radius[1]);
}

/* ----------------------------------------------------- many children at once */

/* Codes of the sample for each centre, and rounds. */
#define PER_MODE 16
#define ROUNDS   3

static bool begin_modes(struct ak_duplicates *d)
{
    struct ak_duplicates_tree *t = &d->tree;
    size_t n = t->n < PER_MODE * t->n_modes ? t->n : PER_MODE * t->n_modes;

    if (!ak_kmodes_init(&t->modes, d->params.bits, n, t->n_modes,
                        ak_rng_u64(&d->rng)))
        return false;
    for (size_t i = 0; i < n; i++)
        ak_hamming_put(
            t->modes.codes, i, d->words,
            ak_duplicates_code(d, t->objects[(uint64_t)t->n * i / n]));
    return true;
}

static void count_distances(struct ak_duplicates *d, uint64_t n)
{
    d->compared += n;
    d->work += n;
}

/* The nearest centre of the next objects: which to `to_left`, how far to
   `to_right`. */
static void assign_some(struct ak_duplicates *d)
{
    _Alignas(64) uint64_t codes[CHUNK * AK_CODE_MAX_WORDS];
    struct ak_duplicates_tree *t = &d->tree;
    size_t n = t->n - t->assigned < CHUNK ? t->n - t->assigned : CHUNK;

    put_codes(d, t->objects + t->assigned, n, codes);
    ak_nearest_centres(t->modes.centres, t->n_modes, codes,
                       ak_hamming_groups(n), d->words, t->to_left + t->assigned,
                       t->to_right + t->assigned);
    count_distances(d, n * t->n_modes);
    t->assigned += n;
}

/* The objects in the order of their centres, which become nodes. */
static bool add_modes(struct ak_duplicates *d)
{
    struct ak_duplicates_tree *t = &d->tree;
    uint32_t *next = ak_array_new(t->n_modes + 1, sizeof(*next));
    uint16_t *radius = ak_array_new(t->n_modes, sizeof(*radius));
    uint64_t centre[AK_CODE_MAX_WORDS];

    for (size_t i = 0; i < t->n && next != NULL && radius != NULL; i++) {
        uint16_t mode = t->to_left[i];

        next[mode + 1]++;
        radius[mode] = larger(radius[mode], t->to_right[i]);
    }
    for (size_t i = 0; i < t->n_modes && next != NULL; i++)
        next[i + 1] += next[i];
    for (size_t i = 0; i < t->n && next != NULL; i++)
        t->moved[next[t->to_left[i]]++] = t->objects[i];
    memcpy(t->objects, t->moved, t->n * sizeof(*t->objects));
    t->nodes[0].children = (uint32_t)t->n_nodes;
    for (size_t i = 0; i < t->n_modes && next != NULL && radius != NULL; i++) {
        /* Where the next one begins has become where this one does. */
        size_t from = i > 0 ? next[i - 1] : 0;

        if (from == next[i])
            continue;
        ak_hamming_get(t->modes.centres, i, d->words, centre);
        add_node(d, from, next[i], centre, radius[i]);
        t->nodes[0].n_children++;
    }
    d->work += t->n;
    ak_array_free(next);
    ak_array_free(radius);
    return next != NULL && radius != NULL;
}

/* A piece of it; *done when the root has its children. */
static bool split_by_modes(struct ak_duplicates *d, bool *done)
{
    struct ak_duplicates_tree *t = &d->tree;
    bool right = true;

    *done = false;
    if (t->modes.codes == NULL)
        return begin_modes(d);
    if (t->modes.round < ROUNDS) {
        ak_kmodes_step(&t->modes);
        count_distances(d, t->modes.n * t->n_modes);
    } else if (t->assigned < t->n) {
        assign_some(d);
    } else {
        right = add_modes(d);
        ak_kmodes_clear(&t->modes);
        *done = true;
    }
    return right;
}

/* The codes of each leaf together. */
static bool pack(struct ak_duplicates *d)
{
    struct ak_duplicates_tree *t = &d->tree;
    size_t groups = 0, group_words = AK_HAMMING_GROUP * d->words;

    for (size_t i = 0; i < t->n_nodes; i++) {
        t->nodes[i].at = (uint32_t)groups;
        if (t->nodes[i].n_children == 0)
            groups += ak_hamming_groups(ak_duplicates_size(&t->nodes[i]));
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

        for (size_t j = 0;
             node->n_children == 0 && j < ak_duplicates_size(node); j++)
            ak_hamming_put(t->codes + node->at * group_words, j, d->words,
                           ak_duplicates_code(d, t->objects[node->from + j]));
    }
    d->work += t->n;
    return true;
}

/* ----------------------------------------------------------------- the group */

enum ak_status ak_duplicates_tree_begin(struct ak_duplicates *d,
                                        uint32_t *objects, size_t n,
                                        size_t n_modes, bool dry,
                                        struct ak_err *err)
{
    struct ak_duplicates_tree *t = &d->tree;

    /* A leaf has at least 4 objects, but for children of the root. */
    if (!grow_nodes(d, n / 2 + 2 + n_modes) || !grow_objects(t, n))
        return ak_fail(err, AK_ENOMEM, "no memory to compare %zu codes", n);
    t->objects = objects;
    t->n = n;
    t->n_nodes = t->split = t->n_visits = 0;
    t->area = t->surviving = 0;
    t->dry = dry;
    t->n_modes = n_modes;
    t->assigned = 0;
    /* Its bounds are never asked for but to split it: what is not known yet is
       as wide as can be. */
    add_node(d, 0, n, NULL, (uint16_t)d->params.bits);
    return AK_OK;
}

enum ak_status ak_duplicates_tree_build(struct ak_duplicates *d, bool *done,
                                        struct ak_err *err)
{
    struct ak_duplicates_tree *t = &d->tree;

    while (t->split < t->n_nodes && d->work < AK_DUPLICATES_SLICE) {
        bool is_split = true;

        if (t->split == 0 && t->n_modes > 0) {
            if (!split_by_modes(d, &is_split))
                return ak_fail(err, AK_ENOMEM, "no memory for %zu centres",
                               t->n_modes);
        } else {
            split(d, t->split);
        }
        t->split += is_split;
        if (t->split == t->n_nodes && !pack(d))
            return ak_fail(err, AK_ENOMEM, "no memory for %zu codes", t->n);
    }
    *done = t->split == t->n_nodes;
    return AK_OK;
}
