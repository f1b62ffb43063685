/* hex.h -- bytes as lower-case hexadecimal text and back. */
#ifndef AK_CORE_BASE_HEX_H
#define AK_CORE_BASE_HEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* `text` receives 2 * len characters and a terminating zero. */
void ak_hex_encode(const uint8_t *bytes, size_t len, char *text);

/* False unless `text` is exactly 2 * len digits, of either case. */
bool ak_hex_decode(const char *text, size_t text_len, uint8_t *bytes,
                   size_t len);

#endif
