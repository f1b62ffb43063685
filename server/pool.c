/*
 * pool.c -- threads and actors.
 *
 * The pool's lock guards its queue and the states of its actors.  It is held
 * for a few instructions and nothing else is locked under it.
 */
#include "server/pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "server/json_memory.h"

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
        (void)ak_json_memory_short(); /* of the task before */
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
            return ak_fail(err, AK_ENOMEM, "cannot start a thread: %s",
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

unsigned ak_pool_threads(const struct ak_pool *pool)
{
    return pool->n_threads;
}

/* ------------------------------------------------------------------- sharing */

/* Work that is shared; it lives until the last helper has looked at it, which
   may be after its caller went on. */
struct share {
    void (*fn)(void *arg, size_t i);
    void *arg;
    size_t n;
    atomic_size_t next; /* to be begun */
    atomic_uint holders;
    pthread_mutex_t lock;
    pthread_cond_t over;
    size_t done; /* under the lock */
    struct helper {
        struct ak_task task; /* first */
        struct share *share;
    } helpers[];
};

static void drop_share(struct share *s)
{
    if (atomic_fetch_sub_explicit(&s->holders, 1, memory_order_acq_rel) != 1)
        return;
    pthread_cond_destroy(&s->over);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static void take_part(struct share *s)
{
    size_t i, done = 0;

    while ((i = atomic_fetch_add_explicit(&s->next, 1, memory_order_relaxed)) <
           s->n) {
        s->fn(s->arg, i);
        done++;
    }
    if (done == 0)
        return;
    pthread_mutex_lock(&s->lock);
    s->done += done;
    if (s->done == s->n)
        pthread_cond_signal(&s->over);
    pthread_mutex_unlock(&s->lock);
}

static void help(struct ak_task *task)
{
    struct share *s = ((struct helper *)task)->share;

    take_part(s);
    drop_share(s);
}

void ak_pool_share(struct ak_pool *pool, size_t n,
                   void (*fn)(void *arg, size_t i), void *arg)
{
    size_t helpers = n - 1 < pool->n_threads ? n - 1 : pool->n_threads;
    struct share *s =
        n > 1 ? calloc(1, sizeof(*s) + helpers * sizeof(s->helpers[0])) : NULL;

    if (s == NULL) { /* alone, then */
        for (size_t i = 0; i < n; i++)
            fn(arg, i);
        return;
    }
    s->fn = fn;
    s->arg = arg;
    s->n = n;
    atomic_init(&s->next, 0);
    atomic_init(&s->holders, (unsigned)helpers + 1);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->over, NULL);
    for (size_t i = 0; i < helpers; i++) {
        s->helpers[i].task.run = help;
        s->helpers[i].share = s;
        ak_pool_run(pool, &s->helpers[i].task);
    }
    take_part(s);
    pthread_mutex_lock(&s->lock);
    while (s->done < n)
        pthread_cond_wait(&s->over, &s->lock);
    pthread_mutex_unlock(&s->lock);
    drop_share(s);
}

/* -------------------------------------------------------------------- actors */

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
