#include "config.h"

#include "client/eval_plot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "client/eval_table.h"
#include "client/plot.h"
#include "client/tool.h"

static const struct {
    const char *metric, *title, *x_label, *y_label;
    bool series; /* at one number of bits, over places */
    bool log_y;
} kinds[] = {
    {"map", "mean average precision", "bits", "mAP", false, false},
    {"p_at_h2", "precision within Hamming radius 2", "bits", "P@H2", false,
     false},
    {"train_seconds", "seconds to learn the stream, one core", "bits", "s",
     false, true},
    {"curve", "mean average precision along the stream", "rows learnt", "mAP",
     true, false},
    {"p_at", "precision of the first K", "K", "P@K", true, false},
    {"map_seen", "classes learnt so far, among their items", "classes learnt",
     "mAP", true, false},
    {"map_first", "classes of the first stage, in the whole database",
     "classes learnt", "mAP", true, false},
};

enum { N_KINDS = sizeof(kinds) / sizeof(kinds[0]) };

static int by_x(const void *a, const void *b)
{
    double x = ((const struct plot_point *)a)->x;
    double y = ((const struct plot_point *)b)->x;

    return (x > y) - (x < y);
}

/* The number of bits that a plot over places shows: 32, or what is nearest. */
static uint32_t choose_bits(const struct eval_cell *cells, size_t n,
                            size_t first)
{
    uint32_t best = cells[first].bits;

    for (size_t i = first; i < n; i++) {
        uint32_t bits = cells[i].bits;

        if (eval_same_block(&cells[i], &cells[first]) &&
            abs((int)bits - 32) < abs((int)best - 32))
            best = bits;
    }
    return best;
}

struct drawing {
    struct plot_series *series; /* room for all cells */
    struct plot_point *points;
    size_t n_series;
};

/* Series of the block of cells[first]; false when none has two points. */
static bool collect(const struct eval_cell *cells, size_t n, size_t first,
                    size_t kind, uint32_t bits, struct drawing *d)
{
    struct plot_point *at = d->points;
    bool worth = false;

    d->n_series = 0;
    for (size_t i = first; i < n; i++) {
        struct plot_series *s = &d->series[d->n_series];
        bool begun = false;

        if (!eval_same_block(&cells[i], &cells[first]) ||
            (kinds[kind].series && cells[i].bits != bits))
            continue;
        for (size_t j = 0; j < d->n_series; j++)
            begun = begun || strcmp(d->series[j].title, cells[i].variant) == 0;
        if (begun)
            continue;
        *s = (struct plot_series){.title = cells[i].variant, .points = at};
        for (size_t j = i; j < n; j++)
            if (eval_same_block(&cells[j], &cells[first]) &&
                strcmp(cells[j].variant, s->title) == 0 &&
                (!kinds[kind].series || cells[j].bits == bits))
                s->points[s->n++] = (struct plot_point){
                    kinds[kind].series ? cells[j].at : cells[j].bits,
                    cells[j].mean, cells[j].deviation};
        qsort(s->points, s->n, sizeof(*s->points), by_x);
        at += s->n;
        worth = worth || s->n > 1;
        d->n_series++;
    }
    return worth;
}

static int draw(const struct eval_cell *cells, size_t n, size_t first,
                size_t kind, const char *folder, struct drawing *d,
                size_t *n_written)
{
    const struct eval_cell *block = &cells[first];
    uint32_t bits = choose_bits(cells, n, first);
    struct plot plot = {.x_label = kinds[kind].x_label,
                        .y_label = kinds[kind].y_label,
                        .log_x = !kinds[kind].series,
                        .log_y = kinds[kind].log_y,
                        .series = d->series};
    char *path = NULL, *title = NULL;
    char at[CELL] = "";
    bool test = strcmp(block->queries, "validation") != 0;
    int code = EXIT_OK;

    if (!collect(cells, n, first, kind, bits, d))
        return EXIT_OK;
    plot.n_series = d->n_series;
    if (kinds[kind].series)
        snprintf(at, sizeof(at), ", %u bits", bits);
    if (asprintf(&path, "%s/%s-%s%s-%s.svg", folder, block->dataset,
                 block->protocol, test ? "" : "-validation",
                 kinds[kind].metric) < 0)
        path = NULL;
    if (asprintf(&title, "%s, %s%s: %s%s", block->dataset, block->protocol,
                 test ? "" : ", validation", kinds[kind].title, at) < 0)
        title = NULL;
    plot.title = title;
    if (path == NULL || title == NULL)
        code = tool_no_memory();
    else
        code = plot_svg(&plot, path);
    *n_written += code == EXIT_OK;
    free(path);
    free(title);
    return code;
}

int eval_plot(const json_t *lines, const char *folder, size_t *n_written)
{
    int code = EXIT_OK;

    *n_written = 0;
    if (mkdir(folder, 0777) != 0 && errno != EEXIST)
        return tool_usage("%s: %s", folder, strerror(errno));
    for (size_t kind = 0; code == EXIT_OK && kind < N_KINDS; kind++) {
        struct eval_cell *cells = NULL;
        struct drawing d = {0};
        size_t n = 0;

        code = eval_cells(lines, kinds[kind].metric, &cells, &n);
        d.series = calloc(n + 1, sizeof(*d.series));
        d.points = calloc(n + 1, sizeof(*d.points));
        if (d.series == NULL || d.points == NULL)
            code = tool_no_memory();
        for (size_t i = 0; code == EXIT_OK && i < n; i++) {
            size_t j = 0;

            while (j < i && !eval_same_block(&cells[j], &cells[i]))
                j++;
            if (j == i)
                code = draw(cells, n, i, kind, folder, &d, n_written);
        }
        free(d.series);
        free(d.points);
        free(cells);
    }
    return code;
}
