/*
 * exec.h -- computing a network: forward, and backward when it is trained.
 *
 * An engine computes what the plain one defines, perhaps faster and rounding
 * otherwise: `plain` is C loops, `onednn` is there when akin was built with it.
 * An exec belongs to one graph and one size of batch, and to one thread at a
 * time; each call sets how many threads the library uses for the calling one.
 * The graph must outlive it.
 *
 * Arrays are planar: x (n, c, h, w).  Values of parameters are one array of
 * graph->n_values, gradients another one laid out alike.
 *
 *     ak_exec_load(e, values)          after every change of the values
 *     ak_exec_forward(e, x, n, seed)
 *     ak_exec_output(e, layer, out)
 *     ak_exec_backward(e, starts, ...) in training only
 *
 * In training, batch normalisation uses the statistics of the batch, dropout
 * drops, and every layer keeps what its gradient needs; otherwise it uses the
 * running statistics.  An engine may fuse layers, so only the outputs that were
 * asked for are there.
 *
 * The same values, inputs, seeds, engine, type and number of threads give the
 * same bytes on the same machine.
 */
#ifndef AK_CORE_NN_EXEC_H
#define AK_CORE_NN_EXEC_H

#include "core/nn/graph.h"
#include "core/nn/real.h"

struct ak_exec;

enum ak_exec_type {
    AK_EXEC_F32,
    AK_EXEC_BF16 /* activations; values, statistics and gradients stay float */
};

struct ak_exec_params {
    uint32_t batch; /* images in a forward, at most; all of them in training */
    bool train;
    enum ak_exec_type type;
    uint32_t threads; /* 0: 1 */
    /* Layers to keep beside the feature and the output; NULL: none. */
    const uint32_t *keep;
    uint32_t n_keep;
};

/*
 * The gradient of a loss by the output of a layer, (n, c, h, w): of the
 * feature, the output, or one of those kept.
 */
struct ak_exec_start {
    uint32_t layer;
    const ak_real *grad;
};

/* The name of the i-th engine, fastest first, NULL after the last. */
const char *ak_exec_engine(size_t i);

/* Whether an engine can compute with that type on this machine. */
bool ak_exec_can(const char *engine, enum ak_exec_type type);

/*
 * `engine` NULL: the fastest.  AK_ENOTFOUND: no such engine; AK_EUNSUPPORTED:
 * it cannot compute that graph or with that type here; AK_ENOMEM.
 */
enum ak_status ak_exec_create(const char *engine, const struct ak_graph *g,
                              const struct ak_exec_params *params,
                              struct ak_exec **out,
                              struct ak_err *err) AK_MUST_CHECK;
void ak_exec_destroy(struct ak_exec *e);

enum ak_status ak_exec_load(struct ak_exec *e, const ak_real *values,
                            struct ak_err *err) AK_MUST_CHECK;

/*
 * x (n, c, h, w), n from 1 to the batch, and in training equal to it.  `seed`
 * is of what dropout drops.
 */
enum ak_status ak_exec_forward(struct ak_exec *e, const ak_real *x, uint32_t n,
                               uint64_t seed, struct ak_err *err) AK_MUST_CHECK;

/*
 * Output (n, c, h, w) of a layer in the last forward: the feature, the output,
 * or one of those kept.
 */
enum ak_status ak_exec_output(struct ak_exec *e, uint32_t layer, ak_real *out,
                              struct ak_err *err) AK_MUST_CHECK;

/* Move the running statistics in `values` towards those of the last forward. */
void ak_exec_statistics(struct ak_exec *e, ak_real *values);

/*
 * Gradients of all parameters into `grads` (n_values, all written), and by the
 * input into dx (n, c, h, w) unless it is NULL.  A layer that several paths
 * lead to has the sum of theirs.
 */
enum ak_status ak_exec_backward(struct ak_exec *e,
                                const struct ak_exec_start *starts,
                                uint32_t n_starts, ak_real *grads, ak_real *dx,
                                struct ak_err *err) AK_MUST_CHECK;

/* Memory that an exec holds, in bytes. */
size_t ak_exec_bytes(const struct ak_exec *e);

#endif
