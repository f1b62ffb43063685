/*
 * clusters.h -- what a search for duplicates gathers: who belongs together, and
 * the nearest pairs.
 *
 * Items are numbered 0, 1, 2 ...; a cluster is named by its lowest item.
 */
#ifndef AK_CORE_CODE_CLUSTERS_H
#define AK_CORE_CODE_CLUSTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Union-find: each item alone at first. */
struct ak_clusters {
    uint32_t *parent; /* (n) */
    size_t n;
};

/* False when memory is short; clear in any case. */
bool ak_clusters_init(struct ak_clusters *c, size_t n);
void ak_clusters_clear(struct ak_clusters *c);
/* The lowest item of the cluster of `item`. */
uint32_t ak_clusters_find(struct ak_clusters *c, uint32_t item);
void ak_clusters_unite(struct ak_clusters *c, uint32_t a, uint32_t b);

/* Two items, a < b. */
struct ak_pair {
    uint32_t a, b;
    uint32_t distance; /* of the codes */
    double feature;    /* what was found to verify it, or 0 */
};

/* The `cap` smallest pairs by (distance, a, b) of those that were pushed. */
struct ak_pairs {
    struct ak_pair *heap;
    size_t n, cap;
};

/* cap is 1 or more.  False when memory is short; clear in any case. */
bool ak_pairs_init(struct ak_pairs *p, size_t cap);
void ak_pairs_clear(struct ak_pairs *p);
/* Whether a pair would be among them; a != b, in any order. */
bool ak_pairs_takes(const struct ak_pairs *p, uint32_t a, uint32_t b,
                    uint32_t distance);
/* Of a pair that is taken, and that was not pushed before. */
void ak_pairs_push(struct ak_pairs *p, uint32_t a, uint32_t b,
                   uint32_t distance, double feature);
/* No pair at a larger distance is taken; UINT32_MAX: any is. */
uint32_t ak_pairs_reach(const struct ak_pairs *p);
/* Smallest first.  Nothing is pushed any more. */
void ak_pairs_sort(struct ak_pairs *p);

#endif
