/* json_read.h -- a JSON body under the limits, its faults as those of rows. */
#ifndef AK_SERVER_JSON_READ_H
#define AK_SERVER_JSON_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/faults.h"
#include "server/json_body.h"

/*
 * Values that are read, at most: of a batch at its limits (4,096 items with 64
 * labels and large payloads), read on the pool; and of what is read on a thread
 * of HTTP, which serves all: some 20 ms (4,096 ids, or an item).
 */
#define AK_JSON_VALUES_POOL 4000000
#define AK_JSON_VALUES_HERE 65536

/*
 * Read `bytes` (len), which are changed, into `json`; `paths` (n) as in
 * json_body.h.  False with a fault added; a wrong element of a vector is told
 * at the vector.  A shortage of memory is the fault "internal".
 */
bool ak_read_json(struct ak_json *json, uint8_t *bytes, size_t len,
                  const char *const *paths, size_t n, size_t max_values,
                  struct ak_faults *faults);

#endif
