/*
 * partition.h -- the rows of an index put in an order in which most of them need
 * not be compared.
 *
 * A partition is built from a snapshot, beside searches and changes, by a thread
 * of the caller's, and then handed to the index.  Rows that are appended since
 * are scanned as before; rows that were deleted since are skipped.  The hits are
 * the same with and without it.
 *
 *     if (ak_snapshot_partition_due(s)) {
 *         ak_partition_build_create(s, &build, &err);
 *         do
 *             status = ak_partition_build_step(build, &done, &err);
 *         while (status == AK_OK && !done);
 *         status = ak_index_partition(ix, build, &err);      the mutator
 *         ak_partition_build_destroy(build);
 *     }
 *
 * Codes without clusters gain nothing.  A build measures that and then installs
 * no more than a note, so that it is not tried again until the index has doubled.
 */
#ifndef AK_CORE_CODE_PARTITION_H
#define AK_CORE_CODE_PARTITION_H

#include "core/code/index.h"

struct ak_partition_build;

/*
 * Whether a build is worth while: there is none and the rows are many, or the
 * rows that were appended or deleted since exceed a sixteenth.
 */
bool ak_snapshot_partition_due(const struct ak_snapshot *s);

/* What the snapshot's searches go by. */
struct ak_partition_info {
    uint64_t rows;    /* in it; 0: none, or not worth while */
    uint64_t covered; /* rows up to here were looked at when it was built */
    size_t buckets;
    size_t bytes;
    double share; /* of the rows that a search compared, as measured */
};
void ak_snapshot_partition_info(const struct ak_snapshot *s,
                                struct ak_partition_info *info);

/* Takes a reference of `s`. */
enum ak_status ak_partition_build_create(struct ak_snapshot *s,
                                         struct ak_partition_build **out,
                                         struct ak_err *err) AK_MUST_CHECK;
void ak_partition_build_destroy(struct ak_partition_build *b);
size_t ak_partition_build_bytes(const struct ak_partition_build *b);

/*
 * The next piece of work, of some 10 ms; *done when there is none left.  After a
 * failure only destroy.
 */
enum ak_status ak_partition_build_step(struct ak_partition_build *b, bool *done,
                                       struct ak_err *err) AK_MUST_CHECK;

/*
 * Searches of later snapshots go by what was built; commits.  The mutator's.
 * AK_EBUSY if other codes were installed since the build began: it is of no use
 * then.
 */
enum ak_status ak_index_partition(struct ak_index *ix,
                                  const struct ak_partition_build *b,
                                  struct ak_err *err) AK_MUST_CHECK;

#endif
