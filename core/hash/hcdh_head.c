#include "core/hash/hcdh_head.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/digest.h"
#include "core/code/code.h"
#include "core/hash/encoder_internal.h"
#include "core/nn/zoo.h"

#define MOST_DIM 65536

enum ak_status ak_hcdh_head_check(size_t dim, uint32_t bits, struct ak_err *err)
{
    if (bits < AK_CODE_MIN_BITS || bits > AK_CODE_MAX_BITS || bits % 8 != 0)
        return ak_fail(err, AK_EINVAL,
                       "bits is %u, must be %d..%d and a multiple of 8", bits,
                       AK_CODE_MIN_BITS, AK_CODE_MAX_BITS);
    if (dim > MOST_DIM)
        return ak_fail(err, AK_EINVAL,
                       "the feature has %zu values, must be 1..%d", dim,
                       MOST_DIM);
    return AK_OK;
}

uint32_t ak_hcdh_head_bits(const struct ak_graph *g)
{
    uint32_t layer = ak_graph_find(g, AK_HASH_LAYER);

    if (layer == UINT32_MAX || g->layers[layer].kind != AK_LAYER_LINEAR ||
        g->layers[layer].in[0] != g->feature)
        return 0;
    return g->layers[layer].c;
}

enum ak_status ak_hcdh_head_encoder(const struct ak_graph *g,
                                    const float *values, uint64_t samples,
                                    struct ak_encoder **out, struct ak_err *err)
{
    const struct ak_map_plan plan = {.kind = AK_MAP_NONE};
    uint32_t layer = ak_graph_find(g, AK_HASH_LAYER);
    uint32_t bits = ak_hcdh_head_bits(g);
    size_t dim = ak_layer_size(&g->layers[g->feature]);
    const struct ak_param *weight, *bias;
    struct ak_feature_map *map = NULL;
    struct ak_encoder *e = NULL;
    enum ak_status status;

    if (bits == 0)
        return ak_fail(err, AK_EINVAL,
                       "the network has no layer \"%s\" on its feature",
                       AK_HASH_LAYER);
    status = ak_hcdh_head_check(dim, bits, err);
    if (status == AK_OK)
        status =
            ak_feature_map_fit(&plan, (uint32_t)dim, NULL, 0, 0, &map, err);
    if (status == AK_OK)
        status = ak_encoder_create("hcdh", map, &bits, 1, samples, &e, err);
    ak_feature_map_drop(map);
    if (status != AK_OK)
        return status;
    weight = ak_graph_param(g, layer, AK_PARAM_WEIGHT);
    bias = ak_graph_param(g, layer, AK_PARAM_BIAS);
    for (uint32_t j = 0; j < bits; j++) {
        for (size_t k = 0; k < dim; k++)
            *ak_encoder_weight(e, 0, k, j) =
                values[weight->offset + j * dim + k];
        *ak_encoder_bias(e, 0, j) =
            bias != NULL ? values[bias->offset + j] : 0.0f;
    }
    *out = e;
    return AK_OK;
}

/* The number behind the head of a line; 0: there is no such line. */
static uint64_t samples_of(const char *notes)
{
    const size_t len = strlen(AK_HCDH_SAMPLES);

    while (notes != NULL && strncmp(notes, AK_HCDH_SAMPLES, len) != 0) {
        notes = strchr(notes, '\n');
        notes = notes != NULL ? notes + 1 : NULL;
    }
    return notes != NULL ? strtoull(notes + len, NULL, 10) : 0;
}

enum ak_status ak_hcdh_head_of(const struct ak_model *model,
                               struct ak_encoder **out, struct ak_err *err)
{
    return ak_hcdh_head_encoder(model->g, model->values,
                                samples_of(model->notes), out, err);
}

enum ak_status ak_hcdh_head_notes(const struct ak_encoder *e,
                                  double code_weight, double backbone_rate,
                                  char out[AK_HCDH_NOTES], struct ak_err *err)
{
    struct ak_encoder_info info;
    struct ak_writer w = {0};
    enum ak_status status = ak_encoder_save(e, &w, err);

    ak_encoder_info(e, &info);
    if (status == AK_OK)
        snprintf(out, AK_HCDH_NOTES,
                 "hash model: %s, %u bits, crc32 %08x, code weight %g, rate of "
                 "the backbone x %g\n" AK_HCDH_SAMPLES "%llu\n",
                 info.kind, info.bits, ak_crc32(w.data, w.len), code_weight,
                 backbone_rate, (unsigned long long)info.samples);
    ak_writer_clear(&w);
    return status;
}
