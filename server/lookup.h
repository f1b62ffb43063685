/*
 * lookup.h -- what a snapshot and the file beside it know of rows.
 *
 * A snapshot has codes, ids and labels of the visible rows; the file has
 * vectors, payloads and the way from an id to its row, of *now*.  A lookup
 * holds both for the length of one answer, on one thread.
 */
#ifndef AK_SERVER_LOOKUP_H
#define AK_SERVER_LOOKUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "server/arena.h"
#include "server/engine.h"
#include "server/filter_json.h"

struct ak_lookup {
    struct ak_collection *c;            /* lent */
    const struct ak_settings *settings; /* lent */
    struct ak_snapshot *snapshot;
    struct ak_view *view; /* borrowed when it is needed */
    uint64_t visible_seq; /* the snapshot shows this record, or later ones */
};

/*
 * Take the snapshot of now.  The settings are put right if by now a version of
 * another extractor serves than when they were read: their space is another then.
 */
void ak_lookup_init(struct ak_lookup *l, struct ak_collection *c,
                    struct ak_settings *settings);
/* Give back what was taken; a zeroed struct is a no-op. */
void ak_lookup_clear(struct ak_lookup *l);

/* The file; lent until the clear. */
enum ak_status ak_lookup_view(struct ak_lookup *l, struct ak_view **out,
                              struct ak_err *err) AK_MUST_CHECK;

/*
 * The rows in the snapshot of `n` ids, in any order; what has none is left out.
 * Exact, also while the file is ahead of the snapshot.
 */
enum ak_status ak_lookup_rows(struct ak_lookup *l, const struct ak_row_id *ids,
                              size_t n, uint64_t *ordinals, size_t *n_rows,
                              struct ak_err *err) AK_MUST_CHECK;

/* For ak_filter_bind(); `arg` is the lookup. */
struct ak_filter_names ak_lookup_names(struct ak_lookup *l);

/* The vector of a row, as floats (dim). */
enum ak_status ak_lookup_vector(struct ak_lookup *l, uint64_t ordinal,
                                float *out, struct ak_err *err) AK_MUST_CHECK;

/* Its payload as JSON text, copied to the arena; absent: none. */
enum ak_status ak_lookup_payload(struct ak_lookup *l, uint64_t ordinal,
                                 struct ak_arena *arena, struct ak_bytes *out,
                                 struct ak_err *err) AK_MUST_CHECK;

/* Label names of numbers as JSON; NULL when memory is short. */
json_t *ak_lookup_labels(struct ak_lookup *l, const uint32_t *labels, size_t n);

#endif
