/* cmd_snapshot.c -- `akin snapshot ...`: collections kept aside, and back. */
#include <stdlib.h>
#include <string.h>

#include "client/commands.h"
#include "client/job.h"
#include "client/table.h"

static struct {
    const char *name;
    bool no_wait;
} o;

static const struct option create_options[] = {
    {"name", 0, OPTION_TEXT, "NAME", "of the snapshot; else COLLECTION-JOB",
     &o.name, 0, 0, NULL, NULL},
    {"no-wait", 0, OPTION_FLAG, NULL, "return when the job was accepted",
     &o.no_wait, 0, 0, NULL, NULL},
    {0},
};
static const struct option wait_options[] = {
    {"no-wait", 0, OPTION_FLAG, NULL, "return when the job was accepted",
     &o.no_wait, 0, 0, NULL, NULL},
    {0},
};

static char *snapshot_path(const char *name)
{
    char *segment = akin_path_segment(name), *path = NULL;

    if (segment != NULL && asprintf(&path, "/v1/snapshots/%s", segment) < 0)
        path = NULL;
    free(segment);
    return path;
}

/* `params` is stolen. */
static int start(struct tool *tool, const char *kind, const char *target,
                 json_t *params)
{
    return job_start(tool,
                     json_pack("{s:s, s:s, s:o}", "kind", kind, "target",
                               target, "params", params),
                     !o.no_wait);
}

static int run_create(struct tool *tool, int argc, char **argv)
{
    (void)argc;
    return start(tool, "snapshot", argv[0],
                 json_pack("{s:s*}", "name", o.name));
}

static int run_verify(struct tool *tool, int argc, char **argv)
{
    (void)argc;
    return start(tool, "verify", argv[0], json_pack("{s:s}", "of", "snapshot"));
}

static int run_restore(struct tool *tool, int argc, char **argv)
{
    (void)argc;
    return start(tool, "restore", argv[1],
                 json_pack("{s:s}", "snapshot", argv[0]));
}

static int run_delete(struct tool *tool, int argc, char **argv)
{
    char question[128];
    int code;

    (void)argc;
    snprintf(question, sizeof(question), "Delete the snapshot %.60s?", argv[0]);
    code = tool_confirm(tool, question);
    if (code != EXIT_OK)
        return code;
    return tool_call(tool, "DELETE", snapshot_path(argv[0]), NULL, CALL_AGAIN,
                     NULL);
}

struct listing {
    struct tool *tool;
    struct table table;
    size_t n;
};

static int each_snapshot(void *context, json_t *item)
{
    static const char *const fields[] = {"name", "collection", "seq", "items",
                                         "created"};
    struct listing *list = context;
    const json_t *bytes = json_object_get(item, "bytes");
    const json_t *damaged = json_object_get(item, "damaged");
    char cell[CELL];

    list->n++;
    if (list->tool->json) {
        tool_print_json(item);
        return EXIT_OK;
    }
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        table_cell(&list->table, "%s", cell_text(item, fields[i], cell));
    table_cell(&list->table, "%s",
               json_is_string(damaged)
                   ? "damaged"
                   : human_bytes(json_number_value(bytes), cell));
    return EXIT_OK;
}

static int run_list(struct tool *tool, int argc, char **argv)
{
    static const char *const titles[] = {"SNAPSHOT", "COLLECTION", ">SEQ",
                                         ">ITEMS",   "CREATED",    ">SIZE"};
    struct listing list = {.tool = tool};
    int code;

    (void)argc;
    (void)argv;
    table_init(&list.table, titles, sizeof(titles) / sizeof(titles[0]));
    code = tool_list(tool, strdup("/v1/snapshots"), each_snapshot, &list);
    if (code == EXIT_OK && !tool->json) {
        if (list.n == 0)
            puts("no snapshots");
        else if (!table_print(&list.table, stdout, tool_colour(1)))
            code = tool_no_memory();
    }
    table_clear(&list.table);
    return code;
}

const struct command cmd_snapshot_create = {
    .name = "snapshot create",
    .synopsis = "COLLECTION [OPTION]...",
    .summary = "keep a copy of a collection, while everything goes on",
    .examples = "  akin snapshot create shoes --name before-cleaning\n",
    .options = create_options,
    .min_args = 1,
    .max_args = 1,
    .run = run_create,
};

const struct command cmd_snapshot_list = {
    .name = "snapshot list",
    .synopsis = "",
    .summary = "the snapshots that there are",
    .examples = "  akin snapshot list\n",
    .max_args = 0,
    .run = run_list,
};

const struct command cmd_snapshot_verify = {
    .name = "snapshot verify",
    .synopsis = "SNAPSHOT [OPTION]...",
    .summary = "compare a snapshot with its checksums",
    .examples = "  akin snapshot verify before-cleaning\n",
    .options = wait_options,
    .min_args = 1,
    .max_args = 1,
    .run = run_verify,
};

const struct command cmd_snapshot_restore = {
    .name = "snapshot restore",
    .synopsis = "SNAPSHOT COLLECTION [OPTION]...",
    .summary = "make a collection, of a name that is free, from a snapshot",
    .examples = "  akin snapshot restore before-cleaning shoes-again\n",
    .options = wait_options,
    .min_args = 2,
    .max_args = 2,
    .run = run_restore,
};

const struct command cmd_snapshot_delete = {
    .name = "snapshot delete",
    .synopsis = "SNAPSHOT",
    .summary = "remove a snapshot",
    .examples = "  akin snapshot delete before-cleaning --yes\n",
    .min_args = 1,
    .max_args = 1,
    .run = run_delete,
};
