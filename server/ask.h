/*
 * ask.h -- what a run (job_kind.h) lets the writer do, and waits for.
 *
 * The run makes an ask, pushes it, and answers AK_STEP_WAIT until it is over,
 * which wakes the run.  The writer holds the ask too, so that a run that ends
 * meanwhile just drops it.
 */
#ifndef AK_SERVER_ASK_H
#define AK_SERVER_ASK_H

#include <stdatomic.h>

#include "server/engine_internal.h"
#include "server/job_kind.h"

struct ak_ask {
    struct ak_job job; /* first */
    /* On the writer, in no transaction; `store` is that of the lane. */
    enum ak_status (*fn)(struct ak_ask *ask, struct ak_store *store,
                         struct ak_err *err);
    struct ak_engine *engine; /* to whose writer it was pushed */
    struct ak_run *run;       /* held; NULL: nobody waits */
    struct ak_collection *c;  /* held, or NULL */
    atomic_uint refs;
    atomic_bool over;
    /* When it is over. */
    enum ak_status status;
    struct ak_err err;
};

/* Allocates `size` bytes, zeroed, of which an ask is the first part; NULL: no
   memory. */
void *ak_ask_create(size_t size,
                    enum ak_status (*fn)(struct ak_ask *ask,
                                         struct ak_store *store,
                                         struct ak_err *err),
                    struct ak_run *run, struct ak_collection *c);
/* Once. */
void ak_ask_push(struct ak_ask *ask, struct ak_engine *engine,
                 struct ak_lane *lane);
bool ak_ask_over(const struct ak_ask *ask);
void ak_ask_drop(struct ak_ask *ask); /* NULL is a no-op */

#endif
