/*
 * source.h -- where `akin ingest` takes its batches from.
 *
 * A source cuts its rows into numbered batches, the same ones whenever it is
 * opened with the same files and parameters: that makes an ingest resumable.
 * Rows are shuffled by the seed, unless they are to stay in order or come from
 * a stream, which cannot be.
 */
#ifndef AK_CLIENT_SOURCE_H
#define AK_CLIENT_SOURCE_H

#include "client/akin.h"
#include "client/options.h"

struct source_params {
    char **files;
    size_t n_files;
    struct text_list labels; /* one file for each of `files`, or none */
    struct text_list ids;
    const char *label_names; /* a name a line for labels that are numbers */
    uint64_t batch;          /* rows of one */
    size_t max_bytes;        /* a batch is cut shorter rather than larger */
    uint64_t seed;
    bool in_order;
    uint64_t first_id;
    bool text_ids; /* of the collection */
    bool codes;    /* the collection takes codes, not vectors */
    bool images;   /* the collection has an extractor */
    uint64_t dim;  /* of the collection; 0: not known */
};

struct source_batch {
    struct akin_body body;
    size_t rows;
};

struct source;

/* EXIT_OK, or the exit code of what was said. */
int source_open(const struct source_params *params, struct source **out);
void source_close(struct source *source);

/* 0 for a stream. */
uint64_t source_rows(const struct source *source);
uint64_t source_batches(const struct source *source);
/* Rows of the batches before `number`; not of a stream. */
uint64_t source_rows_before(const struct source *source, uint64_t number);

/*
 * Make batch `number`; of a stream they must be asked for in order.  EXIT_OK
 * with rows 0 is the end.
 */
int source_batch(struct source *source, uint64_t number,
                 struct source_batch *out);

/*
 * The path of row `place` of batch `number`; NULL when the rows of this source
 * have none.
 */
const char *source_row_path(const struct source *source, uint64_t number,
                            size_t place);

/* Batch `number` without the rows that `left_out` marks by their places; only
   for sources whose rows have paths.  It may have no row. */
int source_batch_without(struct source *source, uint64_t number,
                         const bool *left_out, struct source_batch *out);

/*
 * The rows of batch `number` as they are, lent until the next call; only for
 * sources of vectors, others give EXIT_USAGE.
 */
int source_vectors(struct source *source, uint64_t number,
                   struct akin_rows *out);

/* What tells this source and these parameters from others, as 32 digits.
   False for a stream, of which nothing is known. */
bool source_identity(const struct source *source, char out[33]);

#endif
