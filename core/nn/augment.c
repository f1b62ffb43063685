#include "core/nn/augment.h"

void ak_byte_table_init(struct ak_byte_table *table, const struct ak_graph *g)
{
    const struct ak_layer *l = &g->layers[0];

    for (uint32_t c = 0; c < l->c; c++)
        for (unsigned b = 0; b < 256; b++)
            table->value[c][b] = ((float)b / 255.0f - l->mean[c]) / l->std[c];
}

void ak_augment_image(const struct ak_augment *a, const struct ak_graph *g,
                      const struct ak_byte_table *table, const uint8_t *pixels,
                      struct ak_rng *rng, float *out)
{
    const struct ak_layer *l = &g->layers[0];
    int64_t dy = (int64_t)ak_rng_below(rng, 2 * (uint64_t)a->pad + 1) - a->pad;
    int64_t dx = (int64_t)ak_rng_below(rng, 2 * (uint64_t)a->pad + 1) - a->pad;
    bool mirror = ak_rng_below(rng, 2) == 1 && a->mirror;

    for (uint32_t c = 0; c < l->c; c++)
        for (int64_t y = 0; y < l->h; y++) {
            const float *value = table->value[c];
            const uint8_t *row =
                pixels + ((int64_t)c * l->h + y + dy) * l->w + dx;
            bool outside = y + dy < 0 || y + dy >= l->h;

            for (int64_t x = 0; x < l->w; x++) {
                int64_t from = mirror ? l->w - 1 - x : x;
                bool black = outside || from + dx < 0 || from + dx >= l->w;

                *out++ = value[black ? 0 : row[from]];
            }
        }
}
