/*
 * pictures.h -- data sets of images with classes, read from a folder.
 *
 * cifar10: those of data_batch_1..5 and test_batch, .bin or packed by gzip or
 * xz, that the folder holds.
 *
 * idx: {train,t10k}-images-idx3-ubyte with {train,t10k}-labels-idx1-ubyte, plain
 * or with .gz: MNIST and Fashion-MNIST.
 *
 * folder: FOLDER/CLASS/IMAGE, JPEG and PNG files in the order of their names.
 *
 * An image is scaled to the network's size by area average, without keeping its
 * aspect ratio, and made grey or RGB as the network takes it.
 */
#ifndef AK_CORE_EVAL_PICTURES_H
#define AK_CORE_EVAL_PICTURES_H

#include <stdbool.h>

#include "core/nn/data.h"

#define AK_PICTURE_FILE \
    ((size_t)256 << 20) /* bytes of an image file, at most */

/* The caller owns the struct; zeroed, it can be cleared and added to. */
struct ak_picture_set {
    struct ak_pictures view; /* of what is below */
    uint8_t *pixels;
    uint32_t *labels;
    size_t cap;
    size_t n_train; /* of cifar10 and idx: so many of the training part are
                       first, the test part follows */
    bool has_parts;
    uint32_t n_classes; /* above every label */
};

/* How many images are read, of how many (0: not known yet); false ends it with
   AK_ECANCELED. */
typedef bool ak_picture_progress_fn(void *context, size_t done, size_t total);

struct ak_picture_source {
    const char *kind;   /* "cifar10", "idx" or "folder" */
    const char *folder; /* its path */
    const char *part;   /* "train", "test"; NULL: all of it */
    /* Of a folder; a class is its place among the names of the folders, or the
       line of this file that has it: of several names with commas between, and
       without regard to case and to what is no letter or digit.  NULL: none. */
    const char *label_names;
    ak_picture_progress_fn *progress; /* NULL: not told */
    void *context;
};

/* The kind of what a folder holds, by the names of its files. */
const char *ak_picture_kind(const char *folder);

/*
 * Read a data set for a network that takes images of `input`.
 *
 * AK_ENOTFOUND: there is no such folder, or no image in it.  AK_EINVAL: a kind,
 * a part or an `input` that does not go with it, a class without a line.
 * AK_ECORRUPT, AK_ELIMIT: a file, which the text names.  AK_EIO, AK_ENOMEM,
 * AK_ECANCELED.  Nothing is written on failure.
 */
enum ak_status ak_picture_set_load(const struct ak_picture_source *source,
                                   const struct ak_layer *input,
                                   struct ak_picture_set *out,
                                   struct ak_err *err) AK_MUST_CHECK;

/* Decode one image more, of class `label`; as it was on failure. */
enum ak_status ak_picture_set_add(struct ak_picture_set *set, const void *bytes,
                                  size_t len, const struct ak_layer *input,
                                  uint32_t label,
                                  struct ak_err *err) AK_MUST_CHECK;
void ak_picture_set_clear(struct ak_picture_set *set);

/* ------------------------------------------------------------------- parts */

/*
 * Which images train, which choose between settings (search), and which decide
 * whether a network is taken (gate).  Of each class, those with the smallest
 * hash of the seed and the number of the image are the gate's, the next the
 * search's, as many as the share says, rounded; at least one is left to train.
 * So a part does not change with the training's seed, and all have the classes
 * in the shares of the set.  A set that grows, or loses images, and whose images
 * keep their numbers, keeps its parts but for what is near their borders.
 */
struct ak_picture_parts {
    double search, gate; /* shares, 0 or more, together below 1 */
    uint64_t seed;
    const uint64_t *numbers; /* (n), of the images; NULL: their places */
    size_t n_train, n_search, n_gate; /* what came of it */
};

/*
 * Put the first `n` images of the set into the order train, search, gate, each
 * in the order they had.  AK_EINVAL: shares; AK_ENOMEM.
 */
enum ak_status ak_picture_set_split(struct ak_picture_set *set, size_t n,
                                    struct ak_picture_parts *parts,
                                    struct ak_err *err) AK_MUST_CHECK;

/* Images `from` .. `from + n` of a set. */
static inline struct ak_pictures
ak_picture_set_view(const struct ak_picture_set *set, size_t from, size_t n)
{
    return (struct ak_pictures){set->view.pixels + from * set->view.stride,
                                set->view.stride, set->view.labels + from, n};
}

#endif
