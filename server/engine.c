/*
 * engine.c -- the data directory: making, finding, loading and removing
 * collections, and the clockwork around them.
 *
 * The engine's lock guards the sorted array of collections and the progress.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/moment.h"
#include "core/base/rng.h"
#include "server/backup.h"
#include "server/engine_internal.h"
#include "server/extractors.h"
#include "server/job_kind.h"
#include "server/log.h"
#include "server/shipped.h"

#define WORK_NICE    5
#define MAX_PATH_LEN 4096

/* ---------------------------------------------------------- the collections */

static void hold_indexer(struct ak_actor *actor)
{
    ak_collection_ref(ak_indexer_owner(actor));
}

static void drop_indexer(struct ak_actor *actor)
{
    ak_collection_drop(ak_indexer_owner(actor));
}

static void hold_partitioner(struct ak_actor *actor)
{
    ak_collection_ref(ak_partitioner_owner(actor));
}

static void drop_partitioner(struct ak_actor *actor)
{
    ak_collection_drop(ak_partitioner_owner(actor));
}

static void hold_learner(struct ak_actor *actor)
{
    ak_collection_ref(ak_learner_owner(actor));
}

static void drop_learner(struct ak_actor *actor)
{
    ak_collection_drop(ak_learner_owner(actor));
}

enum ak_status ak_collection_new(struct ak_engine *e,
                                 const struct ak_settings *settings,
                                 uint64_t file, struct ak_collection **out,
                                 struct ak_err *err)
{
    struct ak_collection *c = calloc(1, sizeof(*c));
    char path[MAX_PATH_LEN];
    enum ak_status status;

    if (c == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for a collection");
    if (!ak_catalog_path(e->catalog, file, path, sizeof(path))) {
        free(c);
        return ak_fail(err, AK_EINVAL, "the data directory's name is too long");
    }
    pthread_mutex_init(&c->lock, NULL);
    ak_gather_init(&c->gather);
    atomic_init(&c->refs, 1);
    atomic_init(&c->learner.saving, false);
    c->engine = e;
    c->settings = *settings;
    c->file = file;
    c->path = strdup(path);
    c->state = AK_LOADING;
    c->indexer.actor = (struct ak_actor){.pool = e->work,
                                         .slice = ak_indexer_slice,
                                         .hold = hold_indexer,
                                         .drop = drop_indexer};
    ak_packer_init(&c->indexer.packer);
    atomic_init(&c->partitioner.ready, false);
    c->partitioner.actor = (struct ak_actor){.pool = e->work,
                                             .slice = ak_partitioner_slice,
                                             .hold = hold_partitioner,
                                             .drop = drop_partitioner};
    c->learner.actor = (struct ak_actor){.pool = e->work,
                                         .slice = ak_learner_slice,
                                         .hold = hold_learner,
                                         .drop = drop_learner};
    c->learner.saved_ns = ak_clock_ns();
    status = ak_labels_create(&c->labels, err);
    if (c->path == NULL)
        status = ak_fail(err, AK_ENOMEM, "no memory for a collection");
    if (status != AK_OK) {
        ak_collection_drop(c);
        return status;
    }
    *out = c;
    return AK_OK;
}

/* Where `name` is, or belongs; under the lock. */
static size_t place_of(const struct ak_engine *e, const char *name, bool *found)
{
    size_t low = 0, high = e->n;

    *found = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(e->collections[middle]->settings.name, name);

        if (order == 0) {
            *found = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Takes over the caller's reference. */
static enum ak_status insert(struct ak_engine *e, struct ak_collection *c,
                             struct ak_err *err)
{
    enum ak_status status = AK_OK;
    size_t at;
    bool found;

    pthread_mutex_lock(&e->lock);
    if (e->n == e->cap) {
        size_t cap = e->cap ? 2 * e->cap : 16;
        struct ak_collection **grown =
            realloc(e->collections, cap * sizeof(struct ak_collection *));

        if (grown == NULL) {
            status = ak_fail(err, AK_ENOMEM, "no memory for a collection");
        } else {
            e->collections = grown;
            e->cap = cap;
        }
    }
    if (status == AK_OK) {
        at = place_of(e, c->settings.name, &found);
        memmove(&e->collections[at + 1], &e->collections[at],
                (e->n - at) * sizeof(struct ak_collection *));
        e->collections[at] = c;
        e->n++;
        e->progress.collections++;
    }
    pthread_mutex_unlock(&e->lock);
    return status;
}

/* The collection of a name with a reference, in whatever state, or NULL. */
static struct ak_collection *find(struct ak_engine *e, const char *name)
{
    struct ak_collection *c = NULL;
    bool found;
    size_t at;

    pthread_mutex_lock(&e->lock);
    at = place_of(e, name, &found);
    if (found)
        c = ak_collection_ref(e->collections[at]);
    pthread_mutex_unlock(&e->lock);
    return c;
}

static int state_of(struct ak_collection *c)
{
    int state;

    pthread_mutex_lock(&c->lock);
    state = (int)c->state;
    pthread_mutex_unlock(&c->lock);
    return state;
}

enum ak_status ak_engine_get(struct ak_engine *e, const char *name,
                             struct ak_collection **out, struct ak_err *err)
{
    struct ak_collection *c = find(e, name);
    int state = c != NULL ? state_of(c) : AK_GONE;

    if (state == AK_SERVING) {
        *out = c;
        return AK_OK;
    }
    ak_collection_drop(c);
    if (state == AK_LOADING)
        return ak_fail(err, AK_EBUSY, "collection \"%s\" is being loaded",
                       name);
    if (state == AK_FAILED)
        return ak_fail(err, AK_EIO,
                       "collection \"%s\" could not be loaded; see the log",
                       name);
    return ak_fail(err, AK_ENOTFOUND, "there is no collection \"%s\"", name);
}

enum ak_status ak_engine_list(struct ak_engine *e, struct ak_collection ***out,
                              size_t *n, struct ak_err *err)
{
    struct ak_collection **list;

    *n = 0;
    pthread_mutex_lock(&e->lock);
    list = calloc(e->n + 1, sizeof(struct ak_collection *));
    for (size_t i = 0; list != NULL && i < e->n; i++)
        if (state_of(e->collections[i]) == AK_SERVING)
            list[(*n)++] = ak_collection_ref(e->collections[i]);
    pthread_mutex_unlock(&e->lock);
    if (list == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for a list");
    *out = list;
    return AK_OK;
}

/* ----------------------------------------------------------------- create */

struct create_job {
    struct ak_job job; /* first */
    struct ak_engine *engine;
    struct ak_settings settings;
    ak_created_fn *done;
    void *arg;
    bool created;
    struct ak_collection *collection; /* held */
};

/* Version 0: seeded random hyperplanes, so that there is always a model.  An
   external collection has an empty one. */
static enum ak_status first_model(const struct ak_settings *s,
                                  struct ak_writer *model, struct ak_err *err)
{
    struct ak_hash_params params = {.dim = s->dim,
                                    .bits = s->bits,
                                    .max_labels = s->max_labels,
                                    .seed = s->seed};
    struct ak_hash *hash = NULL;
    struct ak_encoder *encoder = NULL;
    enum ak_status status;

    if (s->format == AK_FORMAT_CODE)
        return AK_OK;
    status = ak_hash_create("lsh", &params,
                            strcmp(s->kind, "lsh") == 0 ? s->options : NULL,
                            &hash, err);
    if (status == AK_OK)
        status = ak_hash_freeze(hash, &encoder, err);
    if (status == AK_OK)
        status = ak_encoder_save(encoder, model, err);
    ak_ref_drop((struct ak_ref *)encoder);
    ak_hash_destroy(hash);
    return status;
}

static enum ak_status put_first_version(struct ak_store *store,
                                        const struct ak_settings *s,
                                        struct ak_err *err)
{
    struct ak_writer model = {0};
    struct ak_version version = {.state = AK_VERSION_ENCODING,
                                 .created_ms = ak_time_ms(),
                                 .served_quality = NAN};
    uint64_t number;
    enum ak_status status = first_model(s, &model, err);

    version.model_len = model.len;
    if (status == AK_OK)
        status = ak_store_begin(store, err);
    if (status == AK_OK) {
        struct ak_bytes bytes = {model.data, model.len};

        status = ak_store_put_version(store, &version, bytes, &number, err);
        if (status == AK_OK)
            status = ak_store_flip(store, number, NAN, err);
        if (status == AK_OK)
            status = ak_store_commit(store, err);
        else
            ak_store_rollback(store);
    }
    ak_writer_clear(&model);
    return status;
}

enum ak_status ak_engine_adopt(struct ak_engine *e, struct ak_collection *c,
                               uint64_t job, struct ak_err *err)
{
    struct ak_collection *other = find(e, c->settings.name);
    enum ak_status status;

    if (other != NULL) {
        ak_collection_drop(other);
        return ak_fail(err, AK_EEXISTS, "there is a collection \"%s\"",
                       c->settings.name);
    }
    status = ak_catalog_add_by(e->catalog, c->settings.name, c->file, job, err);
    if (status != AK_OK)
        return status;
    pthread_mutex_lock(&c->lock);
    c->state = AK_SERVING;
    pthread_mutex_unlock(&c->lock);
    status = insert(e, ak_collection_ref(c), err);
    if (status != AK_OK) {
        enum ak_status undone =
            ak_catalog_remove(e->catalog, c->settings.name, NULL);

        (void)undone; /* else it is there after a restart */
        ak_collection_drop(c);
        return status;
    }
    pthread_mutex_lock(&e->lock);
    e->progress.loaded++;
    pthread_mutex_unlock(&e->lock);
    return AK_OK;
}

/* Writes the file; the collection exists when the catalog has its name. */
static enum ak_status make_file(struct ak_engine *e,
                                const struct ak_settings *s,
                                struct ak_collection **out, struct ak_err *err)
{
    struct ak_store_shape shape = {.string_ids = s->string_ids,
                                   .row_bytes = ak_settings_row_bytes(s),
                                   .code_bytes = s->bits / 8};
    char *text = ak_settings_text(s);
    struct ak_collection *c = NULL;
    uint64_t file;
    enum ak_status status = AK_OK;

    if (text == NULL)
        status = ak_fail(err, AK_ENOMEM, "no memory for a collection");
    if (status == AK_OK)
        status = ak_catalog_reserve(e->catalog, &file, err);
    if (status == AK_OK)
        status = ak_collection_new(e, s, file, &c, err);
    ak_moment(AK_AT_FILE_RESERVED);
    if (status == AK_OK) {
        struct ak_bytes config = {text, strlen(text)};

        status = ak_store_create(c->path, &shape, config, &c->lane.store, err);
    }
    if (status == AK_OK)
        status = put_first_version(c->lane.store, s, err);
    if (status == AK_OK)
        status = ak_collection_load(c, err);
    ak_moment(AK_AT_FILE_MADE);
    if (status == AK_OK)
        status = ak_engine_adopt(e, c, 0, err);
    ak_moment(AK_AT_FILE_NAMED);
    if (status == AK_OK)
        *out = c;
    else
        ak_collection_drop(c);
    free(text);
    return status;
}

static enum ak_status compare(struct ak_collection *c,
                              const struct ak_settings *s, struct ak_err *err)
{
    struct ak_settings now;
    char *a, *b;
    bool known, equal;

    ak_collection_settings(c, &now);
    a = ak_settings_text(&now);
    b = ak_settings_text(s);
    known = a != NULL && b != NULL;
    equal = known && strcmp(a, b) == 0;
    free(a);
    free(b);
    if (!known)
        return ak_fail(err, AK_ENOMEM, "no memory for a collection");
    if (!equal)
        return ak_fail(err, AK_EEXISTS,
                       "collection \"%s\" exists with other settings", s->name);
    return AK_OK;
}

static enum ak_status create_apply(struct ak_job *job, struct ak_store *store,
                                   struct ak_err *err)
{
    struct create_job *j = (struct create_job *)job;
    struct ak_collection *c = find(j->engine, j->settings.name);
    enum ak_status status;

    (void)store;
    if (c == NULL) {
        j->created = true;
        if (j->settings.head)
            return ak_fail(err, AK_EINVAL,
                           "model.head is \"network\": a collection begins "
                           "with a model of its own, and takes over that of "
                           "its extractor by a job promote");
        /* It may have been removed since the name was looked up. */
        status = ak_extractors_hold(j->engine->extractors, &j->settings, err);
        if (status != AK_OK)
            return status;
        return make_file(j->engine, &j->settings, &j->collection, err);
    }
    switch (state_of(c)) {
    case AK_SERVING:
        status = compare(c, &j->settings, err);
        break;
    case AK_LOADING:
        status = ak_fail(err, AK_EBUSY, "collection \"%s\" is being loaded",
                         j->settings.name);
        break;
    default:
        status = ak_fail(err, AK_EIO,
                         "collection \"%s\" could not be loaded; see the log",
                         j->settings.name);
    }
    if (status == AK_OK)
        j->collection = c;
    else
        ak_collection_drop(c);
    return status;
}

static void create_done(struct ak_job *job, enum ak_status status,
                        const struct ak_err *err)
{
    struct create_job *j = (struct create_job *)job;

    if (status == AK_OK && j->created)
        ak_log_info("engine", "collection created",
                    AK_TEXT("collection", j->settings.name),
                    AK_TEXT("kind", j->settings.kind),
                    AK_NUMBER("bits", j->settings.bits),
                    AK_NUMBER("dim", j->settings.dim));
    j->done(j->arg, status, j->created, j->collection, err);
    free(j);
}

void ak_engine_create(struct ak_engine *e, const struct ak_settings *settings,
                      ak_created_fn *done, void *arg)
{
    struct create_job *j = calloc(1, sizeof(*j));

    if (j == NULL) {
        struct ak_err err = {0};

        ak_fail(&err, AK_ENOMEM, "no memory for a collection");
        done(arg, AK_ENOMEM, false, NULL, &err);
        return;
    }
    j->job.apply = create_apply;
    j->job.done = create_done;
    j->engine = e;
    j->settings = *settings;
    j->done = done;
    j->arg = arg;
    ak_writer_push(e->writer, &e->catalog_lane, &j->job);
}

/* ----------------------------------------------------------------- remove */

struct remove_job {
    struct ak_job job; /* first */
    struct ak_engine *engine;
    char name[AK_SETTINGS_NAME];
    ak_done_fn *done;
    void *arg;
};

static void take_out(struct ak_engine *e, struct ak_collection *c)
{
    bool found;
    size_t at;

    pthread_mutex_lock(&e->lock);
    at = place_of(e, c->settings.name, &found);
    if (found) {
        e->n--;
        e->progress.collections--;
        e->progress.loaded--;
        memmove(&e->collections[at], &e->collections[at + 1],
                (e->n - at) * sizeof(struct ak_collection *));
    }
    pthread_mutex_unlock(&e->lock);
}

static enum ak_status remove_apply(struct ak_job *job, struct ak_store *store,
                                   struct ak_err *err)
{
    struct remove_job *j = (struct remove_job *)job;
    struct ak_engine *e = j->engine;
    struct ak_collection *c = find(e, j->name);
    struct ak_err left = {0};
    enum ak_status status;

    (void)store;
    if (c == NULL)
        return ak_fail(err, AK_ENOTFOUND, "there is no collection \"%s\"",
                       j->name);
    if (state_of(c) == AK_LOADING) {
        ak_collection_drop(c);
        return ak_fail(err, AK_EBUSY, "collection \"%s\" is being loaded",
                       j->name);
    }
    status = ak_catalog_remove(e->catalog, j->name, err);
    if (status != AK_OK) {
        ak_collection_drop(c);
        return status;
    }
    /* From here on it is gone, whatever becomes of its file: one that stays
       is removed at the next start. */
    ak_moment(AK_AT_FILE_UNNAMED);
    take_out(e, c);
    pthread_mutex_lock(&c->lock);
    c->state = AK_GONE;
    pthread_mutex_unlock(&c->lock);
    ak_lane_close(e->writer, &c->lane);
    ak_store_close(c->lane.store);
    c->lane.store = NULL;
    ak_disk_count_log(e, &c->lane);
    if (ak_store_remove(c->path, &left) != AK_OK)
        ak_log_warn("engine", "a deleted collection's file stays for now",
                    AK_TEXT("collection", j->name),
                    AK_TEXT("reason", left.text));
    ak_moment(AK_AT_FILE_REMOVED);
    ak_turns_expire(c, 0, true);
    ak_collection_expire(c, 0, true);
    ak_collection_drop(c); /* the one of the list */
    ak_collection_drop(c);
    return AK_OK;
}

static void remove_done(struct ak_job *job, enum ak_status status,
                        const struct ak_err *err)
{
    struct remove_job *j = (struct remove_job *)job;

    if (status == AK_OK)
        ak_log_info("engine", "collection deleted",
                    AK_TEXT("collection", j->name));
    j->done(j->arg, status, err);
    free(j);
}

void ak_engine_remove(struct ak_engine *e, const char *name, ak_done_fn *done,
                      void *arg)
{
    struct remove_job *j = calloc(1, sizeof(*j));
    struct ak_err err = {0};

    if (j == NULL || strlen(name) >= sizeof(j->name)) {
        enum ak_status status = j == NULL
                                    ? ak_fail(&err, AK_ENOMEM, "no memory")
                                    : ak_fail(&err, AK_ENOTFOUND,
                                              "there is no collection "
                                              "of so long a name");

        free(j);
        done(arg, status, &err);
        return;
    }
    j->job.apply = remove_apply;
    j->job.done = remove_done;
    j->engine = e;
    strcpy(j->name, name);
    j->done = done;
    j->arg = arg;
    ak_writer_push(e->writer, &e->catalog_lane, &j->job);
}

/* ------------------------------------------------------------------- load */

struct load_task {
    struct ak_task task; /* first */
    struct ak_collection *collection;
};

/* Under the lock. */
static void look_whether_ready(struct ak_engine *e)
{
    e->progress.ready =
        e->verified && e->progress.loaded >= e->progress.collections;
}

static void count_loaded(struct ak_engine *e, bool failed)
{
    pthread_mutex_lock(&e->lock);
    e->progress.loaded++;
    e->progress.failed += failed;
    look_whether_ready(e);
    pthread_mutex_unlock(&e->lock);
}

static void extractors_ready(void *arg)
{
    struct ak_engine *e = arg;

    pthread_mutex_lock(&e->lock);
    e->verified = true;
    look_whether_ready(e);
    pthread_mutex_unlock(&e->lock);
}

static void verify_extractors(struct ak_task *task)
{
    struct ak_engine *e =
        (struct ak_engine *)(void *)((char *)task -
                                     offsetof(struct ak_engine, verify));
    unsigned n, damaged;
    bool is_new;

    ak_extractors_verify(e->extractors);
    ak_extractors_count(e->extractors, &n, &damaged);
    pthread_mutex_lock(&e->lock);
    is_new = n == 0 && e->progress.collections == 0;
    pthread_mutex_unlock(&e->lock);
    if (is_new && e->params.shipped_dir != NULL)
        ak_shipped_put(e->extractors, e->params.shipped_dir, extractors_ready,
                       e);
    else
        extractors_ready(e);
}

static void run_load(struct ak_task *task)
{
    struct load_task *t = (struct load_task *)task;
    struct ak_collection *c = t->collection;
    struct ak_err err = {0};
    uint64_t start = ak_clock_ns();
    bool ok = ak_collection_load(c, &err) == AK_OK;

    pthread_mutex_lock(&c->lock);
    c->state = ok ? AK_SERVING : AK_FAILED;
    pthread_mutex_unlock(&c->lock);
    if (ok)
        ak_log_info("engine", "collection loaded",
                    AK_TEXT("collection", c->settings.name),
                    AK_NUMBER("rows", ak_index_rows(c->index)),
                    AK_NUMBER("seq", c->indexer.seq),
                    AK_NUMBER("learned_seq", c->reached.seq[AK_ACK_LEARNED]),
                    AK_REAL("seconds", (double)(ak_clock_ns() - start) * 1e-9));
    else if (err.status != AK_ECANCELED)
        ak_log_error("engine", "collection not loaded",
                     AK_TEXT("collection", c->settings.name),
                     AK_TEXT("reason", err.text));
    ak_moment(AK_AT_LOADED);
    count_loaded(c->engine, !ok);
    if (ok) {
        ak_actor_wake(&c->indexer.actor);
        ak_actor_wake(&c->learner.actor);
    }
    ak_collection_drop(c);
    free(t);
}

static enum ak_status load_one(void *arg, const char *name, uint64_t file,
                               struct ak_err *err)
{
    struct ak_engine *e = arg;
    struct ak_settings named = {.name = ""};
    struct load_task *t = calloc(1, sizeof(*t));
    enum ak_status status;

    if (t == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for a collection");
    strncpy(named.name, name, sizeof(named.name) - 1);
    status = ak_collection_new(e, &named, file, &t->collection, err);
    if (status == AK_OK) {
        ak_collection_ref(t->collection);
        status = insert(e, t->collection, err);
    }
    if (status != AK_OK) {
        free(t);
        return status;
    }
    t->task.run = run_load;
    ak_pool_run(e->work, &t->task);
    return AK_OK;
}

void ak_engine_progress(const struct ak_engine *engine,
                        struct ak_engine_progress *out)
{
    struct ak_engine *e = (struct ak_engine *)(uintptr_t)engine;

    pthread_mutex_lock(&e->lock);
    *out = e->progress;
    pthread_mutex_unlock(&e->lock);
    ak_extractors_count(e->extractors, &out->extractors,
                        &out->extractors_damaged);
    out->sync_failed = ak_storage_sync_failed();
    out->read_only = atomic_load(&e->read_only) || out->sync_failed;
    out->disk_low = atomic_load(&e->disk.low);
    out->disk_free_bytes = atomic_load(&e->disk.free_bytes);
    out->disk_low_bytes = atomic_load(&e->disk.low_bytes);
}

uint64_t ak_engine_queue_bytes(const struct ak_engine *e)
{
    return ak_writer_bytes(e->writer) + atomic_load(&e->parked_bytes);
}

unsigned ak_engine_threads(const struct ak_engine *e)
{
    return ak_pool_threads(e->search);
}

/* ------------------------------------------------------------- open, close */

static void disk_failed(void *arg, const struct ak_err *err)
{
    struct ak_engine *e = arg;

    /* Nothing is retried: after a failed fsync nobody knows what is on the
       disk.  A full disk is another matter: it can be emptied. */
    if (err->status == AK_EFULL)
        ak_disk_was_full(e, err);
    else if (err->status != AK_EIO)
        ak_log_error("engine", "a commit failed", AK_TEXT("reason", err->text));
    else if (!atomic_exchange(&e->read_only, true))
        ak_log_error("engine",
                     "a commit failed; writes are refused from now on",
                     AK_TEXT("reason", err->text));
}

static void written(void *arg, struct ak_lane *lane)
{
    struct ak_engine *e = arg;

    ak_disk_count_log(e, lane);
    ak_disk_look(e);
}

static enum ak_status open_jobs(struct ak_engine *e, struct ak_err *err)
{
    const struct ak_jobs_params params = {
        .engine = e,
        .kinds =
            e->params.job_kinds != NULL ? e->params.job_kinds : ak_run_kinds,
        .max_unfinished = e->params.max_jobs,
        .max_running = e->params.max_running_jobs,
        .keep = e->params.keep_jobs,
    };

    return ak_jobs_open(&params, &e->jobs, err);
}

const char *ak_engine_data_dir(const struct ak_engine *engine)
{
    return engine->params.data_dir;
}

struct ak_jobs *ak_engine_jobs(struct ak_engine *engine)
{
    return engine->jobs;
}

_Static_assert(AK_RUN_STATES == AK_JOB_STATES, "the states of a job");

void ak_engine_count_jobs(struct ak_engine *engine,
                          unsigned counts[AK_JOB_STATES])
{
    ak_jobs_count(engine->jobs, counts);
}

enum ak_status ak_engine_open(const struct ak_engine_params *params,
                              struct ak_engine **out, struct ak_err *err)
{
    struct ak_engine *e = calloc(1, sizeof(*e));
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned threads = params->threads;
    enum ak_status status;

    if (e == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for the engine");
    pthread_mutex_init(&e->lock, NULL);
    atomic_init(&e->stopping, false);
    atomic_init(&e->read_only, false);
    e->params = *params;
    atomic_init(&e->disk.low_bytes, params->disk_low_bytes);
    e->last_tidy_ns = ak_clock_ns();
    if (threads == 0)
        threads = cores > 0 ? (unsigned)cores : 1;
    status = ak_catalog_open(params->data_dir, &e->catalog, &e->unclean, err);
    if (status == AK_OK)
        ak_disk_look(e);
    if (status == AK_OK)
        status = ak_backups_open(params->data_dir, err);
    if (status == AK_OK)
        status = ak_pool_create(threads, WORK_NICE, "work", &e->work, err);
    if (status == AK_OK)
        status = ak_pool_create(threads, 0, "search", &e->search, err);
    if (status == AK_OK)
        status = ak_pool_create(threads, WORK_NICE, "images", &e->images, err);
    if (status == AK_OK)
        status = ak_extractors_open(e, &e->extractors, err);
    if (status == AK_OK)
        status = open_jobs(e, err);
    if (status == AK_OK)
        status =
            ak_writer_start(&(struct ak_writer_hooks){disk_failed, written, e},
                            &e->writer, err);
    /* The writer owns the catalog, but has nothing to do yet. */
    if (status == AK_OK)
        status = ak_catalog_list(e->catalog, load_one, e, err);
    if (status != AK_OK) {
        ak_engine_close(e);
        return status;
    }
    if (e->unclean)
        ak_log_warn("engine", "the last run did not end cleanly; files are "
                              "checked and records replayed");
    e->verify.run = verify_extractors;
    ak_pool_run(e->work, &e->verify);
    *out = e;
    return AK_OK;
}

/* While the writer goes on, which may make another.  Without memory for the list
   nothing is done: who waits is told by others, what is not saved is learnt
   again. */
static void with_each(struct ak_engine *e, void (*fn)(struct ak_collection *c))
{
    struct ak_collection **list;
    size_t n;

    if (ak_engine_list(e, &list, &n, NULL) != AK_OK)
        return;
    for (size_t i = 0; i < n; i++) {
        fn(list[i]);
        ak_collection_drop(list[i]);
    }
    free(list);
}

static void end_waits(struct ak_collection *c)
{
    ak_turns_expire(c, 0, true);
    ak_collection_expire(c, 0, true);
}

void ak_engine_close(struct ak_engine *e)
{
    if (e == NULL)
        return;
    atomic_store(&e->stopping, true);
    with_each(e, end_waits);
    /* Actors end their slices; then learners are saved; the writer does what
       it has, and its callbacks wake nobody any more. */
    if (e->images != NULL)
        ak_pool_stop(e->images);
    if (e->search != NULL)
        ak_pool_stop(e->search);
    if (e->work != NULL)
        ak_pool_stop(e->work);
    with_each(e, ak_learner_save);
    ak_jobs_stop(e->jobs);
    ak_writer_stop(e->writer);
    ak_disk_stop(e);
    ak_jobs_destroy(e->jobs);
    for (size_t i = 0; i < e->n; i++)
        ak_collection_drop(e->collections[i]);
    free(e->collections);
    ak_extractors_destroy(e->extractors);
    ak_pool_destroy(e->work);
    ak_pool_destroy(e->search);
    ak_pool_destroy(e->images);
    ak_catalog_close(e->catalog);
    pthread_mutex_destroy(&e->lock);
    free(e);
}

/* ------------------------------------------------------------------- pool */

struct run_task {
    struct ak_task task; /* first */
    void (*fn)(void *arg);
    void *arg;
    atomic_uint *under_way; /* NULL: not counted */
};

static void run_task(struct ak_task *task)
{
    struct run_task *t = (struct run_task *)task;

    t->fn(t->arg);
    if (t->under_way != NULL)
        atomic_fetch_sub(t->under_way, 1);
    free(t);
}

static void run_on(struct ak_pool *pool, void (*fn)(void *arg), void *arg,
                   atomic_uint *under_way)
{
    struct run_task *t = calloc(1, sizeof(*t));

    if (t == NULL) { /* slower for others, but done */
        fn(arg);
        return;
    }
    t->task.run = run_task;
    t->fn = fn;
    t->arg = arg;
    t->under_way = under_way;
    if (under_way != NULL)
        atomic_fetch_add(under_way, 1);
    ak_pool_run(pool, &t->task);
}

void ak_engine_run(struct ak_engine *e, void (*fn)(void *arg), void *arg)
{
    run_on(e->search, fn, arg, NULL);
}

void ak_engine_run_images(struct ak_engine *e, void (*fn)(void *arg), void *arg)
{
    run_on(e->images, fn, arg, &e->images_asked);
}

struct ak_pool *ak_engine_search_pool(struct ak_engine *e)
{
    return e->search;
}
