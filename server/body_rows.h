/*
 * body_rows.h -- rows from the body of a request, whatever its media type.
 *
 * What batches, items and encode share: JSON with its vectors, multipart with
 * npy columns or with images, one npy, one image.
 */
#ifndef AK_SERVER_BODY_ROWS_H
#define AK_SERVER_BODY_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/http.h"
#include "server/rows.h"

enum ak_body_kind {
    AK_BODY_OTHER = 0,
    AK_BODY_JSON = 1 << 0,
    AK_BODY_MULTIPART = 1 << 1,
    AK_BODY_NPY = 1 << 2,
    AK_BODY_IMAGE = 1 << 3, /* JPEG or PNG */
    AK_BODY_NDJSON = 1 << 4
};

/* What the request brings by its content type. */
enum ak_body_kind ak_body_kind(const struct ak_request *rq);
/* The same; AK_BODY_OTHER when it is not one of `accepted` (a set), and 415
   with the list was answered. */
enum ak_body_kind ak_body_accept(struct ak_request *rq, unsigned accepted);

/*
 * Read all rows of `bytes` (len) into `rows`, which is initialised, and finish
 * them.  What is wrong is in its faults; `content_type` is the whole header.
 * The body may be changed.
 */
void ak_body_read_rows(struct ak_rows *rows, enum ak_body_kind kind,
                       const char *content_type, uint8_t *bytes, size_t len);

/*
 * The fingerprint of a body.  Of multipart it is that of its parts: a client
 * that sends the same again will have drawn another boundary.
 */
enum ak_status ak_body_digest(enum ak_body_kind kind, const char *content_type,
                              const uint8_t *bytes, size_t len, uint8_t out[32],
                              struct ak_err *err) AK_MUST_CHECK;

#endif
