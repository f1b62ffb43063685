/* cmd_export.c -- `akin export`: all of a collection into a file. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/commands.h"
#include "client/json.h"

#define IDLE_MS 60000

static struct {
    const char *format, *output;
} o = {.format = "ndjson", .output = "-"};

static const struct option options[] = {
    {"format", 'f', OPTION_CHOICE, "FORMAT",
     "lines of items, vectors, or codes", &o.format, 0, 0, "ndjson|npy|codes",
     NULL},
    {"output", 'o', OPTION_FILE, "FILE", "where to; -: stdout", &o.output, 0, 0,
     NULL, NULL},
    {0},
};

static int write_some(void *context, const char *data, size_t len)
{
    return fwrite(data, 1, len, context) == len ? 0 : 1;
}

/* The answer into an open file. */
static int receive(struct tool *tool, const char *collection, FILE *file)
{
    struct akin_request request = {.method = "GET",
                                   .single = 1,
                                   .data = write_some,
                                   .context = file,
                                   .idle_ms = IDLE_MS};
    struct akin_reply reply = {0};
    struct akin_error err;
    char *path =
        akin_collection_path(collection, "/export?format=%s", o.format);
    int code = path != NULL ? tool_connect(tool) : tool_no_memory();

    request.path = path;
    if (code == EXIT_OK &&
        akin_send(tool->client, &request, &reply, &err) != AKIN_OK)
        code = ferror(file) ? tool_usage("%s: %s", o.output, strerror(errno))
                            : tool_failure(tool, &err);
    akin_reply_clear(&reply);
    free(path);
    return code;
}

/* Beside its place, and there when it is whole. */
static int to_file(struct tool *tool, const char *collection)
{
    char *temporary = NULL;
    FILE *file;
    int code;

    if (asprintf(&temporary, "%s.new-%ld", o.output, (long)getpid()) < 0)
        return tool_no_memory();
    file = fopen(temporary, "we");
    if (file == NULL) {
        code = tool_usage("%s: %s", temporary, strerror(errno));
        free(temporary);
        return code;
    }
    code = receive(tool, collection, file);
    if (fclose(file) != 0 && code == EXIT_OK)
        code = tool_usage("%s: %s", temporary, strerror(errno));
    if (code == EXIT_OK && rename(temporary, o.output) != 0)
        code = tool_usage("%s: %s", o.output, strerror(errno));
    if (code != EXIT_OK)
        unlink(temporary);
    free(temporary);
    return code;
}

static int run_export(struct tool *tool, int argc, char **argv)
{
    int code;

    (void)argc;
    if (strcmp(o.output, "-") != 0)
        return to_file(tool, argv[0]);
    code = receive(tool, argv[0], stdout);
    if (fflush(stdout) != 0 && code == EXIT_OK)
        code = tool_usage("stdout: %s", strerror(errno));
    return code;
}

const struct command cmd_export = {
    .name = "export",
    .synopsis = "COLLECTION [OPTION]...",
    .summary = "all items in order of arrival: lines, vectors or codes",
    .about = "Lines can be ingested again.  A file appears when it is whole.\n",
    .examples = "  akin export shoes --output shoes.ndjson\n"
                "  akin export shoes --format codes --output codes.npy\n",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .run = run_export,
};
