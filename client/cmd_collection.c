/* cmd_collection.c -- `akin collection create|show|set|delete`. */
#include <stdlib.h>
#include <string.h>

#include "client/commands.h"
#include "client/json.h"

/* What create and set have in common are the members that may change. */
static struct {
    const char *kind;
    uint64_t bits;
    uint64_t dim;
    const char *ids;
    const char *store;
    const char *extractor;
    const char *images;
    const char *labels;
    uint64_t max_labels;
    struct text_list params;
    const char *publish;
    uint64_t every_batches, depth;
    double new_ratio, gain, debt;
    const char *finetune, *on_drift;
    uint64_t every_images, cooldown, epochs, seconds;
    double map_gain;
    const char *description;
    const char *from;
    bool has_bits, has_dim, has_max_labels, has_every, has_description;
    bool has_new_ratio, has_gain, has_depth, has_debt;
    bool has_images, has_cooldown, has_epochs, has_seconds, has_map_gain;
} o = {.kind = "hmoh", .bits = 64};

/* clang-format off */
#define PUBLISH                                                               \
    {"publish", 0, OPTION_TEXT, "POLICY",                                     \
     "when a new model serves: manual, every_batches, quality", &o.publish, 0,\
     0, NULL, NULL},                                                          \
    {"every-batches", 0, OPTION_NUMBER, "N", "of the policies but manual",    \
     &o.every_batches, 1, 0, NULL, &o.has_every},                             \
    {"min-new-ratio", 0, OPTION_REAL, "X",                                    \
     "of the policy quality: new samples, of those published (0.1)",          \
     &o.new_ratio, 0, 100, NULL, &o.has_new_ratio},                           \
    {"min-quality-gain", 0, OPTION_REAL, "X",                                 \
     "of the policy quality: mAP to be won (0.005)", &o.gain, 0, 1, NULL,     \
     &o.has_gain},                                                            \
    {"map-depth", 0, OPTION_NUMBER, "R",                                      \
     "ranks of the mAP that is measured (100)", &o.depth, 1, 4096, NULL,      \
     &o.has_depth},                                                           \
    {"rebuild-at-debt", 0, OPTION_REAL, "X",                                  \
     "learn anew when so much of what was learnt has changed (0: never)",     \
     &o.debt, 0, 1, NULL, &o.has_debt}

#define FINETUNE                                                              \
    {"finetune", 0, OPTION_CHOICE, NULL,                                      \
     "whether its network is trained on by itself (manual)", &o.finetune, 0,  \
     0, "manual|auto", NULL},                                                 \
    {"finetune-every", 0, OPTION_NUMBER, "N",                                 \
     "after so many labelled images (1000)", &o.every_images, 1, 0, NULL,     \
     &o.has_images},                                                          \
    {"finetune-on-drift", 0, OPTION_CHOICE, NULL,                             \
     "or at an alarm of drift (yes)", &o.on_drift, 0, 0, "yes|no", NULL},     \
    {"finetune-cooldown", 0, OPTION_NUMBER, "SECONDS",                        \
     "but not before so long a rest (3600)", &o.cooldown, 0, 0, NULL,         \
     &o.has_cooldown},                                                        \
    {"finetune-epochs", 0, OPTION_NUMBER, "N",                                \
     "passes over the images (5)", &o.epochs, 1, 100000, NULL,                \
     &o.has_epochs},                                                          \
    {"finetune-seconds", 0, OPTION_NUMBER, "N", "train no longer",            \
     &o.seconds, 0, 0, NULL, &o.has_seconds},                                 \
    {"finetune-min-gain", 0, OPTION_REAL, "X",                                \
     "mAP to be won on images kept apart (0)", &o.map_gain, 0, 1, NULL,       \
     &o.has_map_gain}
/* clang-format on */

static const struct option create_options[] = {
    {"kind", 0, OPTION_TEXT, "KIND", "how codes are learnt (hmoh)", &o.kind, 0,
     0, NULL, NULL},
    {"bits", 'b', OPTION_NUMBER, "N", "of a code: 8..1024, by eights (64)",
     &o.bits, 8, 1024, NULL, &o.has_bits},
    {"dim", 'd', OPTION_NUMBER, "N", "numbers in a vector", &o.dim, 1, 0, NULL,
     &o.has_dim},
    {"extractor", 0, OPTION_TEXT, "NAME",
     "what turns images into vectors: pixels-28x28x1, or a network",
     &o.extractor, 0, 0, NULL, NULL},
    {"ids", 0, OPTION_CHOICE, NULL, "what ids are (integer)", &o.ids, 0, 0,
     "integer|string", NULL},
    {"store", 0, OPTION_CHOICE, NULL, "how vectors are kept (f32)", &o.store, 0,
     0, "f32|f16", NULL},
    {"images", 0, OPTION_CHOICE, NULL, "whether images are kept (none)",
     &o.images, 0, 0, "none|original", NULL},
    {"labels", 0, OPTION_CHOICE, NULL, "labels an item has (single)", &o.labels,
     0, 0, "single|multi", NULL},
    {"max-labels", 0, OPTION_NUMBER, "N", "distinct labels that are learnt",
     &o.max_labels, 1, 0, NULL, &o.has_max_labels},
    {"param", 'p', OPTION_LIST, "NAME=VALUE",
     "an option of the kind; see `akin methods`", &o.params, 0, 0, NULL, NULL},
    PUBLISH,
    FINETUNE,
    {"description", 0, OPTION_TEXT, "TEXT", "for people", &o.description, 0, 0,
     NULL, &o.has_description},
    {"from", 'f', OPTION_FILE, "FILE",
     "take the whole definition as JSON (- for stdin)", &o.from, 0, 0, NULL,
     NULL},
    {0},
};

static const struct option set_options[] = {
    PUBLISH,
    FINETUNE,
    {"description", 0, OPTION_TEXT, "TEXT", "for people", &o.description, 0, 0,
     NULL, &o.has_description},
    {"from", 'f', OPTION_FILE, "FILE",
     "take the whole merge patch as JSON (- for stdin)", &o.from, 0, 0, NULL,
     NULL},
    {0},
};

/* Set root.outer.name, making `outer` when it is not there; steals value. */
static void set_in(json_t *root, const char *outer, const char *name,
                   json_t *value)
{
    json_t *object = json_object_get(root, outer);

    if (object == NULL) {
        object = json_object();
        json_object_set_new(root, outer, object);
    }
    json_object_set_new(object, name, value);
}

/* NAME=VALUE; a value that reads as JSON is that, else a text. */
static int set_param(json_t *root, const char *text)
{
    const char *equals = strchr(text, '=');
    char *name;
    json_t *value;

    if (equals == NULL || equals == text)
        return tool_usage("--param is %.60s, must be NAME=VALUE", text);
    name = strndup(text, (size_t)(equals - text));
    if (name == NULL)
        return tool_no_memory();
    value = json_loads(equals + 1, JSON_DECODE_ANY, NULL);
    if (value == NULL)
        value = json_string(equals + 1);
    if (json_object_get(root, "model") == NULL)
        json_object_set_new(root, "model", json_object());
    set_in(json_object_get(root, "model"), "params", name, value);
    free(name);
    return EXIT_OK;
}

static int read_definition(json_t **out)
{
    void *data = NULL;
    size_t len = 0;
    json_error_t why;
    int code = tool_read_file(o.from, &data, &len);

    if (code != EXIT_OK)
        return code;
    *out = json_loadb(data, len, 0, &why);
    free(data);
    if (json_is_object(*out))
        return EXIT_OK;
    code = tool_usage("%s: must be a JSON object: %s, line %d", o.from,
                      *out == NULL ? why.text : "it is something else",
                      *out == NULL ? why.line : 1);
    json_decref(*out);
    *out = NULL;
    return code;
}

static void set_finetune(json_t *root)
{
    json_t *policy = json_object();

    if (o.finetune != NULL)
        json_object_set_new(policy, "policy", json_string(o.finetune));
    if (o.has_images)
        json_object_set_new(policy, "every_images",
                            json_integer((json_int_t)o.every_images));
    if (o.on_drift != NULL)
        json_object_set_new(policy, "on_drift",
                            json_boolean(strcmp(o.on_drift, "yes") == 0));
    if (o.has_cooldown)
        json_object_set_new(policy, "cooldown_seconds",
                            json_integer((json_int_t)o.cooldown));
    if (o.has_epochs)
        set_in(policy, "params", "epochs", json_integer((json_int_t)o.epochs));
    if (o.has_seconds)
        set_in(policy, "budget", "seconds",
               json_integer((json_int_t)o.seconds));
    if (o.has_map_gain)
        set_in(policy, "gate", "min_map_gain", json_real(o.map_gain));
    if (json_object_get(root, "finetune") != NULL)
        json_object_update_recursive(json_object_get(root, "finetune"), policy);
    else if (json_object_size(policy) > 0)
        json_object_set(root, "finetune", policy);
    json_decref(policy);
}

static void set_changeable(json_t *root)
{
    set_finetune(root);
    if (o.publish != NULL)
        set_in(root, "publish", "policy", json_string(o.publish));
    if (o.has_every)
        set_in(root, "publish", "every_batches",
               json_integer((json_int_t)o.every_batches));
    if (o.has_every && o.publish == NULL)
        set_in(root, "publish", "policy", json_string("every_batches"));
    if (o.has_new_ratio)
        set_in(root, "publish", "min_new_ratio", json_real(o.new_ratio));
    if (o.has_gain)
        set_in(root, "publish", "min_quality_gain", json_real(o.gain));
    if (o.has_depth)
        set_in(root, "publish", "map_depth", json_integer((json_int_t)o.depth));
    if (o.has_debt)
        set_in(root, "publish", "rebuild_at_debt", json_real(o.debt));
    if (o.has_description)
        json_object_set_new(root, "description", json_string(o.description));
}

/* Send what --from has, with what `fill` makes of the options on top. */
static int send_definition(struct tool *tool, const char *method,
                           const char *name, int (*fill)(json_t *root),
                           const char *done)
{
    json_t *root = NULL, *answer = NULL;
    int code = EXIT_OK;

    if (o.from != NULL)
        code = read_definition(&root);
    else
        root = json_object();
    if (code == EXIT_OK)
        code = fill(root);
    if (code != EXIT_OK) {
        json_decref(root);
        return code;
    }
    code = tool_call(tool, method, akin_collection_path(name, "%s", ""), root,
                     CALL_AGAIN, &answer);
    if (code == EXIT_OK && tool->json)
        tool_print_json(answer);
    else if (code == EXIT_OK)
        tool_note(tool, "collection %s is %s", name, done);
    json_decref(answer);
    return code;
}

static int fill_create(json_t *root)
{
    int code = EXIT_OK;

    if (o.from == NULL || o.has_bits)
        json_object_set_new(root, "bits", json_integer((json_int_t)o.bits));
    if (o.from == NULL)
        set_in(root, "model", "kind", json_string(o.kind));
    if (o.ids != NULL)
        json_object_set_new(root, "ids", json_string(o.ids));
    if (o.has_dim)
        set_in(root, "features", "dim", json_integer((json_int_t)o.dim));
    if (o.store != NULL)
        set_in(root, "features", "store", json_string(o.store));
    if (o.extractor != NULL)
        json_object_set_new(root, "extractor", json_string(o.extractor));
    if (o.images != NULL)
        set_in(root, "images", "store", json_string(o.images));
    if (o.labels != NULL)
        set_in(root, "labels", "mode", json_string(o.labels));
    if (o.has_max_labels)
        set_in(root, "labels", "max", json_integer((json_int_t)o.max_labels));
    set_changeable(root);
    for (size_t i = 0; i < o.params.n && code == EXIT_OK; i++)
        code = set_param(root, o.params.items[i]);
    return code;
}

static int run_create(struct tool *tool, int argc, char **argv)
{
    (void)argc;
    return send_definition(tool, "PUT", argv[0], fill_create, "there");
}

static int run_show(struct tool *tool, int argc, char **argv)
{
    json_t *root = NULL;
    int code = tool_call(tool, "GET", akin_collection_path(argv[0], "%s", ""),
                         NULL, CALL_AGAIN, &root);

    (void)argc;
    if (code == EXIT_OK && tool->json) {
        tool_print_json(root);
    } else if (code == EXIT_OK) {
        json_dumpf(root, stdout, JSON_INDENT(2));
        fputc('\n', stdout);
    }
    json_decref(root);
    return code;
}

static int fill_set(json_t *root)
{
    set_changeable(root);
    if (json_object_size(root) > 0)
        return EXIT_OK;
    return tool_usage("nothing to set; `akin collection set --help` says what "
                      "there is");
}

static int run_set(struct tool *tool, int argc, char **argv)
{
    (void)argc;
    return send_definition(tool, "PATCH", argv[0], fill_set, "changed");
}

static int run_delete(struct tool *tool, int argc, char **argv)
{
    char question[128];
    int code;

    (void)argc;
    snprintf(question, sizeof(question),
             "delete collection %.63s with all that is in it", argv[0]);
    code = tool_confirm(tool, question);
    if (code == EXIT_OK)
        code =
            tool_call(tool, "DELETE", akin_collection_path(argv[0], "%s", ""),
                      NULL, CALL_ONCE, NULL);
    if (code == EXIT_OK && !tool->json)
        tool_note(tool, "collection %s is gone", argv[0]);
    return code;
}

const struct command cmd_collection_create = {
    .name = "collection create",
    .synopsis = "NAME [OPTION]...",
    .summary = "make a collection; no change when it is there, equal",
    .examples =
        "  akin collection create shoes --dim 512 --store f16\n"
        "  akin collection create digits --extractor pixels-28x28x1 \\\n"
        "      --every-batches 50 -p seed=7\n",
    .options = create_options,
    .min_args = 1,
    .max_args = 1,
    .run = run_create,
};

const struct command cmd_collection_show = {
    .name = "collection show",
    .synopsis = "NAME",
    .summary = "one collection, with all its settings and its state",
    .examples = "  akin collection show shoes\n"
                "  akin collection show shoes --json | jq .quality\n",
    .min_args = 1,
    .max_args = 1,
    .run = run_show,
};

const struct command cmd_collection_set = {
    .name = "collection set",
    .synopsis = "NAME [OPTION]...",
    .summary = "change its policies and its description",
    .examples = "  akin collection set shoes --publish manual\n"
                "  akin collection set photos --finetune auto "
                "--finetune-every 500\n"
                "  akin collection set shoes --every-batches 100\n",
    .options = set_options,
    .min_args = 1,
    .max_args = 1,
    .run = run_set,
};

const struct command cmd_collection_delete = {
    .name = "collection delete",
    .synopsis = "NAME",
    .summary = "delete a collection with all that is in it",
    .examples = "  akin collection delete shoes --yes\n",
    .min_args = 1,
    .max_args = 1,
    .run = run_delete,
};
