/*
 * power.h -- what a disk may hold after the power fails.
 *
 * While it records, faulty.c tells each change that SQLite makes to a file.  Of
 * what was written since the last sync of a file, a disk may keep any part: each
 * sector of 512 bytes holds what it held at the sync or after any write since,
 * and each change of the size was made or not.  A file that was made since and
 * never synced may be absent, and one that was removed may be there again.
 *
 * One thread; files are known by the last part of their names.
 */
#ifndef AK_TESTS_STORAGE_POWER_H
#define AK_TESTS_STORAGE_POWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * From here on `moment` is called before and after each change and each sync,
 * when the power might fail.  It may use SQLite; what it does is not recorded.
 * `lies`: a sync does nothing, as on a disk that says it did.
 */
void power_record(void (*moment)(void *arg), void *arg, bool lies);
void power_end(void); /* and forget all files */

/* What the disk may hold now, drawn by `seed`, as files in the folder `dir`;
   what is there under their names is replaced. */
void power_fail(uint64_t seed, const char *dir);

/* For faulty.c.  `path` is a file that is there, or was just made by the call;
   `data` NULL: the size changes to `at`. */
void power_opened(const char *path, bool was_there);
void power_changed(const char *path, const void *data, size_t n, uint64_t at);
void power_synced(const char *path);
void power_removed(const char *path, bool synced);

#endif
