/* job_train_ask.c -- what the jobs `train` and `finetune` may be asked. */
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/nn/zoo.h"
#include "server/engine_internal.h"
#include "server/extractors.h"
#include "server/job_options.h"
#include "server/job_train.h"
#include "server/job_train_hash.h"
#include "server/job_worker.h"
#include "server/train_bounds.h"

/* clang-format off */
#define STEPS                                                                 \
    {"batch", AK_OPTION_INTEGER, 1, 4096, NULL, "128"},                        \
    {"schedule", AK_OPTION_CHOICE, 0, 0, "triangular|cosine|step|constant",    \
     "\"triangular\""},                                                        \
    {"decay", AK_OPTION_NUMBER, 0, 1, NULL, "0.0005"},                         \
    {"smoothing", AK_OPTION_NUMBER, 0, 0.99, NULL, "0"},                       \
    {"seed", AK_OPTION_INTEGER, 0, 9007199254740992.0, NULL, "0"},             \
    {"type", AK_OPTION_CHOICE, 0, 0, "f32|bf16", NULL},                        \
    {"engine", AK_OPTION_CHOICE, 0, 0, "onednn|plain", NULL},                  \
    {"splits", AK_OPTION_OBJECT, 0, 0, NULL, "{}"},                            \
    AK_TRAIN_HASH_OPTIONS
/* clang-format on */

static const struct ak_job_option train_params[] = {
    {"arch", AK_OPTION_TEXT, 0, 0, NULL, NULL},
    {"from", AK_OPTION_NAME, 0, 0, NULL, NULL},
    {"from_version", AK_OPTION_INTEGER, 1, UINT32_MAX, NULL, NULL},
    {"dataset", AK_OPTION_NAME, 0, 0, NULL, NULL},
    {"collection", AK_OPTION_NAME, 0, 0, NULL, NULL},
    {"epochs", AK_OPTION_INTEGER, 1, 100000, NULL, "10"},
    {"rate", AK_OPTION_NUMBER, 0, 1000, NULL, "0.2"},
    STEPS,
};

/* Of `finetune`: its network and its images are the collection's. */
static const struct ak_job_option finetune_params[] = {
    {"from_version", AK_OPTION_INTEGER, 1, UINT32_MAX, NULL, NULL},
    {"reason", AK_OPTION_TEXT, 0, 0, NULL, "\"request\""},
    {"epochs", AK_OPTION_INTEGER, 1, 100000, NULL, AK_FINETUNE_EPOCHS},
    {"rate", AK_OPTION_NUMBER, 0, 1000, NULL, AK_FINETUNE_RATE},
    STEPS,
};

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

/* ------------------------------------------------------------- what is asked */

static const char *text_of(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

bool ak_train_dataset(const struct ak_engine *engine, const char *name,
                      char path[AK_JOB_WORKER_PATH])
{
    const char *dir = engine->params.datasets_dir;
    struct stat st;
    int n = dir != NULL && dir[0] != '\0'
                ? snprintf(path, AK_JOB_WORKER_PATH, "%s/%s", dir, name)
                : snprintf(path, AK_JOB_WORKER_PATH, "%s/datasets/%s",
                           engine->params.data_dir, name);

    return n > 0 && n < AK_JOB_WORKER_PATH && stat(path, &st) == 0 &&
           S_ISDIR(st.st_mode);
}

/* Exactly one of two params. */
static enum ak_status one_of(const json_t *object, const char *a, const char *b,
                             struct ak_fault *fault)
{
    bool has_a = json_object_get(object, a) != NULL;
    bool has_b = json_object_get(object, b) != NULL;
    char pointer[64];

    if (has_a != has_b)
        return AK_OK;
    snprintf(pointer, sizeof(pointer), "/params/%s", has_a ? b : a);
    return ak_fault_set(fault, pointer, "validation-failed",
                        "one of %s and %s must be given, and no more", a, b);
}

static enum ak_status check_start(struct ak_run_check *check,
                                  struct ak_fault *fault)
{
    const char *arch = text_of(check->params, "arch");
    const char *from = text_of(check->params, "from");
    const json_t *version = json_object_get(check->params, "from_version");
    struct ak_extractor_version found;

    if (arch != NULL && ak_arch_find(arch) == NULL)
        return ak_fault_set(fault, "/params/arch", "unsupported-option",
                            "there is no architecture %.60s", arch);
    if (arch != NULL && version != NULL)
        return ak_fault_set(fault, "/params/from_version", "validation-failed",
                            "goes with from");
    if (from == NULL)
        return AK_OK;
    if (ak_extractors_find(ak_engine_extractors(check->engine), from,
                           (uint32_t)json_integer_value(version), &found,
                           NULL) != AK_OK)
        return ak_fault_set(
            fault, version != NULL ? "/params/from_version" : "/params/from",
            "validation-failed", "there is no such version of an extractor");
    return json_object_set_new(check->params, "from_version",
                               json_integer(found.version)) == 0
               ? AK_OK
               : AK_ENOMEM;
}

static enum ak_status check_data(struct ak_run_check *check,
                                 struct ak_fault *fault)
{
    const char *dataset = text_of(check->params, "dataset");
    const char *name = text_of(check->params, "collection");
    struct ak_collection *c = NULL;
    struct ak_settings settings;
    char path[AK_JOB_WORKER_PATH];

    if (dataset != NULL)
        return ak_train_dataset(check->engine, dataset, path)
                   ? AK_OK
                   : ak_fault_set(fault, "/params/dataset", "validation-failed",
                                  "there is no folder %s in "
                                  "datasets_dir",
                                  dataset);
    if (ak_engine_get(check->engine, name, &c, NULL) != AK_OK)
        return ak_fault_set(fault, "/params/collection", "validation-failed",
                            "there is no such collection");
    ak_collection_settings(c, &settings);
    ak_collection_drop(c);
    return settings.keep_images
               ? AK_OK
               : ak_fault_set(fault, "/params/collection", "validation-failed",
                              "it keeps no images: its images.store is "
                              "none");
}

/* All cores but one, which serves. */
static enum ak_status set_threads(json_t *object)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    if (json_object_get(object, "threads") != NULL)
        return AK_OK;
    return json_object_set_new(object, "threads",
                               json_integer(cores > 1 ? cores - 1 : 1)) == 0
               ? AK_OK
               : AK_ENOMEM;
}

static enum ak_status check_budget(json_t *object, struct ak_fault *fault)
{
    enum ak_status status = ak_train_check_budget(object, "/budget", fault);

    return status == AK_OK ? set_threads(object) : status;
}

static enum ak_status check_gate(struct ak_run_check *check,
                                 struct ak_fault *fault)
{
    if (!check->gate_given) {
        json_decref(check->gate);
        check->gate = json_object();
    }
    return json_is_null(check->gate)
               ? AK_OK
               : ak_train_check_gate(check->gate, "/gate", fault);
}

/* What both kinds have beside their start and their images. */
static enum ak_status check_rest(struct ak_run_check *check, bool finetune,
                                 struct ak_fault *fault)
{
    enum ak_status status = ak_train_hash_check(check->params, fault);

    if (status == AK_OK)
        status = ak_train_check_splits(json_object_get(check->params, "splits"),
                                       "/params/splits", finetune, fault);
    if (status == AK_OK)
        status = check_budget(check->budget, fault);
    return status == AK_OK ? check_gate(check, fault) : status;
}

enum ak_status ak_train_check(struct ak_run_check *check,
                              struct ak_fault *fault)
{
    enum ak_status status;

    if (!ak_settings_good_name(check->target))
        return ak_fault_set(fault, "/target", "validation-failed",
                            "must be the name of an extractor, there or to be: "
                            "^[a-z0-9][a-z0-9_-]{0,62}$");
    status =
        ak_train_hash_fill(ak_engine_extractors(check->engine), check->params);
    if (status == AK_OK)
        status = ak_job_options_check(check->params, "/params", train_params,
                                      COUNT(train_params), fault);
    if (status == AK_OK)
        status = one_of(check->params, "arch", "from", fault);
    if (status == AK_OK)
        status = one_of(check->params, "dataset", "collection", fault);
    if (status == AK_OK)
        status = check_start(check, fault);
    if (status == AK_OK)
        status = check_data(check, fault);
    return status == AK_OK ? check_rest(check, false, fault) : status;
}

/* The network that the collection serves, or another version of it, and the
   collection itself: written there as if they had been asked of `train`. */
static enum ak_status take_collection(struct ak_run_check *check,
                                      struct ak_fault *fault)
{
    struct ak_settings served;
    json_t *version = json_object_get(check->params, "from_version");

    ak_collection_served_settings(check->c, &served);
    if (!ak_settings_has_network(&served))
        return ak_fault_set(fault, "/target", "unsupported-option",
                            "no network makes the vectors of this collection");
    if (!served.keep_images)
        return ak_fault_set(fault, "/target", "unsupported-option",
                            "it keeps no images: its images.store is "
                            "none");
    if (json_object_set_new(check->params, "from",
                            json_string(served.extractor)) != 0 ||
        json_object_set_new(check->params, "collection",
                            json_string(check->target)) != 0 ||
        (version == NULL &&
         json_object_set_new(check->params, "from_version",
                             json_integer(served.extractor_version)) != 0))
        return AK_ENOMEM;
    return check_start(check, fault);
}

enum ak_status ak_finetune_check(struct ak_run_check *check,
                                 struct ak_fault *fault)
{
    enum ak_status status =
        ak_job_options_check(check->params, "/params", finetune_params,
                             COUNT(finetune_params), fault);

    if (status == AK_OK)
        status = take_collection(check, fault);
    if (status == AK_OK)
        status = ak_train_hash_fill(ak_engine_extractors(check->engine),
                                    check->params);
    return status == AK_OK ? check_rest(check, true, fault) : status;
}
