/*
 * duplicates_internal.h -- a search for duplicates from the inside; core/code/
 * and its tests only.
 *
 * duplicates.c makes *objects* of the items and puts them into groups in which
 * all pairs are looked for; duplicates_tree.c looks for them in one group.
 */
#ifndef AK_CORE_CODE_DUPLICATES_INTERNAL_H
#define AK_CORE_CODE_DUPLICATES_INTERNAL_H

#include "core/base/rng.h"
#include "core/code/duplicates.h"
#include "core/code/hamming.h"

/* Objects that are compared with one another without more ado. */
#define AK_DUPLICATES_LEAF 32

/*
 * A node has the objects from..to of its group, all within `radius` of its
 * centre.  Its children share them; a leaf has none, and its codes lie together.
 */
struct ak_duplicates_node {
    uint32_t from, to;
    uint32_t left, right; /* 0, 0: a leaf */
    uint32_t at;          /* of a leaf: its first group of eight codes */
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
    size_t split; /* nodes before it have children, or are leaves */
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
    size_t n_groupings;
    unsigned agree[AK_DUPLICATES_AGREE]; /* bands of one of them, rising */
};

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
    int forced; /* tests: n_agree of the plan, if there is one; -1: cheapest */
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

/* duplicates_tree.c: begin a group; then go on until *done. */
enum ak_status ak_duplicates_tree_begin(struct ak_duplicates *d,
                                        uint32_t *objects, size_t n, bool dry,
                                        struct ak_err *err) AK_MUST_CHECK;
enum ak_status ak_duplicates_tree_step(struct ak_duplicates *d, bool *done,
                                       struct ak_err *err) AK_MUST_CHECK;
void ak_duplicates_tree_clear(struct ak_duplicates_tree *t);

#endif
