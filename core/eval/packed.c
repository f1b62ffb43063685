#include "core/eval/packed.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lzma.h>
#include <zlib.h>

#define CHUNK      ((size_t)1 << 16)
#define XZ_MEMORY  ((uint64_t)256 << 20) /* xz -9 needs 65 MiB */
#define GZIP_MAGIC "\x1f\x8b"
#define XZ_MAGIC \
    "\xfd"       \
    "7zXZ"

/* What has been unpacked so far. */
struct content {
    uint8_t *data;
    size_t len, cap, limit;
};

/* Room for one chunk more. */
static enum ak_status reserve(struct content *c, struct ak_err *err)
{
    size_t cap = c->cap < CHUNK ? 4 * CHUNK : 2 * c->cap;
    uint8_t *data;

    if (c->len > c->limit)
        return ak_fail(err, AK_ELIMIT, "more than %zu bytes of content",
                       c->limit);
    if (c->cap - c->len >= CHUNK)
        return AK_OK;
    data = realloc(c->data, cap);
    if (data == NULL)
        return ak_fail(err, AK_ENOMEM, "no memory for %zu bytes", cap);
    c->data = data;
    c->cap = cap;
    return AK_OK;
}

static enum ak_status read_plain(FILE *f, struct content *c, struct ak_err *err)
{
    for (;;) {
        enum ak_status status = reserve(c, err);
        size_t got;

        if (status != AK_OK)
            return status;
        got = fread(c->data + c->len, 1, CHUNK, f);
        c->len += got;
        if (got < CHUNK && ferror(f))
            return ak_fail(err, AK_EIO, "%s", strerror(errno));
        if (got == 0)
            return AK_OK;
    }
}

static enum ak_status read_gzip(FILE *f, struct content *c, struct ak_err *err)
{
    uint8_t in[CHUNK];
    z_stream z = {0};
    enum ak_status status = AK_OK;
    bool ended = false; /* between two members */
    int code = Z_OK;

    if (inflateInit2(&z, 15 + 16) != Z_OK)
        return ak_fail(err, AK_ENOMEM, "no memory to unpack");
    while (status == AK_OK) {
        if (z.avail_in == 0) {
            z.next_in = in;
            z.avail_in = (unsigned)fread(in, 1, sizeof(in), f);
            if (z.avail_in == 0)
                break;
        }
        if (ended && inflateReset(&z) != Z_OK)
            status = ak_fail(err, AK_ENOMEM, "no memory to unpack");
        if (status == AK_OK)
            status = reserve(c, err);
        if (status != AK_OK)
            break;
        z.next_out = c->data + c->len;
        z.avail_out = (unsigned)CHUNK;
        code = inflate(&z, Z_NO_FLUSH);
        c->len += CHUNK - z.avail_out;
        ended = code == Z_STREAM_END;
        if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR)
            status = ak_fail(err, AK_ECORRUPT,
                             "damaged gzip data after %zu bytes%s%s", c->len,
                             z.msg ? ": " : "", z.msg ? z.msg : "");
    }
    (void)inflateEnd(&z);
    if (status == AK_OK && ferror(f))
        status = ak_fail(err, AK_EIO, "%s", strerror(errno));
    if (status == AK_OK && !ended)
        status = ak_fail(err, AK_ECORRUPT,
                         "gzip data ends too early, after %zu "
                         "bytes of content",
                         c->len);
    return status;
}

static enum ak_status read_xz(FILE *f, struct content *c, struct ak_err *err)
{
    uint8_t in[CHUNK];
    lzma_stream z = LZMA_STREAM_INIT;
    enum ak_status status = AK_OK;
    lzma_ret code = lzma_stream_decoder(&z, XZ_MEMORY, LZMA_CONCATENATED);

    if (code != LZMA_OK)
        return ak_fail(err, AK_ENOMEM, "no memory to unpack");
    while (status == AK_OK && code != LZMA_STREAM_END) {
        if (z.avail_in == 0) {
            z.next_in = in;
            z.avail_in = fread(in, 1, sizeof(in), f);
        }
        status = reserve(c, err);
        if (status != AK_OK)
            break;
        z.next_out = c->data + c->len;
        z.avail_out = CHUNK;
        code = lzma_code(&z, z.avail_in == 0 ? LZMA_FINISH : LZMA_RUN);
        c->len += CHUNK - z.avail_out;
        if (code == LZMA_BUF_ERROR)
            status = ak_fail(err, AK_ECORRUPT,
                             "xz data ends too early, after %zu bytes of "
                             "content",
                             c->len);
        else if (code != LZMA_OK && code != LZMA_STREAM_END)
            status =
                ak_fail(err, code == LZMA_MEM_ERROR ? AK_ENOMEM : AK_ECORRUPT,
                        "damaged xz data after %zu bytes, liblzma says %d",
                        c->len, (int)code);
    }
    lzma_end(&z);
    if (status == AK_OK && ferror(f))
        status = ak_fail(err, AK_EIO, "%s", strerror(errno));
    return status;
}

enum ak_status ak_packed_read(const char *path, size_t limit, uint8_t **data,
                              size_t *len, struct ak_err *err)
{
    struct content c = {.limit = limit};
    char magic[5] = {0};
    enum ak_status status;
    size_t got;
    FILE *f = fopen(path, "rbe");

    if (f == NULL)
        return ak_fail(
            err, errno == ENOENT || errno == ENOTDIR ? AK_ENOTFOUND : AK_EIO,
            "%s: %s", path, strerror(errno));
    got = fread(magic, 1, sizeof(magic), f);
    rewind(f);
    if (got >= 2 && memcmp(magic, GZIP_MAGIC, 2) == 0)
        status = read_gzip(f, &c, err);
    else if (got == 5 && memcmp(magic, XZ_MAGIC, 5) == 0)
        status = read_xz(f, &c, err);
    else
        status = read_plain(f, &c, err);
    if (status == AK_OK && c.len > limit)
        status =
            ak_fail(err, AK_ELIMIT, "more than %zu bytes of content", limit);
    fclose(f);
    if (status != AK_OK) {
        free(c.data);
        ak_err_context(err, "%s", path);
        return status;
    }
    *data = c.data;
    *len = c.len;
    return AK_OK;
}
