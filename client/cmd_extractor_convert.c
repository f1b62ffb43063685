/* cmd_extractor_convert.c -- `akin extractor convert`: for other programs. */
#include "config.h"

#include <string.h>

#include "client/commands.h"
#include "client/extractor.h"
#include "client/filebytes.h"
#include "core/nn/onnx.h"

static struct {
    const char *output;
} o;

static const struct option options[] = {
    {"output", 'o', OPTION_FILE, "FILE", "write to FILE (.onnx)", &o.output, 0,
     0, NULL, NULL},
    {0},
};

static int run(struct tool *tool, int argc, char **argv)
{
    struct ak_model model = {0};
    struct ak_writer w = {0};
    struct ak_err err = {0};
    int code;

    (void)argc;
    if (o.output == NULL)
        return tool_usage("--output is needed");
    code = extractor_open(argv[0], &model);
    if (code == EXIT_OK && ak_onnx_write(&model, &w, &err) != AK_OK)
        code = tool_usage("%s", err.text);
    if (code == EXIT_OK)
        code = tool_write_file(o.output, w.data, w.len);
    if (code == EXIT_OK)
        tool_note(tool, "%s: %zu bytes", o.output, w.len);
    ak_writer_clear(&w);
    ak_model_clear(&model);
    return code;
}

const struct command cmd_extractor_convert = {
    .name = "extractor convert",
    .synopsis = "FILE.akx --output FILE.onnx [OPTION]...",
    .summary = "write a model file as ONNX",
    .about = "The input \"pixels\" is float (n, channels, height, width) of "
             "0..255,\n"
             "and is normalised in the file; the outputs are \"feature\" and\n"
             "\"scores\".",
    .examples = "  akin extractor convert resnet20.akx -o resnet20.onnx\n",
    .options = options,
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
