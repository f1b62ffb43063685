/* filebytes.h -- the bytes of a file, mapped, or inflated when it is gzipped. */
#ifndef AK_CLIENT_FILEBYTES_H
#define AK_CLIENT_FILEBYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct file_bytes {
    const uint8_t *data;
    size_t len;
    bool mapped;
};

/* EXIT_OK, or the exit code of what was said.  The file must not shrink. */
int file_bytes_open(const char *path, struct file_bytes *out);
void file_bytes_close(struct file_bytes *bytes);

/* Whether a file, gzipped or not, begins as an idx file of unsigned bytes; and
   of how many dimensions, 0 for other files and for those that are missing. */
unsigned idx_dims(const char *path);

struct ak_idx;

/* ak_idx_read(), with what went wrong said: EXIT_OK or EXIT_USAGE. */
int idx_read(const char *path, unsigned n_dims, struct ak_idx *out);

/*
 * A column of values: labels or ids, one a row.  From an idx file, a .npy of
 * integers, a JSON array of texts or numbers, or plain lines.
 */
struct column {
    size_t n;
    int64_t *ints; /* one of the two */
    char **texts;
};

int column_load(const char *path, struct column *out);
/* Replace integers by the lines of the file `path`: 0 is the first line. */
int column_name(struct column *column, const char *path);
void column_clear(struct column *column);

#endif
