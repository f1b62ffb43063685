/*
 * filter_json.h -- filters of a request: read, then bound to a snapshot.
 *
 *     {"must": [{"label": "boot"}], "must_not": [{"ids": [3]}]}
 *
 * Clauses are must, should and must_not; a condition has one of label,
 * labels_any and ids.  Read once, at the border; what a label's number is and
 * which row an id is depends on the collection of the moment and is looked up
 * by ak_filter_bind().
 */
#ifndef AK_SERVER_FILTER_JSON_H
#define AK_SERVER_FILTER_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "core/code/index.h"
#include "server/arena.h"
#include "server/faults.h"
#include "server/settings.h"
#include "storage/collection.h"

struct ak_condition_text {
    struct ak_bytes *labels; /* names */
    size_t n_labels;
    struct ak_row_id *ids;
    size_t n_ids;
};

struct ak_filter_text {
    struct ak_condition_text *clause[3]; /* must, should, must_not */
    size_t n[3];
};

/*
 * Read `value` (NULL or null: no filter, *out NULL).  Faults are told beneath
 * `pointer`.  AK_EINVAL when there was one; AK_ENOMEM.
 */
enum ak_status ak_filter_read(const json_t *value, const char *pointer,
                              const struct ak_settings *settings,
                              struct ak_arena *arena,
                              struct ak_filter_text **out,
                              struct ak_faults *faults) AK_MUST_CHECK;

/* A filter of one label, as ?label= asks for. */
enum ak_status ak_filter_of_label(const char *label, struct ak_arena *arena,
                                  struct ak_filter_text **out) AK_MUST_CHECK;

/* How names become numbers.  `rows` writes the ordinal of each of `n` ids that
   has a row, in any order, to `ordinals` (n). */
struct ak_filter_names {
    void *arg;
    bool (*label)(void *arg, const char *name, size_t len, uint32_t *number);
    enum ak_status (*rows)(void *arg, const struct ak_row_id *ids, size_t n,
                           uint64_t *ordinals, size_t *n_rows,
                           struct ak_err *err);
};

/*
 * The filter for the index; NULL stays NULL.  What has no number matches
 * nothing.  Lent by the arena.  AK_ENOMEM, or what `rows` returns.
 */
enum ak_status ak_filter_bind(const struct ak_filter_text *text,
                              const struct ak_filter_names *names,
                              struct ak_arena *arena,
                              const struct ak_filter **out,
                              struct ak_err *err) AK_MUST_CHECK;

#endif
