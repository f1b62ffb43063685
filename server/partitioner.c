/*
 * partitioner.c -- the actor that keeps the partition of an index up to date.
 *
 * It builds from a snapshot, a step at a time and beside all else; the indexer,
 * which alone changes the index, then puts what was built in its place.  When
 * memory is short, or other codes were installed meanwhile, what was begun is
 * thrown away: searches are exact without it, and the next commit asks again.
 */
#include "core/base/clock.h"
#include "core/code/partition.h"
#include "server/engine_internal.h"
#include "server/log.h"

#define SLICE_NS UINT64_C(10000000)

void ak_partitioner_clear(struct ak_partitioner *p)
{
    ak_partition_build_destroy(p->build);
    p->build = NULL;
}

static void begin(struct ak_collection *c)
{
    struct ak_partitioner *p = &c->partitioner;
    struct ak_snapshot *s = ak_index_snapshot(c->index);
    struct ak_err err = {0};

    if (ak_snapshot_partition_due(s)) {
        p->began_ns = ak_clock_ns();
        if (ak_partition_build_create(s, &p->build, &err) != AK_OK)
            ak_log_warn("engine", "no partition is built",
                        AK_TEXT("collection", c->settings.name),
                        AK_TEXT("reason", err.text));
    }
    ak_snapshot_drop(s);
}

static void report_memory(struct ak_collection *c)
{
    const struct ak_partition_build *build = c->partitioner.build;

    pthread_mutex_lock(&c->lock);
    c->status.partition_bytes =
        build != NULL ? ak_partition_build_bytes(build) : 0;
    pthread_mutex_unlock(&c->lock);
}

bool ak_partitioner_slice(struct ak_actor *actor)
{
    struct ak_collection *c = ak_partitioner_owner(actor);
    struct ak_partitioner *p = &c->partitioner;
    uint64_t start = ak_clock_ns();
    enum ak_status status = AK_OK;
    struct ak_err err = {0};
    bool done = false;

    if (atomic_load(&c->engine->stopping) || atomic_load(&p->ready))
        return false;
    if (p->build == NULL)
        begin(c);
    if (p->build == NULL)
        return false;
    while (status == AK_OK && !done && ak_clock_ns() - start < SLICE_NS) {
        status = ak_partition_build_step(p->build, &done, &err);
        report_memory(c);
    }
    if (status != AK_OK) {
        ak_log_warn("engine", "no partition is built",
                    AK_TEXT("collection", c->settings.name),
                    AK_TEXT("reason", err.text));
        ak_partitioner_clear(p);
        report_memory(c);
        return false;
    }
    if (!done)
        return true;
    /* From here on `build` is the indexer's. */
    atomic_store(&p->ready, true);
    ak_actor_wake(&c->indexer.actor);
    return false;
}

void ak_partitioner_install(struct ak_collection *c)
{
    struct ak_partitioner *p = &c->partitioner;
    struct ak_partition_info info;
    struct ak_err err = {0};
    struct ak_snapshot *s;
    enum ak_status status;

    if (!atomic_load(&p->ready))
        return;
    status = ak_index_partition(c->index, p->build, &err);
    if (status == AK_OK) {
        s = ak_index_snapshot(c->index);
        ak_snapshot_partition_info(s, &info);
        ak_snapshot_drop(s);
        ak_log_info(
            "engine", "partition built",
            AK_TEXT("collection", c->settings.name),
            AK_NUMBER("rows", info.rows), AK_NUMBER("buckets", info.buckets),
            AK_REAL("share", info.share),
            AK_REAL("seconds", (double)(ak_clock_ns() - p->began_ns) * 1e-9));
    } else if (status != AK_EBUSY) {
        ak_log_warn("engine", "a partition was not installed",
                    AK_TEXT("collection", c->settings.name),
                    AK_TEXT("reason", err.text));
    }
    ak_partitioner_clear(p);
    report_memory(c);
    atomic_store(&p->ready, false);
}

void ak_partitioner_look(struct ak_collection *c)
{
    struct ak_snapshot *s;
    bool due;

    if (atomic_load(&c->partitioner.ready))
        return;
    s = ak_index_snapshot(c->index);
    due = ak_snapshot_partition_due(s);
    ak_snapshot_drop(s);
    if (due)
        ak_actor_wake(&c->partitioner.actor);
}
