/* json_read.h -- a JSON body under the limits, its faults as those of rows. */
#ifndef AK_SERVER_JSON_READ_H
#define AK_SERVER_JSON_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/faults.h"
#include "server/json_body.h"

/*
 * Read `bytes` (len), which are changed, into `json`; `paths` (n) as in
 * json_body.h.  False with a fault added; a wrong element of a vector is told
 * at the vector.  A shortage of memory is the fault "internal".
 */
bool ak_read_json(struct ak_json *json, uint8_t *bytes, size_t len,
                  const char *const *paths, size_t n, struct ak_faults *faults);

#endif
