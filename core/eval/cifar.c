#include "core/eval/cifar.h"

#include <stdlib.h>

#include "core/eval/packed.h"

enum ak_status ak_cifar_read(const char *path, uint8_t **data, size_t *n,
                             struct ak_err *err)
{
    uint8_t *bytes = NULL;
    size_t len = 0;
    enum ak_status status = ak_packed_read(
        path, (size_t)AK_CIFAR_MOST * AK_CIFAR_RECORD, &bytes, &len, err);

    if (status != AK_OK)
        return status;
    if (len == 0 || len % AK_CIFAR_RECORD != 0)
        status = ak_fail(err, AK_ECORRUPT,
                         "%s: %zu bytes, must be a multiple of %d, and not 0",
                         path, len, AK_CIFAR_RECORD);
    for (size_t i = 0; status == AK_OK && i < len; i += AK_CIFAR_RECORD)
        if (bytes[i] >= AK_CIFAR_CLASSES)
            status = ak_fail(
                err, AK_ECORRUPT, "%s: record %zu has label %u, must be 0..%d",
                path, i / AK_CIFAR_RECORD, bytes[i], AK_CIFAR_CLASSES - 1);
    if (status != AK_OK) {
        free(bytes);
        return status;
    }
    *data = bytes;
    *n = len / AK_CIFAR_RECORD;
    return AK_OK;
}
