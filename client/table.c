#include "config.h"

#include "client/table.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define GAP 2

void table_init(struct table *table, const char *const *titles,
                size_t n_columns)
{
    *table = (struct table){.n_columns = n_columns, .titles = titles};
}

void table_clear(struct table *table)
{
    for (size_t i = 0; i < table->n_cells; i++)
        free(table->cells[i]);
    free(table->cells);
    *table = (struct table){0};
}

void table_cell(struct table *table, const char *fmt, ...)
{
    char **cells;
    char *text = NULL;
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vasprintf(&text, fmt, ap);
    va_end(ap);
    cells = n < 0 ? NULL
                  : realloc(table->cells,
                            (table->n_cells + 1) * sizeof(*table->cells));
    if (cells == NULL) {
        if (n >= 0)
            free(text);
        table->failed = true;
        return;
    }
    /* What comes from outside must not move the cursor. */
    for (char *c = text; *c != '\0'; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = '?';
    table->cells = cells;
    cells[table->n_cells++] = text;
}

/* Characters, not bytes: what continues one in UTF-8 takes no room. */
static size_t width_of(const char *text)
{
    size_t n = 0;

    for (; *text != '\0'; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

static void put(FILE *out, const char *text, size_t width, bool right,
                bool last)
{
    size_t pad = width - width_of(text);

    if (right)
        fprintf(out, "%*s", (int)pad, "");
    fputs(text, out);
    if (!last)
        fprintf(out, "%*s", (int)((right ? 0 : pad) + GAP), "");
}

bool table_print(const struct table *table, FILE *out, bool colour)
{
    size_t n = table->n_columns;
    size_t *widths = calloc(n, sizeof(*widths));

    if (widths == NULL || table->failed) {
        free(widths);
        return false;
    }
    for (size_t i = 0; i < n; i++)
        widths[i] = width_of(table->titles[i] + (table->titles[i][0] == '>'));
    for (size_t i = 0; i < table->n_cells; i++)
        if (width_of(table->cells[i]) > widths[i % n])
            widths[i % n] = width_of(table->cells[i]);
    if (colour)
        fputs("\033[1m", out);
    for (size_t i = 0; i < n; i++) {
        bool right = table->titles[i][0] == '>';

        put(out, table->titles[i] + right, widths[i], right, i + 1 == n);
    }
    fputs(colour ? "\033[0m\n" : "\n", out);
    for (size_t i = 0; i < table->n_cells; i++) {
        put(out, table->cells[i], widths[i % n], table->titles[i % n][0] == '>',
            i % n + 1 == n);
        if (i % n + 1 == n)
            fputc('\n', out);
    }
    free(widths);
    return true;
}
