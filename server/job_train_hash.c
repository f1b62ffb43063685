#include "server/job_train_hash.h"

#include <stdio.h>

/* Of new layers from scratch it learns well, and a network that was trained
   before moves a tenth as fast (docs/networks.md). */
#define RATE 0.1
#define BITS 64

static bool put(json_t *params, const char *name, json_t *value)
{
    if (json_object_get(params, name) == NULL)
        return json_object_set_new(params, name, value) == 0;
    json_decref(value);
    return true;
}

/* Of the network to begin with; 0: it makes no codes, or there is none. */
static uint32_t bits_of(struct ak_extractors *x, const json_t *params)
{
    const char *from = json_string_value(json_object_get(params, "from"));
    json_int_t version =
        json_integer_value(json_object_get(params, "from_version"));
    struct ak_extractor_version found;

    return from != NULL && version >= 0 && version <= UINT32_MAX &&
                   ak_extractors_find(x, from, (uint32_t)version, &found,
                                      NULL) == AK_OK
               ? found.hash_bits
               : 0;
}

enum ak_status ak_train_hash_fill(struct ak_extractors *x, json_t *params)
{
    uint32_t bits = bits_of(x, params);
    bool begun = json_object_get(params, "from") != NULL;

    if (bits > 0 && !put(params, "hash", json_string("hcdh")))
        return AK_ENOMEM;
    if (json_object_get(params, "hash") == NULL)
        return AK_OK;
    return put(params, "rate", json_real(RATE)) &&
                   put(params, "bits", json_integer(bits > 0 ? bits : BITS)) &&
                   put(params, "backbone_rate", json_real(begun ? 0.1 : 1)) &&
                   put(params, "code_weight", json_real(1))
               ? AK_OK
               : AK_ENOMEM;
}

enum ak_status ak_train_hash_check(const json_t *params, struct ak_fault *fault)
{
    static const char *const own[] = {"bits", "backbone_rate", "code_weight"};
    char at[64];

    if (json_object_get(params, "hash") != NULL)
        return json_integer_value(json_object_get(params, "bits")) % 8 == 0
                   ? AK_OK
                   : ak_fault_set(fault, "/params/bits", "validation-failed",
                                  "must be a multiple of 8, 8..1024");
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        snprintf(at, sizeof(at), "/params/%s", own[i]);
        if (json_object_get(params, own[i]) != NULL)
            return ak_fault_set(fault, at, "validation-failed",
                                "goes with hash");
    }
    return AK_OK;
}
