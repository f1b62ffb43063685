/*
 * json_internal.h -- a strict reader of the JSON in model files.
 *
 * A value is read by the function of its type, in the order of the text; each
 * passes over white space before it.  After a failure nothing more is read.
 * Nesting is bounded, and no memory is taken.
 */
#ifndef AK_CORE_NN_JSON_INTERNAL_H
#define AK_CORE_NN_JSON_INTERNAL_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

#define AK_JSON_KEY   256 /* bytes of a member's name, with the terminator */
#define AK_JSON_DEPTH 16

struct ak_json {
    const char *begin, *at, *end;
    unsigned depth;
    struct ak_err *err;
};

void ak_json_init(struct ak_json *j, const char *text, size_t len,
                  struct ak_err *err);

/* Must read exactly one value: of the member `key`, or of element `i`. */
typedef enum ak_status ak_json_member_fn(struct ak_json *j, const char *key,
                                         void *context);
typedef enum ak_status ak_json_element_fn(struct ak_json *j, size_t i,
                                          void *context);

enum ak_status ak_json_object(struct ak_json *j, ak_json_member_fn *each,
                              void *context) AK_MUST_CHECK;
enum ak_status ak_json_array(struct ak_json *j, ak_json_element_fn *each,
                             void *context) AK_MUST_CHECK;

/* `out` has room for `cap` bytes with the terminator; AK_ECORRUPT if more. */
enum ak_status ak_json_string(struct ak_json *j, char *out,
                              size_t cap) AK_MUST_CHECK;
enum ak_status ak_json_number(struct ak_json *j, double *out) AK_MUST_CHECK;
/* A whole number without sign, point or exponent. */
enum ak_status ak_json_whole(struct ak_json *j, uint64_t *out) AK_MUST_CHECK;
enum ak_status ak_json_skip(struct ak_json *j) AK_MUST_CHECK;

/* AK_ECORRUPT unless only white space is left. */
enum ak_status ak_json_finish(struct ak_json *j) AK_MUST_CHECK;

/* Fail with AK_ECORRUPT and the place: "byte 12: ...". */
enum ak_status ak_json_fail(struct ak_json *j, const char *what);

#endif
