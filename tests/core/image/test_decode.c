/* decode.h on files that are right, odd, damaged and hostile. */
#define _GNU_SOURCE /* memmem() */
#include "tests/test.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/rng.h"
#include "core/image/decode.h"
#include "core/image/encode.h"
#include "core/image/resize.h"
#include "tests/core/image/files.h"

static enum ak_status decode(const struct ak_writer *file, struct ak_image *out,
                             struct ak_err *err)
{
    return ak_image_decode(file->data, file->len, NULL, 0, 0, out, err);
}

static void expect(struct ak_writer *file, enum ak_status status,
                   const char *text)
{
    struct ak_image out = {0};
    struct ak_err err = {0};

    assert_status(decode(file, &out, &err), status);
    assert_string_equal(err.text, text);
    assert_null(out.pixels);
    ak_writer_clear(file);
}

/* Every prefix is refused, as an exact copy so that a read beyond it shows. */
static void refuse_every_prefix(const struct ak_writer *file)
{
    for (size_t len = 0; len < file->len; len++) {
        struct ak_image out = {0};
        struct ak_err err = {0};
        uint8_t *copy = malloc(len + 1);
        enum ak_status status;

        assert_non_null(copy);
        memcpy(copy, file->data, len);
        copy = realloc(copy, len == 0 ? 1 : len);
        assert_non_null(copy);
        status = ak_image_decode(copy, len, NULL, 0, 0, &out, &err);
        if (status != AK_EINVAL)
            assert_status(status, AK_ECORRUPT);
        assert_true(err.text[0] != '\0');
        assert_null(out.pixels);
        free(copy);
    }
}

static void jpegs_come_back_nearly(void **state)
{
    static const unsigned hows[] = {0, JPEG_PROGRESSIVE};

    (void)state;
    for (uint32_t channels = 1; channels <= 3; channels += 2)
        for (size_t k = 0; k < 2; k++) {
            struct ak_writer file = {0};
            struct ak_image image, out = {0};

            paint(&image, 61, 43, channels);
            write_jpeg(&file, image.pixels, 61, 43, (int)channels, hows[k]);
            assert_status(decode(&file, &out, NULL), AK_OK);
            assert_true(worst(&image, &out) <= 16);
            ak_writer_clear(&file);
            ak_image_clear(&out);
            ak_image_clear(&image);
        }
}

/* C, M, Y of 255 - v with a fourth of the black: v * 3 / 4 remains. */
static void cmyk_becomes_rgb(void **state)
{
    static const unsigned hows[] = {0, JPEG_PLAIN_CMYK};

    (void)state;
    for (size_t k = 0; k < 2; k++) {
        struct ak_writer file = {0};
        struct ak_image image, out = {0};
        uint8_t *cmyk = ak_array_new(40 * 30, 4);

        assert_non_null(cmyk);
        paint(&image, 40, 30, 3);
        for (size_t i = 0; i < 40 * 30; i++) {
            for (size_t c = 0; c < 4; c++) {
                uint8_t ink =
                    c == 3 ? 64 : (uint8_t)(255 - image.pixels[3 * i + c]);

                /* Adobe's is inverted. */
                cmyk[4 * i + c] = hows[k] ? ink : (uint8_t)(255 - ink);
            }
            for (size_t c = 0; c < 3; c++)
                image.pixels[3 * i + c] =
                    (uint8_t)(image.pixels[3 * i + c] * 191 / 255);
        }
        write_jpeg(&file, cmyk, 40, 30, 4, hows[k]);
        assert_status(decode(&file, &out, NULL), AK_OK);
        assert_true(worst(&image, &out) <= 16);
        ak_writer_clear(&file);
        ak_array_free(cmyk);
        ak_image_clear(&out);
        ak_image_clear(&image);
    }
}

static void one_pixel_is_an_image(void **state)
{
    static const uint8_t pixel[3] = {200, 100, 50};

    (void)state;
    for (uint32_t channels = 1; channels <= 3; channels += 2) {
        struct ak_image image = {1, 1, channels, NULL}, out = {0};
        struct ak_writer file = {0};

        assert_status(ak_image_init(&image, 1, 1, channels, NULL), AK_OK);
        memcpy(image.pixels, pixel, channels);
        assert_status(ak_image_encode_png(&image, &file, NULL), AK_OK);
        assert_status(decode(&file, &out, NULL), AK_OK);
        assert_int_equal(worst(&image, &out), 0);
        ak_image_clear(&out);
        file.len = 0;
        write_jpeg(&file, pixel, 1, 1, (int)channels, 0);
        assert_status(decode(&file, &out, NULL), AK_OK);
        assert_true(worst(&image, &out) <= 4);
        ak_image_clear(&out);
        ak_image_clear(&image);
        ak_writer_clear(&file);
    }
}

static void written_pngs_come_back_exactly(void **state)
{
    struct ak_rng rng;

    (void)state;
    ak_rng_init(&rng, 6);
    for (uint32_t channels = 1; channels <= 3; channels += 2) {
        struct ak_writer file = {0}, again = {0};
        struct ak_image image, out = {0};

        assert_status(ak_image_init(&image, 70, 131, channels, NULL), AK_OK);
        for (size_t i = 0; i < ak_image_len(&image); i++)
            image.pixels[i] = (uint8_t)ak_rng_u64(&rng);
        assert_status(ak_image_encode_png(&image, &file, NULL), AK_OK);
        assert_status(ak_image_encode_png(&image, &again, NULL), AK_OK);
        assert_int_equal(file.len, again.len);
        assert_memory_equal(file.data, again.data, file.len);
        assert_status(decode(&file, &out, NULL), AK_OK);
        assert_int_equal(worst(&image, &out), 0);
        ak_writer_clear(&file);
        ak_writer_clear(&again);
        ak_image_clear(&out);
        ak_image_clear(&image);
    }
}

/* Decodes a 2 x 1 PNG made of one row and compares with `expected`. */
static void expect_row(uint8_t depth, uint8_t type, const char *plte,
                       size_t plte_len, const char *trns, size_t trns_len,
                       const char *row, size_t row_len, uint32_t channels,
                       const uint8_t *expected)
{
    struct ak_writer file = {0};
    struct ak_image out = {0};

    write_png_header(&file, 2, 1, depth, type, 0);
    if (plte != NULL)
        write_chunk(&file, "PLTE", plte, plte_len);
    if (trns != NULL)
        write_chunk(&file, "tRNS", trns, trns_len);
    write_png_data(&file, row, row_len);
    assert_status(decode(&file, &out, NULL), AK_OK);
    assert_int_equal(out.width, 2);
    assert_int_equal(out.channels, channels);
    assert_memory_equal(out.pixels, expected, 2 * channels);
    ak_image_clear(&out);
    ak_writer_clear(&file);
}

static void every_kind_of_png_is_read(void **state)
{
    (void)state;
    /* Grey of 1, 2, 4, 8 and 16 bits; each row begins with its filter, 0. */
    expect_row(1, 0, NULL, 0, NULL, 0, "\0\x40", 2, 1, (uint8_t[]){0, 255});
    expect_row(2, 0, NULL, 0, NULL, 0, "\0\x60", 2, 1, (uint8_t[]){85, 170});
    expect_row(4, 0, NULL, 0, NULL, 0, "\0\x1f", 2, 1, (uint8_t[]){17, 255});
    expect_row(8, 0, NULL, 0, NULL, 0, "\0\x05\xfe", 3, 1, (uint8_t[]){5, 254});
    /* 16 bits are rounded: 0x0180 is 1.49 of 255, 0xfffe is 255. */
    expect_row(16, 0, NULL, 0, NULL, 0, "\0\x01\x80\xff\xfe", 5, 1,
               (uint8_t[]){1, 255});
    expect_row(8, 2, NULL, 0, NULL, 0, "\0\1\2\3\4\5\6", 7, 3,
               (uint8_t[]){1, 2, 3, 4, 5, 6});
    expect_row(16, 2, NULL, 0, NULL, 0, "\0\1\1\2\2\3\3\4\4\5\5\6\6", 13, 3,
               (uint8_t[]){1, 2, 3, 4, 5, 6});
    /* A palette of two colours, the second half transparent. */
    expect_row(1, 3, "\x0a\x14\x1e\xc8\x64\x32", 6, NULL, 0, "\0\x40", 2, 3,
               (uint8_t[]){10, 20, 30, 200, 100, 50});
    expect_row(1, 3, "\x0a\x14\x1e\xc8\x64\x32", 6, "\xff\x80", 2, "\0\x40", 2,
               3, (uint8_t[]){10, 20, 30, 100, 50, 25});
    /* Alpha is laid on black. */
    expect_row(8, 4, NULL, 0, NULL, 0, "\0\xc8\x80\xc8\x00", 5, 1,
               (uint8_t[]){100, 0});
    expect_row(8, 6, NULL, 0, NULL, 0, "\0\x64\xc8\x32\x80\x01\x02\x03\xff", 9,
               3, (uint8_t[]){50, 100, 25, 1, 2, 3});
    /* The colour that tRNS names is transparent. */
    expect_row(8, 0, NULL, 0, "\0\x09", 2, "\0\x09\x0a", 3, 1,
               (uint8_t[]){0, 10});
}

static void an_interlaced_png_is_the_same_picture(void **state)
{
    static const uint32_t x0[7] = {0, 4, 0, 2, 0, 1, 0};
    static const uint32_t y0[7] = {0, 0, 4, 0, 2, 0, 1};
    static const uint32_t dx[7] = {8, 8, 4, 4, 2, 2, 1};
    static const uint32_t dy[7] = {8, 8, 8, 4, 4, 2, 2};
    struct ak_writer file = {0}, raw = {0};
    struct ak_image image, out = {0};

    (void)state;
    paint(&image, 75, 141, 3);
    for (int pass = 0; pass < 7; pass++)
        for (uint32_t y = y0[pass]; y < image.height; y += dy[pass]) {
            ak_write_u8(&raw, 0);
            for (uint32_t x = x0[pass]; x < image.width; x += dx[pass])
                ak_write_bytes(&raw, image.pixels + (y * 75 + x) * 3, 3);
        }
    write_png_header(&file, 75, 141, 8, 2, 1);
    write_png_data(&file, raw.data, raw.len);
    assert_status(decode(&file, &out, NULL), AK_OK);
    assert_int_equal(worst(&image, &out), 0);
    ak_writer_clear(&file);
    ak_writer_clear(&raw);
    ak_image_clear(&out);
    ak_image_clear(&image);
}

/* Text that would inflate to 64 MiB, a profile that is none, an animation. */
static void ancillary_chunks_are_not_looked_into(void **state)
{
    static const char bomb[] = "Comment\0\0not even zlib";
    struct ak_writer file = {0};
    struct ak_image out = {0};

    (void)state;
    write_png_header(&file, 1, 1, 8, 0, 0);
    write_chunk(&file, "gAMA", "\0\0\0\1", 4);
    write_chunk(&file, "iCCP", bomb, sizeof(bomb));
    write_chunk(&file, "acTL", "\0\0\0\2\0\0\0\0", 8);
    for (int i = 0; i < 2000; i++)
        write_chunk(&file, "zTXt", bomb, sizeof(bomb));
    write_png_data(&file, "\0\x7b", 2);
    assert_status(decode(&file, &out, NULL), AK_OK);
    assert_int_equal(out.pixels[0], 0x7b);
    ak_image_clear(&out);
    ak_writer_clear(&file);
}

static void a_wrong_checksum_is_fatal_everywhere(void **state)
{
    struct ak_writer file = {0};
    struct ak_image image, out = {0};
    size_t ends[4];

    (void)state;
    paint(&image, 8, 8, 1);
    write_png_header(&file, 2, 1, 8, 0, 0);
    ends[0] = file.len;
    write_chunk(&file, "tEXt", "Title\0x", 7);
    ends[1] = file.len;
    write_png_data(&file, "\0\1\2", 3);
    ends[2] = file.len - 12;
    ends[3] = file.len;
    for (int i = 0; i < 4; i++) {
        struct ak_err err = {0};

        file.data[ends[i] - 1] ^= 1;
        assert_status(decode(&file, &out, &err), AK_ECORRUPT);
        assert_non_null(strstr(err.text, "CRC"));
        file.data[ends[i] - 1] ^= 1;
    }
    assert_status(decode(&file, &out, NULL), AK_OK);
    ak_image_clear(&out);
    ak_image_clear(&image);
    ak_writer_clear(&file);
}

static void every_truncation_is_refused(void **state)
{
    struct ak_writer file = {0};
    struct ak_image image;

    (void)state;
    paint(&image, 24, 17, 3);
    write_jpeg(&file, image.pixels, 24, 17, 3, 0);
    refuse_every_prefix(&file);
    file.len = 0;
    write_jpeg(&file, image.pixels, 24, 17, 3, JPEG_PROGRESSIVE);
    refuse_every_prefix(&file);
    file.len = 0;
    assert_status(ak_image_encode_png(&image, &file, NULL), AK_OK);
    refuse_every_prefix(&file);
    ak_writer_clear(&file);
    ak_image_clear(&image);
}

/* Whatever a flipped byte does, there is a picture or a text and no crash. */
static void damage_is_survived(void **state)
{
    struct ak_writer files[3] = {{0}};
    struct ak_image image;
    struct ak_rng rng;

    (void)state;
    ak_rng_init(&rng, 7);
    paint(&image, 24, 17, 3);
    write_jpeg(&files[0], image.pixels, 24, 17, 3, 0);
    write_jpeg(&files[1], image.pixels, 24, 17, 3, JPEG_PROGRESSIVE);
    assert_status(ak_image_encode_png(&image, &files[2], NULL), AK_OK);
    for (int f = 0; f < 3; f++)
        for (int k = 0; k < 600; k++) {
            size_t at = ak_rng_below(&rng, files[f].len);
            uint8_t was = files[f].data[at];
            struct ak_image out = {0};
            struct ak_err err = {0};

            files[f].data[at] = (uint8_t)ak_rng_u64(&rng);
            if (decode(&files[f], &out, &err) != AK_OK) {
                assert_true(err.text[0] != '\0');
                assert_null(out.pixels);
            }
            ak_image_clear(&out);
            files[f].data[at] = was;
        }
    for (int f = 0; f < 3; f++)
        ak_writer_clear(&files[f]);
    ak_image_clear(&image);
}

static void other_formats_are_named(void **state)
{
    struct ak_writer file = {0};

    (void)state;
    expect(&file, AK_EINVAL, "image is empty, must be JPEG or PNG");
    ak_write_bytes(&file, "GIF89a\1\0\1\0", 10);
    expect(&file, AK_EINVAL,
           "image is a GIF by its first bytes, must be JPEG or PNG");
    memset(&file, 0, sizeof(file));
    ak_write_bytes(&file, "<script>alert(1)</script>", 25);
    expect(&file, AK_EINVAL,
           "image is HTML, XML or SVG by its first bytes, must be JPEG or PNG");
    memset(&file, 0, sizeof(file));
    ak_write_bytes(&file, "\x01\x02x", 3);
    expect(&file, AK_EINVAL,
           "image of 3 bytes begins with 01 02 78, must be JPEG (ff d8 ff) or "
           "PNG (89 50 4e 47)");
}

static void bombs_do_not_go_off(void **state)
{
    struct ak_writer file = {0};
    struct ak_image image;
    uint8_t *sof;

    (void)state;
    write_png_header(&file, 65500, 65500, 8, 2, 0);
    write_png_data(&file, "\0", 1);
    expect(&file, AK_ELIMIT, "image is 65500 x 65500, at most 16384 x 16384");
    memset(&file, 0, sizeof(file));
    write_png_header(&file, 1, 0x80000000u, 8, 2, 0);
    write_png_data(&file, "\0", 1);
    expect(&file, AK_ELIMIT, "image is 1 x 2147483648, at most 16384 x 16384");
    memset(&file, 0, sizeof(file));
    write_png_header(&file, 16384, 16384, 8, 2, 0);
    write_png_data(&file, "\0", 1);
    expect(&file, AK_ELIMIT,
           "image is 16384 x 16384 = 268435456 pixels, at most 40000000");
    memset(&file, 0, sizeof(file));
    write_png_header(&file, 0, 5, 8, 2, 0);
    write_png_data(&file, "\0", 1);
    expect(&file, AK_ECORRUPT, "image is 0 x 5, sides must be 1 or more");
    memset(&file, 0, sizeof(file));
    /* Within the limits, but 57 bytes cannot inflate to 120 million. */
    write_png_header(&file, 8000, 5000, 8, 2, 0);
    write_png_data(&file, "\0", 1);
    expect(&file, AK_ECORRUPT, "png: 66 bytes cannot hold 8000 x 5000 pixels");

    memset(&file, 0, sizeof(file));
    paint(&image, 8, 8, 1);
    write_jpeg(&file, image.pixels, 8, 8, 1, 0);
    sof = memmem(file.data, file.len, "\xff\xc0", 2);
    assert_non_null(sof);
    sof[5] = sof[7] = 0xff;
    sof[6] = sof[8] = 0xdc;
    expect(&file, AK_ELIMIT, "image is 65500 x 65500, at most 16384 x 16384");
    memset(&file, 0, sizeof(file));
    write_jpeg(&file, image.pixels, 8, 8, 1, 0);
    sof = memmem(file.data, file.len, "\xff\xc0", 2);
    assert_non_null(sof);
    sof[5] = sof[7] = 0x13;
    sof[6] = sof[8] = 0x88;
    {
        struct ak_image out = {0};
        struct ak_err err = {0};

        assert_status(decode(&file, &out, &err), AK_ECORRUPT);
        assert_non_null(strstr(err.text, "cannot hold 5000 x 5000 pixels"));
    }
    ak_writer_clear(&file);
    ak_image_clear(&image);
}

/* 190 progressive scans; the same file is fine when the limit is higher. */
static void scans_are_counted(void **state)
{
    struct ak_image_limits limits = ak_image_limits_default;
    struct ak_writer file = {0};
    struct ak_image image, out = {0};
    struct ak_err err = {0};

    (void)state;
    paint(&image, 64, 64, 1);
    write_jpeg(&file, image.pixels, 64, 64, 1,
               JPEG_PROGRESSIVE | JPEG_MANY_SCANS);
    assert_status(decode(&file, &out, &err), AK_ELIMIT);
    assert_string_equal(err.text, "jpeg: more than 100 scans");
    limits.max_scans = 190;
    assert_status(
        ak_image_decode(file.data, file.len, &limits, 0, 0, &out, NULL), AK_OK);
    assert_true(worst(&image, &out) <= 16);
    ak_image_clear(&out);
    ak_image_clear(&image);
    ak_writer_clear(&file);
}

static void the_decoder_is_held_to_its_memory(void **state)
{
    struct ak_image_limits limits = ak_image_limits_default;
    struct ak_writer file = {0};
    struct ak_image image, out = {0};
    struct ak_err err = {0};

    (void)state;
    paint(&image, 1024, 1024, 3);
    write_jpeg(&file, image.pixels, 1024, 1024, 3, JPEG_PROGRESSIVE);
    limits.max_codec_memory = 1 << 20;
    assert_status(
        ak_image_decode(file.data, file.len, &limits, 0, 0, &out, &err),
        AK_ELIMIT);
    assert_string_equal(err.text,
                        "jpeg: 1024 x 1024 pixels in progressive scans need "
                        "more than 1048576 bytes in the decoder");
    ak_image_clear(&image);
    ak_writer_clear(&file);
}

static void arithmetic_coding_is_refused_by_name(void **state)
{
    struct ak_writer file = {0};
    struct ak_image image;

    (void)state;
    paint(&image, 16, 16, 1);
    write_jpeg(&file, image.pixels, 16, 16, 1, JPEG_ARITHMETIC);
    ak_image_clear(&image);
    expect(&file, AK_EUNSUPPORTED,
           "jpeg: arithmetic coding, only Huffman is read");
}

/* A large JPEG is reduced on the way, and looks the same when small. */
static void a_hint_reduces_a_large_jpeg(void **state)
{
    static const struct {
        uint32_t hint, width;
    } cases[] = {{0, 640},  {28, 80},   {40, 80},
                 {41, 160}, {160, 320}, {161, 640}};
    struct ak_writer file = {0};
    struct ak_image image, small = {0};

    (void)state;
    paint(&image, 640, 640, 3);
    write_jpeg(&file, image.pixels, 640, 640, 3, 0);
    assert_status(ak_image_resize(&image, 20, 20, &small, NULL), AK_OK);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ak_image out = {0}, tiny = {0};

        assert_status(ak_image_decode(file.data, file.len, NULL, cases[i].hint,
                                      cases[i].hint, &out, NULL),
                      AK_OK);
        assert_int_equal(out.width, cases[i].width);
        assert_int_equal(out.height, cases[i].width);
        assert_status(ak_image_resize(&out, 20, 20, &tiny, NULL), AK_OK);
        assert_true(worst(&small, &tiny) <= 4);
        ak_image_clear(&out);
        ak_image_clear(&tiny);
    }
    ak_image_clear(&image);
    ak_image_clear(&small);
    ak_writer_clear(&file);
}

/* An Exif segment with one entry, the orientation. */
static size_t make_exif(uint8_t *to, uint8_t orientation, int big)
{
    static const uint8_t little[] = "Exif\0\0II*\0\x08\0\0\0\1\0"
                                    "\x12\1\3\0\1\0\0\0\0\0\0\0";
    static const uint8_t large[] = "Exif\0\0MM\0*\0\0\0\x08\0\1"
                                   "\1\x12\0\3\0\0\0\1\0\0\0\0";

    memcpy(to, big ? large : little, sizeof(large) - 1);
    to[24 + (big ? 1 : 0)] = orientation;
    return sizeof(large) - 1;
}

/* Where the bright quarter of the file's top left goes, as Exif defines it. */
static void exif_orientation_is_applied(void **state)
{
    /* orientation 1..8: right?, bottom?, transposed? */
    static const uint8_t where[9][3] = {{0},       {0, 0, 0}, {1, 0, 0},
                                        {1, 1, 0}, {0, 1, 0}, {0, 0, 1},
                                        {1, 0, 1}, {1, 1, 1}, {0, 1, 1}};
    struct ak_image image;

    (void)state;
    assert_status(ak_image_init(&image, 64, 32, 1, NULL), AK_OK);
    for (uint32_t y = 0; y < 16; y++)
        memset(image.pixels + y * 64, 255, 32);
    for (uint8_t o = 1; o <= 8; o++)
        for (int big = 0; big < 2; big++) {
            uint8_t exif[64];
            size_t len = make_exif(exif, o, big);
            struct ak_writer file = {0};
            struct ak_image out = {0};
            uint32_t w = where[o][2] ? 32 : 64, h = where[o][2] ? 64 : 32;

            write_jpeg_exif(&file, image.pixels, 64, 32, 1, 0, exif, len);
            assert_status(decode(&file, &out, NULL), AK_OK);
            assert_int_equal(out.width, w);
            assert_int_equal(out.height, h);
            for (uint32_t q = 0; q < 4; q++) {
                uint32_t x = w / 4 + (q & 1) * w / 2;
                uint32_t y = h / 4 + (q >> 1) * h / 2;
                int bright = (q & 1) == where[o][0] && (q >> 1) == where[o][1];

                assert_true(abs(out.pixels[y * w + x] - 255 * bright) < 8);
            }
            ak_image_clear(&out);
            ak_writer_clear(&file);
        }
    ak_image_clear(&image);
}

/* Cut at every byte, and with every number in it made huge: upright. */
static void broken_exif_means_upright(void **state)
{
    uint8_t exif[64];
    struct ak_image image;
    size_t len = make_exif(exif, 6, 0);

    (void)state;
    paint(&image, 16, 8, 1);
    for (size_t cut = 6; cut < len; cut++) {
        struct ak_writer file = {0};
        struct ak_image out = {0};

        write_jpeg_exif(&file, image.pixels, 16, 8, 1, 0, exif, cut);
        assert_status(decode(&file, &out, NULL), AK_OK);
        assert_int_equal(out.width, 16);
        ak_image_clear(&out);
        ak_writer_clear(&file);
    }
    for (size_t at = 6; at < len; at++) {
        struct ak_writer file = {0};
        struct ak_image out = {0};
        uint8_t was = exif[at];

        exif[at] = 0xff;
        write_jpeg_exif(&file, image.pixels, 16, 8, 1, 0, exif, len);
        assert_status(decode(&file, &out, NULL), AK_OK);
        ak_image_clear(&out);
        ak_writer_clear(&file);
        exif[at] = was;
    }
    ak_image_clear(&image);
}

/* What follows the end of an image is another file's business. */
static void bytes_after_the_end_are_ignored(void **state)
{
    struct ak_image image;

    (void)state;
    paint(&image, 16, 8, 3);
    for (int png = 0; png < 2; png++) {
        struct ak_writer file = {0};
        struct ak_image out = {0};

        if (png)
            assert_status(ak_image_encode_png(&image, &file, NULL), AK_OK);
        else
            write_jpeg(&file, image.pixels, 16, 8, 3, 0);
        ak_write_bytes(&file, "<script>alert(1)</script>", 25);
        assert_status(decode(&file, &out, NULL), AK_OK);
        ak_image_clear(&out);
        ak_writer_clear(&file);
    }
    ak_image_clear(&image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jpegs_come_back_nearly),
        cmocka_unit_test(cmyk_becomes_rgb),
        cmocka_unit_test(one_pixel_is_an_image),
        cmocka_unit_test(written_pngs_come_back_exactly),
        cmocka_unit_test(every_kind_of_png_is_read),
        cmocka_unit_test(an_interlaced_png_is_the_same_picture),
        cmocka_unit_test(ancillary_chunks_are_not_looked_into),
        cmocka_unit_test(a_wrong_checksum_is_fatal_everywhere),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(damage_is_survived),
        cmocka_unit_test(other_formats_are_named),
        cmocka_unit_test(bombs_do_not_go_off),
        cmocka_unit_test(scans_are_counted),
        cmocka_unit_test(the_decoder_is_held_to_its_memory),
        cmocka_unit_test(arithmetic_coding_is_refused_by_name),
        cmocka_unit_test(a_hint_reduces_a_large_jpeg),
        cmocka_unit_test(exif_orientation_is_applied),
        cmocka_unit_test(broken_exif_means_upright),
        cmocka_unit_test(bytes_after_the_end_are_ignored),
    };

    return cmocka_run_group_tests_name("decode", tests, NULL, NULL);
}
