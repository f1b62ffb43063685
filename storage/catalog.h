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
#include "storage/collection.h"

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
/* Marks a clean stop, unless an fsync failed, closes, gives the lock back.  NULL
   is a no-op. */
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
/* The same by a job, whose id is kept with it. */
enum ak_status ak_catalog_add_by(struct ak_catalog *catalog, const char *name,
                                 uint64_t file, uint64_t job,
                                 struct ak_err *err) AK_MUST_CHECK;
/* The job that made the collection, 0: none did.  AK_ENOTFOUND. */
enum ak_status ak_catalog_made_by(struct ak_catalog *catalog, const char *name,
                                  uint64_t *job,
                                  struct ak_err *err) AK_MUST_CHECK;
/* Take the name away; the caller then removes the file.  AK_ENOTFOUND. */
enum ak_status ak_catalog_remove(struct ak_catalog *catalog, const char *name,
                                 struct ak_err *err) AK_MUST_CHECK;

/* -------------------------------------------------------------------- jobs */

/*
 * A job as it is kept.  Texts may be NULL but for `kind`, `target` and
 * `request`; what is lent lives as long as the call.
 */
struct ak_job_row {
    uint64_t id;     /* from 1 on, given by the caller, never used again */
    uint32_t state;  /* the caller's numbers */
    uint32_t wanted; /* likewise: what it was asked to become */
    const char *kind;
    const char *target;
    const char *request;                      /* JSON */
    int64_t created_ms, started_ms, ended_ms; /* 0: not yet */
    const char *progress, *result;            /* JSON */
    const char *error;
    struct ak_bytes checkpoint; /* absent: none */
    struct ak_bytes key;        /* Idempotency-Key; absent: none */
    uint8_t fingerprint[32];
};

struct ak_job_line {
    uint64_t n; /* from 1 on within a job */
    int64_t time_ms;
    uint32_t level;
    const char *text;
};

/* Lines that are kept of a job. */
#define AK_CATALOG_JOB_LINES 1000

/* Put a job and further lines of its log, in one transaction. */
enum ak_status ak_catalog_put_job(struct ak_catalog *catalog,
                                  const struct ak_job_row *row,
                                  const struct ak_job_line *lines, size_t n,
                                  struct ak_err *err) AK_MUST_CHECK;
/* All jobs, by id upwards. */
typedef enum ak_status ak_catalog_each_job(void *arg,
                                           const struct ak_job_row *row,
                                           struct ak_err *err);
enum ak_status ak_catalog_jobs(struct ak_catalog *catalog,
                               ak_catalog_each_job *each, void *arg,
                               struct ak_err *err) AK_MUST_CHECK;
/* Forget the job and its log. */
enum ak_status ak_catalog_drop_job(struct ak_catalog *catalog, uint64_t id,
                                   struct ak_err *err) AK_MUST_CHECK;
/* Lines of a job's log after line `after`, at most `limit`. */
typedef enum ak_status ak_catalog_each_line(void *arg,
                                            const struct ak_job_line *line,
                                            struct ak_err *err);
enum ak_status ak_catalog_job_lines(struct ak_catalog *catalog, uint64_t id,
                                    uint64_t after, size_t limit,
                                    ak_catalog_each_line *each, void *arg,
                                    struct ak_err *err) AK_MUST_CHECK;
/* The number of the last line; 0: there is none. */
enum ak_status ak_catalog_job_last_line(struct ak_catalog *catalog, uint64_t id,
                                        uint64_t *n,
                                        struct ak_err *err) AK_MUST_CHECK;

/* -------------------------------------------------------------- extractors */

/*
 * A version of an extractor as it is kept.  Its file is not here: it has the
 * name of its checksum.  Texts may be NULL but for `name`; what is lent lives
 * as long as the call.
 */
struct ak_extractor_row {
    const char *name;
    uint32_t version; /* from 1 on within a name */
    uint8_t sha256[32];
    uint64_t bytes;
    int64_t created_ms;
    bool published; /* new collections may take it */
    uint64_t job;   /* that made it; 0: none did */
    const char *architecture, *notes;
    uint32_t channels, height, width; /* of what it takes */
    uint32_t dim, classes;
    uint32_t hash_bits; /* of the codes that it makes; 0: it makes none */
    uint64_t macs, parameters;
    double ms;           /* an image, as measured; NaN: was not */
    struct ak_bytes key; /* Idempotency-Key; absent: none */
    uint8_t fingerprint[32];
};

/* Put a version; what has the same key loses it.  AK_EEXISTS: there is this
   version, or another one by this job. */
enum ak_status ak_catalog_put_extractor(struct ak_catalog *catalog,
                                        const struct ak_extractor_row *row,
                                        struct ak_err *err) AK_MUST_CHECK;
/* All versions, by name and version upwards. */
typedef enum ak_status
ak_catalog_each_extractor(void *arg, const struct ak_extractor_row *row,
                          struct ak_err *err);
enum ak_status ak_catalog_extractors(struct ak_catalog *catalog,
                                     ak_catalog_each_extractor *each, void *arg,
                                     struct ak_err *err) AK_MUST_CHECK;
/* Forget all versions of a name.  AK_ENOTFOUND. */
enum ak_status ak_catalog_drop_extractor(struct ak_catalog *catalog,
                                         const char *name,
                                         struct ak_err *err) AK_MUST_CHECK;

/* "DIR/collections/17.db" into path (cap); false when it does not fit. */
bool ak_catalog_path(const struct ak_catalog *catalog, uint64_t file,
                     char *path, size_t cap);

#endif
