/*
 * collections.c -- the collections of a data directory: the list of them, making
 * one, and removing one.
 *
 * One exists when the catalog has its name; its file was made before that, and is
 * removed after its name.  Both are done by the writer, so that they are in order.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/moment.h"
#include "server/engine_internal.h"
#include "server/extractors.h"
#include "server/log.h"

#define MAX_PATH_LEN 4096

/* ------------------------------------------------------------------- the list */

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

enum ak_status ak_engine_insert(struct ak_engine *e, struct ak_collection *c,
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
    status = ak_engine_insert(e, ak_collection_ref(c), err);
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
