#include "server/cursor.h"

#include <string.h>

#include "core/base/blob.h"
#include "core/base/digest.h"
#include "server/base64.h"

#define SUM 8
/* kind, scope, version, ordinal, distance, then the name. */
#define FIXED (1 + 8 + 8 + 8 + 4)

_Static_assert(((FIXED + AK_CURSOR_NAME + SUM) * 4 + 2) / 3 < AK_CURSOR_TEXT,
               "the longest cursor fits its text");

static bool checksum(const uint8_t *bytes, size_t len, uint8_t out[SUM])
{
    static const char salt[] = "akin cursor 1";
    const struct ak_piece pieces[] = {{salt, sizeof(salt)}, {bytes, len}};
    uint8_t sum[AK_SHA256_LEN];

    if (ak_sha256(pieces, 2, sum, NULL) != AK_OK)
        return false;
    memcpy(out, sum, SUM);
    return true;
}

/* FNV-1a (Fowler, Noll, Vo); a byte that no text has ends each. */
uint64_t ak_cursor_scope(const char *const *texts, size_t n)
{
    const uint64_t prime = 0x100000001b3u;
    uint64_t hash = 0xcbf29ce484222325u;

    for (size_t i = 0; i < n; i++) {
        for (const char *p = texts[i]; p != NULL && *p != '\0'; p++)
            hash = (hash ^ (uint8_t)*p) * prime;
        hash = (hash ^ (texts[i] == NULL ? 0xfeu : 0xffu)) * prime;
    }
    return hash;
}

const char *ak_cursor_write(const struct ak_cursor *cursor,
                            char text[AK_CURSOR_TEXT])
{
    struct ak_writer w = {0};
    uint8_t sum[SUM];
    bool good;

    ak_write_u8(&w, (uint8_t)cursor->kind);
    ak_write_u64(&w, cursor->scope);
    ak_write_u64(&w, cursor->version);
    ak_write_u64(&w, cursor->ordinal);
    ak_write_u32(&w, cursor->distance);
    ak_write_bytes(&w, cursor->name, strnlen(cursor->name, AK_CURSOR_NAME - 1));
    good = w.status == AK_OK && checksum(w.data, w.len, sum);
    if (good) {
        ak_write_bytes(&w, sum, SUM);
        good = w.status == AK_OK;
    }
    if (good)
        ak_base64url_encode(w.data, w.len, text);
    ak_writer_clear(&w);
    return good ? text : NULL;
}

bool ak_cursor_read(const char *text, enum ak_cursor_kind kind,
                    struct ak_cursor *out)
{
    uint8_t bytes[AK_CURSOR_TEXT], sum[SUM];
    size_t text_len = strnlen(text, AK_CURSOR_TEXT), len;
    struct ak_cursor c = {0};
    struct ak_reader r;

    if (text_len >= AK_CURSOR_TEXT ||
        !ak_base64_decode(text, text_len, bytes, &len) || len < FIXED + SUM ||
        len > FIXED + AK_CURSOR_NAME - 1 + SUM)
        return false;
    len -= SUM;
    if (!checksum(bytes, len, sum) || memcmp(sum, bytes + len, SUM) != 0)
        return false;
    ak_reader_init(&r, bytes, len);
    c.kind = (enum ak_cursor_kind)ak_read_u8(&r);
    c.scope = ak_read_u64(&r);
    c.version = ak_read_u64(&r);
    c.ordinal = ak_read_u64(&r);
    c.distance = ak_read_u32(&r);
    ak_read_bytes(&r, c.name, ak_reader_left(&r));
    if (ak_reader_finish(&r) != AK_OK || c.kind != kind)
        return false;
    *out = c;
    return true;
}
