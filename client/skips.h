/*
 * skips.h -- the pictures of a batch that the daemon cannot use, and which are
 * left out of it then.
 *
 * A picture is left out when it was refused twice: what happens to a decoder, or
 * how busy the machine was, may be the reason of one refusal, and another run
 * would come to other batches.
 */
#ifndef AK_CLIENT_SKIPS_H
#define AK_CLIENT_SKIPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/akin.h"

struct skips {
    size_t n;       /* rows of the whole batch; 0: nothing was refused */
    uint8_t *times; /* (n) refused so often */
    bool *left_out; /* (n) */
};

struct skip {
    size_t place; /* in the whole batch */
    const struct akin_field_error *why;
};

/*
 * Takes what the daemon said of a batch of n rows without those that are left
 * out.  False when that is not about pictures alone, or memory is short: nothing
 * is changed then.  Else the batch may be sent again, without the *n_found rows
 * of `found` as well, which may be none.
 */
bool skips_take(struct skips *skips, size_t n, const struct akin_error *err,
                struct skip found[AKIN_MAX_FIELD_ERRORS], size_t *n_found);
void skips_clear(struct skips *skips);

#endif
