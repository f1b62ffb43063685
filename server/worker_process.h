/*
 * worker_process.h -- an akin-worker that this process started.
 *
 * It is in a process group of its own and inherits three descriptors: one that
 * ends when this process does, and two pipes that are read here, with its lines
 * and with what it says to stderr.  Nothing here waits for it but
 * ak_worker_process_destroy(), and that not long.  Only its own number is ever
 * waited for, so that others may have children, too.
 *
 * Not for several threads at a time.
 */
#ifndef AK_SERVER_WORKER_PROCESS_H
#define AK_SERVER_WORKER_PROCESS_H

#include <stdbool.h>

#include "core/base/err.h"
#include "server/lines.h"

struct ak_worker_process;

/* `program` with `option` and `folder`.  AK_EIO, AK_ENOMEM. */
enum ak_status ak_worker_process_start(const char *program, const char *option,
                                       const char *folder,
                                       struct ak_worker_process **out,
                                       struct ak_err *err) AK_MUST_CHECK;

/* Take what it has written, some 64 KiB at most; false when both pipes have
   ended. */
bool ak_worker_process_read(struct ak_worker_process *p, ak_lines_fn *line,
                            ak_lines_fn *said, void *arg);
/* Lines that were dropped until now. */
uint64_t ak_worker_process_dropped(const struct ak_worker_process *p);

/* Ask it to leave with a checkpoint. */
void ak_worker_process_stop(struct ak_worker_process *p);

struct ak_worker_end {
    int code;   /* exit status, when signal is 0 */
    int signal; /* that killed it */
    bool oom;   /* ... for want of memory, as the kernel counts */
};
/* Whether it has ended. */
bool ak_worker_process_ended(struct ak_worker_process *p,
                             struct ak_worker_end *end);

/* Wait at most so long for its end; true when it has. */
bool ak_worker_process_wait(struct ak_worker_process *p, unsigned ms);
/* Kill it with its group, if it has not ended; NULL is a no-op. */
void ak_worker_process_destroy(struct ak_worker_process *p);

#endif
