#include "server/decoder_process.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"

#define MS       1000000u
#define START_MS 30000
/* Shared memory beyond this is given back after an image. */
#define KEEP (8u << 20)
/* A descriptor must not be in the place of one of the child's. */
#define ABOVE 16

extern char **environ;

/* ------------------------------------------------------------------ a start */

/* What is passed on of the environment, in which there may be secrets. */
static void choose_environment(char *out[16])
{
    static const char *const names[] = {
        "LD_LIBRARY_PATH=", "ASAN_OPTIONS=", "LSAN_OPTIONS=", "UBSAN_OPTIONS=",
        "TSAN_OPTIONS="};
    /* Libraries of the program's other modes start threads when loaded. */
    static char one[] = "OPENBLAS_NUM_THREADS=1", two[] = "OMP_NUM_THREADS=1";
    size_t n = 0;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        for (char **e = environ; *e != NULL; e++)
            if (strncmp(*e, names[i], strlen(names[i])) == 0) {
                out[n++] = *e;
                break;
            }
    out[n++] = one;
    out[n++] = two;
    out[n] = NULL;
}

static int move_up(int fd)
{
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, ABOVE);

    close(fd);
    return moved;
}

/* Memory of a fixed size: were it to shrink, reading it would be a fault. */
static enum ak_status make_shared(size_t room, int *fd, uint8_t **out,
                                  struct ak_err *err)
{
    void *p = MAP_FAILED;

    *fd = memfd_create("akin-decode", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (*fd >= 0)
        *fd = move_up(*fd);
    if (*fd >= 0 && ftruncate(*fd, (off_t)room) == 0 &&
        fcntl(*fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
        p = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
    if (p == MAP_FAILED)
        return ak_fail(err, AK_EIO, "%zu bytes of shared memory: %s", room,
                       strerror(errno));
    *out = p;
    return AK_OK;
}

static int describe(posix_spawn_file_actions_t *files, posix_spawnattr_t *attr,
                    int socket, int shared)
{
    sigset_t none, all;
    int failed;

    sigemptyset(&none);
    sigfillset(&all);
    failed = posix_spawn_file_actions_addopen(files, STDIN_FILENO, "/dev/null",
                                              O_RDWR, 0);
    if (failed == 0)
        failed = posix_spawn_file_actions_adddup2(files, STDIN_FILENO,
                                                  STDOUT_FILENO);
    if (failed == 0)
        failed =
            posix_spawn_file_actions_adddup2(files, socket, AK_DECODE_SOCKET);
    if (failed == 0)
        failed =
            posix_spawn_file_actions_adddup2(files, shared, AK_DECODE_SHARED);
    if (failed == 0)
        failed = posix_spawn_file_actions_addclosefrom_np(files,
                                                          AK_DECODE_SHARED + 1);
    if (failed == 0)
        failed = posix_spawnattr_setsigmask(attr, &none);
    if (failed == 0)
        failed = posix_spawnattr_setsigdefault(attr, &all);
    /* A group of its own, so that ^C at a terminal is the daemon's alone. */
    if (failed == 0)
        failed = posix_spawnattr_setpgroup(attr, 0);
    if (failed == 0)
        failed = posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSIGMASK |
                                                    POSIX_SPAWN_SETSIGDEF |
                                                    POSIX_SPAWN_SETPGROUP);
    return failed;
}

static enum ak_status spawn(const struct ak_decoder_start *start, int socket,
                            int shared, pid_t *pid, struct ak_err *err)
{
    char name[] = "akin-worker", mode[] = "--decode";
    char room[24], memory[24], seconds[24];
    char *argv[] = {name, mode, room, memory, seconds, NULL}, *env[16];
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    int failed;

    snprintf(room, sizeof(room), "%zu", start->room);
    snprintf(memory, sizeof(memory), "%" PRIu64, start->memory);
    snprintf(seconds, sizeof(seconds), "%" PRIu64, start->cpu_seconds);
    choose_environment(env);
    failed = posix_spawn_file_actions_init(&files);
    if (failed != 0)
        return ak_fail(err, AK_ENOMEM, "no memory to start a process");
    failed = posix_spawnattr_init(&attr);
    if (failed != 0) {
        posix_spawn_file_actions_destroy(&files);
        return ak_fail(err, AK_ENOMEM, "no memory to start a process");
    }
    failed = describe(&files, &attr, socket, shared);
    if (failed == 0)
        failed = posix_spawn(pid, start->program, &files, &attr, argv, env);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&files);
    return failed == 0 ? AK_OK
                       : ak_fail(err, AK_EIO, "%s: %s", start->program,
                                 strerror(failed));
}

enum ak_status ak_decoder_process_start(struct ak_decoder_process *p,
                                        const struct ak_decoder_start *start,
                                        struct ak_err *err)
{
    struct ak_decoder_process next = {.room = start->room,
                                      .max_pixels = start->max_pixels,
                                      .started_ns = ak_clock_ns()};
    int ends[2] = {-1, -1}, shared = -1;
    enum ak_status status = AK_OK;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        status = ak_fail(err, AK_EIO, "socketpair: %s", strerror(errno));
    else if ((ends[1] = move_up(ends[1])) < 0)
        status = ak_fail(err, AK_EIO, "fcntl: %s", strerror(errno));
    if (status == AK_OK)
        status = make_shared(start->room, &shared, &next.shared, err);
    if (status == AK_OK)
        status = spawn(start, ends[1], shared, &next.pid, err);
    if (shared >= 0)
        close(shared);
    if (ends[1] >= 0)
        close(ends[1]);
    if (status != AK_OK) {
        if (ends[0] >= 0)
            close(ends[0]);
        if (next.shared != NULL)
            munmap(next.shared, next.room);
        return status;
    }
    next.socket = ends[0];
    *p = next;
    return AK_OK;
}

/* ------------------------------------------------------------------- an end */

int ak_decoder_process_end(struct ak_decoder_process *p)
{
    int how = 0;

    if (p->pid == 0)
        return 0;
    kill(p->pid, SIGKILL);
    while (waitpid(p->pid, &how, 0) < 0 && errno == EINTR)
        ;
    close(p->socket);
    munmap(p->shared, p->room);
    *p = (struct ak_decoder_process){0};
    return how;
}

/* How it ended, of one whose socket is closed; it is given a moment to have
   ended, since a kill would hide the reason. */
static void tell_end(const struct ak_decoder_process *p, struct ak_err *err)
{
    const struct timespec moment = {.tv_nsec = MS};
    siginfo_t info = {0};
    const char *name;

    for (int i = 0; i < 1000 && info.si_pid == 0; i++) {
        if (i > 0)
            nanosleep(&moment, NULL);
        /* Looks only: the process is waited for at its end. */
        if (waitid(P_PID, (id_t)p->pid, &info, WEXITED | WNOHANG | WNOWAIT) !=
            0)
            break;
    }
    if (info.si_pid == 0) {
        ak_fail(err, AK_EIO, "the decoder closed its socket");
    } else if (info.si_code == CLD_EXITED) {
        ak_fail(err, AK_EIO, "the decoder ended with status %d",
                info.si_status);
    } else {
        name = sigabbrev_np(info.si_status);
        ak_fail(err, AK_EIO, "the decoder was ended by SIG%s",
                name != NULL ? name : "?");
    }
}

/* --------------------------------------------------------------- a question */

enum got { GOT, GOT_NONE, GOT_END, GOT_NONSENSE };

/* One message of just that length, until the deadline. */
static enum got receive(struct ak_decoder_process *p, void *out, size_t len,
                        uint64_t deadline)
{
    for (;;) {
        struct pollfd one = {.fd = p->socket, .events = POLLIN};
        uint64_t now = ak_clock_ns();
        uint64_t left = now < deadline ? (deadline - now + MS - 1) / MS : 0;
        int n = poll(&one, 1, left < INT32_MAX ? (int)left : INT32_MAX);
        ssize_t got;

        if (n < 0 && errno != EINTR)
            return GOT_END;
        if (n == 0 && ak_clock_ns() >= deadline)
            return GOT_NONE;
        if (n <= 0)
            continue;
        got = recv(p->socket, out, len, MSG_DONTWAIT | MSG_TRUNC);
        if (got < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (got <= 0)
            return GOT_END;
        return (size_t)got == len ? GOT : GOT_NONSENSE;
    }
}

enum ak_status ak_decoder_process_greet(struct ak_decoder_process *p,
                                        uint64_t wait_ms, struct ak_err *err)
{
    struct ak_decode_hello hello;

    if (p->greeted)
        return AK_OK;
    switch (receive(p, &hello, sizeof(hello), ak_clock_ns() + wait_ms * MS)) {
    case GOT:
        break;
    case GOT_NONE:
        if (ak_clock_ns() - p->started_ns < (uint64_t)START_MS * MS)
            return ak_fail(err, AK_EBUSY, "the decoder starts");
        return ak_fail(err, AK_EIO, "the decoder said nothing for %d s",
                       START_MS / 1000);
    case GOT_END:
        tell_end(p, err);
        return AK_EIO;
    case GOT_NONSENSE:
        return ak_fail(err, AK_EIO, "the decoder does not greet as one does");
    }
    if (hello.version != AK_DECODE_VERSION)
        return ak_fail(err, AK_EIO,
                       "the decoder has version %u, must be %d: akind and "
                       "akin-worker are of two builds",
                       (unsigned)hello.version, AK_DECODE_VERSION);
    p->greeted = true;
    return AK_OK;
}

static bool known_status(uint32_t status)
{
    return status == AK_OK || status == AK_EINVAL || status == AK_ECORRUPT ||
           status == AK_EUNSUPPORTED || status == AK_ELIMIT ||
           status == AK_ENOMEM;
}

/* What a reply may say of an image; of one that failed, its text. */
static bool makes_sense(const struct ak_decoder_process *p,
                        const struct ak_decode_request *rq,
                        const struct ak_decode_reply *r)
{
    uint64_t pixels = (uint64_t)r->width * r->height;

    if (r->number != rq->number || !known_status(r->status))
        return false;
    if (r->status != AK_OK)
        return memchr(r->text, '\0', sizeof(r->text)) != NULL;
    return r->width >= 1 && r->width <= AK_IMAGE_SIDE_MAX && r->height >= 1 &&
           r->height <= AK_IMAGE_SIDE_MAX &&
           (r->channels == 1 || r->channels == 3) &&
           pixels <= rq->limits.max_pixels && pixels * r->channels <= p->room;
}

/* The text goes to the client and to the log: one line of ASCII. */
static void copy_text(const struct ak_decode_reply *r, struct ak_err *err)
{
    char text[AK_ERR_TEXT];
    size_t i = 0;

    for (; r->text[i] != '\0'; i++)
        text[i] = r->text[i] >= ' ' && r->text[i] < 0x7f ? r->text[i] : '?';
    text[i] = '\0';
    ak_fail(err, (enum ak_status)r->status, "%s", text);
}

static enum ak_status take_image(const struct ak_decoder_process *p,
                                 const struct ak_decode_reply *r,
                                 struct ak_image *out, struct ak_err *err)
{
    struct ak_image image;
    enum ak_status status;

    /* Its memory, that is; the daemon's is another matter. */
    if (r->status == AK_ENOMEM)
        return ak_fail(err, AK_ELIMIT,
                       "the image needs more memory than a decoder has");
    if (r->status != AK_OK) {
        copy_text(r, err);
        return (enum ak_status)r->status;
    }
    status = ak_image_init(&image, r->width, r->height, r->channels, err);
    if (status != AK_OK)
        return status;
    /* Any bytes are pixels: nothing is concluded from them here. */
    memcpy(image.pixels, p->shared, ak_image_len(&image));
    *out = image;
    return AK_OK;
}

/* So that a large image does not stay in memory with its decoder. */
static void give_back(struct ak_decoder_process *p, size_t used)
{
    if (used > KEEP)
        (void)madvise(p->shared, p->room, MADV_REMOVE);
}

static enum ak_decoder_answer
ask(struct ak_decoder_process *p, const void *bytes,
    struct ak_decode_request *rq, uint64_t timeout_ms,
    struct ak_decode_reply *reply, struct ak_err *err)
{
    memcpy(p->shared, bytes, rq->len);
    rq->number = ++p->number;
    if (send(p->socket, rq, sizeof(*rq), MSG_NOSIGNAL) != sizeof(*rq)) {
        tell_end(p, err);
        return p->greeted ? AK_DECODER_GONE : AK_DECODER_NOT_STARTED;
    }
    if (ak_decoder_process_greet(p, START_MS, err) != AK_OK)
        return AK_DECODER_NOT_STARTED;
    switch (
        receive(p, reply, sizeof(*reply), ak_clock_ns() + timeout_ms * MS)) {
    case GOT:
        if (makes_sense(p, rq, reply))
            return AK_DECODER_ANSWERED;
        break;
    case GOT_NONE:
        ak_fail(err, AK_EIO, "the decoder did not answer within %" PRIu64 " ms",
                timeout_ms);
        return AK_DECODER_LATE;
    case GOT_END:
        tell_end(p, err);
        return AK_DECODER_DIED;
    case GOT_NONSENSE:
        break;
    }
    ak_fail(err, AK_EIO, "the decoder answered nonsense");
    return AK_DECODER_NONSENSE;
}

enum ak_decoder_answer
ak_decoder_process_ask(struct ak_decoder_process *p, const void *bytes,
                       struct ak_decode_request *rq, uint64_t timeout_ms,
                       struct ak_image *out, enum ak_status *status,
                       struct ak_err *err)
{
    uint64_t start = ak_clock_ns();
    struct ak_decode_reply reply;
    enum ak_decoder_answer answer;
    size_t used = rq->len;

    answer = ask(p, bytes, rq, timeout_ms, &reply, err);
    p->busy_ns += ak_clock_ns() - start;
    if (answer != AK_DECODER_ANSWERED)
        return answer;
    *status = take_image(p, &reply, out, err);
    if (*status == AK_OK && ak_image_len(out) > used)
        used = ak_image_len(out);
    give_back(p, used);
    return answer;
}
