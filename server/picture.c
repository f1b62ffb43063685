#include "server/picture.h"

#include "core/image/decode.h"
#include "server/limits.h"

enum ak_status ak_picture_feature(const struct ak_extractor *e,
                                  struct ak_bytes file, float *x,
                                  struct ak_err *err)
{
    struct ak_image_limits limits = ak_image_limits_default;
    struct ak_image image = {0};
    enum ak_status status;

    limits.max_pixels = ak_limits()->max_image_pixels;
    status = ak_image_decode(file.data, file.len, &limits, e->width, e->height,
                             &image, err);
    if (status == AK_OK)
        status = ak_extractor_extract(e, &image, x, err);
    ak_image_clear(&image);
    return status;
}
