#include "tests/core/image/files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <zlib.h>

#include "core/base/digest.h"
#include "tests/test.h"

void write_jpeg_exif(struct ak_writer *w, const uint8_t *pixels, uint32_t width,
                     uint32_t height, int components, unsigned how,
                     const void *exif, size_t exif_len)
{
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr errors;
    unsigned char *bytes = NULL;
    unsigned long len = 0;
    jpeg_scan_info scans[200];

    c.err = jpeg_std_error(&errors);
    jpeg_create_compress(&c);
    jpeg_mem_dest(&c, &bytes, &len);
    c.image_width = width;
    c.image_height = height;
    c.input_components = components;
    c.in_color_space = components == 1   ? JCS_GRAYSCALE
                       : components == 3 ? JCS_RGB
                                         : JCS_CMYK;
    jpeg_set_defaults(&c);
    jpeg_set_quality(&c, 95, TRUE);
    for (int i = 0; i < c.num_components; i++)
        c.comp_info[i].h_samp_factor = c.comp_info[i].v_samp_factor = 1;
    if (how & JPEG_PLAIN_CMYK)
        c.write_Adobe_marker = FALSE;
    if (how & JPEG_ARITHMETIC)
        c.arith_code = TRUE;
    if (how & JPEG_PROGRESSIVE)
        jpeg_simple_progression(&c);
    if (how & JPEG_MANY_SCANS) {
        /* DC first; then one coefficient a scan; then its bits, one by one. */
        int n = 0;

        assert_int_equal(components, 1);
        scans[n++] = (jpeg_scan_info){1, {0}, 0, 0, 0, 0};
        for (int k = 1; k < 64; k++)
            scans[n++] = (jpeg_scan_info){1, {0}, k, k, 0, 2};
        for (int k = 1; k < 64; k++)
            scans[n++] = (jpeg_scan_info){1, {0}, k, k, 2, 1};
        for (int k = 1; k < 64; k++)
            scans[n++] = (jpeg_scan_info){1, {0}, k, k, 1, 0};
        c.scan_info = scans;
        c.num_scans = n;
    }
    jpeg_start_compress(&c, TRUE);
    if (exif != NULL)
        jpeg_write_marker(&c, JPEG_APP0 + 1, exif, (unsigned)exif_len);
    while (c.next_scanline < c.image_height) {
        const uint8_t *at =
            pixels + (size_t)c.next_scanline * width * (size_t)components;
        JSAMPROW row;

        memcpy(&row, &at, sizeof(row)); /* libjpeg's rows are not const */
        jpeg_write_scanlines(&c, &row, 1);
    }
    jpeg_finish_compress(&c);
    ak_write_bytes(w, bytes, len);
    assert_status(w->status, AK_OK);
    jpeg_destroy_compress(&c);
    free(bytes);
}

void write_jpeg(struct ak_writer *w, const uint8_t *pixels, uint32_t width,
                uint32_t height, int components, unsigned how)
{
    write_jpeg_exif(w, pixels, width, height, components, how, NULL, 0);
}

static void write_be32(struct ak_writer *w, uint32_t value)
{
    ak_write_u32(w, __builtin_bswap32(value));
}

void write_chunk(struct ak_writer *w, const char *type, const void *data,
                 size_t len)
{
    size_t at = w->len + 4;

    write_be32(w, (uint32_t)len);
    ak_write_bytes(w, type, 4);
    ak_write_bytes(w, data, len);
    write_be32(w, ak_crc32(w->data + at, len + 4));
    assert_status(w->status, AK_OK);
}

void write_png_header(struct ak_writer *w, uint32_t width, uint32_t height,
                      uint8_t depth, uint8_t colour_type, uint8_t interlaced)
{
    uint8_t data[13] = {(uint8_t)(width >> 24),
                        (uint8_t)(width >> 16),
                        (uint8_t)(width >> 8),
                        (uint8_t)width,
                        (uint8_t)(height >> 24),
                        (uint8_t)(height >> 16),
                        (uint8_t)(height >> 8),
                        (uint8_t)height,
                        depth,
                        colour_type,
                        0,
                        0,
                        interlaced};

    ak_write_bytes(w, "\x89PNG\r\n\x1a\n", 8);
    write_chunk(w, "IHDR", data, sizeof(data));
}

void write_png_data(struct ak_writer *w, const void *raw, size_t len)
{
    uLongf packed_len = compressBound(len);
    Bytef *packed = malloc(packed_len);

    assert_non_null(packed);
    assert_int_equal(compress2(packed, &packed_len, raw, len, 9), Z_OK);
    write_chunk(w, "IDAT", packed, packed_len);
    write_chunk(w, "IEND", "", 0);
    free(packed);
}

void paint(struct ak_image *image, uint32_t width, uint32_t height,
           uint32_t channels)
{
    assert_status(ak_image_init(image, width, height, channels, NULL), AK_OK);
    for (uint32_t y = 0; y < height; y++)
        for (uint32_t x = 0; x < width; x++)
            for (uint32_t c = 0; c < channels; c++) {
                uint32_t v = 40 * (c + 1) + 90 * x / width + 60 * y / height;

                if (x > width / 2 && y > height / 3)
                    v = 220 - v / 2;
                image->pixels[((size_t)y * width + x) * channels + c] =
                    (uint8_t)v;
            }
}

int worst(const struct ak_image *a, const struct ak_image *b)
{
    int most = 0;

    assert_int_equal(a->width, b->width);
    assert_int_equal(a->height, b->height);
    assert_int_equal(a->channels, b->channels);
    for (size_t i = 0; i < ak_image_len(a); i++) {
        int d = abs(a->pixels[i] - b->pixels[i]);

        most = d > most ? d : most;
    }
    return most;
}
