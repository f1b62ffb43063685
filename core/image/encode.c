#include "core/image/encode.h"

#include <setjmp.h>
#include <stdio.h>

#include <png.h>

/* What libpng's callbacks reach through its error and io pointers. */
struct sink {
    struct ak_writer *w;
    char text[96];
};

static void on_error(png_structp png, png_const_charp text)
{
    struct sink *sink = png_get_error_ptr(png);

    snprintf(sink->text, sizeof(sink->text), "%s", text);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text)
{
    (void)png;
    (void)text;
}

static void on_write(png_structp png, png_bytep bytes, size_t len)
{
    struct sink *sink = png_get_io_ptr(png);

    ak_write_bytes(sink->w, bytes, len);
    if (sink->w->status != AK_OK)
        png_error(png, "no memory");
}

static void on_flush(png_structp png)
{
    (void)png;
}

enum ak_status ak_image_encode_png(const struct ak_image *image,
                                   struct ak_writer *w, struct ak_err *err)
{
    struct sink sink = {w, ""};
    png_structp png;
    png_infop info;
    size_t stride = (size_t)image->width * image->channels;

    png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &sink, on_error,
                                  on_warning);
    info = png == NULL ? NULL : png_create_info_struct(png);
    if (info == NULL) {
        png_destroy_write_struct(&png, NULL);
        return ak_fail(err, AK_ENOMEM, "no memory for a png writer");
    }
    if (setjmp(png_jmpbuf(png))) {
        png_destroy_write_struct(&png, &info);
        if (w->status != AK_OK)
            return ak_fail(err, w->status, "no memory for a png of %u x %u",
                           image->width, image->height);
        return ak_fail(err, AK_EIO, "png: %s", sink.text);
    }
    png_set_write_fn(png, &sink, on_write, on_flush);
    png_set_IHDR(png, info, image->width, image->height, 8,
                 image->channels == 1 ? PNG_COLOR_TYPE_GRAY
                                      : PNG_COLOR_TYPE_RGB,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    for (uint32_t y = 0; y < image->height; y++)
        png_write_row(png, image->pixels + y * stride);
    png_write_end(png, NULL);
    png_destroy_write_struct(&png, &info);
    return AK_OK;
}
