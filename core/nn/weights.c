#include "core/nn/weights.h"

#include <math.h>
#include <string.h>

#include "core/base/rng.h"

static void fill(const struct ak_graph *g, const struct ak_param *p,
                 struct ak_rng *rng, ak_real *values)
{
    const struct ak_layer *l = &g->layers[p->layer];
    double fan;

    switch (p->role) {
    case AK_PARAM_WEIGHT:
        fan = l->kind == AK_LAYER_CONV
                  ? (double)l->c / l->groups * l->kh * l->kw
                  : (double)p->dims[1];
        for (size_t i = 0; i < p->n; i++)
            values[i] =
                l->kind == AK_LAYER_CONV
                    ? (ak_real)(sqrt(2 / fan) * (double)ak_rng_normal(rng))
                    : (ak_real)((2 * ak_rng_unit(rng) - 1) / sqrt(fan));
        break;
    case AK_PARAM_GAMMA:
    case AK_PARAM_VAR:
    case AK_PARAM_SLOPE:
        for (size_t i = 0; i < p->n; i++)
            values[i] = p->role == AK_PARAM_SLOPE ? (ak_real)l->slope : 1;
        break;
    default:
        break;
    }
}

void ak_weights_init(const struct ak_graph *g, uint64_t seed, ak_real *values)
{
    memset(values, 0, g->n_values * sizeof(*values));
    for (uint32_t i = 0; i < g->n_params; i++) {
        char name[AK_PARAM_TEXT];
        struct ak_rng rng;

        ak_param_name(g, &g->params[i], name);
        ak_rng_init(&rng, ak_rng_derive(seed, name));
        fill(g, &g->params[i], &rng, values + g->params[i].offset);
    }
}
