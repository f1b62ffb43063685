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

#endif
