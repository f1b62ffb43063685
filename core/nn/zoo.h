/*
 * zoo.h -- the known architectures, as data: rows of a table that give texts.
 */
#ifndef AK_CORE_NN_ZOO_H
#define AK_CORE_NN_ZOO_H

#include "core/nn/graph.h"

struct ak_arch {
    const char *name;   /* "resnet20" */
    const char *source; /* the paper */
    const char *help;   /* one line */
};

/* The i-th architecture, NULL after the last. */
const struct ak_arch *ak_arch_get(size_t i);
const struct ak_arch *ak_arch_find(const char *name);

/*
 * The graph of an architecture with `classes` outputs (0: as many as the
 * architecture has by itself).  AK_ENOTFOUND: no such name; AK_ENOMEM;
 * AK_EINVAL for too many classes.
 */
enum ak_status ak_arch_graph(const char *name, uint32_t classes,
                             struct ak_graph **out,
                             struct ak_err *err) AK_MUST_CHECK;

/* Layers of a hash head; no other name may begin with the prefix. */
#define AK_HASH_PREFIX  "hash"
#define AK_HASH_LAYER   "hash"         /* linear, on the feature */
#define AK_HASH_CODE    "hash_tanh"    /* its tanh: codes of -1 to 1 */
#define AK_HASH_CLASSES "hash_classes" /* linear, the output */

/*
 * A graph that makes codes: what the feature of `backbone` needs, with the same
 * feature, and the three layers above.  What else stood behind the feature is
 * left out, a hash head among it.  AK_EINVAL: a layer before the feature has
 * such a name, or a number that a graph cannot have.
 */
enum ak_status ak_arch_hash_head(const struct ak_graph *backbone, uint32_t bits,
                                 uint32_t classes, struct ak_graph **out,
                                 struct ak_err *err) AK_MUST_CHECK;

#endif
