#include "core/base/digest.h"

#include <stdlib.h>

#include <openssl/evp.h>
#include <zlib.h>

uint32_t ak_crc32(const void *data, size_t len)
{
    return (uint32_t)crc32_z(0, data, len);
}

struct ak_sha256_sum {
    EVP_MD_CTX *ctx;
};

static enum ak_status no_memory(struct ak_err *err)
{
    return ak_fail(err, AK_ENOMEM, "no memory for a digest");
}

enum ak_status ak_sha256_create(struct ak_sha256_sum **out, struct ak_err *err)
{
    struct ak_sha256_sum *sum = calloc(1, sizeof(*sum));

    if (sum != NULL)
        sum->ctx = EVP_MD_CTX_new();
    if (sum == NULL || sum->ctx == NULL ||
        !EVP_DigestInit_ex(sum->ctx, EVP_sha256(), NULL)) {
        ak_sha256_destroy(sum);
        return no_memory(err);
    }
    *out = sum;
    return AK_OK;
}

enum ak_status ak_sha256_update(struct ak_sha256_sum *sum, const void *data,
                                size_t len, struct ak_err *err)
{
    if (len > 0 && !EVP_DigestUpdate(sum->ctx, data, len))
        return no_memory(err);
    return AK_OK;
}

enum ak_status ak_sha256_finish(struct ak_sha256_sum *sum,
                                uint8_t out[AK_SHA256_LEN], struct ak_err *err)
{
    if (!EVP_DigestFinal_ex(sum->ctx, out, NULL))
        return no_memory(err);
    return AK_OK;
}

void ak_sha256_destroy(struct ak_sha256_sum *sum)
{
    if (sum == NULL)
        return;
    EVP_MD_CTX_free(sum->ctx);
    free(sum);
}

enum ak_status ak_sha256(const struct ak_piece *pieces, size_t n,
                         uint8_t out[AK_SHA256_LEN], struct ak_err *err)
{
    struct ak_sha256_sum *sum = NULL;
    enum ak_status status = ak_sha256_create(&sum, err);

    for (size_t i = 0; i < n && status == AK_OK; i++)
        status = ak_sha256_update(sum, pieces[i].data, pieces[i].len, err);
    if (status == AK_OK)
        status = ak_sha256_finish(sum, out, err);
    ak_sha256_destroy(sum);
    return status;
}
