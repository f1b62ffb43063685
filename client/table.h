/* table.h -- aligned columns for people. */
#ifndef AK_CLIENT_TABLE_H
#define AK_CLIENT_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct table {
    size_t n_columns;
    const char *const *titles; /* lent; one that begins with '>' is for numbers,
                                  to the right */
    char **cells;              /* owned; n_cells, row by row */
    size_t n_cells;
    bool failed;
};

void table_init(struct table *table, const char *const *titles,
                size_t n_columns);
void table_cell(struct table *table, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* False when memory was short. */
bool table_print(const struct table *table, FILE *out, bool colour);
void table_clear(struct table *table);

#endif
