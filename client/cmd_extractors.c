/* cmd_extractors.c -- `akin extractor list|show|export|delete`: networks that
   the daemon has. */
#include <stdlib.h>
#include <string.h>

#include "client/commands.h"
#include "client/extractor.h"
#include "client/table.h"

static struct {
    uint64_t version;
    const char *output;
} o;

static const char *const titles[] = {
    "EXTRACTOR", ">VERSION",  "ARCHITECTURE", "INPUT", ">DIM",
    "CODES",     ">PRODUCTS", ">MS",          ">SIZE", "STATE"};

struct listing {
    struct tool *tool;
    struct table table;
    size_t n;
};

static const char *state_of(const json_t *version, bool published)
{
    if (json_is_string(json_object_get(version, "damaged")))
        return "damaged";
    return published ? "published" : "";
}

static void add_version(struct table *table, const char *name,
                        const json_t *version, bool published)
{
    const json_t *input = json_object_get(version, "input");
    const json_t *ms = json_object_get(version, "ms_per_image");
    const json_t *hash = json_object_get(version, "hash");
    char cell[CELL];

    table_cell(table, "%s", name);
    table_cell(table, "%s", cell_text(version, "version", cell));
    table_cell(table, "%s", cell_text(version, "architecture", cell));
    table_cell(
        table, "%lldx%lldx%lld",
        (long long)json_integer_value(json_object_get(input, "width")),
        (long long)json_integer_value(json_object_get(input, "height")),
        (long long)json_integer_value(json_object_get(input, "channels")));
    table_cell(table, "%s", cell_text(version, "dim", cell));
    if (json_is_object(hash))
        table_cell(
            table, "%s %lld", json_string_value(json_object_get(hash, "kind")),
            (long long)json_integer_value(json_object_get(hash, "bits")));
    else
        table_cell(table, "-");
    table_cell(table, "%.1f M",
               json_number_value(json_object_get(version, "macs")) / 1e6);
    if (json_is_number(ms))
        table_cell(table, "%.2f", json_number_value(ms));
    else
        table_cell(table, "-");
    table_cell(table, "%s",
               human_bytes(json_number_value(json_object_get(version, "bytes")),
                           cell));
    table_cell(table, "%s", state_of(version, published));
}

/* All versions of one, or the published one alone. */
static void add_extractor(struct listing *list, const json_t *item, bool all)
{
    const char *name = json_string_value(json_object_get(item, "name"));
    json_int_t published =
        json_integer_value(json_object_get(item, "published"));
    const json_t *versions = json_object_get(item, "versions");

    for (size_t i = 0; i < json_array_size(versions); i++) {
        const json_t *version = json_array_get(versions, i);
        bool is = json_integer_value(json_object_get(version, "version")) ==
                  published;

        if (all || is)
            add_version(&list->table, name != NULL ? name : "", version, is);
    }
}

static int each_extractor(void *context, json_t *item)
{
    struct listing *list = context;

    list->n++;
    if (list->tool->json)
        tool_print_json(item);
    else
        add_extractor(list, item, false);
    return EXIT_OK;
}

static int run_list(struct tool *tool, int argc, char **argv)
{
    struct listing list = {.tool = tool};
    int code;

    (void)argc;
    (void)argv;
    table_init(&list.table, titles, sizeof(titles) / sizeof(titles[0]));
    code = tool_list(tool, strdup("/v1/extractors"), each_extractor, &list);
    if (code == EXIT_OK && !tool->json) {
        if (list.n == 0)
            puts("no extractors");
        else if (!table_print(&list.table, stdout, tool_colour(1)))
            code = tool_no_memory();
    }
    table_clear(&list.table);
    return code;
}

/* What the table has no room for. */
static void print_more(const json_t *root)
{
    const json_t *versions = json_object_get(root, "versions");
    const json_t *users = json_object_get(root, "collections");

    for (size_t i = 0; i < json_array_size(versions); i++) {
        const json_t *v = json_array_get(versions, i);
        const char *why = json_string_value(json_object_get(v, "damaged"));
        const char *sum = json_string_value(json_object_get(v, "sha256"));
        char cell[CELL], when[CELL];

        printf("\nversion %s  %s  %s\n", cell_text(v, "version", cell),
               cell_text(v, "created", when), sum != NULL ? sum : "-");
        if (why != NULL)
            printf("damaged: %s\n", why);
    }
    printf("\ncollections:");
    for (size_t i = 0; i < json_array_size(users); i++)
        printf(" %s", json_string_value(json_array_get(users, i)));
    puts(json_array_size(users) == 0 ? " none" : "");
}

static int run_show(struct tool *tool, int argc, char **argv)
{
    struct listing list = {.tool = tool};
    json_t *root = NULL;
    int code = tool_call(tool, "GET", extractor_path(argv[0], ""), NULL,
                         CALL_AGAIN, &root);

    (void)argc;
    if (code != EXIT_OK)
        return code;
    if (tool->json) {
        tool_print_json(root);
        json_decref(root);
        return EXIT_OK;
    }
    table_init(&list.table, titles, sizeof(titles) / sizeof(titles[0]));
    add_extractor(&list, root, true);
    if (!table_print(&list.table, stdout, tool_colour(1)))
        code = tool_no_memory();
    else
        print_more(root);
    table_clear(&list.table);
    json_decref(root);
    return code;
}

static int run_export(struct tool *tool, int argc, char **argv)
{
    void *bytes = NULL;
    size_t len = 0;
    int code;

    (void)argc;
    if (o.output == NULL)
        return tool_usage("--output is needed: where the model file goes");
    code = extractor_fetch(tool, argv[0], o.version, &bytes, &len);
    if (code == EXIT_OK)
        code = tool_write_file(o.output, bytes, len);
    free(bytes);
    return code;
}

static int run_delete(struct tool *tool, int argc, char **argv)
{
    char question[160];
    int code;

    (void)argc;
    snprintf(question, sizeof(question),
             "Delete the extractor %.60s with all its versions?", argv[0]);
    code = tool_confirm(tool, question);
    if (code != EXIT_OK)
        return code;
    return tool_call(tool, "DELETE", extractor_path(argv[0], ""), NULL,
                     CALL_AGAIN, NULL);
}

const struct command cmd_extractor_list = {
    .name = "extractor list",
    .synopsis = "",
    .summary = "the networks that there are, with what they cost",
    .examples = "  akin extractor list\n",
    .run = run_list,
};

const struct command cmd_extractor_show = {
    .name = "extractor show",
    .synopsis = "NAME",
    .summary = "the versions of a network, and who uses it",
    .examples = "  akin extractor show cnn --json\n",
    .min_args = 1,
    .max_args = 1,
    .run = run_show,
};

static const struct option export_options[] = {
    {"model-version", 0, OPTION_NUMBER, "N", "which (the published one)",
     &o.version, 1, UINT32_MAX, NULL, NULL},
    {"output", 'o', OPTION_FILE, "FILE", "where it goes (.akx); -: stdout",
     &o.output, 0, 0, NULL, NULL},
    {0},
};

const struct command cmd_extractor_export = {
    .name = "extractor export",
    .synopsis = "NAME --output FILE [OPTION]...",
    .summary = "the model file of a network that the daemon has",
    .examples = "  akin extractor export cnn --model-version 2 -o cnn-2.akx\n",
    .options = export_options,
    .min_args = 1,
    .max_args = 1,
    .run = run_export,
};

const struct command cmd_extractor_delete = {
    .name = "extractor delete",
    .synopsis = "NAME",
    .summary = "remove a network that no collection uses",
    .examples = "  akin extractor delete cnn --yes\n",
    .min_args = 1,
    .max_args = 1,
    .run = run_delete,
};
