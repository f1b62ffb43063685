/* id_json.h -- ids as clients write them: numbers, or strings. */
#ifndef AK_SERVER_ID_JSON_H
#define AK_SERVER_ID_JSON_H

#include <stdbool.h>

#include <jansson.h>

#include "core/code/index.h"
#include "storage/collection.h"

#define AK_ID_MAX_BYTES 128
#define AK_ID_WHY       80

/* Lends its text from `value`; false with the reason in `why`. */
bool ak_id_read(const json_t *value, bool string_ids, struct ak_row_id *out,
                char why[AK_ID_WHY]);
/* The same from the text of a path. */
bool ak_id_parse(const char *text, bool string_ids, struct ak_row_id *out,
                 char why[AK_ID_WHY]);

/* NULL when memory is short. */
json_t *ak_id_json(bool string_ids, uint64_t number, const char *text,
                   size_t len);

#endif
