/* A number that is accepted is the float that the C library reads. */
#include <string.h>

#include "server/json_float.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    const char *at = text;
    enum ak_json_number kind;
    float x = 0, expected;

    FUZZ_CHECK(text != NULL);
    memcpy(text, data, size);
    text[size] = ']';
    kind = ak_json_float(&at, text + size + 1, &x);
    FUZZ_CHECK(at >= text && at <= text + size + 1);
    if (kind != AK_JSON_NUMBER_MALFORMED) {
        char *end;

        expected = strtof(text, &end);
        FUZZ_CHECK(end == at);
        if (kind == AK_JSON_NUMBER_OK)
            FUZZ_CHECK(memcmp(&x, &expected, sizeof(x)) == 0);
        else
            FUZZ_CHECK(expected - expected != 0.0f);
    }
    free(text);
    return 0;
}
