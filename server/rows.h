/*
 * rows.h -- the rows of a request: checked, and rounded to what is stored.
 *
 * Whatever body they came in (JSON, lines of a stream, npy, multipart), rows
 * are added one by one, or as columns, to a `struct ak_rows`, which collects
 * what is wrong with its place.  A request with any fault stores nothing, so a
 * row that has one is only counted.  Then ak_rows_finish() checks what concerns
 * all rows, and ak_rows_store() shows them as the store wants them.
 *
 * One thread at a time.
 */
#ifndef AK_SERVER_ROWS_H
#define AK_SERVER_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "core/base/blob.h"
#include "core/base/err.h"
#include "core/image/extract.h"
#include "server/arena.h"
#include "server/faults.h"
#include "server/settings.h"
#include "storage/collection.h"

enum {
    AK_ROWS_ENCODE = 1 << 0,  /* nothing is stored: ids may be missing */
    AK_ROWS_NUMBERED = 1 << 1 /* of a producer's number: there may be no row */
};

struct ak_extractors;
struct ak_json;
struct ak_multipart;

struct ak_rows {
    const struct ak_settings *settings; /* lent */
    unsigned flags;
    /* How a place is told: "/items/17/vector", or by columns "/vectors/17". */
    const char *prefix;
    bool columns;
    char at[128]; /* when it is set, the place of what is added: "/query" */
    bool whole;   /* the body itself is that place */

    size_t n;              /* rows without a fault */
    enum ak_status status; /* AK_OK, or AK_ENOMEM */

    /* Arrays that grow, read by the functions below. */
    struct ak_writer vectors;          /* float (n, dim) */
    struct ak_writer codes;            /* bytes (n, bits / 8), kind external */
    struct ak_writer places;           /* size_t: index or line of the row */
    struct ak_writer ids;              /* struct ak_row_id */
    struct ak_writer labels;           /* struct ak_bytes */
    struct ak_writer first;            /* uint32_t (n + 1) */
    struct ak_writer payloads, images; /* struct ak_bytes */
    struct ak_writer files; /* const void *: images that came as parts */
    size_t n_ids, n_payloads, n_images;

    struct ak_extractors *extractors; /* lent; NULL: what is built in */
    struct ak_extractor *extractor;   /* held, from the first image on */
    uint64_t extract_ns;              /* that it took */
    struct ak_arena arena;            /* behind ids, labels, payloads, images */

    struct ak_faults faults; /* last, for its list */
};

void ak_rows_init(struct ak_rows *rows, const struct ak_settings *settings,
                  struct ak_extractors *extractors, unsigned flags);
void ak_rows_clear(struct ak_rows *rows);
/* No rows, after a change of the settings; what was read of the request stays. */
void ak_rows_restart(struct ak_rows *rows);
size_t ak_rows_bytes(const struct ak_rows *rows); /* of memory */

/* True while it is worth reading on: memory is there and faults can be told. */
bool ak_rows_going(const struct ak_rows *rows);

/*
 * Add the item at `place` (its index, or its line) of the tree in `json`, where
 * its vector is.  `parts` are where "image" may be found by name, or NULL.
 */
void ak_rows_add_item(struct ak_rows *rows, size_t place, const json_t *item,
                      struct ak_json *json, const struct ak_multipart *parts);

/*
 * What a row looks like, for those who build a row of pieces: each adds one
 * vector (or code) or a fault, and says whether it was good.  `field` is what
 * is told, such as "vector".
 */
bool ak_rows_add_vector(struct ak_rows *rows, size_t place, const char *field,
                        const float *values, size_t n);
bool ak_rows_add_image(struct ak_rows *rows, size_t place, const char *field,
                       struct ak_bytes file);
/* Whether vectors are taken at all: a row of a collection with vectors of two
   extractors must have an image, of which both can be made.  False: a fault. */
bool ak_rows_take_vectors(struct ak_rows *rows, size_t place,
                          const char *field);
bool ak_rows_add_code(struct ak_rows *rows, size_t place, const char *field,
                      const uint8_t *bytes, size_t len);

/* The file that a JSON value means: a part by its name (`parts` may be NULL), or
   base64; false after a fault. */
bool ak_rows_read_image(struct ak_rows *rows, size_t place, const json_t *value,
                        const struct ak_multipart *parts, struct ak_bytes *out);

/* Close the row whose looks were added: its id (NULL: none), payload, image
   file (absent: none); labels were added since the row before. */
void ak_rows_close_row(struct ak_rows *rows, size_t place,
                       const struct ak_row_id *id, struct ak_bytes payload,
                       struct ak_bytes image);

/* Add a label, or the entries of a JSON value that is one label or an array of
   them; false after a fault. */
bool ak_rows_add_labels(struct ak_rows *rows, size_t place,
                        const json_t *value);
bool ak_rows_add_label_text(struct ak_rows *rows, size_t place,
                            const char *text, size_t len);
bool ak_rows_end_labels(struct ak_rows *rows, size_t place);

/* An id of the kind that the collection has; false after a fault. */
bool ak_rows_read_id(struct ak_rows *rows, size_t place, const json_t *value,
                     struct ak_row_id *out);

/* The fields "labels" and "payload" of a patch of one item, into `change`; told
   at "/labels" and so on. */
void ak_rows_read_patch(struct ak_rows *rows, const json_t *patch,
                        struct ak_change *change);

/* Told at field `field` of the row at `place`. */
void ak_rows_fault(struct ak_rows *rows, size_t place, const char *field,
                   const char *code, const char *fmt, ...) AK_PRINTF(5, 6);

/* Duplicate ids, ids for some rows only, no rows at all. */
void ak_rows_finish(struct ak_rows *rows);

const float *ak_rows_vectors(const struct ak_rows *rows);
const uint8_t *ak_rows_codes(const struct ak_rows *rows);

/* True when the image that begins at `data` was used by a row. */
bool ak_rows_used(const struct ak_rows *rows, const void *data);

/* What is stored; lent as long as `rows`.  AK_ENOMEM. */
enum ak_status ak_rows_store(struct ak_rows *rows, struct ak_store_rows *out,
                             struct ak_err *err) AK_MUST_CHECK;

#endif
