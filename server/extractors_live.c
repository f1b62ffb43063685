/*
 * extractors_live.c -- versions in memory.
 *
 * A version is read when it is first asked for, by whoever asks; who comes
 * meanwhile waits.  It stays for a minute after its last use.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/extract/network.h"
#include "server/engine_internal.h"
#include "server/extractor_files.h"
#include "server/extractors_internal.h"
#include "server/log.h"

#define IDLE_NS UINT64_C(60000000000)

static enum ak_status unknown(const char *name, uint32_t version,
                              struct ak_err *err)
{
    return ak_fail(err, AK_ENOTFOUND,
                   "there is no version %u of extractor \"%.63s\"", version,
                   name);
}

static enum ak_status damaged(const char *name, uint32_t version,
                              const char *why, struct ak_err *err)
{
    return ak_fail(err, AK_ECORRUPT,
                   "version %u of extractor \"%.63s\" is damaged: %s", version,
                   name, why);
}

/* What is wrong with a version from now on. */
static void mark(struct ak_extractors *x, const struct ak_extractor_row *row,
                 const char *why)
{
    bool is_news = false;

    pthread_mutex_lock(&x->lock);
    for (size_t i = 0; i < x->n; i++) {
        struct ak_xversion *v = x->list[i];

        if (memcmp(v->row.sha256, row->sha256, AK_SHA256_LEN) != 0)
            continue;
        is_news = is_news || !v->damaged;
        v->damaged = true;
        snprintf(v->why, sizeof(v->why), "%s", why);
    }
    pthread_mutex_unlock(&x->lock);
    if (is_news)
        ak_log_error("extractors", "a model file is damaged",
                     AK_TEXT("extractor", row->name),
                     AK_NUMBER("version", row->version),
                     AK_TEXT("reason", why));
}

/* The bytes of a version's file, when they are what its row says. */
static enum ak_status read_file(struct ak_extractors *x,
                                const struct ak_extractor_row *row,
                                void **bytes, size_t *len, struct ak_err *err)
{
    char path[AK_EXTRACTORS_PATH];
    uint8_t sha256[AK_SHA256_LEN];
    struct ak_err why = {0};
    void *data = NULL;
    size_t got = 0;
    enum ak_status status;

    if (!ak_extractor_file_path(x->data_dir, row->sha256, path, sizeof(path)))
        return ak_fail(err, AK_EIO, "the data directory's name is too long");
    status =
        ak_extractor_file_read(path, UINT64_MAX, &data, &got, sha256, &why);
    /* Memory was short, or the system refused: it may succeed later. */
    if (status != AK_OK && status != AK_ENOTFOUND)
        return ak_fail(err, status, "%s", why.text);
    if (status == AK_ENOTFOUND) {
        ak_fail(&why, AK_ECORRUPT, "its file is missing");
    } else if (got != row->bytes) {
        ak_fail(&why, AK_ECORRUPT, "its file has %zu bytes, must have %llu",
                got, (unsigned long long)row->bytes);
    } else if (memcmp(sha256, row->sha256, sizeof(sha256)) != 0) {
        ak_fail(&why, AK_ECORRUPT, "its file has another checksum");
    } else {
        *bytes = data;
        *len = got;
        return AK_OK;
    }
    free(data);
    mark(x, row, why.text);
    return damaged(row->name, row->version, why.text, err);
}

/*
 * Under the lock: the row of a version, with a name that stays.  Its other texts
 * are not to be looked at.
 */
static void copy_row(const struct ak_xversion *v, struct ak_extractor_row *row,
                     char name[AK_SETTINGS_NAME])
{
    *row = v->row;
    snprintf(name, AK_SETTINGS_NAME, "%s", v->row.name);
    row->name = name;
    row->architecture = row->notes = NULL;
}

enum ak_status ak_extractors_read(struct ak_extractors *x, const char *name,
                                  uint32_t version, void **bytes, size_t *len,
                                  struct ak_err *err)
{
    struct ak_extractor_row row;
    char copy[AK_SETTINGS_NAME];
    const struct ak_xversion *v;

    pthread_mutex_lock(&x->lock);
    v = ak_xversion_find(x, name, version);
    if (v != NULL)
        copy_row(v, &row, copy);
    pthread_mutex_unlock(&x->lock);
    if (v == NULL)
        return unknown(name, version, err);
    return read_file(x, &row, bytes, len, err);
}

static enum ak_status load(struct ak_extractors *x,
                           const struct ak_extractor_row *row,
                           struct ak_extractor **out, struct ak_err *err)
{
    uint64_t start = ak_clock_ns();
    struct ak_model model = {0};
    struct ak_err why = {0};
    void *bytes = NULL;
    size_t len;
    enum ak_status status = read_file(x, row, &bytes, &len, err);

    if (status != AK_OK)
        return status;
    /* The checksum was right, so only memory can be short, or this build be
       another than the one that took the file. */
    status = ak_model_read(bytes, len, &model, &why);
    free(bytes);
    if (status == AK_OK)
        status =
            ak_network_create(row->name, &model, NULL, x->computers, out, &why);
    ak_model_clear(&model);
    if (status == AK_ENOMEM)
        return ak_fail(err, status, "%s", why.text);
    if (status != AK_OK) {
        mark(x, row, why.text);
        return damaged(row->name, row->version, why.text, err);
    }
    ak_log_info("extractors", "extractor loaded",
                AK_TEXT("extractor", row->name),
                AK_NUMBER("version", row->version),
                AK_NUMBER("bytes", ak_network_bytes(*out)),
                AK_REAL("seconds", (double)(ak_clock_ns() - start) * 1e-9));
    return AK_OK;
}

enum ak_status ak_extractors_get(struct ak_extractors *x, const char *name,
                                 uint32_t version, struct ak_extractor **out,
                                 struct ak_err *err)
{
    enum ak_status status = AK_OK;
    struct ak_extractor *e = NULL;
    struct ak_extractor_row row;
    char copy[AK_SETTINGS_NAME];
    struct ak_xversion *v;

    pthread_mutex_lock(&x->lock);
    while ((v = ak_xversion_find(x, name, version)) != NULL && v->loading)
        pthread_cond_wait(&x->loaded, &x->lock);
    if (v == NULL) {
        status = unknown(name, version, err);
    } else if (v->damaged) {
        status = damaged(name, version, v->why, err);
    } else if (v->live != NULL) {
        v->used_ns = ak_clock_ns();
        e = ak_extractor_ref(v->live);
    } else {
        v->loading = true;
        copy_row(v, &row, copy);
    }
    pthread_mutex_unlock(&x->lock);
    if (status != AK_OK)
        return status;
    if (e == NULL) {
        status = load(x, &row, &e, err);
        pthread_mutex_lock(&x->lock);
        /* It may have been removed meanwhile; then it is the caller's alone. */
        v = ak_xversion_find(x, copy, row.version);
        if (v != NULL &&
            memcmp(v->row.sha256, row.sha256, AK_SHA256_LEN) == 0) {
            v->loading = false;
            if (status == AK_OK) {
                v->live = ak_extractor_ref(e);
                v->used_ns = ak_clock_ns();
            }
        }
        pthread_cond_broadcast(&x->loaded);
        pthread_mutex_unlock(&x->lock);
    }
    if (status == AK_OK)
        *out = e;
    return status;
}

void ak_extractors_tick(struct ak_extractors *x)
{
    uint64_t now = ak_clock_ns();
    struct ak_extractor *idle = NULL;

    /* One at a time, and freed without the lock. */
    pthread_mutex_lock(&x->lock);
    for (size_t i = 0; i < x->n && idle == NULL; i++) {
        struct ak_xversion *v = x->list[i];

        if (v->live != NULL && now - v->used_ns > IDLE_NS &&
            atomic_load(&v->live->ref.holders) == 1) {
            idle = v->live;
            v->live = NULL;
        }
    }
    pthread_mutex_unlock(&x->lock);
    ak_extractor_unref(idle);
}
