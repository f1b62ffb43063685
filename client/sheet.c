#include "config.h"

#include "client/sheet.h"

#include <stdlib.h>
#include <string.h>

#include "client/font.h"

/* All in pixels. */
#define CELL_SIZE  140 /* about; images are enlarged by a whole number to it */
#define MARGIN     40
#define GAP        12 /* between two hits */
#define QUERY_GAP  36 /* between a query and its hits */
#define ROW_GAP    16
#define CAPTION    26 /* height of the line beneath an image */
#define TITLE      72 /* height of the head */
#define FRAME      4
#define MAX_PIXELS ((size_t)100 << 20)

struct colour {
    uint8_t r, g, b;
};

static const struct colour white = {255, 255, 255};
static const struct colour black = {28, 30, 34};
static const struct colour grey = {120, 124, 130};
static const struct colour hair = {222, 224, 228};
static const struct colour red = {214, 40, 40};
static const struct colour empty = {244, 245, 247};

struct sheet {
    struct ak_image image;
    uint32_t width, height; /* of one image */
    uint32_t scale;
};

static uint32_t cell_width(const struct sheet *s)
{
    return s->width * s->scale;
}

static uint32_t cell_height(const struct sheet *s)
{
    return s->height * s->scale;
}

static void put_pixel(struct sheet *s, uint32_t x, uint32_t y, struct colour c)
{
    uint8_t *p;

    if (x >= s->image.width || y >= s->image.height)
        return;
    p = s->image.pixels + 3 * ((size_t)y * s->image.width + x);
    p[0] = c.r;
    p[1] = c.g;
    p[2] = c.b;
}

static void fill(struct sheet *s, uint32_t x, uint32_t y, uint32_t w,
                 uint32_t h, struct colour c)
{
    for (uint32_t j = 0; j < h; j++)
        for (uint32_t i = 0; i < w; i++)
            put_pixel(s, x + i, y + j, c);
}

/* A frame of `n` pixels outside of the rectangle. */
static void frame(struct sheet *s, uint32_t x, uint32_t y, uint32_t w,
                  uint32_t h, uint32_t n, struct colour c)
{
    fill(s, x - n, y - n, w + 2 * n, n, c);
    fill(s, x - n, y + h, w + 2 * n, n, c);
    fill(s, x - n, y, n, h, c);
    fill(s, x + w, y, n, h, c);
}

/* `text` with its left top corner at (x, y), no wider than `room`. */
static void write_text(struct sheet *s, uint32_t x, uint32_t y, uint32_t room,
                       uint32_t size, const char *text, struct colour c)
{
    size_t n = strlen(text);
    size_t most = room / (FONT_ADVANCE * size);

    for (size_t k = 0; k < n && k < most; k++) {
        const uint8_t *rows =
            font_glyph(n > most && k + 1 == most ? '.' : text[k]);

        for (uint32_t j = 0; j < FONT_HEIGHT; j++)
            for (uint32_t i = 0; i < FONT_WIDTH; i++)
                if (rows[j] >> (FONT_WIDTH - 1 - i) & 1)
                    fill(s, x + i * size, y + j * size, size, size, c);
        x += FONT_ADVANCE * size;
    }
}

enum ak_status sheet_create(unsigned rows, unsigned hits, uint32_t width,
                            uint32_t height, struct sheet **out,
                            struct ak_err *err)
{
    uint32_t side = width > height ? width : height;
    struct sheet *s = calloc(1, sizeof(*s));
    uint64_t w, h;
    enum ak_status status;

    if (s == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for a sheet");
    s->width = width;
    s->height = height;
    s->scale = side >= CELL_SIZE ? 1 : CELL_SIZE / side;
    w = 2u * MARGIN + QUERY_GAP - GAP +
        (uint64_t)(hits + 1) * (cell_width(s) + GAP);
    h = 2u * MARGIN + TITLE - ROW_GAP +
        (uint64_t)rows * (cell_height(s) + CAPTION + ROW_GAP);
    if (rows == 0 || w > AK_IMAGE_SIDE_MAX || h > AK_IMAGE_SIDE_MAX ||
        w * h > MAX_PIXELS) {
        free(s);
        return ak_fail(err, AK_EINVAL,
                       "a sheet of %u rows of %u images of %u x %u is too "
                       "large",
                       rows, hits + 1, width, height);
    }
    status = ak_image_init(&s->image, (uint32_t)w, (uint32_t)h, 3, err);
    if (status != AK_OK) {
        free(s);
        return status;
    }
    fill(s, 0, 0, (uint32_t)w, (uint32_t)h, white);
    *out = s;
    return AK_OK;
}

void sheet_destroy(struct sheet *s)
{
    if (s == NULL)
        return;
    ak_image_clear(&s->image);
    free(s);
}

void sheet_title(struct sheet *s, const char *title, const char *note)
{
    uint32_t room = s->image.width - 2 * MARGIN;

    write_text(s, MARGIN, MARGIN, room, 3, title, black);
    write_text(s, MARGIN, MARGIN + 32, room, 2, note, grey);
}

/* The sample at (x, y) in image pixels, between the four around it. */
static uint8_t sample(const struct sheet *s, const uint8_t *pixels, double x,
                      double y)
{
    double right = (double)s->width - 1, bottom = (double)s->height - 1;
    uint32_t x0, y0, x1, y1;
    double fx, fy, top, low;

    x = x < 0 ? 0 : x > right ? right : x;
    y = y < 0 ? 0 : y > bottom ? bottom : y;
    x0 = (uint32_t)x;
    y0 = (uint32_t)y;
    x1 = x0 + 1 < s->width ? x0 + 1 : x0;
    y1 = y0 + 1 < s->height ? y0 + 1 : y0;
    fx = x - x0;
    fy = y - y0;
    top =
        pixels[y0 * s->width + x0] * (1 - fx) + pixels[y0 * s->width + x1] * fx;
    low =
        pixels[y1 * s->width + x0] * (1 - fx) + pixels[y1 * s->width + x1] * fx;
    return (uint8_t)(top * (1 - fy) + low * fy + 0.5);
}

static void draw_image(struct sheet *s, uint32_t x, uint32_t y,
                       const uint8_t *pixels)
{
    double step = 1.0 / s->scale;

    for (uint32_t j = 0; j < cell_height(s); j++)
        for (uint32_t i = 0; i < cell_width(s); i++) {
            uint8_t v = sample(s, pixels, (i + 0.5) * step - 0.5,
                               (j + 0.5) * step - 0.5);

            put_pixel(s, x + i, y + j, (struct colour){v, v, v});
        }
}

void sheet_put(struct sheet *s, unsigned row, unsigned column,
               const uint8_t *pixels, const char *caption, bool wrong)
{
    uint32_t w = cell_width(s), h = cell_height(s);
    uint32_t x =
        MARGIN + column * (w + GAP) + (column > 0 ? QUERY_GAP - GAP : 0);
    uint32_t y = MARGIN + TITLE + row * (h + CAPTION + ROW_GAP);
    uint32_t room = w + GAP / 2;
    bool fits = 2 * FONT_ADVANCE * strlen(caption) <= room;
    struct colour colour = wrong ? red : column == 0 ? black : grey;

    if (pixels != NULL)
        draw_image(s, x, y, pixels);
    else
        fill(s, x, y, w, h, empty);
    if (wrong)
        frame(s, x, y, w, h, FRAME, red);
    else
        frame(s, x, y, w, h, 1, hair);
    write_text(s, x, y + h + 8, room, fits ? 2 : 1, caption, colour);
}

const struct ak_image *sheet_image(const struct sheet *s)
{
    return &s->image;
}
