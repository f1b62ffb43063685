/*
 * pool.c -- threads and actors.
 *
 * The pool's lock guards its queue and the states of its actors.  It is held
 * for a few instructions and nothing else is locked under it.
 */
#include "server/pool.h"

#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

struct ak_pool {
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct ak_task *head, *tail;
    bool stopping;
    int nice;
    char name[12];
    unsigned n_threads;
    pthread_t threads[];
};

static void *work(void *arg)
{
    struct ak_pool *pool = arg;

    pthread_setname_np(pthread_self(), pool->name);
    /* On Linux a priority is a thread's, not a process's.  Not being able to
       yield is no reason to stop. */
    if (pool->nice != 0)
        (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), pool->nice);
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        struct ak_task *task = pool->head;

        if (task == NULL) {
            if (pool->stopping)
                break;
            pthread_cond_wait(&pool->more, &pool->lock);
            continue;
        }
        pool->head = task->next;
        if (pool->head == NULL)
            pool->tail = NULL;
        pthread_mutex_unlock(&pool->lock);
        task->run(task);
        pthread_mutex_lock(&pool->lock);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

enum ak_status ak_pool_create(unsigned threads, int nice, const char *name,
                              struct ak_pool **out, struct ak_err *err)
{
    struct ak_pool *pool =
        calloc(1, sizeof(*pool) + threads * sizeof(pool->threads[0]));

    if (pool == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for %u threads", threads);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->more, NULL);
    pool->nice = nice;
    strncpy(pool->name, name, sizeof(pool->name) - 1);
    for (; pool->n_threads < threads; pool->n_threads++) {
        int failed =
            pthread_create(&pool->threads[pool->n_threads], NULL, work, pool);

        if (failed) {
            ak_pool_destroy(pool);
            return ak_fail(err, AK_EIO, "cannot start a thread: %s",
                           strerror(failed));
        }
    }
    *out = pool;
    return AK_OK;
}

void ak_pool_stop(struct ak_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    pthread_cond_broadcast(&pool->more);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->n_threads; i++)
        pthread_join(pool->threads[i], NULL);
    pool->n_threads = 0;
}

void ak_pool_destroy(struct ak_pool *pool)
{
    if (pool == NULL)
        return;
    ak_pool_stop(pool);
    pthread_cond_destroy(&pool->more);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

static void push_locked(struct ak_pool *pool, struct ak_task *task)
{
    task->next = NULL;
    if (pool->tail != NULL)
        pool->tail->next = task;
    else
        pool->head = task;
    pool->tail = task;
    pthread_cond_signal(&pool->more);
}

void ak_pool_run(struct ak_pool *pool, struct ak_task *task)
{
    bool stopping;

    pthread_mutex_lock(&pool->lock);
    stopping = pool->stopping;
    if (!stopping)
        push_locked(pool, task);
    pthread_mutex_unlock(&pool->lock);
    if (stopping)
        task->run(task);
}

static void run_actor(struct ak_task *task)
{
    struct ak_actor *actor = (struct ak_actor *)task;
    struct ak_pool *pool = actor->pool;
    bool more;

    pthread_mutex_lock(&pool->lock);
    actor->state = AK_ACTOR_RUNNING;
    pthread_mutex_unlock(&pool->lock);
    more = actor->slice(actor);
    pthread_mutex_lock(&pool->lock);
    if (more || actor->state == AK_ACTOR_AGAIN) {
        actor->state = AK_ACTOR_QUEUED;
        push_locked(pool, task);
        pthread_mutex_unlock(&pool->lock);
        return;
    }
    actor->state = AK_ACTOR_IDLE;
    pthread_mutex_unlock(&pool->lock);
    actor->drop(actor);
}

void ak_actor_wake(struct ak_actor *actor)
{
    struct ak_pool *pool = actor->pool;

    /* Held before it can be queued, so that the drop of a slice that ends at
       this moment is not the last one. */
    actor->hold(actor);
    pthread_mutex_lock(&pool->lock);
    if (actor->state == AK_ACTOR_IDLE && !pool->stopping) {
        actor->state = AK_ACTOR_QUEUED;
        actor->task.run = run_actor;
        push_locked(pool, &actor->task);
        pthread_mutex_unlock(&pool->lock);
        return;
    }
    if (actor->state == AK_ACTOR_RUNNING)
        actor->state = AK_ACTOR_AGAIN;
    pthread_mutex_unlock(&pool->lock);
    actor->drop(actor);
}
