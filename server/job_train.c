/*
 * job_train.c -- the job `train`: a network becomes the next version of an
 * extractor.
 *
 *     rows      the images of a collection, if it learns from one
 *     load, train, evaluate, gate, finish     in akin-worker (job_train.c there)
 *     publish   the file becomes a version
 *
 * What is asked is fixed when it begins for the first time: job.json names it,
 * and the published version to compare with and the network to begin with are
 * copied beside it, so that whatever is published meanwhile changes nothing.
 */
#include <config.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/eval/pictures.h"
#include "core/nn/zoo.h"
#include "server/engine_internal.h"
#include "server/extractors.h"
#include "server/job_kinds.h"
#include "server/job_options.h"
#include "server/job_train_hash.h"
#include "server/job_train_rows.h"
#include "server/job_worker.h"
#include "server/json_memory.h"
#include "server/log.h"

#define NICENESS   19
#define PATH_ROOM  AK_JOB_WORKER_PATH
#define MIN_MEMORY 67108864 /* bytes that a budget may allow */

static const struct ak_job_option params[] = {
    {"arch", AK_OPTION_TEXT, 0, 0, NULL, NULL},
    {"from", AK_OPTION_NAME, 0, 0, NULL, NULL},
    {"from_version", AK_OPTION_INTEGER, 1, UINT32_MAX, NULL, NULL},
    {"dataset", AK_OPTION_NAME, 0, 0, NULL, NULL},
    {"collection", AK_OPTION_NAME, 0, 0, NULL, NULL},
    {"epochs", AK_OPTION_INTEGER, 1, 100000, NULL, "10"},
    {"batch", AK_OPTION_INTEGER, 1, 4096, NULL, "128"},
    {"rate", AK_OPTION_NUMBER, 0, 1000, NULL, "0.2"},
    {"schedule", AK_OPTION_CHOICE, 0, 0, "triangular|cosine|step|constant",
     "\"triangular\""},
    {"decay", AK_OPTION_NUMBER, 0, 1, NULL, "0.0005"},
    {"smoothing", AK_OPTION_NUMBER, 0, 0.99, NULL, "0"},
    {"seed", AK_OPTION_INTEGER, 0, 9007199254740992.0, NULL, "0"},
    {"type", AK_OPTION_CHOICE, 0, 0, "f32|bf16", NULL},
    {"engine", AK_OPTION_CHOICE, 0, 0, "onednn|plain", NULL},
    {"splits", AK_OPTION_OBJECT, 0, 0, NULL, "{}"},
    AK_TRAIN_HASH_OPTIONS,
};

static const struct ak_job_option splits[] = {
    {"search", AK_OPTION_NUMBER, 0, 0.45, NULL, "0.05"},
    {"gate", AK_OPTION_NUMBER, 0, 0.45, NULL, "0.05"},
    {"seed", AK_OPTION_INTEGER, 0, 9007199254740992.0, NULL, "0"},
};

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
};

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

/* ------------------------------------------------------------- what is asked */

static const char *text_of(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

static bool dataset_path(const struct ak_engine *engine, const char *name,
                         char path[PATH_ROOM])
{
    const char *dir = engine->params.datasets_dir;
    struct stat st;
    int n = dir != NULL && dir[0] != '\0'
                ? snprintf(path, PATH_ROOM, "%s/%s", dir, name)
                : snprintf(path, PATH_ROOM, "%s/datasets/%s",
                           engine->params.data_dir, name);

    return n > 0 && n < PATH_ROOM && stat(path, &st) == 0 &&
           S_ISDIR(st.st_mode);
}

/* Exactly one of two params. */
static enum ak_status one_of(const json_t *object, const char *a, const char *b,
                             struct ak_settings_error *fault)
{
    bool has_a = json_object_get(object, a) != NULL;
    bool has_b = json_object_get(object, b) != NULL;
    char pointer[64];

    if (has_a != has_b)
        return AK_OK;
    snprintf(pointer, sizeof(pointer), "/params/%s", has_a ? b : a);
    return ak_job_option_fault(fault, "validation-failed", pointer,
                               "one of %s and %s must be given, and no more", a,
                               b);
}

static enum ak_status check_start(struct ak_run_check *check,
                                  struct ak_settings_error *fault)
{
    const char *arch = text_of(check->params, "arch");
    const char *from = text_of(check->params, "from");
    const json_t *version = json_object_get(check->params, "from_version");
    struct ak_extractor_version found;

    if (arch != NULL && ak_arch_find(arch) == NULL)
        return ak_job_option_fault(fault, "unsupported-option", "/params/arch",
                                   "there is no architecture %.60s", arch);
    if (arch != NULL && version != NULL)
        return ak_job_option_fault(fault, "validation-failed",
                                   "/params/from_version", "goes with from");
    if (from == NULL)
        return AK_OK;
    if (ak_extractors_find(ak_engine_extractors(check->engine), from,
                           (uint32_t)json_integer_value(version), &found,
                           NULL) != AK_OK)
        return ak_job_option_fault(fault, "validation-failed",
                                   version != NULL ? "/params/from_version"
                                                   : "/params/from",
                                   "there is no such version of an extractor");
    return json_object_set_new(check->params, "from_version",
                               json_integer(found.version)) == 0
               ? AK_OK
               : AK_ENOMEM;
}

static enum ak_status check_data(struct ak_run_check *check,
                                 struct ak_settings_error *fault)
{
    const char *dataset = text_of(check->params, "dataset");
    const char *name = text_of(check->params, "collection");
    struct ak_collection *c = NULL;
    struct ak_settings settings;
    char path[PATH_ROOM];

    if (dataset != NULL)
        return dataset_path(check->engine, dataset, path)
                   ? AK_OK
                   : ak_job_option_fault(fault, "validation-failed",
                                         "/params/dataset",
                                         "there is no folder %s in "
                                         "datasets_dir",
                                         dataset);
    if (ak_engine_get(check->engine, name, &c, NULL) != AK_OK)
        return ak_job_option_fault(fault, "validation-failed",
                                   "/params/collection",
                                   "there is no such collection");
    ak_collection_settings(c, &settings);
    ak_collection_drop(c);
    return settings.keep_images
               ? AK_OK
               : ak_job_option_fault(fault, "validation-failed",
                                     "/params/collection",
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

static enum ak_status check_budget(json_t *object,
                                   struct ak_settings_error *fault)
{
    enum ak_status status =
        ak_job_options_check(object, "/budget", budget, COUNT(budget), fault);
    json_int_t memory =
        json_integer_value(json_object_get(object, "memory_bytes"));

    if (status == AK_OK && memory > 0 && memory < MIN_MEMORY)
        return ak_job_option_fault(
            fault, "validation-failed", "/budget/memory_bytes",
            "must be 0 (any) or at least %d", MIN_MEMORY);
    return status == AK_OK ? set_threads(object) : status;
}

static enum ak_status check_gate(struct ak_run_check *check,
                                 struct ak_settings_error *fault)
{
    if (!check->gate_given) {
        json_decref(check->gate);
        check->gate = json_object();
    }
    return json_is_null(check->gate)
               ? AK_OK
               : ak_job_options_check(check->gate, "/gate", gate, COUNT(gate),
                                      fault);
}

static enum ak_status train_check(struct ak_run_check *check,
                                  struct ak_settings_error *fault)
{
    enum ak_status status;

    if (!ak_settings_good_name(check->target))
        return ak_job_option_fault(
            fault, "validation-failed", "/target",
            "must be the name of an extractor, there or to be: "
            "^[a-z0-9][a-z0-9_-]{0,62}$");
    status =
        ak_train_hash_fill(ak_engine_extractors(check->engine), check->params);
    if (status == AK_OK)
        status = ak_job_options_check(check->params, "/params", params,
                                      COUNT(params), fault);
    if (status == AK_OK)
        status = ak_train_hash_check(check->params, fault);
    if (status == AK_OK)
        status = ak_job_options_check(json_object_get(check->params, "splits"),
                                      "/params/splits", splits, COUNT(splits),
                                      fault);
    if (status == AK_OK)
        status = one_of(check->params, "arch", "from", fault);
    if (status == AK_OK)
        status = one_of(check->params, "dataset", "collection", fault);
    if (status == AK_OK)
        status = check_start(check, fault);
    if (status == AK_OK)
        status = check_data(check, fault);
    if (status == AK_OK)
        status = check_budget(check->budget, fault);
    return status == AK_OK ? check_gate(check, fault) : status;
}

/* ----------------------------------------------------------------- beginning */

enum where { ROWS, WORK, PUT, PUTTING, DONE };

/* A version on its way: of the run, and of the writer's thread, which may tell
   when the run has been ended already, with the daemon. */
struct putting {
    atomic_uint refs;
    struct ak_run *run; /* held */
    pthread_mutex_t lock;
    bool over;
    enum ak_status status;
    uint32_t version;
    struct ak_err err;
};

struct train {
    struct ak_job_worker *worker;
    struct ak_train_rows *rows;
    enum where where;
    json_t *result;
    struct putting *putting; /* NULL: none yet */
};

/* A version's file beside job.json.  AK_ENOTFOUND: there is none. */
static enum ak_status copy_version(struct ak_run *run, const struct train *t,
                                   const char *name, uint32_t version,
                                   const char *file, struct ak_err *err)
{
    struct ak_extractors *x = ak_engine_extractors(ak_run_engine(run));
    struct ak_extractor_version found;
    void *bytes = NULL;
    size_t len = 0;
    enum ak_status status = ak_extractors_find(x, name, version, &found, err);

    if (status == AK_OK)
        status = ak_extractors_read(x, name, found.version, &bytes, &len, err);
    if (status == AK_OK)
        status = ak_job_worker_put(t->worker, file, bytes, len, err);
    free(bytes);
    return status;
}

static enum ak_status copy_versions(struct ak_run *run, const struct train *t,
                                    struct ak_err *err)
{
    const json_t *p = ak_run_params(run);
    const char *from = text_of(p, "from");
    enum ak_status status =
        copy_version(run, t, ak_run_target(run), 0, "published.akx", err);

    if (status == AK_ENOTFOUND)
        status = AK_OK;
    if (status == AK_OK && from != NULL)
        status = copy_version(
            run, t, from,
            (uint32_t)json_integer_value(json_object_get(p, "from_version")),
            "from.akx", err);
    return status;
}

/* `data` is stolen. */
static enum ak_status put_job(struct ak_run *run, const struct train *t,
                              json_t *data, struct ak_err *err)
{
    json_t *root = json_pack("{s:s, s:i, s:o, s:O, s:O, s:O}", "program",
                             "train", "niceness", NICENESS, "data", data,
                             "params", (json_t *)(uintptr_t)ak_run_params(run),
                             "budget", (json_t *)(uintptr_t)ak_run_budget(run),
                             "gate", (json_t *)(uintptr_t)ak_run_gate(run));
    char *text = root != NULL ? ak_json_text(root, JSON_COMPACT) : NULL;
    enum ak_status status =
        text != NULL
            ? ak_job_worker_put(t->worker, "job.json", text, strlen(text), err)
            : ak_fail(err, AK_ENOMEM, "no memory for a job");

    free(text);
    json_decref(root);
    return status;
}

static enum ak_status begin_dataset(struct ak_run *run, const struct train *t,
                                    struct ak_err *err)
{
    const char *name = text_of(ak_run_params(run), "dataset");
    char path[PATH_ROOM];

    if (!dataset_path(ak_run_engine(run), name, path))
        return ak_fail(err, AK_ENOTFOUND, "there is no data set %s any more",
                       name);
    return put_job(
        run, t,
        json_pack("{s:s, s:s}", "kind", ak_picture_kind(path), "folder", path),
        err);
}

static enum ak_status begin_rows(struct ak_run *run, struct train *t,
                                 struct ak_err *err)
{
    const char *name = text_of(ak_run_params(run), "collection");
    struct ak_collection *c = NULL;
    char path[PATH_ROOM];
    enum ak_status status = ak_engine_get(ak_run_engine(run), name, &c, err);

    if (status != AK_OK)
        return status;
    ak_job_worker_path(t->worker, "rows", path);
    status = ak_train_rows_create(c, path, &t->rows, err);
    ak_collection_drop(c);
    t->where = ROWS;
    return status;
}

static enum ak_status train_begin(struct ak_run *run, struct ak_err *err)
{
    struct train *t = calloc(1, sizeof(*t));
    enum ak_status status;

    if (t == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for a training");
    *ak_run_data(run) = t;
    t->where = WORK;
    status = ak_job_worker_begin(run, &t->worker, err);
    if (status != AK_OK || ak_job_worker_has(t->worker, "job.json"))
        return status;
    status = copy_versions(run, t, err);
    if (status != AK_OK)
        return status;
    return text_of(ak_run_params(run), "dataset") != NULL
               ? begin_dataset(run, t, err)
               : begin_rows(run, t, err);
}

/* ------------------------------------------------------------------- working */

static enum ak_run_step export_rows(struct ak_run *run, struct train *t,
                                    struct ak_err *err)
{
    struct ak_train_rows_progress p;

    if (ak_train_rows_step(t->rows, &p, err) != AK_OK)
        return AK_STEP_FAILED;
    ak_run_progress(run, "rows", p.done, p.total);
    if (!p.over)
        return AK_STEP_MORE;
    ak_train_rows_destroy(t->rows);
    t->rows = NULL;
    if (p.images == 0) {
        ak_fail(err, AK_EINVAL,
                "the collection has no item with a label and an image");
        return AK_STEP_FAILED;
    }
    ak_run_log(run, AK_LOG_INFO, "%llu images of %llu classes",
               (unsigned long long)p.images, (unsigned long long)p.classes);
    if (put_job(
            run, t,
            json_pack("{s:s, s:I}", "kind", "rows", "n", (json_int_t)p.images),
            err) != AK_OK)
        return AK_STEP_FAILED;
    t->where = WORK;
    return AK_STEP_MORE;
}

static enum ak_run_step work(struct train *t, struct ak_err *err)
{
    enum ak_run_step step = ak_job_worker_step(t->worker, err);

    if (step != AK_STEP_DONE)
        return step;
    t->result = ak_job_worker_result(t->worker, err);
    if (t->result == NULL)
        return AK_STEP_FAILED;
    t->where = PUT;
    return AK_STEP_MORE;
}

static void drop_putting(struct putting *p)
{
    if (p == NULL || atomic_fetch_sub(&p->refs, 1) != 1)
        return;
    ak_run_drop(p->run);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

static void on_put(void *arg, enum ak_status status, uint32_t version,
                   const struct ak_err *err)
{
    struct putting *p = arg;

    pthread_mutex_lock(&p->lock);
    p->over = true;
    p->status = status;
    p->version = version;
    if (status != AK_OK && err != NULL)
        p->err = *err;
    pthread_mutex_unlock(&p->lock);
    ak_run_wake(p->run);
    drop_putting(p);
}

static enum ak_run_step put(struct ak_run *run, struct train *t,
                            struct ak_err *err)
{
    struct putting *p;
    char path[PATH_ROOM];

    if (!ak_run_no_return(run))
        return AK_STEP_MORE;
    p = calloc(1, sizeof(*p));
    if (p == NULL) {
        ak_fail(err, AK_ENOMEM, "no memory for a version");
        return AK_STEP_FAILED;
    }
    atomic_init(&p->refs, 2);
    pthread_mutex_init(&p->lock, NULL);
    p->run = ak_run_hold(run);
    t->putting = p;
    t->where = PUTTING;
    ak_run_progress(run, "publish", 0, 1);
    ak_job_worker_path(t->worker, "model.akx", path);
    ak_extractors_put(ak_engine_extractors(ak_run_engine(run)),
                      ak_run_target(run), path, ak_run_id(run), on_put, p);
    return AK_STEP_WAIT;
}

static enum ak_run_step look_at_put(struct ak_run *run, struct train *t,
                                    struct ak_err *err)
{
    struct putting *p = t->putting;
    bool over;

    pthread_mutex_lock(&p->lock);
    over = p->over;
    pthread_mutex_unlock(&p->lock);
    if (!over)
        return AK_STEP_WAIT;
    if (p->status != AK_OK) {
        ak_fail(err, p->status, "the version: %s", p->err.text);
        return AK_STEP_FAILED;
    }
    json_object_set_new(t->result, "extractor",
                        json_string(ak_run_target(run)));
    json_object_set_new(t->result, "version",
                        json_integer((json_int_t)p->version));
    ak_run_progress(run, "publish", 1, 1);
    ak_run_result(run, json_incref(t->result));
    t->where = DONE;
    return AK_STEP_DONE;
}

static enum ak_run_step train_step(struct ak_run *run, struct ak_err *err)
{
    struct train *t = *ak_run_data(run);

    switch (t->where) {
    case ROWS:
        return export_rows(run, t, err);
    case WORK:
        return work(t, err);
    case PUT:
        return put(run, t, err);
    case PUTTING:
        return look_at_put(run, t, err);
    case DONE:
        break;
    }
    return AK_STEP_DONE;
}

static bool train_rest(struct ak_run *run)
{
    struct train *t = *ak_run_data(run);

    return ak_job_worker_rest(t->worker);
}

static void train_end(struct ak_run *run, enum ak_run_state why)
{
    struct train *t = *ak_run_data(run);

    ak_job_worker_end(t != NULL ? t->worker : NULL, run, why);
    if (t == NULL)
        return;
    ak_train_rows_destroy(t->rows);
    json_decref(t->result);
    drop_putting(t->putting);
    free(t);
    *ak_run_data(run) = NULL;
}

const struct ak_run_kind ak_run_train = {
    .name = "train",
    .help = "train a network, which becomes a version of an extractor",
    .exclusive = "train",
    .check = train_check,
    .begin = train_begin,
    .step = train_step,
    .rest = train_rest,
    .end = train_end,
};
