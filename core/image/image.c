#include "core/image/image.h"

#include <string.h>

#include "core/base/mem.h"

/* BT.601 in 16 binary places; the three sum to 65536, so white stays 255. */
enum { LUMA_R = 19595, LUMA_G = 38470, LUMA_B = 7471 };

_Static_assert(LUMA_R + LUMA_G + LUMA_B == 65536, "white must stay white");

enum ak_status ak_image_init(struct ak_image *image, uint32_t width,
                             uint32_t height, uint32_t channels,
                             struct ak_err *err)
{
    uint8_t *pixels;

    if (width < 1 || width > AK_IMAGE_SIDE_MAX || height < 1 ||
        height > AK_IMAGE_SIDE_MAX)
        return ak_fail(err, AK_EINVAL, "image is %u x %u, sides must be 1..%d",
                       width, height, AK_IMAGE_SIDE_MAX);
    if (channels != 1 && channels != 3)
        return ak_fail(err, AK_EINVAL, "channels is %u, must be 1 or 3",
                       channels);
    pixels = ak_array_new((size_t)width * height, channels);
    if (pixels == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for %u x %u x %u pixels",
                       width, height, channels);
    *image = (struct ak_image){width, height, channels, pixels};
    return AK_OK;
}

void ak_image_clear(struct ak_image *image)
{
    ak_array_free(image->pixels);
    *image = (struct ak_image){0};
}

size_t ak_image_len(const struct ak_image *image)
{
    return (size_t)image->width * image->height * image->channels;
}

void ak_image_make_grey(struct ak_image *image)
{
    size_t n = (size_t)image->width * image->height;
    uint8_t *p = image->pixels;

    if (image->channels == 1)
        return;
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)((LUMA_R * p[3 * i] + LUMA_G * p[3 * i + 1] +
                          LUMA_B * p[3 * i + 2] + 32768) >>
                         16);
    image->channels = 1;
}

enum ak_status ak_image_make_rgb(struct ak_image *image, struct ak_err *err)
{
    struct ak_image rgb;
    enum ak_status status;

    if (image->channels == 3)
        return AK_OK;
    status = ak_image_init(&rgb, image->width, image->height, 3, err);
    if (status != AK_OK)
        return status;
    for (size_t i = 0; i < ak_image_len(image); i++)
        memset(rgb.pixels + 3 * i, image->pixels[i], 3);
    ak_image_clear(image);
    *image = rgb;
    return AK_OK;
}
