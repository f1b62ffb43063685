/*
 * faulty.h -- a disk and a memory that fail when told to.
 *
 * Stands between SQLite and the system as its default VFS and allocator, and
 * lets the n-th call of a kind fail.  Syncs that do not fail do nothing, since
 * they would take most of the time; what they would have done is kept track of
 * by power.h, to which each change of a file is told.
 */
#ifndef AK_TESTS_STORAGE_FAULTY_H
#define AK_TESTS_STORAGE_FAULTY_H

#include <stdbool.h>

enum fault {
    FAULT_NONE,
    FAULT_WRITE, /* EIO */
    FAULT_FULL,  /* ENOSPC, from the n-th write on */
    FAULT_SYNC,
    FAULT_READ,
    FAULT_MEMORY
};

/* Once, before SQLite is used. */
void faulty_install(void);

/* From here on the n-th call (from 1) of this kind fails. */
void faulty_arm(enum fault fault, long n);
/* Whether it was met so far. */
bool faulty_met(void);
/* End it; true if the fault was met. */
bool faulty_disarm(void);

#endif
