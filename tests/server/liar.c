/*
 * liar.c -- a decoder that was taken over by its images, for test_decoder: each
 * file says what to answer.
 */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/image/decode_wire.h"

extern char **environ;

static uint8_t *shared;

/* The descriptors and the variables that there are, as the text of a failure. */
static void tell(struct ak_decode_reply *r)
{
    DIR *dir = opendir("/proc/self/fd");
    struct dirent *e;
    int n = 0, secrets = 0;

    while (dir != NULL && (e = readdir(dir)) != NULL)
        n += e->d_name[0] != '.' && atoi(e->d_name) != dirfd(dir);
    if (dir != NULL)
        closedir(dir);
    for (char **v = environ; *v != NULL; v++)
        secrets += strncmp(*v, "AKIN_SECRET=", 12) == 0;
    r->status = AK_EINVAL;
    snprintf(r->text, sizeof(r->text), "%d open, %d secrets", n, secrets);
}

static void answer(const struct ak_decode_request *rq)
{
    struct ak_decode_reply r = {
        .number = rq->number, .width = 2, .height = 2, .channels = 1};
    size_t len = sizeof(r);
    char file[32] = "";
    char big[sizeof(r) + 1] = {0};

    memcpy(file, shared, rq->len < 31 ? rq->len : 31);
#define SAYS(word) (strcmp(file, word) == 0)
    if (SAYS("tell"))
        tell(&r);
    else if (SAYS("wide"))
        r.width = 65536;
    else if (SAYS("flat"))
        r.height = 0;
    else if (SAYS("huge"))
        r.width = r.height = 60000;
    else if (SAYS("deep"))
        r.channels = 4;
    else if (SAYS("other number"))
        r.number++;
    else if (SAYS("status"))
        r.status = 1000;
    else if (SAYS("busy"))
        r.status = AK_EBUSY;
    else if (SAYS("no memory"))
        r.status = AK_ENOMEM;
    else if (SAYS("endless text"))
        memset(r.text, 'x', sizeof(r.text)), r.status = AK_EINVAL;
    else if (SAYS("odd text"))
        strcpy(r.text, "a\n\xff\x1b[31mb"), r.status = AK_EINVAL;
    else if (SAYS("short"))
        len = 8;
    else if (SAYS("die"))
        raise(SIGKILL);
    else if (SAYS("leave"))
        _exit(7);
    else if (SAYS("hang"))
        for (;;)
            pause();
    else if (SAYS("close")) {
        close(AK_DECODE_SOCKET);
        for (;;)
            pause();
    }
    shared[0] = 1, shared[1] = 2, shared[2] = 3, shared[3] = 4;
    if (SAYS("long"))
        (void)!write(AK_DECODE_SOCKET, big, sizeof(big));
    else
        (void)!write(AK_DECODE_SOCKET, &r, len);
    if (SAYS("die later"))
        _exit(0);
}

int main(int argc, char **argv)
{
    struct ak_decode_hello hello = {AK_DECODE_VERSION};
    struct ak_decode_request rq;
    struct stat s;

    if (argc != 5 || fstat(AK_DECODE_SHARED, &s) != 0 ||
        (size_t)s.st_size != strtoull(argv[2], NULL, 10))
        return 2;
    /* Its memory cannot be taken from under the daemon. */
    if (ftruncate(AK_DECODE_SHARED, 0) == 0)
        return 3;
    if (access("liar-is-old", F_OK) == 0)
        hello.version++;
    shared = mmap(NULL, (size_t)s.st_size, PROT_READ | PROT_WRITE, MAP_SHARED,
                  AK_DECODE_SHARED, 0);
    if (shared == MAP_FAILED)
        return 4;
    (void)!write(AK_DECODE_SOCKET, &hello, sizeof(hello));
    while (read(AK_DECODE_SOCKET, &rq, sizeof(rq)) == sizeof(rq))
        answer(&rq);
    return 0;
}
