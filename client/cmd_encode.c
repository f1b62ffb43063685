/* cmd_encode.c -- `akin encode`: codes of vectors or images, nothing stored. */
#include <stdlib.h>
#include <string.h>

#include "client/commands.h"
#include "client/encode_local.h"
#include "client/json.h"
#include "client/npy.h"
#include "client/query.h"
#include "core/base/hex.h"

/* Vectors in one request; the daemon takes 4,096 and 32 MiB. */
#define CHUNK_ROWS  1024u
#define CHUNK_BYTES ((size_t)24 << 20)

static struct {
    const char *vector;
    struct text_list images;
    const char *local;
    const char *output;
} o;

static const struct option options[] = {
    {"vector", 0, OPTION_TEXT, "V", "[numbers], @file.npy or @file.json",
     &o.vector, 0, 0, NULL, NULL},
    {"image", 'i', OPTION_FILES, "FILE",
     "a JPEG or PNG file; may be given again", &o.images, 0, 0, NULL, NULL},
    {"local", 0, OPTION_FILE, "FILE",
     "by the hash layer of a network (.akx), without a daemon", &o.local, 0, 0,
     NULL, NULL},
    {"output", 'o', OPTION_FILE, "FILE", "write a .npy of |u1 instead of hex",
     &o.output, 0, 0, NULL, NULL},
    {0},
};

static bool is_png(const void *data, size_t len)
{
    return len >= 4 && memcmp(data, "\x89PNG", 4) == 0;
}

static int images_body(struct akin_body *out)
{
    struct akin_error err = {0};
    size_t n = o.images.n;
    struct akin_part *parts = calloc(n + 1, sizeof(*parts));
    char(*names)[24] = calloc(n + 1, sizeof(*names));
    json_t *items = json_array();
    json_t *meta = NULL;
    char *text = NULL;
    int code = parts == NULL || names == NULL ? tool_no_memory() : EXIT_OK;

    for (size_t i = 0; i < n && code == EXIT_OK; i++) {
        struct akin_part *part = &parts[i + 1];
        void *data = NULL;

        snprintf(names[i], sizeof(names[i]), "p%zu", i);
        json_array_append_new(items, json_pack("{s:s}", "image", names[i]));
        code = tool_read_file(o.images.items[i], &data, &part->data.len);
        part->name = names[i];
        part->is_file = 1;
        part->data.data = data;
        if (code == EXIT_OK)
            part->content_type =
                is_png(data, part->data.len) ? "image/png" : "image/jpeg";
    }
    meta = json_pack("{s:O}", "items", items);
    text = json_dumps(meta, JSON_COMPACT);
    if (code == EXIT_OK && text == NULL)
        code = tool_no_memory();
    if (code == EXIT_OK) {
        parts[0] = (struct akin_part){.name = "meta",
                                      .content_type = "application/json",
                                      .data = {text, strlen(text)}};
        if (akin_body_parts(parts, n + 1, out, &err) != AKIN_OK)
            code = tool_no_memory();
    }
    for (size_t i = 0; parts != NULL && i < n; i++)
        free((void *)(uintptr_t)parts[i + 1].data.data);
    free(parts);
    free(names);
    free(text);
    json_decref(meta);
    json_decref(items);
    return code;
}

/* Codes (n, width) of one request, appended to *codes. */
static int encode_body(struct tool *tool, const char *collection,
                       const struct akin_body *body, uint8_t **codes,
                       size_t *n_codes, size_t *width)
{
    struct akin_error err = {0};
    struct akin_reply reply = {0};
    struct npy_view view;
    char *path = akin_collection_path(collection, "/encode");
    int code = path == NULL ? tool_no_memory() : tool_connect(tool);
    uint8_t *more;

    if (code == EXIT_OK &&
        (akin_send(tool->client,
                   &(struct akin_request){
                       .method = "POST",
                       .path = path,
                       .content_type = body->content_type,
                       .accept = "application/x-npy",
                       .pieces = &(struct akin_piece){body->data, body->len},
                       .n_pieces = 1,
                       .repeatable = 1,
                   },
                   &reply, &err) != AKIN_OK ||
         npy_parse(reply.body, reply.len, &view, &err) != AKIN_OK))
        code = tool_failure(tool, &err);
    if (code == EXIT_OK && view.n > 0) {
        more = realloc(*codes, (*n_codes + view.n) * view.width);
        if (more == NULL) {
            code = tool_no_memory();
        } else {
            memcpy(more + *n_codes * view.width, view.data,
                   view.n * view.width);
            *codes = more;
            *n_codes += view.n;
            *width = view.width;
        }
    }
    akin_reply_clear(&reply);
    free(path);
    return code;
}

static int encode_vectors(struct tool *tool, const char *collection,
                          uint8_t **codes, size_t *n_codes, size_t *width)
{
    float *values = NULL;
    size_t n = 0;
    size_t dim = 0;
    size_t step;
    int code = vectors_read(o.vector, &values, &n, &dim);

    step = code == EXIT_OK ? CHUNK_BYTES / (4 * dim) : 1;
    step = step > CHUNK_ROWS ? CHUNK_ROWS : step < 1 ? 1 : step;
    for (size_t i = 0; i < n && code == EXIT_OK; i += step) {
        struct akin_error err = {0};
        struct akin_body body = {0};
        size_t rows = n - i < step ? n - i : step;

        if (akin_body_rows(&(struct akin_rows){.n = rows,
                                               .dim = dim,
                                               .vectors = values + i * dim},
                           &body, &err) != AKIN_OK)
            code = tool_failure(tool, &err);
        else
            code = encode_body(tool, collection, &body, codes, n_codes, width);
        akin_body_clear(&body);
    }
    free(values);
    return code;
}

static int print_codes(const struct tool *tool, const uint8_t *codes, size_t n,
                       size_t width)
{
    char *text = malloc(2 * width + 1);
    json_t *list = json_array();

    if (text == NULL) {
        json_decref(list);
        return tool_no_memory();
    }
    for (size_t i = 0; i < n; i++) {
        ak_hex_encode(codes + i * width, width, text);
        if (tool->json)
            json_array_append_new(list, json_string(text));
        else
            puts(text);
    }
    free(text);
    list = json_pack("{s:o}", "codes", list);
    if (tool->json)
        tool_print_json(list);
    json_decref(list);
    return EXIT_OK;
}

static int write_codes(const uint8_t *codes, size_t n, size_t width)
{
    struct akin_error err = {0};
    struct akin_body body = {0};
    int code;

    if (akin_body_npy(&(struct akin_rows){.n = n, .dim = width, .codes = codes},
                      &body, &err) != AKIN_OK)
        return tool_no_memory();
    code = tool_write_file(o.output, body.data, body.len);
    akin_body_clear(&body);
    return code;
}

static int run_encode(struct tool *tool, int argc, char **argv)
{
    struct akin_body body = {0};
    uint8_t *codes = NULL;
    size_t n = 0;
    size_t width = 0;
    int code;

    if ((argc == 1) == (o.local != NULL))
        return tool_usage("say either a collection or --local");
    if ((o.vector != NULL) == (o.images.n > 0))
        return tool_usage("say either --vector or --image");
    if (o.local != NULL && o.vector != NULL)
        return tool_usage("--local takes images");
    if (o.local != NULL) {
        code = encode_local(o.local, &o.images, &codes, &n, &width);
    } else if (o.vector != NULL) {
        code = encode_vectors(tool, argv[0], &codes, &n, &width);
    } else {
        code = images_body(&body);
        if (code == EXIT_OK)
            code = encode_body(tool, argv[0], &body, &codes, &n, &width);
        akin_body_clear(&body);
    }
    if (code == EXIT_OK)
        code = o.output != NULL ? write_codes(codes, n, width)
                                : print_codes(tool, codes, n, width);
    free(codes);
    return code;
}

const struct command cmd_encode = {
    .name = "encode",
    .synopsis = "{COLLECTION | --local FILE} {--vector V | --image FILE...} "
                "[-o FILE]",
    .summary = "codes of vectors or images, without storing them",
    .about =
        "With --local they are the codes of a network that was trained to "
        "make\n"
        "them (akin extractor train --hash), which are those of a collection\n"
        "whose model is taken over from it.\n",
    .examples = "  akin encode shoes --vector @vectors.npy -o codes.npy\n"
                "  akin encode shoes --image boot.jpg --image sandal.png\n"
                "  akin encode --local shoes-3.akx --image boot.jpg\n",
    .options = options,
    .max_args = 1,
    .run = run_encode,
};
