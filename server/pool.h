/*
 * pool.h -- a fixed number of threads, and actors that take turns on them.
 *
 * A task is run once.  An *actor* is woken any number of times and is run by
 * one thread at a time: a wake while it runs makes it run once more.  A slice
 * that returns true goes to the end of the queue, so that a thousand actors
 * share the threads fairly.
 */
#ifndef AK_SERVER_POOL_H
#define AK_SERVER_POOL_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/err.h"

struct ak_pool;

struct ak_task {
    void (*run)(struct ak_task *task);
    struct ak_task *next; /* the pool's */
};

/* `nice` is added to the priority of its threads; 0: none. */
enum ak_status ak_pool_create(unsigned threads, int nice, const char *name,
                              struct ak_pool **out,
                              struct ak_err *err) AK_MUST_CHECK;
/* Runs what is queued, then ends the threads.  From here on a wake does
   nothing and a task is run by who brings it. */
void ak_pool_stop(struct ak_pool *pool);
/* Stops it if need be.  NULL is a no-op. */
void ak_pool_destroy(struct ak_pool *pool);
void ak_pool_run(struct ak_pool *pool, struct ak_task *task);
unsigned ak_pool_threads(const struct ak_pool *pool);

/*
 * Call fn(arg, 0) .. fn(arg, n - 1), each once, from the caller and from what
 * threads of the pool are free; returns when all have returned.  The caller may
 * be a thread of the pool: it waits for nobody who has not begun.
 */
void ak_pool_share(struct ak_pool *pool, size_t n,
                   void (*fn)(void *arg, size_t i), void *arg);

enum ak_actor_state {
    AK_ACTOR_IDLE,
    AK_ACTOR_QUEUED,
    AK_ACTOR_RUNNING,
    AK_ACTOR_AGAIN
};

struct ak_actor {
    struct ak_task task; /* first */
    struct ak_pool *pool;
    /* One slice of work; true when there is more to do. */
    bool (*slice)(struct ak_actor *actor);
    /* Called when the actor leaves idle, and when it is idle again: takes and
       drops the owner, which must live while the actor may run. */
    void (*hold)(struct ak_actor *actor);
    void (*drop)(struct ak_actor *actor);
    enum ak_actor_state state; /* under the pool's lock */
};

/* Any thread, also from within the slice. */
void ak_actor_wake(struct ak_actor *actor);

#endif
