/* cmd_models.c -- `akin models|publish|rollback|methods`. */
#include <stdlib.h>
#include <string.h>

#include "client/commands.h"
#include "client/json.h"
#include "client/table.h"

static struct {
    bool no_wait;
} o;

static const struct option wait_options[] = {
    {"no-wait", 0, OPTION_FLAG, NULL, "return before the new codes serve",
     &o.no_wait, 0, 0, NULL, NULL},
    {0},
};

struct listing {
    struct tool *tool;
    struct table table;
    const char *const *fields;
    size_t n_fields;
    size_t n;
};

static int each_row(void *context, json_t *item)
{
    struct listing *list = context;

    list->n++;
    if (list->tool->json) {
        tool_print_json(item);
        return EXIT_OK;
    }
    for (size_t i = 0; i < list->n_fields; i++) {
        const json_t *head = json_object_get(item, list->fields[i]);
        char cell[CELL];

        if (json_is_object(head))
            table_cell(&list->table, "%s@%lld",
                       json_string_value(json_object_get(head, "extractor")),
                       (long long)json_integer_value(
                           json_object_get(head, "version")));
        else
            table_cell(&list->table, "%s",
                       cell_text(item, list->fields[i], cell));
    }
    return EXIT_OK;
}

static int run_models(struct tool *tool, int argc, char **argv)
{
    static const char *const fields[] = {"version", "state", "samples",
                                         "created", "bytes", "served_quality",
                                         "head"};
    static const char *const titles[] = {">VERSION", "STATE",  ">SAMPLES",
                                         "CREATED",  ">BYTES", ">QUALITY",
                                         "HEAD"};
    struct listing list = {.tool = tool, .fields = fields, .n_fields = 7};
    int code;

    (void)argc;
    table_init(&list.table, titles, 7);
    code = tool_list(tool, akin_collection_path(argv[0], "/models"), each_row,
                     &list);
    if (code == EXIT_OK && !tool->json &&
        !table_print(&list.table, stdout, tool_colour(1)))
        code = tool_no_memory();
    table_clear(&list.table);
    return code;
}

/*
 * The answer to a publish or a rollback.  A wait of the daemon's ends with 202
 * when its time is up.
 */
static int say_version(struct tool *tool, int code, json_t *root)
{
    char cell[CELL];
    bool serves = tool->status == 200;

    if (code != EXIT_OK)
        return code;
    cell_text(root, "version", cell);
    if (tool->json)
        tool_print_json(root);
    if (!serves && !o.no_wait) {
        fprintf(stderr, "akin: version %s does not serve yet\n", cell);
        code = EXIT_TIMEOUT;
    } else if (!tool->json) {
        printf("version %s %s\n", cell, o.no_wait ? "is on its way" : "serves");
    }
    json_decref(root);
    return code;
}

/* The daemon gives up before the tool does, so that its answer is heard. */
static const char *query_of(const struct tool *tool, char out[CELL])
{
    uint64_t seconds = tool->timeout_seconds;

    if (o.no_wait)
        return "";
    snprintf(out, CELL, "?ack=visible&timeout_seconds=%llu",
             (unsigned long long)(seconds > 5 ? seconds - 2 : seconds));
    return out;
}

static int run_publish(struct tool *tool, int argc, char **argv)
{
    char query[CELL];
    json_t *root = NULL;
    int code = tool_call(tool, "POST",
                         akin_collection_path(argv[0], "/models/publish%s",
                                              query_of(tool, query)),
                         NULL, CALL_KEYED, &root);

    (void)argc;
    return say_version(tool, code, root);
}

static int run_rollback(struct tool *tool, int argc, char **argv)
{
    char query[CELL];
    uint64_t version;
    json_t *root = NULL;
    int code;

    (void)argc;
    if (!number_parse(argv[1], 0, INT64_MAX, &version))
        return tool_usage("version is %.40s, must be a number; `akin models "
                          "%.63s` lists them",
                          argv[1], argv[0]);
    code = tool_call(tool, "POST",
                     akin_collection_path(argv[0], "/models/%llu/rollback%s",
                                          (unsigned long long)version,
                                          query_of(tool, query)),
                     NULL, CALL_KEYED, &root);
    return say_version(tool, code, root);
}

static void print_method(const json_t *method)
{
    const json_t *options = json_object_get(method, "options");
    char a[CELL];
    const char *source = json_string_value(json_object_get(method, "source"));
    const char *help = json_string_value(json_object_get(method, "help"));
    size_t i;
    json_t *option;

    printf("%s\n",
           cell_text(method,
                     json_object_get(method, "kind") != NULL ? "kind" : "name",
                     a));
    if (help != NULL)
        printf("  %s\n", help);
    if (source != NULL)
        printf("  %s\n", source);
    json_array_foreach(options, i, option)
    {
        char name[CELL], initial[CELL], least[CELL], most[CELL];
        const char *text = json_string_value(json_object_get(option, "help"));

        printf("    %-18s %-8s %s..%s  %s\n", cell_text(option, "name", name),
               cell_text(option, "default", initial),
               cell_text(option, "min", least), cell_text(option, "max", most),
               text != NULL ? text : "");
    }
}

static int each_method(void *context, json_t *item)
{
    struct tool *tool = context;

    if (tool->json)
        tool_print_json(item);
    else
        print_method(item);
    return EXIT_OK;
}

static int run_methods(struct tool *tool, int argc, char **argv)
{
    (void)argc;
    (void)argv;
    return tool_list(tool, strdup("/v1/methods"), each_method, tool);
}

const struct command cmd_models = {
    .name = "models",
    .synopsis = "COLLECTION",
    .summary = "the versions of a collection's model",
    .examples = "  akin models shoes\n",
    .min_args = 1,
    .max_args = 1,
    .run = run_models,
};

const struct command cmd_publish = {
    .name = "publish",
    .synopsis = "COLLECTION [--no-wait]",
    .summary = "let the live model serve: all rows get new codes",
    .examples = "  akin publish shoes\n",
    .options = wait_options,
    .min_args = 1,
    .max_args = 1,
    .run = run_publish,
};

const struct command cmd_rollback = {
    .name = "rollback",
    .synopsis = "COLLECTION VERSION [--no-wait]",
    .summary = "let an earlier model serve, and publish by hand from then on",
    .examples = "  akin rollback shoes 3\n",
    .options = wait_options,
    .min_args = 2,
    .max_args = 2,
    .run = run_rollback,
};

const struct command cmd_methods = {
    .name = "methods",
    .synopsis = "",
    .summary = "the kinds of models, their options and sources",
    .examples = "  akin methods\n",
    .max_args = 0,
    .run = run_methods,
};
