/* A model file that is accepted is written and read again alike. */
#include <string.h>

#include "core/base/digest.h"
#include "core/nn/model.h"
#include "tests/fuzz/fuzz.h"

/* The checksum is made right, or nothing behind it would be reached. */
static uint8_t *sign(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size + 1);
    uint32_t crc;

    FUZZ_CHECK(copy != NULL);
    if (size > 0)
        memcpy(copy, data, size);
    if (size >= 4) {
        crc = ak_crc32(copy, size - 4);
        memcpy(copy + size - 4, &crc, sizeof(crc));
    }
    return copy;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = sign(data, size);
    struct ak_writer once = {0}, twice = {0};
    struct ak_model m;
    struct ak_err err = {0};

    if (ak_model_read(copy, size, &m, &err) != AK_OK) {
        FUZZ_CHECK(err.text[0] != '\0');
        free(copy);
        return 0;
    }
    FUZZ_CHECK(m.g->feature < m.g->n_layers && m.g->output < m.g->n_layers);
    FUZZ_CHECK(ak_model_write(&m, &once, NULL) == AK_OK);
    ak_model_clear(&m);
    FUZZ_CHECK(ak_model_read(once.data, once.len, &m, NULL) == AK_OK);
    FUZZ_CHECK(ak_model_write(&m, &twice, NULL) == AK_OK);
    FUZZ_CHECK(once.len == twice.len &&
               memcmp(once.data, twice.data, once.len) == 0);
    ak_model_clear(&m);
    ak_writer_clear(&once);
    ak_writer_clear(&twice);
    free(copy);
    return 0;
}
