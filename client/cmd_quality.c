/* cmd_quality.c -- `akin quality`: how good the codes are now, and were. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/commands.h"
#include "client/json.h"
#include "client/spark.h"
#include "client/table.h"
#include "client/watch.h"

static struct {
    uint64_t labels;
} o = {.labels = 20};

static const struct option quality_options[] = {
    {"labels", 'l', OPTION_NUMBER, "N", "labels that are shown (20)", &o.labels,
     0, 1000, NULL, NULL},
    WATCH_OPTIONS,
    {0},
};

static const char *const precisions[] = {"precision_at_1", "precision_at_10",
                                         "precision_at_100"};
#define N_PRECISIONS (sizeof(precisions) / sizeof(precisions[0]))

/* A ratio with the same digits everywhere, so that columns can be compared. */
static void ratio_cell(struct table *table, const json_t *object,
                       const char *name)
{
    const json_t *value = json_object_get(object, name);

    if (json_is_number(value))
        table_cell(table, "%.3f", json_number_value(value));
    else
        table_cell(table, "-");
}

static bool print_series(const json_t *root, bool colour)
{
    static const char *const names[] = {"served", "live"};
    static const char *const titles[] = {"SERIES", ">QUERIES", ">MAP",
                                         ">P@1",   ">P@10",    ">P@100"};
    struct table table;
    bool printed;

    table_init(&table, titles, 6);
    for (size_t i = 0; i < 2; i++) {
        const json_t *series = json_object_get(root, names[i]);
        char cell[CELL];

        table_cell(&table, "%s", names[i]);
        table_cell(&table, "%s", cell_text(series, "queries", cell));
        ratio_cell(&table, series, "map");
        for (size_t k = 0; k < N_PRECISIONS; k++)
            ratio_cell(&table, series, precisions[k]);
    }
    printed = table_print(&table, stdout, colour);
    table_clear(&table);
    return printed;
}

/* Values of a series of the history; NAN where it was not known. */
static void read_history(const json_t *history, const char *series,
                         double *values, double *low, double *high)
{
    const json_t *point;
    size_t i;

    json_array_foreach(history, i, point)
    {
        const json_t *value = json_object_get(point, series);

        values[i] = json_is_number(value) ? json_number_value(value) : NAN;
        *low = fmin(*low, values[i]);
        *high = fmax(*high, values[i]);
    }
}

/* Both curves on one scale. */
static bool print_history(const json_t *root)
{
    static const char *const names[] = {"served", "live"};
    const json_t *history = json_object_get(root, "history");
    size_t n = json_array_size(history), width = tool_columns(STDOUT_FILENO);
    double low = INFINITY, high = -INFINITY;
    double *values[2];
    char *line;

    width = width > 32 ? width - 24 : 8;
    values[0] = calloc(2 * n + 1, sizeof(*values[0]));
    line = malloc(SPARK_BYTES(width));
    if (values[0] == NULL || line == NULL) {
        free(values[0]);
        free(line);
        return false;
    }
    values[1] = values[0] + n;
    for (size_t i = 0; i < 2; i++)
        read_history(history, names[i], values[i], &low, &high);
    if (low <= high) {
        for (size_t i = 0; i < 2; i++) {
            spark(values[i], n, low, high, width, tool_utf8(), line);
            printf("%-7s%s", names[i], line);
            printf(i == 0 ? "  %.3f at the top\n" : "  %.3f at the bottom\n",
                   i == 0 ? high : low);
        }
        fputc('\n', stdout);
    }
    free(values[0]);
    free(line);
    return true;
}

static void print_drift(const json_t *root)
{
    const json_t *drift = json_object_get(root, "drift");
    char score[CELL], since[CELL], cleared[CELL];

    cell_text(drift, "score", score);
    cell_text(drift, "since_seq", since);
    cell_text(drift, "cleared_seq", cleared);
    if (json_is_true(json_object_get(drift, "alarm")))
        printf("drift  ALARM since record %s, score %s\n", since, score);
    else if (json_is_integer(json_object_get(drift, "cleared_seq")))
        printf("drift  none, score %s of 1; the last alarm was from record %s "
               "to %s\n",
               score, since, cleared);
    else
        printf("drift  none, score %s of 1\n", score);
}

static void print_gate(const json_t *root)
{
    const json_t *gate = json_object_get(root, "gate");
    char decision[CELL], seq[CELL], pairs[CELL];

    if (!json_is_object(gate))
        return;
    printf("gate   %s at record %s: %s; over %s pairs the gain is %.4f, with "
           "95 %% above %.4f\n",
           json_is_true(json_object_get(gate, "publish")) ? "publish" : "no",
           cell_text(gate, "seq", seq), cell_text(gate, "decision", decision),
           cell_text(gate, "pairs", pairs),
           json_number_value(json_object_get(gate, "gain")),
           json_number_value(json_object_get(gate, "lower")));
}

static bool print_labels(const json_t *root, bool colour)
{
    static const char *const titles[] = {"LABEL", ">QUERIES", ">SERVED",
                                         ">LIVE", ">P@10"};
    const json_t *labels = json_object_get(root, "labels"), *label;
    json_int_t all = json_integer_value(json_object_get(root, "n_labels"));
    struct table table;
    char cell[CELL];
    bool printed;
    size_t i;

    if (json_array_size(labels) == 0)
        return true;
    table_init(&table, titles, 5);
    json_array_foreach(labels, i, label)
    {
        table_cell(&table, "%s", cell_text(label, "label", cell));
        table_cell(&table, "%s", cell_text(label, "queries", cell));
        ratio_cell(&table, json_object_get(label, "served"), "map");
        ratio_cell(&table, json_object_get(label, "live"), "map");
        ratio_cell(&table, json_object_get(label, "served"), "precision_at_10");
    }
    fputc('\n', stdout);
    printed = table_print(&table, stdout, colour);
    table_clear(&table);
    if (all > (json_int_t)i)
        printf("... and %" JSON_INTEGER_FORMAT " more labels\n",
               all - (json_int_t)i);
    return printed;
}

static int show_quality(struct tool *tool, void *context)
{
    const char *name = context;
    const json_t *versions;
    json_t *root = NULL;
    char published[CELL], samples[CELL], depth[CELL];
    int code = tool_call(tool, "GET",
                         akin_collection_path(name, "/stats/quality?limit=%llu",
                                              (unsigned long long)o.labels),
                         NULL, CALL_AGAIN, &root);

    if (code != EXIT_OK)
        return code;
    if (tool->json) {
        tool_print_json(root);
        json_decref(root);
        return EXIT_OK;
    }
    versions = json_object_get(root, "model_versions");
    printf("%s: version %s serves; the live model has learnt %s samples; mAP "
           "at %s\n\n",
           name, cell_text(versions, "published", published),
           cell_text(versions, "live_samples", samples),
           cell_text(root, "map_depth", depth));
    if (!print_series(root, tool_colour(STDOUT_FILENO)))
        code = tool_no_memory();
    fputc('\n', stdout);
    if (code == EXIT_OK && !print_history(root))
        code = tool_no_memory();
    print_drift(root);
    print_gate(root);
    if (code == EXIT_OK && !print_labels(root, tool_colour(STDOUT_FILENO)))
        code = tool_no_memory();
    json_decref(root);
    return code;
}

static int run_quality(struct tool *tool, int argc, char **argv)
{
    (void)argc;
    return watch_run(tool, show_quality, argv[0]);
}

const struct command cmd_quality = {
    .name = "quality",
    .synopsis = "COLLECTION [OPTION]...",
    .summary = "how good the codes are, measured on what arrives",
    .about = "Rows that arrive are queries before they are learnt, under the "
             "model that serves\nand under the one that learns. Beside their "
             "means are the curves since the\ncollection was made, the alarm "
             "of drift, what the gate of the publish policy\n`quality` said "
             "last, and the means by label.\n",
    .examples = "  akin quality shoes\n"
                "  akin quality shoes --watch\n"
                "  akin quality shoes --json | jq .served.map\n",
    .options = quality_options,
    .min_args = 1,
    .max_args = 1,
    .run = run_quality,
};
