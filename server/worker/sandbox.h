/* sandbox.h -- gives up whatever a decoder of hostile bytes does not need. */
#ifndef AK_SERVER_WORKER_SANDBOX_H
#define AK_SERVER_WORKER_SANDBOX_H

#include <stdint.h>

#include "core/base/err.h"

struct ak_sandbox {
    int socket;           /* the only descriptor that can be read and written */
    uint64_t memory;      /* bytes, beyond what is mapped now */
    uint64_t cpu_seconds; /* from the start of the process */
};

/*
 * For the rest of the process's life and for all of its threads: no descriptor
 * can be opened, no memory made executable, no process or thread started, no
 * file written.  A system call that is not in the list of sandbox.c ends the
 * process with SIGSYS; so does reading or writing another descriptor.  More
 * memory than that is refused to malloc(); more time ends the process with
 * SIGXCPU.  Nothing is traced or dumped, and its priority is lower.
 *
 * A build with a sanitizer has no limit on memory, and the calls that the
 * sanitizer needs beside.  AK_EIO: the kernel cannot do it; what was given up
 * until then stays so.
 */
enum ak_status ak_sandbox_enter(const struct ak_sandbox *sandbox,
                                struct ak_err *err) AK_MUST_CHECK;

#endif
