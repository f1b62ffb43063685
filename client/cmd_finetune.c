/* cmd_finetune.c -- `akin finetune`: a collection's network is trained on. */
#include <stdlib.h>

#include "client/commands.h"
#include "client/job.h"

static struct {
    uint64_t epochs, batch, seconds, threads, memory, version;
    double rate, min_gain, accuracy_loss, map_loss;
    bool no_gate, no_watch;
} o;

static struct {
    bool epochs, batch, rate, seconds, threads, memory, version;
    bool min_gain, accuracy_loss, map_loss;
} given;

static const struct option options[] = {
    {"epochs", 'e', OPTION_NUMBER, "N", "passes over the images (5)", &o.epochs,
     1, 100000, NULL, &given.epochs},
    {"rate", 0, OPTION_REAL, "X", "the highest rate (0.02)", &o.rate, 0, 1000,
     NULL, &given.rate},
    {"batch", 0, OPTION_NUMBER, "N", "images of a step (128)", &o.batch, 1,
     4096, NULL, &given.batch},
    {"from-version", 0, OPTION_NUMBER, "N",
     "begin with this version of its network (the one that serves)", &o.version,
     1, UINT32_MAX, NULL, &given.version},
    {"seconds", 0, OPTION_NUMBER, "N", "train no longer", &o.seconds, 1, 0,
     NULL, &given.seconds},
    {"threads", 0, OPTION_NUMBER, "N", "threads (cores less one)", &o.threads,
     1, 256, NULL, &given.threads},
    {"memory", 0, OPTION_NUMBER, "BYTES", "take no more", &o.memory, 1, 0, NULL,
     &given.memory},
    {"min-map-gain", 0, OPTION_REAL, "X",
     "mAP to be won on the gate's images, by more than chance", &o.min_gain, 0,
     1, NULL, &given.min_gain},
    {"max-accuracy-loss", 0, OPTION_REAL, "X",
     "below the version that serves, at most (0.01)", &o.accuracy_loss, 0, 1,
     NULL, &given.accuracy_loss},
    {"max-map-loss", 0, OPTION_REAL, "X", "the same of mAP (0.02)", &o.map_loss,
     0, 1, NULL, &given.map_loss},
    {"no-gate", 0, OPTION_FLAG, NULL, "a version whatever it is worth",
     &o.no_gate, 0, 0, NULL, NULL},
    {"no-watch", 0, OPTION_FLAG, NULL, "print the job's number and leave",
     &o.no_watch, 0, 0, NULL, NULL},
    {0},
};

static json_t *body_of(const char *collection)
{
    json_t *params = json_object(), *budget = json_object(),
           *gate = json_object();

    job_put_number(params, "epochs", given.epochs, o.epochs);
    job_put_number(params, "batch", given.batch, o.batch);
    job_put_number(params, "from_version", given.version, o.version);
    job_put_real(params, "rate", given.rate, o.rate);
    job_put_number(budget, "seconds", given.seconds, o.seconds);
    job_put_number(budget, "threads", given.threads, o.threads);
    job_put_number(budget, "memory_bytes", given.memory, o.memory);
    job_put_real(gate, "min_map_gain", given.min_gain, o.min_gain);
    job_put_real(gate, "max_accuracy_loss", given.accuracy_loss,
                 o.accuracy_loss);
    job_put_real(gate, "max_map_loss", given.map_loss, o.map_loss);
    if (o.no_gate) {
        json_decref(gate);
        gate = json_null();
    }
    return json_pack("{s:s, s:s, s:o, s:o, s:o}", "kind", "finetune", "target",
                     collection, "params", params, "budget", budget, "gate",
                     gate);
}

static int run(struct tool *tool, int argc, char **argv)
{
    (void)argc;
    if (o.no_gate && (given.min_gain || given.accuracy_loss || given.map_loss))
        return tool_usage("--no-gate excludes --min-map-gain, "
                          "--max-accuracy-loss and --max-map-loss");
    return job_start(tool, body_of(argv[0]), !o.no_watch);
}

const struct command cmd_finetune = {
    .name = "finetune",
    .synopsis = "COLLECTION [OPTION]...",
    .summary = "train a collection's network on with its own images",
    .about =
        "The network that the collection serves learns the labelled images "
        "that it\n"
        "has stored.  What comes of it is the next version of that network, if "
        "it\n"
        "passes the gate; `akin promote` lets it take over.  With\n"
        "`akin collection set COLLECTION --finetune auto` all of that goes by "
        "itself.",
    .examples = "  akin finetune photos --epochs 3 --seconds 600\n"
                "  akin finetune photos --min-map-gain 0 --no-watch\n",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
