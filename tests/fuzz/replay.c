/*
 * replay.c -- main() of a harness without a fuzzer: runs each file of the
 * corpus as it is, cut at some places, and with some bytes changed, by a fixed
 * seed.  A line of TAP a file; a broken promise aborts, which fails the rest.
 */
#include <dirent.h>
#include <string.h>

#include "core/base/rng.h"
#include "tests/fuzz/fuzz.h"
#include "tests/stride.h"

enum { CUTS = 32, CHANGES = 96 };

static uint8_t *read_file(const char *path, size_t *len)
{
    FILE *f = fopen(path, "rb");
    uint8_t *bytes = NULL;
    long size;

    if (f == NULL)
        return NULL;
    if (fseek(f, 0, SEEK_END) == 0 && (size = ftell(f)) >= 0) {
        rewind(f);
        bytes = malloc((size_t)size + 1);
        *len = bytes == NULL ? 0 : fread(bytes, 1, (size_t)size, f);
    }
    fclose(f);
    return bytes;
}

/* From memory of exactly that size, so that a sanitizer sees a byte too far. */
static void run(const uint8_t *bytes, size_t len)
{
    uint8_t *copy = malloc(len == 0 ? 1 : len);

    FUZZ_CHECK(copy != NULL);
    memcpy(copy, bytes, len);
    LLVMFuzzerTestOneInput(copy, len);
    free(copy);
}

static void run_variants(uint8_t *bytes, size_t len)
{
    struct ak_rng rng;

    run(bytes, len);
    if (len == 0)
        return;
    ak_rng_init(&rng, len);
    for (size_t i = 0; i < CUTS / test_stride(); i++)
        run(bytes, ak_rng_below(&rng, len));
    for (size_t i = 0; i < CHANGES / test_stride(); i++) {
        size_t at = ak_rng_below(&rng, len);
        uint8_t was = bytes[at];

        bytes[at] = (uint8_t)ak_rng_u64(&rng);
        run(bytes, len);
        /* Every other change stays, so that they add up. */
        if (i % 2 == 0)
            bytes[at] = was;
    }
}

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

int main(int argc, char **argv)
{
    const char *source = getenv("srcdir");
    const char *name = strrchr(argv[0], '/');
    struct dirent **entries = NULL;
    char folder[4096];
    int n, bad = 0;

    (void)argc;
    name = name == NULL ? argv[0] : name + 1;
    name = strncmp(name, "fuzz_", 5) == 0 ? name + 5 : name;
    snprintf(folder, sizeof(folder), "%s/tests/fuzz/corpus/%s",
             source == NULL ? "." : source, name);
    n = scandir(folder, &entries, is_visible, alphasort);
    if (n <= 0) {
        printf("1..1\nnot ok 1 - there is no corpus %s\n", name);
        return 1;
    }
    printf("1..%d\n", n);
    for (int i = 0; i < n; i++) {
        char path[4096 + 256];
        size_t len = 0;
        uint8_t *bytes;

        snprintf(path, sizeof(path), "%s/%s", folder, entries[i]->d_name);
        bytes = read_file(path, &len);
        if (bytes != NULL)
            run_variants(bytes, len);
        bad |= bytes == NULL;
        printf("%s %d - %s survives %s and its variants\n",
               bytes == NULL ? "not ok" : "ok", i + 1, name,
               entries[i]->d_name);
        fflush(stdout);
        free(bytes);
        free(entries[i]);
    }
    free(entries);
    return bad;
}
