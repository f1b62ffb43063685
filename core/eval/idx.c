#include "core/eval/idx.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#define CHUNK       ((size_t)1 << 20)
#define TYPE_UBYTE  0x08
#define GZIP_BUFFER (1u << 17)

/* AK_OK with fewer than `len` bytes in *got is the end of the file. */
static enum ak_status read_some(gzFile f, void *to, size_t len, size_t *got,
                                struct ak_err *err)
{
    int n = gzread(f, to, (unsigned)len);
    int code = Z_OK;
    const char *text = gzerror(f, &code);

    /* A gzip file that was cut short ends with Z_BUF_ERROR after its bytes. */
    if (n < 0 || (code != Z_OK && code != Z_STREAM_END))
        return ak_fail(err, code == Z_ERRNO ? AK_EIO : AK_ECORRUPT, "%s",
                       code == Z_ERRNO ? strerror(errno) : text);
    *got = (size_t)n;
    return AK_OK;
}

static enum ak_status read_header(gzFile f, uint32_t n_dims, struct ak_idx *idx,
                                  size_t *len, struct ak_err *err)
{
    uint8_t bytes[4 + 4 * AK_IDX_DIMS];
    size_t header = 4 + 4 * (size_t)n_dims, got = 0, size = 1;
    enum ak_status status = read_some(f, bytes, header, &got, err);

    if (status != AK_OK)
        return status;
    if (got < header)
        return ak_fail(err, AK_ECORRUPT, "%zu bytes, the header alone has %zu",
                       got, header);
    if (bytes[0] != 0 || bytes[1] != 0 || bytes[2] != TYPE_UBYTE ||
        bytes[3] != n_dims)
        return ak_fail(err, AK_ECORRUPT,
                       "begins with %02x %02x %02x %02x, must be 00 00 08 %02x",
                       bytes[0], bytes[1], bytes[2], bytes[3], n_dims);
    idx->n_dims = n_dims;
    for (uint32_t d = 0; d < n_dims; d++) {
        const uint8_t *at = bytes + 4 + 4 * d;

        idx->dims[d] = (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 |
                       (uint32_t)at[2] << 8 | at[3];
        if (idx->dims[d] == 0)
            return ak_fail(err, AK_ECORRUPT, "dimension %u is 0", d);
        if (__builtin_mul_overflow(size, idx->dims[d], &size) ||
            size > AK_IDX_BYTES)
            return ak_fail(
                err, AK_ELIMIT,
                "dimension %u is %u, which makes more than %zu bytes", d,
                idx->dims[d], AK_IDX_BYTES);
    }
    idx->item = size / idx->dims[0];
    *len = size;
    return AK_OK;
}

static enum ak_status read_data(gzFile f, struct ak_idx *idx, size_t len,
                                struct ak_err *err)
{
    size_t have = 0, cap = 0, got = 0;
    uint8_t extra;
    enum ak_status status;

    while (have < len) {
        if (have == cap) {
            size_t more = cap < CHUNK ? CHUNK : 2 * cap;
            uint8_t *data = realloc(idx->data, more < len ? more : len);

            if (data == NULL)
                return ak_fail(err, AK_ENOMEM, "no memory for %zu bytes", len);
            idx->data = data;
            cap = more < len ? more : len;
        }
        status = read_some(f, idx->data + have,
                           cap - have < CHUNK ? cap - have : CHUNK, &got, err);
        if (status != AK_OK)
            return status;
        if (got == 0)
            return ak_fail(err, AK_ECORRUPT,
                           "ends after %zu of %zu bytes of content", have, len);
        have += got;
    }
    status = read_some(f, &extra, 1, &got, err);
    if (status == AK_OK && got > 0)
        status = ak_fail(err, AK_ECORRUPT,
                         "goes on after its %zu bytes of content", len);
    return status;
}

enum ak_status ak_idx_read(const char *path, uint32_t n_dims,
                           struct ak_idx *out, struct ak_err *err)
{
    struct ak_idx idx = {0};
    size_t len = 0;
    enum ak_status status;
    gzFile f;

    errno = 0;
    f = gzopen(path, "rb");
    if (f == NULL) {
        enum ak_status why = errno == ENOENT || errno == ENOTDIR ? AK_ENOTFOUND
                             : errno == 0                        ? AK_ENOMEM
                                                                 : AK_EIO;

        return ak_fail(err, why, "%s: %s", path,
                       strerror(errno ? errno : ENOMEM));
    }
    (void)gzbuffer(f, GZIP_BUFFER);
    status = read_header(f, n_dims, &idx, &len, err);
    if (status == AK_OK)
        status = read_data(f, &idx, len, err);
    (void)gzclose_r(f);
    if (status != AK_OK) {
        ak_idx_clear(&idx);
        ak_err_context(err, "%s", path);
        return status;
    }
    *out = idx;
    return AK_OK;
}

void ak_idx_clear(struct ak_idx *idx)
{
    free(idx->data);
    memset(idx, 0, sizeof(*idx));
}

void ak_idx_floats(const uint8_t *bytes, size_t n, float *out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = (float)bytes[i] / 255.0f;
}
