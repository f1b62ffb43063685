/*
 * disk.c -- how much room there is, and that some is always left.
 *
 * A database that meets the end of the disk in the middle of a commit fails that
 * commit, and then every delete that would make room, and every checkpoint of
 * what was learnt.  So writes are refused while there is still `disk_low_bytes`:
 * that is what deletes, checkpoints and the copying of the log live on.  They
 * are taken again when there is a quarter more than that, so that the answer
 * does not change with every batch.
 *
 * What is in a log (of SQLite's, up to 64 MiB a collection) will be copied into
 * its file and take as much once more, so that it does not count as free.  When
 * there is little room, logs are copied and emptied without waiting for an idle
 * moment.
 *
 * The writer looks after each transaction and ten times a second, since it is
 * the thread that may wait for a disk.  A commit that finds no room all the same (a quota, or somebody else
 * was quicker) counts as having seen it, until the next look.  What the engine
 * itself must write to go on (checkpoints, versions and their flips) waits for
 * room, in its order.
 */
#include <sys/statvfs.h>

#include <stdlib.h>

#include "server/engine_internal.h"
#include "server/log.h"

static uint64_t ask_system(struct ak_engine *e)
{
    uint64_t log = atomic_load(&e->disk.log_bytes), n;
    struct statvfs s;

    if (statvfs(e->params.data_dir, &s) != 0)
        return UINT64_MAX;
    n = (uint64_t)s.f_bavail * (uint64_t)s.f_frsize;
    return n > log ? n - log : 0;
}

void ak_disk_count_log(struct ak_engine *e, struct ak_lane *lane)
{
    uint64_t now = lane->store != NULL ? ak_store_wal_bytes(lane->store) : 0;

    /* Unsigned, so that a sum of differences is right below 0, too. */
    atomic_fetch_add(&e->disk.log_bytes, now - lane->log_bytes);
    lane->log_bytes = now;
}

static void set_low(struct ak_engine *e, bool low, uint64_t free_bytes,
                    const char *reason)
{
    uint64_t mark = atomic_load(&e->disk.low_bytes);

    if (atomic_exchange(&e->disk.low, low) == low)
        return;
    if (low)
        ak_log_error("engine", "writes but for deletes are refused for now",
                     AK_TEXT("reason", reason),
                     AK_NUMBER("free_bytes", free_bytes),
                     AK_NUMBER("disk_low_bytes", mark));
    else
        ak_log_info("engine", "there is room on the disk again",
                    AK_NUMBER("free_bytes", free_bytes),
                    AK_NUMBER("disk_low_bytes", mark));
}

static void go_on(struct ak_engine *e)
{
    while (e->disk.waiting != NULL) {
        struct ak_job *job = e->disk.waiting;

        e->disk.waiting = job->next;
        ak_writer_push(e->writer, job->lane, job);
    }
}

void ak_disk_wait(struct ak_engine *e, struct ak_job *job)
{
    struct ak_job **at = &e->disk.waiting;

    while (*at != NULL)
        at = &(*at)->next;
    job->next = NULL;
    *at = job;
}

void ak_disk_stop(struct ak_engine *e)
{
    while (e->disk.waiting != NULL) {
        struct ak_job *job = e->disk.waiting;
        struct ak_err err = {0};

        e->disk.waiting = job->next;
        ak_fail(&err, AK_ECANCELED, "the daemon stops");
        job->done(job, AK_ECANCELED, &err);
    }
}

void ak_disk_look(struct ak_engine *e)
{
    uint64_t mark = atomic_load(&e->disk.low_bytes);
    uint64_t n = e->params.disk_free != NULL
                     ? e->params.disk_free(e->params.data_dir)
                     : ask_system(e);
    bool low;

    atomic_store(&e->disk.free_bytes, n);
    if (atomic_load(&e->disk.low))
        mark += mark / 4;
    /* With nothing to spare what is in the logs could not be copied. */
    low = n < mark || n == 0;
    set_low(e, low, n, "there is little room on the disk");
    if (!low)
        go_on(e);
}

void ak_disk_was_full(struct ak_engine *e, const struct ak_err *err)
{
    set_low(e, true, atomic_load(&e->disk.free_bytes), err->text);
}

void ak_engine_set_disk_low(struct ak_engine *e, uint64_t bytes)
{
    atomic_store(&e->disk.low_bytes, bytes);
}

struct look_job {
    struct ak_job job; /* first */
    struct ak_engine *engine;
};

static enum ak_status look_apply(struct ak_job *job, struct ak_store *store,
                                 struct ak_err *err)
{
    (void)store;
    (void)err;
    ak_disk_look(((struct look_job *)job)->engine);
    return AK_OK;
}

static void look_done(struct ak_job *job, enum ak_status status,
                      const struct ak_err *err)
{
    (void)status;
    (void)err;
    atomic_store(&((struct look_job *)job)->engine->disk.looking, false);
    free(job);
}

void ak_disk_ask(struct ak_engine *e)
{
    struct look_job *j;

    if (atomic_exchange(&e->disk.looking, true))
        return;
    j = calloc(1, sizeof(*j));
    if (j == NULL) { /* the next tick may have memory */
        atomic_store(&e->disk.looking, false);
        return;
    }
    j->job.apply = look_apply;
    j->job.done = look_done;
    j->engine = e;
    ak_writer_push(e->writer, &e->catalog_lane, &j->job);
}
