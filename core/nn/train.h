/*
 * train.h -- training a network on images that are in memory.
 *
 * A trainer does one step at a time, so its caller can stop, save, or look at
 * it in between.  What a step does follows from the seed and the number of the
 * step: a trainer that was saved and loaded goes on to the same bytes, in f32
 * and with the same number of threads on the same machine.
 */
#ifndef AK_CORE_NN_TRAIN_H
#define AK_CORE_NN_TRAIN_H

#include "core/nn/augment.h"
#include "core/nn/data.h"
#include "core/nn/exec.h"
#include "core/nn/optim.h"

enum ak_train_loss_kind {
    AK_TRAIN_CROSS_ENTROPY, /* of labels, at the output */
    AK_TRAIN_CODE,          /* distance to the labels' codes, at `layer` */
    AK_TRAIN_DISTILL        /* of a teacher's scores, at the output */
};

struct ak_train_loss {
    enum ak_train_loss_kind kind;
    double weight;
    double smoothing;        /* of cross-entropy */
    double temperature;      /* of distillation */
    uint32_t layer;          /* of codes */
    const float *codes;      /* (classes, size of the layer), of -1 and 1 */
    struct ak_exec *teacher; /* not in training, loaded, of the same input and
                                output, with at least the batch */
    const struct ak_graph *teacher_graph;
};

#define AK_TRAIN_LOSSES 4

struct ak_train_params {
    const char *engine; /* as in ak_exec_create() */
    enum ak_exec_type type;
    uint32_t threads;
    uint32_t batch;
    uint32_t epochs;
    uint64_t seed; /* of values, order, augmentation and dropout */
    struct ak_augment augment;
    struct ak_optim_params optim;
    struct ak_schedule schedule;
    struct ak_train_loss losses[AK_TRAIN_LOSSES];
    uint32_t n_losses;
};

/*
 * What worked for ResNets on CIFAR-10: batch 128, Nesterov 0.9, decay 5e-4 of
 * weights only, a triangular rate with its peak of 0.2 at a fifth, crop by 4
 * and mirror, cross-entropy.
 */
void ak_train_defaults(struct ak_train_params *p);

struct ak_train_state {
    uint64_t step, steps; /* done, in all */
    uint32_t epoch, epochs;
    double rate;
    /* Means over the steps of the epoch so far, of images as augmented. */
    double loss, accuracy;
};

struct ak_trainer;

/*
 * The graph, the data, and what the losses point to must outlive the trainer.
 * `values` (n_values) are where it begins, or NULL for ak_weights_init().
 * AK_EINVAL says which parameter is wrong; a last batch that is not whole is
 * left out of an epoch.
 */
enum ak_status ak_trainer_create(const struct ak_graph *g,
                                 const struct ak_pictures *data,
                                 const struct ak_train_params *params,
                                 const float *values, struct ak_trainer **out,
                                 struct ak_err *err) AK_MUST_CHECK;
void ak_trainer_destroy(struct ak_trainer *t);

/* One batch.  AK_ENUMERIC: the loss is not finite, and training cannot go on.
   Must not be called when state->step is state->steps. */
enum ak_status ak_trainer_step(struct ak_trainer *t,
                               struct ak_err *err) AK_MUST_CHECK;

const struct ak_train_state *ak_trainer_state(const struct ak_trainer *t);
/* Lent until the next step. */
const float *ak_trainer_values(const struct ak_trainer *t);
size_t ak_trainer_bytes(const struct ak_trainer *t);

/* A checkpoint; AK_ENOMEM. */
enum ak_status ak_trainer_save(const struct ak_trainer *t, struct ak_writer *w,
                               struct ak_err *err) AK_MUST_CHECK;
/*
 * Go on from a checkpoint of a trainer with the same graph, number of images
 * and parameters but for engine, type and threads.  AK_ECORRUPT: damaged;
 * AK_EINVAL: of another training.  Then the trainer is as it was.
 */
enum ak_status ak_trainer_load(struct ak_trainer *t, const void *bytes,
                               size_t len, struct ak_err *err) AK_MUST_CHECK;

#endif
