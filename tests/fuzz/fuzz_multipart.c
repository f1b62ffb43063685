/* The first line is the type, the rest the body; parts lie in it, in order. */
#include <string.h>

#include "server/multipart.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *body = memchr(data, '\n', size);
    const uint8_t *at;
    struct ak_multipart m = {0};
    struct ak_err err = {0};
    char *type;

    if (body == NULL)
        return 0;
    type = calloc((size_t)(body - data) + 1, 1);
    FUZZ_CHECK(type != NULL);
    memcpy(type, data, (size_t)(body - data));
    at = ++body;
    if (ak_multipart_parse(type, body, size - (size_t)(body - data), 50, &m,
                           &err) != AK_OK)
        FUZZ_CHECK(err.text[0] != '\0' && m.parts == NULL);
    for (size_t i = 0; i < m.n_parts; i++) {
        const struct ak_part *part = &m.parts[i];

        FUZZ_CHECK((const uint8_t *)part->data > at);
        at = (const uint8_t *)part->data + part->len;
        FUZZ_CHECK(at < data + size);
        FUZZ_CHECK(part->name[0] != '\0');
        FUZZ_CHECK(ak_multipart_find(&m, part->name) == part);
    }
    FUZZ_CHECK(m.n_parts <= 50);
    ak_multipart_clear(&m);
    free(type);
    return 0;
}
