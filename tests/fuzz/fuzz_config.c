/*
 * A file that is accepted is written out as what is in force, read again, and
 * says the same; one that is refused says in which line.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "server/config.h"
#include "tests/fuzz/fuzz.h"

enum { LONG_LINE = 4000, MOST = 1 << 20 };

/* A configuration whose file has these bytes; NULL with the text in `err`. */
static struct ak_config *load(const void *bytes, size_t len, struct ak_err *err)
{
    char program[] = "akind", option[64];
    char *argv[] = {program, option, NULL};
    struct ak_config *c = NULL;
    int fd = memfd_create("config", MFD_CLOEXEC);

    FUZZ_CHECK(fd >= 0);
    FUZZ_CHECK(write(fd, bytes, len) == (ssize_t)len);
    snprintf(option, sizeof(option), "--config=/proc/self/fd/%d", fd);
    if (ak_config_load(2, argv, &c, err) != AK_OK)
        FUZZ_CHECK(c == NULL);
    close(fd);
    return c;
}

/* What is in force, one `key = value` a line, without where it is from. */
static char *settings_of(const struct ak_config *c, bool *is_long)
{
    char *text = NULL, *from, *to;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);

    FUZZ_CHECK(f != NULL);
    ak_config_print(c, f);
    fclose(f);
    *is_long = false;
    to = text;
    for (from = text; *from != '\0';) {
        char *end = strchr(from, '\n'), *mark = end;

        /* The last two blanks and # of the line begin the origin. */
        while (strncmp(mark, "  # ", 4) != 0)
            FUZZ_CHECK(--mark >= from);
        *is_long |= mark - from > LONG_LINE;
        memmove(to, from, (size_t)(mark - from));
        to += mark - from;
        *to++ = '\n';
        from = end + 1;
    }
    *to = '\0';
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ak_err err = {0};
    struct ak_config *c, *again;
    bool is_long;
    char *first, *second;

    if (size > MOST)
        return 0;
    c = load(data, size, &err);
    if (c == NULL) {
        FUZZ_CHECK(strncmp(err.text, "/proc/self/fd/", 14) == 0);
        FUZZ_CHECK(strchr(err.text, ':') != NULL);
        return 0;
    }
    first = settings_of(c, &is_long);
    if (!is_long) {
        again = load(first, strlen(first), &err);
        FUZZ_CHECK(again != NULL);
        second = settings_of(again, &is_long);
        FUZZ_CHECK(strcmp(first, second) == 0);
        FUZZ_CHECK(ak_config_needs_start(c, again, 0) == NULL);
        free(second);
        ak_config_destroy(again);
    }
    free(first);
    ak_config_destroy(c);
    return 0;
}
