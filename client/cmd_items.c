/* cmd_items.c -- `akin get|label|delete`: single items. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/commands.h"
#include "client/json.h"

static struct {
    const char *with;
    const char *image;
    struct text_list labels;
    bool thumb;
} o;

static const struct option get_options[] = {
    {"with", 0, OPTION_TEXT, "LIST", "also show: vector, code", &o.with, 0, 0,
     NULL, NULL},
    {"image", 0, OPTION_FILE, "FILE", "write its image there instead", &o.image,
     0, 0, NULL, NULL},
    {"thumb", 0, OPTION_FLAG, NULL, "a small one, with --image", &o.thumb, 0, 0,
     NULL, NULL},
    {0},
};

static const struct option delete_options[] = {
    {"label", 'l', OPTION_LIST, "LABEL",
     "delete every item with it; may be repeated", &o.labels, 0, 0, NULL, NULL},
    {0},
};

/*
 * An id as the API takes it: a number when the collection counts, else a text.
 * Which of the two, the collection says.
 */
static int ids_are_texts(struct tool *tool, const char *collection, bool *texts)
{
    json_t *root = NULL;
    const char *ids;
    int code =
        tool_call(tool, "GET", akin_collection_path(collection, "%s", ""), NULL,
                  CALL_AGAIN, &root);

    if (code != EXIT_OK)
        return code;
    ids = json_string_value(json_object_get(root, "ids"));
    *texts = ids != NULL && strcmp(ids, "string") == 0;
    json_decref(root);
    return EXIT_OK;
}

static int save_image(struct tool *tool, const char *collection,
                      const char *segment)
{
    struct akin_error err = {0};
    struct akin_reply reply = {0};
    char *path = akin_collection_path(collection, "/items/%s/image%s", segment,
                                      o.thumb ? "?size=thumb" : "");
    int code = path == NULL ? tool_no_memory() : tool_connect(tool);

    if (code == EXIT_OK &&
        akin_send(tool->client,
                  &(struct akin_request){.method = "GET", .path = path}, &reply,
                  &err) != AKIN_OK)
        code = tool_failure(tool, &err);
    if (code == EXIT_OK)
        code = tool_write_file(o.image, reply.body, reply.len);
    akin_reply_clear(&reply);
    free(path);
    return code;
}

static void print_item(const json_t *item)
{
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)item, name, value)
    {
        printf("%-8s ", name);
        if (json_is_string(value))
            puts(json_string_value(value));
        else
            tool_print_json(value);
    }
}

static int run_get(struct tool *tool, int argc, char **argv)
{
    char *segment = akin_path_segment(argv[1]);
    char *with = o.with != NULL ? akin_path_segment(o.with) : NULL;
    json_t *root = NULL;
    int code;

    (void)argc;
    if (segment == NULL || (o.with != NULL && with == NULL))
        code = tool_no_memory();
    else if (o.image != NULL)
        code = save_image(tool, argv[0], segment);
    else
        code = tool_call(tool, "GET",
                         akin_collection_path(argv[0], "/items/%s%s%s", segment,
                                              with != NULL ? "?with=" : "",
                                              with != NULL ? with : ""),
                         NULL, CALL_AGAIN, &root);
    if (code == EXIT_OK && root != NULL) {
        if (tool->json)
            tool_print_json(root);
        else
            print_item(root);
    }
    json_decref(root);
    free(segment);
    free(with);
    return code;
}

static int run_label(struct tool *tool, int argc, char **argv)
{
    char *segment = akin_path_segment(argv[1]);
    json_t *labels = json_array();
    json_t *root = NULL;
    int code;

    if (segment == NULL) {
        json_decref(labels);
        return tool_no_memory();
    }
    for (int i = 2; i < argc; i++)
        json_array_append_new(labels, json_string(argv[i]));
    code = tool_call(tool, "PATCH",
                     akin_collection_path(argv[0], "/items/%s", segment),
                     json_pack("{s:o}", "labels", labels), CALL_KEYED, &root);
    if (code == EXIT_OK && tool->json)
        tool_print_json(root);
    json_decref(root);
    free(segment);
    return code;
}

static int delete_many(struct tool *tool, const char *collection, json_t *body)
{
    json_t *root = NULL;
    char deleted[CELL], missing[CELL];
    int code = tool_call(tool, "POST",
                         akin_collection_path(collection, "/items/delete"),
                         body, CALL_KEYED, &root);

    if (code == EXIT_OK && tool->json)
        tool_print_json(root);
    else if (code == EXIT_OK)
        printf("deleted %s, missing %s\n", cell_text(root, "deleted", deleted),
               cell_text(root, "missing", missing));
    if (code == EXIT_OK && json_object_get(root, "missing") != NULL &&
        json_integer_value(json_object_get(root, "deleted")) == 0)
        code = EXIT_NEGATIVE;
    json_decref(root);
    return code;
}

static int ids_body(struct tool *tool, const char *collection, int n,
                    char **texts, json_t **out)
{
    json_t *list;
    bool are_texts = false;
    int code = ids_are_texts(tool, collection, &are_texts);

    if (code != EXIT_OK)
        return code;
    list = json_array();
    for (int i = 0; i < n; i++) {
        uint64_t id;

        if (are_texts) {
            json_array_append_new(list, json_string(texts[i]));
        } else if (number_parse(texts[i], 0, INT64_MAX, &id)) {
            json_array_append_new(list, json_integer((json_int_t)id));
        } else {
            json_decref(list);
            return tool_usage("id is %.60s; the ids of %.63s are numbers",
                              texts[i], collection);
        }
    }
    *out = json_pack("{s:o}", "ids", list);
    return EXIT_OK;
}

static int run_delete(struct tool *tool, int argc, char **argv)
{
    json_t *body = NULL;
    char question[192];
    int code;

    if ((argc == 1) == (o.labels.n == 0))
        return tool_usage("say either which ids to delete or which --label");
    if (o.labels.n > 0)
        snprintf(question, sizeof(question),
                 "delete every item of %.63s with label %.60s%s", argv[0],
                 o.labels.items[0], o.labels.n > 1 ? " or another named" : "");
    else
        snprintf(question, sizeof(question), "delete %d item%s of %.63s",
                 argc - 1, argc > 2 ? "s" : "", argv[0]);
    code = tool_confirm(tool, question);
    if (code != EXIT_OK)
        return code;
    if (o.labels.n > 0) {
        json_t *any = json_array();

        for (size_t i = 0; i < o.labels.n; i++)
            json_array_append_new(any, json_string(o.labels.items[i]));
        body =
            json_pack("{s:{s:[{s:o}]}}", "filter", "must", "labels_any", any);
    } else {
        code = ids_body(tool, argv[0], argc - 1, argv + 1, &body);
    }
    if (code != EXIT_OK)
        return code;
    return delete_many(tool, argv[0], body);
}

const struct command cmd_get = {
    .name = "get",
    .synopsis = "COLLECTION ID [OPTION]...",
    .summary = "one stored item, or its image",
    .examples = "  akin get shoes 17 --with code\n"
                "  akin get shoes 17 --image 17.jpg\n",
    .options = get_options,
    .min_args = 2,
    .max_args = 2,
    .run = run_get,
};

const struct command cmd_label = {
    .name = "label",
    .synopsis = "COLLECTION ID [LABEL]...",
    .summary = "give an item other labels, which the model then learns",
    .about = "Without a LABEL the item has none afterwards.\n",
    .examples = "  akin label shoes 17 boot\n",
    .min_args = 2,
    .max_args = -1,
    .run = run_label,
};

const struct command cmd_delete = {
    .name = "delete",
    .synopsis = "COLLECTION {ID... | --label LABEL...}",
    .summary = "delete items; ends with 1 when none of them was there",
    .examples = "  akin delete shoes 17 18 --yes\n"
                "  akin delete shoes --label sandal\n",
    .options = delete_options,
    .min_args = 1,
    .max_args = -1,
    .run = run_delete,
};
