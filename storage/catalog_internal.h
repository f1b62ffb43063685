/* catalog_internal.h -- the catalog as its parts share it: catalog.c (life,
   names), catalog_jobs.c (jobs), catalog_extractors.c (extractors). */
#ifndef AK_STORAGE_CATALOG_INTERNAL_H
#define AK_STORAGE_CATALOG_INTERNAL_H

#include "storage/catalog.h"
#include "storage/sqlite_internal.h"

struct ak_catalog {
    struct ak_db db;
    bool opened;
    int lock;         /* of DIR/LOCK; held while the catalog is open */
    unsigned n_saves; /* of jobs, since the log was copied */
    size_t dir_len;
    char dir[]; /* without a slash at the end */
};

/* AK_EIO after a failed fsync. */
enum ak_status ak_catalog_writable(struct ak_catalog *catalog,
                                   struct ak_err *err) AK_MUST_CHECK;
/* Copy the log, which is short and has no readers. */
enum ak_status ak_catalog_copy_log(struct ak_catalog *catalog,
                                   struct ak_err *err) AK_MUST_CHECK;
/* Ends what was begun: commits it, or undoes it. */
enum ak_status ak_catalog_end_change(struct ak_catalog *catalog,
                                     enum ak_status status,
                                     struct ak_err *err) AK_MUST_CHECK;

#endif
