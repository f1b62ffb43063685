/*
 * producer.h -- who sends the batches of an ingest, and where it goes on.
 *
 * A producer numbers its batches 1, 2, 3 ...; the daemon takes each number once
 * and in order, and keeps the last for ever.  So the same batches under the same
 * name arrive once, whatever was killed in between.
 */
#ifndef AK_CLIENT_PRODUCER_H
#define AK_CLIENT_PRODUCER_H

#include "client/source.h"
#include "client/tool.h"

#define PRODUCER_MAX 128 /* characters of a name */

struct producer {
    char name[PRODUCER_MAX + 1];
    bool drawn;    /* by chance: the same command does not find it again */
    uint64_t last; /* number that the collection has; 0: it is new there */
};

/*
 * `given`, or, when that is NULL, what follows from the source, the collection
 * and whether it is learnt; of a stream nothing is known, so that a name is
 * drawn.  EXIT_OK or the code of what was said.
 */
int producer_name(struct tool *tool, const char *given,
                  const struct source *source, const char *collection,
                  bool learns, struct producer *out);

/* Ask the collection for the last number. */
int producer_ask(struct tool *tool, const char *collection,
                 struct producer *producer);

#endif
