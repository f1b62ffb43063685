#include "server/train_bounds.h"

#include <stdio.h>

#define MIN_MEMORY    67108864 /* bytes that a budget may allow */
#define FINETUNE_GATE 0.1      /* share of its images */
#define COUNT(list)   (sizeof(list) / sizeof((list)[0]))

static const struct ak_job_option budget[] = {
    {"seconds", AK_OPTION_NUMBER, 0, 1e9, NULL, "0"},
    {"threads", AK_OPTION_INTEGER, 1, 256, NULL, NULL},
    {"memory_bytes", AK_OPTION_INTEGER, 0, 1e15, NULL, "0"},
};

static const struct ak_job_option gate[] = {
    {"max_accuracy_loss", AK_OPTION_NUMBER, 0, 1, NULL, "0.01"},
    {"max_map_loss", AK_OPTION_NUMBER, 0, 1, NULL, "0.02"},
    {"min_accuracy", AK_OPTION_NUMBER, 0, 1, NULL, "0"},
    {"min_map", AK_OPTION_NUMBER, 0, 1, NULL, "0"},
    {"min_map_gain", AK_OPTION_NUMBER, -1, 1, NULL, "-1"},
};

enum ak_status ak_train_check_budget(json_t *object, const char *pointer,
                                     struct ak_fault *fault)
{
    enum ak_status status =
        ak_job_options_check(object, pointer, budget, COUNT(budget), fault);
    json_int_t memory =
        json_integer_value(json_object_get(object, "memory_bytes"));
    char at[64];

    if (status != AK_OK || memory == 0 || memory >= MIN_MEMORY)
        return status;
    snprintf(at, sizeof(at), "%s/memory_bytes", pointer);
    return ak_fault_set(fault, at, "validation-failed",
                        "must be 0 (any) or at least %d", MIN_MEMORY);
}

static const struct ak_job_option splits[] = {
    {"search", AK_OPTION_NUMBER, 0, 0.45, NULL, "0.05"},
    {"gate", AK_OPTION_NUMBER, 0, 0.45, NULL, "0.05"},
    {"seed", AK_OPTION_INTEGER, 0, 9007199254740992.0, NULL, "0"},
};

enum ak_status ak_train_check_splits(json_t *object, const char *pointer,
                                     bool finetune, struct ak_fault *fault)
{
    if (finetune && json_object_get(object, "gate") == NULL &&
        json_object_set_new(object, "gate", json_real(FINETUNE_GATE)) != 0)
        return AK_ENOMEM;
    return ak_job_options_check(object, pointer, splits, COUNT(splits), fault);
}

enum ak_status ak_train_check_gate(json_t *object, const char *pointer,
                                   struct ak_fault *fault)
{
    return ak_job_options_check(object, pointer, gate, COUNT(gate), fault);
}
