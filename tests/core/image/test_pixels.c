/* pixels.c, and encode.c by what decode.c makes of its files. */
#include "tests/test.h"

#include <string.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/image/encode.h"
#include "core/image/pixels.h"
#include "core/image/resize.h"
#include "tests/core/image/files.h"

static void reads_the_names_it_should(void **state)
{
    struct ak_pixels_spec spec;

    (void)state;
    assert_status(ak_pixels_parse("pixels-28x14x1", &spec, NULL), AK_OK);
    assert_int_equal(spec.width, 28);
    assert_int_equal(spec.height, 14);
    assert_int_equal(spec.channels, 1);
    assert_int_equal(ak_pixels_dim(&spec), 392);
    assert_status(ak_pixels_parse("pixels-1x1x3", &spec, NULL), AK_OK);
    assert_status(ak_pixels_parse("pixels-1024x64x1", &spec, NULL), AK_OK);
    assert_int_equal(ak_pixels_dim(&spec), 65536);
}

static void refuses_the_names_it_should(void **state)
{
    static const char *const wrong[] = {
        "pixels-",         "pixels-28",        "pixels-28x28",
        "pixels-28x28x",   "pixels-28x28x2",   "pixels-28x28x1 ",
        "pixels-028x28x1", "pixels-+28x28x1",  "pixels-0x28x1",
        "pixels-1025x1x1", "pixels-257x256x1", "pixels-256x256x3",
        "pixels-28x28x1x", "pixels-28X28x1",   "pixels-4294967297x1x1",
        "pixels--1x1x1",   "pixels-28x28x03",  "pixels-99999999999x1x1"};
    struct ak_pixels_spec spec = {0};
    struct ak_err err = {0};

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_status(ak_pixels_parse(wrong[i], &spec, &err), AK_EINVAL);
    assert_status(ak_pixels_parse("pixels-256x256x3", &spec, &err), AK_EINVAL);
    assert_string_equal(err.text, "extractor pixels-256x256x3: dimension is "
                                  "196608, must be at most 65536");
    assert_status(ak_pixels_parse("resnet20", &spec, &err), AK_ENOTFOUND);
    assert_int_equal(spec.width, 0);
}

/* The sentence that the vectors of Fashion-MNIST's images rest on. */
static void a_grey_png_gives_back_exactly_its_pixels(void **state)
{
    struct ak_writer file = {0};
    struct ak_extractor *e = NULL;
    struct ak_image image, back;
    struct ak_rng rng;
    float out[784];

    (void)state;
    ak_rng_init(&rng, 5);
    assert_status(ak_image_init(&image, 28, 28, 1, NULL), AK_OK);
    for (int i = 0; i < 784; i++)
        image.pixels[i] = (uint8_t)ak_rng_u64(&rng);
    assert_status(ak_image_encode_png(&image, &file, NULL), AK_OK);
    assert_status(ak_pixels_create("pixels-28x28x1", &e, NULL), AK_OK);
    assert_int_equal(e->dim, 784);
    assert_string_equal(e->name, "pixels-28x28x1");
    assert_string_equal(e->ops->kind, "pixels");
    assert_int_equal(e->width, 28);
    assert_int_equal(e->height, 28);
    assert_status(ak_image_decode(file.data, file.len, NULL, e->width,
                                  e->height, &back, NULL),
                  AK_OK);
    assert_status(ak_extractor_extract(e, &back, out, NULL), AK_OK);
    for (int i = 0; i < 784; i++)
        assert_true(out[i] == (float)image.pixels[i] / 255.0f);
    ak_extractor_unref(e);
    ak_writer_clear(&file);
    ak_image_clear(&back);
    ak_image_clear(&image);
}

static void colour_is_interleaved_and_grey_is_luma(void **state)
{
    static const uint8_t rgb[6] = {255, 0, 0, 10, 20, 30};
    struct ak_pixels_spec colour = {2, 1, 3}, grey = {2, 1, 1};
    struct ak_writer file = {0};
    struct ak_image image;
    float out[6];

    (void)state;
    assert_status(ak_image_init(&image, 2, 1, 3, NULL), AK_OK);
    memcpy(image.pixels, rgb, 6);
    assert_status(ak_image_encode_png(&image, &file, NULL), AK_OK);
    assert_status(
        ak_pixels_extract(&colour, file.data, file.len, NULL, out, NULL),
        AK_OK);
    for (int i = 0; i < 6; i++)
        assert_true(out[i] == (float)rgb[i] / 255.0f);
    assert_status(
        ak_pixels_extract(&grey, file.data, file.len, NULL, out, NULL), AK_OK);
    assert_true(out[0] == 76 / 255.0f);
    assert_true(out[1] == 18 / 255.0f);
    ak_writer_clear(&file);
    ak_image_clear(&image);
}

static void a_grey_file_has_three_equal_channels_in_colour(void **state)
{
    struct ak_pixels_spec spec = {4, 4, 3};
    struct ak_writer file = {0};
    struct ak_image image;
    float out[48];

    (void)state;
    paint(&image, 9, 7, 1);
    assert_status(ak_image_encode_png(&image, &file, NULL), AK_OK);
    assert_status(
        ak_pixels_extract(&spec, file.data, file.len, NULL, out, NULL), AK_OK);
    for (int i = 0; i < 48; i += 3) {
        assert_true(out[i] == out[i + 1] && out[i] == out[i + 2]);
        assert_true(out[i] >= 0.0f && out[i] <= 1.0f);
    }
    ak_writer_clear(&file);
    ak_image_clear(&image);
}

static void what_does_not_decode_leaves_the_output_alone(void **state)
{
    struct ak_pixels_spec spec = {2, 2, 1};
    struct ak_err err = {0};
    float out[4] = {7, 7, 7, 7};

    (void)state;
    assert_status(
        ak_pixels_extract(&spec, "\xff\xd8\xff\xe0", 4, NULL, out, &err),
        AK_ECORRUPT);
    assert_status(ak_pixels_extract(&spec, "GIF89a", 6, NULL, out, &err),
                  AK_EINVAL);
    for (int i = 0; i < 4; i++)
        assert_true(out[i] == 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_names_it_should),
        cmocka_unit_test(refuses_the_names_it_should),
        cmocka_unit_test(a_grey_png_gives_back_exactly_its_pixels),
        cmocka_unit_test(colour_is_interleaved_and_grey_is_luma),
        cmocka_unit_test(a_grey_file_has_three_equal_channels_in_colour),
        cmocka_unit_test(what_does_not_decode_leaves_the_output_alone),
    };

    return cmocka_run_group_tests_name("pixels", tests, NULL, NULL);
}
