/* process.h -- what the system says about this process. */
#ifndef AK_SERVER_PROCESS_H
#define AK_SERVER_PROCESS_H

#include <stdint.h>

struct ak_process {
    double cpu_seconds;
    double start_time; /* seconds since 1970 */
    uint64_t resident_bytes, virtual_bytes;
    uint64_t threads;
    uint64_t open_fds, max_fds;
};

/* What cannot be known is 0. */
void ak_process_read(struct ak_process *out);

/* Free bytes for us on the file system of `path`; 0 when it cannot be known. */
uint64_t ak_process_disk_free(const char *path);

/* Processes that the kernel has killed for want of memory since the machine
   started, as the file `vmstat` (/proc/vmstat) has it; 0 when it is not told. */
uint64_t ak_process_oom_kills(const char *vmstat);

/*
 * Let what is freed go back to the system, before there are other threads.
 * Pieces of 1 MiB or more (bodies, rows) get pages of their own.  glibc does so
 * from 128 KiB on at first, but raises the mark up to 32 MiB when such a piece is
 * freed; from then on they lie in the arenas of the threads, between small pieces
 * that stay, and their room is only of use to that thread.  A lower mark costs
 * batches of searches a third of their rate, for pages that are new each time.
 */
void ak_process_set_malloc(void);
/* Give back whole pages that were freed between small pieces that stay, which
   free() never does.  Now and then: who allocates meanwhile waits for it. */
void ak_process_trim(void);

/* Raise the limit of open files as far as it goes, so many at least to serve
   `wanted`; the limit that holds is returned. */
uint64_t ak_process_raise_files(uint64_t wanted);

#endif
