/* digest.h -- checksums: CRC-32 against accidents, SHA-256 for identity. */
#ifndef AK_CORE_BASE_DIGEST_H
#define AK_CORE_BASE_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

#define AK_SHA256_LEN 32

/* CRC-32 (ISO-HDLC, as in zlib and PNG) of `len` bytes. */
uint32_t ak_crc32(const void *data, size_t len);

/*
 * SHA-256 of the concatenation of `n` pieces.  A NULL piece of length 0 is an
 * empty one.  AK_ENOMEM is the only failure.
 */
struct ak_piece {
    const void *data;
    size_t len;
};
enum ak_status ak_sha256(const struct ak_piece *pieces, size_t n,
                         uint8_t out[AK_SHA256_LEN],
                         struct ak_err *err) AK_MUST_CHECK;

/* The same of what comes piece by piece. */
struct ak_sha256_sum;
enum ak_status ak_sha256_create(struct ak_sha256_sum **out,
                                struct ak_err *err) AK_MUST_CHECK;
enum ak_status ak_sha256_update(struct ak_sha256_sum *sum, const void *data,
                                size_t len, struct ak_err *err) AK_MUST_CHECK;
/* Once; then it can only be destroyed. */
enum ak_status ak_sha256_finish(struct ak_sha256_sum *sum,
                                uint8_t out[AK_SHA256_LEN],
                                struct ak_err *err) AK_MUST_CHECK;
void ak_sha256_destroy(struct ak_sha256_sum *sum); /* NULL is a no-op */

#endif
