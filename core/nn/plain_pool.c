/* plain_pool.c -- pooling as plain loops.  Padding takes no part in it. */
#include "core/nn/plain_ops.h"

/* The part of the input that output (y, x) sees: rows [y0, y1), columns. */
struct window {
    uint32_t y0, y1, x0, x1;
};

static struct window window_of(const struct ak_plain *p, uint32_t y, uint32_t x)
{
    const struct ak_layer *l = p->l, *in = p->in[0];
    uint32_t top = y * l->stride, left = x * l->stride;
    struct window w = {
        .y0 = top > l->pad[0] ? top - l->pad[0] : 0,
        .y1 = top + l->kh - l->pad[0],
        .x0 = left > l->pad[1] ? left - l->pad[1] : 0,
        .x1 = left + l->kw - l->pad[1],
    };

    if (w.y1 > in->h)
        w.y1 = in->h;
    if (w.x1 > in->w)
        w.x1 = in->w;
    return w;
}

size_t ak_plain_maxpool_saved(const struct ak_layer *l, uint32_t n)
{
    return n * ak_layer_size(l);
}

/* Saves where in its plane each maximum was, the first of equal ones: a plane
   has at most 2^22 places, which a float holds exactly. */
void ak_plain_maxpool(const struct ak_plain *p)
{
    const struct ak_layer *l = p->l, *in = p->in[0];
    size_t at = 0;

    for (size_t plane = 0; plane < (size_t)p->n * l->c; plane++) {
        const ak_real *from = p->x[0] + plane * in->h * in->w;

        for (uint32_t k = 0; k < l->h * l->w; k++, at++) {
            struct window w = window_of(p, k / l->w, k % l->w);
            size_t best = (size_t)w.y0 * in->w + w.x0;

            for (uint32_t y = w.y0; y < w.y1; y++)
                for (uint32_t x = w.x0; x < w.x1; x++)
                    if (from[(size_t)y * in->w + x] > from[best])
                        best = (size_t)y * in->w + x;
            p->y[at] = from[best];
            if (p->train)
                p->saved[at] = (ak_real)best;
        }
    }
}

void ak_plain_maxpool_back(const struct ak_plain *p)
{
    const struct ak_layer *l = p->l, *in = p->in[0];
    size_t at = 0;

    for (size_t plane = 0; plane < (size_t)p->n * l->c; plane++)
        for (uint32_t k = 0; k < l->h * l->w; k++, at++)
            p->dx[0][plane * in->h * in->w + (size_t)p->saved[at]] += p->dy[at];
}

/* The average of what lies inside. */
void ak_plain_avgpool(const struct ak_plain *p)
{
    const struct ak_layer *l = p->l, *in = p->in[0];
    size_t at = 0;

    for (size_t plane = 0; plane < (size_t)p->n * l->c; plane++) {
        const ak_real *from = p->x[0] + plane * in->h * in->w;

        for (uint32_t k = 0; k < l->h * l->w; k++, at++) {
            struct window w = window_of(p, k / l->w, k % l->w);
            double sum = 0;

            for (uint32_t y = w.y0; y < w.y1; y++)
                for (uint32_t x = w.x0; x < w.x1; x++)
                    sum += (double)from[(size_t)y * in->w + x];
            p->y[at] = (ak_real)(sum / ((double)(w.y1 - w.y0) *
                                        (double)(w.x1 - w.x0)));
        }
    }
}

void ak_plain_avgpool_back(const struct ak_plain *p)
{
    const struct ak_layer *l = p->l, *in = p->in[0];
    size_t at = 0;

    for (size_t plane = 0; plane < (size_t)p->n * l->c; plane++) {
        ak_real *to = p->dx[0] + plane * in->h * in->w;

        for (uint32_t k = 0; k < l->h * l->w; k++, at++) {
            struct window w = window_of(p, k / l->w, k % l->w);
            ak_real part = p->dy[at] / (ak_real)((w.y1 - w.y0) * (w.x1 - w.x0));

            for (uint32_t y = w.y0; y < w.y1; y++)
                for (uint32_t x = w.x0; x < w.x1; x++)
                    to[(size_t)y * in->w + x] += part;
        }
    }
}

void ak_plain_gap(const struct ak_plain *p)
{
    size_t plane = (size_t)p->in[0]->h * p->in[0]->w;

    for (size_t k = 0; k < (size_t)p->n * p->l->c; k++) {
        double sum = 0;

        for (size_t i = 0; i < plane; i++)
            sum += (double)p->x[0][k * plane + i];
        p->y[k] = (ak_real)(sum / (double)plane);
    }
}

void ak_plain_gap_back(const struct ak_plain *p)
{
    size_t plane = (size_t)p->in[0]->h * p->in[0]->w;

    for (size_t k = 0; k < (size_t)p->n * p->l->c; k++)
        for (size_t i = 0; i < plane; i++)
            p->dx[0][k * plane + i] += p->dy[k] / (ak_real)plane;
}
