/*
 * sheet.h -- a contact sheet: queries at the left, their hits to the right.
 *
 * White ground, a grey hair line around what is right, a red frame around what
 * is wrong, the label beneath.  Small images are enlarged smoothly.
 */
#ifndef AK_CLIENT_SHEET_H
#define AK_CLIENT_SHEET_H

#include <stdbool.h>

#include "core/image/image.h"

struct sheet;

/* Room for so many rows of a query and `hits` hits, of images that are
   `width` x `height`; grey.  AK_ENOMEM, AK_EINVAL when it would be too large. */
enum ak_status sheet_create(unsigned rows, unsigned hits, uint32_t width,
                            uint32_t height, struct sheet **out,
                            struct ak_err *err) AK_MUST_CHECK;
void sheet_destroy(struct sheet *sheet);

/* One line at the top, and a smaller one below it. */
void sheet_title(struct sheet *sheet, const char *title, const char *note);

/* `column` 0 is the query.  pixels (height, width), 0 is black; NULL draws an
   empty place. */
void sheet_put(struct sheet *sheet, unsigned row, unsigned column,
               const uint8_t *pixels, const char *caption, bool wrong);

/* The sheet as it stands, lent. */
const struct ak_image *sheet_image(const struct sheet *sheet);

#endif
