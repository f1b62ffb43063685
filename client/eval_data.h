/* eval_data.h -- the data sets that `akin eval` knows, found and read. */
#ifndef AK_CLIENT_EVAL_DATA_H
#define AK_CLIENT_EVAL_DATA_H

#include "core/eval/protocol.h"

struct eval_data {
    const char *name; /* "mnist" */
    struct ak_eval_set set;
    float *x;
    uint32_t *labels;
    float *mean; /* (dim) of all rows */
    uint32_t n_classes;
    uint32_t crc; /* of labels and features: which data these are */
};

#define EVAL_DATASETS "mnist|fashion|cifar10|npy"

/*
 * Read a data set from `folder`, or from the first that has it of $AKIN_DATA,
 * shared/data in this directory or one above it, and /usr/share/datasets.
 *
 * mnist, fashion: the four idx files.  cifar10: the six files of the binary
 * version; the features are its pixels.  npy: features.npy (n, dim) and
 * labels.npy (n).  Files may be packed by gzip or, of cifar10, by xz.
 *
 * EXIT_OK, or the code of what was said.
 */
int eval_data_load(const char *name, const char *folder, struct eval_data *out);
void eval_data_clear(struct eval_data *data);

#endif
