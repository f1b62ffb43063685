/*
 * decoder_process.h -- one `akin-worker --decode`, as the daemon holds it.
 *
 * One thread at a time.  Nothing but its standard error, its socket and its
 * shared memory is open in it, and of the environment only what a loader and a
 * sanitizer read.  It is waited for by its number, so that other children of the
 * daemon are others' to wait for.
 */
#ifndef AK_SERVER_DECODER_PROCESS_H
#define AK_SERVER_DECODER_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/base/err.h"
#include "core/image/decode_wire.h"
#include "core/image/image.h"

/* All zero: there is none. */
struct ak_decoder_process {
    pid_t pid; /* 0: none */
    int socket;
    uint8_t *shared;
    size_t room;     /* bytes of it */
    bool greeted;    /* it said hello */
    uint64_t number; /* of the last request */
    uint64_t busy_ns;
    uint64_t started_ns;
    uint64_t max_pixels; /* of an image, for which it was started */
};

/* How a question ended. */
enum ak_decoder_answer {
    AK_DECODER_ANSWERED,    /* see the status of the reply */
    AK_DECODER_GONE,        /* it had died before; the image was not its end */
    AK_DECODER_NOT_STARTED, /* it never said hello */
    AK_DECODER_DIED,
    AK_DECODER_LATE,
    AK_DECODER_NONSENSE /* said what no decoder says */
};

struct ak_decoder_start {
    const char *program;
    size_t room;          /* for a file, and then for its pixels */
    uint64_t max_pixels;  /* kept */
    uint64_t memory;      /* bytes */
    uint64_t cpu_seconds; /* of all its life */
};

/* Start one, which is not waited for.  AK_EIO, AK_ENOMEM. */
enum ak_status ak_decoder_process_start(struct ak_decoder_process *p,
                                        const struct ak_decoder_start *start,
                                        struct ak_err *err) AK_MUST_CHECK;

/* Whether it said hello, waiting up to that.  AK_EBUSY: not yet.  AK_EIO: it
   will not; say ak_decoder_process_end(). */
enum ak_status ak_decoder_process_greet(struct ak_decoder_process *p,
                                        uint64_t wait_ms,
                                        struct ak_err *err) AK_MUST_CHECK;

/*
 * Have a file of up to `room` bytes decoded; `rq` holds the limits and hints.
 * With AK_DECODER_ANSWERED, `*status` is that of ak_image_decode(), but AK_ELIMIT
 * when the decoder's memory was not enough; `out` is written if it is AK_OK.  Otherwise the process must be ended; `err` says what
 * happened.
 */
enum ak_decoder_answer
ak_decoder_process_ask(struct ak_decoder_process *p, const void *bytes,
                       struct ak_decode_request *rq, uint64_t timeout_ms,
                       struct ak_image *out, enum ak_status *status,
                       struct ak_err *err);

/* Kill it and wait until it is gone; zeroes the struct, of which zero is a
   no-op.  Returns what waitpid(2) told, 0 when that is not known. */
int ak_decoder_process_end(struct ak_decoder_process *p);

#endif
