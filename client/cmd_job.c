/* cmd_job.c -- `akin job ...`: what takes long. */
#include <stdlib.h>
#include <string.h>

#include "client/commands.h"
#include "client/job.h"
#include "client/table.h"

static struct {
    const char *params, *budget, *gate;
    const char *state, *kind, *target;
    bool watch;
} o;

static const struct option start_options[] = {
    {"params", 'p', OPTION_TEXT, "JSON", "an object, or @FILE", &o.params, 0, 0,
     NULL, NULL},
    {"budget", 0, OPTION_TEXT, "JSON", "how much it may take", &o.budget, 0, 0,
     NULL, NULL},
    {"gate", 0, OPTION_TEXT, "JSON", "what it must reach; null: nothing",
     &o.gate, 0, 0, NULL, NULL},
    {"watch", 'w', OPTION_FLAG, NULL, "stay until it has ended", &o.watch, 0, 0,
     NULL, NULL},
    {0},
};

static const struct option list_options[] = {
    {"state", 0, OPTION_CHOICE, "STATE", "only those", &o.state, 0, 0,
     "queued|running|paused|succeeded|failed|canceled|interrupted", NULL},
    {"kind", 0, OPTION_TEXT, "KIND", "only those", &o.kind, 0, 0, NULL, NULL},
    {"target", 0, OPTION_TEXT, "NAME", "only those", &o.target, 0, 0, NULL,
     NULL},
    {0},
};

void job_put_number(json_t *to, const char *name, bool is_given, uint64_t value)
{
    if (is_given)
        json_object_set_new(to, name, json_integer((json_int_t)value));
}

void job_put_real(json_t *to, const char *name, bool is_given, double value)
{
    if (is_given)
        json_object_set_new(to, name, json_real(value));
}

char *job_path(uint64_t id, const char *rest)
{
    char *path = NULL;

    if (asprintf(&path, "/v1/jobs/%llu%s", (unsigned long long)id, rest) < 0)
        return NULL;
    return path;
}

int job_id(const char *text, uint64_t *id)
{
    if (number_parse(text, 1, INT64_MAX, id))
        return EXIT_OK;
    return tool_usage("job is %.40s, must be a number; `akin job list` lists "
                      "them",
                      text);
}

void job_print(const struct tool *tool, const json_t *job)
{
    static const char *const fields[] = {"kind",    "target",  "state",
                                         "created", "started", "ended"};
    const json_t *progress = json_object_get(job, "progress");
    const char *error = json_string_value(json_object_get(job, "error"));
    const json_t *result = json_object_get(job, "result");
    const char *name;
    json_t *value;
    char cell[CELL], total[CELL];

    if (tool->json) {
        tool_print_json(job);
        return;
    }
    printf("job %s\n", cell_text(job, "id", cell));
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        printf("  %-9s %s\n", fields[i], cell_text(job, fields[i], cell));
    if (json_is_string(json_object_get(progress, "phase"))) {
        char phase[CELL];

        printf("  %-9s %s, %s of %s\n", "progress",
               cell_text(progress, "phase", phase),
               cell_text(progress, "done", cell),
               cell_text(progress, "total", total));
    }
    json_object_foreach(json_object_get(progress, "metrics"), name, value)
        printf("  %-9s %s %.6g\n", "", name, json_number_value(value));
    if (error != NULL)
        printf("  %-9s %s\n", "error", error);
    if (json_is_object(result)) {
        char *text = json_dumps(result, JSON_COMPACT);

        printf("  %-9s %s\n", "result", text != NULL ? text : "");
        free(text);
    }
}

/* Puts what an option says into the body; EXIT_OK or said what is wrong. */
static int add_object(json_t *body, const char *name, const char *text)
{
    json_error_t where;
    json_t *value = NULL;
    void *data = NULL;
    size_t len = text != NULL ? strlen(text) : 0;
    int code = EXIT_OK;

    if (text == NULL)
        return EXIT_OK;
    if (text[0] == '@') {
        code = tool_read_file(text + 1, &data, &len);
        text = data;
    }
    if (code == EXIT_OK) {
        value = json_loadb(text, len, JSON_DECODE_ANY, &where);
        if (value == NULL)
            code = tool_usage("--%s is no JSON: %s", name, where.text);
        else if (!json_is_object(value) && !json_is_null(value))
            code = tool_usage("--%s must be an object", name);
    }
    free(data);
    if (code == EXIT_OK && json_object_set(body, name, value) != 0)
        code = tool_no_memory();
    json_decref(value);
    return code;
}

int job_start(struct tool *tool, json_t *body, bool watch)
{
    json_t *root = NULL;
    uint64_t id;
    int code;

    if (body == NULL)
        return tool_no_memory();
    code = tool_call(tool, "POST", strdup("/v1/jobs"), body, CALL_KEYED, &root);
    if (code != EXIT_OK)
        return code;
    id = (uint64_t)json_integer_value(json_object_get(root, "id"));
    if (!watch && tool->json)
        tool_print_json(root);
    else if (!watch)
        printf("job %llu\n", (unsigned long long)id);
    json_decref(root);
    return watch ? job_watch(tool, id) : EXIT_OK;
}

static int run_start(struct tool *tool, int argc, char **argv)
{
    json_t *body = json_pack("{s:s, s:s*}", "kind", argv[0], "target",
                             argc > 1 ? argv[1] : NULL);
    int code = body != NULL ? EXIT_OK : tool_no_memory();

    if (code == EXIT_OK)
        code = add_object(body, "params", o.params);
    if (code == EXIT_OK)
        code = add_object(body, "budget", o.budget);
    if (code == EXIT_OK)
        code = add_object(body, "gate", o.gate);
    if (code != EXIT_OK) {
        json_decref(body);
        return code;
    }
    return job_start(tool, body, o.watch);
}

struct listing {
    struct tool *tool;
    struct table table;
    size_t n;
};

static int each_job(void *context, json_t *job)
{
    static const char *const fields[] = {"id", "kind", "target", "state"};
    struct listing *list = context;
    const json_t *progress = json_object_get(job, "progress");
    const json_t *ratio = json_object_get(progress, "ratio");
    char cell[CELL];

    list->n++;
    if (list->tool->json) {
        tool_print_json(job);
        return EXIT_OK;
    }
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        table_cell(&list->table, "%s", cell_text(job, fields[i], cell));
    table_cell(&list->table, "%s", cell_text(progress, "phase", cell));
    if (json_is_number(ratio))
        table_cell(&list->table, "%.0f%%", 100 * json_number_value(ratio));
    else
        table_cell(&list->table, "-");
    table_cell(&list->table, "%s", cell_text(job, "created", cell));
    return EXIT_OK;
}

/* The query of the list's options; free it. */
static char *list_path(void)
{
    const struct {
        const char *name, *value;
    } fields[] = {{"state", o.state}, {"kind", o.kind}, {"target", o.target}};
    char *path = strdup("/v1/jobs");

    for (size_t i = 0; i < 3 && path != NULL; i++) {
        char *value, *longer = NULL;

        if (fields[i].value == NULL)
            continue;
        value = akin_path_segment(fields[i].value);
        if (value == NULL || asprintf(&longer, "%s%c%s=%s", path,
                                      strchr(path, '?') != NULL ? '&' : '?',
                                      fields[i].name, value) < 0)
            longer = NULL;
        free(value);
        free(path);
        path = longer;
    }
    return path;
}

static int run_list(struct tool *tool, int argc, char **argv)
{
    static const char *const titles[] = {">JOB",  "KIND",  "TARGET", "STATE",
                                         "PHASE", ">DONE", "CREATED"};
    struct listing list = {.tool = tool};
    int code;

    (void)argc;
    (void)argv;
    table_init(&list.table, titles, sizeof(titles) / sizeof(titles[0]));
    code = tool_list(tool, list_path(), each_job, &list);
    if (code == EXIT_OK && !tool->json) {
        if (list.n == 0)
            puts("no jobs");
        else if (!table_print(&list.table, stdout, tool_colour(1)))
            code = tool_no_memory();
    }
    table_clear(&list.table);
    return code;
}

static int each_line(void *context, json_t *line)
{
    const struct tool *tool = context;
    const char *text = json_string_value(json_object_get(line, "text"));
    char time[CELL], level[CELL];

    if (tool->json)
        tool_print_json(line);
    else
        printf("%s %-5s %s\n", cell_text(line, "time", time),
               cell_text(line, "level", level), text != NULL ? text : "");
    return EXIT_OK;
}

static int run_log(struct tool *tool, int argc, char **argv)
{
    uint64_t id;
    int code = job_id(argv[0], &id);

    (void)argc;
    if (code != EXIT_OK)
        return code;
    return tool_list(tool, job_path(id, "/log"), each_line, tool);
}

/* Asks something of a job, or about it, and prints the job. */
static int call(struct tool *tool, const char *text, const char *method,
                const char *rest)
{
    json_t *root = NULL;
    uint64_t id;
    int code = job_id(text, &id);

    if (code == EXIT_OK)
        code = tool_call(tool, method, job_path(id, rest), NULL, CALL_AGAIN,
                         &root);
    if (code == EXIT_OK)
        job_print(tool, root);
    json_decref(root);
    return code;
}

static int run_show(struct tool *tool, int argc, char **argv)
{
    (void)argc;
    return call(tool, argv[0], "GET", "");
}

static int run_cancel(struct tool *tool, int argc, char **argv)
{
    (void)argc;
    return call(tool, argv[0], "POST", "/cancel");
}

static int run_pause(struct tool *tool, int argc, char **argv)
{
    (void)argc;
    return call(tool, argv[0], "POST", "/pause");
}

static int run_resume(struct tool *tool, int argc, char **argv)
{
    (void)argc;
    return call(tool, argv[0], "POST", "/resume");
}

static int each_kind(void *context, json_t *kind)
{
    const struct tool *tool = context;
    char name[CELL];
    const char *help = json_string_value(json_object_get(kind, "help"));

    if (tool->json)
        tool_print_json(kind);
    else
        printf("%-12s %s\n", cell_text(kind, "kind", name),
               help != NULL ? help : "");
    return EXIT_OK;
}

static int run_kinds(struct tool *tool, int argc, char **argv)
{
    (void)argc;
    (void)argv;
    return tool_list(tool, strdup("/v1/jobs/kinds"), each_kind, tool);
}

const struct command cmd_job_start = {
    .name = "job start",
    .synopsis = "KIND [TARGET] [OPTION]...",
    .summary = "start what takes long",
    .examples = "  akin job start verify shoes --watch\n"
                "  akin job start verify shoes --budget "
                "'{\"bytes_per_second\":1e6}'\n",
    .options = start_options,
    .min_args = 1,
    .max_args = 2,
    .run = run_start,
};

const struct command cmd_job_list = {
    .name = "job list",
    .synopsis = "[OPTION]...",
    .summary = "jobs, the newest first",
    .examples = "  akin job list --state running\n",
    .options = list_options,
    .max_args = 0,
    .run = run_list,
};

const struct command cmd_job_show = {
    .name = "job show",
    .synopsis = "ID",
    .summary = "one job: how far it is, and what came of it",
    .examples = "  akin job show 12\n",
    .min_args = 1,
    .max_args = 1,
    .run = run_show,
};

const struct command cmd_job_log = {
    .name = "job log",
    .synopsis = "ID",
    .summary = "the log of a job",
    .examples = "  akin job log 12\n",
    .min_args = 1,
    .max_args = 1,
    .run = run_log,
};

const struct command cmd_job_cancel = {
    .name = "job cancel",
    .synopsis = "ID",
    .summary = "end a job; it leaves no trace",
    .examples = "  akin job cancel 12\n",
    .min_args = 1,
    .max_args = 1,
    .run = run_cancel,
};

const struct command cmd_job_pause = {
    .name = "job pause",
    .synopsis = "ID",
    .summary = "let a job rest",
    .examples = "  akin job pause 12\n",
    .min_args = 1,
    .max_args = 1,
    .run = run_pause,
};

const struct command cmd_job_resume = {
    .name = "job resume",
    .synopsis = "ID",
    .summary = "let a job that rests go on",
    .examples = "  akin job resume 12\n",
    .min_args = 1,
    .max_args = 1,
    .run = run_resume,
};

const struct command cmd_job_kinds = {
    .name = "job kinds",
    .synopsis = "",
    .summary = "the kinds of jobs that there are",
    .examples = "  akin job kinds\n",
    .max_args = 0,
    .run = run_kinds,
};
