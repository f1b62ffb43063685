#include "config.h"

#include "client/pictures.h"

#include "client/tool.h"

int pictures_load(const char *dataset, const char *folder, const char *split,
                  const char *label_names, const struct ak_layer *input,
                  struct ak_picture_set *out)
{
    const struct ak_picture_source source = {.kind = dataset,
                                             .folder = folder,
                                             .part = split,
                                             .label_names = label_names};
    struct ak_err err = {0};

    if (ak_picture_set_load(&source, input, out, &err) != AK_OK)
        return tool_usage("%s", err.text);
    return EXIT_OK;
}
