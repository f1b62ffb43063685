/* spark.h -- a curve in one line of text. */
#ifndef AK_CLIENT_SPARK_H
#define AK_CLIENT_SPARK_H

#include <stdbool.h>
#include <stddef.h>

/*
 * n values into a text of at most `columns` marks, the least of `low`..`high`
 * at the bottom; NAN is a gap.  Where there are more values than columns, each
 * mark is the mean of its share.  `out` has SPARK_BYTES(columns) bytes.
 */
#define SPARK_BYTES(columns) (3 * (columns) + 1)
void spark(const double *values, size_t n, double low, double high,
           size_t columns, bool utf8, char *out);

#endif
