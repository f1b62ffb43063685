/* data.h -- images with labels as they lie in memory; nothing is owned. */
#ifndef AK_CORE_NN_DATA_H
#define AK_CORE_NN_DATA_H

#include <stddef.h>
#include <stdint.h>

#include "core/nn/graph.h"

/*
 * n images of the size of a network's input, planar: channel by channel, row by
 * row.  The records of CIFAR-10 are such with a stride of 3,073.
 */
struct ak_pictures {
    const uint8_t *pixels; /* of the first */
    size_t stride;         /* bytes from one to the next */
    const uint32_t *labels;
    size_t n;
};

static inline const uint8_t *ak_picture(const struct ak_pictures *p, size_t i)
{
    return p->pixels + i * p->stride;
}

#endif
