#include "server/head.h"

#include <stdlib.h>
#include <string.h>

#include "core/hash/hcdh_head.h"
#include "server/job_options.h"

#define KIND "hcdh"

static enum ak_status check_fit(const struct ak_settings *s,
                                const struct ak_extractor_version *v,
                                const char *pointer, struct ak_fault *fault)
{
    if (v->hash_bits == 0)
        return ak_fault_set(fault, pointer, "unsupported-option",
                            "version %u of extractor %s has no hash "
                            "layer",
                            v->version, s->extractor);
    if (strcmp(s->kind, KIND) != 0)
        return ak_fault_set(
            fault, pointer, "unsupported-option",
            "version %u of extractor %s makes codes of kind " KIND
            ", the model is of kind %s; model.kind \"" KIND "\" takes them "
            "over, model.head \"learnt\" learns others of its features",
            v->version, s->extractor, s->kind);
    if (v->hash_bits != s->bits)
        return ak_fault_set(
            fault, pointer, "unsupported-option",
            "version %u of extractor %s makes codes of %u bits, the "
            "collection has %u; model.head \"learnt\" learns others of its "
            "features",
            v->version, s->extractor, v->hash_bits, s->bits);
    return AK_OK;
}

enum ak_status ak_head_choose(struct ak_extractors *x, const char *wanted,
                              bool promoted, struct ak_settings *s,
                              struct ak_fault *fault)
{
    struct ak_extractor_version v = {0};
    enum ak_status status = AK_OK;
    bool head = s->head;

    if (ak_settings_has_network(s) &&
        ak_extractors_find(x, s->extractor, s->extractor_version, &v, NULL) !=
            AK_OK)
        v = (struct ak_extractor_version){0};
    if (wanted != NULL)
        head = strcmp(wanted, "network") == 0;
    else if (promoted)
        head = v.hash_bits > 0;
    if (head)
        status = check_fit(s, &v, wanted != NULL ? "/model/head" : "/extractor",
                           fault);
    if (status == AK_OK)
        s->head = head;
    return status;
}

static enum ak_status check_sizes(const struct ak_encoder *e,
                                  const struct ak_settings *s,
                                  struct ak_err *err)
{
    struct ak_encoder_info info;

    ak_encoder_info(e, &info);
    return info.dim == s->dim && info.bits == s->bits
               ? AK_OK
               : ak_fail(err, AK_EINVAL,
                         "version %u of extractor %s makes codes of %u bits of "
                         "%u numbers, must be %u of %u",
                         s->extractor_version, s->extractor, info.bits,
                         info.dim, s->bits, s->dim);
}

enum ak_status ak_head_get(struct ak_extractors *x, const struct ak_settings *s,
                           struct ak_encoder **out, struct ak_err *err)
{
    struct ak_encoder *e = NULL;
    struct ak_model model = {0};
    void *bytes = NULL;
    size_t len = 0;
    enum ak_status status;

    *out = NULL;
    if (!s->head)
        return AK_OK;
    status = ak_extractors_read(x, s->extractor, s->extractor_version, &bytes,
                                &len, err);
    if (status == AK_OK)
        status = ak_model_read(bytes, len, &model, err);
    free(bytes);
    if (status == AK_OK)
        status = ak_hcdh_head_of(&model, &e, err);
    ak_model_clear(&model);
    if (status == AK_OK)
        status = check_sizes(e, s, err);
    if (status == AK_OK)
        *out = e;
    else if (e != NULL)
        ak_ref_drop(ak_encoder_ref(e));
    return status;
}
