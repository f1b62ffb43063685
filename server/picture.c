#include "server/picture.h"

#include "core/base/clock.h"
#include "server/decoder.h"

enum ak_status ak_picture_feature(const struct ak_extractor *e,
                                  struct ak_bytes file, float *x,
                                  uint64_t *extract_ns, struct ak_err *err)
{
    struct ak_image image = {0};
    enum ak_status status = ak_decoder_decode(file.data, file.len, e->width,
                                              e->height, &image, err);
    uint64_t start = ak_clock_ns();

    if (status == AK_OK)
        status = ak_extractor_extract(e, &image, x, err);
    if (extract_ns != NULL)
        *extract_ns += ak_clock_ns() - start;
    ak_image_clear(&image);
    return status;
}
