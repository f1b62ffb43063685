#include "server/accept.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* When files or memory are short. */
#define REST_NS 50000000L

struct ak_accept {
    int fd, stop_fd;
    unsigned limit;
    ak_accept_give_fn *give;
    void *arg;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t fewer;
    /* Under the lock. */
    unsigned n;
    bool stopping;
};

/* False: it is to stop. */
static bool wait_for_room(struct ak_accept *a)
{
    bool stopping;

    pthread_mutex_lock(&a->lock);
    while (a->n >= a->limit && !a->stopping)
        pthread_cond_wait(&a->fewer, &a->lock);
    stopping = a->stopping;
    pthread_mutex_unlock(&a->lock);
    return !stopping;
}

static void rest(struct ak_accept *a)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += REST_NS;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    pthread_mutex_lock(&a->lock);
    if (!a->stopping)
        (void)pthread_cond_timedwait(&a->fewer, &a->lock, &until);
    pthread_mutex_unlock(&a->lock);
}

static void take(struct ak_accept *a)
{
    struct sockaddr_storage address;
    socklen_t len = sizeof(address);
    int fd = accept4(a->fd, (struct sockaddr *)&address, &len,
                     SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0) {
        /* All others say that a client has gone by now (accept(2)). */
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
            errno == ENOMEM)
            rest(a);
        return;
    }
    pthread_mutex_lock(&a->lock);
    a->n++;
    pthread_mutex_unlock(&a->lock);
    if (!a->give(a->arg, fd, (struct sockaddr *)&address, len))
        ak_accept_ended(a);
}

static void *run(void *arg)
{
    struct ak_accept *a = arg;
    struct pollfd fds[2] = {{.fd = a->fd, .events = POLLIN},
                            {.fd = a->stop_fd, .events = POLLIN}};

    pthread_setname_np(pthread_self(), "accept");
    while (wait_for_room(a)) {
        if (poll(fds, 2, -1) < 0)
            continue;
        if (fds[0].revents != 0)
            take(a);
    }
    return NULL;
}

enum ak_status ak_accept_start(int fd, unsigned limit, ak_accept_give_fn *give,
                               void *arg, struct ak_accept **out,
                               struct ak_err *err)
{
    struct ak_accept *a = calloc(1, sizeof(*a));
    pthread_condattr_t attributes;
    int failed;

    if (a == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory to accept connections");
    a->fd = fd;
    a->limit = limit;
    a->give = give;
    a->arg = arg;
    a->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (a->stop_fd < 0) {
        free(a);
        return ak_fail(err, AK_EIO, "eventfd: %s", strerror(errno));
    }
    pthread_mutex_init(&a->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&a->fewer, &attributes);
    pthread_condattr_destroy(&attributes);
    *out = a; /* before the first one is given */
    failed = pthread_create(&a->thread, NULL, run, a);
    if (failed) {
        *out = NULL;
        a->stopping = true; /* it has no thread to be stopped */
        ak_accept_destroy(a);
        return ak_fail(err, AK_ENOMEM, "cannot start a thread: %s",
                       strerror(failed));
    }
    return AK_OK;
}

void ak_accept_ended(struct ak_accept *a)
{
    pthread_mutex_lock(&a->lock);
    if (a->n > 0)
        a->n--;
    pthread_cond_signal(&a->fewer);
    pthread_mutex_unlock(&a->lock);
}

void ak_accept_stop(struct ak_accept *a)
{
    uint64_t one = 1;
    bool first;

    pthread_mutex_lock(&a->lock);
    first = !a->stopping;
    a->stopping = true;
    pthread_cond_signal(&a->fewer);
    pthread_mutex_unlock(&a->lock);
    if (!first)
        return;
    /* It is empty, so that this cannot fail. */
    if (write(a->stop_fd, &one, sizeof(one)) == (ssize_t)sizeof(one))
        pthread_join(a->thread, NULL);
}

void ak_accept_destroy(struct ak_accept *a)
{
    if (a == NULL)
        return;
    ak_accept_stop(a);
    close(a->stop_fd);
    pthread_cond_destroy(&a->fewer);
    pthread_mutex_destroy(&a->lock);
    free(a);
}
