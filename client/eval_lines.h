/*
 * eval_lines.h -- what `akin eval` measured, one JSON object a line.
 *
 * The first fields say what was run: dataset, crc32 and rows of it, protocol,
 * queries ("test" or "validation"), queries_per_class, stream, points, method,
 * variant, options, scaling, bits, seed.  Two lines with the same are the same
 * run.  The others say what came of it.
 */
#ifndef AK_CLIENT_EVAL_LINES_H
#define AK_CLIENT_EVAL_LINES_H

#include <jansson.h>

#include "client/eval_data.h"
#include "client/eval_plan.h"

/* What all runs of a command have in common. */
struct eval_frame {
    const struct eval_data *data;
    const char *protocol;
    struct ak_split_params split;
    uint32_t points;
};

/* The fields that say what is run; NULL when memory is short. */
json_t *eval_line_identity(const struct eval_frame *frame,
                           const struct eval_variant *variant, uint32_t bits,
                           uint64_t seed);
/* Add to them what came of it. */
void eval_line_finish(json_t *line, const struct ak_split *split,
                      const struct ak_eval_run *run,
                      const struct ak_eval_outcome *outcome);

/* The first of `lines` that ran the same, or NULL. */
const json_t *eval_lines_find(const json_t *lines, const json_t *identity);

/*
 * Append the objects of a file to the array `lines`.  A file that is missing has
 * none.  With `mend`, a last line without its end, as a run that was killed
 * leaves it, is cut off the file; else it is an error.  EXIT_OK or EXIT_USAGE.
 */
int eval_lines_read(const char *path, bool mend, json_t *lines);

/* Append one line to a file, and wait until it is on the disk. */
int eval_lines_append(const char *path, const json_t *line);

/* To stdout. */
void eval_line_print(const json_t *line);

#endif
