#include "tests/data.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/test.h"

const char *ak_test_data(const char *name, char *path, size_t cap)
{
    const char *given = getenv("AKIN_DATA");
    const char *source = getenv("srcdir");

    if (given != NULL) {
        snprintf(path, cap, "%s/%s", given, name);
        if (access(path, R_OK) == 0)
            return path;
    }
    snprintf(path, cap, "%s/../shared/data/%s", source == NULL ? "." : source,
             name);
    if (access(path, R_OK) == 0)
        return path;
    snprintf(path, cap, "/usr/share/datasets/%s", name);
    return access(path, R_OK) == 0 ? path : NULL;
}

uint8_t *ak_test_read_file(const char *path, size_t *len)
{
    FILE *f = fopen(path, "rb");
    uint8_t *bytes;
    long size;

    assert_non_null(f);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    size = ftell(f);
    assert_true(size >= 0);
    rewind(f);
    bytes = malloc((size_t)size + 1);
    assert_non_null(bytes);
    *len = fread(bytes, 1, (size_t)size, f);
    assert_int_equal(*len, size);
    fclose(f);
    return bytes;
}

int ak_test_skip_all(const char *test, const char *reason)
{
    printf("1..0 # SKIP %s: %s\n", test, reason);
    return 0;
}
