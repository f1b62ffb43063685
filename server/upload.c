/*
 * upload.c -- a body into a file.
 *
 * `lock` guards `busy` and `gone`, which decide who ends a request whose client
 * broke off: the one who finds nothing under way (see ingest_stream.c).
 */
#include "server/upload.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PIECE ((size_t)1 << 20)

struct state {
    struct ak_upload shown; /* first */
    struct ak_op *op;
    ak_upload_fn *done;
    void *arg;
    uint64_t max;
    int fd;
    struct ak_sha256_sum *sum;
    uint8_t *piece;
    size_t len;
    bool last;
    /* Held by the request, and by a piece that lets the request go on: that may
       end it while the lock is still being given back. */
    atomic_uint holders;
    pthread_mutex_t lock;
    bool busy; /* a piece is being written */
    bool gone; /* nothing more will come */
};

static void drop(struct state *st)
{
    if (atomic_fetch_sub(&st->holders, 1) > 1)
        return;
    pthread_mutex_destroy(&st->lock);
    free(st);
}

static void clear(struct ak_op *op)
{
    struct state *st = op->arg;

    if (st->fd >= 0)
        close(st->fd);
    unlink(st->shown.path);
    ak_sha256_destroy(st->sum);
    free(st->piece);
    drop(st);
}

static void reply_to_nobody(struct state *st)
{
    ak_reply_problem(st->op->rq, "malformed-request", "the body ended early");
}

static enum ak_status write_piece(struct state *st, struct ak_err *err)
{
    const uint8_t *at = st->piece;
    size_t left = st->len;
    ssize_t n;

    while (left > 0 && (n = write(st->fd, at, left)) > 0) {
        at += n;
        left -= (size_t)n;
    }
    if (left > 0)
        return ak_fail(err,
                       errno == ENOSPC || errno == EDQUOT ? AK_EFULL : AK_EIO,
                       "a body cannot be written: %s", strerror(errno));
    return ak_sha256_update(st->sum, st->piece, st->len, err);
}

/* On the pool. */
static void take_piece(struct ak_op *op)
{
    struct state *st = op->arg;
    struct ak_err err = {0};
    enum ak_status status = write_piece(st, &err);
    bool gone;

    st->len = 0;
    if (status == AK_OK && st->last)
        status = ak_sha256_finish(st->sum, st->shown.sha256, &err);
    if (status != AK_OK) {
        ak_op_fail(op, status, &err);
        return;
    }
    if (st->last) {
        close(st->fd);
        st->fd = -1;
        st->done(st->arg, &st->shown);
        return;
    }
    atomic_fetch_add(&st->holders, 1);
    pthread_mutex_lock(&st->lock);
    st->busy = false;
    gone = st->gone;
    if (!gone)
        ak_request_go_on(op->rq);
    pthread_mutex_unlock(&st->lock);
    if (gone)
        reply_to_nobody(st);
    drop(st);
}

static void dispatch(struct state *st)
{
    pthread_mutex_lock(&st->lock);
    st->busy = true;
    pthread_mutex_unlock(&st->lock);
    ak_op_offload(st->op, take_piece);
}

static size_t upload_data(struct ak_request *rq, void *arg,
                          const uint8_t *bytes, size_t len)
{
    struct state *st = arg;
    size_t n = PIECE - st->len < len ? PIECE - st->len : len;

    if (st->shown.bytes + n > st->max) {
        ak_reply_problem(rq, "body-too-large",
                         "the body has more than %llu bytes",
                         (unsigned long long)st->max);
        return len;
    }
    memcpy(st->piece + st->len, bytes, n);
    st->len += n;
    st->shown.bytes += n;
    if (st->len == PIECE) {
        ak_request_pause(rq);
        dispatch(st);
    }
    return n;
}

static void upload_end(struct ak_request *rq, void *arg)
{
    struct state *st = arg;

    (void)rq;
    st->last = true;
    dispatch(st);
}

static void upload_gone(struct ak_request *rq, void *arg)
{
    struct state *st = arg;
    bool busy;

    (void)rq;
    pthread_mutex_lock(&st->lock);
    st->gone = true;
    busy = st->busy;
    pthread_mutex_unlock(&st->lock);
    if (!busy)
        reply_to_nobody(st);
}

void ak_upload_begin(struct ak_op *op, const char *path, uint64_t max,
                     ak_upload_fn *done, void *arg)
{
    struct ak_request *rq = op->rq;
    const char *length = ak_request_header(rq, "Content-Length");
    struct state *st;
    struct ak_err err = {0};
    enum ak_status status = AK_OK;

    if (length != NULL && strtoull(length, NULL, 10) > max) {
        ak_reply_problem(rq, "body-too-large",
                         "the body has %.20s bytes, at most %llu", length,
                         (unsigned long long)max);
        return;
    }
    if (!ak_request_hold(rq, PIECE)) {
        ak_reply_problem(rq, "queue-full",
                         "the bodies of all requests together have as much "
                         "memory as they may");
        return;
    }
    st = calloc(1, sizeof(*st));
    if (st == NULL) {
        ak_op_fail(op, AK_ENOMEM, NULL);
        return;
    }
    snprintf(st->shown.path, sizeof(st->shown.path), "%s", path);
    atomic_init(&st->holders, 1);
    pthread_mutex_init(&st->lock, NULL);
    st->op = op;
    st->done = done;
    st->arg = arg;
    st->max = max;
    st->fd = -1;
    op->arg = st;
    op->clear = clear;
    st->piece = malloc(PIECE);
    if (st->piece == NULL)
        status = AK_ENOMEM;
    if (status == AK_OK)
        status = ak_sha256_create(&st->sum, &err);
    if (status == AK_OK)
        st->fd = open(
            path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (status == AK_OK && st->fd < 0)
        status = ak_fail(
            &err, errno == ENOSPC || errno == EDQUOT ? AK_EFULL : AK_EIO,
            "a file for a body cannot be made: %s", strerror(errno));
    if (status != AK_OK) {
        ak_op_fail(op, status, &err);
        return;
    }
    ak_request_stream(rq, &(struct ak_stream){.data = upload_data,
                                              .end = upload_end,
                                              .gone = upload_gone,
                                              .arg = st});
}
