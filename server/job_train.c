/*
 * job_train.c -- the jobs `train` and `finetune`: a network becomes the next
 * version of an extractor.
 *
 *     rows      the images of a collection, if it learns from one
 *     load, train, evaluate, gate, finish     in akin-worker (job_train.c there)
 *     publish   the file becomes a version
 *
 * What is asked is fixed when it begins for the first time: job.json names it,
 * and the published version to compare with and the network to begin with are
 * copied beside it, so that whatever is published meanwhile changes nothing.
 *
 * The two differ in what they are asked (job_train_ask.c), in whose version comes
 * of it, and in what it is compared with: `finetune` begins with what a collection
 * serves, and must not be worse than that.
 */
#include <config.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/eval/pictures.h"
#include "server/engine_internal.h"
#include "server/extractor_files.h"
#include "server/extractors.h"
#include "server/job_kinds.h"
#include "server/job_train.h"
#include "server/job_train_rows.h"
#include "server/job_worker.h"
#include "server/json_memory.h"
#include "server/log.h"

#define NICENESS  19
#define PATH_ROOM AK_JOB_WORKER_PATH

static const char *text_of(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

/* ----------------------------------------------------------------- beginning */

enum where { ROWS, WORK, PUT, PUTTING, NOTING, DONE };

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
    struct ak_collection *c;    /* whose rows; held */
    uint64_t labelled;          /* images that were there when it began */
    uint64_t wait_seq;          /* until this record is visible */
    struct ak_train_rows *rows; /* NULL: not yet, or not any more */
    enum where where;
    json_t *result;
    struct putting *putting; /* NULL: none yet */
};

/* Whose next version comes of it. */
static const char *extractor_of(struct ak_run *run)
{
    return ak_run_collection(run) != NULL ? text_of(ak_run_params(run), "from")
                                          : ak_run_target(run);
}

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

/* What it is compared with: of a collection the version that it serves, else the
   one that new collections get. */
static enum ak_status copy_published(struct ak_run *run, const struct train *t,
                                     struct ak_err *err)
{
    struct ak_settings served;

    if (ak_run_collection(run) == NULL)
        return copy_version(run, t, ak_run_target(run), 0, "published.akx",
                            err);
    ak_collection_served_settings(ak_run_collection(run), &served);
    return copy_version(run, t, served.extractor, served.extractor_version,
                        "published.akx", err);
}

static enum ak_status copy_versions(struct ak_run *run, const struct train *t,
                                    struct ak_err *err)
{
    const json_t *p = ak_run_params(run);
    const char *from = text_of(p, "from");
    enum ak_status status = copy_published(run, t, err);

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

    if (!ak_train_dataset(ak_run_engine(run), name, path))
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
    struct ak_collection_status now;
    enum ak_status status = ak_engine_get(ak_run_engine(run), name, &t->c, err);

    if (status != AK_OK)
        return status;
    ak_collection_status(t->c, &now);
    t->wait_seq = now.durable_seq;
    t->labelled = now.labelled_images;
    t->where = ROWS;
    return AK_OK;
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

/* What was stored when it began is to be learnt: DONE, when all of it is seen. */
static enum ak_run_step begin_export(struct train *t, struct ak_err *err)
{
    struct ak_collection_status now;
    char path[PATH_ROOM];

    ak_collection_status(t->c, &now);
    if (now.visible_seq < t->wait_seq && now.broken) {
        ak_fail(err, AK_EIO, "indexing stopped; see the log");
        return AK_STEP_FAILED;
    }
    if (now.visible_seq < t->wait_seq)
        return AK_STEP_WAIT;
    ak_job_worker_path(t->worker, "rows", path);
    return ak_train_rows_create(t->c, path, &t->rows, err) == AK_OK
               ? AK_STEP_DONE
               : AK_STEP_FAILED;
}

static enum ak_run_step export_rows(struct ak_run *run, struct train *t,
                                    struct ak_err *err)
{
    struct ak_train_rows_progress p;
    enum ak_run_step step = AK_STEP_DONE;
    enum ak_status status;

    if (t->rows == NULL)
        step = begin_export(t, err);
    if (step != AK_STEP_DONE)
        return step;
    if (ak_train_rows_step(t->rows, &p, err) != AK_OK)
        return AK_STEP_FAILED;
    ak_run_progress(run, "rows", p.done, p.total);
    if (!p.over)
        return AK_STEP_MORE;
    if (p.images == 0) {
        ak_fail(err, AK_EINVAL,
                "the collection has no item with a label and an image");
        return AK_STEP_FAILED;
    }
    if (p.classes < 2) {
        ak_fail(err, AK_EINVAL,
                "all items with an image have one label: there is nothing to "
                "tell apart");
        return AK_STEP_FAILED;
    }
    ak_run_log(run, AK_LOG_INFO, "%llu images of %llu classes",
               (unsigned long long)p.images, (unsigned long long)p.classes);
    status = put_job(run, t,
                     json_pack("{s:s, s:I, s:I, s:O}", "kind", "rows", "n",
                               (json_int_t)p.images, "labelled",
                               (json_int_t)t->labelled, "classes",
                               ak_train_rows_classes(t->rows)),
                     err);
    ak_train_rows_destroy(t->rows);
    t->rows = NULL;
    if (status != AK_OK)
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

/* In the place of the one before; false when memory is short. */
static bool new_putting(struct ak_run *run, struct train *t)
{
    struct putting *p = calloc(1, sizeof(*p));

    if (p == NULL)
        return false;
    atomic_init(&p->refs, 2);
    pthread_mutex_init(&p->lock, NULL);
    p->run = ak_run_hold(run);
    drop_putting(t->putting);
    t->putting = p;
    return true;
}

/* A copy of the model for the version, which takes the file: the job keeps its
   own until it has ended, for who is killed in between puts it again. */
static enum ak_status copy_model(struct ak_run *run, const struct train *t,
                                 char copy[AK_EXTRACTORS_PATH],
                                 struct ak_err *err)
{
    struct ak_extractors *x = ak_engine_extractors(ak_run_engine(run));
    char path[PATH_ROOM];
    uint8_t sha256[AK_SHA256_LEN];
    void *bytes = NULL;
    size_t len = 0;
    enum ak_status status = ak_extractors_room(x, copy, err);

    ak_job_worker_path(t->worker, "model.akx", path);
    if (status == AK_OK)
        status = ak_extractor_file_read(path, AK_EXTRACTORS_FILE, &bytes, &len,
                                        sha256, err);
    if (status == AK_OK)
        status = ak_extractor_file_write(copy, bytes, len, err);
    free(bytes);
    return status;
}

static enum ak_run_step put(struct ak_run *run, struct train *t,
                            struct ak_err *err)
{
    char copy[AK_EXTRACTORS_PATH];

    if (!ak_run_no_return(run))
        return AK_STEP_MORE;
    if (copy_model(run, t, copy, err) != AK_OK) {
        ak_err_context(err, "the version");
        return AK_STEP_FAILED;
    }
    if (!new_putting(run, t)) {
        unlink(copy);
        ak_fail(err, AK_ENOMEM, "no memory for a version");
        return AK_STEP_FAILED;
    }
    t->where = PUTTING;
    ak_run_progress(run, "publish", 0, 1);
    ak_extractors_put(ak_engine_extractors(ak_run_engine(run)),
                      extractor_of(run), copy, ak_run_id(run), on_put,
                      t->putting);
    return AK_STEP_WAIT;
}

/* Whether the writer has answered. */
static bool is_over(struct putting *p)
{
    bool over;

    pthread_mutex_lock(&p->lock);
    over = p->over;
    pthread_mutex_unlock(&p->lock);
    return over;
}

static void on_noted(void *arg, enum ak_status status, const struct ak_err *err)
{
    on_put(arg, status, 0, err);
}

/* What the collection counts since its last fine-tuning begins anew, before this
   one is over: a policy that sees its end must not count the same again. */
static enum ak_run_step note(struct ak_run *run, struct train *t)
{
    uint64_t labelled =
        (uint64_t)json_integer_value(json_object_get(t->result, "labelled"));

    if (!new_putting(run, t))
        return AK_STEP_MORE; /* and again */
    t->where = NOTING;
    ak_collection_note_finetune(ak_run_collection(run), labelled, on_noted,
                                t->putting);
    return AK_STEP_WAIT;
}

static enum ak_run_step finish(struct ak_run *run, struct train *t)
{
    ak_run_progress(run, "publish", 1, 1);
    ak_run_result(run, json_incref(t->result));
    t->where = DONE;
    return AK_STEP_DONE;
}

static enum ak_run_step look_at_put(struct ak_run *run, struct train *t,
                                    struct ak_err *err)
{
    const struct putting *p = t->putting;

    if (!is_over(t->putting))
        return AK_STEP_WAIT;
    if (p->status != AK_OK) {
        ak_fail(err, p->status, "the version: %s", p->err.text);
        return AK_STEP_FAILED;
    }
    json_object_set_new(t->result, "extractor", json_string(extractor_of(run)));
    json_object_set_new(t->result, "version",
                        json_integer((json_int_t)p->version));
    return ak_run_collection(run) != NULL ? note(run, t) : finish(run, t);
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
    case NOTING:
        /* One that was not stored is known until the daemon ends. */
        return is_over(t->putting) ? finish(run, t) : AK_STEP_WAIT;
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
    ak_collection_drop(t->c);
    json_decref(t->result);
    drop_putting(t->putting);
    free(t);
    *ak_run_data(run) = NULL;
}

const struct ak_run_kind ak_run_train = {
    .name = "train",
    .help = "train a network, which becomes a version of an extractor",
    .exclusive = "train",
    .check = ak_train_check,
    .begin = train_begin,
    .step = train_step,
    .rest = train_rest,
    .end = train_end,
};

const struct ak_run_kind ak_run_finetune = {
    .name = "finetune",
    .help = "train the network of a collection on with its images and labels",
    .on_collection = true,
    .exclusive = "finetune",
    .check = ak_finetune_check,
    .begin = train_begin,
    .step = train_step,
    .rest = train_rest,
    .end = train_end,
};
