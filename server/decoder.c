/*
 * decoder.c -- the pool of decoders.
 *
 * The lock guards the list of those that are free and the state; an image is
 * decoded without it, by the thread that took its decoder from the list.  The
 * last one given back is the first to be taken, since it is warm.  There is one
 * more than threads that decode: a decoder that was just started goes to the
 * other end of the list, and is ready when its turn comes.
 */
#include "server/decoder.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/image/decode.h"
#include "server/decoder_process.h"
#include "server/limits.h"
#include "server/log.h"
#include "server/metrics.h"
#include "server/program.h"

#define SECOND 1000000000u
#define AGAIN  (10ull * SECOND) /* between tries of the tick */
/* A decoder is replaced after so much time with images, which keeps it below
   its limit of CPU time. */
#define BUSY_MAX_S 60

/* Of an image: three bytes a pixel, and in the decoder up to four more (a copy
   that is turned, or one with transparency), beside the codec's own. */
#define SHARED_PER_PIXEL 3
#define MEMORY_PER_PIXEL 7

static struct {
    bool on;
    struct ak_decoder_params params;
    struct ak_decoder_process *list;
    unsigned n;

    pthread_mutex_t lock; /* what is below */
    pthread_cond_t given;
    struct ak_decoder_process **spare; /* the last is taken first */
    unsigned n_spare;
    bool sure; /* that a decoder can be started */
    bool failing;
    uint64_t look_ns; /* when the tick looks again */
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER, .given = PTHREAD_COND_INITIALIZER};

/* ------------------------------------------------------------------ the list */

static struct ak_decoder_process *take(bool wait)
{
    struct ak_decoder_process *p = NULL;

    pthread_mutex_lock(&pool.lock);
    while (pool.n_spare == 0 && wait)
        pthread_cond_wait(&pool.given, &pool.lock);
    if (pool.n_spare > 0)
        p = pool.spare[--pool.n_spare];
    pthread_mutex_unlock(&pool.lock);
    return p;
}

static void give(struct ak_decoder_process *p, bool first)
{
    pthread_mutex_lock(&pool.lock);
    if (first) {
        pool.spare[pool.n_spare++] = p;
    } else {
        memmove(pool.spare + 1, pool.spare,
                pool.n_spare++ * sizeof(pool.spare[0]));
        pool.spare[0] = p;
    }
    pthread_cond_signal(&pool.given);
    pthread_mutex_unlock(&pool.lock);
}

/* Told once, and once when it is over. */
static void started(bool well, const struct ak_err *err)
{
    bool before;

    pthread_mutex_lock(&pool.lock);
    before = pool.failing;
    pool.failing = !well;
    pool.sure = well;
    pool.look_ns = well ? 0 : ak_clock_ns() + AGAIN;
    pthread_mutex_unlock(&pool.lock);
    if (!well && !before)
        ak_log_error("decoder",
                     "no decoder can be started, so no image can be "
                     "decoded",
                     AK_TEXT("error", err->text));
    else if (well && before)
        ak_log_info("decoder", "decoders can be started again");
}

/* ------------------------------------------------------------------- a start */

static uint64_t timeout_ms(void)
{
    return 2 * pool.params.timeout_ms;
}

static enum ak_status start(struct ak_decoder_process *p, struct ak_err *err)
{
    const struct ak_limits *limits = ak_limits();
    struct ak_decoder_start s = {
        .program = pool.params.program,
        .room = (size_t)limits->max_image_pixels * SHARED_PER_PIXEL,
        .max_pixels = limits->max_image_pixels,
        .memory = limits->max_image_pixels * MEMORY_PER_PIXEL +
                  ak_image_limits_default.max_codec_memory,
        .cpu_seconds = BUSY_MAX_S + timeout_ms() / 1000 + 1,
    };
    char *program = NULL;
    enum ak_status status = AK_OK;

    if (s.room < limits->max_image_bytes)
        s.room = limits->max_image_bytes;
    if (s.program == NULL) {
        status = ak_program_worker(&program, err);
        s.program = program;
    }
    if (status == AK_OK)
        status = ak_decoder_process_start(p, &s, err);
    free(program);
    return status;
}

static void end(struct ak_decoder_process *p, enum ak_decoder_end why)
{
    ak_decoder_process_end(p);
    ak_metric_add(AK_METRIC_IMAGE_DECODER_RESTARTS, why, 1);
}

/* One that runs, with the limits of now. */
static enum ak_status prepare(struct ak_decoder_process *p, struct ak_err *err)
{
    enum ak_status status;

    if (p->pid != 0 && (p->max_pixels != ak_limits()->max_image_pixels ||
                        p->room < ak_limits()->max_image_bytes))
        end(p, AK_DECODER_END_LIMITS);
    if (p->pid != 0)
        return AK_OK;
    status = start(p, err);
    if (status != AK_OK)
        started(false, err);
    return status;
}

/* Replaced when it has done its share, in time for whoever comes next. */
static void renew(struct ak_decoder_process *p)
{
    struct ak_err err = {0};

    if (p->pid != 0) {
        if (p->number < pool.params.restart_images &&
            p->busy_ns < (uint64_t)BUSY_MAX_S * SECOND)
            return;
        end(p, AK_DECODER_END_SERVED);
    }
    if (start(p, &err) != AK_OK)
        started(false, &err);
}

/* ------------------------------------------------------------------ an image */

static void count(enum ak_status status)
{
    if (status == AK_OK)
        ak_metric_add(AK_METRIC_IMAGES_DECODED, 0, 1);
    else if (status == AK_ELIMIT)
        ak_metric_add(AK_METRIC_IMAGE_DECODE_FAILURES, AK_IMAGE_TOO_LARGE, 1);
    else if (status != AK_ENOMEM)
        ak_metric_add(AK_METRIC_IMAGE_DECODE_FAILURES, AK_IMAGE_UNDECODABLE, 1);
}

static enum ak_status lost(struct ak_decoder_process *p,
                           enum ak_decoder_answer answer, size_t len,
                           struct ak_err *err)
{
    bool late = answer == AK_DECODER_LATE;
    char text[AK_ERR_TEXT];

    memcpy(text, err->text, sizeof(text));
    ak_log_warn("decoder", "an image was the end of its decoder",
                AK_NUMBER("pid", p->pid), AK_NUMBER("bytes", len),
                AK_TEXT("error", text));
    end(p, late ? AK_DECODER_END_LATE : AK_DECODER_END_DIED);
    ak_metric_add(AK_METRIC_IMAGE_DECODE_FAILURES,
                  late ? AK_IMAGE_TIMEOUT : AK_IMAGE_CRASH, 1);
    return ak_fail(err, AK_ECORRUPT, "the image was not decoded: %.200s", text);
}

static enum ak_status unavailable(struct ak_err *err)
{
    ak_metric_add(AK_METRIC_IMAGE_DECODE_FAILURES, AK_IMAGE_UNAVAILABLE, 1);
    return ak_fail(err, AK_EBUSY,
                   "no decoder of images can be started now; the log of the "
                   "server says why");
}

static enum ak_status decode_by(struct ak_decoder_process *p, const void *bytes,
                                struct ak_decode_request *rq,
                                struct ak_image *out, struct ak_err *err)
{
    enum ak_decoder_answer answer = AK_DECODER_GONE;
    struct ak_err why = {0};
    enum ak_status status = AK_OK;
    bool greeted = false;

    /* One that died while it had no image is replaced, but only once. */
    for (int i = 0; i < 2 && answer == AK_DECODER_GONE; i++) {
        if (prepare(p, &why) != AK_OK)
            return unavailable(err);
        if (rq->len > p->room)
            return ak_fail(err, AK_ELIMIT,
                           "the file has %" PRIu64 " bytes, at "
                           "most %zu are taken",
                           rq->len, p->room);
        greeted = p->greeted;
        answer = ak_decoder_process_ask(p, bytes, rq, timeout_ms(), out,
                                        &status, &why);
        if (answer == AK_DECODER_GONE) {
            ak_log_warn("decoder", "a decoder had died without an image",
                        AK_NUMBER("pid", p->pid), AK_TEXT("error", why.text));
            end(p, AK_DECODER_END_DIED);
        }
    }
    if (answer == AK_DECODER_GONE)
        return unavailable(err);
    if (answer == AK_DECODER_NOT_STARTED) {
        end(p, AK_DECODER_END_DIED);
        started(false, &why);
        return unavailable(err);
    }
    if (!greeted)
        started(true, NULL);
    if (answer == AK_DECODER_ANSWERED)
        count(status);
    else
        status = lost(p, answer, rq->len, &why);
    if (status != AK_OK && err != NULL)
        *err = why;
    renew(p);
    return status;
}

enum ak_status ak_decoder_decode(const void *bytes, size_t len, uint32_t hint_w,
                                 uint32_t hint_h, struct ak_image *out,
                                 struct ak_err *err)
{
    struct ak_decode_request rq = {.len = len,
                                   .hint_w = hint_w,
                                   .hint_h = hint_h,
                                   .limits = ak_image_limits_default};
    struct ak_decoder_process *p;
    enum ak_status status;

    rq.limits.max_pixels = ak_limits()->max_image_pixels;
    if (pool.on)
        rq.limits.max_ms = (uint32_t)pool.params.timeout_ms;
    if (!pool.on || pool.params.in_process) {
        status =
            ak_image_decode(bytes, len, &rq.limits, hint_w, hint_h, out, err);
        count(status);
        return status;
    }
    p = take(true);
    status = decode_by(p, bytes, &rq, out, err);
    give(p, p->greeted);
    return status;
}

/* ---------------------------------------------------------------- its life */

enum ak_status ak_decoder_start(const struct ak_decoder_params *params,
                                struct ak_err *err)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned n = params->threads > 0 ? params->threads
                 : cores > 0         ? (unsigned)cores
                                     : 1;
    struct ak_err why = {0};

    pool.params = *params;
    if (params->in_process) {
        pool.on = true;
        return AK_OK;
    }
    n++;
    pool.list = calloc(n, sizeof(*pool.list));
    pool.spare = calloc(n, sizeof(*pool.spare));
    if (params->program != NULL)
        pool.params.program = strdup(params->program);
    pool.on = pool.list != NULL && pool.spare != NULL &&
              (params->program == NULL || pool.params.program != NULL);
    if (!pool.on) {
        ak_decoder_stop();
        return ak_fail(err, AK_ENOMEM, "no memory for %u decoders", n);
    }
    for (pool.n = 0; pool.n < n; pool.n++)
        pool.spare[pool.n_spare++] = &pool.list[pool.n];
    if (start(pool.spare[n - 1], &why) != AK_OK)
        started(false, &why);
    return AK_OK;
}

void ak_decoder_stop(void)
{
    for (unsigned i = 0; i < pool.n; i++)
        ak_decoder_process_end(&pool.list[i]);
    free(pool.list);
    free(pool.spare);
    if (!pool.params.in_process)
        free((char *)(uintptr_t)pool.params.program);
    pool.params = (struct ak_decoder_params){0};
    pool.list = NULL;
    pool.spare = NULL;
    pool.n = pool.n_spare = 0;
    pool.on = pool.sure = pool.failing = false;
    pool.look_ns = 0;
}

void ak_decoder_tick(void)
{
    struct ak_decoder_process *p;
    struct ak_err err = {0};
    enum ak_status status = AK_OK;
    bool look;

    if (!pool.on || pool.params.in_process)
        return;
    pthread_mutex_lock(&pool.lock);
    look = !pool.sure && ak_clock_ns() >= pool.look_ns;
    pthread_mutex_unlock(&pool.lock);
    p = look ? take(false) : NULL;
    if (p == NULL)
        return;
    if (p->pid == 0)
        status = start(p, &err);
    if (status == AK_OK)
        status = ak_decoder_process_greet(p, 0, &err);
    if (status == AK_OK) {
        started(true, NULL);
    } else if (status != AK_EBUSY) {
        if (p->pid != 0)
            end(p, AK_DECODER_END_DIED);
        started(false, &err);
    }
    give(p, true);
}

void ak_decoder_state(struct ak_decoder_state *out)
{
    pthread_mutex_lock(&pool.lock);
    *out = (struct ak_decoder_state){.in_process = pool.params.in_process,
                                     .failing = pool.failing,
                                     .busy = pool.n - pool.n_spare};
    pthread_mutex_unlock(&pool.lock);
}
