/*
 * augment.h -- training images, moved and mirrored at random.
 *
 * As is usual for CIFAR: the image with `pad` black pixels around it is cut at
 * a random place, to its own size, and mirrored half of the time; then it is
 * normalised as the graph says.
 */
#ifndef AK_CORE_NN_AUGMENT_H
#define AK_CORE_NN_AUGMENT_H

#include "core/base/rng.h"
#include "core/nn/graph.h"

struct ak_augment {
    uint32_t pad;
    bool mirror;
};

/* What each byte becomes: of four channels, with ak_graph_normalise(). */
struct ak_byte_table {
    float value[4][256];
};

void ak_byte_table_init(struct ak_byte_table *table, const struct ak_graph *g);

/*
 * `out` (c, h, w) of `pixels` (c, h, w).  Draws the same number of times from
 * `rng` whatever comes out.
 */
void ak_augment_image(const struct ak_augment *a, const struct ak_graph *g,
                      const struct ak_byte_table *table, const uint8_t *pixels,
                      struct ak_rng *rng, float *out);

#endif
