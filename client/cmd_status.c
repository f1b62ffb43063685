/* cmd_status.c -- `akin status`: is it up, and how are its collections. */
#include <stdlib.h>
#include <string.h>

#include "client/commands.h"
#include "client/json.h"
#include "client/table.h"

/* A ratio for a person: "0.843", or "-" when it is not known. */
static const char *ratio(double value, char out[CELL])
{
    if (value < 0.0)
        snprintf(out, CELL, "-");
    else
        snprintf(out, CELL, "%.3f", value);
    return out;
}

static void add_row(struct table *table, const json_t *c)
{
    const json_t *model = json_object_get(c, "model");
    const json_t *versions = json_object_get(c, "model_versions");
    const json_t *quality = json_object_get(c, "quality");
    const json_t *items = json_object_get(c, "items");
    char cell[CELL];

    table_cell(table, "%s", cell_text(c, "name", cell));
    table_cell(table, "%s", cell_text(c, "status", cell));
    table_cell(table, "%s", cell_text(model, "kind", cell));
    table_cell(table, "%s", cell_text(c, "bits", cell));
    table_cell(table, "%s",
               json_is_integer(items)
                   ? human_count((uint64_t)json_integer_value(items), cell)
                   : "-");
    table_cell(table, "%s", cell_text(versions, "published", cell));
    table_cell(table, "%s", ratio(quality_value(quality, "served"), cell));
    table_cell(table, "%s", ratio(quality_value(quality, "live"), cell));
    table_cell(table, "%s", cell_text(c, "staleness", cell));
}

struct listing {
    struct tool *tool;
    struct table table;
    size_t n;
};

static int each_collection(void *context, json_t *item)
{
    struct listing *list = context;

    list->n++;
    if (list->tool->json)
        tool_print_json(item);
    else
        add_row(&list->table, item);
    return EXIT_OK;
}

static const char *const titles[] = {"NAME",    "STATUS", "KIND",
                                     ">BITS",   ">ITEMS", ">VERSION",
                                     ">SERVED", ">LIVE",  ">STALENESS"};

static int list_collections(struct tool *tool)
{
    struct listing list = {.tool = tool};
    int code;

    table_init(&list.table, titles, sizeof(titles) / sizeof(titles[0]));
    code = tool_list(tool, strdup("/v1/collections"), each_collection, &list);
    if (code == EXIT_OK && !tool->json) {
        if (list.n == 0)
            puts("no collections yet; `akin collection create --help`");
        else if (!table_print(&list.table, stdout, tool_colour(1)))
            code = tool_no_memory();
    }
    table_clear(&list.table);
    return code;
}

static int run_list(struct tool *tool, int argc, char **argv)
{
    (void)argc;
    (void)argv;
    return list_collections(tool);
}

/* /readyz answers 503 with a body until it is ready: not a failure here. */
static int read_readiness(struct tool *tool, json_t **out, int *status)
{
    struct akin_error err = {0};
    struct akin_reply reply = {0};
    int code = tool_connect(tool);
    enum akin_result result;

    if (code != EXIT_OK)
        return code;
    /* HTTP's 503 is the answer here, so it is not asked for again. */
    result = akin_send(
        tool->client,
        &(struct akin_request){.method = "GET", .path = "/readyz", .single = 1},
        &reply, &err);
    if (reply.status == 503)
        result = AKIN_OK;
    *status = reply.status;
    *out =
        reply.body != NULL ? json_loadb(reply.body, reply.len, 0, NULL) : NULL;
    if (result != AKIN_OK)
        code = tool_failure(tool, &err);
    akin_reply_clear(&reply);
    return code;
}

static int print_stream(struct tool *tool, const char *name)
{
    static const char *const fields[] = {"state",        "durable_seq",
                                         "learned_seq",  "visible_seq",
                                         "pending_rows", "lag_seconds"};
    json_t *root = NULL;
    char cell[CELL];
    int code = tool_call(tool, "GET", akin_collection_path(name, "/stream"),
                         NULL, CALL_AGAIN, &root);

    if (code != EXIT_OK)
        return code;
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        printf("%-14s %s\n", fields[i], cell_text(root, fields[i], cell));
    json_decref(root);
    return EXIT_OK;
}

static int one_collection(struct tool *tool, const char *name)
{
    struct table table;
    json_t *root = NULL;
    int code = tool_call(tool, "GET", akin_collection_path(name, "%s", ""),
                         NULL, CALL_AGAIN, &root);

    if (code != EXIT_OK)
        return code;
    if (tool->json) {
        tool_print_json(root);
        json_decref(root);
        return EXIT_OK;
    }
    table_init(&table, titles, sizeof(titles) / sizeof(titles[0]));
    add_row(&table, root);
    if (!table_print(&table, stdout, tool_colour(1)))
        code = tool_no_memory();
    table_clear(&table);
    json_decref(root);
    fputc('\n', stdout);
    return code == EXIT_OK ? print_stream(tool, name) : code;
}

static int run_status(struct tool *tool, int argc, char **argv)
{
    json_t *ready = NULL;
    json_t *version = NULL;
    char cell[CELL];
    int status = 0;
    int code;

    if (argc == 1)
        return one_collection(tool, argv[0]);
    if (tool->json) {
        json_t *stats = NULL;

        code = tool_call(tool, "GET", strdup("/v1/stats"), NULL, CALL_AGAIN,
                         &stats);
        if (code == EXIT_OK)
            tool_print_json(stats);
        json_decref(stats);
        return code;
    }
    code = read_readiness(tool, &ready, &status);
    if (code != EXIT_OK)
        return code;
    code =
        tool_call(tool, "GET", strdup("/version"), NULL, CALL_AGAIN, &version);
    if (code != EXIT_OK)
        goto out;
    printf("akind %s at %s is %s\n", cell_text(version, "version", cell),
           tool->url, status == 200 ? "ready" : "not ready");
    if (status != 200) {
        if (ready != NULL) {
            json_dumpf(ready, stdout, JSON_INDENT(2));
            fputc('\n', stdout);
        }
        code = EXIT_NEGATIVE;
        goto out;
    }
    fputc('\n', stdout);
    code = list_collections(tool);

out:
    json_decref(ready);
    json_decref(version);
    return code;
}

const struct command cmd_status = {
    .name = "status",
    .synopsis = "[COLLECTION]",
    .summary = "whether the daemon is up, and how its collections are",
    .about = "Ends with 1 when the daemon is there but not ready. With --json "
             "it prints what\nGET /v1/stats answers, or the collection.\n",
    .examples = "  akin status\n  akin status shoes\n",
    .max_args = 1,
    .run = run_status,
};

const struct command cmd_collection_list = {
    .name = "collection list",
    .synopsis = "",
    .summary = "all collections, one a line",
    .examples = "  akin collection list\n"
                "  akin collection list --json | jq -r .name\n",
    .max_args = 0,
    .run = run_list,
};
