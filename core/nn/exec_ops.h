/*
 * exec_ops.h -- what an engine supplies; for core/nn and its tests only.
 *
 * To add one: a file with a `struct ak_engine`, and its row in exec.c, which
 * checks sizes and layers, so that an engine trusts them.
 */
#ifndef AK_CORE_NN_EXEC_OPS_H
#define AK_CORE_NN_EXEC_OPS_H

#include "core/nn/exec.h"

struct ak_engine;

/* The first member of every engine's own struct. */
struct ak_exec {
    const struct ak_engine *engine;
    const struct ak_graph *g;
    struct ak_exec_params params; /* keep is NULL; see `kept` */
    bool *kept;                   /* (n_layers) that may be asked for */
    bool loaded;
    uint32_t n; /* images of the last forward, 0: none */
};

struct ak_engine {
    const char *name;
    size_t size; /* of its struct, which arrives zeroed but for the above */
    bool (*can)(enum ak_exec_type type);
    enum ak_status (*create)(struct ak_exec *e, struct ak_err *err);
    void (*clear)(struct ak_exec *e); /* also after a create() that failed */
    enum ak_status (*load)(struct ak_exec *e, const ak_real *values,
                           struct ak_err *err);
    enum ak_status (*forward)(struct ak_exec *e, const ak_real *x, uint32_t n,
                              uint64_t seed, struct ak_err *err);
    enum ak_status (*output)(struct ak_exec *e, uint32_t layer, ak_real *out,
                             struct ak_err *err);
    /* Mean and variance (c) of the last batch at a batch normalisation, the
       variance divided by the number of values. */
    void (*batch_stats)(struct ak_exec *e, uint32_t layer, const ak_real **mean,
                        const ak_real **var);
    enum ak_status (*backward)(struct ak_exec *e,
                               const struct ak_exec_start *starts,
                               uint32_t n_starts, ak_real *grads, ak_real *dx,
                               struct ak_err *err);
    size_t (*bytes)(const struct ak_exec *e);
};

extern const struct ak_engine ak_engine_plain, ak_engine_onednn;

#endif
