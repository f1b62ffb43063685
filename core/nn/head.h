/* head.h -- the classifier of a network, made for other classes. */
#ifndef AK_CORE_NN_HEAD_H
#define AK_CORE_NN_HEAD_H

#include "core/nn/model.h"

/* A class that the network did not have. */
#define AK_HEAD_NEW UINT32_MAX

/*
 * Give a model `n` classes.  All that leads to the feature stays as it is.  Where
 * the output is a linear layer it gets `n` outputs, else one is put on the
 * feature.  Class i is what class from[i] was; of new ones, AK_HEAD_NEW, the
 * values are drawn by the seed, as of a network that has learnt nothing.
 *
 * AK_EINVAL: n is 0 or more than a graph can have; AK_ENOMEM.  Then the model is
 * as it was.
 */
enum ak_status ak_model_set_classes(struct ak_model *m, uint32_t n,
                                    const uint32_t *from, uint64_t seed,
                                    struct ak_err *err) AK_MUST_CHECK;

#endif
