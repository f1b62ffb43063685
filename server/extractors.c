/* extractors.c -- the versions of extractors: read at the start, found, shown. */
#include "server/extractors.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/hex.h"
#include "server/engine_internal.h"
#include "server/extractor_files.h"
#include "server/extractors_internal.h"
#include "server/log.h"

/* ------------------------------------------------------------------ versions */

static char *copy_text(const char *text, bool *good)
{
    char *copy = text != NULL ? strdup(text) : NULL;

    *good = *good && (text == NULL || copy != NULL);
    return copy;
}

struct ak_xversion *ak_xversion_new(const struct ak_extractor_row *row)
{
    struct ak_xversion *v = calloc(1, sizeof(*v));
    bool good = v != NULL;

    if (v == NULL)
        return NULL;
    v->row = *row;
    v->row.name = copy_text(row->name, &good);
    v->row.architecture = copy_text(row->architecture, &good);
    v->row.notes = copy_text(row->notes, &good);
    v->row.key = (struct ak_bytes){0};
    if (row->key.data != NULL) {
        v->key = strndup(row->key.data, row->key.len);
        good = good && v->key != NULL;
    }
    if (good)
        return v;
    ak_xversion_free(v);
    return NULL;
}

void ak_xversion_free(struct ak_xversion *v)
{
    if (v == NULL)
        return;
    ak_extractor_unref(v->live);
    free((char *)(uintptr_t)v->row.name);
    free((char *)(uintptr_t)v->row.architecture);
    free((char *)(uintptr_t)v->row.notes);
    free(v->key);
    free(v);
}

struct ak_xversion *ak_xversion_newest(struct ak_extractors *x,
                                       const char *name)
{
    struct ak_xversion *found = NULL;

    for (size_t i = 0; i < x->n; i++)
        if (strcmp(x->list[i]->row.name, name) == 0)
            found = x->list[i];
    return found;
}

struct ak_xversion *ak_xversion_find(struct ak_extractors *x, const char *name,
                                     uint32_t version)
{
    struct ak_xversion *found = NULL;

    for (size_t i = 0; i < x->n; i++) {
        struct ak_xversion *v = x->list[i];

        if (strcmp(v->row.name, name) == 0 &&
            (version == 0 ? v->row.published : v->row.version == version))
            found = v;
    }
    return found;
}

bool ak_xversion_has_file(struct ak_extractors *x, const uint8_t sha256[32])
{
    for (size_t i = 0; i < x->n; i++)
        if (memcmp(x->list[i]->row.sha256, sha256, AK_SHA256_LEN) == 0)
            return true;
    return false;
}

enum ak_status ak_xversion_reserve(struct ak_extractors *x, struct ak_err *err)
{
    size_t cap = x->cap > 0 ? 2 * x->cap : 16;
    struct ak_xversion **grown;

    if (x->n < x->cap)
        return AK_OK;
    grown = realloc(x->list, cap * sizeof(struct ak_xversion *));
    if (grown == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for an extractor");
    x->list = grown;
    x->cap = cap;
    return AK_OK;
}

void ak_xversion_insert(struct ak_extractors *x, struct ak_xversion *v)
{
    size_t at = x->n;

    for (; at > 0; at--) {
        const struct ak_extractor_row *before = &x->list[at - 1]->row;
        int order = strcmp(before->name, v->row.name);

        if (order < 0 || (order == 0 && before->version < v->row.version))
            break;
        x->list[at] = x->list[at - 1];
    }
    x->list[at] = v;
    x->n++;
}

/* ---------------------------------------------------------------------- life */

static enum ak_status read_one(void *arg, const struct ak_extractor_row *row,
                               struct ak_err *err)
{
    struct ak_extractors *x = arg;
    enum ak_status status = ak_xversion_reserve(x, err);
    struct ak_xversion *v;

    if (status != AK_OK)
        return status;
    v = ak_xversion_new(row);
    if (v == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for an extractor");
    ak_xversion_insert(x, v);
    return AK_OK;
}

static bool is_known(void *arg, const uint8_t sha256[32])
{
    return ak_xversion_has_file(arg, sha256);
}

enum ak_status ak_extractors_open(struct ak_engine *engine,
                                  struct ak_extractors **out,
                                  struct ak_err *err)
{
    struct ak_extractors *x = calloc(1, sizeof(*x));
    enum ak_status status;

    if (x == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for extractors");
    x->engine = engine;
    x->data_dir = engine->params.data_dir;
    /* Searches, batches and promotions: none waits for another's. */
    x->computers = ak_pool_threads(engine->search) +
                   ak_pool_threads(engine->images) +
                   ak_pool_threads(engine->work);
    atomic_init(&x->n_rooms, 0);
    pthread_mutex_init(&x->lock, NULL);
    pthread_cond_init(&x->loaded, NULL);
    status = ak_extractor_files_open(x->data_dir, err);
    if (status == AK_OK)
        status = ak_catalog_extractors(engine->catalog, read_one, x, err);
    if (status != AK_OK) {
        ak_extractors_destroy(x);
        return status;
    }
    ak_extractor_files_sweep(x->data_dir, is_known, x);
    *out = x;
    return AK_OK;
}

void ak_extractors_verify(struct ak_extractors *x)
{
    /* Nobody removes what is there before the daemon is ready, and what is
       added meanwhile was looked at. */
    for (size_t i = 0;; i++) {
        struct ak_extractor_row row = {0};
        char name[AK_SETTINGS_NAME];
        void *bytes = NULL;
        size_t len;

        pthread_mutex_lock(&x->lock);
        if (i < x->n) {
            row = x->list[i]->row;
            snprintf(name, sizeof(name), "%s", row.name);
        }
        pthread_mutex_unlock(&x->lock);
        if (row.name == NULL || atomic_load(&x->engine->stopping))
            return;
        /* Marks it, and tells the log. */
        if (ak_extractors_read(x, name, row.version, &bytes, &len, NULL) ==
            AK_OK)
            free(bytes);
    }
}

void ak_extractors_destroy(struct ak_extractors *x)
{
    if (x == NULL)
        return;
    for (size_t i = 0; i < x->n; i++)
        ak_xversion_free(x->list[i]);
    free(x->list);
    pthread_cond_destroy(&x->loaded);
    pthread_mutex_destroy(&x->lock);
    free(x);
}

struct ak_extractors *ak_engine_extractors(struct ak_engine *engine)
{
    return engine->extractors;
}

/* ------------------------------------------------------------------- reading */

enum ak_status ak_extractors_find(struct ak_extractors *x, const char *name,
                                  uint32_t version,
                                  struct ak_extractor_version *out,
                                  struct ak_err *err)
{
    const struct ak_xversion *v;

    pthread_mutex_lock(&x->lock);
    v = ak_xversion_find(x, name, version);
    if (v != NULL) {
        *out = (struct ak_extractor_version){.version = v->row.version,
                                             .dim = v->row.dim,
                                             .hash_bits = v->row.hash_bits,
                                             .bytes = v->row.bytes,
                                             .damaged = v->damaged};
        memcpy(out->sha256, v->row.sha256, sizeof(out->sha256));
    }
    pthread_mutex_unlock(&x->lock);
    if (v != NULL)
        return AK_OK;
    if (version > 0)
        return ak_fail(err, AK_ENOTFOUND,
                       "there is no version %u of extractor \"%.63s\"", version,
                       name);
    return ak_fail(err, AK_ENOTFOUND, "there is no extractor \"%.63s\"", name);
}

uint32_t ak_extractors_with_file(struct ak_extractors *x, const char *name,
                                 const uint8_t sha256[AK_SHA256_LEN])
{
    uint32_t version = 0;

    pthread_mutex_lock(&x->lock);
    for (size_t i = 0; i < x->n; i++) {
        const struct ak_xversion *v = x->list[i];

        if (strcmp(v->row.name, name) == 0 && !v->damaged &&
            memcmp(v->row.sha256, sha256, AK_SHA256_LEN) == 0)
            version = v->row.version;
    }
    pthread_mutex_unlock(&x->lock);
    return version;
}

void ak_extractors_count(struct ak_extractors *x, unsigned *n,
                         unsigned *damaged)
{
    *n = *damaged = 0;
    pthread_mutex_lock(&x->lock);
    for (size_t i = 0; i < x->n; i++)
        *damaged += x->list[i]->damaged;
    *n = (unsigned)x->n;
    pthread_mutex_unlock(&x->lock);
}

/* What its codes are, if it makes some. */
static json_t *hash_json(const struct ak_extractor_row *r)
{
    if (r->hash_bits == 0)
        return json_null();
    return json_pack("{s:s, s:I}", "kind", "hcdh", "bits",
                     (json_int_t)r->hash_bits);
}

static json_t *version_json(const struct ak_xversion *v)
{
    const struct ak_extractor_row *r = &v->row;
    char hex[2 * AK_SHA256_LEN + 1], created[AK_TIME_TEXT];

    ak_hex_encode(r->sha256, sizeof(r->sha256), hex);
    return json_pack(
        "{s:I, s:b, s:s?, s:{s:I, s:I, s:I}, s:I, s:I, s:o, s:I, s:I, s:I,"
        " s:s, s:s, s:o, s:o, s:s?, s:s?}",
        "version", (json_int_t)r->version, "published", r->published,
        "architecture", r->architecture, "input", "width", (json_int_t)r->width,
        "height", (json_int_t)r->height, "channels", (json_int_t)r->channels,
        "dim", (json_int_t)r->dim, "classes", (json_int_t)r->classes, "hash",
        hash_json(r), "macs", (json_int_t)r->macs, "parameters",
        (json_int_t)r->parameters, "bytes", (json_int_t)r->bytes, "sha256", hex,
        "created", ak_time_format(r->created_ms, created), "job",
        r->job > 0 ? json_integer((json_int_t)r->job) : json_null(),
        "ms_per_image", isnan(r->ms) ? json_null() : json_real(r->ms), "notes",
        r->notes, "damaged", v->damaged ? v->why : NULL);
}

/* The versions of a name, of which the first is at list[at]; *next: behind the
   last.  NULL when memory is short. */
static json_t *name_json(struct ak_extractors *x, size_t at, size_t *next)
{
    const char *name = x->list[at]->row.name;
    const struct ak_xversion *published = ak_xversion_find(x, name, 0);
    json_t *versions = json_array();
    json_int_t number = published != NULL ? published->row.version : 0;

    for (; at < x->n && strcmp(x->list[at]->row.name, name) == 0; at++)
        if (versions == NULL ||
            json_array_append_new(versions, version_json(x->list[at])) != 0) {
            json_decref(versions);
            return NULL;
        }
    *next = at;
    return json_pack(
        "{s:s, s:s?, s:o, s:o}", "name", name, "architecture",
        published != NULL ? published->row.architecture : NULL, "published",
        number > 0 ? json_integer(number) : json_null(), "versions", versions);
}

json_t *ak_extractors_json(struct ak_extractors *x, const char *name,
                           struct ak_err *err)
{
    json_t *o = NULL;
    size_t at = 0, next;

    pthread_mutex_lock(&x->lock);
    while (at < x->n && strcmp(x->list[at]->row.name, name) != 0)
        at++;
    if (at == x->n)
        ak_fail(err, AK_ENOTFOUND, "there is no extractor \"%.63s\"", name);
    else if ((o = name_json(x, at, &next)) == NULL)
        ak_fail(err, AK_ENOMEM, "no memory for an extractor");
    pthread_mutex_unlock(&x->lock);
    return o;
}

json_t *ak_extractors_list(struct ak_extractors *x, const char *after,
                           size_t limit, bool *more)
{
    json_t *list = json_array();
    size_t next = 0;

    *more = false;
    pthread_mutex_lock(&x->lock);
    for (size_t at = 0; at < x->n && list != NULL && !*more; at = next) {
        next = at + 1;
        if (strcmp(x->list[at]->row.name, after) <= 0)
            continue;
        *more = json_array_size(list) == limit;
        if (!*more &&
            json_array_append_new(list, name_json(x, at, &next)) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    pthread_mutex_unlock(&x->lock);
    return list;
}
