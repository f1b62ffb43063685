#include "server/settings_finetune.h"

#include <string.h>

#include "server/json_memory.h"
#include "server/train_bounds.h"

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static const struct ak_job_option policy[] = {
    {"policy", AK_OPTION_CHOICE, 0, 0, "manual|auto", "\"manual\""},
    {"every_images", AK_OPTION_INTEGER, 1, 1e12, NULL, "1000"},
    {"on_drift", AK_OPTION_BOOLEAN, 0, 0, NULL, "true"},
    {"cooldown_seconds", AK_OPTION_INTEGER, 0, 1e8, NULL, "3600"},
    {"params", AK_OPTION_OBJECT, 0, 0, NULL, "{}"},
    {"budget", AK_OPTION_OBJECT, 0, 0, NULL, "{}"},
    {"gate", AK_OPTION_OBJECT, 0, 0, NULL, "{}"},
};

static const struct ak_job_option params[] = {
    {"epochs", AK_OPTION_INTEGER, 1, 100000, NULL, AK_FINETUNE_EPOCHS},
    {"batch", AK_OPTION_INTEGER, 1, 4096, NULL, AK_FINETUNE_BATCH},
    {"rate", AK_OPTION_NUMBER, 0, 1000, NULL, AK_FINETUNE_RATE},
    {"splits", AK_OPTION_OBJECT, 0, 0, NULL, "{}"},
};

/* Of the gate: the gain, since nobody looks before it is promoted, and what the
   gate of the promotion allows, which the fine-tuning does not know. */
static const struct ak_job_option gain[] = {
    {"min_map_gain", AK_OPTION_NUMBER, -1, 1, NULL, "0"},
    {"max_quality_loss", AK_OPTION_NUMBER, 0, 1, NULL, "0.02"},
};

static double number_of(const json_t *object, const char *name)
{
    return json_number_value(json_object_get(object, name));
}

static uint64_t whole_of(const json_t *object, const char *name)
{
    return (uint64_t)json_integer_value(json_object_get(object, name));
}

static void read_bounds(const json_t *root, struct ak_finetune_settings *out)
{
    const json_t *how = json_object_get(root, "params");
    const json_t *splits = json_object_get(how, "splits");
    const json_t *budget = json_object_get(root, "budget");
    const json_t *gate = json_object_get(root, "gate");

    out->epochs = (uint32_t)whole_of(how, "epochs");
    out->batch = (uint32_t)whole_of(how, "batch");
    out->rate = number_of(how, "rate");
    out->search_share = number_of(splits, "search");
    out->gate_share = number_of(splits, "gate");
    out->split_seed = whole_of(splits, "seed");
    out->seconds = number_of(budget, "seconds");
    out->threads = (uint32_t)whole_of(budget, "threads");
    out->memory_bytes = whole_of(budget, "memory_bytes");
    out->max_accuracy_loss = number_of(gate, "max_accuracy_loss");
    out->max_map_loss = number_of(gate, "max_map_loss");
    out->min_accuracy = number_of(gate, "min_accuracy");
    out->min_map = number_of(gate, "min_map");
}

/* Those of `gain` are moved from the gate into `own`. */
static enum ak_status take_gain(json_t *gate, json_t *own)
{
    for (size_t i = 0; i < COUNT(gain); i++) {
        json_t *value = json_object_get(gate, gain[i].name);

        if (value != NULL && (json_object_set(own, gain[i].name, value) != 0 ||
                              json_object_del(gate, gain[i].name) != 0))
            return AK_ENOMEM;
    }
    return AK_OK;
}

/* The parts of it; defaults are filled in, those of `gain` into `own`. */
static enum ak_status check_parts(json_t *root, json_t *own,
                                  struct ak_fault *error)
{
    static const char at[] = "/finetune/gate";
    json_t *how = json_object_get(root, "params");
    json_t *gate = json_object_get(root, "gate");
    enum ak_status status = ak_job_options_check(how, "/finetune/params",
                                                 params, COUNT(params), error);

    if (status == AK_OK)
        status = ak_train_check_splits(json_object_get(how, "splits"),
                                       "/finetune/params/splits", true, error);
    if (status == AK_OK)
        status = ak_train_check_budget(json_object_get(root, "budget"),
                                       "/finetune/budget", error);
    if (status == AK_OK)
        status = take_gain(gate, own);
    if (status == AK_OK)
        status = ak_job_options_check(own, at, gain, COUNT(gain), error);
    return status == AK_OK ? ak_train_check_gate(gate, at, error) : status;
}

static void read_all(const json_t *root, const json_t *own,
                     struct ak_finetune_settings *out)
{
    const char *word = json_string_value(json_object_get(root, "policy"));

    out->automatic = strcmp(word, "auto") == 0;
    out->every_images = whole_of(root, "every_images");
    out->on_drift = json_is_true(json_object_get(root, "on_drift"));
    out->cooldown_seconds = whole_of(root, "cooldown_seconds");
    out->min_map_gain = number_of(own, "min_map_gain");
    out->max_quality_loss = number_of(own, "max_quality_loss");
    read_bounds(root, out);
}

enum ak_status ak_finetune_settings_parse(const json_t *object,
                                          struct ak_finetune_settings *out,
                                          struct ak_fault *error)
{
    json_t *root = object != NULL ? json_deep_copy(object) : json_object();
    json_t *own = json_object();
    enum ak_status status = AK_OK;

    if (root == NULL || own == NULL)
        status = AK_ENOMEM;
    else if (!json_is_object(root))
        status = ak_fault_set(error, "/finetune", "validation-failed",
                              "must be an object");
    if (status == AK_OK)
        status = ak_job_options_check(root, "/finetune", policy, COUNT(policy),
                                      error);
    if (status == AK_OK)
        status = check_parts(root, own, error);
    if (status == AK_OK)
        read_all(root, own, out);
    json_decref(root);
    json_decref(own);
    /* Then a default may not be there. */
    return ak_json_memory_short() ? AK_ENOMEM : status;
}

json_t *ak_finetune_params_json(const struct ak_finetune_settings *s)
{
    return json_pack("{s:I, s:I, s:f, s:{s:f, s:f, s:I}}", "epochs",
                     (json_int_t)s->epochs, "batch", (json_int_t)s->batch,
                     "rate", s->rate, "splits", "search", s->search_share,
                     "gate", s->gate_share, "seed", (json_int_t)s->split_seed);
}

json_t *ak_finetune_budget_json(const struct ak_finetune_settings *s)
{
    json_t *threads = s->threads > 0 ? json_integer(s->threads) : NULL;

    if (s->threads > 0 && threads == NULL)
        return NULL;
    return json_pack("{s:f, s:I, s:o*}", "seconds", s->seconds, "memory_bytes",
                     (json_int_t)s->memory_bytes, "threads", threads);
}

json_t *ak_finetune_gate_json(const struct ak_finetune_settings *s)
{
    return json_pack("{s:f, s:f, s:f, s:f, s:f}", "max_accuracy_loss",
                     s->max_accuracy_loss, "max_map_loss", s->max_map_loss,
                     "min_accuracy", s->min_accuracy, "min_map", s->min_map,
                     "min_map_gain", s->min_map_gain);
}

json_t *ak_finetune_settings_json(const struct ak_finetune_settings *s)
{
    json_t *gate = ak_finetune_gate_json(s);

    if (gate != NULL &&
        json_object_set_new(gate, "max_quality_loss",
                            json_real(s->max_quality_loss)) != 0) {
        json_decref(gate);
        gate = NULL;
    }
    /* What could not be made is NULL, with which a pack fails. */
    return json_pack("{s:s, s:I, s:b, s:I, s:o, s:o, s:o}", "policy",
                     s->automatic ? "auto" : "manual", "every_images",
                     (json_int_t)s->every_images, "on_drift", s->on_drift,
                     "cooldown_seconds", (json_int_t)s->cooldown_seconds,
                     "params", ak_finetune_params_json(s), "budget",
                     ak_finetune_budget_json(s), "gate", gate);
}
