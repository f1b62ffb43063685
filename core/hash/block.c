#include "core/hash/block.h"

#include <math.h>

#include "core/base/mem.h"

bool ak_hash_next_block(const struct ak_hash_rows *rows, size_t most,
                        struct ak_hash_block *b)
{
    b->from = b->to;
    b->n = 0;
    while (b->to < rows->n && b->n < most) {
        b->n += rows->first[b->to] < rows->first[b->to + 1];
        b->to++;
    }
    return b->n > 0;
}

size_t ak_hash_block_room(const struct ak_hash_rows *rows, size_t most)
{
    return rows->learnt < most ? rows->learnt : most;
}

void ak_draw_unit_columns(struct ak_rng *rng, size_t dim, size_t bits, float *w)
{
    for (size_t j = 0; j < bits; j++) {
        double sum = 0, scale;

        for (size_t k = 0; k < dim; k++) {
            float v = ak_rng_normal(rng);

            w[k * bits + j] = v;
            sum += (double)v * (double)v;
        }
        scale = sum > 0 ? 1 / sqrt(sum) : 0;
        for (size_t k = 0; k < dim; k++)
            w[k * bits + j] = (float)((double)w[k * bits + j] * scale);
    }
}

bool ak_weights_are_sane(const float *w, size_t n)
{
    bool sane = true;

    /* Written so that NaN is not sane. */
    for (size_t i = 0; i < n; i++)
        sane &= fabsf(w[i]) <= AK_MOST_WEIGHT;
    return sane;
}

enum ak_status ak_read_weights(struct ak_reader *r, float *w, size_t n,
                               struct ak_err *err)
{
    ak_read_f32s(r, w, n);
    if (r->status != AK_OK)
        return ak_fail(err, AK_ECORRUPT, "%zu weights are cut short", n);
    if (!ak_weights_are_sane(w, n))
        return ak_fail(err, AK_ECORRUPT, "a weight is not within +-%g",
                       (double)AK_MOST_WEIGHT);
    return AK_OK;
}

enum ak_status ak_fail_weights(const struct ak_hash *h, struct ak_err *err)
{
    return ak_fail(err, AK_ENUMERIC,
                   "%s: a weight would not be within +-%g: the rate or the "
                   "features are too large",
                   h->ops->about.name, (double)AK_MOST_WEIGHT);
}

enum ak_status ak_hash_freeze_weights(const struct ak_hash *h,
                                      struct ak_feature_map *map,
                                      const float *w, struct ak_encoder **out,
                                      struct ak_err *err)
{
    size_t dim = ak_feature_map_width(map), bits = h->params.bits;
    struct ak_encoder *e = NULL;
    enum ak_status status = ak_encoder_create(
        h->ops->about.name, map, &h->params.bits, 1, h->samples, &e, err);

    ak_feature_map_drop(map);
    if (status != AK_OK)
        return status;
    for (size_t k = 0; k < dim; k++)
        for (size_t j = 0; j < bits; j++)
            *ak_encoder_weight(e, 0, k, j) = w[k * bits + j];
    *out = e;
    return AK_OK;
}

enum ak_status ak_hash_freeze_unit(const struct ak_hash *h,
                                   const struct ak_running_mean *mean,
                                   const float *w, struct ak_encoder **out,
                                   struct ak_err *err)
{
    float *now = ak_array_new(mean->dim, sizeof(*now));
    struct ak_feature_map *map = NULL;
    enum ak_status status;

    if (now == NULL)
        return ak_fail(err, AK_ENOMEM, "%s: no memory for a mean of %u",
                       h->ops->about.name, mean->dim);
    ak_running_mean_get(mean, now);
    status = ak_feature_map_unit(mean->dim, now, &map, err);
    if (status == AK_OK)
        status = ak_hash_freeze_weights(h, map, w, out, err);
    ak_array_free(now);
    return status;
}
