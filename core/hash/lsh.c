/*
 * lsh.c -- random hyperplanes, the floor that a learned method must beat.
 *
 * Charikar, "Similarity Estimation Techniques from Rounding Algorithms", STOC
 * 2002: the signs of products with vectors drawn from the normal distribution
 * differ, on average, in proportion to the angle between two features.
 *
 * Features are taken as they are: no centring, no map, nothing to warm up; so
 * it can code the first item of an empty collection.
 */
#include "core/base/rng.h"
#include "core/hash/hash_ops.h"

enum ak_status ak_encoder_lsh(uint32_t dim, uint32_t bits, uint64_t seed,
                              struct ak_encoder **out, struct ak_err *err)
{
    const struct ak_map_plan plain = {.kind = AK_MAP_NONE};
    struct ak_feature_map *map;
    struct ak_encoder *e = NULL;
    struct ak_rng rng;
    enum ak_status status =
        ak_feature_map_fit(&plain, dim, NULL, 0, seed, &map, err);

    if (status != AK_OK)
        return status;
    status = ak_encoder_create("lsh", map, &bits, 1, 0, &e, err);
    ak_feature_map_drop(map);
    if (status != AK_OK)
        return status;
    ak_rng_init(&rng, ak_rng_derive(seed, "lsh"));
    for (size_t k = 0; k < dim; k++)
        for (size_t j = 0; j < bits; j++)
            *ak_encoder_weight(e, 0, k, j) = ak_rng_normal(&rng);
    *out = e;
    return AK_OK;
}

static enum ak_status lsh_freeze(const struct ak_hash *h,
                                 struct ak_encoder **out, struct ak_err *err)
{
    return ak_encoder_lsh(h->params.dim, h->params.bits, h->params.seed, out,
                          err);
}

const struct ak_hash_ops ak_hash_lsh = {
    .about =
        {
            .name = "lsh",
            .source = "Charikar, Similarity Estimation Techniques from "
                      "Rounding Algorithms, STOC 2002",
            .help = "seeded random hyperplanes: learns nothing, ready at once",
            .learns = false,
            .per_sample = true,
            .streams = true,
        },
    .format = 1,
    .size = sizeof(struct ak_hash),
    .freeze = lsh_freeze,
};
