/* Real photographs, read from the data set's tar file; skipped without it. */
#include "tests/test.h"

#include <stdlib.h>
#include <string.h>

#include "core/image/pixels.h"
#include "core/image/resize.h"
#include "tests/core/image/files.h"
#include "tests/data.h"

#define BLOCK 512

static char path[4096];

static void every_photo_is_decoded(void **state)
{
    struct ak_pixels_spec spec = {32, 32, 3};
    float *out = malloc(ak_pixels_dim(&spec) * sizeof(*out));
    size_t len = 0, grey = 0, n = 0;
    uint8_t *tar;

    (void)state;
    assert_non_null(out);
    tar = ak_test_read_file(path, &len);
    for (size_t at = 0; at + BLOCK <= len && tar[at] != '\0';) {
        size_t size = strtoul((const char *)tar + at + 124, NULL, 8);
        const uint8_t *file = tar + at + BLOCK;

        at += BLOCK + (size + BLOCK - 1) / BLOCK * BLOCK;
        if (size == 0 || memcmp(file, "\xff\xd8\xff", 3) != 0)
            continue;
        assert_true(at <= len);
        {
            struct ak_image image = {0};
            struct ak_err err = {0};

            if (ak_image_decode(file, size, NULL, 0, 0, &image, &err) != AK_OK)
                fail_msg("photo %zu: %s", n, err.text);
            assert_int_equal(image.width, 224);
            assert_int_equal(image.height, 224);
            grey += image.channels == 1;
            ak_image_clear(&image);
        }
        /* Halved by its DCT, which cuts frequencies where a box averages. */
        if (n % 50 == 0) {
            struct ak_image full = {0}, half = {0}, a = {0}, b = {0};

            assert_status(ak_image_decode(file, size, NULL, 0, 0, &full, NULL),
                          AK_OK);
            assert_status(
                ak_image_decode(file, size, NULL, 32, 32, &half, NULL), AK_OK);
            assert_int_equal(half.width, 112);
            assert_status(ak_image_resize(&full, 32, 32, &a, NULL), AK_OK);
            assert_status(ak_image_resize(&half, 32, 32, &b, NULL), AK_OK);
            assert_true(worst(&a, &b) <= 24);
            ak_image_clear(&full);
            ak_image_clear(&half);
            ak_image_clear(&a);
            ak_image_clear(&b);
            assert_status(ak_pixels_extract(&spec, file, size, NULL, out, NULL),
                          AK_OK);
        }
        n++;
    }
    print_message("# %zu photos, %zu of them grey\n", n, grey);
    assert_int_equal(n, 1500);
    assert_true(grey > 0 && grey < n);
    free(tar);
    free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_photo_is_decoded),
    };

    if (ak_test_data("photos/imagenette10.tar", path, sizeof(path)) == NULL)
        return ak_test_skip_all("every_photo_is_decoded",
                                "photos/imagenette10.tar is not there");
    return cmocka_run_group_tests_name("photos", tests, NULL, NULL);
}
