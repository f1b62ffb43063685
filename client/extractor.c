#include "config.h"

#include "client/extractor.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/nn/import.h"
#include "core/nn/zoo.h"

int extractor_open(const char *path, struct ak_model *out)
{
    struct ak_err err = {0};
    void *bytes;
    size_t len;
    int code = tool_read_file(path, &bytes, &len);

    if (code != EXIT_OK)
        return code;
    if (ak_model_read(bytes, len, out, &err) != AK_OK)
        code = tool_usage("%s: %s", path, err.text);
    free(bytes);
    return code;
}

/* FILE.graph.json of FILE.safetensors, to be freed; NULL: no memory. */
static char *graph_beside(const char *weights)
{
    static const char end[] = ".safetensors";
    size_t len = strlen(weights), cut = sizeof(end) - 1;
    char *path = malloc(len + sizeof(".graph.json"));

    if (path == NULL)
        return NULL;
    if (len >= cut && strcmp(weights + len - cut, end) == 0)
        len -= cut;
    memcpy(path, weights, len);
    strcpy(path + len, ".graph.json");
    return path;
}

static int import_quantised(struct ak_model *m, const char *weights,
                            const char *graph, const struct ak_safetensors *st)
{
    char *beside = graph == NULL ? graph_beside(weights) : NULL;
    struct ak_err err = {0};
    void *json = NULL;
    size_t len;
    int code;

    if (graph == NULL && beside == NULL)
        return tool_no_memory();
    graph = graph != NULL ? graph : beside;
    code = tool_read_file(graph, &json, &len);
    if (code == EXIT_OK &&
        ak_import_quantised(m->g, st, json, len, m->values, &err) != AK_OK)
        code = tool_usage("%s: %s", weights, err.text);
    free(json);
    free(beside);
    return code;
}

/* A network's own text for notes: "arch: resnet20\n..." */
static char *notes_of(const char *arch, const char *weights)
{
    const char *slash = strrchr(weights, '/');
    const char *file = slash != NULL ? slash + 1 : weights;
    size_t len = strlen(arch) + strlen(file) + 32;
    char *notes = malloc(len);

    if (notes != NULL)
        snprintf(notes, len, "arch: %s\nimported from: %s\n", arch, file);
    return notes;
}

int extractor_import(const char *arch, const char *weights, const char *graph,
                     struct ak_model *out)
{
    struct ak_model m = {0};
    struct ak_safetensors st = {0};
    struct ak_err err = {0};
    void *bytes = NULL;
    size_t len;
    int code = EXIT_OK;

    if (ak_arch_graph(arch, 0, &m.g, &err) != AK_OK)
        return tool_usage("%s", err.text);
    m.values = ak_array_new(m.g->n_values, sizeof(*m.values));
    m.notes = notes_of(arch, weights);
    if (m.values == NULL || m.notes == NULL)
        code = tool_no_memory();
    if (code == EXIT_OK)
        code = tool_read_file(weights, &bytes, &len);
    if (code == EXIT_OK && ak_safetensors_parse(bytes, len, &st, &err) != AK_OK)
        code = tool_usage("%s: %s", weights, err.text);
    if (code == EXIT_OK && st.n > 0 &&
        ak_safetensors_find(&st, "00_conv.weight") != NULL)
        code = import_quantised(&m, weights, graph, &st);
    else if (code == EXIT_OK &&
             ak_import_named(m.g, &st, m.values, &err) != AK_OK)
        code = tool_usage("%s: %s", weights, err.text);
    ak_safetensors_clear(&st);
    free(bytes);
    if (code != EXIT_OK)
        ak_model_clear(&m);
    else
        *out = m;
    return code;
}

char *extractor_path(const char *name, const char *rest)
{
    char *segment = akin_path_segment(name), *path = NULL;

    if (segment != NULL &&
        asprintf(&path, "/v1/extractors/%s%s", segment, rest) < 0)
        path = NULL;
    free(segment);
    return path;
}

/* The version that is published. */
static int find_published(struct tool *tool, const char *name,
                          uint64_t *version)
{
    json_t *root = NULL;
    int code = tool_call(tool, "GET", extractor_path(name, ""), NULL,
                         CALL_AGAIN, &root);

    if (code != EXIT_OK)
        return code;
    *version = (uint64_t)json_integer_value(json_object_get(root, "published"));
    json_decref(root);
    return *version > 0
               ? EXIT_OK
               : tool_usage("%s: no version is published; see --model-version",
                            name);
}

int extractor_fetch(struct tool *tool, const char *name, uint64_t version,
                    void **bytes, size_t *len)
{
    struct akin_request request = {.method = "GET", .repeatable = 1};
    struct akin_reply reply = {0};
    struct akin_error err = {0};
    char rest[64], *path;
    int code = EXIT_OK;

    if (version == 0)
        code = find_published(tool, name, &version);
    if (code == EXIT_OK)
        code = tool_connect(tool);
    if (code != EXIT_OK)
        return code;
    snprintf(rest, sizeof(rest), "/versions/%llu/export",
             (unsigned long long)version);
    path = extractor_path(name, rest);
    if (path == NULL)
        return tool_no_memory();
    request.path = path;
    if (akin_send(tool->client, &request, &reply, &err) != AKIN_OK) {
        code = tool_failure(tool, &err);
    } else {
        *bytes = reply.body;
        *len = reply.len;
        reply.body = NULL;
    }
    akin_reply_clear(&reply);
    free(path);
    return code;
}

int extractor_fetch_model(struct tool *tool, const char *name, uint64_t version,
                          struct ak_model *out)
{
    struct ak_err err = {0};
    void *bytes = NULL;
    size_t len = 0;
    int code = extractor_fetch(tool, name, version, &bytes, &len);

    if (code == EXIT_OK && ak_model_read(bytes, len, out, &err) != AK_OK)
        code = tool_usage("%s: %s", name, err.text);
    free(bytes);
    return code;
}

int extractor_save(const char *path, const struct ak_model *model)
{
    struct ak_writer w = {0};
    struct ak_err err = {0};
    int code = EXIT_OK;

    if (ak_model_write(model, &w, &err) != AK_OK)
        code = tool_usage("%s: %s", path, err.text);
    if (code == EXIT_OK)
        code = tool_write_file(path, w.data, w.len);
    ak_writer_clear(&w);
    return code;
}
