/* cmd_train.c -- `akin extractor train`: by the daemon's worker, or here. */
#include <stdlib.h>
#include <string.h>

#include "client/commands.h"
#include "client/job.h"
#include "client/json.h"
#include "client/pictures.h"
#include "client/train.h"

static struct train_options o = {.every = 60,
                                 .evaluate = 1,
                                 .threads = 1,
                                 .batch = 128,
                                 .epochs = 10,
                                 .rate = -1,
                                 .decay = 5e-4,
                                 .bits = 64,
                                 .backbone_rate = -1,
                                 .code_weight = 1};

static struct {
    const char *collection;
    uint64_t seconds, memory;
    double min_accuracy, min_map, accuracy_loss, map_loss;
    bool no_gate, no_wait;
} job;

/* Which of them were given: the rest is the daemon's to fill in. */
static struct {
    bool threads, batch, epochs, seed, rate, decay, smoothing;
    bool seconds, memory, min_accuracy, min_map, accuracy_loss, map_loss;
    bool checkpoint_every, evaluate, bits, backbone_rate, code_weight;
} given;

static const struct option options[] = {
    {"arch", 'a', OPTION_TEXT, "NAME", "architecture, such as resnet20",
     &o.arch, 0, 0, NULL, NULL},
    {"from", 0, OPTION_TEXT, "NAME[@VERSION]",
     "or begin with an extractor; here: with an .akx file", &o.from, 0, 0, NULL,
     NULL},
    {"dataset", 'd', OPTION_TEXT, "SET",
     "what is learnt, a folder of the daemon's; here: cifar10, idx or folder",
     &o.dataset, 0, 0, NULL, NULL},
    {"collection", 'c', OPTION_TEXT, "NAME", "or the images of a collection",
     &job.collection, 0, 0, NULL, NULL},
    {"epochs", 'e', OPTION_NUMBER, "N", "passes over the images (10)",
     &o.epochs, 1, 100000, NULL, &given.epochs},
    {"batch", 0, OPTION_NUMBER, "N", "images of a step (128)", &o.batch, 1,
     4096, NULL, &given.batch},
    {"rate", 0, OPTION_REAL, "X", "the highest rate (0.2; with --hash 0.1)",
     &o.rate, 0, 1000, NULL, &given.rate},
    {"schedule", 0, OPTION_CHOICE, "NAME", "of the rate (triangular)",
     &o.schedule, 0, 0, "triangular|cosine|step|constant", NULL},
    {"decay", 0, OPTION_REAL, "X", "of weights (0.0005)", &o.decay, 0, 1, NULL,
     &given.decay},
    {"smoothing", 0, OPTION_REAL, "X", "of labels (0)", &o.smoothing, 0, 1,
     NULL, &given.smoothing},
    {"seed", 0, OPTION_NUMBER, "N", "of all that is random (0)", &o.seed, 0, 0,
     NULL, &given.seed},
    {"engine", 0, OPTION_CHOICE, "NAME", "how it is computed", &o.engine, 0, 0,
     "onednn|plain", NULL},
    {"type", 0, OPTION_CHOICE, "TYPE",
     "of activations (bf16 where the processor has it; here: f32)", &o.type, 0,
     0, "f32|bf16", NULL},
    {"threads", 0, OPTION_NUMBER, "N", "threads (cores less one; here: 1)",
     &o.threads, 1, 256, NULL, &given.threads},
    {"seconds", 0, OPTION_NUMBER, "N", "train no longer", &job.seconds, 1, 0,
     NULL, &given.seconds},
    {"memory", 0, OPTION_NUMBER, "BYTES", "take no more", &job.memory, 1, 0,
     NULL, &given.memory},
    {"max-accuracy-loss", 0, OPTION_REAL, "X",
     "below the published version, at most (0.01)", &job.accuracy_loss, 0, 1,
     NULL, &given.accuracy_loss},
    {"max-map-loss", 0, OPTION_REAL, "X", "the same of mAP (0.02)",
     &job.map_loss, 0, 1, NULL, &given.map_loss},
    {"min-accuracy", 0, OPTION_REAL, "X", "of the gate's images, at least",
     &job.min_accuracy, 0, 1, NULL, &given.min_accuracy},
    {"min-map", 0, OPTION_REAL, "X", "the same of mAP", &job.min_map, 0, 1,
     NULL, &given.min_map},
    {"no-gate", 0, OPTION_FLAG, NULL, "a version whatever it is worth",
     &job.no_gate, 0, 0, NULL, NULL},
    {"no-wait", 0, OPTION_FLAG, NULL, "return when the job was accepted",
     &job.no_wait, 0, 0, NULL, NULL},
    {"output", 'o', OPTION_FILE, "FILE",
     "train here, and write the model to FILE (.akx)", &o.output, 0, 0, NULL,
     NULL},
    {"data", 0, OPTION_FILE, "DIR", "here: the folder of the data set", &o.data,
     0, 0, NULL, NULL},
    {"hash", 0, OPTION_CHOICE, "METHOD",
     "train it to make codes, with a hash layer on its feature", &o.hash, 0, 0,
     "hcdh", NULL},
    {"bits", 'b', OPTION_NUMBER, "N", "of the codes (64)", &o.bits, 8, 1024,
     NULL, &given.bits},
    {"hash-output", 0, OPTION_FILE, "FILE",
     "here: write the hash model of its features to FILE too", &o.hash_output,
     0, 0, NULL, NULL},
    {"backbone-rate", 0, OPTION_REAL, "X",
     "times the rate, before the hash layer (0.1; with --arch 1)",
     &o.backbone_rate, 0, 1, NULL, &given.backbone_rate},
    {"code-weight", 0, OPTION_REAL, "X",
     "of the distance to the codes beside the cross-entropy (1)",
     &o.code_weight, 0, 1000, NULL, &given.code_weight},
    {"evaluate", 0, OPTION_NUMBER, "N",
     "here: recognise the test images every N epochs (1)", &o.evaluate, 1,
     100000, NULL, &given.evaluate},
    {"checkpoint", 0, OPTION_FILE, "FILE",
     "here: go on from FILE if it is there, and keep it up to date",
     &o.checkpoint, 0, 0, NULL, NULL},
    {"checkpoint-every", 0, OPTION_NUMBER, "SECONDS",
     "here: how often it is written (60)", &o.every, 1, 86400, NULL,
     &given.checkpoint_every},
    {0},
};

/* ---- by the daemon ------------------------------------------------------------ */

static void put_text(json_t *to, const char *name, const char *text)
{
    if (text != NULL)
        json_object_set_new(to, name, json_string(text));
}

/* "cars@3": version 3 of an extractor. */
static int put_from(json_t *params)
{
    const char *at = o.from != NULL ? strchr(o.from, '@') : NULL;
    uint64_t version;

    if (at == NULL) {
        put_text(params, "from", o.from);
        return EXIT_OK;
    }
    if (!number_parse(at + 1, 1, UINT32_MAX, &version))
        return tool_usage("version of --from is %.40s, must be a number",
                          at + 1);
    json_object_set_new(params, "from",
                        json_stringn(o.from, (size_t)(at - o.from)));
    job_put_number(params, "from_version", true, version);
    return EXIT_OK;
}

static int add_params(json_t *body)
{
    json_t *params = json_object();

    json_object_set_new(body, "params", params);
    put_text(params, "arch", o.arch);
    put_text(params, "dataset", o.dataset);
    put_text(params, "collection", job.collection);
    job_put_number(params, "epochs", given.epochs, o.epochs);
    job_put_number(params, "batch", given.batch, o.batch);
    job_put_number(params, "seed", given.seed, o.seed);
    job_put_real(params, "rate", given.rate, o.rate);
    job_put_real(params, "decay", given.decay, o.decay);
    job_put_real(params, "smoothing", given.smoothing, o.smoothing);
    put_text(params, "schedule", o.schedule);
    put_text(params, "engine", o.engine);
    put_text(params, "type", o.type);
    put_text(params, "hash", o.hash);
    job_put_number(params, "bits", given.bits, o.bits);
    job_put_real(params, "backbone_rate", given.backbone_rate, o.backbone_rate);
    job_put_real(params, "code_weight", given.code_weight, o.code_weight);
    return put_from(params);
}

static void add_bounds(json_t *body)
{
    json_t *budget = json_object(), *gate = json_object();

    job_put_number(budget, "threads", given.threads, o.threads);
    job_put_number(budget, "seconds", given.seconds, job.seconds);
    job_put_number(budget, "memory_bytes", given.memory, job.memory);
    json_object_set_new(body, "budget", budget);
    job_put_real(gate, "max_accuracy_loss", given.accuracy_loss,
                 job.accuracy_loss);
    job_put_real(gate, "max_map_loss", given.map_loss, job.map_loss);
    job_put_real(gate, "min_accuracy", given.min_accuracy, job.min_accuracy);
    job_put_real(gate, "min_map", given.min_map, job.min_map);
    json_object_set_new(body, "gate", job.no_gate ? json_null() : gate);
    if (job.no_gate)
        json_decref(gate);
}

static int run_job(struct tool *tool, const char *name)
{
    json_t *body = json_pack("{s:s, s:s}", "kind", "train", "target", name);
    int code;

    if (body == NULL)
        return tool_no_memory();
    code = add_params(body);
    if (code != EXIT_OK) {
        json_decref(body);
        return code;
    }
    add_bounds(body);
    return job_start(tool, body, !job.no_wait);
}

/* ---- which of the two ----------------------------------------------------------- */

static int run_here(struct tool *tool)
{
    if (job.collection != NULL || job.no_gate || job.no_wait || given.seconds ||
        given.memory || given.min_accuracy || given.min_map ||
        given.accuracy_loss || given.map_loss)
        return tool_usage("a collection, a budget, a gate and --no-wait are "
                          "the daemon's: give a NAME, and no --output");
    if (o.data == NULL)
        return tool_usage("--data and --output are needed");
    if (o.hash == NULL && o.hash_output != NULL)
        return tool_usage("--hash-output goes with --hash");
    if (o.dataset == NULL)
        o.dataset = "cifar10";
    if (o.type == NULL)
        o.type = "f32";
    if (o.schedule == NULL)
        o.schedule = "triangular";
    return train_local(tool, &o);
}

static int run(struct tool *tool, int argc, char **argv)
{
    if ((o.arch == NULL) == (o.from == NULL))
        return tool_usage("either --arch or --from is needed");
    if (argc == 0 && o.output == NULL)
        return tool_usage("the NAME of an extractor is needed, or --data and "
                          "--output to train here");
    if (argc == 0)
        return run_here(tool);
    if (o.output != NULL || o.data != NULL || o.checkpoint != NULL ||
        o.hash_output != NULL || given.checkpoint_every || given.evaluate)
        return tool_usage("--output, --hash-output, --data, --evaluate and "
                          "--checkpoint are for training here, without a NAME");
    if ((o.dataset == NULL) == (job.collection == NULL))
        return tool_usage("either --dataset or --collection is needed");
    return run_job(tool, argv[0]);
}

const struct command cmd_extractor_train = {
    .name = "extractor train",
    .synopsis = "NAME --arch ARCH --dataset SET [OPTION]...",
    .summary = "train a network from nothing, or on",
    .about =
        "The daemon's worker trains it, beside what is served, and it becomes\n"
        "the next version of the extractor NAME when it passes the gate. The\n"
        "job is followed; an interrupt leaves it running. With --output it is\n"
        "trained here, without a daemon and a gate, and NAME is left out.\n"
        "Images are cut at a random place and mirrored; steps are Nesterov's.\n"
        "The same seed gives the same bytes with the same type and number of\n"
        "threads. With several threads and other work on the machine, set\n"
        "OMP_WAIT_POLICY=passive here.\n"
        "With --hash, codes of the classes are rows of a Hadamard matrix, and\n"
        "the last layers are a hash layer and a classifier (HCDH). The "
        "network\n"
        "has the hash model in it: a collection of kind hcdh with as many "
        "bits\n"
        "takes both over by `akin promote`.",
    .examples =
        "  akin extractor train cars -a resnet20 --dataset cifar10 -e 30\n"
        "  akin extractor train cars --from cars --collection parked\n"
        "  akin extractor train cars --from cars -c parked --hash hcdh -b 32\n"
        "  akin extractor train -a resnet20 --data cifar10 -e 10 \\\n"
        "    --type bf16 --threads 2 --checkpoint run.ckpt -o resnet20.akx\n",
    .options = options,
    .max_args = 1,
    .run = run,
};
