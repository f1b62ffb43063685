/* pictures.h -- data sets of images with classes, read from a folder. */
#ifndef AK_CLIENT_PICTURES_H
#define AK_CLIENT_PICTURES_H

#include "core/nn/data.h"

#define PICTURE_DATASETS "cifar10|folder"

struct pictures {
    struct ak_pictures view; /* of what is below */
    uint8_t *pixels;
    uint32_t *labels;
    size_t n_train; /* of cifar10: so many of data_batch_1..5 come first */
    bool has_parts;
};

/*
 * Read a data set for a network that takes images of `input`.
 *
 * cifar10: those of data_batch_1..5 and test_batch, .bin or packed by gzip or
 * xz, that the folder holds; `split` is "train", "test", or NULL for all of
 * them.  folder: FOLDER/CLASS/IMAGE, JPEG and PNG files in the order of their
 * names.  A class is its place among the names of the folders, or the line of
 * the file `label_names` that has it: of several names with commas between, and
 * without regard to case and to what is no letter or digit.  An image is scaled
 * to the network's size by area average, without keeping its aspect ratio.
 *
 * EXIT_OK, or the code of what was said.
 */
int pictures_load(const char *dataset, const char *folder, const char *split,
                  const char *label_names, const struct ak_layer *input,
                  struct pictures *out);
void pictures_clear(struct pictures *p);

#endif
