#include "server/fault.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "server/pointer.h"

enum ak_status ak_fault_vset(struct ak_fault *fault, const char *pointer,
                             const char *code, const char *fmt, va_list ap)
{
    snprintf(fault->pointer, sizeof(fault->pointer), "%s", pointer);
    fault->code = code;
    vsnprintf(fault->detail, sizeof(fault->detail), fmt, ap);
    return AK_EINVAL;
}

enum ak_status ak_fault_set(struct ak_fault *fault, const char *pointer,
                            const char *code, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    (void)ak_fault_vset(fault, pointer, code, fmt, ap);
    va_end(ap);
    return AK_EINVAL;
}

enum ak_status ak_fault_keys(struct ak_fault *fault, const json_t *object,
                             const char *pointer, const char *const *names,
                             size_t n, const char *detail)
{
    char at[AK_FAULT_POINTER];
    const char *key;
    json_t *value;

    if (object == NULL)
        return AK_OK;
    if (!json_is_object(object))
        return ak_fault_set(fault, pointer, "validation-failed",
                            "must be an object");
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        size_t i = 0;

        while (i < n && strcmp(key, names[i]) != 0)
            i++;
        if (i < n)
            continue;
        snprintf(at, sizeof(at), "%s", pointer);
        ak_pointer_add(at, sizeof(at), key);
        return ak_fault_set(fault, at, "unknown-field", "%s", detail);
    }
    return AK_OK;
}
