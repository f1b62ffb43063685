/*
 * index.h -- the rows of a collection in memory, and exact search over them.
 *
 * Rows have ordinals 0, 1, 2 ... in order of arrival, never reused.  An index
 * has one *mutator* at a time, which appends, kills and relabels rows and then
 * commits; any number of readers hold snapshots.  A snapshot is immutable: what
 * it shows, codes and model together, never changes while it is held.  It costs
 * one short lock to take and none to use.
 *
 * What a row is beside its code (id, labels, tombstone) is shared by all
 * versions of the codes; a *column* holds the codes of one version.  The next
 * version is filled in a column of its own while the present one serves, and
 * ak_index_install() exchanges the two in one step.
 *
 * Memory is in segments of AK_SEGMENT_ROWS rows.  Full segments are immutable
 * but for tombstones and labels, which are copied on write a segment at a time;
 * the last segment grows behind the length that the snapshots know.
 *
 * A full segment whose rows are all dead is given back, but for a pointer to it:
 * what its rows had (id, labels, code) is not known any more.  So rows that are
 * replaced for ever take the memory of the segments in which some live.
 */
#ifndef AK_CORE_CODE_INDEX_H
#define AK_CORE_CODE_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/base/ref.h"
#include "core/code/code.h"

#define AK_SEGMENT_ROWS 4096

struct ak_index;
struct ak_column;
struct ak_snapshot;

enum ak_id_kind { AK_ID_INTEGER, AK_ID_STRING };

/* An id of either kind; `text` is not terminated and lives as its owner. */
struct ak_id {
    uint64_t number;
    const char *text;
    size_t len;
};

/* ------------------------------------------------------------- the mutator */

/* `bits` as code.h says (checked by the caller). */
enum ak_status ak_index_create(uint32_t bits, enum ak_id_kind ids,
                               struct ak_index **out,
                               struct ak_err *err) AK_MUST_CHECK;
void ak_index_destroy(struct ak_index *ix); /* snapshots may outlive it */

/*
 * Append `n` rows with the ordinals ak_index_rows() onwards: ids (n), labels
 * with first (n + 1) as in hash.h, codes (n, bits / 8) bytes for the installed
 * column.  A row may be appended dead (`dead` may be NULL), as happens when a
 * start reads rows that were deleted since.  All or nothing.
 */
struct ak_index_batch {
    size_t n;
    const struct ak_id *ids;
    const uint32_t *labels;
    const uint32_t *first;
    const uint8_t *codes;
    const bool *dead;
};
enum ak_status ak_index_append(struct ak_index *ix,
                               const struct ak_index_batch *batch,
                               struct ak_err *err) AK_MUST_CHECK;

/*
 * The same of AK_SEGMENT_ROWS rows in columns, as a start has them packed, with
 * ak_index_rows() at the beginning of a segment (else AK_EINVAL).
 */
#define AK_NO_LABEL UINT32_MAX
struct ak_index_segment {
    /* Integer ids: `numbers`, or else base + offsets[i], or else base + i. */
    uint64_t base;
    const uint32_t *offsets;
    const uint64_t *numbers;
    /* String ids: text[text_first[i]..text_first[i + 1]). */
    const char *text;
    const uint32_t *text_first;
    /* NULL: none.  With `label_first` as in a batch; without it one each, or
       AK_NO_LABEL. */
    const uint32_t *labels;
    const uint32_t *label_first;
    const uint64_t *dead; /* bits of the rows; NULL: all live */
    const uint8_t *codes;
};
enum ak_status ak_index_append_segment(struct ak_index *ix,
                                       const struct ak_index_segment *segment,
                                       struct ak_err *err) AK_MUST_CHECK;

/* Mark a row dead; AK_ENOTFOUND if there is none or it is dead already. */
enum ak_status ak_index_kill(struct ak_index *ix, uint64_t ordinal,
                             struct ak_err *err) AK_MUST_CHECK;
/* Replace the labels of a row, dead or alive; they are forgotten with its
   segment. */
enum ak_status ak_index_relabel(struct ak_index *ix, uint64_t ordinal,
                                const uint32_t *labels, size_t n_labels,
                                struct ak_err *err) AK_MUST_CHECK;

uint64_t ak_index_rows(const struct ak_index *ix); /* appended, dead or not */
/* Whether a full segment has no living row any more, and so no codes. */
bool ak_index_all_dead(const struct ak_index *ix, uint64_t segment);

/* What has changed since the last commit becomes visible in one step. */
enum ak_status ak_index_commit(struct ak_index *ix,
                               struct ak_err *err) AK_MUST_CHECK;

/* A column for another version; fill it in order of ordinals, then install. */
enum ak_status ak_column_create(uint32_t bits, struct ak_column **out,
                                struct ak_err *err) AK_MUST_CHECK;
void ak_column_destroy(struct ak_column *column); /* NULL is a no-op */
enum ak_status ak_column_append(struct ak_column *column, const uint8_t *codes,
                                size_t n, struct ak_err *err) AK_MUST_CHECK;
/* A segment that ak_index_all_dead() is true of, with ak_column_rows() at its
   beginning: it takes no memory. */
enum ak_status ak_column_append_dead(struct ak_column *column,
                                     struct ak_err *err) AK_MUST_CHECK;
uint64_t ak_column_rows(const struct ak_column *column);
size_t ak_column_bytes(const struct ak_column *column);

/*
 * Make `column`, which must have exactly ak_index_rows() rows, the installed
 * one, together with `model` (a reference is taken; NULL for none) and its
 * version; commits.  The old column goes when its last snapshot goes.  On
 * success the index owns `column`.  NULL keeps the column and changes the model
 * only: the first model of an empty index.
 */
enum ak_status ak_index_install(struct ak_index *ix, struct ak_column *column,
                                struct ak_ref *model, uint64_t version,
                                struct ak_err *err) AK_MUST_CHECK;

/* ------------------------------------------------------------- the readers */

/* The latest committed state.  Any thread; never NULL once created. */
struct ak_snapshot *ak_index_snapshot(struct ak_index *ix);
void ak_snapshot_drop(struct ak_snapshot *s); /* NULL is a no-op */

uint64_t ak_snapshot_rows(const struct ak_snapshot *s); /* dead ones too */
uint64_t ak_snapshot_live(const struct ak_snapshot *s); /* without dead ones */
struct ak_ref *ak_snapshot_model(const struct ak_snapshot *s); /* lent */
uint64_t ak_snapshot_version(const struct ak_snapshot *s);
size_t ak_snapshot_bytes(const struct ak_snapshot *s); /* of memory */

/* Of a row below ak_snapshot_rows(); what it lends lives as the snapshot. */
bool ak_snapshot_alive(const struct ak_snapshot *s, uint64_t ordinal);
struct ak_id ak_snapshot_id(const struct ak_snapshot *s, uint64_t ordinal);
size_t ak_snapshot_labels(const struct ak_snapshot *s, uint64_t ordinal,
                          const uint32_t **labels);
void ak_snapshot_code(const struct ak_snapshot *s, uint64_t ordinal,
                      uint8_t *code); /* (bits / 8) bytes */

/*
 * Which rows may be found.  A row passes if it is alive, satisfies all `must`,
 * at least one `should` if there are any, and no `must_not`.  A condition holds
 * if the row has any of its labels, or is one of its ordinals (sorted upwards).
 */
struct ak_condition {
    const uint32_t *labels;
    size_t n_labels;
    const uint64_t *ordinals;
    size_t n_ordinals;
};
struct ak_filter {
    const struct ak_condition *must, *should, *must_not;
    size_t n_must, n_should, n_must_not;
};

struct ak_hit {
    uint64_t ordinal;
    uint32_t distance;
};

struct ak_search {
    const uint8_t *codes;  /* (n, bits / 8) queries, scanned together */
    size_t n;              /* 1..1024 */
    size_t limit;          /* hits wanted a query, 1 or more */
    uint32_t max_distance; /* UINT32_MAX for none */
    const struct ak_filter *filter; /* NULL for none */
    /* Hits strictly after this one in (distance, ordinal), to page; a distance
       of 0 with from_ordinal 0 and `paging` false is the start. */
    bool paging;
    uint32_t after_distance;
    uint64_t after_ordinal;
    uint64_t deadline_ns; /* of ak_clock_ns(); 0 for none */
};

struct ak_search_result {
    size_t n_hits;     /* at most limit: fewer if fewer exist */
    uint64_t searched; /* rows that the answer covers: all that pass */
    bool complete;     /* false: the deadline passed first */
};

/*
 * Exact: the `limit` smallest rows in the order (distance, ordinal), byte for
 * byte the same from every kernel, number of parts and path.  hits (n, limit),
 * results (n).
 */
enum ak_status ak_snapshot_search(const struct ak_snapshot *s,
                                  const struct ak_search *q,
                                  struct ak_hit *hits,
                                  struct ak_search_result *results,
                                  struct ak_err *err) AK_MUST_CHECK;

/*
 * The same on several threads of the caller's: in as many parts as
 * ak_search_parts() says are worth while, at most `threads`, which is 1 for a
 * search that is short.  Each part is run once, by any thread, at any time
 * between create and finish; what was lent to create lives until destroy.
 *
 *     ak_search_job_create(s, &search, n_parts, &job, &err);
 *     ak_search_job_run(job, i)                   for each part i
 *     ak_search_job_finish(job, hits, results);   once all have returned
 *     ak_search_job_destroy(job);
 */
struct ak_search_job;
size_t ak_search_parts(const struct ak_snapshot *s, const struct ak_search *q,
                       size_t threads);
enum ak_status ak_search_job_create(const struct ak_snapshot *s,
                                    const struct ak_search *q, size_t n_parts,
                                    struct ak_search_job **out,
                                    struct ak_err *err) AK_MUST_CHECK;
void ak_search_job_run(struct ak_search_job *job, size_t part);
void ak_search_job_finish(struct ak_search_job *job, struct ak_hit *hits,
                          struct ak_search_result *results);
void ak_search_job_destroy(struct ak_search_job *job); /* NULL is a no-op */

/*
 * The next row at or after `ordinal` that passes `filter` (NULL: any alive);
 * ak_snapshot_rows() when there is none.  To list and to delete by filter.
 */
uint64_t ak_snapshot_next(const struct ak_snapshot *s, uint64_t ordinal,
                          const struct ak_filter *filter);

#endif
