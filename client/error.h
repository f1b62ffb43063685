/* error.h -- how the library's own files record a failure. */
#ifndef AK_CLIENT_ERROR_H
#define AK_CLIENT_ERROR_H

#include "client/akin.h"

/* Clears `err`, which may be NULL, records the text and returns `result`. */
enum akin_result akin_fail(struct akin_error *err, enum akin_result result,
                           const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Whether a second sending cannot do what one would not have done. */
int akin_is_idempotent(const struct akin_request *request);

enum akin_result akin_no_memory(struct akin_error *err);

#endif
