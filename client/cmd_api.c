/* cmd_api.c -- `akin api`: any call of the API, with the tool's connection. */
#include <stdlib.h>
#include <string.h>

#include "client/commands.h"
#include "client/json.h"

static struct {
    const char *content_type;
    const char *accept;
    const char *key;
    struct text_list headers;
    bool include;
} o;

static const struct option options[] = {
    {"content-type", 't', OPTION_TEXT, "TYPE",
     "of the body (by the ending of FILE, else JSON)", &o.content_type, 0, 0,
     NULL, NULL},
    {"accept", 0, OPTION_TEXT, "TYPE", "what is wanted back", &o.accept, 0, 0,
     NULL, NULL},
    {"header", 'H', OPTION_LIST, "LINE", "a further header, may be repeated",
     &o.headers, 0, 0, NULL, NULL},
    {"key", 0, OPTION_TEXT, "KEY", "idempotency key, so that it is retried",
     &o.key, 0, 0, NULL, NULL},
    {"include", 'i', OPTION_FLAG, NULL, "print status and headers to stderr",
     &o.include, 0, 0, NULL, NULL},
    {0},
};

static const char *guess_type(const char *path)
{
    static const struct {
        const char *ending;
        const char *type;
    } types[] = {
        {".npy", "application/x-npy"},
        {".jpg", "image/jpeg"},
        {".jpeg", "image/jpeg"},
        {".png", "image/png"},
        {".ndjson", "application/x-ndjson"},
        {".jsonl", "application/x-ndjson"},
    };
    size_t len = strlen(path);

    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        size_t n = strlen(types[i].ending);

        if (len > n && strcmp(path + len - n, types[i].ending) == 0)
            return types[i].type;
    }
    return "application/json";
}

static int run_api(struct tool *tool, int argc, char **argv)
{
    struct akin_error err = {0};
    struct akin_reply reply = {0};
    struct akin_piece piece = {0};
    struct akin_request request = {.method = argv[0],
                                   .path = argv[1],
                                   .accept = o.accept,
                                   .idempotency_key = o.key,
                                   .headers = o.headers.items,
                                   .n_headers = o.headers.n,
                                   .pieces = &piece};
    void *data = NULL;
    enum akin_result result;
    int code = EXIT_OK;

    if (argc == 3) {
        code = tool_read_file(argv[2], &data, &piece.len);
        piece.data = data;
        request.n_pieces = 1;
        request.content_type =
            o.content_type != NULL ? o.content_type : guess_type(argv[2]);
    }
    if (code == EXIT_OK)
        code = tool_connect(tool);
    if (code != EXIT_OK)
        goto out;
    result = akin_send(tool->client, &request, &reply, &err);
    if (reply.status != 0 && o.include)
        fprintf(stderr,
                "status: %d\ncontent-type: %s\nx-request-id: %s\n"
                "akin-model-version: %lld\nakin-seq: %lld\n",
                reply.status, reply.content_type, reply.request_id,
                (long long)reply.model_version, (long long)reply.seq);
    if (reply.len > 0) {
        fwrite(reply.body, 1, reply.len, stdout);
        if (reply.body[reply.len - 1] != '\n' &&
            strstr(reply.content_type, "json") != NULL)
            fputc('\n', stdout);
    }
    if (result != AKIN_OK)
        code = tool_failure(tool, &err);

out:
    akin_reply_clear(&reply);
    free(data);
    return code;
}

const struct command cmd_api = {
    .name = "api",
    .synopsis = "METHOD PATH [FILE|-]",
    .summary = "any call of the HTTP API, the body from FILE or stdin",
    .about = "The body of the answer goes to stdout as it came, of a problem "
             "too.\n",
    .examples = "  akin api GET /v1/limits\n"
                "  akin api GET '/v1/collections/shoes/items?limit=10'\n"
                "  echo '{\"query\":{\"id\":17}}' | akin api POST "
                "/v1/collections/shoes/search -\n",
    .options = options,
    .min_args = 2,
    .max_args = 3,
    .run = run_api,
};
