/* cmd_stats.c -- `akin stats`: the daemon and all its collections at a glance. */
#include <string.h>
#include <unistd.h>

#include "client/commands.h"
#include "client/json.h"
#include "client/table.h"
#include "client/watch.h"

static const struct option stats_options[] = {
    WATCH_OPTIONS,
    {0},
};

static double number_in(const json_t *object, const char *part,
                        const char *name)
{
    return json_number_value(
        json_object_get(json_object_get(object, part), name));
}

static void add_row(struct table *table, const json_t *c)
{
    const json_t *quality = json_object_get(c, "quality");
    const json_t *drift = json_object_get(quality, "drift");
    const json_t *served = json_object_get(quality, "served");
    const json_t *live = json_object_get(quality, "live");
    char cell[CELL];

    table_cell(table, "%s", cell_text(c, "name", cell));
    table_cell(table, "%s", cell_text(c, "status", cell));
    table_cell(
        table, "%s",
        human_count((uint64_t)json_integer_value(json_object_get(c, "items")),
                    cell));
    table_cell(
        table, "%s",
        cell_text(json_object_get(c, "model_versions"), "published", cell));
    if (json_is_object(served))
        table_cell(table, "%.3f",
                   json_number_value(json_object_get(served, "map")));
    else
        table_cell(table, "-");
    if (json_is_object(live))
        table_cell(table, "%.3f",
                   json_number_value(json_object_get(live, "map")));
    else
        table_cell(table, "-");
    table_cell(table, "%s",
               json_is_true(json_object_get(drift, "alarm")) ? "ALARM" : "-");
    table_cell(table, "%.1f s",
               json_number_value(json_object_get(c, "lag_seconds")));
    table_cell(table, "%s", human_bytes(number_in(c, "queue", "bytes"), cell));
    table_cell(table, "%s",
               human_bytes(number_in(c, "memory", "index_bytes") +
                               number_in(c, "memory", "learner_bytes"),
                           cell));
    table_cell(table, "%s",
               human_bytes(number_in(c, "memory", "file_bytes"), cell));
}

static void print_process(const json_t *root)
{
    char up[CELL], memory[CELL], disk[CELL], requests[CELL], state[CELL];

    printf(
        "%s for %s, %s of memory, %s free on the disk; %s requests, %.0f "
        "under way\n",
        cell_text(root, "status", state),
        human_time(number_in(root, "process", "uptime_seconds"), up),
        human_bytes(number_in(root, "process", "resident_bytes"), memory),
        human_bytes(json_number_value(json_object_get(root, "disk_free_bytes")),
                    disk),
        human_count((uint64_t)number_in(root, "http", "requests_total"),
                    requests),
        number_in(root, "http", "active"));
}

static int show_stats(struct tool *tool, void *context)
{
    static const char *const titles[] = {
        "NAME",  "STATUS", ">ITEMS", ">VERSION", ">SERVED", ">LIVE",
        "DRIFT", ">LAG",   ">QUEUE", ">MEMORY",  ">FILE"};
    const json_t *items, *item;
    struct table table;
    json_t *root = NULL;
    size_t i;
    int code =
        tool_call(tool, "GET", strdup("/v1/stats"), NULL, CALL_AGAIN, &root);

    (void)context;
    if (code != EXIT_OK)
        return code;
    if (tool->json) {
        tool_print_json(root);
        json_decref(root);
        return EXIT_OK;
    }
    print_process(root);
    items = json_object_get(json_object_get(root, "collections"), "items");
    table_init(&table, titles, sizeof(titles) / sizeof(titles[0]));
    json_array_foreach(items, i, item) add_row(&table, item);
    if (i > 0) {
        fputc('\n', stdout);
        if (!table_print(&table, stdout, tool_colour(STDOUT_FILENO)))
            code = tool_no_memory();
    }
    table_clear(&table);
    json_decref(root);
    return code;
}

static int run_stats(struct tool *tool, int argc, char **argv)
{
    (void)argc;
    (void)argv;
    return watch_run(tool, show_stats, NULL);
}

const struct command cmd_stats = {
    .name = "stats",
    .synopsis = "[OPTION]...",
    .summary = "the daemon and all its collections at a glance",
    .about = "What GET /v1/stats answers: how far each collection is, how good "
             "its codes are,\nand what it takes.\n",
    .examples = "  akin stats\n  akin stats --watch --every 5\n",
    .options = stats_options,
    .max_args = 0,
    .run = run_stats,
};
