/* cmd_extractor.c -- `akin extractor import|evaluate`: networks, made of what
   others have and measured on this side. */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "client/commands.h"
#include "client/extractor.h"
#include "client/pictures.h"
#include "client/progress.h"
#include "core/base/clock.h"
#include "core/nn/evaluate.h"
#include "core/nn/zoo.h"

static struct {
    const char *local;
    const char *arch;
    const char *weights;
    const char *graph;
    const char *output;
    const char *dataset;
    const char *data;
    const char *split;
    const char *label_names;
    const char *engine;
    const char *type;
    uint64_t threads;
    uint64_t batch;
    uint64_t version;
} o = {.dataset = "cifar10", .type = "f32", .threads = 1, .batch = 64};

#define ARCH_OPTION                                                         \
    {                                                                       \
        "arch", 'a', OPTION_TEXT, "NAME", "architecture, such as resnet20", \
            &o.arch, 0, 0, NULL, NULL                                       \
    }
#define GRAPH_OPTION                                                           \
    {                                                                          \
        "graph", 0, OPTION_FILE, "FILE",                                       \
            "scales of a quantised network (FILE.graph.json)", &o.graph, 0, 0, \
            NULL, NULL                                                         \
    }

/* ---- import ----------------------------------------------------------------- */

static const struct option import_options[] = {
    ARCH_OPTION,
    GRAPH_OPTION,
    {"output", 'o', OPTION_FILE, "FILE", "write the model to FILE (.akx)",
     &o.output, 0, 0, NULL, NULL},
    {0},
};

/* To a file on this side. */
static int import_here(struct tool *tool, const char *weights)
{
    struct ak_model model = {0};
    struct ak_graph_cost cost;
    int code = extractor_import(o.arch, weights, o.graph, &model);

    if (code == EXIT_OK)
        code = extractor_save(o.output, &model);
    if (code == EXIT_OK) {
        const struct ak_layer *feature = &model.g->layers[model.g->feature];
        json_t *result;

        ak_graph_count(model.g, &cost);
        result = json_pack("{s:s, s:I, s:I, s:I, s:I}", "arch", o.arch, "macs",
                           (json_int_t)cost.macs, "parameters",
                           (json_int_t)(cost.params + cost.bn_params), "dim",
                           (json_int_t)ak_layer_size(feature), "classes",
                           (json_int_t)model.g->layers[model.g->output].c);
        if (tool->json)
            tool_print_json(result);
        else
            tool_note(tool,
                      "%s: %s, %.2f M parameters, %.2f M products an "
                      "image, features of %zu",
                      o.output, o.arch,
                      (double)(cost.params + cost.bn_params) / 1e6,
                      (double)cost.macs / 1e6, ak_layer_size(feature));
        json_decref(result);
    }
    ak_model_clear(&model);
    return code;
}

/* To the daemon, as a model file, which is checked on this side first. */
static int import_there(struct tool *tool, const char *name, const char *file)
{
    struct ak_model model = {0};
    struct ak_writer w = {0};
    struct ak_err err = {0};
    json_t *root = NULL, *versions;
    int code = o.arch != NULL ? extractor_import(o.arch, file, o.graph, &model)
                              : extractor_open(file, &model);

    if (code == EXIT_OK && ak_model_write(&model, &w, &err) != AK_OK)
        code = tool_usage("%s: %s", file, err.text);
    ak_model_clear(&model);
    if (code == EXIT_OK)
        code = tool_call_bytes(tool, "PUT", extractor_path(name, "/import"),
                               "application/octet-stream", w.data, w.len,
                               CALL_KEYED, &root);
    ak_writer_clear(&w);
    if (code != EXIT_OK)
        return code;
    versions = json_object_get(root, "versions");
    if (tool->json)
        tool_print_json(root);
    else
        tool_note(
            tool, "%s: version %lld, features of %lld", name,
            (long long)json_integer_value(json_object_get(root, "published")),
            (long long)json_integer_value(json_object_get(
                json_array_get(versions, json_array_size(versions) - 1),
                "dim")));
    json_decref(root);
    return EXIT_OK;
}

static int run_import(struct tool *tool, int argc, char **argv)
{
    if (o.output != NULL && (argc != 1 || o.arch == NULL))
        return tool_usage("with --output: --arch and one file are needed");
    if (o.output != NULL)
        return import_here(tool, argv[0]);
    if (argc != 2)
        return tool_usage("a name and a file are needed, or --output FILE");
    return import_there(tool, argv[0], argv[1]);
}

const struct command cmd_extractor_import = {
    .name = "extractor import",
    .synopsis = "NAME FILE [OPTION]...",
    .summary = "give the daemon a network: the next version of its name",
    .about =
        "FILE is a model file (.akx), or with --arch a .safetensors file; "
        "with\n"
        "--output nothing is sent, and a model file is made of the latter.\n"
        "Known architectures: resnet20, resnet32, resnet44, resnet56 and\n"
        "resnet110 for 32x32 images, resnet20_bireal, vgg16bn, vgg_small,\n"
        "resnet18, mobilenet_v1, mobilenet_v1_0.25_128, mobilenet_v2.\n"
        "Tensors are named as PyTorch names them, or 00_conv, 01_dw ... when\n"
        "they are quantised to bytes.",
    .examples = "  akin extractor import cnn -a resnet20 resnet20.safetensors\n"
                "  akin extractor import cnn trained.akx\n"
                "  akin extractor import -a resnet20 resnet20.safetensors \\\n"
                "    -o resnet20.akx\n",
    .options = import_options,
    .min_args = 1,
    .max_args = 2,
    .run = run_import,
};

/* ---- evaluate ---------------------------------------------------------------- */

static const struct option evaluate_options[] = {
    {"model-version", 0, OPTION_NUMBER, "N",
     "of a network that the daemon has (the published one)", &o.version, 1,
     UINT32_MAX, NULL, NULL},
    {"local", 0, OPTION_FILE, "FILE", "the model, an .akx file", &o.local, 0, 0,
     NULL, NULL},
    ARCH_OPTION,
    {"weights", 'w', OPTION_FILE, "FILE",
     "its values, a .safetensors file, instead of --local", &o.weights, 0, 0,
     NULL, NULL},
    GRAPH_OPTION,
    {"dataset", 'd', OPTION_CHOICE, "SET", "what is recognised (cifar10)",
     &o.dataset, 0, 0, PICTURE_DATASETS, NULL},
    {"data", 0, OPTION_FILE, "DIR", "its folder", &o.data, 0, 0, NULL, NULL},
    {"split", 0, OPTION_CHOICE, "PART", "but of a folder; all that is there",
     &o.split, 0, 0, "train|test", NULL},
    {"label-names", 0, OPTION_FILE, "FILE",
     "names of the network's classes, a line each", &o.label_names, 0, 0, NULL,
     NULL},
    {"engine", 0, OPTION_CHOICE, "NAME", "how it is computed", &o.engine, 0, 0,
     "onednn|plain", NULL},
    {"type", 0, OPTION_CHOICE, "TYPE", "of numbers (f32)", &o.type, 0, 0,
     "f32|bf16", NULL},
    {"threads", 0, OPTION_NUMBER, "N", "threads (1)", &o.threads, 1, 256, NULL,
     NULL},
    {"batch", 0, OPTION_NUMBER, "N", "images at once (64)", &o.batch, 1, 4096,
     NULL, NULL},
    {0},
};

struct show {
    struct progress progress;
    struct progress_state state;
    uint64_t start_ns;
};

static bool show_batch(void *context, size_t done, size_t n)
{
    struct show *show = context;

    show->state.rows = done;
    show->state.total = n;
    show->state.seconds = (double)(ak_clock_ns() - show->start_ns) / 1e9;
    progress_show(&show->progress, &show->state, done == n);
    return true;
}

static json_t *result_of(const struct ak_evaluation *e)
{
    double n = e->n > 0 ? (double)e->n : 1;

    return json_pack("{s:f, s:f, s:I, s:f}", "top1", (double)e->top1 / n,
                     "top5", (double)e->top5 / n, "n", (json_int_t)e->n, "loss",
                     e->loss);
}

static struct ak_evaluation sum_of(const struct ak_evaluation *a,
                                   const struct ak_evaluation *b)
{
    struct ak_evaluation sum = {a->n + b->n, a->top1 + b->top1,
                                a->top5 + b->top5, 0};

    if (sum.n > 0)
        sum.loss =
            (a->loss * (double)a->n + b->loss * (double)b->n) / (double)sum.n;
    return sum;
}

/* Both parts of a data set, of which either may be empty. */
static int evaluate_parts(struct tool *tool, const struct ak_model *model,
                          const struct ak_picture_set *p,
                          struct ak_evaluation *train,
                          struct ak_evaluation *test)
{
    const struct ak_exec_params params = {
        .batch = (uint32_t)o.batch,
        .type = strcmp(o.type, "bf16") == 0 ? AK_EXEC_BF16 : AK_EXEC_F32,
        .threads = (uint32_t)o.threads,
    };
    struct ak_pictures first = p->view, second = p->view;
    struct ak_exec *exec = NULL;
    struct ak_err err = {0};
    struct show show = {.start_ns = ak_clock_ns()};
    enum ak_status status =
        ak_exec_create(o.engine, model->g, &params, &exec, &err);

    first.n = p->n_train;
    second.n -= p->n_train;
    second.labels += p->n_train;
    second.pixels += p->n_train * second.stride;
    progress_init(&show.progress, tool);
    show.state.verb = "evaluate";
    show.state.live = show.state.served = -1;
    if (status == AK_OK)
        status = ak_exec_load(exec, model->values, &err);
    if (status == AK_OK && first.n > 0)
        status = ak_evaluate(exec, model->g, &first, params.batch, show_batch,
                             &show, NULL, train, &err);
    if (status == AK_OK && second.n > 0)
        status = ak_evaluate(exec, model->g, &second, params.batch, show_batch,
                             &show, NULL, test, &err);
    ak_exec_destroy(exec);
    return status == AK_OK ? EXIT_OK : tool_usage("%s", err.text);
}

static void print_part(const char *name, const struct ak_evaluation *e)
{
    if (e->n > 0)
        printf("%-6s top-1 %.2f %%, top-5 %.2f %% of %zu images, loss %.4f\n",
               name, 100 * (double)e->top1 / (double)e->n,
               100 * (double)e->top5 / (double)e->n, e->n, e->loss);
}

static void print_result(const struct tool *tool, bool has_parts,
                         const struct ak_evaluation *train,
                         const struct ak_evaluation *test)
{
    struct ak_evaluation all = sum_of(train, test);
    json_t *root;

    if (!tool->json) {
        if (has_parts) {
            print_part("train", train);
            print_part("test", test);
        } else {
            print_part("all", &all);
        }
        return;
    }
    root = result_of(&all);
    if (has_parts && train->n > 0)
        json_object_set_new(root, "train", result_of(train));
    if (has_parts && test->n > 0)
        json_object_set_new(root, "test", result_of(test));
    tool_print_json(root);
    json_decref(root);
}

static int run_evaluate(struct tool *tool, int argc, char **argv)
{
    struct ak_evaluation train = {0}, test = {0};
    struct ak_model model = {0};
    struct ak_picture_set p = {0};
    int code;

    if ((argc == 1) + (o.local != NULL) + (o.arch != NULL) != 1 ||
        (o.arch == NULL) != (o.weights == NULL))
        return tool_usage(
            "a name, or --local, or --arch and --weights, are needed");
    if (o.data == NULL)
        return tool_usage("--data is needed: the folder of the data set");
    if (argc == 1)
        code = extractor_fetch_model(tool, argv[0], o.version, &model);
    else if (o.local != NULL)
        code = extractor_open(o.local, &model);
    else
        code = extractor_import(o.arch, o.weights, o.graph, &model);
    if (code == EXIT_OK)
        code = pictures_load(o.dataset, o.data, o.split, o.label_names,
                             &model.g->layers[0], &p);
    if (code == EXIT_OK)
        code = evaluate_parts(tool, &model, &p, &train, &test);
    if (code == EXIT_OK)
        print_result(tool, p.has_parts, &train, &test);
    ak_picture_set_clear(&p);
    ak_model_clear(&model);
    return code;
}

const struct command cmd_extractor_evaluate = {
    .name = "extractor evaluate",
    .synopsis = "NAME --data DIR [OPTION]...",
    .summary = "how often a network is right",
    .about =
        "The version that the daemon has published is fetched and computed on\n"
        "this side; with --local, or --arch and --weights, no daemon is "
        "asked.\n"
        "Of cifar10 and idx all that the folder holds is recognised; with "
        "both\n"
        "parts there, each is told apart too.  A `folder` has the images\n"
        "of a class in a folder of its name.  With --json, top1 and top5 are\n"
        "shares of 1.",
    .examples =
        "  akin extractor evaluate cnn --data cifar10 --json\n"
        "  akin extractor evaluate --local resnet20.akx --data cifar10 \\\n"
        "    --split test\n"
        "  akin extractor evaluate -a mobilenet_v2 -w v2.safetensors \\\n"
        "    -d folder --data photos/val --label-names labels.txt --json\n",
    .options = evaluate_options,
    .max_args = 1,
    .run = run_evaluate,
};
