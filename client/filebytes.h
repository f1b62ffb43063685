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

/*
 * An array in the format of the MNIST files: unsigned bytes, n of `width` bytes
 * each (1 for labels).  `data` lies in the file's bytes.
 */
struct idx_view {
    size_t n;
    size_t width;
    unsigned n_axes;
    uint32_t axes[4];
    const uint8_t *data;
};

bool is_idx(const struct file_bytes *bytes);
int idx_parse(const char *path, const struct file_bytes *bytes,
              struct idx_view *out);

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
