/*
 * extractors_put.c -- versions added and removed.
 *
 * A model file is read and checked on a thread of the pool, which also measures
 * how long an image takes.  Then the writer renames it to its checksum, syncs
 * the folder and commits the row: all changes of the folder are the writer's, so
 * that no file is removed that a row is about to name.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/moment.h"
#include "core/extract/network.h"
#include "core/hash/hcdh_head.h"
#include "core/image/pixels.h"
#include "server/engine_internal.h"
#include "server/extractor_files.h"
#include "server/extractors_internal.h"
#include "server/json_memory.h"
#include "server/log.h"

#define KEY_MS     86400000 /* for which a key is known */
#define MEASURE_NS UINT64_C(300000000)
#define MEASURES   11

/* --------------------------------------------------------------------- checking */

struct put_job {
    struct ak_job job;   /* first */
    struct ak_task task; /* before it */
    struct ak_extractors *x;
    struct ak_extractor_put *put; /* the caller's, or `own` */
    struct ak_extractor_put own;
    char name[AK_SETTINGS_NAME];
    char *file;
    struct ak_extractor_row row;
    char architecture[AK_NN_NAME];
    char *notes;
    ak_extractors_done_fn *done;
    void *arg;
};

static void free_put(struct put_job *j)
{
    free(j->notes);
    free(j->file);
    free(j);
}

/* Ends a job with its file. */
static void end_put(struct put_job *j, enum ak_status status,
                    const struct ak_err *err)
{
    if (j->file != NULL)
        unlink(j->file); /* one that was kept has another name by now */
    j->done(j->arg, status, status == AK_OK ? j->row.version : 0, err);
    free_put(j);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Median of the time that an image of the network's size takes, one thread; NaN
   when memory is short. */
static double measure(const struct ak_extractor *e)
{
    uint64_t begun = ak_clock_ns();
    double ms[MEASURES];
    struct ak_image image = {0};
    float *feature = malloc(e->dim * sizeof(*feature));
    size_t n = 0;
    enum ak_status status = ak_image_init(&image, e->width, e->height, 3, NULL);

    for (size_t i = 0; status == AK_OK && i < ak_image_len(&image); i++)
        image.pixels[i] = (uint8_t)(i * 97);
    /* The first one is slower than others. */
    if (status == AK_OK && feature != NULL)
        status = ak_extractor_extract(e, &image, feature, NULL);
    while (status == AK_OK && feature != NULL && n < MEASURES &&
           (n == 0 || ak_clock_ns() - begun < MEASURE_NS)) {
        uint64_t start = ak_clock_ns();

        status = ak_extractor_extract(e, &image, feature, NULL);
        ms[n++] = (double)(ak_clock_ns() - start) * 1e-6;
    }
    free(feature);
    ak_image_clear(&image);
    if (status != AK_OK || n == 0)
        return NAN;
    qsort(ms, n, sizeof(ms[0]), by_value);
    return ms[n / 2];
}

/* The rest of the line "arch: " of the notes, if it is a name. */
static void read_architecture(const char *notes, char out[AK_NN_NAME])
{
    static const char head[] = "arch: ";
    size_t len;

    out[0] = '\0';
    while (notes != NULL && strncmp(notes, head, sizeof(head) - 1) != 0) {
        notes = strchr(notes, '\n');
        notes = notes != NULL ? notes + 1 : NULL;
    }
    if (notes == NULL)
        return;
    notes += sizeof(head) - 1;
    len = strspn(notes, "abcdefghijklmnopqrstuvwxyz"
                        "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-");
    if (len > 0 && len < AK_NN_NAME && (notes[len] == '\n' || !notes[len]))
        snprintf(out, AK_NN_NAME, "%.*s", (int)len, notes);
}

/* Fills the row by the model, which becomes an extractor for a moment. */
static enum ak_status look_at(struct put_job *j, struct ak_model *model,
                              struct ak_err *err)
{
    const struct ak_layer *in = &model->g->layers[0];
    struct ak_extractor *e = NULL;
    struct ak_graph_cost cost;
    enum ak_status status;
    json_t *text = json_string(model->notes != NULL ? model->notes : "");

    if (text == NULL)
        return ak_fail(err, AK_EINVAL, "the notes of the model are not UTF-8");
    json_decref(text);
    ak_graph_count(model->g, &cost);
    j->row.channels = in->c;
    j->row.height = in->h;
    j->row.width = in->w;
    j->row.dim = (uint32_t)ak_layer_size(&model->g->layers[model->g->feature]);
    j->row.classes =
        (uint32_t)ak_layer_size(&model->g->layers[model->g->output]);
    j->row.hash_bits = ak_hcdh_head_bits(model->g);
    j->row.macs = cost.macs;
    j->row.parameters = cost.params + cost.bn_params;
    j->notes = strdup(model->notes != NULL ? model->notes : "");
    if (j->notes == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for an extractor");
    j->row.notes = j->notes;
    read_architecture(j->notes, j->architecture);
    if (j->architecture[0] != '\0')
        j->row.architecture = j->architecture;
    status = ak_network_create(j->name, model, NULL, 1, &e, err);
    if (status == AK_OK)
        j->row.ms = measure(e);
    ak_extractor_unref(e);
    return status;
}

static enum ak_status check(struct put_job *j, struct ak_err *err)
{
    struct ak_model model = {0};
    void *bytes = NULL;
    size_t len = 0;
    enum ak_status status;

    if (!ak_settings_good_name(j->put->name) ||
        strlen(j->put->name) >= sizeof(j->name))
        return ak_fail(err, AK_EINVAL,
                       "the name is \"%.70s\", must match "
                       "^[a-z0-9][a-z0-9_-]{0,62}$",
                       j->put->name);
    if (ak_pixels_is_name(j->put->name))
        return ak_fail(err, AK_EINVAL,
                       "the name is \"%.70s\": names that begin with pixels- "
                       "are for what is built in",
                       j->put->name);
    if (j->put != &j->own)
        snprintf(j->name, sizeof(j->name), "%s", j->put->name);
    status = ak_extractor_file_read(j->file, AK_EXTRACTORS_FILE, &bytes, &len,
                                    j->row.sha256, err);
    if (status == AK_ENOTFOUND)
        return ak_fail(err, AK_EIO, "the model file is not there");
    if (status == AK_OK)
        status = ak_model_read(bytes, len, &model, err);
    free(bytes);
    j->row.name = j->name;
    j->row.bytes = len;
    j->row.ms = NAN;
    if (status == AK_OK)
        status = look_at(j, &model, err);
    ak_model_clear(&model);
    /* Last, so that a wrong file costs no fsync. */
    if (status == AK_OK)
        status = ak_extractor_file_sync(j->file, err);
    return status;
}

/* ----------------------------------------------------------------------- adding */

enum ak_status ak_extractors_replay(struct ak_extractors *x,
                                    const struct ak_extractor_put *put,
                                    uint32_t *version, struct ak_err *err)
{
    int64_t since = ak_time_ms() - KEY_MS;
    enum ak_status status = AK_OK;

    *version = 0;
    if (put->key == NULL)
        return AK_OK;
    pthread_mutex_lock(&x->lock);
    for (size_t i = 0; i < x->n; i++) {
        const struct ak_xversion *v = x->list[i];

        if (strcmp(v->row.name, put->name) != 0 || v->key == NULL ||
            strcmp(v->key, put->key) != 0 || v->row.created_ms < since)
            continue;
        if (memcmp(v->row.fingerprint, put->fingerprint, AK_SHA256_LEN) != 0)
            status =
                ak_fail(err, AK_EEXISTS, "the key was used by another request");
        else
            *version = v->row.version;
    }
    pthread_mutex_unlock(&x->lock);
    return status;
}

/* Under the lock: the version that the job, or this very file, has put; NULL:
   none. */
static const struct ak_xversion *already(struct ak_extractors *x,
                                         const struct put_job *j)
{
    const struct ak_xversion *newest = ak_xversion_newest(x, j->name);

    for (size_t i = 0; j->put->job > 0 && i < x->n; i++)
        if (x->list[i]->row.job == j->put->job)
            return x->list[i];
    if (j->put->job == 0 && newest != NULL && !newest->damaged &&
        memcmp(newest->row.sha256, j->row.sha256, AK_SHA256_LEN) == 0)
        return newest;
    return NULL;
}

/* A file of the right bytes came for versions that had lost theirs. */
static void repair(struct ak_extractors *x, const uint8_t sha256[32])
{
    for (size_t i = 0; i < x->n; i++) {
        struct ak_xversion *v = x->list[i];

        if (memcmp(v->row.sha256, sha256, AK_SHA256_LEN) == 0)
            v->damaged = false;
    }
}

static enum ak_status put_apply(struct ak_job *job, struct ak_store *store,
                                struct ak_err *err)
{
    struct put_job *j = (struct put_job *)job;
    struct ak_extractors *x = j->x;
    struct ak_engine *e = x->engine;
    const struct ak_xversion *before;
    struct ak_xversion *v = NULL;
    enum ak_status status;
    bool known;

    (void)store;
    status = ak_extractors_replay(x, j->put, &j->row.version, err);
    if (status != AK_OK || j->row.version > 0) {
        j->put->replayed = status == AK_OK;
        return status;
    }
    if (atomic_load(&e->disk.low))
        return ak_fail(err, AK_EFULL, "there is little room on the disk");
    pthread_mutex_lock(&x->lock);
    before = already(x, j);
    if (before != NULL) {
        j->row.version = before->row.version;
    } else {
        const struct ak_xversion *newest = ak_xversion_newest(x, j->name);

        j->row.version = newest != NULL ? newest->row.version + 1 : 1;
        j->row.published = newest == NULL || !j->put->hidden;
        j->row.created_ms = ak_time_ms();
        j->row.job = j->put->job;
        if (j->put->key != NULL)
            j->row.key = (struct ak_bytes){j->put->key, strlen(j->put->key)};
        memcpy(j->row.fingerprint, j->put->fingerprint, AK_SHA256_LEN);
        v = ak_xversion_new(&j->row);
        status = v != NULL ? ak_xversion_reserve(x, err)
                           : ak_fail(err, AK_ENOMEM, "no memory");
    }
    pthread_mutex_unlock(&x->lock);
    if (before != NULL)
        return AK_OK;
    if (status == AK_OK)
        status =
            ak_extractor_file_keep(x->data_dir, j->file, j->row.sha256, err);
    if (status == AK_OK)
        status = ak_catalog_put_extractor(e->catalog, &j->row, err);
    ak_moment(AK_AT_EXTRACTOR);
    pthread_mutex_lock(&x->lock);
    if (status == AK_OK) {
        repair(x, j->row.sha256);
        ak_xversion_insert(x, v);
        v = NULL;
    }
    known = ak_xversion_has_file(x, j->row.sha256);
    pthread_mutex_unlock(&x->lock);
    ak_xversion_free(v);
    if (status != AK_OK && !known) {
        char path[AK_EXTRACTORS_PATH];

        if (ak_extractor_file_path(x->data_dir, j->row.sha256, path,
                                   sizeof(path)))
            unlink(path); /* else at the next start */
    }
    j->put->added = status == AK_OK;
    return status;
}

static void put_done(struct ak_job *job, enum ak_status status,
                     const struct ak_err *err)
{
    struct put_job *j = (struct put_job *)job;

    if (status == AK_OK && j->put->added)
        ak_log_info(
            "extractors", "version added", AK_TEXT("extractor", j->name),
            AK_NUMBER("version", j->row.version),
            AK_TEXT("architecture", j->architecture),
            AK_NUMBER("dim", j->row.dim), AK_NUMBER("bytes", j->row.bytes));
    end_put(j, status, err);
}

static void run_check(struct ak_task *task)
{
    struct put_job *j =
        (struct put_job *)(void *)((char *)task -
                                   offsetof(struct put_job, task));
    struct ak_err err = {0};
    enum ak_status status = check(j, &err);

    if (status != AK_OK)
        end_put(j, status, &err);
    else
        ak_writer_push(j->x->engine->writer, &j->x->engine->catalog_lane,
                       &j->job);
}

static void submit(struct ak_extractors *x, struct ak_extractor_put *put,
                   struct put_job *j, ak_extractors_done_fn *done, void *arg)
{
    struct ak_err err = {0};

    put->added = put->replayed = false;
    if (j != NULL)
        j->file = strdup(put->file);
    if (j == NULL || j->file == NULL) {
        unlink(put->file);
        free(j);
        done(arg, ak_fail(&err, AK_ENOMEM, "no memory for an extractor"), 0,
             &err);
        return;
    }
    j->job.apply = put_apply;
    j->job.done = put_done;
    j->task.run = run_check;
    j->x = x;
    j->put = put;
    j->done = done;
    j->arg = arg;
    ak_pool_run(x->engine->work, &j->task);
}

void ak_extractors_submit(struct ak_extractors *x, struct ak_extractor_put *put,
                          ak_extractors_done_fn *done, void *arg)
{
    submit(x, put, calloc(1, sizeof(struct put_job)), done, arg);
}

void ak_extractors_put(struct ak_extractors *x, const char *name,
                       const char *file, uint64_t job,
                       ak_extractors_done_fn *done, void *arg)
{
    struct put_job *j = calloc(1, sizeof(*j));

    if (j == NULL || strlen(name) >= sizeof(j->name)) {
        struct ak_err err = {0};
        enum ak_status status =
            j == NULL ? ak_fail(&err, AK_ENOMEM, "no memory for an extractor")
                      : ak_fail(&err, AK_EINVAL, "the name is too long");

        unlink(file);
        free(j);
        done(arg, status, 0, &err);
        return;
    }
    snprintf(j->name, sizeof(j->name), "%s", name);
    j->own =
        (struct ak_extractor_put){.name = j->name, .file = file, .job = job};
    submit(x, &j->own, j, done, arg);
}

enum ak_status ak_extractors_room(struct ak_extractors *x,
                                  char path[AK_EXTRACTORS_PATH],
                                  struct ak_err *err)
{
    uint64_t number = atomic_fetch_add(&x->n_rooms, 1);

    if (!ak_extractor_file_new(x->data_dir, number, path, AK_EXTRACTORS_PATH))
        return ak_fail(err, AK_EIO, "the data directory's name is too long");
    return AK_OK;
}

/* --------------------------------------------------------------------- removing */

struct remove_job {
    struct ak_job job; /* first */
    struct ak_extractors *x;
    char name[AK_SETTINGS_NAME];
    ak_extractors_removed_fn *done;
    void *arg;
};

/* Takes the first version of the name off the list; NULL: there is none. */
static struct ak_xversion *take_one(struct ak_extractors *x, const char *name,
                                    bool *last_of_file)
{
    struct ak_xversion *v = NULL;

    pthread_mutex_lock(&x->lock);
    for (size_t i = 0; i < x->n && v == NULL; i++) {
        if (strcmp(x->list[i]->row.name, name) != 0)
            continue;
        v = x->list[i];
        x->n--;
        memmove(&x->list[i], &x->list[i + 1],
                (x->n - i) * sizeof(struct ak_xversion *));
        *last_of_file = !ak_xversion_has_file(x, v->row.sha256);
    }
    pthread_cond_broadcast(&x->loaded);
    pthread_mutex_unlock(&x->lock);
    return v;
}

static enum ak_status remove_apply(struct ak_job *job, struct ak_store *store,
                                   struct ak_err *err)
{
    struct remove_job *j = (struct remove_job *)job;
    struct ak_extractors *x = j->x;
    struct ak_xversion *v;
    enum ak_status status;
    bool last = false;

    (void)store;
    pthread_mutex_lock(&x->lock);
    v = ak_xversion_newest(x, j->name);
    pthread_mutex_unlock(&x->lock);
    if (v == NULL)
        return ak_fail(err, AK_ENOTFOUND, "there is no extractor \"%s\"",
                       j->name);
    status = ak_extractors_unused(x, j->name, err);
    if (status == AK_OK)
        status = ak_catalog_drop_extractor(x->engine->catalog, j->name, err);
    if (status != AK_OK)
        return status;
    ak_moment(AK_AT_EXTRACTOR_GONE);
    while ((v = take_one(x, j->name, &last)) != NULL) {
        char path[AK_EXTRACTORS_PATH];

        if (last && ak_extractor_file_path(x->data_dir, v->row.sha256, path,
                                           sizeof(path)))
            unlink(path); /* else at the next start */
        ak_xversion_free(v);
    }
    return AK_OK;
}

static void remove_done(struct ak_job *job, enum ak_status status,
                        const struct ak_err *err)
{
    struct remove_job *j = (struct remove_job *)job;

    if (status == AK_OK)
        ak_log_info("extractors", "extractor removed",
                    AK_TEXT("extractor", j->name));
    j->done(j->arg, status, err);
    free(j);
}

void ak_extractors_remove(struct ak_extractors *x, const char *name,
                          ak_extractors_removed_fn *done, void *arg)
{
    struct remove_job *j = calloc(1, sizeof(*j));
    struct ak_err err = {0};

    if (j == NULL || strlen(name) >= sizeof(j->name)) {
        enum ak_status status = j == NULL
                                    ? ak_fail(&err, AK_ENOMEM, "no memory")
                                    : ak_fail(&err, AK_ENOTFOUND,
                                              "there is no extractor of "
                                              "so long a name");

        free(j);
        done(arg, status, &err);
        return;
    }
    j->job.apply = remove_apply;
    j->job.done = remove_done;
    j->x = x;
    strcpy(j->name, name);
    j->done = done;
    j->arg = arg;
    ak_writer_push(x->engine->writer, &x->engine->catalog_lane, &j->job);
}
