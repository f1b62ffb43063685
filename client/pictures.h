/* pictures.h -- data sets of images (core/eval/pictures.h) for the tool. */
#ifndef AK_CLIENT_PICTURES_H
#define AK_CLIENT_PICTURES_H

#include "core/eval/pictures.h"

#define PICTURE_DATASETS "cifar10|idx|folder"

/* ak_picture_set_load(): EXIT_OK, or the code of what was said. */
int pictures_load(const char *dataset, const char *folder, const char *split,
                  const char *label_names, const struct ak_layer *input,
                  struct ak_picture_set *out);

#endif
