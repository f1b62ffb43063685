/* compare.h -- how fast plain SQLite takes the same rows, for comparison. */
#ifndef AK_CLIENT_COMPARE_H
#define AK_CLIENT_COMPARE_H

#include "client/source.h"

struct compare_result {
    uint64_t rows;
    double seconds;
};

/*
 * Insert the vectors of every batch from `first_batch` on into a table of the
 * new file `path`, one transaction a batch, WAL and synchronous=FULL as in the
 * daemon; only the inserts are timed.  The file is deleted afterwards.
 */
int compare_sqlite(struct source *source, uint64_t first_batch,
                   const char *path, struct compare_result *out);

#endif
