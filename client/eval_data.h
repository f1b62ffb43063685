/* eval_data.h -- the data sets that `akin eval` knows, found and read. */
#ifndef AK_CLIENT_EVAL_DATA_H
#define AK_CLIENT_EVAL_DATA_H

#include "client/eval_features.h"
#include "core/eval/protocol.h"

#define EVAL_DATA_NAME 64

/* The network that features come from, or backbones; path NULL: none. */
struct eval_extractor {
    const char *path;  /* an .akx file */
    const char *cache; /* the file that keeps its features, or NULL */
    enum ak_exec_type type;
};

struct eval_data {
    char name[EVAL_DATA_NAME]; /* "mnist", "cifar10-resnet20" */
    struct ak_eval_set set;
    size_t n_train; /* so many rows come first that the set has for training;
                       0: it does not say */
    float *x;
    uint32_t *labels;
    float *mean; /* (dim) of all rows */
    uint32_t n_classes;
    uint32_t crc; /* of labels and features: which data these are */

    /* With an extractor only. */
    struct ak_model extractor;
    uint8_t *pixels;
    struct eval_images images; /* of them, a row each */
};

#define EVAL_DATASETS "mnist|fashion|cifar10|npy"

/*
 * Read a data set from `folder`, or from the first that has it of $AKIN_DATA,
 * shared/data in this directory or one above it, and /usr/share/datasets.
 *
 * mnist, fashion: the four idx files.  cifar10: the six files of the binary
 * version; the features are its pixels, or what the extractor makes of them,
 * and then the name has that of its file behind it.  npy: features.npy (n, dim)
 * and labels.npy (n).  Files may be packed by gzip or, of cifar10, by xz.
 *
 * EXIT_OK, or the code of what was said.
 */
int eval_data_load(const struct tool *tool, const char *name,
                   const char *folder, const struct eval_extractor *extractor,
                   struct eval_data *out);
void eval_data_clear(struct eval_data *data);

#endif
