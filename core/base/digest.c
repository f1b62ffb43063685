#include "core/base/digest.h"

#include <openssl/evp.h>
#include <zlib.h>

uint32_t ak_crc32(const void *data, size_t len)
{
    return (uint32_t)crc32_z(0, data, len);
}

enum ak_status ak_sha256(const struct ak_piece *pieces, size_t n,
                         uint8_t out[AK_SHA256_LEN], struct ak_err *err)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int ok = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL);

    for (size_t i = 0; i < n && ok; i++)
        if (pieces[i].len > 0)
            ok = EVP_DigestUpdate(ctx, pieces[i].data, pieces[i].len);
    if (ok)
        ok = EVP_DigestFinal_ex(ctx, out, NULL);
    EVP_MD_CTX_free(ctx);
    return ok ? AK_OK : ak_fail(err, AK_ENOMEM, "no memory for a digest");
}
