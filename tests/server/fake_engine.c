#include "tests/server/fake_engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct ak_collection {
    struct ak_engine *engine;
    unsigned number;
};

void ak_engine_progress(const struct ak_engine *engine,
                        struct ak_engine_progress *out)
{
    bool loading = atomic_load(&engine->loading);

    *out = (struct ak_engine_progress){
        .ready = !loading,
        .collections = 4,
        .loaded = loading ? 1 : 4,
        .rows = 1000,
        .rows_loaded = loading ? 250 : 1000,
        .read_only = atomic_load(&engine->read_only),
        .disk_low = atomic_load(&engine->disk_low),
        .disk_free_bytes = 1000,
        .disk_low_bytes = 2000,
    };
}

static struct ak_collection *make(struct ak_engine *engine, unsigned number)
{
    struct ak_collection *c = malloc(sizeof(*c));

    if (c != NULL) {
        *c = (struct ak_collection){engine, number};
        atomic_fetch_add(&engine->references, 1);
    }
    return c;
}

enum ak_status ak_engine_get(struct ak_engine *engine, const char *name,
                             struct ak_collection **out, struct ak_err *err)
{
    unsigned number;

    if (sscanf(name, "c%u", &number) != 1 ||
        number >= atomic_load(&engine->collections))
        return ak_fail(err, AK_ENOTFOUND, "there is no collection \"%s\"",
                       name);
    *out = make(engine, number);
    return *out != NULL ? AK_OK : AK_ENOMEM;
}

void ak_collection_drop(struct ak_collection *c)
{
    if (c != NULL) {
        atomic_fetch_sub(&c->engine->references, 1);
        free(c);
    }
}

enum ak_status ak_engine_list(struct ak_engine *engine,
                              struct ak_collection ***out, size_t *n,
                              struct ak_err *err)
{
    (void)err;
    *n = atomic_load(&engine->collections);
    *out = calloc(*n + 1, sizeof(**out));
    if (*out == NULL)
        return AK_ENOMEM;
    for (size_t i = 0; i < *n; i++)
        (*out)[i] = make(engine, (unsigned)i);
    return AK_OK;
}

void ak_collection_settings(const struct ak_collection *c,
                            struct ak_settings *out)
{
    memset(out, 0, sizeof(*out));
    snprintf(out->name, sizeof(out->name), "c%u", c->number);
}

void ak_collection_status(struct ak_collection *c,
                          struct ak_collection_status *out)
{
    *out = (struct ak_collection_status){
        .items = 10 + c->number,
        .state = "ready",
        .served = {.queries = c->number,
                   .map_at_r = 0.5,
                   .precision = {0, 0.75}},
        .lag_seconds = 1.5,
    };
}

bool ak_collection_full(struct ak_collection *c, size_t bytes)
{
    (void)bytes;
    return atomic_load(&c->engine->full);
}

unsigned ak_collection_retry_seconds(struct ak_collection *c)
{
    (void)c;
    return 7;
}

uint64_t ak_engine_queue_bytes(const struct ak_engine *engine)
{
    (void)engine;
    return 0;
}

unsigned ak_engine_threads(const struct ak_engine *engine)
{
    (void)engine;
    return 2;
}

unsigned ak_engine_retry_seconds(struct ak_engine *engine, size_t bytes)
{
    (void)engine;
    return bytes > 0 ? 9 : 1;
}

void ak_engine_count_jobs(struct ak_engine *engine,
                          unsigned counts[AK_JOB_STATES])
{
    (void)engine;
    for (unsigned i = 0; i < AK_JOB_STATES; i++)
        counts[i] = i;
}
