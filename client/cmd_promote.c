/* cmd_promote.c -- `akin promote`: another extractor takes over. */
#include <stdlib.h>
#include <string.h>

#include "client/commands.h"
#include "client/job.h"

static struct {
    const char *extractor;
    const char *kind, *head;
    double max_loss;
    bool has_max_loss, no_gate, no_watch;
} o;

static const struct option options[] = {
    {"extractor", 'e', OPTION_TEXT, "NAME[@VERSION]",
     "what takes over; without a version the one that is published",
     &o.extractor, 0, 0, NULL, NULL},
    {"kind", 0, OPTION_TEXT, "KIND", "of the model (the one that it has)",
     &o.kind, 0, 0, NULL, NULL},
    {"head", 0, OPTION_CHOICE, "FROM",
     "the model is the network's hash layer, where it has one, or is learnt",
     &o.head, 0, 0, "network|learnt", NULL},
    {"max-quality-loss", 0, OPTION_REAL, "X",
     "mAP that may be lost against what serves (0.02)", &o.max_loss, 0, 1, NULL,
     &o.has_max_loss},
    {"no-gate", 0, OPTION_FLAG, NULL, "whatever is lost", &o.no_gate, 0, 0,
     NULL, NULL},
    {"no-watch", 0, OPTION_FLAG, NULL, "print the job's number and leave",
     &o.no_watch, 0, 0, NULL, NULL},
    {0},
};

/* "NAME", or {"name", "version"} of "NAME@VERSION"; NULL: it is neither. */
static json_t *extractor_json(void)
{
    const char *at = strrchr(o.extractor, '@');
    char *end;
    long long version;

    if (at == NULL)
        return json_string(o.extractor);
    version = strtoll(at + 1, &end, 10);
    if (end == at + 1 || *end != '\0' || version < 1)
        return NULL;
    return json_pack("{s:s%, s:I}", "name", o.extractor,
                     (size_t)(at - o.extractor), "version",
                     (json_int_t)version);
}

static int run(struct tool *tool, int argc, char **argv)
{
    json_t *extractor, *body;

    (void)argc;
    if (o.extractor == NULL)
        return tool_usage("--extractor is needed");
    if (o.no_gate && o.has_max_loss)
        return tool_usage("--no-gate and --max-quality-loss exclude each "
                          "other");
    extractor = extractor_json();
    if (extractor == NULL)
        return tool_usage("--extractor is \"%s\", must be NAME or "
                          "NAME@VERSION",
                          o.extractor);
    body = json_pack("{s:s, s:s, s:{s:o}}", "kind", "promote", "target",
                     argv[0], "params", "extractor", extractor);
    if (body != NULL && (o.kind != NULL || o.head != NULL))
        json_object_set_new(
            json_object_get(body, "params"), "model",
            json_pack("{s:s*, s:s*}", "kind", o.kind, "head", o.head));
    if (body != NULL && o.no_gate)
        json_object_set_new(body, "gate", json_null());
    if (body != NULL && o.has_max_loss)
        json_object_set_new(body, "gate",
                            json_pack("{s:f}", "max_quality_loss", o.max_loss));
    return job_start(tool, body, !o.no_watch);
}

const struct command cmd_promote = {
    .name = "promote",
    .synopsis = "COLLECTION --extractor NAME[@VERSION] [OPTION]...",
    .summary = "let another extractor take over, while everything goes on",
    .about =
        "The vectors of all items are computed anew of their stored images, "
        "the\n"
        "model learns from these, and then extractor, vectors, model and "
        "codes\n"
        "change in one step.  Until then nothing is different; afterwards\n"
        "`akin rollback` leads back.  The collection must store its images.\n"
        "A network that was trained to make codes (--hash) brings its hash\n"
        "layer along, which is the model then, and nothing is learnt: for a\n"
        "collection of kind hcdh with as many bits.",
    .examples = "  akin promote photos --extractor resnet20\n"
                "  akin promote photos -e resnet20@2 --max-quality-loss 0\n",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
