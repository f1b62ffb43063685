/*
 * decode.c -- akin-worker --decode: files in, pixels out, in a sandbox.
 *
 * Started by server/decoder.c, which says in the arguments how large the shared
 * memory is and what the process may use.  It ends when the socket is closed,
 * so also when the daemon was killed.  (The kernel's signal for the death of a
 * parent is bound to the thread that started the child, not to its process.)
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "core/image/decode_wire.h"
#include "server/worker/sandbox.h"
#include "server/worker/worker.h"

struct decoder {
    uint8_t *shared;
    uint64_t room;
};

static bool number(const char *text, uint64_t *out)
{
    char *end;

    errno = 0;
    *out = strtoull(text, &end, 10);
    return errno == 0 && end != text && *end == '\0';
}

static enum ak_status map_shared(struct decoder *d, struct ak_err *err)
{
    struct stat s;
    void *p;

    if (fstat(AK_DECODE_SHARED, &s) != 0 || (uint64_t)s.st_size != d->room)
        return ak_fail(err, AK_EIO,
                       "descriptor %d is no shared memory of %llu bytes",
                       AK_DECODE_SHARED, (unsigned long long)d->room);
    p = mmap(NULL, d->room, PROT_READ | PROT_WRITE, MAP_SHARED,
             AK_DECODE_SHARED, 0);
    if (p == MAP_FAILED)
        return ak_fail(err, AK_EIO, "mmap: %s", strerror(errno));
    close(AK_DECODE_SHARED);
    d->shared = p;
    return AK_OK;
}

/* A stop of the service is sent to all its processes: what is being decoded is
   still waited for, and the end comes by the socket. */
static void ignore_signals(void)
{
    static const int ignored[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT};

    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
        signal(ignored[i], SIG_IGN);
}

static void decode(const struct decoder *d, const struct ak_decode_request *rq,
                   struct ak_decode_reply *reply)
{
    struct ak_image image = {0};
    struct ak_err err = {0};
    enum ak_status status;

    memset(reply, 0, sizeof(*reply));
    reply->number = rq->number;
    if (rq->len > d->room)
        status = ak_fail(&err, AK_ELIMIT, "the file has %llu bytes",
                         (unsigned long long)rq->len);
    else
        status = ak_image_decode(d->shared, rq->len, &rq->limits, rq->hint_w,
                                 rq->hint_h, &image, &err);
    if (status == AK_OK && ak_image_len(&image) > d->room)
        status = ak_fail(&err, AK_ELIMIT, "the pixels have %zu bytes",
                         ak_image_len(&image));
    if (status == AK_OK) {
        reply->width = image.width;
        reply->height = image.height;
        reply->channels = image.channels;
        memcpy(d->shared, image.pixels, ak_image_len(&image));
    } else {
        memcpy(reply->text, err.text, sizeof(reply->text));
    }
    reply->status = (uint32_t)status;
    ak_image_clear(&image);
}

/* Returns when the other end has closed the socket. */
static int serve(const struct decoder *d)
{
    const struct ak_decode_hello hello = {AK_DECODE_VERSION};
    struct ak_decode_request rq;
    struct ak_decode_reply reply;
    ssize_t n;

    if (write(AK_DECODE_SOCKET, &hello, sizeof(hello)) != sizeof(hello))
        return EX_IOERR;
    for (;;) {
        n = read(AK_DECODE_SOCKET, &rq, sizeof(rq));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n == 0 ? EX_OK : EX_IOERR;
        if (n != sizeof(rq))
            return EX_PROTOCOL;
        decode(d, &rq, &reply);
        if (write(AK_DECODE_SOCKET, &reply, sizeof(reply)) != sizeof(reply))
            return EX_IOERR;
    }
}

static int run(int argc, char **argv)
{
    struct ak_sandbox sandbox = {.socket = AK_DECODE_SOCKET};
    struct decoder d = {0};
    struct ak_err err = {0};
    enum ak_status status;

    if (argc != 3 || !number(argv[0], &d.room) ||
        !number(argv[1], &sandbox.memory) ||
        !number(argv[2], &sandbox.cpu_seconds)) {
        fputs("akin-worker --decode: the arguments are bytes shared, bytes of "
              "memory, seconds\n",
              stderr);
        return EX_USAGE;
    }
    ignore_signals();
    status = map_shared(&d, &err);
    if (status == AK_OK)
        status = ak_sandbox_enter(&sandbox, &err);
    if (status != AK_OK) {
        fprintf(stderr, "akin-worker --decode: %s\n", err.text);
        return EX_OSERR;
    }
    /* Not by exit(): what others run there is not in the list of calls. */
    _exit(serve(&d));
}

const struct ak_worker_mode ak_worker_decode = {
    .option = "--decode",
    .help = "decodes images in a sandbox",
    .run = run,
};
