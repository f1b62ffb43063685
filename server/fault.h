/*
 * fault.h -- where a JSON body breaks a rule: a pointer into it, a code of the API,
 * and what was found and what was expected.
 */
#ifndef AK_SERVER_FAULT_H
#define AK_SERVER_FAULT_H

#include <stdarg.h>
#include <stddef.h>

#include <jansson.h>

#include "core/base/err.h"

#define AK_FAULT_POINTER 128

struct ak_fault {
    char pointer[AK_FAULT_POINTER]; /* RFC 6901 */
    const char *code;               /* "validation-failed", ...; a constant */
    char detail[256];
};

/* Fills it in; returns AK_EINVAL. */
enum ak_status ak_fault_set(struct ak_fault *fault, const char *pointer,
                            const char *code, const char *fmt, ...)
    AK_PRINTF(4, 5);
enum ak_status ak_fault_vset(struct ak_fault *fault, const char *pointer,
                             const char *code, const char *fmt, va_list ap)
    AK_PRINTF(4, 0);
/* Every key of `object`, which may be NULL, is one of the n names; else `detail` is
   said of that key.  AK_EINVAL, also when it is no object. */
enum ak_status ak_fault_keys(struct ak_fault *fault, const json_t *object,
                             const char *pointer, const char *const *names,
                             size_t n, const char *detail) AK_MUST_CHECK;

#endif
