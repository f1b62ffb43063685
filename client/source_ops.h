/* source_ops.h -- the kinds of sources: included by source*.c only. */
#ifndef AK_CLIENT_SOURCE_OPS_H
#define AK_CLIENT_SOURCE_OPS_H

#include "client/source.h"

struct source_ops {
    const char *name;
    /* About how long row `row` is in a body. */
    size_t (*row_len)(const struct source *source, uint32_t row);
    /* The body of rows (n); out->rows is set by the caller. */
    int (*build)(struct source *source, const uint32_t *rows, size_t n,
                 struct source_batch *out);
    /* Instead of the two, for a stream: the next batch. */
    int (*next)(struct source *source, struct source_batch *out);
    /* See source_row_path(); may be NULL. */
    const char *(*path)(const struct source *source, uint32_t row);
    /* See source_vectors(); may be NULL. */
    int (*vectors)(struct source *source, const uint32_t *rows, size_t n,
                   struct akin_rows *out);
    /* Write what identifies the rows; false when nothing does. */
    bool (*identify)(const struct source *source, FILE *out);
    void (*close)(struct source *source);
};

/* First member of each kind. */
struct source {
    const struct source_ops *ops;
    struct source_params params;
    uint64_t n_rows;
    uint32_t *order;  /* (n_rows), owned by source.c */
    uint64_t *starts; /* (n_batches + 1), positions in `order` */
    uint64_t n_batches;
};

int vectors_open(const struct source_params *params, struct source **out);
int lines_open(const struct source_params *params, struct source **out);
int stream_open(const struct source_params *params, struct source **out);
int images_open(const struct source_params *params, struct source **out);

/* Size and first bytes of a file, as its identity. */
bool identify_file(const char *path, FILE *out);

#endif
