/* plain_act.c -- activations and dropout as plain loops. */
#include <math.h>

#include "core/base/rng.h"
#include "core/nn/plain_ops.h"

static size_t count_of(const struct ak_plain *p)
{
    return p->n * ak_layer_size(p->l);
}

void ak_plain_relu(const struct ak_plain *p)
{
    for (size_t i = 0; i < count_of(p); i++)
        p->y[i] = p->x[0][i] > 0 ? p->x[0][i] : 0;
}

void ak_plain_relu_back(const struct ak_plain *p)
{
    for (size_t i = 0; i < count_of(p); i++)
        p->dx[0][i] += p->x[0][i] > 0 ? p->dy[i] : 0;
}

static ak_real clamp(ak_real x, ak_real low, ak_real high)
{
    return x < low ? low : x > high ? high : x;
}

static void clamp_back(const struct ak_plain *p, ak_real low, ak_real high)
{
    for (size_t i = 0; i < count_of(p); i++)
        p->dx[0][i] += p->x[0][i] > low && p->x[0][i] < high ? p->dy[i] : 0;
}

void ak_plain_relu6(const struct ak_plain *p)
{
    for (size_t i = 0; i < count_of(p); i++)
        p->y[i] = clamp(p->x[0][i], 0, 6);
}

void ak_plain_relu6_back(const struct ak_plain *p)
{
    clamp_back(p, 0, 6);
}

void ak_plain_hardtanh(const struct ak_plain *p)
{
    for (size_t i = 0; i < count_of(p); i++)
        p->y[i] = clamp(p->x[0][i], -1, 1);
}

void ak_plain_hardtanh_back(const struct ak_plain *p)
{
    clamp_back(p, -1, 1);
}

void ak_plain_tanh(const struct ak_plain *p)
{
    for (size_t i = 0; i < count_of(p); i++)
        p->y[i] = (ak_real)tanh((double)p->x[0][i]);
}

void ak_plain_tanh_back(const struct ak_plain *p)
{
    for (size_t i = 0; i < count_of(p); i++) {
        ak_real y = (ak_real)tanh((double)p->x[0][i]);

        p->dx[0][i] += p->dy[i] * (1 - y * y);
    }
}

/* The slope of a value below zero is the one of its channel. */
static size_t channel_of(const struct ak_plain *p, size_t i)
{
    return i / ((size_t)p->l->h * p->l->w) % p->l->c;
}

void ak_plain_prelu(const struct ak_plain *p)
{
    for (size_t i = 0; i < count_of(p); i++) {
        ak_real x = p->x[0][i];

        p->y[i] = x > 0 ? x : x * p->value[AK_PARAM_SLOPE][channel_of(p, i)];
    }
}

void ak_plain_prelu_back(const struct ak_plain *p)
{
    for (size_t i = 0; i < count_of(p); i++) {
        size_t c = channel_of(p, i);
        ak_real x = p->x[0][i];

        p->dx[0][i] +=
            x > 0 ? p->dy[i] : p->dy[i] * p->value[AK_PARAM_SLOPE][c];
        if (x <= 0)
            p->grad[AK_PARAM_SLOPE][c] += p->dy[i] * x;
    }
}

size_t ak_plain_dropout_saved(const struct ak_layer *l, uint32_t n)
{
    return n * ak_layer_size(l);
}

/* Each layer draws by its own name, so that one more does not change others. */
void ak_plain_dropout(const struct ak_plain *p)
{
    struct ak_rng rng;
    ak_real keep = (ak_real)(1 / (1 - (double)p->l->p));

    ak_rng_init(&rng, ak_rng_derive(p->seed, p->l->name));
    for (size_t i = 0; i < count_of(p); i++) {
        ak_real factor = 1;

        if (p->train) {
            factor = ak_rng_unit(&rng) < (double)p->l->p ? 0 : keep;
            p->saved[i] = factor;
        }
        p->y[i] = factor * p->x[0][i];
    }
}

void ak_plain_dropout_back(const struct ak_plain *p)
{
    for (size_t i = 0; i < count_of(p); i++)
        p->dx[0][i] += p->saved[i] * p->dy[i];
}
