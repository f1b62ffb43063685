/*
 * orient.c -- the orientation in the Exif segment of a JPEG.
 *
 * CIPA DC-008 (Exif 2.32): the segment is "Exif\0\0" and a TIFF file, whose
 * first directory may hold tag 0x0112, a SHORT of 1..8.  Only that directory is
 * read, and only forward: there is no chain to loop in.  Cameras' Exif is often
 * broken, and an image without it is still an image: what does not parse is
 * orientation 1.
 */
#include <string.h>

#include "core/base/mem.h"
#include "core/image/decode_internal.h"

enum { TAG_ORIENTATION = 0x0112, TYPE_SHORT = 3, ENTRY_LEN = 12 };

static uint32_t u16(const uint8_t *p, int big)
{
    return big ? (uint32_t)(p[0] << 8 | p[1]) : (uint32_t)(p[1] << 8 | p[0]);
}

static uint32_t u32(const uint8_t *p, int big)
{
    return big ? u16(p, 1) << 16 | u16(p + 2, 1)
               : u16(p + 2, 0) << 16 | u16(p, 0);
}

uint32_t ak_exif_orientation(const uint8_t *app1, size_t len)
{
    const uint8_t *tiff;
    size_t at, n;
    int big;

    if (len < 6 + 8 || memcmp(app1, "Exif\0", 6) != 0)
        return 1;
    tiff = app1 + 6;
    len -= 6;
    if (memcmp(tiff, "MM\0*", 4) == 0)
        big = 1;
    else if (memcmp(tiff, "II*\0", 4) == 0)
        big = 0;
    else
        return 1;
    at = u32(tiff + 4, big);
    if (at > len - 2)
        return 1;
    n = u16(tiff + at, big);
    for (at += 2; n > 0 && len - at >= ENTRY_LEN; n--, at += ENTRY_LEN) {
        const uint8_t *entry = tiff + at;
        uint32_t value = u16(entry + 8, big);

        if (u16(entry, big) != TAG_ORIENTATION)
            continue;
        if (u16(entry + 2, big) != TYPE_SHORT || u32(entry + 4, big) != 1 ||
            value < 1 || value > 8)
            return 1;
        return value;
    }
    return 1;
}

/*
 * Orientations 1..8 as three switches: 5..8 are transposed (rows of the file
 * are columns of the picture), and then each axis may run backwards.
 */
enum ak_status ak_image_orient(struct ak_image *image, uint32_t orientation,
                               struct ak_err *err)
{
    static const uint8_t mirrored[9] = {0, 0, 1, 1, 0, 0, 1, 1, 0};
    static const uint8_t flipped[9] = {0, 0, 0, 1, 1, 0, 0, 1, 1};
    struct ak_image up = {0};
    int transposed = orientation >= 5;
    uint32_t w = transposed ? image->height : image->width;
    uint32_t h = transposed ? image->width : image->height;
    size_t c = image->channels;
    enum ak_status status;

    if (orientation <= 1)
        return AK_OK;
    status = ak_image_init(&up, w, h, image->channels, err);
    if (status != AK_OK)
        return status;
    for (uint32_t y = 0; y < h; y++)
        for (uint32_t x = 0; x < w; x++) {
            uint32_t ux = mirrored[orientation] ? w - 1 - x : x;
            uint32_t uy = flipped[orientation] ? h - 1 - y : y;
            uint32_t sx = transposed ? uy : ux;
            uint32_t sy = transposed ? ux : uy;

            memcpy(up.pixels + ((size_t)y * w + x) * c,
                   image->pixels + ((size_t)sy * image->width + sx) * c, c);
        }
    ak_image_clear(image);
    *image = up;
    return AK_OK;
}
