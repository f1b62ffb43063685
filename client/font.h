/* font.h -- glyphs of printable ASCII, as dots. */
#ifndef AK_CLIENT_FONT_H
#define AK_CLIENT_FONT_H

#include <stdint.h>

#define FONT_WIDTH   5
#define FONT_HEIGHT  8
#define FONT_ADVANCE 6 /* to the next glyph */

/* FONT_HEIGHT rows; bit 4 is the left dot. */
const uint8_t *font_glyph(char c);

#endif
