#include "server/json_read.h"

#include <stdio.h>
#include <string.h>

#include "server/limits.h"

bool ak_read_json(struct ak_json *json, uint8_t *bytes, size_t len,
                  const char *const *paths, size_t n, size_t max_values,
                  struct ak_faults *faults)
{
    const struct ak_json_rules rules = {
        .paths = paths,
        .n_paths = n,
        .max_values = max_values,
        .max_floats = ak_limits()->max_body_bytes / 2,
    };
    struct ak_fault fault = {.pointer = ""};
    enum ak_status status =
        ak_json_parse(json, (char *)bytes, len, &rules, &fault);
    char *slash;

    if (status == AK_OK)
        return true;
    slash = strrchr(fault.pointer, '/');
    if (status == AK_ENOMEM) {
        ak_faults_whole(faults, "internal", "memory is short");
    } else if (slash == NULL) {
        ak_faults_whole(faults, fault.code, "%s", fault.detail);
    } else if (strspn(slash + 1, "0123456789") < strlen(slash + 1)) {
        ak_faults_add(faults, fault.pointer, fault.code, "%s", fault.detail);
    } else {
        *slash = '\0';
        ak_faults_add(faults, fault.pointer, fault.code, "element %s: %s",
                      slash + 1, fault.detail);
    }
    return false;
}
