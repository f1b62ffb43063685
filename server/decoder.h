/*
 * decoder.h -- decodes images in other processes, which hostile bytes may have.
 *
 * A pool of `akin-worker --decode`, each with a socket and a piece of shared
 * memory (core/image/decode_wire.h) and nothing else: what an image can do to
 * its decoder ends there.  A decoder is replaced after a number of images, and
 * when it dies, does not answer in time or answers nonsense; then the image that
 * it had is refused and not tried again, since it was probably the reason.  The
 * next image has another decoder.
 *
 * One a process, like its limits: started and stopped by one thread while no
 * other decodes; between that, any thread.  Before it is started, and when it
 * is told so, images are decoded in the process itself.
 */
#ifndef AK_SERVER_DECODER_H
#define AK_SERVER_DECODER_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/image/image.h"

struct ak_decoder_params {
    bool in_process;
    const char *program;     /* NULL: akin-worker (program.h) */
    unsigned threads;        /* that decode at a time; 0: one a core */
    uint64_t restart_images; /* that a decoder is used for */
    /* That an image may take.  A decoder that has not even said so itself after
       twice as long is killed. */
    uint64_t timeout_ms;
};

/*
 * Begin.  A first decoder is started at once, so that the log and the state tell
 * early when that is not possible; it is tried again then.  AK_ENOMEM.
 */
enum ak_status ak_decoder_start(const struct ak_decoder_params *params,
                                struct ak_err *err) AK_MUST_CHECK;
void ak_decoder_stop(void); /* not started is a no-op */

/* From time to time, by one thread: looks whether a decoder can be started as
   long as that is not sure.  Does not wait. */
void ak_decoder_tick(void);

/*
 * As ak_image_decode(), with the limits that are set (limits.h), and these:
 *
 * AK_ECORRUPT also when the image killed its decoder or took it too long.
 * AK_ELIMIT also when it needs more memory than a decoder has.
 * AK_EBUSY: no decoder can be started now; nothing is said about the image.
 */
enum ak_status ak_decoder_decode(const void *bytes, size_t len, uint32_t hint_w,
                                 uint32_t hint_h, struct ak_image *out,
                                 struct ak_err *err) AK_MUST_CHECK;

struct ak_decoder_state {
    bool in_process;
    bool failing;  /* the last start of a decoder failed */
    unsigned busy; /* decoders with an image */
};
void ak_decoder_state(struct ak_decoder_state *out);

#endif
