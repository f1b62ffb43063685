/* plain_join.c -- sums, concatenations and channel maps as plain loops. */
#include <string.h>

#include "core/nn/plain_ops.h"

void ak_plain_add(const struct ak_plain *p)
{
    size_t count = p->n * ak_layer_size(p->l);

    for (size_t i = 0; i < count; i++)
        p->y[i] = p->x[0][i] + p->x[1][i];
}

void ak_plain_add_back(const struct ak_plain *p)
{
    size_t count = p->n * ak_layer_size(p->l);

    for (int k = 0; k < 2; k++)
        for (size_t i = 0; p->dx[k] != NULL && i < count; i++)
            p->dx[k][i] += p->dy[i];
}

void ak_plain_concat(const struct ak_plain *p)
{
    ak_real *to = p->y;

    for (uint32_t n = 0; n < p->n; n++)
        for (uint32_t k = 0; k < p->l->n_in; k++) {
            size_t size = ak_layer_size(p->in[k]);

            memcpy(to, p->x[k] + n * size, size * sizeof(*to));
            to += size;
        }
}

void ak_plain_concat_back(const struct ak_plain *p)
{
    const ak_real *from = p->dy;

    for (uint32_t n = 0; n < p->n; n++)
        for (uint32_t k = 0; k < p->l->n_in; k++) {
            size_t size = ak_layer_size(p->in[k]);

            for (size_t i = 0; p->dx[k] != NULL && i < size; i++)
                p->dx[k][n * size + i] += from[i];
            from += size;
        }
}

/* What is done with an input plane (h, w) and an output plane (h', w'). */
typedef void plane_fn(const struct ak_plain *p, size_t x_plane, size_t y_plane);

/* Calls for every output plane with its input plane, SIZE_MAX for zeros. */
static void each_plane(const struct ak_plain *p, plane_fn *each)
{
    for (uint32_t n = 0; n < p->n; n++) {
        size_t y = (size_t)n * p->l->c;

        for (uint32_t r = 0; r < p->l->n_runs; r++) {
            const struct ak_map_run *run = &p->l->runs[r];

            for (uint32_t i = 0; i < run->n; i++, y++)
                each(p,
                     run->zero ? SIZE_MAX
                               : (size_t)n * p->in[0]->c + run->first + i,
                     y);
        }
    }
}

static void map_plane(const struct ak_plain *p, size_t x_plane, size_t y_plane)
{
    const struct ak_layer *l = p->l, *in = p->in[0];
    ak_real *to = p->y + y_plane * l->h * l->w;

    for (uint32_t y = 0; y < l->h; y++)
        for (uint32_t x = 0; x < l->w; x++)
            *to++ = x_plane == SIZE_MAX
                        ? 0
                        : p->x[0][(x_plane * in->h + y * l->stride) * in->w +
                                  x * l->stride];
}

static void map_plane_back(const struct ak_plain *p, size_t x_plane,
                           size_t y_plane)
{
    const struct ak_layer *l = p->l, *in = p->in[0];
    const ak_real *from = p->dy + y_plane * l->h * l->w;

    for (uint32_t y = 0; x_plane != SIZE_MAX && y < l->h; y++)
        for (uint32_t x = 0; x < l->w; x++)
            p->dx[0][(x_plane * in->h + y * l->stride) * in->w +
                     x * l->stride] += *from++;
}

void ak_plain_map(const struct ak_plain *p)
{
    each_plane(p, map_plane);
}

void ak_plain_map_back(const struct ak_plain *p)
{
    each_plane(p, map_plane_back);
}
