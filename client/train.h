/* train.h -- what `akin extractor train` was asked, for the two places where it
   is done. */
#ifndef AK_CLIENT_TRAIN_H
#define AK_CLIENT_TRAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "client/tool.h"

struct train_options {
    const char *arch;
    const char *from;
    const char *dataset;
    const char *engine;
    const char *type;
    const char *schedule;
    uint64_t threads;
    uint64_t batch;
    uint64_t epochs;
    uint64_t seed;
    double rate;
    double decay;
    double smoothing;
    const char *hash; /* "hcdh", or NULL: no codes */
    uint64_t bits;
    double backbone_rate;
    double code_weight;

    /* On this side only.  Rates below 0 were not said. */
    const char *output;
    const char *data;
    const char *checkpoint;
    uint64_t every;
    uint64_t evaluate;
    const char *hash_output; /* NULL: none */
};

/*
 * Train here, and write options->output.  An interrupt ends it after the step at
 * work, with a checkpoint if one was asked for; the same command then goes on to
 * what it would have come to.
 */
int train_local(struct tool *tool, const struct train_options *options);

#endif
