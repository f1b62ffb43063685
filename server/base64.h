/* base64.h -- bytes as text: images in JSON, cursors in URLs (RFC 4648). */
#ifndef AK_SERVER_BASE64_H
#define AK_SERVER_BASE64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Most bytes that `len` characters can hold. */
static inline size_t ak_base64_room(size_t len)
{
    return len / 4 * 3 + 3;
}

/*
 * Read either alphabet, with or without padding; `out` has ak_base64_room(len).
 * False unless all of it is base64 and the unused bits are zero.
 */
bool ak_base64_decode(const char *text, size_t len, uint8_t *out, size_t *n);

/* URL-safe and without padding: `text` gets (n * 4 + 2) / 3 characters and a
   zero. */
void ak_base64url_encode(const uint8_t *bytes, size_t n, char *text);

#endif
