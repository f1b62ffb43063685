/*
 * Text that is a cursor is written and read again alike; bytes whose checksum
 * is made right are a cursor of the kind that they say, or none; and one whose
 * text is changed anywhere is none.
 */
#include <string.h>

#include "core/base/digest.h"
#include "server/base64.h"
#include "server/cursor.h"
#include "tests/fuzz/fuzz.h"

enum { SUM = 8, MOST = 256 };

static bool same(const struct ak_cursor *a, const struct ak_cursor *b)
{
    return a->kind == b->kind && a->scope == b->scope &&
           a->version == b->version && a->ordinal == b->ordinal &&
           a->distance == b->distance && strcmp(a->name, b->name) == 0;
}

/* The text is read as each kind; true when it was one of them. */
static bool read_text(const char *text)
{
    bool found = false;

    for (int kind = AK_CURSOR_COLLECTIONS; kind <= AK_CURSOR_EXTRACTORS;
         kind++) {
        struct ak_cursor c, again;
        char written[AK_CURSOR_TEXT];

        if (!ak_cursor_read(text, (enum ak_cursor_kind)kind, &c))
            continue;
        FUZZ_CHECK(!found && c.kind == (enum ak_cursor_kind)kind);
        FUZZ_CHECK(memchr(c.name, '\0', sizeof(c.name)) != NULL);
        FUZZ_CHECK(ak_cursor_write(&c, written) == written);
        FUZZ_CHECK(ak_cursor_read(written, c.kind, &again));
        FUZZ_CHECK(same(&c, &again));
        found = true;
    }
    return found;
}

/* The bytes with the checksum that cursor.c puts behind them. */
static void sign(const uint8_t *data, size_t size, char *text)
{
    static const char salt[] = "akin cursor 1";
    const struct ak_piece pieces[] = {{salt, sizeof(salt)}, {data, size}};
    uint8_t bytes[MOST + AK_SHA256_LEN];

    memcpy(bytes, data, size);
    FUZZ_CHECK(ak_sha256(pieces, 2, bytes + size, NULL) == AK_OK);
    ak_base64url_encode(bytes, size + SUM, text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *plain = calloc(size + 1, 1);
    char text[(MOST + SUM) * 4 / 3 + 3];

    FUZZ_CHECK(plain != NULL);
    if (size > 0)
        memcpy(plain, data, size);
    read_text(plain);
    free(plain);
    if (size == 0 || size > MOST)
        return 0;
    sign(data, size, text);
    if (read_text(text)) {
        size_t at = data[size - 1] % strlen(text);

        text[at] = text[at] == 'A' ? 'B' : 'A';
        FUZZ_CHECK(!read_text(text));
    }
    return 0;
}
