/* plain_conv.c -- convolution and the linear layer as plain loops. */
#include "core/nn/plain_ops.h"

/*
 * Outputs o of 0..n_out whose tap k lies inside the input, in [*from, *to):
 * 0 <= o * stride + k - pad < n_in.
 */
static void inside(uint32_t k, uint32_t pad, uint32_t stride, uint32_t n_in,
                   uint32_t n_out, uint32_t *from, uint32_t *to)
{
    *from = k >= pad ? 0 : (pad - k + stride - 1) / stride;
    *to = n_in + pad > k ? (n_in + pad - k + stride - 1) / stride : 0;
    if (*to > n_out)
        *to = n_out;
    if (*from > *to)
        *from = *to;
}

/* The planes that one weight joins. */
struct tap {
    const struct ak_layer *l;
    uint32_t x_w;
    uint32_t ky, kx;
    uint32_t y0, y1, x0, x1; /* outputs that it reaches */
};

static struct tap tap_of(const struct ak_plain *p, uint32_t ky, uint32_t kx)
{
    const struct ak_layer *l = p->l;
    struct tap t = {.l = l, .x_w = p->in[0]->w, .ky = ky, .kx = kx};

    inside(ky, l->pad[0], l->stride, p->in[0]->h, l->h, &t.y0, &t.y1);
    inside(kx, l->pad[1], l->stride, p->in[0]->w, l->w, &t.x0, &t.x1);
    return t;
}

/* Where the input of output row y and column t->x0 is. */
static size_t place(const struct tap *t, uint32_t y)
{
    return (size_t)(y * t->l->stride + t->ky - t->l->pad[0]) * t->x_w +
           (t->x0 * t->l->stride + t->kx - t->l->pad[1]);
}

static void tap_forward(const struct tap *t, const ak_real *x, ak_real weight,
                        ak_real *y)
{
    for (uint32_t r = t->y0; r < t->y1; r++) {
        const ak_real *from = x + place(t, r);
        ak_real *to = y + (size_t)r * t->l->w + t->x0;

        for (uint32_t c = 0; c < t->x1 - t->x0; c++)
            to[c] += weight * from[(size_t)c * t->l->stride];
    }
}

static void tap_input(const struct tap *t, const ak_real *dy, ak_real weight,
                      ak_real *dx)
{
    for (uint32_t r = t->y0; r < t->y1; r++) {
        const ak_real *from = dy + (size_t)r * t->l->w + t->x0;
        ak_real *to = dx + place(t, r);

        for (uint32_t c = 0; c < t->x1 - t->x0; c++)
            to[(size_t)c * t->l->stride] += weight * from[c];
    }
}

static ak_real tap_weight(const struct tap *t, const ak_real *x,
                          const ak_real *dy)
{
    double sum = 0;

    for (uint32_t r = t->y0; r < t->y1; r++) {
        const ak_real *a = x + place(t, r);
        const ak_real *b = dy + (size_t)r * t->l->w + t->x0;

        for (uint32_t c = 0; c < t->x1 - t->x0; c++)
            sum += (double)a[(size_t)c * t->l->stride] * (double)b[c];
    }
    return (ak_real)sum;
}

/* y[n][o] = b[o] + sum over i, ky, kx of w[o][i][ky][kx] x[n][i] shifted */
void ak_plain_conv(const struct ak_plain *p)
{
    const struct ak_layer *l = p->l, *x = p->in[0];
    uint32_t in = x->c / l->groups, out = l->c / l->groups;
    size_t x_plane = (size_t)x->h * x->w, y_plane = (size_t)l->h * l->w;

    for (uint32_t n = 0; n < p->n; n++)
        for (uint32_t o = 0; o < l->c; o++) {
            ak_real *y = p->y + ((size_t)n * l->c + o) * y_plane;
            const ak_real *w =
                p->value[AK_PARAM_WEIGHT] + (size_t)o * in * l->kh * l->kw;

            for (size_t k = 0; k < y_plane; k++)
                y[k] = l->bias ? p->value[AK_PARAM_BIAS][o] : 0;
            for (uint32_t i = 0; i < in; i++) {
                uint32_t channel = o / out * in + i;
                const ak_real *from =
                    p->x[0] + ((size_t)n * x->c + channel) * x_plane;

                for (uint32_t k = 0; k < l->kh * l->kw; k++) {
                    struct tap t = tap_of(p, k / l->kw, k % l->kw);

                    tap_forward(&t, from, *w++, y);
                }
            }
        }
}

void ak_plain_conv_back(const struct ak_plain *p)
{
    const struct ak_layer *l = p->l, *x = p->in[0];
    uint32_t in = x->c / l->groups, out = l->c / l->groups;
    size_t x_plane = (size_t)x->h * x->w, y_plane = (size_t)l->h * l->w;

    for (uint32_t n = 0; n < p->n; n++)
        for (uint32_t o = 0; o < l->c; o++) {
            const ak_real *dy = p->dy + ((size_t)n * l->c + o) * y_plane;
            size_t at = (size_t)o * in * l->kh * l->kw;

            if (l->bias)
                for (size_t k = 0; k < y_plane; k++)
                    p->grad[AK_PARAM_BIAS][o] += dy[k];
            for (uint32_t i = 0; i < in; i++) {
                uint32_t channel = o / out * in + i;
                size_t plane = ((size_t)n * x->c + channel) * x_plane;

                for (uint32_t k = 0; k < l->kh * l->kw; k++, at++) {
                    struct tap t = tap_of(p, k / l->kw, k % l->kw);

                    p->grad[AK_PARAM_WEIGHT][at] +=
                        tap_weight(&t, p->x[0] + plane, dy);
                    if (p->dx[0] != NULL)
                        tap_input(&t, dy, p->value[AK_PARAM_WEIGHT][at],
                                  p->dx[0] + plane);
                }
            }
        }
}

/* y = x w' + b; x (n, in), w (out, in) */
void ak_plain_linear(const struct ak_plain *p)
{
    size_t in = ak_layer_size(p->in[0]), out = p->l->c;

    for (size_t n = 0; n < p->n; n++)
        for (size_t o = 0; o < out; o++) {
            const ak_real *x = p->x[0] + n * in;
            const ak_real *w = p->value[AK_PARAM_WEIGHT] + o * in;
            double sum = p->l->bias ? (double)p->value[AK_PARAM_BIAS][o] : 0;

            for (size_t i = 0; i < in; i++)
                sum += (double)x[i] * (double)w[i];
            p->y[n * out + o] = (ak_real)sum;
        }
}

void ak_plain_linear_back(const struct ak_plain *p)
{
    size_t in = ak_layer_size(p->in[0]), out = p->l->c;

    for (size_t n = 0; n < p->n; n++)
        for (size_t o = 0; o < out; o++) {
            ak_real dy = p->dy[n * out + o];
            const ak_real *x = p->x[0] + n * in;
            const ak_real *w = p->value[AK_PARAM_WEIGHT] + o * in;
            ak_real *dw = p->grad[AK_PARAM_WEIGHT] + o * in;

            if (p->l->bias)
                p->grad[AK_PARAM_BIAS][o] += dy;
            for (size_t i = 0; i < in; i++)
                dw[i] += dy * x[i];
            for (size_t i = 0; p->dx[0] != NULL && i < in; i++)
                p->dx[0][n * in + i] += dy * w[i];
        }
}
