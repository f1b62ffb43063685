#include "server/ask.h"

#include <stdlib.h>

static enum ak_status apply(struct ak_job *job, struct ak_store *store,
                            struct ak_err *err)
{
    struct ak_ask *ask = (struct ak_ask *)job;

    return ask->fn(ask, store, err);
}

static void done(struct ak_job *job, enum ak_status status,
                 const struct ak_err *err)
{
    struct ak_ask *ask = (struct ak_ask *)job;

    ask->status = status;
    if (err != NULL)
        ask->err = *err;
    atomic_store(&ask->over, true);
    if (ask->run != NULL)
        ak_run_wake(ask->run);
    ak_ask_drop(ask);
}

void *ak_ask_create(size_t size,
                    enum ak_status (*fn)(struct ak_ask *ask,
                                         struct ak_store *store,
                                         struct ak_err *err),
                    struct ak_run *run, struct ak_collection *c)
{
    struct ak_ask *ask = calloc(1, size);

    if (ask == NULL)
        return NULL;
    ask->job.apply = apply;
    ask->job.done = done;
    ask->job.apart = true;
    ask->job.bytes = size;
    ask->fn = fn;
    ask->run = run != NULL ? ak_run_hold(run) : NULL;
    ask->c = c != NULL ? ak_collection_ref(c) : NULL;
    atomic_init(&ask->refs, 1);
    atomic_init(&ask->over, false);
    return ask;
}

void ak_ask_push(struct ak_ask *ask, struct ak_engine *engine,
                 struct ak_lane *lane)
{
    ask->engine = engine;
    atomic_fetch_add(&ask->refs, 1);
    ak_writer_push(engine->writer, lane, &ask->job);
}

bool ak_ask_over(const struct ak_ask *ask)
{
    return atomic_load(&ask->over);
}

void ak_ask_drop(struct ak_ask *ask)
{
    if (ask == NULL || atomic_fetch_sub(&ask->refs, 1) != 1)
        return;
    ak_run_drop(ask->run);
    ak_collection_drop(ask->c);
    free(ask);
}
