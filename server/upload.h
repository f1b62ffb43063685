/*
 * upload.h -- a long body into a file: no more of it in memory than a piece.
 *
 * Pieces are written on the pool while the upload pauses.  The file goes with
 * the request unless somebody has renamed it.
 */
#ifndef AK_SERVER_UPLOAD_H
#define AK_SERVER_UPLOAD_H

#include <stdint.h>

#include "core/base/digest.h"
#include "server/op.h"

#define AK_UPLOAD_PATH 4096

struct ak_upload {
    char path[AK_UPLOAD_PATH];
    uint64_t bytes;
    uint8_t sha256[AK_SHA256_LEN];
};

/*
 * Take the body of a request on a AK_ROUTE_STREAMS route into a new file, of at
 * most `max` bytes, after the headers.  When it is all there `done` is called on
 * the pool, which answers.  What fails before is answered here.  Sets op->arg and
 * op->clear.
 */
typedef void ak_upload_fn(void *arg, const struct ak_upload *upload);
void ak_upload_begin(struct ak_op *op, const char *path, uint64_t max,
                     ak_upload_fn *done, void *arg);

#endif
