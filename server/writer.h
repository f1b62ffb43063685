/*
 * writer.h -- the one thread that writes to every file.
 *
 * A *lane* is the queue of one file.  The writer takes lanes in turn; what has
 * queued up in a lane is one transaction, up to 8 MiB or 5 ms of work: a commit
 * costs one fsync however many requests share it, and there is no timer to wait
 * for.  A job that fails by itself (the input's fault) is undone alone; any
 * other failure, and a failed commit, fails the whole group.
 */
#ifndef AK_SERVER_WRITER_H
#define AK_SERVER_WRITER_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/err.h"
#include "server/drain.h"
#include "storage/collection.h"

struct ak_writer_thread;

struct ak_job {
    /* In the group's transaction, on the writer. */
    enum ak_status (*apply)(struct ak_job *job, struct ak_store *store,
                            struct ak_err *err);
    /* On the writer, after the commit or the failure; frees the job. */
    void (*done)(struct ak_job *job, enum ak_status status,
                 const struct ak_err *err);
    size_t bytes; /* behind it, for the bounds of queue and group */
    bool alone;   /* set by apply(): it was not begun, and fails by itself */
    bool apart;   /* not in a transaction, but between two */
    uint64_t since_ns; /* when it came; 0: when it is pushed */

    /* The writer's. */
    uint64_t queued_ns;
    struct ak_lane *lane;
    struct ak_job *next;
    enum ak_status status;
    struct ak_err err;
};

struct ak_lane {
    struct ak_store *store; /* NULL: jobs run one by one, in no transaction */

    /* The writer's, under its lock. */
    struct ak_job *head, *tail;
    uint64_t log_bytes;     /* of disk.c: not copied into the file yet */
    size_t n, bytes;        /* waiting or being committed */
    uint64_t committing_ns; /* when what is being committed came; 0: nothing */
    struct ak_drain drain;
    bool queued, closed;
    struct ak_lane *next;
};

/* Both are called on the writer: `failed` when a disk refused, `written` after
   each transaction of a lane. */
struct ak_writer_hooks {
    void (*failed)(void *arg, const struct ak_err *err);
    void (*written)(void *arg, struct ak_lane *lane);
    void *arg;
};
enum ak_status ak_writer_start(const struct ak_writer_hooks *hooks,
                               struct ak_writer_thread **out,
                               struct ak_err *err) AK_MUST_CHECK;
/* Does what is queued, then ends.  NULL is a no-op. */
void ak_writer_stop(struct ak_writer_thread *writer);

/*
 * Queue a job.  In a closed lane it is done with AK_ENOTFOUND at once, on the
 * caller's thread.
 */
void ak_writer_push(struct ak_writer_thread *writer, struct ak_lane *lane,
                    struct ak_job *job);

/* On the writer thread: no more jobs; those that wait are done with
   AK_ENOTFOUND. */
void ak_lane_close(struct ak_writer_thread *writer, struct ak_lane *lane);

/* What waits in a lane, and in all of them. */
struct ak_lane_load {
    size_t n, bytes;
    uint64_t oldest_ns; /* when the one that waits longest came; 0: none does */
    double rate;        /* bytes a second that leave the lane */
    size_t all_bytes;
    double all_rate;
};
void ak_lane_load(struct ak_writer_thread *writer, struct ak_lane *lane,
                  struct ak_lane_load *out);
/* What waits in all lanes together, and at which rate it leaves them. */
size_t ak_writer_bytes(struct ak_writer_thread *writer);
double ak_writer_rate(struct ak_writer_thread *writer);

#endif
