/*
 * catalog.h -- catalog.db: which collections there are, and in which file.
 *
 * All that a collection is lies in a file of its own (collection.h), so that to
 * delete, restore or quarantine one is a file operation.  The catalog maps a
 * name to a file number that is never used again: a collection that is deleted
 * and made anew is another file.
 *
 * The writer thread does every call but ak_catalog_open(), which is done before
 * it starts.
 */
#ifndef AK_STORAGE_CATALOG_H
#define AK_STORAGE_CATALOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

#define AK_NAME_MAX 63

struct ak_catalog;

/*
 * Take the lock of a data directory (made, with its parents, when missing) and
 * open its catalog.  AK_EBUSY: another process holds the lock; the text names
 * its process id.  AK_ECORRUPT: not ours, or of a later format.  AK_EIO.
 * `unclean` is set when the last holder did not ak_catalog_close().
 */
enum ak_status ak_catalog_open(const char *dir, struct ak_catalog **out,
                               bool *unclean, struct ak_err *err) AK_MUST_CHECK;
/* Marks a clean stop, closes, gives the lock back.  NULL is a no-op. */
void ak_catalog_close(struct ak_catalog *catalog);

/* Call `each` for every collection, by name upwards; stops at a failure. */
typedef enum ak_status ak_catalog_each(void *arg, const char *name,
                                       uint64_t file, struct ak_err *err);
enum ak_status ak_catalog_list(struct ak_catalog *catalog,
                               ak_catalog_each *each, void *arg,
                               struct ak_err *err) AK_MUST_CHECK;

/*
 * Reserve a number for a new collection's file; a file that a crash left under
 * a number that has no name is removed at the next open.
 */
enum ak_status ak_catalog_reserve(struct ak_catalog *catalog, uint64_t *file,
                                  struct ak_err *err) AK_MUST_CHECK;
/* Give the file a name: from here on the collection exists.  AK_EEXISTS. */
enum ak_status ak_catalog_add(struct ak_catalog *catalog, const char *name,
                              uint64_t file, struct ak_err *err) AK_MUST_CHECK;
/* Take the name away; the caller then removes the file.  AK_ENOTFOUND. */
enum ak_status ak_catalog_remove(struct ak_catalog *catalog, const char *name,
                                 struct ak_err *err) AK_MUST_CHECK;

/* "DIR/collections/17.db" into path (cap); false when it does not fit. */
bool ak_catalog_path(const struct ak_catalog *catalog, uint64_t file,
                     char *path, size_t cap);

#endif
