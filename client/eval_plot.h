/* eval_plot.h -- plots of the lines of `akin eval`. */
#ifndef AK_CLIENT_EVAL_PLOT_H
#define AK_CLIENT_EVAL_PLOT_H

#include <jansson.h>

/*
 * Write FOLDER/DATASET-PROTOCOL-METRIC.svg (with "-validation" behind the
 * protocol where the queries are not the test's) for each metric that the lines
 * have more than one point of; the folder is made if it is missing.  EXIT_OK, or
 * the code of what was said.  `*n_written` counts the files.
 */
int eval_plot(const json_t *lines, const char *folder, size_t *n_written);

#endif
