/* cmd_search.c -- `akin search`: the stored items most like a query. */
#include <stdlib.h>
#include <string.h>

#include "client/commands.h"
#include "client/json.h"
#include "client/query.h"
#include "client/table.h"

static struct {
    const char *image;
    const char *id;
    const char *vector;
    const char *code;
    uint64_t row;
    uint64_t limit;
    uint64_t max_distance;
    bool has_max_distance;
    struct text_list labels;
    struct text_list not_labels;
    const char *rerank;
    uint64_t oversample;
    bool has_oversample;
    bool payload;
} o = {.limit = 10};

static const struct option options[] = {
    {"image", 'i', OPTION_FILE, "FILE", "query by a JPEG or PNG file", &o.image,
     0, 0, NULL, NULL},
    {"id", 0, OPTION_TEXT, "ID", "query by a stored item", &o.id, 0, 0, NULL,
     NULL},
    {"vector", 0, OPTION_TEXT, "V",
     "query by [numbers], @file.npy or @file.json", &o.vector, 0, 0, NULL,
     NULL},
    {"row", 0, OPTION_NUMBER, "N", "which row of a file of vectors (0)", &o.row,
     0, 0, NULL, NULL},
    {"code", 0, OPTION_TEXT, "HEX", "query by a code", &o.code, 0, 0, NULL,
     NULL},
    {"limit", 'k', OPTION_NUMBER, "K", "hits wanted (10)", &o.limit, 1, 1000,
     NULL, NULL},
    {"max-distance", 'd', OPTION_NUMBER, "N",
     "no hit that differs in more bits", &o.max_distance, 0, 1024, NULL,
     &o.has_max_distance},
    {"label", 'l', OPTION_LIST, "LABEL",
     "only items with it; repeated: with any of them", &o.labels, 0, 0, NULL,
     NULL},
    {"not-label", 0, OPTION_LIST, "LABEL", "no item with it", &o.not_labels, 0,
     0, NULL, NULL},
    {"rerank", 0, OPTION_CHOICE, NULL, "order the nearest more finely",
     &o.rerank, 0, 0, "asymmetric|feature", NULL},
    {"oversample", 0, OPTION_NUMBER, "N",
     "candidates of a rerank, for each hit wanted (4)", &o.oversample, 1,
     1000000, NULL, &o.has_oversample},
    {"payload", 0, OPTION_FLAG, NULL, "show payloads", &o.payload, 0, 0, NULL,
     NULL},
    {0},
};

static int image_query(json_t *query)
{
    void *data = NULL;
    size_t len = 0;
    char *text;
    int code = tool_read_file(o.image, &data, &len);

    if (code != EXIT_OK)
        return code;
    text = base64_text(data, len);
    free(data);
    if (text == NULL)
        return tool_no_memory();
    json_object_set_new(query, "image", json_string_nocheck(text));
    free(text);
    return EXIT_OK;
}

static int vector_query(json_t *query)
{
    float *values = NULL;
    size_t n = 0;
    size_t dim = 0;
    json_t *list;
    int code = vectors_read(o.vector, &values, &n, &dim);

    if (code != EXIT_OK)
        return code;
    if (o.row >= n) {
        free(values);
        return tool_usage("--row is %llu, there are %zu rows",
                          (unsigned long long)o.row, n);
    }
    list = json_array();
    for (size_t i = 0; i < dim; i++)
        json_array_append_new(list, json_real((double)values[o.row * dim + i]));
    free(values);
    if (json_array_size(list) != dim) {
        json_decref(list);
        return tool_usage("--vector holds what is no finite number");
    }
    json_object_set_new(query, "vector", list);
    return EXIT_OK;
}

/* Ids are numbers or texts, as the collection was made. */
static int id_query(struct tool *tool, const char *collection, json_t *query)
{
    json_t *root = NULL;
    const char *ids;
    uint64_t id;
    int code =
        tool_call(tool, "GET", akin_collection_path(collection, "%s", ""), NULL,
                  CALL_AGAIN, &root);

    if (code != EXIT_OK)
        return code;
    ids = json_string_value(json_object_get(root, "ids"));
    if (ids != NULL && strcmp(ids, "string") == 0)
        json_object_set_new(query, "id", json_string(o.id));
    else if (number_parse(o.id, 0, INT64_MAX, &id))
        json_object_set_new(query, "id", json_integer((json_int_t)id));
    else
        code = tool_usage("--id is %.60s; the ids of %.63s are numbers", o.id,
                          collection);
    json_decref(root);
    return code;
}

static int make_query(struct tool *tool, const char *collection, json_t *query)
{
    int n = (o.image != NULL) + (o.id != NULL) + (o.vector != NULL) +
            (o.code != NULL);

    if (n != 1)
        return tool_usage("%s: say one of --image, --id, --vector, --code",
                          n == 0 ? "no query" : "more than one query");
    if (o.image != NULL)
        return image_query(query);
    if (o.vector != NULL)
        return vector_query(query);
    if (o.id != NULL)
        return id_query(tool, collection, query);
    json_object_set_new(query, "code", json_string(o.code));
    return EXIT_OK;
}

static void set_rerank(json_t *body)
{
    json_t *rerank = json_pack("{s:s}", "by", o.rerank);

    if (o.has_oversample)
        json_object_set_new(rerank, "oversample",
                            json_integer((json_int_t)o.oversample));
    json_object_set_new(body, "rerank", rerank);
}

static int print_hits(const json_t *root)
{
    static const char *const titles[] = {">ID", ">DISTANCE", ">SCORE", "LABELS",
                                         "PAYLOAD"};
    struct table table;
    char cell[CELL];
    char labels[256];
    size_t i;
    json_t *hit;
    int code = EXIT_OK;

    table_init(&table, titles, o.payload ? 5 : 4);
    json_array_foreach(json_object_get(root, "items"), i, hit)
    {
        table_cell(&table, "%s", cell_text(hit, "id", cell));
        table_cell(&table, "%s", cell_text(hit, "distance", cell));
        table_cell(&table, "%.4f",
                   json_number_value(json_object_get(hit, "score")));
        labels_text(json_object_get(hit, "labels"), labels, sizeof(labels));
        table_cell(&table, "%s", labels);
        if (o.payload) {
            char *text = json_dumps(json_object_get(hit, "payload"),
                                    JSON_COMPACT | JSON_ENCODE_ANY);

            table_cell(&table, "%s", text != NULL ? text : "-");
            free(text);
        }
    }
    if (!table_print(&table, stdout, tool_colour(1)))
        code = tool_no_memory();
    table_clear(&table);
    return code;
}

static int run_search(struct tool *tool, int argc, char **argv)
{
    json_t *query = json_object();
    json_t *body =
        json_pack("{s:o,s:i}", "query", query, "limit", (int)o.limit);
    json_t *root = NULL;
    json_t *filter, *with;
    char searched[CELL], version[CELL];
    size_t n;
    int code =
        body != NULL ? make_query(tool, argv[0], query) : tool_no_memory();

    (void)argc;
    if (code == EXIT_OK && o.has_oversample && o.rerank == NULL)
        code = tool_usage("--oversample is of a --rerank");
    if (code != EXIT_OK) {
        json_decref(body);
        return code;
    }
    if (o.has_max_distance)
        json_object_set_new(body, "max_distance",
                            json_integer((json_int_t)o.max_distance));
    filter = label_filter(&o.labels, &o.not_labels);
    if (filter != NULL)
        json_object_set_new(body, "filter", filter);
    if (o.rerank != NULL)
        set_rerank(body);
    with = json_pack("[s]", "labels");
    if (o.payload)
        json_array_append_new(with, json_string("payload"));
    json_object_set_new(body, "with", with);
    code = tool_call(tool, "POST", akin_collection_path(argv[0], "/search"),
                     body, CALL_AGAIN, &root);
    if (code != EXIT_OK)
        return code;
    n = json_array_size(json_object_get(root, "items"));
    if (tool->json) {
        tool_print_json(root);
    } else {
        code = print_hits(root);
        if (json_is_false(json_object_get(root, "complete")))
            tool_note(tool, "akin: out of time; not all items were compared");
        tool_note(tool, "%zu of %s items, model version %s", n,
                  human_count((uint64_t)akin_json_integer(root, "searched", 0),
                              searched),
                  cell_text(root, "model_version", version));
    }
    json_decref(root);
    return code != EXIT_OK ? code : n > 0 ? EXIT_OK : EXIT_NEGATIVE;
}

const struct command cmd_search = {
    .name = "search",
    .synopsis = "COLLECTION {--image FILE | --id ID | --vector V | --code HEX}",
    .summary = "the stored items most like a query",
    .about = "Ends with 1 when there is no hit.\n",
    .examples = "  akin search shoes --image boot.jpg\n"
                "  akin search shoes --id 17 -k 20 --label boot\n"
                "  akin search shoes --vector @query.npy --max-distance 12\n"
                "  akin search shoes --id 17 --rerank feature --oversample "
                "8\n",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .run = run_search,
};
