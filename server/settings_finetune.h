/*
 * settings_finetune.h -- when a collection's network is trained on by itself, and
 * how: the member "finetune" of its settings.
 */
#ifndef AK_SERVER_SETTINGS_FINETUNE_H
#define AK_SERVER_SETTINGS_FINETUNE_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "core/base/err.h"

struct ak_fault;

struct ak_finetune_settings {
    bool automatic; /* else by request only */
    bool on_drift;
    uint64_t every_images; /* labelled since the last one */
    uint64_t cooldown_seconds;
    uint32_t epochs, batch;
    double rate;
    double search_share, gate_share; /* of the images, not trained on */
    uint64_t split_seed;
    double seconds;   /* 0: any */
    uint32_t threads; /* 0: all cores but one */
    uint64_t memory_bytes;
    double max_accuracy_loss, max_map_loss, min_accuracy, min_map;
    double min_map_gain;     /* to be beaten by its lower bound; -1: any */
    double max_quality_loss; /* of the promotion */
};

/* `object` NULL: the defaults.  AK_EINVAL fills `error`, AK_ENOMEM. */
enum ak_status ak_finetune_settings_parse(const json_t *object,
                                          struct ak_finetune_settings *out,
                                          struct ak_fault *error) AK_MUST_CHECK;
/* NULL when memory is short. */
json_t *ak_finetune_settings_json(const struct ak_finetune_settings *s);

/* The parts of it that the jobs are asked with; NULL likewise. */
json_t *ak_finetune_params_json(const struct ak_finetune_settings *s);
json_t *ak_finetune_budget_json(const struct ak_finetune_settings *s);
json_t *ak_finetune_gate_json(const struct ak_finetune_settings *s);

#endif
