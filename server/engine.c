/*
 * engine.c -- a data directory is opened, its collections are loaded, and all is
 * closed again in the order in which one thing needs another.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/moment.h"
#include "server/backup.h"
#include "server/engine_internal.h"
#include "server/extractors.h"
#include "server/job_kind.h"
#include "server/log.h"
#include "server/shipped.h"

#define WORK_NICE 5

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
        status = ak_engine_insert(e, t->collection, err);
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
