/* extractors_use.c -- the collections that use extractors. */
#include <stdlib.h>
#include <string.h>

#include "core/image/pixels.h"
#include "server/engine_internal.h"
#include "server/extractors_internal.h"

enum ak_status ak_extractors_unused(struct ak_extractors *x, const char *name,
                                    struct ak_err *err)
{
    struct ak_engine *e = x->engine;
    enum ak_status status = AK_OK;

    pthread_mutex_lock(&e->lock);
    for (size_t i = 0; i < e->n && status == AK_OK; i++) {
        struct ak_collection *c = e->collections[i];

        bool loading, failed;

        pthread_mutex_lock(&c->lock);
        loading = c->state == AK_LOADING;
        failed = c->state == AK_FAILED;
        pthread_mutex_unlock(&c->lock);
        if (loading || failed)
            status =
                ak_fail(err, AK_EBUSY,
                        "collection \"%s\" %s, and may use the extractor",
                        c->settings.name,
                        loading ? "is being loaded" : "could not be loaded");
        else if (ak_collection_uses(c, name))
            status =
                ak_fail(err, AK_EBUSY, "collection \"%s\" uses the extractor",
                        c->settings.name);
    }
    pthread_mutex_unlock(&e->lock);
    return status;
}

/* The version that a collection of this name has of this extractor, 0: none. */
static uint32_t version_there(struct ak_extractors *x,
                              const struct ak_settings *s)
{
    struct ak_collection *c = NULL;
    struct ak_settings now;

    if (ak_engine_get(x->engine, s->name, &c, NULL) != AK_OK)
        return 0;
    ak_collection_settings(c, &now);
    ak_collection_drop(c);
    return strcmp(now.extractor, s->extractor) == 0 ? now.extractor_version : 0;
}

enum ak_status ak_extractors_resolve(struct ak_extractors *x,
                                     struct ak_settings *s,
                                     struct ak_fault *error)
{
    uint32_t there = 0, version = s->extractor_version;
    struct ak_extractor_version v;
    struct ak_err err = {0};

    if (!ak_settings_has_network(s))
        return AK_OK;
    there = version_there(x, s);
    if (version == 0)
        version = there;
    if (ak_extractors_find(x, s->extractor, version, &v, &err) != AK_OK)
        return ak_fault_set(error, "/extractor", "unsupported-option",
                            "%s; GET /v1/extractors lists them, built in is "
                            "pixels-WxHxC",
                            err.text);
    if (v.damaged && there != v.version)
        return ak_fault_set(error, "/extractor", "unsupported-option",
                            "version %u of extractor %s is damaged", v.version,
                            s->extractor);
    if (s->dim != 0 && s->dim != v.dim)
        return ak_fault_set(error, "/features/dim", "dim-mismatch",
                            "is %u, but version %u of extractor %s gives %u",
                            s->dim, v.version, s->extractor, v.dim);
    s->extractor_version = v.version;
    s->dim = v.dim;
    return AK_OK;
}

enum ak_status ak_extractors_hold(struct ak_extractors *x,
                                  const struct ak_settings *s,
                                  struct ak_err *err)
{
    struct ak_extractor_version v;

    if (!ak_settings_has_network(s))
        return AK_OK;
    if (ak_extractors_find(x, s->extractor, s->extractor_version, &v, err) !=
        AK_OK)
        return AK_EINVAL;
    if (v.dim != s->dim || v.version != s->extractor_version)
        return ak_fail(err, AK_EINVAL,
                       "version %u of extractor %s gives %u numbers, %u "
                       "expected",
                       v.version, s->extractor, v.dim, s->dim);
    return AK_OK;
}

enum ak_status ak_extractors_of(struct ak_extractors *x,
                                const struct ak_settings *s,
                                struct ak_extractor **out, struct ak_err *err)
{
    if (!ak_settings_has_network(s))
        return ak_pixels_create(s->extractor, out, err);
    return ak_extractors_get(x, s->extractor, s->extractor_version, out, err);
}

json_t *ak_extractors_users(struct ak_extractors *x, const char *name)
{
    struct ak_collection **all = NULL;
    json_t *list = json_array();
    size_t n = 0;

    if (ak_engine_list(x->engine, &all, &n, NULL) != AK_OK) {
        json_decref(list);
        return NULL;
    }
    for (size_t i = 0; i < n; i++) {
        if (list != NULL && ak_collection_uses(all[i], name) &&
            json_array_append_new(list, json_string(all[i]->settings.name)) !=
                0) {
            json_decref(list);
            list = NULL;
        }
        ak_collection_drop(all[i]);
    }
    free(all);
    return list;
}
