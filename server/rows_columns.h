/* rows_columns.h -- rows that come as columns: npy arrays, labels, ids. */
#ifndef AK_SERVER_ROWS_COLUMNS_H
#define AK_SERVER_ROWS_COLUMNS_H

#include <stdbool.h>

#include "server/rows.h"

/*
 * Add the rows of `looks`, a npy of floats (n, dim), or for kind external of
 * bytes (n, bits / 8), with `labels` and `ids` (absent: none): npy of integers
 * or JSON, n each.
 */
void ak_rows_add_columns(struct ak_rows *rows, struct ak_bytes looks,
                         struct ak_bytes labels, struct ak_bytes ids);

/* One npy of queries: (dim) or (n, dim); at most `max` rows. */
void ak_rows_add_npy(struct ak_rows *rows, struct ak_bytes looks, size_t max);

#endif
