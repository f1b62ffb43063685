/* What decodes can be resized, written, and read back as it was. */
#include <string.h>

#include "core/image/decode.h"
#include "core/image/encode.h"
#include "core/image/resize.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* No deadline: what decodes once must do so again on a busy machine. */
    static const struct ak_image_limits limits = {2048,    2048, 1 << 20,
                                                  8 << 20, 20,   0};
    struct ak_image image = {0}, small = {0}, again = {0};
    struct ak_writer file = {0};
    struct ak_err err = {0};

    if (ak_image_decode(data, size, &limits, 0, 0, &image, &err) != AK_OK) {
        FUZZ_CHECK(err.text[0] != '\0');
        FUZZ_CHECK(image.pixels == NULL);
        return 0;
    }
    FUZZ_CHECK(image.channels == 1 || image.channels == 3);
    FUZZ_CHECK((uint64_t)image.width * image.height <= limits.max_pixels);
    FUZZ_CHECK(ak_image_resize(&image, 24, 24, &small, NULL) == AK_OK);
    FUZZ_CHECK(ak_image_encode_png(&small, &file, NULL) == AK_OK);
    FUZZ_CHECK(ak_image_decode(file.data, file.len, &limits, 0, 0, &again,
                               NULL) == AK_OK);
    FUZZ_CHECK(ak_image_len(&again) == ak_image_len(&small));
    FUZZ_CHECK(memcmp(again.pixels, small.pixels, ak_image_len(&small)) == 0);
    ak_image_clear(&again);
    ak_image_clear(&image);
    /* What decodes whole also decodes reduced. */
    FUZZ_CHECK(ak_image_decode(data, size, &limits, 24, 24, &image, &err) ==
                   AK_OK ||
               err.status == AK_ELIMIT);
    ak_writer_clear(&file);
    ak_image_clear(&image);
    ak_image_clear(&small);
    return 0;
}
