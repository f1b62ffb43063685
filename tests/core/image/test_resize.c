/* resize.c against the plain sum over all source pixels, and image.c. */
#include "tests/test.h"

#include <string.h>

#include "core/base/rng.h"
#include "core/image/resize.h"

static void noise(struct ak_image *image, uint32_t w, uint32_t h, uint32_t c,
                  struct ak_rng *rng)
{
    assert_status(ak_image_init(image, w, h, c, NULL), AK_OK);
    for (size_t i = 0; i < ak_image_len(image); i++)
        image->pixels[i] = (uint8_t)ak_rng_u64(rng);
}

static uint64_t overlap(uint64_t a, uint64_t a_end, uint64_t b, uint64_t b_end)
{
    uint64_t lo = a > b ? a : b;
    uint64_t hi = a_end < b_end ? a_end : b_end;

    return hi > lo ? hi - lo : 0;
}

/* The definition: every source pixel, weighed by the area that is covered. */
static uint8_t slow(const struct ak_image *in, uint32_t w, uint32_t h,
                    uint32_t x, uint32_t y, uint32_t c)
{
    uint64_t sum = 0, area = (uint64_t)in->width * in->height;

    for (uint64_t j = 0; j < in->height; j++)
        for (uint64_t i = 0; i < in->width; i++) {
            uint64_t wx = overlap(i * w, (i + 1) * w, (uint64_t)x * in->width,
                                  (x + (uint64_t)1) * in->width);
            uint64_t wy = overlap(j * h, (j + 1) * h, (uint64_t)y * in->height,
                                  (y + (uint64_t)1) * in->height);

            sum += wx * wy * in->pixels[(j * in->width + i) * in->channels + c];
        }
    return (uint8_t)((2 * sum + area) / (2 * area));
}

static void agrees_with_the_definition(void **state)
{
    static const uint32_t sides[] = {1, 2, 3, 5, 7, 8, 13};
    const size_t n = sizeof(sides) / sizeof(sides[0]);
    struct ak_rng rng;

    (void)state;
    ak_rng_init(&rng, 3);
    for (size_t k = 0; k < 150; k++) {
        uint32_t w = sides[ak_rng_below(&rng, n)];
        uint32_t h = sides[ak_rng_below(&rng, n)];
        uint32_t channels = k % 2 ? 1 : 3;
        struct ak_image in, out;

        noise(&in, sides[ak_rng_below(&rng, n)], sides[ak_rng_below(&rng, n)],
              channels, &rng);
        assert_status(ak_image_resize(&in, w, h, &out, NULL), AK_OK);
        assert_int_equal(out.width, w);
        assert_int_equal(out.height, h);
        assert_int_equal(out.channels, channels);
        for (uint32_t y = 0; y < h; y++)
            for (uint32_t x = 0; x < w; x++)
                for (uint32_t c = 0; c < channels; c++)
                    assert_int_equal(
                        out.pixels[((size_t)y * w + x) * channels + c],
                        slow(&in, w, h, x, y, c));
        ak_image_clear(&in);
        ak_image_clear(&out);
    }
}

static void the_same_size_gives_the_same_pixels(void **state)
{
    struct ak_image in, out;
    struct ak_rng rng;

    (void)state;
    ak_rng_init(&rng, 4);
    noise(&in, 28, 28, 1, &rng);
    assert_status(ak_image_resize(&in, 28, 28, &out, NULL), AK_OK);
    assert_memory_equal(in.pixels, out.pixels, 28 * 28);
    ak_image_clear(&in);
    ak_image_clear(&out);
}

/* No sum may wrap at the longest sides and the brightest pixels. */
static void white_stays_white_at_the_extremes(void **state)
{
    /* Not a long side of the one against a long one of the other across it,
       which is four thousand million products. */
    static const uint32_t sizes[][4] = {
        {65535, 1, 1, 7},     {1, 65535, 7, 1},     {65535, 3, 2, 2},
        {1, 1, 65535, 1},     {1, 1, 1, 65535},     {65535, 1, 65534, 1},
        {1, 65535, 1, 65534}, {65534, 1, 65535, 1}, {3, 32768, 7, 32767}};

    (void)state;
    for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
        const uint32_t *s = sizes[k];
        struct ak_image in, out;

        assert_status(ak_image_init(&in, s[0], s[1], 1, NULL), AK_OK);
        memset(in.pixels, 255, ak_image_len(&in));
        assert_status(ak_image_resize(&in, s[2], s[3], &out, NULL), AK_OK);
        for (size_t i = 0; i < ak_image_len(&out); i++)
            assert_int_equal(out.pixels[i], 255);
        ak_image_clear(&in);
        ak_image_clear(&out);
    }
}

static void refuses_sizes_that_are_none(void **state)
{
    struct ak_image in, out = {0};
    struct ak_err err = {0};

    (void)state;
    assert_status(ak_image_init(&in, 2, 2, 1, NULL), AK_OK);
    assert_status(ak_image_resize(&in, 0, 2, &out, &err), AK_EINVAL);
    assert_string_equal(err.text, "image is 0 x 2, sides must be 1..65535");
    assert_status(ak_image_resize(&in, 2, 65536, &out, &err), AK_EINVAL);
    assert_status(ak_image_init(&out, 2, 2, 2, &err), AK_EINVAL);
    assert_string_equal(err.text, "channels is 2, must be 1 or 3");
    assert_null(out.pixels);
    ak_image_clear(&in);
}

static void grey_is_the_luma_of_bt601(void **state)
{
    static const uint8_t colours[][4] = {{255, 255, 255, 255}, {0, 0, 0, 0},
                                         {255, 0, 0, 76},      {0, 255, 0, 150},
                                         {0, 0, 255, 29},      {9, 9, 9, 9}};
    const uint32_t n = sizeof(colours) / sizeof(colours[0]);
    struct ak_image image;

    (void)state;
    assert_status(ak_image_init(&image, n, 1, 3, NULL), AK_OK);
    for (uint32_t i = 0; i < n; i++)
        memcpy(image.pixels + 3 * i, colours[i], 3);
    ak_image_make_grey(&image);
    assert_int_equal(image.channels, 1);
    for (uint32_t i = 0; i < n; i++)
        assert_int_equal(image.pixels[i], colours[i][3]);
    assert_status(ak_image_make_rgb(&image, NULL), AK_OK);
    assert_int_equal(image.channels, 3);
    for (uint32_t i = 0; i < 3 * n; i++)
        assert_int_equal(image.pixels[i], colours[i / 3][3]);
    ak_image_clear(&image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_the_definition),
        cmocka_unit_test(the_same_size_gives_the_same_pixels),
        cmocka_unit_test(white_stays_white_at_the_extremes),
        cmocka_unit_test(refuses_sizes_that_are_none),
        cmocka_unit_test(grey_is_the_luma_of_bt601),
    };

    return cmocka_run_group_tests_name("resize", tests, NULL, NULL);
}
