/* files.h -- making the image files that the tests decode. */
#ifndef AK_TESTS_CORE_IMAGE_FILES_H
#define AK_TESTS_CORE_IMAGE_FILES_H

#include "core/base/blob.h"
#include "core/image/image.h"

/* How write_jpeg() differs from a plain baseline file. */
enum {
    JPEG_PROGRESSIVE = 1,
    JPEG_ARITHMETIC = 2,
    JPEG_PLAIN_CMYK = 4, /* no Adobe marker */
    JPEG_MANY_SCANS = 8, /* with JPEG_PROGRESSIVE: 200 of them */
};

/*
 * Append a JPEG of quality 95, 4:4:4.  pixels (height, width, components) with
 * 1 (grey), 3 (RGB, stored as YCbCr) or 4 (CMYK).
 */
void write_jpeg(struct ak_writer *w, const uint8_t *pixels, uint32_t width,
                uint32_t height, int components, unsigned how);

/* The same with an APP1 segment of `exif` (exif_len) in front. */
void write_jpeg_exif(struct ak_writer *w, const uint8_t *pixels, uint32_t width,
                     uint32_t height, int components, unsigned how,
                     const void *exif, size_t exif_len);

/* A chunk of a PNG: length, type, data, CRC. */
void write_chunk(struct ak_writer *w, const char *type, const void *data,
                 size_t len);

/* Signature and IHDR. */
void write_png_header(struct ak_writer *w, uint32_t width, uint32_t height,
                      uint8_t depth, uint8_t colour_type, uint8_t interlaced);

/* IDAT of `raw` (filter bytes included) compressed, and IEND. */
void write_png_data(struct ak_writer *w, const void *raw, size_t len);

/* A smooth picture with an edge, each channel different. */
void paint(struct ak_image *image, uint32_t width, uint32_t height,
           uint32_t channels);

/* Largest difference of a sample of two images, which have one size. */
int worst(const struct ak_image *a, const struct ak_image *b);

#endif
