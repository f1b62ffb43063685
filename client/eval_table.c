#include "config.h"

#include "client/eval_table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/table.h"
#include "client/tool.h"

/* ---- numbers of lines --------------------------------------------------- */

static const char *text_of(const json_t *line, const char *name)
{
    const char *text = json_string_value(json_object_get(line, name));

    return text != NULL ? text : "-";
}

/* Metrics that are a series: the array or object, and the member of a point. */
static bool is_series(const char *metric)
{
    return strcmp(metric, "curve") == 0 || strcmp(metric, "p_at") == 0 ||
           strcmp(metric, "map_seen") == 0 || strcmp(metric, "map_first") == 0;
}

struct gathering {
    struct eval_cell *cells;
    size_t n, cap;
    bool failed;
};

/* One number more for its cell. */
static void add(struct gathering *g, const json_t *line, double at,
                const json_t *value)
{
    struct eval_cell new = {
        .dataset = text_of(line, "dataset"),
        .protocol = text_of(line, "protocol"),
        .queries = text_of(line, "queries"),
        .variant = text_of(line, "variant"),
        .bits = (uint32_t)json_integer_value(json_object_get(line, "bits")),
        .at = at};
    double x = json_number_value(value), before;
    size_t i = 0;

    if (!json_is_number(value) || g->failed)
        return;
    while (i < g->n && !(eval_same_block(&g->cells[i], &new) &&
                         strcmp(g->cells[i].variant, new.variant) == 0 &&
                         g->cells[i].bits == new.bits && g->cells[i].at == at))
        i++;
    if (i == g->cap) {
        size_t cap = g->cap + 64;
        struct eval_cell *cells = realloc(g->cells, cap * sizeof(*cells));

        if (cells == NULL) {
            g->failed = true;
            return;
        }
        g->cells = cells;
        g->cap = cap;
    }
    if (i == g->n)
        g->cells[g->n++] = new;
    /* Welford's: `deviation` is the sum of squares until all are there. */
    before = g->cells[i].mean;
    g->cells[i].n++;
    g->cells[i].mean += (x - before) / (double)g->cells[i].n;
    g->cells[i].deviation += (x - before) * (x - g->cells[i].mean);
}

bool eval_same_block(const struct eval_cell *a, const struct eval_cell *b)
{
    return strcmp(a->dataset, b->dataset) == 0 &&
           strcmp(a->protocol, b->protocol) == 0 &&
           strcmp(a->queries, b->queries) == 0;
}

int eval_cells(const json_t *lines, const char *metric, struct eval_cell **out,
               size_t *n)
{
    struct gathering g = {0};
    size_t i, j;
    json_t *line, *point;
    const char *name;

    json_array_foreach(lines, i, line)
    {
        if (!is_series(metric)) {
            add(&g, line, 0, json_object_get(line, metric));
        } else if (strcmp(metric, "p_at") == 0) {
            json_object_foreach(json_object_get(line, metric), name, point)
                add(&g, line, strtod(name, NULL), point);
        } else {
            bool curve = strcmp(metric, "curve") == 0;

            json_array_foreach(json_object_get(line, "curve"), j, point)
                add(&g, line,
                    json_number_value(
                        json_object_get(point, curve ? "rows" : "classes")),
                    json_object_get(point, curve ? "map" : metric));
        }
    }
    if (g.failed) {
        free(g.cells);
        return tool_no_memory();
    }
    for (i = 0; i < g.n; i++)
        g.cells[i].deviation =
            g.cells[i].n > 1
                ? sqrt(g.cells[i].deviation / (double)(g.cells[i].n - 1))
                : 0;
    *out = g.cells;
    *n = g.n;
    return EXIT_OK;
}

/* ---- printing ----------------------------------------------------------- */

/* "0.845 ± 0.012": three digits, as far as 1,000 queries can tell. */
static const char *cell_number(const struct eval_cell *c, const char *metric,
                               char out[CELL])
{
    char a[CELL];

    if (c == NULL)
        snprintf(out, CELL, "-");
    else if (strstr(metric, "_bytes") != NULL)
        snprintf(out, CELL, "%s", human_bytes(c->mean, a));
    else if (strcmp(metric, "samples") == 0)
        snprintf(out, CELL, "%s", human_count((uint64_t)llround(c->mean), a));
    else if (strstr(metric, "_seconds") != NULL)
        snprintf(out, CELL, c->mean < 9.95 ? "%.2f" : "%.1f", c->mean);
    else if (c->n > 1)
        snprintf(out, CELL, "%.3f ± %.3f", c->mean, c->deviation);
    else
        snprintf(out, CELL, "%.3f", c->mean);
    return out;
}

static void print_title(const struct eval_cell *c, const char *metric,
                        bool markdown)
{
    if (markdown)
        return;
    printf("%s, %s protocol, %s queries%s%s\n", c->dataset, c->protocol,
           c->queries, metric != NULL ? ": " : "",
           metric != NULL ? metric : "");
}

/* A table of Markdown; numbers to the right. */
static void print_markdown(const struct table *t)
{
    for (size_t i = 0; i < t->n_columns; i++)
        printf("| %s ", t->titles[i] + (t->titles[i][0] == '>'));
    puts("|");
    for (size_t i = 0; i < t->n_columns; i++)
        fputs(t->titles[i][0] == '>' ? "|---:" : "|---", stdout);
    puts("|");
    for (size_t i = 0; i < t->n_cells; i++)
        printf("| %s %s", t->cells[i],
               (i + 1) % t->n_columns == 0 ? "|\n" : "");
}

static int finish(struct table *t, bool markdown)
{
    int code = EXIT_OK;

    if (t->failed)
        code = tool_no_memory();
    else if (markdown)
        print_markdown(t);
    else if (!table_print(t, stdout, tool_colour(1)))
        code = tool_no_memory();
    table_clear(t);
    return code;
}

/* The cell of a row and a column of the block of cells[first], or NULL. */
static const struct eval_cell *find(const struct eval_cell *cells, size_t n,
                                    size_t first, const char *variant,
                                    uint32_t bits, double at)
{
    for (size_t i = first; i < n; i++)
        if (eval_same_block(&cells[i], &cells[first]) &&
            strcmp(cells[i].variant, variant) == 0 && cells[i].bits == bits &&
            cells[i].at == at)
            return &cells[i];
    return NULL;
}

static bool is_first_of_block(const struct eval_cell *cells, size_t i)
{
    for (size_t j = 0; j < i; j++)
        if (eval_same_block(&cells[j], &cells[i]))
            return false;
    return true;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* One block as variants by bits, or variants with bits by places. */
static int print_matrix(const struct eval_cell *cells, size_t n, size_t first,
                        const char *metric, bool markdown)
{
    bool series = is_series(metric);
    size_t fixed = series ? 2 : 1, n_columns = 0;
    double *columns = calloc(n + 1, sizeof(*columns));
    const char **titles = calloc(n + fixed, sizeof(*titles));
    const char *unit = !series                        ? " bits"
                       : strcmp(metric, "curve") == 0 ? " rows"
                       : strcmp(metric, "p_at") == 0  ? ""
                                                      : " classes";
    char(*texts)[CELL] = calloc(n + fixed, sizeof(*texts));
    struct table table;
    char text[CELL];
    int code = EXIT_OK;

    if (columns == NULL || titles == NULL || texts == NULL) {
        code = tool_no_memory();
        goto out;
    }
    for (size_t i = first; i < n; i++) {
        double value = series ? cells[i].at : cells[i].bits;
        size_t c = 0;

        if (!eval_same_block(&cells[i], &cells[first]))
            continue;
        while (c < n_columns && columns[c] != value)
            c++;
        if (c == n_columns)
            columns[n_columns++] = value;
    }
    qsort(columns, n_columns, sizeof(*columns), by_value);
    titles[0] = "method";
    titles[1] = ">bits"; /* of a series */
    for (size_t c = 0; c < n_columns; c++) {
        snprintf(texts[c], CELL, ">%s%.0f%s",
                 strcmp(metric, "p_at") == 0 ? "P@" : "", columns[c], unit);
        titles[fixed + c] = texts[c];
    }
    print_title(&cells[first], metric, markdown);
    table_init(&table, titles, fixed + n_columns);
    for (size_t i = first; i < n; i++) {
        const struct eval_cell *row = &cells[i];
        bool begun = false;

        if (!eval_same_block(row, &cells[first]))
            continue;
        for (size_t j = first; j < i; j++)
            begun = begun || (eval_same_block(row, &cells[j]) &&
                              strcmp(row->variant, cells[j].variant) == 0 &&
                              (!series || row->bits == cells[j].bits));
        if (begun)
            continue;
        table_cell(&table, "%s", row->variant);
        if (series)
            table_cell(&table, "%u", row->bits);
        for (size_t c = 0; c < n_columns; c++)
            table_cell(
                &table, "%s",
                cell_number(find(cells, n, first, row->variant,
                                 series ? row->bits : (uint32_t)columns[c],
                                 series ? columns[c] : 0),
                            metric, text));
    }
    code = finish(&table, markdown);

out:
    free(texts);
    free((void *)titles);
    free(columns);
    return code;
}

/* The metrics of a row of the long table. */
static const struct {
    const char *metric, *title;
} columns[] = {{"map", ">mAP"},           {"map_at_1000", ">mAP@1000"},
               {"p_at_h2", ">P@H2"},      {"p_at_100", ">P@100"},
               {"auc", ">AUC"},           {"train_seconds", ">TRAIN s"},
               {"model_bytes", ">MODEL"}, {"learner_bytes", ">LEARNER"},
               {"samples", ">LEARNT"}};

enum { N_COLUMNS = sizeof(columns) / sizeof(columns[0]), FIXED = 3 };

static int print_long(struct eval_cell *const cells[N_COLUMNS],
                      const size_t n[N_COLUMNS], size_t first, bool markdown)
{
    const char *titles[FIXED + N_COLUMNS] = {"METHOD", ">BITS", ">SEEDS"};
    struct table table;
    char text[CELL];

    for (size_t c = 0; c < N_COLUMNS; c++)
        titles[FIXED + c] = columns[c].title;
    print_title(&cells[0][first], NULL, markdown);
    table_init(&table, titles, FIXED + N_COLUMNS);
    for (size_t i = first; i < n[0]; i++) {
        const struct eval_cell *row = &cells[0][i];

        if (!eval_same_block(row, &cells[0][first]))
            continue;
        table_cell(&table, "%s", row->variant);
        table_cell(&table, "%u", row->bits);
        table_cell(&table, "%zu", row->n);
        for (size_t c = 0; c < N_COLUMNS; c++) {
            const struct eval_cell *at = NULL;

            for (size_t j = 0; j < n[c] && at == NULL; j++)
                if (eval_same_block(&cells[c][j], row) &&
                    strcmp(cells[c][j].variant, row->variant) == 0 &&
                    cells[c][j].bits == row->bits)
                    at = &cells[c][j];
            table_cell(&table, "%s", cell_number(at, columns[c].metric, text));
        }
    }
    return finish(&table, markdown);
}

int eval_table_print(const json_t *lines, const char *metric, bool markdown)
{
    struct eval_cell *cells[N_COLUMNS] = {NULL};
    size_t n[N_COLUMNS] = {0}, n_read = metric != NULL ? 1 : N_COLUMNS;
    bool begun = false;
    int code = EXIT_OK;

    for (size_t c = 0; code == EXIT_OK && c < n_read; c++)
        code = eval_cells(lines, metric != NULL ? metric : columns[c].metric,
                          &cells[c], &n[c]);
    for (size_t i = 0; code == EXIT_OK && i < n[0]; i++) {
        if (!is_first_of_block(cells[0], i))
            continue;
        if (begun)
            putchar('\n');
        begun = true;
        code = metric != NULL
                   ? print_matrix(cells[0], n[0], i, metric, markdown)
                   : print_long(cells, n, i, markdown);
    }
    for (size_t c = 0; c < N_COLUMNS; c++)
        free(cells[c]);
    return code;
}
