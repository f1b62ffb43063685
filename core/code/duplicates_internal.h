/*
 * duplicates_internal.h -- a search for duplicates from the inside; core/code/
 * and its tests only.
 *
 * duplicates.c makes *objects* of the items and puts them into groups, as
 * duplicates_plan.c found best; duplicates_tree.c makes a tree of a group, and
 * duplicates_join.c goes through its pairs.
 */
#ifndef AK_CORE_CODE_DUPLICATES_INTERNAL_H
#define AK_CORE_CODE_DUPLICATES_INTERNAL_H

#include "core/base/rng.h"
#include "core/code/duplicates.h"
#include "core/code/hamming.h"
#include "core/code/kmodes.h"

/* Objects that are compared with one another without more ado. */
#define AK_DUPLICATES_LEAF 32

/*
 * A node has the objects from..to of its group, all within `radius` of its
 * centre.  Its children, which follow one another, share them; a leaf has none,
 * and its codes lie together.
 */
struct ak_duplicates_node {
    uint32_t from, to;
    uint32_t children, n_children; /* 0: a leaf */
    uint32_t at;     /* of a leaf: its first group of eight codes */
    uint32_t lowest; /* item */
    uint16_t radius;
    bool united; /* known to be in one cluster */
};

/* Two nodes whose pairs are to be looked for; a == b: the pairs of one. */
struct ak_duplicates_visit {
    uint32_t a, b;
};

/* What one group needs; kept from one to the next. */
struct ak_duplicates_tree {
    uint32_t *objects; /* (n) of the group, lent; put in the order of leaves */
    size_t n;
    struct ak_duplicates_node *nodes;
    uint64_t *centres; /* (nodes, words) */
    float *low, *high; /* (nodes, n_sketch) */
    size_t n_nodes, cap_nodes;
    size_t split;           /* nodes before it have children, or are leaves */
    struct ak_kmodes modes; /* of the root, while it is split */
    size_t n_modes;         /* children of the root; 0: two */
    size_t assigned;        /* of its objects, to one of them */
    uint16_t *to_left, *to_right; /* (n) distances to the centres of a split */
    uint32_t *moved;              /* (n) */
    size_t cap;
    uint64_t *codes; /* of the leaves, in groups of eight */
    size_t cap_groups;
    struct ak_duplicates_visit *visits; /* a stack */
    size_t n_visits, cap_visits;
    double area; /* pairs of which it is known whether they are duplicates */
    double surviving; /* with `dry`: pairs that would be compared */
    bool dry;
};

/*
 * The bits of a code in `n_bands` bands, of which `n_agree` agree in each two
 * codes that are near; so that there is a grouping for each choice of these.
 */
#define AK_DUPLICATES_AGREE 3 /* at most */
struct ak_duplicates_plan {
    unsigned n_bands, n_agree; /* 0, 0: all objects are one group */
    size_t n_modes;            /* of the tree of all objects; 0: two halves */
    size_t n_groupings;
    unsigned agree[AK_DUPLICATES_AGREE]; /* bands of one of them, rising */
};

#define AK_DUPLICATES_MODES (AK_DUPLICATES_AGREE + 1) /* tests, see `forced` */

struct ak_duplicates {
    struct ak_duplicates_params params;
    const struct ak_duplicates_features *features; /* NULL: none */
    const struct ak_hamming_kernel *kernel;
    size_t words;
    struct ak_rng rng;

    /* Objects: the distinct codes or, with features, the items. */
    size_t n;
    uint32_t *first;   /* (n + 1); NULL: an object is the item of its number */
    uint32_t *members; /* items, rising within an object */

    struct ak_clusters clusters; /* of items */
    struct ak_pairs pairs;       /* limit + 1 of them */
    uint64_t compared, verified;
    uint64_t work; /* of this step, in distances */

    int phase;
    int forced; /* tests: n_agree of the plan, or many modes; -1: the cheapest */
    uint64_t *keys, *sorted; /* (items) hash << 32 | item or object */
    unsigned pass;           /* of the sort */
    struct ak_duplicates_plan plan;
    size_t grouping;  /* the one at work */
    uint32_t *group;  /* (n) objects, group after group */
    size_t at;        /* objects whose group is done */
    size_t group_end; /* of the one at work */
    struct ak_duplicates_tree tree;
};

/* The item by which an object is known, and its code. */
static inline uint32_t ak_duplicates_item(const struct ak_duplicates *d,
                                          uint32_t object)
{
    return d->first != NULL ? d->members[d->first[object]] : object;
}
static inline const uint64_t *ak_duplicates_code(const struct ak_duplicates *d,
                                                 uint32_t object)
{
    return d->params.codes + ak_duplicates_item(d, object) * d->words;
}

/* Two objects within max_distance: what comes of it. */
enum ak_status ak_duplicates_found(struct ak_duplicates *d, uint32_t u,
                                   uint32_t v, uint32_t distance,
                                   struct ak_err *err) AK_MUST_CHECK;

static inline size_t ak_duplicates_size(const struct ak_duplicates_node *node)
{
    return node->to - node->from;
}

/* The distance of two codes, which counts. */
static inline uint32_t ak_duplicates_between(struct ak_duplicates *d,
                                             const uint64_t *a,
                                             const uint64_t *b)
{
    uint32_t n = 0;

    d->compared++;
    d->work++;
    for (size_t w = 0; w < d->words; w++)
        n += (uint32_t)__builtin_popcountll(a[w] ^ b[w]);
    return n;
}

/* What makes up a slice, in distances. */
#define AK_DUPLICATES_SLICE UINT64_C(4000000)

/* duplicates_plan.c: the hash of the bits of a code that are in `mask`; what
   differs may have the same one. */
uint32_t ak_duplicates_hash(const uint64_t *code, const uint64_t *mask,
                            size_t words);
/* Where the run of equal hashes (the upper halves) that begins at `from` ends. */
size_t ak_duplicates_run_end(const uint64_t *keys, size_t n, size_t from);
/* Sets d->plan, with the first of its choices. */
enum ak_status ak_duplicates_choose_plan(struct ak_duplicates *d,
                                         struct ak_err *err) AK_MUST_CHECK;
/* False after the last. */
bool ak_duplicates_next_choice(struct ak_duplicates_plan *plan);
/* The bits that agree within a group; none if there is but one. */
void ak_duplicates_mask(const struct ak_duplicates *d,
                        const struct ak_duplicates_plan *plan, uint64_t *mask);
/* Whether a pair counts in the present grouping. */
bool ak_duplicates_counts_here(const struct ak_duplicates *d, const uint64_t *a,
                               const uint64_t *b);

/* duplicates_tree.c: begin a group. */
/* The root has `n_modes` children, found by k-modes; 0: two, as all others. */
enum ak_status ak_duplicates_tree_begin(struct ak_duplicates *d,
                                        uint32_t *objects, size_t n,
                                        size_t n_modes, bool dry,
                                        struct ak_err *err) AK_MUST_CHECK;
/* Build the tree of the group until *done, or until the slice is over. */
enum ak_status ak_duplicates_tree_build(struct ak_duplicates *d, bool *done,
                                        struct ak_err *err) AK_MUST_CHECK;
void ak_duplicates_tree_clear(struct ak_duplicates_tree *t);

/* duplicates_join.c: go on with the group, from the tree to its pairs. */
enum ak_status ak_duplicates_tree_step(struct ak_duplicates *d, bool *done,
                                       struct ak_err *err) AK_MUST_CHECK;

#endif
