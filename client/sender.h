/*
 * sender.h -- the batches of a source to a collection, several in flight.
 *
 * The number in flight follows what the daemon can take: one more for each
 * window that was accepted, half of it when the daemon says that it is full
 * (additive increase, multiplicative decrease: Chiu and Jain, "Analysis of the
 * Increase and Decrease Algorithms for Congestion Avoidance in Computer
 * Networks", Computer Networks and ISDN Systems 17, 1989).  Nothing is given up
 * for being refused, only for a long time without any success.
 *
 * Batch n has the producer's number n + 1.  The daemon takes them in that order:
 * one that overtakes the one before it is refused as a gap, and sent again when
 * that one is in.  Of what the producer has sent before, only the last batch is
 * sent, alone and first: the daemon compares it, so that other files under the
 * name of an earlier run are found out before anything of them is stored.
 *
 * A picture that the daemon cannot use is said, and left out of its batch
 * (skips.h); a batch of which nothing is left is sent empty, so that the numbers
 * stay those of the batches.
 */
#ifndef AK_CLIENT_SENDER_H
#define AK_CLIENT_SENDER_H

#include <signal.h>

#include "client/progress.h"
#include "client/source.h"
#include "client/tool.h"

struct sender_params {
    struct tool *tool;
    struct source *source;
    const char *collection;
    const char *method; /* and path of a batch */
    const char *path;
    const char *producer;
    uint64_t last; /* number that it has sent; 0: none */
    unsigned in_flight;
    size_t bytes_in_flight;
    double patience_seconds; /* without any success */
    bool strict;             /* end at a picture that cannot be used */
    bool watch_quality;
    const volatile sig_atomic_t *stop; /* non-zero: finish what is in flight */
};

struct sender_result {
    uint64_t rows;     /* accepted, those that were there before too */
    uint64_t replayed; /* of them, there before */
    uint64_t skipped;  /* pictures that were left out of what was sent */
    uint64_t batches;
    uint64_t bytes;
    uint64_t waits;      /* refusals and broken connections */
    uint64_t next_batch; /* all before it are accepted */
    int64_t last_seq;    /* highest; -1: none */
    double seconds;      /* from the first byte to the last answer */
    double live, served; /* quality, as last seen; below 0: not known */
    bool complete;       /* nothing is left to send */
};

/* EXIT_OK, also when it was stopped; what went wrong was said. */
int sender_run(const struct sender_params *params, struct sender_result *out);

#endif
