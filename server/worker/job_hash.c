#include "server/worker/job_hash.h"

#include <string.h>

#include "core/base/mem.h"

bool ak_job_hash_wanted(const struct ak_job *job)
{
    return ak_job_text(job, "params", "hash") != NULL;
}

enum ak_status ak_job_hash_add(const struct ak_job *job, uint32_t classes,
                               struct ak_model *model, struct ak_job_hash *out,
                               struct ak_err *err)
{
    struct ak_job_hash h = {
        .on = true,
        .code_weight = ak_job_number(job, "params", "code_weight", 1),
        .backbone_rate = ak_job_number(job, "params", "backbone_rate", 1),
    };
    uint32_t bits = (uint32_t)ak_job_number(job, "params", "bits", 0);
    uint64_t seed =
        (uint64_t)json_integer_value(ak_job_get(job, "params", "seed"));
    enum ak_status status;

    if (!ak_job_hash_wanted(job))
        return AK_OK;
    status = ak_hcdh_network_init(&h.network, model->g, model->values, bits,
                                  classes, seed, err);
    if (status != AK_OK)
        return status;
    ak_graph_destroy(model->g);
    ak_array_free(model->values);
    model->g = h.network.g;
    model->values = h.network.values;
    h.network.g = NULL;
    h.network.values = NULL;
    *out = h;
    return AK_OK;
}

void ak_job_hash_clear(struct ak_job_hash *h)
{
    ak_hcdh_network_clear(&h->network);
}

void ak_job_hash_losses(const struct ak_job_hash *h, struct ak_train_params *p)
{
    if (h->on)
        ak_hcdh_network_losses(&h->network, h->code_weight, h->backbone_rate,
                               p->optim.groups[0].decay, p);
}

enum ak_status ak_job_hash_notes(const struct ak_job_hash *h,
                                 const struct ak_model *model, uint64_t samples,
                                 char out[AK_HCDH_NOTES], struct ak_err *err)
{
    struct ak_encoder *e = NULL;
    enum ak_status status;

    out[0] = '\0';
    if (!h->on)
        return AK_OK;
    status = ak_hcdh_head_encoder(model->g, model->values, samples, &e, err);
    if (status != AK_OK)
        return status;
    status = ak_hcdh_head_notes(e, h->code_weight, h->backbone_rate, out, err);
    ak_ref_drop(ak_encoder_ref(e));
    return status;
}

json_t *ak_job_hash_json(const struct ak_job_hash *h)
{
    if (!h->on)
        return json_null();
    return json_pack("{s:s, s:I}", "kind", "hcdh", "bits",
                     (json_int_t)h->network.bits);
}

enum ak_status ak_job_hash_codes(const struct ak_model *model, size_t n,
                                 float **x, uint32_t *dim, struct ak_err *err)
{
    struct ak_encoder *e = NULL;
    struct ak_encoder_info info;
    enum ak_status status = ak_hcdh_head_of(model, &e, err);
    float *y, *rows;
    uint32_t width = 1;
    void *scratch;

    if (status != AK_OK)
        return status;
    ak_encoder_info(e, &info);
    while (width < info.bits)
        width *= 4;
    y = ak_array_new(n * info.bits, sizeof(*y));
    rows = ak_array_new(n * width, sizeof(*rows));
    scratch = ak_array_new(1, ak_encoder_scratch(e));
    if (y == NULL || rows == NULL || scratch == NULL) {
        ak_array_free(rows);
        status = ak_fail(err, AK_ENOMEM, "no memory for %zu codes", n);
    } else {
        ak_encoder_project(e, *x, n, y, scratch);
        for (size_t i = 0; i < n; i++)
            for (uint32_t j = 0; j < width; j++)
                rows[i * width + j] =
                    j >= info.bits || y[i * info.bits + j] > 0.0f ? 1.0f
                                                                  : -1.0f;
        ak_array_free(*x);
        *x = rows;
        *dim = width;
    }
    ak_array_free(scratch);
    ak_array_free(y);
    ak_ref_drop(ak_encoder_ref(e));
    return status;
}
