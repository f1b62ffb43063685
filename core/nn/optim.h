/*
 * optim.h -- from gradients to new values, and how large a step is.
 *
 * Parameters are in groups: each belongs to the first one that takes its role
 * and its layer's name.  Running statistics belong to none.
 */
#ifndef AK_CORE_NN_OPTIM_H
#define AK_CORE_NN_OPTIM_H

#include "core/base/blob.h"
#include "core/nn/graph.h"

enum ak_optim_kind {
    AK_OPTIM_SGD,      /* v = m v + d; w -= rate v, as PyTorch has it */
    AK_OPTIM_NESTEROV, /* v = m v + d; w -= rate (d + m v) */
    AK_OPTIM_ADAM      /* Kingma and Ba, ICLR 2015, arXiv 1412.6980 */
};

/* `d` above is gradient + decay * w, in Adam too. */
struct ak_optim_group {
    unsigned roles;     /* bits of ak_param_role; 0: all */
    const char *prefix; /* of the layer's name; NULL: any */
    double rate;        /* times the rate of the step */
    double decay;
};

#define AK_OPTIM_GROUPS 8

struct ak_optim_params {
    enum ak_optim_kind kind;
    double momentum;     /* 0..1; beta 1 of Adam */
    double second, tiny; /* beta 2 and epsilon of Adam */
    struct ak_optim_group groups[AK_OPTIM_GROUPS];
    uint32_t n_groups;
};

struct ak_optim;

/* AK_EINVAL: a number out of its range, or a parameter in no group. */
enum ak_status ak_optim_create(const struct ak_graph *g,
                               const struct ak_optim_params *params,
                               struct ak_optim **out,
                               struct ak_err *err) AK_MUST_CHECK;
void ak_optim_destroy(struct ak_optim *o);

/* values and grads as in exec.h. */
void ak_optim_step(struct ak_optim *o, double rate, const float *grads,
                   float *values);

/* What the steps so far have left, for a checkpoint. */
void ak_optim_save(const struct ak_optim *o, struct ak_writer *w);
/* AK_ECORRUPT when it does not fit; then `o` must be destroyed. */
enum ak_status ak_optim_load(struct ak_optim *o, struct ak_reader *r,
                             struct ak_err *err) AK_MUST_CHECK;

/* ---- schedules ------------------------------------------------------------- */

enum ak_schedule_kind {
    AK_SCHEDULE_CONSTANT,
    AK_SCHEDULE_STEP,      /* times `factor` at each of `marks` */
    AK_SCHEDULE_COSINE,    /* half a wave from the rate to 0 */
    AK_SCHEDULE_TRIANGULAR /* from 0 up to the rate at marks[0], down to 0 */
};

#define AK_SCHEDULE_MARKS 8

struct ak_schedule {
    enum ak_schedule_kind kind;
    double rate;
    double warmup; /* share of the training in which it rises from 0 */
    double factor;
    double marks[AK_SCHEDULE_MARKS]; /* shares of the training, rising */
    uint32_t n_marks;
};

/* AK_EINVAL says what is wrong. */
enum ak_status ak_schedule_check(const struct ak_schedule *s,
                                 struct ak_err *err) AK_MUST_CHECK;

/*
 * A course of the rate by its name: "triangular" (up for a fifth, then down),
 * "cosine" (a short rise, then half a wave), "step" (a tenth after half and after
 * three quarters) or "constant".  AK_ENOTFOUND.
 */
enum ak_status ak_schedule_named(const char *name, double rate,
                                 struct ak_schedule *out,
                                 struct ak_err *err) AK_MUST_CHECK;

/* The rate when the share `done` (0..1) of the training is over. */
double ak_schedule_rate(const struct ak_schedule *s, double done);

#endif
